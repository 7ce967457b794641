// SPDX-License-Identifier: Apache-2.0
// A model: a checked file and the kernels chosen for it. Immutable after opening.
#ifndef TRN_MODEL_H
#define TRN_MODEL_H

#include "reader.h"
#include "ukernels.h"

struct trn_model {
    trn_file file;
    const trn_ukernels *ukernels;
    void *map;  // what trn_model_open_file mapped or read, else NULL
    size_t map_size;
};

#endif
