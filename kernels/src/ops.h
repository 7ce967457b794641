// SPDX-License-Identifier: Apache-2.0
// What an operator is to the planner, and what an operator's file may use.
#ifndef TRN_OPS_H
#define TRN_OPS_H

#include <string.h>

#include "error.h"
#include "reader.h"
#include "ukernels.h"

// A tensor of a plan: numbers where the file has expressions, an address where it has a place.
typedef struct trn_view {
    void *data;
    int64_t dims[TRN_MAX_RANK];
    int64_t strides[TRN_MAX_RANK];  // in elements; of a packed tensor: in cells of 4 bytes, from matrix to matrix
    uint32_t panel_width;           // 0 when not packed
    uint8_t dtype, rank, per_cell;  // per_cell: of a matrix of integers, its weights in a cell; else 0
} trn_view;

// All dims multiplied: the plan has made sure that this fits.
static inline int64_t trn_view_elements(const trn_view *view) {
    int64_t n = 1;
    for (uint32_t i = 0; i < view->rank; i++) n *= view->dims[i];
    return n;
}

typedef struct trn_op trn_op;

typedef struct trn_op_class {
    // Once a model: attributes, dtypes and operand counts, as far as the file alone tells.
    trn_status (*check)(const trn_file *file, const trn_record_operator *record, trn_error *error);
    size_t plan_size;                                         // bytes of what prepare works out
    size_t (*extra_size)(const trn_record_operator *record);  // NULL, or the bytes behind them that vary
    // Once a plan: operands' dims and strides against each other; fills op->plan, workspace_size and work.
    trn_status (*prepare)(trn_op *op, trn_error *error);
    trn_status (*run)(const trn_op *op, trn_error *error);
    void (*place)(trn_op *op);  // NULL, or: once the plan's memory is known; tensors behind ports have no address yet
    // NULL, or: whether an input may lie in the very memory of an output, which the operator then advances.
    int (*advances)(uint32_t input, uint32_t output);
    // NULL, or: whether a run can return an error, which depends on data.
    int (*may_fail)(const trn_file *file, const trn_record_operator *record);
} trn_op_class;

// An operator of a plan.
struct trn_op {
    const trn_op_class *class;
    const trn_ukernels *ukernels;
    const trn_file *file;
    const trn_record_operator *record;
    trn_view *tensors;         // the plan's, indexed like the file's
    const struct trn_op *ops;  // all of the plan's
    void *plan;                // class->plan_size + extra_size bytes, zeroed before prepare
    void *workspace;           // shared by all operators of the plan, 64-byte aligned
    size_t workspace_size;     // bytes that prepare asks for
    double work;               // as trn_stream_work has it, roughly; no size of a window makes it wrap
};

#define TRN_OPERATOR(name, value, doc) extern const trn_op_class trn_op_class_##name;
#include "tinyrnn/ops.def"

// Runs the operators from op up to end, those of a block.
static inline trn_status trn_run_operators(const trn_op *op, const trn_op *end, trn_error *error) {
    for (; op < end; op++) {
        trn_status status = op->class->run(op, error);
        if (status != TRN_OK) return status;
    }
    return TRN_OK;
}

// Whether two operands have the same first `count` dims; SHAPE, naming the operand `field`, where they have not.
trn_status trn_same_dims(const trn_op *op, const char *field, const trn_view *operand, const trn_view *other,
                         uint32_t count, trn_error *error);

// NULL for a kind without a class.
const trn_op_class *trn_op_class_of(uint32_t kind);

// The tensor of input or output i as the file has it, or NULL when it is absent.
static inline const trn_record_tensor *trn_input_record(const trn_file *file, const trn_record_operator *record,
                                                        uint32_t i) {
    uint32_t t = i < record->input_count ? file->operands[record->operands + i].tensor : TRN_NONE;
    return t == TRN_NONE ? NULL : &file->tensors[t];
}
static inline const trn_record_tensor *trn_output_record(const trn_file *file, const trn_record_operator *record,
                                                         uint32_t i) {
    uint32_t t =
        i < record->output_count ? file->operands[record->operands + record->input_count + i].tensor : TRN_NONE;
    return t == TRN_NONE ? NULL : &file->tensors[t];
}

// The same of a plan.
static inline trn_view *trn_input(const trn_op *op, uint32_t i) {
    const trn_record_tensor *t = trn_input_record(op->file, op->record, i);
    return t ? &op->tensors[t - op->file->tensors] : NULL;
}
static inline trn_view *trn_output(const trn_op *op, uint32_t i) {
    const trn_record_tensor *t = trn_output_record(op->file, op->record, i);
    return t ? &op->tensors[t - op->file->tensors] : NULL;
}

// Whether a tensor lies in memory that the caller hands over at each run.
static inline int trn_is_bound(const trn_file *file, const trn_record_tensor *t) {
    uint8_t storage = t->storage == trn_storage_VIEW ? file->tensors[t->root].storage : t->storage;
    return storage == trn_storage_INPUT || storage == trn_storage_OUTPUT;
}

// Attribute i as an integer, or as the float it holds the bits of.
static inline int64_t trn_integer(const trn_file *file, const trn_record_operator *record, uint32_t i) {
    return file->attributes[record->attributes + i].value;
}
static inline float trn_float(const trn_file *file, const trn_record_operator *record, uint32_t i) {
    double value;
    memcpy(&value, &file->attributes[record->attributes + i].value, sizeof value);
    return (float)value;
}

static inline int64_t trn_round16(int64_t n) { return (n + 15) / 16 * 16; }

// Errors of an operator: named after the node it stands for.
#define TRN_OP_FAIL(op, error, status, field, ...) \
    trn_fail(error, status, TRN_NOWHERE, trn_string((op)->file, (op)->record->name), field, __VA_ARGS__)
#define TRN_OP_REQUIRE(op, error, condition, field, ...)                                \
    do {                                                                                \
        if (!(condition)) return TRN_OP_FAIL(op, error, TRN_SHAPE, field, __VA_ARGS__); \
    } while (0)
#define TRN_CHECK_REQUIRE(file, record, error, condition, field, ...)                                                 \
    do {                                                                                                              \
        if (!(condition))                                                                                             \
            return trn_fail(error, TRN_MALFORMED, TRN_NOWHERE, trn_string(file, (record)->name), field, __VA_ARGS__); \
    } while (0)

// Scratch memory asked for piece by piece: the same calls add up sizes (base NULL) and hand out addresses.
typedef struct trn_scratch {
    char *base;
    size_t used;
    int overflow;
} trn_scratch;
void *trn_scratch_take(trn_scratch *scratch, int64_t count, size_t element_size);

#endif
