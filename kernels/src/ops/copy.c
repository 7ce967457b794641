// SPDX-License-Identifier: Apache-2.0
// copy: y = x, through any strides.
#include "strided.h"

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_copy_x),
                            *y = trn_output_record(file, record, trn_out_copy_y);
    TRN_CHECK_REQUIRE(file, record, error, x->dtype == y->dtype && x->rank == y->rank, "y",
                      "it differs from x in dtype or rank");
    return TRN_OK;
}

static trn_status prepare(trn_op *op, trn_error *error) {
    const trn_view *x = trn_input(op, trn_in_copy_x), *y = trn_output(op, trn_out_copy_y);
    trn_status status = trn_same_dims(op, "y", y, x, y->rank, error);
    if (status != TRN_OK) return status;
    trn_copy_prepare(op->plan, y, x);
    op->work = (double)((trn_copy_plan *)op->plan)->nest.count;
    return TRN_OK;
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    trn_copy_run(op->plan, trn_output(op, trn_out_copy_y)->data, trn_input(op, trn_in_copy_x)->data);
    return TRN_OK;
}

const trn_op_class trn_op_class_copy = {
    .check = check, .plan_size = sizeof(trn_copy_plan), .prepare = prepare, .run = run};
