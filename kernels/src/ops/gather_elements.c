// SPDX-License-Identifier: Apache-2.0
// gather_elements: y[i, j, k] = x[i, indices[i, j, k], k]: an index for every element.
#include "indexed.h"

typedef struct gather_elements_plan {
    trn_nest nest;  // operands y, indices, x without its axis
    int64_t strides[TRN_MAX_RANK * 3];
    int64_t n, x_stride;
} gather_elements_plan;

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_gather_elements_x);
    const trn_record_tensor *indices = trn_input_record(file, record, trn_in_gather_elements_indices);
    const trn_record_tensor *y = trn_output_record(file, record, trn_out_gather_elements_y);
    int64_t axis = trn_integer(file, record, trn_at_gather_elements_axis);
    TRN_CHECK_REQUIRE(file, record, error, axis >= 0 && axis < x->rank, "axis", "found %lld, x has rank %u",
                      (long long)axis, x->rank);
    TRN_CHECK_REQUIRE(file, record, error, x->rank == indices->rank && x->rank == y->rank && x->dtype == y->dtype, "y",
                      "x, indices and y must have one rank, x and y one dtype");
    return trn_check_indices(file, record, indices, error);
}

static trn_status prepare(trn_op *op, trn_error *error) {
    gather_elements_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_gather_elements_x), *y = trn_output(op, trn_out_gather_elements_y);
    const trn_view *indices = trn_input(op, trn_in_gather_elements_indices);
    uint32_t axis = (uint32_t)trn_integer(op->file, op->record, trn_at_gather_elements_axis);
    int64_t others[TRN_MAX_RANK];
    trn_status status = trn_same_dims(op, "y", y, indices, y->rank, error);
    if (status == TRN_OK) status = trn_other_strides(op, indices, x, axis, others, error);
    if (status != TRN_OK) return status;
    const int64_t *strides[3] = {y->strides, indices->strides, others};
    trn_nest_merge(&p->nest, y->rank, y->dims, 3, strides, p->strides);
    p->n = x->dims[axis];
    p->x_stride = x->strides[axis];
    op->work = (double)p->nest.count;
    return TRN_OK;
}

static trn_status run(const trn_op *op, trn_error *error) {
    const gather_elements_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_gather_elements_x), *y = trn_output(op, trn_out_gather_elements_y);
    const trn_view *indices = trn_input(op, trn_in_gather_elements_indices);
    int64_t index[TRN_MAX_RANK] = {0}, offsets[3] = {0}, at, size = (int64_t)trn_dtype_size(x->dtype);
    if (p->nest.count == 0) return TRN_OK;
    do {
        trn_status status = trn_take_index(op, indices, offsets[1], p->n, &at, error);
        if (status != TRN_OK) return status;
        memcpy((char *)y->data + offsets[0] * size, (const char *)x->data + (offsets[2] + at * p->x_stride) * size,
               (size_t)size);
    } while (trn_nest_next(&p->nest, p->strides, 0, index, offsets));
    return TRN_OK;
}

const trn_op_class trn_op_class_gather_elements = {.check = check,
                                                   .plan_size = sizeof(gather_elements_plan),
                                                   .prepare = prepare,
                                                   .run = run,
                                                   .may_fail = trn_indices_may_fail};
