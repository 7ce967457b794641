// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary in plain C: eight lanes, the reference for every other instruction set.
//
// vf: 8 floats; vi: 8 int32; vm: 8 truth values. Every operation is lane by lane and rounds once. Comparisons are false
// where a lane is NaN. vf_load_n and vf_store_n touch n lanes only (n <= 8); the others load as 0.
#ifndef TRN_VEC_SCALAR_H
#define TRN_VEC_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "target.h"

enum { VF_LANES = 8 };
enum { VF_TILE_ROWS = 1 };  // of the largest tile of a matrix product: what the registers hold. Here it saves code
typedef struct { float lane[VF_LANES]; } vf;
typedef struct { int32_t lane[VF_LANES]; } vi;
typedef struct { int32_t lane[VF_LANES]; } vm;

#define VF_EACH(type, expression)                                                    \
    do {                                                                             \
        type vec_result;                                                             \
        for (int i = 0; i < VF_LANES; i++) vec_result.lane[i] = (expression);        \
        return vec_result;                                                           \
    } while (0)

TRN_INLINE vf vf_load(const float *p) { VF_EACH(vf, p[i]); }
TRN_INLINE vf vf_load_n(const float *p, size_t n) { VF_EACH(vf, (size_t)i < n ? p[i] : 0.0f); }
TRN_INLINE void vf_store(float *p, vf a) { memcpy(p, a.lane, sizeof a.lane); }
TRN_INLINE void vf_store_n(float *p, vf a, size_t n) {
    for (size_t i = 0; i < n; i++) p[i] = a.lane[i];
}
TRN_INLINE vf vf_set1(float x) { VF_EACH(vf, x); }
TRN_INLINE vf vf_zero(void) { return vf_set1(0.0f); }

TRN_INLINE vf vf_add(vf a, vf b) { VF_EACH(vf, a.lane[i] + b.lane[i]); }
TRN_INLINE vf vf_sub(vf a, vf b) { VF_EACH(vf, a.lane[i] - b.lane[i]); }
TRN_INLINE vf vf_mul(vf a, vf b) { VF_EACH(vf, a.lane[i] * b.lane[i]); }
TRN_INLINE vf vf_div(vf a, vf b) { VF_EACH(vf, a.lane[i] / b.lane[i]); }
TRN_INLINE vf vf_sqrt(vf a) { VF_EACH(vf, sqrtf(a.lane[i])); }
// a * b + c, rounded once. Matrix products only.
TRN_INLINE vf vf_fma(vf a, vf b, vf c) { VF_EACH(vf, fmaf(a.lane[i], b.lane[i], c.lane[i])); }

// The bound where it is less (greater) than x, else x: a NaN in x stays, and so does the sign of a zero.
TRN_INLINE vf vf_at_most(vf bound, vf x) { VF_EACH(vf, bound.lane[i] < x.lane[i] ? bound.lane[i] : x.lane[i]); }
TRN_INLINE vf vf_at_least(vf bound, vf x) { VF_EACH(vf, bound.lane[i] > x.lane[i] ? bound.lane[i] : x.lane[i]); }
TRN_INLINE vf vf_floor(vf a) { VF_EACH(vf, floorf(a.lane[i])); }
TRN_INLINE vf vf_ceil(vf a) { VF_EACH(vf, ceilf(a.lane[i])); }
// To nearest, ties to even.
TRN_INLINE vf vf_round(vf a) { VF_EACH(vf, rintf(a.lane[i])); }

TRN_INLINE vm vf_lt(vf a, vf b) { VF_EACH(vm, a.lane[i] < b.lane[i]); }
TRN_INLINE vm vf_le(vf a, vf b) { VF_EACH(vm, a.lane[i] <= b.lane[i]); }
TRN_INLINE vm vf_eq(vf a, vf b) { VF_EACH(vm, a.lane[i] == b.lane[i]); }
TRN_INLINE vm vf_is_nan(vf a) { VF_EACH(vm, a.lane[i] != a.lane[i]); }
TRN_INLINE vf vf_select(vm m, vf yes, vf no) { VF_EACH(vf, m.lane[i] ? yes.lane[i] : no.lane[i]); }
TRN_INLINE int vm_any(vm m) {
    int any = 0;
    for (int i = 0; i < VF_LANES; i++) any |= m.lane[i];
    return any;
}

TRN_INLINE vi vf_bits(vf a) {
    vi r;
    memcpy(&r, &a, sizeof r);
    return r;
}
TRN_INLINE vf vi_as_vf(vi a) {
    vf r;
    memcpy(&r, &a, sizeof r);
    return r;
}
TRN_INLINE vi vi_load(const int32_t *p) { VF_EACH(vi, p[i]); }
TRN_INLINE void vi_store(int32_t *p, vi a) { memcpy(p, a.lane, sizeof a.lane); }
TRN_INLINE vi vi_set1(int32_t x) { VF_EACH(vi, x); }
TRN_INLINE vi vi_add(vi a, vi b) { VF_EACH(vi, (int32_t)((uint32_t)a.lane[i] + (uint32_t)b.lane[i])); }
TRN_INLINE vi vi_sub(vi a, vi b) { VF_EACH(vi, (int32_t)((uint32_t)a.lane[i] - (uint32_t)b.lane[i])); }
TRN_INLINE vi vi_and(vi a, vi b) { VF_EACH(vi, a.lane[i] & b.lane[i]); }
TRN_INLINE vi vi_or(vi a, vi b) { VF_EACH(vi, a.lane[i] | b.lane[i]); }
TRN_INLINE vi vi_xor(vi a, vi b) { VF_EACH(vi, a.lane[i] ^ b.lane[i]); }
TRN_INLINE vi vi_shift_left(vi a, int count) { VF_EACH(vi, (int32_t)((uint32_t)a.lane[i] << count)); }
// With the sign: what >> of a negative number does here is what every supported compiler does.
TRN_INLINE vi vi_shift_right(vi a, int count) { VF_EACH(vi, a.lane[i] >> count); }
TRN_INLINE vm vi_is_negative(vi a) { VF_EACH(vm, a.lane[i] < 0); }
// Exact for |a| <= 2**24.
TRN_INLINE vf vi_to_vf(vi a) { VF_EACH(vf, (float)a.lane[i]); }

TRN_INLINE vf vf_abs(vf a) { return vi_as_vf(vi_and(vf_bits(a), vi_set1(INT32_MAX))); }
TRN_INLINE vf vf_neg(vf a) { return vi_as_vf(vi_xor(vf_bits(a), vi_set1(INT32_MIN))); }
// Turns the sign of a where s is negative.
TRN_INLINE vf vf_flip(vf a, vf s) { return vi_as_vf(vi_xor(vf_bits(a), vi_and(vf_bits(s), vi_set1(INT32_MIN)))); }

// ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7)).
TRN_INLINE float vf_reduce_add(vf a) {
    const float *l = a.lane;
    return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]));
}

#undef VF_EACH
#endif
