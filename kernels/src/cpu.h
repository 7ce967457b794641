// SPDX-License-Identifier: Apache-2.0
// What the processor and the operating system offer, as the bits that isa.def asks for.
#ifndef TRN_CPU_H
#define TRN_CPU_H

#include <stdint.h>

enum {
    TRN_CPU_AVX2 = 1u << 0,  // with the 256-bit registers saved by the operating system
    TRN_CPU_FMA = 1u << 1,   // likewise
};

// The bits of this machine: asked for once, the same at every call.
uint32_t trn_cpu_features(void);

#endif
