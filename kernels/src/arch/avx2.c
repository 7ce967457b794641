// SPDX-License-Identifier: Apache-2.0
// The kernels on AVX2 and FMA (x86-64 since Haswell and Zen).
#if defined(__GNUC__) && !defined(__clang__)
// Two addresses stored side by side are two stores: packed into a vector first they take longer, and so do their readers.
#pragma GCC optimize("no-tree-slp-vectorize")
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <float.h>
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../format.h"
#include "../ukernels.h"
#include "target.h"

TRN_TARGET_BEGIN("avx2,fma")
#define TRN_ISA_NAME avx2
#if TRN_HAVE_AVX512
#define TRN_SHARES
#endif
#include "vec_avx2.h"

#include "ukernels_tmpl.h"
TRN_TARGET_END
#else
// An empty file is not C.
typedef int trn_no_avx2;
#endif
