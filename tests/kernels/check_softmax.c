// SPDX-License-Identifier: Apache-2.0
// f32_softmax: beside the scalar table, beside its formula in double, in place, and rows with NaN and infinities.
#include "check.h"

static check_buffer run(const trn_ukernels *table, const check_buffer *x, int logarithm, int in_place) {
    check_buffer y = in_place ? check_copy(x) : check_new(x->size, 1);
    table->f32_softmax(x->size, in_place ? y.data : x->data, logarithm, y.data);
    return y;
}

static void formula(const check_buffer *x, int logarithm, const check_buffer *y) {
    double largest = -INFINITY, sum = 0.0;
    // Not by fmax, here and in test_int8.c: a loop over it crashes gcc 12.2, which is Debian 12's, on AArch64.
    for (size_t i = 0; i < x->size; i++)
        if ((double)x->data[i] > largest) largest = (double)x->data[i];
    for (size_t i = 0; i < x->size; i++) sum += exp((double)x->data[i] - largest);
    for (size_t i = 0; i < x->size; i++) {
        // The rounding of the distance from the maximum grows with it, and is relative in the power.
        double distance = largest - (double)x->data[i];
        double exact = logarithm ? -distance - log(sum) : exp(-distance) / sum;
        double bound = logarithm ? 4e-7 * (1.0 + fabs(exact)) : 1.2e-7 * (4.0 + distance) * exact;
        if (fabs((double)y->data[i] - exact) <= bound) continue;
        check_that(0, "softmax %d of %zu: element %zu is %a, expected %a", logarithm, x->size, i, (double)y->data[i],
                   exact);
        return;
    }
    check_that(1, "formula");
}

// Whatever stands beside it, a NaN makes the row NaN; so does a row without a finite maximum.
static void specials(const trn_ukernels *table, int logarithm) {
    for (size_t n = 1; n < 40; n++) {
        static const float bad[] = {NAN, INFINITY};
        for (int kind = 0; kind < 3; kind++) {
            check_buffer x = check_filled(n, 0);
            for (size_t i = 0; i < n && kind == 2; i++) x.data[i] = -INFINITY;
            if (kind < 2) x.data[check_between(0, n - 1)] = bad[kind];
            check_buffer y = run(table, &x, logarithm, 0);
            int nans = 0, whole = 1;
            for (size_t i = 0; i < n; i++) nans += isnan(y.data[i]) != 0, whole &= !check_untouched(y.data[i]);
            int enough = kind == 1 ? nans >= 1 : (size_t)nans == n;
            check_that(whole && enough, "softmax %d of %zu, kind %d: %d NaN", logarithm, n, kind, nans);
            check_free(&x), check_free(&y);
        }
    }
}

static void row(const trn_ukernels *reference, const trn_ukernels *table, size_t n, int logarithm, int wild) {
    check_buffer x = check_filled(n, wild), expected = run(reference, &x, logarithm, 0);
    check_buffer y = run(table, &x, logarithm, 0), same = run(table, &x, logarithm, 1);
    if (!wild) formula(&x, logarithm, &y);
    check_arrays(&expected, &y, "f32_softmax");
    check_arrays(&expected, &same, "f32_softmax in place");
    check_that(check_guards(&x), "f32_softmax wrote to its input");
    check_free(&x), check_free(&y), check_free(&expected), check_free(&same);
}

static void family(const trn_ukernels *reference, const trn_ukernels *table) {
    for (int logarithm = 0; logarithm < 2; logarithm++) {
        for (size_t n = 1; n < 150; n++) row(reference, table, n, logarithm, 0), row(reference, table, n, logarithm, 1);
        specials(table, logarithm);
    }
    for (size_t n = 8; check.bench && n <= 1024; n *= 4) {
        check_buffer x = check_filled(n, 0), y = check_new(n, 0);
        CHECK_BENCH(4 * n, table->f32_softmax(n, x.data, 0, y.data), "f32_softmax %zu", n);
        CHECK_BENCH(4 * n, table->f32_softmax(n, x.data, 1, y.data), "f32_softmax %zu, logarithm", n);
        check_free(&x), check_free(&y);
    }
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
