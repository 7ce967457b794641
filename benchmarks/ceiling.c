// SPDX-License-Identifier: Apache-2.0
// Streaming reads by vectors of 16, 32 or 64 bytes, eight of them independent of each other.
#include "ceiling.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { STREAMS = 8, GRANULE = 64 * STREAMS };

// What was read must be used, or the compiler leaves out the reading.
static volatile uint64_t sink;

// A sweep by vectors of WIDTH bytes; TARGET says what the compiler may use for it. Eight names and not an array, which
// gcc would clear in memory, slower than a sweep of a small model.
#define SWEEP(NAME, WIDTH, TARGET)                                                 \
    typedef uint64_t NAME##_vector __attribute__((vector_size(WIDTH), may_alias)); \
    TARGET static void NAME(const void *memory, size_t size) {                     \
        const NAME##_vector *next = memory, *end = next + size / WIDTH;            \
        NAME##_vector a = {0}, b = a, c = a, d = a, e = a, f = a, g = a, h = a;    \
        for (; next < end; next += STREAMS) {                                      \
            a |= next[0], b |= next[1], c |= next[2], d |= next[3];                \
            e |= next[4], f |= next[5], g |= next[6], h |= next[7];                \
        }                                                                          \
        a = ((a | b) | (c | d)) | ((e | f) | (g | h));                             \
        sink = a[0] | a[WIDTH / sizeof(uint64_t) - 1];                             \
    }

SWEEP(sweep_16, 16, )
#if defined(__x86_64__)
SWEEP(sweep_32, 32, __attribute__((target("avx2"))))
SWEEP(sweep_64, 64, __attribute__((target("avx512f"))))
#endif

static size_t rounded(size_t size) { return (size + GRANULE - 1) / GRANULE * GRANULE; }

void *ceiling_memory(size_t size) {
    void *memory = aligned_alloc(64, rounded(size));
    if (memory) memset(memory, 1, rounded(size));
    return memory;
}

void ceiling_sweep(const void *memory, size_t size) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        sweep_64(memory, rounded(size));
        return;
    }
    if (__builtin_cpu_supports("avx2")) {
        sweep_32(memory, rounded(size));
        return;
    }
#endif
    sweep_16(memory, rounded(size));
}
