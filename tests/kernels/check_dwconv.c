// SPDX-License-Identifier: Apache-2.0
// f32_dwconv: beside the scalar table, and beside one chain of fmaf an element.
#include "check.h"

static void convolve(const trn_ukernels *reference, const trn_ukernels *table, size_t m, size_t n, size_t taps, int wild) {
    const size_t gap = check_between(0, 3), w_stride = n + check_between(0, 2), y_stride = n + check_between(0, 3);
    const ptrdiff_t tap_stride = (ptrdiff_t)(n + gap);
    // Rows that overlap as those of a convolution do, or that are turned round.
    const ptrdiff_t x_stride = check_between(0, 1) ? tap_stride : -tap_stride * (ptrdiff_t)taps;
    const size_t reach = (size_t)(x_stride < 0 ? -x_stride : x_stride) * (m - 1), with = (taps - 1) * (size_t)tap_stride + n;
    check_buffer x = check_filled(reach + with, wild), w = check_filled((taps - 1) * w_stride + n, wild);
    check_buffer init = check_filled((m - 1) * y_stride + n, wild), y[2];
    const float *from = x.data + (x_stride < 0 ? reach : 0);
    const int start = (int)check_between(0, 2);  // from zeros, from one row, from what y holds
    for (int i = 0; i < 2; i++) {
        y[i] = check_new((m - 1) * y_stride + n, 1);
        if (start == 2) memcpy(y[i].data, init.data, init.size * sizeof(float));
        (i ? table : reference)
            ->f32_dwconv(m, n, taps, from, x_stride, tap_stride, w.data, w_stride,
                         start == 0 ? NULL : start == 1 ? init.data : y[i].data, start == 2 ? (ptrdiff_t)y_stride : 0,
                         y[i].data, (ptrdiff_t)y_stride);
    }
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            float sum = start == 0 ? 0.0f : init.data[(start == 2 ? i * y_stride : 0) + j];
            for (size_t t = 0; t < taps; t++)
                sum = fmaf(from[(ptrdiff_t)i * x_stride + (ptrdiff_t)t * tap_stride + (ptrdiff_t)j],
                           w.data[t * w_stride + j], sum);
            check_that(check_same(y[0].data[i * y_stride + j], sum), "f32_dwconv %zux%zux%zu: element %zu, %zu is %a, expected %a",
                       m, n, taps, i, j, (double)y[0].data[i * y_stride + j], (double)sum);
        }
    if (table->fused || table == reference) check_arrays(&y[0], &y[1], "f32_dwconv");
    check_free(&x), check_free(&w), check_free(&init), check_free(&y[0]), check_free(&y[1]);
}

static void family(const trn_ukernels *reference, const trn_ukernels *table) {
    for (size_t n = 1; n < 40; n++)
        for (size_t m = 1; m < 11; m++) convolve(reference, table, m, n, check_between(1, 9), (int)check_between(0, 1));
    for (size_t n = 16; check.bench && n <= 256; n *= 4) {
        const size_t m = 64, taps = 9;
        check_buffer x = check_filled((m + taps) * n, 0), w = check_filled(taps * n, 0), y = check_new(m * n, 0);
        CHECK_BENCH(4 * m * n * taps, table->f32_dwconv(m, n, taps, x.data, (ptrdiff_t)n, (ptrdiff_t)n, w.data, n, NULL, 0, y.data, (ptrdiff_t)n),
                    "f32_dwconv %zux%zux%zu", m, n, taps);
        check_free(&x), check_free(&w), check_free(&y);
    }
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
