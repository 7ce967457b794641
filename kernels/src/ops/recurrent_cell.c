// SPDX-License-Identifier: Apache-2.0
// Recurrent cells with any activations, clip, peepholes and input_forget: the general path beside the kernels' fast
// one.
#include "recurrent.h"

#define UNITS 16  // a block of a panel

static void activate(const trn_ukernels *k, const recurrent_plan *p, const recurrent_function *f, size_t n,
                     const float *x, float *y) {
    if (p->clip != INFINITY) {
        k->f32_vmap(trn_fn_CLIP, n, x, -p->clip, p->clip, y);
        x = y;
    }
    k->f32_vmap(f->function, n, x, f->alpha, f->beta, y);
}

// gate += peephole * c
static void add_peephole(size_t n, float *gate, const float *peephole, const float *c) {
    for (size_t i = 0; i < n; i++) {
        float product = peephole[i] * c[i];
        gate[i] = gate[i] + product;
    }
}

// ONNX LSTM: i, o, f, c' from the block's sums; peepholes of i and f look at the old cell state, that of o at the new.
static void lstm_block(const trn_ukernels *k, const recurrent_plan *p, const recurrent_function *f,
                       const float *peepholes, size_t n, float *gates, float *h, float *c) {
    float *input = gates, *output = gates + UNITS, *forget = gates + 2 * UNITS, *cell = gates + 3 * UNITS,
          squashed[UNITS];
    if (peepholes) {
        add_peephole(n, input, peepholes, c);
        add_peephole(n, forget, peepholes + 2 * p->peephole_stride, c);
    }
    activate(k, p, &f[0], n, input, input);
    if (p->input_forget)
        for (size_t i = 0; i < n; i++) forget[i] = 1.0f - input[i];
    else activate(k, p, &f[0], n, forget, forget);
    activate(k, p, &f[1], n, cell, cell);
    for (size_t i = 0; i < n; i++) {
        float kept = forget[i] * c[i], added = input[i] * cell[i];
        c[i] = kept + added;
    }
    if (peepholes) add_peephole(n, output, peepholes + p->peephole_stride, c);
    activate(k, p, &f[0], n, output, output);
    // clip bounds the sums of the gates, not the cell state
    k->f32_vmap(f[2].function, n, c, f[2].alpha, f[2].beta, squashed);
    for (size_t i = 0; i < n; i++) h[i] = output[i] * squashed[i];
}

static void mix(size_t n, const float *z, const float *candidate, float *h) {
    for (size_t i = 0; i < n; i++) {
        float added = (1.0f - z[i]) * candidate[i], kept = z[i] * h[i];
        h[i] = added + kept;
    }
}

// The GRU that resets after its product.
static void gru_block(const trn_ukernels *k, const recurrent_plan *p, const recurrent_function *f, size_t n,
                      float *x_gates, const float *h_gates, float *h) {
    float z[UNITS], r[UNITS], *candidate = x_gates + 2 * UNITS;
    activate(k, p, &f[0], n, h_gates, z);
    activate(k, p, &f[0], n, h_gates + UNITS, r);
    for (size_t i = 0; i < n; i++) {
        float product = r[i] * h_gates[2 * UNITS + i];
        candidate[i] = candidate[i] + product;
    }
    activate(k, p, &f[1], n, candidate, candidate);
    mix(n, z, candidate, h);
}

static size_t units_at(const recurrent_plan *p, int64_t u) {
    return (size_t)(p->hidden - u < UNITS ? p->hidden - u : UNITS);
}

void trn_recurrent_cell(const trn_ukernels *k, const recurrent_plan *p, const recurrent_function *functions,
                        const float *peepholes, float *gates, const float *h_gates, float *h, float *c) {
    for (int64_t u = 0; u < p->hidden; u += UNITS) {
        size_t n = units_at(p, u);
        float *block = gates + u * p->gates;
        if (p->cell == trn_cell_LSTM)
            lstm_block(k, p, functions, peepholes ? peepholes + u : NULL, n, block, h + u, c + u);
        else if (p->cell == trn_cell_RNN) activate(k, p, &functions[0], n, block, h + u);
        else if (!p->hidden_gate) gru_block(k, p, functions, n, block, h_gates + u * p->gates, h + u);
    }
}

void trn_recurrent_reset(const trn_ukernels *k, const recurrent_plan *p, const recurrent_function *functions,
                         float *gates, const float *h, float *reset_h) {
    for (int64_t u = 0; u < p->hidden; u += UNITS) {
        size_t n = units_at(p, u);
        float *z = gates + u * p->gates, *r = z + UNITS;
        activate(k, p, &functions[0], n, z, z);
        activate(k, p, &functions[0], n, r, r);
        for (size_t i = 0; i < n; i++) reset_h[u + (int64_t)i] = r[i] * h[u + (int64_t)i];
    }
}

void trn_recurrent_update(const trn_ukernels *k, const recurrent_plan *p, const recurrent_function *functions,
                          const float *gates, float *hidden, float *h) {
    for (int64_t u = 0; u < p->hidden; u += UNITS) {
        size_t n = units_at(p, u);
        activate(k, p, &functions[1], n, hidden + u, hidden + u);
        mix(n, gates + u * p->gates, hidden + u, h + u);
    }
}
