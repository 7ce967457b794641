// SPDX-License-Identifier: Apache-2.0
// The cells: what is left of a recurrent step behind its products. Two short passes where one value waits for another,
// so that the long chain of each activation overlaps with those of the units after it.

enum { CELL_BLOCK = 16 };  // units of a block of gates

// Where the first gate of unit `at` stands among blocks of `gates` gates.
TRN_INLINE size_t cell_gate(size_t at, size_t gates) { return at + at / CELL_BLOCK * CELL_BLOCK * (gates - 1); }

// How far the vector behind that of unit `at` is from it, where blocks are `block` floats apart.
TRN_INLINE size_t cell_next(size_t at, size_t block) {
    return (at + VF_LANES) % CELL_BLOCK ? VF_LANES : VF_LANES + block - CELL_BLOCK;
}

// Cells work on whole vectors: on those of the n units where they are, on what is left in a copy.
typedef struct cell_rest {
    float a[VF_LANES], b[VF_LANES];
} cell_rest;
TRN_INLINE size_t cell_whole(size_t n) { return n / VF_LANES * VF_LANES; }
TRN_INLINE void cell_copy(float *to, const float *from, size_t n) { memcpy(to, from, n * sizeof *to); }

// What a step reads next is fetched while its activations are computed: of `weights`, with the vector of units at `at`,
// about as much as arrives meanwhile. NULL: nothing.
TRN_INLINE void cell_fetch(const float *weights, size_t at) {
    enum { LINES = 12, LINE = 16 };
    if (!weights) return;
    TRN_UNROLL for (size_t i = 0; i < LINES; i++) vf_fetch(weights + (at / VF_LANES * LINES + i) * LINE);
}

#define CELL(name)        TRN_PASTE(cell_f32, name)
#define CELL_SLOT(name)   TRN_KERNEL(TRN_PASTE(f32, name))
#define CELL_FMA(a, b, c) vf_fma(a, b, c)
#include "cell_bodies_tmpl.h"
#undef CELL
#undef CELL_SLOT
#undef CELL_FMA

// Beside products of whole numbers, whose bytes are the same on every machine: every operation rounds once.
#define CELL(name)        TRN_PASTE(cell_i8, name)
#define CELL_SLOT(name)   TRN_KERNEL(TRN_PASTE(i8, name))
#define CELL_FMA(a, b, c) vf_add(vf_mul(a, b), c)
#include "cell_bodies_tmpl.h"
#undef CELL
#undef CELL_SLOT
#undef CELL_FMA
