// SPDX-License-Identifier: Apache-2.0
// scatter_elements: y = x; then y[i, indices[i, j, k], k] takes updates[i, j, k], in row-major order.
#include "indexed.h"

typedef struct scatter_elements_plan {
    trn_copy_plan copy;
    trn_nest nest;  // operands indices, updates, y without its axis
    int64_t strides[TRN_MAX_RANK * 3];
    int64_t n, y_stride;
    uint32_t kind;
} scatter_elements_plan;

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_scatter_elements_x);
    const trn_record_tensor *indices = trn_input_record(file, record, trn_in_scatter_elements_indices);
    const trn_record_tensor *updates = trn_input_record(file, record, trn_in_scatter_elements_updates);
    const trn_record_tensor *y = trn_output_record(file, record, trn_out_scatter_elements_y);
    int64_t axis = trn_integer(file, record, trn_at_scatter_elements_axis);
    TRN_CHECK_REQUIRE(file, record, error, axis >= 0 && axis < x->rank, "axis", "found %lld, x has rank %u",
                      (long long)axis, x->rank);
    TRN_CHECK_REQUIRE(file, record, error,
                      x->rank == indices->rank && x->rank == updates->rank && x->rank == y->rank &&
                          x->dtype == y->dtype && x->dtype == updates->dtype,
                      "y", "all must have one rank, and all but indices one dtype");
    trn_status status =
        trn_check_scatter(file, record, trn_integer(file, record, trn_at_scatter_elements_kind), x->dtype, error);
    return status == TRN_OK ? trn_check_indices(file, record, indices, error) : status;
}

static trn_status prepare(trn_op *op, trn_error *error) {
    scatter_elements_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_scatter_elements_x), *y = trn_output(op, trn_out_scatter_elements_y);
    const trn_view *indices = trn_input(op, trn_in_scatter_elements_indices);
    const trn_view *updates = trn_input(op, trn_in_scatter_elements_updates);
    uint32_t axis = (uint32_t)trn_integer(op->file, op->record, trn_at_scatter_elements_axis);
    int64_t others[TRN_MAX_RANK];
    trn_status status = trn_same_dims(op, "y", y, x, y->rank, error);
    if (status == TRN_OK) status = trn_same_dims(op, "updates", updates, indices, y->rank, error);
    if (status == TRN_OK) status = trn_other_strides(op, indices, y, axis, others, error);
    if (status != TRN_OK) return status;
    const int64_t *strides[3] = {indices->strides, updates->strides, others};
    trn_nest_merge(&p->nest, y->rank, indices->dims, 3, strides, p->strides);
    trn_copy_prepare(&p->copy, y, x);
    p->n = y->dims[axis];
    p->y_stride = y->strides[axis];
    p->kind = (uint32_t)trn_integer(op->file, op->record, trn_at_scatter_elements_kind);
    op->work = (double)p->nest.count + (double)p->copy.nest.count;
    return TRN_OK;
}

static trn_status run(const trn_op *op, trn_error *error) {
    const scatter_elements_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_scatter_elements_x), *y = trn_output(op, trn_out_scatter_elements_y);
    const trn_view *indices = trn_input(op, trn_in_scatter_elements_indices);
    const trn_view *updates = trn_input(op, trn_in_scatter_elements_updates);
    int64_t index[TRN_MAX_RANK] = {0}, offsets[3] = {0}, at, size = (int64_t)trn_dtype_size(y->dtype);
    trn_copy_run(&p->copy, y->data, x->data);
    if (p->nest.count == 0) return TRN_OK;
    do {
        trn_status status = trn_take_index(op, indices, offsets[0], p->n, &at, error);
        if (status != TRN_OK) return status;
        trn_scatter_element(y->dtype, p->kind, (char *)y->data + (offsets[2] + at * p->y_stride) * size,
                            (const char *)updates->data + offsets[1] * size);
    } while (trn_nest_next(&p->nest, p->strides, 0, index, offsets));
    return TRN_OK;
}

const trn_op_class trn_op_class_scatter_elements = {.check = check,
                                                    .plan_size = sizeof(scatter_elements_plan),
                                                    .prepare = prepare,
                                                    .run = run,
                                                    .may_fail = trn_indices_may_fail};
