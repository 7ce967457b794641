// SPDX-License-Identifier: Apache-2.0
// f32_vmap, f32_vmap2: the elementwise functions of ops.def, a line each.

#include "../format.h"

#define MAP_ZERO vf_zero()
#define MAP_ONE vf_set1(1.0f)

// F(row of ops.def, value at x; alpha and beta are at hand)
#define MAP_FUNCTIONS(F)                                                                              \
    F(IDENTITY, x)                                                                                    \
    F(NEG, vf_neg(x))                                                                                 \
    F(ABS, vf_abs(x))                                                                                 \
    F(SQRT, vf_sqrt(x))                                                                               \
    F(RECIPROCAL, vf_div(MAP_ONE, x))                                                                 \
    F(FLOOR, vf_floor(x))                                                                             \
    F(CEIL, vf_ceil(x))                                                                               \
    F(ROUND, vf_round(x))                                                                             \
    F(EXP, f32_exp(x))                                                                                \
    F(LOG, f32_log(x))                                                                                \
    F(SIN, f32_sin(x))                                                                                \
    F(COS, f32_cos(x))                                                                                \
    F(ERF, f32_erf(x))                                                                                \
    F(TANH, f32_tanh(x))                                                                              \
    F(SIGMOID, f32_sigmoid(x))                                                                        \
    F(RELU, vf_at_least(MAP_ZERO, x))                                                                 \
    F(LEAKY_RELU, vf_select(vf_lt(x, MAP_ZERO), vf_mul(alpha, x), x))                                 \
    F(THRESHOLDED_RELU, vf_select(vf_le(x, alpha), MAP_ZERO, x))                                      \
    F(AFFINE, vf_add(vf_mul(alpha, x), beta))                                                         \
    F(SCALED_TANH, vf_mul(alpha, f32_tanh(vf_mul(beta, x))))                                          \
    F(HARD_SIGMOID, vf_at_most(MAP_ONE, vf_at_least(MAP_ZERO, vf_add(vf_mul(alpha, x), beta))))       \
    F(ELU, vf_select(vf_lt(x, MAP_ZERO), vf_mul(alpha, f32_expm1(x)), x))                             \
    F(SOFTSIGN, vf_div(x, vf_add(MAP_ONE, vf_abs(x))))                                                \
    F(SOFTPLUS, f32_softplus(x))                                                                      \
    F(CLIP, vf_at_most(beta, vf_at_least(alpha, x)))                                                  \
    F(ATAN, f32_atan(x))                                                                              \
    F(LOG1P, f32_log1p(x))                                                                            \
    F(SIGN, vf_select(vf_lt(x, MAP_ZERO), vf_set1(-1.0f), vf_select(vf_lt(MAP_ZERO, x), MAP_ONE, x)))

// fmodf is exact, hence the same in every C library.
TRN_INLINE vf map_remainder(vf a, vf b) {
    float x[VF_LANES], y[VF_LANES];
    vf_store(x, a);
    vf_store(y, b);
    for (int i = 0; i < VF_LANES; i++) x[i] = fmodf(x[i], y[i]);
    return vf_load(x);
}

// F(row of ops.def, value at a, b). The smaller (larger) of two zeros is b.
#define MAP2_FUNCTIONS(F)                                            \
    F(ADD, vf_add(a, b))                                             \
    F(SUB, vf_sub(a, b))                                             \
    F(MUL, vf_mul(a, b))                                             \
    F(DIV, vf_div(a, b))                                             \
    F(POW, f32_pow(a, b))                                            \
    F(MIN, vf_select(vf_is_nan(a), a, vf_at_most(a, b)))             \
    F(MAX, vf_select(vf_is_nan(a), a, vf_at_least(a, b)))            \
    F(PRELU, vf_select(vf_lt(a, MAP_ZERO), vf_mul(b, a), a))         \
    F(FMOD, map_remainder(a, b))

#define MAP_LOOP(name, expression)                                                                             \
    static void map_##name(size_t n, const float *from, vf alpha, vf beta, float *y) {                         \
        (void)alpha, (void)beta;                                                                               \
        size_t i = 0;                                                                                          \
        for (; i + VF_LANES <= n; i += VF_LANES) {                                                             \
            vf x = vf_load(from + i);                                                                          \
            vf_store(y + i, expression);                                                                       \
        }                                                                                                      \
        if (i < n) {                                                                                           \
            vf x = vf_load_n(from + i, n - i);                                                                 \
            vf_store_n(y + i, expression, n - i);                                                              \
        }                                                                                                      \
    }
MAP_FUNCTIONS(MAP_LOOP)

#define MAP2_LOOP(name, expression)                                                                            \
    static void map_##name(size_t n, const float *from_a, const float *from_b, float *y) {                     \
        size_t i = 0;                                                                                          \
        for (; i + VF_LANES <= n; i += VF_LANES) {                                                             \
            vf a = vf_load(from_a + i), b = vf_load(from_b + i);                                               \
            vf_store(y + i, expression);                                                                       \
        }                                                                                                      \
        if (i < n) {                                                                                           \
            vf a = vf_load_n(from_a + i, n - i), b = vf_load_n(from_b + i, n - i);                             \
            vf_store_n(y + i, expression, n - i);                                                              \
        }                                                                                                      \
    }
MAP2_FUNCTIONS(MAP2_LOOP)

TRN_SLOT void TRN_KERNEL(f32_vmap)(uint32_t function, size_t n, const float *x, float alpha, float beta, float *y) {
#define MAP_CASE(name, expression) \
    case trn_fn_##name: map_##name(n, x, vf_set1(alpha), vf_set1(beta), y); break;
    switch (function) { MAP_FUNCTIONS(MAP_CASE) }
#undef MAP_CASE
}

TRN_SLOT void TRN_KERNEL(f32_vmap2)(uint32_t function, size_t n, const float *a, const float *b, float *y) {
#define MAP_CASE(name, expression) \
    case trn_fn_##name: map_##name(n, a, b, y); break;
    switch (function) { MAP2_FUNCTIONS(MAP_CASE) }
#undef MAP_CASE
}
