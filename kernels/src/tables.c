// SPDX-License-Identifier: Apache-2.0
// The rows of ops.def and format.def as data, and the evaluation of expressions.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os")  // runs once a file, or a stream
#endif
#include <string.h>

#include "reader.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    uint32_t kind;
    const char *name;
} operator_names[] = {
#define TRN_OPERATOR(name, value, doc) {trn_op_##name, #name},
#include "tinyrnn/ops.def"
};

static const trn_operand_row operand_rows[] = {
#define TRN_INPUT(op, name, need, layout, shape)  {#name, trn_op_##op, 0, trn_need_##need, trn_layout_##layout},
#define TRN_OUTPUT(op, name, need, layout, shape) {#name, trn_op_##op, 1, trn_need_##need, trn_layout_##layout},
#include "tinyrnn/ops.def"
};

static const struct {
    uint32_t kind;
    const char *type;
} attribute_rows[] = {
#define TRN_ATTRIBUTE(op, name, type, doc) {trn_op_##op, #type},
#include "tinyrnn/ops.def"
};

static const trn_function_row function_rows[] = {
#define TRN_FUNCTION(name, value, inputs, from, to, doc) {#name, value, inputs, (#from)[0], (#to)[0]},
#include "tinyrnn/ops.def"
};

trn_operator_row trn_operator_row_of(uint32_t kind) {
    trn_operator_row row = {0};
    for (size_t i = 0; i < COUNT(operator_names); i++)
        if (operator_names[i].kind == kind) row.name = operator_names[i].name;
    for (size_t i = 0; i < COUNT(operand_rows); i++) {
        if (operand_rows[i].kind != kind) continue;
        if (operand_rows[i].output) row.outputs++;
        else row.inputs++;
        row.variadic |= operand_rows[i].need == trn_need_variadic;
    }
    for (size_t i = 0; i < COUNT(attribute_rows); i++) {
        if (attribute_rows[i].kind != kind) continue;
        row.attributes++;
        row.list |= strcmp(attribute_rows[i].type, "list") == 0;
    }
    return row;
}

const trn_operand_row *trn_operand_row_of(uint32_t kind, int output, uint32_t i) {
    for (size_t r = 0; r < COUNT(operand_rows); r++) {
        const trn_operand_row *row = &operand_rows[r];
        if (row->kind != kind || row->output != output) continue;
        if (i == 0 || row->need == trn_need_variadic) return row;
        i--;
    }
    return NULL;
}

const trn_function_row *trn_function_row_of(int64_t function) {
    for (size_t i = 0; i < COUNT(function_rows); i++)
        if (function_rows[i].value == function) return &function_rows[i];
    return NULL;
}

int trn_is_activation(int64_t function) {
    const trn_function_row *row = trn_function_row_of(function);
    return row && row->inputs == 1 && row->from == 'f' && row->to == 'f';
}

size_t trn_dtype_size(uint8_t dtype) {
    static const uint8_t sizes[] = {
        [trn_dtype_F32] = 4, [trn_dtype_F64] = 8, [trn_dtype_F16] = 2, [trn_dtype_I64] = 8,
        [trn_dtype_I32] = 4, [trn_dtype_I8] = 1,  [trn_dtype_U8] = 1,  [trn_dtype_BOOL] = 1,
        [trn_dtype_I16] = 2,
    };
    return dtype < COUNT(sizes) ? sizes[dtype] : 0;
}

const char *trn_dtype_name(uint8_t dtype) {
    static const char *const names[] = {
        [trn_dtype_F32] = "float32", [trn_dtype_F64] = "float64", [trn_dtype_F16] = "float16",
        [trn_dtype_I64] = "int64",   [trn_dtype_I32] = "int32",   [trn_dtype_I8] = "int8",
        [trn_dtype_U8] = "uint8",    [trn_dtype_BOOL] = "bool",    [trn_dtype_I16] = "int16",
    };
    return dtype < COUNT(names) ? names[dtype] : "?";
}

// floor(a / b) for b > 0.
static int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

static int apply(uint32_t kind, int64_t a, int64_t b, int64_t *r) {
    switch (kind) {
    case trn_term_ADD:
        return trn_add(a, b, r);
    case trn_term_SUB:
        return !__builtin_sub_overflow(a, b, r);
    case trn_term_MUL:
        return trn_mul(a, b, r);
    case trn_term_MIN:
        *r = a < b ? a : b;
        return 1;
    case trn_term_MAX:
        *r = a > b ? a : b;
        return 1;
    }
    if (b < 1) return 0;
    *r = floor_div(a, b);
    if (kind == trn_term_CEIL_DIV) *r += a % b != 0;
    if (kind == trn_term_MOD) *r = a % b + (a % b < 0 ? b : 0);
    return 1;
}

int trn_evaluate(const trn_file *file, uint32_t expression, const int64_t *symbols, int64_t *value) {
    const trn_record_expression *e = &file->expressions[expression];
    const trn_record_term *term = &file->terms[e->first_term];
    int64_t stack[TRN_LIMIT_TERMS];
    uint32_t depth = 0;  // the reader has checked that it stays within 1 and TRN_LIMIT_TERMS
    for (uint32_t i = 0; i < e->term_count; i++, term++) {
        if (term->kind == trn_term_CONSTANT) stack[depth++] = term->value;
        else if (term->kind == trn_term_SYMBOL) stack[depth++] = symbols[term->symbol];
        else {
            depth--;
            if (!apply(term->kind, stack[depth - 1], stack[depth], &stack[depth - 1])) return 0;
        }
    }
    *value = stack[0];
    return 1;
}

int trn_evaluate_dim(const trn_file *file, uint32_t dim, const int64_t *symbols, int64_t *value) {
    const trn_record_dim *d = &file->dims[dim];
    if (d->expression != TRN_NONE) return trn_evaluate(file, d->expression, symbols, value);
    *value = d->value;
    return 1;
}

uint32_t trn_dim_symbol(const trn_file *file, uint32_t dim) {
    const trn_record_dim *d = &file->dims[dim];
    if (d->expression == TRN_NONE) return TRN_NONE;
    const trn_record_expression *e = &file->expressions[d->expression];
    const trn_record_term *term = &file->terms[e->first_term];
    return e->term_count == 1 && term->kind == trn_term_SYMBOL ? term->symbol : TRN_NONE;
}

uint32_t trn_crc32(uint32_t crc, const void *data, size_t size) {
    // The reflected polynomial 0xedb88320, four bits at a time: small, and fast enough for a structure.
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    const uint8_t *p = data;
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        crc = (crc >> 4) ^ table[crc & 15];
        crc = (crc >> 4) ^ table[crc & 15];
    }
    return ~crc;
}
