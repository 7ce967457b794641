// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary in C alone, one lane: the reference for every other instruction set, and what any compiler turns
// into scalar code without spills, or into vectors where it can. Included behind TRN_ISA_NAME, for its class of rounding.
//
// vf: VF_LANES floats, a divisor of 8, or 16 where no sums run along a row; vi: as many int32; vm: as many truth values.
// Every operation is lane by lane and rounds once. Comparisons are false where a lane is NaN. vf_load_n and vf_store_n touch
// n lanes only (n <= VF_LANES); the others load as 0. vf_fetch begins to bring what p points at nearer, where the processor
// has a word for that; p need not be an address of anything.
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
// of the chains needs; of how many one row makes good use (2, 6 or 8); panels that one row takes at once where one is narrow;
// links in a turn of the loop; how many vectors before its use one is loaded, which helps processors that do not look ahead.
#define VF_TILE_ROWS 1
#define VF_TILE_SUMS 2
#define VF_ROW_SUMS 2
#define VF_TILE_PANELS 1
#define VF_TILE_LINKS 1
#define VF_AHEAD 0
typedef float vf;
typedef int32_t vi;
typedef int vm;

TRN_INLINE vf vf_load(const float *p) { return *p; }
TRN_INLINE vf vf_load_n(const float *p, size_t n) { return n ? *p : 0.0f; }
TRN_INLINE void vf_store(float *p, vf a) { *p = a; }
TRN_INLINE void vf_store_n(float *p, vf a, size_t n) {
    if (n) *p = a;
}
TRN_INLINE void vf_fetch(const float *p) { (void)p; }
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
// x between -limit and limit; limit > 0.
TRN_INLINE vf vf_clamp(float limit, vf x) { return vf_at_least(vf_set1(-limit), vf_at_most(vf_set1(limit), x)); }
TRN_INLINE vf vf_floor(vf a) { return floorf(a); }
TRN_INLINE vf vf_ceil(vf a) { return ceilf(a); }
// To nearest, ties to even.
TRN_INLINE vf vf_round(vf a) { return rintf(a); }

TRN_INLINE vi vf_bits(vf a) { return bits_of_float(a); }
TRN_INLINE vf vi_as_vf(vi a) { return float_of_bits(a); }
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
// To nearest, ties to even; exact for |a| <= 2**24.
TRN_INLINE vf vi_to_vf(vi a) { return (vf)a; }

TRN_INLINE vi vi_max(vi a, vi b) { return a > b ? a : b; }
TRN_INLINE int32_t vi_max_across(vi a) { return a; }
TRN_INLINE int32_t vi_sum_across(vi a) { return a; }
// To nearest, ties to even; of what fits int32.
TRN_INLINE vi vf_to_vi(vf a) { return (vi)rintf(a); }

// Products of 8-bit and 16-bit numbers. Codes, the numbers to multiply by, are -127 to 127, kept as bytes with
// VI_DOT_OFFSET added, or -8191 to 8191 in 16 bits; they are made of VI_GROUP vectors at once, 4, of 16 lanes 2. A cell holds
// four of the former, two of the latter; codes are loaded for VI_CODE_CELLS of them where there are so many vectors of sums, a
// product takes VI_DOT_CELLS of a column at once. The tiles of products: rows of the largest one (1 or 4), and if there are
// several, how many times eight columns it has (2 or 6); how many times eight columns the registers hold the sums of one row
// (2, 6, 8 or 16), and those whose values from before they hold as well; VI_AHEAD, as VF_AHEAD; VI_ROW_AHEAD: how many bytes before their use weights that
// are far away are fetched, 0: not at all.
#define VI_GROUP 4
#define VI_DOT_OFFSET 0
#define VI_CODE_CELLS(sums) 1
#define VI_DOT_CELLS 1
#define VI_AHEAD 0
#define VI_ROW_AHEAD 0
#define VI_TILE_ROWS 1
#define VI_TILE_SUMS 2
#define VI_ROW_SUMS 2
#define VI_KEPT 8
// Four bytes for each lane.
TRN_INLINE vi vi_load_cells(const void *p) {
    vi cell;
    memcpy(&cell, p, sizeof cell);
    return cell;
}
// So many cells of codes, 1, VI_DOT_CELLS or VI_CODE_CELLS, in a form in which every lane can be multiplied by them.
typedef vi vcodes;
TRN_INLINE vcodes vcodes_load(const int8_t *p, const int cells) { return (void)cells, vi_load_cells(p); }
// The sums of a vector of columns in the form that products are added to: from where they start, and to what they are.
typedef vi vsum;
TRN_INLINE vsum vsum_of(vi start) { return start; }
TRN_INLINE vi vsum_total(vsum sums) { return sums; }
// sums + the products of each lane with so many cells, 1 or VI_DOT_CELLS: x holds codes with their offset, from cell c on,
// w weights, of which two in a pair (bytes 0 and 1, bytes 2 and 3) have a sum of -129 to 129.
TRN_INLINE vsum vsum_dot(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    (void)c, (void)cells;
    TRN_UNROLL for (int i = 0; i < 32; i += 8) sums = vi_add(sums, (int8_t)(x >> i) * (int8_t)(w[0] >> i));
    return sums;
}
// Likewise of 16 bits, two a cell; sums stay within 32 bits.
TRN_INLINE vsum vsum_dot16(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    (void)c, (void)cells;
    return vi_add(vi_add(sums, (int16_t)x * (int16_t)w[0]), (x >> 16) * (w[0] >> 16));
}
// The codes of a group, in 16 bits.
TRN_INLINE void vi_store_codes16(int16_t *p, const vi q[VI_GROUP]) {
    for (int i = 0; i < VI_GROUP; i++) p[i] = (int16_t)q[i];
}
// The codes of a group, plus the offset. All lanes of the result together: the sum of their magnitudes.
TRN_INLINE vi vi_store_codes(int8_t *p, const vi q[VI_GROUP]) {
    vi sum = 0;
    for (int i = 0; i < VI_GROUP; i++) p[i] = (int8_t)q[i], sum += q[i] < 0 ? -q[i] : q[i];
    return sum;
}

TRN_INLINE vf vf_abs(vf a) { return vi_as_vf(vf_bits(a) & INT32_MAX); }
TRN_INLINE vf vf_neg(vf a) { return vi_as_vf(vf_bits(a) ^ INT32_MIN); }
// Turns the sign of a where s is negative.
TRN_INLINE vf vf_flip(vf a, vf s) { return vi_as_vf(vf_bits(a) ^ (vf_bits(s) & INT32_MIN)); }

#endif
