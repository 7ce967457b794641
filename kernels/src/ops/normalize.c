// SPDX-License-Identifier: Apache-2.0
// normalize: softmax, log-softmax, or zero mean and unit variance, along the last axis, a row at a time.
#include "strided.h"

typedef struct normalize_plan {
    trn_nest rows;  // every axis but the last; operands y, x
    int64_t strides[TRN_MAX_RANK * 2];
    int64_t n;
    uint32_t kind;
    float epsilon;
} normalize_plan;

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_normalize_x),
                            *y = trn_output_record(file, record, trn_out_normalize_y);
    TRN_CHECK_REQUIRE(file, record, error,
                      x->dtype == trn_dtype_F32 && y->dtype == trn_dtype_F32 && x->rank == y->rank && x->rank >= 1, "y",
                      "x and y must be float32 of the same rank, at least 1");
    int64_t kind = trn_integer(file, record, trn_at_normalize_kind);
    TRN_CHECK_REQUIRE(file, record, error, kind >= 0 && kind <= trn_normalization_MEAN_VARIANCE, "kind", "found %lld",
                      (long long)kind);
    TRN_CHECK_REQUIRE(file, record, error,
                      kind == trn_normalization_MEAN_VARIANCE ||
                          trn_integer(file, record, trn_at_normalize_epsilon) == 0,
                      "epsilon", "only a variance takes one, expected 0");
    return TRN_OK;
}

static trn_status prepare(trn_op *op, trn_error *error) {
    normalize_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_normalize_x), *y = trn_output(op, trn_out_normalize_y);
    trn_status status = trn_same_dims(op, "y", y, x, y->rank, error);
    if (status != TRN_OK) return status;
    const int64_t *strides[2] = {y->strides, x->strides};
    trn_nest_merge(&p->rows, y->rank - 1u, y->dims, 2, strides, p->strides);
    p->n = y->dims[y->rank - 1];
    p->kind = (uint32_t)trn_integer(op->file, op->record, trn_at_normalize_kind);
    p->epsilon = trn_float(op->file, op->record, trn_at_normalize_epsilon);
    op->work = 16 * (double)p->rows.count * (double)p->n;
    return TRN_OK;
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const normalize_plan *p = op->plan;
    float *y = trn_output(op, trn_out_normalize_y)->data;
    const float *x = trn_input(op, trn_in_normalize_x)->data;
    int64_t index[TRN_MAX_RANK] = {0}, offsets[2] = {0, 0};
    if (p->rows.count == 0 || p->n == 0) return TRN_OK;
    do {
        const float *from = x + offsets[1];
        float *to = y + offsets[0];
        if (p->kind == trn_normalization_MEAN_VARIANCE)
            op->ukernels->f32_standardize((size_t)p->n, from, p->epsilon, to);
        else op->ukernels->f32_softmax((size_t)p->n, from, p->kind == trn_normalization_LOG_SOFTMAX, to);
    } while (trn_nest_next(&p->rows, p->strides, 0, index, offsets));
    return TRN_OK;
}

const trn_op_class trn_op_class_normalize = {
    .check = check, .plan_size = sizeof(normalize_plan), .prepare = prepare, .run = run};
