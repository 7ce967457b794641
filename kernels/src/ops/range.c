// SPDX-License-Identifier: Apache-2.0
// range: y[i] = start + i * delta.
#include "../ops.h"

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *start = trn_input_record(file, record, trn_in_range_start);
    const trn_record_tensor *delta = trn_input_record(file, record, trn_in_range_delta);
    const trn_record_tensor *y = trn_output_record(file, record, trn_out_range_y);
    TRN_CHECK_REQUIRE(file, record, error,
                      (y->dtype == trn_dtype_F32 || y->dtype == trn_dtype_I64 || y->dtype == trn_dtype_I32) &&
                          start->dtype == y->dtype && delta->dtype == y->dtype,
                      "y", "start, delta and y must all be float32, int64 or int32");
    TRN_CHECK_REQUIRE(file, record, error, start->rank == 0 && delta->rank == 0 && y->rank == 1, "y",
                      "start and delta must be scalars, y of rank 1");
    return TRN_OK;
}

static trn_status prepare(trn_op *op, trn_error *error) {
    (void)error;
    op->work = (double)trn_output(op, trn_out_range_y)->dims[0];
    return TRN_OK;
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const trn_view *y = trn_output(op, trn_out_range_y);
    const void *start = trn_input(op, trn_in_range_start)->data, *delta = trn_input(op, trn_in_range_delta)->data;
    int64_t n = y->dims[0], stride = y->strides[0];
    if (y->dtype == trn_dtype_F32) {
        for (int64_t i = 0; i < n; i++) {
            float steps = (float)i * *(const float *)delta;
            ((float *)y->data)[i * stride] = *(const float *)start + steps;
        }
    } else if (y->dtype == trn_dtype_I64) {
        for (int64_t i = 0; i < n; i++)
            ((int64_t *)y->data)[i * stride] =
                (int64_t)(*(const uint64_t *)start + (uint64_t)i * *(const uint64_t *)delta);
    } else {
        for (int64_t i = 0; i < n; i++)
            ((int32_t *)y->data)[i * stride] =
                (int32_t)(*(const uint32_t *)start + (uint32_t)i * *(const uint32_t *)delta);
    }
    return TRN_OK;
}

const trn_op_class trn_op_class_range = {.check = check, .prepare = prepare, .run = run};
