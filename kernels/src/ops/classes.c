// SPDX-License-Identifier: Apache-2.0
// The operators by kind, and running them.
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

trn_status trn_same_dims(const trn_op *op, const char *field, const trn_view *operand, const trn_view *other,
                         uint32_t count, trn_error *error) {
    for (uint32_t k = 0; k < count; k++)
        TRN_OP_REQUIRE(op, error, operand->dims[k] == other->dims[k], field, "dimension %u is %lld, expected %lld", k,
                       (long long)operand->dims[k], (long long)other->dims[k]);
    return TRN_OK;
}
