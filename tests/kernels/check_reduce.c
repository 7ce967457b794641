// SPDX-License-Identifier: Apache-2.0
// f32_reduce and f32_standardize: beside the scalar table, beside plain loops, and rows with NaN.
#include "check.h"
#include "format.h"

// Eight lanes and the tree of ukernels.def, an element at a time.
static float plain(uint32_t kind, size_t n, const float *x) {
    float lanes[8];
    for (int i = 0; i < 8; i++)
        lanes[i] = kind == trn_reduction_PROD  ? 1.0f
                   : kind == trn_reduction_MAX ? -INFINITY
                   : kind == trn_reduction_MIN ? INFINITY
                                               : 0.0f;
#define FOLD(a, b)                                                     \
    (kind == trn_reduction_PROD  ? (a) * (b)                           \
     : kind == trn_reduction_MAX ? (isnan(a) || (a) > (b) ? (a) : (b)) \
     : kind == trn_reduction_MIN ? (isnan(a) || (a) < (b) ? (a) : (b)) \
                                 : (a) + (b))
    for (size_t i = 0; i < n; i++) lanes[i % 8] = FOLD(lanes[i % 8], x[i]);
    for (int distance = 4; distance > 0; distance /= 2)
        for (int i = 0; i < distance; i++) lanes[i] = FOLD(lanes[i], lanes[i + distance]);
    return kind == trn_reduction_MEAN ? lanes[0] / (float)n : lanes[0];
}

static void reduce(const trn_ukernels *table, size_t n, int wild) {
    for (uint32_t kind = trn_reduction_SUM; kind <= trn_reduction_MIN; kind++) {
        check_buffer x = check_filled(n, wild);
        float y = check_from_bits(check_pattern), expected = plain(kind, n, x.data);
        table->f32_reduce(kind, n, x.data, &y);
        // The sign of a zero from neutral lanes is no one's promise; both are zero.
        check_that(check_same(y, expected) || (y == 0.0f && expected == 0.0f), "f32_reduce %u of %zu: %a, expected %a",
                   kind, n, (double)y, (double)expected);
        check_that(check_guards(&x), "f32_reduce wrote to its input");
        check_free(&x);
    }
}

static void standardize(const trn_ukernels *reference, const trn_ukernels *table, size_t n, int wild) {
    check_buffer x = check_filled(n, wild), expected = check_new(n, 1), y = check_new(n, 1);
    reference->f32_standardize(n, x.data, 1e-5f, expected.data);
    table->f32_standardize(n, x.data, 1e-5f, y.data);
    check_arrays(&expected, &y, "f32_standardize");
    double mean = 0.0, variance = 0.0;
    for (size_t i = 0; i < n; i++) mean += (double)x.data[i] / (double)n;
    for (size_t i = 0; i < n; i++) variance += ((double)x.data[i] - mean) * ((double)x.data[i] - mean) / (double)n;
    for (size_t i = 0; i < n && !wild; i++) {
        double exact = ((double)x.data[i] - mean) / sqrt(variance + 1e-5);
        check_that(fabs((double)y.data[i] - exact) <= 2e-4 + 1e-5 * fabs(exact),
                   "f32_standardize of %zu: element %zu is %a, expected %a", n, i, (double)y.data[i], exact);
    }
    check_free(&x), check_free(&expected), check_free(&y);
}

static void family(const trn_ukernels *reference, const trn_ukernels *table) {
    for (size_t n = 1; n < 150; n++)
        for (int wild = 0; wild < 2; wild++) {
            reduce(table, n, wild);
            standardize(reference, table, n, wild);
        }
    for (size_t n = 16; check.bench && n <= 1024; n *= 4) {
        check_buffer x = check_filled(n, 0), y = check_new(n, 0);
        CHECK_BENCH(4 * n, table->f32_reduce(trn_reduction_SUM, n, x.data, y.data), "f32_reduce %zu", n);
        CHECK_BENCH(4 * n, table->f32_standardize(n, x.data, 1e-5f, y.data), "f32_standardize %zu", n);
        check_free(&x), check_free(&y);
    }
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
