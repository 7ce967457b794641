// SPDX-License-Identifier: Apache-2.0
#include "product.h"

trn_product trn_product_take(const trn_view *weights, int64_t n, int64_t k, int64_t rows, int bounded,
                             trn_scratch *scratch) {
    trn_product p = {.n = (size_t)n, .k = (size_t)k, .panel = weights->panel_width, .per_cell = weights->per_cell};
    if (!p.per_cell) return p;
    if (rows > TRN_PRODUCT_ROWS) rows = TRN_PRODUCT_ROWS;
    p.coding = trn_coding_of(p.per_cell, bounded);
    p.codes_stride = trn_coded_size(p.k, p.coding);
    p.codes = trn_scratch_take(scratch, rows, p.codes_stride);
    p.scales = trn_scratch_take(scratch, rows, 2 * sizeof(float));
    return p;
}

// Some of the rows, once they have codes. rest: the second row of their codes.
static void multiply_codes(const trn_ukernels *kernels, const trn_product *p, const void *w, int rest, int64_t first,
                           int64_t count, const float *init, int64_t init_stride, float *y, int64_t y_stride) {
    const int8_t *codes = p->codes + (size_t)first * p->codes_stride + (rest ? trn_codes_size(p->k) : 0);
    kernels->i8_gemm((size_t)count, p->n, p->k, codes, p->codes_stride, p->scales + 2 * first + rest, w, p->per_cell,
                     p->panel, init ? init + first * init_stride : NULL, (ptrdiff_t)init_stride, y + first * y_stride,
                     (ptrdiff_t)y_stride);
}

void trn_multiply(const trn_ukernels *kernels, const trn_product *p, const void *w, const float *range, int64_t m,
                  const float *x, int64_t x_stride, const float *init, int64_t init_stride, float *y,
                  int64_t y_stride) {
    if (!p->per_cell) {
        kernels->f32_gemm((size_t)m, p->n, p->k, x, (ptrdiff_t)x_stride, w, p->panel, init, (ptrdiff_t)init_stride, y,
                          (ptrdiff_t)y_stride);
        return;
    }
    for (int64_t done = 0, rows; done < m; done += rows) {
        rows = m - done < TRN_PRODUCT_ROWS ? m - done : TRN_PRODUCT_ROWS;
        for (int64_t i = 0; i < rows; i++)
            kernels->i8_quantize(p->k, x + (done + i) * x_stride, range, p->coding,
                                 p->codes + (size_t)i * p->codes_stride, p->scales + 2 * i);
        float *to = y + done * y_stride;
        multiply_codes(kernels, p, w, 0, 0, rows, init ? init + done * init_stride : NULL, init_stride, to, y_stride);
        for (int64_t i = 0, end; p->coding == TRN_CODES_8_OR_TWO && i < rows; i = end + 1) {  // runs of rows with a second row of codes
            for (end = i; end < rows && p->scales[2 * end + 1] != 0;) end++;
            if (end > i) multiply_codes(kernels, p, w, 1, i, end - i, to, y_stride, to, y_stride);
        }
    }
}

trn_status trn_check_packed(const trn_file *file, const trn_record_operator *record, uint32_t range, uint32_t rank,
                            trn_error *error) {
    const trn_record_tensor *first = NULL, *r = trn_input_record(file, record, range);
    for (uint32_t i = 0; i < record->input_count; i++) {
        const trn_operand_row *row = trn_operand_row_of(record->kind, 0, i);
        const trn_record_tensor *t = trn_input_record(file, record, i);
        if (!t || row->layout != trn_layout_packed || t->packing == trn_packing_NONE) continue;
        if (!first) first = t;
        TRN_CHECK_REQUIRE(file, record, error, t->packing == first->packing, row->name,
                          "it has another precision than the packed inputs before it");
    }
    TRN_CHECK_REQUIRE(file, record, error,
                      !r || (first && trn_per_cell(first->packing) && r->dtype == trn_dtype_F32 && r->rank == rank),
                      trn_operand_row_of(record->kind, 0, range)->name,
                      "expected float32 of rank %u beside weights of whole numbers alone", rank);
    return TRN_OK;
}
