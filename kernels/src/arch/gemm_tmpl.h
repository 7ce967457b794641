// SPDX-License-Identifier: Apache-2.0
// f32_gemm: tiles of `rows` x `vectors` accumulators, each one ascending chain over k, so that no choice of tile changes
// a byte. The helpers are inlined with constant rows and vectors, which keeps the accumulators in registers.

enum { GEMM_VECTORS = 8 };  // of the widest tile

// What a tile needs beside its size: every pointer at the tile's first element.
typedef struct gemm_tile {
    size_t k;            // length of the chains
    const float *x;      // [rows, k], rows x_stride apart
    size_t x_stride;
    const float *w;      // [k, 8 * vectors], rows w_stride apart
    size_t w_stride;
    const float *init;   // [rows, columns], rows init_stride apart, or NULL
    size_t init_stride;
    float *y;            // [rows, columns], rows y_stride apart
    size_t y_stride;
    size_t columns;      // wanted, <= 8 * vectors
} gemm_tile;

// Columns of vector j that are wanted: 0 to 8.
TRN_INLINE size_t gemm_lanes(size_t columns, int j) {
    size_t before = (size_t)j * VF_LANES;
    return columns <= before ? 0 : columns - before < VF_LANES ? columns - before : VF_LANES;
}

TRN_INLINE void gemm_run(const gemm_tile *t, const int rows, const int vectors) {
    vf sum[VF_TILE_ROWS][GEMM_VECTORS];
    const int whole = t->columns == (size_t)vectors * VF_LANES;
    TRN_UNROLL for (int i = 0; i < rows; i++)
        TRN_UNROLL for (int j = 0; j < vectors; j++) {
            const float *from = t->init + (size_t)i * t->init_stride + (size_t)j * VF_LANES;
            if (!t->init) sum[i][j] = vf_zero();
            else if (whole) sum[i][j] = vf_load(from);
            else sum[i][j] = vf_load_n(from, gemm_lanes(t->columns, j));
        }
    const float *x = t->x, *w = t->w;
    for (size_t k = 0; k < t->k; k++, w += t->w_stride) {
        vf row[GEMM_VECTORS];
        TRN_UNROLL for (int j = 0; j < vectors; j++) row[j] = vf_load(w + (size_t)j * VF_LANES);
        TRN_UNROLL for (int i = 0; i < rows; i++) {
            vf value = vf_set1(x[(size_t)i * t->x_stride + k]);
            TRN_UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = vf_fma(value, row[j], sum[i][j]);
        }
    }
    TRN_UNROLL for (int i = 0; i < rows; i++)
        TRN_UNROLL for (int j = 0; j < vectors; j++) {
            float *to = t->y + (size_t)i * t->y_stride + (size_t)j * VF_LANES;
            if (whole) vf_store(to, sum[i][j]);
            else vf_store_n(to, sum[i][j], gemm_lanes(t->columns, j));
        }
}

// A whole panel for one row: its weights are read in memory order.
static void gemm_row(const gemm_tile *t, size_t width) {
    switch (width / 16) {
    case 1: gemm_run(t, 1, 2); break;
    case 2: gemm_run(t, 1, 4); break;
    case 3: gemm_run(t, 1, 6); break;
    default: gemm_run(t, 1, 8); break;
    }
}

static void gemm_rows(const gemm_tile *t, size_t rows, size_t width) {
    const int wide = width == 32;
    switch (rows) {
    case 2: if (wide) gemm_run(t, 2, 4); else gemm_run(t, 2, 2); break;
    case 3: if (wide) gemm_run(t, 3, 4); else gemm_run(t, 3, 2); break;
    case 4: gemm_run(t, 4, 2); break;
    case 5: gemm_run(t, 5, 2); break;
    default: gemm_run(t, 6, 2); break;
    }
}

// A panel for m >= 2 rows: a few columns at a time stay in the cache while the rows pass by, in blocks of nearly the same
// size. Two or three rows need 32 columns for enough independent chains.
static void gemm_panel(const gemm_tile *panel, size_t m, size_t width) {
    const size_t blocks = (m + VF_TILE_ROWS - 1) / VF_TILE_ROWS;
    for (size_t column = 0, step; column < panel->columns; column += step) {
        gemm_tile t = *panel;
        step = m <= 3 && VF_TILE_ROWS > 1 && width - column >= 32 ? 32 : 16;
        t.w += column, t.y += column;
        if (t.init) t.init += column;
        t.columns = t.columns - column < step ? t.columns - column : step;
        for (size_t block = 0; block < blocks; block++) {
            size_t rows = m / blocks + (block < m % blocks);
            if (VF_TILE_ROWS == 1) gemm_run(&t, 1, 2);
            else gemm_rows(&t, rows, step);
            t.x += rows * t.x_stride, t.y += rows * t.y_stride;
            if (t.init) t.init += rows * t.init_stride;
        }
    }
}

static void TRN_KERNEL(f32_gemm)(size_t m, size_t n, size_t k, const float *x, size_t x_stride, const float *w,
                                 size_t panel, const float *init, size_t init_stride, float *y, size_t y_stride) {
    gemm_tile t = {k, x, x_stride, w, panel, init, init_stride, y, y_stride, 0};
    for (size_t column = 0; column < n && m > 0; column += panel) {
        size_t columns = n - column, width = (columns + 15) / 16 * 16;
        if (width > panel) columns = width = panel;
        t.columns = columns, t.w_stride = width;
        if (m == 1 && VF_TILE_ROWS > 1) gemm_row(&t, width);
        else gemm_panel(&t, m, width);
        t.w += k * width, t.y += columns;
        if (init) t.init += columns;
    }
}
