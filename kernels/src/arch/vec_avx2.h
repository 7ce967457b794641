// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary of vec_scalar.h, which says what each word means, on AVX2 and FMA.
#ifndef TRN_VEC_AVX2_H
#define TRN_VEC_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "target.h"

enum { VF_LANES = 8 };
#define VF_TILE_ROWS 6
#define VF_TILE_SUMS 12  // of the 16 registers
#define VF_ROW_SUMS 8
#define VF_TILE_PANELS 2
#define VF_TILE_LINKS 2
#define VF_AHEAD 0
typedef __m256 vf;
typedef __m256i vi;
typedef __m256 vm;  // only the sign bit of a lane counts

// A window into it is a mask of the first n lanes.
static const int32_t vec_first_lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
TRN_INLINE __m256i vec_first(size_t n) { return _mm256_loadu_si256((const __m256i *)(vec_first_lanes + 8 - n)); }

TRN_INLINE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
TRN_INLINE vf vf_load_n(const float *p, size_t n) { return _mm256_maskload_ps(p, vec_first(n)); }
TRN_INLINE void vf_store(float *p, vf a) { _mm256_storeu_ps(p, a); }
// Parts of 4, 2 and 1: a masked store is slow on several processors.
TRN_INLINE void vf_store_n(float *p, vf a, size_t n) {
    __m128 part = _mm256_castps256_ps128(a);
    if (n & 8) {
        _mm256_storeu_ps(p, a);
        return;
    }
    if (n & 4) {
        _mm_storeu_ps(p, part);
        p += 4, part = _mm256_extractf128_ps(a, 1);
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, part);
        p += 2, part = _mm_movehl_ps(part, part);
    }
    if (n & 1) _mm_store_ss(p, part);
}
TRN_INLINE void vf_fetch(const float *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
TRN_INLINE vf vf_set1(float x) { return _mm256_set1_ps(x); }
TRN_INLINE vf vf_zero(void) { return _mm256_setzero_ps(); }

TRN_INLINE vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
TRN_INLINE vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
TRN_INLINE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
TRN_INLINE vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
TRN_INLINE vf vf_sqrt(vf a) { return _mm256_sqrt_ps(a); }
TRN_INLINE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }

// The instructions return their second operand where either is NaN and where both are zeros.
TRN_INLINE vf vf_at_most(vf bound, vf x) { return _mm256_min_ps(bound, x); }
TRN_INLINE vf vf_at_least(vf bound, vf x) { return _mm256_max_ps(bound, x); }
TRN_INLINE vf vf_clamp(float limit, vf x) { return vf_at_least(vf_set1(-limit), vf_at_most(vf_set1(limit), x)); }
TRN_INLINE vf vf_floor(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
TRN_INLINE vf vf_ceil(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
TRN_INLINE vf vf_round(vf a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

TRN_INLINE vm vf_lt(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
TRN_INLINE vm vf_le(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
TRN_INLINE vm vf_eq(vf a, vf b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
TRN_INLINE vm vf_is_nan(vf a) { return _mm256_cmp_ps(a, a, _CMP_UNORD_Q); }
TRN_INLINE vf vf_select(vm m, vf yes, vf no) { return _mm256_blendv_ps(no, yes, m); }
TRN_INLINE int vm_any(vm m) { return _mm256_movemask_ps(m); }

TRN_INLINE vi vf_bits(vf a) { return _mm256_castps_si256(a); }
TRN_INLINE vf vi_as_vf(vi a) { return _mm256_castsi256_ps(a); }
TRN_INLINE vi vi_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
TRN_INLINE void vi_store(int32_t *p, vi a) { _mm256_storeu_si256((__m256i *)p, a); }
TRN_INLINE vi vi_set1(int32_t x) { return _mm256_set1_epi32(x); }
TRN_INLINE vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
TRN_INLINE vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
TRN_INLINE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
TRN_INLINE vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
TRN_INLINE vi vi_xor(vi a, vi b) { return _mm256_xor_si256(a, b); }
TRN_INLINE vi vi_shift_left(vi a, int count) { return _mm256_slli_epi32(a, count); }
TRN_INLINE vi vi_shift_right(vi a, int count) { return _mm256_srai_epi32(a, count); }
TRN_INLINE vm vi_is_negative(vi a) { return _mm256_castsi256_ps(a); }
TRN_INLINE vf vi_to_vf(vi a) { return _mm256_cvtepi32_ps(a); }

#define VI_GROUP 4
#define VI_DOT_OFFSET 127
#define VI_CODE_CELLS(sums) 1
#define VI_DOT_CELLS 1
#define VI_AHEAD 0
#define VI_ROW_AHEAD 768
#define VI_TILE_ROWS 4
#define VI_TILE_SUMS 2
#define VI_ROW_SUMS 8
#define VI_KEPT 6
TRN_INLINE vi vi_max(vi a, vi b) { return _mm256_max_epi32(a, b); }
TRN_INLINE int32_t vi_max_across(vi a) {
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
}
TRN_INLINE int32_t vi_sum_across(vi a) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
TRN_INLINE vi vf_to_vi(vf a) { return _mm256_cvtps_epi32(a); }
TRN_INLINE vi vi_load_cells(const void *p) { return _mm256_loadu_si256(p); }
typedef vi vcodes;
TRN_INLINE vcodes vcodes_load(const int8_t *p, const int cells) {
    (void)cells;
    return _mm256_castps_si256(_mm256_broadcast_ss((const float *)p));
}
typedef vi vsum;
TRN_INLINE vsum vsum_of(vi start) { return start; }
TRN_INLINE vi vsum_total(vsum sums) { return sums; }
TRN_INLINE vsum vsum_dot(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    (void)c, (void)cells;
    return _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(x, w[0]), _mm256_set1_epi16(1)));
}
TRN_INLINE vsum vsum_dot16(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    (void)c, (void)cells;
    return _mm256_add_epi32(sums, _mm256_madd_epi16(x, w[0]));
}
TRN_INLINE void vi_store_codes16(int16_t *p, const vi q[VI_GROUP]) {
    __m256i a = _mm256_packs_epi32(q[0], q[1]), b = _mm256_packs_epi32(q[2], q[3]);
    _mm256_storeu_si256((__m256i *)p, _mm256_permute4x64_epi64(a, 0xd8));
    _mm256_storeu_si256((__m256i *)(p + 16), _mm256_permute4x64_epi64(b, 0xd8));
}
TRN_INLINE vi vi_store_codes(int8_t *p, const vi q[VI_GROUP]) {
    __m256i a = _mm256_packs_epi32(q[0], q[1]), b = _mm256_packs_epi32(q[2], q[3]);
    __m256i codes = _mm256_packs_epi16(a, b), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i offset = _mm256_add_epi8(codes, _mm256_set1_epi8(VI_DOT_OFFSET));
    _mm256_storeu_si256((__m256i *)p, _mm256_permutevar8x32_epi32(offset, order));
    return _mm256_sad_epu8(_mm256_abs_epi8(codes), _mm256_setzero_si256());
}

TRN_INLINE vf vf_abs(vf a) { return _mm256_and_ps(a, vi_as_vf(vi_set1(INT32_MAX))); }
TRN_INLINE vf vf_neg(vf a) { return _mm256_xor_ps(a, vi_as_vf(vi_set1(INT32_MIN))); }
TRN_INLINE vf vf_flip(vf a, vf s) { return _mm256_xor_ps(a, _mm256_and_ps(s, vi_as_vf(vi_set1(INT32_MIN)))); }

#endif
