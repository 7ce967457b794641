// SPDX-License-Identifier: Apache-2.0
// Codes, products and the check of int8 weights: the same on every instruction set, and beside loops of their own over
// integers that cannot overflow.
#include "check.h"
#include "format.h"
#include "i8.h"

/* ---- Codes ------------------------------------------------------------------------------------------------------- */

// What i8_quantize is to make of a row: two rows of codes as numbers, and their scales; 0 where there is none.
static void plain_codes(size_t n, const float *x, const float *range, int fine, int *codes, int *rests, float *scales) {
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
    const float factor = 127.0f / largest;
    for (size_t i = 0; i < n; i++) {
        float scaled = x[i] * factor;
        if (scaled > 127.0f) scaled = 127.0f;
        if (scaled < -127.0f) scaled = -127.0f;
        codes[i] = (int)rintf(scaled), sum += (size_t)abs(codes[i]);
        rests[i] = (int)rintf((scaled - (float)codes[i]) * 254.0f), rest_sum += (size_t)abs(rests[i]);
    }
    scales[0] = largest * (1.0f / 127.0f);
    if (fine && !range && (fine == 2 || sum < 12 * n) && rest_sum > 0) scales[1] = scales[0] * (1.0f / 254.0f);
}

// Codes of i8_quantize, with guards.
typedef struct coded {
    check_buffer codes;  // ceil32(n) bytes, twice where there may be a second row
    check_buffer scales;
} coded;
static size_t code_bytes(size_t n) { return (n + 31) / 32 * 32; }
static coded code(const trn_ukernels *table, size_t n, const float *x, const float *range, int fine) {
    coded c = {check_new(code_bytes(n) / 4 * (1 + (size_t)(fine > 0)), 1), check_new(2, 1)};
    table->i8_quantize(n, x, range, fine, (int8_t *)c.codes.data, c.scales.data);
    return c;
}
static void free_coded(coded *c) { check_free(&c->codes), check_free(&c->scales); }

// What a table adds to codes: the byte that stands for 0.
static uint8_t offset_of(const trn_ukernels *table) {
    const float zero = 0.0f;
    coded c = code(table, 1, &zero, NULL, 0);
    const uint8_t offset = *(const uint8_t *)c.codes.data;
    free_coded(&c);
    return offset;
}

static void compare_codes(const trn_ukernels *scalar, const trn_ukernels *table, size_t n, const float *x,
                          const float *range, int fine, const char *what) {
    const uint8_t offset = offset_of(table);
    static int expected[2][600];
    float scales[2];
    plain_codes(n, x, range, fine, expected[0], expected[1], scales);
    coded a = code(scalar, n, x, range, fine), b = code(table, n, x, range, fine);
    for (int row = 0; row < 1 + (scales[1] != 0.0f); row++) {
        const uint8_t *bytes = (const uint8_t *)b.codes.data + (row ? code_bytes(n) : 0);
        for (size_t i = 0; i < (n + 3) / 4 * 4; i++) {
            const int wanted = i < n ? expected[row][i] : 0, got = (int8_t)(uint8_t)(bytes[i] - offset);
            check_that(got == wanted, "i8_quantize, %s: code %zu of %zu in row %d is %d, expected %d", what, i, n, row,
                       got, wanted);
        }
    }
    for (int row = 0; row < 2; row++)
        check_that(check_same(scales[row], b.scales.data[row]), "i8_quantize, %s: scale %d is %a, expected %a", what,
                   row, (double)b.scales.data[row], (double)scales[row]);
    check_arrays(&a.scales, &b.scales, "the scales of i8_quantize");
    check_that(check_guards(&b.codes), "i8_quantize wrote outside its codes");
    free_coded(&a), free_coded(&b);
}

// Rows at which coding goes wrong.
static void special_row(int kind, size_t n, float *x) {
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    const size_t at = check_between(0, n - 1);
    for (size_t i = 0; i < n; i++) x[i] = check_uniform(-1.0f, 1.0f);
    for (size_t i = 0; i < n && kind >= 3; i++) {
        if (kind == 3) x[i] = i % 2 ? 0.0f : -0.0f;
        if (kind == 4) x[i] *= 0x1p-101f;
        if (kind == 5) x[i] = check_from_bits((uint32_t)check_random() & 0x807fffffu);
        if (kind == 6) x[i] = (float)(int)check_between(0, 252) / 2.0f - 63.0f;
        if (kind == 7) x[i] *= FLT_MAX;
        if (kind == 8) x[i] *= i % 3 ? 1.0f : 1e-38f;
        if (kind == 9) x[i] *= 0.1f;  // often two rows of codes
        if (kind == 10) x[i] = (float)(int)check_between(0, 20);  // a second row would be zeros
    }
    if (kind < 3) x[at] = odd[kind];
    if (kind == 4) x[at] = check_random() % 2 ? 0x1p-100f : nextafterf(0x1p-100f, 0.0f);
    if (kind == 9) x[at] = check_uniform(0.2f, 1.0f);
    if (kind == 10) x[at] = 127.0f;
    if (kind == 6) x[at] = check_random() % 2 ? 127.0f : -127.0f;
}

static void codes(const trn_ukernels *scalar, const trn_ukernels *table) {
    static const char *const names[] = {"NaN",        "infinity", "-infinity", "zeros",           "near the least row",
                                        "denormals", "ties",     "huge",      "parts of no size", "few are large",
                                        "whole",     "plain"};
    static const float ranges[] = {1.0f, 0.25f, 64.0f,     127.0f,     0x1p-100f, 0x1.fffffep-101f, 0.0f,
                                   NAN,  -1.0f, INFINITY, -INFINITY, FLT_MAX,    1e-30f,           -NAN};
    for (int i = 0; i < 4000; i++) {
        const int kind = i % 12;
        const size_t n = check_between(1, i % 7 ? 70 : 600);
        check_buffer x = check_new(n, 1);
        special_row(kind, n, x.data);
        for (int fine = 0; fine < 3; fine++) compare_codes(scalar, table, n, x.data, NULL, fine, names[kind]);
        const float *range = &ranges[check_random() % (sizeof ranges / sizeof *ranges)];
        compare_codes(scalar, table, n, x.data, range, i / 12 % 2, names[kind]);
        check_that(check_guards(&x), "i8_quantize wrote to its row");
        check_free(&x);
    }
    compare_codes(scalar, table, 0, NULL, NULL, 1, "nothing");
}

/* ---- Products ---------------------------------------------------------------------------------------------------- */

typedef struct matrix {
    size_t n, all, k, planes, panel;  // all: n rounded up to 16
    int8_t *weights;                  // [planes, k, all]
    check_buffer scales, cells;
} matrix;

static void pack(matrix *w) { i8_pack(w->all, w->k, w->planes, w->panel, w->weights, w->scales.data, w->cells.data); }

// Weights of any kind that the packing allows; of `extreme` ones, pairs as large as it allows.
static matrix random_matrix(size_t n, size_t k, size_t planes, size_t panel, int extreme) {
    static const int8_t pairs[][2] = {{127, 2},  {127, -127}, {-127, -2}, {2, 127},  {-127, 127},
                                      {-2, -127}, {65, 64},    {-64, -65}, {0, -127}, {127, 127 - 125}};
    matrix w = {.n = n, .all = (n + 15) / 16 * 16, .k = k, .planes = planes, .panel = panel};
    w.weights = malloc(planes * k * w.all + 1);
    w.scales = check_new(planes * w.all, 0);
    w.cells = check_new(i8_cells(w.all, k, planes), 1);
    if (!w.weights) exit(2);
    for (size_t j = 0; j < planes * w.all; j++) {
        w.scales.data[j] = extreme ? 1.0f : check_uniform(0.0f, 0.01f);
        const int8_t *same = extreme > 1 ? pairs[check_random() % 10] : NULL;
        for (size_t i = 0; i < k; i++) {
            const int8_t *pair = same ? same : pairs[check_random() % 10];
            int8_t *to = &w.weights[(j / w.all * k + i) * w.all + j % w.all];
            if (extreme) *to = i % 2 == 0 || to[-(ptrdiff_t)w.all] == pair[0] ? pair[i % 2] : 0;
            else *to = (int8_t)i8_beside(i % 2 ? to[-(ptrdiff_t)w.all] : 0, check_random());
        }
    }
    pack(&w);
    return w;
}
static void free_matrix(matrix *w) { free(w->weights), check_free(&w->scales), check_free(&w->cells); }

typedef struct problem {
    size_t m, x_stride;
    matrix w;
    check_buffer x;  // [m, x_stride] floats
    enum { NOTHING, ROWS, ONE_ROW, IN_PLACE } init;
    ptrdiff_t init_stride, y_stride;  // negative: from the last row of the memory on
    check_buffer start, y;            // init; what y holds before
    const float *range;
    int fine;
} problem;

static size_t reach(const problem *p, ptrdiff_t stride) { return (p->m - 1) * (size_t)labs(stride) + p->w.n; }
// Row 0 of rows that may be turned round.
static float *first_row(const problem *p, const check_buffer *b, ptrdiff_t stride) {
    return b->data + (stride < 0 ? (ptrdiff_t)(p->m - 1) * -stride : 0);
}

static problem random_problem(size_t n, size_t k, int extreme) {
    static const float range = 0.75f;
    problem p = {.m = check_random() % 3 == 0 ? 1 : check_between(1, 20)};
    p.w = random_matrix(n, k, check_between(1, 2), 16 * check_between(1, 4), extreme);
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
    p.fine = check_random() % 3;
    return p;
}
static void free_problem(problem *p) {
    free_matrix(&p->w), check_free(&p->x), check_free(&p->start), check_free(&p->y);
}

// A row of y by int64 sums and the floats of ukernels.def.
static void plain_row(const problem *p, const float *x, const float *init, float *y) {
    const matrix *w = &p->w;
    static int codes[2][8192];
    float scales[2];
    plain_codes(w->k, x, p->range, p->fine, codes[0], codes[1], scales);
    for (size_t j = 0; j < w->n; j++) {
        float value = init ? init[j] : 0.0f;
        // A second row of codes multiplies the first plane alone.
        for (size_t part = 0; part < w->planes + (scales[1] != 0.0f); part++) {
            const size_t row = part / w->planes, plane = part % w->planes;
            const int8_t *weights = w->weights + plane * w->k * w->all + j;
            int64_t sum = 0;
            for (size_t i = 0; i < w->k; i++) sum += (int64_t)codes[row][i] * weights[i * w->all];
            const float both = scales[row] * w->scales.data[plane * w->all + j], product = (float)sum * both;
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
    const size_t row = code_bytes(w->k), bytes = row * (1 + (size_t)(p->fine > 0)) + 4 * (p->m % 3);
    check_buffer y = check_copy(&p->y), scales = check_new(2 * p->m, 1), codes = check_new(p->m * bytes / 4, 1);
    int8_t *of = (int8_t *)codes.data;
    for (size_t i = 0; i < p->m; i++)
        table->i8_quantize(w->k, p->x.data + i * p->x_stride, p->range, p->fine, of + i * bytes, scales.data + 2 * i);
    float *to = first_row(p, &y, p->y_stride);
    const float *init = p->init == IN_PLACE ? to : p->init == NOTHING ? NULL : first_row(p, &p->start, p->init_stride);
    table->i8_gemm(p->m, w->n, w->k, of, bytes, scales.data, w->cells.data, w->planes, w->planes, w->panel, init, p->init_stride,
                   to, p->y_stride);
    for (size_t i = 0; i < p->m; i++, to += p->y_stride)
        if (scales.data[2 * i + 1] != 0.0f)
            table->i8_gemm(1, w->n, w->k, of + i * bytes + row, 0, scales.data + 2 * i + 1, w->cells.data, w->planes, 1,
                           w->panel, to, 0, to, 0);
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

static void products(const trn_ukernels *scalar, const trn_ukernels *table) {
    for (int i = 0; i < 600; i++) {
        const size_t n = check_between(1, i % 10 == 0 ? 300 : 90), k = check_between(0, i % 9 ? 40 : 300);
        compare_products(scalar, table, random_problem(n, k, 0), "i8_gemm beside a loop");
    }
    // Sums of pairs, and of all, as large as they get.
    for (int i = 0; i < 60; i++) {
        const size_t n = check_between(1, 70), k = check_between(0, i % 4 ? 60 : 6000);
        compare_products(scalar, table, random_problem(n, k, 1 + i % 3), "i8_gemm of extremes");
    }
    for (int i = 0; i < 6; i++) {  // weights over 1 MB, which are fetched
        const size_t n = check_between(260, 300), k = check_between(4096, 5000);
        compare_products(scalar, table, random_problem(n, k, 0), "i8_gemm of many weights");
    }
}

/* ---- The check of weights ---------------------------------------------------------------------------------------- */

static int valid(const trn_ukernels *table, const matrix *w) {
    int answer = 2;
    table->i8_check(w->all, w->k, w->cells.data, w->planes, w->panel, &answer);
    return answer;
}

// Whether this weight at row i makes the matrix invalid, whose start values are right. The row's partner in its pair
// becomes `beside`. j: a column of the planes one after the other.
static void refuses(const trn_ukernels *table, matrix *w, size_t i, size_t j, int weight, int beside) {
    int8_t *column = w->weights + j / w->all * w->k * w->all + j % w->all;
    int8_t *at = &column[i * w->all], *partner = NULL, kept = *at, kept_partner = 0;
    if ((i ^ 1) < w->k) partner = &column[(i ^ 1) * w->all], kept_partner = *partner, *partner = (int8_t)beside;
    else if (weight > -128) return;  // alone in its pair
    *at = (int8_t)weight;
    pack(w);
    check_that(valid(table, w) == 0, "i8_check passed %d beside %d in row %zu of %zu, column %zu of %zu, panels of %zu",
               weight, beside, i, w->k, j, w->all, w->panel);
    *at = kept;
    if (partner) *partner = kept_partner;
}

static void refuses_starts(const trn_ukernels *table, matrix *w, size_t j) {
    static const uint32_t wrong[] = {1, 2, 127, 0x80000000u, 0xffffffffu};
    float *start = w->cells.data + i8_cell_at(w->all, w->k, w->planes, w->panel, j / w->all, (w->k + 3) / 4, j % w->all);
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

static void checks(const trn_ukernels *table) {
    for (int trial = 0; trial < 60; trial++) {
        matrix w = random_matrix(check_between(1, 120), check_between(0, 11), check_between(1, 2),
                                 16 * check_between(1, 4), trial % 4);
        check_that(valid(table, &w) == 1, "i8_check refused valid weights");
        for (size_t j = 0; j < w.planes * w.all; j++) {
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
    matrix w = random_matrix(16, TRN_LIMIT_I8_K, 1, 16, 2);  // the largest sums
    check_that(valid(table, &w) == 1, "i8_check refused the largest matrix");
    free_matrix(&w);
}

/* ---- Times ------------------------------------------------------------------------------------------------------- */

static void bench_one(const trn_ukernels *table, size_t m, size_t n, size_t panel, size_t k, const char *what) {
    matrix w = random_matrix(n, k, 1, panel, 0);
    const size_t stride = code_bytes(k);
    check_buffer x = check_filled(k, 0), y = check_new(m * n, 0), scales = check_new(2 * m, 0),
                 codes = check_new(m * stride / 4, 0);
    int8_t *bytes = (int8_t *)codes.data;
    for (size_t i = 0; i < m; i++) table->i8_quantize(k, x.data, NULL, 0, bytes + i * stride, scales.data + 2 * i);
    CHECK_BENCH(4 * w.cells.size,
                table->i8_gemm(m, n, k, bytes, stride, scales.data, w.cells.data, 1, 1, panel, NULL, 0, y.data,
                               (ptrdiff_t)n),
                "i8_gemm %zu x %zu x %zu (%s)", m, n, k, what);
    check_free(&x), check_free(&y), check_free(&scales), check_free(&codes), free_matrix(&w);
}

static void bench(const trn_ukernels *table) {
    for (size_t k = 16; k <= 512; k *= 2) {
        check_buffer x = check_filled(k, 0), codes = check_new(k, 0);
        const float range = 1.0f;
        float scales[2];
        CHECK_BENCH(4 * k, table->i8_quantize(k, x.data, NULL, 0, (int8_t *)codes.data, scales), "i8_quantize %zu", k);
        CHECK_BENCH(4 * k, table->i8_quantize(k, x.data, &range, 0, (int8_t *)codes.data, scales),
                    "i8_quantize %zu, range", k);
        check_free(&x), check_free(&codes);
    }
    for (size_t h = 16; h <= 512; h *= 2) {
        bench_one(table, 1, 4 * h, 64, h, "LSTM");
        bench_one(table, 1, 3 * h, 48, h, "GRU");
        bench_one(table, 1, 2 * h, 32, h, "GRU z r");
        bench_one(table, 1, h, 64, h, "RNN, dense");
    }
    for (size_t m = 2; m <= 64; m *= 2) bench_one(table, m, 512, 64, 128, "rows");
}

static void family(const trn_ukernels *scalar, const trn_ukernels *table) {
    codes(scalar, table);
    products(scalar, table);
    checks(table);
    if (check.bench) bench(table);
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
