// SPDX-License-Identifier: Apache-2.0
// gather_nd: y[b, i] = x[b, indices[b, i, 0], indices[b, i, 1], ...]: an index tuple for every slice.
#include "indexed.h"

typedef struct gather_nd_plan {
    trn_nest nest;  // [B..., I...]; operands y, indices, x (B alone)
    int64_t strides[TRN_MAX_RANK * 3];
    trn_copy_plan slice;
    uint32_t depth, batch_axes;
    int64_t tuple_stride;
} gather_nd_plan;

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_gather_nd_x);
    const trn_record_tensor *indices = trn_input_record(file, record, trn_in_gather_nd_indices);
    const trn_record_tensor *y = trn_output_record(file, record, trn_out_gather_nd_y);
    int64_t batch = trn_integer(file, record, trn_at_gather_nd_batch_axes);
    TRN_CHECK_REQUIRE(file, record, error,
                      indices->rank >= 1 && batch >= 0 && batch < indices->rank && batch <= x->rank, "batch_axes",
                      "found %lld", (long long)batch);
    TRN_CHECK_REQUIRE(file, record, error, x->dtype == y->dtype, "y", "it differs from x in dtype");
    return trn_check_indices(file, record, indices, error);
}

static trn_status prepare(trn_op *op, trn_error *error) {
    gather_nd_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_gather_nd_x), *y = trn_output(op, trn_out_gather_nd_y);
    const trn_view *indices = trn_input(op, trn_in_gather_nd_indices);
    uint32_t lead = indices->rank - 1u;
    int64_t depth = indices->dims[lead], batch_strides[TRN_MAX_RANK] = {0};
    p->batch_axes = (uint32_t)trn_integer(op->file, op->record, trn_at_gather_nd_batch_axes);
    TRN_OP_REQUIRE(op, error, depth >= 0 && depth <= (int64_t)x->rank - p->batch_axes, "indices",
                   "found %lld indices for an element, x has %u axes", (long long)depth, x->rank);
    p->depth = (uint32_t)depth;
    p->tuple_stride = indices->strides[lead];
    uint32_t rest = x->rank - p->batch_axes - p->depth;
    TRN_OP_REQUIRE(op, error, y->rank == lead + rest, "y", "found rank %u, expected %u", y->rank, lead + rest);
    for (uint32_t k = 0; k < lead; k++) {
        TRN_OP_REQUIRE(op, error,
                       y->dims[k] == indices->dims[k] && (k >= p->batch_axes || x->dims[k] == indices->dims[k]), "y",
                       "dimension %u is %lld, of indices %lld", k, (long long)y->dims[k], (long long)indices->dims[k]);
        if (k < p->batch_axes) batch_strides[k] = x->strides[k];
    }
    const int64_t *strides[3] = {y->strides, indices->strides, batch_strides};
    trn_nest_merge(&p->nest, lead, y->dims, 3, strides, p->strides);
    trn_view from = {.dtype = x->dtype, .rank = (uint8_t)rest}, to = from;
    for (uint32_t k = 0; k < rest; k++) {
        uint32_t of_x = p->batch_axes + p->depth + k;
        TRN_OP_REQUIRE(op, error, y->dims[lead + k] == x->dims[of_x], "y", "dimension %u is %lld, of x %lld", lead + k,
                       (long long)y->dims[lead + k], (long long)x->dims[of_x]);
        from.dims[k] = to.dims[k] = x->dims[of_x];
        from.strides[k] = x->strides[of_x];
        to.strides[k] = y->strides[lead + k];
    }
    trn_copy_prepare(&p->slice, &to, &from);
    op->work = (double)p->nest.count * (double)p->slice.nest.count;
    return TRN_OK;
}

static trn_status run(const trn_op *op, trn_error *error) {
    const gather_nd_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_gather_nd_x), *y = trn_output(op, trn_out_gather_nd_y);
    const trn_view *indices = trn_input(op, trn_in_gather_nd_indices);
    int64_t index[TRN_MAX_RANK] = {0}, offsets[3] = {0}, at, size = (int64_t)trn_dtype_size(x->dtype);
    if (p->nest.count == 0) return TRN_OK;
    do {
        int64_t from = offsets[2];
        for (uint32_t k = 0; k < p->depth; k++) {
            uint32_t axis = p->batch_axes + k;
            trn_status status =
                trn_take_index(op, indices, offsets[1] + k * p->tuple_stride, x->dims[axis], &at, error);
            if (status != TRN_OK) return status;
            from += at * x->strides[axis];
        }
        trn_copy_run(&p->slice, (char *)y->data + offsets[0] * size, (const char *)x->data + from * size);
    } while (trn_nest_next(&p->nest, p->strides, 0, index, offsets));
    return TRN_OK;
}

const trn_op_class trn_op_class_gather_nd = {.check = check,
                                             .plan_size = sizeof(gather_nd_plan),
                                             .prepare = prepare,
                                             .run = run,
                                             .may_fail = trn_indices_may_fail};
