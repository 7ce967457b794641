// SPDX-License-Identifier: Apache-2.0
// f32_gemm: the chain of every element, tails, strides, continuation.
#include "check.h"

typedef struct problem {
    size_t m, n, k, panel, x_stride, init_stride, y_stride;
    int with_init;
    check_buffer x, w, init;  // sized exactly, so that a read beyond them meets a guard
} problem;

static problem random_problem(size_t n, size_t k, int wild) {
    problem p = {.n = n, .k = k};
    p.m = check_random() % 3 == 0 ? 1 : check_between(1, 20);
    p.panel = 16 * check_between(1, 4);
    p.x_stride = p.k + check_between(0, 3);
    p.with_init = check_random() % 4 != 0;
    p.init_stride = check_random() % 2 ? 0 : p.n + check_between(0, 5);
    p.y_stride = p.n + check_between(0, 5);
    p.x = check_filled((p.m - 1) * p.x_stride + p.k, wild);
    p.w = check_filled((p.n + 15) / 16 * 16 * p.k, wild);
    p.init = check_filled((p.m - 1) * p.init_stride + p.n, wild);
    return p;
}

static void free_problem(problem *p) { check_free(&p->x), check_free(&p->w), check_free(&p->init); }

// Where w[k, j] stands in the panels.
static float weight_at(const problem *p, size_t k, size_t j) {
    size_t all = (p->n + 15) / 16 * 16, first = j / p->panel * p->panel;
    size_t width = all - first < p->panel ? all - first : p->panel;
    return p->w.data[first * p->k + k * width + (j - first)];
}

// x * w + sum, rounded as the class says.
static float multiply_add(int fused, float x, float w, float sum) {
    if (fused) return fmaf(x, w, sum);
    volatile float product = x * w;  // volatile: the product is rounded
    return product + sum;
}

static check_buffer naive(const problem *p, int fused) {
    check_buffer y = check_new((p->m - 1) * p->y_stride + p->n, 1);
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            float sum = p->with_init ? p->init.data[i * p->init_stride + j] : 0.0f;
            for (size_t k = 0; k < p->k; k++)
                sum = multiply_add(fused, p->x.data[i * p->x_stride + k], weight_at(p, k, j), sum);
            y.data[i * p->y_stride + j] = sum;
        }
    return y;
}

static check_buffer run(const trn_ukernels *table, const problem *p) {
    check_buffer y = check_new((p->m - 1) * p->y_stride + p->n, 1);
    table->f32_gemm(p->m, p->n, p->k, p->x.data, p->x_stride, p->w.data, p->panel, p->with_init ? p->init.data : NULL,
                    p->init_stride, y.data, p->y_stride);
    return y;
}

// The first `part` of k from init, the rest from y: what a layer does with its input and recurrent products.
static check_buffer run_in_two(const trn_ukernels *table, const problem *p, size_t part) {
    check_buffer y = check_new((p->m - 1) * p->y_stride + p->n, 1), half = check_new(p->w.size, 1);
    size_t all = (p->n + 15) / 16 * 16, from = 0;
    for (int second = 0; second < 2; second++, from = part) {
        size_t length = second ? p->k - part : part, to = 0;
        for (size_t first = 0; first < all; first += p->panel) {
            size_t width = all - first < p->panel ? all - first : p->panel;
            for (size_t k = 0; k < length; k++, to += width)
                memcpy(half.data + to, p->w.data + first * p->k + (from + k) * width, width * sizeof(float));
        }
        const float *init = second ? y.data : p->with_init ? p->init.data : NULL;
        table->f32_gemm(p->m, p->n, length, p->x.data + from, p->x_stride, half.data, p->panel, init,
                        second ? p->y_stride : p->init_stride, y.data, p->y_stride);
    }
    check_free(&half);
    return y;
}

// What a compiler makes of the same sums, in the same layout and order, with the same class of rounding as its
// machine's plain code: the measure for kernels that round twice. y: [n], n a multiple of 16.
static TRN_NOINLINE void plain_loop(size_t n, size_t k, const float *restrict x, const float *restrict w, size_t panel,
                                    float *restrict y) {
    for (size_t j = 0; j < n; j++) y[j] = 0.0f;
    for (size_t column = 0, width; column < n; column += width, y += width) {
        width = n - column < panel ? n - column : panel;
        for (size_t i = 0; i < k; i++, w += width)
            for (size_t j = 0; j < width; j++) y[j] += x[i] * w[j];
    }
}

static void bench_step(const trn_ukernels *table, const char *what, size_t n, size_t panel, size_t k) {
    check_buffer w = check_new(n * k, 0), x = check_new(k, 0), y = check_new(n, 0);
    for (size_t i = 0; i < n * k; i++) w.data[i] = check_uniform(-0.1f, 0.1f);
    for (size_t i = 0; i < k; i++) x.data[i] = check_uniform(-1.0f, 1.0f);
    CHECK_BENCH(n * k * sizeof(float), table->f32_gemm(1, n, k, x.data, k, w.data, panel, NULL, 0, y.data, n),
                "f32_gemm 1 x %zu x %zu (%s)", n, k, what);
    check_free(&w), check_free(&x), check_free(&y);
}

// A square layer beside the plain loop, in short turns, so that both meet the same noise.
static void bench_plain(const trn_ukernels *table, size_t n, size_t panel) {
    check_buffer w = check_new(n * n, 0), x = check_new(n, 0), y = check_new(n, 0);
    const size_t repeats = ((size_t)1 << 22) / (n * n) + 1;
    double best[2] = {1e30, 1e30};
    for (size_t i = 0; i < w.size; i++) w.data[i] = check_uniform(-0.1f, 0.1f);
    for (size_t i = 0; i < n; i++) x.data[i] = check_uniform(-1.0f, 1.0f);
    for (int turn = 0; turn < 200; turn++) {
        double start = check_now_ns();
        for (size_t i = 0; i < repeats; i++) {
            if (turn % 2) plain_loop(n, n, x.data, w.data, panel, y.data);
            else table->f32_gemm(1, n, n, x.data, (ptrdiff_t)n, w.data, panel, NULL, 0, y.data, (ptrdiff_t)n);
        }
        double each = (check_now_ns() - start) / (double)repeats;
        if (each < best[turn % 2]) best[turn % 2] = each;
    }
    printf("%-8s f32_gemm 1 x %zu x %zu, panel %zu: %.1f ns, a plain loop %.1f ns: %.2f times its speed\n",
           check.current, n, n, panel, best[0], best[1], best[1] / best[0]);
    check_free(&w), check_free(&x), check_free(&y);
}

static void bench_rows(const trn_ukernels *table, size_t m, size_t n, size_t k) {
    check_buffer w = check_new(n * k, 0), x = check_new(m * k, 0), y = check_new(m * n, 0);
    double best;
    for (size_t i = 0; i < w.size; i++) w.data[i] = check_uniform(-0.1f, 0.1f);
    for (size_t i = 0; i < x.size; i++) x.data[i] = check_uniform(-1.0f, 1.0f);
    CHECK_TIME(best, table->f32_gemm(m, n, k, x.data, (ptrdiff_t)k, w.data, 64, NULL, 0, y.data, (ptrdiff_t)n));
    printf("%-8s f32_gemm %zu x %zu x %zu: %.1f ns, %.1f operations/ns\n", check.current, m, n, k, best,
           2.0 * (double)(m * n * k) / best);
    check_free(&w), check_free(&x), check_free(&y);
}

static void bench(const trn_ukernels *table) {
    for (size_t h = 16; h <= 512; h *= 2) bench_step(table, "LSTM", 4 * h, 64, h);
    for (size_t h = 16; h <= 512; h *= 2) bench_step(table, "GRU", 3 * h, 48, h);
    for (size_t h = 16; h <= 256; h *= 2) bench_step(table, "GRU z r", 2 * h, 32, h);
    for (size_t h = 16; h <= 256; h *= 2) bench_step(table, "RNN, dense", h, 64, h);
    for (size_t n = 64; n <= 1024; n *= 2)
        for (size_t panel = 32; panel <= 64; panel += 16) bench_plain(table, n, panel);
    for (size_t m = 2; m <= 8; m++) bench_rows(table, m, 512, 128);
    bench_rows(table, 64, 512, 128);
    bench_rows(table, 256, 1024, 512);
}

// The class that isa.def states is the one that the kernel has: (1 + e)^2 - (1 + 2 e), e = 2^-12, is e^2 when it is
// rounded once and 0 when the square was rounded before.
static void class_of_rounding(const trn_ukernels *table) {
    float x = 1.0f + 0x1p-12f, w[16], init[16], y[16];
    for (int j = 0; j < 16; j++) w[j] = x, init[j] = -(1.0f + 0x1p-11f);
    table->f32_gemm(1, 16, 1, &x, 1, w, 16, init, 0, y, 16);
    for (int j = 0; j < 16; j++)
        check_that(y[j] == (table->fused ? 0x1p-24f : 0.0f), "column %d of a product is %a, which contradicts isa.def",
                   j, (double)y[j]);
}

static void compare(const trn_ukernels *table, problem p) {
    const trn_ukernels *reference = check_reference(table);
    check_buffer expected = naive(&p, table->fused), got = run(table, &p),
                 split = run_in_two(table, &p, check_between(0, p.k));
    check_arrays(&expected, &got, "f32_gemm beside a loop");
    check_arrays(&expected, &split, "f32_gemm in two parts of k");
    if (table != reference) {
        check_buffer same = run(reference, &p);
        check_arrays(&same, &got, "f32_gemm");
        check_free(&same);
    }
    check_that(check_guards(&p.x) && check_guards(&p.w) && check_guards(&p.init), "f32_gemm wrote to an input");
    check_free(&expected), check_free(&got), check_free(&split), free_problem(&p);
}

static void family(const trn_ukernels *scalar, const trn_ukernels *table) {
    (void)scalar;  // its multiply-add is fused
    class_of_rounding(table);
    for (int i = 0; i < 600; i++) {
        const size_t n = check_between(1, i % 10 == 0 ? 300 : 90), k = check_between(0, 40);
        compare(table, random_problem(n, k, i % 3 == 0));
    }
    for (int i = 0; i < 6; i++) {  // weights over 1 MB, which are fetched, in several stretches
        const size_t n = check_between(300, 340), k = check_between(900, 1700);
        compare(table, random_problem(n, k, 0));
    }
    if (check.bench) bench(table);
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
