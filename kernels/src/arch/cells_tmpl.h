// SPDX-License-Identifier: Apache-2.0
// The cells: what is left of a recurrent step behind its products. Two short passes where one value waits for another, so
// that the long chain of each activation overlaps with those of the units after it.

enum { CELL_BLOCK = 16 };  // units of a block of gates

// For each vector of units: `at`, its first; `lanes`, how many; `gate`, where its first gate stands among `gates` of a block.
#define CELL_EACH(n, gates)                                                                                      \
    for (size_t at = 0, lanes, gate; at < (n) && (lanes = (n) - at < VF_LANES ? (n) - at : VF_LANES,              \
                                                  gate = at / CELL_BLOCK * CELL_BLOCK * (gates) + at % CELL_BLOCK, 1); \
         at += VF_LANES)

TRN_INLINE vf cell_load(const float *p, size_t lanes) { return lanes == VF_LANES ? vf_load(p) : vf_load_n(p, lanes); }
TRN_INLINE void cell_store(float *p, vf a, size_t lanes) {
    if (lanes == VF_LANES) vf_store(p, a);
    else vf_store_n(p, a, lanes);
}

// (1 - z) * candidate + z * h.
TRN_INLINE vf cell_mix(vf z, vf candidate, vf h) {
    return vf_add(vf_mul(vf_sub(vf_set1(1.0f), z), candidate), vf_mul(z, h));
}

static void TRN_KERNEL(f32_lstm_cell)(size_t n, const float *gates, const float *c, float *c_out, float *h) {
    CELL_EACH(n, 4) {
        const float *g = gates + gate;
        vf input = f32_sigmoid(vf_load(g)), forget = f32_sigmoid(vf_load(g + 2 * CELL_BLOCK));
        vf candidate = f32_tanh(vf_load(g + 3 * CELL_BLOCK));
        cell_store(c_out + at, vf_add(vf_mul(forget, cell_load(c + at, lanes)), vf_mul(input, candidate)), lanes);
    }
    CELL_EACH(n, 4) {
        vf output = f32_sigmoid(vf_load(gates + gate + CELL_BLOCK));
        cell_store(h + at, vf_mul(output, f32_tanh(cell_load(c_out + at, lanes))), lanes);
    }
}

static void TRN_KERNEL(f32_gru_cell)(size_t n, const float *x_gates, const float *h_gates, const float *h, float *h_out) {
    CELL_EACH(n, 3) {
        const float *g = h_gates + gate;
        vf z = f32_sigmoid(vf_load(g)), r = f32_sigmoid(vf_load(g + CELL_BLOCK));
        vf hidden = vf_add(vf_load(x_gates + gate + 2 * CELL_BLOCK), vf_mul(r, vf_load(g + 2 * CELL_BLOCK)));
        cell_store(h_out + at, cell_mix(z, f32_tanh(hidden), cell_load(h + at, lanes)), lanes);
    }
}

static void TRN_KERNEL(f32_gru_reset)(size_t n, float *gates, const float *h, float *reset_h) {
    CELL_EACH(n, 2) {
        float *g = gates + gate;
        vf r = f32_sigmoid(vf_load(g + CELL_BLOCK));
        cell_store(g, f32_sigmoid(vf_load(g)), lanes);
        cell_store(reset_h + at, vf_mul(r, cell_load(h + at, lanes)), lanes);
    }
}

static void TRN_KERNEL(f32_gru_update)(size_t n, const float *gates, const float *hidden, const float *h, float *h_out) {
    CELL_EACH(n, 2) {
        vf candidate = f32_tanh(cell_load(hidden + at, lanes));
        cell_store(h_out + at, cell_mix(vf_load(gates + gate), candidate, cell_load(h + at, lanes)), lanes);
    }
}
