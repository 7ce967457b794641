// SPDX-License-Identifier: Apache-2.0
// The kernels on NEON with the dot products of ARMv8.2: Cortex-A76 (Raspberry Pi 5) and A55, and what came after them.
#if defined(__GNUC__) && !defined(__clang__)
// The templates load ahead of use for processors that do not; the first two passes would undo it, or spill what it keeps. The
// last one spares moves, and in-order processors what they would wait for.
#pragma GCC optimize("no-schedule-insns", "no-tree-ter", "rename-registers")
#endif
#include "../ukernels.h"
#if TRN_HAVE_DOTPROD
#include <arm_neon.h>
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../format.h"
#include "target.h"

#if defined(__clang__)
TRN_TARGET_BEGIN("dotprod")
#else
TRN_TARGET_BEGIN("arch=armv8.2-a+dotprod")
#endif
#define TRN_ISA_NAME dotprod
#define TRN_SHARED_ISA neon
#define TRN_NEON_DOT
#include "vec_neon.h"

#include "ukernels_tmpl.h"
TRN_TARGET_END
#else
// An empty file is not C.
typedef int trn_no_dotprod;
#endif
