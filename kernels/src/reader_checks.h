// SPDX-License-Identifier: Apache-2.0
// What the checks of the reader share.
#ifndef TRN_READER_CHECKS_H
#define TRN_READER_CHECKS_H

#include "error.h"
#include "reader.h"

// What a check needs to say where it failed.
typedef struct reader {
    trn_file *file;
    trn_error *error;
    const char *section;
    uint64_t offset;  // of the record being checked, in the file
} reader;

#define REFUSE(r, field, ...) trn_fail((r)->error, TRN_MALFORMED, (r)->offset, (r)->section, field, __VA_ARGS__)
#define REQUIRE(r, condition, field, ...)                       \
    do {                                                        \
        if (!(condition)) return REFUSE(r, field, __VA_ARGS__); \
    } while (0)
#define TRY(call)                              \
    do {                                       \
        trn_status status_ = (call);           \
        if (status_ != TRN_OK) return status_; \
    } while (0)

// From here on errors are of record `index` of a section.
void trn_reader_enter(reader *r, uint32_t section, uint64_t index);
// A string has to begin inside of its section.
trn_status trn_reader_string(reader *r, uint32_t offset, const char *field);

// Ports and states own every INPUT, OUTPUT and STATE tensor, each once; every symbol is the dimension of an input.
// owners: a zero for each tensor.
trn_status trn_reader_interface(reader *r, uint8_t *owners);
trn_status trn_reader_names(reader *r);

static inline int trn_range_ok(uint64_t first, uint64_t count, uint64_t limit) {
    return first <= limit && count <= limit - first;
}

static inline uint8_t trn_root_storage(const trn_file *f, uint32_t tensor) {
    const trn_record_tensor *t = &f->tensors[tensor];
    return t->storage == trn_storage_VIEW ? f->tensors[t->root].storage : t->storage;
}

#endif
