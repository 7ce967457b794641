// SPDX-License-Identifier: Apache-2.0
// A plan: the graph with a number for every dimension and a place for every tensor.
#ifndef TRN_PLANNER_H
#define TRN_PLANNER_H

#include "ops.h"

// A tensor that lies in memory the caller hands over at each run.
typedef struct trn_binding {
    uint32_t tensor;
    uint32_t port;    // index among the inputs, or inputs_count + index among the outputs
    uint64_t offset;  // bytes
    void *fallback;   // of an output that shows a state, and does not lie in it: its place in the arena; else NULL
} trn_binding;

// Layout of a plan's memory, in this order:
//   fixed:  views | ops | operator plans | bindings | values of the expressions | lifetimes | in_place   trn_plan_size()
//   arena:  intermediate tensors, reused as they die | the workspace of the widest operator      plan->arena_size
// The fixed part is known from the file alone; the arena's size only once the dimensions are. Several plans of a stream
// share one arena, since only one of them runs at a time.
typedef struct trn_plan {
    const trn_file *file;
    trn_view *tensors;
    trn_op *ops;
    const trn_op *end;  // of the first block, which a run executes
    trn_binding *bindings;
    uint64_t binding_count;
    int64_t *values;      // of the expressions
    uint32_t *lifetimes;  // [tensor]: the last operator that touches it
    uint8_t *in_place;    // [tie]: 0, or its source lies in the state's own memory, so that nothing has to be copied into it,
                          // in so many parts: 1, or as many as the last axis has elements, and that axis comes first
    size_t arena_size;
    size_t workspace_offset;
    double work;
} trn_plan;

// Bytes of the fixed part; 0 when they do not fit in a size_t.
size_t trn_plan_size(const trn_file *file);
// Fills plan, whose fixed part lies in memory (64-byte aligned), for these symbol values. alone: whether this plan may say how
// states lie, because no other one has them too. Returns SHAPE, OVERFLOW or UNSUPPORTED. Tensors have no address yet.
trn_status trn_plan_make(trn_plan *plan, const trn_file *file, const trn_ukernels *ukernels, const int64_t *symbols,
                         int alone, void *memory, trn_error *error);
// Gives every tensor but the bound ones its address; those of STATE tensors are there already. Once only: offsets
// become addresses.
void trn_plan_place(trn_plan *plan, char *arena);

#define TRN_ALIGN 64
static inline size_t trn_align(size_t n) { return (n + TRN_ALIGN - 1) / TRN_ALIGN * TRN_ALIGN; }

#endif
