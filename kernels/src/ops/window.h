// SPDX-License-Identifier: Apache-2.0
// The sliding window that convolution and pooling share: which input element a tap of an output position looks at.
#ifndef TRN_WINDOW_H
#define TRN_WINDOW_H

#include "../ops.h"

// One spatial axis. Tap k of output o looks at input i = (o * stride + k * dilation - begin) / upsample, if that is
// whole and within the input; else at padding. upsample > 1 is the stride of a transposed convolution.
typedef struct trn_axis {
    int64_t input, output;  // sizes
    int64_t kernel, stride, dilation, begin, end, upsample;
} trn_axis;

typedef struct trn_window {
    uint32_t rank;
    trn_axis axes[TRN_LIMIT_SPATIAL];
    int64_t taps, positions;  // products of kernel and output sizes
} trn_window;

// Reads one axis for each group of six numbers of an operator's list: kernel, stride, dilation, begin, end, upsample.
#define TRN_WINDOW_WORDS 6
static inline trn_status trn_window_check(const trn_file *file, const trn_record_operator *record, uint32_t first,
                                          uint32_t rank, trn_error *error) {
    TRN_CHECK_REQUIRE(file, record, error, rank >= 1 && rank <= TRN_LIMIT_SPATIAL, "window", "found %u spatial axes",
                      rank);
    TRN_CHECK_REQUIRE(file, record, error, record->attribute_count == first + rank * TRN_WINDOW_WORDS, "window",
                      "found %u numbers for %u axes", record->attribute_count - first, rank);
    for (uint32_t i = first; i < record->attribute_count; i++) {
        uint32_t word = (i - first) % TRN_WINDOW_WORDS;
        int64_t value = trn_integer(file, record, i), low = word == 3 || word == 4 ? -(1 << 24) : 1;
        TRN_CHECK_REQUIRE(file, record, error, value >= low && value <= 1 << 24, "window", "number %u is %lld",
                          i - first, (long long)value);
    }
    return TRN_OK;
}

// Returns 0 when taps or positions do not fit.
static inline int trn_window_read(trn_window *w, const trn_op *op, uint32_t first, const int64_t *input,
                                  const int64_t *output, uint32_t rank) {
    w->rank = rank;
    w->taps = w->positions = 1;
    for (uint32_t i = 0; i < rank; i++) {
        uint32_t at = first + i * TRN_WINDOW_WORDS;
        trn_axis *a = &w->axes[i];
        *a = (trn_axis){.input = input[i],
                        .output = output[i],
                        .kernel = trn_integer(op->file, op->record, at),
                        .stride = trn_integer(op->file, op->record, at + 1),
                        .dilation = trn_integer(op->file, op->record, at + 2),
                        .begin = trn_integer(op->file, op->record, at + 3),
                        .end = trn_integer(op->file, op->record, at + 4),
                        .upsample = trn_integer(op->file, op->record, at + 5)};
        if (!trn_mul(w->taps, a->kernel, &w->taps) || !trn_mul(w->positions, a->output, &w->positions)) return 0;
        if (a->output > INT64_MAX >> 26) return 0;  // keeps output * stride in range
    }
    return 1;
}

// The input index of a tap along one axis, or -1 for padding.
static inline int64_t trn_axis_index(const trn_axis *a, int64_t output, int64_t tap) {
    int64_t i = output * a->stride + tap * a->dilation - a->begin;
    if (i < 0) return -1;
    if (a->upsample > 1) {
        if (i % a->upsample != 0) return -1;
        i /= a->upsample;
    }
    return i < a->input ? i : -1;
}

// The next point of a box, row-major; 0 when it has ended.
static inline int trn_window_next(uint32_t rank, const int64_t *sizes, int64_t *index) {
    for (uint32_t i = rank; i-- > 0;) {
        if (++index[i] < sizes[i]) return 1;
        index[i] = 0;
    }
    return 0;
}

#endif
