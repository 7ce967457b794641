// SPDX-License-Identifier: Apache-2.0
// f32_dwconv: a vector of channels at a time, in blocks of rows that share the weights they load.

enum { DWCONV_ROWS = 4 };

// What a block needs beside its size: every pointer at its first element.
typedef struct dwconv_tile {
    size_t taps;
    const float *x;  // [rows, taps, lanes]
    ptrdiff_t x_stride, tap_stride;
    const float *w;  // [taps, lanes]
    size_t w_stride;
    const float *init;  // [rows, lanes]
    ptrdiff_t init_stride;
    float *y;  // [rows, lanes]
    ptrdiff_t y_stride;
} dwconv_tile;

TRN_INLINE vf dwconv_load(const float *p, size_t lanes) { return lanes == VF_LANES ? vf_load(p) : vf_load_n(p, lanes); }

TRN_INLINE void dwconv_run(const dwconv_tile *t, const int rows, size_t lanes) {
    vf sum[DWCONV_ROWS];
    TRN_UNROLL for (int i = 0; i < rows; i++) sum[i] = dwconv_load(t->init + i * t->init_stride, lanes);
    const float *x = t->x, *w = t->w;
    for (size_t tap = 0; tap < t->taps; tap++, x += t->tap_stride, w += t->w_stride) {
        const vf weights = dwconv_load(w, lanes);
        TRN_UNROLL for (int i = 0; i < rows; i++) sum[i] = vf_fma(dwconv_load(x + i * t->x_stride, lanes), weights, sum[i]);
    }
    TRN_UNROLL for (int i = 0; i < rows; i++) {
        float *y = t->y + i * t->y_stride;
        if (lanes == VF_LANES) vf_store(y, sum[i]);
        else vf_store_n(y, sum[i], lanes);
    }
}

// All rows of one vector of channels.
TRN_INLINE void dwconv_column(dwconv_tile t, size_t m, size_t lanes) {
    for (; m >= DWCONV_ROWS; m -= DWCONV_ROWS) {
        dwconv_run(&t, DWCONV_ROWS, lanes);
        t.x += DWCONV_ROWS * t.x_stride, t.y += DWCONV_ROWS * t.y_stride, t.init += DWCONV_ROWS * t.init_stride;
    }
    for (; m > 0; m--) {
        dwconv_run(&t, 1, lanes);
        t.x += t.x_stride, t.y += t.y_stride, t.init += t.init_stride;
    }
}

TRN_SLOT void TRN_KERNEL(f32_dwconv)(size_t m, size_t n, size_t taps, const float *x, ptrdiff_t x_stride,
                                   ptrdiff_t tap_stride, const float *w, size_t w_stride, const float *init,
                                   ptrdiff_t init_stride, float *y, ptrdiff_t y_stride) {
    static const float zeros[VF_LANES];
    for (size_t column = 0; column < n; column += VF_LANES) {
        const dwconv_tile t = {taps, x + column, x_stride, tap_stride, w + column, w_stride,
                               init ? init + column : zeros, init ? init_stride : 0, y + column, y_stride};
        if (n - column >= VF_LANES) dwconv_column(t, m, VF_LANES);
        else dwconv_column(t, m, n - column);
    }
}
