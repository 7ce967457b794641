// SPDX-License-Identifier: Apache-2.0
// f32_gemm: tiles of `rows` x `vectors` accumulators, each one ascending chain over k, so that no choice of tile
// changes a byte. The tile's body is inlined with constant sizes, which keeps the accumulators in registers.

enum { GEMM_VECTORS = 64 / VF_LANES, GEMM_FLOATS = 96 };  // of the widest panel; in any tile

// Tiles of several rows read a few columns of a panel, a stride that processors do not follow from page to page. Where
// the weights are more than the second cache holds, tiles of so many rows fetch them: those of some links ahead, which
// come out of that cache, and the next stretch, which comes into it. Elsewhere it costs more than it saves.
enum { GEMM_FETCH_ROWS = 4, GEMM_FETCH_LINKS = 8, GEMM_FETCH_BYTES = 1 << 20 };

// A stretch is as many links of a panel as pass by all rows before the next ones do: all, or of such weights about so
// many. Two of them, the one at work and the one that is fetched, take half of a second cache of 512 KB.
enum { GEMM_STRETCH = 512 };

// The columns of a panel that one row takes at once, whose registers hold so many times eight sums: all of them, or half;
// else 16.
TRN_INLINE size_t gemm_part_of(size_t width, const size_t eights) {
    return eights * 8 >= width ? width : eights * 16 >= width && width % 32 == 0 ? width / 2 : 16;
}

// What a tile needs beside its size: every pointer at the tile's first element.
typedef struct gemm_tile {
    size_t k;            // length of the chains
    const float *x;      // [rows, k], rows x_stride apart
    ptrdiff_t x_stride;
    const float *w;      // [k, width], rows w_stride apart
    size_t w_stride;
    size_t w_panel;      // from a panel to the next
    const float *fetch;  // in the next stretch
    size_t fetch_step;   // how far to go on there with each link; 0: nothing is fetched
    const float *init;   // [rows, width], rows init_stride apart
    ptrdiff_t init_stride;
    float *y;            // [rows, width], rows y_stride apart
    ptrdiff_t y_stride;
} gemm_tile;

typedef void gemm_function(const gemm_tile *t);

typedef vf gemm_sums[VF_TILE_ROWS][2][GEMM_VECTORS];

#if VF_TILE_LINKS >= 2
#define GEMM_LINKS TRN_UNROLL_TWICE  // half the branches, of which short chains see many
#else
#define GEMM_LINKS
#endif

// Adds link k to every chain, with the weights at w. panels: 1 or 2 neighbours; vectors: of a row of one of them. What a
// link reads once, x or w, stays in registers for the other: the one of which there is less. The other comes VF_AHEAD
// turns before its use.
TRN_INLINE void gemm_link(gemm_sums sum, const size_t k, const float *const *x, const float *w, const size_t w_panel,
                          const size_t rows, const size_t panels, const size_t vectors) {
    enum { KEPT = VF_AHEAD + 1 };
    if (rows <= panels * vectors) {
        vf value[VF_TILE_ROWS], weights[KEPT];
        TRN_UNROLL for (size_t i = 0; i < rows; i++) value[i] = vf_set1(x[i][k]);
        TRN_UNROLL for (int at = 0; at < (int)(panels * vectors) + VF_AHEAD; at++) {
            const int use = at - VF_AHEAD, p = use / (int)vectors, j = use % (int)vectors;
            if (at < (int)(panels * vectors))
                weights[at % KEPT] = vf_load(w + (size_t)at / vectors * w_panel + (size_t)at % vectors * VF_LANES);
            if (use < 0) continue;
            TRN_UNROLL for (size_t i = 0; i < rows; i++) sum[i][p][j] = vf_fma(value[i], weights[use % KEPT], sum[i][p][j]);
        }
    } else {
        vf value[KEPT], weights[GEMM_VECTORS];
        TRN_UNROLL for (size_t j = 0; j < vectors; j++) weights[j] = vf_load(w + (size_t)j * VF_LANES);
        TRN_UNROLL for (int at = 0; at < (int)rows + VF_AHEAD; at++) {
            const int i = at - VF_AHEAD;
            if (at < (int)rows) value[at % KEPT] = vf_set1(x[at][k]);
            if (i < 0) continue;
            TRN_UNROLL for (size_t j = 0; j < vectors; j++) sum[i][0][j] = vf_fma(value[i % KEPT], weights[j], sum[i][0][j]);
        }
    }
}

// Adds `count` links.
TRN_INLINE void gemm_accumulate(gemm_sums sum, size_t count, const float *x, const ptrdiff_t x_stride, const float *w,
                                const size_t w_stride, const size_t w_panel, const size_t rows, const size_t panels,
                                const size_t vectors) {
    const float *each[VF_TILE_ROWS];
    TRN_UNROLL for (size_t i = 0; i < rows; i++) each[i] = x + (ptrdiff_t)i * x_stride;
    GEMM_LINKS for (size_t k = 0; k < count; k++, w += w_stride)
        gemm_link(sum, k, each, w, w_panel, rows, panels, vectors);
}

// Adds the tile's links, and fetches.
TRN_INLINE void gemm_fetch(gemm_sums sum, const gemm_tile *t, const size_t rows, const size_t vectors) {
    const float *w = t->w, *fetch = t->fetch, *each[VF_TILE_ROWS];
    TRN_UNROLL for (size_t i = 0; i < rows; i++) each[i] = t->x + (ptrdiff_t)i * t->x_stride;
    for (size_t k = 0; k < t->k; k++, w += t->w_stride, fetch += t->fetch_step) {
        vf_fetch(w + GEMM_FETCH_LINKS * t->w_stride), vf_fetch(fetch);
        gemm_link(sum, k, each, w, t->w_panel, rows, 1, vectors);
    }
}

TRN_INLINE void gemm_run(const gemm_tile *t, const size_t rows, const size_t panels, const size_t vectors) {
    gemm_sums sum;
    const float *init = t->init;
    const size_t width = (size_t)vectors * VF_LANES;
    TRN_UNROLL for (size_t i = 0; i < rows; i++)
        TRN_UNROLL for (size_t p = 0; p < panels; p++)
            TRN_UNROLL for (size_t j = 0; j < vectors; j++)
                sum[i][p][j] = vf_load(init + (ptrdiff_t)i * t->init_stride + (size_t)p * width + (size_t)j * VF_LANES);
    if (rows >= GEMM_FETCH_ROWS && t->fetch_step) gemm_fetch(sum, t, rows, vectors);
    else gemm_accumulate(sum, t->k, t->x, t->x_stride, t->w, t->w_stride, t->w_panel, rows, panels, vectors);
    float *y = t->y;
    const ptrdiff_t y_stride = t->y_stride;
    TRN_UNROLL for (size_t i = 0; i < rows; i++)
        TRN_UNROLL for (size_t p = 0; p < panels; p++)
            TRN_UNROLL for (size_t j = 0; j < vectors; j++)
                vf_store(y + (ptrdiff_t)i * y_stride + (size_t)p * width + (size_t)j * VF_LANES, sum[i][p][j]);
}

// Each size in a function of its own: together, they spoil each other's registers and alignment. eights: columns / 8.
#define GEMM_TILE(name, rows, panels, eights) \
    static TRN_NOINLINE void name(const gemm_tile *t) { gemm_run(t, rows, panels, 8 * (eights) / VF_LANES); }

GEMM_TILE(gemm_1x2, 1, 1, 2)
#if VF_TILE_SUMS >= 6
GEMM_TILE(gemm_1x4, 1, 1, 4)
GEMM_TILE(gemm_1x6, 1, 1, 6)
#if VF_ROW_SUMS >= 8
GEMM_TILE(gemm_1x8, 1, 1, 8)
#endif
GEMM_TILE(gemm_2x2, 2, 1, 2)
#endif
#if VF_TILE_PANELS >= 2
GEMM_TILE(gemm_1x4_two, 1, 2, 4)
GEMM_TILE(gemm_1x6_two, 1, 2, 6)
#endif
#if VF_TILE_SUMS >= 12
GEMM_TILE(gemm_2x4, 2, 1, 4)
GEMM_TILE(gemm_3x2, 3, 1, 2)
GEMM_TILE(gemm_3x4, 3, 1, 4)
GEMM_TILE(gemm_4x2, 4, 1, 2)
GEMM_TILE(gemm_5x2, 5, 1, 2)
GEMM_TILE(gemm_6x2, 6, 1, 2)
#endif

// By rows and width / 16.
static gemm_function *const gemm_tiles[VF_TILE_ROWS + 1][5] = {
#if VF_ROW_SUMS >= 8
    [1] = {NULL, gemm_1x2, gemm_1x4, gemm_1x6, gemm_1x8},
#elif VF_ROW_SUMS >= 6
    [1] = {NULL, gemm_1x2, gemm_1x4, gemm_1x6},
#else
    [1] = {NULL, gemm_1x2},
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

// How m rows pass by a panel: in blocks of nearly the same size, the first `larger` of them of a row more than `least`.
typedef struct gemm_walk {
    size_t blocks, least, larger;
    int wide;           // a few rows need 32 columns for enough independent chains
    size_t stretches;   // of nearly the same size too, in a panel
    size_t fetch_step;  // with which the tiles of one stretch fetch the next one, all together, or 0
} gemm_walk;

static gemm_walk gemm_walk_of(size_t m, size_t k, int fetching) {
    const size_t blocks = (m + VF_TILE_ROWS - 1) / VF_TILE_ROWS, least = m / blocks, larger = m % blocks;
    const int wide = gemm_tiles[least + (larger > 0)][2] != NULL;
    const size_t stretches = fetching && k > GEMM_STRETCH ? (k + GEMM_STRETCH / 2) / GEMM_STRETCH : 1;
    return (gemm_walk){blocks, least, larger, wide, stretches, fetching ? (16 + blocks - 1) / blocks : 0};
}

// A stretch for several rows: a few columns at a time stay in the cache while the rows pass by, and the next stretch comes
// nearer. The tile is used for all of them, and left as it was. init_step: 1, or 0 where init is zeros.
static void gemm_stretch(gemm_tile *t, const gemm_walk *walk, size_t width, size_t columns, size_t init_step) {
    const float *x = t->x, *w = t->w, *init = t->init, *end = w + 2 * t->k * width;
    float *y = t->y;
    t->fetch = w + t->k * width;
    for (size_t column = 0, step; column < columns; column += step) {
        step = walk->wide && width - column >= 32 ? 32 : 16;
        const size_t wanted = columns - column < step ? columns - column : step;
        t->x = x, t->w = w + column, t->y = y + column, t->init = init + column * init_step;
        for (size_t block = 0; block < walk->blocks; block++) {
            const size_t rows = walk->least + (block < walk->larger);
            gemm_function *run = gemm_tiles[rows][step / 16];
            t->fetch_step = t->fetch < end ? walk->fetch_step : 0;
            if (wanted == step) run(t);
            else gemm_part(t, run, rows, step, wanted);
            t->x += (ptrdiff_t)rows * t->x_stride, t->y += (ptrdiff_t)rows * t->y_stride;
            t->init += (ptrdiff_t)rows * t->init_stride, t->fetch += t->fetch_step * t->k;
        }
    }
    t->x = x, t->w = w, t->init = init, t->y = y;
}

// A panel for several rows. Behind its first stretch, the sums go on from y.
static void gemm_panel(gemm_tile t, const gemm_walk *walk, size_t width, size_t columns, size_t init_step) {
    const size_t least = t.k / walk->stretches, larger = t.k % walk->stretches;
    for (size_t stretch = 0; stretch < walk->stretches; stretch++) {
        t.k = least + (stretch < larger);
        gemm_stretch(&t, walk, width, columns, init_step);
        t.x += t.k, t.w += t.k * width;
        t.init = t.y, t.init_stride = t.y_stride, init_step = 1;
    }
}

// The tile for one row over a whole panel, so that weights are read in memory order, or over two narrow ones, because
// the processor can start more multiply-adds than one has independent chains for; NULL where there is none. left:
// columns from here to the end, padded.
static gemm_function *gemm_whole(size_t m, size_t width, size_t left, size_t *columns) {
    *columns = width;
    if (m != 1) return NULL;
#if VF_TILE_PANELS >= 2
    if (left >= 2 * width && (width == 32 || width == 48)) {
        *columns = 2 * width;
        return width == 32 ? gemm_1x4_two : gemm_1x6_two;
    }
#else
    (void)left;
#endif
    return gemm_tiles[1][width / 16];
}

TRN_SLOT void TRN_KERNEL(f32_gemm)(size_t m, size_t n, size_t k, const float *x, ptrdiff_t x_stride, const float *w,
                                 size_t panel, const float *init, ptrdiff_t init_stride, float *y, ptrdiff_t y_stride) {
    static const float zeros[GEMM_FLOATS];
    const size_t init_step = init != NULL;
    gemm_tile t = {k, x, x_stride, w, panel, 0, w, 0, init ? init : zeros, init ? init_stride : 0, y, y_stride};
    if (m == 0) return;
    const gemm_walk alone = {1, 1, 0, gemm_tiles[1][2] != NULL, 1, 0};  // without divisions
    const gemm_walk walk = m == 1 ? alone : gemm_walk_of(m, k, n * k * sizeof(float) > GEMM_FETCH_BYTES);
    for (size_t column = 0, padded; column < n; column += padded) {
        const size_t left = (n - column + 15) / 16 * 16, width = left < panel ? left : panel;
        gemm_function *run = gemm_whole(m, width, left, &padded);
        const size_t columns = n - column < padded ? n - column : padded;
        t.w_stride = width, t.w_panel = k * width;
        if (!run) gemm_panel(t, &walk, width, columns, init_step);
        else if (columns == padded) run(&t);
        else gemm_part(&t, run, 1, padded, columns);
        t.w += k * padded, t.y += columns, t.init += columns * init_step;
    }
}
