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

static size_t plan_size(const trn_file *file, const trn_record_operator *record) {
    (void)file, (void)record;
    return sizeof(trn_copy_plan);
}

static trn_status prepare(trn_op *op, trn_error *error) {
    const trn_view *x = trn_input(op, trn_in_copy_x), *y = trn_output(op, trn_out_copy_y);
    for (uint32_t k = 0; k < y->rank; k++)
        TRN_OP_REQUIRE(op, error, x->dims[k] == y->dims[k], "y", "dimension %u is %lld, of x %lld", k,
                       (long long)y->dims[k], (long long)x->dims[k]);
    trn_copy_prepare(op->plan, y, x);
    op->work = (uint64_t)((trn_copy_plan *)op->plan)->nest.count;
    return TRN_OK;
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    trn_copy_run(op->plan, trn_output(op, trn_out_copy_y)->data, trn_input(op, trn_in_copy_x)->data);
    return TRN_OK;
}

const trn_op_class trn_op_class_copy = {"copy", check, plan_size, prepare, run};
