// SPDX-License-Identifier: Apache-2.0
// The guard of the floating-point mode: inside it, denormal operands and results are zero, so that they cost no more than
// other numbers, and results round to nearest, whatever the caller has chosen.
//
//     uint64_t saved = trn_denormals_flush();
//     ...
//     trn_denormals_restore(saved);
//
// The mode belongs to the thread. The register is written only when it has to change: a write drains the pipeline. What is
// written is a constant, which need not wait for what was read. Where a processor has no such mode, both do nothing.
#ifndef TRN_FPENV_H
#define TRN_FPENV_H

#include <stdint.h>

#if defined(__SSE2__) || defined(_M_X64)
#include <immintrin.h>
// MXCSR: results (FTZ) and operands (DAZ); beside them no exception traps. All but the exceptions that were raised.
enum { TRN_FLUSH_BITS = 0x8040, TRN_MODE = 0x9fc0, TRN_MODE_BITS = 0xffc0 };
static inline uint64_t trn_fpenv_get(void) { return _mm_getcsr(); }
static inline void trn_fpenv_set(uint64_t word) { _mm_setcsr((unsigned)word); }

#elif defined(__aarch64__)
enum { TRN_FLUSH_BITS = 1 << 24, TRN_MODE = 1 << 24, TRN_MODE_BITS = -1 };  // FPCR.FZ: operands and results
static inline uint64_t trn_fpenv_get(void) {
    uint64_t word;
    __asm__ volatile("mrs %0, fpcr" : "=r"(word));
    return word;
}
static inline void trn_fpenv_set(uint64_t word) { __asm__ volatile("msr fpcr, %0" : : "r"(word)); }

#elif defined(__arm__) && defined(__ARM_FP)
// FPSCR.FZ; NEON flushes always. All but flags.
enum { TRN_FLUSH_BITS = 1 << 24, TRN_MODE = 1 << 24, TRN_MODE_BITS = 0x07f79f00 };
static inline uint64_t trn_fpenv_get(void) {
    uint32_t word;
    __asm__ volatile("vmrs %0, fpscr" : "=r"(word));
    return word;
}
static inline void trn_fpenv_set(uint64_t word) { __asm__ volatile("vmsr fpscr, %0" : : "r"((uint32_t)word)); }

#else
enum { TRN_FLUSH_BITS = 0, TRN_MODE = 0, TRN_MODE_BITS = 0 };
static inline uint64_t trn_fpenv_get(void) { return 0; }
static inline void trn_fpenv_set(uint64_t word) { (void)word; }
#endif

// Switches the mode on; gives what trn_denormals_restore needs.
static inline uint64_t trn_denormals_flush(void) {
    uint64_t saved = trn_fpenv_get();
    if ((saved & (uint64_t)TRN_MODE_BITS) != TRN_MODE) trn_fpenv_set(TRN_MODE);
    return saved;
}

// Puts the mode back as it was found; the other bits of the register (exceptions raised meanwhile) go back with it.
static inline void trn_denormals_restore(uint64_t saved) {
    if ((saved & (uint64_t)TRN_MODE_BITS) != TRN_MODE) trn_fpenv_set(saved);
}

#endif
