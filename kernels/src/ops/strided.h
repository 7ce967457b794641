// SPDX-License-Identifier: Apache-2.0
// Loops over several tensors of one shape and any strides, with axes merged where all their strides nest.
#ifndef TRN_STRIDED_H
#define TRN_STRIDED_H

#include "../ops.h"

// The loop nest of `operands` tensors; strides[axis * operands + i] in elements.
typedef struct trn_nest {
    int64_t count;  // elements in all; 0 when an axis is empty
    int64_t dims[TRN_MAX_RANK];
    uint32_t rank;  // at least 1 after trn_nest_merge
    uint32_t operands;
} trn_nest;

// Starts from dims[rank] and, for each operand, its strides; merges axes from the inside out. strides: in, one row of
// TRN_MAX_RANK an operand; out, [axis * operands + operand].
void trn_nest_merge(trn_nest *nest, uint32_t rank, const int64_t *dims, uint32_t operands, const int64_t *const *rows,
                    int64_t *strides);

// The same for loops whose order is of no importance: the axes in the order of the first operand's strides, so that its
// elements that lie side by side come one after the other.
void trn_nest_sort(trn_nest *nest, uint32_t rank, const int64_t *dims, uint32_t operands, const int64_t *const *rows,
                   int64_t *strides);

// The next point of the axes but the last `inner`: adds to each operand's offset. 0 when the loop has ended.
int trn_nest_next(const trn_nest *nest, const int64_t *strides, uint32_t inner, int64_t *index, int64_t *offsets);

// A copy between two tensors of one shape, worked out once.
typedef struct trn_copy_plan {
    trn_nest nest;
    int64_t strides[TRN_MAX_RANK * 2];  // destination, source
    size_t element_size;
} trn_copy_plan;
void trn_copy_prepare(trn_copy_plan *plan, const trn_view *destination, const trn_view *source);
// They may not overlap unless they are the same.
void trn_copy_run(const trn_copy_plan *plan, void *destination, const void *source);
// Likewise of n elements of 4 bytes.
void trn_copy_words(int64_t n, void *destination, int64_t d_stride, const void *source, int64_t s_stride);

#endif
