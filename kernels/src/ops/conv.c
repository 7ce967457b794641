// SPDX-License-Identifier: Apache-2.0
// conv: convolution over one to three spatial axes, with groups, strides, dilation, padding; transposed by `upsample`.
//
// The taps of a block of output positions are gathered into rows, [positions, taps * channels], which one matrix
// product multiplies: an output element is one chain from the bias over ascending (tap, channel). Padding contributes
// zeros.
#include "window.h"

#define BLOCK_FLOATS (16 << 10)  // of gathered taps
#define PANEL        64

typedef struct conv_plan {
    trn_window window;
    int64_t batch, groups, channels, outputs;  // channels and outputs of a group
    int64_t k, columns;                        // taps * channels; outputs rounded up to 16
    int64_t block;                             // output positions at once
    uint32_t function;
    float alpha, beta;
} conv_plan;

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_conv_x);
    const trn_record_tensor *w = trn_input_record(file, record, trn_in_conv_weights);
    const trn_record_tensor *bias = trn_input_record(file, record, trn_in_conv_bias);
    const trn_record_tensor *y = trn_output_record(file, record, trn_out_conv_y);
    TRN_CHECK_REQUIRE(file, record, error,
                      x->dtype == trn_dtype_F32 && y->dtype == trn_dtype_F32 && x->rank >= 3 && x->rank == y->rank, "x",
                      "x and y must be float32 of the same rank, 3 or more");
    TRN_CHECK_REQUIRE(file, record, error,
                      w->packing == trn_packing_F32_PANELS && w->rank == 3 && w->panel_width == PANEL, "weights",
                      "they must be packed in panels of %d columns, one matrix a group", PANEL);
    TRN_CHECK_REQUIRE(file, record, error, !bias || (bias->dtype == trn_dtype_F32 && bias->rank == 1), "bias",
                      "expected float32 of rank 1");
    TRN_CHECK_REQUIRE(file, record, error, trn_is_activation(trn_integer(file, record, trn_at_conv_function)),
                      "function", "found %lld, expected a function of one float",
                      (long long)trn_integer(file, record, trn_at_conv_function));
    return trn_window_check(file, record, trn_at_conv_window, x->rank - 2u, error);
}

static trn_status prepare(trn_op *op, trn_error *error) {
    conv_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_conv_x), *w = trn_input(op, trn_in_conv_weights);
    const trn_view *bias = trn_input(op, trn_in_conv_bias), *y = trn_output(op, trn_out_conv_y);
    TRN_OP_REQUIRE(op, error,
                   trn_window_read(&p->window, op, trn_at_conv_window, x->dims + 2, y->dims + 2, x->rank - 2u),
                   "window", "it is too large");
    p->batch = x->dims[0];
    p->groups = w->dims[0];
    TRN_OP_REQUIRE(op, error, p->groups > 0 && x->dims[1] % p->groups == 0 && y->dims[1] % p->groups == 0, "weights",
                   "%lld groups do not divide %lld and %lld channels", (long long)p->groups, (long long)x->dims[1],
                   (long long)y->dims[1]);
    p->channels = x->dims[1] / p->groups;
    p->outputs = y->dims[1] / p->groups;
    p->columns = trn_round16(p->outputs);
    TRN_OP_REQUIRE(op, error, trn_mul(p->window.taps, p->channels, &p->k) && w->dims[1] == p->k, "weights",
                   "found %lld rows, expected %lld taps of %lld channels", (long long)w->dims[1],
                   (long long)p->window.taps, (long long)p->channels);
    TRN_OP_REQUIRE(op, error, w->dims[2] == p->columns, "weights", "found %lld columns, expected %lld",
                   (long long)w->dims[2], (long long)p->columns);
    TRN_OP_REQUIRE(op, error, y->dims[0] == p->batch, "y", "found %lld rows, x has %lld", (long long)y->dims[0],
                   (long long)p->batch);
    TRN_OP_REQUIRE(op, error, !bias || bias->dims[0] == y->dims[1], "bias", "found %lld, expected %lld",
                   bias ? (long long)bias->dims[0] : 0, (long long)y->dims[1]);
    p->block = p->k > 0 ? BLOCK_FLOATS / p->k : 1;
    if (p->block > p->window.positions) p->block = p->window.positions;
    if (p->block < 1) p->block = 1;
    p->function = (uint32_t)trn_integer(op->file, op->record, trn_at_conv_function);
    p->alpha = trn_float(op->file, op->record, trn_at_conv_alpha);
    p->beta = trn_float(op->file, op->record, trn_at_conv_beta);
    trn_scratch scratch = {0};
    trn_scratch_take(&scratch, p->block * p->k, sizeof(float));
    trn_scratch_take(&scratch, p->block * p->columns, sizeof(float));
    if (scratch.overflow) return TRN_OP_FAIL(op, error, TRN_OVERFLOW, "x", "the window is too large");
    op->workspace_size = scratch.used;
    op->work = (double)p->batch * (double)p->groups * (double)p->window.positions * (double)p->k * (double)p->outputs;
    return TRN_OK;
}

// The taps of one output position: [taps, channels], zeros where they are padding.
static void gather_taps(const conv_plan *p, const trn_view *x, const float *from, const int64_t *position, float *to) {
    const trn_window *w = &p->window;
    int64_t tap[TRN_MAX_SPATIAL] = {0}, kernel[TRN_MAX_SPATIAL];
    for (uint32_t i = 0; i < w->rank; i++) kernel[i] = w->axes[i].kernel;
    do {
        int64_t offset = 0, inside = 1;
        for (uint32_t i = 0; i < w->rank && inside; i++) {
            int64_t at = trn_axis_index(&w->axes[i], position[i], tap[i]);
            inside = at >= 0;
            offset += at * x->strides[2 + i];
        }
        for (int64_t c = 0; c < p->channels; c++) to[c] = inside ? from[offset + c * x->strides[1]] : 0.0f;
        to += p->channels;
    } while (trn_window_next(w->rank, kernel, tap));
}

// n positions of one group from `position` on (which advances): gathered, multiplied, written.
static void run_block(const trn_op *op, const conv_plan *p, const float *from, const float *weights, const float *bias,
                      float *to, int64_t n, int64_t *position) {
    const trn_view *x = trn_input(op, trn_in_conv_x), *y = trn_output(op, trn_out_conv_y);
    trn_scratch scratch = {.base = op->workspace};
    float *taps = trn_scratch_take(&scratch, p->block * p->k, sizeof(float));
    float *sums = trn_scratch_take(&scratch, p->block * p->columns, sizeof(float));
    int64_t start[TRN_MAX_SPATIAL], sizes[TRN_MAX_SPATIAL];
    memcpy(start, position, sizeof start);
    for (uint32_t i = 0; i < p->window.rank; i++) sizes[i] = p->window.axes[i].output;
    for (int64_t i = 0; i < n && p->k > 0; i++) {
        gather_taps(p, x, from, position, taps + i * p->k);
        trn_window_next(p->window.rank, sizes, position);
    }
    op->ukernels->f32_gemm((size_t)n, (size_t)p->outputs, (size_t)p->k, taps, (ptrdiff_t)p->k, weights, PANEL, bias, 0,
                           sums, (ptrdiff_t)p->columns);
    for (int64_t i = 0; i < n; i++) {
        float *row = sums + i * p->columns;
        int64_t offset = 0;
        if (p->function != trn_fn_IDENTITY)
            op->ukernels->f32_vmap(p->function, (size_t)p->outputs, row, p->alpha, p->beta, row);
        for (uint32_t k = 0; k < p->window.rank; k++) offset += start[k] * y->strides[2 + k];
        for (int64_t m = 0; m < p->outputs; m++) to[offset + m * y->strides[1]] = row[m];
        trn_window_next(p->window.rank, sizes, start);
    }
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const conv_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_conv_x), *y = trn_output(op, trn_out_conv_y);
    const trn_view *bias = trn_input(op, trn_in_conv_bias);
    const float *weights = trn_input(op, trn_in_conv_weights)->data;
    if (p->outputs == 0) return TRN_OK;
    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t g = 0; g < p->groups; g++) {
            const float *from = (const float *)x->data + b * x->strides[0] + g * p->channels * x->strides[1];
            float *to = (float *)y->data + b * y->strides[0] + g * p->outputs * y->strides[1];
            const float *start = bias ? (const float *)bias->data + g * p->outputs : NULL;
            int64_t position[TRN_MAX_SPATIAL] = {0};
            for (int64_t done = 0; done < p->window.positions; done += p->block) {
                int64_t n = p->window.positions - done < p->block ? p->window.positions - done : p->block;
                run_block(op, p, from, weights + g * p->k * p->columns, start, to, n, position);
            }
        }
    return TRN_OK;
}

const trn_op_class trn_op_class_conv = {.check = check, .plan_size = sizeof(conv_plan), .prepare = prepare, .run = run};
