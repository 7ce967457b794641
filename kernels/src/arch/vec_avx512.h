// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary of vec_scalar.h, which says what each word means, on AVX-512 with its products of whole numbers
// (VNNI). Sixteen lanes: for those products and what goes with them, of which no sum of floats runs along a row.
#ifndef TRN_VEC_AVX512_H
#define TRN_VEC_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "target.h"

enum { VF_LANES = 16 };
// Products of whole numbers take two panels at once, and loops are unrolled; the rest is of products in fp32, which are AVX2's.
#define VF_TILE_PANELS 2
#define VF_TILE_LINKS 2
#define VF_TILE_SUMS 12
#define VF_TILE_ROWS 6
#define VF_ROW_SUMS 8
#define VF_AHEAD 0
typedef __m512 vf;
typedef __m512i vi;
typedef __mmask16 vm;

TRN_INLINE __mmask16 vec_first(size_t n) { return (__mmask16)((1u << n) - 1); }
TRN_INLINE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
TRN_INLINE vf vf_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(vec_first(n), p); }
TRN_INLINE void vf_store(float *p, vf a) { _mm512_storeu_ps(p, a); }
TRN_INLINE void vf_store_n(float *p, vf a, size_t n) { _mm512_mask_storeu_ps(p, vec_first(n), a); }
TRN_INLINE void vf_fetch(const float *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
TRN_INLINE vf vf_set1(float x) { return _mm512_set1_ps(x); }
TRN_INLINE vf vf_zero(void) { return _mm512_setzero_ps(); }

TRN_INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
TRN_INLINE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
TRN_INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
TRN_INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
TRN_INLINE vf vf_sqrt(vf a) { return _mm512_sqrt_ps(a); }
TRN_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }

// The instructions return their second operand where either is NaN and where both are zeros.
TRN_INLINE vf vf_at_most(vf bound, vf x) { return _mm512_min_ps(bound, x); }
TRN_INLINE vf vf_at_least(vf bound, vf x) { return _mm512_max_ps(bound, x); }
TRN_INLINE vf vf_clamp(float limit, vf x) { return vf_at_least(vf_set1(-limit), vf_at_most(vf_set1(limit), x)); }
TRN_INLINE vf vf_floor(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
TRN_INLINE vf vf_ceil(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
TRN_INLINE vf vf_round(vf a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

TRN_INLINE vm vf_lt(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
TRN_INLINE vm vf_le(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
TRN_INLINE vm vf_eq(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
TRN_INLINE vm vf_is_nan(vf a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
TRN_INLINE vf vf_select(vm m, vf yes, vf no) { return _mm512_mask_blend_ps(m, no, yes); }
TRN_INLINE int vm_any(vm m) { return m != 0; }

TRN_INLINE vi vf_bits(vf a) { return _mm512_castps_si512(a); }
TRN_INLINE vf vi_as_vf(vi a) { return _mm512_castsi512_ps(a); }
TRN_INLINE vi vi_load(const int32_t *p) { return _mm512_loadu_si512(p); }
TRN_INLINE void vi_store(int32_t *p, vi a) { _mm512_storeu_si512(p, a); }
TRN_INLINE vi vi_set1(int32_t x) { return _mm512_set1_epi32(x); }
TRN_INLINE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
TRN_INLINE vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
TRN_INLINE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
TRN_INLINE vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
TRN_INLINE vi vi_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
TRN_INLINE vi vi_shift_left(vi a, int count) { return _mm512_slli_epi32(a, (unsigned)count); }
TRN_INLINE vi vi_shift_right(vi a, int count) { return _mm512_srai_epi32(a, (unsigned)count); }
TRN_INLINE vm vi_is_negative(vi a) { return _mm512_movepi32_mask(a); }
TRN_INLINE vf vi_to_vf(vi a) { return _mm512_cvtepi32_ps(a); }

// A product takes four to five cycles, and two can begin in each: where there are few sums, neighbouring cells have their own.
#define VI_GROUP 2
#define VI_DOT_OFFSET 127
#define VI_CODE_CELLS(sums) ((sums) > 8 ? 1 : 2)
#define VI_DOT_CELLS 1
#define VI_AHEAD 0
#define VI_ROW_AHEAD 0
#define VI_TILE_ROWS 4
#define VI_TILE_SUMS 6
#define VI_ROW_SUMS 16
#define VI_KEPT 16
TRN_INLINE vi vi_max(vi a, vi b) { return _mm512_max_epi32(a, b); }
TRN_INLINE int32_t vi_max_across(vi a) { return _mm512_reduce_max_epi32(a); }
TRN_INLINE int32_t vi_sum_across(vi a) { return _mm512_reduce_add_epi32(a); }
TRN_INLINE vi vf_to_vi(vf a) { return _mm512_cvtps_epi32(a); }
TRN_INLINE vi vi_load_cells(const void *p) { return _mm512_loadu_si512(p); }
typedef struct {
    vi cell[2];
} vcodes;
TRN_INLINE vi vec_cell(const int8_t *p) {
    int32_t cell;
    memcpy(&cell, p, sizeof cell);
    return _mm512_set1_epi32(cell);
}
TRN_INLINE vcodes vcodes_load(const int8_t *p, const int cells) {
    const vi first = vec_cell(p);
    return (vcodes){{first, cells > 1 ? vec_cell(p + 4) : first}};
}
typedef struct {
    vi cell[2];
} vsum;
TRN_INLINE vsum vsum_of(vi start) { return (vsum){{start, _mm512_setzero_si512()}}; }
TRN_INLINE vi vsum_total(vsum sums) { return vi_add(sums.cell[0], sums.cell[1]); }
TRN_INLINE vsum vsum_dot(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    (void)cells;
    sums.cell[c] = _mm512_dpbusd_epi32(sums.cell[c], x.cell[c], w[0]);
    return sums;
}
TRN_INLINE vsum vsum_dot16(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    (void)cells;
    sums.cell[c] = _mm512_dpwssd_epi32(sums.cell[c], x.cell[c], w[0]);
    return sums;
}
TRN_INLINE void vi_store_codes16(int16_t *p, const vi q[VI_GROUP]) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(q[0]));
    _mm256_storeu_si256((__m256i *)(p + 16), _mm512_cvtepi32_epi16(q[1]));
}
TRN_INLINE vi vi_store_codes(int8_t *p, const vi q[VI_GROUP]) {
    const vi offset = vi_set1(VI_DOT_OFFSET);
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(vi_add(q[0], offset)));
    _mm_storeu_si128((__m128i *)(p + 16), _mm512_cvtepi32_epi8(vi_add(q[1], offset)));
    return vi_add(_mm512_abs_epi32(q[0]), _mm512_abs_epi32(q[1]));
}

TRN_INLINE vf vf_abs(vf a) { return _mm512_abs_ps(a); }
TRN_INLINE vf vf_neg(vf a) { return vi_as_vf(vi_xor(vf_bits(a), vi_set1(INT32_MIN))); }
TRN_INLINE vf vf_flip(vf a, vf s) { return vi_as_vf(vi_xor(vf_bits(a), vi_and(vf_bits(s), vi_set1(INT32_MIN)))); }

#endif
