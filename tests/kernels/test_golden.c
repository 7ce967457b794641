// SPDX-License-Identifier: Apache-2.0
// Golden cases, on every instruction set that the processor has: the committed bytes from a whole sequence and, where
// the model is streamable, from single steps and from chunks. tests/golden.py says what the files hold.
//
//     test_golden [FOLDER...]      tests/golden without one
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dispatch.h"
#include "reader.h"

enum { FUSED, NEAR, EVERYWHERE };
enum { MOST = 128 };  // inputs, outputs or symbols of a case

static const struct {
    const char *name;
    int fused;
} instruction_sets[] = {
#define TRN_ISA(name, features, fused) {#name, fused},
#include "isa.def"
};

typedef struct array {
    int64_t dtype, rank, size;
    const int64_t *dims;
    const unsigned char *data;
} array;

typedef struct golden {
    const char *name;
    void *model_bytes, *io_bytes;
    size_t model_size;
    int64_t promise, frames, input_count, output_count;
    array inputs[MOST], outputs[MOST];
} golden;

// One model in one instruction set.
typedef struct session {
    const golden *g;
    const char *isa;
    int fused, settled;
    trn_model *model;
    int64_t symbols[MOST], steps;
    trn_port_info inputs[MOST], outputs[MOST];
    unsigned char *expected[MOST];  // the committed bytes, or this class's own
} session;

static unsigned long failed, runs;

static int fail(const session *s, const char *how, const char *what) {
    fprintf(stderr, "failed: %s, %s, %s: %s\n", s->g->name, s->isa, how, what);
    failed++;
    return 0;
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

// The bytes at a multiple of 64; NULL when the file cannot be read.
static void *read_all(const char *folder, const char *name, const char *ending, size_t *size) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, ending);
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = aligned_alloc(64, *size / 64 * 64 + 64);
    size_t got = fread(bytes, 1, *size, file);
    fclose(file);
    bytes[got] = 0;
    if (got == *size) return bytes;
    free(bytes);
    return NULL;
}

static const int64_t *read_array(const int64_t *from, array *to) {
    to->dtype = from[0];
    to->rank = from[1];
    to->dims = from + 2;
    to->size = from[2 + to->rank];
    to->data = (const unsigned char *)(from + 3 + to->rank);
    return from + 3 + to->rank + (to->size + 7) / 8;
}

static int read_case(const char *folder, const char *name, golden *g) {
    size_t size;
    *g = (golden){.name = name};
    g->model_bytes = read_all(folder, name, ".trnn", &g->model_size);
    g->io_bytes = read_all(folder, name, ".io", &size);
    const int64_t *at = g->io_bytes;
    if (!g->model_bytes || !at || size < 40 || memcmp(at, "TRNGOLD1", 8) != 0 || at[3] > MOST || at[4] > MOST) return 0;
    g->promise = at[1], g->frames = at[2], g->input_count = at[3], g->output_count = at[4];
    at += 5;
    for (int64_t i = 0; i < g->input_count; i++) at = read_array(at, &g->inputs[i]);
    for (int64_t i = 0; i < g->output_count; i++) at = read_array(at, &g->outputs[i]);
    return (size_t)((const char *)at - (const char *)g->io_bytes) == size;
}

static void free_case(golden *g) {
    free(g->model_bytes);
    free(g->io_bytes);
}

/* ---- Comparison -------------------------------------------------------------------------------------------------- */

static int near(const array *want, const unsigned char *got) {
    if (want->dtype != trn_dtype_F32) return memcmp(want->data, got, (size_t)want->size) == 0;
    for (int64_t i = 0; i < want->size; i += 4) {
        float a, b;
        memcpy(&a, want->data + i, 4);
        memcpy(&b, got + i, 4);
        if (!(a == b || fabsf(a - b) <= 1e-4f * fmaxf(1.0f, fabsf(a)))) return 0;
    }
    return 1;
}

// The first run of a class of rounding that has bytes of its own says what the others must give.
static int settle(session *s, const char *how, unsigned char *const *got) {
    s->settled = 1;
    if (s->fused || s->g->promise == EVERYWHERE) return 1;
    for (int64_t i = 0; i < s->g->output_count; i++) {
        if (s->g->promise == NEAR && !near(&s->g->outputs[i], got[i])) return fail(s, how, s->outputs[i].name);
        memcpy(s->expected[i], got[i], (size_t)s->g->outputs[i].size);
    }
    return 1;
}

static int same(session *s, const char *how, unsigned char *const *got) {
    if (!s->settled && !settle(s, how, got)) return 0;
    for (int64_t i = 0; i < s->g->output_count; i++)
        if (memcmp(s->expected[i], got[i], (size_t)s->g->outputs[i].size) != 0) return fail(s, how, s->outputs[i].name);
    runs++;
    return 1;
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

// The time axis of a port; stacks of frames have theirs in front, a state has none.
static int64_t time_axis(const golden *g, const trn_port_info *port) {
    return g->frames ? (port->state == TRN_NONE ? 0 : -1) : port->time_axis;
}

// Copies steps first to first + count of `whole`, out of it or (back) into it, to or from an array of their own.
static void cut(const array *whole, int64_t axis, int64_t first, int64_t count, unsigned char *to,
                unsigned char *back) {
    size_t outer = 1, inner = trn_dtype_size((uint8_t)whole->dtype);
    for (int64_t k = 0; k < axis; k++) outer *= (size_t)whole->dims[k];
    for (int64_t k = axis + 1; k < whole->rank; k++) inner *= (size_t)whole->dims[k];
    size_t steps = axis < 0 ? 1 : (size_t)whole->dims[axis], taken = axis < 0 ? 1 : (size_t)count;
    for (size_t o = 0; o < outer; o++) {
        size_t at = (o * steps + (axis < 0 ? 0 : (size_t)first)) * inner;
        if (back) memcpy(back + at, to + o * taken * inner, taken * inner);
        else memcpy(to + o * taken * inner, whole->data + at, taken * inner);
    }
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// A stream, `chunk` steps at a time (0: by trn_stream_step; -1: 1, 2, 3, ... steps).
static void run_stream(session *s, const char *how, int64_t chunk) {
    const golden *g = s->g;
    trn_stream *stream = NULL;
    trn_error error = {0};
    trn_model_info info;
    trn_model_info_get(s->model, &info);
    trn_stream_options options = {.symbols = s->symbols};
    if (info.batch_symbol != TRN_NONE) options.batch_size = s->symbols[info.batch_symbol];
    unsigned char *in[MOST], *out[MOST], *got[MOST];
    for (int64_t i = 0; i < g->input_count; i++) in[i] = malloc((size_t)g->inputs[i].size + 1);
    for (int64_t i = 0; i < g->output_count; i++) {
        out[i] = malloc((size_t)g->outputs[i].size + 1);
        got[i] = calloc((size_t)g->outputs[i].size + 1, 1);
    }
    int ok = trn_stream_new(s->model, &options, &stream, &error) == TRN_OK || fail(s, how, error.message);
    int64_t next = chunk < 0 ? 1 : chunk ? chunk : 1;
    for (int64_t at = 0; at < s->steps && ok; at += next, next += chunk < 0) {
        int64_t n = smaller(next, s->steps - at);
        const void *given[MOST];
        for (int64_t i = 0; i < g->input_count; i++) {
            cut(&g->inputs[i], time_axis(g, &s->inputs[i]), at, n, in[i], NULL);
            given[i] = g->inputs[i].dtype < 0 || (at && s->inputs[i].state != TRN_NONE) ? NULL : in[i];
        }
        trn_status status = chunk ? trn_stream_run(stream, given, (void *const *)out, n)
                                  : trn_stream_step(stream, given, (void *const *)out);
        ok = status == TRN_OK || fail(s, how, trn_stream_error(stream)->message);
        for (int64_t i = 0; i < g->output_count && ok; i++)
            cut(&g->outputs[i], time_axis(g, &s->outputs[i]), at, n, out[i], got[i]);
    }
    if (ok) same(s, how, got);
    trn_stream_free(stream);
    for (int64_t i = 0; i < g->input_count; i++) free(in[i]);
    for (int64_t i = 0; i < g->output_count; i++) free(out[i]), free(got[i]);
}

static int run_whole(session *s) {
    const golden *g = s->g;
    trn_stream *stream = NULL;
    trn_error error = {0};
    trn_stream_options options = {.symbols = s->symbols, .whole = 1};
    const void *in[MOST];
    unsigned char *got[MOST];
    for (int64_t i = 0; i < g->input_count; i++) in[i] = g->inputs[i].dtype < 0 ? NULL : g->inputs[i].data;
    for (int64_t i = 0; i < g->output_count; i++) got[i] = malloc((size_t)g->outputs[i].size + 1);
    int ok = trn_stream_new(s->model, &options, &stream, &error) == TRN_OK || fail(s, "whole", error.message);
    ok = ok && (trn_stream_run(stream, in, (void *const *)got, s->steps) == TRN_OK ||
                fail(s, "whole", trn_stream_error(stream)->message));
    ok = ok && same(s, "whole", got);
    trn_stream_free(stream);
    for (int64_t i = 0; i < g->output_count; i++) free(got[i]);
    return ok;
}

// What the arrays say of the model's sizes; 0 when they do not fit it.
static int bind(session *s) {
    const golden *g = s->g;
    trn_model_info info;
    trn_error error = {0};
    trn_model_info_get(s->model, &info);
    if (info.input_count != g->input_count || info.output_count != g->output_count || info.symbol_count > MOST)
        return fail(s, "sizes", "other inputs, outputs or symbols");
    for (uint32_t i = 0; i < MOST; i++) s->symbols[i] = -1;
    for (uint32_t i = 0; i < info.input_count; i++) {
        const array *a = &g->inputs[i];
        trn_model_input(s->model, i, &s->inputs[i]);
        const uint32_t skip = g->frames && s->inputs[i].state == TRN_NONE;
        if (a->dtype < 0) continue;
        if (a->dtype != s->inputs[i].dtype) return fail(s, "sizes", s->inputs[i].name);
        if (trn_model_bind(s->model, i, (uint32_t)a->rank - skip, a->dims + skip, s->symbols, &error) != TRN_OK)
            return fail(s, "sizes", error.message);
    }
    for (uint32_t i = 0; i < info.output_count; i++) {
        trn_model_output(s->model, i, &s->outputs[i]);
        if (g->outputs[i].dtype != s->outputs[i].dtype) return fail(s, "sizes", s->outputs[i].name);
    }
    s->steps = g->frames ? g->frames : info.time_symbol == TRN_NONE ? 1 : s->symbols[info.time_symbol];
    return 1;
}

static void run_case(const golden *g, const char *isa, int fused) {
    session s = {.g = g, .isa = isa, .fused = fused};
    trn_error error = {0};
    trn_model_info info;
    setenv("TINYRNN_ISA", isa, 1);
    if (trn_model_open(g->model_bytes, g->model_size, TRN_OPEN_VERIFY, &s.model, &error) != TRN_OK) {
        fail(&s, "open", error.message);
        return;
    }
    for (int64_t i = 0; i < g->output_count; i++) {
        s.expected[i] = malloc((size_t)g->outputs[i].size + 1);
        memcpy(s.expected[i], g->outputs[i].data, (size_t)g->outputs[i].size);
    }
    trn_model_info_get(s.model, &info);
    if (bind(&s) && (g->frames || run_whole(&s)) && info.streamable) {
        run_stream(&s, "steps", 0);
        run_stream(&s, "chunks of 1, 2, 3, ...", -1);
        run_stream(&s, "chunks of 4", 4);
    }
    for (int64_t i = 0; i < g->output_count; i++) free(s.expected[i]);
    trn_model_close(s.model);
}

static void run_folder(const char *folder) {
    size_t size;
    unsigned long cases = 0;
    char *list = read_all(folder, "SHA256SUMS", "", &size), *line = list;
    while (line && *line) {
        char *end = strchr(line, '\n'), *name = line + 66;  // a checksum and two spaces
        if (!end) break;
        *end = 0;
        if (end - name > 5 && !strcmp(end - 5, ".trnn")) {
            golden g;
            end[-5] = 0;
            if (read_case(folder, name, &g)) {
                for (size_t i = 0; i < sizeof instruction_sets / sizeof *instruction_sets; i++)
                    if (trn_ukernels_by_name(instruction_sets[i].name))
                        run_case(&g, instruction_sets[i].name, instruction_sets[i].fused);
                cases++;
            } else {
                fprintf(stderr, "failed: %s/%s cannot be read\n", folder, name);
                failed++;
            }
            free_case(&g);
        }
        line = end + 1;
    }
    if (!cases) failed++;
    printf("%s: %lu cases\n", folder, cases);
    free(list);
}

int main(int count, char **arguments) {
    char folder[1024];
    for (int i = 1; i < count; i++) run_folder(arguments[i]);
    if (count < 2) {
        snprintf(folder, sizeof folder, "%s", __FILE__);  // .../tests/kernels/test_golden.c
        for (int up = 0; up < 2; up++) *strrchr(folder, '/') = 0;
        strncat(folder, "/golden", sizeof folder - strlen(folder) - 1);
        run_folder(folder);
    }
    for (size_t i = 0; i < sizeof instruction_sets / sizeof *instruction_sets; i++)
        if (trn_ukernels_by_name(instruction_sets[i].name)) printf("%s ", instruction_sets[i].name);
    printf("\n%lu runs passed, %lu failed\n", runs, failed);
    return failed != 0;
}
