// SPDX-License-Identifier: Apache-2.0
// Detects the instruction sets that the processor has and the operating system lets programs use.
#include "cpu.h"

#include <stdatomic.h>

#include "arch/cpuid.h"

#if defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
#include <sys/auxv.h>
#endif

enum { OSXSAVE = 1u << 27, AVX = 1u << 28, FMA = 1u << 12, AVX2 = 1u << 5, XMM_AND_YMM = 6 };
// F, DQ, BW and VL in EBX of leaf 7, VNNI in ECX; in XCR0 the masks, the wider halves and the sixteen registers more.
static const uint32_t AVX512_EBX = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, AVX512_VNNI = 1u << 11;
enum { MASKS_AND_ZMM = 0xe0 };

uint32_t trn_cpu_features_of(const trn_cpu_registers *r) {
    uint32_t features = 0;
    // A processor with AVX under a system that does not save its registers loses them at the next task switch.
    if (r->last_leaf < 7 || (r->leaf_1_ecx & OSXSAVE) == 0 || (r->leaf_1_ecx & AVX) == 0) return 0;
    if ((r->xcr0 & XMM_AND_YMM) != XMM_AND_YMM) return 0;
    if (r->leaf_1_ecx & FMA) features |= TRN_CPU_FMA;
    if (r->leaf_7_ebx & AVX2) features |= TRN_CPU_AVX2;
    const int wide = (r->leaf_7_ebx & AVX512_EBX) == AVX512_EBX && (r->leaf_7_ecx & AVX512_VNNI);
    if (wide && (r->xcr0 & MASKS_AND_ZMM) == MASKS_AND_ZMM) features |= TRN_CPU_AVX512;
    return features;
}

// Bits of AT_HWCAP. A processor without NEON, or whose multiply-add rounds twice, runs what every one can.
enum { ARM_NEON = 1 << 12, ARM_VFPV4 = 1 << 16, ARM_BOTH = ARM_NEON | ARM_VFPV4, ARM64_ASIMD = 1 << 1, ARM64_ASIMDDP = 1 << 20 };

uint32_t trn_cpu_features_of_arm(int bits, uint64_t hwcap) {
    if (bits == 32) return (hwcap & ARM_BOTH) == ARM_BOTH ? TRN_CPU_NEON : 0;
    if (!(hwcap & ARM64_ASIMD)) return 0;
    return hwcap & ARM64_ASIMDDP ? TRN_CPU_NEON | TRN_CPU_DOTPROD : TRN_CPU_NEON;
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
        found.leaf_7_ebx = leaf[1], found.leaf_7_ecx = leaf[2];
    }
    if (found.leaf_1_ecx & OSXSAVE) found.xcr0 = trn_xgetbv();
    return trn_cpu_features_of(&found);
}
#elif defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
static uint32_t detect(void) { return trn_cpu_features_of_arm(sizeof(void *) * 8, getauxval(AT_HWCAP)); }
#else
// What the compiler was told that every processor has.
static uint32_t detect(void) {
    uint32_t features = 0;
#if defined(__aarch64__) || (defined(__ARM_NEON) && defined(__ARM_FEATURE_FMA))
    features |= TRN_CPU_NEON;
#endif
#if defined(__ARM_FEATURE_DOTPROD)
    features |= TRN_CPU_DOTPROD;
#endif
    return features;
}
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
