// SPDX-License-Identifier: Apache-2.0
// gather: slices of x picked by index (an embedding's rows, say).
#include "indexed.h"

typedef struct gather_plan {
    trn_copy_plan slice;  // [A..., B...]
    trn_nest indices;     // [I...]; operands: index, y
    int64_t strides[TRN_MAX_RANK * 2];
    int64_t n, x_stride;  // entries along the axis, and between them
} gather_plan;

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_gather_x),
                            *y = trn_output_record(file, record, trn_out_gather_y);
    const trn_record_tensor *indices = trn_input_record(file, record, trn_in_gather_indices);
    int64_t axis = trn_integer(file, record, trn_at_gather_axis);
    TRN_CHECK_REQUIRE(file, record, error, axis >= 0 && axis < x->rank, "axis", "found %lld, x has rank %u",
                      (long long)axis, x->rank);
    TRN_CHECK_REQUIRE(file, record, error, x->dtype == y->dtype && y->rank == x->rank - 1 + indices->rank, "y",
                      "it differs from x in dtype, or its rank is not x's - 1 + indices'");
    return trn_check_indices(file, record, indices, error);
}

static trn_status prepare(trn_op *op, trn_error *error) {
    gather_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_gather_x), *y = trn_output(op, trn_out_gather_y),
                   *indices = trn_input(op, trn_in_gather_indices);
    uint32_t axis = (uint32_t)trn_integer(op->file, op->record, trn_at_gather_axis);
    trn_view from = {.dtype = x->dtype}, to = {.dtype = x->dtype};  // the axes A and B of x and of y
    for (uint32_t k = 0; k < x->rank; k++) {
        if (k == axis) continue;
        uint32_t of_y = k < axis ? k : k - 1u + indices->rank;
        TRN_OP_REQUIRE(op, error, x->dims[k] == y->dims[of_y], "y", "dimension %u is %lld, of x %lld", of_y,
                       (long long)y->dims[of_y], (long long)x->dims[k]);
        from.dims[from.rank] = to.dims[to.rank] = x->dims[k];
        from.strides[from.rank++] = x->strides[k];
        to.strides[to.rank++] = y->strides[of_y];
    }
    for (uint32_t k = 0; k < indices->rank; k++)
        TRN_OP_REQUIRE(op, error, indices->dims[k] == y->dims[axis + k], "y", "dimension %u is %lld, of indices %lld",
                       axis + k, (long long)y->dims[axis + k], (long long)indices->dims[k]);
    trn_copy_prepare(&p->slice, &to, &from);
    const int64_t *strides[2] = {indices->strides, y->strides + axis};
    trn_nest_merge(&p->indices, indices->rank, indices->dims, 2, strides, p->strides);
    p->n = x->dims[axis];
    p->x_stride = x->strides[axis];
    op->work = (double)p->slice.nest.count * (double)p->indices.count;
    return TRN_OK;
}

static trn_status run(const trn_op *op, trn_error *error) {
    const gather_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_gather_x), *y = trn_output(op, trn_out_gather_y),
                   *indices = trn_input(op, trn_in_gather_indices);
    int64_t index[TRN_MAX_RANK] = {0}, offsets[2] = {0, 0}, i, size = (int64_t)trn_dtype_size(x->dtype);
    if (p->indices.count == 0) return TRN_OK;
    do {
        trn_status status = trn_take_index(op, indices, offsets[0], p->n, &i, error);
        if (status != TRN_OK) return status;
        trn_copy_run(&p->slice, (char *)y->data + offsets[1] * size, (const char *)x->data + i * p->x_stride * size);
    } while (trn_nest_next(&p->indices, p->strides, 0, index, offsets));
    return TRN_OK;
}

const trn_op_class trn_op_class_gather = {
    .check = check, .plan_size = sizeof(gather_plan), .prepare = prepare, .run = run, .may_fail = trn_indices_may_fail};
