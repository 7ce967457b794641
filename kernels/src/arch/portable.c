// SPDX-License-Identifier: Apache-2.0
// The kernels in plain C with separate rounding: for processors without fused multiply-add and without a port, where
// fmaf is a call of a function of a hundred instructions. AArch64 has one.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#pragma GCC optimize("Os")  // never chosen here, where SSE2 is: only tests run it
#elif defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2")  // -O3 makes it larger by half and no faster
#endif
#if !defined(__aarch64__)
#define TRN_ISA_NAME portable
#include "vec_scalar.h"

#include "ukernels_tmpl.h"
#else
// An empty file is not C.
typedef int trn_no_portable;
#endif
