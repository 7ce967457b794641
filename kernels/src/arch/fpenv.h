// SPDX-License-Identifier: Apache-2.0
// The denormal guard: inside it, denormal operands and results are zero, so that they cost no more than other numbers.
//
//     uint64_t saved = trn_denormals_flush();
//     ...
//     trn_denormals_restore(saved);
//
// The mode belongs to the thread. The register is written only when it has to change: a write drains the pipeline.
// Where a processor has no such mode (or flushes always), both do nothing.
#ifndef TRN_FPENV_H
#define TRN_FPENV_H

#include <stdint.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
enum { TRN_FLUSH_BITS = 0x8040 };  // MXCSR: results (FTZ) and operands (DAZ)
static inline uint64_t trn_fpenv_get(void) { return _mm_getcsr(); }
static inline void trn_fpenv_set(uint64_t word) { _mm_setcsr((unsigned)word); }

#elif defined(__aarch64__)
enum { TRN_FLUSH_BITS = 1 << 24 };  // FPCR.FZ: operands and results
static inline uint64_t trn_fpenv_get(void) {
    uint64_t word;
    __asm__ volatile("mrs %0, fpcr" : "=r"(word));
    return word;
}
static inline void trn_fpenv_set(uint64_t word) { __asm__ volatile("msr fpcr, %0" : : "r"(word)); }

#elif defined(__arm__) && defined(__ARM_FP)
enum { TRN_FLUSH_BITS = 1 << 24 };  // FPSCR.FZ; NEON flushes always
static inline uint64_t trn_fpenv_get(void) {
    uint32_t word;
    __asm__ volatile("vmrs %0, fpscr" : "=r"(word));
    return word;
}
static inline void trn_fpenv_set(uint64_t word) { __asm__ volatile("vmsr fpscr, %0" : : "r"((uint32_t)word)); }

#else
enum { TRN_FLUSH_BITS = 0 };
static inline uint64_t trn_fpenv_get(void) { return 0; }
static inline void trn_fpenv_set(uint64_t word) { (void)word; }
#endif

// Switches flushing on; gives what trn_denormals_restore needs.
static inline uint64_t trn_denormals_flush(void) {
    uint64_t saved = trn_fpenv_get();
    if ((saved & TRN_FLUSH_BITS) != TRN_FLUSH_BITS) trn_fpenv_set(saved | TRN_FLUSH_BITS);
    return saved;
}

// Puts the mode back as it was found; the other bits of the register (exceptions raised meanwhile) go back with it.
static inline void trn_denormals_restore(uint64_t saved) {
    if ((saved & TRN_FLUSH_BITS) != TRN_FLUSH_BITS) trn_fpenv_set(saved);
}

#endif
