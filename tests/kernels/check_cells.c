// SPDX-License-Identifier: Apache-2.0
// The cells: beside the reference of the class (beside int8 and int16 weights that is scalar for all) byte for byte,
// beside their formulas in double, in place, with tails.
#include "check.h"

// The cells of one precision.
typedef struct cells {
    const char *name;
    void (*rnn)(size_t n, const float *gates, float *h);
    void (*lstm)(size_t n, const float *gates, const float *c, float *c_out, float *h);
    void (*gru)(size_t n, const float *x_gates, const float *h_gates, const float *h, float *h_out);
    void (*gru_reset)(size_t n, float *gates, const float *h, float *reset_h);
    void (*gru_update)(size_t n, const float *gates, const float *hidden, const float *h, float *h_out);
} cells;
static cells cells_of(const trn_ukernels *t, int integers) {
    if (integers)
        return (cells){"i8", t->i8_rnn_cell, t->i8_lstm_cell, t->i8_gru_cell, t->i8_gru_reset, t->i8_gru_update};
    return (cells){"f32", t->f32_rnn_cell, t->f32_lstm_cell, t->f32_gru_cell, t->f32_gru_reset, t->f32_gru_update};
}

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

// What one call works on; every array of the largest size any cell needs, n units.
typedef struct problem {
    size_t n, padded;
    int in_place;
    check_buffer gates, x_gates, state;  // [blocks, 4, 16], the same, [n]
} problem;

static problem random_problem(int wild) {
    problem p = {.n = check_between(1, 70)};
    p.padded = (p.n + 15) / 16 * 16;
    p.in_place = check_random() % 2;
    p.gates = check_filled(4 * p.padded, wild);
    p.x_gates = check_filled(4 * p.padded, wild);
    p.state = check_filled(p.n, wild);
    return p;
}
static void free_problem(problem *p) { check_free(&p->gates), check_free(&p->x_gates), check_free(&p->state); }

typedef struct result {
    check_buffer first, second;  // c and h, or the new gates and reset_h, or h alone
} result;
static void free_result(result *r) { check_free(&r->first), check_free(&r->second); }

// The state goes in and comes out in one place where the cell allows it.
static result rnn(const cells *cells, const problem *p) {
    result r = {check_new(p->n, 1), check_new(0, 0)};
    cells->rnn(p->n, p->gates.data, r.first.data);
    return r;
}
static result lstm(const cells *cells, const problem *p) {
    result r = {p->in_place ? check_copy(&p->state) : check_new(p->n, 1), check_new(p->n, 1)};
    cells->lstm(p->n, p->gates.data, p->in_place ? r.first.data : p->state.data, r.first.data, r.second.data);
    return r;
}
static result gru(const cells *cells, const problem *p) {
    result r = {p->in_place ? check_copy(&p->state) : check_new(p->n, 1), check_new(0, 0)};
    cells->gru(p->n, p->x_gates.data, p->gates.data, p->in_place ? r.first.data : p->state.data, r.first.data);
    return r;
}
static result gru_reset(const cells *cells, const problem *p) {
    result r = {check_copy(&p->gates), check_new(p->n, 1)};
    cells->gru_reset(p->n, r.first.data, p->state.data, r.second.data);
    return r;
}
static result gru_update(const cells *cells, const problem *p) {
    result r = {p->in_place ? check_copy(&p->state) : check_new(p->n, 1), check_new(0, 0)};
    cells->gru_update(p->n, p->gates.data, p->x_gates.data, p->in_place ? r.first.data : p->state.data, r.first.data);
    return r;
}

// Gate g of unit u among `gates` gates a block.
static double at(const check_buffer *b, size_t u, size_t g, size_t gates) {
    return (double)b->data[u / 16 * 16 * gates + g * 16 + u % 16];
}

// size: of the largest term, whose rounding the result inherits.
static void near(const char *what, double got, double expected, double size) {
    double bound = 4e-7 * (1.0 + fabs(size));
    check_that(fabs(got - expected) <= bound, "%s is %a, expected %a", what, got, expected);
}

static void formulas(const problem *p, const result *l, const result *g, const result *reset, const result *update) {
    for (size_t u = 0; u < p->n; u++) {
        double state = (double)p->state.data[u];
        double c = sigmoid(at(&p->gates, u, 0, 4)) * tanh(at(&p->gates, u, 3, 4));
        c += sigmoid(at(&p->gates, u, 2, 4)) * state;
        near("LSTM c", (double)l->first.data[u], c, state);
        near("LSTM h", (double)l->second.data[u], sigmoid(at(&p->gates, u, 1, 4)) * tanh(c), 1.0);
        double z = sigmoid(at(&p->gates, u, 0, 3)), r = sigmoid(at(&p->gates, u, 1, 3));
        double hidden = tanh(at(&p->x_gates, u, 2, 3) + r * at(&p->gates, u, 2, 3));
        // What r is off by is multiplied by the hidden gate's sum.
        near("GRU h", (double)g->first.data[u], (1.0 - z) * hidden + z * state,
             fmax(fabs(state), fabs(at(&p->gates, u, 2, 3))));
        z = at(&p->gates, u, 0, 2);
        near("GRU z", at(&reset->first, u, 0, 2), sigmoid(z), 1.0);
        near("GRU r * h", (double)reset->second.data[u], sigmoid(at(&p->gates, u, 1, 2)) * state, state);
        near("GRU update", (double)update->first.data[u], (1.0 - z) * tanh((double)p->x_gates.data[u]) + z * state,
             (1.0 + fabs(z)) * (1.0 + fabs(state)));
    }
}

static void compare(const char *what, const cells *reference, const cells *own,
                    result (*run)(const cells *, const problem *), const problem *p) {
    char name[32];
    snprintf(name, sizeof name, "%s_%s", own->name, what);
    result a = run(reference, p), b = run(own, p);
    check_arrays(&a.first, &b.first, name);
    check_arrays(&a.second, &b.second, name);
    free_result(&a), free_result(&b);
}

static void bench(const cells *own) {
    for (size_t n = 16; n <= 512; n *= 2) {
        check_buffer g = check_new(4 * n, 0), x = check_new(4 * n, 0), c = check_new(n, 0), h = check_new(n, 0);
        for (size_t i = 0; i < 4 * n; i++) g.data[i] = check_uniform(-3, 3), x.data[i] = check_uniform(-1, 1);
        for (size_t i = 0; i < n; i++) c.data[i] = h.data[i] = check_uniform(-1, 1);
        CHECK_BENCH(4 * n, own->rnn(n, g.data, h.data), "%s_rnn_cell %zu", own->name, n);
        CHECK_BENCH(20 * n, own->lstm(n, g.data, c.data, c.data, h.data), "%s_lstm_cell %zu", own->name, n);
        CHECK_BENCH(20 * n, own->gru(n, x.data, g.data, h.data, h.data), "%s_gru_cell %zu", own->name, n);
        CHECK_BENCH(12 * n, own->gru_reset(n, g.data, h.data, x.data), "%s_gru_reset %zu", own->name, n);
        CHECK_BENCH(12 * n, own->gru_update(n, g.data, x.data, h.data, h.data), "%s_gru_update %zu", own->name, n);
        check_free(&g), check_free(&x), check_free(&c), check_free(&h);
    }
}

static void precision(const cells *reference, const cells *own) {
    for (int i = 0; i < 400; i++) {
        problem p = random_problem(i % 2);
        if (i % 2 == 0) {
            result l = lstm(own, &p), g = gru(own, &p);
            result reset = gru_reset(own, &p), update = gru_update(own, &p);
            formulas(&p, &l, &g, &reset, &update);
            free_result(&l), free_result(&g), free_result(&reset), free_result(&update);
        }
        compare("rnn_cell", reference, own, rnn, &p);
        compare("lstm_cell", reference, own, lstm, &p);
        compare("gru_cell", reference, own, gru, &p);
        compare("gru_reset", reference, own, gru_reset, &p);
        compare("gru_update", reference, own, gru_update, &p);
        check_that(check_guards(&p.gates) && check_guards(&p.x_gates) && check_guards(&p.state), "a cell wrote to an input");
        free_problem(&p);
    }
    if (check.bench) bench(own);
}

static void family(const trn_ukernels *scalar, const trn_ukernels *table) {
    const cells f32 = cells_of(table, 0), i8 = cells_of(table, 1);
    const cells f32_reference = cells_of(check_reference(table), 0), i8_reference = cells_of(scalar, 1);
    precision(&f32_reference, &f32);
    precision(&i8_reference, &i8);
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
