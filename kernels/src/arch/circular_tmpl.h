// SPDX-License-Identifier: Apache-2.0
// Sine, cosine and inverse tangent of any float.

// a = q pi/2 + r for one a from 2^13 up, finite: the fraction of a * 2/pi in integers. 96 bits of 2/pi, from the one
// worth 2 on, are enough: higher ones make multiples of 4, lower ones less than 2^-70.
static inline void reduce_large(float a, int32_t *q, float *r) {
    static const uint32_t words[] = TRN_TWO_OVER_PI;
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    uint32_t first = (bits >> 23) - 150 - 2 + 32, mantissa = (bits & 0x007fffff) | 0x00800000;
    const uint32_t *w = words + first / 32;
    uint32_t shift = first % 32, window[3];
    for (int i = 0; i < 3; i++) window[i] = (uint32_t)(((uint64_t)w[i] << 32 | w[i + 1]) >> (32 - shift));
    uint64_t low = (uint64_t)window[2] * mantissa, middle = (uint64_t)window[1] * mantissa + (low >> 32);
    uint64_t product = ((uint64_t)window[0] * mantissa << 32) + middle;  // 2 bits before the point, 62 behind it
    *q = (int32_t)((product + (UINT64_C(1) << 61)) >> 62);
    *r = (float)((double)(int64_t)(product << 2) * (1.5707963267948966 / 18446744073709551616.0));
}

// a = q pi/2 + r, |r| <= 0.7865; a is not negative. The low two bits of q count.
TRN_INLINE vf reduce_by_half_pi(vf a, vi *q) {
    const vf limit = vf_set1(8192.0f), rounder = vf_set1(12582912.0f);
    vf sum = vf_add(vf_mul(a, vf_set1(0.636619772f)), rounder), n = vf_sub(sum, rounder);
    vf r = vf_sub(a, vf_mul(n, vf_set1(TRN_HALF_PI_0)));
    r = vf_sub(r, vf_mul(n, vf_set1(TRN_HALF_PI_1)));
    r = vf_sub(r, vf_mul(n, vf_set1(TRN_HALF_PI_2)));
    r = vf_sub(r, vf_mul(n, vf_set1(TRN_HALF_PI_3)));
    *q = vf_bits(sum);
    if (vm_any(vf_le(limit, a))) {
        float lanes[VF_LANES], reduced[VF_LANES];
        int32_t quadrants[VF_LANES];
        vf_store(lanes, a), vf_store(reduced, r), vi_store(quadrants, *q);
        for (int i = 0; i < VF_LANES; i++)
            if (lanes[i] >= 8192.0f && lanes[i] <= FLT_MAX) reduce_large(lanes[i], &quadrants[i], &reduced[i]);
        r = vf_load(reduced), *q = vi_load(quadrants);
    }
    return r;
}

// The sine of q pi/2 + r.
TRN_INLINE vf sine_of_quadrant(vf r, vi q) {
    vf w = vf_mul(r, r);
    vf s = vf_add(vf_set1(TRN_SIN_1), vf_mul(w, vf_set1(TRN_SIN_2)));
    s = vf_add(vf_set1(TRN_SIN_0), vf_mul(w, s));
    vf sine = vf_add(r, vf_mul(vf_mul(r, w), s));
    vf c = vf_add(vf_set1(TRN_COS_1), vf_mul(w, vf_set1(TRN_COS_2)));
    c = vf_add(vf_set1(TRN_COS_0), vf_mul(w, c));
    vf cosine = vf_add(vf_sub(vf_set1(1.0f), vf_mul(vf_set1(0.5f), w)), vf_mul(vf_mul(w, w), c));
    vf y = vf_select(vi_is_negative(vi_shift_left(q, 31)), cosine, sine);
    return vf_flip(y, vi_as_vf(vi_shift_left(q, 30)));
}

TRN_INLINE vf f32_sin(vf x) {
    vi q;
    vf r = reduce_by_half_pi(vf_abs(x), &q);
    return vf_flip(sine_of_quadrant(r, q), x);
}

TRN_INLINE vf f32_cos(vf x) {
    vi q;
    vf r = reduce_by_half_pi(vf_abs(x), &q);
    return sine_of_quadrant(r, vi_add(q, vi_set1(1)));
}

// a itself up to tan(pi/8); to tan(3 pi/8) atan a = pi/4 + atan((a - 1) / (a + 1)); beyond pi/2 + atan(-1 / a).
TRN_INLINE vf f32_atan(vf x) {
    vf a = vf_abs(x), one = vf_set1(1.0f);
    vm middle = vf_lt(vf_set1(0.414213562f), a), far = vf_lt(vf_set1(2.41421356f), a);
    vf above = vf_select(far, vf_set1(-1.0f), vf_select(middle, vf_sub(a, one), a));
    vf below = vf_select(far, a, vf_select(middle, vf_add(a, one), one));
    vf half = vf_set1(0.5f), turn = vf_select(far, one, vf_select(middle, half, vf_zero()));
    vf t = vf_div(above, below), w = vf_mul(t, t), w2 = vf_mul(w, w);
    vf p = vf_add(vf_add(vf_set1(TRN_ATAN_2), vf_mul(w, vf_set1(TRN_ATAN_3))), vf_mul(w2, vf_set1(TRN_ATAN_4)));
    p = vf_add(vf_add(vf_set1(TRN_ATAN_0), vf_mul(w, vf_set1(TRN_ATAN_1))), vf_mul(w2, p));
    vf tail = vf_add(vf_mul(vf_mul(t, w), p), vf_mul(turn, vf_set1(TRN_QUARTER_TURN_1)));
    return vf_flip(vf_add(vf_mul(turn, vf_set1(TRN_QUARTER_TURN_0)), vf_add(t, tail)), x);
}
