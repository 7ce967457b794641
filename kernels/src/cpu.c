// SPDX-License-Identifier: Apache-2.0
// Detects the instruction sets that the processor has and the operating system lets programs use.
#include "cpu.h"

#include <stdatomic.h>

#include "arch/cpuid.h"

enum { OSXSAVE = 1u << 27, AVX = 1u << 28, FMA = 1u << 12, AVX2 = 1u << 5, XMM_AND_YMM = 6 };

uint32_t trn_cpu_features_of(const trn_cpu_registers *r) {
    uint32_t features = 0;
    // A processor with AVX under a system that does not save its registers loses them at the next task switch.
    if (r->last_leaf < 7 || (r->leaf_1_ecx & OSXSAVE) == 0 || (r->leaf_1_ecx & AVX) == 0) return 0;
    if ((r->xcr0 & XMM_AND_YMM) != XMM_AND_YMM) return 0;
    if (r->leaf_1_ecx & FMA) features |= TRN_CPU_FMA;
    if (r->leaf_7_ebx & AVX2) features |= TRN_CPU_AVX2;
    return features;
}

#if TRN_HAVE_CPUID
static uint32_t detect(void) {
    uint32_t leaf[4];
    trn_cpu_registers found = {0};
    trn_cpuid(0, leaf);
    found.last_leaf = leaf[0];
    trn_cpuid(1, leaf);
    found.leaf_1_ecx = leaf[2];
    if (found.last_leaf >= 7) {
        trn_cpuid(7, leaf);
        found.leaf_7_ebx = leaf[1];
    }
    if (found.leaf_1_ecx & OSXSAVE) found.xcr0 = trn_xgetbv();
    return trn_cpu_features_of(&found);
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
