// SPDX-License-Identifier: Apache-2.0
// The kernels on NEON: what every AArch64 processor has, and 32-bit ones with VFPv4.
#if defined(__GNUC__) && !defined(__clang__)
// The templates load ahead of use for processors that do not; the first two passes would undo it, or spill what it keeps. The
// last one spares moves, and in-order processors what they would wait for.
#pragma GCC optimize("no-schedule-insns", "no-tree-ter", "rename-registers")
#endif
#include "../ukernels.h"
#if TRN_HAVE_NEON
#include <arm_neon.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../format.h"
#include "target.h"

#if defined(__arm__)
TRN_TARGET_BEGIN("fpu=neon-vfpv4")
#endif
#define TRN_ISA_NAME neon
#if TRN_HAVE_DOTPROD
#define TRN_SHARES
#endif
#include "vec_neon.h"

#include "ukernels_tmpl.h"
#if defined(__arm__)
TRN_TARGET_END
#endif
#else
// An empty file is not C.
typedef int trn_no_neon;
#endif
