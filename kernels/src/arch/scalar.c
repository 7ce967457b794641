// SPDX-License-Identifier: Apache-2.0
// The kernels in plain C with fused multiply-add: what every fused instruction set is tested against, and what runs on
// processors that have that instruction and no port.
#define TRN_ISA_NAME scalar
#include "vec_scalar.h"

#include "ukernels_tmpl.h"
