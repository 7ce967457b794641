// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary of vec_scalar.h, which says what each word means, on NEON: that of AArch64, and that of 32-bit
// Arm with the fused multiply-add of VFPv4.
//
// Eight lanes in two registers, as everywhere, so that sums along a row keep their order. The second half of an operation
// is what in-order processors have to do while the first one is under way.
#ifndef TRN_VEC_NEON_H
#define TRN_VEC_NEON_H

#include <arm_neon.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "target.h"

enum { VF_LANES = 8 };
#if defined(__aarch64__)
#define VF_TILE_ROWS 6
#define VF_TILE_SUMS 12  // 24 of the 32 registers
#define VF_ROW_SUMS 8
#define VF_AHEAD 2
#else
#define VF_TILE_ROWS 2
#define VF_TILE_SUMS 6  // 12 of the 16 registers
#define VF_ROW_SUMS 6
#define VF_AHEAD 1
#endif
#define VF_TILE_PANELS 1
#define VF_TILE_LINKS 1
typedef struct {
    float32x4_t low, high;
} vf;
typedef struct {
    int32x4_t low, high;
} vi;
typedef struct {
    uint32x4_t low, high;
} vm;  // all bits of a lane, or none

// n of four floats, n < 4; the others load as 0.
TRN_INLINE float32x4_t vec_load_some(const float *p, size_t n) {
    float32x4_t a = vdupq_n_f32(0.0f);
    if (n & 2) a = vcombine_f32(vld1_f32(p), vdup_n_f32(0.0f)), p += 2;
    if (n == 3) a = vld1q_lane_f32(p, a, 2);
    if (n == 1) a = vld1q_lane_f32(p, a, 0);
    return a;
}
TRN_INLINE void vec_store_some(float *p, float32x4_t a, size_t n) {
    float32x2_t part = vget_low_f32(a);
    if (n & 2) vst1_f32(p, part), p += 2, part = vget_high_f32(a);
    if (n & 1) vst1_lane_f32(p, part, 0);
}

TRN_INLINE vf vf_load(const float *p) { return (vf){vld1q_f32(p), vld1q_f32(p + 4)}; }
TRN_INLINE vf vf_load_n(const float *p, size_t n) {
    if (n < 4) return (vf){vec_load_some(p, n), vdupq_n_f32(0.0f)};
    return (vf){vld1q_f32(p), n == 8 ? vld1q_f32(p + 4) : vec_load_some(p + 4, n - 4)};
}
TRN_INLINE void vf_store(float *p, vf a) { vst1q_f32(p, a.low), vst1q_f32(p + 4, a.high); }
TRN_INLINE void vf_store_n(float *p, vf a, size_t n) {
    if (n >= 4) vst1q_f32(p, a.low), p += 4, n -= 4, a.low = a.high;
    if (n == 4) vst1q_f32(p, a.low);
    else vec_store_some(p, a.low, n);
}
TRN_INLINE void vf_fetch(const float *p) { __builtin_prefetch(p); }
TRN_INLINE vf vf_set1(float x) { return (vf){vdupq_n_f32(x), vdupq_n_f32(x)}; }
TRN_INLINE vf vf_zero(void) { return vf_set1(0.0f); }

// WORD(name, instruction) of two operands, lane by lane.
#define VEC_TWO(type, from, name, instruction) \
    TRN_INLINE type name(from a, from b) { return (type){instruction(a.low, b.low), instruction(a.high, b.high)}; }
VEC_TWO(vf, vf, vf_add, vaddq_f32)
VEC_TWO(vf, vf, vf_sub, vsubq_f32)
VEC_TWO(vf, vf, vf_mul, vmulq_f32)
TRN_INLINE vf vf_fma(vf a, vf b, vf c) { return (vf){vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)}; }
VEC_TWO(vm, vf, vf_lt, vcltq_f32)
VEC_TWO(vm, vf, vf_le, vcleq_f32)
VEC_TWO(vm, vf, vf_eq, vceqq_f32)
VEC_TWO(vi, vi, vi_add, vaddq_s32)
VEC_TWO(vi, vi, vi_sub, vsubq_s32)
VEC_TWO(vi, vi, vi_and, vandq_s32)
VEC_TWO(vi, vi, vi_or, vorrq_s32)
VEC_TWO(vi, vi, vi_xor, veorq_s32)
VEC_TWO(vi, vi, vi_max, vmaxq_s32)
#undef VEC_TWO

TRN_INLINE vf vf_select(vm m, vf yes, vf no) {
    return (vf){vbslq_f32(m.low, yes.low, no.low), vbslq_f32(m.high, yes.high, no.high)};
}
TRN_INLINE vm vf_is_nan(vf a) { return (vm){vmvnq_u32(vceqq_f32(a.low, a.low)), vmvnq_u32(vceqq_f32(a.high, a.high))}; }
// The instructions for minima and maxima order zeros.
TRN_INLINE vf vf_at_most(vf bound, vf x) { return vf_select(vf_lt(bound, x), bound, x); }
TRN_INLINE vf vf_at_least(vf bound, vf x) { return vf_select(vf_lt(x, bound), bound, x); }
TRN_INLINE vf vf_clamp(float limit, vf x) {
    const float32x4_t most = vdupq_n_f32(limit), least = vdupq_n_f32(-limit);
    return (vf){vmaxq_f32(least, vminq_f32(most, x.low)), vmaxq_f32(least, vminq_f32(most, x.high))};
}

TRN_INLINE vi vf_bits(vf a) { return (vi){vreinterpretq_s32_f32(a.low), vreinterpretq_s32_f32(a.high)}; }
TRN_INLINE vf vi_as_vf(vi a) { return (vf){vreinterpretq_f32_s32(a.low), vreinterpretq_f32_s32(a.high)}; }
TRN_INLINE vi vi_load(const int32_t *p) { return (vi){vld1q_s32(p), vld1q_s32(p + 4)}; }
TRN_INLINE void vi_store(int32_t *p, vi a) { vst1q_s32(p, a.low), vst1q_s32(p + 4, a.high); }
TRN_INLINE vi vi_set1(int32_t x) { return (vi){vdupq_n_s32(x), vdupq_n_s32(x)}; }
TRN_INLINE vi vi_shift_left(vi a, int n) {
    const int32x4_t count = vdupq_n_s32(n);
    return (vi){vshlq_s32(a.low, count), vshlq_s32(a.high, count)};
}
TRN_INLINE vi vi_shift_right(vi a, int n) { // to the left by a negative count
    const int32x4_t count = vdupq_n_s32(-n);
    return (vi){vshlq_s32(a.low, count), vshlq_s32(a.high, count)};
}
TRN_INLINE vm vi_is_negative(vi a) {
    return (vm){vcltq_s32(a.low, vdupq_n_s32(0)), vcltq_s32(a.high, vdupq_n_s32(0))};
}
TRN_INLINE vf vi_to_vf(vi a) { return (vf){vcvtq_f32_s32(a.low), vcvtq_f32_s32(a.high)}; }

TRN_INLINE vf vf_abs(vf a) { return (vf){vabsq_f32(a.low), vabsq_f32(a.high)}; }
TRN_INLINE vf vf_neg(vf a) { return (vf){vnegq_f32(a.low), vnegq_f32(a.high)}; }
TRN_INLINE vf vf_flip(vf a, vf s) { return vi_as_vf(vi_xor(vf_bits(a), vi_and(vf_bits(s), vi_set1(INT32_MIN)))); }

#if defined(__aarch64__)
TRN_INLINE vf vf_div(vf a, vf b) { return (vf){vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
TRN_INLINE vf vf_sqrt(vf a) { return (vf){vsqrtq_f32(a.low), vsqrtq_f32(a.high)}; }
TRN_INLINE vf vf_floor(vf a) { return (vf){vrndmq_f32(a.low), vrndmq_f32(a.high)}; }
TRN_INLINE vf vf_ceil(vf a) { return (vf){vrndpq_f32(a.low), vrndpq_f32(a.high)}; }
TRN_INLINE vf vf_round(vf a) { return (vf){vrndnq_f32(a.low), vrndnq_f32(a.high)}; }
TRN_INLINE vi vf_to_vi(vf a) { return (vi){vcvtnq_s32_f32(a.low), vcvtnq_s32_f32(a.high)}; }
TRN_INLINE int vm_any(vm m) { return vmaxvq_u32(vorrq_u32(m.low, m.high)) != 0; }
TRN_INLINE int32_t vi_max_across(vi a) { return vmaxvq_s32(vmaxq_s32(a.low, a.high)); }
TRN_INLINE int32_t vi_sum_across(vi a) { return vaddvq_s32(vaddq_s32(a.low, a.high)); }
#else
// 32-bit NEON neither divides nor takes roots: a lane at a time, in the registers that it shares with VFP.
TRN_INLINE vf vf_div(vf a, vf b) { return (vf){a.low / b.low, a.high / b.high}; }
TRN_INLINE float32x4_t vec_sqrt(float32x4_t a) { return (float32x4_t){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])}; }
TRN_INLINE vf vf_sqrt(vf a) { return (vf){vec_sqrt(a.low), vec_sqrt(a.high)}; }

// Whole numbers by way of 2^23, from where on all are whole: what is added rounds, to nearest even as NEON always does.
// The sign of a zero comes back at the end.
TRN_INLINE vf vf_round(vf a) {
    const vf magic = vf_set1(8388608.0f), size = vf_abs(a);
    const vf whole = vf_flip(vf_sub(vf_add(size, magic), magic), a);
    return vf_select(vf_lt(size, magic), whole, a);
}
// 1 where the mask is set, else 0.
TRN_INLINE vf vec_one_where(vm m) { return vf_select(m, vf_set1(1.0f), vf_zero()); }
TRN_INLINE vf vf_floor(vf a) {
    const vf whole = vf_round(a);
    return vf_flip(vf_abs(vf_sub(whole, vec_one_where(vf_lt(a, whole)))), a);
}
TRN_INLINE vf vf_ceil(vf a) {
    const vf whole = vf_round(a);
    return vf_flip(vf_abs(vf_add(whole, vec_one_where(vf_lt(whole, a)))), a);
}
TRN_INLINE vi vf_to_vi(vf a) {
    const vf whole = vf_round(a);
    return (vi){vcvtq_s32_f32(whole.low), vcvtq_s32_f32(whole.high)};
}
TRN_INLINE int vm_any(vm m) {
    const uint32x4_t either = vorrq_u32(m.low, m.high);
    const uint32x2_t two = vorr_u32(vget_low_u32(either), vget_high_u32(either));
    return vget_lane_u32(vpmax_u32(two, two), 0) != 0;
}
TRN_INLINE int32_t vi_max_across(vi a) {
    const int32x4_t four = vmaxq_s32(a.low, a.high);
    int32x2_t two = vmax_s32(vget_low_s32(four), vget_high_s32(four));
    return vget_lane_s32(vpmax_s32(two, two), 0);
}
TRN_INLINE int32_t vi_sum_across(vi a) {
    const int32x4_t four = vaddq_s32(a.low, a.high);
    const int32x2_t two = vadd_s32(vget_low_s32(four), vget_high_s32(four));
    return vget_lane_s32(vpadd_s32(two, two), 0);
}
#endif

#define VI_GROUP 4
#define VI_DOT_OFFSET 0
#define VI_KEPT 0
#define VI_AHEAD 1
TRN_INLINE vi vi_load_cells(const void *p) {
    const int32_t *cells = p;
    return (vi){vld1q_s32(cells), vld1q_s32(cells + 4)};
}
// The lower halves of all lanes.
TRN_INLINE int16x8_t vec_halves(vi a) {
    return vuzpq_s16(vreinterpretq_s16_s32(a.low), vreinterpretq_s16_s32(a.high)).val[0];
}
TRN_INLINE int8x16_t vec_store_codes(int8_t *p, vi first, vi second) {
    const int8x16_t a = vreinterpretq_s8_s16(vec_halves(first)), b = vreinterpretq_s8_s16(vec_halves(second));
    const int8x16_t codes = vuzpq_s8(a, b).val[0];
    vst1q_s8(p, codes);
    return codes;
}
TRN_INLINE vi vi_store_codes(int8_t *p, const vi q[VI_GROUP]) {
    const int8x16_t a = vec_store_codes(p, q[0], q[1]), b = vec_store_codes(p + 16, q[2], q[3]);
    const uint8x16_t sizes = vreinterpretq_u8_s8(vaddq_s8(vabsq_s8(a), vabsq_s8(b)));  // at most 254
    return (vi){vreinterpretq_s32_u32(vpaddlq_u16(vpaddlq_u8(sizes))), vdupq_n_s32(0)};
}
TRN_INLINE void vi_store_codes16(int16_t *p, const vi q[VI_GROUP]) {
    TRN_UNROLL for (int i = 0; i < 4; i++) vst1q_s16(p + 8 * i, vec_halves(q[i]));
}
TRN_INLINE int8x16_t vec_bytes(int32x4_t cells) { return vreinterpretq_s8_s32(cells); }

#if defined(TRN_NEON_DOT)
#define VI_ROW_AHEAD 0  // processors that have these instructions have a third cache nearly everywhere
#define VI_CODE_CELLS(sums) 4
#define VI_DOT_CELLS 1
#define VI_TILE_ROWS 4
#define VI_TILE_SUMS 2
#define VI_ROW_SUMS 8
typedef int8x16_t vcodes;
TRN_INLINE vcodes vcodes_load(const int8_t *p, const int cells) {
    return cells == 1 ? vec_bytes(vld1q_dup_s32((const int32_t *)(const void *)p)) : vld1q_s8(p);
}
typedef vi vsum;
TRN_INLINE vsum vsum_of(vi start) { return start; }
TRN_INLINE vi vsum_total(vsum sums) { return sums; }
TRN_INLINE int32x4_t vec_dot(int32x4_t sums, int32x4_t w, vcodes x, const int cell) {
    const int8x16_t bytes = vec_bytes(w);
    return cell == 0   ? vdotq_laneq_s32(sums, bytes, x, 0)
           : cell == 1 ? vdotq_laneq_s32(sums, bytes, x, 1)
           : cell == 2 ? vdotq_laneq_s32(sums, bytes, x, 2)
                       : vdotq_laneq_s32(sums, bytes, x, 3);
}
TRN_INLINE vsum vsum_dot(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    (void)cells;
    return (vsum){vec_dot(sums.low, w->low, x, c), vec_dot(sums.high, w->high, x, c)};
}
// Eight columns: the weights of one k.
TRN_INLINE vsum vec_dot16(vsum sums, int16x8_t w, int16x8_t x, const int code) {
    const int16x4_t low = vget_low_s16(w);
#define VEC_LANE(n) case n: return (vsum){vmlal_laneq_s16(sums.low, low, x, n), vmlal_high_laneq_s16(sums.high, w, x, n)};
    switch (code) { VEC_LANE(0) VEC_LANE(1) VEC_LANE(2) VEC_LANE(3) VEC_LANE(4) VEC_LANE(5) VEC_LANE(6) VEC_LANE(7) }
#undef VEC_LANE
    return sums;
}
TRN_INLINE vsum vsum_dot16(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    (void)cells;
    const int16x8_t a = vreinterpretq_s16_s32(w->low), b = vreinterpretq_s16_s32(w->high), codes = vreinterpretq_s16_s8(x);
    return vec_dot16(vec_dot16(sums, vuzp1q_s16(a, b), codes, 2 * c), vuzp2q_s16(a, b), codes, 2 * c + 1);
}
#else
// Two products of -127 to 127 fit 16 bits. Of two cells those at the same place share a lane before they widen, and a
// column has two sums until the end.
#define VI_ROW_AHEAD 1024  // four rows of cells, of which a run reads a half or a quarter
#define VI_DOT_CELLS 2
#define VI_TILE_ROWS 1
#define VI_TILE_SUMS 2
#if defined(__aarch64__)
#define VI_CODE_CELLS(sums) ((sums) > 4 ? 2 : 4)  // for want of registers
#define VI_ROW_SUMS 6
#else
#define VI_CODE_CELLS(sums) 2
#define VI_ROW_SUMS 2
#endif
typedef struct {
    int32x4_t cell[VI_CODE_CELLS(1)];
} vcodes;
TRN_INLINE vcodes vcodes_load(const int8_t *p, const int cells) {
    const int32_t *cell = (const int32_t *)(const void *)p;
#if defined(__aarch64__)
    if (cells == 4) {
        const int32x4x4_t all = vld4q_dup_s32(cell);
        return (vcodes){{all.val[0], all.val[1], all.val[2], all.val[3]}};
    }
    if (cells == 2) {
        const int32x4x2_t all = vld2q_dup_s32(cell);
        return (vcodes){{all.val[0], all.val[1]}};
    }
#endif
    vcodes codes;
    for (int i = 0; i < cells; i++) codes.cell[i] = vld1q_dup_s32(cell + i);
    return codes;
}
typedef struct {
    int32x4_t pair[4];  // two columns each
} vsum;
TRN_INLINE vsum vsum_of(vi start) {
    const int32x4x2_t low = vzipq_s32(start.low, vdupq_n_s32(0)), high = vzipq_s32(start.high, vdupq_n_s32(0));
    return (vsum){{low.val[0], low.val[1], high.val[0], high.val[1]}};
}
TRN_INLINE int32x4_t vec_pairs(int32x4_t a, int32x4_t b) {
#if defined(__aarch64__)
    return vpaddq_s32(a, b);
#else
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)), vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
#endif
}
TRN_INLINE vi vsum_total(vsum sums) {
    return (vi){vec_pairs(sums.pair[0], sums.pair[1]), vec_pairs(sums.pair[2], sums.pair[3])};
}
// The two cells of half i of four, even or odd; those of the i-th pair of eight columns.
TRN_INLINE int8x8_t vec_half(int32x4_t cells, const int i) {
    return i % 2 ? vget_high_s8(vec_bytes(cells)) : vget_low_s8(vec_bytes(cells));
}
TRN_INLINE int8x8_t vec_pair(vi w, const int i) { return vec_half(i < 2 ? w.low : w.high, i); }
// Pairs of columns that go together: each instruction for all of them before the next one, which waits for it.
#if defined(__aarch64__)
#define VEC_TOGETHER 4
#else
#define VEC_TOGETHER 2  // for want of registers
#endif
TRN_INLINE vsum vsum_dot(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    int16x8_t product[4];
    TRN_UNROLL for (int first = 0; first < 4; first += VEC_TOGETHER) {
        const int end = first + VEC_TOGETHER;
        TRN_UNROLL for (int i = first; i < end; i++) product[i] = vmull_s8(vec_pair(w[0], i), vec_half(x.cell[c], i));
        TRN_UNROLL for (int i = first; i < end && cells > 1; i++)
            product[i] = vmlal_s8(product[i], vec_pair(w[cells - 1], i), vec_half(x.cell[c + 1], i));
        TRN_UNROLL for (int i = first; i < end; i++) sums.pair[i] = vpadalq_s16(sums.pair[i], product[i]);
    }
    return sums;
}
// Four columns, two products each.
TRN_INLINE void vec_dot16(int32x4_t pair[2], int32x4_t x, int32x4_t w) {
    const int16x8_t a = vreinterpretq_s16_s32(w), b = vreinterpretq_s16_s32(x);
    pair[0] = vmlal_s16(pair[0], vget_low_s16(a), vget_low_s16(b));
    pair[1] = vmlal_s16(pair[1], vget_high_s16(a), vget_high_s16(b));
}
TRN_INLINE vsum vsum_dot16(vsum sums, vcodes x, const int c, const vi w[VI_DOT_CELLS], const int cells) {
    TRN_UNROLL for (int i = 0; i < cells; i++)
        vec_dot16(sums.pair, x.cell[c + i], w[i].low), vec_dot16(sums.pair + 2, x.cell[c + i], w[i].high);
    return sums;
}
#endif

#endif
