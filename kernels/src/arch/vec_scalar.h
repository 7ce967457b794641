// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary in C alone: eight lanes, the reference for every other instruction set.
//
// vf: 8 floats; vi: 8 int32; vm: 8 truth values. Every operation is lane by lane and rounds once. Comparisons are false
// where a lane is NaN. vf_load_n and vf_store_n touch n lanes only (n <= 8); the others load as 0.
//
// The lanes are two of gcc's and clang's vectors of 16 bytes, which mean the same as eight variables, compile ten times
// faster than those and run faster where the processor has such vectors.
#ifndef TRN_VEC_SCALAR_H
#define TRN_VEC_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "target.h"

enum { VF_LANES = 8 };
#define VF_TILE_SUMS 2  // vectors of sums that the registers hold beside what a link of the chains needs
#define VF_TILE_ROWS 1  // of the largest tile of a matrix product: what the registers hold. Here it saves code
typedef float vec_floats __attribute__((vector_size(16)));
typedef int32_t vec_ints __attribute__((vector_size(16)));
typedef uint32_t vec_words __attribute__((vector_size(16)));
typedef struct { vec_floats half[2]; } vf;
typedef struct { vec_ints half[2]; } vi;
typedef vi vm;  // all bits of a lane, or none

// The value whose half h is the expression; that whose lane i of half h is the expression.
#define VEC_HALVES(type, expression)                            \
    do {                                                        \
        type r;                                                 \
        for (int h = 0; h < 2; h++) r.half[h] = (expression);   \
        return r;                                               \
    } while (0)
#define VEC_LANES(type, expression)                                       \
    do {                                                                  \
        type r;                                                           \
        for (int h = 0; h < 2; h++)                                       \
            for (int i = 0; i < 4; i++) r.half[h][i] = (expression);      \
        return r;                                                         \
    } while (0)

TRN_INLINE vf vf_load(const float *p) {
    vf a;
    memcpy(&a, p, sizeof a);
    return a;
}
TRN_INLINE vf vf_load_n(const float *p, size_t n) {
    vf a;
    memset(&a, 0, sizeof a);
    memcpy(&a, p, n * sizeof *p);
    return a;
}
TRN_INLINE void vf_store(float *p, vf a) { memcpy(p, &a, sizeof a); }
TRN_INLINE void vf_store_n(float *p, vf a, size_t n) { memcpy(p, &a, n * sizeof *p); }
TRN_INLINE vf vf_set1(float x) { VEC_HALVES(vf, ((vec_floats){x, x, x, x})); }
TRN_INLINE vf vf_zero(void) { return vf_set1(0.0f); }

TRN_INLINE vf vf_add(vf a, vf b) { VEC_HALVES(vf, a.half[h] + b.half[h]); }
TRN_INLINE vf vf_sub(vf a, vf b) { VEC_HALVES(vf, a.half[h] - b.half[h]); }
TRN_INLINE vf vf_mul(vf a, vf b) { VEC_HALVES(vf, a.half[h] * b.half[h]); }
TRN_INLINE vf vf_div(vf a, vf b) { VEC_HALVES(vf, a.half[h] / b.half[h]); }
TRN_INLINE vf vf_sqrt(vf a) { VEC_LANES(vf, sqrtf(a.half[h][i])); }
// a * b + c, rounded once. Matrix products only.
TRN_INLINE vf vf_fma(vf a, vf b, vf c) { VEC_LANES(vf, fmaf(a.half[h][i], b.half[h][i], c.half[h][i])); }

TRN_INLINE vi vf_bits(vf a) { VEC_HALVES(vi, (vec_ints)a.half[h]); }
TRN_INLINE vf vi_as_vf(vi a) { VEC_HALVES(vf, (vec_floats)a.half[h]); }
TRN_INLINE vf vf_select(vm m, vf yes, vf no) {
    VEC_HALVES(vf, (vec_floats)(((vec_ints)yes.half[h] & m.half[h]) | ((vec_ints)no.half[h] & ~m.half[h])));
}
TRN_INLINE vm vf_lt(vf a, vf b) { VEC_HALVES(vm, a.half[h] < b.half[h]); }
TRN_INLINE vm vf_le(vf a, vf b) { VEC_HALVES(vm, a.half[h] <= b.half[h]); }
TRN_INLINE vm vf_eq(vf a, vf b) { VEC_HALVES(vm, a.half[h] == b.half[h]); }
TRN_INLINE vm vf_is_nan(vf a) { VEC_HALVES(vm, a.half[h] != a.half[h]); }
TRN_INLINE int vm_any(vm m) {
    vec_ints any = m.half[0] | m.half[1];
    return (any[0] | any[1] | any[2] | any[3]) != 0;
}

// The bound where it is less (greater) than x, else x: a NaN in x stays, and so does the sign of a zero.
TRN_INLINE vf vf_at_most(vf bound, vf x) { return vf_select(vf_lt(bound, x), bound, x); }
TRN_INLINE vf vf_at_least(vf bound, vf x) { return vf_select(vf_lt(x, bound), bound, x); }
TRN_INLINE vf vf_floor(vf a) { VEC_LANES(vf, floorf(a.half[h][i])); }
TRN_INLINE vf vf_ceil(vf a) { VEC_LANES(vf, ceilf(a.half[h][i])); }
// To nearest, ties to even.
TRN_INLINE vf vf_round(vf a) { VEC_LANES(vf, rintf(a.half[h][i])); }

TRN_INLINE vi vi_load(const int32_t *p) {
    vi a;
    memcpy(&a, p, sizeof a);
    return a;
}
TRN_INLINE void vi_store(int32_t *p, vi a) { memcpy(p, &a, sizeof a); }
TRN_INLINE vi vi_set1(int32_t x) { VEC_HALVES(vi, ((vec_ints){x, x, x, x})); }
// Modulo 2^32.
TRN_INLINE vi vi_add(vi a, vi b) { VEC_HALVES(vi, (vec_ints)((vec_words)a.half[h] + (vec_words)b.half[h])); }
TRN_INLINE vi vi_sub(vi a, vi b) { VEC_HALVES(vi, (vec_ints)((vec_words)a.half[h] - (vec_words)b.half[h])); }
TRN_INLINE vi vi_and(vi a, vi b) { VEC_HALVES(vi, a.half[h] & b.half[h]); }
TRN_INLINE vi vi_or(vi a, vi b) { VEC_HALVES(vi, a.half[h] | b.half[h]); }
TRN_INLINE vi vi_xor(vi a, vi b) { VEC_HALVES(vi, a.half[h] ^ b.half[h]); }
TRN_INLINE vi vi_shift_left(vi a, int count) { VEC_HALVES(vi, (vec_ints)((vec_words)a.half[h] << (uint32_t)count)); }
// With the sign.
TRN_INLINE vi vi_shift_right(vi a, int count) { VEC_HALVES(vi, a.half[h] >> count); }
TRN_INLINE vm vi_is_negative(vi a) { VEC_HALVES(vm, a.half[h] < 0); }
// Exact for |a| <= 2**24.
TRN_INLINE vf vi_to_vf(vi a) { VEC_LANES(vf, (float)a.half[h][i]); }

TRN_INLINE vf vf_abs(vf a) { return vi_as_vf(vi_and(vf_bits(a), vi_set1(INT32_MAX))); }
TRN_INLINE vf vf_neg(vf a) { return vi_as_vf(vi_xor(vf_bits(a), vi_set1(INT32_MIN))); }
// Turns the sign of a where s is negative.
TRN_INLINE vf vf_flip(vf a, vf s) { return vi_as_vf(vi_xor(vf_bits(a), vi_and(vf_bits(s), vi_set1(INT32_MIN)))); }

// ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7)).
TRN_INLINE float vf_reduce_add(vf a) {
    vec_floats four = a.half[0] + a.half[1];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

#undef VEC_HALVES
#undef VEC_LANES
#endif
