// SPDX-License-Identifier: Apache-2.0
// The kernels in plain C with separate rounding: for processors without fused multiply-add and without a port, where
// fmaf is a call of a function of a hundred instructions.
#define TRN_ISA_NAME portable
#include "vec_scalar.h"

#include "ukernels_tmpl.h"
