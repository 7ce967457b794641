// SPDX-License-Identifier: Apache-2.0
// branch: runs one of two blocks; both write the same tensors. Where sizes choose, the planner has left out the other.
#include "../ops.h"

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *condition = trn_input_record(file, record, trn_in_branch_condition);
    int64_t by_size = trn_integer(file, record, trn_at_branch_by_size);
    TRN_CHECK_REQUIRE(file, record, error, by_size == 0 || by_size == 1, "by_size", "found %lld, expected 0 or 1",
                      (long long)by_size);
    TRN_CHECK_REQUIRE(file, record, error, by_size || condition->dtype == trn_dtype_BOOL, "condition",
                      "found %s, expected bool", trn_dtype_name(condition->dtype));
    return TRN_OK;  // the reader has checked the blocks
}

static trn_status prepare(trn_op *op, trn_error *error) {
    const trn_view *condition = trn_input(op, trn_in_branch_condition);
    if (trn_integer(op->file, op->record, trn_at_branch_by_size)) return TRN_OK;
    for (uint32_t k = 0; k < condition->rank; k++)
        TRN_OP_REQUIRE(op, error, condition->dims[k] == 1, "condition", "dimension %u is %lld, expected one element", k,
                       (long long)condition->dims[k]);
    return TRN_OK;
}

static trn_status run(const trn_op *op, trn_error *error) {
    const trn_view *condition = trn_input(op, trn_in_branch_condition);
    int by_size = (int)trn_integer(op->file, op->record, trn_at_branch_by_size);
    int holds = by_size ? trn_view_elements(condition) > 0 : *(const uint8_t *)condition->data != 0;
    uint32_t block =
        (uint32_t)trn_integer(op->file, op->record, holds ? trn_at_branch_then_block : trn_at_branch_else_block);
    const trn_op *first = op->ops + op->file->blocks[block].first_operator;
    return trn_run_operators(first, first + op->file->blocks[block].operator_count, error);
}

const trn_op_class trn_op_class_branch = {.check = check, .prepare = prepare, .run = run};
