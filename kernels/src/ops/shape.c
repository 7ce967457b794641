// SPDX-License-Identifier: Apache-2.0
// shape: the dimensions of x as data, where a graph computes with sizes.
#include "../ops.h"

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *y = trn_output_record(file, record, trn_out_shape_y);
    TRN_CHECK_REQUIRE(file, record, error, y->dtype == trn_dtype_I64 && y->rank == 1, "y", "expected int64 of rank 1");
    return TRN_OK;
}

static trn_status prepare(trn_op *op, trn_error *error) {
    const trn_view *x = trn_input(op, trn_in_shape_x), *y = trn_output(op, trn_out_shape_y);
    TRN_OP_REQUIRE(op, error, y->dims[0] == x->rank, "y", "found %lld elements, x has rank %u", (long long)y->dims[0],
                   x->rank);
    return TRN_OK;
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const trn_view *x = trn_input(op, trn_in_shape_x), *y = trn_output(op, trn_out_shape_y);
    for (uint32_t k = 0; k < x->rank; k++) ((int64_t *)y->data)[k * y->strides[0]] = x->dims[k];
    return TRN_OK;
}

const trn_op_class trn_op_class_shape = {.check = check, .prepare = prepare, .run = run};
