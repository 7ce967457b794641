// SPDX-License-Identifier: Apache-2.0
// The elementary functions, lane by lane on the vector vocabulary: +, -, *, / and operations on bits, each rounded
// once, no fused multiply-add, so that every machine gives the same bytes. docs/arithmetic.md has methods and errors.
#include "coefficients.h"

// Added to |t| < 2^22, leaves t rounded to an integer, plus 127, in the low bits of the sum.
#define TRN_ROUNDER 12583039.0f  // 1.5 * 2^23 + 127
#define TRN_LOG2E 1.44269504f
#define TRN_INF ((float)INFINITY)

// 2^n, where the sum is n + TRN_ROUNDER and -127 <= n <= 128: 0 and infinity at the ends.
TRN_INLINE vf power_of_two(vf sum) { return vi_as_vf(vi_shift_left(vf_bits(sum), 23)); }

// (e^y - 1 - y) / y^2 for |y| <= 0.3475; y2 = y * y.
TRN_INLINE vf f32_expm1_tail(vf y, vf y2) {
    vf low = vf_add(vf_mul(vf_set1(TRN_EXPM1_1), y), vf_set1(TRN_EXPM1_0));
    vf high = vf_add(vf_mul(vf_set1(TRN_EXPM1_3), y), vf_set1(TRN_EXPM1_2));
    high = vf_add(vf_mul(vf_set1(TRN_EXPM1_4), y2), high);
    return vf_add(vf_mul(high, y2), low);
}

// tanh a = q / (q + 2), q = e^2a - 1 = (2^n - 1) + 2^n y + 2^n y^2 tail(y), 2a = n ln 2 + y. One constant for ln 2 is
// enough: where n is large, the slope of tanh is small.
TRN_INLINE vf f32_tanh(vf x) {
    vf a = vf_at_most(vf_set1(10.0f), vf_abs(x));  // 1 from 9.02 on
    vf sum = vf_add(vf_mul(a, vf_set1(2.0f * TRN_LOG2E)), vf_set1(TRN_ROUNDER));
    vf n = vf_sub(sum, vf_set1(TRN_ROUNDER));
    vf y = vf_add(vf_mul(n, vf_set1(-0.693147181f)), vf_add(a, a));
    vf scale = power_of_two(sum), y2 = vf_mul(y, y);
    vf head = vf_add(vf_mul(scale, y), vf_sub(scale, vf_set1(1.0f)));
    vf q = vf_add(vf_mul(vf_mul(scale, y2), f32_expm1_tail(y, y2)), head);
    return vf_flip(vf_div(q, vf_add(q, vf_set1(2.0f))), x);
}

// 2^f for |f| <= 1/2.
TRN_INLINE vf f32_exp2_fraction(vf f) {
    vf f2 = vf_mul(f, f);
    vf low = vf_add(vf_mul(vf_set1(TRN_EXP2_0), f), vf_set1(1.0f));
    vf middle = vf_add(vf_mul(vf_set1(TRN_EXP2_2), f), vf_set1(TRN_EXP2_1));
    vf high = vf_add(vf_mul(vf_set1(TRN_EXP2_4), f), vf_set1(TRN_EXP2_3));
    return vf_add(vf_mul(f2, vf_add(vf_mul(f2, high), middle)), low);
}

// 1 / (1 + 2^t), t = -x log2 e = n + f. The clamp at 128 gives infinity and so 0; that at -126 changes no result.
TRN_INLINE vf f32_sigmoid(vf x) {
    vf t = vf_mul(x, vf_set1(-TRN_LOG2E));
    t = vf_at_least(vf_set1(-126.0f), vf_at_most(vf_set1(128.0f), t));
    vf sum = vf_add(t, vf_set1(TRN_ROUNDER));
    vf power = vf_mul(f32_exp2_fraction(vf_sub(t, vf_sub(sum, vf_set1(TRN_ROUNDER)))), power_of_two(sum));
    return vf_div(vf_set1(1.0f), vf_add(vf_set1(1.0f), power));
}

// x = n ln 2 + y; gives n + TRN_ROUNDER and y. |x| < 300.
TRN_INLINE vf reduce_by_ln2(vf x, vf *y) {
    vf sum = vf_add(vf_mul(x, vf_set1(TRN_LOG2E)), vf_set1(TRN_ROUNDER));
    vf n = vf_sub(sum, vf_set1(TRN_ROUNDER));
    *y = vf_sub(vf_sub(x, vf_mul(n, vf_set1(TRN_LN2_0))), vf_mul(n, vf_set1(TRN_LN2_1)));
    return sum;
}

// e^x = 2^n e^y; 2^n in two factors, for n from -159 to 129 is more than one float spans.
TRN_INLINE vf f32_exp(vf x) {
    vf y, clamped = vf_at_least(vf_set1(-110.0f), vf_at_most(vf_set1(89.0f), x));
    vf sum = reduce_by_ln2(clamped, &y), y2 = vf_mul(y, y);
    vf power = vf_add(vf_set1(1.0f), vf_add(y, vf_mul(y2, f32_expm1_tail(y, y2))));
    vi n = vi_sub(vf_bits(sum), vf_bits(vf_set1(TRN_ROUNDER))), half = vi_shift_right(n, 1);
    vi bias = vi_set1(127);
    vf first = vi_as_vf(vi_shift_left(vi_add(half, bias), 23));
    vf second = vi_as_vf(vi_shift_left(vi_add(vi_sub(n, half), bias), 23));
    return vf_mul(vf_mul(power, first), second);
}

// e^x - 1 = 2^n p + (2^n - 1), p = e^y - 1, for x up to 88; -1 from -17.4 down.
TRN_INLINE vf f32_expm1(vf x) {
    vf y, clamped = vf_at_least(vf_set1(-20.0f), vf_at_most(vf_set1(88.0f), x));
    vf sum = reduce_by_ln2(clamped, &y), y2 = vf_mul(y, y), scale = power_of_two(sum);
    vf p = vf_add(y, vf_mul(y2, f32_expm1_tail(y, y2)));
    return vf_add(vf_mul(scale, p), vf_sub(scale, vf_set1(1.0f)));
}

// x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); log(1 + f) = f - (f^2/2 - s (f^2/2 + R)), s = f / (2 + f),
// R = s^2 L(s^2).
TRN_INLINE vf f32_log(vf x) {
    const vi sqrt_half = vi_set1(0x3f3504f3);
    vi shifted = vi_sub(vf_bits(x), sqrt_half);
    vf k = vi_to_vf(vi_shift_right(shifted, 23));
    vf f = vf_sub(vi_as_vf(vi_add(vi_and(shifted, vi_set1(0x007fffff)), sqrt_half)), vf_set1(1.0f));
    vf s = vf_div(f, vf_add(f, vf_set1(2.0f))), w = vf_mul(s, s), w2 = vf_mul(w, w);
    vf low = vf_add(vf_set1(TRN_LOG_0), vf_mul(vf_set1(TRN_LOG_1), w));
    vf high = vf_add(vf_set1(TRN_LOG_2), vf_mul(vf_set1(TRN_LOG_3), w));
    vf r = vf_mul(w, vf_add(low, vf_mul(w2, high)));
    vf square = vf_mul(vf_mul(vf_set1(0.5f), f), f);
    vf tail = vf_add(vf_mul(s, vf_add(square, r)), vf_mul(k, vf_set1(TRN_LN2_1)));
    vf y = vf_add(vf_mul(k, vf_set1(TRN_LN2_0)), vf_sub(f, vf_sub(square, tail)));
    y = vf_select(vf_lt(x, vf_set1(TRN_INF)), y, x);  // infinity and NaN stay what they are
    y = vf_select(vf_lt(x, vf_zero()), vf_set1((float)NAN), y);
    return vf_select(vf_lt(vf_abs(x), vf_set1(FLT_MIN)), vf_set1(-TRN_INF), y);
}

// log(1 + x): what rounding lost in u = 1 + x comes back as a first-order term, which is no number where u is 0 or
// infinite.
TRN_INLINE vf f32_log1p(vf x) {
    vf u = vf_add(vf_set1(1.0f), x), lost = vf_sub(x, vf_sub(u, vf_set1(1.0f))), rough = f32_log(u);
    vf y = vf_add(rough, vf_div(lost, u));
    return vf_select(vf_is_nan(y), rough, y);
}

// log(1 + e^x) without overflow.
TRN_INLINE vf f32_softplus(vf x) {
    return vf_add(vf_at_least(vf_zero(), x), f32_log1p(f32_exp(vf_neg(vf_abs(x)))));
}

// |x| < 0.925: x (1 + P(x^2)). Beyond: 1 - 2^Q(|x|), which is 1 from 4 on.
TRN_INLINE vf f32_erf(vf x) {
    vf a = vf_at_most(vf_set1(4.0f), vf_abs(x)), u = vf_mul(a, a), u2 = vf_mul(u, u);
    vf p = vf_add(vf_set1(TRN_ERF_4), vf_mul(u, vf_add(vf_set1(TRN_ERF_5), vf_mul(u, vf_set1(TRN_ERF_6)))));
    p = vf_add(vf_add(vf_set1(TRN_ERF_2), vf_mul(u, vf_set1(TRN_ERF_3))), vf_mul(u2, p));
    p = vf_add(vf_add(vf_set1(TRN_ERF_0), vf_mul(u, vf_set1(TRN_ERF_1))), vf_mul(u2, p));
    vf near = vf_mul(a, vf_add(vf_set1(1.0f), p));  // a + a p would lose a p where that is below the normal range

    vf t = vf_add(vf_set1(TRN_ERFC_6), vf_mul(a, vf_set1(TRN_ERFC_7)));
    t = vf_add(vf_add(vf_set1(TRN_ERFC_4), vf_mul(a, vf_set1(TRN_ERFC_5))), vf_mul(u, t));
    t = vf_add(vf_add(vf_set1(TRN_ERFC_2), vf_mul(a, vf_set1(TRN_ERFC_3))), vf_mul(u, t));
    t = vf_add(vf_add(vf_set1(TRN_ERFC_0), vf_mul(a, vf_set1(TRN_ERFC_1))), vf_mul(u, t));
    vf sum = vf_add(t, vf_set1(TRN_ROUNDER));
    vf power = vf_mul(f32_exp2_fraction(vf_sub(t, vf_sub(sum, vf_set1(TRN_ROUNDER)))), power_of_two(sum));
    vf far = vf_sub(vf_set1(1.0f), power);
    return vf_flip(vf_select(vf_lt(a, vf_set1(0.925f)), near, far), x);
}
