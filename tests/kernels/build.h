// SPDX-License-Identifier: Apache-2.0
// Builds .trnn files record by record, for tests that need a graph of their own: valid ones and broken ones.
#ifndef TRN_TEST_BUILD_H
#define TRN_TEST_BUILD_H

#include <stdlib.h>
#include <string.h>

#include "i8.h"
#include "reader.h"

// The next of a row of numbers that look random, below 2^31.
static inline uint64_t next_number(uint64_t *seed) {
    return (*seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407) >> 33;
}

// Sections grow as records are added; finish() lays them out.
typedef struct builder {
    unsigned char *bytes[TRN_SECTION_COUNT];
    size_t size[TRN_SECTION_COUNT];
    trn_record_header header;
    unsigned char *file;
    size_t file_size;
} builder;

// A dimension that is an expression, among dimensions that are numbers.
#define EXPRESSION_BASE  (INT64_MIN / 2)
#define IS_EXPRESSION(d) ((d) < INT64_MIN / 4)

#define DIMS(...) (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
#define SCALAR    NULL, 0
#define LIST(...) (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)

static inline void append(builder *b, int section, const void *data, size_t size) {
    b->bytes[section] = realloc(b->bytes[section], b->size[section] + size + 1);
    memcpy(b->bytes[section] + b->size[section], data, size);
    b->size[section] += size;
}

// Adds a record of a section; gives its index.
#define ADD(b, section, ...) add_##section(b, (trn_record_##section##_row){__VA_ARGS__})
#define ADDER(section, record)                                                  \
    typedef trn_record_##record trn_record_##section##_row;                     \
    static inline uint32_t add_##section(builder *b, trn_record_##record row) { \
        append(b, trn_section_##section, &row, sizeof row);                     \
        return (uint32_t)(b->size[trn_section_##section] / sizeof row - 1);     \
    }
ADDER(symbols, symbol)
ADDER(expressions, expression)
ADDER(terms, term)
ADDER(dims, dim)
ADDER(tensors, tensor)
ADDER(operators, operator)
ADDER(operands, operand)
ADDER(attributes, attribute)
ADDER(blocks, block)
ADDER(inputs, port)
ADDER(outputs, port)
ADDER(states, state)
ADDER(ties, tie)

static inline uint32_t count_of(const builder *b, int section, size_t record_size) {
    return (uint32_t)(b->size[section] / record_size);
}

static inline builder start(void) {
    builder b = {
        .header = {
            .section_count = TRN_SECTION_COUNT, .streamable = 1, .time_symbol = TRN_NONE, .batch_symbol = TRN_NONE}};
    append(&b, trn_section_strings, "", 1);
    return b;
}

static inline uint32_t text(builder *b, const char *string) {
    uint32_t offset = (uint32_t)b->size[trn_section_strings];
    append(b, trn_section_strings, string, strlen(string) + 1);
    return offset;
}

// An expression of postfix terms; gives what DIMS takes.
static inline int64_t expression(builder *b, const trn_record_term *terms, uint32_t count) {
    uint32_t first = count_of(b, trn_section_terms, sizeof *terms);
    for (uint32_t i = 0; i < count; i++) add_terms(b, terms[i]);
    return EXPRESSION_BASE + ADD(b, expressions, first, count);
}

// A symbol, as an expression.
static inline int64_t symbol(builder *b, const char *name, uint32_t role) {
    uint32_t s = ADD(b, symbols, text(b, name), role);
    if (role == trn_role_TIME) b->header.time_symbol = s;
    if (role == trn_role_BATCH) b->header.batch_symbol = s;
    return expression(b, &(trn_record_term){trn_term_SYMBOL, s, 0}, 1);
}

static inline uint32_t dims_of(builder *b, const int64_t *dims, size_t count) {
    uint32_t first = count_of(b, trn_section_dims, sizeof(trn_record_dim));
    for (size_t i = 0; i < count; i++)
        if (IS_EXPRESSION(dims[i])) ADD(b, dims, 0, (uint32_t)(dims[i] - EXPRESSION_BASE), 0);
        else ADD(b, dims, dims[i], TRN_NONE, 0);
    return first;
}

static inline uint32_t tensor(builder *b, const char *name, uint8_t dtype, uint8_t storage, const int64_t *dims,
                              size_t rank) {
    uint32_t first = dims_of(b, dims, rank);
    return ADD(b, tensors, .name = text(b, name), .dtype = dtype, .rank = (uint8_t)rank, .storage = storage,
               .dims = first, .root = TRN_NONE, .view = TRN_NONE);
}

// The offset stands before the strides.
static inline uint32_t view(builder *b, uint32_t root, const int64_t *dims, size_t rank, const int64_t *strides,
                            size_t count) {
    const trn_record_tensor *r = (const trn_record_tensor *)(const void *)b->bytes[trn_section_tensors] + root;
    trn_record_tensor t = {
        .name = r->name, .dtype = r->dtype, .rank = (uint8_t)rank, .storage = trn_storage_VIEW, .root = root};
    t.dims = dims_of(b, dims, rank);
    t.view = dims_of(b, strides, count);
    return add_tensors(b, t);
}

// A constant; panel 0: not packed.
static inline uint32_t constant(builder *b, uint8_t dtype, uint32_t panel, const int64_t *dims, size_t rank,
                                const void *data) {
    static const char zeros[64];
    size_t bytes = trn_dtype_size(dtype), used = b->size[trn_section_weights];
    for (size_t i = 0; i < rank; i++) bytes *= (size_t)dims[i];
    append(b, trn_section_weights, zeros, (used + 63) / 64 * 64 - used);
    trn_record_tensor t = {.name = text(b, "constant"),
                           .dtype = dtype,
                           .rank = (uint8_t)rank,
                           .storage = trn_storage_WEIGHTS,
                           .packing = panel ? trn_packing_F32_PANELS : 0,
                           .root = TRN_NONE,
                           .view = TRN_NONE,
                           .panel_width = panel,
                           .data_offset = b->size[trn_section_weights],
                           .data_size = bytes};
    t.dims = dims_of(b, dims, rank);
    append(b, trn_section_weights, data, bytes);
    return add_tensors(b, t);
}

// Matrices of int8 (per_cell 4) or int16 (2). weights: [..., K, N], row-major; scales: [..., N].
static inline uint32_t constant_integers(builder *b, size_t per_cell, uint32_t panel, const int64_t *dims, size_t rank,
                                         const int16_t *weights, const float *scales) {
    size_t count = 1, k = (size_t)dims[rank - 2], n = (size_t)dims[rank - 1], bytes = 4 * i8_cells(n, k, per_cell);
    for (size_t i = 0; i + 2 < rank; i++) count *= (size_t)dims[i];
    char *cells = malloc(count * bytes + 1);
    for (size_t i = 0; i < count; i++)
        i8_pack(n, k, per_cell, panel, weights + i * k * n, scales + i * n, cells + i * bytes);
    // As if it were one row of bytes; then what it is.
    uint32_t t = constant(b, trn_dtype_I8, panel, DIMS((int64_t)(count * bytes)), cells);
    trn_record_tensor *record = (trn_record_tensor *)(void *)b->bytes[trn_section_tensors] + t;
    record->dtype = per_cell == 4 ? trn_dtype_I8 : trn_dtype_I16;
    record->packing = per_cell == 4 ? trn_packing_I8_PANELS : trn_packing_I16_PANELS;
    record->rank = (uint8_t)rank;
    record->dims = dims_of(b, dims, rank);
    free(cells);
    return t;
}

static inline int64_t bits(double value) {
    int64_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static inline uint32_t operator_of(builder *b, uint32_t kind, const uint32_t *inputs, size_t input_count,
                                   const uint32_t *outputs, size_t output_count, const int64_t *attributes,
                                   size_t attribute_count) {
    uint32_t first = count_of(b, trn_section_operands, sizeof(trn_record_operand));
    uint32_t first_attribute = count_of(b, trn_section_attributes, sizeof(trn_record_attribute));
    for (size_t i = 0; i < input_count; i++) ADD(b, operands, inputs[i]);
    for (size_t i = 0; i < output_count; i++) ADD(b, operands, outputs[i]);
    for (size_t i = 0; i < attribute_count; i++) ADD(b, attributes, attributes[i]);
    return ADD(b, operators, kind, text(b, "operator"), first, first_attribute, (uint16_t)input_count,
               (uint16_t)output_count, (uint32_t)attribute_count);
}

static inline uint32_t input(builder *b, uint32_t t, int32_t time_axis, int32_t batch_axis) {
    return ADD(b, inputs, t, TRN_NONE, time_axis, batch_axis, 0);
}

static inline uint32_t output(builder *b, uint32_t t, int32_t time_axis, int32_t batch_axis) {
    return ADD(b, outputs, t, TRN_NONE, time_axis, batch_axis, 0);
}

// A state without ports; source TRN_NONE: nothing renews it.
static inline uint32_t state(builder *b, uint32_t t, uint32_t initial, int32_t batch_axis, uint32_t source) {
    uint32_t first = count_of(b, trn_section_ties, sizeof(trn_record_tie));
    if (source != TRN_NONE) ADD(b, ties, t, source);
    return ADD(b, states, t, initial, batch_axis, first, source != TRN_NONE, TRN_NONE);
}

// Lays the file out; b->file is 64-byte aligned. All operators become block 0 unless there are blocks already.
static inline void finish(builder *b) {
    size_t at = sizeof(trn_record_preamble) + sizeof(trn_record_header), places[TRN_SECTION_COUNT];
    if (!b->size[trn_section_blocks])
        ADD(b, blocks, 0, count_of(b, trn_section_operators, sizeof(trn_record_operator)));
    at += TRN_SECTION_COUNT * sizeof(trn_record_section);
    for (int i = 0; i < TRN_SECTION_COUNT; i++) {
        size_t alignment = i == trn_section_weights ? 64 : 8;
        places[i] = at = (at + alignment - 1) / alignment * alignment;
        at += b->size[i];
    }
    b->file_size = b->header.file_size = at;
    b->header.weights_offset = places[trn_section_weights];
    b->file = aligned_alloc(64, (at + 63) / 64 * 64);
    memset(b->file, 0, (at + 63) / 64 * 64);
    unsigned char *to = b->file + sizeof(trn_record_preamble);
    memcpy(to, &b->header, sizeof b->header);
    to += sizeof b->header;
    for (uint32_t i = 0; i < TRN_SECTION_COUNT; i++, to += sizeof(trn_record_section)) {
        trn_record_section row = {i, 0, places[i], b->size[i]};
        memcpy(to, &row, sizeof row);
        if (b->size[i]) memcpy(b->file + places[i], b->bytes[i], b->size[i]);
    }
    size_t head = sizeof(trn_record_preamble), weights = places[trn_section_weights];
    trn_record_preamble preamble = {TRN_MAGIC, TRN_FORMAT_MAJOR, TRN_FORMAT_MINOR,
                                    trn_crc32(0, b->file + head, weights - head),
                                    trn_crc32(0, b->file + weights, at - weights)};
    memcpy(b->file, &preamble, sizeof preamble);
}

static inline void discard(builder *b) {
    for (int i = 0; i < TRN_SECTION_COUNT; i++) free(b->bytes[i]);
    free(b->file);
    memset(b, 0, sizeof *b);
}

#endif
