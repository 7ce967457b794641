// SPDX-License-Identifier: Apache-2.0
// What the processor and the operating system offer, as the bits that isa.def asks for.
#ifndef TRN_CPU_H
#define TRN_CPU_H

#include <stdint.h>

enum {
    TRN_CPU_AVX2 = 1u << 0,  // with the 256-bit registers saved by the operating system
    TRN_CPU_FMA = 1u << 1,   // likewise
    TRN_CPU_NEON = 1u << 2,  // on 32-bit Arm with the fused multiply-add of VFPv4
    TRN_CPU_DOTPROD = 1u << 3,
    TRN_CPU_AVX512 = 1u << 4,  // F, BW, DQ, VL and VNNI, with their registers saved by the operating system
};

// What an x86 processor says of itself.
typedef struct trn_cpu_registers {
    uint32_t last_leaf;  // of CPUID
    uint32_t leaf_1_ecx;
    uint32_t leaf_7_ebx;  // 0 where there is no leaf 7
    uint32_t leaf_7_ecx;  // likewise
    uint64_t xcr0;        // the registers that the system saves, by XGETBV; 0 where it has not enabled that instruction
} trn_cpu_registers;

// The bits that registers stand for: the logic alone, for tests of processors that are not here.
uint32_t trn_cpu_features_of(const trn_cpu_registers *registers);
// Likewise of what Linux says of an Arm processor, by AT_HWCAP of a program of 32 or 64 bits.
uint32_t trn_cpu_features_of_arm(int bits, uint64_t hwcap);

// The bits of this machine: asked for once, the same at every call.
uint32_t trn_cpu_features(void);

#endif
