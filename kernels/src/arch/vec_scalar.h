// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary in C alone, one lane: the reference for every other instruction set, and what any compiler turns
// into scalar code without spills, or into vectors where it can. Included behind TRN_ISA_NAME, for its class of rounding.
//
// vf: VF_LANES floats, a divisor of 8; vi: as many int32; vm: as many truth values. Every operation is lane by lane and
// rounds once. Comparisons are false where a lane is NaN. vf_load_n and vf_store_n touch n lanes only (n <= VF_LANES); the
// others load as 0.
#ifndef TRN_VEC_SCALAR_H
#define TRN_VEC_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../ukernels.h"
#include "target.h"

enum { VF_LANES = 1 };
// The tiles of a matrix product: rows of the largest one; how many times eight sums the registers hold, beside what a link
// of the chains needs.
#define VF_TILE_ROWS 1
#define VF_TILE_SUMS 2
typedef float vf;
typedef int32_t vi;
typedef int vm;

TRN_INLINE vf vf_load(const float *p) { return *p; }
TRN_INLINE vf vf_load_n(const float *p, size_t n) { return n ? *p : 0.0f; }
TRN_INLINE void vf_store(float *p, vf a) { *p = a; }
TRN_INLINE void vf_store_n(float *p, vf a, size_t n) {
    if (n) *p = a;
}
TRN_INLINE vf vf_set1(float x) { return x; }
TRN_INLINE vf vf_zero(void) { return 0.0f; }

TRN_INLINE vf vf_add(vf a, vf b) { return a + b; }
TRN_INLINE vf vf_sub(vf a, vf b) { return a - b; }
TRN_INLINE vf vf_mul(vf a, vf b) { return a * b; }
TRN_INLINE vf vf_div(vf a, vf b) { return a / b; }
TRN_INLINE vf vf_sqrt(vf a) { return sqrtf(a); }
// a * b + c, rounded once in the fused class of isa.def, twice in the separate one. For fp32 matrix products and cells.
TRN_INLINE vf vf_fma(vf a, vf b, vf c) { return TRN_PASTE(trn_fused, TRN_ISA_NAME) ? fmaf(a, b, c) : a * b + c; }

TRN_INLINE vm vf_lt(vf a, vf b) { return a < b; }
TRN_INLINE vm vf_le(vf a, vf b) { return a <= b; }
TRN_INLINE vm vf_eq(vf a, vf b) { return a == b; }
TRN_INLINE vm vf_is_nan(vf a) { return a != a; }
TRN_INLINE vf vf_select(vm m, vf yes, vf no) { return m ? yes : no; }
TRN_INLINE int vm_any(vm m) { return m; }

// The bound where it is less (greater) than x, else x: a NaN in x stays, and so does the sign of a zero.
TRN_INLINE vf vf_at_most(vf bound, vf x) { return bound < x ? bound : x; }
TRN_INLINE vf vf_at_least(vf bound, vf x) { return x < bound ? bound : x; }
TRN_INLINE vf vf_floor(vf a) { return floorf(a); }
TRN_INLINE vf vf_ceil(vf a) { return ceilf(a); }
// To nearest, ties to even.
TRN_INLINE vf vf_round(vf a) { return rintf(a); }

TRN_INLINE vi vf_bits(vf a) {
    vi bits;
    memcpy(&bits, &a, sizeof bits);
    return bits;
}
TRN_INLINE vf vi_as_vf(vi a) {
    vf f;
    memcpy(&f, &a, sizeof f);
    return f;
}
TRN_INLINE vi vi_load(const int32_t *p) { return *p; }
TRN_INLINE void vi_store(int32_t *p, vi a) { *p = a; }
TRN_INLINE vi vi_set1(int32_t x) { return x; }
// Modulo 2^32.
TRN_INLINE vi vi_add(vi a, vi b) { return (vi)((uint32_t)a + (uint32_t)b); }
TRN_INLINE vi vi_sub(vi a, vi b) { return (vi)((uint32_t)a - (uint32_t)b); }
TRN_INLINE vi vi_and(vi a, vi b) { return a & b; }
TRN_INLINE vi vi_or(vi a, vi b) { return a | b; }
TRN_INLINE vi vi_xor(vi a, vi b) { return a ^ b; }
TRN_INLINE vi vi_shift_left(vi a, int count) { return (vi)((uint32_t)a << count); }
// With the sign.
TRN_INLINE vi vi_shift_right(vi a, int count) { return a >> count; }
TRN_INLINE vm vi_is_negative(vi a) { return a < 0; }
// Exact for |a| <= 2**24.
TRN_INLINE vf vi_to_vf(vi a) { return (vf)a; }

TRN_INLINE vf vf_abs(vf a) { return vi_as_vf(vf_bits(a) & INT32_MAX); }
TRN_INLINE vf vf_neg(vf a) { return vi_as_vf(vf_bits(a) ^ INT32_MIN); }
// Turns the sign of a where s is negative.
TRN_INLINE vf vf_flip(vf a, vf s) { return vi_as_vf(vf_bits(a) ^ (vf_bits(s) & INT32_MIN)); }

#endif
