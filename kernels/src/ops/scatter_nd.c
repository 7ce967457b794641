// SPDX-License-Identifier: Apache-2.0
// scatter_nd: y = x; then y[indices[i, 0], indices[i, 1], ...] takes the slice updates[i], in row-major order.
#include "indexed.h"

typedef struct scatter_nd_plan {
    trn_copy_plan copy;
    trn_nest nest;   // [I...]; operands indices, updates
    trn_nest slice;  // [R...]; operands y, updates
    int64_t strides[TRN_MAX_RANK * 2], slice_strides[TRN_MAX_RANK * 2];
    uint32_t depth, kind;
    int64_t tuple_stride;
} scatter_nd_plan;

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_scatter_nd_x);
    const trn_record_tensor *indices = trn_input_record(file, record, trn_in_scatter_nd_indices);
    const trn_record_tensor *updates = trn_input_record(file, record, trn_in_scatter_nd_updates);
    const trn_record_tensor *y = trn_output_record(file, record, trn_out_scatter_nd_y);
    TRN_CHECK_REQUIRE(file, record, error,
                      indices->rank >= 1 && x->rank == y->rank && x->dtype == y->dtype && x->dtype == updates->dtype,
                      "y", "it differs from x in rank or dtype, or updates do in dtype");
    trn_status status =
        trn_check_scatter(file, record, trn_integer(file, record, trn_at_scatter_nd_kind), x->dtype, error);
    return status == TRN_OK ? trn_check_indices(file, record, indices, error) : status;
}

static trn_status prepare(trn_op *op, trn_error *error) {
    scatter_nd_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_scatter_nd_x), *y = trn_output(op, trn_out_scatter_nd_y);
    const trn_view *indices = trn_input(op, trn_in_scatter_nd_indices);
    const trn_view *updates = trn_input(op, trn_in_scatter_nd_updates);
    uint32_t lead = indices->rank - 1u;
    trn_status status = trn_same_dims(op, "y", y, x, y->rank, error);
    if (status != TRN_OK) return status;
    int64_t depth = indices->dims[lead];
    TRN_OP_REQUIRE(op, error, depth >= 0 && depth <= y->rank && updates->rank == lead + y->rank - depth, "indices",
                   "found %lld indices for an element, x has %u axes, updates %u", (long long)depth, x->rank,
                   updates->rank);
    p->depth = (uint32_t)depth;
    p->tuple_stride = indices->strides[lead];
    for (uint32_t k = 0; k < updates->rank; k++) {
        int64_t expected = k < lead ? indices->dims[k] : y->dims[p->depth + k - lead];
        TRN_OP_REQUIRE(op, error, updates->dims[k] == expected, "updates", "dimension %u is %lld, expected %lld", k,
                       (long long)updates->dims[k], (long long)expected);
    }
    const int64_t *strides[2] = {indices->strides, updates->strides};
    trn_nest_merge(&p->nest, lead, indices->dims, 2, strides, p->strides);
    const int64_t *slice_strides[2] = {y->strides + p->depth, updates->strides + lead};
    trn_nest_merge(&p->slice, y->rank - p->depth, y->dims + p->depth, 2, slice_strides, p->slice_strides);
    trn_copy_prepare(&p->copy, y, x);
    p->kind = (uint32_t)trn_integer(op->file, op->record, trn_at_scatter_nd_kind);
    op->work = (double)p->nest.count * (double)p->slice.count + (double)p->copy.nest.count;
    return TRN_OK;
}

static void scatter_slice(const scatter_nd_plan *p, uint8_t dtype, char *to, const char *from) {
    int64_t index[TRN_MAX_RANK] = {0}, offsets[2] = {0}, size = (int64_t)trn_dtype_size(dtype);
    if (p->slice.count == 0) return;
    do trn_scatter_element(dtype, p->kind, to + offsets[0] * size, from + offsets[1] * size);
    while (trn_nest_next(&p->slice, p->slice_strides, 0, index, offsets));
}

static trn_status run(const trn_op *op, trn_error *error) {
    const scatter_nd_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_scatter_nd_x), *y = trn_output(op, trn_out_scatter_nd_y);
    const trn_view *indices = trn_input(op, trn_in_scatter_nd_indices);
    const trn_view *updates = trn_input(op, trn_in_scatter_nd_updates);
    int64_t index[TRN_MAX_RANK] = {0}, offsets[2] = {0}, at, size = (int64_t)trn_dtype_size(y->dtype);
    trn_copy_run(&p->copy, y->data, x->data);
    if (p->nest.count == 0) return TRN_OK;
    do {
        int64_t to = 0;
        for (uint32_t k = 0; k < p->depth; k++) {
            trn_status status = trn_take_index(op, indices, offsets[0] + k * p->tuple_stride, y->dims[k], &at, error);
            if (status != TRN_OK) return status;
            to += at * y->strides[k];
        }
        scatter_slice(p, y->dtype, (char *)y->data + to * size, (const char *)updates->data + offsets[1] * size);
    } while (trn_nest_next(&p->nest, p->strides, 0, index, offsets));
    return TRN_OK;
}

const trn_op_class trn_op_class_scatter_nd = {.check = check,
                                              .plan_size = sizeof(scatter_nd_plan),
                                              .prepare = prepare,
                                              .run = run,
                                              .may_fail = trn_indices_may_fail};
