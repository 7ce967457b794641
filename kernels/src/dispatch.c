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

trn_status trn_dispatch(const trn_ukernels **table) {
    const char *forced = getenv("TINYRNN_ISA");
    const trn_ukernels *chosen = NULL;
    if (forced && *forced) {
        chosen = trn_ukernels_by_name(forced);
        if (!chosen) return TRN_ISA;
    } else {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            if (available(rows[i].features)) chosen = rows[i].table;
    }
    *table = chosen;
    return TRN_OK;
}
