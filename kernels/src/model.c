// SPDX-License-Identifier: Apache-2.0
// Opening, closing and describing models.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os")  // runs once a file
#endif
#include "model.h"

#include <stdlib.h>

#include "dispatch.h"
#include "file_map.h"
#include "ops.h"

static trn_status check_operators(const trn_file *f, trn_error *error) {
    for (uint64_t i = 0; i < f->operators_count; i++) {
        const trn_op_class *class = trn_op_class_of(f->operators[i].kind);
        trn_status status = class->check(f, &f->operators[i], error);
        if (status != TRN_OK) return status;
    }
    return TRN_OK;
}

// No value of a weight can do harm, but what breaks the bounds of a packing would give other sums on other processors.
static trn_status check_weights(const trn_file *f, const trn_ukernels *kernels, trn_error *error) {
    for (uint64_t i = 0; i < f->tensors_count; i++) {
        const trn_record_tensor *t = &f->tensors[i];
        const int per_cell = trn_per_cell(t->packing);
        if (!per_cell) continue;
        const int64_t k = f->dims[t->dims + t->rank - 2].value, n = f->dims[t->dims + t->rank - 1].value;
        const size_t bytes = 4 * (size_t)n * (size_t)trn_packed_rows(t->packing, k);
        int valid = 1;
        for (uint64_t at = 0; valid && at < t->data_size; at += bytes)
            kernels->i8_check((size_t)n, (size_t)k, f->weights + t->data_offset + at, (size_t)per_cell, t->panel_width,
                              &valid);
        if (!valid)
            return trn_fail(error, TRN_MALFORMED, TRN_NOWHERE, trn_string(f, t->name), "weights",
                            "whole numbers of tensor %llu break the bounds of their packing", (unsigned long long)i);
    }
    return TRN_OK;
}

trn_status trn_model_open(const void *data, size_t size, uint32_t flags, trn_model **model, trn_error *error) {
    if (!data || !model) return trn_fail(error, TRN_ARGUMENT, TRN_NOWHERE, "", "", "data and model must not be NULL");
    if ((uintptr_t)data % 8 != 0)
        return trn_fail(error, TRN_ARGUMENT, TRN_NOWHERE, "", "data", "the model must lie at a multiple of 8 bytes");
    trn_model *m = calloc(1, sizeof *m);
    if (!m) return trn_fail(error, TRN_OUT_OF_MEMORY, TRN_NOWHERE, "", "", "no memory for a model");
    trn_status status = trn_dispatch(&m->ukernels);
    if (status != TRN_OK) {
        const char *name = getenv("TINYRNN_ISA");
        trn_fail(error, status, TRN_NOWHERE, "", "TINYRNN_ISA",
                 "the instruction set %s is unknown, or this processor lacks it", name ? name : "");
    }
    if (status == TRN_OK) status = trn_file_read(data, size, flags, &m->file, error);
    if (status == TRN_OK) status = check_operators(&m->file, error);
    if (status == TRN_OK) status = check_weights(&m->file, m->ukernels, error);
    if (status != TRN_OK) {
        trn_model_close(m);
        return status;
    }
    *model = m;
    return TRN_OK;
}

trn_status trn_model_open_file(const char *path, uint32_t flags, trn_model **model, trn_error *error) {
    void *map;
    size_t size;
    if (!path || !model) return trn_fail(error, TRN_ARGUMENT, TRN_NOWHERE, "", "", "path and model must not be NULL");
    trn_status status = trn_file_map(path, &map, &size, error);
    if (status != TRN_OK) return status;
    status = trn_model_open(map, size, flags, model, error);
    if (status != TRN_OK) {
        trn_file_unmap(map, size);
        return status;
    }
    (*model)->map = map;
    (*model)->map_size = size;
    return TRN_OK;
}

void trn_model_close(trn_model *model) {
    if (!model) return;
    trn_file_close(&model->file);
    if (model->map) trn_file_unmap(model->map, model->map_size);
    free(model);
}

const char *trn_model_isa(const trn_model *model) { return model->ukernels->isa; }

void trn_model_info_get(const trn_model *model, trn_model_info *info) {
    const trn_file *f = &model->file;
    *info = (trn_model_info){
        .input_count = (uint32_t)f->inputs_count,
        .output_count = (uint32_t)f->outputs_count,
        .state_count = (uint32_t)f->states_count,
        .symbol_count = (uint32_t)f->symbols_count,
        .metadata_count = (uint32_t)f->metadata_count,
        .operator_count = (uint32_t)f->operators_count,
        .time_symbol = f->header.time_symbol,
        .batch_symbol = f->header.batch_symbol,
        .streamable = (int)f->header.streamable,
        .reason = trn_string(f, f->header.reason),
        .file_size = f->header.file_size,
        .structure_size = f->header.weights_offset,
        .weights_size = f->weights_count,
        .structure_checksum = f->preamble.structure_checksum,
        .weights_checksum = f->preamble.weights_checksum,
    };
}

static void describe(const trn_file *f, uint32_t tensor, trn_port_info *info) {
    const trn_record_tensor *t = &f->tensors[tensor];
    *info = (trn_port_info){.name = trn_string(f, t->name), .dtype = t->dtype, .rank = t->rank};
    for (uint32_t k = 0; k < t->rank; k++) {
        const trn_record_dim *d = &f->dims[t->dims + k];
        info->dims[k] = d->expression == TRN_NONE ? d->value : -1;
        info->symbols[k] = trn_dim_symbol(f, t->dims + k);
    }
}

static trn_status describe_port(const trn_file *f, const trn_record_port *ports, uint64_t count, uint32_t i,
                                trn_port_info *info) {
    if (i >= count || !info) return TRN_ARGUMENT;
    describe(f, ports[i].tensor, info);
    info->time_axis = ports[i].time_axis;
    info->batch_axis = ports[i].batch_axis;
    info->state = ports[i].fed ? TRN_NONE : ports[i].state;
    return TRN_OK;
}

trn_status trn_model_input(const trn_model *model, uint32_t i, trn_port_info *info) {
    return describe_port(&model->file, model->file.inputs, model->file.inputs_count, i, info);
}

trn_status trn_model_output(const trn_model *model, uint32_t i, trn_port_info *info) {
    return describe_port(&model->file, model->file.outputs, model->file.outputs_count, i, info);
}

trn_status trn_model_state(const trn_model *model, uint32_t i, trn_port_info *info) {
    const trn_file *f = &model->file;
    if (i >= f->states_count || !info) return TRN_ARGUMENT;
    describe(f, f->states[i].tensor, info);
    info->time_axis = -1;
    info->batch_axis = f->states[i].batch_axis;
    info->state = f->states[i].input;
    return TRN_OK;
}

const char *trn_model_symbol(const trn_model *model, uint32_t i) {
    const trn_file *f = &model->file;
    return i < f->symbols_count ? trn_string(f, f->symbols[i].name) : NULL;
}

const char *trn_model_metadata(const trn_model *model, uint32_t i, const char **value) {
    const trn_file *f = &model->file;
    if (i >= f->metadata_count) return NULL;
    if (value) *value = trn_string(f, f->metadata[i].value);
    return trn_string(f, f->metadata[i].key);
}

trn_status trn_model_bind(const trn_model *model, uint32_t i, uint32_t rank, const int64_t *dims, int64_t *values,
                          trn_error *error) {
    const trn_file *f = &model->file;
    if (i >= f->inputs_count || !values || (rank && !dims))
        return trn_fail(error, TRN_ARGUMENT, TRN_NOWHERE, "", "", "no input %u", i);
    const trn_record_tensor *t = &f->tensors[f->inputs[i].tensor];
    const char *name = trn_string(f, t->name);
    if (rank != t->rank)
        return trn_fail(error, TRN_SHAPE, TRN_NOWHERE, name, "rank", "found %u dimensions, expected %u", rank, t->rank);
    for (uint32_t k = 0; k < rank; k++) {
        uint32_t symbol = trn_dim_symbol(f, t->dims + k);
        int64_t expected = f->dims[t->dims + k].value;
        if (symbol == TRN_NONE && f->dims[t->dims + k].expression != TRN_NONE) continue;  // checked when it is planned
        if (symbol != TRN_NONE) {
            if (values[symbol] < 0) values[symbol] = dims[k];
            expected = values[symbol];
        }
        if (dims[k] != expected)
            return trn_fail(error, TRN_SHAPE, TRN_NOWHERE, name,
                            symbol == TRN_NONE ? "dims" : trn_model_symbol(model, symbol),
                            "dimension %u is %lld, expected %lld", k, (long long)dims[k], (long long)expected);
    }
    return TRN_OK;
}
