// SPDX-License-Identifier: Apache-2.0
// The engine with weights of int8 and int16: beside loops over the numbers that the packing stands for, and the same
// bytes whole, in blocks, in steps and row by row.
#include <math.h>
#include <stdio.h>

#include "build.h"

static unsigned passed, failed;

static void expect_at(int condition, const char *what, const char *name, int line) {
    if (condition) {
        passed++;
        return;
    }
    if (failed++ < 20) fprintf(stderr, "failed, line %d: %s: %s\n", line, name, what);
}
#define EXPECT(condition, name) expect_at(condition, #condition, name, __LINE__)

static uint64_t seed = 1;
static uint64_t number(void) { return next_number(&seed); }
static float uniform(float low, float high) { return low + (high - low) * (float)(number() % 65536) / 65536.0f; }

/* ---- What a product is --------------------------------------------------------------------------------------------- */

// Matrices of int8 (per_cell 4) or int16 (2): weights [count, k, columns] and scales [count, columns].
typedef struct matrix {
    int64_t count, per_cell, k, columns;
    int16_t *weights;
    float *scales;
} matrix;

// Columns that `used` says are absent are 0. used: [columns], or NULL for all.
static matrix random_matrix(int64_t count, int64_t per_cell, int64_t k, int64_t columns, const char *used) {
    matrix m = {.count = count, .per_cell = per_cell, .k = k, .columns = columns};
    m.weights = calloc((size_t)(count * k * columns) + 1, sizeof *m.weights);
    m.scales = calloc((size_t)(count * columns) + 1, sizeof(float));
    for (int64_t i = 0; i < count * k; i++)
        for (int64_t j = 0; j < columns; j++) {
            int16_t *w = &m.weights[i * columns + j];
            if (!used || used[j])
                *w = i8_below((size_t)columns, (size_t)k, (size_t)per_cell, (size_t)(i % k), w, number());
        }
    const float most = (float)i8_most((size_t)k, (size_t)per_cell);
    for (int64_t i = 0; i < count * columns; i++) m.scales[i] = uniform(0.2f, 1.0f) / most / sqrtf((float)k + 1.0f);
    return m;
}
static void free_matrix(matrix *m) { free(m->weights), free(m->scales); }

static uint32_t constant_of(builder *b, const matrix *m, uint32_t panel) {
    return constant_integers(b, (size_t)m->per_cell, panel, DIMS(m->count, m->k, m->columns), m->weights, m->scales);
}

// The largest code beside weights of that width.
static float largest_code(int64_t per_cell) { return per_cell == 2 ? 8191.0f : 127.0f; }

enum { MOST_K = TRN_LIMIT_I8_K };
// Two rows of codes, and their scales: 0 where there is none.
typedef struct coded {
    int codes[2][MOST_K];
    float scales[2];
} coded;

// Of a row that is multiplied by m. bounded: what a layer makes itself, which never takes a second row of codes.
static void encode(coded *c, const matrix *m, const float *x, const float *range, int bounded) {
    const float most = largest_code(m->per_cell);
    const int64_t n = m->k;
    float largest = 0.0f;
    int64_t sum = 0, rest = 0;
    for (int64_t i = 0; i < n; i++)
        if (fabsf(x[i]) > largest) largest = fabsf(x[i]);
    if (range) largest = *range;
    const float factor = most / largest;
    c->scales[0] = c->scales[1] = 0.0f;
    if (largest < 0x1p-100f) return;
    for (int64_t i = 0; i < n; i++) {
        const float scaled = fminf(fmaxf(x[i] * factor, -most), most);
        sum += abs(c->codes[0][i] = (int)rintf(scaled));
        rest += abs(c->codes[1][i] = (int)rintf((scaled - (float)c->codes[0][i]) * 254.0f));
    }
    c->scales[0] = largest * (1.0f / most);
    const int second = m->per_cell == 4 && !bounded && !range && sum < 12 * n && rest > 0;
    if (second) c->scales[1] = c->scales[0] * (1.0f / 254.0f);
}

// init and what coded x adds to column j of matrix `which`.
static float product(float init, const matrix *m, int64_t which, int64_t j, const coded *x) {
    for (int row = 0; row < 2 && x->scales[row] != 0.0f; row++) {
        int64_t sum = 0;
        for (int64_t i = 0; i < m->k; i++)
            sum += (int64_t)x->codes[row][i] * m->weights[(which * m->k + i) * m->columns + j];
        const float both = x->scales[row] * m->scales[which * m->columns + j], added = (float)sum * both;
        init = init + added;
    }
    return init;
}

// Numbers of which, in some rows of n, few are large: those take two rows of codes.
static void fill_rows(float *x, int64_t rows, int64_t n) {
    for (int64_t i = 0; i < rows; i++) {
        const float small = number() % 2 ? 0.04f : 1.0f;
        for (int64_t j = 0; j < n; j++) x[i * n + j] = uniform(-1.0f, 1.0f) * (j ? small : 1.0f);
    }
}

/* ---- Running ------------------------------------------------------------------------------------------------------- */

// Runs x [steps, batch, ...] into y; block -1: as a whole, -2: step by step. x_step, y_step: floats of a step.
static void run(const trn_model *model, int64_t batch, int64_t steps, int64_t block, const float *x, size_t x_step,
                float *y, size_t y_step, const char *name) {
    int64_t symbols[2] = {steps, batch};
    trn_stream_options options = {.batch_size = batch, .block_steps = block > 0 ? block : 0, .symbols = symbols};
    trn_stream *stream = NULL;
    options.whole = block == -1;
    EXPECT(trn_stream_new(model, &options, &stream, NULL) == TRN_OK, name);
    if (!stream) return;
    if (block != -2) {
        EXPECT(trn_stream_run(stream, (const void *[]){x}, (void *[]){y}, steps) == TRN_OK, name);
    } else {
        for (int64_t t = 0; t < steps; t++, x += x_step, y += y_step)
            EXPECT(trn_stream_step(stream, (const void *[]){x}, (void *[]){y}) == TRN_OK, name);
    }
    trn_stream_free(stream);
}

static trn_model *open_of(builder *b, const char *name) {
    trn_model *model = NULL;
    trn_error error = {0};
    finish(b);
    trn_status status = trn_model_open(b->file, b->file_size, TRN_OPEN_VERIFY, &model, &error);
    if (status != TRN_OK) fprintf(stderr, "%s: %s: %s\n", name, error.field, error.message);
    EXPECT(status == TRN_OK, name);
    return model;
}

/* ---- recurrent ----------------------------------------------------------------------------------------------------- */

enum { RNN, LSTM, GRU_AFTER, GRU_BEFORE, MOST_STEPS = 5, MOST_ROWS = 40 };
typedef struct layer {
    const char *name;
    int cell;
    int64_t per_cell, inputs, hidden, directions;
    float clip;
    int ranged;
    int64_t gates, padded, columns;
    matrix w, r, hidden_w, hidden_r;
    float *bias, *hidden_bias, *ranges;  // [directions, columns], [directions, padded], [directions, 3]
} layer;

static int64_t column_of(const layer *l, int64_t gate, int64_t unit) {
    return unit / 16 * 16 * l->gates + gate * 16 + unit % 16;
}

static void fill(layer *l) {
    char used[4 * 64 + 16] = {0}, units[64 + 16] = {0};
    l->gates = (const int64_t[]){1, 4, 3, 2}[l->cell];
    l->padded = (l->hidden + 15) / 16 * 16, l->columns = l->gates * l->padded;
    for (int64_t u = 0; u < l->hidden; u++)
        for (int64_t g = 0; g < l->gates; g++) used[column_of(l, g, u)] = units[u] = 1;
    const int64_t d = l->directions;
    l->w = random_matrix(d, l->per_cell, l->inputs, l->columns, used);
    l->r = random_matrix(d, l->per_cell, l->hidden, l->columns, used);
    l->hidden_w = random_matrix(d, l->per_cell, l->inputs, l->padded, units);
    l->hidden_r = random_matrix(d, l->per_cell, l->hidden, l->padded, units);
    l->bias = malloc((size_t)(d * l->columns) * sizeof(float));
    l->hidden_bias = malloc((size_t)(d * l->padded) * sizeof(float));
    l->ranges = malloc((size_t)(d * 3) * sizeof(float));
    for (int64_t i = 0; i < d * l->columns; i++) l->bias[i] = used[i % l->columns] ? uniform(-0.5f, 0.5f) : 0.0f;
    for (int64_t i = 0; i < d * l->padded; i++) l->hidden_bias[i] = units[i % l->padded] ? uniform(-0.5f, 0.5f) : 0.0f;
    for (int64_t i = 0; i < d * 3; i++) l->ranges[i] = uniform(0.2f, 0.9f);
}
static void free_layer(layer *l) {
    free_matrix(&l->w), free_matrix(&l->r), free_matrix(&l->hidden_w), free_matrix(&l->hidden_r);
    free(l->bias), free(l->hidden_bias), free(l->ranges);
}

// x [time, batch, inputs] -> y [time, directions, batch, hidden]. One direction carries its state on.
static void add_layer(builder *b, const layer *l) {
    int64_t time = symbol(b, "time", trn_role_TIME), batch = symbol(b, "batch", trn_role_BATCH);
    const int64_t d = l->directions;
    const int before = l->cell == GRU_BEFORE, gru = before || l->cell == GRU_AFTER, lstm = l->cell == LSTM;
    const uint32_t none = TRN_NONE, panel = (uint32_t)(l->gates == 1 ? 64 : 16 * l->gates);
    uint32_t x = tensor(b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(time, batch, l->inputs)),
             y = tensor(b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(time, d, batch, l->hidden)), h = none, c = none,
             y_h = none, y_c = none, w = constant_of(b, &l->w, panel), r = constant_of(b, &l->r, panel),
             bias = constant(b, trn_dtype_F32, 0, DIMS(d, l->columns), l->bias),
             hidden_w = before ? constant_of(b, &l->hidden_w, 64) : none,
             hidden_r = before ? constant_of(b, &l->hidden_r, 64) : none,
             hidden_bias = gru ? constant(b, trn_dtype_F32, 0, DIMS(d, l->padded), l->hidden_bias) : none,
             ranges = l->ranged ? constant(b, trn_dtype_F32, 0, DIMS(d, 3), l->ranges) : none;
    if (d == 1) {
        h = tensor(b, "h", trn_dtype_F32, trn_storage_STATE, DIMS(1, batch, l->hidden));
        y_h = tensor(b, "y_h", trn_dtype_F32, trn_storage_ARENA, DIMS(1, batch, l->hidden));
        state(b, h, none, 1, y_h);
    }
    if (d == 1 && lstm) {
        c = tensor(b, "c", trn_dtype_F32, trn_storage_STATE, DIMS(1, batch, l->hidden));
        y_c = tensor(b, "y_c", trn_dtype_F32, trn_storage_ARENA, DIMS(1, batch, l->hidden));
        state(b, c, none, 1, y_c);
    }
    int64_t attributes[6 + 18] = {lstm ? trn_cell_LSTM : gru ? trn_cell_GRU : trn_cell_RNN, l->hidden,
                                  d == 2 ? trn_direction_BIDIRECTIONAL : trn_direction_FORWARD, l->cell == GRU_AFTER, 0,
                                  bits((double)l->clip)};
    const int64_t functions = lstm ? 3 : gru ? 2 : 1;
    for (int64_t i = 0; i < d * functions; i++)
        attributes[6 + 3 * i] = functions > 1 && i % functions == 0 ? trn_fn_SIGMOID : trn_fn_TANH;
    operator_of(b, trn_op_recurrent, LIST(x, w, r, bias, hidden_w, hidden_r, hidden_bias, none, none, h, c, ranges),
                LIST(y, y_h, y_c), attributes, (size_t)(6 + 3 * d * functions));
    input(b, x, 0, 1), output(b, y, 0, 2);
    b->header.streamable = d == 1;
    if (d == 2) b->header.reason = text(b, "two directions");
}

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

// What column j of matrix `which` may change by where codes of x, of numbers up to 1, hang on its last bits.
static double slack_of(const matrix *m, int64_t which, int64_t j, const float *x, const float *range) {
    const float most = largest_code(m->per_cell);
    float largest = 0.0f;
    for (int64_t i = 0; i < m->k; i++) largest = fmaxf(largest, fabsf(x[i]));
    if (range) largest = *range;
    double slack = 0.0;
    for (int64_t i = 0; i < m->k; i++) {
        const float scaled = fabsf(x[i]) * (most / largest), near = 4e-7f * (most / largest);
        if (scaled > most + 1.0f || fabsf(scaled - floorf(scaled) - 0.5f) > near) continue;
        slack += fabs((double)m->weights[(which * m->k + i) * m->columns + j]);
    }
    return slack * (double)m->scales[which * m->columns + j] * (double)(largest / most);
}

#define CLIPPED(v) fmin(fmax((double)(v), -(double)l->clip), (double)l->clip)

// The rest of a step of the GRU that resets first, from the sums of its other gates. slack: [hidden].
static void finish_reset(const layer *l, int64_t d, const coded *of_x, const float *sums, const float *h, double *y,
                         double *slack) {
    static coded of_h;
    static float reset_h[64];
    const float *range = l->ranged ? l->ranges + 3 * d + 2 : NULL;
    for (int64_t u = 0; u < l->hidden; u++)
        reset_h[u] = (float)(sigmoid(CLIPPED(sums[column_of(l, 1, u)])) * (double)h[u]);
    encode(&of_h, &l->hidden_r, reset_h, range, 1);
    for (int64_t u = 0; u < l->hidden; u++) {
        const float of_inputs = product(l->hidden_bias[d * l->padded + u], &l->hidden_w, d, u, of_x);
        const double z = sigmoid(CLIPPED(sums[column_of(l, 0, u)]));
        y[u] = (1.0 - z) * tanh(CLIPPED(product(of_inputs, &l->hidden_r, d, u, &of_h))) + z * (double)h[u];
        slack[u] = slack_of(&l->hidden_r, d, u, reset_h, range);
    }
}

// One row and step: gates from x and h as the engine has them, then the cell in double. c: advanced. slack: what y may
// be off by as r * h is rounded to float in another way.
static void expected_step(const layer *l, int64_t d, const float *x, const float *h, double *c, double *y,
                          double *slack) {
    static coded of_x, of_h;
    static float sums[256], x_part[64];
    const float *ranges = l->ranged ? l->ranges + 3 * d : NULL;
    encode(&of_x, &l->w, x, ranges, 0), encode(&of_h, &l->r, h, ranges ? ranges + 1 : NULL, 1);
    for (int64_t j = 0; j < l->columns; j++) {
        float sum = product(l->bias[d * l->columns + j], &l->w, d, j, &of_x);
        const int64_t unit = j / 48 * 16 + j % 16;
        if (l->cell == GRU_AFTER && j / 16 % 3 == 2) x_part[unit] = sum, sum = l->hidden_bias[d * l->padded + unit];
        sums[j] = product(sum, &l->r, d, j, &of_h);
    }
    for (int64_t u = 0; u < l->hidden; u++) {
        const double g[4] = {CLIPPED(sums[column_of(l, 0, u)]), CLIPPED(sums[column_of(l, l->gates > 1, u)]),
                             CLIPPED(sums[column_of(l, l->gates > 2 ? 2 : 0, u)]),
                             CLIPPED(sums[column_of(l, l->gates > 3 ? 3 : 0, u)])};
        slack[u] = 0.0;
        if (l->cell == RNN) y[u] = tanh(g[0]);
        if (l->cell == LSTM) c[u] = sigmoid(g[2]) * c[u] + sigmoid(g[0]) * tanh(g[3]), y[u] = sigmoid(g[1]) * tanh(c[u]);
        if (l->cell == GRU_AFTER) {
            const double candidate = x_part[u] + sigmoid(g[1]) * (double)sums[column_of(l, 2, u)], z = sigmoid(g[0]);
            y[u] = (1.0 - z) * tanh(CLIPPED(candidate)) + z * (double)h[u];
        }
    }
    if (l->cell == GRU_BEFORE) finish_reset(l, d, &of_x, sums, h, y, slack);
}

// Every step beside the plain one from the state that the engine had before.
static void compare_steps(const layer *l, int64_t batch, int64_t steps, const float *x, const float *y) {
    for (int64_t d = 0; d < l->directions; d++)
        for (int64_t row = 0; row < batch; row++) {
            double c[64] = {0}, expected[64], slack[64];
            float h[64] = {0};
            int near = 1;
            for (int64_t s = 0; s < steps; s++) {
                const int64_t t = d ? steps - 1 - s : s;
                const float *got = y + ((t * l->directions + d) * batch + row) * l->hidden;
                expected_step(l, d, x + (t * batch + row) * l->inputs, h, c, expected, slack);
                for (int64_t u = 0; u < l->hidden; u++)
                    near = near && fabs(expected[u] - (double)got[u]) < 1e-6 + slack[u];
                memcpy(h, got, (size_t)l->hidden * sizeof *h);
            }
            EXPECT(near, l->name);
        }
}

static void test_layer(const char *name, int cell, int64_t per_cell, int64_t inputs, int64_t hidden, int64_t directions,
                       float clip, int ranged) {
    static float x[MOST_STEPS * MOST_ROWS * 60], y[MOST_STEPS * 2 * MOST_ROWS * 64], other[MOST_STEPS * 2 * MOST_ROWS * 64],
        one_x[MOST_STEPS * 60], one_y[MOST_STEPS * 2 * 64];
    const int64_t steps = MOST_STEPS, rows_of[] = {1, 3, MOST_ROWS};
    builder b = start();
    layer l = {.name = name, .cell = cell, .per_cell = per_cell, .inputs = inputs, .hidden = hidden,
               .directions = directions, .clip = clip, .ranged = ranged};
    fill(&l), add_layer(&b, &l);
    trn_model *model = open_of(&b, l.name);
    for (int i = 0; model && i < 3; i++) {
        const int64_t rows = rows_of[i], width = l.directions * l.hidden;
        const size_t x_step = (size_t)(rows * l.inputs), y_step = (size_t)(rows * width);
        const size_t bytes = (size_t)steps * y_step * sizeof *y;
        fill_rows(x, steps * rows, l.inputs);
        run(model, rows, steps, -1, x, x_step, y, y_step, l.name);
        compare_steps(&l, rows, steps, x, y);
        for (int64_t block = -2; l.directions == 1 && block <= 4; block++) {
            memset(other, 0x5a, bytes);
            run(model, rows, steps, block, x, x_step, other, y_step, l.name);
            EXPECT(!memcmp(y, other, bytes), l.name);
        }
        for (int64_t row = 0; row < rows; row++) {  // alone
            for (int64_t t = 0; t < steps; t++)
                memcpy(one_x + t * l.inputs, x + (t * rows + row) * l.inputs, (size_t)l.inputs * sizeof *x);
            run(model, 1, steps, -1, one_x, (size_t)l.inputs, one_y, (size_t)width, l.name);
            int same = 1;
            for (int64_t t = 0; t < steps * l.directions; t++)
                same = same && !memcmp(one_y + t * l.hidden, y + (t * rows + row) * l.hidden, (size_t)l.hidden * 4);
            EXPECT(same, l.name);
        }
    }
    trn_model_close(model), discard(&b), free_layer(&l);
}

static void test_recurrent(void) {
    static const char *const names[] = {"RNN", "LSTM", "GRU", "GRU that resets before"};
    for (int i = 0; i < 4 * 4; i++) {
        const int cell = i / 4, ranged = i & 1, per_cell = i & 2 ? 2 : 4;
        const char *name = names[cell];
        test_layer(name, cell, per_cell, 5, 7, 1, INFINITY, ranged);
        test_layer(name, cell, per_cell, 60, 40, 1, INFINITY, ranged);  // large
        test_layer(name, cell, per_cell, 3, 33, 2, INFINITY, ranged);
        test_layer(name, cell, per_cell, 4, 16, 1, 0.3f, ranged);  // no kernel of steps
        test_layer(name, cell, per_cell, 1, 1, 2, 0.3f, ranged);
    }
}

/* ---- dense and conv ------------------------------------------------------------------------------------------------ */

// x [matrices, m, k] -> y [matrices, m, n]; x may stand for all matrices.
static void test_dense(int64_t matrices, int64_t per_cell, int64_t m, int64_t k, int64_t n, int ranged,
                       const char *name) {
    const int64_t all = (n + 15) / 16 * 16;
    const float range = 0.5f;
    float *x = malloc((size_t)(matrices * m * k + 1) * sizeof *x), *bias = malloc((size_t)n * sizeof *x),
          *y = malloc((size_t)(matrices * m * n) * sizeof *y);
    static coded c;
    matrix w = random_matrix(matrices, per_cell, k, all, NULL);
    fill_rows(x, matrices * m, k);
    for (int64_t i = 0; i < n; i++) bias[i] = uniform(-1.0f, 1.0f);
    builder b = start();
    uint32_t in = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(matrices, m, k)),
             out = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(matrices, m, n)),
             of_bias = constant(&b, trn_dtype_F32, 0, DIMS(n), bias),
             of_range = ranged ? constant(&b, trn_dtype_F32, 0, DIMS(1), &range) : TRN_NONE;
    operator_of(&b, trn_op_dense, LIST(in, constant_of(&b, &w, 64), of_bias, of_range), LIST(out),
                DIMS(trn_fn_IDENTITY, 0, 0));
    input(&b, in, -1, -1), output(&b, out, -1, -1);
    trn_model *model = open_of(&b, name);
    if (model) run(model, 1, 1, 0, x, 0, y, 0, name);
    int same = 1;
    for (int64_t i = 0; i < matrices * m; i++) {
        encode(&c, &w, x + i * k, ranged ? &range : NULL, 0);
        for (int64_t j = 0; j < n; j++) same = same && y[i * n + j] == product(bias[j], &w, i / m, j, &c);
    }
    EXPECT(same, name);
    trn_stream *stream = NULL;
    if (model && trn_stream_new(model, NULL, &stream, NULL) == TRN_OK)
        EXPECT(trn_stream_work(stream) == (uint64_t)(matrices * m * n * k / per_cell), name);
    trn_stream_free(stream);
    trn_model_close(model), discard(&b), free_matrix(&w);
    free(x), free(y), free(bias);
}

typedef struct convolution {
    const char *name;
    int64_t batch, groups, channels, outputs, width;  // channels and outputs of a group
    int64_t kernel, stride, dilation, begin, end, upsample;
    int channels_last, ranged, per_cell;
} convolution;

static int64_t positions_of(const convolution *c) {
    const int64_t inside = (c->width - 1) * c->upsample + 1 + c->begin + c->end - (c->kernel - 1) * c->dilation - 1;
    return inside / c->stride + 1;
}

// Element (b, channel, at) of x, 0 in padding.
static float x_at(const convolution *c, const float *x, int64_t b, int64_t channel, int64_t place) {
    const int64_t all = c->groups * c->channels, at = place / c->upsample;
    if (place < 0 || place % c->upsample || at >= c->width) return 0.0f;
    return c->channels_last ? x[(b * c->width + at) * all + channel] : x[(b * all + channel) * c->width + at];
}

static void compare_convolution(const convolution *c, const matrix *w, const float *bias, const float *x, const float *y) {
    const int64_t positions = positions_of(c), k = c->kernel * c->channels;
    const float range = 0.5f;
    float *window = malloc((size_t)(k + 1) * sizeof *window);
    static coded row;
    int same = 1;
    for (int64_t b = 0; b < c->batch; b++)
        for (int64_t g = 0; g < c->groups; g++)
            for (int64_t p = 0; p < positions; p++) {
                for (int64_t i = 0; i < k; i++)
                    window[i] = x_at(c, x, b, g * c->channels + i % c->channels,
                                     p * c->stride + i / c->channels * c->dilation - c->begin);
                encode(&row, w, window, c->ranged ? &range : NULL, 0);
                for (int64_t m = 0; m < c->outputs; m++) {
                    const int64_t channel = g * c->outputs + m;
                    const float expected = product(bias[channel], w, g, m, &row);
                    same = same && y[(b * c->groups * c->outputs + channel) * positions + p] == expected;
                }
            }
    EXPECT(same, c->name);
    free(window);
}

static void test_convolution(convolution c) {
    const int64_t positions = positions_of(&c), in = c.groups * c.channels, out = c.groups * c.outputs;
    const float range = 0.5f;
    float *x = malloc((size_t)(c.batch * in * c.width + 1) * sizeof *x), *bias = malloc((size_t)out * sizeof *x),
          *y = malloc((size_t)(c.batch * out * positions + 1) * sizeof *y);
    matrix w = random_matrix(c.groups, c.per_cell, c.kernel * c.channels, (c.outputs + 15) / 16 * 16, NULL);
    fill_rows(x, c.batch * (c.channels_last ? c.width : in), c.channels_last ? in : c.width);
    for (int64_t i = 0; i < out; i++) bias[i] = uniform(-1.0f, 1.0f);
    builder b = start();
    uint32_t given, y_of = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(c.batch, out, positions)), x_of,
                    bias_of = constant(&b, trn_dtype_F32, 0, DIMS(out), bias),
                    range_of = c.ranged ? constant(&b, trn_dtype_F32, 0, DIMS(1), &range) : TRN_NONE;
    given = x_of = c.channels_last ? tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(c.batch, c.width, in))
                                   : tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(c.batch, in, c.width));
    if (c.channels_last) x_of = view(&b, given, DIMS(c.batch, in, c.width), DIMS(0, c.width * in, 1, in));
    operator_of(&b, trn_op_conv, LIST(x_of, constant_of(&b, &w, 64), bias_of, range_of), LIST(y_of),
                DIMS(trn_fn_IDENTITY, 0, 0, c.kernel, c.stride, c.dilation, c.begin, c.end, c.upsample));
    input(&b, given, -1, -1), output(&b, y_of, -1, -1);
    trn_model *model = open_of(&b, c.name);
    if (model) run(model, 1, 1, 0, x, 0, y, 0, c.name);
    compare_convolution(&c, &w, bias, x, y);
    trn_model_close(model), discard(&b), free_matrix(&w);
    free(x), free(y), free(bias);
}

static void test_products(void) {
    for (int per_cell = 4; per_cell >= 2; per_cell -= 2) {
        test_dense(1, per_cell, 1, 7, 20, 0, "dense, one row");
        test_dense(1, per_cell, 70, 33, 20, 1, "dense, more rows than are coded at once, a range");
        test_dense(1, per_cell, 70, 33, 20, 0, "dense, more rows than are coded at once");
        test_dense(3, per_cell, 5, 6, 70, 0, "dense, a matrix for each");
        test_dense(1, per_cell, 3, 0, 5, 0, "dense, no inputs");
        test_dense(1, per_cell, 1, MOST_K, 16, 0, "dense, the most inputs");
    }
    for (int i = 0; i < 8; i++) {
        const int last = i & 1, ranged = i >> 1 & 1, per_cell = 4 - 2 * (i >> 2);
        test_convolution((convolution){"conv, 1 x 1", 2, 1, 20, 9, 50, 1, 1, 1, 0, 0, 1, last, ranged, per_cell});
        test_convolution((convolution){"conv, padding", 2, 1, 3, 17, 11, 3, 1, 1, 1, 2, 1, last, ranged, per_cell});
        test_convolution((convolution){"conv, groups", 1, 3, 4, 5, 40, 3, 2, 2, 2, 2, 1, last, ranged, per_cell});
        test_convolution((convolution){"conv, no padding", 1, 1, 8, 16, 45, 4, 1, 1, 0, 0, 1, last, ranged, per_cell});
        test_convolution((convolution){"conv, upsampled", 2, 2, 5, 6, 9, 4, 1, 1, 3, 3, 2, last, ranged, per_cell});
        test_convolution((convolution){"conv, cut off", 40, 1, 6, 7, 3, 1, 1, 1, -1, -1, 1, last, ranged, per_cell});
        test_convolution((convolution){"conv, padding alone", 1, 1, 6, 7, 2, 2, 1, 1, 4, 4, 1, last, ranged, per_cell});
    }
}

int main(void) {
    test_recurrent();
    test_products();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
