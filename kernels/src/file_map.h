// SPDX-License-Identifier: Apache-2.0
// A file's bytes: by a read-only memory map where there is one, else read into memory.
#ifndef TRN_FILE_MAP_H
#define TRN_FILE_MAP_H

#include "error.h"

// Returns IO, NOT_A_MODEL (an empty file) or OUT_OF_MEMORY.
trn_status trn_file_map(const char *path, void **map, size_t *size, trn_error *error);
void trn_file_unmap(void *map, size_t size);

#endif
