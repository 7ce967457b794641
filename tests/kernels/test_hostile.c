// SPDX-License-Identifier: Apache-2.0
// Damages .trnn files and saved states in a thousand ways each; every one must give a named error or a correct run.
//
//     test_hostile [--seed N] [--count N] [FILE.trnn...]
//
// Without files it damages some of its own. Build it with the address and undefined-behaviour sanitizers: they are what
// judges. Damage is done before opening (truncation, flipped bits, words in the wrong place, foreign numbers, with and
// without a repaired checksum, random bytes) and, to the weights, after opening, as when a file changes under its
// memory map.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models.h"

#define MAX_BYTES ((size_t)8 << 20)  // of a stream or a port; more is skipped
#define MAX_WORK  ((uint64_t)1 << 24)

static uint64_t random_state;

static uint64_t random_u64(void) {  // xorshift64*
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717u;
}

static size_t below(size_t n) { return n ? (size_t)(random_u64() % n) : 0; }

static unsigned opened, refused, ran, passed, failed;

static void expect(int condition, const char *what) {
    if (condition) {
        passed++;
        return;
    }
    failed++;
    fprintf(stderr, "failed: %s\n", what);
}

// Memory for the elements of one port, with random small values; NULL when it would be too large.
static void *port_memory(const trn_port_info *info, uint32_t rank, const int64_t *dims, int64_t frames) {
    size_t bytes = trn_dtype_size((uint8_t)info->dtype) * (size_t)frames;
    for (uint32_t k = 0; k < rank; k++) {
        if (dims[k] > 0 && bytes > MAX_BYTES / (size_t)dims[k]) return NULL;
        bytes *= (size_t)dims[k];
    }
    unsigned char *memory = malloc(bytes ? bytes : 1);
    if (!memory) return NULL;
    for (size_t i = 0; i < bytes; i++) memory[i] = (unsigned char)random_u64();
    if (info->dtype == trn_dtype_F32 && below(8))
        for (size_t i = 0; i < bytes / 4; i++) ((float *)(void *)memory)[i] = (float)below(2000) / 1000 - 1;
    int small = below(2) != 0;  // mostly valid indices and lengths: 0, or numbers around it
    for (size_t i = 0; info->dtype == trn_dtype_I64 && i < bytes / 8; i++)
        ((int64_t *)(void *)memory)[i] = small ? (int64_t)below(6) - 2 : 0;
    for (size_t i = 0; info->dtype == trn_dtype_I32 && i < bytes / 4; i++)
        ((int32_t *)(void *)memory)[i] = small ? (int32_t)below(6) - 2 : 0;
    return memory;
}

// Runs `steps` steps (0: one trn_stream_step) with fresh memory on every port.
static void run(trn_stream *stream, const trn_model *model, const trn_model_info *info, int64_t steps, int64_t frames) {
    void *inputs[64] = {0}, *outputs[64] = {0};
    int ready = info->input_count <= 64 && info->output_count <= 64;
    for (uint32_t i = 0; i < info->input_count && ready; i++) {
        trn_port_info port;
        uint32_t rank;
        int64_t dims[TRN_MAX_RANK];
        trn_model_input(model, i, &port);
        if (port.state != TRN_NONE && below(2)) continue;
        ready = trn_stream_input_shape(stream, i, steps ? steps : 1, &rank, dims) == TRN_OK &&
                (inputs[i] = port_memory(&port, rank, dims, frames)) != NULL;
    }
    for (uint32_t i = 0; i < info->output_count && ready; i++) {
        trn_port_info port;
        uint32_t rank;
        int64_t dims[TRN_MAX_RANK];
        trn_model_output(model, i, &port);
        if (port.state != TRN_NONE && below(2)) continue;
        ready = trn_stream_output_shape(stream, i, steps ? steps : 1, &rank, dims) == TRN_OK &&
                (outputs[i] = port_memory(&port, rank, dims, frames)) != NULL;
    }
    if (ready) {
        trn_status status = steps ? trn_stream_run(stream, (const void *const *)inputs, outputs, steps)
                                  : trn_stream_step(stream, (const void *const *)inputs, outputs);
        expect(status == TRN_OK || status == TRN_INDEX_RANGE || status == TRN_ARGUMENT, trn_status_name(status));
        ran += status == TRN_OK;
    }
    for (uint32_t i = 0; i < 64; i++) free(inputs[i]), free(outputs[i]);
}

static void damage_state(trn_stream *stream) {
    size_t size = trn_stream_saved_size(stream);
    if (size > MAX_BYTES) return;
    unsigned char *bytes = malloc(size + 1);
    expect(trn_stream_save(stream, bytes, size) == TRN_OK, "save");
    expect(trn_stream_restore(stream, bytes, size) == TRN_OK, "restore");
    size_t at = below(size), cut = below(size);
    unsigned char flip = (unsigned char)(1u << below(8));
    bytes[at] ^= flip;
    expect(trn_stream_restore(stream, bytes, size) == TRN_STATE, "restore of a damaged state");
    bytes[at] ^= flip;
    unsigned char *shorter = malloc(cut + 1);  // its own block, so that a read past its end is seen
    memcpy(shorter, bytes, cut);
    expect(trn_stream_restore(stream, shorter, cut) == TRN_STATE, "restore of a truncated state");
    free(shorter);
    free(bytes);
}

static void use_stream(const trn_model *model, const trn_model_info *info, const trn_stream_options *options,
                       unsigned char *weights, size_t weights_size) {
    size_t size;
    trn_stream *stream;
    trn_error error;
    if (trn_stream_size(model, options, &size, &error) != TRN_OK || size > MAX_BYTES) return;
    if (trn_stream_new(model, options, &stream, &error) != TRN_OK) return;
    if (trn_stream_work(stream) <= MAX_WORK) {
        int64_t whole = options->whole && info->time_symbol != TRN_NONE ? options->symbols[info->time_symbol] : 1;
        for (int i = 0; i < 2; i++) {
            if (options->whole) {
                run(stream, model, info, whole, 1);
            } else {
                run(stream, model, info, 0, 1);
                run(stream, model, info, 5, info->time_symbol == TRN_NONE ? 5 : 1);
            }
            for (size_t k = 0; k < 64 && weights_size; k++) weights[below(weights_size)] = (unsigned char)random_u64();
        }
        int64_t rows[2] = {0, (int64_t)below(3)};
        trn_stream_reset_rows(stream, rows, 2);
        damage_state(stream);
        expect(trn_stream_reset(stream) == TRN_OK, "reset");
    }
    trn_stream_free(stream);
}

// Opens size bytes and, if they pass for a model, uses them in every way.
static void try_bytes(const unsigned char *bytes, size_t size) {
    unsigned char *copy = aligned_alloc(64, (size + 64) / 64 * 64 + 64), *at;
    trn_model *model;
    trn_error error = {0};
    at = copy + ((size + 64) / 64 * 64 + 64 - size) / 8 * 8;  // as near to the end of the block as alignment allows
    memcpy(at, bytes, size);
    trn_status status = trn_model_open(at, size, below(2) ? TRN_OPEN_VERIFY : 0, &model, &error);
    if (status != TRN_OK) {
        refused++;
        expect(status == error.status && error.message[0] && strcmp(trn_status_name(status), "UNKNOWN"),
               "an error must be named");
        free(copy);
        return;
    }
    opened++;
    trn_model_info info;
    trn_model_info_get(model, &info);
    trn_port_info port;
    for (uint32_t i = 0; i <= info.input_count; i++) trn_model_input(model, i, &port);
    for (uint32_t i = 0; i <= info.output_count; i++) trn_model_output(model, i, &port);
    for (uint32_t i = 0; i <= info.state_count; i++) trn_model_state(model, i, &port);
    for (uint32_t i = 0; i <= info.metadata_count; i++) trn_model_metadata(model, i, NULL);
    int64_t symbols[TRN_LIMIT_SYMBOLS];
    for (uint32_t i = 0; i < TRN_LIMIT_SYMBOLS; i++) symbols[i] = (int64_t)below(6);
    unsigned char *weights = at + info.structure_size;
    trn_stream_options options = {
        .batch_size = (int64_t)below(4), .block_steps = (int64_t)below(5), .symbols = symbols};
    use_stream(model, &info, &options, weights, (size_t)info.weights_size);
    options.whole = 1;
    use_stream(model, &info, &options, weights, (size_t)info.weights_size);
    trn_model_close(model);
    free(copy);
}

static void repair(unsigned char *bytes, size_t size) {
    trn_record_preamble preamble;
    trn_record_header header;
    if (size < sizeof preamble + sizeof header) return;
    memcpy(&preamble, bytes, sizeof preamble);
    memcpy(&header, bytes + sizeof preamble, sizeof header);
    if (header.weights_offset > size || header.weights_offset < sizeof preamble) return;
    preamble.structure_checksum =
        trn_crc32(0, bytes + sizeof preamble, (size_t)header.weights_offset - sizeof preamble);
    preamble.weights_checksum = trn_crc32(0, bytes + header.weights_offset, size - (size_t)header.weights_offset);
    memcpy(bytes, &preamble, sizeof preamble);
}

// Numbers that break careless arithmetic.
static uint64_t foreign_number(void) {
    static const uint64_t numbers[] = {0,
                                       1,
                                       2,
                                       16,
                                       63,
                                       255,
                                       65535,
                                       0x7fffffff,
                                       0x80000000,
                                       0xffffffff,
                                       0x100000000,
                                       (uint64_t)1 << 40,
                                       (uint64_t)1 << 61,
                                       INT64_MAX,
                                       (uint64_t)1 << 63,
                                       UINT64_MAX};
    return below(4) ? numbers[below(sizeof numbers / sizeof numbers[0])] : random_u64() >> below(64);
}

static void damage(unsigned char *bytes, size_t size, size_t structure, int way) {
    for (size_t n = 1 + below(3); n > 0; n--) {
        size_t at = below(structure);
        if (way == 0) {
            bytes[at] ^= (unsigned char)(1u << below(8));
        } else if (way == 1) {  // another record's word: an index that exists, an expression, an enumerator
            memmove(bytes + at / 4 * 4, bytes + below(structure - 3) / 4 * 4, 4);
        } else {
            uint64_t number = foreign_number();
            size_t width = below(2) ? 8 : 4;
            at = at / 4 * 4;
            if (at + width <= size) memcpy(bytes + at, &number, width);
        }
    }
}

static void attack(const unsigned char *file, size_t size, unsigned count) {
    trn_record_header header;
    memcpy(&header, file + sizeof(trn_record_preamble), sizeof header);
    size_t structure = (size_t)header.weights_offset;
    unsigned char *bytes = malloc(size + 256);
    unsigned before = opened;
    try_bytes(file, size);
    expect(opened == before + 1, "the undamaged file must open");
    for (unsigned i = 0; i < count; i++) {
        memcpy(bytes, file, size);
        try_bytes(bytes, below(size));  // truncated
        damage(bytes, size, size, 0);   // a few bits
        try_bytes(bytes, size);
        for (int way = 0; way < 3; way++) {  // bits, words or numbers of the structure, its checksum made right
            memcpy(bytes, file, size);
            damage(bytes, size, structure, way);
            repair(bytes, size);
            try_bytes(bytes, size);
        }
        size_t random_size = below(4096);  // noise, now and then behind a true beginning
        size_t kept = below(2) ? 0 : below(random_size < size ? random_size : size);
        unsigned char *noise = malloc(random_size + 1);
        for (size_t k = 0; k < random_size; k++) noise[k] = k < kept ? file[k] : (unsigned char)random_u64();
        try_bytes(noise, random_size);
        free(noise);
    }
    free(bytes);
}

static void attack_own_models(unsigned count) {
    for (int i = 0; i < 6; i++) {
        builder b;
        if (i < 4) running_sums(&b, i);
        else if (i == 4) frame_sums(&b);
        else embedding(&b);
        attack(b.file, b.file_size, count);
        discard(&b);
    }
}

int main(int argc, char **argv) {
    uint64_t seed = 1;
    unsigned count = 200;
    int files = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--seed") && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 0);
            continue;
        }
        if (!strcmp(argv[i], "--count") && i + 1 < argc) {
            count = (unsigned)strtoul(argv[++i], NULL, 0);
            continue;
        }
        random_state = seed * 0x9e3779b97f4a7c15u + 1;
        FILE *file = fopen(argv[i], "rb");
        if (!file) {
            fprintf(stderr, "cannot open %s\n", argv[i]);
            return 2;
        }
        fseek(file, 0, SEEK_END);
        long size = ftell(file);
        rewind(file);
        unsigned char *bytes = malloc((size_t)size);
        expect(fread(bytes, 1, (size_t)size, file) == (size_t)size, "read");
        fclose(file);
        attack(bytes, (size_t)size, count);
        free(bytes);
        files++;
    }
    if (!files) {
        random_state = seed * 0x9e3779b97f4a7c15u + 1;
        attack_own_models(count);
    }
    printf("seed %llu, %d files: %u opened, %u refused, %u runs\n", (unsigned long long)seed, files, opened, refused,
           ran);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
