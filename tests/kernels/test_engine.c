// SPDX-License-Identifier: Apache-2.0
// The public header, promise by promise, on small models whose answers are known; and on every file that is given:
// steps, runs in blocks of any size and whole sequences must be the same bytes.
//
//     test_engine [FILE.trnn...]
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>

#include "arch/fpenv.h"
#include "models.h"
#include "ops/strided.h"
#include "stream.h"  // trn_stream_hold, to be the other thread

#define STEPS 21

static unsigned passed, failed;

static void expect_at(int condition, const char *what, int line) {
    if (condition) {
        passed++;
        return;
    }
    failed++;
    fprintf(stderr, "failed, line %d: %s\n", line, what);
}
#define EXPECT(condition) expect_at(condition, #condition, __LINE__)
#define OUT(...) \
    (void *[]) { __VA_ARGS__, NULL }
#define IN(...) \
    (const void *[]) { __VA_ARGS__, NULL }

static trn_model *open_of(const builder *b) {
    trn_model *model = NULL;
    EXPECT(trn_model_open(b->file, b->file_size, TRN_OPEN_VERIFY, &model, NULL) == TRN_OK);
    return model;
}

static trn_stream *stream_of(const trn_model *model, int64_t batch, int64_t block) {
    trn_stream *stream = NULL;
    trn_stream_options options = {.batch_size = batch, .block_steps = block};
    EXPECT(trn_stream_new(model, &options, &stream, NULL) == TRN_OK);
    return stream;
}

/* ---- Models: opening and describing ------------------------------------------------------------------------------ */

static trn_status status_of_changed(const builder *b, size_t at, unsigned char flip, size_t size, trn_error *error) {
    trn_model *model = NULL;
    unsigned char *copy = aligned_alloc(64, (b->file_size + 63) / 64 * 64);
    memcpy(copy, b->file, b->file_size);
    copy[at] ^= flip;
    trn_status status = trn_model_open(copy, size, TRN_OPEN_VERIFY, &model, error);
    trn_model_close(model);
    free(copy);
    return status;
}

static void test_open(void) {
    builder b;
    trn_model *model = NULL;
    trn_error error = {0};
    running_sums(&b, 0);
    EXPECT(trn_model_open(NULL, 1, 0, &model, &error) == TRN_ARGUMENT && error.status == TRN_ARGUMENT);
    EXPECT(trn_model_open(b.file, b.file_size, 0, NULL, NULL) == TRN_ARGUMENT);
    EXPECT(trn_model_open(b.file + 4, b.file_size - 4, 0, &model, &error) == TRN_ARGUMENT);
    EXPECT(!strcmp(error.field, "data") && strstr(error.message, "8 bytes"));
    EXPECT(status_of_changed(&b, 0, 1, b.file_size, &error) == TRN_NOT_A_MODEL);
    EXPECT(status_of_changed(&b, 4, 1, b.file_size, &error) == TRN_VERSION);
    EXPECT(status_of_changed(&b, 0, 0, b.file_size - 1, &error) == TRN_TRUNCATED);
    EXPECT(status_of_changed(&b, 0, 0, 3, &error) == TRN_NOT_A_MODEL);
    EXPECT(status_of_changed(&b, 0, 0, 20, &error) == TRN_TRUNCATED);
    EXPECT(status_of_changed(&b, 500, 1, b.file_size, &error) == TRN_CHECKSUM);
    EXPECT(!strcmp(error.field, "structure_checksum"));
    EXPECT(status_of_changed(&b, b.file_size - 1, 1, b.file_size, &error) == TRN_CHECKSUM);
    EXPECT(!strcmp(error.field, "weights_checksum"));
    EXPECT(trn_model_open_file("no/such/file.trnn", 0, &model, &error) == TRN_IO && error.message[0]);
    EXPECT(trn_model_open_file(".", 0, &model, &error) == TRN_IO);
    EXPECT(trn_model_open_file(NULL, 0, &model, &error) == TRN_ARGUMENT && !model);
    // 8-byte alignment is enough.
    unsigned char *shifted = aligned_alloc(64, b.file_size / 64 * 64 + 128);
    memcpy(shifted + 8, b.file, b.file_size);
    EXPECT(trn_model_open(shifted + 8, b.file_size, 0, &model, NULL) == TRN_OK);
    float x[2] = {1, 2}, y[2], last[2];
    trn_stream *stream = stream_of(model, 1, 0);
    EXPECT(trn_stream_step(stream, IN(x), OUT(y, last)) == TRN_OK && y[1] == 2);
    trn_stream_free(stream);
    trn_model_close(model);
    free(shifted);
    trn_model_close(NULL);
    trn_stream_free(NULL);
    discard(&b);
}

static void test_instruction_set(void) {
    builder b;
    trn_model *model = NULL;
    trn_error error = {0};
    frame_sums(&b);
    setenv("TINYRNN_ISA", "no-such-isa", 1);
    EXPECT(trn_model_open(b.file, b.file_size, 0, &model, &error) == TRN_ISA && strstr(error.message, "no-such-isa"));
    setenv("TINYRNN_ISA", "scalar", 1);
    EXPECT(trn_model_open(b.file, b.file_size, 0, &model, &error) == TRN_OK);
    EXPECT(!strcmp(trn_model_isa(model), "scalar"));
    trn_model_close(model);
    unsetenv("TINYRNN_ISA");
    discard(&b);
}

static void test_describe(void) {
    builder b;
    running_sums(&b, EXPLICIT | BATCH_FIRST);
    trn_model *model = open_of(&b);
    trn_model_info info;
    trn_port_info port;
    trn_model_info_get(model, &info);
    EXPECT(info.input_count == 2 && info.output_count == 2 && info.state_count == 1 && info.symbol_count == 2);
    EXPECT(info.streamable && !info.reason[0] && info.file_size == b.file_size && info.time_symbol == 0);
    EXPECT(trn_model_input(model, 0, &port) == TRN_OK && !strcmp(port.name, "x") && port.rank == 3);
    EXPECT(port.dims[1] == -1 && port.symbols[1] == 0 && port.dims[2] == 2 && port.symbols[2] == TRN_NONE);
    EXPECT(port.time_axis == 1 && port.batch_axis == 0 && port.state == TRN_NONE);
    EXPECT(trn_model_output(model, 1, &port) == TRN_OK && port.state == 0 && port.time_axis == -1);
    EXPECT(trn_model_state(model, 0, &port) == TRN_OK && !strcmp(port.name, "sum") && port.state == 1);
    EXPECT(trn_model_input(model, 2, &port) == TRN_ARGUMENT && trn_model_state(model, 1, &port) == TRN_ARGUMENT);
    EXPECT(trn_model_output(model, 0, NULL) == TRN_ARGUMENT);
    EXPECT(!strcmp(trn_model_symbol(model, 1), "batch") && !trn_model_symbol(model, 2));
    EXPECT(!trn_model_metadata(model, 0, NULL));
    EXPECT(!strcmp(trn_status_name(TRN_BUSY), "BUSY") && !strcmp(trn_status_name((trn_status)999), "UNKNOWN"));
    trn_model_close(model);
    discard(&b);
}

static void test_bind(void) {
    builder b;
    running_sums(&b, 0);
    trn_model *model = open_of(&b);
    trn_error error;
    int64_t values[2] = {-1, -1};
    EXPECT(trn_model_bind(model, 0, 3, (int64_t[]){7, 3, 2}, values, &error) == TRN_OK && values[0] == 7);
    EXPECT(values[1] == 3 && trn_model_bind(model, 0, 3, (int64_t[]){7, 3, 2}, values, NULL) == TRN_OK);
    EXPECT(trn_model_bind(model, 0, 3, (int64_t[]){7, 4, 2}, values, &error) == TRN_SHAPE);
    EXPECT(!strcmp(error.node, "x") && !strcmp(error.field, "batch"));
    EXPECT(trn_model_bind(model, 0, 2, (int64_t[]){7, 3}, values, &error) == TRN_SHAPE);
    EXPECT(trn_model_bind(model, 0, 3, (int64_t[]){7, 3, 9}, values, &error) == TRN_SHAPE);
    EXPECT(trn_model_bind(model, 1, 3, (int64_t[]){7, 3, 2}, values, &error) == TRN_ARGUMENT);
    EXPECT(trn_model_bind(model, 0, 3, NULL, values, &error) == TRN_ARGUMENT);
    trn_model_close(model);
    discard(&b);
}

/* ---- Streams ----------------------------------------------------------------------------------------------------- */

static void test_memory(void) {
    builder b;
    running_sums(&b, BATCH_FIRST);
    trn_model *model = open_of(&b);
    trn_stream_options options = {.batch_size = 3, .block_steps = 4};
    trn_memory_info parts;
    trn_stream *stream;
    trn_error error = {0};
    size_t size;
    EXPECT(trn_stream_size(model, &options, &size, &error) == TRN_OK);
    EXPECT(trn_stream_memory(model, &options, &parts, &error) == TRN_OK);
    EXPECT(parts.state + parts.plan + parts.arena == size);
    unsigned char *memory = aligned_alloc(64, size + 128);
    memset(memory, 0xa5, size + 128);
    EXPECT(trn_stream_init(model, &options, memory, size - 1, &stream, &error) == TRN_BUFFER_SIZE);
    EXPECT(trn_stream_init(model, &options, memory, 0, &stream, &error) == TRN_BUFFER_SIZE);
    EXPECT(trn_stream_init(model, &options, memory, 100, &stream, &error) == TRN_BUFFER_SIZE);
    EXPECT(trn_stream_init(model, &options, memory + 8, size, &stream, &error) == TRN_BUFFER_SIZE);
    EXPECT(trn_stream_init(model, &options, NULL, size, &stream, &error) == TRN_ARGUMENT);
    EXPECT(trn_stream_init(model, &options, memory, size, &stream, &error) == TRN_OK);
    float x[3 * STEPS * 2], y[3 * STEPS * 2], last[6];
    for (int i = 0; i < 3 * STEPS * 2; i++) x[i] = (float)i;
    EXPECT(trn_stream_run(stream, IN(x), OUT(y, last), STEPS) == TRN_OK && y[2] == x[0] + x[2]);
    for (size_t i = size; i < size + 128; i++) EXPECT(memory[i] == 0xa5);
    trn_stream_free(stream);  // nothing to free, and allowed
    free(memory);
    trn_model_close(model);
    discard(&b);
}

static void test_options(void) {
    builder b;
    trn_stream *stream;
    trn_error error;
    size_t size;
    running_sums(&b, 0);
    trn_model *model = open_of(&b);
    EXPECT(trn_stream_new(model, &(trn_stream_options){.batch_size = -1}, &stream, &error) == TRN_ARGUMENT);
    EXPECT(trn_stream_new(model, &(trn_stream_options){.block_steps = -1}, &stream, &error) == TRN_ARGUMENT);
    EXPECT(trn_stream_new(model, &(trn_stream_options){.whole = 1}, &stream, &error) == TRN_ARGUMENT);
    EXPECT(trn_stream_new(model, &(trn_stream_options){.batch_size = INT64_MAX}, &stream, &error) == TRN_OVERFLOW);
    EXPECT(trn_stream_new(model, &(trn_stream_options){.block_steps = INT64_MAX}, &stream, &error) == TRN_OVERFLOW);
    EXPECT(trn_stream_size(model, NULL, NULL, &error) == TRN_ARGUMENT);
    EXPECT(trn_stream_size(NULL, NULL, &size, &error) == TRN_ARGUMENT);
    int64_t negative[2] = {4, -2}, huge[2] = {INT64_MAX, INT64_MAX};
    trn_stream_options options = {.whole = 1, .symbols = negative};
    EXPECT(trn_stream_new(model, &options, &stream, &error) == TRN_SHAPE && !strcmp(error.field, "batch"));
    options.symbols = huge;
    EXPECT(trn_stream_new(model, &options, &stream, &error) == TRN_OVERFLOW);
    trn_model_close(model);
    discard(&b);
    frame_sums(&b);
    model = open_of(&b);
    EXPECT(trn_stream_new(model, &(trn_stream_options){.batch_size = 2}, &stream, &error) == TRN_SHAPE);
    trn_model_close(model);
    discard(&b);
}

// What the running sums of x are, in x's own layout.
static void expected_sums(const float *x, int64_t batch, int64_t steps, int batch_first, float *y) {
    for (int64_t r = 0; r < batch; r++)
        for (int i = 0; i < 2; i++) {
            float sum = 0;
            for (int64_t t = 0; t < steps; t++) {
                int64_t at = (batch_first ? r * steps + t : t * batch + r) * 2 + i;
                y[at] = sum += x[at];
            }
        }
}

static void test_runs(int kind, int64_t batch, int64_t block) {
    builder b;
    running_sums(&b, kind);
    trn_model *model = open_of(&b);
    trn_stream *stream = stream_of(model, batch, block);
    float x[4 * STEPS * 2], y[4 * STEPS * 2] = {0}, expected[4 * STEPS * 2], last[8], again[8], frame[8];
    size_t bytes = (size_t)(batch * STEPS * 2) * sizeof(float);
    int first = kind & BATCH_FIRST;
    const void *inputs[2] = {x, NULL};
    for (int i = 0; i < 4 * STEPS * 2; i++) x[i] = (float)(i % 37);
    expected_sums(x, batch, STEPS, first, expected);
    EXPECT(trn_stream_run(stream, inputs, OUT(y, last), STEPS) == TRN_OK && !memcmp(y, expected, bytes));
    for (int64_t r = 0; r < batch; r++)
        EXPECT(last[r * 2] == expected[(first ? r * STEPS + STEPS - 1 : (STEPS - 1) * batch + r) * 2]);
    // No steps: nothing computed, nothing left unwritten.
    memset(again, 0x5a, sizeof again);
    EXPECT(trn_stream_run(stream, inputs, OUT(y, again), 0) == TRN_OK);
    for (int64_t i = 0; i < batch * 2; i++) EXPECT(again[i] == (kind & EXPLICIT ? last[i] : 0));
    EXPECT(trn_stream_reset(stream) == TRN_OK);
    for (int64_t t = 0; t < STEPS; t++) {
        for (int64_t r = 0; r < batch; r++) memcpy(frame + r * 2, x + (first ? r * STEPS + t : t * batch + r) * 2, 8);
        EXPECT(trn_stream_step(stream, IN(frame, NULL), OUT(y, last)) == TRN_OK);
        for (int64_t r = 0; r < batch; r++)
            EXPECT(!memcmp(y + r * 2, expected + (first ? r * STEPS + t : t * batch + r) * 2, 8));
    }
    EXPECT(trn_stream_run(stream, inputs, OUT(y, last), -1) == TRN_ARGUMENT);
    trn_stream_free(stream);
    int64_t symbols[2] = {STEPS, batch};
    trn_stream_options options = {.whole = 1, .symbols = symbols};
    EXPECT(trn_stream_new(model, &options, &stream, NULL) == TRN_OK);
    for (int i = 0; i < 2; i++) {  // from the initial state, each time
        memset(y, 0, sizeof y);
        EXPECT(trn_stream_run(stream, inputs, OUT(y, last), STEPS) == TRN_OK && !memcmp(y, expected, bytes));
    }
    EXPECT(trn_stream_run(stream, inputs, OUT(y, last), STEPS - 1) == TRN_ARGUMENT);
    EXPECT(trn_stream_step(stream, inputs, OUT(y, last)) == TRN_ARGUMENT);
    trn_stream_free(stream);
    trn_model_close(model);
    discard(&b);
}

static void test_empty(void) {
    builder b;
    running_sums(&b, EXPLICIT);
    trn_model *model = open_of(&b);
    trn_stream *stream = NULL;
    float x[4], y[4], last[4] = {9, 9, 9, 9}, s[4] = {1, 2, 3, 4};
    int64_t no_time[2] = {0, 2}, no_batch[2] = {5, 0};
    trn_stream_options options = {.whole = 1, .symbols = no_time};
    EXPECT(trn_stream_new(model, &options, &stream, NULL) == TRN_OK);
    EXPECT(trn_stream_run(stream, IN(x, s), OUT(y, last), 0) == TRN_OK && !memcmp(last, s, sizeof s));
    trn_stream_free(stream);
    options.symbols = no_batch;
    EXPECT(trn_stream_new(model, &options, &stream, NULL) == TRN_OK);
    EXPECT(trn_stream_run(stream, IN(x, s), OUT(y, last), 5) == TRN_OK);
    EXPECT(trn_stream_reset_rows(stream, NULL, 0) == TRN_OK);
    trn_stream_free(stream);
    trn_model_close(model);
    discard(&b);
}

static void test_frames(void) {
    builder b;
    frame_sums(&b);
    trn_model *model = open_of(&b);
    trn_stream *stream = stream_of(model, 1, 0);
    float x[6] = {1, 2, 3, 10, 20, 30}, y[6];
    EXPECT(trn_stream_run(stream, IN(x), OUT(y), 2) == TRN_OK && y[0] == 1 && y[3] == 11 && y[5] == 33);
    EXPECT(trn_stream_step(stream, IN(x), OUT(y)) == TRN_OK && y[2] == 36);
    EXPECT(trn_stream_run(stream, IN(x), OUT(y), 0) == TRN_OK);
    trn_stream_free(stream);
    trn_model_close(model);
    discard(&b);
}

static void test_refused_calls(void) {
    builder b;
    running_sums(&b, EXPLICIT);
    trn_model *model = open_of(&b);
    trn_stream *stream = stream_of(model, 1, 0);
    float x[2] = {1, 2}, y[2], last[2], s[2] = {5, 5}, kept[2];
    // A call that is refused changes no state, though it was given one.
    EXPECT(trn_stream_step(stream, IN(x, s), (void *[]){NULL, last}) == TRN_ARGUMENT);
    EXPECT(!strcmp(trn_stream_error(stream)->node, "y"));
    EXPECT(trn_stream_step(stream, (const void *[]){NULL, s}, OUT(y, last)) == TRN_ARGUMENT);
    EXPECT(trn_stream_step(stream, NULL, OUT(y, last)) == TRN_ARGUMENT);
    EXPECT(trn_stream_step(stream, IN(x, s), NULL) == TRN_ARGUMENT);
    EXPECT(trn_stream_state_get(stream, 0, kept, 2) == TRN_OK && kept[0] == 0);
    EXPECT(trn_stream_step(stream, IN(x, s), (void *[]){y, NULL}) == TRN_OK && y[0] == 6);
    // The other thread.
    EXPECT(trn_stream_hold(stream) == TRN_OK);
    EXPECT(trn_stream_step(stream, IN(x, s), OUT(y, last)) == TRN_BUSY);
    EXPECT(trn_stream_run(stream, IN(x, s), OUT(y, last), 1) == TRN_BUSY && trn_stream_reset(stream) == TRN_BUSY);
    EXPECT(trn_stream_state_get(stream, 0, kept, 2) == TRN_BUSY && trn_stream_save(stream, y, 0) == TRN_BUSY);
    EXPECT(trn_stream_restore(stream, y, 0) == TRN_BUSY && trn_stream_reset_rows(stream, NULL, 0) == TRN_BUSY);
    EXPECT(trn_stream_state_set(stream, 0, kept, 2) == TRN_BUSY);
    trn_stream_release(stream);
    EXPECT(trn_stream_step(stream, IN(x, NULL), OUT(y, last)) == TRN_OK && last[0] == 7);
    trn_stream_free(stream);
    trn_model_close(model);
    discard(&b);
}

static uint64_t seed = 1;
static uint64_t number(void) { return next_number(&seed); }
static void fill(float *values, size_t n) {
    for (size_t i = 0; i < n; i++) values[i] = (float)(number() % 2001) / 1000.0f - 1.0f;
}

// Calls in any order, of one step or several, from given states or on from the last, at addresses that come again, behind
// calls that are refused: what they give is what single steps of another stream give, whose states are set.
static void test_any_calls(int kind) {
    enum { ALL = 40, WIDTH = 2 };
    builder b;
    running_sums(&b, kind);
    trn_model *model = open_of(&b);
    trn_stream *stream = stream_of(model, 1, 0), *twin = stream_of(model, 1, 0);
    float x[ALL * WIDTH], y[ALL * WIDTH], s[WIDTH], last[WIDTH], state[WIDTH], expected[ALL * WIDTH];
    for (int call = 0; call < 500; call++) {
        const size_t first = number() % 3 * 16, most = ALL - first, steps = number() % 2 ? 1 : 1 + number() % most;
        float *in = x + first * WIDTH, *out = y + first * WIDTH;
        const int with_state = number() % 2 > 0, with_last = number() % 2 > 0;
        const void *inputs[2] = {in, with_state ? s : NULL};
        void *outputs[2] = {out, with_last ? last : NULL};
        if (number() % 4 == 0)
            EXPECT(trn_stream_step(stream, IN(NULL, number() % 2 ? s : NULL), outputs) == TRN_ARGUMENT);
        if (number() % 4 == 0)
            EXPECT(trn_stream_step(stream, IN(in, number() % 2 ? s : NULL), (void *[]){NULL, last}) == TRN_ARGUMENT);
        fill(x, ALL * WIDTH), fill(s, WIDTH);
        if (with_state) EXPECT(trn_stream_state_set(twin, 0, s, WIDTH) == TRN_OK);
        for (size_t k = 0; k < steps; k++)
            EXPECT(trn_stream_step(twin, IN(in + k * WIDTH, NULL), OUT(expected + k * WIDTH, NULL)) == TRN_OK);
        if (steps == 1 && number() % 2) EXPECT(trn_stream_step(stream, inputs, outputs) == TRN_OK);
        else EXPECT(trn_stream_run(stream, inputs, outputs, (int64_t)steps) == TRN_OK);
        EXPECT(!memcmp(out, expected, steps * WIDTH * sizeof *out));
        const float *of_last = expected + (steps - 1) * WIDTH;
        if (with_last) EXPECT(!memcmp(last, of_last, sizeof last));
        EXPECT(trn_stream_state_get(stream, 0, state, WIDTH) == TRN_OK && !memcmp(state, of_last, sizeof state));
    }
    trn_stream_free(stream), trn_stream_free(twin);
    trn_model_close(model);
    discard(&b);
}

// Elements at any stride, and none between them.
static void test_copies(void) {
    enum { MOST = 21, ROOM = 3 * MOST };
    for (int64_t n = 0; n < MOST; n++)
        for (int64_t to = -3; to <= 3; to++)
            for (int64_t from = -3; from <= 3; from++) {
                uint32_t source[ROOM], destination[ROOM], expected[ROOM];
                if (to == 0) continue;
                for (uint32_t i = 0; i < ROOM; i++) source[i] = i + 1, destination[i] = expected[i] = 1000 + i;
                const int64_t s = from < 0 ? ROOM - 1 : 0, d = to < 0 ? ROOM - 1 : 0;
                for (int64_t i = 0; i < n; i++) expected[d + i * to] = source[s + i * from];
                trn_copy_words(n, destination + d, to, source + s, from);
                EXPECT(!memcmp(destination, expected, sizeof expected));
            }
}

static void test_indices(void) {
    builder b;
    embedding(&b);
    trn_model *model = open_of(&b);
    trn_stream *stream = stream_of(model, 1, 0);
    int64_t x[3] = {2, -3, 0};
    float y[6];
    EXPECT(trn_stream_run(stream, IN(x), OUT(y), 3) == TRN_OK && y[0] == 4 && y[2] == 0);
    static const int64_t outside[] = {3, -4, INT64_MAX, INT64_MIN};
    for (int i = 0; i < 4; i++) {
        x[1] = outside[i];
        EXPECT(trn_stream_run(stream, IN(x), OUT(y), 3) == TRN_INDEX_RANGE);
        EXPECT(trn_stream_error(stream)->status == TRN_INDEX_RANGE);
        EXPECT(!strcmp(trn_stream_error(stream)->field, "indices"));
    }
    // The mode of the thread is as it was, after success and failure.
    uint64_t before = trn_fpenv_get();
    trn_stream_step(stream, IN(x + 1), OUT(y));
    EXPECT((trn_fpenv_get() & TRN_FLUSH_BITS) == (before & TRN_FLUSH_BITS));
    trn_stream_run(stream, IN(x), OUT(y), 3);
    trn_stream_run(stream, IN(x), OUT(y), 1);
    EXPECT((trn_fpenv_get() & TRN_FLUSH_BITS) == (before & TRN_FLUSH_BITS));
    trn_fpenv_set(before | TRN_FLUSH_BITS);
    trn_stream_step(stream, IN(x), OUT(y));
    EXPECT((trn_fpenv_get() & TRN_FLUSH_BITS) == TRN_FLUSH_BITS);
    trn_fpenv_set(before);
    trn_stream_free(stream);
    trn_model_close(model);
    discard(&b);
}

/* ---- State ------------------------------------------------------------------------------------------------------- */

static void test_state(void) {
    builder b, other;
    running_sums(&b, 0);
    running_sums(&other, EXPLICIT);
    trn_model *model = open_of(&b), *foreign = open_of(&other);
    trn_stream *stream = stream_of(model, 2, 0), *twin = stream_of(model, 2, 4), *wide = stream_of(model, 3, 0),
               *stranger = stream_of(foreign, 2, 0);
    float x[4] = {1, 2, 3, 4}, y[4], last[4], values[4], set[4] = {10, 20, 30, 40};
    EXPECT(trn_stream_step(stream, IN(x), OUT(y, last)) == TRN_OK);
    EXPECT(trn_stream_state_get(stream, 0, values, 4) == TRN_OK && !memcmp(values, x, sizeof x));
    EXPECT(trn_stream_state_get(stream, 0, values, 3) == TRN_SHAPE);
    EXPECT(trn_stream_state_get(stream, 1, values, 4) == TRN_ARGUMENT);
    EXPECT(trn_stream_state_get(stream, 0, NULL, 4) == TRN_ARGUMENT);
    EXPECT(trn_stream_state_set(stream, 0, set, 5) == TRN_SHAPE);
    EXPECT(trn_stream_state_set(stream, 0, set, 4) == TRN_OK);
    size_t size = trn_stream_saved_size(stream);
    unsigned char *bytes = malloc(size + 1) /* unaligned on purpose */, *saved = bytes + 1;
    EXPECT(trn_stream_save(stream, saved, size - 1) == TRN_ARGUMENT);
    EXPECT(trn_stream_save(stream, NULL, size) == TRN_ARGUMENT);
    EXPECT(trn_stream_save(stream, saved, size) == TRN_OK);
    EXPECT(trn_stream_restore(twin, saved, size) == TRN_OK);
    EXPECT(trn_stream_state_get(twin, 0, values, 4) == TRN_OK && !memcmp(values, set, sizeof set));
    EXPECT(trn_stream_restore(wide, saved, size) == TRN_STATE);
    EXPECT(!strcmp(trn_stream_error(wide)->field, "batch"));
    EXPECT(trn_stream_restore(stranger, saved, size) == TRN_STATE);
    EXPECT(!strcmp(trn_stream_error(stranger)->field, "model"));
    EXPECT(trn_stream_restore(twin, NULL, size) == TRN_STATE && trn_stream_restore(twin, saved, 0) == TRN_STATE);
    for (size_t i = 0; i < size; i++) {
        saved[i] ^= 0x10;
        EXPECT(trn_stream_restore(twin, saved, size) == TRN_STATE);
        saved[i] ^= 0x10;
    }
    EXPECT(trn_stream_state_get(twin, 0, values, 4) == TRN_OK && !memcmp(values, set, sizeof set));
    int64_t row = 1, outside[2] = {0, 2};
    EXPECT(trn_stream_reset_rows(twin, outside, 2) == TRN_ARGUMENT);
    EXPECT(trn_stream_state_get(twin, 0, values, 4) == TRN_OK && values[0] == 10);
    EXPECT(trn_stream_reset_rows(twin, &row, 1) == TRN_OK && trn_stream_state_get(twin, 0, values, 4) == TRN_OK);
    EXPECT(values[1] == 20 && values[2] == 0 && values[3] == 0);
    free(bytes);
    trn_stream_free(stream), trn_stream_free(twin), trn_stream_free(wide), trn_stream_free(stranger);
    trn_model_close(model), trn_model_close(foreign);
    discard(&b), discard(&other);
}

/* ---- Files: one answer --------------------------------------------------------------------------------------------
 */

typedef struct port_memory {
    char *data[32];
    size_t bytes[32];
} port_memory;

// Memory for `steps` steps of every port, filled the same way each time; 0 where there are too many.
static int take(const trn_stream *stream, const trn_model *model, int64_t steps, port_memory *in, port_memory *out) {
    trn_model_info info;
    trn_model_info_get(model, &info);
    memset(in, 0, sizeof *in), memset(out, 0, sizeof *out);
    if (info.input_count > 32 || info.output_count > 32) return 0;
    for (uint32_t i = 0; i < info.input_count + info.output_count; i++) {
        int is_out = i >= info.input_count;
        uint32_t k = is_out ? i - info.input_count : i, rank;
        int64_t dims[TRN_MAX_RANK];
        trn_port_info port;
        (is_out ? trn_model_output : trn_model_input)(model, k, &port);
        (is_out ? trn_stream_output_shape : trn_stream_input_shape)(stream, k, steps, &rank, dims);
        size_t n = info.time_symbol == TRN_NONE && port.state == TRN_NONE ? (size_t)steps : 1;
        for (uint32_t axis = 0; axis < rank; axis++) n *= (size_t)dims[axis];
        port_memory *to = is_out ? out : in;
        to->bytes[k] = n * trn_dtype_size((uint8_t)port.dtype);
        to->data[k] = calloc(1, to->bytes[k] + 1);
        for (size_t e = 0; e < n && !is_out; e++) {
            size_t row = port.time_axis == 0 ? n / (size_t)steps : n;
            if (port.dtype == trn_dtype_F32)
                ((float *)(void *)to->data[k])[e] = (float)(e * 37 % 101 + row % 3) / 50 - 1;
            else if (port.dtype != trn_dtype_F64 && port.dtype != trn_dtype_F16)
                to->data[k][e * trn_dtype_size((uint8_t)port.dtype)] = (char)(e % 2);
        }
    }
    return 1;
}

static void give(port_memory *m) {
    for (int i = 0; i < 32; i++) free(m->data[i]);
}

static void same(const port_memory *a, const port_memory *b, const char *path, const char *what) {
    for (int i = 0; i < 32; i++) {
        int equal = a->bytes[i] == b->bytes[i] && (!a->bytes[i] || !memcmp(a->data[i], b->data[i], a->bytes[i]));
        if (!equal) fprintf(stderr, "%s: output %d: %s\n", path, i, what);
        EXPECT(equal);
    }
}

// Runs in blocks of several sizes, and whole where no symbol is open, beside single steps in blocks of one.
static void check_file(const char *path) {
    trn_model *model = NULL;
    trn_error error;
    trn_model_info info;
    trn_status opened = trn_model_open_file(path, TRN_OPEN_VERIFY, &model, &error);
    if (opened != TRN_OK) fprintf(stderr, "%s: %s\n", path, error.message);
    EXPECT(opened == TRN_OK);
    if (!model) return;
    trn_model_info_get(model, &info);
    port_memory in, expected, got;
    int64_t symbols[TRN_LIMIT_SYMBOLS];
    for (uint32_t i = 0; i < info.symbol_count; i++)
        symbols[i] = i == info.time_symbol ? STEPS : i == info.batch_symbol ? 2 : 3;
    trn_stream_options options = {
        .batch_size = info.batch_symbol == TRN_NONE ? 1 : 2, .block_steps = 1, .symbols = symbols};
    trn_stream *stream;
    if (trn_stream_new(model, &options, &stream, &error) == TRN_OK) {
        if (take(stream, model, STEPS, &in, &expected)) {
            trn_status status =
                trn_stream_run(stream, (const void *const *)in.data, (void *const *)expected.data, STEPS);
            for (options.block_steps = 2; options.block_steps < 40; options.block_steps *= 3) {
                trn_stream *blocks = NULL;
                EXPECT(trn_stream_new(model, &options, &blocks, &error) == TRN_OK);
                give(&in), take(blocks, model, STEPS, &in, &got);
                EXPECT(trn_stream_run(blocks, (const void *const *)in.data, (void *const *)got.data, STEPS) == status);
                if (status == TRN_OK) same(&got, &expected, path, "blocks differ from single steps");
                give(&got), trn_stream_free(blocks);
            }
            trn_stream *whole = NULL;
            options.whole = info.time_symbol != TRN_NONE;
            if (options.whole && status == TRN_OK && trn_stream_new(model, &options, &whole, &error) == TRN_OK) {
                give(&in), take(whole, model, STEPS, &in, &got);
                EXPECT(trn_stream_run(whole, (const void *const *)in.data, (void *const *)got.data, STEPS) == TRN_OK);
                same(&got, &expected, path, "the whole sequence differs from single steps");
                give(&got), trn_stream_free(whole);
            }
        }
        give(&in), give(&expected);
        trn_stream_free(stream);
    }
    trn_model_close(model);
}

int main(int argc, char **argv) {
    test_open();
    test_instruction_set();
    test_describe();
    test_bind();
    test_memory();
    test_options();
    for (int kind = 0; kind < 4; kind++)
        for (int64_t batch = 1; batch <= 4; batch += 3)
            for (int64_t block = 0; block <= STEPS + 1; block += block == 3 ? 18 : 1) test_runs(kind, batch, block);
    test_empty();
    test_frames();
    test_refused_calls();
    test_any_calls(EXPLICIT), test_any_calls(EXPLICIT | SQUASHED);
    test_copies();
    test_indices();
    test_state();
    for (int i = 1; i < argc; i++) check_file(argv[i]);
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
