// SPDX-License-Identifier: Apache-2.0
// The two instructions by which an x86 processor describes itself; TRN_HAVE_CPUID is 0 elsewhere.
#ifndef TRN_CPUID_H
#define TRN_CPUID_H

#include <stdint.h>

#if defined(__x86_64__) || defined(__i386__)
#define TRN_HAVE_CPUID 1
#include <cpuid.h>

// registers: eax, ebx, ecx, edx of leaf, subleaf 0.
static inline void trn_cpuid(uint32_t leaf, uint32_t registers[4]) {
    unsigned a, b, c, d;
    __cpuid_count(leaf, 0, a, b, c, d);
    registers[0] = a, registers[1] = b, registers[2] = c, registers[3] = d;
}

// The register sets that the operating system saves. Only where OSXSAVE is set.
static inline uint64_t trn_xgetbv(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}
#elif defined(_M_X64) || defined(_M_IX86)
#define TRN_HAVE_CPUID 1
#include <intrin.h>

static inline void trn_cpuid(uint32_t leaf, uint32_t registers[4]) {
    int r[4];
    __cpuidex(r, (int)leaf, 0);
    for (int i = 0; i < 4; i++) registers[i] = (uint32_t)r[i];
}

static inline uint64_t trn_xgetbv(void) { return _xgetbv(0); }
#else
#define TRN_HAVE_CPUID 0
#endif

#endif
