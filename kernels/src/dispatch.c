// SPDX-License-Identifier: Apache-2.0
// Matches the rows of isa.def with the processor.
#include "dispatch.h"

#include <stdlib.h>
#include <string.h>

#include "cpu.h"

static const struct {
    uint32_t features;
    const trn_ukernels *table;
} rows[] = {
#define TRN_ISA(name, features, fused) {features, &trn_ukernels_##name},
#include "isa.def"
};

static int available(uint32_t features) { return (trn_cpu_features() & features) == features; }

const trn_ukernels *trn_ukernels_by_name(const char *name) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].table->isa, name) == 0) return available(rows[i].features) ? rows[i].table : NULL;
    return NULL;
}

const trn_ukernels *trn_ukernels_best(uint32_t features) {
    const trn_ukernels *best = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if ((features & rows[i].features) == rows[i].features) best = rows[i].table;
    return best;
}

trn_status trn_dispatch(const trn_ukernels **table) {
    const char *forced = getenv("TINYRNN_ISA");
    *table = forced && *forced ? trn_ukernels_by_name(forced) : trn_ukernels_best(trn_cpu_features());
    return *table ? TRN_OK : TRN_ISA;
}
