// SPDX-License-Identifier: Apache-2.0
// The state of a stream as values and as saved bytes.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os")  // hardly ever in a step
#endif
#include <stdlib.h>

#include "stream.h"

// At any address: saved bytes and a caller's memory need not be aligned, as trn_copy_words wants them.
static void copy_floats(int64_t n, char *to, int64_t to_stride, const char *from, int64_t from_stride) {
    const int64_t size = sizeof(float);
    if (to_stride == 1 && from_stride == 1) memcpy(to, from, (size_t)(n * size));
    else
        for (int64_t i = 0; i < n; i++) memcpy(to + i * to_stride * size, from + i * from_stride * size, sizeof(float));
}

// So many elements of a state, from `first` on; without `from` they become 0. Whole multiples of its parts.
static void put_elements(const trn_state *state, int64_t first, int64_t count, const char *from) {
    const int64_t n = count / state->parts;
    for (int64_t part = 0; part < state->parts; part++) {
        float *to = state->values + (part * state->count + first) / state->parts;
        if (from) copy_floats(n, (char *)to, 1, from + (size_t)part * sizeof(float), state->parts);
        else memset(to, 0, (size_t)n * sizeof(float));
    }
}

void trn_state_put(const trn_state *state, const void *from) { put_elements(state, 0, state->count, from); }

void trn_state_take(const trn_state *state, void *to) {
    const int64_t n = state->count / state->parts;
    for (int64_t part = 0; part < state->parts; part++)
        copy_floats(n, (char *)to + (size_t)part * sizeof(float), state->parts, (const char *)(state->values + part * n), 1);
}

static void reset_row(const trn_state *state, int64_t batch, int64_t row) {
    int64_t initial_rows = state->initial_per_row ? batch : 1;
    for (int64_t o = 0; o < state->outer; o++) {
        const float *from = state->initial;
        if (from) from += (o * initial_rows + (state->initial_per_row ? row : 0)) * state->inner;
        put_elements(state, (o * batch + row) * state->inner, state->inner, (const char *)from);
    }
}

// Rows of a state: the batch, or 1 without a batch axis.
static int64_t rows_of(const trn_stream *s, uint64_t i) {
    return s->model->file.states[i].batch_axis == -1 ? 1 : s->batch;
}

void trn_states_reset(trn_stream *s) {
    for (uint64_t i = 0; i < s->model->file.states_count; i++)
        for (int64_t row = 0; row < rows_of(s, i); row++) reset_row(&s->states[i], rows_of(s, i), row);
}

trn_status trn_stream_reset(trn_stream *s) {
    trn_status status = trn_stream_hold(s);
    if (status != TRN_OK) return status;
    trn_states_reset(s);
    trn_stream_release(s);
    return TRN_OK;
}

static trn_status check_rows(trn_stream *s, const int64_t *rows, size_t row_count) {
    const trn_file *f = &s->model->file;
    for (size_t i = 0; i < row_count; i++)
        if (rows[i] < 0 || rows[i] >= s->batch)
            return trn_fail(&s->error, TRN_ARGUMENT, TRN_NOWHERE, "", "rows", "found row %lld, the batch has %lld",
                            (long long)rows[i], (long long)s->batch);
    for (uint64_t i = 0; i < f->states_count && s->batch > 1 && row_count > 0; i++)
        if (f->states[i].batch_axis == -1)
            return trn_fail(&s->error, TRN_UNSUPPORTED, TRN_NOWHERE, trn_state_name(s, i), "rows",
                            "the state has no batch axis: reset all rows at once");
    return TRN_OK;
}

trn_status trn_stream_reset_rows(trn_stream *s, const int64_t *rows, size_t row_count) {
    trn_status status = trn_stream_hold(s);
    if (status != TRN_OK) return status;
    status = check_rows(s, rows, row_count);
    for (uint64_t i = 0; i < s->model->file.states_count && status == TRN_OK; i++)
        for (size_t r = 0; r < row_count; r++) reset_row(&s->states[i], rows_of(s, i), rows[r]);
    trn_stream_release(s);
    return status;
}

static trn_status check_count(trn_stream *s, uint32_t state, const void *values, size_t count) {
    if (state >= s->model->file.states_count || !values)
        return trn_fail(&s->error, TRN_ARGUMENT, TRN_NOWHERE, "", "state", "no state %u", state);
    if (count != (uint64_t)s->states[state].count)
        return trn_fail(&s->error, TRN_SHAPE, TRN_NOWHERE, trn_state_name(s, state), "count",
                        "found %zu values, expected %lld", count, (long long)s->states[state].count);
    return TRN_OK;
}

trn_status trn_stream_state_get(trn_stream *s, uint32_t state, float *values, size_t count) {
    trn_status status = trn_stream_hold(s);
    if (status != TRN_OK) return status;
    status = check_count(s, state, values, count);
    if (status == TRN_OK) trn_state_take(&s->states[state], values);
    trn_stream_release(s);
    return status;
}

trn_status trn_stream_state_set(trn_stream *s, uint32_t state, const float *values, size_t count) {
    trn_status status = trn_stream_hold(s);
    if (status != TRN_OK) return status;
    status = check_count(s, state, values, count);
    if (status == TRN_OK) trn_state_put(&s->states[state], values);
    trn_stream_release(s);
    return status;
}

/* Saved states: this header, a count of elements for each state, the elements, a CRC-32 of all before it. */

#define SAVED_MAGIC   0x534e5254u  // TRNS
#define SAVED_VERSION 1

typedef struct saved_header {
    uint32_t magic, version;
    uint32_t structure_checksum, weights_checksum;
    int64_t batch;
    uint64_t state_count;
} saved_header;

static saved_header header_of(const trn_stream *s) {
    const trn_file *f = &s->model->file;
    return (saved_header){.magic = SAVED_MAGIC,
                          .version = SAVED_VERSION,
                          .structure_checksum = f->preamble.structure_checksum,
                          .weights_checksum = f->preamble.weights_checksum,
                          .batch = s->batch,
                          .state_count = f->states_count};
}

size_t trn_stream_saved_size(const trn_stream *s) {
    size_t size = sizeof(saved_header) + sizeof(uint32_t);
    for (uint64_t i = 0; i < s->model->file.states_count; i++)
        size += sizeof(uint64_t) + (size_t)s->states[i].count * sizeof(float);
    return size;
}

trn_status trn_stream_save(trn_stream *s, void *bytes, size_t size) {
    trn_status status = trn_stream_hold(s);
    if (status != TRN_OK) return status;
    size_t needed = trn_stream_saved_size(s);
    if (!bytes || size != needed) {
        status = trn_fail(&s->error, TRN_ARGUMENT, TRN_NOWHERE, "", "size", "found %zu bytes, the state takes %zu",
                          size, needed);
    } else {
        char *to = bytes;
        saved_header header = header_of(s);
        memcpy(to, &header, sizeof header);
        to += sizeof header;
        for (uint64_t i = 0; i < header.state_count; i++) {
            uint64_t count = (uint64_t)s->states[i].count;
            memcpy(to, &count, sizeof count);
            trn_state_take(&s->states[i], to + sizeof count);
            to += sizeof count + (size_t)count * sizeof(float);
        }
        uint32_t crc = trn_crc32(0, bytes, needed - sizeof crc);
        memcpy(to, &crc, sizeof crc);
    }
    trn_stream_release(s);
    return status;
}

static trn_status check_saved(trn_stream *s, const char *bytes, size_t size) {
    saved_header found, expected = header_of(s);
    size_t needed = trn_stream_saved_size(s);
    uint32_t crc;
    if (!bytes || size < sizeof found + sizeof crc)
        return trn_fail(&s->error, TRN_STATE, TRN_NOWHERE, "", "", "%zu bytes are no saved state", size);
    memcpy(&found, bytes, sizeof found);
    if (found.magic != expected.magic) return trn_fail(&s->error, TRN_STATE, 0, "", "magic", "this is no saved state");
    if (found.version != expected.version)
        return trn_fail(&s->error, TRN_STATE, 4, "", "version",
                        "the state was saved by version %u, this library reads %u", found.version, expected.version);
    if (found.structure_checksum != expected.structure_checksum || found.weights_checksum != expected.weights_checksum)
        return trn_fail(&s->error, TRN_STATE, 8, "", "model", "the state was saved by another model");
    if (found.batch != expected.batch)
        return trn_fail(&s->error, TRN_STATE, 16, "", "batch", "the state has %lld rows, the stream %lld",
                        (long long)found.batch, (long long)expected.batch);
    if (size != needed || found.state_count != expected.state_count)
        return trn_fail(&s->error, TRN_STATE, TRN_NOWHERE, "", "size", "found %zu bytes, the state takes %zu", size,
                        needed);
    memcpy(&crc, bytes + size - sizeof crc, sizeof crc);
    if (crc != trn_crc32(0, bytes, size - sizeof crc))
        return trn_fail(&s->error, TRN_STATE, TRN_NOWHERE, "", "checksum", "the saved state is damaged");
    const char *from = bytes + sizeof found;
    for (uint64_t i = 0; i < expected.state_count; i++) {
        uint64_t count;
        memcpy(&count, from, sizeof count);
        if (count != (uint64_t)s->states[i].count)
            return trn_fail(&s->error, TRN_STATE, TRN_NOWHERE, trn_state_name(s, i), "count", "the sizes differ");
        from += sizeof count + (size_t)count * sizeof(float);
    }
    return TRN_OK;
}

trn_status trn_stream_restore(trn_stream *s, const void *bytes, size_t size) {
    trn_status status = trn_stream_hold(s);
    if (status != TRN_OK) return status;
    status = check_saved(s, bytes, size);
    const char *from = status == TRN_OK ? (const char *)bytes + sizeof(saved_header) : NULL;
    for (uint64_t i = 0; i < s->model->file.states_count && from; i++) {
        trn_state_put(&s->states[i], from + sizeof(uint64_t));
        from += sizeof(uint64_t) + (size_t)s->states[i].count * sizeof(float);
    }
    trn_stream_release(s);
    return status;
}
