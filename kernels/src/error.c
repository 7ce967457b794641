// SPDX-License-Identifier: Apache-2.0
// Statuses as text, and errors with their place.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os")  // runs where something is wrong
#endif
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

const char *trn_version(void) {
    return STRING(TRN_VERSION_MAJOR) "." STRING(TRN_VERSION_MINOR) "." STRING(TRN_VERSION_PATCH);
}

const char *trn_status_name(trn_status status) {
    switch (status) {
#define TRN_STATUS(name, value, message, python) \
    case TRN_##name:                             \
        return #name;
#include "tinyrnn/status.def"
    }
    return "UNKNOWN";
}

const char *trn_status_message(trn_status status) {
    switch (status) {
#define TRN_STATUS(name, value, message, python) \
    case TRN_##name:                             \
        return message;
#include "tinyrnn/status.def"
    }
    return "UNKNOWN";
}

static void copy_cut(char *target, size_t size, const char *text) {
    size_t n = text ? strlen(text) : 0;
    if (n >= size) {
        n = size - 1;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) n--;  // do not cut inside a UTF-8 sequence
    }
    if (n) memcpy(target, text, n);
    target[n] = 0;
}

trn_status trn_fail(trn_error *error, trn_status status, uint64_t byte_offset, const char *node, const char *field,
                    const char *format, ...) {
    if (!error) return status;
    error->status = status;
    error->byte_offset = byte_offset;
    copy_cut(error->node, sizeof error->node, node);
    copy_cut(error->field, sizeof error->field, field);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return status;
}
