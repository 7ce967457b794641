// SPDX-License-Identifier: Apache-2.0
// reduce: folds the last axes of x into one value: sums, means, products, extremes and their places.
//
// The folded elements of a result are taken in row-major order, whatever their strides; a row that is not contiguous is
// gathered first, so that the order of a float sum (eight interleaved lanes, one tree) never depends on the layout.
#include "strided.h"

typedef struct reduce_plan {
    trn_nest outer;  // operands y, x
    int64_t outer_strides[TRN_MAX_RANK * 2];
    trn_copy_plan row;  // the folded axes of x, to contiguous memory
    int64_t n;
    uint32_t kind;
    int contiguous;
} reduce_plan;

static int is_place(int64_t kind) { return kind >= trn_reduction_ARG_MAX && kind <= trn_reduction_ARG_MIN_LAST; }

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_reduce_x);
    const trn_record_tensor *y = trn_output_record(file, record, trn_out_reduce_y);
    int64_t kind = trn_integer(file, record, trn_at_reduce_kind), axes = trn_integer(file, record, trn_at_reduce_axes);
    TRN_CHECK_REQUIRE(file, record, error, kind >= 0 && kind <= trn_reduction_ARG_MIN_LAST, "kind", "found %lld",
                      (long long)kind);
    TRN_CHECK_REQUIRE(file, record, error, axes >= 0 && axes <= x->rank && y->rank == x->rank - axes, "axes",
                      "found %lld, x has rank %u and y %u", (long long)axes, x->rank, y->rank);
    TRN_CHECK_REQUIRE(file, record, error, x->dtype != trn_dtype_F16 && x->dtype != trn_dtype_F64, "x",
                      "found %s, expected float32 or an integer type", trn_dtype_name(x->dtype));
    TRN_CHECK_REQUIRE(file, record, error, y->dtype == (is_place(kind) ? trn_dtype_I64 : x->dtype), "y", "found %s",
                      trn_dtype_name(y->dtype));
    return TRN_OK;
}

static trn_status prepare(trn_op *op, trn_error *error) {
    reduce_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_reduce_x), *y = trn_output(op, trn_out_reduce_y);
    uint32_t lead = y->rank;
    p->kind = (uint32_t)trn_integer(op->file, op->record, trn_at_reduce_kind);
    trn_status status = trn_same_dims(op, "y", y, x, lead, error);
    if (status != TRN_OK) return status;
    const int64_t *strides[2] = {y->strides, x->strides};
    trn_nest_merge(&p->outer, lead, y->dims, 2, strides, p->outer_strides);
    trn_view from = {.dtype = x->dtype}, to = {.dtype = x->dtype};
    from.rank = to.rank = (uint8_t)(x->rank - lead);
    p->n = 1;
    for (uint32_t k = from.rank; k-- > 0;) {
        from.dims[k] = to.dims[k] = x->dims[lead + k];
        from.strides[k] = x->strides[lead + k];
        to.strides[k] = p->n;
        p->n *= x->dims[lead + k];
    }
    TRN_OP_REQUIRE(op, error, p->n > 0 || !is_place(p->kind) || p->outer.count == 0, "x",
                   "there is no place of an extreme among no elements");
    trn_copy_prepare(&p->row, &to, &from);
    p->contiguous = p->row.nest.rank == 1 && (p->row.strides[1] == 1 || p->row.nest.dims[0] <= 1);
    int64_t bytes;
    TRN_OP_REQUIRE(op, error, trn_mul(p->n, 8, &bytes), "x", "it is too large");
    op->workspace_size = p->contiguous ? 0 : (size_t)bytes;
    op->work = (double)p->outer.count * (double)p->n;
    return TRN_OK;
}

static int64_t load_integer(uint8_t dtype, const void *row, int64_t i) {
    switch (dtype) {
    case trn_dtype_I64:
        return ((const int64_t *)row)[i];
    case trn_dtype_I32:
        return ((const int32_t *)row)[i];
    case trn_dtype_I8:
        return ((const int8_t *)row)[i];
    default:
        return ((const uint8_t *)row)[i];
    }
}

static void store_integer(uint8_t dtype, void *y, int64_t i, int64_t value) {
    switch (dtype) {
    case trn_dtype_I64:
        ((int64_t *)y)[i] = value;
        break;
    case trn_dtype_I32:
        ((int32_t *)y)[i] = (int32_t)(uint32_t)(uint64_t)value;
        break;
    case trn_dtype_BOOL:
        ((uint8_t *)y)[i] = value != 0;
        break;
    default:
        ((uint8_t *)y)[i] = (uint8_t)(uint64_t)value;
    }
}

// The first or last place of the largest (smallest) element; a NaN counts as larger (smaller) than any number.
static int64_t place_of(uint8_t dtype, const void *row, int64_t n, uint32_t kind) {
    int largest = kind == trn_reduction_ARG_MAX || kind == trn_reduction_ARG_MAX_LAST;
    int last = kind == trn_reduction_ARG_MAX_LAST || kind == trn_reduction_ARG_MIN_LAST;
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++) {
        int better, equal;
        if (dtype == trn_dtype_F32) {
            float a = ((const float *)row)[i], b = ((const float *)row)[best];
            better = b == b && (a != a || (largest ? a > b : a < b));
            equal = a == b || (a != a && b != b);
        } else {
            int64_t a = load_integer(dtype, row, i), b = load_integer(dtype, row, best);
            better = largest ? a > b : a < b;
            equal = a == b;
        }
        if (better || (last && equal)) best = i;
    }
    return best;
}

static int64_t smallest_of(uint8_t dtype) {
    if (dtype == trn_dtype_U8 || dtype == trn_dtype_BOOL) return 0;
    return dtype == trn_dtype_I64 ? INT64_MIN : dtype == trn_dtype_I32 ? INT32_MIN : INT8_MIN;
}

static int64_t largest_of(uint8_t dtype) {
    if (dtype == trn_dtype_U8 || dtype == trn_dtype_BOOL) return dtype == trn_dtype_U8 ? UINT8_MAX : 1;
    return -1 - smallest_of(dtype);
}

static int64_t fold_integers(uint8_t dtype, const void *row, int64_t n, uint32_t kind) {
    uint64_t sum = kind == trn_reduction_PROD ? 1 : 0;
    int64_t extreme = kind == trn_reduction_MAX ? smallest_of(dtype) : largest_of(dtype);
    for (int64_t i = 0; i < n; i++) {
        int64_t v = load_integer(dtype, row, i);
        if (kind == trn_reduction_PROD) sum *= (uint64_t)v;
        else sum += (uint64_t)v;
        if (kind == trn_reduction_MAX ? v > extreme : v < extreme) extreme = v;
    }
    if (kind == trn_reduction_MAX || kind == trn_reduction_MIN) return extreme;
    return kind == trn_reduction_MEAN ? (n ? (int64_t)sum / n : 0) : (int64_t)sum;
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const reduce_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_reduce_x), *y = trn_output(op, trn_out_reduce_y);
    int64_t index[TRN_MAX_RANK] = {0}, offsets[2] = {0, 0}, size = (int64_t)trn_dtype_size(x->dtype);
    if (p->outer.count == 0) return TRN_OK;
    do {
        const void *row = (const char *)x->data + offsets[1] * size;
        if (!p->contiguous) {
            trn_copy_run(&p->row, op->workspace, row);
            row = op->workspace;
        }
        if (is_place(p->kind)) ((int64_t *)y->data)[offsets[0]] = place_of(x->dtype, row, p->n, p->kind);
        else if (x->dtype == trn_dtype_F32)
            op->ukernels->f32_reduce(p->kind, (size_t)p->n, row, (float *)y->data + offsets[0]);
        else store_integer(y->dtype, y->data, offsets[0], fold_integers(x->dtype, row, p->n, p->kind));
    } while (trn_nest_next(&p->outer, p->outer_strides, 0, index, offsets));
    return TRN_OK;
}

const trn_op_class trn_op_class_reduce = {
    .check = check, .plan_size = sizeof(reduce_plan), .prepare = prepare, .run = run};
