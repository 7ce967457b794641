// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary of vec_scalar.h, which says what each word means, on SSE2: what every x86-64 processor has.
//
// Eight lanes in two registers, as everywhere, so that sums along a row keep their order.
#ifndef TRN_VEC_SSE2_H
#define TRN_VEC_SSE2_H

#include <emmintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "target.h"

enum { VF_LANES = 8 };
#define VF_TILE_ROWS 2
#define VF_TILE_SUMS 6  // 12 of the 16 registers
#define VF_ROW_SUMS 8
#define VF_TILE_PANELS 1
#define VF_TILE_LINKS 1
#define VF_AHEAD 0
typedef struct {
    __m128 low, high;
} vf;
typedef struct {
    __m128i low, high;
} vi;
typedef vf vm;  // all bits of a lane, or none

// n of four floats, n < 4; the others load as 0.
TRN_INLINE __m128 vec_load_some(const float *p, size_t n) {
    if (n == 0) return _mm_setzero_ps();
    if (n == 1) return _mm_load_ss(p);
    __m128 two = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)p));
    return n == 2 ? two : _mm_movelh_ps(two, _mm_load_ss(p + 2));
}
TRN_INLINE void vec_store_some(float *p, __m128 a, size_t n) {
    if (n & 2) {
        _mm_storel_epi64((__m128i *)p, _mm_castps_si128(a));
        a = _mm_movehl_ps(a, a);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, a);
}

TRN_INLINE vf vf_load(const float *p) { return (vf){_mm_loadu_ps(p), _mm_loadu_ps(p + 4)}; }
TRN_INLINE vf vf_load_n(const float *p, size_t n) {
    if (n < 4) return (vf){vec_load_some(p, n), _mm_setzero_ps()};
    return (vf){_mm_loadu_ps(p), n == 8 ? _mm_loadu_ps(p + 4) : vec_load_some(p + 4, n - 4)};
}
TRN_INLINE void vf_store(float *p, vf a) { _mm_storeu_ps(p, a.low), _mm_storeu_ps(p + 4, a.high); }
TRN_INLINE void vf_store_n(float *p, vf a, size_t n) {
    if (n >= 4) _mm_storeu_ps(p, a.low), p += 4, n -= 4, a.low = a.high;
    if (n == 4) _mm_storeu_ps(p, a.low);
    else vec_store_some(p, a.low, n);
}
TRN_INLINE void vf_fetch(const float *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
TRN_INLINE vf vf_set1(float x) { return (vf){_mm_set1_ps(x), _mm_set1_ps(x)}; }
TRN_INLINE vf vf_zero(void) { return (vf){_mm_setzero_ps(), _mm_setzero_ps()}; }

TRN_INLINE vf vf_add(vf a, vf b) { return (vf){_mm_add_ps(a.low, b.low), _mm_add_ps(a.high, b.high)}; }
TRN_INLINE vf vf_sub(vf a, vf b) { return (vf){_mm_sub_ps(a.low, b.low), _mm_sub_ps(a.high, b.high)}; }
TRN_INLINE vf vf_mul(vf a, vf b) { return (vf){_mm_mul_ps(a.low, b.low), _mm_mul_ps(a.high, b.high)}; }
TRN_INLINE vf vf_div(vf a, vf b) { return (vf){_mm_div_ps(a.low, b.low), _mm_div_ps(a.high, b.high)}; }
TRN_INLINE vf vf_sqrt(vf a) { return (vf){_mm_sqrt_ps(a.low), _mm_sqrt_ps(a.high)}; }
TRN_INLINE vf vf_fma(vf a, vf b, vf c) { return vf_add(vf_mul(a, b), c); }

TRN_INLINE vi vf_bits(vf a) { return (vi){_mm_castps_si128(a.low), _mm_castps_si128(a.high)}; }
TRN_INLINE vf vi_as_vf(vi a) { return (vf){_mm_castsi128_ps(a.low), _mm_castsi128_ps(a.high)}; }
TRN_INLINE vi vi_load(const int32_t *p) {
    return (vi){_mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)(p + 4))};
}
TRN_INLINE void vi_store(int32_t *p, vi a) {
    _mm_storeu_si128((__m128i *)p, a.low), _mm_storeu_si128((__m128i *)(p + 4), a.high);
}
TRN_INLINE vi vi_set1(int32_t x) { return (vi){_mm_set1_epi32(x), _mm_set1_epi32(x)}; }
TRN_INLINE vi vi_add(vi a, vi b) { return (vi){_mm_add_epi32(a.low, b.low), _mm_add_epi32(a.high, b.high)}; }
TRN_INLINE vi vi_sub(vi a, vi b) { return (vi){_mm_sub_epi32(a.low, b.low), _mm_sub_epi32(a.high, b.high)}; }
TRN_INLINE vi vi_and(vi a, vi b) { return (vi){_mm_and_si128(a.low, b.low), _mm_and_si128(a.high, b.high)}; }
TRN_INLINE vi vi_or(vi a, vi b) { return (vi){_mm_or_si128(a.low, b.low), _mm_or_si128(a.high, b.high)}; }
TRN_INLINE vi vi_xor(vi a, vi b) { return (vi){_mm_xor_si128(a.low, b.low), _mm_xor_si128(a.high, b.high)}; }
TRN_INLINE vi vi_shift_left(vi a, int n) { return (vi){_mm_slli_epi32(a.low, n), _mm_slli_epi32(a.high, n)}; }
TRN_INLINE vi vi_shift_right(vi a, int n) { return (vi){_mm_srai_epi32(a.low, n), _mm_srai_epi32(a.high, n)}; }
TRN_INLINE vm vi_is_negative(vi a) { return vi_as_vf(vi_shift_right(a, 31)); }
TRN_INLINE vf vi_to_vf(vi a) { return (vf){_mm_cvtepi32_ps(a.low), _mm_cvtepi32_ps(a.high)}; }

#define VI_GROUP 4
#define VI_DOT_OFFSET 0
#define VI_CODE_CELLS(sums) 1
#define VI_DOT_CELLS 1
#define VI_AHEAD 0
#define VI_ROW_AHEAD 0
#define VI_TILE_ROWS 1
#define VI_TILE_SUMS 2
#define VI_ROW_SUMS 2
#define VI_KEPT 2
TRN_INLINE __m128i vec_max(__m128i a, __m128i b) {
    __m128i more = _mm_cmpgt_epi32(a, b);
    return _mm_or_si128(_mm_and_si128(more, a), _mm_andnot_si128(more, b));
}
TRN_INLINE vi vi_max(vi a, vi b) { return (vi){vec_max(a.low, b.low), vec_max(a.high, b.high)}; }
TRN_INLINE int32_t vi_max_across(vi a) {
    __m128i m = vec_max(a.low, a.high);
    m = vec_max(m, _mm_shuffle_epi32(m, 0x4e));
    return _mm_cvtsi128_si32(vec_max(m, _mm_shuffle_epi32(m, 0xb1)));
}
TRN_INLINE int32_t vi_sum_across(vi a) {
    __m128i s = _mm_add_epi32(a.low, a.high);
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
TRN_INLINE vi vf_to_vi(vf a) { return (vi){_mm_cvtps_epi32(a.low), _mm_cvtps_epi32(a.high)}; }
TRN_INLINE vi vi_load_cells(const void *p) {
    const __m128i *cells = p;
    return (vi){_mm_loadu_si128(cells), _mm_loadu_si128(cells + 1)};
}
// Four cells. The bytes widen to 16 bits by the shift that leaves their sign behind; what pairs of them give stands
// side by side until it is sorted into even and odd ones.
TRN_INLINE __m128i vec_dot4(__m128i sums, __m128i x, __m128i w) {
    __m128i x16 = _mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8);  // the same cell twice
    __m128i low = _mm_madd_epi16(x16, _mm_srai_epi16(_mm_unpacklo_epi8(w, w), 8));
    __m128i high = _mm_madd_epi16(x16, _mm_srai_epi16(_mm_unpackhi_epi8(w, w), 8));
    __m128 even = _mm_shuffle_ps(_mm_castsi128_ps(low), _mm_castsi128_ps(high), 0x88);
    __m128 odd = _mm_shuffle_ps(_mm_castsi128_ps(low), _mm_castsi128_ps(high), 0xdd);
    return _mm_add_epi32(sums, _mm_add_epi32(_mm_castps_si128(even), _mm_castps_si128(odd)));
}
typedef __m128i vcodes;
TRN_INLINE vcodes vcodes_load(const int8_t *p, const int cells) {
    (void)cells;
    return _mm_castps_si128(_mm_load1_ps((const float *)p));
}
typedef vi vsum;
TRN_INLINE vsum vsum_of(vi start) { return start; }
TRN_INLINE vi vsum_total(vsum sums) { return sums; }
TRN_INLINE vsum vsum_dot(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    (void)c, (void)cells;
    return (vi){vec_dot4(sums.low, x, w->low), vec_dot4(sums.high, x, w->high)};
}
TRN_INLINE __m128i vec_store_codes(int8_t *p, vi first, vi second) {
    __m128i a = _mm_packs_epi32(first.low, first.high), b = _mm_packs_epi32(second.low, second.high);
    __m128i codes = _mm_packs_epi16(a, b), sign = _mm_cmplt_epi8(codes, _mm_setzero_si128());
    _mm_storeu_si128((__m128i *)p, codes);
    return _mm_sad_epu8(_mm_sub_epi8(_mm_xor_si128(codes, sign), sign), _mm_setzero_si128());
}
TRN_INLINE vsum vsum_dot16(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    (void)c, (void)cells;
    return (vi){_mm_add_epi32(sums.low, _mm_madd_epi16(x, w->low)), _mm_add_epi32(sums.high, _mm_madd_epi16(x, w->high))};
}
TRN_INLINE void vi_store_codes16(int16_t *p, const vi q[VI_GROUP]) {
    for (int i = 0; i < 4; i++) _mm_storeu_si128((__m128i *)(p + 8 * i), _mm_packs_epi32(q[i].low, q[i].high));
}
TRN_INLINE vi vi_store_codes(int8_t *p, const vi q[VI_GROUP]) {
    return (vi){vec_store_codes(p, q[0], q[1]), vec_store_codes(p + 16, q[2], q[3])};
}

TRN_INLINE vm vf_lt(vf a, vf b) { return (vm){_mm_cmplt_ps(a.low, b.low), _mm_cmplt_ps(a.high, b.high)}; }
TRN_INLINE vm vf_le(vf a, vf b) { return (vm){_mm_cmple_ps(a.low, b.low), _mm_cmple_ps(a.high, b.high)}; }
TRN_INLINE vm vf_eq(vf a, vf b) { return (vm){_mm_cmpeq_ps(a.low, b.low), _mm_cmpeq_ps(a.high, b.high)}; }
TRN_INLINE vm vf_is_nan(vf a) { return (vm){_mm_cmpunord_ps(a.low, a.low), _mm_cmpunord_ps(a.high, a.high)}; }
TRN_INLINE __m128 vec_select(__m128 m, __m128 yes, __m128 no) {
    return _mm_or_ps(_mm_and_ps(m, yes), _mm_andnot_ps(m, no));
}
TRN_INLINE vf vf_select(vm m, vf yes, vf no) {
    return (vf){vec_select(m.low, yes.low, no.low), vec_select(m.high, yes.high, no.high)};
}
TRN_INLINE int vm_any(vm m) { return _mm_movemask_ps(_mm_or_ps(m.low, m.high)); }

TRN_INLINE vf vf_abs(vf a) { return vi_as_vf(vi_and(vf_bits(a), vi_set1(INT32_MAX))); }
TRN_INLINE vf vf_neg(vf a) { return vi_as_vf(vi_xor(vf_bits(a), vi_set1(INT32_MIN))); }
TRN_INLINE vf vf_flip(vf a, vf s) { return vi_as_vf(vi_xor(vf_bits(a), vi_and(vf_bits(s), vi_set1(INT32_MIN)))); }

// The instructions return their second operand where either is NaN and where both are zeros.
TRN_INLINE vf vf_at_most(vf bound, vf x) { return (vf){_mm_min_ps(bound.low, x.low), _mm_min_ps(bound.high, x.high)}; }
TRN_INLINE vf vf_at_least(vf bound, vf x) { return (vf){_mm_max_ps(bound.low, x.low), _mm_max_ps(bound.high, x.high)}; }
TRN_INLINE vf vf_clamp(float limit, vf x) { return vf_at_least(vf_set1(-limit), vf_at_most(vf_set1(limit), x)); }

// a where it is 2^23 or more, infinite or NaN, for that is as whole as it gets; else `whole` with the sign of a, which
// a zero has lost on its way through the integers.
TRN_INLINE vf vec_rounded(vf a, vf whole) {
    vf signed_whole = vi_as_vf(vi_or(vf_bits(whole), vi_and(vf_bits(a), vi_set1(INT32_MIN))));
    return vf_select(vf_lt(vf_abs(a), vf_set1(8388608.0f)), signed_whole, a);
}
TRN_INLINE vf vec_truncated(vf a) { return vi_to_vf((vi){_mm_cvttps_epi32(a.low), _mm_cvttps_epi32(a.high)}); }
// 1 where the mask is set, else 0.
TRN_INLINE vf vec_one_where(vm m) { return vi_as_vf(vi_and(vf_bits(m), vf_bits(vf_set1(1.0f)))); }
TRN_INLINE vf vf_floor(vf a) {
    vf whole = vec_truncated(a);
    return vec_rounded(a, vf_sub(whole, vec_one_where(vf_lt(a, whole))));
}
TRN_INLINE vf vf_ceil(vf a) {
    vf whole = vec_truncated(a);
    return vec_rounded(a, vf_add(whole, vec_one_where(vf_lt(whole, a))));
}
TRN_INLINE vf vf_round(vf a) { return vec_rounded(a, vi_to_vf((vi){_mm_cvtps_epi32(a.low), _mm_cvtps_epi32(a.high)})); }

#endif
