// SPDX-License-Identifier: Apache-2.0
// How a file of kernels is compiled for its instruction set, without flags of its own.
//
// TRN_TARGET_BEGIN("avx2,fma") ... TRN_TARGET_END around everything between the system's headers and the end of the
// file: a header inside would compile its inline functions for that instruction set too, and the linker may keep those.
#ifndef TRN_TARGET_H
#define TRN_TARGET_H

#define TRN_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define TRN_TARGET_BEGIN(features) \
    TRN_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define TRN_TARGET_END TRN_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define TRN_TARGET_BEGIN(features) TRN_PRAGMA(GCC push_options) TRN_PRAGMA(GCC target(features))
#define TRN_TARGET_END TRN_PRAGMA(GCC pop_options)
#else
#define TRN_TARGET_BEGIN(features)
#define TRN_TARGET_END
#endif

// Multiplications and additions stay apart unless the code says vf_fma: the same bytes on every machine depend on it.
// gcc has only the flag -ffp-contract=off for it; tests/kernels/check_elementary.c fails where it was forgotten.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#include <float.h>
#include <stdint.h>
#include <string.h>
#if FLT_EVAL_METHOD != 0
#error "float expressions must be rounded to float: on 32-bit x86 build with -msse2 -mfpmath=sse"
#endif

// What a kernel is made of must be inlined in it, and its loops over a few accumulators unrolled away. A function round a
// short loop begins a line of the cache: where the linker puts it made a step a third slower.
#if defined(__clang__)
#define TRN_NOINLINE __attribute__((noinline, aligned(64)))
#elif defined(__GNUC__)
#define TRN_NOINLINE __attribute__((noinline, noclone, aligned(64)))
#else
#define TRN_NOINLINE __declspec(noinline)
#endif
#if defined(__GNUC__)
#define TRN_INLINE static inline __attribute__((always_inline, unused))
#define TRN_UNUSED __attribute__((unused))
#else
#define TRN_INLINE static __forceinline
#define TRN_UNUSED
#endif
#if defined(__clang__)
#define TRN_UNROLL       _Pragma("clang loop unroll(full)")
#define TRN_UNROLL_TWICE _Pragma("clang loop unroll_count(2)")
#define TRN_ROLLED       _Pragma("clang loop unroll(disable)")
#elif defined(__GNUC__)
#define TRN_UNROLL       _Pragma("GCC unroll 16")
#define TRN_UNROLL_TWICE _Pragma("GCC unroll 2")
#define TRN_ROLLED       _Pragma("GCC unroll 1")
#else
#define TRN_UNROLL
#define TRN_UNROLL_TWICE
#define TRN_ROLLED
#endif

// A float as an integer of the same bits, and back.
TRN_INLINE int32_t bits_of_float(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
TRN_INLINE float float_of_bits(int32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#define TRN_PASTE_(a, b) a##_##b
#define TRN_PASTE(a, b) TRN_PASTE_(a, b)
#define TRN_STRING_(a) #a
#define TRN_STRING(a) TRN_STRING_(a)

#endif
