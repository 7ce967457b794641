// SPDX-License-Identifier: Apache-2.0
// Filling in trn_error: where and why a call failed.
#ifndef TRN_ERROR_H
#define TRN_ERROR_H

#include "tinyrnn.h"

#if defined(__GNUC__)
#define TRN_PRINTF(f, first) __attribute__((format(printf, f, first)))
#else
#define TRN_PRINTF(f, first)
#endif

#define TRN_NOWHERE UINT64_MAX  // byte_offset of an error that has no place in the file

// Writes status, place and message into error (NULL is allowed) and returns status. node and field may be NULL.
trn_status trn_fail(trn_error *error, trn_status status, uint64_t byte_offset, const char *node, const char *field,
                    const char *format, ...) TRN_PRINTF(6, 7);

#endif
