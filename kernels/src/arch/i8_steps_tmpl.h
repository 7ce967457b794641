// SPDX-License-Identifier: Apache-2.0
// Runs of steps of one row with int8 weights: each step makes codes of x and h, and of r * h where the cell resets
// first.

// What the panels of a step read beside the weights. x: NULL where init has its products already.
typedef struct i8_operands {
    const int8_t *x, *h;
    vf x_scale, h_scale;
    const float *init;
    size_t backward;
} i8_operands;

// The codes of x and of h lie behind one another.
TRN_INLINE i8_operands i8_step_at(const trn_steps *s, size_t at, const float *h, size_t h_range) {
    const float *ranges = s->ranges;
    const steps_operands f = steps_at(s, at, h);
    i8_operands o = {.h = s->codes + (s->k + 31) / 32 * 32, .init = f.init, .backward = f.backward};
    if (s->k) o.x = s->codes, o.x_scale = i8_code(s->k, f.x, ranges, s->codes);
    else o.x_scale = vf_zero();
    o.h_scale = i8_code(s->n, h, ranges ? ranges + h_range : NULL, s->codes + (s->k + 31) / 32 * 32);
    return o;
}

// The sums of a panel whose first column is `column`, of `vectors` vectors. x_part, hidden_init: of the GRU that resets
// after its product, from the panel's first unit on: its hidden gate ends with x, and h starts from a bias of its own.
TRN_INLINE void i8_step_run(const trn_steps *s, const i8_operands *o, size_t column, float *sums, float *x_part,
                            const float *hidden_init, const int vectors) {
    enum { GATE = CELL_BLOCK / VF_LANES };
    const size_t x_quads = (s->k + 3) / 4, h_quads = (s->n + 3) / 4, stride = (size_t)vectors * VF_LANES * I8_CELL;
    i8_sums sum;
    vf value[I8_VECTORS];
    I8_UNROLL for (int j = 0; j < vectors; j++) value[j] = vf_load(o->init + column + (size_t)j * VF_LANES);
    if (o->x) {
        const char *w = (const char *)s->w + column * I8_CELL * (x_quads + 2);
        i8_accumulate(sum, x_quads, o->x, 0, w, stride, 1, vectors);
        w += (x_quads + 1) * stride;
        I8_UNROLL for (int j = 0; j < vectors; j++) value[j] =
            i8_value(value[j], sum[0][j], o->x_scale, w + (size_t)j * VF_LANES * I8_CELL);
    }
    if (x_part) I8_UNROLL for (int j = 0; j < GATE; j++) {
            vf_store(x_part + j * VF_LANES, value[2 * GATE + j]);
            value[2 * GATE + j] = vf_load(hidden_init + j * VF_LANES);
        }
    const char *r = (const char *)s->r + column * I8_CELL * (h_quads + 2);
    i8_accumulate(sum, h_quads, o->h, 0, r, stride, 1, vectors);
    r += (h_quads + 1) * stride;
    I8_UNROLL for (int j = 0; j < vectors; j++)
        vf_store(sums + column + (size_t)j * VF_LANES,
                 i8_value(value[j], sum[0][j], o->h_scale, r + (size_t)j * VF_LANES * I8_CELL));
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
        const i8_operands o = i8_step_at(s, at, state.h, 1);
        i8_step_multiply(s, &o, steps_padded(s), 64, s->scratch);
        TRN_KERNEL(i8_rnn_cell)(state.units, s->scratch, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

static void TRN_KERNEL(i8_lstm_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        const i8_operands o = i8_step_at(s, at, state.h, 1);
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
        const i8_operands o = i8_step_at(s, at, state.h, 1);
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
        i8_operands o = i8_step_at(s, at, state.h, 1);
        i8_step_multiply(s, &o, 2 * padded, 2 * CELL_BLOCK, s->scratch);
        TRN_KERNEL(i8_gru_reset)(state.units, s->scratch, state.h, reset_h);
        o.init = s->hidden_init + (ptrdiff_t)at * s->hidden_init_stride;
        o.h_scale = i8_code(s->n, reset_h, s->ranges ? s->ranges + 2 : NULL, s->codes + (s->k + 31) / 32 * 32);
        i8_step_multiply(&last, &o, padded, 64, hidden);
        TRN_KERNEL(i8_gru_update)(state.units, s->scratch, hidden, state.h, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}
