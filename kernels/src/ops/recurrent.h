// SPDX-License-Identifier: Apache-2.0
// What recurrent.c and recurrent_cell.c share: the plan, the buffers, and the cells with any activations.
#ifndef TRN_RECURRENT_H
#define TRN_RECURRENT_H

#include <math.h>

#include "product.h"
#include "strided.h"

typedef struct recurrent_function {
    uint32_t function;
    float alpha, beta;
} recurrent_function;

// Workspace of a run.
typedef struct recurrent_buffers {
    float *h;        // [batch, hidden] the hidden state
    float *c;        // [batch, hidden] LSTM's cell state
    float *gates;    // [block, batch, columns] sums, in panel order
    float *hidden;   // [block, batch, padded] the hidden gate's sums, where it stands apart
    float *h_gates;  // [batch, columns] GRU that resets after: sums of the recurrent part
    float *reset_h;  // [batch, hidden] GRU that resets before: r * h
    float *steps;    // scratch memory of the kernels for one row
    int8_t *codes;   // int8: likewise
    int32_t *lens;   // [batch] steps of each row
} recurrent_buffers;

// One direction's operands.
typedef struct recurrent_direction {
    const void *input_weights, *recurrent_weights, *hidden_input_weights, *hidden_recurrent_weights;
    const float *bias, *hidden_bias, *peepholes;
    const float *ranges;  // of x, h and r * h, or NULL
    const recurrent_function *functions;
    const int32_t *lens;  // [batch], NULL: every row has all steps
    int reverse;
    int64_t index;
    trn_steps steps;  // of one row: all but the addresses that change from run to run
} recurrent_direction;

// The operands that are not weights; NULL where absent.
typedef struct recurrent_flow {
    const trn_view *x, *initial[2], *y, *last[2];  // initial, last: of h and c
} recurrent_flow;

// The kernels of the plain cell, of the precision of the weights.
typedef struct recurrent_kernels {
    void (*steps)(const trn_steps *steps);
    void (*rnn)(size_t n, const float *gates, float *h);
    void (*lstm)(size_t n, const float *gates, const float *c, float *c_out, float *h);
    void (*gru)(size_t n, const float *x_gates, const float *h_gates, const float *h, float *h_out);
    void (*reset)(size_t n, float *gates, const float *h, float *reset_h);
    void (*update)(size_t n, const float *gates, const float *hidden, const float *h, float *h_out);
} recurrent_kernels;

typedef struct recurrent_plan {
    uint32_t cell, direction;
    int hidden_gate;  // a GRU that resets before its product: the hidden gate stands apart
    int input_forget;
    int plain;  // default activations, no clip, no peepholes
    float clip;
    int64_t directions, steps, batch, input, hidden;
    int64_t gates;            // in the panels
    int64_t padded;           // hidden, rounded up to 16
    int64_t columns;          // gates * padded
    int64_t block;            // steps whose input products are computed at once
    int64_t activations;      // a direction
    int64_t peephole_stride;  // between those of i, o and f
    recurrent_function functions[6];
    int inputs_apart;  // of one row: the products of x are computed a block of steps at a time, before the steps
    int far;           // as of trn_steps
    int fixed;         // no operand in `each` comes through a port
    int one_row;       // a row of a plain cell without lengths: what the kernels for steps know
    int still;         // of one row: each state is advanced where it lies, at the same address in every run
    trn_status (*run)(const trn_op *op, trn_error *error);
    recurrent_flow flow;
    recurrent_direction each[2];
    recurrent_buffers buffers;
    recurrent_kernels kernels;
    // By the four matrices; of several rows, or steps, at once.
    trn_product by_input, by_recurrent, by_hidden_input, by_hidden_recurrent;
} recurrent_plan;

// The input's products for m rows of x, a chain from the bias each, into gates (and hidden).
void trn_recurrent_multiply_input(const trn_op *op, const recurrent_plan *p, const recurrent_direction *d, int64_t m,
                                  const float *x, int64_t x_stride, float *gates, int64_t gates_stride, float *hidden,
                                  int64_t hidden_stride);
// All steps of all rows, whatever the cell.
void trn_recurrent_run_rows(const trn_op *op, const recurrent_plan *p, const recurrent_direction *d);

// The cells with any activations, clip, peepholes and input_forget, one row. functions: of the direction. They do in
// several passes over 16 units what the kernels f32_lstm_cell, f32_gru_cell, f32_gru_reset and f32_gru_update do in
// one, in the same order of operations.
//   gates: [columns], overwritten. h_gates: [columns]. h, c: [hidden], updated. peepholes: [3, padded], rows
//   peephole_stride apart, or NULL.
void trn_recurrent_cell(const trn_ukernels *kernels, const recurrent_plan *p, const recurrent_function *functions,
                        const float *peepholes, float *gates, const float *h_gates, float *h, float *c);
void trn_recurrent_reset(const trn_ukernels *kernels, const recurrent_plan *p, const recurrent_function *functions,
                         float *gates, const float *h, float *reset_h);
void trn_recurrent_update(const trn_ukernels *kernels, const recurrent_plan *p, const recurrent_function *functions,
                          const float *gates, float *hidden, float *h);

#endif
