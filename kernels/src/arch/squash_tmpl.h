// SPDX-License-Identifier: Apache-2.0
// tanh and sigmoid of the fp32 cells. A step waits for them, and the chain of operations of this quotient is a quarter
// (sigmoid: a sixth) shorter than that of an exponential. With two roundings for each multiply-add it would miss the
// error bounds of docs/arithmetic.md: instruction sets without a fused one take the elementary functions.

// r tanh(r x), r = 1 or 1/2: with t = tanh(r x / 2) = n / q it is r 2 t / (1 + t^2) = r 2 n q / (q^2 + n^2), where the
// errors of n and q shrink as tanh levels off. n and q are scaled by powers of two, so that hardly a factor is left.
// The quotient is 1 at the clamp, and up to there it nowhere exceeds 1.
#define SQUASH_CLAMP 8.828125f  // the last 64th up to which the quotient, rounded so, nowhere exceeds 1
// fused: 0 rounds each multiply-add twice, on every instruction set.
TRN_INLINE vf squash_fma(vf a, vf b, vf c, const int fused) {
    return fused ? vf_fma(a, b, c) : vf_add(vf_mul(a, b), c);
}
TRN_INLINE vf squash(vf x, const float r, const int fused) {
    const float r2 = r * r, q0 = 2.0f / r, clamp = (fused ? 9.25f : SQUASH_CLAMP) / r;
    x = vf_clamp(clamp, x);
    vf u = vf_mul(x, x), u2 = vf_mul(u, u);
    vf p = squash_fma(vf_set1(r2 * r2 * TRN_TANH_P2), u, vf_set1(r2 * TRN_TANH_P1), fused);
    vf n = squash_fma(vf_mul(x, u), p, x, fused);
    vf q;
    if (fused) {
        q = squash_fma(vf_set1(q0 * r2 * r2 * TRN_TANH_Q2), u, vf_set1(q0 * r2 * TRN_TANH_Q1), fused);
        q = squash_fma(u, squash_fma(u2, vf_set1(q0 * r2 * r2 * r2 * TRN_TANH_Q3), q, fused), vf_set1(q0), fused);
    } else {
        q = squash_fma(vf_set1(q0 * r2 * TRN_TANH_Q1), u, vf_set1(q0), fused);
        vf q2 = squash_fma(vf_set1(q0 * r2 * r2 * r2 * TRN_TANH_Q3), u, vf_set1(q0 * r2 * r2 * TRN_TANH_Q2), fused);
        q = squash_fma(u2, q2, q, fused);
    }
    vf twice = r == 1.0f ? vf_add(n, n) : n;
    return vf_div(vf_mul(twice, q), squash_fma(q, q, vf_mul(n, n), fused));
}

enum { SQUASH_FUSED = TRN_PASTE(trn_fused, TRN_ISA_NAME) };
TRN_INLINE vf cell_f32_tanh(vf x) { return SQUASH_FUSED ? squash(x, 1.0f, 1) : f32_tanh(x); }
TRN_INLINE vf cell_f32_sigmoid(vf x) {
    return SQUASH_FUSED ? vf_add(vf_set1(0.5f), squash(x, 0.5f, 1)) : f32_sigmoid(x);
}
TRN_INLINE vf cell_i8_tanh(vf x) { return squash(x, 1.0f, 0); }
TRN_INLINE vf cell_i8_sigmoid(vf x) { return vf_add(vf_set1(0.5f), squash(x, 0.5f, 0)); }
