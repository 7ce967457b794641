// SPDX-License-Identifier: Apache-2.0
// The kernels of the cells: included for each precision, with CELL and CELL_SLOT, the names of what it needs and makes,
// and CELL_FMA set.

// (1 - z) * candidate + z * h.
TRN_INLINE vf CELL(mix)(vf z, vf candidate, vf h) {
    return CELL_FMA(vf_sub(vf_set1(1.0f), z), candidate, vf_mul(z, h));
}

static TRN_NOINLINE void CELL(rnn)(size_t n, const float *gates, float *h) {
    for (size_t at = 0; at < n; at += VF_LANES) vf_store(h + at, CELL(tanh)(vf_load(gates + at)));
}

TRN_SLOT void CELL_SLOT(rnn_cell)(size_t n, const float *gates, float *h) {
    const size_t whole = cell_whole(n), left = n - whole;
    CELL(rnn)(whole, gates, h);
    if (!left) return;
    cell_rest rest;
    CELL(rnn)(VF_LANES, gates + whole, rest.a);
    cell_copy(h + whole, rest.a, left);
}

static TRN_NOINLINE void CELL(lstm)(size_t n, const float *gates, const float *c, float *c_out, float *h) {
    const float *g = gates;
    for (size_t at = 0; at < n; at += VF_LANES) {
        vf input = CELL(sigmoid)(vf_load(g)), forget = CELL(sigmoid)(vf_load(g + 2 * CELL_BLOCK));
        vf candidate = CELL(tanh)(vf_load(g + 3 * CELL_BLOCK));
        vf_store(c_out + at, CELL_FMA(forget, vf_load(c + at), vf_mul(input, candidate)));
        g += cell_next(at, 4 * CELL_BLOCK);
    }
    g = gates;
    for (size_t at = 0; at < n; at += VF_LANES) {
        vf output = CELL(sigmoid)(vf_load(g + CELL_BLOCK));
        vf_store(h + at, vf_mul(output, CELL(tanh)(vf_load(c_out + at))));
        g += cell_next(at, 4 * CELL_BLOCK);
    }
}

TRN_SLOT void CELL_SLOT(lstm_cell)(size_t n, const float *gates, const float *c, float *c_out, float *h) {
    const size_t whole = cell_whole(n), left = n - whole;
    CELL(lstm)(whole, gates, c, c_out, h);
    if (!left) return;
    cell_rest rest = {{0}, {0}};
    cell_copy(rest.a, c + whole, left);
    CELL(lstm)(VF_LANES, gates + cell_gate(whole, 4), rest.a, rest.a, rest.b);
    cell_copy(c_out + whole, rest.a, left), cell_copy(h + whole, rest.b, left);
}

// A few blocks at a time, so that what tanh waits for fits on the stack. x_part: of the hidden gate's
// sums, blocks of 16 units x_block apart.
static TRN_NOINLINE void CELL(gru)(size_t n, const float *x_part, size_t x_block, const float *h_gates, const float *h,
                                   float *h_out) {
    enum { CHUNK = 8 * CELL_BLOCK };
    float hidden[CHUNK];
    for (size_t first = 0; first < n; first += CHUNK) {
        const size_t units = n - first < CHUNK ? n - first : CHUNK;
        const float *x = x_part + first / CELL_BLOCK * x_block, *g = h_gates + 3 * first;
        for (size_t at = 0; at < units; at += VF_LANES) {
            vf r = CELL(sigmoid)(vf_load(g + CELL_BLOCK)), h_part = vf_load(g + 2 * CELL_BLOCK);
            vf_store(hidden + at, CELL_FMA(r, h_part, vf_load(x)));
            g += cell_next(at, 3 * CELL_BLOCK), x += cell_next(at, x_block);
        }
        g = h_gates + 3 * first;
        for (size_t at = 0; at < units; at += VF_LANES) {
            vf z = CELL(sigmoid)(vf_load(g)), candidate = CELL(tanh)(vf_load(hidden + at));
            vf_store(h_out + first + at, CELL(mix)(z, candidate, vf_load(h + first + at)));
            g += cell_next(at, 3 * CELL_BLOCK);
        }
    }
}

TRN_SLOT void CELL_SLOT(gru_cell)(size_t n, const float *x_gates, const float *h_gates, const float *h, float *h_out) {
    const size_t whole = cell_whole(n), left = n - whole, gate = cell_gate(whole, 3);
    const float *x_part = x_gates + 2 * CELL_BLOCK;
    CELL(gru)(whole, x_part, 3 * CELL_BLOCK, h_gates, h, h_out);
    if (!left) return;
    cell_rest rest = {{0}, {0}};
    cell_copy(rest.a, h + whole, left);
    CELL(gru)(VF_LANES, x_part + gate, 3 * CELL_BLOCK, h_gates + gate, rest.a, rest.a);
    cell_copy(h_out + whole, rest.a, left);
}

TRN_INLINE void CELL(reset)(size_t n, float *gates, const float *h, float *reset_h, const float *weights) {
    for (size_t at = 0; at < n; at += VF_LANES) {
        cell_fetch(weights, at);
        vf r = CELL(sigmoid)(vf_load(gates + CELL_BLOCK));
        vf_store(gates, CELL(sigmoid)(vf_load(gates)));
        vf_store(reset_h + at, vf_mul(r, vf_load(h + at)));
        gates += cell_next(at, 2 * CELL_BLOCK);
    }
}

TRN_SLOT void CELL_SLOT(gru_reset)(size_t n, float *gates, const float *h, float *reset_h) {
    const size_t whole = cell_whole(n), left = n - whole;
    CELL(reset)(whole, gates, h, reset_h, NULL);
    if (!left) return;
    cell_rest rest = {{0}, {0}};
    float last[CELL_BLOCK + VF_LANES], *g = gates + cell_gate(whole, 2);
    cell_copy(last, g, CELL_BLOCK + VF_LANES), cell_copy(rest.a, h + whole, left);
    CELL(reset)(VF_LANES, last, rest.a, rest.a, NULL);
    cell_copy(g, last, left), cell_copy(reset_h + whole, rest.a, left);
}

TRN_INLINE void CELL(update)(size_t n, const float *gates, const float *hidden, const float *h, float *h_out,
                             const float *weights) {
    for (size_t at = 0; at < n; at += VF_LANES) {
        cell_fetch(weights, at);
        vf z = vf_load(gates), candidate = CELL(tanh)(vf_load(hidden + at));
        vf_store(h_out + at, CELL(mix)(z, candidate, vf_load(h + at)));
        gates += cell_next(at, 2 * CELL_BLOCK);
    }
}

TRN_SLOT void CELL_SLOT(gru_update)(size_t n, const float *gates, const float *hidden, const float *h, float *h_out) {
    const size_t whole = cell_whole(n), left = n - whole;
    CELL(update)(whole, gates, hidden, h, h_out, NULL);
    if (!left) return;
    cell_rest rest = {{0}, {0}};
    cell_copy(rest.a, hidden + whole, left), cell_copy(rest.b, h + whole, left);
    CELL(update)(VF_LANES, gates + cell_gate(whole, 2), rest.a, rest.b, rest.b, NULL);
    cell_copy(h_out + whole, rest.b, left);
}
