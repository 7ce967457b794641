// SPDX-License-Identifier: Apache-2.0
// A .trnn file as checked tables: what the rest of the library may believe.
#ifndef TRN_READER_H
#define TRN_READER_H

#include "format.h"

typedef uint8_t trn_record_byte;

typedef struct trn_file {
    trn_record_preamble preamble;
    trn_record_header header;
    // Every section but the weights points into `structure`, the reader's own copy.
    // const trn_record_tensor *tensors; uint64_t tensors_count; and so on
#define TRN_SECTION(name, value, record, doc) \
    const trn_record_##record *name;          \
    uint64_t name##_count;
#include "tinyrnn/format.def"
    void *structure;
} trn_file;

// Reads and checks a file. `weights` stays in data. Returns OUT_OF_MEMORY, NOT_A_MODEL, VERSION, TRUNCATED, CHECKSUM,
// MALFORMED, UNSUPPORTED; on success the caller frees with trn_file_close.
trn_status trn_file_read(const void *data, size_t size, uint32_t flags, trn_file *file, trn_error *error);
void trn_file_close(trn_file *file);

// CRC-32 (the polynomial of zlib and PNG) of size bytes, continuing from crc (0 at the start).
uint32_t trn_crc32(uint32_t crc, const void *data, size_t size);

// What the rows of ops.def say of an operator; row->name is NULL for an unknown kind.
typedef struct trn_operator_row {
    const char *name;
    uint8_t inputs, outputs, attributes;  // rows; a list counts as one
    uint8_t variadic, list;               // whether the last input repeats, the last attribute is a list
} trn_operator_row;
trn_operator_row trn_operator_row_of(uint32_t kind);

// The row of an operator's i-th input (output 0) or output (output 1); a variadic row serves all that remain.
enum { trn_need_required, trn_need_optional, trn_need_variadic };
enum { trn_layout_any, trn_layout_rows, trn_layout_packed };
typedef struct trn_operand_row {
    const char *name;
    uint8_t kind, output, need, layout;
} trn_operand_row;
const trn_operand_row *trn_operand_row_of(uint32_t kind, int output, uint32_t i);

// The row of an elementwise function, NULL for an unknown one. from, to: 'f' or 'i'.
typedef struct trn_function_row {
    const char *name;
    uint8_t value, inputs;
    char from, to;
} trn_function_row;
const trn_function_row *trn_function_row_of(int64_t function);
// Whether it takes one float and gives one.
int trn_is_activation(int64_t function);

size_t trn_dtype_size(uint8_t dtype);
const char *trn_dtype_name(uint8_t dtype);

static inline const char *trn_string(const trn_file *file, uint32_t offset) {
    return (const char *)file->strings + offset;
}

// a * b and a + b in int64; 0 when the result does not fit.
static inline int trn_mul(int64_t a, int64_t b, int64_t *r) { return !__builtin_mul_overflow(a, b, r); }
static inline int trn_add(int64_t a, int64_t b, int64_t *r) { return !__builtin_add_overflow(a, b, r); }

// The value of expression i for these symbol values; 0 when it overflows or divides by a number below 1.
int trn_evaluate(const trn_file *file, uint32_t expression, const int64_t *symbols, int64_t *value);
// The value of dim i (a constant or an expression).
int trn_evaluate_dim(const trn_file *file, uint32_t dim, const int64_t *symbols, int64_t *value);
// The symbol that dim i is, or TRN_NONE when it is a constant or more than a symbol.
uint32_t trn_dim_symbol(const trn_file *file, uint32_t dim);

#endif
