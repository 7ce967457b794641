// SPDX-License-Identifier: Apache-2.0
// The table of kernels that operators call through, one member for each row of ukernels.def.
#ifndef TRN_UKERNELS_H
#define TRN_UKERNELS_H

#include <stddef.h>
#include <stdint.h>

typedef struct trn_ukernels {
    const char *isa;  // its row in isa.def
    int fused;        // 1 when its multiply-add rounds once, so that fp32 results are the same bytes as everywhere
#define TRN_UKERNEL(slot, parameters) void (*slot) parameters;
#include "ukernels.def"
} trn_ukernels;

#define TRN_ISA(name, features, fused) extern const trn_ukernels trn_ukernels_##name;
#include "isa.def"

// trn_fused_<isa>: the member `fused` of its table.
enum {
#define TRN_ISA(name, features, fused) trn_fused_##name = fused,
#include "isa.def"
};

#endif
