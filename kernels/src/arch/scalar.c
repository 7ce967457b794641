// SPDX-License-Identifier: Apache-2.0
// The kernels in plain C: what every other instruction set is tested against, and what runs where there is none.
#define TRN_ISA_NAME scalar
#include "vec_scalar.h"

#include "ukernels_tmpl.h"
