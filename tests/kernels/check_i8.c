// SPDX-License-Identifier: Apache-2.0
// Codes, products and the check of weights, for int8 and for int16: the same on every instruction set, and beside loops
// of their own over integers that cannot overflow.
#include "check.h"
#include "format.h"
#include "i8.h"

/* ---- Codes ------------------------------------------------------------------------------------------------------- */

// The largest code.
static float largest_code(trn_coding coding) { return coding == TRN_CODES_16 ? 8191.0f : 127.0f; }

// What i8_quantize is to make of a row: two rows of codes as numbers, and their scales; 0 where there is none.
static void plain_codes(size_t n, const float *x, const float *range, trn_coding coding, int *codes, int *rests,
                        float *scales) {
    const float most = largest_code(coding);
    float largest = 0.0f;
    size_t sum = 0, rest_sum = 0;
    int wild = 0;
    for (size_t i = 0; i < n; i++) {
        codes[i] = rests[i] = 0;
        if (!(fabsf(x[i]) <= FLT_MAX)) wild = 1;
        else if (fabsf(x[i]) > largest) largest = fabsf(x[i]);
    }
    if (range) largest = *range;
    scales[0] = wild || !(fabsf(largest) <= FLT_MAX) ? NAN : 0.0f, scales[1] = 0.0f;
    if (isnan(scales[0]) || largest < 0x1p-100f) return;
    const float factor = most / largest;
    for (size_t i = 0; i < n; i++) {
        float scaled = x[i] * factor;
        if (scaled > most) scaled = most;
        if (scaled < -most) scaled = -most;
        codes[i] = (int)rintf(scaled), sum += (size_t)abs(codes[i]);
        rests[i] = (int)rintf((scaled - (float)codes[i]) * 254.0f), rest_sum += (size_t)abs(rests[i]);
    }
    scales[0] = largest * (1.0f / most);
    if (coding == TRN_CODES_8_OR_TWO && !range && sum < 12 * n && rest_sum > 0) scales[1] = scales[0] * (1.0f / 254.0f);
}

// Bytes of a row of 8-bit codes; of all codes of n elements.
static size_t row_bytes(size_t n) { return (n + 31) / 32 * 32; }
static size_t code_bytes(size_t n, trn_coding coding) { return (coding == TRN_CODES_8 ? 1 : 2) * row_bytes(n); }

// Codes of i8_quantize, with guards.
typedef struct coded {
    check_buffer codes, scales;
} coded;
static coded code(const trn_ukernels *table, size_t n, const float *x, const float *range, trn_coding coding) {
    coded c = {check_new(code_bytes(n, coding) / 4, 1), check_new(2, 1)};
    table->i8_quantize(n, x, range, coding, (int8_t *)c.codes.data, c.scales.data);
    return c;
}
static void free_coded(coded *c) { check_free(&c->codes), check_free(&c->scales); }

// What a table adds to codes of 8 bits: the byte that stands for 0.
static uint8_t offset_of(const trn_ukernels *table) {
    const float zero = 0.0f;
    coded c = code(table, 1, &zero, NULL, TRN_CODES_8);
    const uint8_t offset = *(const uint8_t *)c.codes.data;
    free_coded(&c);
    return offset;
}

// Code i of a row.
static int code_at(const coded *c, size_t n, trn_coding coding, int row, size_t i, uint8_t offset) {
    const unsigned char *bytes = (const unsigned char *)c->codes.data;
    int16_t wide;
    if (coding != TRN_CODES_16) return (int8_t)(uint8_t)(bytes[(row ? row_bytes(n) : 0) + i] - offset);
    memcpy(&wide, bytes + 2 * i, sizeof wide);
    return wide;
}

static void compare_codes(const trn_ukernels *scalar, const trn_ukernels *table, size_t n, const float *x,
                          const float *range, trn_coding coding, const char *what) {
    const uint8_t offset = offset_of(table);
    const size_t per_cell = coding == TRN_CODES_16 ? 2 : 4, bits = 32 / per_cell;
    static int expected[2][600];
    float scales[2];
    plain_codes(n, x, range, coding, expected[0], expected[1], scales);
    coded a = code(scalar, n, x, range, coding), b = code(table, n, x, range, coding);
    for (int row = 0; row < 1 + (scales[1] != 0.0f); row++)
        for (size_t i = 0; i < (n + per_cell - 1) / per_cell * per_cell; i++) {
            const int wanted = i < n ? expected[row][i] : 0, got = code_at(&b, n, coding, row, i, offset);
            check_that(got == wanted, "i8_quantize, %s, %zu bits: code %zu of %zu in row %d is %d, expected %d", what,
                       bits, i, n, row, got, wanted);
        }
    for (int row = 0; row < 2; row++)
        check_that(check_same(scales[row], b.scales.data[row]),
                   "i8_quantize, %s, %zu bits: scale %d is %a, expected %a", what, bits, row,
                   (double)b.scales.data[row], (double)scales[row]);
    check_arrays(&a.scales, &b.scales, "the scales of i8_quantize");
    check_that(check_guards(&b.codes), "i8_quantize wrote outside its codes");
    free_coded(&a), free_coded(&b);
}

// Rows at which coding goes wrong, with codes up to `most`.
static void special_row(int kind, float most, size_t n, float *x) {
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    const size_t at = check_between(0, n - 1);
    for (size_t i = 0; i < n; i++) x[i] = check_uniform(-1.0f, 1.0f);
    for (size_t i = 0; i < n && kind >= 3; i++) {
        if (kind == 3) x[i] = i % 2 ? 0.0f : -0.0f;
        if (kind == 4) x[i] *= 0x1p-101f;
        if (kind == 5) x[i] = check_from_bits((uint32_t)check_random() & 0x807fffffu);
        if (kind == 6) x[i] = floorf(check_uniform(-most, most)) / 2.0f;
        if (kind == 7) x[i] *= FLT_MAX;
        if (kind == 8) x[i] *= i % 3 ? 1.0f : 1e-38f;
        if (kind == 9) x[i] *= 0.1f;  // often two rows of codes
        if (kind == 10) x[i] = (float)(int)check_between(0, 20);  // a second row would be zeros
    }
    if (kind < 3) x[at] = odd[kind];
    if (kind == 4) x[at] = check_random() % 2 ? 0x1p-100f : nextafterf(0x1p-100f, 0.0f);
    if (kind == 9) x[at] = check_uniform(0.2f, 1.0f);
    if (kind == 10) x[at] = most;
    if (kind == 6) x[at] = check_random() % 2 ? most : -most;
}

static void codes(const trn_ukernels *scalar, const trn_ukernels *table) {
    static const char *const names[] = {"NaN",        "infinity", "-infinity", "zeros",           "near the least row",
                                        "denormals", "ties",     "huge",      "parts of no size", "few are large",
                                        "whole",     "plain"};
    static const float ranges[] = {1.0f,  0.25f,    64.0f,     127.0f,  8191.0f, 0x1p-100f, 0x1.fffffep-101f, 0.0f, NAN,
                                   -1.0f, INFINITY, -INFINITY, FLT_MAX, 1e-30f,  -NAN};
    for (int i = 0; i < 4000; i++) {
        const int kind = i % 12;
        const trn_coding coding = (trn_coding)(i / 12 % 3);
        const size_t n = check_between(1, i % 7 ? 70 : 600);
        check_buffer x = check_new(n, 1);
        special_row(kind, largest_code(coding), n, x.data);
        for (int any = TRN_CODES_8; any <= TRN_CODES_16; any++)
            compare_codes(scalar, table, n, x.data, NULL, (trn_coding)any, names[kind]);
        const float *range = &ranges[check_random() % (sizeof ranges / sizeof *ranges)];
        compare_codes(scalar, table, n, x.data, range, coding, names[kind]);
        check_that(check_guards(&x), "i8_quantize wrote to its row");
        check_free(&x);
    }
    for (int any = TRN_CODES_8; any <= TRN_CODES_16; any++)
        compare_codes(scalar, table, 0, NULL, NULL, (trn_coding)any, "nothing");
}

/* ---- Products ---------------------------------------------------------------------------------------------------- */

typedef struct matrix {
    size_t n, all, k, per_cell, panel;  // all: n rounded up to 16
    int16_t *weights;                   // [k, all]
    check_buffer scales, cells;
} matrix;

static void pack(matrix *w) { i8_pack(w->all, w->k, w->per_cell, w->panel, w->weights, w->scales.data, w->cells.data); }

// Columns of pairs as large as int8 allows, in one of three ways.
static void extreme_pairs(matrix *w, size_t j, int extreme) {
    static const int8_t pairs[][2] = {{127, 2},  {127, -127}, {-127, -2}, {2, 127},  {-127, 127},
                                      {-2, -127}, {65, 64},    {-64, -65}, {0, -127}, {127, 127 - 125}};
    const int8_t *same = extreme > 1 ? pairs[check_random() % 10] : NULL;
    for (size_t i = 0; i < w->k; i++) {
        const int8_t *pair = same ? same : pairs[check_random() % 10];
        int16_t *to = &w->weights[i * w->all + j];
        *to = i % 2 == 0 || to[-(ptrdiff_t)w->all] == pair[0] ? pair[i % 2] : 0;
    }
}

// Columns of int16 whose magnitudes add up to as much as is allowed: evenly, behind one that is as large as any, or in
// as few rows as hold it. Signs are any, or as those of the codes: alternating, or the same.
static void extreme_column(matrix *w, size_t j, int extreme) {
    const size_t first = check_between(0, w->k), large = (size_t[]){0, 1, w->k}[check_random() % 3];
    const int sign = check_random() % 2 ? 1 : -1;
    int left = TRN_LIMIT_I16_COLUMN;
    for (size_t at = 0; at < w->k; at++) {
        const size_t i = (first + at) % w->k;
        const int rows = (int)(w->k - at), even = left / rows + (left % rows > 0), odd = (int)(i % 2);
        const int most = left < INT16_MAX ? left : INT16_MAX, size = at < large || even > most ? most : even;
        const int turned = extreme == 1 ? (int)(check_random() % 2) : extreme == 2 && odd;
        w->weights[i * w->all + j] = (int16_t)(turned ? -sign * size : sign * size), left -= size;
    }
}

// Zeros with scales of 1, not yet packed.
static matrix new_matrix(size_t n, size_t k, size_t per_cell, size_t panel) {
    matrix w = {.n = n, .all = (n + 15) / 16 * 16, .k = k, .per_cell = per_cell, .panel = panel};
    w.weights = calloc(k * w.all + 1, sizeof *w.weights);
    w.scales = check_new(w.all, 0);
    w.cells = check_new(i8_cells(w.all, k, per_cell), 1);
    if (!w.weights) exit(2);
    for (size_t j = 0; j < w.all; j++) w.scales.data[j] = 1.0f;
    return w;
}
static void free_matrix(matrix *w) { free(w->weights), check_free(&w->scales), check_free(&w->cells); }

// Weights of any kind that the packing allows; of `extreme` ones, columns as large as it allows.
static matrix random_matrix(size_t n, size_t k, size_t per_cell, size_t panel, int extreme) {
    matrix w = new_matrix(n, k, per_cell, panel);
    for (size_t j = 0; j < w.all; j++) {
        if (extreme) (per_cell == 4 ? extreme_pairs : extreme_column)(&w, j, extreme);
        else w.scales.data[j] = check_uniform(0.0f, 0.01f);
        for (size_t i = 0; i < k && !extreme; i++) {
            int16_t *to = &w.weights[i * w.all + j];
            *to = i8_below(w.all, k, per_cell, i, to, check_random());
        }
    }
    pack(&w);
    return w;
}

typedef struct problem {
    size_t m, x_stride;
    matrix w;
    check_buffer x;  // [m, x_stride] floats
    enum { NOTHING, ROWS, ONE_ROW, IN_PLACE } init;
    ptrdiff_t init_stride, y_stride;  // negative: from the last row of the memory on
    check_buffer start, y;            // init; what y holds before
    const float *range;
    trn_coding coding;
} problem;

static size_t reach(const problem *p, ptrdiff_t stride) { return (p->m - 1) * (size_t)labs(stride) + p->w.n; }
// Row 0 of rows that may be turned round.
static float *first_row(const problem *p, const check_buffer *b, ptrdiff_t stride) {
    return b->data + (stride < 0 ? (ptrdiff_t)(p->m - 1) * -stride : 0);
}

static problem random_problem(size_t n, size_t k, size_t per_cell, int extreme) {
    static const float range = 0.75f;
    problem p = {.m = check_random() % 3 == 0 ? 1 : check_between(1, 20)};
    p.w = random_matrix(n, k, per_cell, 16 * check_between(1, 4), extreme);
    p.x_stride = k + check_between(0, 3);
    p.x = check_filled(p.m * p.x_stride, 0);
    for (size_t i = 0; extreme && i < p.x.size; i++) {
        const size_t side = extreme == 2 ? i % 2 : extreme == 3 ? 0 : check_random() % 2;
        p.x.data[i] = side ? -1.0f : 1.0f;
    }
    if (!extreme && check_random() % 8 == 0 && p.x.size) p.x.data[check_between(0, p.x.size - 1)] = check_extreme();
    p.init = check_random() % 4;
    p.y_stride = (ptrdiff_t)(n + check_between(0, 5));
    if (check_random() % 3 == 0) p.y_stride = -p.y_stride;
    p.init_stride = p.init == ROWS ? (ptrdiff_t)(n + check_between(0, 5)) : p.init == IN_PLACE ? p.y_stride : 0;
    if (p.init == ROWS && check_random() % 3 == 0) p.init_stride = -p.init_stride;
    p.start = check_filled(reach(&p, p.init_stride), 0);
    p.y = check_new(reach(&p, p.y_stride), 0);
    for (size_t i = 0; p.init == IN_PLACE && i < p.m; i++)
        for (size_t j = 0; j < n; j++)
            first_row(&p, &p.y, p.y_stride)[(ptrdiff_t)i * p.y_stride + (ptrdiff_t)j] = check_value(0);
    p.range = !extreme && check_random() % 3 == 0 ? &range : NULL;
    p.coding = trn_coding_of(per_cell, check_random() % 2);
    return p;
}
static void free_problem(problem *p) {
    free_matrix(&p->w), check_free(&p->x), check_free(&p->start), check_free(&p->y);
}

// A row of y by int64 sums and the floats of ukernels.def.
static void plain_row(const problem *p, const float *x, const float *init, float *y) {
    const matrix *w = &p->w;
    static int codes[2][TRN_LIMIT_I8_K];
    float scales[2];
    plain_codes(w->k, x, p->range, p->coding, codes[0], codes[1], scales);
    for (size_t j = 0; j < w->n; j++) {
        float value = init ? init[j] : 0.0f;
        for (int row = 0; row < 1 + (scales[1] != 0.0f); row++) {
            int64_t sum = 0;
            for (size_t i = 0; i < w->k; i++) sum += (int64_t)codes[row][i] * w->weights[i * w->all + j];
            const float both = scales[row] * w->scales.data[j], product = (float)sum * both;
            value = value + product;
        }
        y[j] = value;
    }
}

static check_buffer plain(const problem *p) {
    check_buffer y = check_copy(&p->y);
    for (ptrdiff_t i = 0; i < (ptrdiff_t)p->m; i++) {
        float *to = first_row(p, &y, p->y_stride) + i * p->y_stride;
        const float *init = p->init == IN_PLACE  ? to
                            : p->init == NOTHING ? NULL
                                                 : first_row(p, &p->start, p->init_stride) + i * p->init_stride;
        plain_row(p, p->x.data + (size_t)i * p->x_stride, init, to);
    }
    return y;
}

// All rows at once; then those with a second row of codes, one by one.
static check_buffer run(const trn_ukernels *table, const problem *p) {
    const matrix *w = &p->w;
    const size_t bytes = code_bytes(w->k, p->coding) + 4 * (p->m % 3);
    check_buffer y = check_copy(&p->y), scales = check_new(2 * p->m, 1), codes = check_new(p->m * bytes / 4, 1);
    int8_t *of = (int8_t *)codes.data;
    for (size_t i = 0; i < p->m; i++)
        table->i8_quantize(w->k, p->x.data + i * p->x_stride, p->range, p->coding, of + i * bytes, scales.data + 2 * i);
    float *to = first_row(p, &y, p->y_stride);
    const float *init = p->init == IN_PLACE ? to : p->init == NOTHING ? NULL : first_row(p, &p->start, p->init_stride);
    table->i8_gemm(p->m, w->n, w->k, of, bytes, scales.data, w->cells.data, w->per_cell, w->panel, init, p->init_stride,
                   to, p->y_stride);
    for (size_t i = 0; i < p->m; i++, to += p->y_stride)
        if (scales.data[2 * i + 1] != 0.0f)
            table->i8_gemm(1, w->n, w->k, of + i * bytes + row_bytes(w->k), 0, scales.data + 2 * i + 1, w->cells.data,
                           w->per_cell, w->panel, to, 0, to, 0);
    check_that(check_guards(&codes) && check_guards(&scales) && check_guards(&w->cells), "i8_gemm wrote to an input");
    check_free(&codes), check_free(&scales);
    return y;
}

static void compare_products(const trn_ukernels *scalar, const trn_ukernels *table, problem p, const char *what) {
    check_buffer expected = plain(&p), got = run(table, &p), same = run(scalar, &p);
    check_arrays(&expected, &got, what);
    check_arrays(&same, &got, "i8_gemm beside that of scalar");
    check_free(&expected), check_free(&got), check_free(&same), free_problem(&p);
}

static void products(const trn_ukernels *scalar, const trn_ukernels *table, size_t per_cell) {
    for (int i = 0; i < 400; i++) {
        const size_t n = check_between(1, i % 10 == 0 ? 300 : 90), k = check_between(1, i % 9 ? 40 : 300);
        compare_products(scalar, table, random_problem(n, i % 40 == 1 ? 0 : k, per_cell, 0), "i8_gemm beside a loop");
    }
    // Sums of pairs, and of all, as large as they get.
    for (int i = 0; i < 60; i++) {
        const size_t n = check_between(1, 70), k = check_between(1, i % 4 ? 60 : 6000);
        compare_products(scalar, table, random_problem(n, k, per_cell, 1 + i % 3), "i8_gemm of extremes");
    }
    compare_products(scalar, table, random_problem(3, TRN_LIMIT_I8_K, per_cell, 3), "i8_gemm of the most rows");
    for (int i = 0; i < 6; i++) {  // weights over 1 MB, which are fetched
        const size_t n = check_between(260, 300), k = check_between(4096, 5000);
        compare_products(scalar, table, random_problem(n, k, per_cell, 0), "i8_gemm of many weights");
    }
}

/* ---- The check of weights ---------------------------------------------------------------------------------------- */

static int valid(const trn_ukernels *table, const matrix *w) {
    int answer = 2;
    table->i8_check(w->all, w->k, w->cells.data, w->per_cell, w->panel, &answer);
    return answer;
}

// Whether this weight of int8 at row i makes the matrix invalid, whose start values are right. The row's partner in its
// pair becomes `beside`.
static void refuses(const trn_ukernels *table, matrix *w, size_t i, size_t j, int weight, int beside) {
    int16_t *column = w->weights + j, *at = &column[i * w->all], *partner = NULL, kept = *at, kept_partner = 0;
    if ((i ^ 1) < w->k) partner = &column[(i ^ 1) * w->all], kept_partner = *partner, *partner = (int16_t)beside;
    else if (weight > -128) return;  // alone in its pair
    *at = (int16_t)weight;
    pack(w);
    check_that(valid(table, w) == 0, "i8_check passed %d beside %d in row %zu of %zu, column %zu of %zu, panels of %zu",
               weight, beside, i, w->k, j, w->all, w->panel);
    *at = kept;
    if (partner) *partner = kept_partner;
}

static void refuses_starts(const trn_ukernels *table, matrix *w, size_t j) {
    static const uint32_t wrong[] = {1, 2, 127, 0x80000000u, 0xffffffffu};
    float *start = w->cells.data + i8_cell_at(w->all, w->k, 4, w->panel, i8_weight_rows(w->k, 4), j);
    uint32_t kept;
    memcpy(&kept, start, sizeof kept);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const uint32_t other = kept + wrong[i];
        memcpy(start, &other, sizeof other);
        check_that(valid(table, w) == 0, "i8_check passed a wrong start value, column %zu of %zu, panels of %zu", j,
                   w->all, w->panel);
    }
    memcpy(start, &kept, sizeof kept);
}

static void checks_of_8(const trn_ukernels *table) {
    for (int trial = 0; trial < 60; trial++) {
        matrix w = random_matrix(check_between(1, 120), check_between(0, 11), 4, 16 * check_between(1, 4), trial % 4);
        check_that(valid(table, &w) == 1, "i8_check refused valid weights");
        for (size_t j = 0; j < w.all; j++) {
            for (size_t i = 0; i < w.k; i++) {
                refuses(table, &w, i, j, -128, (int)check_between(0, 127));
                refuses(table, &w, i, j, 65, 65);
                refuses(table, &w, i, j, -3, -127);
                refuses(table, &w, i, j, 127, 127);
            }
            pack(&w);
            refuses_starts(table, &w, j);
        }
        check_that(valid(table, &w) == 1, "i8_check refused valid weights");
        free_matrix(&w);
    }
    matrix w = random_matrix(16, TRN_LIMIT_I8_K, 4, 16, 2);  // the largest sums
    check_that(valid(table, &w) == 1, "i8_check refused the largest matrix");
    free_matrix(&w);
}

// A column of int16 that adds up to the limit must not become larger by one, in no row.
static void refuses_more(const trn_ukernels *table, matrix *w, size_t j) {
    for (size_t i = 0; i < w->k; i++) {
        char *at = (char *)(w->cells.data + i8_cell_at(w->all, w->k, 2, w->panel, i / 2, j)) + i % 2 * 2;
        int16_t kept, more;
        memcpy(&kept, at, sizeof kept);
        more = (int16_t)(kept == INT16_MAX ? INT16_MIN : kept + (kept < 0 ? -1 : 1));
        memcpy(at, &more, sizeof more);
        check_that(valid(table, w) == 0,
                   "i8_check passed a sum of one more: row %zu of %zu, column %zu of %zu, panels of %zu", i, w->k, j,
                   w->all, w->panel);
        memcpy(at, &kept, sizeof kept);
    }
}

// Columns in which a number stands so many times, among zeros: sums beyond the limit are refused, also those that have
// left 32 bits and look small again.
static void checks_of_many(const trn_ukernels *table) {
    enum { MOST = TRN_LIMIT_I8_K };
    static const struct {
        int weight;
        size_t count;
    } cases[] = {{INT16_MIN, 1},    {INT16_MIN, 8},    {INT16_MIN, 9},     {INT16_MAX, 8},    {INT16_MAX, 9},
                 {INT16_MIN, 4096}, {INT16_MAX, 4096}, {INT16_MIN, 65536}, {1, MOST},         {-2, MOST},
                 {3, MOST},         {-3, MOST},        {INT16_MAX, 65538}, {INT16_MAX, MOST}, {-INT16_MAX, MOST},
                 {INT16_MIN, MOST}};  // that one adds up to 2^32
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t count = cases[i].count, n = 16 * check_between(1, count > 9 ? 1 : 3), j = check_between(0, n - 1);
        const size_t k = count > 9 ? count : check_between(count, 40), first = check_between(0, k - count);
        matrix w = new_matrix(n, k, 2, 16 * check_between(1, 4));
        for (size_t row = 0; row < count; row++) w.weights[(first + row) * n + j] = (int16_t)cases[i].weight;
        pack(&w);
        const int expected = (int64_t)count * abs(cases[i].weight) <= TRN_LIMIT_I16_COLUMN;
        check_that(valid(table, &w) == expected, "i8_check is wrong on %zu times %d in column %zu of %zu", count,
                   cases[i].weight, j, n);
        free_matrix(&w);
    }
}

static void checks_of_16(const trn_ukernels *table) {
    for (int trial = 0; trial < 60; trial++) {
        matrix w = random_matrix(check_between(1, 120), check_between(0, 30), 2, 16 * check_between(1, 4), trial % 4);
        check_that(valid(table, &w) == 1, "i8_check refused valid weights of int16");
        free_matrix(&w);
    }
    for (int trial = 0; trial < 12; trial++) {
        const size_t n = check_between(1, 120), k = check_between(9, 20);  // 8 rows do not hold as much
        matrix w = random_matrix(n, k, 2, 16 * check_between(1, 4), 1 + trial % 3);
        for (size_t j = 0; j < w.all; j++) refuses_more(table, &w, j);
        check_that(valid(table, &w) == 1, "i8_check refused columns that add up to the limit");
        free_matrix(&w);
    }
    checks_of_many(table);
}

/* ---- Times ------------------------------------------------------------------------------------------------------- */

static void bench_one(const trn_ukernels *table, size_t per_cell, size_t m, size_t n, size_t panel, size_t k,
                      const char *what) {
    const trn_coding coding = trn_coding_of(per_cell, 1);
    matrix w = random_matrix(n, k, per_cell, panel, 0);
    const size_t stride = code_bytes(k, coding);
    check_buffer x = check_filled(k, 0), y = check_new(m * n, 0), scales = check_new(2 * m, 0),
                 codes = check_new(m * stride / 4, 0);
    int8_t *bytes = (int8_t *)codes.data;
    for (size_t i = 0; i < m; i++) table->i8_quantize(k, x.data, NULL, coding, bytes + i * stride, scales.data + 2 * i);
    CHECK_BENCH(4 * w.cells.size,
                table->i8_gemm(m, n, k, bytes, stride, scales.data, w.cells.data, per_cell, panel, NULL, 0, y.data,
                               (ptrdiff_t)n),
                "i8_gemm %zu x %zu x %zu (%s), %zu bits", m, n, k, what, 32 / per_cell);
    check_free(&x), check_free(&y), check_free(&scales), check_free(&codes), free_matrix(&w);
}

static void bench(const trn_ukernels *table, size_t per_cell) {
    const trn_coding coding = trn_coding_of(per_cell, 1);
    for (size_t k = 16; k <= 512; k *= 2) {
        check_buffer x = check_filled(k, 0), codes = check_new(k, 0);
        const float range = 1.0f;
        float scales[2];
        CHECK_BENCH(4 * k, table->i8_quantize(k, x.data, NULL, coding, (int8_t *)codes.data, scales),
                    "i8_quantize %zu, %zu bits", k, 32 / per_cell);
        CHECK_BENCH(4 * k, table->i8_quantize(k, x.data, &range, coding, (int8_t *)codes.data, scales),
                    "i8_quantize %zu, %zu bits, range", k, 32 / per_cell);
        check_free(&x), check_free(&codes);
    }
    for (size_t h = 16; h <= 512; h *= 2) {
        bench_one(table, per_cell, 1, 4 * h, 64, h, "LSTM");
        bench_one(table, per_cell, 1, 3 * h, 48, h, "GRU");
        bench_one(table, per_cell, 1, 2 * h, 32, h, "GRU z r");
        bench_one(table, per_cell, 1, h, 64, h, "RNN, dense");
    }
    for (size_t m = 2; m <= 64; m *= 2) bench_one(table, per_cell, m, 512, 64, 128, "rows");
}

static void family(const trn_ukernels *scalar, const trn_ukernels *table) {
    codes(scalar, table);
    for (size_t per_cell = 4; per_cell >= 2; per_cell -= 2) products(scalar, table, per_cell);
    checks_of_8(table);
    checks_of_16(table);
    for (size_t per_cell = 4; check.bench && per_cell >= 2; per_cell -= 2) bench(table, per_cell);
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
