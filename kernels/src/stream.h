// SPDX-License-Identifier: Apache-2.0
// A stream: the state of one sequence, with the plans that advance it.
#ifndef TRN_STREAM_H
#define TRN_STREAM_H

#include <stdatomic.h>

#include "model.h"
#include "ops/strided.h"
#include "planner.h"

// Memory of a stream, one allocation, in this order:
//   trn_stream | symbols | states | ties | walks | port addresses | fixed part of the step plan | fixed part of the
//   block plan | state values | arena | staging area of ports
// A stream made with `whole` has the step plan alone, planned for the whole sequence.

// A state's memory and how it starts.
typedef struct trn_state {
    float *values;
    int64_t count;         // elements
    int64_t parts;         // in memory: 1, or the elements of the last axis, which comes first, [parts, the other axes]
    int64_t outer, inner;  // elements before and after the batch axis: [outer, batch, inner]; batch 1 without one
    const float *initial;  // in the weights: [outer, batch or 1, inner]; NULL for zeros
    int initial_per_row;   // whether initial has a batch axis of the full size
} trn_state;

// A copy that a tie of one plan takes: of what was written into the state, or, where that was written in place, of the
// state into an output that shows it, whose address may be NULL.
typedef struct trn_tie {
    trn_copy_plan copy;
    void *const *destination, *const *source;  // where their addresses stand
} trn_tie;

// How a run walks along a port: [outer, steps, inner] of bytes. Ports without a time axis have inner 0 and stay put.
typedef struct trn_walk {
    int64_t outer;
    size_t inner;
    size_t staging;  // offset into the staging area, where outer > 1 forbids pointing into the caller's memory
} trn_walk;

struct trn_stream {
    atomic_flag busy;
    void *allocation;  // of trn_stream_new, else NULL
    const trn_model *model;
    int64_t batch, block, whole_steps;
    int whole;
    int64_t *symbols;
    trn_state *states;
    trn_tie *ties[2], *ties_end[2];  // of the step plan, of the block plan
    trn_walk *walks;        // a port each, inputs then outputs
    void **ports;           // addresses handed to a plan
    const trn_plan *bound;  // the plan that knows these addresses, or NULL
    int given;              // whether one of them is that of a state to start from
    char *staging;
    size_t staging_size;
    trn_plan step, blocks;
    trn_memory_info memory;
    trn_error error;
};

// state.c: values, reset, save and restore. These expect the stream to be held.
void trn_states_reset(trn_stream *stream);
// All elements of a state, in the order of its axes; at any address.
void trn_state_put(const trn_state *state, const void *from);
void trn_state_take(const trn_state *state, void *to);

// A state is named after its tensor.
static inline const char *trn_state_name(const trn_stream *s, uint64_t i) {
    const trn_file *f = &s->model->file;
    return trn_string(f, f->tensors[f->states[i].tensor].name);
}

// Takes the stream for this thread, or fails with BUSY.
trn_status trn_stream_hold(trn_stream *stream);
static inline void trn_stream_release(trn_stream *stream) {
    atomic_flag_clear_explicit(&stream->busy, memory_order_release);
}

#endif
