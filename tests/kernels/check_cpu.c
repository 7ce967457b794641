// SPDX-License-Identifier: Apache-2.0
// Detection, the choice of a table, TINYRNN_ISA, and the denormal guard.
#define _POSIX_C_SOURCE 200112L  // setenv
#include <fenv.h>

#include "check.h"
#include "cpu.h"

// The macro of isa.def hides the status of that name.
static const trn_status TRN_ISA_STATUS = TRN_ISA;

static void choice(void) {
    const trn_ukernels *best = NULL, *table = NULL;
    unsetenv("TINYRNN_ISA");
    check_that(trn_dispatch(&best) == TRN_OK && best, "no table was chosen");
    printf("chosen: %s\n", best->isa);
#define TRN_ISA(name, features, is_fused)                                                                            \
    {                                                                                                                \
        int there = (trn_cpu_features() & (features)) == (features);                                                 \
        setenv("TINYRNN_ISA", #name, 1);                                                                             \
        trn_status status = trn_dispatch(&table);                                                                    \
        check_that(status == (there ? TRN_OK : TRN_ISA_STATUS), "TINYRNN_ISA=" #name " gave status %d", (int)status); \
        if (there) check_that(table == &trn_ukernels_##name, "TINYRNN_ISA=" #name " gave %s", table->isa);           \
        check_that(trn_ukernels_by_name(#name) == (there ? &trn_ukernels_##name : NULL), #name " by name");          \
        check_that(trn_ukernels_##name.fused == (is_fused), #name " says that it is fused: %d", trn_ukernels_##name.fused); \
    }
#include "isa.def"
    setenv("TINYRNN_ISA", "pdp11", 1);
    check_that(trn_dispatch(&table) == TRN_ISA_STATUS, "an unknown instruction set was accepted");
    check_that(trn_ukernels_by_name("pdp11") == NULL, "an unknown name gave a table");
    setenv("TINYRNN_ISA", "", 1);
    check_that(trn_dispatch(&table) == TRN_OK && table == best, "an empty TINYRNN_ISA changed the choice");
    unsetenv("TINYRNN_ISA");
}

// Processors by what CPUID and XGETBV say on them, and systems that do not save what a processor has.
static void detection(void) {
    enum { BOTH = TRN_CPU_AVX2 | TRN_CPU_FMA, ALL = BOTH | TRN_CPU_AVX512 };
    static const struct { const char *name; trn_cpu_registers registers; uint32_t features; } rows[] = {
        {"Core 2", {10, 0x0000e3fdu, 0, 0, 0}, 0},
        {"Nehalem", {11, 0x009ce3bdu, 0, 0, 0}, 0},
        {"Sandy Bridge: AVX without leaf 7's AVX2", {13, 0x1fbae3ffu, 0, 0, 7}, 0},
        {"Haswell", {13, 0x7ffafbffu, 0x000027abu, 0, 7}, BOTH},
        {"Zen 3", {16, 0x7efa320bu, 0x219c91a9u, 0x0040069cu, 0x207}, BOTH},
        {"Zen 5", {28, 0xfffa3203u, 0xf1bf07abu, 0x00405fc6u, 0xe7}, ALL},
        {"Skylake with AVX-512, but without VNNI", {22, 0x7ffefbffu, 0xd39ffffbu, 0x00000018u, 0xe7}, BOTH},
        {"Cascade Lake", {22, 0x7ffefbffu, 0xd39ffffbu, 0x00000818u, 0xe7}, ALL},
        {"Alder Lake: VNNI of 256 bits alone", {32, 0x7ffafbbfu, 0x239c27ebu, 0x98c007bcu, 7}, BOTH},
        {"Cascade Lake under a system that saves no masks", {22, 0x7ffefbffu, 0xd39ffffbu, 0x00000818u, 0xc7}, BOTH},
        {"Cascade Lake under a system that saves YMM only", {22, 0x7ffefbffu, 0xd39ffffbu, 0x00000818u, 7}, BOTH},
        {"Cascade Lake under a system that saves no upper halves", {22, 0x7ffefbffu, 0xd39ffffbu, 0x00000818u, 0xa7}, BOTH},
        {"Cascade Lake under a system that saves 16 registers", {22, 0x7ffefbffu, 0xd39ffffbu, 0x00000818u, 0x67}, BOTH},
        {"Cascade Lake without F", {22, 0x7ffefbffu, 0xd39efffbu, 0x00000818u, 0xe7}, BOTH},
        {"Cascade Lake without DQ", {22, 0x7ffefbffu, 0xd39dfffbu, 0x00000818u, 0xe7}, BOTH},
        {"Cascade Lake without BW", {22, 0x7ffefbffu, 0x939ffffbu, 0x00000818u, 0xe7}, BOTH},
        {"Cascade Lake without VL", {22, 0x7ffefbffu, 0x539ffffbu, 0x00000818u, 0xe7}, BOTH},
        {"Haswell under a system that saves XMM only", {13, 0x7ffafbffu, 0x000027abu, 0, 3}, 0},
        {"Haswell under a system that saves YMM only", {13, 0x7ffafbffu, 0x000027abu, 0, 5}, 0},
        {"Haswell under a system without XSAVE", {13, 0x77fafbffu, 0x000027abu, 0, 0}, 0},
        {"Haswell whose AVX is hidden", {13, 0x6ffafbffu, 0x000027abu, 0, 7}, 0},
        {"Haswell limited to 6 leaves", {6, 0x7ffafbffu, 0, 0, 7}, 0},
        {"AVX2 without FMA", {13, 0x7ffaebffu, 0x000027abu, 0, 7}, TRN_CPU_AVX2},
        {"FMA without AVX2 (Piledriver)", {13, 0x3e98320bu, 0x00000008u, 0, 7}, TRN_CPU_FMA},
        {"nothing", {0, 0, 0, 0, 0}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t features = trn_cpu_features_of(&rows[i].registers);
        const trn_ukernels *best = trn_ukernels_best(features);
        check_that(features == rows[i].features, "%s has features %x", rows[i].name, (unsigned)features);
#if defined(__x86_64__)
        const trn_ukernels *expected = (rows[i].features & BOTH) == BOTH ? &trn_ukernels_avx2 : &trn_ukernels_sse2;
#if TRN_HAVE_AVX512
        if (rows[i].features == ALL) expected = &trn_ukernels_avx512;
#endif
        check_that(best == expected, "%s runs %s", rows[i].name, best->isa);
#else
        check_that(best != NULL, "%s runs nothing", rows[i].name);
#endif
    }
}

// Arm processors by what Linux says of them.
static void arm_detection(void) {
    enum { DOT = TRN_CPU_NEON | TRN_CPU_DOTPROD };
    static const struct { const char *name; int bits; uint64_t hwcap; uint32_t features; } rows[] = {
        {"Cortex-A53", 64, 0x8fb, TRN_CPU_NEON},
        {"Cortex-A72", 64, 0x8fb, TRN_CPU_NEON},
        {"Cortex-A76", 64, 0x119ffb, DOT},
        {"A64FX: SVE without dot products", 64, 0x415ffb, TRN_CPU_NEON},
        {"no floating point", 64, 0x8f8, 0},
        {"Cortex-A7", 32, 0x1fb8d7, TRN_CPU_NEON},
        {"Cortex-A8: NEON that rounds a multiply-add twice", 32, 0x8b8d7, 0},
        {"VFPv4 without NEON", 32, 0x9a8d7, 0},
        {"ARM1176", 32, 0x8d7, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const uint32_t features = trn_cpu_features_of_arm(rows[i].bits, rows[i].hwcap);
        check_that(features == rows[i].features, "%s has features %x", rows[i].name, (unsigned)features);
    }
}

static void guard(void) {
    volatile float tiny = FLT_MIN, flushed, kept;  // volatile: no product may wander across the guard
    uint64_t before = trn_fpenv_get(), saved = trn_denormals_flush();
    flushed = tiny * 0.5f;
    trn_denormals_restore(saved);
    kept = tiny * 0.5f;
    check_that(trn_fpenv_get() == before, "the mode was not put back");
    if (TRN_FLUSH_BITS) check_that(flushed == 0.0f, "a denormal result was not flushed");
    check_that(kept > 0.0f, "denormals are still flushed behind the guard");
    saved = trn_denormals_flush();
    uint64_t nested = trn_denormals_flush();
    trn_denormals_restore(nested);
    check_that((trn_fpenv_get() & TRN_FLUSH_BITS) == TRN_FLUSH_BITS, "an inner guard ended the outer one");
    trn_denormals_restore(saved);
    check_that((trn_fpenv_get() & TRN_FLUSH_BITS) == (before & TRN_FLUSH_BITS), "the outer guard did not end");
}

// Whatever rounding the caller has chosen, results round to nearest inside the guard; then his choice holds again.
static void rounding(void) {
    static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    volatile float one = 1.0f, little = 0x1p-30f, up, down;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        check_that(fesetround(modes[i]) == 0, "rounding mode %d cannot be set", modes[i]);
        uint64_t before = trn_fpenv_get(), saved = trn_denormals_flush();
        up = one + little, down = -one - little;
        trn_denormals_restore(saved);
        check_that(trn_fpenv_get() == before && fegetround() == modes[i], "rounding mode %d was not put back", modes[i]);
        if (TRN_MODE_BITS) check_that(up == 1.0f && down == -1.0f, "rounding mode %d holds in the guard", modes[i]);
    }
    fesetround(FE_TONEAREST);
}

int main(int count, char **arguments) {
    check_arguments(count, arguments);
    detection();
    arm_detection();
    choice();
    guard();
    rounding();
    if (check.bench) {
        double best;
        CHECK_TIME(best, trn_denormals_restore(trn_denormals_flush()));
        printf("flush and restore the denormal mode: %.1f ns\n", best);
    }
    printf("%lu passed, %lu failed\n", check.passed, check.failed);
    return check.failed != 0;
}
