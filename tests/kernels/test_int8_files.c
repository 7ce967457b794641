// SPDX-License-Identifier: Apache-2.0
// Files with weights of int8 or int16 that break a rule: each is refused with a status and an error that says where.
#include <math.h>
#include <stdio.h>

#include "build.h"

static unsigned passed, failed;

// A dense operator x [2, 6] -> y [2, 16] with its weights and a range, to be spoilt.
typedef struct spoilt {
    builder b;
    int16_t weights[6 * 16];
    float scales[16];
    uint32_t x, y, w;
} spoilt;

static trn_record_tensor *record_of(builder *b, uint32_t t) {
    return (trn_record_tensor *)(void *)b->bytes[trn_section_tensors] + t;
}

// per_cell: 4 of int8, 2 of int16.
static spoilt to_spoil(size_t per_cell) {
    spoilt s = {.b = start()};
    for (int i = 0; i < 16; i++) s.scales[i] = 1.0f;
    s.x = tensor(&s.b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(2, 6));
    s.y = tensor(&s.b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(2, 16));
    s.w = constant_integers(&s.b, per_cell, 64, DIMS(6, 16), s.weights, s.scales);
    record_of(&s.b, s.w)->name = text(&s.b, "the weights");
    input(&s.b, s.x, -1, -1), output(&s.b, s.y, -1, -1);
    return s;
}

static void add_dense(spoilt *s, uint32_t range) {
    operator_of(&s->b, trn_op_dense, LIST(s->x, s->w, TRN_NONE, range), LIST(s->y), DIMS(trn_fn_IDENTITY, 0, 0));
}

// The file gives this status, when it is opened or a stream is made, and an error that names node and field.
static void refused(builder *b, trn_status expected, const char *node, const char *field, const char *name) {
    trn_model *model = NULL;
    trn_stream *stream = NULL;
    trn_error error = {0};
    finish(b);
    trn_status status = trn_model_open(b->file, b->file_size, TRN_OPEN_VERIFY, &model, &error);
    if (status == TRN_OK) status = trn_stream_new(model, NULL, &stream, &error);
    int named = expected == TRN_OK || (!strcmp(error.node, node) && !strcmp(error.field, field) && error.message[0]);
    if (status == expected && named) {
        passed++;
    } else {
        failed++;
        fprintf(stderr, "failed: %s: status %d, %s, %s: %s\n", name, (int)status, error.node, error.field,
                error.message);
    }
    trn_stream_free(stream), trn_model_close(model), discard(b);
}

// Panels of int8 and of int16 alike.
static void test_records(void) {
    static const struct {
        const char *name, *node, *field;
        trn_status status;
    } cases[] = {
        {"as it should be", "", "", TRN_OK},
        {"panels that are no constant", "tensors", "packing", TRN_MALFORMED},
        {"panels of uint8", "tensors", "packing", TRN_MALFORMED},
        {"panels of rank 1", "tensors", "packing", TRN_MALFORMED},
        {"a row of cells too few", "tensors", "data_size", TRN_MALFORMED},
        {"a row of cells too many", "tensors", "data_size", TRN_MALFORMED},
        {"panels of 8 columns", "tensors", "panel_width", TRN_MALFORMED},
        {"8 columns", "tensors", "dims", TRN_MALFORMED},
        {"panels that are copied", "copy", "x", TRN_MALFORMED},
        {"a view of panels", "tensors", "root", TRN_MALFORMED},
        {"another packing", "tensors", "packing", TRN_MALFORMED},
        {"panels of the other width", "tensors", "packing", TRN_MALFORMED},
        {"panels of float32", "tensors", "packing", TRN_MALFORMED},
        {"panels of the other dtype", "tensors", "packing", TRN_MALFORMED},
        {"8 rows in the cells of the other width", "tensors", "data_size", TRN_MALFORMED},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        const size_t which = i / 2, per_cell = i % 2 ? 2 : 4;
        const uint8_t other_dtype = per_cell == 4 ? trn_dtype_I16 : trn_dtype_I8;
        const uint8_t other_packing = per_cell == 4 ? trn_packing_I16_PANELS : trn_packing_I8_PANELS;
        spoilt s = to_spoil(per_cell);  // 6 rows of weights are 4 rows of cells in either width
        trn_record_tensor *t = record_of(&s.b, s.w);
        if (which == 1) t->storage = trn_storage_ARENA, t->data_offset = t->data_size = 0;
        if (which == 2) t->dtype = trn_dtype_U8;
        if (which == 3) t->rank = 1, t->data_size = 4 * 6;
        if (which == 4) t->data_size -= 4 * 16;
        if (which == 5 || (which == 14 && per_cell == 2))
            append(&s.b, trn_section_weights, (char[64]){0}, 64), t->data_size += 4 * 16;
        if (which == 6) t->panel_width = 8;
        if (which == 7) t->dims = dims_of(&s.b, DIMS(6, 8)), t->data_size /= 2;
        if (which == 10) t->packing = 4;
        if (which == 11 || which == 14) t->packing = other_packing;
        if (which == 12) t->packing = trn_packing_F32_PANELS, t->data_size = 6 * 16 * (4 / per_cell);
        if (which == 13 || which == 14) t->dtype = other_dtype;
        if (which == 14) t->dims = dims_of(&s.b, DIMS(8, 16));
        if (which == 8) operator_of(&s.b, trn_op_copy, LIST(s.w), LIST(s.y), SCALAR);
        if (which == 9) view(&s.b, s.w, DIMS(6, 16), DIMS(0, 16, 1));
        add_dense(&s, TRN_NONE);
        refused(&s.b, cases[which].status, cases[which].node, cases[which].field, cases[which].name);
    }
}

// int16 that is not packed, wherever it lives.
static void test_loose(void) {
    static const int16_t zeros[6];
    for (uint8_t storage = trn_storage_ARENA; storage <= trn_storage_STATE; storage++) {
        spoilt s = to_spoil(2);
        if (storage == trn_storage_WEIGHTS) constant(&s.b, trn_dtype_I16, 0, DIMS(6), zeros);
        else tensor(&s.b, "loose", trn_dtype_I16, storage, DIMS(6));
        add_dense(&s, TRN_NONE);
        refused(&s.b, TRN_MALFORMED, "tensors", "dtype", "int16 that is not packed");
    }
}

// A matrix of more rows than may be: of int8, than a sum of 32 bits holds.
static void test_rows(void) {
    const int64_t k = TRN_LIMIT_I8_K + 1;
    int16_t *weights = calloc((size_t)(k * 16), sizeof *weights);
    for (size_t per_cell = 4; per_cell >= 2; per_cell -= 2) {
        spoilt s = to_spoil(per_cell);
        s.w = constant_integers(&s.b, per_cell, 64, DIMS(k, 16), weights, s.scales);
        add_dense(&s, TRN_NONE);
        refused(&s.b, TRN_MALFORMED, "tensors", "dims", "131073 rows");
    }
    free(weights);
}

// Ranges beside weights, of which those of float32 have none.
static void test_ranges(void) {
    static const float numbers[6] = {1, 1, 1, 1, 1, 1};
    static const struct {
        const char *name;
        trn_status status;
        int float_weights, two, flat, integer;
    } cases[] = {
        {"a range", TRN_OK, 0, 0, 1, 0},
        {"a range beside float32", TRN_MALFORMED, 1, 0, 1, 0},
        {"a range of rank 2", TRN_MALFORMED, 0, 0, 0, 0},
        {"two ranges", TRN_SHAPE, 0, 1, 1, 0},
        {"an integer range", TRN_MALFORMED, 0, 0, 1, 1},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        spoilt s = to_spoil(i % 2 ? 2 : 4);
        static const float zeros[6 * 16];
        const uint8_t dtype = cases[i / 2].integer ? trn_dtype_I32 : trn_dtype_F32;
        if (cases[i / 2].float_weights) s.w = constant(&s.b, trn_dtype_F32, 64, DIMS(6, 16), zeros);
        const uint32_t range = constant(&s.b, dtype, 0, DIMS(1 + cases[i / 2].two, 1), numbers);
        record_of(&s.b, range)->rank = cases[i / 2].flat ? 1 : 2;
        add_dense(&s, range);
        refused(&s.b, cases[i / 2].status, "operator", "range", cases[i / 2].name);
    }
    builder b = start();
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1, 4, 4)),
             y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 4, 4)),
             w = constant(&b, trn_dtype_F32, 0, DIMS(1, 4), numbers), range;
    range = constant(&b, trn_dtype_F32, 0, DIMS(1), numbers);
    operator_of(&b, trn_op_conv, LIST(x, w, TRN_NONE, range), LIST(y), DIMS(trn_fn_IDENTITY, 0, 0, 1, 1, 1, 0, 0, 1));
    input(&b, x, -1, -1), output(&b, y, -1, -1);
    refused(&b, TRN_MALFORMED, "operator", "range", "a range beside loose weights");
}

// Zeros [1, 16, 64] of int8, of int16 or, with no weights in a cell, of float32.
static uint32_t layer_weights(builder *b, size_t per_cell) {
    static const float zeros[16 * 64];
    static const int16_t weights[16 * 64];
    if (!per_cell) return constant(b, trn_dtype_F32, 64, DIMS(1, 16, 64), zeros);
    return constant_integers(b, per_cell, 64, DIMS(1, 16, 64), weights, zeros);
}

// An LSTM whose matrices have these weights in a cell, or whose ranges are amiss; ranges: dims of them, or 0.
static void refuse_layer(size_t of_w, size_t of_r, const int64_t *ranges, size_t rank, trn_status status,
                         const char *field, const char *name) {
    static const float zeros[64];
    builder b = start();
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1, 1, 16)),
             y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 1, 16)), w = layer_weights(&b, of_w),
             r = layer_weights(&b, of_r), bias = constant(&b, trn_dtype_F32, 0, DIMS(1, 64), zeros), none = TRN_NONE,
             of_ranges = rank ? constant(&b, trn_dtype_F32, 0, ranges, rank, zeros) : none;
    operator_of(
        &b, trn_op_recurrent, LIST(x, w, r, bias, none, none, none, none, none, none, none, of_ranges), LIST(none, y),
        DIMS(trn_cell_LSTM, 16, 0, 0, 0, bits(INFINITY), trn_fn_SIGMOID, 0, 0, trn_fn_TANH, 0, 0, trn_fn_TANH, 0, 0));
    input(&b, x, -1, -1), output(&b, y, -1, -1);
    refused(&b, status, "operator", field, name);
}

static void test_layers(void) {
    for (size_t per_cell = 4; per_cell >= 2; per_cell -= 2) {
        refuse_layer(per_cell, per_cell, SCALAR, TRN_OK, "", "a layer of whole numbers");
        refuse_layer(per_cell, per_cell, DIMS(1, 3), TRN_OK, "", "a layer of whole numbers with ranges");
        refuse_layer(per_cell, 6 - per_cell, SCALAR, TRN_MALFORMED, "recurrent_weights", "int8 and int16");
        refuse_layer(per_cell, 0, SCALAR, TRN_MALFORMED, "recurrent_weights", "whole numbers and float32");
        refuse_layer(0, per_cell, SCALAR, TRN_MALFORMED, "recurrent_weights", "float32 and whole numbers");
        refuse_layer(per_cell, per_cell, DIMS(3), TRN_MALFORMED, "ranges", "ranges of rank 1");
        refuse_layer(per_cell, per_cell, DIMS(1, 2), TRN_SHAPE, "ranges", "two ranges of a layer");
        refuse_layer(per_cell, per_cell, DIMS(2, 3), TRN_SHAPE, "ranges", "ranges of two directions");
    }
    refuse_layer(0, 0, DIMS(1, 3), TRN_MALFORMED, "ranges", "ranges beside float32");
}

// Weights of int8 beyond the bounds, wherever they are in a stack of matrices, and start values that are not theirs.
static void test_bounds(void) {
    static const struct {
        const char *name;
        int8_t first, second;
        int start;
        trn_status status;
    } cases[] = {{"127 and 2", 127, 2, 0, TRN_OK},
                 {"-127 and -2", -127, -2, 0, TRN_OK},
                 {"-128", -128, 127, 0, TRN_MALFORMED},
                 {"a pair of 130", 127, 3, 0, TRN_MALFORMED},
                 {"a pair of -130", -3, -127, 0, TRN_MALFORMED},
                 {"a start value that is not its column's", 1, 1, 1, TRN_MALFORMED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int at = 0; at < 4 * 6 * 16; at += 7 * 16 + 5) {
            int16_t weights[4 * 6 * 16] = {0};
            float scales[4 * 16] = {0};
            spoilt s = to_spoil(4);
            const int even = at / 16 % 2 ? at - 16 : at, column = even % 16, cells = 16 * (2 + 2);
            weights[even] = cases[i].first, weights[even + 16] = cases[i].second;
            s.w = constant_integers(&s.b, 4, 64, DIMS(4, 6, 16), weights, scales);
            record_of(&s.b, s.w)->name = text(&s.b, "the weights");
            char *starts = (char *)s.b.bytes[trn_section_weights] + record_of(&s.b, s.w)->data_offset;
            starts[4 * (at / 96 * cells + 32 + column)] += (char)cases[i].start;
            refused(&s.b, cases[i].status, "the weights", "weights", cases[i].name);
        }
}

// Columns of int16 beyond the bound, wherever they are in a stack of matrices: a number so many times, and another.
static void test_sums(void) {
    static const struct {
        const char *name;
        int16_t first;
        int times;
        int16_t last;
        trn_status status;
    } cases[] = {{"262176", INT16_MAX, 8, 40, TRN_OK},
                 {"262176 with signs", -INT16_MAX, 8, -40, TRN_OK},
                 {"262177", INT16_MAX, 8, 41, TRN_MALFORMED},
                 {"262177 with signs", -INT16_MAX, 8, -41, TRN_MALFORMED},
                 {"262176 with -32768", INT16_MIN, 8, 32, TRN_OK},
                 {"262177 with -32768", INT16_MIN, 8, 33, TRN_MALFORMED},
                 {"-32768 alone", INT16_MIN, 9, 0, TRN_MALFORMED}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int at = 0; at < 3 * 80; at += 7) {  // column at % 80 of matrix at / 80, in panels of 64
            static int16_t weights[3 * 11 * 80];
            static const float scales[3 * 80];
            memset(weights, 0, sizeof weights);
            spoilt s = to_spoil(2);
            int16_t *column = weights + at / 80 * 11 * 80 + at % 80;
            for (int row = 0; row < cases[i].times; row++) column[(at + row) % 11 * 80] = cases[i].first;
            column[(at + 10) % 11 * 80] = cases[i].last;
            s.w = constant_integers(&s.b, 2, 64, DIMS(3, 11, 80), weights, scales);
            record_of(&s.b, s.w)->name = text(&s.b, "the weights");
            refused(&s.b, cases[i].status, "the weights", "weights", cases[i].name);
        }
}

int main(void) {
    test_records();
    test_loose();
    test_rows();
    test_ranges();
    test_layers();
    test_bounds();
    test_sums();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
