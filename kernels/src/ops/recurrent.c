// SPDX-License-Identifier: Apache-2.0
// recurrent: a layer of ONNX's RNN, LSTM or GRU over a sequence.
//
// For each direction: the input's products of a block of steps are computed as one matrix product into `gates`; then
// each step continues those sums with the hidden state's products and applies the cell. The block is as long as its
// gates stay in cache, or are little beside the weights that every block reads again. Since every sum is one ascending
// chain from the bias over x, then over h, blocks, batches and single steps give the same bytes.
#include "recurrent.h"

#define BLOCK_BYTES (128 << 10)  // of gates that one block of steps may fill,
#define BLOCK_SHARE 16           // or this part of the bytes of the input's weights, where that is more
// Bytes of a file from which on its weights may not all stay in the second cache, of 512 KB or less, between two steps.
#define FAR_MODEL (320 << 10)
// Of input weights up to which a row's products are computed step by step: of float32 so many, of whole numbers so many
// bytes, which is no slower while all weights stay in the second cache.
#define INLINE_F32     2048
#define INLINE_INTEGER (128 << 10)

static int64_t gates_of(int64_t cell, int64_t linear_before_reset) {
    return cell == trn_cell_RNN ? 1 : cell == trn_cell_LSTM ? 4 : linear_before_reset ? 3 : 2;
}

static trn_status check_activations(const trn_file *file, const trn_record_operator *record, int64_t directions,
                                    int64_t per_direction, trn_error *error) {
    uint32_t first = trn_at_recurrent_activations, count = record->attribute_count - first;
    TRN_CHECK_REQUIRE(file, record, error, count == (uint32_t)(directions * per_direction * 3), "activations",
                      "found %u numbers, expected %lld", count, (long long)(directions * per_direction * 3));
    for (uint32_t i = 0; i < count; i += 3) {
        int64_t function = trn_integer(file, record, first + i);
        TRN_CHECK_REQUIRE(file, record, error, trn_is_activation(function), "activations",
                          "found %lld, expected a function of one float", (long long)function);
    }
    return TRN_OK;
}

static trn_status check_operands(const trn_file *file, const trn_record_operator *record, int64_t cell, int lbr,
                                 trn_error *error) {
    static const uint8_t ranks[] = {3, 3, 3, 2, 3, 3, 2, 3, 1, 3, 3, 2};  // of the inputs, in order
    for (uint32_t i = 0; i < record->input_count; i++) {
        const trn_record_tensor *t = trn_input_record(file, record, i);
        const char *name = trn_operand_row_of(trn_op_recurrent, 0, i)->name;
        if (!t) continue;
        int packed = trn_operand_row_of(trn_op_recurrent, 0, i)->layout == trn_layout_packed;
        uint8_t dtype = i == trn_in_recurrent_sequence_lens ? trn_dtype_I32 : packed ? t->dtype : trn_dtype_F32;
        TRN_CHECK_REQUIRE(file, record, error,
                          t->rank == ranks[i] && t->dtype == dtype && (t->packing != trn_packing_NONE) == packed, name,
                          "found %s of rank %u, expected %s of rank %u%s", trn_dtype_name(t->dtype), t->rank,
                          trn_dtype_name(dtype), ranks[i], packed ? ", packed" : "");
    }
    for (uint32_t i = 0; i < record->output_count; i++) {
        const trn_record_tensor *t = trn_output_record(file, record, i);
        TRN_CHECK_REQUIRE(file, record, error,
                          !t || (t->dtype == trn_dtype_F32 && t->rank == (i == trn_out_recurrent_y ? 4 : 3)),
                          trn_operand_row_of(trn_op_recurrent, 1, i)->name,
                          "found rank %u, or another dtype than float32", t ? t->rank : 0);
    }
    int reset_before = cell == trn_cell_GRU && !lbr, lstm = cell == trn_cell_LSTM;
    int has_hidden = trn_input_record(file, record, trn_in_recurrent_hidden_input_weights) &&
                     trn_input_record(file, record, trn_in_recurrent_hidden_recurrent_weights);
    int any_hidden = trn_input_record(file, record, trn_in_recurrent_hidden_input_weights) ||
                     trn_input_record(file, record, trn_in_recurrent_hidden_recurrent_weights);
    TRN_CHECK_REQUIRE(file, record, error, reset_before ? has_hidden : !any_hidden, "hidden_input_weights",
                      "a GRU that resets before its product needs them, no other cell may have them");
    TRN_CHECK_REQUIRE(file, record, error,
                      (trn_input_record(file, record, trn_in_recurrent_hidden_bias) != NULL) == (cell == trn_cell_GRU),
                      "hidden_bias", "a GRU needs it, no other cell may have it");
    TRN_CHECK_REQUIRE(file, record, error,
                      lstm || (!trn_input_record(file, record, trn_in_recurrent_peepholes) &&
                               !trn_input_record(file, record, trn_in_recurrent_initial_c) &&
                               !trn_output_record(file, record, trn_out_recurrent_y_c)),
                      "initial_c", "only an LSTM has peepholes and a cell state");
    return trn_check_packed(file, record, trn_in_recurrent_ranges, 2, error);
}

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    int64_t cell = trn_integer(file, record, trn_at_recurrent_cell),
            direction = trn_integer(file, record, trn_at_recurrent_direction);
    int64_t lbr = trn_integer(file, record, trn_at_recurrent_linear_before_reset),
            forget = trn_integer(file, record, trn_at_recurrent_input_forget);
    float clip = trn_float(file, record, trn_at_recurrent_clip);
    TRN_CHECK_REQUIRE(file, record, error, cell >= trn_cell_RNN && cell <= trn_cell_GRU, "cell", "found %lld",
                      (long long)cell);
    TRN_CHECK_REQUIRE(file, record, error,
                      direction >= trn_direction_FORWARD && direction <= trn_direction_BIDIRECTIONAL, "direction",
                      "found %lld", (long long)direction);
    TRN_CHECK_REQUIRE(file, record, error, lbr == 0 || (lbr == 1 && cell == trn_cell_GRU), "linear_before_reset",
                      "found %lld", (long long)lbr);
    TRN_CHECK_REQUIRE(file, record, error, forget == 0 || (forget == 1 && cell == trn_cell_LSTM), "input_forget",
                      "found %lld", (long long)forget);
    TRN_CHECK_REQUIRE(file, record, error, clip >= 0, "clip", "found %g, expected 0 or more", (double)clip);
    trn_status status = check_operands(file, record, cell, (int)lbr, error);
    if (status != TRN_OK) return status;
    int64_t per_direction = cell == trn_cell_RNN ? 1 : cell == trn_cell_LSTM ? 3 : 2;
    return check_activations(file, record, direction == trn_direction_BIDIRECTIONAL ? 2 : 1, per_direction, error);
}

// Operand i, where present, must have these dims.
static trn_status expect(const trn_op *op, int output, uint32_t i, int64_t a, int64_t b, int64_t c, int64_t d,
                         trn_error *error) {
    const trn_view *v = output ? trn_output(op, i) : trn_input(op, i);
    const int64_t dims[4] = {a, b, c, d};
    for (uint32_t k = 0; v && k < v->rank; k++)
        TRN_OP_REQUIRE(op, error, v->dims[k] == dims[k], trn_operand_row_of(trn_op_recurrent, output, i)->name,
                       "dimension %u is %lld, expected %lld", k, (long long)v->dims[k], (long long)dims[k]);
    if (v && v->panel_width) {
        int64_t gates = i == trn_in_recurrent_input_weights || i == trn_in_recurrent_recurrent_weights
                            ? ((recurrent_plan *)op->plan)->gates
                            : 1;
        TRN_OP_REQUIRE(op, error, v->panel_width == (gates == 1 ? 64 : 16 * gates),
                       trn_operand_row_of(trn_op_recurrent, output, i)->name,
                       "panels of %u columns do not fit %lld gates", v->panel_width, (long long)gates);
    }
    return TRN_OK;
}

static trn_status expect_all(const trn_op *op, const recurrent_plan *p, trn_error *error) {
    int64_t d = p->directions, b = p->batch, i = p->input, h = p->hidden, hp = p->padded, n = p->columns;
    const struct {
        int output;
        uint32_t operand;
        int64_t dims[4];
    } rows[] = {
        {0, trn_in_recurrent_input_weights, {d, i, n}},
        {0, trn_in_recurrent_recurrent_weights, {d, h, n}},
        {0, trn_in_recurrent_bias, {d, n}},
        {0, trn_in_recurrent_hidden_input_weights, {d, i, hp}},
        {0, trn_in_recurrent_hidden_recurrent_weights, {d, h, hp}},
        {0, trn_in_recurrent_hidden_bias, {d, hp}},
        {0, trn_in_recurrent_peepholes, {d, 3, hp}},
        {0, trn_in_recurrent_sequence_lens, {b}},
        {0, trn_in_recurrent_initial_h, {d, b, h}},
        {0, trn_in_recurrent_initial_c, {d, b, h}},
        {0, trn_in_recurrent_ranges, {d, 3}},
        {1, trn_out_recurrent_y, {p->steps, d, b, h}},
        {1, trn_out_recurrent_y_h, {d, b, h}},
        {1, trn_out_recurrent_y_c, {d, b, h}},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        const int64_t *e = rows[r].dims;
        trn_status status = expect(op, rows[r].output, rows[r].operand, e[0], e[1], e[2], e[3], error);
        if (status != TRN_OK) return status;
    }
    return TRN_OK;
}

// Whether the cell is ONNX's default one, which the kernels compute in one pass.
static int is_plain(const trn_op *op, const recurrent_plan *p) {
    static const int64_t defaults[3][3] = {
        {trn_fn_TANH, 0, 0}, {trn_fn_SIGMOID, trn_fn_TANH, trn_fn_TANH}, {trn_fn_SIGMOID, trn_fn_TANH, 0}};
    if (p->clip != INFINITY || p->input_forget || trn_input(op, trn_in_recurrent_peepholes)) return 0;
    for (int64_t i = 0; i < p->directions * p->activations; i++)
        if (p->functions[i].function != defaults[p->cell][i % p->activations]) return 0;
    return 1;
}

static recurrent_kernels kernels_of(const trn_ukernels *k, const recurrent_plan *p, int integers) {
#define KERNELS(precision)                                                                                \
    {                                                                                                     \
        .steps = p->cell == trn_cell_LSTM  ? k->precision##_lstm_steps                                    \
                 : p->cell == trn_cell_RNN ? k->precision##_rnn_steps                                     \
                 : p->hidden_gate          ? k->precision##_gru_before_steps                              \
                                           : k->precision##_gru_steps,                                             \
        .rnn = k->precision##_rnn_cell, .lstm = k->precision##_lstm_cell, .gru = k->precision##_gru_cell, \
        .reset = k->precision##_gru_reset, .update = k->precision##_gru_update                            \
    }
    const recurrent_kernels f32 = KERNELS(f32), i8 = KERNELS(i8);
    return integers ? i8 : f32;
#undef KERNELS
}

// The buffers of one run, added up or handed out.
static void take_buffers(const trn_op *op, recurrent_plan *p, trn_scratch *scratch) {
    recurrent_buffers *b = &p->buffers;
    int64_t rows = p->batch, extra = p->hidden_gate ? p->padded : 0;
    const trn_view *weights = trn_input(op, trn_in_recurrent_input_weights),
                   *hidden = trn_input(op, trn_in_recurrent_hidden_input_weights);
    b->h = trn_scratch_take(scratch, rows * p->hidden, sizeof(float));
    b->c = trn_scratch_take(scratch, p->cell == trn_cell_LSTM ? rows * p->hidden : 0, sizeof(float));
    b->gates = trn_scratch_take(scratch, p->block * rows * p->columns, sizeof(float));
    b->hidden = trn_scratch_take(scratch, p->block * rows * extra, sizeof(float));
    b->h_gates =
        trn_scratch_take(scratch, p->cell == trn_cell_GRU && !p->hidden_gate ? rows * p->columns : 0, sizeof(float));
    b->reset_h = trn_scratch_take(scratch, p->hidden_gate ? rows * p->hidden : 0, sizeof(float));
    b->steps = trn_scratch_take(scratch, rows == 1 ? TRN_STEPS_SCRATCH * p->padded : 0, sizeof(float));
    b->codes = trn_scratch_take(scratch,
                                rows == 1 && trn_is_integer(weights)
                                    ? 2 * (trn_codes_size((size_t)p->input) + trn_codes_size((size_t)p->hidden))
                                    : 0,
                                1);
    b->lens = trn_scratch_take(scratch, rows, sizeof(int32_t));
    p->by_input = trn_product_take(weights, p->columns, p->input, p->block * rows, 0, scratch);
    p->by_recurrent = trn_product_take(weights, p->columns, p->hidden, rows, 1, scratch);
    if (!hidden) return;
    p->by_hidden_input = trn_product_take(hidden, p->padded, p->input, p->block * rows, 0, scratch);
    p->by_hidden_recurrent = trn_product_take(hidden, p->padded, p->hidden, rows, 1, scratch);
}

static trn_status prepare(trn_op *op, trn_error *error) {
    recurrent_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_recurrent_x);
    p->cell = (uint32_t)trn_integer(op->file, op->record, trn_at_recurrent_cell);
    p->direction = (uint32_t)trn_integer(op->file, op->record, trn_at_recurrent_direction);
    p->directions = p->direction == trn_direction_BIDIRECTIONAL ? 2 : 1;
    p->input_forget = (int)trn_integer(op->file, op->record, trn_at_recurrent_input_forget);
    p->clip = trn_float(op->file, op->record, trn_at_recurrent_clip);
    int64_t lbr = trn_integer(op->file, op->record, trn_at_recurrent_linear_before_reset);
    p->gates = gates_of(p->cell, lbr);
    p->hidden_gate = p->cell == trn_cell_GRU && !lbr;
    p->steps = x->dims[0];
    p->batch = x->dims[1];
    p->input = x->dims[2];
    p->hidden = trn_integer(op->file, op->record, trn_at_recurrent_hidden_size);
    TRN_OP_REQUIRE(op, error, p->hidden > 0 && p->hidden < 1 << 24, "hidden_size", "found %lld", (long long)p->hidden);
    p->padded = trn_round16(p->hidden);
    p->columns = p->gates * p->padded;
    trn_status status = expect_all(op, p, error);
    if (status != TRN_OK) return status;
    p->activations = p->cell == trn_cell_RNN ? 1 : p->cell == trn_cell_LSTM ? 3 : 2;
    for (uint32_t i = 0; i < p->directions * p->activations; i++) {
        uint32_t at = trn_at_recurrent_activations + i * 3;
        p->functions[i] =
            (recurrent_function){(uint32_t)trn_integer(op->file, op->record, at),
                                 trn_float(op->file, op->record, at + 1), trn_float(op->file, op->record, at + 2)};
    }
    const trn_view *peepholes = trn_input(op, trn_in_recurrent_peepholes);
    p->peephole_stride = peepholes ? peepholes->strides[1] : 0;
    p->plain = is_plain(op, p);
    int per_cell = trn_input(op, trn_in_recurrent_input_weights)->per_cell;
    int64_t weights = p->input * p->columns;
    p->inputs_apart = p->steps > 1 && (per_cell ? weights * 4 / per_cell > INLINE_INTEGER : weights > INLINE_F32);
    int64_t step_floats = 0;
    TRN_OP_REQUIRE(op, error, trn_mul(p->batch, p->columns, &step_floats), "x", "the batch is too large");
    int64_t share = weights / BLOCK_SHARE / (per_cell ? per_cell : 1), most = BLOCK_BYTES / 4;
    if (most < share) most = share;
    p->block = step_floats > 0 ? most / step_floats : 1;
    if (p->block > p->steps) p->block = p->steps;
    if (p->block < 1) p->block = 1;
    trn_scratch scratch = {0};
    take_buffers(op, p, &scratch);
    if (scratch.overflow) return TRN_OP_FAIL(op, error, TRN_OVERFLOW, "x", "the batch is too large");
    op->workspace_size = scratch.used;
    op->work = (double)p->steps * (double)p->batch * (double)p->directions *
               (double)(p->columns + (p->hidden_gate ? p->padded : 0)) * (double)(p->input + p->hidden) *
               trn_weight_work(trn_input(op, trn_in_recurrent_input_weights));
    return TRN_OK;
}

// The lengths are data, which another thread or a changed file may alter between a check and a use: they are copied
// once.
static trn_status take_lens(const trn_op *op, const recurrent_plan *p, const trn_view *lens, int32_t *taken,
                            trn_error *error) {
    for (int64_t r = 0; r < p->batch; r++) {
        int32_t n = ((const volatile int32_t *)lens->data)[r * lens->strides[0]];
        taken[r] = n;
        if (n < 0 || n > p->steps)
            return TRN_OP_FAIL(op, error, TRN_INDEX_RANGE, "sequence_lens", "row %lld has %d steps, expected 0 to %lld",
                               (long long)r, n, (long long)p->steps);
    }
    return TRN_OK;
}

static const float *part_of(const trn_op *op, uint32_t input, int64_t d) {
    const trn_view *v = trn_input(op, input);
    return v && v->data ? (const float *)v->data + d * v->strides[0] : NULL;  // a bound one has no address yet
}

// Direction d's part of a state; NULL without one.
static float *state_in(const trn_view *v, int64_t d) { return v ? (float *)v->data + d * v->strides[0] : NULL; }

static trn_steps steps_of(const recurrent_plan *p, const recurrent_direction *d) {
    const trn_view *x = p->flow.x, *y = p->flow.y;
    ptrdiff_t sign = d->reverse ? -1 : 1;
    trn_steps s = {.count = (size_t)p->steps,
                   .n = (size_t)p->hidden,
                   .k = (size_t)p->input,
                   .x_stride = sign * (ptrdiff_t)x->strides[0],
                   .w = d->input_weights,
                   .r = d->recurrent_weights,
                   .init = d->bias,
                   .hidden_w = d->hidden_input_weights,
                   .hidden_r = d->hidden_recurrent_weights,
                   .hidden_init = d->hidden_bias,
                   .y_stride = y ? sign * (ptrdiff_t)y->strides[0] : 0,
                   .scratch = p->buffers.steps,
                   .codes = p->buffers.codes,
                   .per_cell = p->by_input.per_cell,
                   .ranges = d->ranges,
                   .far = p->far};
    if (p->still) s.h = state_in(p->flow.last[0], d->index), s.c = state_in(p->flow.last[1], d->index);
    if (p->inputs_apart) s.k = 0, s.init_stride = sign * (ptrdiff_t)p->columns;
    if (p->inputs_apart && p->hidden_gate) s.hidden_init_stride = sign * (ptrdiff_t)p->padded;
    return s;
}

// The addresses of everything but the data that pass by.
static void resolve(const trn_op *op, recurrent_plan *p) {
    for (int64_t i = 0; i < p->directions; i++)
        p->each[i] = (recurrent_direction){
            .input_weights = part_of(op, trn_in_recurrent_input_weights, i),
            .recurrent_weights = part_of(op, trn_in_recurrent_recurrent_weights, i),
            .bias = part_of(op, trn_in_recurrent_bias, i),
            .hidden_input_weights = part_of(op, trn_in_recurrent_hidden_input_weights, i),
            .hidden_recurrent_weights = part_of(op, trn_in_recurrent_hidden_recurrent_weights, i),
            .hidden_bias = part_of(op, trn_in_recurrent_hidden_bias, i),
            .peepholes = part_of(op, trn_in_recurrent_peepholes, i),
            .ranges = part_of(op, trn_in_recurrent_ranges, i),
            .functions = p->functions + i * p->activations,
            .lens = trn_input(op, trn_in_recurrent_sequence_lens) ? p->buffers.lens : NULL,
            .reverse = p->direction == trn_direction_REVERSE || i == 1,
            .index = i,
        };
    for (int64_t i = 0; i < p->directions; i++) p->each[i].steps = steps_of(p, &p->each[i]);
}

static int is_bound(const trn_op *op, uint32_t input) {
    const trn_record_tensor *t = trn_input_record(op->file, op->record, input);
    return t && trn_is_bound(op->file, t);
}

// Whether state i of all directions is advanced where it lies.
static int is_still(const trn_op *op, const recurrent_plan *p, int i) {
    const trn_view *initial = p->flow.initial[i], *last = p->flow.last[i];
    return initial && last && !is_bound(op, trn_in_recurrent_initial_h + (uint32_t)i) && initial->data == last->data &&
           (p->directions == 1 || initial->strides[0] == last->strides[0]) &&
           (p->hidden == 1 || (initial->strides[2] == 1 && last->strides[2] == 1));
}

/* ---- One row ---------------------------------------------------------------------------------------------------- */

// Where state i (h, c) of direction d is advanced: in the output that takes it, else in the buffer. It starts from its
// initial value, or 0.
static float *begin_state(const recurrent_plan *p, int i, int64_t d, float *buffer) {
    const trn_view *initial = p->flow.initial[i], *last = p->flow.last[i];
    int in_place = last && (last->strides[2] == 1 || p->hidden == 1);
    float *state = in_place ? state_in(last, d) : buffer;
    if (!initial) return memset(state, 0, (size_t)p->hidden * sizeof(float));
    const float *from = state_in(initial, d);
    if (from != state) trn_copy_words(p->hidden, state, 1, from, initial->strides[2]);
    return state;
}

static void end_state(const recurrent_plan *p, int i, int64_t d, const float *state) {
    const trn_view *last = p->flow.last[i];
    float *to = state_in(last, d);
    if (last && state != to) trn_copy_words(p->hidden, to, last->strides[2], state, 1);
}

static void run_steps(const recurrent_plan *p, trn_steps *steps) {
    p->kernels.steps(steps);
    steps->turn += steps->count;
}

// The products of x, where their weights are so many that reading them once a block of steps pays, then the steps.
static void run_blocks(const trn_op *op, const recurrent_plan *p, recurrent_direction *d) {
    const trn_view *x = p->flow.x, *y = p->flow.y;
    const recurrent_buffers *b = &p->buffers;
    trn_steps *s = &d->steps;
    for (int64_t done = 0, n; done < p->steps; done += n) {
        n = p->steps - done < p->block ? p->steps - done : p->block;
        int64_t first = d->reverse ? p->steps - done - n : done;  // of the block, in time
        int64_t start = d->reverse ? n - 1 : 0;                   // of the walk, in the block
        trn_recurrent_multiply_input(op, p, d, n, (const float *)x->data + first * x->strides[0], x->strides[0],
                                     b->gates, p->columns, b->hidden, p->padded);
        s->count = (size_t)n;
        s->init = b->gates + start * p->columns;
        if (p->hidden_gate) s->hidden_init = b->hidden + start * p->padded;
        if (y) s->y = (float *)y->data + (first + start) * y->strides[0] + d->index * y->strides[1];
        run_steps(p, s);
    }
}

// A direction of a plain cell and one row.
static void run_row(const trn_op *op, const recurrent_plan *p, recurrent_direction *d) {
    const trn_view *x = p->flow.x, *y = p->flow.y;
    trn_steps *s = &d->steps;
    if (!p->still) s->h = begin_state(p, 0, d->index, p->buffers.h);
    if (!p->still && p->cell == trn_cell_LSTM) s->c = begin_state(p, 1, d->index, p->buffers.c);
    if (p->inputs_apart) run_blocks(op, p, d);
    else {
        int64_t start = d->reverse ? p->steps - 1 : 0;
        s->x = (const float *)x->data + start * x->strides[0];
        if (y) s->y = (float *)y->data + start * y->strides[0] + d->index * y->strides[1];
        run_steps(p, s);
    }
    if (p->still) return;
    end_state(p, 0, d->index, s->h);
    if (p->cell == trn_cell_LSTM) end_state(p, 1, d->index, s->c);
}

// One step in one direction, of one row whose state is advanced where it lies: nothing is left to do but the step.
static trn_status run_one_step(const trn_op *op, trn_error *error) {
    recurrent_plan *p = op->plan;
    trn_steps *s = &p->each[0].steps;
    (void)error;
    s->x = p->flow.x->data;
    if (p->flow.y) s->y = p->flow.y->data;
    run_steps(p, s);
    return TRN_OK;
}

static trn_status run_any(const trn_op *op, trn_error *error) {
    recurrent_plan *p = op->plan;
    if (!p->fixed) resolve(op, p);
    if (p->one_row) {
        for (int64_t i = 0; i < p->directions; i++) run_row(op, p, &p->each[i]);
        return TRN_OK;
    }
    if (p->batch == 0) return TRN_OK;
    if (p->each[0].lens) {
        trn_status status = take_lens(op, p, trn_input(op, trn_in_recurrent_sequence_lens), p->buffers.lens, error);
        if (status != TRN_OK) return status;
    }
    for (int64_t i = 0; i < p->directions; i++) trn_recurrent_run_rows(op, p, &p->each[i]);
    return TRN_OK;
}

// Weights are where they are, unless they come through a port.
static void place(trn_op *op) {
    recurrent_plan *p = op->plan;
    trn_scratch scratch = {.base = op->workspace};
    take_buffers(op, p, &scratch);
    p->kernels = kernels_of(op->ukernels, p, p->by_input.per_cell > 0);
    p->flow = (recurrent_flow){
        .x = trn_input(op, trn_in_recurrent_x),
        .initial = {trn_input(op, trn_in_recurrent_initial_h), trn_input(op, trn_in_recurrent_initial_c)},
        .y = trn_output(op, trn_out_recurrent_y),
        .last = {trn_output(op, trn_out_recurrent_y_h), trn_output(op, trn_out_recurrent_y_c)},
    };
    p->one_row = p->plain && p->batch == 1 && !trn_input(op, trn_in_recurrent_sequence_lens);
    p->far = op->file->header.file_size >= FAR_MODEL;
    p->still = is_still(op, p, 0) && (p->cell != trn_cell_LSTM || is_still(op, p, 1));
    resolve(op, p);
    p->fixed = 1;
    for (uint32_t i = trn_in_recurrent_input_weights; i <= trn_in_recurrent_ranges; i++)
        if (is_bound(op, i)) p->fixed = 0;
    p->run = p->fixed && p->one_row && p->still && p->steps == 1 && p->directions == 1 ? run_one_step : run_any;
}

static trn_status run(const trn_op *op, trn_error *error) { return ((const recurrent_plan *)op->plan)->run(op, error); }

static int may_fail(const trn_file *file, const trn_record_operator *record) {
    return trn_input_record(file, record, trn_in_recurrent_sequence_lens) != NULL;
}

// The states: lengths are checked before anything of them is written.
static int advances(uint32_t input, uint32_t output) {
    return (input == trn_in_recurrent_initial_h && output == trn_out_recurrent_y_h) ||
           (input == trn_in_recurrent_initial_c && output == trn_out_recurrent_y_c);
}

const trn_op_class trn_op_class_recurrent = {.check = check,
                                             .plan_size = sizeof(recurrent_plan),
                                             .prepare = prepare,
                                             .run = run,
                                             .place = place,
                                             .advances = advances,
                                             .may_fail = may_fail};
