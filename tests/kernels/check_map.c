// SPDX-License-Identifier: Apache-2.0
// f32_vmap and f32_vmap2: every float function of ops.def, in every tail, in place, with extreme values.
#include "check.h"
#include "format.h"

typedef struct function {
    const char *name;
    uint32_t number;
    int inputs;
} function;

static const function functions[] = {
#define TRN_FUNCTION(name, value, inputs, from, to, doc) {#name, value, inputs},
#include "tinyrnn/ops.def"
};

// Functions of integers and of three inputs are plain C in their operator.
static int has_kernel(const function *f) { return f->number < 64 && f->inputs < 3; }

static check_buffer run(const trn_ukernels *table, const function *f, const check_buffer *a, const check_buffer *b,
                        float alpha, float beta, int in_place) {
    check_buffer y = in_place ? check_copy(a) : check_new(a->size, 1);
    const float *from = in_place ? y.data : a->data;
    if (f->inputs == 1) table->f32_vmap(f->number, a->size, from, alpha, beta, y.data);
    else table->f32_vmap2(f->number, a->size, from, b->data, y.data);
    return y;
}

// A kernel that leaves y alone has forgotten a row of the table.
static void written(const function *f, const check_buffer *y) {
    for (size_t i = 0; i < y->size; i++)
        if (check_untouched(y->data[i])) {
            check_that(0, "%s: element %zu of %zu was not written", f->name, i, y->size);
            return;
        }
    check_that(1, "written");
}

static float smaller(float a, float b) { return isnan(a) ? a : a < b ? a : b; }
static float larger(float a, float b) { return isnan(a) ? a : a > b ? a : b; }

// The rows that are plain arithmetic. NaN with a nonzero *unknown where the function is none of them.
static float plain(uint32_t number, float a, float b, float alpha, float beta, int *unknown) {
    switch (number) {
    case trn_fn_IDENTITY: return a;
    case trn_fn_ADD: return a + b;
    case trn_fn_SUB: return a - b;
    case trn_fn_MUL: return a * b;
    case trn_fn_DIV: return a / b;
    case trn_fn_MIN: return smaller(a, b);
    case trn_fn_MAX: return larger(a, b);
    case trn_fn_NEG: return -a;
    case trn_fn_ABS: return fabsf(a);
    case trn_fn_SQRT: return sqrtf(a);
    case trn_fn_RECIPROCAL: return 1.0f / a;
    case trn_fn_FLOOR: return floorf(a);
    case trn_fn_CEIL: return ceilf(a);
    case trn_fn_ROUND: return rintf(a);
    case trn_fn_RELU: return a < 0.0f ? 0.0f : a;
    case trn_fn_LEAKY_RELU: return a < 0.0f ? alpha * a : a;
    case trn_fn_THRESHOLDED_RELU: return a <= alpha ? 0.0f : a;
    case trn_fn_AFFINE: {
        volatile float product = alpha * a;
        return product + beta;
    }
    case trn_fn_SOFTSIGN: return a / (1.0f + fabsf(a));
    case trn_fn_CLIP: return a < alpha ? (alpha < beta ? alpha : beta) : a > beta ? beta : a;
    default: *unknown = 1; return NAN;
    }
}

static void values(const function *f, const check_buffer *a, const check_buffer *b, float alpha, float beta,
                   const check_buffer *y) {
    for (size_t i = 0; i < y->size; i++) {
        int unknown = 0;
        float expected = plain(f->number, a->data[i], b->data[i], alpha, beta, &unknown);
        if (unknown) return;
        if (check_same(expected, y->data[i])) continue;
        check_that(0, "%s of %a, %a is %a, expected %a", f->name, (double)a->data[i], (double)b->data[i],
                   (double)y->data[i], (double)expected);
        return;
    }
    check_that(1, "values");
}

static void bench(const trn_ukernels *table) {
    enum { N = 1024 };
    check_buffer a = check_new(N, 0), b = check_new(N, 0), y = check_new(N, 0);
    for (size_t i = 0; i < N; i++) a.data[i] = check_uniform(0.1f, 4.0f), b.data[i] = check_uniform(-3.0f, 3.0f);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const function *f = &functions[i];
        if (!has_kernel(f)) continue;
        if (f->inputs == 1)
            CHECK_BENCH(4 * N, table->f32_vmap(f->number, N, a.data, 0.5f, 1.0f, y.data), "f32_vmap %-17s %d", f->name, N);
        else
            CHECK_BENCH(8 * N, table->f32_vmap2(f->number, N, a.data, b.data, y.data), "f32_vmap2 %-16s %d", f->name, N);
    }
    check_free(&a), check_free(&b), check_free(&y);
}

static void family(const trn_ukernels *reference, const trn_ukernels *table) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const function *f = &functions[i];
        if (!has_kernel(f)) continue;
        for (size_t n = 0; n < 60; n++) {
            check_buffer a = check_filled(n, n % 3 != 0), b = check_filled(n, n % 3 != 0);
            float alpha = n % 5 ? check_uniform(-2.0f, 2.0f) : 0.0f, beta = check_uniform(-2.0f, 2.0f);
            check_buffer y = run(table, f, &a, &b, alpha, beta, 0), expected = run(reference, f, &a, &b, alpha, beta, 0);
            check_buffer same = run(table, f, &a, &b, alpha, beta, 1);
            check_arrays(&expected, &y, f->name);
            check_arrays(&expected, &same, f->name);
            written(f, &y);
            values(f, &a, &b, alpha, beta, &y);
            check_that(check_guards(&a) && check_guards(&b), "%s wrote to an input", f->name);
            check_free(&a), check_free(&b), check_free(&y), check_free(&expected), check_free(&same);
        }
    }
    if (check.bench) bench(table);
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
