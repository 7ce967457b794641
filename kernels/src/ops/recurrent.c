// SPDX-License-Identifier: Apache-2.0
// recurrent: a layer of ONNX's RNN, LSTM or GRU over a sequence.
//
// For each direction: the input's products of a block of steps are computed as one matrix product into `gates`; then
// each step continues those sums with the hidden state's products and applies the cell. The block is as long as its
// gates stay in cache. Since every sum is one ascending chain from the bias over x, then over h, blocks, batches and
// single steps give the same bytes.
#include "recurrent.h"

#define BLOCK_BYTES (128 << 10)  // of gates that one block of steps may fill

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
    static const uint8_t ranks[] = {3, 3, 3, 2, 3, 3, 2, 3, 1, 3, 3};  // of the inputs, in order
    for (uint32_t i = 0; i < record->input_count; i++) {
        const trn_record_tensor *t = trn_input_record(file, record, i);
        const char *name = trn_operand_row_of(trn_op_recurrent, 0, i)->name;
        if (!t) continue;
        uint8_t dtype = i == trn_in_recurrent_sequence_lens ? trn_dtype_I32 : trn_dtype_F32;
        int packed = trn_operand_row_of(trn_op_recurrent, 0, i)->layout == trn_layout_packed;
        TRN_CHECK_REQUIRE(file, record, error,
                          t->rank == ranks[i] && t->dtype == dtype && (t->packing == trn_packing_F32_PANELS) == packed,
                          name, "found %s of rank %u, expected %s of rank %u%s", trn_dtype_name(t->dtype), t->rank,
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
    return TRN_OK;
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

// The buffers of one run, added up or handed out.
void trn_recurrent_buffers(const recurrent_plan *p, trn_scratch *scratch, recurrent_buffers *b) {
    int64_t rows = p->batch, extra = p->hidden_gate ? p->padded : 0;
    b->h = trn_scratch_take(scratch, rows * p->hidden, sizeof(float));
    b->c = trn_scratch_take(scratch, p->cell == trn_cell_LSTM ? rows * p->hidden : 0, sizeof(float));
    b->gates = trn_scratch_take(scratch, p->block * rows * p->columns, sizeof(float));
    b->hidden = trn_scratch_take(scratch, p->block * rows * extra, sizeof(float));
    b->h_gates =
        trn_scratch_take(scratch, p->cell == trn_cell_GRU && !p->hidden_gate ? rows * p->columns : 0, sizeof(float));
    b->reset_h = trn_scratch_take(scratch, p->hidden_gate ? rows * p->hidden : 0, sizeof(float));
    b->lens = trn_scratch_take(scratch, rows, sizeof(int32_t));
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
    int64_t step_floats = 0;
    TRN_OP_REQUIRE(op, error, trn_mul(p->batch, p->columns, &step_floats), "x", "the batch is too large");
    p->block = step_floats > 0 ? BLOCK_BYTES / 4 / step_floats : 1;
    if (p->block > p->steps) p->block = p->steps;
    if (p->block < 1) p->block = 1;
    trn_scratch scratch = {0};
    recurrent_buffers buffers;
    trn_recurrent_buffers(p, &scratch, &buffers);
    if (scratch.overflow) return TRN_OP_FAIL(op, error, TRN_OVERFLOW, "x", "the batch is too large");
    op->workspace_size = scratch.used;
    op->work = (double)p->steps * (double)p->batch * (double)p->directions *
               (double)(p->columns + (p->hidden_gate ? p->padded : 0)) * (double)(p->input + p->hidden);
    return TRN_OK;
}

// One direction's operands.
typedef struct direction {
    const float *input_weights, *recurrent_weights, *bias;
    const float *hidden_input_weights, *hidden_recurrent_weights, *hidden_bias, *peepholes;
    const recurrent_function *functions;
    const int32_t *lens;  // [batch], NULL: every row has all steps
    int reverse;
} direction;

static const float *matrix(const trn_op *op, uint32_t input, int64_t d, int64_t rows, int64_t columns) {
    const trn_view *v = trn_input(op, input);
    return v ? (const float *)v->data + d * rows * columns : NULL;
}

static const float *row_of(const trn_op *op, uint32_t input, int64_t d) {
    const trn_view *v = trn_input(op, input);
    return v ? (const float *)v->data + d * v->strides[0] : NULL;
}

// The input's products for m rows of x, a chain from the bias each, into gates (and hidden).
static void multiply_input(const trn_op *op, const recurrent_plan *p, const direction *d, int64_t m, const float *x,
                           int64_t x_stride, float *gates, int64_t gates_stride, float *hidden, int64_t hidden_stride) {
    size_t panel = p->gates == 1 ? 64 : 16 * (size_t)p->gates;
    op->ukernels->f32_gemm((size_t)m, (size_t)p->columns, (size_t)p->input, x, (ptrdiff_t)x_stride, d->input_weights,
                           panel, d->bias, 0, gates, (ptrdiff_t)gates_stride);
    if (p->hidden_gate)
        op->ukernels->f32_gemm((size_t)m, (size_t)p->padded, (size_t)p->input, x, (ptrdiff_t)x_stride,
                               d->hidden_input_weights, 64, d->hidden_bias, 0, hidden, (ptrdiff_t)hidden_stride);
}

// The input's products of n steps from time t on, all rows, in as few matrix products as x's strides allow.
static void multiply_block(const trn_op *op, const recurrent_plan *p, const direction *d, const recurrent_buffers *b,
                           int64_t t, int64_t n) {
    const trn_view *x = trn_input(op, trn_in_recurrent_x);
    int64_t time_stride = x->strides[0], row_stride = x->strides[1], rows = p->batch, columns = p->columns,
            padded = p->padded;
    const float *from = (const float *)x->data + t * time_stride;
    if (rows == 1 || n == 1 || time_stride == rows * row_stride) {
        multiply_input(op, p, d, n * rows, from, rows == 1 ? time_stride : row_stride, b->gates, columns, b->hidden,
                       padded);
        return;
    }
    for (int64_t r = 0; r < rows; r++)  // one row's steps at a time: their results lie `rows` apart
        multiply_input(op, p, d, n, from + r * row_stride, time_stride, b->gates + r * columns, rows * columns,
                       b->hidden + (p->hidden_gate ? r * padded : 0), rows * padded);
}

// With lengths and reverse, each row walks its own times: its products are computed where it stands.
static void multiply_rows(const trn_op *op, const recurrent_plan *p, const direction *d, const recurrent_buffers *b,
                          int64_t step) {
    const trn_view *x = trn_input(op, trn_in_recurrent_x);
    for (int64_t r = 0; r < p->batch; r++) {
        int64_t t = d->lens[r] - (int64_t)1 - step;
        if (t < 0) t = 0;  // the row has ended: its result will not be used
        multiply_input(op, p, d, 1, (const float *)x->data + t * x->strides[0] + r * x->strides[1], 0,
                       b->gates + r * p->columns, 0, b->hidden + (p->hidden_gate ? r * p->padded : 0), 0);
    }
}

// Continues the sums of all rows with the hidden state's products.
static void multiply_hidden(const trn_op *op, const recurrent_plan *p, const direction *d, const recurrent_buffers *b,
                            float *gates) {
    size_t panel = p->gates == 1 ? 64 : 16 * (size_t)p->gates, rows = (size_t)p->batch, n = (size_t)p->columns,
           h = (size_t)p->hidden;
    if (p->cell != trn_cell_GRU || p->hidden_gate) {
        op->ukernels->f32_gemm(rows, n, h, b->h, (ptrdiff_t)h, d->recurrent_weights, panel, gates, (ptrdiff_t)n, gates,
                               (ptrdiff_t)n);
        return;
    }
    // Reset after the product: z and r continue their chains, the hidden gate's recurrent part starts one of its own.
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n; j += 48) {
            memcpy(b->h_gates + r * n + j, gates + r * n + j, 32 * sizeof(float));
            memcpy(b->h_gates + r * n + j + 32, d->hidden_bias + j / 3, 16 * sizeof(float));
        }
    op->ukernels->f32_gemm(rows, n, h, b->h, (ptrdiff_t)h, d->recurrent_weights, panel, b->h_gates, (ptrdiff_t)n,
                           b->h_gates, (ptrdiff_t)n);
}

// The cell of every row that is still within its length.
static void apply_cell(const trn_op *op, const recurrent_plan *p, const direction *d, const recurrent_buffers *b,
                       float *gates, float *hidden, int64_t step) {
    const trn_ukernels *k = op->ukernels;
    size_t n = (size_t)p->hidden;
    for (int64_t r = 0; r < p->batch; r++) {
        if (d->lens && step >= d->lens[r]) continue;
        float *g = gates + r * p->columns, *h = b->h + r * p->hidden,
              *c = b->c + (p->cell == trn_cell_LSTM ? r * p->hidden : 0);
        const float *h_gates = b->h_gates + (p->cell == trn_cell_GRU && !p->hidden_gate ? r * p->columns : 0);
        if (!p->plain) trn_recurrent_cell(k, p, d->functions, d->peepholes, g, h_gates, h, c);
        else if (p->cell == trn_cell_LSTM) k->f32_lstm_cell(n, g, c, c, h);
        else if (p->cell == trn_cell_RNN) k->f32_vmap(trn_fn_TANH, n, g, 0, 0, h);
        else if (!p->hidden_gate) k->f32_gru_cell(n, g, h_gates, h, h);
        if (p->hidden_gate) {
            if (p->plain) k->f32_gru_reset(n, g, h, b->reset_h + r * p->hidden);
            else trn_recurrent_reset(k, p, d->functions, g, h, b->reset_h + r * p->hidden);
        }
    }
    if (!p->hidden_gate) return;
    k->f32_gemm((size_t)p->batch, (size_t)p->padded, n, b->reset_h, (ptrdiff_t)n, d->hidden_recurrent_weights, 64,
                hidden, (ptrdiff_t)p->padded, hidden, (ptrdiff_t)p->padded);
    for (int64_t r = 0; r < p->batch; r++) {
        if (d->lens && step >= d->lens[r]) continue;
        float *h = b->h + r * p->hidden;
        if (p->plain) k->f32_gru_update(n, gates + r * p->columns, hidden + r * p->padded, h, h);
        else trn_recurrent_update(k, p, d->functions, gates + r * p->columns, hidden + r * p->padded, h);
    }
}

// y at this step: the hidden state of rows within their length (at their own time when reversed), zeros past it.
static void write_y(const trn_op *op, const recurrent_plan *p, const direction *d, const recurrent_buffers *b,
                    int64_t direction_index, int64_t step) {
    const trn_view *y = trn_output(op, trn_out_recurrent_y);
    if (!y) return;
    for (int64_t r = 0; r < p->batch; r++) {
        int64_t length = d->lens ? d->lens[r] : p->steps;
        int64_t t = step < length && d->reverse ? length - 1 - step : step;
        float *to = (float *)y->data + t * y->strides[0] + direction_index * y->strides[1] + r * y->strides[2];
        if (step < length) memcpy(to, b->h + r * p->hidden, (size_t)p->hidden * sizeof(float));
        else memset(to, 0, (size_t)p->hidden * sizeof(float));
    }
}

// [batch, hidden] between a buffer and the part of a [directions, batch, hidden] operand, through any strides.
static void load_state(const trn_view *v, int64_t d, const recurrent_plan *p, float *to) {
    if (!v) memset(to, 0, (size_t)(p->batch * p->hidden) * sizeof(float));
    for (int64_t r = 0; v && r < p->batch; r++) {
        const float *from = (const float *)v->data + d * v->strides[0] + r * v->strides[1];
        if (v->strides[2] == 1) memcpy(to + r * p->hidden, from, (size_t)p->hidden * sizeof(float));
        else
            for (int64_t i = 0; i < p->hidden; i++) to[r * p->hidden + i] = from[i * v->strides[2]];
    }
}

static void store_state(const trn_view *v, int64_t d, const recurrent_plan *p, const float *from) {
    for (int64_t r = 0; v && r < p->batch; r++) {
        float *to = (float *)v->data + d * v->strides[0] + r * v->strides[1];
        if (v->strides[2] == 1) memcpy(to, from + r * p->hidden, (size_t)p->hidden * sizeof(float));
        else
            for (int64_t i = 0; i < p->hidden; i++) to[i * v->strides[2]] = from[r * p->hidden + i];
    }
}

static void run_direction(const trn_op *op, const recurrent_plan *p, const direction *d, const recurrent_buffers *b,
                          int64_t index) {
    load_state(trn_input(op, trn_in_recurrent_initial_h), index, p, b->h);
    if (p->cell == trn_cell_LSTM) load_state(trn_input(op, trn_in_recurrent_initial_c), index, p, b->c);
    int own_times = d->lens && d->reverse;
    int64_t block = own_times ? 1 : p->block;
    for (int64_t done = 0; done < p->steps; done += block) {
        int64_t n = p->steps - done < block ? p->steps - done : block;
        if (own_times) multiply_rows(op, p, d, b, done);
        else multiply_block(op, p, d, b, d->reverse ? p->steps - done - n : done, n);
        for (int64_t s = 0; s < n; s++) {
            int64_t at = d->reverse ? n - 1 - s : s;
            float *gates = b->gates + at * p->batch * p->columns,
                  *hidden = b->hidden + (p->hidden_gate ? at * p->batch * p->padded : 0);
            multiply_hidden(op, p, d, b, gates);
            apply_cell(op, p, d, b, gates, hidden, done + s);
            write_y(op, p, d, b, index, done + s);
        }
    }
    store_state(trn_output(op, trn_out_recurrent_y_h), index, p, b->h);
    if (p->cell == trn_cell_LSTM) store_state(trn_output(op, trn_out_recurrent_y_c), index, p, b->c);
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

static trn_status run(const trn_op *op, trn_error *error) {
    const recurrent_plan *p = op->plan;
    const trn_view *lens = trn_input(op, trn_in_recurrent_sequence_lens);
    trn_scratch scratch = {.base = op->workspace};
    recurrent_buffers buffers;
    trn_recurrent_buffers(p, &scratch, &buffers);
    if (p->batch == 0) return TRN_OK;
    if (lens) {
        trn_status status = take_lens(op, p, lens, buffers.lens, error);
        if (status != TRN_OK) return status;
    }
    for (int64_t i = 0; i < p->directions; i++) {
        direction d = {
            .input_weights = matrix(op, trn_in_recurrent_input_weights, i, p->input, p->columns),
            .recurrent_weights = matrix(op, trn_in_recurrent_recurrent_weights, i, p->hidden, p->columns),
            .bias = row_of(op, trn_in_recurrent_bias, i),
            .hidden_input_weights = matrix(op, trn_in_recurrent_hidden_input_weights, i, p->input, p->padded),
            .hidden_recurrent_weights = matrix(op, trn_in_recurrent_hidden_recurrent_weights, i, p->hidden, p->padded),
            .hidden_bias = row_of(op, trn_in_recurrent_hidden_bias, i),
            .peepholes = row_of(op, trn_in_recurrent_peepholes, i),
            .functions = p->functions + i * p->activations,
            .lens = lens ? buffers.lens : NULL,
            .reverse = p->direction == trn_direction_REVERSE || i == 1,
        };
        run_direction(op, p, &d, &buffers, i);
    }
    return TRN_OK;
}

const trn_op_class trn_op_class_recurrent = {check, sizeof(recurrent_plan), NULL, prepare, run};
