// SPDX-License-Identifier: Apache-2.0
// Every kernel of one instruction set, and its table: included by <isa>.c behind its vocabulary, with TRN_ISA_NAME set.

#include "../format.h"
#include "../ukernels.h"

// f32_gemm -> trn_f32_gemm_avx2, since those that are shared are names of the whole library
#define TRN_KERNEL(slot) TRN_PASTE(trn, TRN_PASTE(slot, TRN_ISA_NAME))

// An instruction set that differs in products of whole numbers alone takes the other kernels from TRN_SHARED_ISA, whose own file
// sets TRN_SHARES.
#if defined(TRN_SHARED_ISA)
#define TRN_SLOT           TRN_UNUSED static
#define TRN_F32_SLOT(slot) TRN_PASTE(trn, TRN_PASTE(slot, TRN_SHARED_ISA))
#define TRN_UKERNEL(slot, parameters) void TRN_F32_SLOT(slot) parameters;
#define TRN_UKERNEL_I8(slot, parameters)
#include "../ukernels.def"
#elif defined(TRN_SHARES)
#define TRN_SLOT
#define TRN_F32_SLOT TRN_KERNEL
#define TRN_UKERNEL(slot, parameters) void TRN_KERNEL(slot) parameters;
#include "../ukernels.def"
#else
#define TRN_SLOT     static
#define TRN_F32_SLOT TRN_KERNEL
#endif

#include "elementary_tmpl.h"
#include "squash_tmpl.h"
#include "gemm_tmpl.h"
#include "cells_tmpl.h"
#include "steps_tmpl.h"
#include "i8_tmpl.h"
#include "i8_steps_tmpl.h"
#if !defined(TRN_SHARED_ISA)  // what kernels of whole numbers do without
#include "circular_tmpl.h"
#include "pow_tmpl.h"
#include "dwconv_tmpl.h"
#include "map_tmpl.h"
#include "reduce_tmpl.h"
#include "softmax_tmpl.h"
#endif

// A kernel that is missing or has other parameters than its row does not compile.
#define TRN_UKERNEL_I8(slot, parameters) \
    _Static_assert(_Generic(&TRN_KERNEL(slot), void(*) parameters : 1, default : 0), "not as in ukernels.def: " #slot);
#if defined(TRN_SHARED_ISA)
#define TRN_UKERNEL(slot, parameters)
#else
#define TRN_UKERNEL TRN_UKERNEL_I8
#endif
#include "../ukernels.def"

const trn_ukernels TRN_PASTE(trn_ukernels, TRN_ISA_NAME) = {
    .isa = TRN_STRING(TRN_ISA_NAME),
    .fused = TRN_PASTE(trn_fused, TRN_ISA_NAME),
#define TRN_UKERNEL(slot, parameters)    .slot = TRN_F32_SLOT(slot),
#define TRN_UKERNEL_I8(slot, parameters) .slot = TRN_KERNEL(slot),
#include "../ukernels.def"
};
