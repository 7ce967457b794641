// SPDX-License-Identifier: Apache-2.0
// The checks of what a file shows to its user: inputs, outputs, states, ties, symbols and names.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os")  // runs once a file
#endif
#include <string.h>

#include "reader_checks.h"

// An axis of a port or state is -1, or the axis whose dimension is just that symbol.
static trn_status check_axis(reader *r, const trn_record_tensor *t, int32_t axis, uint32_t symbol, const char *field) {
    uint32_t found = TRN_NONE;
    int count = 0;
    for (uint32_t k = 0; k < t->rank && symbol != TRN_NONE; k++)
        if (trn_dim_symbol(r->file, t->dims + k) == symbol) {
            found = k;
            count++;
        }
    if (axis == -1) {
        REQUIRE(r, count == 0, field, "axis %u has the symbol, the record says that none has", found);
        return TRN_OK;
    }
    REQUIRE(r, axis >= 0 && axis < t->rank && count == 1 && found == (uint32_t)axis, field,
            "axis %d does not have the symbol, alone", axis);
    return TRN_OK;
}

// Whether a dimension of t, but for one (-1: of them all), is computed from time.
static int grows_with_time(const trn_file *f, const trn_record_tensor *t, int32_t but) {
    for (int32_t k = 0; k < t->rank; k++) {
        uint32_t e = f->dims[t->dims + (uint32_t)k].expression;
        if (e == TRN_NONE || k == but) continue;
        for (uint32_t i = 0; i < f->expressions[e].term_count; i++) {
            const trn_record_term *term = &f->terms[f->expressions[e].first_term + i];
            if (term->kind == trn_term_SYMBOL && term->symbol == f->header.time_symbol) return 1;
        }
    }
    return 0;
}

static trn_status check_port(reader *r, uint32_t section, uint64_t i, uint8_t *owners) {
    const trn_file *f = r->file;
    int input = section == trn_section_inputs;
    const trn_record_port *p = input ? &f->inputs[i] : &f->outputs[i];
    trn_reader_enter(r, section, i);
    REQUIRE(r, p->tensor < f->tensors_count && owners[p->tensor]++ == 0, "tensor",
            "tensor %u does not exist or has a port already", p->tensor);
    const trn_record_tensor *t = &f->tensors[p->tensor];
    REQUIRE(r, p->state == TRN_NONE || p->state < f->states_count, "state", "no state %u", p->state);
    uint8_t expected = !input ? trn_storage_OUTPUT : p->state == TRN_NONE ? trn_storage_INPUT : trn_storage_STATE;
    REQUIRE(r, t->storage == expected, "tensor", "tensor %u has storage %u, expected %u", p->tensor, t->storage,
            expected);
    if (input && p->state != TRN_NONE)
        REQUIRE(r, f->states[p->state].tensor == p->tensor && f->states[p->state].input == i, "state",
                "state %u does not start from here", p->state);
    REQUIRE(r, p->fed == 0 || (p->fed == 1 && input && p->state != TRN_NONE), "fed",
            "only an input that starts a state can");
    TRY(check_axis(r, t, p->time_axis, f->header.time_symbol, "time_axis"));
    // A stream hands over a part of the port at a time: what is no time axis must have one size for any number of
    // steps.
    REQUIRE(r, !f->header.streamable || !grows_with_time(f, t, p->state == TRN_NONE ? p->time_axis : -1), "time_axis",
            "another dimension grows with time, or a state does");
    return check_axis(r, t, p->batch_axis, f->header.batch_symbol, "batch_axis");
}

static trn_status check_tie(reader *r, uint32_t state, uint32_t tie) {
    const trn_file *f = r->file;
    const trn_record_tie *t = &f->ties[tie];
    trn_reader_enter(r, trn_section_ties, tie);
    REQUIRE(r, t->destination < f->tensors_count && t->source < f->tensors_count, "source", "no such tensor");
    const trn_record_tensor *destination = &f->tensors[t->destination], *source = &f->tensors[t->source];
    uint32_t root = destination->storage == trn_storage_VIEW ? destination->root : t->destination;
    REQUIRE(r, root == f->states[state].tensor, "destination", "tensor %u is not the state", t->destination);
    REQUIRE(r,
            source->packing == trn_packing_NONE && source->dtype == destination->dtype &&
                source->rank == destination->rank && trn_root_storage(f, t->source) != trn_storage_STATE,
            "source", "tensor %u is packed, looks into a state, or differs in dtype or rank", t->source);
    return TRN_OK;
}

static trn_status check_state(reader *r, uint32_t i, uint8_t *owners) {
    const trn_file *f = r->file;
    const trn_record_state *s = &f->states[i];
    trn_reader_enter(r, trn_section_states, i);
    REQUIRE(r, s->tensor < f->tensors_count && f->tensors[s->tensor].storage == trn_storage_STATE, "tensor",
            "tensor %u is no STATE", s->tensor);
    const trn_record_tensor *t = &f->tensors[s->tensor];
    REQUIRE(r, t->dtype == trn_dtype_F32, "tensor", "a state is float32");
    REQUIRE(r, !grows_with_time(f, t, -1), "tensor", "a state cannot grow with time");
    TRY(check_axis(r, t, s->batch_axis, f->header.batch_symbol, "batch_axis"));
    if (s->initial != TRN_NONE) {
        REQUIRE(r, s->initial < f->tensors_count, "initial", "no tensor %u", s->initial);
        const trn_record_tensor *n = &f->tensors[s->initial];
        REQUIRE(r,
                n->storage == trn_storage_WEIGHTS && n->packing == trn_packing_NONE && n->dtype == t->dtype &&
                    n->rank == t->rank,
                "initial", "tensor %u is not a constant like the state", s->initial);
    }
    if (s->input == TRN_NONE)
        REQUIRE(r, owners[s->tensor]++ == 0, "tensor", "tensor %u has an owner already", s->tensor);
    else
        REQUIRE(r, s->input < f->inputs_count && f->inputs[s->input].state == i, "input",
                "input %u does not start this state", s->input);
    REQUIRE(r, trn_range_ok(s->first_tie, s->tie_count, f->ties_count), "first_tie",
            "its ties lie outside the ties section");
    for (uint32_t k = 0; k < s->tie_count; k++) TRY(check_tie(r, i, s->first_tie + k));
    return TRN_OK;
}

trn_status trn_reader_interface(reader *r, uint8_t *owners) {
    const trn_file *f = r->file;
    for (uint64_t i = 0; i < f->inputs_count; i++) TRY(check_port(r, trn_section_inputs, i, owners));
    for (uint64_t i = 0; i < f->outputs_count; i++) TRY(check_port(r, trn_section_outputs, i, owners));
    uint64_t next = 0;
    for (uint32_t i = 0; i < f->states_count; i++) {
        TRY(check_state(r, i, owners));
        trn_reader_enter(r, trn_section_states, i);
        REQUIRE(r, f->states[i].first_tie == next, "first_tie", "ties must follow one another");
        next += f->states[i].tie_count;
    }
    trn_reader_enter(r, trn_section_ties, next);
    REQUIRE(r, next == f->ties_count, "", "ties that belong to no state");
    for (uint64_t i = 0; i < f->tensors_count; i++) {
        uint8_t storage = f->tensors[i].storage;
        trn_reader_enter(r, trn_section_tensors, i);
        int owned = storage == trn_storage_INPUT || storage == trn_storage_OUTPUT || storage == trn_storage_STATE;
        REQUIRE(r, !owned || owners[i], "storage", "the tensor has storage %u, but no port or state", storage);
    }
    for (uint64_t s = 0; s < f->symbols_count; s++) {
        int found = 0;
        for (uint64_t i = 0; i < f->inputs_count && !found; i++) {
            const trn_record_tensor *t = &f->tensors[f->inputs[i].tensor];
            for (uint32_t k = 0; k < t->rank; k++) found |= trn_dim_symbol(f, t->dims + k) == s;
        }
        trn_reader_enter(r, trn_section_symbols, s);
        REQUIRE(r, found, "", "no input has this symbol as a dimension");
    }
    return TRN_OK;
}

// Takes the length of a string off what is left; 0 when that is not enough.
static int spend(const trn_file *f, uint32_t offset, uint64_t *left) {
    uint64_t length = strlen(trn_string(f, offset));
    if (length > *left) return 0;
    *left -= length;
    return 1;
}

// A caller may copy every name. Few files have a name twice; one where thousands of records share a long one would make
// gigabytes of it.
trn_status trn_reader_names(reader *r) {
    const trn_file *f = r->file;
    uint64_t left = 16 * f->strings_count;
    int fits = 1;
    for (uint64_t i = 0; i < f->inputs_count && fits; i++) fits = spend(f, f->tensors[f->inputs[i].tensor].name, &left);
    for (uint64_t i = 0; i < f->outputs_count && fits; i++)
        fits = spend(f, f->tensors[f->outputs[i].tensor].name, &left);
    for (uint64_t i = 0; i < f->states_count && fits; i++) fits = spend(f, f->tensors[f->states[i].tensor].name, &left);
    for (uint64_t i = 0; i < f->symbols_count && fits; i++) fits = spend(f, f->symbols[i].name, &left);
    for (uint64_t i = 0; i < f->metadata_count && fits; i++)
        fits = spend(f, f->metadata[i].key, &left) && spend(f, f->metadata[i].value, &left);
    trn_reader_enter(r, trn_section_strings, 0);
    REQUIRE(r, fits, "", "names and metadata together are longer than 16 times the section");
    return TRN_OK;
}
