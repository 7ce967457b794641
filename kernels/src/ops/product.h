// SPDX-License-Identifier: Apache-2.0
// Products of rows with a packed matrix, whatever its precision.
#ifndef TRN_PRODUCT_H
#define TRN_PRODUCT_H

#include "../ops.h"

// What the matrix of an operand needs beside its address.
typedef struct trn_product {
    size_t n, k;          // columns that are wanted; rows of the matrix
    size_t panel;         // columns of a panel
    size_t per_cell;      // weights of a cell; 0: float32, which needs nothing of what follows
    trn_coding coding;
    size_t codes_stride;  // bytes of the codes of a row
    int8_t *codes;        // of up to TRN_PRODUCT_ROWS rows
    float *scales;        // likewise, two a row
} trn_product;

// Rows beside weights of whole numbers are coded so many at a time, which then share each weight that is read.
enum { TRN_PRODUCT_ROWS = 32 };

// Whether a packed operand holds whole numbers.
static inline int trn_is_integer(const trn_view *weights) { return weights->per_cell > 0; }

// What a multiply-add with one of the weights counts as work: the less the narrower it is.
static inline double trn_weight_work(const trn_view *weights) { return weights->per_cell ? 1.0 / weights->per_cell : 1.0; }

// The product with `weights`, for up to `rows` rows at once; its scratch memory is taken, or added up. bounded: as of
// trn_coding_of.
trn_product trn_product_take(const trn_view *weights, int64_t n, int64_t k, int64_t rows, int bounded,
                             trn_scratch *scratch);

// y = init + x W for m rows, any number. Strides are in floats, w is a matrix of the operand, init NULL for zeros.
// range: the largest magnitude of x that codes tell apart, or NULL.
void trn_multiply(const trn_ukernels *kernels, const trn_product *p, const void *w, const float *range, int64_t m,
                  const float *x, int64_t x_stride, const float *init, int64_t init_stride, float *y, int64_t y_stride);

// All packed operands of an operator are of one precision; an operand `range` stands beside whole numbers alone.
trn_status trn_check_packed(const trn_file *file, const trn_record_operator *record, uint32_t range, uint32_t rank,
                            trn_error *error);

#endif
