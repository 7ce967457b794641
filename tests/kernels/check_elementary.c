// SPDX-License-Identifier: Apache-2.0
// The elementary functions, and the cells' own tanh and sigmoid, beside the double precision ones of the C library:
// largest error over the whole range (every 2003rd float, or all of them with --exhaustive), special values, and
// multiplications that stay apart from additions.
#include "check.h"
#include "format.h"

enum { CHUNK = 4096 };

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }
static double softplus(double x) { return x > 0.0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double elu(double x) { return x < 0.0 ? expm1(x) : x; }

// Not functions of f32_vmap: what the cells make of their gates, those beside int8 weights last.
enum { CELL_TANH = 1000, CELL_SIGMOID, I8_CELL_TANH, I8_CELL_SIGMOID };

// y[i] = function(x[i]), n <= CHUNK.
static void map(const trn_ukernels *table, uint32_t function, size_t n, const float *x, float *y) {
    static float gates[2 * CHUNK], zeros[CHUNK], unused[CHUNK];
    if (function == CELL_TANH || function == I8_CELL_TANH) {
        memcpy(gates, x, n * sizeof *x);
        (function == CELL_TANH ? table->f32_rnn_cell : table->i8_rnn_cell)(n, gates, y);
    } else if (function >= CELL_TANH) {
        // The update gate of a GRU: in each block the first 16 of 32.
        for (size_t i = 0; i < n; i++) gates[i / 16 * 32 + i % 16] = x[i];
        (function == CELL_SIGMOID ? table->f32_gru_reset : table->i8_gru_reset)(n, gates, zeros, unused);
        for (size_t i = 0; i < n; i++) y[i] = gates[i / 16 * 32 + i % 16];
    } else {
        table->f32_vmap(function, n, x, 1.0f, 0.0f, y);
    }
}

// The largest errors that docs/arithmetic.md states: units in the last place, or an absolute error where ulps is 0. No
// result is below `least` or above 1 where least is not 1.
static const struct {
    const char *name;
    uint32_t function;
    double (*exact)(double);
    double ulps, absolute;
    float least;
} functions[] = {
    {"exp", trn_fn_EXP, exp, 1.2, 0, 1},
    {"log", trn_fn_LOG, log, 1.2, 0, 1},
    {"sin", trn_fn_SIN, sin, 2.5, 0, 1},
    {"cos", trn_fn_COS, cos, 2.5, 0, 1},
    {"erf", trn_fn_ERF, erf, 2, 0, -1},
    {"tanh", trn_fn_TANH, tanh, 4, 0, -1},
    {"sigmoid", trn_fn_SIGMOID, sigmoid, 0, 1.2e-7, 0},
    {"cell tanh", CELL_TANH, tanh, 4, 0, -1},
    {"cell sigmoid", CELL_SIGMOID, sigmoid, 0, 1.2e-7, 0},
    {"i8 cell tanh", I8_CELL_TANH, tanh, 5.5, 0, -1},
    {"i8 cell sigmoid", I8_CELL_SIGMOID, sigmoid, 0, 1.3e-7, 0},
    {"elu", trn_fn_ELU, elu, 2, 0, 1},
    {"softplus", trn_fn_SOFTPLUS, softplus, 4, 0, 1},
    {"atan", trn_fn_ATAN, atan, 2.5, 0, 1},
    {"log1p", trn_fn_LOG1P, log1p, 3, 0, 1},
};

// |got - exact| in units of the last place of a float near `exact`. NaN, infinities and overflow must agree: 0 or infinity.
static double ulps(float got, double exact) {
    if (isnan(exact)) return isnan(got) ? 0.0 : INFINITY;
    if (isinf(exact) || isnan(got)) return (double)got == exact ? 0.0 : INFINITY;
    if (fabs(exact) < (double)FLT_MIN) return fabsf(got) <= FLT_MIN ? 0.0 : INFINITY;
    double limit = 0x1p128;
    double value = isinf(got) ? copysign(limit, got) : (double)got, target = fmin(fmax(exact, -limit), limit);
    return fabs(value - target) / ldexp(1.0, ilogb(target) - 23);
}

// The next floats from *bits on, `stride` apart; their number.
static size_t next_floats(uint64_t *bits, uint64_t stride, float *x) {
    size_t n = 0;
    for (; n < CHUNK && *bits < UINT64_C(1) << 32; *bits += stride) {
        float value = check_from_bits((uint32_t)*bits);
        // Denormals are zeros to the kernels, not to the double functions.
        if (fabsf(value) >= FLT_MIN || (uint32_t)*bits << 1 == 0 || isnan(value)) x[n++] = value;
    }
    return n;
}

// The error of y at x, in the unit that the function is judged by; infinite where a NaN is wrong.
static double error_of(size_t f, float x, float y) {
    double exact = functions[f].exact((double)x);
    if (functions[f].ulps != 0) return ulps(y, exact);
    return isnan(exact) && isnan(y) ? 0.0 : isnan(exact) || isnan(y) ? INFINITY : fabs((double)y - exact);
}

static void sweep(const trn_ukernels *reference, const trn_ukernels *table, size_t f) {
    static float x[CHUNK], y[CHUNK], expected[CHUNK];
    const uint64_t stride = check.exhaustive ? 1 : 2003;
    uint64_t bits = check_random() % stride, compared = 0;
    double worst = 0.0;
    float worst_x = 0.0f, differs = 0.0f, outside = 0.0f;
    int same = 1, within = 1;
    for (size_t n; (n = next_floats(&bits, stride, x)) > 0; compared += n) {
        map(table, functions[f].function, n, x, y);
        map(reference, functions[f].function, n, x, expected);
        for (size_t i = 0; i < n; i++) {
            double error = error_of(f, x[i], y[i]);
            if (error > worst) worst = error, worst_x = x[i];
            if (!check_same(expected[i], y[i])) same = 0, differs = x[i];
            if (functions[f].least < 1.0f && (y[i] < functions[f].least || y[i] > 1.0f)) within = 0, outside = x[i];
        }
    }
    const char *unit = functions[f].ulps != 0 ? "ulp" : "absolute";
    printf("%-8s %-15s %.3g %s at %a (%llu values)\n", check.current, functions[f].name, worst, unit, (double)worst_x,
           (unsigned long long)compared);
    check_that(worst <= (functions[f].ulps != 0 ? functions[f].ulps : functions[f].absolute), "%s(%a) is off by %g %s",
               functions[f].name, (double)worst_x, worst, unit);
    check_that(same, "%s(%a) differs from that of %s", functions[f].name, (double)differs, reference->isa);
    check_that(within, "%s(%a) is outside the function's range", functions[f].name, (double)outside);
}

static float apply(const trn_ukernels *table, uint32_t function, float x) {
    float y;
    map(table, function, 1, &x, &y);
    return y;
}

// Results that must be exact.
static void specials(const trn_ukernels *table) {
    static const struct { uint32_t function; float x, y; } rows[] = {
        {trn_fn_EXP, 0, 1}, {trn_fn_EXP, -0.0f, 1}, {trn_fn_EXP, INFINITY, INFINITY}, {trn_fn_EXP, -INFINITY, 0},
        {trn_fn_EXP, 88.73f, INFINITY}, {trn_fn_LOG, 1, 0}, {trn_fn_LOG, 0, -INFINITY}, {trn_fn_LOG, -0.0f, -INFINITY},
        {trn_fn_LOG, INFINITY, INFINITY}, {trn_fn_LOG, -1, NAN}, {trn_fn_LOG, -INFINITY, NAN}, {trn_fn_SIN, 0, 0},
        {trn_fn_SIN, -0.0f, -0.0f}, {trn_fn_SIN, INFINITY, NAN}, {trn_fn_SIN, -INFINITY, NAN}, {trn_fn_COS, 0, 1},
        {trn_fn_COS, INFINITY, NAN}, {trn_fn_ERF, 0, 0}, {trn_fn_ERF, -0.0f, -0.0f}, {trn_fn_ERF, INFINITY, 1},
        {trn_fn_ERF, -INFINITY, -1}, {trn_fn_TANH, 0, 0}, {trn_fn_TANH, -0.0f, -0.0f}, {trn_fn_TANH, INFINITY, 1},
        {trn_fn_TANH, -INFINITY, -1}, {trn_fn_TANH, 9.1f, 1}, {trn_fn_SIGMOID, 0, 0.5f}, {trn_fn_SIGMOID, -0.0f, 0.5f},
        {trn_fn_SIGMOID, INFINITY, 1}, {trn_fn_SIGMOID, -INFINITY, 0}, {trn_fn_ELU, -INFINITY, -1}, {trn_fn_ELU, 0, 0},
        {trn_fn_SOFTPLUS, INFINITY, INFINITY}, {trn_fn_SOFTPLUS, -INFINITY, 0}, {trn_fn_RELU, -INFINITY, 0},
        {trn_fn_ATAN, 0, 0}, {trn_fn_ATAN, -0.0f, -0.0f}, {trn_fn_ATAN, INFINITY, 0x1.921fb6p+0f},
        {trn_fn_ATAN, -INFINITY, -0x1.921fb6p+0f}, {trn_fn_ATAN, 1, 0x1.921fb6p-1f}, {trn_fn_LOG1P, 0, 0},
        {trn_fn_LOG1P, -1, -INFINITY}, {trn_fn_LOG1P, INFINITY, INFINITY}, {trn_fn_LOG1P, -1.5f, NAN},
        {trn_fn_LOG1P, -INFINITY, NAN}, {trn_fn_LOG1P, 1e-30f, 1e-30f},
        {CELL_TANH, 0, 0}, {CELL_TANH, -0.0f, -0.0f}, {CELL_TANH, INFINITY, 1}, {CELL_TANH, -INFINITY, -1},
        {CELL_TANH, FLT_MAX, 1}, {CELL_TANH, 1e-20f, 1e-20f}, {CELL_TANH, -3e-5f, -3e-5f}, {CELL_SIGMOID, 0, 0.5f},
        {CELL_SIGMOID, -0.0f, 0.5f}, {CELL_SIGMOID, INFINITY, 1}, {CELL_SIGMOID, -INFINITY, 0},
        {I8_CELL_TANH, 0, 0}, {I8_CELL_TANH, -0.0f, -0.0f}, {I8_CELL_TANH, INFINITY, 1}, {I8_CELL_TANH, -INFINITY, -1},
        {I8_CELL_TANH, FLT_MAX, 1}, {I8_CELL_TANH, 1e-20f, 1e-20f}, {I8_CELL_TANH, -3e-5f, -3e-5f},
        {I8_CELL_SIGMOID, 0, 0.5f}, {I8_CELL_SIGMOID, -0.0f, 0.5f}, {I8_CELL_SIGMOID, INFINITY, 1},
        {I8_CELL_SIGMOID, -INFINITY, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float y = apply(table, rows[i].function, rows[i].x);
        check_that(check_to_bits(y) == check_to_bits(rows[i].y) || (isnan(y) && isnan(rows[i].y)),
                   "function %u of %a is %a, expected %a", (unsigned)rows[i].function, (double)rows[i].x, (double)y,
                   (double)rows[i].y);
    }
}

// NaN with every kind of payload: those that shifts could turn into numbers too.
static void keeps_nan(const trn_ukernels *table, uint32_t function, const char *name) {
    for (uint32_t payload = 1; payload < 0x00800000; payload = payload * 2 + payload % 3) {
        float positive = apply(table, function, check_from_bits(0x7f800000u | payload));
        float negative = apply(table, function, check_from_bits(0xff800000u | payload));
        check_that(isnan(positive) && isnan(negative), "%s lost NaN %x", name, (unsigned)payload);
    }
}

static void nans(const trn_ukernels *table) {
#define TRN_FUNCTION(name, value, inputs, from, to, doc) \
    if ((inputs) == 1 && (value) < 64) keeps_nan(table, value, #name);
#include "tinyrnn/ops.def"
    keeps_nan(table, CELL_TANH, "cell tanh");
    keeps_nan(table, CELL_SIGMOID, "cell sigmoid");
    keeps_nan(table, I8_CELL_TANH, "i8 cell tanh");
    keeps_nan(table, I8_CELL_SIGMOID, "i8 cell sigmoid");
}

static float power(const trn_ukernels *table, float a, float b) {
    float y;
    table->f32_vmap2(trn_fn_POW, 1, &a, &b, &y);
    return y;
}

static void powers(const trn_ukernels *table) {
    static const float values[] = {0.0f,     -0.0f,    1,         -1,       2,     -2,     3,      -3,      0.5f,        -0.5f,
                                   1.5f,     -1.5f,    16777215,  16777216, 33554432, -16777215, 1e30f, -1e30f, 1e-30f, -1e-30f,
                                   FLT_MAX,  -FLT_MAX, FLT_MIN,   INFINITY, -INFINITY, NAN, 0.99999994f, 1.0000001f};
    const size_t count = sizeof values / sizeof *values;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            double exact = pow((double)values[i], (double)values[j]);
            float y = power(table, values[i], values[j]);
            int sign = isnan(exact) || !signbit(y) == !signbit(exact);
            check_that(ulps(y, exact) <= 0.51 && sign, "pow(%a, %a) is %a, expected %a", (double)values[i],
                       (double)values[j], (double)y, exact);
        }
    double worst = 0.0;
    for (int i = 0; i < (check.exhaustive ? 100000000 : 300000); i++) {
        float a = i % 2 ? check_uniform(0.0f, 3.0f) : check_from_bits((uint32_t)check_random() & 0x7fffffff);
        float b = i % 3 ? check_uniform(-30.0f, 30.0f) : check_uniform(-3.0f, 3.0f);
        if (a < FLT_MIN || a > FLT_MAX) continue;
        double u = ulps(power(table, a, b), pow((double)a, (double)b));
        if (u > worst) worst = u;
        if (u > 0.51) check_that(0, "pow(%a, %a) is off by %g ulp", (double)a, (double)b, u);
    }
    printf("%-8s %-12s %.3f ulp\n", check.current, "pow", worst);
    check_that(worst <= 0.51, "pow is off by %g ulp", worst);
}

// 2^-24 where the compiler joined the multiplication and the addition: -ffp-contract=off is missing.
static void contraction(const trn_ukernels *table) {
    float x = 1.0f + 0x1p-12f, y;
    table->f32_vmap(trn_fn_AFFINE, 1, &x, 1.0f + 0x1p-12f, -(1.0f + 0x1p-11f), &y);
    check_that(y == 0.0f, "a multiplication and an addition were joined: compile with -ffp-contract=off");
}

static void family(const trn_ukernels *reference, const trn_ukernels *table) {
    contraction(table);
    specials(table);
    nans(table);
    powers(table);
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        const int by_class = functions[f].function == CELL_TANH || functions[f].function == CELL_SIGMOID;
        sweep(by_class ? check_reference(table) : reference, table, f);
    }
}

int main(int count, char **arguments) { return check_main(count, arguments, family); }
