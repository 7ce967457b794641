// SPDX-License-Identifier: Apache-2.0
// The kernels in plain C with fused multiply-add: what every fused instruction set is tested against, and what runs on
// processors that have that instruction and no port.
#if defined(__GNUC__) && !defined(__clang__) && (defined(__x86_64__) || defined(__aarch64__))
#pragma GCC optimize("Os")  // never chosen here: only tests run it
#endif
#define TRN_ISA_NAME scalar
#include "vec_scalar.h"

#include "ukernels_tmpl.h"
