// SPDX-License-Identifier: Apache-2.0
// Files with int8 weights that break a rule: each is refused with a status and an error that says where.
#include <math.h>
#include <stdio.h>

#include "build.h"

static unsigned passed, failed;

// A dense operator x [2, 6] -> y [2, 16] with its weights and a range, to be spoilt.
typedef struct spoilt {
    builder b;
    int8_t weights[6 * 16];
    float scales[16];
    uint32_t x, y, w;
} spoilt;

static trn_record_tensor *record_of(builder *b, uint32_t t) {
    return (trn_record_tensor *)(void *)b->bytes[trn_section_tensors] + t;
}

static spoilt to_spoil(void) {
    spoilt s = {.b = start()};
    for (int i = 0; i < 16; i++) s.scales[i] = 1.0f;
    s.x = tensor(&s.b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(2, 6));
    s.y = tensor(&s.b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(2, 16));
    s.w = constant_i8(&s.b, 1, 64, DIMS(6, 16), s.weights, s.scales);
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

static void test_records(void) {
    static const struct {
        const char *name, *node, *field;
        trn_status status;
    } cases[] = {
        {"as it should be", "", "", TRN_OK},
        {"int8 panels that are no constant", "tensors", "packing", TRN_MALFORMED},
        {"int8 panels of uint8", "tensors", "packing", TRN_MALFORMED},
        {"int8 panels of rank 1", "tensors", "packing", TRN_MALFORMED},
        {"a row of cells too few", "tensors", "data_size", TRN_MALFORMED},
        {"a row of cells too many", "tensors", "data_size", TRN_MALFORMED},
        {"panels of 8 columns", "tensors", "panel_width", TRN_MALFORMED},
        {"8 columns", "tensors", "dims", TRN_MALFORMED},
        {"int8 panels that are copied", "copy", "x", TRN_MALFORMED},
        {"a view of int8 panels", "tensors", "root", TRN_MALFORMED},
        {"another packing", "tensors", "packing", TRN_MALFORMED},
        {"one plane where two are promised", "tensors", "data_size", TRN_MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spoilt s = to_spoil();
        trn_record_tensor *t = record_of(&s.b, s.w);
        if (i == 1) t->storage = trn_storage_ARENA, t->data_offset = t->data_size = 0;
        if (i == 2) t->dtype = trn_dtype_U8;
        if (i == 3) t->rank = 1, t->data_size = 4 * 6;
        if (i == 4) t->data_size -= 4 * 16;
        if (i == 5) append(&s.b, trn_section_weights, (char[64]){0}, 64), t->data_size += 4 * 16;
        if (i == 6) t->panel_width = 8;
        if (i == 7) t->dims = dims_of(&s.b, DIMS(6, 8)), t->data_size /= 2;
        if (i == 10) t->packing = 4;
        if (i == 11) t->packing = trn_packing_I8X2_PANELS;
        if (i == 8) operator_of(&s.b, trn_op_copy, LIST(s.w), LIST(s.y), SCALAR);
        if (i == 9) view(&s.b, s.w, DIMS(6, 16), DIMS(0, 16, 1));
        add_dense(&s, TRN_NONE);
        refused(&s.b, cases[i].status, cases[i].node, cases[i].field, cases[i].name);
    }
}

// A matrix of more rows than a sum of 32 bits holds.
static void test_rows(void) {
    spoilt s = to_spoil();
    const int64_t k = TRN_LIMIT_I8_K + 1;
    int8_t *weights = calloc((size_t)(k * 16), 1);
    s.w = constant_i8(&s.b, 1, 64, DIMS(k, 16), weights, s.scales);
    add_dense(&s, TRN_NONE);
    refused(&s.b, TRN_MALFORMED, "tensors", "dims", "131073 rows");
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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spoilt s = to_spoil();
        static const float zeros[6 * 16];
        const uint8_t dtype = cases[i].integer ? trn_dtype_I32 : trn_dtype_F32;
        if (cases[i].float_weights) s.w = constant(&s.b, trn_dtype_F32, 64, DIMS(6, 16), zeros);
        const uint32_t range = constant(&s.b, dtype, 0, DIMS(1 + cases[i].two, 1), numbers);
        record_of(&s.b, range)->rank = cases[i].flat ? 1 : 2;
        add_dense(&s, range);
        refused(&s.b, cases[i].status, "operator", "range", cases[i].name);
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

// An LSTM of which one matrix is float32 (no planes), or whose ranges are amiss; ranges: dims of them, or 0.
static void refuse_layer(size_t w_planes, size_t r_planes, const int64_t *ranges, size_t rank, trn_status status, const char *field,
                         const char *name) {
    static const float zeros[16 * 64];
    static const int8_t weights[2 * 16 * 64];
    builder b = start();
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1, 1, 16)),
             y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 1, 16)),
             w = w_planes ? constant_i8(&b, w_planes, 64, DIMS(1, 16, 64), weights, zeros)
                        : constant(&b, trn_dtype_F32, 64, DIMS(1, 16, 64), zeros),
             r = r_planes ? constant_i8(&b, r_planes, 64, DIMS(1, 16, 64), weights, zeros)
                        : constant(&b, trn_dtype_F32, 64, DIMS(1, 16, 64), zeros),
             bias = constant(&b, trn_dtype_F32, 0, DIMS(1, 64), zeros), none = TRN_NONE,
             of_ranges = rank ? constant(&b, trn_dtype_F32, 0, ranges, rank, zeros) : none;
    operator_of(
        &b, trn_op_recurrent, LIST(x, w, r, bias, none, none, none, none, none, none, none, of_ranges), LIST(none, y),
        DIMS(trn_cell_LSTM, 16, 0, 0, 0, bits(INFINITY), trn_fn_SIGMOID, 0, 0, trn_fn_TANH, 0, 0, trn_fn_TANH, 0, 0));
    input(&b, x, -1, -1), output(&b, y, -1, -1);
    refused(&b, status, "operator", field, name);
}

static void test_layers(void) {
    refuse_layer(1, 1, SCALAR, TRN_OK, "", "a layer of int8");
    refuse_layer(1, 1, DIMS(1, 3), TRN_OK, "", "a layer of int8 with ranges");
    refuse_layer(2, 2, SCALAR, TRN_OK, "", "a layer of int8 in two planes");
    refuse_layer(1, 2, SCALAR, TRN_MALFORMED, "recurrent_weights", "one plane and two");
    refuse_layer(1, 0, SCALAR, TRN_MALFORMED, "recurrent_weights", "int8 and float32");
    refuse_layer(0, 1, SCALAR, TRN_MALFORMED, "recurrent_weights", "float32 and int8");
    refuse_layer(0, 0, DIMS(1, 3), TRN_MALFORMED, "ranges", "ranges beside float32");
    refuse_layer(1, 1, DIMS(3), TRN_MALFORMED, "ranges", "ranges of rank 1");
    refuse_layer(1, 1, DIMS(1, 2), TRN_SHAPE, "ranges", "two ranges of a layer");
    refuse_layer(1, 1, DIMS(2, 3), TRN_SHAPE, "ranges", "ranges of two directions");
}

// Weights beyond the bounds, wherever they are in a stack of matrices or planes, and start values that are not theirs.
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
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++)
        for (int at = 0; at < 4 * 6 * 16; at += 7 * 16 + 5) {
            int8_t weights[4 * 6 * 16] = {0};
            float scales[4 * 16] = {0};
            spoilt s = to_spoil();
            const int even = at / 16 % 2 ? at - 16 : at, column = even % 16, cells = 16 * (2 + 2);
            const int planes = 1 + (int)(i % 2);
            weights[even] = cases[i / 2].first, weights[even + 16] = cases[i / 2].second;
            s.w = constant_i8(&s.b, (size_t)planes, 64, DIMS(4 / planes, 6, 16), weights, scales);
            record_of(&s.b, s.w)->name = text(&s.b, "the weights");
            char *starts = (char *)s.b.bytes[trn_section_weights] + record_of(&s.b, s.w)->data_offset;
            starts[4 * (at / 96 * cells + 32 + column)] += (char)cases[i / 2].start;
            refused(&s.b, cases[i / 2].status, "the weights", "weights", cases[i / 2].name);
        }
}

int main(void) {
    test_records();
    test_rows();
    test_ranges();
    test_layers();
    test_bounds();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
