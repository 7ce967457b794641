// SPDX-License-Identifier: Apache-2.0
// dense: y = activation(x W + bias), over leading axes broadcast as ONNX's MatMul does.
#include "product.h"
#include "strided.h"

enum { OF_Y, OF_X, OF_W, OPERANDS };

typedef struct dense_plan {
    trn_nest nest;  // leading axes; its last axis is folded into m where rows nest and share the weights
    int64_t strides[TRN_MAX_RANK * OPERANDS];
    int64_t m, n, k;
    int64_t x_stride, y_stride;  // between rows
    trn_product product;
    uint32_t function;
    float alpha, beta;
} dense_plan;

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_dense_x),
                            *w = trn_input_record(file, record, trn_in_dense_weights);
    const trn_record_tensor *bias = trn_input_record(file, record, trn_in_dense_bias),
                            *y = trn_output_record(file, record, trn_out_dense_y);
    TRN_CHECK_REQUIRE(file, record, error, w->packing != trn_packing_NONE, "weights", "they must be packed in panels");
    TRN_CHECK_REQUIRE(file, record, error,
                      x->dtype == trn_dtype_F32 && y->dtype == trn_dtype_F32 && x->rank >= 2 && x->rank <= y->rank &&
                          w->rank <= y->rank,
                      "x", "x and y must be float32 of rank 2 or more, y of the highest rank");
    TRN_CHECK_REQUIRE(file, record, error, !bias || (bias->dtype == trn_dtype_F32 && bias->rank == 1), "bias",
                      "expected float32 of rank 1");
    int64_t function = trn_integer(file, record, trn_at_dense_function);
    TRN_CHECK_REQUIRE(file, record, error, trn_is_activation(function), "function",
                      "found %lld, expected a function of one float", (long long)function);
    return trn_check_packed(file, record, trn_in_dense_range, 1, error);
}

// Strides of an operand along the leading axes of y, right-aligned; 0 where it has size 1 or no such axis.
static trn_status leading_strides(const trn_op *op, const trn_view *y, const trn_view *v, const char *name,
                                  int64_t *strides, trn_error *error) {
    uint32_t lead = y->rank - 2u, missing = y->rank - (uint32_t)v->rank;
    for (uint32_t k = 0; k < lead; k++) {
        strides[k] = 0;
        if (k < missing) continue;
        int64_t size = v->dims[k - missing];
        TRN_OP_REQUIRE(op, error, size == y->dims[k] || size == 1, name, "dimension %u is %lld, of y %lld", k - missing,
                       (long long)size, (long long)y->dims[k]);
        if (size > 1) strides[k] = v->strides[k - missing];
    }
    return TRN_OK;
}

static trn_status prepare(trn_op *op, trn_error *error) {
    dense_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_dense_x), *w = trn_input(op, trn_in_dense_weights),
                   *bias = trn_input(op, trn_in_dense_bias);
    const trn_view *y = trn_output(op, trn_out_dense_y);
    p->m = y->dims[y->rank - 2];
    p->n = y->dims[y->rank - 1];
    p->k = x->dims[x->rank - 1];
    TRN_OP_REQUIRE(op, error, x->dims[x->rank - 2] == p->m, "x", "found %lld rows, y has %lld",
                   (long long)x->dims[x->rank - 2], (long long)p->m);
    TRN_OP_REQUIRE(op, error, w->dims[w->rank - 2] == p->k, "weights", "found %lld rows, x has %lld columns",
                   (long long)w->dims[w->rank - 2], (long long)p->k);
    TRN_OP_REQUIRE(op, error, w->dims[w->rank - 1] == trn_round16(p->n), "weights",
                   "found %lld columns, %lld need %lld", (long long)w->dims[w->rank - 1], (long long)p->n,
                   (long long)trn_round16(p->n));
    TRN_OP_REQUIRE(op, error, !bias || bias->dims[0] == p->n, "bias", "found %lld, expected %lld",
                   bias ? (long long)bias->dims[0] : 0, (long long)p->n);
    const trn_view *range = trn_input(op, trn_in_dense_range);
    TRN_OP_REQUIRE(op, error, !range || range->dims[0] == 1, "range", "found %lld numbers, expected 1",
                   range ? (long long)range->dims[0] : 0);
    int64_t ys[TRN_MAX_RANK], xs[TRN_MAX_RANK], ws[TRN_MAX_RANK];
    trn_status status = leading_strides(op, y, y, "y", ys, error);
    if (status == TRN_OK) status = leading_strides(op, y, x, "x", xs, error);
    if (status == TRN_OK) status = leading_strides(op, y, w, "weights", ws, error);
    if (status != TRN_OK) return status;
    const int64_t *rows[OPERANDS] = {ys, xs, ws};
    trn_nest_merge(&p->nest, y->rank - 2u, y->dims, OPERANDS, rows, p->strides);
    p->x_stride = x->strides[x->rank - 2];
    p->y_stride = y->strides[y->rank - 2];
    // With one matrix for all, leading rows that nest are just more rows.
    int64_t *last = p->strides + (size_t)(p->nest.rank - 1) * OPERANDS, inner = p->nest.dims[p->nest.rank - 1];
    if (inner > 1 && last[OF_W] == 0 && p->m > 0 &&
        (p->m == 1 || (last[OF_X] == p->m * p->x_stride && last[OF_Y] == p->m * p->y_stride))) {
        if (p->m == 1) p->x_stride = last[OF_X], p->y_stride = last[OF_Y];
        p->m *= inner;
        p->nest.dims[p->nest.rank - 1] = 1;
    }
    p->function = (uint32_t)trn_integer(op->file, op->record, trn_at_dense_function);
    p->alpha = trn_float(op->file, op->record, trn_at_dense_alpha);
    p->beta = trn_float(op->file, op->record, trn_at_dense_beta);
    trn_scratch scratch = {0};
    p->product = trn_product_take(w, p->n, p->k, p->m, 0, &scratch);
    if (scratch.overflow) return TRN_OP_FAIL(op, error, TRN_OVERFLOW, "x", "it is too large");
    op->workspace_size = scratch.used;
    op->work = (double)p->nest.count * (double)(y->dims[y->rank - 2]) * (double)p->n * (double)p->k * trn_weight_work(w);
    return TRN_OK;
}

static void place(trn_op *op) {
    dense_plan *p = op->plan;
    const trn_view *w = trn_input(op, trn_in_dense_weights);
    trn_scratch scratch = {.base = op->workspace};
    p->product = trn_product_take(w, p->n, p->k, p->m, 0, &scratch);
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const dense_plan *p = op->plan;
    const trn_view *bias = trn_input(op, trn_in_dense_bias), *range = trn_input(op, trn_in_dense_range);
    float *y = trn_output(op, trn_out_dense_y)->data;
    const float *x = trn_input(op, trn_in_dense_x)->data, *w = trn_input(op, trn_in_dense_weights)->data;
    int64_t index[TRN_MAX_RANK] = {0}, offsets[OPERANDS] = {0};
    if (p->nest.count == 0 || p->m == 0 || p->n == 0) return TRN_OK;
    do {
        float *to = y + offsets[OF_Y];
        trn_multiply(op->ukernels, &p->product, w + offsets[OF_W], range ? range->data : NULL, p->m, x + offsets[OF_X],
                     p->x_stride, bias ? bias->data : NULL, 0, to, p->y_stride);
        if (p->function == trn_fn_IDENTITY) continue;
        for (int64_t i = 0; i < p->m; i++, to += p->y_stride)
            op->ukernels->f32_vmap(p->function, (size_t)p->n, to, p->alpha, p->beta, to);
    } while (trn_nest_next(&p->nest, p->strides, 0, index, offsets));
    return TRN_OK;
}

const trn_op_class trn_op_class_dense = {
    .check = check, .plan_size = sizeof(dense_plan), .prepare = prepare, .run = run, .place = place};
