// SPDX-License-Identifier: Apache-2.0
// The table of kernels that operators call through, one member for each row of ukernels.def.
#ifndef TRN_UKERNELS_H
#define TRN_UKERNELS_H

#include <stddef.h>
#include <stdint.h>

// Steps of one row of a recurrent layer, for the slots f32_*_steps. Columns are those of the packed matrices.
typedef struct trn_steps {
    size_t count, n;  // steps, hidden units
    size_t turn;      // odd: the first step walks the weights backward, the next one forward, and so on; the same bytes
    size_t k;         // elements of x; 0: init has its products already
    const float *x;   // [count, k], rows x_stride apart
    ptrdiff_t x_stride;
    const void *w, *r;  // [k, columns], [n, columns], packed for the precision of the slot
    const float *init;   // [count, columns], rows init_stride apart: the bias, or the products of x on top of it
    ptrdiff_t init_stride;
    const void *hidden_w, *hidden_r;  // of the GRU that resets before its product, whose hidden gate stands apart
    const float *hidden_init;  // likewise; of the GRU that resets after: the hidden gate's recurrent bias, one row
    ptrdiff_t hidden_init_stride;
    float *h, *c;  // [n], advanced in place; c: LSTM
    float *y;      // [count, n], rows y_stride apart; NULL: not wanted
    ptrdiff_t y_stride;
    float *scratch;  // TRN_STEPS_SCRATCH * ceil16(n) floats
    // Slots i8_* alone:
    int8_t *codes;        // 2 * (ceil32(k) + ceil32(n)) bytes
    size_t per_cell;      // of every matrix: weights of a cell, as of i8_gemm
    const float *ranges;  // of x, h, r * h, as i8_quantize has them; NULL: each row's own
    size_t far;           // 1: weights come from beyond the second cache and are fetched before their use; else 0
} trn_steps;

enum { TRN_STEPS_SCRATCH = 6 };

// Bytes of a row of codes of k elements.
static inline size_t trn_codes_size(size_t k) { return (k + 31) / 32 * 32; }

// How a row is coded: in 8 bits; likewise, with a second row of codes where few elements are large; in 16 bits.
typedef enum trn_coding { TRN_CODES_8, TRN_CODES_8_OR_TWO, TRN_CODES_16 } trn_coding;

// How rows are coded beside weights of which a cell holds so many. bounded: what a layer makes itself, whose rows need no
// second row of codes.
static inline trn_coding trn_coding_of(size_t per_cell, int bounded) {
    return per_cell == 2 ? TRN_CODES_16 : bounded ? TRN_CODES_8 : TRN_CODES_8_OR_TWO;
}
// Bytes of the codes of a row of k elements.
static inline size_t trn_coded_size(size_t k, trn_coding coding) {
    return (coding == TRN_CODES_8 ? 1 : 2) * trn_codes_size(k);
}

typedef struct trn_ukernels {
    const char *isa;  // its row in isa.def
    int fused;        // its class of rounding in isa.def: 1 when a multiply-add rounds once
#define TRN_UKERNEL(slot, parameters) void(*slot) parameters;
#include "ukernels.def"
} trn_ukernels;

#define TRN_ISA(name, features, fused) extern const trn_ukernels trn_ukernels_##name;
#include "isa.def"

// trn_fused_<isa>: the member `fused` of its table.
enum {
#define TRN_ISA(name, features, fused) trn_fused_##name = fused,
#include "isa.def"
};

#endif
