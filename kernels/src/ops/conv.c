// SPDX-License-Identifier: Apache-2.0
// conv: convolution over one to three spatial axes, with groups, strides, dilation, padding; transposed by `upsample`.
//
// The output positions along one axis (or the rows of the batch) are the rows of matrix products. Taps that lie side by
// side in memory are one product, read where they are; else they are gathered into rows first. An output element is one
// chain from the bias over ascending (tap, channel), which each product continues; padding is in no product. Where
// every channel is a group of its own, f32_dwconv takes the place of the matrix product, for all groups at once.
// With weights of whole numbers a window has one scale, so that all of it is one product, of zeros where there is padding.
// An input that has its channels apart is turned round first, unless most of its elements are never looked at.
#include "product.h"
#include "strided.h"
#include "window.h"

#define BLOCK_FLOATS (16 << 10)  // of x that the rows of a block span
#define LEAST_ROWS   24          // of a block all the same: fewer would wait for the weights
#define LEAST_RUN    16          // shorter products are gathered into longer ones
#define WIDE         32          // channels from which on a tap is worth a product of its own

typedef struct conv_plan {
    trn_window window;
    trn_view x;                                // the input, or what it is turned to
    trn_copy_plan turn;                        // where `turned`
    int64_t batch, groups, channels, outputs;  // channels and outputs of a group; depthwise: of all of them
    int64_t k, columns;                        // taps * channels; outputs rounded up to 16
    int64_t panel;                             // columns of a panel of the weights; depthwise: floats between taps
    uint32_t row_axis;                         // what the rows run along: an axis of the window, or its rank: the batch
    int64_t sizes[TRN_LIMIT_SPATIAL + 1];      // the positions to walk, the batch last; along row_axis: the phases
    int64_t phases, advance;                   // rows are so many outputs, and inputs, apart
    int64_t x_row, y_row;                      // strides between rows
    int64_t kernel[TRN_LIMIT_SPATIAL];  // taps to walk: 1 along the last axis where a tap stands for all of those
    int64_t width, element;             // floats of such a tap, and the stride between them
    int64_t block;                      // rows at once
    int depthwise, turned, gather, split, direct;
    trn_product product;                // of whole windows
    float *turned_x, *gathered, *sums;  // [x], [block, k], [block, columns], where there is use for them
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
    TRN_CHECK_REQUIRE(
        file, record, error, w->packing == trn_packing_NONE ? w->dtype == trn_dtype_F32 && w->rank == 2 : w->rank == 3,
        "weights", "expected one packed matrix a group, or float32 of rank 2 where each channel is a group");
    TRN_CHECK_REQUIRE(file, record, error, !bias || (bias->dtype == trn_dtype_F32 && bias->rank == 1), "bias",
                      "expected float32 of rank 1");
    TRN_CHECK_REQUIRE(file, record, error, trn_is_activation(trn_integer(file, record, trn_at_conv_function)),
                      "function", "found %lld, expected a function of one float",
                      (long long)trn_integer(file, record, trn_at_conv_function));
    trn_status status = trn_check_packed(file, record, trn_in_conv_range, 1, error);
    return status != TRN_OK ? status : trn_window_check(file, record, trn_at_conv_window, x->rank - 2u, error);
}

// Sizes, and the weights against them.
static trn_status read_sizes(const trn_op *op, conv_plan *p, trn_error *error) {
    const trn_view *x = trn_input(op, trn_in_conv_x), *w = trn_input(op, trn_in_conv_weights);
    const trn_view *bias = trn_input(op, trn_in_conv_bias), *y = trn_output(op, trn_out_conv_y);
    TRN_OP_REQUIRE(op, error,
                   trn_window_read(&p->window, op, trn_at_conv_window, x->dims + 2, y->dims + 2, x->rank - 2u),
                   "window", "it is too large");
    p->depthwise = w->panel_width == 0;
    p->batch = x->dims[0];
    p->groups = p->depthwise ? 1 : w->dims[0];
    TRN_OP_REQUIRE(op, error, p->groups > 0 && x->dims[1] % p->groups == 0 && y->dims[1] % p->groups == 0, "weights",
                   "%lld groups do not divide %lld and %lld channels", (long long)p->groups, (long long)x->dims[1],
                   (long long)y->dims[1]);
    p->channels = x->dims[1] / p->groups;
    p->outputs = y->dims[1] / p->groups;
    p->columns = trn_round16(p->outputs);
    p->panel = p->depthwise ? w->strides[0] : w->panel_width;
    TRN_OP_REQUIRE(op, error, trn_mul(p->window.taps, p->channels, &p->k), "window", "it is too large");
    if (p->depthwise)
        TRN_OP_REQUIRE(op, error,
                       p->outputs == p->channels && w->dims[0] == p->window.taps && w->dims[1] == p->channels &&
                           (w->strides[1] == 1 || p->channels <= 1),
                       "weights", "found %lld rows of %lld, expected %lld taps of %lld channels, y has %lld",
                       (long long)w->dims[0], (long long)w->dims[1], (long long)p->window.taps, (long long)p->channels,
                       (long long)p->outputs);
    else
        TRN_OP_REQUIRE(op, error, w->dims[1] == p->k && w->dims[2] == p->columns, "weights",
                       "found %lld rows of %lld columns, expected %lld taps of %lld channels, %lld columns",
                       (long long)w->dims[1], (long long)w->dims[2], (long long)p->window.taps, (long long)p->channels,
                       (long long)p->columns);
    TRN_OP_REQUIRE(op, error, y->dims[0] == p->batch, "y", "found %lld rows, x has %lld", (long long)y->dims[0],
                   (long long)p->batch);
    const trn_view *range = trn_input(op, trn_in_conv_range);
    TRN_OP_REQUIRE(op, error, !range || range->dims[0] == 1, "range", "found %lld numbers, expected 1",
                   range ? (long long)range->dims[0] : 0);
    TRN_OP_REQUIRE(op, error, !bias || bias->dims[0] == y->dims[1], "bias", "found %lld, expected %lld",
                   bias ? (long long)bias->dims[0] : 0, (long long)y->dims[1]);
    return TRN_OK;
}

// Outputs along an axis so far apart see inputs a whole number apart.
static int64_t phases_of(const trn_axis *a) {
    int64_t common = a->upsample, rest = a->stride;
    while (rest) {
        int64_t next = common % rest;
        common = rest, rest = next;
    }
    return a->upsample / common;
}

// The rows run along the axis that has most of them.
static void choose_rows(conv_plan *p, const trn_view *x, const trn_view *y) {
    const trn_window *w = &p->window;
    int64_t most = p->batch;
    p->row_axis = w->rank;
    p->sizes[w->rank] = p->batch;
    for (uint32_t i = 0; i < w->rank; i++) {
        int64_t rows = w->axes[i].output / phases_of(&w->axes[i]);
        p->sizes[i] = w->axes[i].output;
        if (rows >= most) most = rows, p->row_axis = i;
    }
    if (p->row_axis == w->rank) {
        p->sizes[w->rank] = p->phases = p->advance = 1;
        p->x_row = x->strides[0], p->y_row = y->strides[0];
        return;
    }
    const trn_axis *a = &w->axes[p->row_axis];
    p->phases = phases_of(a);
    p->advance = p->phases * a->stride / a->upsample;
    // Where two rows never see the input (or are never there), their distance may be any number, even a huge one.
    p->x_row = p->advance < a->input ? p->advance * x->strides[2 + p->row_axis] : 0;
    p->y_row = p->phases < a->output ? p->phases * y->strides[2 + p->row_axis] : 0;
    if (p->sizes[p->row_axis] > p->phases) p->sizes[p->row_axis] = p->phases;
}

// Whether the taps of the last axis lie side by side, behind their channels, and none of them ever at padding.
static int last_axis_is_run(const conv_plan *p, int64_t stride) {
    const trn_axis *a = &p->window.axes[p->window.rank - 1];
    int64_t end = (a->output - 1) * a->stride + (a->kernel - 1) * a->dilation - a->begin;
    return a->kernel > 1 && stride == p->channels && a->upsample == 1 && a->begin <= 0 && a->output > 0 &&
           end < a->input;
}

// Turns the input's channels to its last axis where they are apart and most are looked at. 0 when it is too large.
static int choose_turn(conv_plan *p, const trn_view *x) {
    double elements = (double)x->dims[1], looks = (double)p->window.positions * (double)p->k;
    for (uint32_t i = 0; i < p->window.rank; i++) elements *= (double)x->dims[2 + i];
    p->x = *x;
    p->turned = x->strides[1] != 1 && (p->depthwise || p->channels > 1) && looks * (double)p->groups >= elements;
    if (!p->turned) return 1;
    int64_t count = x->dims[1];
    p->x.strides[1] = 1;
    for (uint32_t axis = x->rank; axis-- > 0;) {
        if (axis == 1) continue;
        p->x.strides[axis] = count;
        if (!trn_mul(count, x->dims[axis], &count)) return 0;
    }
    trn_copy_prepare(&p->turn, &p->x, x);
    return 1;
}

// How the taps are read.
static void choose_taps(conv_plan *p, const trn_view *x, const trn_view *weights, const trn_view *y) {
    const trn_axis *last = &p->window.axes[p->window.rank - 1];
    int together = x->strides[1] == 1 || p->channels == 1;
    // A distance beyond the input is never walked, but must not overflow.
    int64_t apart = last->dilation < last->input ? last->dilation * x->strides[1 + p->window.rank] : 0;
    int64_t run = p->channels;
    p->width = p->channels;
    p->element = together ? 1 : x->strides[1];
    for (uint32_t i = 0; i < p->window.rank; i++) p->kernel[i] = p->window.axes[i].kernel;
    if (together && !p->depthwise && apart == p->channels) run = p->channels * last->kernel;
    if (together && !p->depthwise && last_axis_is_run(p, apart)) {
        p->width = run;
        p->kernel[p->window.rank - 1] = 1;
    }
    p->gather = !together || (!p->depthwise && run < LEAST_RUN && run < p->k);
    p->gather = p->gather || trn_is_integer(weights);
    p->split = !trn_is_integer(weights) && (p->gather || p->depthwise || p->width < WIDE);
    p->direct = y->strides[1] == 1 || p->outputs == 1;
}

// The memory of a run, added up or handed out. 0 when its size overflows.
static int take_buffers(conv_plan *p, const trn_view *weights, trn_scratch *scratch) {
    int64_t taps = 0, sums = 0;
    int fits = trn_mul(p->block, p->gather ? p->k : 0, &taps) && trn_mul(p->block, p->direct ? 0 : p->columns, &sums);
    p->turned_x = trn_scratch_take(scratch, p->turned ? p->turn.nest.count : 0, sizeof(float));
    p->gathered = trn_scratch_take(scratch, taps, sizeof(float));
    p->sums = trn_scratch_take(scratch, sums, sizeof(float));
    p->product = trn_product_take(weights, p->outputs, p->k, p->block, 0, scratch);
    return fits;
}

static trn_status prepare(trn_op *op, trn_error *error) {
    conv_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_conv_x), *y = trn_output(op, trn_out_conv_y);
    trn_status status = read_sizes(op, p, error);
    if (status != TRN_OK) return status;
    TRN_OP_REQUIRE(op, error, choose_turn(p, x), "x", "it is too large");
    choose_rows(p, &p->x, y);
    choose_taps(p, &p->x, trn_input(op, trn_in_conv_weights), y);
    p->block = p->k > 0 ? BLOCK_FLOATS / p->k : LEAST_ROWS;
    if (p->block < LEAST_ROWS) p->block = LEAST_ROWS;
    p->function = (uint32_t)trn_integer(op->file, op->record, trn_at_conv_function);
    p->alpha = trn_float(op->file, op->record, trn_at_conv_alpha);
    p->beta = trn_float(op->file, op->record, trn_at_conv_beta);
    int64_t rows = p->row_axis < p->window.rank ? p->window.axes[p->row_axis].output : p->batch;
    if (p->block > rows) p->block = rows > 0 ? rows : 1;
    trn_scratch scratch = {0};
    if (!take_buffers(p, trn_input(op, trn_in_conv_weights), &scratch) || scratch.overflow)
        return TRN_OP_FAIL(op, error, TRN_OVERFLOW, "x", "the window is too large");
    op->workspace_size = scratch.used;
    op->work = (double)p->batch * (double)p->groups * (double)p->window.positions * (double)p->k *
               (double)(p->depthwise ? 1 : p->outputs) * trn_weight_work(trn_input(op, trn_in_conv_weights));
    return TRN_OK;
}

// One group of one place beside the rows.
typedef struct conv_walk {
    const trn_view *x;
    const float *from, *weights, *bias;
    int64_t position[TRN_LIMIT_SPATIAL + 1];
    float *gathered;      // [block, k]
    float *sums;          // of the first row at work
    int64_t sums_row;     // from one to the next
    int64_t first, last;  // the rows at work
    int started;          // whether sums hold the bias and what was added to it
} conv_walk;

// Neighbouring taps of the same rows: one product.
typedef struct conv_run {
    int64_t tap, count;
    int64_t first, last;     // rows
    const float *x;          // tap `tap` of row `first`
    ptrdiff_t x_row, apart;  // between rows, between taps
} conv_run;

// Narrows first to last to the rows along an axis that see the input with tap 0, and so on for each tap: rows j with
// 0 <= at + j * advance < input. Returns the input of row 0, which may lie outside.
static int64_t rows_inside(const conv_plan *p, int64_t phase, int64_t tap, int64_t *first, int64_t *last) {
    const trn_axis *a = &p->window.axes[p->row_axis];
    int64_t at = phase * a->stride + tap * a->dilation - a->begin;
    if (at % a->upsample != 0) {
        *last = *first;
        return 0;
    }
    at /= a->upsample;
    int64_t low = at < 0 ? (-at + p->advance - 1) / p->advance : 0;
    int64_t high = at < a->input ? (a->input - at + p->advance - 1) / p->advance : 0;
    if (*first < low) *first = low;
    if (*last > high) *last = high;
    return at;
}

// The rows from first to last that see the input with a tap, and where the first of them does; NULL when there is none.
static const float *find_tap(const conv_plan *p, const conv_walk *walk, const int64_t *tap, int64_t *first,
                             int64_t *last) {
    const trn_view *x = walk->x;
    int64_t offset = 0;
    for (uint32_t i = 0; i < p->window.rank; i++) {
        int64_t at;
        if (i == p->row_axis) {
            at = rows_inside(p, walk->position[i], tap[i], first, last);
            if (*first >= *last) return NULL;
            at += *first * p->advance;
        } else {
            at = trn_axis_index(&p->window.axes[i], walk->position[i], tap[i]);
            if (at < 0) return NULL;
        }
        offset += at * x->strides[2 + i];
    }
    if (p->row_axis == p->window.rank) offset += *first * p->x_row;
    return walk->from + offset;
}

// The end of the rows that see the input with the same taps as `first` does, up to `last`.
static int64_t find_cut(const conv_plan *p, const conv_walk *walk, int64_t first, int64_t last) {
    if (p->row_axis == p->window.rank) return last;
    for (int64_t tap = 0; tap < p->kernel[p->row_axis]; tap++) {
        int64_t low = 0, high = last;
        rows_inside(p, walk->position[p->row_axis], tap, &low, &high);
        if (low > first && low < last) last = low;
        if (high > first && high < last) last = high;
    }
    return last;
}

static void start_sums(const conv_plan *p, conv_walk *walk) {
    size_t bytes = (size_t)p->outputs * sizeof(float);
    for (int64_t i = 0; i < walk->last - walk->first; i++) {
        if (walk->bias) memcpy(walk->sums + i * walk->sums_row, walk->bias, bytes);
        else memset(walk->sums + i * walk->sums_row, 0, bytes);
    }
    walk->started = 1;
}

// Continues the sums of a run's rows with its taps.
static void multiply(const trn_op *op, const conv_plan *p, conv_walk *walk, const conv_run *run) {
    if (run->count == 0) return;
    if (!walk->started && (run->first > walk->first || run->last < walk->last)) start_sums(p, walk);
    float *y = walk->sums + (run->first - walk->first) * walk->sums_row;
    const float *init = walk->started ? y : walk->bias;
    ptrdiff_t y_row = (ptrdiff_t)walk->sums_row, init_row = walk->started ? y_row : 0;
    size_t rows = (size_t)(run->last - run->first), outputs = (size_t)p->outputs;
    walk->started = 1;
    if (p->depthwise) {
        op->ukernels->f32_dwconv(rows, outputs, (size_t)run->count, run->x, run->x_row, run->apart,
                                 walk->weights + run->tap * p->panel, (size_t)p->panel, init, init_row, y, y_row);
        return;
    }
    size_t k = (size_t)(run->count * p->width), panel = (size_t)p->panel;
    if ((int64_t)k == p->k) {
        op->ukernels->f32_gemm(rows, outputs, k, run->x, run->x_row, walk->weights, panel, init, init_row, y, y_row);
        return;
    }
    for (size_t column = 0; column < outputs; column += panel) {
        size_t left = (size_t)p->columns - column, whole = left < panel ? left : panel, rest = outputs - column;
        const float *w = walk->weights + column * (size_t)p->k + (size_t)(run->tap * p->width) * whole;
        op->ukernels->f32_gemm(rows, rest < panel ? rest : panel, k, run->x, run->x_row, w, panel,
                               init ? init + column : NULL, init_row, y + column, y_row);
    }
}

// The taps of rows first to last, copied to where they lie side by side.
static const float *gather(const conv_plan *p, const conv_walk *walk, int64_t tap, int64_t first, int64_t last,
                           const float *from) {
    float *start = walk->gathered + (first - walk->first) * p->k + tap * p->width, *to = start;
    for (int64_t row = first; row < last; row++, from += p->x_row, to += p->k)
        for (int64_t c = 0; c < p->width; c++) to[c] = from[c * p->element];  // mostly a few: no call is worth it
    return start;
}

// Zeros in the place of a tap of some rows, which see padding there.
static void clear_tap(const conv_plan *p, const conv_walk *walk, int64_t tap, int64_t first, int64_t last) {
    float *to = walk->gathered + (first - walk->first) * p->k + tap * p->width;
    for (int64_t row = first; row < last; row++, to += p->k) memset(to, 0, (size_t)p->width * sizeof *to);
}

// Whether a window is one tap, which all rows at work see: they are read where they are.
static const float *only_tap(const conv_plan *p, const conv_walk *walk) {
    const int64_t tap[TRN_LIMIT_SPATIAL] = {0};
    int64_t first = walk->first, last = walk->last;
    if (p->width != p->k || p->element != 1) return NULL;
    const float *x = find_tap(p, walk, tap, &first, &last);
    return x && last - first == walk->last - walk->first ? x : NULL;
}

// The product of whole windows of the rows at work.
static void multiply_windows(const trn_op *op, const conv_plan *p, conv_walk *walk) {
    const trn_view *range = trn_input(op, trn_in_conv_range);
    const float *x = only_tap(p, walk);
    int64_t tap[TRN_LIMIT_SPATIAL] = {0}, index = 0, x_row = x ? p->x_row : p->k;
    if (!x) {
        do {
            int64_t first = walk->first, last = walk->last;
            const float *from = find_tap(p, walk, tap, &first, &last);
            if (!from) first = last = walk->last;
            clear_tap(p, walk, index, walk->first, first);
            if (from) gather(p, walk, index, first, last, from);
            clear_tap(p, walk, index, last, walk->last);
        } while (index++, trn_window_next(p->window.rank, p->kernel, tap));
        x = walk->gathered;
    }
    trn_multiply(op->ukernels, &p->product, walk->weights, range ? range->data : NULL, walk->last - walk->first, x,
                 x_row, walk->bias, 0, walk->sums, walk->sums_row);
    walk->started = 1;
}

// The products of the rows at work.
static void sum_rows(const trn_op *op, const conv_plan *p, conv_walk *walk) {
    int64_t tap[TRN_LIMIT_SPATIAL] = {0}, index = 0;
    conv_run run = {.count = 0};
    do {
        int64_t first = walk->first, last = walk->last;
        const float *x = find_tap(p, walk, tap, &first, &last);
        if (!x) continue;
        if (p->gather) x = gather(p, walk, index, first, last, x);
        int joins = run.count > 0 && first == run.first && last == run.last && index == run.tap + run.count;
        if (joins && p->depthwise && run.count == 1) run.apart = x - run.x;
        if (joins && x == run.x + run.count * run.apart) {
            run.count++;
            continue;
        }
        multiply(op, p, walk, &run);
        run = (conv_run){.tap = index, .count = 1, .first = first, .last = last, .x = x, .apart = p->width};
        run.x_row = p->gather ? p->k : p->x_row;
    } while (index++, trn_window_next(p->window.rank, p->kernel, tap));
    multiply(op, p, walk, &run);
    if (!walk->started) start_sums(p, walk);  // nothing but padding
}

// The function, and the sums to y where they are not there already.
static void finish_rows(const trn_op *op, const conv_plan *p, const conv_walk *walk, float *y) {
    int64_t rows = walk->last - walk->first, stride = trn_output(op, trn_out_conv_y)->strides[1];
    if (p->function != trn_fn_IDENTITY) {
        int whole = walk->sums_row == p->outputs;
        for (int64_t i = 0; i < (whole ? 1 : rows); i++) {
            float *row = walk->sums + i * walk->sums_row;
            op->ukernels->f32_vmap(p->function, (size_t)(whole ? rows * p->outputs : p->outputs), row, p->alpha,
                                   p->beta, row);
        }
    }
    if (p->direct) return;
    for (int64_t m = 0; m < p->outputs; m++)
        for (int64_t i = 0; i < rows; i++) y[m * stride + i * p->y_row] = walk->sums[i * p->columns + m];
}

// All rows of one group at one place beside them.
static void run_rows(const trn_op *op, const conv_plan *p, conv_walk *walk, float *to) {
    int64_t count = p->batch;
    if (p->row_axis < p->window.rank)
        count = (p->window.axes[p->row_axis].output - walk->position[p->row_axis] + p->phases - 1) / p->phases;
    float *scratch = walk->sums;
    for (int64_t row = 0; row < count; row = walk->last) {
        int64_t end = count - row < p->block ? count : row + p->block;
        walk->first = row;
        walk->last = p->split && p->k > 0 ? find_cut(p, walk, row, end) : end;
        walk->started = 0;
        walk->sums = p->direct ? to + row * p->y_row : scratch;
        walk->sums_row = p->direct ? p->y_row : p->columns;
        if (p->k == 0) start_sums(p, walk);
        else if (p->product.per_cell) multiply_windows(op, p, walk);
        else sum_rows(op, p, walk);
        finish_rows(op, p, walk, to + row * p->y_row);
    }
    walk->sums = scratch;
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const conv_plan *p = op->plan;
    const trn_view *x = &p->x, *y = trn_output(op, trn_out_conv_y);
    const trn_view *bias = trn_input(op, trn_in_conv_bias);
    const float *data = trn_input(op, trn_in_conv_x)->data;
    const float *weights = trn_input(op, trn_in_conv_weights)->data;
    conv_walk walk = {.x = x, .gathered = p->gathered, .sums = p->sums};
    uint32_t batch = p->window.rank;
    if (p->outputs == 0 || p->batch == 0 || p->window.positions == 0) return TRN_OK;
    const int64_t group = trn_input(op, trn_in_conv_weights)->strides[0];
    if (p->turned) {
        trn_copy_run(&p->turn, p->turned_x, data);
        data = p->turned_x;
    }
    for (int64_t g = 0; g < p->groups; g++) {
        walk.weights = weights + g * group;
        walk.bias = bias ? (const float *)bias->data + g * p->outputs : NULL;
        memset(walk.position, 0, sizeof walk.position);
        do {
            float *to = (float *)y->data + walk.position[batch] * y->strides[0] + g * p->outputs * y->strides[1];
            walk.from = data + walk.position[batch] * x->strides[0] + g * p->channels * x->strides[1];
            for (uint32_t i = 0; i < batch; i++) to += walk.position[i] * y->strides[2 + i];
            run_rows(op, p, &walk, to);
        } while (trn_window_next(batch + 1, p->sizes, walk.position));
    }
    return TRN_OK;
}

static void place(trn_op *op) {
    conv_plan *p = op->plan;
    trn_scratch scratch = {.base = op->workspace};
    (void)take_buffers(p, trn_input(op, trn_in_conv_weights), &scratch);
}

const trn_op_class trn_op_class_conv = {
    .check = check, .plan_size = sizeof(conv_plan), .prepare = prepare, .run = run, .place = place};
