// SPDX-License-Identifier: Apache-2.0
// Products of whole numbers. A row of x becomes codes with a scale of their own, of 8 bits beside int8 weights and of
// 16 beside int16. Sums of integers are exact, so that neither their order nor the instruction set matters, and lead
// back to floats by operations that round once each.

enum { I8_CELL = 4, I8_VECTORS = 64 / VF_LANES };  // bytes; vectors of the widest panel
#define I8_FLAT 12       // magnitude of the codes, in the mean, from which on one row of codes is enough
#define I8_PARTS 254.0f  // of a code: what it leaves is at most half of it, 127 of these
// Bits of magnitudes: of the largest finite one, and of 2^-100, below which a row counts as zeros.
enum { I8_FINITE = 0x7f7fffff, I8_TINY = 27 << 23 };

// Cells of a column of k weights, 4 or 2 of them each, without a division, since steps are short; rows of cells of a matrix
// with so many.
TRN_INLINE size_t i8_cells(size_t k, size_t per_cell) { return (k + per_cell - 1) >> per_cell / 2; }
TRN_INLINE size_t i8_rows_of_cells(size_t cells, size_t per_cell) {
    return cells + (size_t)trn_rows_behind((int)per_cell);
}

// One lane has more sums than there are registers anyway.
#if VF_TILE_SUMS >= 6
#define I8_UNROLL TRN_UNROLL
#else
#define I8_UNROLL TRN_ROLLED
#endif

// What is worked on at once: VI_GROUP vectors. Of the group that a row ends with only n elements may be there; zeros stand
// for the others. short_row: they are loaded by code of their own, else out of a copy.
enum { I8_GROUP = VI_GROUP * VF_LANES };
TRN_INLINE void i8_load(const float *x, vf group[VI_GROUP]) {
    TRN_UNROLL for (size_t i = 0; i < VI_GROUP; i++) group[i] = vf_load(x + i * VF_LANES);
}
TRN_INLINE void i8_load_last(const float *x, size_t n, const int short_row, vf group[VI_GROUP]) {
    float copy[I8_GROUP];
    if (short_row) TRN_UNROLL for (size_t i = 0; i < VI_GROUP; i++) {
            const size_t at = i * VF_LANES;
            if (at + VF_LANES <= n) group[i] = vf_load(x + at);
            else group[i] = at < n ? vf_load_n(x + at, n - at) : vf_zero();
        }
    if (short_row) return;
    if (n < I8_GROUP) memset(copy, 0, sizeof copy), memcpy(copy, x, n * sizeof *copy), x = copy;
    i8_load(x, group);
}

// The bits of the largest magnitude. They order as integers do: infinity above every number, NaN above infinity.
TRN_INLINE void i8_enlarge(vi most[VI_GROUP], const vf group[VI_GROUP]) {
    const vi magnitude = vi_set1(INT32_MAX);
    TRN_UNROLL for (size_t i = 0; i < VI_GROUP; i++) most[i] = vi_max(most[i], vi_and(vf_bits(group[i]), magnitude));
}
TRN_INLINE int32_t i8_largest(size_t n, const float *x, const int short_row, vf last[VI_GROUP]) {
    vi most[VI_GROUP];
    vf group[VI_GROUP];
    TRN_UNROLL for (size_t i = 0; i < VI_GROUP; i++) most[i] = vi_set1(0);
    for (; n > I8_GROUP; n -= I8_GROUP, x += I8_GROUP) i8_load(x, group), i8_enlarge(most, group);
    i8_load_last(x, n, short_row, last), i8_enlarge(most, last);
    return vi_max_across(vi_max(vi_max(most[0], most[1]), vi_max(most[VI_GROUP - 2], most[VI_GROUP - 1])));
}

// Codes of x * factor, and the sum of their magnitudes. rest: of what the codes leave, in parts of 1 / 254, instead.
TRN_INLINE vi i8_encode_group(const vf group[VI_GROUP], vf factor, const int clamp, const int rest, int8_t *codes) {
    vi code[VI_GROUP];
    TRN_UNROLL for (size_t i = 0; i < VI_GROUP; i++) {
        vf scaled = vf_mul(group[i], factor);
        if (clamp) scaled = vf_clamp(127.0f, scaled);
        code[i] = vf_to_vi(scaled);
        if (rest) code[i] = vf_to_vi(vf_mul(vf_sub(scaled, vi_to_vf(code[i])), vf_set1(I8_PARTS)));
    }
    return vi_store_codes(codes, code);
}
// last: the group that the row ends with.
TRN_INLINE int32_t i8_encode(size_t n, const float *x, const vf last[VI_GROUP], vf factor, const int clamp, const int rest,
                             int8_t *codes) {
    vi sum = vi_set1(0);
    vf group[VI_GROUP];
    for (; n > I8_GROUP; n -= I8_GROUP, x += I8_GROUP, codes += I8_GROUP) {
        i8_load(x, group);
        sum = vi_add(sum, i8_encode_group(group, factor, clamp, rest, codes));
    }
    return vi_sum_across(vi_add(sum, i8_encode_group(last, factor, clamp, rest, codes)));
}

// Codes of 16 bits. Their range may be a given one, and its bounds cost nothing that counts.
TRN_INLINE void i8_encode_group_16(const vf group[VI_GROUP], vf factor, int16_t *codes) {
    vi code[VI_GROUP];
    TRN_UNROLL for (size_t i = 0; i < VI_GROUP; i++)
        code[i] = vf_to_vi(vf_clamp(TRN_LIMIT_I16_CODE, vf_mul(group[i], factor)));
    vi_store_codes16(codes, code);
}
TRN_INLINE void i8_encode_16(size_t n, const float *x, const vf last[VI_GROUP], vf factor, int16_t *codes) {
    vf group[VI_GROUP];
    for (; n > I8_GROUP; n -= I8_GROUP, x += I8_GROUP, codes += I8_GROUP)
        i8_load(x, group), i8_encode_group_16(group, factor, codes);
    i8_encode_group_16(last, factor, codes);
}

TRN_INLINE void i8_quantize_row(const size_t n, const float *x, const float *range, const trn_coding coding,
                                const int short_row, int8_t *codes, float *scales) {
    const int wide = coding == TRN_CODES_16;
    vf last[VI_GROUP];
    const int32_t bits = i8_largest(n, x, short_row, last), bound = range ? bits_of_float(*range) : bits;
    const float largest = float_of_bits(bound);
    const int wild = bits > I8_FINITE || (range && (bound & INT32_MAX) > I8_FINITE);
    scales[1] = 0.0f;
    if (wild || bound < I8_TINY) {
        memset(codes, wide ? 0 : VI_DOT_OFFSET, (wide ? 2 : 1) * trn_codes_size(n));
        scales[0] = wild ? NAN : 0.0f;
        return;
    }
    const vf factor = vf_set1((wide ? TRN_LIMIT_I16_CODE : 127.0f) / largest);
    scales[0] = largest * (wide ? 1.0f / TRN_LIMIT_I16_CODE : 1.0f / 127.0f);
    if (wide) {
        i8_encode_16(n, x, last, factor, (int16_t *)codes);
        return;
    }
    // Long rows are clamped without a range too, which changes nothing and spares a loop.
    const int32_t sum = i8_encode(n, x, last, factor, !short_row, 0, codes);
    if (range || coding == TRN_CODES_8 || sum >= I8_FLAT * (int32_t)n) return;
    if (i8_encode(n, x, last, factor, 0, 1, codes + trn_codes_size(n)) != 0) scales[1] = scales[0] * (1.0f / I8_PARTS);
}

static TRN_NOINLINE void i8_quantize_any(size_t n, const float *x, const float *range, trn_coding coding, int8_t *codes,
                                         float *scales) {
    i8_quantize_row(n, x, range, coding, 0, codes, scales);
}

// A row of one group is made in registers, by code of its own where there are many: the steps of small layers take hardly
// longer than this.
TRN_SLOT void TRN_KERNEL(i8_quantize)(size_t n, const float *x, const float *range, trn_coding coding, int8_t *codes,
                                    float *scales) {
    if (n == 0) scales[0] = scales[1] = 0.0f;  // x may be NULL
    else if (VI_ROW_SUMS < 6 || n > I8_GROUP || range || coding == TRN_CODES_16)
        i8_quantize_any(n, x, range, coding, codes, scales);
    else i8_quantize_row(n, x, NULL, coding == TRN_CODES_8 ? TRN_CODES_8 : TRN_CODES_8_OR_TWO, 1, codes, scales);
}

// sums of `rows` rows of codes by the columns of `panels` panels, `vectors` vectors of each.
typedef vsum i8_sums[VI_TILE_ROWS][VF_TILE_PANELS * I8_VECTORS];

// Where vector j of a row of cells is, in panels that are w_panel bytes apart.
TRN_INLINE size_t i8_at(size_t j, size_t w_panel, const size_t vectors) {
    return j / vectors * w_panel + j % vectors * VF_LANES * I8_CELL;
}

// Adds the products with so many cells of each column, which the codes hold from cell c on. Weights come VI_AHEAD vectors
// before their use.
TRN_INLINE void i8_products(i8_sums sum, const int wide, const size_t cells, const vcodes code[VI_TILE_ROWS],
                            const size_t c, const char *w, const size_t w_stride, const size_t w_panel,
                            const size_t rows, const size_t panels, const size_t vectors) {
    enum { KEPT = VI_AHEAD + 1 };
    const int all = (int)(panels * vectors);
    vi weights[KEPT][VI_DOT_CELLS];
    I8_UNROLL for (int at = 0; at < all + VI_AHEAD; at++) {
        const int j = at - VI_AHEAD;
        if (at < all) I8_UNROLL for (size_t d = 0; d < cells; d++) weights[at % KEPT][d] =
            vi_load_cells(w + (size_t)d * w_stride + i8_at((size_t)at, w_panel, vectors));
        if (j < 0) continue;
        I8_UNROLL for (size_t i = 0; i < rows; i++) sum[i][j] =
            wide ? vsum_dot16(sum[i][j], code[i], c, weights[j % KEPT], cells)
                 : vsum_dot(sum[i][j], code[i], c, weights[j % KEPT], cells);
    }
}

// Those with `cells` cells: VI_CODE_CELLS(sums), VI_DOT_CELLS or 1.
TRN_INLINE void i8_link(i8_sums sum, const int wide, const size_t cells, const int8_t *x, size_t x_stride,
                        const char *w, const size_t w_stride, const size_t w_panel, const size_t rows,
                        const size_t panels, const size_t vectors) {
    vcodes code[VI_TILE_ROWS];
    I8_UNROLL for (size_t i = 0; i < rows; i++) code[i] = vcodes_load(x + (size_t)i * x_stride, cells);
    I8_UNROLL for (size_t c = 0; c < cells; c += VI_DOT_CELLS, w += VI_DOT_CELLS * w_stride)
        i8_products(sum, wide, cells < VI_DOT_CELLS ? cells : VI_DOT_CELLS, code, c, w, w_stride, w_panel, rows, panels,
                    vectors);
}

// Those with the last cells of a column, fewer than VI_CODE_CELLS(sums).
TRN_INLINE void i8_last_links(i8_sums sum, const int wide, size_t cells, const int8_t *x, size_t x_stride,
                              const char *w, const size_t w_stride, const size_t w_panel, const size_t rows,
                              const size_t panels, const size_t vectors) {
    if (VI_DOT_CELLS > 1 && VI_CODE_CELLS(rows * panels * vectors) > VI_DOT_CELLS && cells >= VI_DOT_CELLS) {
        i8_link(sum, wide, VI_DOT_CELLS, x, x_stride, w, w_stride, w_panel, rows, panels, vectors);
        cells -= VI_DOT_CELLS, x += VI_DOT_CELLS * I8_CELL, w += VI_DOT_CELLS * w_stride;
    }
    TRN_ROLLED for (; cells > 0; cells--, x += I8_CELL, w += w_stride)
        i8_link(sum, wide, 1, x, x_stride, w, w_stride, w_panel, rows, panels, vectors);
}

// count: cells of a column. w: rows of them, w_stride bytes apart, then start values, which int16 has none of, then
// scales, whose address it returns; of the next panel w_panel bytes behind. fetch: NULL, or where weights lie that will be
// needed later, of which each row of cells fetches fetch_step bytes. ahead: 0, or how many bytes before their use those of w
// are fetched, and what lies behind the last ones.
TRN_INLINE const char *i8_accumulate(i8_sums sum, const int wide, size_t count, const int8_t *x, size_t x_stride,
                                     const char *w, const size_t w_stride, const size_t w_panel, const char **fetch,
                                     const size_t fetch_step, const size_t ahead, const size_t rows,
                                     const size_t panels, const size_t vectors) {
    enum { I8_LINE = 64 };  // of the cache
    const size_t cells = VI_CODE_CELLS(rows * panels * vectors), left = count % cells, bytes = vectors * VF_LANES * I8_CELL;
    const char *const start = w + count * w_stride, *const whole = start - left * w_stride;
    const int8_t *const last = x + (count - left) * I8_CELL;
    I8_UNROLL for (size_t i = 0; i < rows; i++) I8_UNROLL for (size_t j = 0; j < panels * vectors; j++) sum[i][j] =
        vsum_of(VI_DOT_OFFSET && !wide ? vi_load_cells(start + i8_at(j, w_panel, vectors)) : vi_set1(0));
    GEMM_LINKS for (; w != whole; x += cells * I8_CELL, w += cells * w_stride) {
        if (fetch) I8_UNROLL for (size_t c = 0; c < cells; c++, *fetch += fetch_step) vf_fetch((const float *)*fetch);
        if (ahead) I8_UNROLL for (size_t c = 0; c < cells; c++) I8_UNROLL for (size_t p = 0; p < panels; p++)
                I8_UNROLL for (size_t at = 0; at < bytes; at += I8_LINE)
                    vf_fetch((const float *)(w + ahead + (size_t)c * w_stride + (size_t)p * w_panel + at));
        i8_link(sum, wide, cells, x, x_stride, w, w_stride, w_panel, rows, panels, vectors);
    }
    if (left) i8_last_links(sum, wide, left, last, x_stride, whole, w_stride, w_panel, rows, panels, vectors);
    return wide ? start : start + w_stride;
}

// init + what a sum stands for. scales: those of the columns.
TRN_INLINE vf i8_value(vf init, vi sum, vf x_scale, const char *scales) {
    return vf_add(init, vf_mul(vi_to_vf(sum), vf_mul(x_scale, vi_as_vf(vi_load_cells(scales)))));
}

// What a tile needs beside its size: every pointer at the tile's first element.
typedef struct i8_tile {
    size_t cells;     // of a column
    const int8_t *x;  // codes, rows x_stride apart
    size_t x_stride;
    const float *x_scales;  // of each row, 2 apart
    const char *w;          // rows of cells, w_stride bytes apart
    size_t w_stride;
    const char *fetch;      // in the next panel
    size_t fetch_step;      // bytes to go on there with each row of cells; 0: nothing is fetched
    const float *init;
    ptrdiff_t init_stride;
    float *y;
    ptrdiff_t y_stride;
} i8_tile;

typedef void i8_function(const i8_tile *t);

TRN_INLINE void i8_run(const i8_tile *t, const int wide, const int fetching, const size_t ahead, const size_t rows,
                       const size_t vectors) {
    i8_sums sum;
    const char *fetch = t->fetch;
    const char *scales = i8_accumulate(sum, wide, t->cells, t->x, t->x_stride, t->w, t->w_stride, 0,
                                       fetching ? &fetch : NULL, t->fetch_step, ahead, rows, 1, vectors);
    I8_UNROLL for (size_t i = 0; i < rows; i++) I8_UNROLL for (size_t j = 0; j < vectors; j++) {
        const vf before = vf_load(t->init + (ptrdiff_t)i * t->init_stride + j * VF_LANES);
        const vf scale = vf_set1(t->x_scales[2 * i]);
        vf_store(t->y + (ptrdiff_t)i * t->y_stride + j * VF_LANES,
                 i8_value(before, vsum_total(sum[i][j]), scale, scales + j * VF_LANES * I8_CELL));
    }
}

// For weights of 8 and of 16 bits. eights: columns / 8.
#define I8_TILE_AHEAD(name, ahead, rows, eights)                                                                   \
    static TRN_NOINLINE void i8_##name(const i8_tile *t) { i8_run(t, 0, 0, ahead, rows, 8 * (eights) / VF_LANES); } \
    static TRN_NOINLINE void i16_##name(const i8_tile *t) { i8_run(t, 1, 0, ahead, rows, 8 * (eights) / VF_LANES); }
#define I8_TILE(name, rows, eights) I8_TILE_AHEAD(name, 0, rows, eights)

// F(columns / 16) for the tiles of one row.
#if VI_ROW_SUMS >= 8
#define I8_WIDTHS(F) F(1) F(2) F(3) F(4)
#elif VI_ROW_SUMS >= 6
#define I8_WIDTHS(F) F(1) F(2) F(3)
#else
#define I8_WIDTHS(F) F(1)
#endif

// By whether weights are far, whether they have 16 bits, and columns / 16.
#define I8_ROW(sixteens)       I8_TILE(row_##sixteens, 1, 2 * sixteens)
#define I8_ROW_NAME(sixteens)  i8_row_##sixteens,
#define I16_ROW_NAME(sixteens) i16_row_##sixteens,
I8_WIDTHS(I8_ROW)
#if VI_ROW_AHEAD > 0
#define I8_FAR(sixteens)       I8_TILE_AHEAD(far_##sixteens, VI_ROW_AHEAD, 1, 2 * sixteens)
#define I8_FAR_NAME(sixteens)  i8_far_##sixteens,
#define I16_FAR_NAME(sixteens) i16_far_##sixteens,
I8_WIDTHS(I8_FAR)
#else
#define I8_FAR_NAME  I8_ROW_NAME
#define I16_FAR_NAME I16_ROW_NAME
#endif
static i8_function *const i8_row[2][2][5] = {
    {{NULL, I8_WIDTHS(I8_ROW_NAME)}, {NULL, I8_WIDTHS(I16_ROW_NAME)}},
    {{NULL, I8_WIDTHS(I8_FAR_NAME)}, {NULL, I8_WIDTHS(I16_FAR_NAME)}},
};
enum { I8_NEAR = 32 << 10 };  // bytes of a matrix up to which one row's weights are not far
// Wide tiles have two or four rows, and gain nothing by fetching: processors follow what they read.
#define I8_WIDE_TILES (VI_TILE_SUMS >= 6)
#if I8_WIDE_TILES
I8_TILE(2x2, 2, 2)
I8_TILE(2x4, 2, 4)
I8_TILE(2x6, 2, 6)
I8_TILE(4x2, 4, 2)
I8_TILE(4x4, 4, 4)
I8_TILE(4x6, 4, 6)
#elif VI_TILE_ROWS >= 4
I8_TILE(2x2, 2, 2)
I8_TILE(3x2, 3, 2)
I8_TILE(4x2, 4, 2)
static TRN_NOINLINE void i8_4x2_fetching(const i8_tile *t) { i8_run(t, 0, 1, 0, 4, 16 / VF_LANES); }
#endif
// By whether weights have 16 bits, whether the tiles fetch, columns / 16, and rows. What f32_gemm fetches out of the second
// cache comes early enough here: a link of a tile takes longer. Batches of so large layers in 16 bits are too rare for a tile
// more.
static i8_function *const i8_rows[2][2][4][VI_TILE_ROWS + 1] = {
#if I8_WIDE_TILES
#define I8_ROWS(bits)                                               \
    {                                                               \
        {NULL}, {NULL, bits##_row_1, bits##_2x2, NULL, bits##_4x2}, \
            {NULL, bits##_row_2, bits##_2x4, NULL, bits##_4x4},     \
            {NULL, bits##_row_3, bits##_2x6, NULL, bits##_4x6},     \
    }
    {I8_ROWS(i8)},
    {I8_ROWS(i16)},
#elif VI_TILE_ROWS >= 4
    {{{NULL}, {NULL, i8_row_1, i8_2x2, i8_3x2, i8_4x2}}, {{NULL}, {NULL, i8_row_1, i8_2x2, i8_3x2, i8_4x2_fetching}}},
    {{{NULL}, {NULL, i16_row_1, i16_2x2, i16_3x2, i16_4x2}}, {{NULL}, {NULL, i16_row_1, i16_2x2, i16_3x2, i16_4x2}}},
#else
    {{{NULL}}},  // rows go one by one
#endif
};

// A tile of which only so many columns exist in init and y: it works on a copy. A function of its own: what surrounds its
// calls needs the registers.
static TRN_NOINLINE void i8_part(const i8_tile *whole, i8_function *run, size_t rows, size_t width, size_t columns) {
    enum { WIDEST = 64, TILE = 8 * VI_TILE_ROWS * VI_TILE_SUMS };  // columns of one row; elements of several
    float copy[TILE > WIDEST ? TILE : WIDEST];
    i8_tile t = *whole;
    memset(copy, 0, sizeof copy);
    for (size_t i = 0; i < rows; i++)
        memcpy(copy + i * width, t.init + (ptrdiff_t)i * t.init_stride, columns * sizeof *copy);
    t.init = t.y = copy, t.init_stride = t.y_stride = (ptrdiff_t)width;
    run(&t);
    for (size_t i = 0; i < rows; i++)
        memcpy(whole->y + (ptrdiff_t)i * whole->y_stride, copy + i * width, columns * sizeof *copy);
}

// The parts of a panel, for one row.
static TRN_NOINLINE void i8_panel_row(i8_tile *t, i8_function *run, size_t part, size_t columns, size_t init_step) {
    for (; columns >= part; columns -= part) {
        run(t);
        t->w += part * I8_CELL, t->y += part, t->init += part * init_step;
    }
    if (columns) i8_part(t, run, 1, part, columns);
}

// A panel: of one row, and of a few, as much at once as the registers hold the sums of. The tile is used for all of it.
TRN_INLINE void i8_panel(i8_tile *t, int wide, int far, size_t m, size_t width, size_t columns, size_t init_step) {
    enum { SINGLE = VI_TILE_ROWS == 1 };
    const int fetching = t->fetch_step > 0;
    const size_t part = gemm_part_of(width, SINGLE || m == 1 ? VI_ROW_SUMS : VI_TILE_SUMS);
    if (m == 1) {
        i8_panel_row(t, i8_row[far][wide][part / 16], part, columns, init_step);
        return;
    }
    const size_t fetched = t->cells * t->fetch_step;  // by a tile of all rows
    const int8_t *x = t->x;
    const char *w = t->w;
    const float *x_scales = t->x_scales, *init = t->init;
    float *y = t->y;
    for (size_t column = 0; column < columns; column += part) {
        const size_t wanted = columns - column < part ? columns - column : part;
        t->x = x, t->x_scales = x_scales, t->w = w + column * I8_CELL;
        t->y = y + column, t->init = init + column * init_step;
        for (size_t row = 0, rows; row < m; row += rows) {
            rows = m - row < VI_TILE_ROWS ? m - row : VI_TILE_ROWS;
            if (I8_WIDE_TILES && rows == 3) rows = 2;  // then one
            i8_function *run = SINGLE ? i8_row[0][wide][part / 16] : i8_rows[wide][fetching][part / 16][rows];
            if (wanted == part) run(t);
            else i8_part(t, run, rows, part, wanted);
            t->x += rows * t->x_stride, t->x_scales += 2 * rows;
            t->y += (ptrdiff_t)rows * t->y_stride, t->init += (ptrdiff_t)rows * t->init_stride;
            if (rows == VI_TILE_ROWS) t->fetch += fetched;
        }
    }
}

TRN_SLOT void TRN_KERNEL(i8_gemm)(size_t m, size_t n, size_t k, const int8_t *x, size_t x_stride, const float *x_scales,
                                const void *w, size_t per_cell, size_t panel, const float *init,
                                ptrdiff_t init_stride, float *y, ptrdiff_t y_stride) {
    static const float zeros[64];
    const size_t cells = i8_cells(k, per_cell), rows = i8_rows_of_cells(cells, per_cell), init_step = init != NULL;
    const int far = n * cells * I8_CELL > I8_NEAR;
    // All whole tiles of a panel fetch the next one together.
    const size_t tiles = m / VI_TILE_ROWS;
    const int fetching = !I8_WIDE_TILES && n * cells * I8_CELL > GEMM_FETCH_BYTES && tiles > 0;
    const size_t fetch_step = fetching ? 16 * I8_CELL / tiles : 0;
    for (size_t column = 0; column < n && m > 0; column += panel) {
        const size_t left = (n - column + 15) / 16 * 16;
        const size_t width = left < panel ? left : panel, columns = n - column < width ? n - column : width;
        const char *first = (const char *)w + column * I8_CELL * rows;
        i8_tile t = {.cells = cells,
                     .x = x,
                     .x_stride = x_stride,
                     .x_scales = x_scales,
                     .w = first,
                     .w_stride = width * I8_CELL,
                     .fetch = first + rows * width * I8_CELL,
                     .fetch_step = column + width < n ? fetch_step : 0,
                     .init = init ? init + column : zeros,
                     .init_stride = init ? init_stride : 0,
                     .y = y + column,
                     .y_stride = y_stride};
        i8_panel(&t, per_cell == 2, far, m, width, columns, init_step);
    }
}

// The sign bit of each lane: whether cells of bytes break the bounds of their packing. Adds them to sums.
TRN_INLINE vi i8_broken(vi cells, vi *sums) {
    const vi a = vi_shift_right(vi_shift_left(cells, 24), 24), b = vi_shift_right(vi_shift_left(cells, 16), 24);
    const vi c = vi_shift_right(vi_shift_left(cells, 8), 24), d = vi_shift_right(cells, 24);
    const vi first = vi_add(a, b), second = vi_add(c, d), most = vi_set1(129), byte = vi_set1(127);
    vi broken = vi_or(vi_or(vi_add(a, byte), vi_add(b, byte)), vi_or(vi_add(c, byte), vi_add(d, byte)));
    broken = vi_or(broken, vi_or(vi_add(most, first), vi_sub(most, first)));
    *sums = vi_add(*sums, vi_add(first, second));
    return vi_or(broken, vi_or(vi_add(most, second), vi_sub(most, second)));
}

// Of a vector of columns, their start values as well.
TRN_INLINE vi i8_broken_columns(size_t cells, const char *w, size_t stride) {
    vi sums = vi_set1(0), broken = vi_set1(0);
    for (size_t q = 0; q < cells; q++) broken = vi_or(broken, i8_broken(vi_load_cells(w + q * stride), &sums));
    const vi rest = vi_add(vi_load_cells(w + cells * stride), vi_sub(vi_shift_left(sums, 7), sums));
    return vi_or(broken, vi_or(rest, vi_sub(vi_set1(0), rest)));
}

// Likewise of int16. A sum that grows too large says so before it can leave 32 bits.
TRN_INLINE vi i16_broken_columns(size_t cells, const char *w, size_t stride) {
    const vi most = vi_set1(TRN_LIMIT_I16_COLUMN), zero = vi_set1(0);
    vi sums = zero, broken = zero;
    for (size_t q = 0; q < cells; q++) {
        const vi cell = vi_load_cells(w + q * stride);
        const vi a = vi_shift_right(vi_shift_left(cell, 16), 16), b = vi_shift_right(cell, 16);
        sums = vi_add(sums, vi_add(vi_max(a, vi_sub(zero, a)), vi_max(b, vi_sub(zero, b))));
        broken = vi_or(broken, vi_sub(most, sums));
    }
    return broken;
}

TRN_SLOT void TRN_KERNEL(i8_check)(size_t n, size_t k, const void *w, size_t per_cell, size_t panel, int *valid) {
    const size_t cells = i8_cells(k, per_cell);
    vi broken = vi_set1(0);
    for (size_t column = 0; column < n; column += panel) {
        const size_t stride = (n - column < panel ? n - column : panel) * I8_CELL;
        const char *first = (const char *)w + column * I8_CELL * i8_rows_of_cells(cells, per_cell);
        for (size_t at = 0; at < stride; at += VF_LANES * I8_CELL)
            broken = vi_or(broken, per_cell == 4 ? i8_broken_columns(cells, first + at, stride)
                                                 : i16_broken_columns(cells, first + at, stride));
    }
    *valid = !vm_any(vi_is_negative(broken));
}
