// SPDX-License-Identifier: Apache-2.0
// The kernels on AVX-512 with VNNI (servers since Cascade Lake, and Zen since its fourth): those of products of whole numbers;
// the others are AVX2's.
#if defined(__GNUC__) && !defined(__clang__)
// The first as in avx2.c. The processor follows lines of memory that are read in their order, which scheduling would change; and
// gcc peels a turn off the loops over products, whose sums it then copies to and fro.
#pragma GCC optimize("no-tree-slp-vectorize", "no-schedule-insns2", "no-tree-pre")
#endif
#include "../ukernels.h"
#if TRN_HAVE_AVX512
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../format.h"
#include "target.h"

TRN_TARGET_BEGIN("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#define TRN_ISA_NAME avx512
#define TRN_SHARED_ISA avx2
#include "vec_avx512.h"

#include "ukernels_tmpl.h"
TRN_TARGET_END
#else
// An empty file is not C.
typedef int trn_no_avx512;
#endif
