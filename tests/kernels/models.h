// SPDX-License-Identifier: Apache-2.0
// Small models whose answers are known, for tests that are given no file.
#ifndef TRN_TEST_MODELS_H
#define TRN_TEST_MODELS_H

#include "build.h"

enum { BATCH_FIRST = 1, EXPLICIT = 2, SQUASHED = 4 };

// Running sums: x [time, batch, 2] -> y likewise and the last row [1, batch, 2], as a recurrent layer with the identity
// for both matrices. BATCH_FIRST: x and y are [batch, time, 2]. EXPLICIT: the state is an input and `last` shows it.
// SQUASHED: by tanh, as ONNX's default cell does.
static inline void running_sums(builder *b, int kind) {
    static const float identity[2 * 16] = {1, [17] = 1}, zeros[16] = {0};
    *b = start();
    int64_t time = symbol(b, "time", trn_role_TIME), batch = symbol(b, "batch", trn_role_BATCH);
    trn_record_term of_batch[] = {{trn_term_SYMBOL, 1, 0}, {trn_term_CONSTANT, 0, 2}, {trn_term_MUL, 0, 0}};
    trn_record_term of_time[] = {{trn_term_SYMBOL, 0, 0}, {trn_term_CONSTANT, 0, 2}, {trn_term_MUL, 0, 0}};
    int first = (kind & BATCH_FIRST) != 0;
    int64_t outer = first ? batch : time, inner = first ? time : batch;
    int64_t t_stride = first ? 2 : expression(b, of_batch, 3), b_stride = first ? expression(b, of_time, 3) : 2;
    uint32_t x = tensor(b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(outer, inner, 2)),
             y = tensor(b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(outer, inner, 2)),
             last = tensor(b, "last", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, batch, 2)),
             s = tensor(b, "sum", trn_dtype_F32, trn_storage_STATE, DIMS(1, batch, 2)),
             w = constant(b, trn_dtype_F32, 64, DIMS(1, 2, 16), identity),
             bias = constant(b, trn_dtype_F32, 0, DIMS(1, 16), zeros), none = TRN_NONE,
             x_rows = view(b, x, DIMS(time, batch, 2), DIMS(0, t_stride, b_stride, 1)),
             y_rows = view(b, y, DIMS(time, 1, batch, 2), DIMS(0, t_stride, 2, b_stride, 1));
    operator_of(b, trn_op_recurrent, LIST(x_rows, w, w, bias, none, none, none, none, none, s), LIST(y_rows, last),
                DIMS(trn_cell_RNN, 2, 0, 0, 0, bits(1e300), kind & SQUASHED ? trn_fn_TANH : trn_fn_IDENTITY, 0, 0));
    input(b, x, first, !first), output(b, y, first, !first);
    uint32_t of_state = kind & EXPLICIT ? 0 : TRN_NONE;
    if (kind & EXPLICIT) ADD(b, inputs, s, 0, -1, 1, 0);
    ADD(b, outputs, last, of_state, -1, 1, 0);
    ADD(b, ties, s, last);
    ADD(b, states, s, TRN_NONE, 1, 0, 1, kind & EXPLICIT ? 1 : TRN_NONE);
    finish(b);
}

// A model without time: y = x + s, s = y, [3].
static inline void frame_sums(builder *b) {
    *b = start();
    uint32_t x = tensor(b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(3)),
             y = tensor(b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(3)),
             s = tensor(b, "s", trn_dtype_F32, trn_storage_STATE, DIMS(3));
    operator_of(b, trn_op_elementwise, LIST(x, s), LIST(y), DIMS(trn_fn_ADD, 0, 1, 0, 0, 0));
    input(b, x, -1, -1), output(b, y, -1, -1);
    state(b, s, TRN_NONE, -1, y);
    finish(b);
}

// Rows of a table: x [time] int64 -> y [time, 2].
static inline void embedding(builder *b) {
    *b = start();
    int64_t time = symbol(b, "time", trn_role_TIME);
    const float table[6] = {0, 1, 2, 3, 4, 5};
    uint32_t x = tensor(b, "x", trn_dtype_I64, trn_storage_INPUT, DIMS(time)),
             y = tensor(b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(time, 2)),
             rows = constant(b, trn_dtype_F32, 0, DIMS(3, 2), table);
    operator_of(b, trn_op_gather, LIST(rows, x), LIST(y), DIMS(0));
    input(b, x, 0, -1), output(b, y, 0, -1);
    finish(b);
}

#endif
