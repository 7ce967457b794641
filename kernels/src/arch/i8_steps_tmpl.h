// SPDX-License-Identifier: Apache-2.0
// Runs of steps of one row with int8 weights: each step makes codes of x and h, and of r * h where the cell resets
// first.

// Codes times a matrix: what is added to the sums of a step.
typedef struct i8_term {
    const int8_t *codes;
    const char *w;
    size_t quads, used;  // cells of a column of a plane; planes, from the first on
    const float *scale;
} i8_term;

// What the panels of a step read. terms: one or two of x, unless init has its products already, then as many of h.
typedef struct i8_operands {
    i8_term terms[4];
    size_t inputs, count;  // terms of x; all of them
    const float *init;
    size_t backward;
    float x_scales[2], h_scales[2];
} i8_operands;

// Adds the terms of k elements of x: one, or two where it takes two rows of codes.
TRN_INLINE void i8_step_terms(const trn_steps *s, i8_operands *o, size_t k, const float *x, size_t range, int fine,
                              const void *w, int8_t *codes, float scales[2]) {
    TRN_KERNEL(i8_quantize)(k, x, s->ranges ? s->ranges + range : NULL, fine, codes, scales);
    for (size_t row = 0; row < 1u + (scales[1] != 0); row++) {
        i8_term *term = &o->terms[o->count++];
        term->codes = codes + row * trn_codes_size(k), term->w = w, term->quads = (k + 3) / 4;
        term->used = row ? 1 : s->planes, term->scale = scales + row;
    }
}

// Of h, whose codes lie behind those of x.
TRN_INLINE void i8_step_h(const trn_steps *s, i8_operands *o, const float *h, size_t range, const void *r) {
    o->count = o->inputs;
    i8_step_terms(s, o, s->n, h, range, trn_fine(s->planes, 1), r, s->codes + 2 * trn_codes_size(s->k), o->h_scales);
}

TRN_INLINE void i8_step_begin(const trn_steps *s, i8_operands *o, size_t at, const float *h) {
    const steps_operands f = steps_at(s, at, h);
    o->count = 0, o->init = f.init, o->backward = f.backward;
    if (s->k) i8_step_terms(s, o, s->k, f.x, 0, trn_fine(s->planes, 0), s->w, s->codes, o->x_scales);
    o->inputs = o->count;
    i8_step_h(s, o, h, 1, s->r);
}

// The GRU that resets after its product: its hidden gate ends with x, and h starts from a bias of its own.
typedef struct i8_hidden {
    float *x_part;
    const float *init;
} i8_hidden;

// Between the terms of x and of h: what the hidden gate has becomes x_part, and its sums in y start anew. Without terms of
// x they all stand in init until then.
TRN_INLINE void i8_step_hidden(const float *init, float *y, const i8_hidden gate, const int hidden, const size_t vectors) {
    I8_UNROLL for (size_t j = 0; j < CELL_BLOCK / VF_LANES; j++)
        vf_store(gate.x_part + j * VF_LANES, vf_load(init + (hidden + j) * VF_LANES));
    if (init != y) I8_UNROLL for (size_t j = 0; j < vectors; j++) vf_store(y + j * VF_LANES, vf_load(init + j * VF_LANES));
    I8_UNROLL for (size_t j = 0; j < CELL_BLOCK / VF_LANES; j++)
        vf_store(y + (hidden + j) * VF_LANES, vf_load(gate.init + j * VF_LANES));
}

// The sums of `vectors` vectors from `within` on of the panel whose first column is `column`, `width` wide. hidden: of
// those, the first of the GRU's hidden gate, whose places in `gate` these are; -1: there are none.
TRN_INLINE void i8_step_run(const trn_steps *s, const i8_operands *o, size_t column, size_t width, size_t within,
                            float *sums, const i8_hidden gate, const int hidden, const size_t vectors) {
    const size_t stride = width * I8_CELL;
    const float *init = o->init + column + within;
    float *y = sums + column + within;
    const int kept = vectors * VF_LANES <= 8 * VI_KEPT;
    i8_sums sum;
    vf value[I8_VECTORS];  // what the sums are worth so far, or in y where that is not kept
    I8_UNROLL for (size_t j = 0; j < vectors && kept; j++) value[j] = vf_load(init + j * VF_LANES);
    for (size_t t = 0; t < o->count; t++) {
        const i8_term *term = &o->terms[t];
        const char *w = term->w + (column * s->planes * (term->quads + 2) + within) * I8_CELL;
        if (hidden >= 0 && t == o->inputs && !kept) i8_step_hidden(init, y, gate, hidden, vectors), init = y;
        if (hidden >= 0 && t == o->inputs && kept) I8_UNROLL for (size_t j = 0; j < CELL_BLOCK / VF_LANES; j++) {
                vf_store(gate.x_part + j * VF_LANES, value[hidden + j]);
                value[hidden + j] = vf_load(gate.init + j * VF_LANES);
            }
        for (size_t plane = 0; plane < term->used; plane++, w += stride, init = y) {
            i8_accumulate(sum, term->quads, term->codes, 0, w, stride, 1, vectors);
            w += (term->quads + 1) * stride;
            const vf scale = vf_set1(*term->scale);
            I8_UNROLL for (size_t j = 0; j < vectors; j++) {
                const vf before = kept ? value[j] : vf_load(init + j * VF_LANES);
                value[j] = i8_value(before, vsum_total(sum[0][j]), scale, w + j * VF_LANES * I8_CELL);
                if (!kept) vf_store(y + j * VF_LANES, value[j]);
            }
        }
    }
    I8_UNROLL for (size_t j = 0; j < vectors && kept; j++) vf_store(y + j * VF_LANES, value[j]);
}

typedef void i8_step_function(const trn_steps *s, const i8_operands *o, size_t column, size_t width, size_t within,
                              float *sums);
#define I8_STEP(sixteens)                                                                                   \
    static TRN_NOINLINE void i8_step_##sixteens(const trn_steps *s, const i8_operands *o, size_t column,    \
                                                size_t width, size_t within, float *sums) {                 \
        const size_t whole = I8_WIDTH(sixteens, width);                                                     \
        i8_step_run(s, o, column, whole, within, sums, (i8_hidden){NULL, NULL}, -1, 16 / VF_LANES * (sixteens)); \
    }
#define I8_STEP_NAME(sixteens) i8_step_##sixteens,
I8_WIDTHS(I8_STEP)
static i8_step_function *const i8_step[] = {NULL, I8_WIDTHS(I8_STEP_NAME)};

// A panel, as much of it at once as the registers hold the sums of.
TRN_INLINE void i8_step_panel(const trn_steps *s, const i8_operands *o, size_t column, size_t width, float *sums) {
    const size_t part = gemm_part_of(width, VI_ROW_SUMS);
    for (size_t within = 0; within < width; within += part) i8_step[part / 16](s, o, column, width, within, sums);
}

// The three gates of 16 units of the GRU that resets after its product.
static TRN_NOINLINE void i8_step_gru(const trn_steps *s, const i8_operands *o, size_t unit, float *x_part) {
    enum { WIDTH = 3 * CELL_BLOCK, HIDDEN = 2 * CELL_BLOCK };
    const i8_hidden gate = {x_part + unit, s->hidden_init + unit};
#if VI_ROW_SUMS >= 6
    i8_step_run(s, o, 3 * unit, WIDTH, 0, s->scratch, gate, HIDDEN / VF_LANES, WIDTH / VF_LANES);
#else
    i8_step_1(s, o, 3 * unit, WIDTH, 0, s->scratch);
    i8_step_1(s, o, 3 * unit, WIDTH, CELL_BLOCK, s->scratch);
    i8_step_run(s, o, 3 * unit, WIDTH, HIDDEN, s->scratch, gate, 0, CELL_BLOCK / VF_LANES);
#endif
}

// All columns of a step, in panels from the first on or from the last.
TRN_INLINE void i8_step_multiply(const trn_steps *s, const i8_operands *o, size_t columns, size_t panel, float *sums) {
    for (size_t i = 0; i < (columns + panel - 1) / panel; i++) {
        const size_t column = (o->backward ? (columns - 1) / panel - i : i) * panel, left = columns - column;
        i8_step_panel(s, o, column, left < panel ? left : panel, sums);
    }
}

TRN_SLOT void TRN_KERNEL(i8_rnn_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        i8_operands o;
        i8_step_begin(s, &o, at, state.h);
        i8_step_multiply(s, &o, steps_padded(s), 64, s->scratch);
        TRN_KERNEL(i8_rnn_cell)(state.units, s->scratch, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

TRN_SLOT void TRN_KERNEL(i8_lstm_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        i8_operands o;
        i8_step_begin(s, &o, at, state.h);
        i8_step_multiply(s, &o, 4 * steps_padded(s), 4 * CELL_BLOCK, s->scratch);
        TRN_KERNEL(i8_lstm_cell)(state.units, s->scratch, state.c, state.c, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

TRN_SLOT void TRN_KERNEL(i8_gru_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    const size_t padded = steps_padded(s);
    float *x_part = s->scratch + 3 * padded;
    for (size_t at = 0; at < s->count; at++) {
        i8_operands o;
        i8_step_begin(s, &o, at, state.h);
        for (size_t i = 0; i < padded; i += CELL_BLOCK)
            i8_step_gru(s, &o, o.backward ? padded - CELL_BLOCK - i : i, x_part);
        cell_i8_gru(state.units, x_part, CELL_BLOCK, s->scratch, state.h, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}

TRN_SLOT void TRN_KERNEL(i8_gru_before_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    const size_t padded = steps_padded(s);
    float *hidden = s->scratch + 2 * padded, *reset_h = hidden + padded;
    for (size_t at = 0; at < s->count; at++) {
        i8_operands o;
        i8_step_begin(s, &o, at, state.h);
        i8_step_multiply(s, &o, 2 * padded, 2 * CELL_BLOCK, s->scratch);
        TRN_KERNEL(i8_gru_reset)(state.units, s->scratch, state.h, reset_h);
        for (size_t t = 0; t < o.inputs; t++) o.terms[t].w = s->hidden_w;
        o.init = s->hidden_init + (ptrdiff_t)at * s->hidden_init_stride;
        i8_step_h(s, &o, reset_h, 2, s->hidden_r);
        i8_step_multiply(s, &o, padded, 64, hidden);
        TRN_KERNEL(i8_gru_update)(state.units, s->scratch, hidden, state.h, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}
