// SPDX-License-Identifier: Apache-2.0
// The enums and record structs of the file, expanded from format.def and ops.def.
#ifndef TRN_FORMAT_H
#define TRN_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "tinyrnn.h"

#define TRN_MAGIC        0x4e4e5254u
#define TRN_FORMAT_MAJOR 1
#define TRN_FORMAT_MINOR 0

// TRN_LIMIT_RANK, TRN_LIMIT_SYMBOLS, ...
enum {
#define TRN_LIMIT(name, value, doc) TRN_LIMIT_##name = value,
#include "tinyrnn/format.def"
};

// Every enumerator of the tables: trn_dtype_F32, trn_section_tensors, trn_op_dense, trn_cell_LSTM, trn_fn_TANH, ...
enum {
#define TRN_ENUM(enumeration, name, value, doc) trn_##enumeration##_##name = value,
#define TRN_SECTION(name, value, record, doc)   trn_section_##name = value,
#include "tinyrnn/format.def"
#define TRN_OPERATOR(name, value, doc)                   trn_op_##name = value,
#define TRN_OPENUM(enumeration, name, value, doc)        trn_##enumeration##_##name = value,
#define TRN_FUNCTION(name, value, inputs, from, to, doc) trn_fn_##name = value,
#include "tinyrnn/ops.def"
};

// The number of sections, whose values are 0, 1, 2, ...
enum {
    TRN_SECTION_COUNT = 0
#define TRN_SECTION(name, value, record, doc) +1
#include "tinyrnn/format.def"
};

// Positions in an operator's lists: trn_in_recurrent_x, trn_out_recurrent_y, trn_at_recurrent_cell. The row of an
// operator starts the count again; trn_at_<op>_<list> is the position of the list's first entry.
enum {
#define TRN_OPERATOR(name, value, doc)           trn_inputs_of_##name = -1,
#define TRN_INPUT(op, name, need, layout, shape) trn_in_##op##_##name,
#include "tinyrnn/ops.def"
#define TRN_OPERATOR(name, value, doc)            trn_outputs_of_##name = -1,
#define TRN_OUTPUT(op, name, need, layout, shape) trn_out_##op##_##name,
#include "tinyrnn/ops.def"
#define TRN_OPERATOR(name, value, doc)     trn_attributes_of_##name = -1,
#define TRN_ATTRIBUTE(op, name, type, doc) trn_at_##op##_##name,
#include "tinyrnn/ops.def"
};

typedef uint8_t trn_u8;
typedef uint16_t trn_u16;
typedef uint32_t trn_u32;
typedef uint64_t trn_u64;
typedef int32_t trn_i32;
typedef int64_t trn_i64;

#define TRN_RECORD(record, doc)             typedef struct trn_record_##record {
#define TRN_FIELD(record, type, field, doc) trn_##type field;
#define TRN_RECORD_END(record) \
    }                          \
    trn_record_##record;
#include "tinyrnn/format.def"

// Weights of a cell of 4 bytes, in packings of integers; 0 in others.
static inline int trn_per_cell(uint8_t packing) {
    return packing == trn_packing_I8_PANELS ? 4 : packing == trn_packing_I16_PANELS ? 2 : 0;
}
// Rows of cells behind those of weights: start values, where these are bytes, and scales.
static inline int trn_rows_behind(int per_cell) { return per_cell == 4 ? 2 : 1; }
// Rows of a packed matrix [k, n].
static inline int64_t trn_packed_rows(uint8_t packing, int64_t k) {
    int per_cell = trn_per_cell(packing);
    return per_cell ? k / per_cell + (k % per_cell > 0) + trn_rows_behind(per_cell) : k;
}

#endif
