// SPDX-License-Identifier: Apache-2.0
// Runs of steps of one row with weights of whole numbers: each step makes codes of x and h, and of r * h where the cell
// resets first.

// Codes times a matrix: what is added to the sums of a step.
typedef struct i8_term {
    const int8_t *codes;
    const char *w;    // the matrix
    size_t cells;     // of a column
    float scale;
} i8_term;

// What the panels of a step read. terms: one or two of x, unless init has its products already, then that of h, or of r * h.
typedef struct i8_operands {
    i8_term terms[4], *h, *end;  // where that of h stands, and where all end
    const float *init;
    size_t wide, far, backward;  // whether weights have 16 bits, and are far away; whether panels are walked from the last one
} i8_operands;

// Makes the terms of k elements of x: one, or two where it takes two rows of codes; gives the one behind them. range: which
// one of s->ranges it is; h and r * h have their codes behind those of x.
TRN_INLINE i8_term *i8_step_terms(const trn_steps *s, i8_term *term, size_t k, const float *x, const size_t range,
                                  const char *w) {
    const float *bound = s->ranges ? s->ranges + range : NULL;
    int8_t *codes = s->codes + (range > 0 ? 2 * trn_codes_size(s->k) : 0);
    float scales[2];
    TRN_KERNEL(i8_quantize)(k, x, bound, trn_coding_of(s->per_cell, range > 0), codes, scales);
    *term = (i8_term){codes, w, i8_cells(k, s->per_cell), scales[0]};
    if (scales[1] == 0) return term + 1;
    term[1] = *term;
    term[1].codes += trn_codes_size(k), term[1].scale = scales[1];
    return term + 2;
}

// Of a model that is far away, the first weights that step `at` reads, of matrices with so many columns, walked in panels of
// so many, arrive while codes are made.
static TRN_NOINLINE void i8_step_fetch(const trn_steps *s, size_t at, size_t columns, size_t panel) {
    enum { LINES = 16, LINE = 64 };
    const size_t column = steps_part((s->turn + at) & 1, 0, columns, panel), k = s->k ? s->k : s->n;
    const char *w = s->k ? s->w : s->r;
    w += column * i8_rows_of_cells(i8_cells(k, s->per_cell), s->per_cell) * I8_CELL;
    TRN_ROLLED for (size_t i = 0; i < LINES; i++) vf_fetch((const float *)(w + i * LINE));
}
TRN_INLINE void i8_step_prepare(const trn_steps *s, size_t at, size_t columns, size_t panel) {
    if (VI_ROW_AHEAD > 0 && s->far) i8_step_fetch(s, at, columns, panel);
}

static TRN_NOINLINE void i8_step_begin(const trn_steps *s, i8_operands *o, size_t at, const float *h) {
    const steps_operands f = steps_at(s, at, h);
    o->init = f.init, o->wide = s->per_cell == 2, o->far = s->far, o->backward = f.backward;
    o->h = s->k ? i8_step_terms(s, o->terms, s->k, f.x, 0, s->w) : o->terms;
    o->end = i8_step_terms(s, o->h, s->n, h, 1, s->r);
}

// The hidden gate's operands, of a GRU that resets before its product.
static TRN_NOINLINE void i8_step_again(const trn_steps *s, i8_operands *o, size_t at, const float *reset_h) {
    for (i8_term *term = o->terms; term < o->h; term++) term->w = s->hidden_w;
    o->init = s->hidden_init + (ptrdiff_t)at * s->hidden_init_stride;
    o->end = i8_step_terms(s, o->h, s->n, reset_h, 2, s->hidden_r);
}

// The GRU that resets after its product: its hidden gate ends with x, and h starts from a bias of its own.
typedef struct i8_hidden {
    float *x_part;
    const float *init;
} i8_hidden;

// Where vector j of the hidden gates of `panels` panels is among their vectors; the gate begins with that of `hidden`.
enum { I8_GATE = CELL_BLOCK / VF_LANES };
TRN_INLINE size_t i8_of_gate(size_t j, const int hidden, const size_t vectors) {
    return j / I8_GATE * vectors + (size_t)hidden + j % I8_GATE;
}

// Between the terms of x and of h: what the hidden gates have becomes x_part, and their sums in y start anew. Without terms
// of x they all stand in init until then.
TRN_INLINE void i8_step_hidden(const float *init, float *y, const i8_hidden gate, const int hidden, const size_t panels,
                               const size_t vectors) {
    I8_UNROLL for (size_t j = 0; j < panels * I8_GATE; j++)
        vf_store(gate.x_part + j * VF_LANES, vf_load(init + i8_of_gate(j, hidden, vectors) * VF_LANES));
    if (init != y)
        I8_UNROLL for (size_t j = 0; j < panels * vectors; j++) vf_store(y + j * VF_LANES, vf_load(init + j * VF_LANES));
    I8_UNROLL for (size_t j = 0; j < panels * I8_GATE; j++)
        vf_store(y + i8_of_gate(j, hidden, vectors) * VF_LANES, vf_load(gate.init + j * VF_LANES));
}

// The sums of `vectors` vectors from `within` on of the panel whose first column is `column`, `width` wide, or of whole
// panels. hidden: of those of a panel, the first of the GRU's hidden gate, whose places in `gate` these are; -1: there are
// none.
TRN_INLINE void i8_step_run(const i8_operands *o, const int wide, const size_t ahead, size_t column, size_t width,
                            size_t within, float *sums, const i8_hidden gate, const int hidden, const size_t panels,
                            const size_t vectors) {
    const size_t stride = width * I8_CELL, all = panels * vectors;
    const float *init = o->init + column + within;
    float *y = sums + column + within;
    const int kept = all * VF_LANES <= 8 * VI_KEPT;
    i8_sums sum;
    vf value[VF_TILE_PANELS * I8_VECTORS];  // what the sums are worth so far, or in y where that is not kept
    I8_UNROLL for (size_t j = 0; j < all && kept; j++) value[j] = vf_load(init + j * VF_LANES);
    for (const i8_term *term = o->terms, *h = o->h, *end = o->end; term < end; term++, init = y) {
        const size_t rows = i8_rows_of_cells(term->cells, wide ? 2 : 4), w_panel = rows * stride;
        const char *w = term->w + (column * rows + within) * I8_CELL;
        if (hidden >= 0 && term == h && !kept) i8_step_hidden(init, y, gate, hidden, panels, vectors), init = y;
        if (hidden >= 0 && term == h && kept) I8_UNROLL for (size_t j = 0; j < panels * I8_GATE; j++) {
                vf_store(gate.x_part + j * VF_LANES, value[i8_of_gate(j, hidden, vectors)]);
                value[i8_of_gate(j, hidden, vectors)] = vf_load(gate.init + j * VF_LANES);
            }
        w = i8_accumulate(sum, wide, term->cells, term->codes, 0, w, stride, w_panel, NULL, 0, ahead, 1, panels, vectors);
        const vf scale = vf_set1(term->scale);
        I8_UNROLL for (size_t j = 0; j < all; j++) {
            const vf before = kept ? value[j] : vf_load(init + j * VF_LANES);
            value[j] = i8_value(before, vsum_total(sum[0][j]), scale, w + i8_at(j, w_panel, vectors));
            if (!kept) vf_store(y + j * VF_LANES, value[j]);
        }
    }
    I8_UNROLL for (size_t j = 0; j < all && kept; j++) vf_store(y + j * VF_LANES, value[j]);
}

typedef void i8_step_function(const i8_operands *o, size_t column, size_t width, float *sums);

// A panel, by its width in sixteens: as much of it at once as the registers hold the sums of. With few of them that is 16
// columns of any panel, by a single function.
TRN_INLINE void i8_step_panel(const i8_operands *o, const int wide, const size_t ahead, size_t column, size_t width,
                              float *sums, const size_t sixteens) {
    const size_t whole = VI_ROW_SUMS >= 6 ? 16 * sixteens : width;
    const size_t part = VI_ROW_SUMS >= 6 ? gemm_part_of(whole, VI_ROW_SUMS) : 16;
    for (size_t within = 0; within < width; within += part)
        i8_step_run(o, wide, ahead, column, whole, within, sums, (i8_hidden){NULL, NULL}, -1, 1, part / VF_LANES);
}
#define I8_STEP(name, wide, ahead, sixteens)                                                        \
    static TRN_NOINLINE void name(const i8_operands *o, size_t column, size_t width, float *sums) { \
        i8_step_panel(o, wide, ahead, column, width, sums, sixteens);                               \
    }
I8_STEP(i8_step_1, 0, 0, 1)
I8_STEP(i16_step_1, 1, 0, 1)
#if VI_ROW_SUMS >= 6
I8_STEP(i8_step_2, 0, 0, 2)
I8_STEP(i16_step_2, 1, 0, 2)
I8_STEP(i8_step_3, 0, 0, 3)
I8_STEP(i16_step_3, 1, 0, 3)
I8_STEP(i8_step_4, 0, 0, 4)
I8_STEP(i16_step_4, 1, 0, 4)
#else
#define i8_step_2 i8_step_1
#define i8_step_3 i8_step_1
#define i8_step_4 i8_step_1
#define i16_step_2 i16_step_1
#define i16_step_3 i16_step_1
#define i16_step_4 i16_step_1
#endif
#if VI_ROW_AHEAD > 0
I8_STEP(i8_step_far, 0, VI_ROW_AHEAD, 4)
I8_STEP(i16_step_far, 1, VI_ROW_AHEAD, 4)
#else
#define i8_step_far i8_step_4
#define i16_step_far i16_step_4
#endif
#if VI_ROW_SUMS >= 16
_Static_assert(VF_TILE_PANELS >= 2 && VI_ROW_AHEAD == 0, "two panels have sums of two, and are not fetched ahead");
// Two of the widest panels at once: half the loops, whose ends cost more than the products of many columns.
#define I8_STEP_TWO(name, wide)                                                                     \
    static TRN_NOINLINE void name(const i8_operands *o, size_t column, float *sums) {               \
        i8_step_run(o, wide, 0, column, 64, 0, sums, (i8_hidden){NULL, NULL}, -1, 2, 64 / VF_LANES); \
    }
I8_STEP_TWO(i8_step_two, 0)
I8_STEP_TWO(i16_step_two, 1)
#endif
// By whether weights have 16 bits, whether they are far, which counts for the widest panels alone, and sixteens.
static i8_step_function *const i8_step[2][2][5] = {
    {{NULL, i8_step_1, i8_step_2, i8_step_3, i8_step_4}, {NULL, i8_step_1, i8_step_2, i8_step_3, i8_step_far}},
    {{NULL, i16_step_1, i16_step_2, i16_step_3, i16_step_4}, {NULL, i16_step_1, i16_step_2, i16_step_3, i16_step_far}},
};

// The three gates of 16 units of the GRU that resets after its product, or of as many in each of several panels.
typedef void i8_gru_function(const trn_steps *s, const i8_operands *o, size_t unit, float *x_part);
TRN_INLINE void i8_step_gates(const trn_steps *s, const i8_operands *o, const int wide, const size_t ahead, size_t unit,
                              float *x_part, const size_t panels) {
    enum { WIDTH = 3 * CELL_BLOCK, HIDDEN = 2 * CELL_BLOCK };
    const i8_hidden gate = {x_part + unit, s->hidden_init + unit};
#if VI_ROW_SUMS >= 6
    i8_step_run(o, wide, ahead, 3 * unit, WIDTH, 0, s->scratch, gate, HIDDEN / VF_LANES, panels, WIDTH / VF_LANES);
#else
    _Static_assert(VF_TILE_PANELS == 1, "parts of a panel leave out what is between them and the next panel");
    TRN_ROLLED for (size_t within = 0; within < HIDDEN; within += CELL_BLOCK)
        i8_step_run(o, wide, ahead, 3 * unit, WIDTH, within, s->scratch, gate, -1, panels, CELL_BLOCK / VF_LANES);
    i8_step_run(o, wide, ahead, 3 * unit, WIDTH, HIDDEN, s->scratch, gate, 0, panels, CELL_BLOCK / VF_LANES);
#endif
}
#define I8_GRU(name, wide, ahead, panels)                                                                 \
    static TRN_NOINLINE void name(const trn_steps *s, const i8_operands *o, size_t unit, float *x_part) { \
        i8_step_gates(s, o, wide, ahead, unit, x_part, panels);                                           \
    }
I8_GRU(i8_step_gru, 0, 0, 1)
I8_GRU(i16_step_gru, 1, 0, 1)
#if VF_TILE_PANELS >= 2
I8_GRU(i8_step_gru_two, 0, 0, VF_TILE_PANELS)
#else
#define i8_step_gru_two i8_step_gru
#endif
#if VI_ROW_AHEAD > 0
I8_GRU(i8_step_gru_far, 0, VI_ROW_AHEAD, VF_TILE_PANELS)
#else
#define i8_step_gru_far i8_step_gru_two
#endif
// For a panel, and by whether weights are far for VF_TILE_PANELS of int8: neighbours read the codes once and keep two
// streams of memory busy. GRUs that are large and in 16 bits do without loops of their own, which would gain them 2 %.
static i8_gru_function *const i8_gru[2] = {i8_step_gru, i16_step_gru};
static i8_gru_function *const i8_gru_several[2] = {i8_step_gru_two, i8_step_gru_far};

TRN_INLINE void i8_step_all_gates(const trn_steps *s, const i8_operands *o, size_t padded, float *x_part) {
    enum { SEVERAL = VF_TILE_PANELS * CELL_BLOCK };
    for (size_t done = 0, part; done < padded; done += part) {
        const size_t left = padded - done;
        i8_gru_function *run = i8_gru[o->wide];
        part = CELL_BLOCK;
        if (!o->wide && left >= SEVERAL) run = i8_gru_several[o->far], part = SEVERAL;
        run(s, o, o->backward ? left - part : done, x_part);
    }
}

// So many columns of a step: a panel, or what there is of two.
TRN_INLINE void i8_step_columns(const i8_operands *o, size_t column, size_t count, size_t panel, float *sums) {
#if VI_ROW_SUMS >= 16
    if (count == 128) {
        (o->wide ? i16_step_two : i8_step_two)(o, column, sums);
        return;
    }
    if (count > panel) {
        i8_step[o->wide][o->far][panel / 16](o, column, panel, sums);
        column += panel, count -= panel;
    }
#endif
    (void)panel;
    i8_step[o->wide][o->far][count / 16](o, column, count, sums);
}

// All columns of a step, in panels from the first on or from the last.
TRN_INLINE void i8_step_multiply(const i8_operands *o, size_t columns, size_t panel, float *sums) {
    const size_t part = VI_ROW_SUMS >= 16 && panel == 64 ? 128 : panel;
    for (size_t i = 0; i < (columns + part - 1) / part; i++) {
        const size_t column = steps_part(o->backward, i, columns, part), left = columns - column;
        i8_step_columns(o, column, left < part ? left : part, panel, sums);
    }
}

TRN_SLOT void TRN_KERNEL(i8_rnn_steps)(const trn_steps *s) {
    const steps_state state = steps_begin(s);
    for (size_t at = 0; at < s->count; at++) {
        i8_operands o;
        i8_step_prepare(s, at, steps_padded(s), 64);
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
        i8_step_prepare(s, at, 4 * steps_padded(s), 4 * CELL_BLOCK);
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
        i8_step_prepare(s, at, 3 * padded, VF_TILE_PANELS * 3 * CELL_BLOCK);
        i8_step_begin(s, &o, at, state.h);
        i8_step_all_gates(s, &o, padded, x_part);
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
        i8_step_prepare(s, at, 2 * padded, 2 * CELL_BLOCK);
        i8_step_begin(s, &o, at, state.h);
        i8_step_multiply(&o, 2 * padded, 2 * CELL_BLOCK, s->scratch);
        TRN_KERNEL(i8_gru_reset)(state.units, s->scratch, state.h, reset_h);
        i8_step_again(s, &o, at, reset_h);
        i8_step_multiply(&o, padded, 64, hidden);
        TRN_KERNEL(i8_gru_update)(state.units, s->scratch, hidden, state.h, state.h);
        steps_put(s, at, state.h);
    }
    steps_end(s, &state);
}
