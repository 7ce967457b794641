// SPDX-License-Identifier: Apache-2.0
// The kernels on SSE2, which every x86-64 processor has, for those without AVX2 and FMA.
#if defined(__x86_64__) || defined(_M_X64)
#define TRN_ISA_NAME sse2
#include "vec_sse2.h"

#include "ukernels_tmpl.h"
#else
// An empty file is not C.
typedef int trn_no_sse2;
#endif
