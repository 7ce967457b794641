// SPDX-License-Identifier: Apache-2.0
// What the operators that are told by data where to read or write share.
#include "indexed.h"

trn_status trn_check_indices(const trn_file *file, const trn_record_operator *record, const trn_record_tensor *indices,
                             trn_error *error) {
    TRN_CHECK_REQUIRE(file, record, error, indices->dtype == trn_dtype_I64 || indices->dtype == trn_dtype_I32,
                      "indices", "found %s, expected int64 or int32", trn_dtype_name(indices->dtype));
    return TRN_OK;
}

int trn_indices_may_fail(const trn_file *file, const trn_record_operator *record) {
    (void)file, (void)record;
    return 1;
}

trn_status trn_other_strides(const trn_op *op, const trn_view *indices, const trn_view *indexed, uint32_t axis,
                             int64_t *strides, trn_error *error) {
    for (uint32_t k = 0; k < indices->rank; k++) {
        TRN_OP_REQUIRE(op, error, k == axis || indices->dims[k] <= indexed->dims[k], "indices",
                       "dimension %u is %lld, the indexed tensor has %lld", k, (long long)indices->dims[k],
                       (long long)indexed->dims[k]);
        strides[k] = k == axis ? 0 : indexed->strides[k];
    }
    return TRN_OK;
}

trn_status trn_take_index(const trn_op *op, const trn_view *indices, int64_t offset, int64_t n, int64_t *index,
                          trn_error *error) {
    int64_t i = indices->dtype == trn_dtype_I64 ? ((const volatile int64_t *)indices->data)[offset]
                                                : ((const volatile int32_t *)indices->data)[offset];
    if (i < -n || i >= n)
        return TRN_OP_FAIL(op, error, TRN_INDEX_RANGE, "indices", "found %lld, the axis has %lld entries", (long long)i,
                           (long long)n);
    *index = i < 0 ? i + n : i;
    return TRN_OK;
}

trn_status trn_check_scatter(const trn_file *file, const trn_record_operator *record, int64_t kind, uint8_t dtype,
                             trn_error *error) {
    TRN_CHECK_REQUIRE(file, record, error, kind >= trn_scatter_SET && kind <= trn_scatter_MIN, "kind", "found %lld",
                      (long long)kind);
    TRN_CHECK_REQUIRE(file, record, error,
                      kind == trn_scatter_SET || (dtype != trn_dtype_F64 && dtype != trn_dtype_F16), "kind",
                      "arithmetic on %s", trn_dtype_name(dtype));
    return TRN_OK;
}

static float fold_float(uint32_t kind, float a, float b) {
    switch (kind) {
    case trn_scatter_ADD:
        return a + b;
    case trn_scatter_MUL:
        return a * b;
    case trn_scatter_MAX:
        return a != a || a > b ? a : b;
    default:
        return a != a || a < b ? a : b;
    }
}

#define FOLD_INTEGER(type)                                                       \
    do {                                                                         \
        type a = *(type *)to, b = *(const type *)from;                           \
        if (kind == trn_scatter_ADD) a = (type)((uint64_t)a + (uint64_t)b);      \
        else if (kind == trn_scatter_MUL) a = (type)((uint64_t)a * (uint64_t)b); \
        else if (kind == trn_scatter_MAX ? b > a : b < a) a = b;                 \
        *(type *)to = a;                                                         \
    } while (0)

void trn_scatter_element(uint8_t dtype, uint32_t kind, void *to, const void *from) {
    if (kind == trn_scatter_SET) {
        memcpy(to, from, trn_dtype_size(dtype));
        return;
    }
    switch (dtype) {
    case trn_dtype_F32:
        *(float *)to = fold_float(kind, *(float *)to, *(const float *)from);
        break;
    case trn_dtype_I64:
        FOLD_INTEGER(int64_t);
        break;
    case trn_dtype_I32:
        FOLD_INTEGER(int32_t);
        break;
    case trn_dtype_I8:
        FOLD_INTEGER(int8_t);
        break;
    case trn_dtype_U8:
        FOLD_INTEGER(uint8_t);
        break;
    default:  // bool
        FOLD_INTEGER(uint8_t);
        *(uint8_t *)to = *(uint8_t *)to != 0;
    }
}
