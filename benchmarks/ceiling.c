// SPDX-License-Identifier: Apache-2.0
// Streaming reads by vectors of 16, 32 or 64 bytes, at four places at once: one core reads nearly twice as much from
// memory that way as at one place, and nowhere less.
#include "ceiling.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PLACES = 4, GRANULE = 64 * 2 * PLACES };  // two vectors at each place

// What was read must be used, or the compiler leaves out the reading.
static volatile uint64_t sink;

// A sweep by vectors of WIDTH bytes; TARGET says what the compiler may use for it. Eight names and not an array, which
// gcc would clear in memory, slower than a sweep of a small model.
#define SWEEP(NAME, WIDTH, TARGET)                                                 \
    typedef uint64_t NAME##_vector __attribute__((vector_size(WIDTH), may_alias)); \
    TARGET static void NAME(const void *memory, size_t size) {                     \
        const size_t quarter = size / PLACES / WIDTH;                              \
        const NAME##_vector *p = memory, *q = p + quarter, *r = q + quarter;       \
        const NAME##_vector *s = r + quarter, *end = q;                            \
        NAME##_vector a = {0}, b = a, c = a, d = a, e = a, f = a, g = a, h = a;    \
        for (; p < end; p += 2, q += 2, r += 2, s += 2) {                          \
            a |= p[0], b |= p[1], c |= q[0], d |= q[1];                            \
            e |= r[0], f |= r[1], g |= s[0], h |= s[1];                            \
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
