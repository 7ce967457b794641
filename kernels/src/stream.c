// SPDX-License-Identifier: Apache-2.0
// Making streams and running them: one step, a sequence in blocks, or a whole sequence at once.
#include "stream.h"

#include <stdlib.h>

#include "arch/fpenv.h"
#include "arch/target.h"

#define DEFAULT_BLOCK 16

static uint32_t port_count(const trn_file *f) { return (uint32_t)(f->inputs_count + f->outputs_count); }

static const trn_record_port *port_record(const trn_file *f, uint32_t port) {
    return port < f->inputs_count ? &f->inputs[port] : &f->outputs[port - f->inputs_count];
}

// Everything of a stream but the arena and the staging area; with base NULL only the sizes.
static void lay_out(trn_stream *s, trn_scratch *scratch, void **step_memory, void **block_memory) {
    const trn_file *f = &s->model->file;
    s->symbols = trn_scratch_take(scratch, (int64_t)f->symbols_count, sizeof(int64_t));
    s->states = trn_scratch_take(scratch, (int64_t)f->states_count, sizeof(trn_state));
    for (int i = 0; i < 2; i++) s->ties[i] = trn_scratch_take(scratch, (int64_t)f->ties_count, sizeof(trn_tie));
    s->walks = trn_scratch_take(scratch, port_count(f), sizeof(trn_walk));
    s->ports = trn_scratch_take(scratch, port_count(f), sizeof(void *));
    size_t plan_size = trn_plan_size(f);
    scratch->overflow |= plan_size == 0 && f->tensors_count > 0;
    *step_memory = trn_scratch_take(scratch, 1, plan_size);
    *block_memory = s->block ? trn_scratch_take(scratch, 1, plan_size) : NULL;
}

static trn_status read_options(trn_stream *s, const trn_model *model, const trn_stream_options *options,
                               trn_error *error) {
    static const trn_stream_options defaults = {0};
    const trn_file *f = &model->file;
    if (!options) options = &defaults;
    s->model = model;
    s->whole = options->whole != 0;
    s->batch = options->batch_size ? options->batch_size : 1;
    if (s->whole) {
        if (f->symbols_count && !options->symbols)
            return trn_fail(error, TRN_ARGUMENT, TRN_NOWHERE, "", "symbols",
                            "a whole run needs a value for every symbol");
        return TRN_OK;
    }
    if (!f->header.streamable)
        return trn_fail(error, TRN_NOT_STREAMABLE, TRN_NOWHERE, "", "", "the model cannot run a step at a time: %s",
                        trn_string(f, f->header.reason));
    if (s->batch < 1)
        return trn_fail(error, TRN_ARGUMENT, TRN_NOWHERE, "", "batch_size", "found %lld, expected at least 1",
                        (long long)s->batch);
    if (s->batch > 1 && f->header.batch_symbol == TRN_NONE)
        return trn_fail(error, TRN_SHAPE, TRN_NOWHERE, "", "batch_size",
                        "the model has no batch axis: %lld rows cannot run in lockstep", (long long)s->batch);
    if (options->block_steps < 0)
        return trn_fail(error, TRN_ARGUMENT, TRN_NOWHERE, "", "block_steps", "found %lld",
                        (long long)options->block_steps);
    s->block = options->block_steps ? options->block_steps : DEFAULT_BLOCK;
    if (f->header.time_symbol == TRN_NONE || s->block == 1) s->block = 0;  // the step plan does it all
    return TRN_OK;
}

static trn_status read_symbols(trn_stream *s, const trn_stream_options *options, trn_error *error) {
    const trn_file *f = &s->model->file;
    for (uint32_t i = 0; i < f->symbols_count; i++) {
        int64_t value = options && options->symbols ? options->symbols[i] : -1;
        if (!s->whole && i == f->header.time_symbol) value = 1;
        if (!s->whole && i == f->header.batch_symbol) value = s->batch;
        if (value < 0)
            return trn_fail(error, TRN_SHAPE, TRN_NOWHERE, "", trn_model_symbol(s->model, i),
                            "the dimension needs a value, found %lld", (long long)value);
        s->symbols[i] = value;
    }
    if (s->whole) {
        s->batch = f->header.batch_symbol == TRN_NONE ? 1 : s->symbols[f->header.batch_symbol];
        s->whole_steps = f->header.time_symbol == TRN_NONE ? 1 : s->symbols[f->header.time_symbol];
    }
    return TRN_OK;
}

// The output that is a tensor, as a port; TRN_NONE where there is none.
static uint32_t port_of_output(const trn_file *f, uint32_t tensor) {
    for (uint32_t i = 0; i < f->outputs_count; i++)
        if (f->outputs[i].tensor == tensor) return (uint32_t)f->inputs_count + i;
    return TRN_NONE;
}

// What is left to copy for the ties of a plan: those that are not in place, and those in place that an output shows.
static trn_status prepare_ties(trn_stream *s, const trn_plan *plan, int blocks, trn_error *error) {
    const trn_file *f = &s->model->file;
    trn_tie *tie = s->ties[blocks];
    for (uint64_t i = 0; i < f->ties_count; i++) {
        const trn_view *d = &plan->tensors[f->ties[i].destination], *source = &plan->tensors[f->ties[i].source];
        for (uint32_t k = 0; k < d->rank; k++)
            if (d->dims[k] != source->dims[k])
                return trn_fail(error, TRN_SHAPE, TRN_NOWHERE, trn_string(f, f->tensors[f->ties[i].source].name), "tie",
                                "dimension %u is %lld, the state has %lld", k, (long long)source->dims[k],
                                (long long)d->dims[k]);
        const uint32_t port = plan->in_place[i] ? port_of_output(f, f->ties[i].source) : TRN_NONE;
        if (plan->in_place[i] && port == TRN_NONE) continue;
        *tie = (trn_tie){.destination = port == TRN_NONE ? &d->data : &s->ports[port], .source = &source->data};
        trn_copy_prepare(&tie++->copy, d, source);
    }
    s->ties_end[blocks] = tie;
    return TRN_OK;
}

static trn_status prepare_states(trn_stream *s, trn_error *error) {
    const trn_file *f = &s->model->file;
    for (uint64_t i = 0; i < f->states_count; i++) {
        const trn_record_state *record = &f->states[i];
        const trn_view *view = &s->step.tensors[record->tensor];
        trn_state *state = &s->states[i];
        *state = (trn_state){.count = trn_view_elements(view), .parts = 1, .outer = 1, .inner = 1};
        for (uint32_t k = 0; k < record->tie_count; k++)  // of several ties all others may be empty
            if (s->step.in_place[record->first_tie + k] > 1) state->parts = s->step.in_place[record->first_tie + k];
        for (int32_t k = 0; k < view->rank; k++) {
            if (record->batch_axis == -1 || k > record->batch_axis) state->inner *= view->dims[k];
            else if (k < record->batch_axis) state->outer *= view->dims[k];
        }
        if (record->initial == TRN_NONE) continue;
        const trn_view *initial = &s->step.tensors[record->initial];
        state->initial_per_row = 1;
        for (int32_t k = 0; k < view->rank; k++) {
            if (initial->dims[k] == view->dims[k]) continue;
            if (k != record->batch_axis || initial->dims[k] != 1)
                return trn_fail(error, TRN_SHAPE, TRN_NOWHERE, trn_state_name(s, i), "initial",
                                "dimension %d is %lld, the state has %lld", k, (long long)initial->dims[k],
                                (long long)view->dims[k]);
            state->initial_per_row = 0;
        }
        state->initial = (const float *)(const void *)(f->weights + f->tensors[record->initial].data_offset);
    }
    return TRN_OK;
}

// How runs walk along the ports, and the staging area they need.
static void prepare_walks(trn_stream *s, trn_scratch *staging) {
    const trn_file *f = &s->model->file;
    for (uint32_t i = 0; i < port_count(f); i++) {
        const trn_record_port *port = port_record(f, i);
        const trn_view *view = &s->step.tensors[port->tensor];
        trn_walk *walk = &s->walks[i];
        *walk = (trn_walk){.outer = 1, .inner = 0};
        if (s->whole || port->state != TRN_NONE || (f->header.time_symbol != TRN_NONE && port->time_axis == -1))
            continue;
        walk->inner = trn_dtype_size(view->dtype);
        for (int32_t k = 0; k < view->rank; k++) {
            if (k < port->time_axis) walk->outer *= view->dims[k];
            else if (k != port->time_axis) walk->inner *= (size_t)view->dims[k];
        }
        walk->staging = staging->used;
        if (walk->outer > 1) trn_scratch_take(staging, walk->outer * (s->block ? s->block : 1), walk->inner);
    }
}

// Plans the stream s, whose other memory begins where scratch stands. On success s->memory says how much it is in all.
static trn_status plan_stream(trn_stream *s, const trn_stream_options *options, trn_scratch *scratch,
                              trn_error *error) {
    const trn_file *f = &s->model->file;
    void *step_memory, *block_memory;
    lay_out(s, scratch, &step_memory, &block_memory);
    trn_status status = read_symbols(s, options, error);
    const int alone = !s->block && !s->whole;  // a whole run starts its states anew: it would gain nothing
    if (status == TRN_OK)
        status = trn_plan_make(&s->step, f, s->model->ukernels, s->symbols, alone, step_memory, error);
    if (status == TRN_OK && s->block) {
        s->symbols[f->header.time_symbol] = s->block;
        status = trn_plan_make(&s->blocks, f, s->model->ukernels, s->symbols, 0, block_memory, error);
        s->symbols[f->header.time_symbol] = 1;
    }
    if (status == TRN_OK) status = prepare_states(s, error);
    if (status == TRN_OK) status = prepare_ties(s, &s->step, 0, error);
    if (status == TRN_OK && s->block) status = prepare_ties(s, &s->blocks, 1, error);
    if (status != TRN_OK) return status;
    trn_scratch values = {0}, staging = {0};
    for (uint64_t i = 0; i < f->states_count; i++) trn_scratch_take(&values, s->states[i].count, sizeof(float));
    prepare_walks(s, &staging);
    size_t arena = s->block && s->blocks.arena_size > s->step.arena_size ? s->blocks.arena_size : s->step.arena_size;
    s->memory = (trn_memory_info){.plan = scratch->used, .state = values.used, .arena = trn_align(arena)};
    int64_t total = 0;
    int fits = trn_add((int64_t)s->memory.plan, (int64_t)s->memory.state, &total) &&
               trn_add(total, (int64_t)s->memory.arena, &total) && trn_add(total, (int64_t)staging.used, &total);
    if (!fits || values.overflow || staging.overflow || (uint64_t)total > SIZE_MAX / 2)
        return trn_fail(error, TRN_OVERFLOW, TRN_NOWHERE, "", "", "the stream would be too large to address");
    s->memory.arena += trn_align(staging.used);
    s->staging_size = trn_align(staging.used);
    return TRN_OK;
}

#define STREAM_BYTES trn_align(sizeof(trn_stream))

static size_t total_size(const trn_stream *s) { return s->memory.plan + s->memory.state + s->memory.arena; }

// Bytes up to the state values: what is known before anything is planned; 0 when they do not fit.
static size_t fixed_size(trn_stream *s) {
    void *step_memory, *block_memory;
    trn_scratch scratch = {.used = STREAM_BYTES};
    lay_out(s, &scratch, &step_memory, &block_memory);
    return scratch.overflow ? 0 : scratch.used;
}

trn_status trn_stream_memory(const trn_model *model, const trn_stream_options *options, trn_memory_info *info,
                             trn_error *error) {
    trn_stream s;
    memset(&s, 0, sizeof s);
    if (!model || !info) return trn_fail(error, TRN_ARGUMENT, TRN_NOWHERE, "", "", "model and result must not be NULL");
    trn_status status = read_options(&s, model, options, error);
    if (status != TRN_OK) return status;
    size_t size = fixed_size(&s);
    if (!size) return trn_fail(error, TRN_OVERFLOW, TRN_NOWHERE, "", "", "the plan would be too large to address");
    trn_scratch scratch = {.base = malloc(size), .used = STREAM_BYTES};
    if (!scratch.base)
        return trn_fail(error, TRN_OUT_OF_MEMORY, TRN_NOWHERE, "", "", "no memory to plan in, %zu bytes", size);
    status = plan_stream(&s, options, &scratch, error);
    free(scratch.base);
    if (status == TRN_OK) *info = s.memory;
    return status;
}

trn_status trn_stream_size(const trn_model *model, const trn_stream_options *options, size_t *size, trn_error *error) {
    trn_memory_info info;
    if (!size) return trn_fail(error, TRN_ARGUMENT, TRN_NOWHERE, "", "size", "the result must not be NULL");
    trn_status status = trn_stream_memory(model, options, &info, error);
    if (status == TRN_OK) *size = info.state + info.plan + info.arena;
    return status;
}

// The addresses of everything behind the plans.
static void place(trn_stream *s, char *memory) {
    const trn_file *f = &s->model->file;
    trn_scratch values = {.base = memory + s->memory.plan};
    for (uint64_t i = 0; i < f->states_count; i++) {
        s->states[i].values = trn_scratch_take(&values, s->states[i].count, sizeof(float));
        s->step.tensors[f->states[i].tensor].data = s->states[i].values;
        if (s->block) s->blocks.tensors[f->states[i].tensor].data = s->states[i].values;
    }
    char *arena = memory + s->memory.plan + s->memory.state;
    memset(s->ports, 0, port_count(f) * sizeof *s->ports);
    memset(arena, 0, s->memory.arena);  // a graph that reads what it never wrote finds zeros
    trn_plan_place(&s->step, arena);
    if (s->block) trn_plan_place(&s->blocks, arena);
    s->staging = arena + s->memory.arena - s->staging_size;
}

trn_status trn_stream_init(const trn_model *model, const trn_stream_options *options, void *memory, size_t size,
                           trn_stream **stream, trn_error *error) {
    if (!model || !memory || !stream)
        return trn_fail(error, TRN_ARGUMENT, TRN_NOWHERE, "", "", "model, memory and stream must not be NULL");
    if ((uintptr_t)memory % TRN_ALIGN != 0 || size < STREAM_BYTES)
        return trn_fail(error, TRN_BUFFER_SIZE, TRN_NOWHERE, "", "memory",
                        "the memory must be 64-byte aligned and at least %zu bytes", (size_t)STREAM_BYTES);
    trn_stream *s = memory;
    memset(s, 0, sizeof *s);
    atomic_flag_clear(&s->busy);
    trn_status status = read_options(s, model, options, error);
    if (status != TRN_OK) return status;
    size_t fixed = fixed_size(s);
    if (!fixed || fixed > size)
        return trn_fail(error, TRN_BUFFER_SIZE, TRN_NOWHERE, "", "memory", "found %zu bytes, more than %zu are needed",
                        size, fixed);
    trn_scratch scratch = {.base = memory, .used = STREAM_BYTES};
    status = plan_stream(s, options, &scratch, error);
    if (status != TRN_OK) return status;
    if (total_size(s) > size)
        return trn_fail(error, TRN_BUFFER_SIZE, TRN_NOWHERE, "", "memory", "found %zu bytes, %zu are needed", size,
                        total_size(s));
    place(s, memory);
    trn_states_reset(s);
    *stream = s;
    return TRN_OK;
}

trn_status trn_stream_new(const trn_model *model, const trn_stream_options *options, trn_stream **stream,
                          trn_error *error) {
    size_t size;
    trn_status status = trn_stream_size(model, options, &size, error);
    if (status != TRN_OK) return status;
    char *memory = malloc(size + TRN_ALIGN);  // aligned_alloc is missing on some hosts
    if (!memory)
        return trn_fail(error, TRN_OUT_OF_MEMORY, TRN_NOWHERE, "", "", "no memory for a stream, %zu bytes", size);
    size_t shift = TRN_ALIGN - (uintptr_t)memory % TRN_ALIGN;
    status = trn_stream_init(model, options, memory + shift, size, stream, error);
    if (status == TRN_OK) (*stream)->allocation = memory;
    else free(memory);
    return status;
}

void trn_stream_free(trn_stream *stream) {
    if (stream) free(stream->allocation);
}

trn_status trn_stream_hold(trn_stream *s) {
    return atomic_flag_test_and_set_explicit(&s->busy, memory_order_acquire) ? TRN_BUSY : TRN_OK;
}

static trn_status no_port(trn_stream *s, uint32_t port) {
    const trn_file *f = &s->model->file;
    return trn_fail(&s->error, TRN_ARGUMENT, TRN_NOWHERE, trn_string(f, f->tensors[port_record(f, port)->tensor].name),
                    "", "the %s is NULL", port < f->inputs_count ? "input" : "output");
}

// Hands a plan the address of a port: nothing to be done where it is the one of the last run.
static void set_port(trn_stream *s, uint32_t port, void *address) {
    s->bound = s->ports[port] == address ? s->bound : NULL;
    s->ports[port] = address;
}

// Whether a plan ran with these addresses before, so that they have been checked.
TRN_INLINE int are_bound(const trn_stream *s, const void *const *inputs, void *const *outputs) {
    const trn_file *f = &s->model->file;
    void **port = s->ports;
    if (!s->bound || !inputs || !outputs) return 0;
    for (uint64_t i = 0; i < f->inputs_count; i++)
        if (inputs[i] != *port++) return 0;
    for (uint64_t i = 0; i < f->outputs_count; i++)
        if (outputs[i] != *port++) return 0;
    return 1;
}

// The caller's addresses, checked.
static TRN_NOINLINE trn_status take_addresses(trn_stream *s, const void *const *inputs, void *const *outputs) {
    const trn_file *f = &s->model->file;
    const uint32_t input_count = (uint32_t)f->inputs_count, output_count = (uint32_t)f->outputs_count;
    int given = 0;
    for (uint32_t i = 0; i < input_count; i++) {
        // Read only: no operator writes into an input.
        void *address = inputs ? (void *)(uintptr_t)inputs[i] : NULL;
        if (!address && (f->inputs[i].state == TRN_NONE || f->inputs[i].fed)) return no_port(s, i);
        set_port(s, i, address);
        given |= address && f->inputs[i].state != TRN_NONE;
    }
    for (uint32_t i = 0; i < output_count; i++) {
        void *address = outputs ? outputs[i] : NULL;
        if (!address && f->outputs[i].state == TRN_NONE) return no_port(s, input_count + i);
        set_port(s, input_count + i, address);
    }
    s->given = given;  // of a call that was refused: stays with the addresses that are bound, if all of them still are
    return TRN_OK;
}

static TRN_NOINLINE void take_states(trn_stream *s) {
    const trn_file *f = &s->model->file;
    for (uint32_t i = 0; i < f->inputs_count; i++) {
        uint32_t state = f->inputs[i].state;
        if (state != TRN_NONE && s->ports[i]) trn_state_put(&s->states[state], s->ports[i]);
    }
}

// The caller's addresses, and then the states it starts from: a call that is refused changes no state.
TRN_INLINE trn_status take_ports(trn_stream *s, const void *const *inputs, void *const *outputs) {
    trn_status status = are_bound(s, inputs, outputs) ? TRN_OK : take_addresses(s, inputs, outputs);
    if (status == TRN_OK && s->given) take_states(s);
    return status;
}

// What a run of no steps leaves in the outputs that have no time axis: the state they show, else zeros.
static void write_last_values(trn_stream *s) {
    const trn_file *f = &s->model->file;
    for (uint64_t i = 0; i < f->outputs_count; i++) {
        uint32_t state = f->outputs[i].state;
        void *to = s->ports[f->inputs_count + i];
        if (!to || s->walks[f->inputs_count + i].inner) continue;
        const trn_view *view = &s->step.tensors[f->outputs[i].tensor];
        size_t bytes = (size_t)trn_view_elements(view) * trn_dtype_size(view->dtype);
        if (state != TRN_NONE && bytes == (size_t)s->states[state].count * sizeof(float))
            trn_state_take(&s->states[state], to);
        else memset(to, 0, bytes);
    }
}

// Points the bound tensors into the caller's memory; an output that is NULL, which may be where it shows a state, is kept in
// the arena.
static TRN_NOINLINE void bind(const trn_plan *plan, void *const *ports) {
    for (uint64_t i = 0; i < plan->binding_count; i++) {
        const trn_binding *b = &plan->bindings[i];
        char *base = ports[b->port];
        plan->tensors[b->tensor].data = base ? base + b->offset : b->fallback;
    }
}

// Inline for the sake of small steps, whose plan is known.
TRN_INLINE trn_status run_plan(trn_stream *s, const int blocks) {
    const trn_plan *plan = blocks ? &s->blocks : &s->step;
    if (s->bound != plan) bind(plan, s->ports);
    s->bound = plan;
    trn_status status = trn_run_operators(plan->ops, plan->end, &s->error);
    if (status != TRN_OK) return status;
    for (const trn_tie *tie = s->ties[blocks], *end = s->ties_end[blocks]; tie < end; tie++)
        if (*tie->destination) trn_copy_run(&tie->copy, *tie->destination, *tie->source);
    return TRN_OK;
}

// Copies n steps, from step `done` of `steps`, between the caller's memory [outer, steps, inner] and the staging area
// [outer, n, inner].
static void stage(const trn_walk *walk, char *staged, char *caller, int64_t steps, int64_t done, int64_t n,
                  int into_caller) {
    size_t row = (size_t)n * walk->inner;
    for (int64_t o = 0; o < walk->outer; o++) {
        char *c = caller + (size_t)(o * steps + done) * walk->inner, *t = staged + (size_t)o * row;
        if (into_caller) memcpy(c, t, row);
        else memcpy(t, c, row);
    }
}

// Runs n steps, from step `done` of `steps`.
static trn_status run_piece(trn_stream *s, const void *const *inputs, void *const *outputs, int64_t steps, int64_t done,
                            int64_t n) {
    const trn_file *f = &s->model->file;
    for (uint32_t i = 0; i < port_count(f); i++) {
        const trn_walk *walk = &s->walks[i];
        if (!walk->inner) continue;
        char *caller = i < f->inputs_count ? (char *)(uintptr_t)inputs[i] : outputs[i - f->inputs_count];
        set_port(s, i, walk->outer > 1 ? s->staging + walk->staging : caller + (size_t)done * walk->inner);
        if (walk->outer > 1 && i < f->inputs_count) stage(walk, s->ports[i], caller, steps, done, n, 0);
    }
    trn_status status = n > 1 ? run_plan(s, 1) : run_plan(s, 0);
    for (uint32_t i = (uint32_t)f->inputs_count; i < port_count(f) && status == TRN_OK; i++)
        if (s->walks[i].outer > 1) stage(&s->walks[i], s->ports[i], outputs[i - f->inputs_count], steps, done, n, 1);
    return status;
}

static trn_status run_sequence(trn_stream *s, const void *const *inputs, void *const *outputs, int64_t steps) {
    if (s->whole && steps != s->whole_steps)
        return trn_fail(&s->error, TRN_ARGUMENT, TRN_NOWHERE, "", "steps", "found %lld, the stream was made for %lld",
                        (long long)steps, (long long)s->whole_steps);
    if (steps < 0) return trn_fail(&s->error, TRN_ARGUMENT, TRN_NOWHERE, "", "steps", "found %lld", (long long)steps);
    if (s->whole) trn_states_reset(s);
    trn_status status = take_ports(s, inputs, outputs);
    if (s->whole) return status == TRN_OK ? run_plan(s, 0) : status;
    if (steps == 0 && status == TRN_OK) write_last_values(s);
    for (int64_t done = 0, n; done < steps && status == TRN_OK; done += n) {
        n = s->block && steps - done >= s->block ? s->block : 1;
        status = run_piece(s, inputs, outputs, steps, done, n);
    }
    return status;
}

trn_status trn_stream_step(trn_stream *s, const void *const *inputs, void *const *outputs) {
    trn_status status = trn_stream_hold(s);
    if (status != TRN_OK) return status;
    if (s->whole)
        status = trn_fail(&s->error, TRN_ARGUMENT, TRN_NOWHERE, "", "",
                          "a stream made for whole sequences has no steps: use trn_stream_run");
    else status = take_ports(s, inputs, outputs);
    if (status == TRN_OK) {
        uint64_t saved = trn_denormals_flush();
        status = run_plan(s, 0);
        trn_denormals_restore(saved);
    }
    trn_stream_release(s);
    return status;
}

trn_status trn_stream_run(trn_stream *s, const void *const *inputs, void *const *outputs, int64_t steps) {
    trn_status status = trn_stream_hold(s);
    if (status != TRN_OK) return status;
    uint64_t saved = trn_denormals_flush();
    status = run_sequence(s, inputs, outputs, steps);
    trn_denormals_restore(saved);
    trn_stream_release(s);
    return status;
}

const trn_error *trn_stream_error(const trn_stream *stream) { return &stream->error; }

uint64_t trn_stream_work(const trn_stream *stream) {
    return stream->step.work < 0x1p63 ? (uint64_t)stream->step.work : UINT64_MAX;
}

static trn_status shape_of(const trn_stream *s, uint32_t tensor, int64_t steps, uint32_t *rank, int64_t *dims) {
    const trn_file *f = &s->model->file;
    const trn_record_tensor *t = &f->tensors[tensor];
    int64_t symbols[TRN_LIMIT_SYMBOLS];
    for (uint64_t i = 0; i < f->symbols_count; i++)
        symbols[i] = i == f->header.time_symbol && !s->whole ? steps : s->symbols[i];
    *rank = t->rank;
    for (uint32_t k = 0; k < t->rank; k++)
        if (!trn_evaluate_dim(f, t->dims + k, symbols, &dims[k]) || dims[k] < 0) return TRN_SHAPE;
    return TRN_OK;
}

trn_status trn_stream_input_shape(const trn_stream *s, uint32_t i, int64_t steps, uint32_t *rank,
                                  int64_t dims[TRN_MAX_RANK]) {
    const trn_file *f = &s->model->file;
    return i < f->inputs_count ? shape_of(s, f->inputs[i].tensor, steps, rank, dims) : TRN_ARGUMENT;
}

trn_status trn_stream_output_shape(const trn_stream *s, uint32_t i, int64_t steps, uint32_t *rank,
                                   int64_t dims[TRN_MAX_RANK]) {
    const trn_file *f = &s->model->file;
    return i < f->outputs_count ? shape_of(s, f->outputs[i].tensor, steps, rank, dims) : TRN_ARGUMENT;
}

trn_status trn_stream_state_shape(const trn_stream *s, uint32_t i, uint32_t *rank, int64_t dims[TRN_MAX_RANK]) {
    const trn_file *f = &s->model->file;
    return i < f->states_count ? shape_of(s, f->states[i].tensor, 1, rank, dims) : TRN_ARGUMENT;
}
