// SPDX-License-Identifier: Apache-2.0
// f32_gemm: tiles of `rows` x `vectors` accumulators, each one ascending chain over k, so that no choice of tile
// changes a byte. The tile's body is inlined with constant sizes, which keeps the accumulators in registers.

enum { GEMM_VECTORS = 64 / VF_LANES, GEMM_FLOATS = 96 };  // of the widest panel; in any tile

// What a tile needs beside its size: every pointer at the tile's first element.
typedef struct gemm_tile {
    size_t k;            // length of the chains
    const float *x;      // [rows, k], rows x_stride apart
    ptrdiff_t x_stride;
    const float *w;      // [k, width], rows w_stride apart
    size_t w_stride;
    size_t w_panel;      // from a panel to the next, where a tile has two
    const float *init;   // [rows, width], rows init_stride apart
    ptrdiff_t init_stride;
    float *y;            // [rows, width], rows y_stride apart
    ptrdiff_t y_stride;
} gemm_tile;

typedef void gemm_function(const gemm_tile *t);

typedef vf gemm_sums[VF_TILE_ROWS][2][GEMM_VECTORS];

#if VF_TILE_SUMS >= 12
#define GEMM_LINKS TRN_UNROLL_TWICE  // half the branches, of which short chains see many
#else
#define GEMM_LINKS
#endif

// Adds `count` links to every chain. panels: 1 or 2 neighbours; vectors: of a row of one of them.
TRN_INLINE void gemm_accumulate(gemm_sums sum, size_t count, const float *x, const ptrdiff_t x_stride, const float *w,
                                const size_t w_stride, const size_t w_panel, const int rows, const int panels,
                                const int vectors) {
    GEMM_LINKS for (size_t k = 0; k < count; k++, w += w_stride) {
        // What a step of k reads once, x or w, stays in registers for the other: the one of which there is less.
        if (rows <= panels * vectors) {
            vf value[VF_TILE_ROWS];
            TRN_UNROLL for (int i = 0; i < rows; i++) value[i] = vf_set1(x[i * x_stride + (ptrdiff_t)k]);
            TRN_UNROLL for (int p = 0; p < panels; p++)
                TRN_UNROLL for (int j = 0; j < vectors; j++) {
                    vf weights = vf_load(w + (size_t)p * w_panel + (size_t)j * VF_LANES);
                    TRN_UNROLL for (int i = 0; i < rows; i++) sum[i][p][j] = vf_fma(value[i], weights, sum[i][p][j]);
                }
        } else {
            vf weights[GEMM_VECTORS];
            TRN_UNROLL for (int j = 0; j < vectors; j++) weights[j] = vf_load(w + (size_t)j * VF_LANES);
            TRN_UNROLL for (int i = 0; i < rows; i++) {
                vf value = vf_set1(x[i * x_stride + (ptrdiff_t)k]);
                TRN_UNROLL for (int j = 0; j < vectors; j++) sum[i][0][j] = vf_fma(value, weights[j], sum[i][0][j]);
            }
        }
    }
}

TRN_INLINE void gemm_run(const gemm_tile *t, const int rows, const int panels, const int vectors) {
    gemm_sums sum;
    const float *init = t->init;
    const size_t width = (size_t)vectors * VF_LANES;
    TRN_UNROLL for (int i = 0; i < rows; i++)
        TRN_UNROLL for (int p = 0; p < panels; p++)
            TRN_UNROLL for (int j = 0; j < vectors; j++)
                sum[i][p][j] = vf_load(init + i * t->init_stride + (size_t)p * width + (size_t)j * VF_LANES);
    gemm_accumulate(sum, t->k, t->x, t->x_stride, t->w, t->w_stride, t->w_panel, rows, panels, vectors);
    float *y = t->y;
    const ptrdiff_t y_stride = t->y_stride;
    TRN_UNROLL for (int i = 0; i < rows; i++)
        TRN_UNROLL for (int p = 0; p < panels; p++)
            TRN_UNROLL for (int j = 0; j < vectors; j++)
                vf_store(y + i * y_stride + (size_t)p * width + (size_t)j * VF_LANES, sum[i][p][j]);
}

// Each size in a function of its own: together, they spoil each other's registers and alignment. eights: columns / 8.
#define GEMM_TILE(name, rows, panels, eights) \
    static TRN_NOINLINE void name(const gemm_tile *t) { gemm_run(t, rows, panels, 8 / VF_LANES * (eights)); }

GEMM_TILE(gemm_1x2, 1, 1, 2)
#if VF_TILE_SUMS >= 6
GEMM_TILE(gemm_1x4, 1, 1, 4)
GEMM_TILE(gemm_1x6, 1, 1, 6)
GEMM_TILE(gemm_1x8, 1, 1, 8)
GEMM_TILE(gemm_2x2, 2, 1, 2)
#endif
#if VF_TILE_SUMS >= 12
GEMM_TILE(gemm_1x4_two, 1, 2, 4)
GEMM_TILE(gemm_1x6_two, 1, 2, 6)
GEMM_TILE(gemm_2x4, 2, 1, 4)
GEMM_TILE(gemm_3x2, 3, 1, 2)
GEMM_TILE(gemm_3x4, 3, 1, 4)
GEMM_TILE(gemm_4x2, 4, 1, 2)
GEMM_TILE(gemm_5x2, 5, 1, 2)
GEMM_TILE(gemm_6x2, 6, 1, 2)
#endif

// By rows and width / 16.
static gemm_function *const gemm_tiles[VF_TILE_ROWS + 1][5] = {
#if VF_TILE_SUMS < 6
    [1] = {NULL, gemm_1x2},
#else
    [1] = {NULL, gemm_1x2, gemm_1x4, gemm_1x6, gemm_1x8},
#endif
#if VF_TILE_SUMS >= 12
    [2] = {NULL, gemm_2x2, gemm_2x4},
    [3] = {NULL, gemm_3x2, gemm_3x4},
    [4] = {NULL, gemm_4x2},
    [5] = {NULL, gemm_5x2},
    [6] = {NULL, gemm_6x2},
#elif VF_TILE_SUMS >= 6
    [2] = {NULL, gemm_2x2},
#endif
};

// A tile of which only so many columns exist in init and y: it works on a copy.
static void gemm_part(const gemm_tile *whole, gemm_function *run, size_t rows, size_t width, size_t columns) {
    float copy[GEMM_FLOATS];
    gemm_tile t = *whole;
    memset(copy, 0, sizeof copy);
    for (size_t i = 0; i < rows; i++) memcpy(copy + i * width, t.init + (ptrdiff_t)i * t.init_stride, columns * sizeof *copy);
    t.init = t.y = copy, t.init_stride = t.y_stride = (ptrdiff_t)width;
    run(&t);
    for (size_t i = 0; i < rows; i++) memcpy(whole->y + (ptrdiff_t)i * whole->y_stride, copy + i * width, columns * sizeof *copy);
}

// One panel for several rows: a few columns at a time stay in the cache while the rows pass by, in blocks of nearly the
// same size. A few rows need 32 columns for enough independent chains. init_step: 1, or 0 where init is zeros.
static void gemm_panel(const gemm_tile *panel, size_t m, size_t width, size_t columns, size_t init_step) {
    const size_t blocks = (m + VF_TILE_ROWS - 1) / VF_TILE_ROWS, least = m / blocks, larger = m % blocks;
    const int wide = gemm_tiles[least + (larger > 0)][2] != NULL;
    for (size_t column = 0, step; column < columns; column += step) {
        gemm_tile t = *panel;
        step = wide && width - column >= 32 ? 32 : 16;
        t.w += column, t.y += column, t.init += column * init_step;
        const size_t wanted = columns - column < step ? columns - column : step;
        for (size_t block = 0; block < blocks; block++) {
            const ptrdiff_t rows = (ptrdiff_t)(least + (block < larger));
            gemm_function *run = gemm_tiles[rows][step / 16];
            if (wanted == step) run(&t);
            else gemm_part(&t, run, (size_t)rows, step, wanted);
            t.x += rows * t.x_stride, t.y += rows * t.y_stride, t.init += rows * t.init_stride;
        }
    }
}

// The tile for one row over a whole panel, so that weights are read in memory order, or over two narrow ones, because
// the processor can start more multiply-adds than one has independent chains for; NULL where there is none. left:
// columns from here to the end, padded.
static gemm_function *gemm_whole(size_t m, size_t width, size_t left, size_t *columns) {
    *columns = width;
    if (m != 1) return NULL;
#if VF_TILE_SUMS >= 12
    if (left >= 2 * width && (width == 32 || width == 48)) {
        *columns = 2 * width;
        return width == 32 ? gemm_1x4_two : gemm_1x6_two;
    }
#else
    (void)left;
#endif
    return gemm_tiles[1][width / 16];
}

static void TRN_KERNEL(f32_gemm)(size_t m, size_t n, size_t k, const float *x, ptrdiff_t x_stride, const float *w,
                                 size_t panel, const float *init, ptrdiff_t init_stride, float *y, ptrdiff_t y_stride) {
    static const float zeros[GEMM_FLOATS];
    const size_t init_step = init != NULL;
    gemm_tile t = {k, x, x_stride, w, panel, 0, init ? init : zeros, init ? init_stride : 0, y, y_stride};
    for (size_t column = 0, padded; column < n && m > 0; column += padded) {
        const size_t left = (n - column + 15) / 16 * 16, width = left < panel ? left : panel;
        gemm_function *run = gemm_whole(m, width, left, &padded);
        const size_t columns = n - column < padded ? n - column : padded;
        t.w_stride = width, t.w_panel = k * width;
        if (!run) gemm_panel(&t, m, width, columns, init_step);
        else if (columns == padded) run(&t);
        else gemm_part(&t, run, 1, padded, columns);
        t.w += k * padded, t.y += columns, t.init += columns * init_step;
    }
}
