// SPDX-License-Identifier: Apache-2.0
// Runs of steps of one row with weights of whole numbers: each step makes codes of x and h, and of r * h where the cell
// resets first.

// Codes times a matrix: what is added to the sums of a step.
typedef struct i8_term {
    const int8_t *codes;
    const char *w;         // the matrix
    size_t cells, column;  // cells of a column; bytes of one, with all that stands in it
    float scale;
} i8_term;

// What the panels of a step read. terms: one or two of x, unless init has its products already, then as many of h.
typedef struct i8_operands {
    i8_term terms[4], *h, *end;  // where those of h begin, and where all end
    const float *init;
    size_t wide, backward;  // whether weights have 16 bits; whether panels are walked from the last one
} i8_operands;

// Adds the terms of k elements of x: one, or two where it takes two rows of codes. range: which one of
// s->ranges it is; h and r * h have their codes behind those of x.
static TRN_NOINLINE void i8_step_terms(const trn_steps *s, i8_operands *o, size_t k, const float *x, size_t range,
                                       const char *w) {
    const size_t cells = i8_cells(k, s->per_cell);
    int8_t *codes = s->codes + (range > 0 ? 2 * trn_codes_size(s->k) : 0);
    float scales[2];
    const float *bound = s->ranges ? s->ranges + range : NULL;
    TRN_KERNEL(i8_quantize)(k, x, bound, trn_coding_of(s->per_cell, range > 0), codes, scales);
    *o->end++ = (i8_term){codes, w, cells, i8_rows_of_cells(cells, s->per_cell) * I8_CELL, scales[0]};
    if (scales[1] == 0) return;
    *o->end = o->end[-1];
    o->end->codes += trn_codes_size(k), o->end->scale = scales[1];
    o->end++;
}

TRN_INLINE void i8_step_begin(const trn_steps *s, i8_operands *o, size_t at, const float *h) {
    const steps_operands f = steps_at(s, at, h);
    o->end = o->terms, o->init = f.init, o->wide = s->per_cell == 2, o->backward = f.backward;
    if (s->k) i8_step_terms(s, o, s->k, f.x, 0, s->w);
    o->h = o->end;
    i8_step_terms(s, o, s->n, h, 1, s->r);
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
TRN_INLINE void i8_step_run(const i8_operands *o, const int wide, size_t column, size_t width, size_t within,
                            float *sums, const i8_hidden gate, const int hidden, const size_t vectors) {
    const size_t stride = width * I8_CELL;
    const float *init = o->init + column + within;
    float *y = sums + column + within;
    const int kept = vectors * VF_LANES <= 8 * VI_KEPT;
    i8_sums sum;
    vf value[I8_VECTORS];  // what the sums are worth so far, or in y where that is not kept
    I8_UNROLL for (size_t j = 0; j < vectors && kept; j++) value[j] = vf_load(init + j * VF_LANES);
    for (const i8_term *term = o->terms, *h = o->h, *end = o->end; term < end; term++, init = y) {
        const char *w = term->w + column * term->column + within * I8_CELL;
        if (hidden >= 0 && term == h && !kept) i8_step_hidden(init, y, gate, hidden, vectors), init = y;
        if (hidden >= 0 && term == h && kept) I8_UNROLL for (size_t j = 0; j < CELL_BLOCK / VF_LANES; j++) {
                vf_store(gate.x_part + j * VF_LANES, value[hidden + j]);
                value[hidden + j] = vf_load(gate.init + j * VF_LANES);
            }
        w = i8_accumulate(sum, wide, term->cells, term->codes, 0, w, stride, NULL, 0, 1, vectors);
        const vf scale = vf_set1(term->scale);
        I8_UNROLL for (size_t j = 0; j < vectors; j++) {
            const vf before = kept ? value[j] : vf_load(init + j * VF_LANES);
            value[j] = i8_value(before, vsum_total(sum[0][j]), scale, w + j * VF_LANES * I8_CELL);
            if (!kept) vf_store(y + j * VF_LANES, value[j]);
        }
    }
    I8_UNROLL for (size_t j = 0; j < vectors && kept; j++) vf_store(y + j * VF_LANES, value[j]);
}

typedef void i8_step_function(const i8_operands *o, size_t column, size_t width, float *sums);

// A panel, by its width in sixteens: as much of it at once as the registers hold the sums of. With few of them that is 16
// columns of any panel, by a single function.
TRN_INLINE void i8_step_panel(const i8_operands *o, const int wide, size_t column, size_t width, float *sums,
                              const size_t sixteens) {
    const size_t whole = VI_ROW_SUMS >= 6 ? 16 * sixteens : width;
    const size_t part = VI_ROW_SUMS >= 6 ? gemm_part_of(whole, VI_ROW_SUMS) : 16;
    for (size_t within = 0; within < width; within += part)
        i8_step_run(o, wide, column, whole, within, sums, (i8_hidden){NULL, NULL}, -1, part / VF_LANES);
}
#define I8_STEP(sixteens)                                                                                          \
    static TRN_NOINLINE void i8_step_##sixteens(const i8_operands *o, size_t column, size_t width, float *sums) {  \
        i8_step_panel(o, 0, column, width, sums, sixteens);                                                        \
    }                                                                                                              \
    static TRN_NOINLINE void i16_step_##sixteens(const i8_operands *o, size_t column, size_t width, float *sums) { \
        i8_step_panel(o, 1, column, width, sums, sixteens);                                                        \
    }
I8_STEP(1)
#if VI_ROW_SUMS >= 6
I8_STEP(2)
I8_STEP(3)
I8_STEP(4)
static i8_step_function *const i8_step[2][5] = {{NULL, i8_step_1, i8_step_2, i8_step_3, i8_step_4},
                                                {NULL, i16_step_1, i16_step_2, i16_step_3, i16_step_4}};
#else
static i8_step_function *const i8_step[2][5] = {{NULL, i8_step_1, i8_step_1, i8_step_1, i8_step_1},
                                                {NULL, i16_step_1, i16_step_1, i16_step_1, i16_step_1}};
#endif

// The three gates of 16 units of the GRU that resets after its product.
TRN_INLINE void i8_step_gates(const trn_steps *s, const i8_operands *o, const int wide, size_t unit, float *x_part) {
    enum { WIDTH = 3 * CELL_BLOCK, HIDDEN = 2 * CELL_BLOCK };
    const i8_hidden gate = {x_part + unit, s->hidden_init + unit};
#if VI_ROW_SUMS >= 6
    i8_step_run(o, wide, 3 * unit, WIDTH, 0, s->scratch, gate, HIDDEN / VF_LANES, WIDTH / VF_LANES);
#else
    TRN_ROLLED for (size_t within = 0; within < HIDDEN; within += CELL_BLOCK)
        i8_step_run(o, wide, 3 * unit, WIDTH, within, s->scratch, gate, -1, CELL_BLOCK / VF_LANES);
    i8_step_run(o, wide, 3 * unit, WIDTH, HIDDEN, s->scratch, gate, 0, CELL_BLOCK / VF_LANES);
#endif
}
static TRN_NOINLINE void i8_step_gru(const trn_steps *s, const i8_operands *o, size_t unit, float *x_part) {
    i8_step_gates(s, o, 0, unit, x_part);
}
static TRN_NOINLINE void i16_step_gru(const trn_steps *s, const i8_operands *o, size_t unit, float *x_part) {
    i8_step_gates(s, o, 1, unit, x_part);
}

// All columns of a step, in panels from the first on or from the last.
TRN_INLINE void i8_step_multiply(const i8_operands *o, size_t columns, size_t panel, float *sums) {
    for (size_t i = 0; i < (columns + panel - 1) / panel; i++) {
        const size_t column = (o->backward ? (columns - 1) / panel - i : i) * panel, left = columns - column;
        const size_t width = left < panel ? left : panel;
        i8_step[o->wide][width / 16](o, column, width, sums);
    }
}

TRN_SLOT void TRN_KERNEL(i8_rnn_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        i8_operands o;
        i8_step_begin(s, &o, at, state.h);
        i8_step_multiply(&o, steps_padded(s), 64, s->scratch);
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
        i8_step_multiply(&o, 4 * steps_padded(s), 4 * CELL_BLOCK, s->scratch);
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
            (o.wide ? i16_step_gru : i8_step_gru)(s, &o, o.backward ? padded - CELL_BLOCK - i : i, x_part);
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
        i8_step_multiply(&o, 2 * padded, 2 * CELL_BLOCK, s->scratch);
        TRN_KERNEL(i8_gru_reset)(state.units, s->scratch, state.h, reset_h);
        for (i8_term *term = o.terms; term < o.h; term++) term->w = s->hidden_w;
        o.init = s->hidden_init + (ptrdiff_t)at * s->hidden_init_stride;
        o.end = o.h;
        i8_step_terms(s, &o, s->n, reset_h, 2, s->hidden_r);
        i8_step_multiply(&o, padded, 64, hidden);
        TRN_KERNEL(i8_gru_update)(state.units, s->scratch, hidden, state.h, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}
