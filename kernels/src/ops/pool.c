// SPDX-License-Identifier: Apache-2.0
// pool: the maximum or the mean of a sliding window over one to three spatial axes.
#include <math.h>

#include "window.h"

typedef struct pool_plan {
    trn_window window;
    int64_t kernel[TRN_LIMIT_SPATIAL];
    uint32_t kind;
    int count_padding;
    int together;   // whether the channels lie side by side in x and y
    int64_t lanes;  // folded at once: the channels then, else the outputs along the last axis
    float neutral;  // changes neither a sum that began with it nor a maximum
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
    TRN_CHECK_REQUIRE(file, record, error, count == 0 || (count == 1 && kind == trn_pooling_AVERAGE), "count_padding",
                      "found %lld", (long long)count);
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
    for (uint32_t i = 0; i < p->window.rank; i++) p->kernel[i] = p->window.axes[i].kernel;
    p->together = x->dims[1] > 1 && x->strides[1] == 1 && y->strides[1] == 1;
    p->lanes = p->together ? x->dims[1] : y->dims[y->rank - 1];
    p->neutral = p->kind == trn_pooling_MAX ? -INFINITY : 0.0f;
    trn_scratch scratch = {0};
    for (int i = 0; i < 3; i++) trn_scratch_take(&scratch, p->lanes, sizeof(float));
    if (scratch.overflow) return TRN_OP_FAIL(op, error, TRN_OVERFLOW, "x", "it is too large");
    op->workspace_size = scratch.used;
    op->work = (double)y->dims[0] * (double)y->dims[1] * (double)p->window.positions * (double)p->window.taps;
    return TRN_OK;
}

// How many taps a mean divides by along one axis: those inside, or those within the padded input too.
static int64_t count_taps(const pool_plan *p, uint32_t axis, int64_t position) {
    const trn_axis *a = &p->window.axes[axis];
    int64_t count = 0;
    for (int64_t tap = 0; tap < a->kernel; tap++) {
        int64_t at = position * a->stride + tap * a->dilation - a->begin;
        if (p->count_padding) count += at >= -a->begin && at < a->input + a->end;
        else count += trn_axis_index(a, position, tap) >= 0;
    }
    return count;
}

// Whether a tap of the axes but the last looks at the input, and then adds to the offset where.
static int find_row(const pool_plan *p, const trn_view *x, const int64_t *position, const int64_t *tap,
                    int64_t *offset) {
    for (uint32_t i = 0; i + 1 < p->window.rank; i++) {
        int64_t at = trn_axis_index(&p->window.axes[i], position[i], tap[i]);
        if (at < 0) return 0;
        *offset += at * x->strides[2 + i];
    }
    return 1;
}

// What one tap of the last axis looks at in a row of x: side by side, the neutral value for padding.
static const float *take_line(const pool_plan *p, const trn_view *x, const float *row, int64_t tap, float *line) {
    const trn_axis a = p->window.axes[p->window.rank - 1];
    int64_t stride = x->strides[x->rank - 1];
    for (int64_t i = 0; i < a.output; i++) {
        int64_t at = trn_axis_index(&a, i, tap);
        line[i] = at < 0 ? p->neutral : row[at * stride];
    }
    return line;
}

// The lanes of y, all channels of one output or one channel of a row of outputs, folded over the taps in row-major
// order. A NaN in the window gives NaN; of two zeros the earlier is the larger.
static void fold_lanes(const trn_op *op, const pool_plan *p, const float *from, const int64_t *position, float *line,
                       float *y) {
    const trn_view *x = trn_input(op, trn_in_pool_x);
    uint32_t last = p->window.rank - 1;
    int64_t tap[TRN_LIMIT_SPATIAL] = {0};
    size_t n = (size_t)p->lanes;
    for (size_t i = 0; i < n; i++) y[i] = p->neutral;
    do {
        int64_t row = 0;
        if (!find_row(p, x, position, tap, &row)) continue;
        for (int64_t k = 0; k < p->window.axes[last].kernel; k++) {
            int64_t at = p->together ? trn_axis_index(&p->window.axes[last], position[last], k) : 0;
            if (at < 0) continue;
            const float *v = from + row;
            v = p->together ? v + at * x->strides[2 + last] : take_line(p, x, v, k, line);
            if (p->kind == trn_pooling_MAX) op->ukernels->f32_vmap2(trn_fn_MAX, n, v, y, y);
            else op->ukernels->f32_vmap2(trn_fn_ADD, n, y, v, y);
        }
    } while (trn_window_next(last, p->kernel, tap));
}

// The sums of the lanes over the counts of their taps; counts: those along the last axis, where lanes are its outputs.
static void divide_lanes(const trn_op *op, const pool_plan *p, const int64_t *position, const float *counts,
                         float *line, float *y) {
    int64_t count = 1;
    for (uint32_t i = 0; i < p->window.rank - !p->together; i++) count *= count_taps(p, i, position[i]);
    for (int64_t i = 0; i < p->lanes; i++) line[i] = (float)count * (p->together ? 1.0f : counts[i]);
    op->ukernels->f32_vmap2(trn_fn_DIV, (size_t)p->lanes, y, line, y);
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const pool_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_pool_x), *y = trn_output(op, trn_out_pool_y);
    uint32_t last = p->window.rank - 1;
    int64_t channels = p->together ? 1 : y->dims[1], step = y->strides[2 + last];
    int64_t sizes[TRN_LIMIT_SPATIAL], mean = p->kind == trn_pooling_AVERAGE;
    float *line = op->workspace, *counts = line + p->lanes, *result = counts + p->lanes;
    if (p->window.positions == 0) return TRN_OK;
    for (uint32_t i = 0; i <= last; i++) sizes[i] = i < last || p->together ? p->window.axes[i].output : 1;
    for (int64_t i = 0; i < p->lanes && mean && !p->together; i++) counts[i] = (float)count_taps(p, last, i);
    for (int64_t b = 0; b < y->dims[0]; b++)
        for (int64_t c = 0; c < channels; c++) {
            const float *from = (const float *)x->data + b * x->strides[0] + c * x->strides[1];
            int64_t position[TRN_LIMIT_SPATIAL] = {0};
            do {
                float *to = (float *)y->data + b * y->strides[0] + c * y->strides[1];
                for (uint32_t i = 0; i <= last; i++) to += position[i] * y->strides[2 + i];
                float *lanes = p->together || step == 1 ? to : result;
                fold_lanes(op, p, from, position, line, lanes);
                if (mean) divide_lanes(op, p, position, counts, line, lanes);
                for (int64_t i = 0; i < p->lanes && lanes != to; i++) to[i * step] = lanes[i];
            } while (trn_window_next(last + 1, sizes, position));
        }
    return TRN_OK;
}

const trn_op_class trn_op_class_pool = {.check = check, .plan_size = sizeof(pool_plan), .prepare = prepare, .run = run};
