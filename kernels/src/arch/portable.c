// SPDX-License-Identifier: Apache-2.0
// The kernels in plain C with separate rounding: for processors without fused multiply-add and without a port, where
// fmaf is a call of a function of a hundred instructions.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2")  // -O3 makes it larger by half and no faster
#endif
#define TRN_ISA_NAME portable
#include "vec_scalar.h"

#include "ukernels_tmpl.h"
