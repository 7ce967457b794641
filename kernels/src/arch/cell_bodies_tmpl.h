// SPDX-License-Identifier: Apache-2.0
// The kernels of the cells: included for each precision, with CELL and CELL_SLOT, the names of what it needs and makes,
// and CELL_FMA set.

// (1 - z) * candidate + z * h.
TRN_INLINE vf CELL(mix)(vf z, vf candidate, vf h) {
    return CELL_FMA(vf_sub(vf_set1(1.0f), z), candidate, vf_mul(z, h));
}

TRN_SLOT void CELL_SLOT(rnn_cell)(size_t n, const float *gates, float *h) {
    for (size_t at = 0; at < n; at += VF_LANES) cell_store(h + at, CELL(tanh)(vf_load(gates + at)), cell_lanes(n, at));
}

TRN_SLOT void CELL_SLOT(lstm_cell)(size_t n, const float *gates, const float *c, float *c_out, float *h) {
    for (size_t at = 0; at < n; at += VF_LANES) {
        const size_t lanes = cell_lanes(n, at);
        const float *g = gates + cell_gate(at, 4);
        vf input = CELL(sigmoid)(vf_load(g)), forget = CELL(sigmoid)(vf_load(g + 2 * CELL_BLOCK));
        vf candidate = CELL(tanh)(vf_load(g + 3 * CELL_BLOCK));
        cell_store(c_out + at, CELL_FMA(forget, cell_load(c + at, lanes), vf_mul(input, candidate)), lanes);
    }
    for (size_t at = 0; at < n; at += VF_LANES) {
        const size_t lanes = cell_lanes(n, at);
        vf output = CELL(sigmoid)(vf_load(gates + cell_gate(at, 4) + CELL_BLOCK));
        cell_store(h + at, vf_mul(output, CELL(tanh)(cell_load(c_out + at, lanes))), lanes);
    }
}

// A few blocks at a time, so that what tanh waits for fits on the stack. x_part: of the hidden gate's
// sums, blocks of 16 units x_block apart.
TRN_INLINE void CELL(gru)(size_t n, const float *x_part, size_t x_block, const float *h_gates, const float *h,
                          float *h_out) {
    enum { CHUNK = 8 * CELL_BLOCK };
    float hidden[CHUNK];
    for (size_t first = 0; first < n; first += CHUNK) {
        const size_t units = n - first < CHUNK ? n - first : CHUNK;
        const float *x = x_part + first / CELL_BLOCK * x_block, *g = h_gates + 3 * first;
        for (size_t at = 0; at < units; at += VF_LANES) {
            const size_t gate = cell_gate(at, 3);
            vf r = CELL(sigmoid)(vf_load(g + gate + CELL_BLOCK)), h_part = vf_load(g + gate + 2 * CELL_BLOCK);
            vf from_x = vf_load(x + at / CELL_BLOCK * x_block + at % CELL_BLOCK);
            vf_store(hidden + at, CELL_FMA(r, h_part, from_x));
        }
        for (size_t at = 0; at < units; at += VF_LANES) {
            const size_t lanes = cell_lanes(units, at);
            vf z = CELL(sigmoid)(vf_load(g + cell_gate(at, 3))), candidate = CELL(tanh)(vf_load(hidden + at));
            cell_store(h_out + first + at, CELL(mix)(z, candidate, cell_load(h + first + at, lanes)), lanes);
        }
    }
}

TRN_SLOT void CELL_SLOT(gru_cell)(size_t n, const float *x_gates, const float *h_gates, const float *h, float *h_out) {
    CELL(gru)(n, x_gates + 2 * CELL_BLOCK, 3 * CELL_BLOCK, h_gates, h, h_out);
}

TRN_INLINE void CELL(reset)(size_t n, float *gates, const float *h, float *reset_h, const float *weights) {
    for (size_t at = 0; at < n; at += VF_LANES) {
        cell_fetch(weights, at);
        const size_t lanes = cell_lanes(n, at);
        float *g = gates + cell_gate(at, 2);
        vf r = CELL(sigmoid)(vf_load(g + CELL_BLOCK));
        cell_store(g, CELL(sigmoid)(vf_load(g)), lanes);
        cell_store(reset_h + at, vf_mul(r, cell_load(h + at, lanes)), lanes);
    }
}

TRN_SLOT void CELL_SLOT(gru_reset)(size_t n, float *gates, const float *h, float *reset_h) {
    CELL(reset)(n, gates, h, reset_h, NULL);
}

TRN_INLINE void CELL(update)(size_t n, const float *gates, const float *hidden, const float *h, float *h_out,
                             const float *weights) {
    for (size_t at = 0; at < n; at += VF_LANES) {
        cell_fetch(weights, at);
        const size_t lanes = cell_lanes(n, at);
        vf z = vf_load(gates + cell_gate(at, 2)), candidate = CELL(tanh)(cell_load(hidden + at, lanes));
        cell_store(h_out + at, CELL(mix)(z, candidate, cell_load(h + at, lanes)), lanes);
    }
}

TRN_SLOT void CELL_SLOT(gru_update)(size_t n, const float *gates, const float *hidden, const float *h, float *h_out) {
    CELL(update)(n, gates, hidden, h, h_out, NULL);
}
