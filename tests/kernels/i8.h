// SPDX-License-Identifier: Apache-2.0
// int8 matrices for tests: packed as format.def says it, an element at a time.
#ifndef TRN_TEST_I8_H
#define TRN_TEST_I8_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Cells of a matrix [k, n], n a multiple of 16.
static inline size_t i8_cells(size_t n, size_t k, size_t planes) { return planes * n * ((k + 3) / 4 + 2); }

// The cell of column j in row q of a plane: of the weights from 4 q on, then the start value, then the scale.
static inline size_t i8_cell_at(size_t n, size_t k, size_t planes, size_t panel, size_t plane, size_t q, size_t j) {
    const size_t first = j / panel * panel, width = n - first < panel ? n - first : panel, rows = (k + 3) / 4 + 2;
    return first * rows * planes + plane * rows * width + q * width + j - first;
}

// weights: [planes, k, n]; scales: [planes, n]; cells: i8_cells() times 4 bytes.
static inline void i8_pack(size_t n, size_t k, size_t planes, size_t panel, const int8_t *weights, const float *scales,
                           void *cells) {
    const size_t quads = (k + 3) / 4;
    char *to = cells;
    memset(to, 0, 4 * i8_cells(n, k, planes));
    for (size_t p = 0; p < planes; p++, weights += k * n, scales += n)
        for (size_t j = 0; j < n; j++) {
            int32_t start = 0;
            for (size_t i = 0; i < k; i++) {
                memcpy(to + 4 * i8_cell_at(n, k, planes, panel, p, i / 4, j) + i % 4, &weights[i * n + j], 1);
                start -= 127 * weights[i * n + j];
            }
            memcpy(to + 4 * i8_cell_at(n, k, planes, panel, p, quads, j), &start, 4);
            memcpy(to + 4 * i8_cell_at(n, k, planes, panel, p, quads + 1, j), &scales[j], 4);
        }
}

// A weight that may stand in a pair with a, by any number.
static inline int i8_beside(int a, uint64_t number) {
    const int low = a < -2 ? -129 - a : -127, high = a > 2 ? 129 - a : 127;
    return low + (int)(number % (uint64_t)(high - low + 1));
}

#endif
