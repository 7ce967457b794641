// SPDX-License-Identifier: Apache-2.0
// Runs of steps of one row: the products of x and h in one chain, then the cell, with nothing between the steps.

// State that a run works on: whole vectors, so that no tail needs a mask. Where n is not a multiple of the lanes that
// is a copy, behind the sums in the scratch memory.
typedef struct steps_state {
    float *h, *c;
    size_t units;  // n rounded up to whole vectors
} steps_state;

enum { STEPS_CACHE = 32 << 10 };  // bytes of the nearest cache, nearly everywhere

enum { STEPS_SUMS = 4 };  // parts of the scratch memory, of ceil16(n) floats, that come before the copies

TRN_INLINE size_t steps_padded(const trn_steps *s) { return (s->n + 15) / 16 * 16; }

// The copy: h, then c.
static TRN_NOINLINE float *steps_copy_in(const trn_steps *s, size_t units) {
    float *h = s->scratch + STEPS_SUMS * steps_padded(s);
    memset(h, 0, 2 * units * sizeof *h);
    memcpy(h, s->h, s->n * sizeof *h);
    if (s->c) memcpy(h + units, s->c, s->n * sizeof *h);
    return h;
}
static TRN_NOINLINE void steps_copy_out(const trn_steps *s, const float *h, size_t units) {
    memcpy(s->h, h, s->n * sizeof *h);
    if (s->c) memcpy(s->c, h + units, s->n * sizeof *h);
}

TRN_INLINE steps_state steps_begin(const trn_steps *s) {
    steps_state state = {s->h, s->c, (s->n + VF_LANES - 1) / VF_LANES * VF_LANES};
    if (state.units != s->n) state.h = steps_copy_in(s, state.units), state.c = state.h + state.units;
    return state;
}
TRN_INLINE void steps_end(const trn_steps *s, const steps_state *state) {
    if (state->units != s->n) steps_copy_out(s, state->h, state->units);
}

// The hidden state is the output of step `at`.
TRN_INLINE void steps_put(const trn_steps *s, size_t at, const float *h) {
    if (s->y) memcpy(s->y + (ptrdiff_t)at * s->y_stride, h, s->n * sizeof *h);
}

// What the panels of a step read beside the weights, and whether they are walked from the last one to the first. Steps
// take turns: what lies in the nearest cache at the end of one is what the next begins with.
typedef struct steps_operands {
    const float *x, *h, *init;
    size_t backward;
} steps_operands;

TRN_INLINE steps_operands steps_at(const trn_steps *s, size_t at, const float *h) {
    const float *x = s->k ? s->x + (ptrdiff_t)at * s->x_stride : h;  // h: an address that no product reads
    return (steps_operands){x, h, s->init + (ptrdiff_t)at * s->init_stride, (s->turn + at) & 1};
}

// The part of a walk over `length` in parts of `size` that comes at turn i of its ceil(length / size).
TRN_INLINE size_t steps_part(size_t backward, size_t i, size_t length, size_t size) {
    return (backward ? (length - 1) / size - i : i) * size;
}

// sums[columns from `column` on] = init + x W + h R, over `panels` panels of `width` columns, of which those of
// `vectors` vectors from `within` on are computed.
TRN_INLINE void steps_run(const trn_steps *s, const steps_operands *o, size_t column, size_t width, size_t within,
                          float *sums, const size_t panels, const size_t vectors) {
    gemm_sums sum;
    const size_t first = column + within;
    TRN_UNROLL for (size_t p = 0; p < panels; p++) TRN_UNROLL for (size_t j = 0; j < vectors; j++) sum[0][p][j] =
        vf_load(o->init + first + (size_t)p * width + (size_t)j * VF_LANES);
    gemm_accumulate(sum, s->k, o->x, 0, (const float *)s->w + column * s->k + within, width, width * s->k, 1, panels, vectors);
    gemm_accumulate(sum, s->n, o->h, 0, (const float *)s->r + column * s->n + within, width, width * s->n, 1, panels, vectors);
    TRN_UNROLL for (size_t p = 0; p < panels; p++) TRN_UNROLL for (size_t j = 0; j < vectors; j++)
        vf_store(sums + first + (size_t)p * width + (size_t)j * VF_LANES, sum[0][p][j]);
}

typedef void steps_function(const trn_steps *s, const steps_operands *o, size_t column, size_t width, size_t within,
                            float *sums);
#define STEPS_TILE(name, panels, eights)                                                                    \
    static TRN_NOINLINE void name(const trn_steps *s, const steps_operands *o, size_t column, size_t width, \
                                  size_t within, float *sums) {                                             \
        steps_run(s, o, column, width, within, sums, panels, 8 * (eights) / VF_LANES);                      \
    }

STEPS_TILE(steps_2, 1, 2)
#if VF_ROW_SUMS >= 6
STEPS_TILE(steps_4, 1, 4)
STEPS_TILE(steps_6, 1, 6)
#endif
#if VF_ROW_SUMS >= 8
STEPS_TILE(steps_8, 1, 8)
#endif
static steps_function *const steps_tiles[5] = {
    NULL,    steps_2,
#if VF_ROW_SUMS >= 6
    steps_4, steps_6,
#endif
#if VF_ROW_SUMS >= 8
    steps_8,
#endif
};
#if VF_TILE_PANELS >= 2
STEPS_TILE(steps_4_two, 2, 4)
#endif

// All columns of a step: of each panel as much at once as the registers hold (nearly: memory read in its order is worth
// two sums that wait on the stack), or of two that are narrow.
TRN_INLINE void steps_multiply(const trn_steps *s, const steps_operands *o, size_t columns, size_t panel, float *sums) {
    const size_t part = VF_TILE_PANELS >= 2 && panel == 32 ? 64 : panel;
    for (size_t i = 0; i < (columns + part - 1) / part; i++) {
        const size_t column = steps_part(o->backward, i, columns, part), left = columns - column;
        const size_t width = left < panel ? left : panel, at_once = gemm_part_of(width, VF_ROW_SUMS);
#if VF_TILE_PANELS >= 2
        if (part > panel && left >= part) {
            steps_4_two(s, o, column, width, 0, sums);
            continue;
        }
#endif
        for (size_t within = 0; within < width; within += at_once)
            steps_tiles[at_once / 16](s, o, column, width, within, sums);
    }
}

TRN_SLOT void TRN_KERNEL(f32_rnn_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        const steps_operands o = steps_at(s, at, state.h);
        steps_multiply(s, &o, steps_padded(s), 64, s->scratch);
        TRN_KERNEL(f32_rnn_cell)(state.units, s->scratch, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

TRN_SLOT void TRN_KERNEL(f32_lstm_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        const steps_operands o = steps_at(s, at, state.h);
        steps_multiply(s, &o, 4 * steps_padded(s), 4 * CELL_BLOCK, s->scratch);
        TRN_KERNEL(f32_lstm_cell)(state.units, s->scratch, state.c, state.c, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

#if VF_TILE_SUMS >= 6
// Panels of the GRU that resets after its product, from unit `unit` on: the hidden gate's chain ends with x, which goes
// to x_part, and h starts one of its own.
TRN_INLINE void steps_gru_run(const trn_steps *s, const steps_operands *o, size_t unit, float *x_part,
                              const size_t panels) {
    enum { GATE = CELL_BLOCK / VF_LANES, VECTORS = 3 * GATE, WIDTH = 3 * CELL_BLOCK };
    const size_t column = 3 * unit;
    gemm_sums sum;
    TRN_UNROLL for (size_t p = 0; p < panels; p++) TRN_UNROLL for (size_t j = 0; j < VECTORS; j++) sum[0][p][j] =
        vf_load(o->init + column + (p * VECTORS + j) * VF_LANES);
    gemm_accumulate(sum, s->k, o->x, 0, (const float *)s->w + column * s->k, WIDTH, WIDTH * s->k, 1, panels, VECTORS);
    TRN_UNROLL for (size_t p = 0; p < panels; p++) TRN_UNROLL for (size_t j = 0; j < GATE; j++) {
        const size_t at = unit + (size_t)(p * GATE + j) * VF_LANES;
        vf_store(x_part + at, sum[0][p][2 * GATE + j]);
        sum[0][p][2 * GATE + j] = vf_load(s->hidden_init + at);
    }
    gemm_accumulate(sum, s->n, o->h, 0, (const float *)s->r + column * s->n, WIDTH, WIDTH * s->n, 1, panels, VECTORS);
    TRN_UNROLL for (size_t p = 0; p < panels; p++) TRN_UNROLL for (size_t j = 0; j < VECTORS; j++)
        vf_store(s->scratch + column + (p * VECTORS + j) * VF_LANES, sum[0][p][j]);
}
static TRN_NOINLINE void steps_gru_one(const trn_steps *s, const steps_operands *o, size_t unit, float *x_part) {
    steps_gru_run(s, o, unit, x_part, 1);
}
#else
// The same, a gate at a time; the hidden gate's sums wait for their second product where it leaves them.
static void steps_gru_one(const trn_steps *s, const steps_operands *o, size_t unit, float *x_part) {
    enum { WIDTH = 3 * CELL_BLOCK, HIDDEN = 2 * CELL_BLOCK, BYTES = CELL_BLOCK * sizeof(float) };
    const size_t column = 3 * unit;
    const steps_operands again = {o->x, o->h, s->scratch, 0};
    trn_steps by_x = *s, by_h = *s;
    by_x.n = 0, by_h.k = 0;
    for (size_t within = 0; within < HIDDEN; within += CELL_BLOCK) steps_2(s, o, column, WIDTH, within, s->scratch);
    steps_2(&by_x, o, column, WIDTH, HIDDEN, s->scratch);
    memcpy(x_part + unit, s->scratch + column + HIDDEN, BYTES);
    memcpy(s->scratch + column + HIDDEN, s->hidden_init + unit, BYTES);
    steps_2(&by_h, &again, column, WIDTH, HIDDEN, s->scratch);
}
#endif
#if VF_TILE_PANELS >= 2
static TRN_NOINLINE void steps_gru_two(const trn_steps *s, const steps_operands *o, size_t unit, float *x_part) {
    steps_gru_run(s, o, unit, x_part, 2);
}
#endif

// Units of the panels that are taken at once: of two, whose chains keep the processor busier; but of one where the
// nearest cache holds that and not two, for the next step to come back to.
TRN_INLINE size_t steps_gru_part(const trn_steps *s) {
    const size_t bytes = 3 * CELL_BLOCK * sizeof(float) * (s->k + s->n);
    return VF_TILE_PANELS < 2 || (bytes <= STEPS_CACHE && 2 * bytes > STEPS_CACHE) ? CELL_BLOCK : 2 * CELL_BLOCK;
}

TRN_SLOT void TRN_KERNEL(f32_gru_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    const size_t padded = steps_padded(s), part = steps_gru_part(s);
    float *x_part = s->scratch + 3 * padded;
    for (size_t at = 0; at < s->count; at++) {
        const steps_operands o = steps_at(s, at, state.h);
        for (size_t i = 0; i < (padded + part - 1) / part; i++) {
            const size_t unit = steps_part(o.backward, i, padded, part);
#if VF_TILE_PANELS >= 2
            (part > CELL_BLOCK && padded - unit >= part ? steps_gru_two : steps_gru_one)(s, &o, unit, x_part);
#else
            steps_gru_one(s, &o, unit, x_part);
#endif
        }
        cell_f32_gru(state.units, x_part, CELL_BLOCK, s->scratch, state.h, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

// Where a walk over `columns`, 64 at a time, begins to read weights.
TRN_INLINE const float *steps_start(const trn_steps *s, size_t backward, size_t columns) {
    const size_t column = backward ? (columns - 1) / 64 * 64 : 0;
    return s->k ? (const float *)s->w + column * s->k : (const float *)s->r + column * s->n;
}

TRN_SLOT void TRN_KERNEL(f32_gru_before_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    const size_t padded = steps_padded(s);
    const int fetching = VF_TILE_SUMS >= 12 && 3 * padded * (s->k + s->n) * sizeof(float) > STEPS_CACHE;
    float *hidden = s->scratch + 2 * padded, *reset_h = hidden + padded;
    trn_steps last = *s;  // the hidden gate's product
    last.w = s->hidden_w, last.r = s->hidden_r, last.init = s->hidden_init, last.init_stride = s->hidden_init_stride;
    for (size_t at = 0; at < s->count; at++) {
        const steps_operands o = steps_at(s, at, state.h), last_o = steps_at(&last, at, reset_h);
        steps_multiply(s, &o, 2 * padded, 2 * CELL_BLOCK, s->scratch);
        if (!fetching) TRN_KERNEL(f32_gru_reset)(state.units, s->scratch, state.h, reset_h);
        else cell_f32_reset(state.units, s->scratch, state.h, reset_h, steps_start(&last, o.backward, padded));
        steps_multiply(&last, &last_o, padded, 64, hidden);
        if (!fetching) TRN_KERNEL(f32_gru_update)(state.units, s->scratch, hidden, state.h, state.h);
        else
            cell_f32_update(state.units, s->scratch, hidden, state.h, state.h, steps_start(s, !o.backward, 2 * padded));
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}
