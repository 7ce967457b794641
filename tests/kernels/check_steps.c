// SPDX-License-Identifier: Apache-2.0
// Runs of steps of one row: beside the reference of the class, and beside matrix product and cell one after the other, byte for
// byte; forward and backward, with and without the input's product done beforehand.
#include "check.h"

typedef struct problem {
    size_t count, n, k, padded, gates;
    int backward, apart, hidden_gate;
    check_buffer x, w, r, bias, hidden_w, hidden_r, hidden_bias, h, c;
} problem;

typedef struct cell {
    const char *name;
    size_t gates;  // in the panels
    int hidden_gate, reset_after;
} cell;

static const cell cells[] = {{"f32_rnn_steps", 1, 0, 0},
                             {"f32_lstm_steps", 4, 0, 0},
                             {"f32_gru_steps", 3, 0, 1},
                             {"f32_gru_before_steps", 2, 1, 0}};

static problem random_problem(const cell *cell) {
    problem p = {.count = check_between(1, 5), .n = check_between(1, 70), .k = check_between(0, 20), .gates = cell->gates};
    p.padded = (p.n + 15) / 16 * 16;
    p.backward = check_random() % 2, p.apart = check_random() % 2, p.hidden_gate = cell->hidden_gate;
    p.x = check_filled(p.count * p.k, 0);
    p.w = check_filled(p.k * cell->gates * p.padded, 0), p.r = check_filled(p.n * cell->gates * p.padded, 0);
    p.bias = check_filled(cell->gates * p.padded, 0);
    p.hidden_w = check_filled(p.hidden_gate ? p.k * p.padded : 0, 0);
    p.hidden_r = check_filled(p.hidden_gate ? p.n * p.padded : 0, 0);
    p.hidden_bias = check_filled(p.padded, 0);
    p.h = check_filled(p.n, 0), p.c = check_filled(p.n, 0);
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

static size_t panel_of(const problem *p) { return p->gates == 1 ? 64 : 16 * p->gates; }

// The slot: its rows lie backward in memory when the problem says so.
static result by_slot(const trn_ukernels *table, const cell *cell, const problem *p) {
    result r = new_result(p);
    size_t columns = p->gates * p->padded, last = p->backward ? p->count - 1 : 0;
    ptrdiff_t sign = p->backward ? -1 : 1;
    check_buffer gates = check_new(p->count * columns, 0), hidden = check_new(p->count * p->padded, 0);
    check_buffer scratch = check_new(TRN_STEPS_SCRATCH * p->padded, 1);
    trn_steps s = {.count = p->count, .n = p->n, .turn = check_random() % 2, .k = p->k, .x = p->x.data + last * p->k,
                   .x_stride = sign * (ptrdiff_t)p->k, .w = p->w.data, .r = p->r.data, .init = p->bias.data, .hidden_w = p->hidden_w.data,
                   .hidden_r = p->hidden_r.data, .hidden_init = p->hidden_bias.data, .h = r.h.data, .c = r.c.data,
                   .y = r.y.data + last * p->n, .y_stride = sign * (ptrdiff_t)p->n, .scratch = scratch.data};
    if (cell->gates != 4) s.c = NULL;
    if (p->apart) {
        table->f32_gemm(p->count, columns, p->k, p->x.data, (ptrdiff_t)p->k, p->w.data, panel_of(p), p->bias.data, 0,
                        gates.data, (ptrdiff_t)columns);
        s.k = 0, s.init = gates.data + last * columns, s.init_stride = sign * (ptrdiff_t)columns;
        if (p->hidden_gate) {
            table->f32_gemm(p->count, p->padded, p->k, p->x.data, (ptrdiff_t)p->k, p->hidden_w.data, 64,
                            p->hidden_bias.data, 0, hidden.data, (ptrdiff_t)p->padded);
            s.hidden_init = hidden.data + last * p->padded, s.hidden_init_stride = sign * (ptrdiff_t)p->padded;
        }
    }
    void (*const slots[])(const trn_steps *) = {table->f32_rnn_steps, table->f32_lstm_steps, table->f32_gru_steps,
                                                table->f32_gru_before_steps};
    slots[cell - cells](&s);
    check_that(check_guards(&scratch) && check_guards(&r.h) && check_guards(&r.c) && check_guards(&r.y),
               "%s wrote outside", cell->name);
    check_free(&gates), check_free(&hidden), check_free(&scratch);
    return r;
}

// The same with the slots that it joins, a step at a time.
static result by_parts(const trn_ukernels *table, const cell *cell, const problem *p) {
    result r = new_result(p);
    size_t columns = p->gates * p->padded;
    check_buffer g = check_new(columns, 0), x_gates = check_new(columns, 0), hidden = check_new(p->padded, 0),
                 reset_h = check_new(p->n, 0);
    for (size_t at = 0; at < p->count; at++) {
        size_t t = p->backward ? p->count - 1 - at : at;
        const float *x = p->x.data + t * p->k;
        float *h = r.h.data;
        table->f32_gemm(1, columns, p->k, x, 0, p->w.data, panel_of(p), p->bias.data, 0, g.data, 0);
        memcpy(x_gates.data, g.data, columns * sizeof(float));
        for (size_t u = 0; cell->reset_after && u < p->padded; u += 16)
            memcpy(g.data + 3 * u + 32, p->hidden_bias.data + u, 16 * sizeof(float));
        table->f32_gemm(1, columns, p->n, h, 0, p->r.data, panel_of(p), g.data, 0, g.data, 0);
        if (cell->gates == 1) table->f32_rnn_cell(p->n, g.data, h);
        if (cell->gates == 4) table->f32_lstm_cell(p->n, g.data, r.c.data, r.c.data, h);
        if (cell->reset_after) table->f32_gru_cell(p->n, x_gates.data, g.data, h, h);
        if (cell->hidden_gate) {
            table->f32_gru_reset(p->n, g.data, h, reset_h.data);
            table->f32_gemm(1, p->padded, p->k, x, 0, p->hidden_w.data, 64, p->hidden_bias.data, 0, hidden.data, 0);
            table->f32_gemm(1, p->padded, p->n, reset_h.data, 0, p->hidden_r.data, 64, hidden.data, 0, hidden.data, 0);
            table->f32_gru_update(p->n, g.data, hidden.data, h, h);
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

static void bench(const trn_ukernels *table, const cell *cell, size_t n, size_t k) {
    problem p = {.count = 1, .n = n, .k = k, .padded = (n + 15) / 16 * 16, .gates = cell->gates};
    size_t columns = p.gates * p.padded, bytes = (n + k) * columns * sizeof(float);
    if (cell->hidden_gate) bytes += (n + k) * p.padded * sizeof(float);
    check_buffer w = check_new(k * columns, 0), r = check_new(n * columns, 0), b = check_new(columns, 0),
                 x = check_new(k, 0), h = check_new(n, 0), c = check_new(n, 0), y = check_new(n, 0),
                 hw = check_new(k * p.padded, 0), hr = check_new(n * p.padded, 0),
                 scratch = check_new(TRN_STEPS_SCRATCH * p.padded, 0);
    trn_steps s = {.count = 1, .n = n, .k = k, .x = x.data, .w = w.data, .r = r.data, .init = b.data, .hidden_w = hw.data,
                   .hidden_r = hr.data, .hidden_init = b.data, .h = h.data, .c = c.data, .y = y.data,
                   .scratch = scratch.data};
    void (*const slots[])(const trn_steps *) = {table->f32_rnn_steps, table->f32_lstm_steps, table->f32_gru_steps,
                                                table->f32_gru_before_steps};
    CHECK_BENCH(bytes, slots[cell - cells](&s), "%s %zu, input %zu", cell->name, n, k);
    check_buffer *all[] = {&w, &r, &b, &x, &h, &c, &y, &hw, &hr, &scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) check_free(all[i]);
}

static void family(const trn_ukernels *scalar, const trn_ukernels *table) {
    const trn_ukernels *reference = check_reference(table);
    (void)scalar;  // its multiply-add is fused
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
        for (int trial = 0; trial < 60; trial++) {
            problem p = random_problem(&cells[i]);
            compare(by_slot(table, &cells[i], &p), by_parts(table, &cells[i], &p), cells[i].name);
            compare(by_slot(table, &cells[i], &p), by_slot(reference, &cells[i], &p), cells[i].name);
            free_problem(&p);
        }
        for (size_t n = 16; check.bench && n <= 512; n *= 2) bench(table, &cells[i], n, n);
        for (size_t n = 8; check.bench && n <= 40; n += 8) bench(table, &cells[i], n, 1);
    }
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
