// SPDX-License-Identifier: Apache-2.0
// Runs of steps of one row: the products of x and h in one chain, then the cell, with nothing between the steps.

// State that a run works on: whole vectors, so that no tail needs a mask. Where n is not a multiple of the lanes that
// is a copy, behind the sums in the scratch memory.
typedef struct steps_state {
    float *h, *c;
    size_t units;  // n rounded up to whole vectors
} steps_state;

#if VF_TILE_ROWS > 1
#define STEPS_LSTM_PANEL gemm_1x8
#else
#define STEPS_LSTM_PANEL(t) gemm_panel(t, 1, 4 * CELL_BLOCK, 4 * CELL_BLOCK, 1)
#endif

enum { STEPS_SUMS = 4 };  // parts of the scratch memory, of ceil16(n) floats, that come before the copies

TRN_INLINE size_t steps_padded(const trn_steps *s) { return (s->n + 15) / 16 * 16; }

static steps_state steps_begin(const trn_steps *s) {
    steps_state state = {s->h, s->c, (s->n + VF_LANES - 1) / VF_LANES * VF_LANES};
    if (state.units == s->n) return state;
    state.h = s->scratch + STEPS_SUMS * steps_padded(s), state.c = state.h + state.units;
    memset(state.h, 0, 2 * state.units * sizeof *state.h);
    memcpy(state.h, s->h, s->n * sizeof *state.h);
    if (s->c) memcpy(state.c, s->c, s->n * sizeof *state.c);
    return state;
}

static void steps_end(const trn_steps *s, const steps_state *state) {
    if (state->units == s->n) return;
    memcpy(s->h, state->h, s->n * sizeof *s->h);
    if (s->c) memcpy(s->c, state->c, s->n * sizeof *s->c);
}

// The hidden state is the output of step `at`.
TRN_INLINE void steps_put(const trn_steps *s, size_t at, const float *h) {
    if (!s->y) return;
    float *y = s->y + (ptrdiff_t)at * s->y_stride;
    size_t i = 0;
    for (; i + VF_LANES <= s->n; i += VF_LANES) vf_store(y + i, vf_load(h + i));
    if (i < s->n) vf_store_n(y + i, vf_load(h + i), s->n - i);
}

TRN_INLINE const float *steps_x(const trn_steps *s, size_t at) { return s->x + (ptrdiff_t)at * s->x_stride; }
TRN_INLINE const float *steps_init(const trn_steps *s, size_t at) { return s->init + (ptrdiff_t)at * s->init_stride; }

// The tile of the first panel at step `at`.
TRN_INLINE gemm_tile steps_tile(const trn_steps *s, size_t at, const float *h, size_t panel) {
    return (gemm_tile){.first = {.k = s->k, .x = steps_x(s, at), .w = s->w, .w_panel = s->k * panel},
                       .second = {.k = s->n, .x = h, .w = s->r, .w_panel = s->n * panel},
                       .w_stride = panel,
                       .init = steps_init(s, at),
                       .y = s->scratch};
}

// Goes on to the columns behind those that are done.
TRN_INLINE void steps_next(gemm_tile *t, size_t columns) {
    t->first.w += columns * t->first.k, t->second.w += columns * t->second.k;
    t->init += columns, t->y += columns;
}

static void TRN_KERNEL(f32_rnn_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        gemm_tile t = steps_tile(s, at, state.h, 64);
        gemm_columns(&t, 1, steps_padded(s), 64, 1);
        TRN_KERNEL(f32_rnn_cell)(state.units, s->scratch, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

static void TRN_KERNEL(f32_lstm_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        gemm_tile t = steps_tile(s, at, state.h, 4 * CELL_BLOCK);
        for (size_t unit = 0; unit < s->n; unit += CELL_BLOCK, steps_next(&t, 4 * CELL_BLOCK)) STEPS_LSTM_PANEL(&t);
        TRN_KERNEL(f32_lstm_cell)(state.units, s->scratch, state.c, state.c, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

// Panels of the GRU that resets after its product: the hidden gate's chain ends with x, and h starts one of its own.
TRN_INLINE void steps_gru_run(const gemm_tile *t, const float *hidden_init, float *x_part, const int panels) {
    enum { GATE = CELL_BLOCK / VF_LANES, VECTORS = 3 * GATE };
    gemm_sums sum;
    TRN_UNROLL for (int p = 0; p < panels; p++) TRN_UNROLL for (int j = 0; j < VECTORS; j++) sum[0][p][j] =
        vf_load(t->init + (p * VECTORS + j) * VF_LANES);
    gemm_accumulate(sum, &t->first, 3 * CELL_BLOCK, 1, panels, VECTORS);
    TRN_UNROLL for (int p = 0; p < panels; p++) TRN_UNROLL for (int j = 0; j < GATE; j++) {
        vf_store(x_part + (p * GATE + j) * VF_LANES, sum[0][p][2 * GATE + j]);
        sum[0][p][2 * GATE + j] = vf_load(hidden_init + (p * GATE + j) * VF_LANES);
    }
    gemm_accumulate(sum, &t->second, 3 * CELL_BLOCK, 1, panels, VECTORS);
    TRN_UNROLL for (int p = 0; p < panels; p++) TRN_UNROLL for (int j = 0; j < VECTORS; j++)
        vf_store(t->y + (p * VECTORS + j) * VF_LANES, sum[0][p][j]);
}
static TRN_NOINLINE void steps_gru_one(const gemm_tile *t, const float *hidden_init, float *x_part) {
    steps_gru_run(t, hidden_init, x_part, 1);
}
static TRN_NOINLINE void steps_gru_two(const gemm_tile *t, const float *hidden_init, float *x_part) {
    steps_gru_run(t, hidden_init, x_part, VF_TILE_ROWS > 1 ? 2 : 1);
}

static void TRN_KERNEL(f32_gru_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    const size_t padded = steps_padded(s), panel = 3 * CELL_BLOCK;
    float *x_part = s->scratch + 3 * padded;
    for (size_t at = 0; at < s->count; at++) {
        gemm_tile t = steps_tile(s, at, state.h, panel);
        for (size_t unit = 0, step; unit < padded; unit += step) {
            step = VF_TILE_ROWS > 1 && padded - unit > CELL_BLOCK ? 2 * CELL_BLOCK : CELL_BLOCK;
            (step > CELL_BLOCK ? steps_gru_two : steps_gru_one)(&t, s->hidden_init + unit, x_part + unit);
            steps_next(&t, 3 * step);
        }
        cell_gru(state.units, x_part, CELL_BLOCK, s->scratch, state.h, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

static void TRN_KERNEL(f32_gru_before_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    const size_t padded = steps_padded(s);
    float *hidden = s->scratch + 2 * padded, *reset_h = hidden + padded;
    for (size_t at = 0; at < s->count; at++) {
        gemm_tile t = steps_tile(s, at, state.h, 2 * CELL_BLOCK);
        gemm_columns(&t, 1, 2 * padded, 2 * CELL_BLOCK, 1);
        TRN_KERNEL(f32_gru_reset)(state.units, s->scratch, state.h, reset_h);
        gemm_tile last = {.first = {.k = s->k, .x = steps_x(s, at), .w = s->hidden_w},
                          .second = {.k = s->n, .x = reset_h, .w = s->hidden_r},
                          .init = s->hidden_init + (ptrdiff_t)at * s->hidden_init_stride,
                          .y = hidden};
        gemm_columns(&last, 1, padded, 64, 1);
        TRN_KERNEL(f32_gru_update)(state.units, s->scratch, hidden, state.h, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}
