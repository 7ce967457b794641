// SPDX-License-Identifier: Apache-2.0
// The cells: what is left of a recurrent step behind its products. Two short passes where one value waits for another,
// so that the long chain of each activation overlaps with those of the units after it.

enum { CELL_BLOCK = 16 };  // units of a block of gates

// Where the first gate of unit `at` stands among blocks of `gates` gates.
TRN_INLINE size_t cell_gate(size_t at, size_t gates) { return at / CELL_BLOCK * CELL_BLOCK * gates + at % CELL_BLOCK; }
// Units of the vector at `at`, of n.
TRN_INLINE size_t cell_lanes(size_t n, size_t at) { return n - at < VF_LANES ? n - at : VF_LANES; }
TRN_INLINE vf cell_load(const float *p, size_t lanes) { return lanes == VF_LANES ? vf_load(p) : vf_load_n(p, lanes); }
TRN_INLINE void cell_store(float *p, vf a, size_t lanes) {
    if (lanes == VF_LANES) vf_store(p, a);
    else vf_store_n(p, a, lanes);
}

// (1 - z) * candidate + z * h.
TRN_INLINE vf cell_mix(vf z, vf candidate, vf h) { return vf_fma(vf_sub(vf_set1(1.0f), z), candidate, vf_mul(z, h)); }

static void TRN_KERNEL(f32_rnn_cell)(size_t n, const float *gates, float *h) {
    for (size_t at = 0; at < n; at += VF_LANES)
        cell_store(h + at, f32_fused_tanh(vf_load(gates + at)), cell_lanes(n, at));
}

static void TRN_KERNEL(f32_lstm_cell)(size_t n, const float *gates, const float *c, float *c_out, float *h) {
    for (size_t at = 0; at < n; at += VF_LANES) {
        const size_t lanes = cell_lanes(n, at);
        const float *g = gates + cell_gate(at, 4);
        vf input = f32_fused_sigmoid(vf_load(g)), forget = f32_fused_sigmoid(vf_load(g + 2 * CELL_BLOCK));
        vf candidate = f32_fused_tanh(vf_load(g + 3 * CELL_BLOCK));
        cell_store(c_out + at, vf_fma(forget, cell_load(c + at, lanes), vf_mul(input, candidate)), lanes);
    }
    for (size_t at = 0; at < n; at += VF_LANES) {
        const size_t lanes = cell_lanes(n, at);
        vf output = f32_fused_sigmoid(vf_load(gates + cell_gate(at, 4) + CELL_BLOCK));
        cell_store(h + at, vf_mul(output, f32_fused_tanh(cell_load(c_out + at, lanes))), lanes);
    }
}

// A few blocks at a time, so that what tanh waits for fits on the stack. x_part: of the hidden gate's
// sums, blocks of 16 units x_block apart.
TRN_INLINE void cell_gru(size_t n, const float *x_part, size_t x_block, const float *h_gates, const float *h,
                         float *h_out) {
    enum { CHUNK = 8 * CELL_BLOCK };
    float hidden[CHUNK];
    for (size_t first = 0; first < n; first += CHUNK) {
        const size_t units = n - first < CHUNK ? n - first : CHUNK;
        const float *x = x_part + first / CELL_BLOCK * x_block, *g = h_gates + 3 * first;
        for (size_t at = 0; at < units; at += VF_LANES) {
            const size_t gate = cell_gate(at, 3);
            vf r = f32_fused_sigmoid(vf_load(g + gate + CELL_BLOCK)), h_part = vf_load(g + gate + 2 * CELL_BLOCK);
            vf from_x = vf_load(x + at / CELL_BLOCK * x_block + at % CELL_BLOCK);
            vf_store(hidden + at, vf_fma(r, h_part, from_x));
        }
        for (size_t at = 0; at < units; at += VF_LANES) {
            const size_t lanes = cell_lanes(units, at);
            vf z = f32_fused_sigmoid(vf_load(g + cell_gate(at, 3))), candidate = f32_fused_tanh(vf_load(hidden + at));
            cell_store(h_out + first + at, cell_mix(z, candidate, cell_load(h + first + at, lanes)), lanes);
        }
    }
}

static void TRN_KERNEL(f32_gru_cell)(size_t n, const float *x_gates, const float *h_gates, const float *h,
                                     float *h_out) {
    cell_gru(n, x_gates + 2 * CELL_BLOCK, 3 * CELL_BLOCK, h_gates, h, h_out);
}

static void TRN_KERNEL(f32_gru_reset)(size_t n, float *gates, const float *h, float *reset_h) {
    for (size_t at = 0; at < n; at += VF_LANES) {
        const size_t lanes = cell_lanes(n, at);
        float *g = gates + cell_gate(at, 2);
        vf r = f32_fused_sigmoid(vf_load(g + CELL_BLOCK));
        cell_store(g, f32_fused_sigmoid(vf_load(g)), lanes);
        cell_store(reset_h + at, vf_mul(r, cell_load(h + at, lanes)), lanes);
    }
}

static void TRN_KERNEL(f32_gru_update)(size_t n, const float *gates, const float *hidden, const float *h,
                                       float *h_out) {
    for (size_t at = 0; at < n; at += VF_LANES) {
        const size_t lanes = cell_lanes(n, at);
        vf z = vf_load(gates + cell_gate(at, 2)), candidate = f32_fused_tanh(cell_load(hidden + at, lanes));
        cell_store(h_out + at, cell_mix(z, candidate, cell_load(h + at, lanes)), lanes);
    }
}
