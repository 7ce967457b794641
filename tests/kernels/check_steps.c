// SPDX-License-Identifier: Apache-2.0
// Runs of steps of one row: beside the reference of the class (with weights of int8 and int16: of scalar), and beside
// matrix product and cell one after the other, byte for byte; forward and backward, with and without the input's
// product done beforehand.
#include "check.h"
#include "i8.h"

typedef struct problem {
    size_t count, n, k, padded, gates, per_cell;
    int backward, apart, hidden_gate;
    check_buffer x, w, r, bias, hidden_w, hidden_r, hidden_bias, h, c;
    const float *ranges;
} problem;

enum { RNN, LSTM, GRU, GRU_BEFORE };
typedef struct cell {
    const char *name;
    int kind, integers;
    size_t gates;  // in the panels
    int hidden_gate, reset_after;
} cell;

static const cell cells[] = {
    {"f32_rnn_steps", RNN, 0, 1, 0, 0}, {"f32_lstm_steps", LSTM, 0, 4, 0, 0},
    {"f32_gru_steps", GRU, 0, 3, 0, 1}, {"f32_gru_before_steps", GRU_BEFORE, 0, 2, 1, 0},
    {"i8_rnn_steps", RNN, 1, 1, 0, 0},  {"i8_lstm_steps", LSTM, 1, 4, 0, 0},
    {"i8_gru_steps", GRU, 1, 3, 0, 1},  {"i8_gru_before_steps", GRU_BEFORE, 1, 2, 1, 0},
};

// The slots of a table that the cells of one precision use.
typedef struct slots {
    void (*steps[4])(const trn_steps *s);
    void (*rnn)(size_t n, const float *gates, float *h);
    void (*lstm)(size_t n, const float *gates, const float *c, float *c_out, float *h);
    void (*gru)(size_t n, const float *x_gates, const float *h_gates, const float *h, float *h_out);
    void (*reset)(size_t n, float *gates, const float *h, float *reset_h);
    void (*update)(size_t n, const float *gates, const float *hidden, const float *h, float *h_out);
} slots;
static slots slots_of(const trn_ukernels *t, const cell *cell) {
#define SLOTS(precision)                                                                                  \
    (slots) {                                                                                             \
        {t->precision##_rnn_steps, t->precision##_lstm_steps, t->precision##_gru_steps,                   \
         t->precision##_gru_before_steps},                                                                \
            t->precision##_rnn_cell, t->precision##_lstm_cell, t->precision##_gru_cell,                   \
            t->precision##_gru_reset, t->precision##_gru_update                                           \
    }
    return cell->integers ? SLOTS(i8) : SLOTS(f32);
}

// A packed matrix of the cell's precision.
static check_buffer random_matrix(const cell *cell, size_t n, size_t k, size_t per_cell, size_t panel) {
    if (!cell->integers) return check_filled(n * k, 0);
    int16_t *weights = malloc((n * k + 1) * sizeof *weights);
    check_buffer scales = check_new(n, 1), cells = check_new(i8_cells(n, k, per_cell), 1);
    if (!weights) exit(2);
    for (size_t i = 0; i < n * k; i++) weights[i] = i8_below(n, k, per_cell, i / n, weights + i, check_random());
    for (size_t j = 0; j < n; j++) scales.data[j] = check_value(0) * 1.27f / (float)i8_most(k, per_cell);
    i8_pack(n, k, per_cell, panel, weights, scales.data, cells.data);
    free(weights), check_free(&scales);
    return cells;
}

static size_t panel_of(const cell *cell) { return cell->gates == 1 ? 64 : 16 * cell->gates; }

static problem random_problem(const cell *cell) {
    static const float ranges[3] = {0.75f, 0.5f, 0.25f};
    // Some are large: several of the widest panels, and what is left of them.
    const size_t most_n = check_random() % 4 ? 70 : 200, most_k = check_random() % 4 ? 20 : 140;
    problem p = {.count = check_between(1, 5), .gates = cell->gates};
    p.n = check_between(1, most_n), p.k = check_between(0, most_k);
    p.padded = (p.n + 15) / 16 * 16, p.per_cell = 2 * check_between(1, 2);
    p.backward = check_random() % 2, p.apart = check_random() % 2, p.hidden_gate = cell->hidden_gate;
    p.x = check_filled(p.count * p.k, 0);
    const size_t large = check_random() % 2 && p.k ? p.k : 1;  // few are large: two rows of codes
    for (size_t i = 0; i < p.x.size; i++) p.x.data[i] *= i % large ? 0.05f : 1.0f;
    p.w = random_matrix(cell, cell->gates * p.padded, p.k, p.per_cell, panel_of(cell));
    p.r = random_matrix(cell, cell->gates * p.padded, p.n, p.per_cell, panel_of(cell));
    p.bias = check_filled(cell->gates * p.padded, 0);
    p.hidden_w = random_matrix(cell, p.hidden_gate ? p.padded : 0, p.k, p.per_cell, 64);
    p.hidden_r = random_matrix(cell, p.hidden_gate ? p.padded : 0, p.n, p.per_cell, 64);
    p.hidden_bias = check_filled(p.padded, 0);
    p.h = check_filled(p.n, 0), p.c = check_filled(p.n, 0);
    p.ranges = cell->integers && check_random() % 2 ? ranges : NULL;
    return p;
}
static void free_problem(problem *p) {
    check_buffer *all[] = {&p->x, &p->w, &p->r, &p->bias, &p->hidden_w, &p->hidden_r, &p->hidden_bias, &p->h, &p->c};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) check_free(all[i]);
}

typedef struct result {
    check_buffer h, c, y;
} result;
static result new_result(const problem *p) {
    return (result){check_copy(&p->h), check_copy(&p->c), check_new(p->count * p->n, 1)};
}
static void free_result(result *r) { check_free(&r->h), check_free(&r->c), check_free(&r->y); }

// y = init + x w for m rows of x [m, k]: columns of a matrix in panels, range: the index of x's among the ranges. The
// first is that of what comes in, which may take two rows of codes.
static void multiply(const trn_ukernels *table, const cell *cell, const problem *p, size_t m, size_t columns, size_t k,
                     const float *x, const check_buffer *w, size_t panel, int range, const float *init, float *y) {
    const ptrdiff_t init_stride = init == y ? (ptrdiff_t)columns : 0;
    if (!cell->integers) {
        table->f32_gemm(m, columns, k, x, (ptrdiff_t)k, w->data, panel, init, init_stride, y, (ptrdiff_t)columns);
        return;
    }
    const size_t bytes = (k + 31) / 32 * 32;
    const trn_coding coding = trn_coding_of(p->per_cell, range > 0);
    check_buffer codes = check_new(m * bytes / 2, 1), scales = check_new(2 * m, 1);
    int8_t *of = (int8_t *)codes.data;
    for (size_t i = 0; i < m; i++)
        table->i8_quantize(k, x + i * k, p->ranges ? p->ranges + range : NULL, coding, of + 2 * i * bytes,
                           scales.data + 2 * i);
    table->i8_gemm(m, columns, k, of, 2 * bytes, scales.data, w->data, p->per_cell, panel, init, init_stride, y,
                   (ptrdiff_t)columns);
    for (size_t i = 0; i < m; i++, y += columns)
        if (scales.data[2 * i + 1] != 0.0f)
            table->i8_gemm(1, columns, k, of + (2 * i + 1) * bytes, 0, scales.data + 2 * i + 1, w->data, p->per_cell,
                           panel, y, 0, y, 0);
    check_free(&codes), check_free(&scales);
}

// The slot: its rows lie backward in memory when the problem says so.
static result by_slot(const trn_ukernels *table, const cell *cell, const problem *p) {
    result r = new_result(p);
    size_t columns = p->gates * p->padded, last = p->backward ? p->count - 1 : 0;
    ptrdiff_t sign = p->backward ? -1 : 1;
    check_buffer gates = check_new(p->count * columns, 0), hidden = check_new(p->count * p->padded, 0);
    check_buffer scratch = check_new(TRN_STEPS_SCRATCH * p->padded, 1);
    check_buffer codes = check_new(cell->integers ? ((p->k + 31) / 32 + (p->n + 31) / 32) * 16 : 0, 1);
    trn_steps s = {.count = p->count, .n = p->n, .turn = check_random() % 2, .k = p->k, .x = p->x.data + last * p->k,
                   .x_stride = sign * (ptrdiff_t)p->k, .w = p->w.data, .r = p->r.data, .init = p->bias.data, .hidden_w = p->hidden_w.data,
                   .hidden_r = p->hidden_r.data, .hidden_init = p->hidden_bias.data, .h = r.h.data, .c = r.c.data,
                   .y = r.y.data + last * p->n, .y_stride = sign * (ptrdiff_t)p->n, .scratch = scratch.data,
                   .codes = (int8_t *)codes.data, .per_cell = p->per_cell, .ranges = p->ranges,
                   .far = check_random() % 2};
    if (cell->kind != LSTM) s.c = NULL;
    if (p->apart) {
        multiply(table, cell, p, p->count, columns, p->k, p->x.data, &p->w, panel_of(cell), 0, p->bias.data, gates.data);
        s.k = 0, s.init = gates.data + last * columns, s.init_stride = sign * (ptrdiff_t)columns;
        if (p->hidden_gate) {
            multiply(table, cell, p, p->count, p->padded, p->k, p->x.data, &p->hidden_w, 64, 0, p->hidden_bias.data,
                     hidden.data);
            s.hidden_init = hidden.data + last * p->padded, s.hidden_init_stride = sign * (ptrdiff_t)p->padded;
        }
    }
    slots_of(table, cell).steps[cell->kind](&s);
    check_that(check_guards(&scratch) && check_guards(&r.h) && check_guards(&r.c) && check_guards(&r.y) &&
                   check_guards(&codes),
               "%s wrote outside", cell->name);
    check_free(&gates), check_free(&hidden), check_free(&scratch), check_free(&codes);
    return r;
}

// The same with the slots that it joins, a step at a time.
static result by_parts(const trn_ukernels *table, const cell *cell, const problem *p) {
    result r = new_result(p);
    const slots slots = slots_of(table, cell);
    const size_t columns = p->gates * p->padded, panel = panel_of(cell);
    check_buffer g = check_new(columns, 0), x_gates = check_new(columns, 0), hidden = check_new(p->padded, 0),
                 reset_h = check_new(p->n, 0);
    for (size_t at = 0; at < p->count; at++) {
        size_t t = p->backward ? p->count - 1 - at : at;
        const float *x = p->x.data + t * p->k;
        float *h = r.h.data;
        multiply(table, cell, p, 1, columns, p->k, x, &p->w, panel, 0, p->bias.data, g.data);
        memcpy(x_gates.data, g.data, columns * sizeof(float));
        for (size_t u = 0; cell->reset_after && u < p->padded; u += 16)
            memcpy(g.data + 3 * u + 32, p->hidden_bias.data + u, 16 * sizeof(float));
        multiply(table, cell, p, 1, columns, p->n, h, &p->r, panel, 1, g.data, g.data);
        if (cell->kind == RNN) slots.rnn(p->n, g.data, h);
        if (cell->kind == LSTM) slots.lstm(p->n, g.data, r.c.data, r.c.data, h);
        if (cell->reset_after) slots.gru(p->n, x_gates.data, g.data, h, h);
        if (cell->hidden_gate) {
            slots.reset(p->n, g.data, h, reset_h.data);
            multiply(table, cell, p, 1, p->padded, p->k, x, &p->hidden_w, 64, 0, p->hidden_bias.data, hidden.data);
            multiply(table, cell, p, 1, p->padded, p->n, reset_h.data, &p->hidden_r, 64, 2, hidden.data, hidden.data);
            slots.update(p->n, g.data, hidden.data, h, h);
        }
        memcpy(r.y.data + t * p->n, h, p->n * sizeof(float));
    }
    check_free(&g), check_free(&x_gates), check_free(&hidden), check_free(&reset_h);
    return r;
}

static void compare(result a, result b, const char *what) {
    check_arrays(&a.h, &b.h, what), check_arrays(&a.c, &b.c, what), check_arrays(&a.y, &b.y, what);
    free_result(&a), free_result(&b);
}

static void bench(const trn_ukernels *table, const cell *cell, size_t per_cell, size_t n, size_t k) {
    const size_t padded = (n + 15) / 16 * 16, columns = cell->gates * padded, hidden = cell->hidden_gate ? padded : 0;
    check_buffer w = random_matrix(cell, columns, k, per_cell, panel_of(cell)),
                 r = random_matrix(cell, columns, n, per_cell, panel_of(cell)),
                 hw = random_matrix(cell, hidden, k, per_cell, 64), hr = random_matrix(cell, hidden, n, per_cell, 64),
                 b = check_new(columns, 0), x = check_new(k, 0), h = check_new(n, 0), c = check_new(n, 0),
                 y = check_new(n, 0), scratch = check_new(TRN_STEPS_SCRATCH * padded, 0), codes = check_new(n + k, 0);  // and more
    check_buffer *all[] = {&w, &r, &hw, &hr, &b, &x, &h, &c, &y, &scratch, &codes};
    // All but the weights start from zeros.
    for (size_t i = 4; i < 9; i++) memset(all[i]->data, 0, all[i]->size * sizeof(float));
    const char *width = !cell->integers ? "" : per_cell == 2 ? ", 16 bits" : ", 8 bits";
    trn_steps s = {.count = 1, .n = n, .k = k, .x = x.data, .w = w.data, .r = r.data, .init = b.data, .hidden_w = hw.data,
                   .hidden_r = hr.data, .hidden_init = b.data, .h = h.data, .c = c.data, .y = y.data,
                   .scratch = scratch.data, .codes = (int8_t *)codes.data, .per_cell = per_cell};
    CHECK_BENCH((w.size + r.size + hw.size + hr.size) * sizeof(float), slots_of(table, cell).steps[cell->kind](&s),
                "%s %zu, input %zu%s", cell->name, n, k, width);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) check_free(all[i]);
}

static void family(const trn_ukernels *scalar, const trn_ukernels *table) {
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        const trn_ukernels *reference = cells[i].integers ? scalar : check_reference(table);
        for (int trial = 0; trial < 60; trial++) {
            problem p = random_problem(&cells[i]);
            compare(by_slot(table, &cells[i], &p), by_parts(table, &cells[i], &p), cells[i].name);
            compare(by_slot(table, &cells[i], &p), by_slot(reference, &cells[i], &p), cells[i].name);
            free_problem(&p);
        }
        for (size_t per_cell = 4; check.bench && per_cell >= (cells[i].integers ? 2 : 4); per_cell -= 2) {
            for (size_t n = 16; n <= 512; n *= 2) bench(table, &cells[i], per_cell, n, n);
            for (size_t n = 8; n <= 40; n += 8) bench(table, &cells[i], per_cell, n, 1);
        }
    }
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
