// SPDX-License-Identifier: Apache-2.0
// Chooses the kernels: made once, when a model is opened.
#ifndef TRN_DISPATCH_H
#define TRN_DISPATCH_H

#include "tinyrnn.h"
#include "ukernels.h"

// The best table of isa.def for this processor, or the one that the environment variable TINYRNN_ISA names.
// Returns ISA when that name is unknown or the processor lacks what it needs.
trn_status trn_dispatch(const trn_ukernels **table);

// The best table of isa.def for a processor with these features of cpu.h. Never NULL: some need none.
const trn_ukernels *trn_ukernels_best(uint32_t features);

// The table of that name, NULL where there is none or this processor lacks what it needs.
const trn_ukernels *trn_ukernels_by_name(const char *name);

#endif
