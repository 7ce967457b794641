// SPDX-License-Identifier: Apache-2.0
// What the kernel checks share: options, random numbers, guarded buffers, comparison byte for byte, timing.
//
//     check_gemm [--seed N] [--isa NAME] [--bench] [--exhaustive]
//
// Each program runs every slot of its family, in every instruction set of isa.def that the processor has (or NAME alone),
// beside the scalar table, whose bytes are everyone's but where the multiply-add is used: there beside its class's reference.
// It prints "N passed, N failed" and fails when something did. --bench prints the time of each kernel, and the bytes that
// it reads a nanosecond beside those of a loop that does nothing but read.
#ifndef TRN_CHECK_H
#define TRN_CHECK_H

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arch/fpenv.h"
#include "ceiling.h"
#include "dispatch.h"

static struct {
    uint64_t seed, random;
    const char *isa;
    int bench, exhaustive;
    unsigned long passed, failed;
    const char *current;  // the instruction set at work
} check = {.seed = 1};

// A pass, or a failure that is printed (the first twenty of them).
static inline void check_that(int condition, const char *format, ...) {
    if (condition) {
        check.passed++;
        return;
    }
    if (check.failed++ < 20) {
        va_list arguments;
        va_start(arguments, format);
        printf("FAILED %s: ", check.current ? check.current : "");
        vprintf(format, arguments);
        printf(" (--seed %llu)\n", (unsigned long long)check.seed);
        va_end(arguments);
    }
}

/* ---- Random numbers ---------------------------------------------------------------------------------------------- */

// splitmix64.
static inline uint64_t check_random(void) {
    uint64_t z = check.random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
// low to high, both included.
static inline size_t check_between(size_t low, size_t high) { return low + (size_t)(check_random() % (high - low + 1)); }
static inline float check_uniform(float low, float high) {
    return low + (high - low) * (float)(check_random() >> 40) * 0x1p-24f;
}
static inline float check_from_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline uint32_t check_to_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}
// Values at which code goes wrong.
static inline float check_extreme(void) {
    static const float list[] = {0.0f,   -0.0f,   1.0f,    -1.0f,    0.5f,     -0.5f,   INFINITY, -INFINITY, NAN,     1e-30f,
                                 1e30f,  -1e30f,  FLT_MAX, -FLT_MAX, FLT_MIN,  -FLT_MIN, 88.72f,  88.73f,    -87.33f, -103.9f,
                                 9.01f,  -9.01f,  0x1p-24f, 0x1p24f, 0.925f,   4.0f,    8192.0f,  3.1415927f, 1e5f,   -2.5f};
    return list[check_random() % (sizeof list / sizeof *list)];
}
// What most inputs look like; with extremes among them when `wild`.
static inline float check_value(int wild) {
    if (wild && check_random() % 4 == 0) return check_extreme();
    if (check_random() % 4 == 0) return check_uniform(-12.0f, 12.0f);
    return check_uniform(-1.0f, 1.0f);
}

/* ---- Guarded buffers --------------------------------------------------------------------------------------------- */

enum { CHECK_GUARD = 32 };
static const uint32_t check_pattern = 0x7fa5a5a5u;  // a NaN that no kernel makes: it shows up in sums, and by its bits

typedef struct check_buffer {
    float *data;  // size floats between guards, off 64-byte alignment by 0 to 15 floats
    size_t size;
    float *block;
    size_t block_size;
} check_buffer;

static inline check_buffer check_new(size_t size, int unaligned) {
    check_buffer b = {NULL, size, NULL, size + 2 * CHECK_GUARD + 16};
    b.block = aligned_alloc(64, (b.block_size * sizeof(float) + 63) / 64 * 64);
    if (!b.block) exit(2);
    for (size_t i = 0; i < b.block_size; i++) memcpy(b.block + i, &check_pattern, sizeof(float));
    b.data = b.block + CHECK_GUARD + (unaligned ? check_random() % 16 : 0);
    return b;
}
static inline check_buffer check_filled(size_t size, int wild) {
    check_buffer b = check_new(size, 1);
    for (size_t i = 0; i < size; i++) b.data[i] = check_value(wild);
    return b;
}
static inline check_buffer check_copy(const check_buffer *from) {
    check_buffer b = check_new(from->size, 1);
    memcpy(b.data, from->data, from->size * sizeof(float));
    return b;
}
static inline void check_free(check_buffer *b) { free(b->block); }
// Nothing outside [data, data + size) was written.
static inline int check_guards(const check_buffer *b) {
    for (const float *p = b->block; p < b->block + b->block_size; p++)
        if ((p < b->data || p >= b->data + b->size) && check_to_bits(*p) != check_pattern) return 0;
    return 1;
}
static inline int check_untouched(float f) { return check_to_bits(f) == check_pattern; }

/* ---- Comparison -------------------------------------------------------------------------------------------------- */

// The promise: the same bytes, but for the sign and payload of a NaN and for results below the normal range.
static inline int check_same(float a, float b) {
    if (check_to_bits(a) == check_to_bits(b)) return 1;
    if (isnan(a) && isnan(b)) return !check_untouched(a) == !check_untouched(b);
    return fabsf(a) < FLT_MIN && fabsf(b) < FLT_MIN;
}
static inline void check_arrays(const check_buffer *a, const check_buffer *b, const char *what) {
    for (size_t i = 0; i < a->size; i++)
        if (!check_same(a->data[i], b->data[i])) {
            check_that(0, "%s: element %zu of %zu is %a, expected %a", what, i, a->size, (double)b->data[i],
                       (double)a->data[i]);
            return;
        }
    check_that(check_guards(a) && check_guards(b), "%s: wrote outside its output", what);
}

/* ---- Timing ------------------------------------------------------------------------------------------------------ */

static inline double check_now_ns(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

// Sets `best`, a double, to the shortest time of a call in ns.
#define CHECK_TIME(best, call)                                                                   \
    do {                                                                                         \
        size_t bench_repeats = 1;                                                                \
        (best) = 1e30;                                                                           \
        for (int bench_trial = 0; bench_trial < 50;) {                                           \
            double bench_start = check_now_ns();                                                 \
            for (size_t bench_i = 0; bench_i < bench_repeats; bench_i++) call;                   \
            double bench_time = check_now_ns() - bench_start;                                    \
            if (bench_time < 2e5) {                                                              \
                bench_repeats *= 2;                                                              \
                continue;                                                                        \
            }                                                                                    \
            bench_trial++;                                                                       \
            if (bench_time / (double)bench_repeats < (best)) (best) = bench_time / (double)bench_repeats; \
        }                                                                                        \
    } while (0)

// The streaming-read ceiling of memory of the next power of two above `bytes`, in bytes a nanosecond; measured once a run.
static inline double check_ceiling(size_t bytes) {
    enum { SMALLEST = 10, LARGEST = 26 };
    static double known[LARGEST + 1];
    int i = SMALLEST;
    while (i < LARGEST && (size_t)1 << i < bytes) i++;
    if (known[i] == 0.0) {
        const size_t size = (size_t)1 << i;
        double best;
        void *memory = aligned_alloc(64, size);
        if (!memory) exit(2);
        memset(memory, 1, size);
        CHECK_TIME(best, ceiling_pass(memory, size));
        known[i] = (double)size / best;
        free(memory);
    }
    return known[i];
}

// Prints the best time of a call, and the bytes that it reads a nanosecond beside the ceiling.
#define CHECK_BENCH(bytes, call, ...)                                                            \
    do {                                                                                         \
        double bench_best;                                                                       \
        CHECK_TIME(bench_best, call);                                                            \
        printf("%-8s ", check.current);                                                          \
        printf(__VA_ARGS__);                                                                     \
        printf(": %.1f ns, %.1f of %.1f bytes/ns\n", bench_best, (double)(bytes) / bench_best, check_ceiling(bytes)); \
    } while (0)

/* ---- The frame of a program -------------------------------------------------------------------------------------- */

typedef void check_family(const trn_ukernels *reference, const trn_ukernels *table);

static inline void check_arguments(int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--bench") == 0) check.bench = 1;
        else if (strcmp(arguments[i], "--exhaustive") == 0) check.exhaustive = 1;
        else if (strcmp(arguments[i], "--seed") == 0 && i + 1 < count) check.seed = strtoull(arguments[++i], NULL, 0);
        else if (strcmp(arguments[i], "--isa") == 0 && i + 1 < count) check.isa = arguments[++i];
        else {
            fprintf(stderr, "usage: %s [--seed N] [--isa NAME] [--bench] [--exhaustive]\n", arguments[0]);
            exit(2);
        }
    }
    check.random = check.seed;
}

// The table that every one of the same class of rounding must agree with: the first of its class in isa.def.
static inline const trn_ukernels *check_reference(const trn_ukernels *table) {
#define TRN_ISA(name, features, is_fused) \
    if ((is_fused) == table->fused) return &trn_ukernels_##name;
#include "isa.def"
    return NULL;
}

// Runs the family for each instruction set, in the mode in which the engine calls kernels; the program's exit status.
static inline int check_main(int count, char **arguments, check_family *family) {
    setvbuf(stdout, NULL, _IOLBF, 1024);  // a long run shows how far it is
    static const char *const names[] = {
#define TRN_ISA(name, features, fused) #name,
#include "isa.def"
    };
    const trn_ukernels *reference = trn_ukernels_by_name("scalar");
    size_t found = 0;
    check_arguments(count, arguments);
    uint64_t saved = trn_denormals_flush();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (check.isa && strcmp(check.isa, names[i]) != 0) continue;
        const trn_ukernels *table = trn_ukernels_by_name(names[i]);
        found++;
        check.current = names[i];
        check.random = check.seed;
        if (table) family(reference, table);
        else printf("%s: skipped, this processor lacks it\n", names[i]);
    }
    trn_denormals_restore(saved);
    if (!found) {
        fprintf(stderr, "%s: no such instruction set\n", check.isa);
        return 2;
    }
    printf("seed %llu: %lu passed, %lu failed\n", (unsigned long long)check.seed, check.passed, check.failed);
    return check.failed != 0;
}

#endif
