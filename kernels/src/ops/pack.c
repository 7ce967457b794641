// SPDX-License-Identifier: Apache-2.0
// pack: weights that arrive at run time, arranged as `recurrent` and `dense` want them.
#include "../ops.h"

typedef struct pack_plan {
    int64_t matrices;  // leading axes, multiplied
    int64_t gates, units, k, columns;
    int64_t panel;  // 0: y is not packed, one row
} pack_plan;

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *x = trn_input_record(file, record, trn_in_pack_x),
                            *y = trn_output_record(file, record, trn_out_pack_y);
    const trn_record_tensor *addend = trn_input_record(file, record, trn_in_pack_addend);
    TRN_CHECK_REQUIRE(file, record, error, x->dtype == trn_dtype_F32 && y->dtype == trn_dtype_F32 && x->rank >= 3, "x",
                      "expected float32 of rank 3 or more");
    TRN_CHECK_REQUIRE(file, record, error, y->rank == x->rank - (y->packing == trn_packing_NONE ? 2 : 1), "y",
                      "rank %u does not fit x's, %u", y->rank, x->rank);
    TRN_CHECK_REQUIRE(file, record, error, y->storage == trn_storage_ARENA, "y",
                      "it must be an intermediate tensor of its own");
    TRN_CHECK_REQUIRE(file, record, error, !addend || (addend->dtype == x->dtype && addend->rank == x->rank), "addend",
                      "it differs from x in dtype or rank");
    return TRN_OK;
}

static trn_status prepare(trn_op *op, trn_error *error) {
    pack_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_pack_x), *y = trn_output(op, trn_out_pack_y),
                   *addend = trn_input(op, trn_in_pack_addend);
    uint32_t lead = x->rank - 3u;
    p->gates = x->dims[lead];
    p->units = x->dims[lead + 1];
    p->k = x->dims[lead + 2];
    p->panel = y->panel_width;
    p->matrices = 1;
    for (uint32_t k = 0; k < lead; k++) p->matrices *= x->dims[k];
    trn_status status = trn_same_dims(op, "y", y, x, lead, error);
    if (status == TRN_OK && addend) status = trn_same_dims(op, "addend", addend, x, x->rank, error);
    if (status != TRN_OK) return status;
    TRN_OP_REQUIRE(op, error, trn_mul(trn_round16(p->units), p->gates, &p->columns), "x", "it is too large");
    TRN_OP_REQUIRE(op, error, y->dims[y->rank - 1] == p->columns, "y", "found %lld columns, expected %lld",
                   (long long)y->dims[y->rank - 1], (long long)p->columns);
    if (p->panel) {
        TRN_OP_REQUIRE(op, error, y->dims[y->rank - 2] == p->k, "y", "found %lld rows, expected %lld",
                       (long long)y->dims[y->rank - 2], (long long)p->k);
        TRN_OP_REQUIRE(op, error, p->gates <= 4 && (p->gates == 1 || p->panel == 16 * p->gates), "y",
                       "panels of %lld columns do not fit %lld gates", (long long)p->panel, (long long)p->gates);
    } else {
        TRN_OP_REQUIRE(op, error, p->k == 1, "x", "found %lld rows, an unpacked result has 1", (long long)p->k);
    }
    op->work = (double)p->matrices * (double)p->columns * (double)p->k;
    return TRN_OK;
}

// One matrix: x [gates, units, k] through its strides, y in panels (or the one row that it is).
static void pack_matrix(const pack_plan *p, const float *x, const int64_t *xs, const float *addend, const int64_t *as,
                        float *y) {
    int64_t panel = p->panel ? p->panel : p->columns;
    for (int64_t g = 0; g < p->gates; g++)
        for (int64_t u = 0; u < p->units; u++) {
            int64_t column = u / 16 * 16 * p->gates + g * 16 + u % 16;
            int64_t first = column / panel * panel;
            int64_t width = p->columns - first < panel ? p->columns - first : panel;
            float *to = y + first * p->k + column % panel;
            for (int64_t k = 0; k < p->k; k++) {
                float value = x[g * xs[0] + u * xs[1] + k * xs[2]];
                if (addend) value += addend[g * as[0] + u * as[1] + k * as[2]];
                to[k * width] = value;
            }
        }
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const pack_plan *p = op->plan;
    const trn_view *x = trn_input(op, trn_in_pack_x), *addend = trn_input(op, trn_in_pack_addend);
    float *y = trn_output(op, trn_out_pack_y)->data;
    uint32_t lead = x->rank - 3u;
    memset(y, 0, (size_t)(p->matrices * p->columns * p->k) * sizeof(float));
    for (int64_t m = 0; m < p->matrices; m++) {
        int64_t x_offset = 0, a_offset = 0, rest = m;
        for (uint32_t k = lead; k-- > 0; rest /= x->dims[k]) {
            x_offset += rest % x->dims[k] * x->strides[k];
            if (addend) a_offset += rest % x->dims[k] * addend->strides[k];
        }
        pack_matrix(p, (const float *)x->data + x_offset, x->strides + lead,
                    addend ? (const float *)addend->data + a_offset : NULL, addend ? addend->strides + lead : NULL,
                    y + m * p->columns * p->k);
    }
    return TRN_OK;
}

const trn_op_class trn_op_class_pack = {.check = check, .plan_size = sizeof(pack_plan), .prepare = prepare, .run = run};
