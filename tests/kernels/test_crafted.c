// SPDX-License-Identifier: Apache-2.0
// Files whose records are each valid and together lie in wait: every one must be refused by name or run in bounds.
//
//     test_crafted [CASE]
//
// test_hostile finds what chance finds; these are what it would take years to find. Build with the sanitizers.
#include <stdio.h>

#include "build.h"
#include "stream.h"

static unsigned passed, failed;

static void expect(int condition, const char *name, const char *what) {
    if (condition) {
        passed++;
        return;
    }
    failed++;
    fprintf(stderr, "failed: %s: %s\n", name, what);
}

// Opens the file, makes a stream and runs it; the first status that is not OK. Ports are as large as the stream says.
static trn_status use(builder *b, const trn_stream_options *options, int64_t steps, void *first_output) {
    trn_model *model = NULL;
    trn_stream *stream = NULL;
    trn_error error;
    void *ports[2][8] = {{0}};
    finish(b);
    trn_status status = trn_model_open(b->file, b->file_size, TRN_OPEN_VERIFY, &model, &error);
    if (status == TRN_OK) status = trn_stream_new(model, options, &stream, &error);
    trn_model_info info = {0};
    if (model) trn_model_info_get(model, &info);
    size_t first_size = 0;
    for (uint32_t i = 0; status == TRN_OK && i < info.input_count + info.output_count; i++) {
        int out = i >= info.input_count;
        uint32_t rank, k = out ? i - info.input_count : i;
        int64_t dims[TRN_MAX_RANK];
        trn_port_info port;
        (out ? trn_model_output : trn_model_input)(model, k, &port);
        status = (out ? trn_stream_output_shape : trn_stream_input_shape)(stream, k, steps, &rank, dims);
        size_t bytes = trn_dtype_size((uint8_t)port.dtype);
        for (uint32_t axis = 0; axis < rank && status == TRN_OK; axis++) bytes *= (size_t)dims[axis];
        if (out && k == 0) first_size = bytes;
        ports[out][k] = calloc(1, bytes + 1);
    }
    if (status == TRN_OK) status = trn_stream_run(stream, (const void *const *)ports[0], ports[1], steps);
    if (status == TRN_OK && first_output) memcpy(first_output, ports[1][0], first_size);
    for (int i = 0; i < 16; i++) free(ports[i / 8][i % 8]);
    trn_stream_free(stream);
    trn_model_close(model);
    discard(b);
    return status;
}

// A stream of a model that nothing is wrong with.
static trn_stream *stream_of(builder *b, trn_model **model) {
    trn_stream *stream = NULL;
    finish(b);
    expect(trn_model_open(b->file, b->file_size, TRN_OPEN_VERIFY, model, NULL) == TRN_OK, "model", "status");
    expect(trn_stream_new(*model, NULL, &stream, NULL) == TRN_OK, "stream", "status");
    return stream;
}

static const trn_stream_options whole = {.whole = 1};

// y[...] = x[...], float32.
static void add_copy(builder *b, uint32_t x, uint32_t y) { operator_of(b, trn_op_copy, LIST(x), LIST(y), SCALAR); }

static void one_symbol_for_time_and_batch(const char *name) {
    builder b = start();
    int64_t time = symbol(&b, "time", trn_role_TIME);
    b.header.batch_symbol = b.header.time_symbol;
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(time, 2)),
             y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(time, 2));
    add_copy(&b, x, y);
    input(&b, x, 0, 0), output(&b, y, 0, 0);
    // A stream of 1000 rows would plan a step of 1000, and be handed one.
    expect(use(&b, &(trn_stream_options){.batch_size = 1000}, 1, NULL) == TRN_MALFORMED, name, "status");
}

static void output_that_shrinks_with_time(const char *name) {
    builder b = start();
    int64_t time = symbol(&b, "time", trn_role_TIME);
    trn_record_term terms[] = {{trn_term_CONSTANT, 0, 0},
                               {trn_term_CONSTANT, 0, 2000},
                               {trn_term_SYMBOL, 0, 0},
                               {trn_term_SUB, 0, 0},
                               {trn_term_MAX, 0, 0}};
    int64_t left = expression(&b, terms, 5);
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(time)),
             z = tensor(&b, "z", trn_dtype_F32, trn_storage_ARENA, DIMS(left)),
             y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(left));
    add_copy(&b, z, y);
    input(&b, x, 0, -1), output(&b, y, -1, -1);
    // Of 1990 steps the output has 10 elements; after each single step it would have 1999.
    expect(use(&b, &(trn_stream_options){.block_steps = 1}, 1990, NULL) == TRN_MALFORMED, name, "status");
}

static void states_whose_sizes_wrap(const char *name) {
    builder b = start();
    const int64_t most = ((int64_t)1 << 58) - 1;  // floats in the largest tensor
    for (int i = 0; i < 17; i++) {
        int64_t n = i < 15 ? most : i == 15 ? most - 16 : 4;  // 64 bytes short of 2^64, then more
        state(&b, tensor(&b, "s", trn_dtype_F32, trn_storage_STATE, DIMS(n)), TRN_NONE, -1, TRN_NONE);
    }
    expect(use(&b, NULL, 1, NULL) == TRN_OVERFLOW, name, "status");
}

static void modulo_of_the_smallest_number(const char *name) {
    builder b = start();
    trn_record_term terms[] = {
        {trn_term_CONSTANT, 0, INT64_MIN}, {trn_term_CONSTANT, 0, 3}, {trn_term_MOD, 0, 0}};  // 1
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1)),
             y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(expression(&b, terms, 3)));
    add_copy(&b, x, y);
    input(&b, x, -1, -1), output(&b, y, -1, -1);
    expect(use(&b, NULL, 1, NULL) == TRN_OK, name, "status");
}

static void operands_that_are_shared(const char *name) {
    // Two records name the same operands: so could a hundred thousand, each of them 65535 operands long.
    builder b = start();
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1)),
             y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1));
    add_copy(&b, x, y);
    ADD(&b, operators, trn_op_copy, 0, 0, 0, 1, 1, 0);
    input(&b, x, -1, -1), output(&b, y, -1, -1);
    expect(use(&b, NULL, 1, NULL) == TRN_MALFORMED, name, "operands");
    b = start();
    x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1, 1));
    y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 1));
    operator_of(&b, trn_op_normalize, LIST(x), LIST(y), DIMS(0, 0));
    ADD(&b, operands, x), ADD(&b, operands, y);
    ADD(&b, operators, trn_op_normalize, 0, 2, 0, 1, 1, 2);
    input(&b, x, -1, -1), output(&b, y, -1, -1);
    expect(use(&b, NULL, 1, NULL) == TRN_MALFORMED, name, "attributes");
}

static void ties_of_no_state(const char *name) {
    builder b = start();
    ADD(&b, ties, 1 << 20, 1 << 20);
    expect(use(&b, NULL, 1, NULL) == TRN_MALFORMED, name, "status");
}

// A hundred inputs with one long name: a million of them would be gigabytes for whoever lists them.
static void names_that_are_shared(const char *name) {
    builder b = start();
    char shared[1000];
    memset(shared, 'n', sizeof shared - 1);
    shared[sizeof shared - 1] = 0;
    uint32_t offset = text(&b, shared);
    for (int i = 0; i < 100; i++) {
        uint32_t x = ADD(&b, tensors, .name = offset, .storage = trn_storage_INPUT, .root = TRN_NONE, .view = TRN_NONE);
        input(&b, x, -1, -1);
    }
    finish(&b);
    trn_model *model = NULL;
    expect(trn_model_open(b.file, b.file_size, 0, &model, NULL) == TRN_MALFORMED, name, "status");
    trn_model_close(model);
    discard(&b);
}

// An LSTM of 16 units whose peepholes are a view of 16 numbers.
static void peepholes_that_are_broadcast(const char *name) {
    float zeros[16 * 64] = {0}, y[16];
    builder b = start();
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1, 1, 1)),
             y_h = tensor(&b, "y_h", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 1, 16)),
             w = constant(&b, trn_dtype_F32, 64, DIMS(1, 1, 64), zeros),
             r = constant(&b, trn_dtype_F32, 64, DIMS(1, 16, 64), zeros),
             bias = constant(&b, trn_dtype_F32, 0, DIMS(1, 64), zeros),
             row = tensor(&b, "row", trn_dtype_F32, trn_storage_INPUT, DIMS(16)),
             peepholes = view(&b, row, DIMS(1, 3, 16), DIMS(0, 0, 0, 1)), none = TRN_NONE;
    operator_of(
        &b, trn_op_recurrent, LIST(x, w, r, bias, none, none, none, peepholes), LIST(none, y_h),
        DIMS(trn_cell_LSTM, 16, 0, 0, 0, bits(1e9), trn_fn_SIGMOID, 0, 0, trn_fn_TANH, 0, 0, trn_fn_TANH, 0, 0));
    input(&b, x, -1, -1), input(&b, row, -1, -1), output(&b, y_h, -1, -1);
    expect(use(&b, NULL, 1, y) == TRN_OK && y[15] == 0, name, "status");
}

// Loose weights are those of channels that are groups of their own: a row of them a tap.
static void convolution_of_loose_weights(const char *name) {
    float zeros[64] = {0};
    for (int fits = 0; fits < 2; fits++) {
        builder b = start();
        uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1, 4, 4)),
                 y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 4, 3)),
                 w = constant(&b, trn_dtype_F32, 0, DIMS(fits ? 2 : 3, 4), zeros);
        operator_of(&b, trn_op_conv, LIST(x, w), LIST(y), DIMS(trn_fn_IDENTITY, 0, 0, 2, 1, 1, 0, 0, 1));
        input(&b, x, -1, -1), output(&b, y, -1, -1);
        expect(use(&b, NULL, 1, NULL) == (fits ? TRN_OK : TRN_SHAPE), name, fits ? "fits" : "a tap too many");
    }
    builder b = start();
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1, 4, 4)),
             y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 4, 4)),
             w = constant(&b, trn_dtype_F32, 0, DIMS(1, 1, 4), zeros);
    operator_of(&b, trn_op_conv, LIST(x, w), LIST(y), DIMS(trn_fn_IDENTITY, 0, 0, 1, 1, 1, 0, 0, 1));
    input(&b, x, -1, -1), output(&b, y, -1, -1);
    expect(use(&b, NULL, 1, NULL) == TRN_MALFORMED, name, "rank 3, not packed");
}

// A window of 2^62 taps over nothing: the work must not look like none, and no taps of no channels are walked.
static void windows_without_end(const char *name) {
    const int64_t k = (int64_t)1 << 20;
    const int16_t no_weights[1] = {0};
    float zeros[64] = {0};
    builder b;
    uint32_t x, y;
    for (int int8 = 0; int8 < 2; int8++) {
        b = start();
        x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1, 0, 1, 1, 1));
        y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 1, 1, 1, 1));
        uint32_t w = int8 ? constant_integers(&b, 4, 64, DIMS(1, 0, 16), no_weights, zeros)
                          : constant(&b, trn_dtype_F32, 64, DIMS(1, 0, 16), zeros);
        operator_of(&b, trn_op_conv, LIST(x, w), LIST(y),
                    DIMS(trn_fn_IDENTITY, 0, 0, k, 1, 1, 0, 0, 1, k, 1, 1, 0, 0, 1, k, 1, 1, 0, 0, 1));
        input(&b, x, -1, -1), output(&b, y, -1, -1);
        expect(use(&b, NULL, 1, NULL) == TRN_OK, name, int8 ? "an int8 convolution of no channels"
                                                            : "a convolution of no channels");
    }
    b = start();
    x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1, 16, 1, 1, 1));
    y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 16, 1, 1, 1));
    operator_of(&b, trn_op_pool, LIST(x), LIST(y),
                DIMS(trn_pooling_MAX, 0, k, 1, 1, 0, 0, 1, k, 1, 1, 0, 0, 1, k, 1, 1, 0, 0, 1));
    input(&b, x, -1, -1), output(&b, y, -1, -1);
    finish(&b);
    trn_model *model = NULL;
    trn_stream *stream = NULL;
    expect(trn_model_open(b.file, b.file_size, 0, &model, NULL) == TRN_OK &&
               trn_stream_new(model, NULL, &stream, NULL) == TRN_OK && trn_stream_work(stream) > (uint64_t)1 << 60,
           name, "work of a pool");
    trn_stream_free(stream);
    trn_model_close(model);
    discard(&b);
}

// x [3, 2] turned round: its rows have a negative stride.
static void rows_that_run_backwards(const char *name) {
    float identity[2 * 16] = {1, [17] = 1}, x_values[6] = {1, 2, 3, 4, 5, 6}, zeros[2 * 16] = {0}, y[6];
    builder b = start();
    uint32_t x = constant(&b, trn_dtype_F32, 0, DIMS(3, 2), x_values), turned = view(&b, x, DIMS(3, 2), DIMS(4, -2, 1)),
             w = constant(&b, trn_dtype_F32, 64, DIMS(2, 16), identity),
             out = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(3, 2)),
             out_turned = view(&b, out, DIMS(3, 2), DIMS(4, -2, 1));
    operator_of(&b, trn_op_dense, LIST(turned, w), LIST(out_turned), DIMS(trn_fn_IDENTITY, 0, 0));
    output(&b, out, -1, -1);
    expect(use(&b, NULL, 1, y) == TRN_OK && !memcmp(y, x_values, sizeof y), name, "dense");
    b = start();
    x = constant(&b, trn_dtype_F32, 0, DIMS(3, 2), x_values), turned = view(&b, x, DIMS(3, 1, 2), DIMS(4, -2, -2, 1));
    w = constant(&b, trn_dtype_F32, 64, DIMS(1, 2, 16), identity);
    uint32_t r = constant(&b, trn_dtype_F32, 64, DIMS(1, 2, 16), zeros),
             bias = constant(&b, trn_dtype_F32, 0, DIMS(1, 16), zeros);
    out = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(3, 1, 1, 2));
    out_turned = view(&b, out, DIMS(3, 1, 1, 2), DIMS(4, -2, 2, 2, 1));
    operator_of(&b, trn_op_recurrent, LIST(turned, w, r, bias), LIST(out_turned),
                DIMS(trn_cell_RNN, 2, 0, 0, 0, bits(1e9), trn_fn_IDENTITY, 0, 0));
    output(&b, out, -1, -1);
    expect(use(&b, &whole, 1, y) == TRN_OK && !memcmp(y, x_values, sizeof y), name, "recurrent");
}

static int64_t extreme_of_nothing(uint8_t dtype, int64_t kind) {
    builder b = start();
    uint32_t x = tensor(&b, "x", dtype, trn_storage_INPUT, DIMS(0)),
             y = tensor(&b, "y", dtype, trn_storage_OUTPUT, SCALAR);
    int64_t word = 0;
    int32_t half;
    operator_of(&b, trn_op_reduce, LIST(x), LIST(y), DIMS(kind, 1));
    input(&b, x, -1, -1), output(&b, y, -1, -1);
    trn_status status = use(&b, NULL, 1, &word);
    memcpy(&half, &word, sizeof half);
    if (status != TRN_OK) return 42;
    return dtype == trn_dtype_I64 ? word : dtype == trn_dtype_I32 ? half : dtype == trn_dtype_I8 ? (int8_t)half : half;
}

static void extremes_of_no_integers(const char *name) {
    static const struct {
        uint8_t dtype;
        int64_t low, high;
    } rows[] = {{trn_dtype_I64, INT64_MIN, INT64_MAX},
                {trn_dtype_I32, INT32_MIN, INT32_MAX},
                {trn_dtype_I8, -128, 127},
                {trn_dtype_U8, 0, 255},
                {trn_dtype_BOOL, 0, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expect(extreme_of_nothing(rows[i].dtype, trn_reduction_MAX) == rows[i].low, name,
               trn_dtype_name(rows[i].dtype));
        expect(extreme_of_nothing(rows[i].dtype, trn_reduction_MIN) == rows[i].high, name,
               trn_dtype_name(rows[i].dtype));
    }
}

static void output_of_a_state_with_a_time_axis(const char *name) {
    builder b = start();
    int64_t time = symbol(&b, "time", trn_role_TIME);
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(time)),
             y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(time)),
             s = tensor(&b, "s", trn_dtype_F32, trn_storage_STATE, DIMS(1));
    add_copy(&b, x, y);
    input(&b, x, 0, -1);
    ADD(&b, outputs, y, 0, 0, -1, 0);
    state(&b, s, TRN_NONE, -1, TRN_NONE);
    expect(use(&b, NULL, 20, NULL) == TRN_MALFORMED, name, "status");
}

// An operator's result may overlap what it reads: wrong numbers, never a wrong address.
static void results_that_overlap(const char *name) {
    builder b = start();
    float w[16 * 16] = {0};
    uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(64)),
             z = tensor(&b, "z", trn_dtype_F32, trn_storage_ARENA, DIMS(64)),
             y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(64)), low = view(&b, z, DIMS(60), DIMS(0, 1)),
             high = view(&b, z, DIMS(60), DIMS(3, 1)), back = view(&b, z, DIMS(60), DIMS(63, -1)),
             one = view(&b, z, DIMS(60), DIMS(5, 0)), square = view(&b, z, DIMS(3, 16), DIMS(0, 16, 1)),
             shifted = view(&b, z, DIMS(3, 16), DIMS(1, 5, 1)), image = view(&b, z, DIMS(1, 1, 60), DIMS(0, 0, 0, 1)),
             blurred = view(&b, z, DIMS(1, 1, 60), DIMS(1, 0, 0, 1)),
             weights = constant(&b, trn_dtype_F32, 64, DIMS(16, 16), w),
             taps = constant(&b, trn_dtype_F32, 64, DIMS(1, 3, 16), w);
    add_copy(&b, x, z);
    add_copy(&b, low, high), add_copy(&b, high, low), add_copy(&b, back, low), add_copy(&b, low, one);
    operator_of(&b, trn_op_elementwise, LIST(low, back), LIST(high), DIMS(trn_fn_ADD, 0, 1, 0, 0, 0));
    operator_of(&b, trn_op_normalize, LIST(square), LIST(shifted), DIMS(trn_normalization_MEAN_VARIANCE, bits(1)));
    operator_of(&b, trn_op_normalize, LIST(shifted), LIST(square), DIMS(trn_normalization_LOG_SOFTMAX, 0));
    operator_of(&b, trn_op_dense, LIST(shifted, weights), LIST(square), DIMS(trn_fn_TANH, 0, 0));
    operator_of(&b, trn_op_conv, LIST(image, taps), LIST(blurred), DIMS(trn_fn_IDENTITY, 0, 0, 3, 1, 1, 1, 1, 1));
    operator_of(&b, trn_op_pool, LIST(image), LIST(blurred), DIMS(trn_pooling_AVERAGE, 1, 3, 1, 1, 1, 1, 1));
    add_copy(&b, z, y);
    input(&b, x, -1, -1), output(&b, y, -1, -1);
    expect(use(&b, NULL, 1, NULL) == TRN_OK, name, "status");
}

// A state in place of a tie's source would be written by an operator that fails between two rows.
static void writer_that_fails_half_way(const char *name) {
    for (int as_output = 0; as_output < 2; as_output++) {
        builder b = start();
        const float table[6] = {1, 2, 3, 4, 5, 6};
        const int storage = as_output ? trn_storage_OUTPUT : trn_storage_ARENA;
        uint32_t ids = tensor(&b, "ids", trn_dtype_I64, trn_storage_INPUT, DIMS(2)),
                 y = tensor(&b, "y", trn_dtype_F32, storage, DIMS(2, 2)),
                 s = tensor(&b, "s", trn_dtype_F32, trn_storage_STATE, DIMS(2, 2)),
                 rows = constant(&b, trn_dtype_F32, 0, DIMS(3, 2), table);
        operator_of(&b, trn_op_gather, LIST(rows, ids), LIST(y), DIMS(0));
        input(&b, ids, -1, -1);
        if (as_output) output(&b, y, -1, -1);
        state(&b, s, TRN_NONE, -1, y);
        trn_model *model = NULL;
        trn_stream *stream = stream_of(&b, &model);
        float out[4], values[4];
        const int64_t good[2] = {0, 1}, bad[2] = {2, 99};
        expect(trn_stream_step(stream, (const void *[]){good}, (void *[]){out}) == TRN_OK, name, "status");
        expect(trn_stream_step(stream, (const void *[]){bad}, (void *[]){out}) == TRN_INDEX_RANGE, name, "bad index");
        expect(trn_stream_state_get(stream, 0, values, 4) == TRN_OK, name, "state");
        expect(!memcmp(values, table, sizeof values), name, "a call that fails changes no state");
        trn_stream_free(stream), trn_model_close(model), discard(&b);
    }
}

// s = x * x, then s[0] = 2 x[0], computed in the other order: ties are carried out in theirs.
static void ties_that_overlap(const char *name) {
    for (int as_output = 0; as_output < 2; as_output++) {
        builder b = start();
        const int storage = as_output ? trn_storage_OUTPUT : trn_storage_ARENA;
        uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(2)), x0 = view(&b, x, DIMS(1), DIMS(0, 1)),
                 squares = tensor(&b, "squares", trn_dtype_F32, storage, DIMS(2)),
                 twice = tensor(&b, "twice", trn_dtype_F32, storage, DIMS(1)),
                 s = tensor(&b, "s", trn_dtype_F32, trn_storage_STATE, DIMS(2)), s0 = view(&b, s, DIMS(1), DIMS(0, 1)),
                 y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1));
        operator_of(&b, trn_op_elementwise, LIST(x0, x0), LIST(twice), DIMS(trn_fn_ADD, 0, 1, 0, 0, 0));
        operator_of(&b, trn_op_elementwise, LIST(x, x), LIST(squares), DIMS(trn_fn_MUL, 0, 1, 0, 0, 0));
        operator_of(&b, trn_op_elementwise, LIST(twice, x0), LIST(y), DIMS(trn_fn_ADD, 0, 1, 0, 0, 0));
        input(&b, x, -1, -1), output(&b, y, -1, -1);
        if (as_output) output(&b, squares, -1, -1), output(&b, twice, -1, -1);
        ADD(&b, ties, s, squares);
        ADD(&b, ties, s0, twice);
        ADD(&b, states, s, TRN_NONE, -1, 0, 2, TRN_NONE);
        trn_model *model = NULL;
        trn_stream *stream = stream_of(&b, &model);
        float of_y[1], of_squares[2] = {100, 400}, of_twice[1] = {20}, values[2];
        const float in[2] = {10, 20};
        void *outputs[] = {of_y, of_squares, of_twice};
        expect(trn_stream_step(stream, (const void *[]){in}, outputs) == TRN_OK, name, "status");
        expect(of_y[0] == 30 && of_squares[0] == 100 && of_squares[1] == 400 && of_twice[0] == 20, name, "outputs");
        expect(trn_stream_state_get(stream, 0, values, 2) == TRN_OK, name, "state");
        expect(values[0] == 20 && values[1] == 400, name, "the last tie counts");
        trn_stream_free(stream), trn_model_close(model), discard(&b);
    }
}

// What a state of state_in_parts holds, and what its stream shows of it, behind a step from x with the state from before.
static void expect_state(trn_stream *stream, const float *shown, const float *x, const float *before, const char *name) {
    float values[8];
    expect(trn_stream_state_get(stream, 0, values, 8) == TRN_OK, name, "state");
    for (int i = 0; i < 4; i++)
        expect(values[2 * i] == x[i] && values[2 * i + 1] == x[i] + before[2 * i], name, "h and c by turns");
    expect(!shown || !memcmp(values, shown, sizeof values), name, "the output shows the state");
}

// h' = x and c' = x + h, kept side by side. `late`: h' is written first, while c' still needs h, so that the old state has to
// stay. The memory of the state is the plan's affair: values, saved bytes and outputs have the order of the axes.
static void state_in_parts(const char *name) {
    for (int late = 0; late < 2; late++)
        for (int as_output = 0; as_output < 2; as_output++) {
            builder b = start();
            const float first[8] = {1, -1, 2, -2, 3, -3, 4, -4}, x[3][4] = {{5, 6, 7, 8}, {50, 60, 70, 80}, {9, 8, 7, 6}};
            const int storage = as_output ? trn_storage_OUTPUT : trn_storage_ARENA;
            uint32_t in = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(4)),
                     s = tensor(&b, "s", trn_dtype_F32, trn_storage_STATE, DIMS(4, 2)),
                     next = tensor(&b, "next", trn_dtype_F32, storage, DIMS(4, 2)),
                     y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(4)),
                     h = view(&b, s, DIMS(4), DIMS(0, 2)), next_h = view(&b, next, DIMS(4), DIMS(0, 2)),
                     next_c = view(&b, next, DIMS(4), DIMS(1, 2)),
                     nothing = tensor(&b, "nothing", trn_dtype_F32, trn_storage_ARENA, DIMS(0)),
                     initial = constant(&b, trn_dtype_F32, 0, DIMS(4, 2), first);
            if (late) add_copy(&b, in, next_h);
            operator_of(&b, trn_op_elementwise, LIST(in, h), LIST(next_c), DIMS(trn_fn_ADD, 0, 1, 0, 0, 0));
            if (!late) add_copy(&b, in, next_h);
            add_copy(&b, next_c, y);
            input(&b, in, -1, -1), output(&b, y, -1, -1);
            if (as_output) output(&b, next, -1, -1);
            ADD(&b, ties, view(&b, s, DIMS(0), DIMS(0, 1)), nothing);  // says nothing of the state
            ADD(&b, ties, s, next);
            ADD(&b, states, s, initial, -1, 0, 2, TRN_NONE);
            trn_model *model = NULL;
            trn_stream *stream = stream_of(&b, &model), *other = NULL;
            expect(stream->states[0].parts == (late ? 1 : 2), name, "in parts, unless the old state has to stay");
            float out[4], shown[8], values[8];
            char saved[256];
            void *outputs[] = {out, shown};
            const float *const of_state = as_output ? shown : NULL;
            expect(trn_stream_step(stream, (const void *[]){x[0]}, outputs) == TRN_OK, name, "status");
            expect_state(stream, of_state, x[0], first, name);
            const size_t size = trn_stream_saved_size(stream), odd = 1;
            expect(trn_stream_save(stream, saved + odd, size) == TRN_OK, name, "save");
            expect(trn_stream_state_get(stream, 0, values, 8) == TRN_OK, name, "state");
            expect(trn_stream_step(stream, (const void *[]){x[1]}, outputs) == TRN_OK, name, "status");
            expect_state(stream, of_state, x[1], values, name);
            expect(!memcmp(saved + odd + size - 4 - sizeof values, values, sizeof values), name, "the saved order");
            expect(trn_stream_new(model, NULL, &other, NULL) == TRN_OK, name, "another stream");
            expect(trn_stream_restore(other, saved + odd, size) == TRN_OK, name, "restore");
            expect(trn_stream_step(other, (const void *[]){x[2]}, outputs) == TRN_OK, name, "status");
            expect_state(other, of_state, x[2], values, name);
            expect(trn_stream_state_set(other, 0, first, 8) == TRN_OK, name, "set");
            expect(trn_stream_step(other, (const void *[]){x[2]}, outputs) == TRN_OK, name, "status");
            expect_state(other, of_state, x[2], first, name);
            expect(trn_stream_reset_rows(stream, (const int64_t[]){0}, 1) == TRN_OK, name, "reset");
            expect(trn_stream_state_get(stream, 0, values, 8) == TRN_OK, name, "state");
            expect(!memcmp(values, first, sizeof values), name, "reset to the initial values");
            trn_stream_free(stream), trn_stream_free(other), trn_model_close(model), discard(&b);
        }
}

// Rows have a stride of 1 in the file, wherever the engine keeps them.
static void rows_of_a_state_in_parts(const char *name) {
    for (int strided = 0; strided < 2; strided++) {
        builder b = start();
        const float w[2 * 16] = {1, 0};
        uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(2)),
                 s = tensor(&b, "s", trn_dtype_F32, trn_storage_STATE, DIMS(2, 2)),
                 next = tensor(&b, "next", trn_dtype_F32, trn_storage_ARENA, DIMS(2, 2)),
                 y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 16)),
                 row = view(&b, s, DIMS(1, 2), DIMS(0, 0, strided ? 2 : 1)),
                 weights = constant(&b, trn_dtype_F32, 64, DIMS(2, 16), w);
        operator_of(&b, trn_op_dense, LIST(row, weights), LIST(y), DIMS(trn_fn_IDENTITY, 0, 0));
        add_copy(&b, x, view(&b, next, DIMS(2), DIMS(0, 2))), add_copy(&b, x, view(&b, next, DIMS(2), DIMS(1, 2)));
        input(&b, x, -1, -1), output(&b, y, -1, -1);
        state(&b, s, TRN_NONE, -1, next);
        finish(&b);
        trn_model *model = NULL;
        trn_stream *stream = NULL;
        expect(trn_model_open(b.file, b.file_size, TRN_OPEN_VERIFY, &model, NULL) == TRN_OK, name, "model");
        expect(trn_stream_new(model, NULL, &stream, NULL) == (strided ? TRN_SHAPE : TRN_OK), name, "status");
        trn_stream_free(stream), trn_model_close(model), discard(&b);
    }
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(const char *name);
    } cases[] = {
#define CASE(name) {#name, name}
        CASE(one_symbol_for_time_and_batch),
        CASE(output_that_shrinks_with_time),
        CASE(states_whose_sizes_wrap),
        CASE(modulo_of_the_smallest_number),
        CASE(operands_that_are_shared),
        CASE(ties_of_no_state),
        CASE(names_that_are_shared),
        CASE(peepholes_that_are_broadcast),
        CASE(convolution_of_loose_weights),
        CASE(windows_without_end),
        CASE(rows_that_run_backwards),
        CASE(extremes_of_no_integers),
        CASE(output_of_a_state_with_a_time_axis),
        CASE(results_that_overlap),
        CASE(writer_that_fails_half_way),
        CASE(ties_that_overlap),
        CASE(state_in_parts),
        CASE(rows_of_a_state_in_parts),
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (argc < 2 || !strcmp(argv[1], cases[i].name)) cases[i].run(cases[i].name);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
