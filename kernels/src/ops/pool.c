// SPDX-License-Identifier: Apache-2.0
// pool: the maximum or the mean of a sliding window over one to three spatial axes.
#include <math.h>

#include "window.h"

typedef struct pool_plan {
    trn_window window;
    uint32_t kind;
    int count_padding;
} pool_plan;

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_pool_x);
    const trn_record_tensor *y = trn_output_record(file, record, trn_out_pool_y);
    int64_t kind = trn_integer(file, record, trn_at_pool_kind),
            count = trn_integer(file, record, trn_at_pool_count_padding);
    TRN_CHECK_REQUIRE(file, record, error,
                      x->dtype == trn_dtype_F32 && y->dtype == trn_dtype_F32 && x->rank >= 3 && x->rank == y->rank, "x",
                      "x and y must be float32 of the same rank, 3 or more");
    TRN_CHECK_REQUIRE(file, record, error, kind == trn_pooling_MAX || kind == trn_pooling_AVERAGE, "kind", "found %lld",
                      (long long)kind);
    TRN_CHECK_REQUIRE(file, record, error, count == 0 || count == 1, "count_padding", "found %lld", (long long)count);
    return trn_window_check(file, record, trn_at_pool_window, x->rank - 2u, error);
}

static trn_status prepare(trn_op *op, trn_error *error) {
    pool_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_pool_x), *y = trn_output(op, trn_out_pool_y);
    trn_status status = trn_same_dims(op, "y", y, x, 2, error);
    if (status != TRN_OK) return status;
    TRN_OP_REQUIRE(op, error,
                   trn_window_read(&p->window, op, trn_at_pool_window, x->dims + 2, y->dims + 2, x->rank - 2u),
                   "window", "it is too large");
    p->kind = (uint32_t)trn_integer(op->file, op->record, trn_at_pool_kind);
    p->count_padding = (int)trn_integer(op->file, op->record, trn_at_pool_count_padding);
    op->work = (double)y->dims[0] * (double)y->dims[1] * (double)p->window.positions * (double)p->window.taps;
    return TRN_OK;
}

// Whether a tap lies within the padded input, as the mean with count_padding counts it.
static int within_padding(const trn_axis *a, int64_t output, int64_t tap) {
    int64_t i = output * a->stride + tap * a->dilation - a->begin;
    return i >= -a->begin && i < a->input + a->end;
}

// One output element: taps in row-major order. A NaN in the window gives NaN.
static float fold_window(const pool_plan *p, const trn_view *x, const float *from, const int64_t *position) {
    const trn_window *w = &p->window;
    int64_t tap[TRN_MAX_SPATIAL] = {0}, kernel[TRN_MAX_SPATIAL], count = 0;
    float sum = 0, most = -INFINITY;
    for (uint32_t i = 0; i < w->rank; i++) kernel[i] = w->axes[i].kernel;
    do {
        int64_t offset = 0, inside = 1, counted = 1;
        for (uint32_t i = 0; i < w->rank; i++) {
            int64_t at = trn_axis_index(&w->axes[i], position[i], tap[i]);
            inside &= at >= 0;
            counted &= within_padding(&w->axes[i], position[i], tap[i]);
            offset += at * x->strides[2 + i];
        }
        count += p->count_padding ? counted : inside;
        if (!inside) continue;
        float v = from[offset];
        sum += v;
        if (v > most || v != v) most = v;
    } while (trn_window_next(w->rank, kernel, tap) && most == most);
    if (p->kind == trn_pooling_MAX || most != most) return most;
    return sum / (float)count;
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const pool_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_pool_x), *y = trn_output(op, trn_out_pool_y);
    int64_t sizes[TRN_MAX_SPATIAL];
    for (uint32_t i = 0; i < p->window.rank; i++) sizes[i] = p->window.axes[i].output;
    if (p->window.positions == 0) return TRN_OK;
    for (int64_t b = 0; b < y->dims[0]; b++)
        for (int64_t c = 0; c < y->dims[1]; c++) {
            const float *from = (const float *)x->data + b * x->strides[0] + c * x->strides[1];
            float *to = (float *)y->data + b * y->strides[0] + c * y->strides[1];
            int64_t position[TRN_MAX_SPATIAL] = {0};
            do {
                int64_t offset = 0;
                for (uint32_t i = 0; i < p->window.rank; i++) offset += position[i] * y->strides[2 + i];
                to[offset] = fold_window(p, x, from, position);
            } while (trn_window_next(p->window.rank, sizes, position));
        }
    return TRN_OK;
}

const trn_op_class trn_op_class_pool = {.check = check, .plan_size = sizeof(pool_plan), .prepare = prepare, .run = run};
