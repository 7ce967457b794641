// SPDX-License-Identifier: Apache-2.0
// Times calls of one model at the C level, or the streaming reads that bound them; prints one JSON object a line.
//
//     step MODEL.trnn [--call step|run|whole] [--steps T] [--batch B] [ACTION]
//     step --ceiling BYTES [ACTION]
//     step --build
//
// --call step   trn_stream_step, the state goes on (the default)
//        run    trn_stream_run of T steps, the state goes on
//        whole  trn_stream_run of a whole sequence of T steps from the initial state
// ACTION        --seconds S  measure for about S seconds (the default, 1): median and p99 of a call
//               --count N    N calls and nothing else, for a tool that counts instructions
//               --feed       inputs of call after call from standard input to outputs on standard output, float32
//               --serve      commands from standard input: `time N`, N calls timed together; `each N`, one by one
#define _GNU_SOURCE  // clock_gettime and getrusage
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "ceiling.h"
#include "tinyrnn.h"

enum { MAX_PORTS = 64, MAX_SYMBOLS = 16, MAX_SAMPLES = 100000 };

typedef enum { CALL_STEP, CALL_RUN, CALL_WHOLE, CALL_CEILING } call_kind;

// What is timed, and the buffers of its calls.
typedef struct subject {
    call_kind kind;
    long steps, batch;
    trn_model *model;
    trn_stream *stream;
    const void *inputs[MAX_PORTS];  // the first is x; the others are tied states, which the stream keeps
    void *outputs[MAX_PORTS];       // the first is y
    float *x, *y;                   // [steps, batch, features], as the model declares it
    size_t x_count, y_count;
    size_t bytes;  // of CALL_CEILING
    void *memory;  // [bytes]
} subject;

static int fail(const char *what, const char *why) { return fprintf(stderr, "step: %s: %s\n", what, why), 1; }

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// How often another process took the core from this one.
static long preemptions(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nivcsw;
}

/* ---- Making it -------------------------------------------------------------------------------------------------- */

static float *buffer(const subject *s,
                     trn_status (*shape)(const trn_stream *, uint32_t, int64_t, uint32_t *, int64_t *), size_t *count) {
    uint32_t rank;
    int64_t dims[TRN_MAX_RANK];
    if (shape(s->stream, 0, s->steps, &rank, dims) != TRN_OK) return NULL;
    *count = 1;
    while (rank--) *count *= (size_t)dims[rank];
    return calloc(*count ? *count : 1, sizeof(float));
}

// Float32 x and y first, and nothing beside them but states that the stream keeps.
static const char *unsuitable(const trn_model *model) {
    trn_model_info info;
    trn_model_info_get(model, &info);
    if (!info.input_count || !info.output_count || info.input_count > MAX_PORTS || info.output_count > MAX_PORTS ||
        info.symbol_count > MAX_SYMBOLS)
        return "it has no input, no output, or too many";
    for (uint32_t i = 0; i < info.input_count + info.output_count; i++) {
        trn_port_info port;
        uint32_t k = i < info.input_count ? i : i - info.input_count;
        (i < info.input_count ? trn_model_input : trn_model_output)(model, k, &port);
        if (port.dtype != 0) return "it has an input or output that is not float32";
        if ((k == 0) != (port.state == TRN_NONE)) return "its first input and output alone must not be states";
    }
    return NULL;
}

static int make(subject *s, const char *path) {
    trn_error error;
    if (trn_model_open_file(path, 0, &s->model, &error) != TRN_OK) return fail(path, error.message);
    const char *reason = unsuitable(s->model);
    if (reason) return fail(path, reason);
    trn_model_info info;
    trn_model_info_get(s->model, &info);
    int64_t symbols[MAX_SYMBOLS];
    for (uint32_t i = 0; i < info.symbol_count; i++)
        symbols[i] = i == info.time_symbol ? s->steps : i == info.batch_symbol ? s->batch : -1;
    trn_stream_options options = {.batch_size = s->batch, .symbols = symbols, .whole = s->kind == CALL_WHOLE};
    if (trn_stream_new(s->model, &options, &s->stream, &error) != TRN_OK) return fail(path, error.message);
    s->x = buffer(s, trn_stream_input_shape, &s->x_count);
    s->y = buffer(s, trn_stream_output_shape, &s->y_count);
    if (!s->x || !s->y) return fail(path, "there is no memory for its input and output");
    uint32_t random = 1;
    for (size_t i = 0; i < s->x_count; i++) {
        random = random * 1664525u + 1013904223u;
        s->x[i] = (float)(random >> 8) / (float)(1 << 23) - 1.0f;
    }
    s->inputs[0] = s->x;
    s->outputs[0] = s->y;
    return 0;
}

static void release(subject *s) {
    free(s->x);
    free(s->y);
    free(s->memory);
    trn_stream_free(s->stream);
    trn_model_close(s->model);
}

/* ---- Calling it ------------------------------------------------------------------------------------------------- */

static inline void call(const subject *s) {
    trn_status status = TRN_OK;
    if (s->kind == CALL_CEILING) ceiling_sweep(s->memory, s->bytes);
    else if (s->kind == CALL_STEP) status = trn_stream_step(s->stream, s->inputs, s->outputs);
    else status = trn_stream_run(s->stream, s->inputs, s->outputs, s->steps);
    if (status != TRN_OK) exit(fail("a call", trn_stream_error(s->stream)->message));
}

static double time_calls(const subject *s, long count) {
    double start = now_ns();
    for (long i = 0; i < count; i++) call(s);
    return now_ns() - start;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const subject *s, double seconds) {
    static double rounds[MAX_SAMPLES], singles[MAX_SAMPLES];
    double start = now_ns();
    long count = 1, samples = 0;
    while (time_calls(s, count) < 1e6) count *= 2;  // rounds long enough for the clock not to matter
    do {
        rounds[samples] = time_calls(s, count) / (double)count;
        singles[samples] = time_calls(s, 1);
        samples++;
    } while (samples < MAX_SAMPLES && now_ns() - start < seconds * 1e9);
    qsort(rounds, (size_t)samples, sizeof *rounds, by_value);
    qsort(singles, (size_t)samples, sizeof *singles, by_value);
    printf("{\"median_ns\": %.1f, \"p99_ns\": %.1f, \"min_ns\": %.1f, \"calls_a_round\": %ld, \"rounds\": %ld",
           rounds[samples / 2], singles[samples * 99 / 100], rounds[0], count, samples);
    if (s->kind == CALL_CEILING) printf(", \"bytes_per_ns\": %.1f", (double)s->bytes / rounds[0]);
    printf("}\n");
}

static int feed(const subject *s) {
    while (fread(s->x, sizeof(float), s->x_count, stdin) == s->x_count) {
        call(s);
        if (fwrite(s->y, sizeof(float), s->y_count, stdout) != s->y_count) return fail("outputs", strerror(errno));
    }
    return 0;
}

static int serve(const subject *s) {
    char command[16];
    long count;
    while (scanf("%15s %ld", command, &count) == 2) {
        bool together = strcmp(command, "time") == 0;
        if (count < 1 || (!together && strcmp(command, "each") != 0)) return fail(command, "expected time N or each N");
        long before = preemptions();
        printf("{\"ns\": [");
        if (together) printf("%.0f", time_calls(s, count));
        for (long i = 0; !together && i < count; i++) printf("%s%.0f", i ? ", " : "", time_calls(s, 1));
        printf("], \"preempted\": %ld}\n", preemptions() - before);
        fflush(stdout);
    }
    return 0;
}

/* ---- Arguments -------------------------------------------------------------------------------------------------- */

typedef struct arguments {
    const char *model, *call;
    long steps, batch, ceiling, count;
    double seconds;
    bool feed, serve, build;
} arguments;

static int usage(const char *what, const char *argument) {
    fprintf(stderr, "step: %s%s\nusage: step MODEL.trnn [--call step|run|whole] [--steps T] [--batch B]\n", what,
            argument);
    fprintf(stderr, "            [--seconds S | --count N | --feed | --serve]\n");
    fprintf(stderr, "       step --ceiling BYTES [--seconds S | --serve]\n       step --build\n");
    return 2;
}

// A whole number of at least 1.
static bool positive(const char *text, long *value) {
    char *end;
    *value = strtol(text, &end, 10);
    return *end == 0 && end != text && *value > 0 && *value <= 1L << 30;
}

static int parse(int argc, char **argv, arguments *a) {
    struct {
        const char *name;
        long *value;
    } numbers[] = {{"--steps", &a->steps}, {"--batch", &a->batch}, {"--ceiling", &a->ceiling}, {"--count", &a->count}};
    struct {
        const char *name;
        bool *value;
    } switches[] = {{"--feed", &a->feed}, {"--serve", &a->serve}, {"--build", &a->build}};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        bool known = false;
        for (size_t k = 0; k < sizeof switches / sizeof *switches && !known; k++)
            if ((known = strcmp(argv[i], switches[k].name) == 0)) *switches[k].value = true;
        if (known) continue;
        if (argv[i][0] != '-' && !a->model) {
            a->model = argv[i];
            continue;
        }
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers && !known; k++)
            if ((known = strcmp(argv[i], numbers[k].name) == 0) && !positive(value, numbers[k].value))
                return usage("expected a whole number of at least 1 after ", argv[i]);
        if (!known && strcmp(argv[i], "--call") == 0) a->call = value, known = true;
        else if (!known && strcmp(argv[i], "--seconds") == 0) {
            known = true;
            a->seconds = strtod(value, NULL);
            if (!(a->seconds > 0)) return usage("expected a number over 0 after ", argv[i]);
        }
        if (!known) return usage("unknown argument ", argv[i]);
        i++;
    }
    return 0;
}

// What the counts of instructions depend on, beside the sources.
static int print_build(void) {
#if defined(__clang__)
    printf("clang %d.%d.%d, ", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
    printf("gcc %d.%d.%d, ", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
#ifdef __GLIBC__
    printf("glibc %s, ", gnu_get_libc_version());
#endif
    printf("%d bits\n", (int)sizeof(void *) * 8);
    return 0;
}

int main(int argc, char **argv) {
    static const char *const calls[] = {"step", "run", "whole"};
    arguments a = {.call = "step", .steps = 1, .batch = 1, .seconds = 1};
    int status = parse(argc, argv, &a);
    if (status) return status;
    if (a.build) return print_build();
    if (!a.model == !a.ceiling) return usage("expected a model or --ceiling", "");
    subject s = {.kind = CALL_CEILING, .steps = a.steps, .batch = a.batch, .bytes = (size_t)a.ceiling};
    for (int i = 0; a.model && i < 3; i++)
        if (strcmp(a.call, calls[i]) == 0) s.kind = (call_kind)i;
    if (a.model && s.kind == CALL_CEILING) return usage("expected step, run or whole, found --call ", a.call);
    if (s.kind == CALL_STEP && a.steps != 1) return usage("--steps needs --call run or whole", "");
    if (a.model) status = make(&s, a.model);
    else if (!(s.memory = ceiling_memory(s.bytes))) status = fail("--ceiling", "there is no memory of that size");
    if (status == 0 && a.feed && a.model) status = feed(&s);
    else if (status == 0 && a.serve) status = serve(&s);
    else if (status == 0 && a.count)
        for (long i = 0; i < a.count; i++) call(&s);
    else if (status == 0) measure(&s, a.seconds);
    release(&s);
    return status;
}
