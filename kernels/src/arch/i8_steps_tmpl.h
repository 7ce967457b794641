// SPDX-License-Identifier: Apache-2.0
// Runs of steps of one row with int8 weights: each step makes codes of x and h, and of r * h where the cell resets
// first.

// What the panels of a step read beside the weights. x: NULL where init has its products already.
typedef struct i8_operands {
    const int8_t *x, *h;
    i8_scales x_scales, h_scales;
    const float *init;
    size_t backward;
} i8_operands;

// The codes of x, two rows of them, and of h lie behind one another.
TRN_INLINE int8_t *i8_step_h(const trn_steps *s) { return s->codes + 2 * i8_codes(s->k); }

// Out of line: what a step does once would fill the registers of its loops.
static TRN_NOINLINE i8_scales i8_step_code_x(size_t n, const float *x, const float *range, int8_t *codes) {
    return i8_code(n, x, range, 1, codes);
}
static TRN_NOINLINE i8_scales i8_step_code_h(size_t n, const float *h, const float *range, int8_t *codes) {
    return i8_code(n, h, range, 0, codes);
}

TRN_INLINE i8_operands i8_step_at(const trn_steps *s, size_t at, const float *h) {
    const float *ranges = s->ranges;
    const steps_operands f = steps_at(s, at, h);
    i8_operands o = {.h = i8_step_h(s), .init = f.init, .backward = f.backward};
    if (s->k) o.x = s->codes, o.x_scales = i8_step_code_x(s->k, f.x, ranges, s->codes);
    o.h_scales = i8_step_code_h(s->n, h, ranges ? ranges + 1 : NULL, i8_step_h(s));
    return o;
}

// value += codes times the panel at w of all planes.
TRN_INLINE void i8_step_add(const trn_steps *s, vf value[I8_VECTORS], size_t quads, const int8_t *codes, vf scale,
                            const char *w, const int vectors) {
    const size_t stride = (size_t)vectors * VF_LANES * I8_CELL;
    i8_sums sum;
    for (size_t plane = 0; plane < s->planes; plane++) {
        i8_accumulate(sum, quads, codes, 0, w, stride, 1, vectors);
        w += (quads + 1) * stride;
        I8_UNROLL for (int j = 0; j < vectors; j++) value[j] =
            i8_value(value[j], sum[0][j], scale, w + (size_t)j * VF_LANES * I8_CELL);
        w += stride;
    }
}

// The sums of a panel whose first column is `column`, of `vectors` vectors. x_part, hidden_init: of the GRU that resets
// after its product, from the panel's first unit on: its hidden gate ends with x, and h starts from a bias of its own.
TRN_INLINE void i8_step_run(const trn_steps *s, const i8_operands *o, size_t column, float *sums, float *x_part,
                            const float *hidden_init, const int vectors) {
    enum { GATE = CELL_BLOCK / VF_LANES };
    const size_t x_quads = (s->k + 3) / 4, h_quads = (s->n + 3) / 4, cells = column * I8_CELL * s->planes;
    vf value[I8_VECTORS];
    I8_UNROLL for (int j = 0; j < vectors; j++) value[j] = vf_load(o->init + column + (size_t)j * VF_LANES);
    if (o->x) {
        const char *w = (const char *)s->w + cells * (x_quads + 2);
        i8_step_add(s, value, x_quads, o->x, o->x_scales.first, w, vectors);
        if (o->x_scales.fine) i8_step_add(s, value, x_quads, o->x + i8_codes(s->k), o->x_scales.rest, w, vectors);
    }
    if (x_part) I8_UNROLL for (int j = 0; j < GATE; j++) {
            vf_store(x_part + j * VF_LANES, value[2 * GATE + j]);
            value[2 * GATE + j] = vf_load(hidden_init + j * VF_LANES);
        }
    i8_step_add(s, value, h_quads, o->h, o->h_scales.first, (const char *)s->r + cells * (h_quads + 2), vectors);
    I8_UNROLL for (int j = 0; j < vectors; j++) vf_store(sums + column + (size_t)j * VF_LANES, value[j]);
}

// Where sums cannot stay in registers anyway, one function does for all widths.
#if VF_TILE_SUMS >= 6
#define I8_STEP TRN_INLINE
#else
#define I8_STEP static TRN_NOINLINE
#endif
I8_STEP void i8_step_any(const trn_steps *s, const i8_operands *o, size_t column, float *sums, float *x_part,
                         const float *hidden_init, const int eights) {
    i8_step_run(s, o, column, sums, x_part, hidden_init, 8 / VF_LANES * eights);
}

typedef void i8_step_function(const trn_steps *s, const i8_operands *o, size_t column, float *sums);
#define I8_STEP_TILE(name, eights)                                                                        \
    static TRN_NOINLINE void name(const trn_steps *s, const i8_operands *o, size_t column, float *sums) { \
        i8_step_any(s, o, column, sums, NULL, NULL, eights);                                              \
    }
I8_STEP_TILE(i8_step_2, 2)
I8_STEP_TILE(i8_step_4, 4)
I8_STEP_TILE(i8_step_6, 6)
I8_STEP_TILE(i8_step_8, 8)
static i8_step_function *const i8_step_whole[5] = {NULL, i8_step_2, i8_step_4, i8_step_6, i8_step_8};

static TRN_NOINLINE void i8_step_gru(const trn_steps *s, const i8_operands *o, size_t unit, float *x_part) {
    i8_step_any(s, o, 3 * unit, s->scratch, x_part + unit, s->hidden_init + unit, 6);
}

// All columns of a step, in panels from the first on or from the last.
TRN_INLINE void i8_step_multiply(const trn_steps *s, const i8_operands *o, size_t columns, size_t panel, float *sums) {
    for (size_t i = 0; i < (columns + panel - 1) / panel; i++) {
        const size_t column = (o->backward ? (columns - 1) / panel - i : i) * panel, left = columns - column;
        i8_step_whole[(left < panel ? left : panel) / 16](s, o, column, sums);
    }
}

static void TRN_KERNEL(i8_rnn_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        const i8_operands o = i8_step_at(s, at, state.h);
        i8_step_multiply(s, &o, steps_padded(s), 64, s->scratch);
        TRN_KERNEL(i8_rnn_cell)(state.units, s->scratch, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

static void TRN_KERNEL(i8_lstm_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        const i8_operands o = i8_step_at(s, at, state.h);
        i8_step_multiply(s, &o, 4 * steps_padded(s), 4 * CELL_BLOCK, s->scratch);
        TRN_KERNEL(i8_lstm_cell)(state.units, s->scratch, state.c, state.c, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

static void TRN_KERNEL(i8_gru_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    const size_t padded = steps_padded(s);
    float *x_part = s->scratch + 3 * padded;
    for (size_t at = 0; at < s->count; at++) {
        const i8_operands o = i8_step_at(s, at, state.h);
        for (size_t i = 0; i < padded; i += CELL_BLOCK)
            i8_step_gru(s, &o, o.backward ? padded - CELL_BLOCK - i : i, x_part);
        cell_i8_gru(state.units, x_part, CELL_BLOCK, s->scratch, state.h, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

static void TRN_KERNEL(i8_gru_before_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    const size_t padded = steps_padded(s);
    float *hidden = s->scratch + 2 * padded, *reset_h = hidden + padded;
    trn_steps last = *s;  // the hidden gate's product
    last.w = s->hidden_w, last.r = s->hidden_r;
    for (size_t at = 0; at < s->count; at++) {
        i8_operands o = i8_step_at(s, at, state.h);
        i8_step_multiply(s, &o, 2 * padded, 2 * CELL_BLOCK, s->scratch);
        TRN_KERNEL(i8_gru_reset)(state.units, s->scratch, state.h, reset_h);
        o.init = s->hidden_init + (ptrdiff_t)at * s->hidden_init_stride;
        o.h_scales = i8_step_code_h(s->n, reset_h, s->ranges ? s->ranges + 2 : NULL, i8_step_h(s));
        i8_step_multiply(&last, &o, padded, 64, hidden);
        TRN_KERNEL(i8_gru_update)(state.units, s->scratch, hidden, state.h, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}
