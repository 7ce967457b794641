// SPDX-License-Identifier: Apache-2.0
// Detects the instruction sets that the processor has and the operating system lets programs use.
#include "cpu.h"

#include <stdatomic.h>

#include "arch/cpuid.h"

#if TRN_HAVE_CPUID
static uint32_t detect(void) {
    enum { OSXSAVE = 1u << 27, AVX = 1u << 28, FMA = 1u << 12, AVX2 = 1u << 5, XMM_AND_YMM = 6 };
    uint32_t r[4], features = 0;
    trn_cpuid(0, r);
    uint32_t last = r[0];
    if (last < 7) return 0;
    trn_cpuid(1, r);
    // A processor with AVX under a system that does not save its registers loses them at the next task switch.
    if ((r[2] & OSXSAVE) == 0 || (r[2] & AVX) == 0 || (trn_xgetbv() & XMM_AND_YMM) != XMM_AND_YMM) return 0;
    if (r[2] & FMA) features |= TRN_CPU_FMA;
    trn_cpuid(7, r);
    if (r[1] & AVX2) features |= TRN_CPU_AVX2;
    return features;
}
#else
static uint32_t detect(void) { return 0; }
#endif

uint32_t trn_cpu_features(void) {
    enum { KNOWN = 1 << 30 };
    // Two threads that meet here write the same word.
    static _Atomic uint32_t cached;
    uint32_t features = atomic_load_explicit(&cached, memory_order_relaxed);
    if (features == 0) {
        features = detect() | KNOWN;
        atomic_store_explicit(&cached, features, memory_order_relaxed);
    }
    return features & ~(uint32_t)KNOWN;
}
