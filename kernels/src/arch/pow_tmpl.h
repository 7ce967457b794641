// SPDX-License-Identifier: Apache-2.0
// a ** b, lane by lane in double precision: log2(a) must be known to 32 bits, for the exponent multiplies its error.

// log2 a for a positive normal float: a = 2^k m, s = (m - 1) / (m + 1).
static inline double pow_log2(float a) {
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    int32_t shifted = (int32_t)(bits - 0x3f3504f3u);  // sqrt(1/2)
    uint32_t mantissa = ((uint32_t)shifted & 0x007fffffu) + 0x3f3504f3u;
    float m;
    memcpy(&m, &mantissa, sizeof m);
    double s = ((double)m - 1.0) / ((double)m + 1.0), w = s * s;
    double p = TRN_POW_LOG2_4 + w * TRN_POW_LOG2_5;
    p = TRN_POW_LOG2_2 + w * (TRN_POW_LOG2_3 + w * p);
    p = TRN_POW_LOG2_0 + w * (TRN_POW_LOG2_1 + w * p);
    return (double)(shifted >> 23) + s * p;
}

// 2^t as a float; infinity and 0 beyond its range.
static inline float pow_exp2(double t) {
    const double rounder = 6755399441055744.0;  // 1.5 * 2^52
    if (t >= 129.0) return INFINITY;
    if (t <= -160.0) return 0.0f;
    double sum = t + rounder, f = t - (sum - rounder);
    double p = TRN_POW_EXP2_6 + f * TRN_POW_EXP2_7;
    p = TRN_POW_EXP2_4 + f * (TRN_POW_EXP2_5 + f * p);
    p = TRN_POW_EXP2_2 + f * (TRN_POW_EXP2_3 + f * p);
    p = 1.0 + f * (TRN_POW_EXP2_0 + f * (TRN_POW_EXP2_1 + f * p));
    uint64_t exponent;
    memcpy(&exponent, &sum, sizeof exponent);
    exponent = (exponent + 1023) << 52;
    double scale;
    memcpy(&scale, &exponent, sizeof scale);
    return (float)(p * scale);
}

// 0: no integer; 1: odd; 2: even.
static inline int pow_parity(float b) {
    float magnitude = fabsf(b);
    if (magnitude >= 16777216.0f) return 2;
    int32_t whole = (int32_t)magnitude;
    return (float)whole != magnitude ? 0 : whole % 2 ? 1 : 2;
}

// IEEE 754's pow: its order of special cases.
static inline float pow_lane(float a, float b) {
    if (b == 0.0f || a == 1.0f) return 1.0f;
    if (a != a || b != b) return a + b;
    float magnitude = fabsf(a);
    int parity = pow_parity(b);
    float sign = a < 0.0f || (a == 0.0f && signbit(a)) ? (parity == 1 ? -1.0f : 1.0f) : 1.0f;
    if (magnitude < FLT_MIN) return b < 0.0f ? sign * INFINITY : sign * 0.0f;
    if (fabsf(b) > FLT_MAX) return magnitude == 1.0f ? 1.0f : (magnitude > 1.0f) == (b > 0.0f) ? INFINITY : 0.0f;
    if (magnitude > FLT_MAX) return b > 0.0f ? sign * INFINITY : sign * 0.0f;
    if (a < 0.0f && parity == 0) return NAN;
    return sign * pow_exp2((double)b * pow_log2(magnitude));
}

// A square, which layer norms ask for, is one multiplication, whatever stands beside it.
TRN_INLINE vf f32_pow(vf a, vf b) {
    float base[VF_LANES], exponent[VF_LANES], power[VF_LANES];
    vf_store(base, a), vf_store(exponent, b), vf_store(power, vf_mul(a, a));
    for (int i = 0; i < VF_LANES; i++)
        if (exponent[i] != 2.0f) power[i] = pow_lane(base[i], exponent[i]);
    return vf_load(power);
}
