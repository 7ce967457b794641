// SPDX-License-Identifier: Apache-2.0
// The streaming-read ceiling: how many bytes a nanosecond this core reads out of memory of a given size, by the widest
// loads it has. A kernel that reads its weights once can't be faster.
#ifndef TRN_CEILING_H
#define TRN_CEILING_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "arch/target.h"
#include "cpu.h"

typedef int32_t ceiling_words __attribute__((vector_size(32)));

// Eight independent chains of the cheapest operation; n is a multiple of 8.
TRN_INLINE int32_t ceiling_sum(const ceiling_words *p, size_t n) {
    ceiling_words sum[8] = {{0}};
    for (size_t i = 0; i < n; i += 8) TRN_UNROLL for (size_t j = 0; j < 8; j++) sum[j] ^= p[i + j];
    for (size_t j = 1; j < 8; j++) sum[0] ^= sum[j];
    return sum[0][0] ^ sum[0][7];
}

static int32_t ceiling_read(const ceiling_words *p, size_t n) { return ceiling_sum(p, n); }
#if defined(__x86_64__)
TRN_TARGET_BEGIN("avx2")
static int32_t ceiling_read_avx2(const ceiling_words *p, size_t n) { return ceiling_sum(p, n); }
TRN_TARGET_END
#else
#define ceiling_read_avx2 ceiling_read
#endif

// One pass over memory of `size` bytes, which the compiler can't leave out.
static inline void ceiling_pass(const ceiling_words *memory, size_t size) {
    const size_t n = size / sizeof *memory;
    int32_t sum = trn_cpu_features() & TRN_CPU_AVX2 ? ceiling_read_avx2(memory, n) : ceiling_read(memory, n);
    __asm__ volatile("" : : "r"(sum), "r"(memory) : "memory");
}

#endif
