// SPDX-License-Identifier: Apache-2.0
// The operators by kind.
#include "../ops.h"

const trn_op_class *trn_op_class_of(uint32_t kind) {
    switch (kind) {
#define TRN_OPERATOR(name, value, doc) \
    case value:                        \
        return &trn_op_class_##name;
#include "tinyrnn/ops.def"
    }
    return NULL;
}
