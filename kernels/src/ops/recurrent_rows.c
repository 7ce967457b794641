// SPDX-License-Identifier: Apache-2.0
// A direction of a recurrent layer over a batch of rows, or with anything that the kernels for one row do not know:
// lengths, other activations, clip, peepholes.
#include "recurrent.h"

// The input's products for m rows of x, a chain from the bias each, into gates (and hidden).
void trn_recurrent_multiply_input(const trn_op *op, const recurrent_plan *p, const recurrent_direction *d, int64_t m,
                                  const float *x, int64_t x_stride, float *gates, int64_t gates_stride, float *hidden,
                                  int64_t hidden_stride) {
    trn_multiply(op->ukernels, &p->by_input, d->input_weights, d->ranges, m, x, x_stride, d->bias, 0, gates,
                 gates_stride);
    if (p->hidden_gate)
        trn_multiply(op->ukernels, &p->by_hidden_input, d->hidden_input_weights, d->ranges, m, x, x_stride,
                     d->hidden_bias, 0, hidden, hidden_stride);
}

// The input's products of n steps from time t on, all rows, in as few matrix products as x's strides allow.
static void multiply_block(const trn_op *op, const recurrent_plan *p, const recurrent_direction *d,
                           const recurrent_buffers *b, int64_t t, int64_t n) {
    const trn_view *x = trn_input(op, trn_in_recurrent_x);
    int64_t time_stride = x->strides[0], row_stride = x->strides[1], rows = p->batch, columns = p->columns,
            padded = p->padded;
    const float *from = (const float *)x->data + t * time_stride;
    if (rows == 1 || n == 1 || time_stride == rows * row_stride) {
        trn_recurrent_multiply_input(op, p, d, n * rows, from, rows == 1 ? time_stride : row_stride, b->gates, columns,
                                     b->hidden, padded);
        return;
    }
    for (int64_t r = 0; r < rows; r++)  // one row's steps at a time: their results lie `rows` apart
        trn_recurrent_multiply_input(op, p, d, n, from + r * row_stride, time_stride, b->gates + r * columns,
                                     rows * columns, b->hidden + (p->hidden_gate ? r * padded : 0), rows * padded);
}

// With lengths and reverse, each row walks its own times: its products are computed where it stands.
static void multiply_rows(const trn_op *op, const recurrent_plan *p, const recurrent_direction *d,
                          const recurrent_buffers *b, int64_t step) {
    const trn_view *x = trn_input(op, trn_in_recurrent_x);
    for (int64_t r = 0; r < p->batch; r++) {
        int64_t t = d->lens[r] - (int64_t)1 - step;
        if (t < 0) t = 0;  // the row has ended: its result will not be used
        trn_recurrent_multiply_input(op, p, d, 1, (const float *)x->data + t * x->strides[0] + r * x->strides[1], 0,
                                     b->gates + r * p->columns, 0, b->hidden + (p->hidden_gate ? r * p->padded : 0), 0);
    }
}

// Continues the sums of all rows with the hidden state's products.
static void multiply_hidden(const trn_op *op, const recurrent_plan *p, const recurrent_direction *d,
                            const recurrent_buffers *b, float *gates) {
    const int64_t rows = p->batch, n = p->columns;
    const float *range = d->ranges ? d->ranges + 1 : NULL;
    if (p->cell != trn_cell_GRU || p->hidden_gate) {
        trn_multiply(op->ukernels, &p->by_recurrent, d->recurrent_weights, range, rows, b->h, p->hidden, gates, n,
                     gates, n);
        return;
    }
    // Reset after the product: z and r continue their chains, the hidden gate's recurrent part starts one of its own.
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < n; j += 48) {
            memcpy(b->h_gates + r * n + j, gates + r * n + j, 32 * sizeof(float));
            memcpy(b->h_gates + r * n + j + 32, d->hidden_bias + j / 3, 16 * sizeof(float));
        }
    trn_multiply(op->ukernels, &p->by_recurrent, d->recurrent_weights, range, rows, b->h, p->hidden, b->h_gates, n,
                 b->h_gates, n);
}

// The cell of every row that is still within its length.
static void apply_cell(const trn_op *op, const recurrent_plan *p, const recurrent_direction *d,
                       const recurrent_buffers *b, float *gates, float *hidden, int64_t step) {
    const trn_ukernels *k = op->ukernels;
    size_t n = (size_t)p->hidden;
    for (int64_t r = 0; r < p->batch; r++) {
        if (d->lens && step >= d->lens[r]) continue;
        float *g = gates + r * p->columns, *h = b->h + r * p->hidden,
              *c = b->c + (p->cell == trn_cell_LSTM ? r * p->hidden : 0);
        const float *h_gates = b->h_gates + (p->cell == trn_cell_GRU && !p->hidden_gate ? r * p->columns : 0);
        if (!p->plain) trn_recurrent_cell(k, p, d->functions, d->peepholes, g, h_gates, h, c);
        else if (p->cell == trn_cell_LSTM) p->kernels.lstm(n, g, c, c, h);
        else if (p->cell == trn_cell_RNN) p->kernels.rnn(n, g, h);
        else if (!p->hidden_gate) p->kernels.gru(n, g, h_gates, h, h);
        if (p->hidden_gate) {
            if (p->plain) p->kernels.reset(n, g, h, b->reset_h + r * p->hidden);
            else trn_recurrent_reset(k, p, d->functions, g, h, b->reset_h + r * p->hidden);
        }
    }
    if (!p->hidden_gate) return;
    trn_multiply(k, &p->by_hidden_recurrent, d->hidden_recurrent_weights, d->ranges ? d->ranges + 2 : NULL, p->batch,
                 b->reset_h, p->hidden, hidden, p->padded, hidden, p->padded);
    for (int64_t r = 0; r < p->batch; r++) {
        if (d->lens && step >= d->lens[r]) continue;
        float *h = b->h + r * p->hidden;
        if (p->plain) p->kernels.update(n, gates + r * p->columns, hidden + r * p->padded, h, h);
        else trn_recurrent_update(k, p, d->functions, gates + r * p->columns, hidden + r * p->padded, h);
    }
}

// y at this step: the hidden state of rows within their length (at their own time when reversed), zeros past it.
static void write_y(const trn_op *op, const recurrent_plan *p, const recurrent_direction *d, const recurrent_buffers *b,
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
        trn_copy_words(p->hidden, to + r * p->hidden, 1, from, v->strides[2]);
    }
}

static void store_state(const trn_view *v, int64_t d, const recurrent_plan *p, const float *from) {
    for (int64_t r = 0; v && r < p->batch; r++) {
        float *to = (float *)v->data + d * v->strides[0] + r * v->strides[1];
        trn_copy_words(p->hidden, to, v->strides[2], from + r * p->hidden, 1);
    }
}

void trn_recurrent_run_rows(const trn_op *op, const recurrent_plan *p, const recurrent_direction *d) {
    const recurrent_buffers *b = &p->buffers;
    int64_t index = d->index;
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
