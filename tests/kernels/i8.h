// SPDX-License-Identifier: Apache-2.0
// Matrices of whole numbers for tests: packed as format.def says it, an element at a time. Weights are int16_t whatever
// their width, row-major; per_cell: 4 of int8, 2 of int16.
#ifndef TRN_TEST_I8_H
#define TRN_TEST_I8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "format.h"

// Rows of cells that hold the weights of a matrix [k, n]; all rows of cells.
static inline size_t i8_weight_rows(size_t k, size_t per_cell) { return (k + per_cell - 1) / per_cell; }
static inline size_t i8_rows(size_t k, size_t per_cell) { return i8_weight_rows(k, per_cell) + (per_cell == 4) + 1; }

// Cells of a matrix [k, n], n a multiple of 16.
static inline size_t i8_cells(size_t n, size_t k, size_t per_cell) { return n * i8_rows(k, per_cell); }

// The cell of column j in row q: of the weights from per_cell * q on; then, of int8, the start value; then the scale.
static inline size_t i8_cell_at(size_t n, size_t k, size_t per_cell, size_t panel, size_t q, size_t j) {
    const size_t first = j / panel * panel, width = n - first < panel ? n - first : panel;
    return first * i8_rows(k, per_cell) + q * width + j - first;
}

// weights: [k, n]; scales: [n]; cells: i8_cells() times 4 bytes.
static inline void i8_pack(size_t n, size_t k, size_t per_cell, size_t panel, const int16_t *weights,
                           const float *scales, void *cells) {
    const size_t rows = i8_rows(k, per_cell), bytes = 4 / per_cell;
    char *to = cells;
    memset(to, 0, 4 * i8_cells(n, k, per_cell));
    for (size_t j = 0; j < n; j++) {
        int32_t start = 0;
        for (size_t i = 0; i < k; i++) {
            const int16_t wide = weights[i * n + j];
            const int8_t narrow = (int8_t)wide;
            memcpy(to + 4 * i8_cell_at(n, k, per_cell, panel, i / per_cell, j) + i % per_cell * bytes,
                   per_cell == 4 ? (const void *)&narrow : &wide, bytes);
            start -= 127 * narrow;
        }
        if (per_cell == 4) memcpy(to + 4 * i8_cell_at(n, k, per_cell, panel, rows - 2, j), &start, 4);
        memcpy(to + 4 * i8_cell_at(n, k, per_cell, panel, rows - 1, j), &scales[j], 4);
    }
}

// The largest magnitude that every weight of a column of k may have at once; of int8, where they differ in sign.
static inline int i8_most(size_t k, size_t per_cell) {
    if (per_cell == 4) return 127;
    return k * INT16_MAX <= TRN_LIMIT_I16_COLUMN ? INT16_MAX : TRN_LIMIT_I16_COLUMN / (int)k;
}

// A weight of row i that may stand below those in the rows above, by any number. at: its place in [k, n].
static inline int16_t i8_below(size_t n, size_t k, size_t per_cell, size_t i, const int16_t *at, uint64_t number) {
    const int most = i8_most(k, per_cell), paired = per_cell == 4 && i % 2, beside = paired ? at[-(ptrdiff_t)n] : 0;
    const int low = beside < -2 ? -129 - beside : -most, high = beside > 2 ? 129 - beside : most;
    return (int16_t)(low + (int)(number % (uint64_t)(high - low + 1)));
}

#endif
