// SPDX-License-Identifier: Apache-2.0
// tanh and sigmoid, included by elementary_tmpl.h once for each way to multiply and add: SQUASH names the functions,
// SQUASH_MADD(a, b, c) is a * b + c.

// (e^y - 1 - y) / y^2 for |y| <= 0.3475; y2 = y * y.
TRN_INLINE vf SQUASH(expm1_tail)(vf y, vf y2) {
    vf low = SQUASH_MADD(vf_set1(TRN_EXPM1_1), y, vf_set1(TRN_EXPM1_0));
    vf high = SQUASH_MADD(vf_set1(TRN_EXPM1_3), y, vf_set1(TRN_EXPM1_2));
    high = SQUASH_MADD(vf_set1(TRN_EXPM1_4), y2, high);
    return SQUASH_MADD(high, y2, low);
}

// tanh a = q / (q + 2), q = e^2a - 1 = (2^n - 1) + 2^n y + 2^n y^2 tail(y), 2a = n ln 2 + y. One constant for ln 2 is
// enough: where n is large, the slope of tanh is small.
TRN_INLINE vf SQUASH(tanh)(vf x) {
    vf a = vf_at_most(vf_set1(10.0f), vf_abs(x));  // 1 from 9.02 on
    vf sum = SQUASH_MADD(a, vf_set1(2.0f * TRN_LOG2E), vf_set1(TRN_ROUNDER));
    vf n = vf_sub(sum, vf_set1(TRN_ROUNDER));
    vf y = SQUASH_MADD(n, vf_set1(-0.693147181f), vf_add(a, a));
    vf scale = power_of_two(sum), y2 = vf_mul(y, y);
    vf head = SQUASH_MADD(scale, y, vf_sub(scale, vf_set1(1.0f)));
    vf q = SQUASH_MADD(vf_mul(scale, y2), SQUASH(expm1_tail)(y, y2), head);
    return vf_flip(vf_div(q, vf_add(q, vf_set1(2.0f))), x);
}

// 2^f for |f| <= 1/2.
TRN_INLINE vf SQUASH(exp2_fraction)(vf f) {
    vf f2 = vf_mul(f, f);
    vf low = SQUASH_MADD(vf_set1(TRN_EXP2_0), f, vf_set1(1.0f));
    vf middle = SQUASH_MADD(vf_set1(TRN_EXP2_2), f, vf_set1(TRN_EXP2_1));
    vf high = SQUASH_MADD(vf_set1(TRN_EXP2_4), f, vf_set1(TRN_EXP2_3));
    return SQUASH_MADD(f2, SQUASH_MADD(f2, high, middle), low);
}

// 1 / (1 + 2^t), t = -x log2 e = n + f. The clamp at 128 gives infinity and so 0; that at -126 changes no result.
TRN_INLINE vf SQUASH(sigmoid)(vf x) {
    vf t = vf_mul(x, vf_set1(-TRN_LOG2E));
    t = vf_at_least(vf_set1(-126.0f), vf_at_most(vf_set1(128.0f), t));
    vf sum = vf_add(t, vf_set1(TRN_ROUNDER));
    vf power = vf_mul(SQUASH(exp2_fraction)(vf_sub(t, vf_sub(sum, vf_set1(TRN_ROUNDER)))), power_of_two(sum));
    return vf_div(vf_set1(1.0f), vf_add(vf_set1(1.0f), power));
}

#undef SQUASH
#undef SQUASH_MADD
