// SPDX-License-Identifier: Apache-2.0
// Streams frames through a model: stream MODEL.trnn < frames.f32 > outputs.f32 (native float32), or, with a number of
// steps as second argument, prints what it makes of a sine. For models whose inputs and outputs are float32.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tinyrnn.h"

// Memory for one frame of an input or output; count: its elements.
static float *frame(uint32_t rank, const int64_t *dims, size_t *count) {
    *count = 1;
    while (rank--) *count *= (size_t)dims[rank];
    return calloc(*count, sizeof(float));
}

int main(int argc, char **argv) {
    trn_model *model;
    trn_stream *stream;
    trn_error error;
    if (argc < 2) return fprintf(stderr, "usage: stream MODEL.trnn [STEPS]\n"), 2;
    if (trn_model_open_file(argv[1], 0, &model, &error) != TRN_OK || trn_stream_new(model, NULL, &stream, &error) != TRN_OK)
        return fprintf(stderr, "%s: %s %s\n", argv[1], error.node, error.message), 1;

    uint32_t rank;
    int64_t dims[TRN_MAX_RANK];
    size_t x_count, y_count;
    trn_stream_input_shape(stream, 0, 1, &rank, dims);
    float *x = frame(rank, dims, &x_count);
    trn_stream_output_shape(stream, 0, 1, &rank, dims);
    float *y = frame(rank, dims, &y_count);

    long steps = argc > 2 ? atol(argv[2]) : -1;  // the other inputs are states, which the stream keeps
    const void *inputs[16] = {x};
    void *outputs[16] = {y};
    for (long t = 0; x && y && t != steps; t++) {
        if (steps < 0 && fread(x, sizeof(float), x_count, stdin) != x_count) break;
        for (size_t i = 0; steps >= 0 && i < x_count; i++) x[i] = sinf(0.1f * (float)t + (float)i);
        if (trn_stream_step(stream, inputs, outputs) != TRN_OK) return fprintf(stderr, "%s\n", trn_stream_error(stream)->message), 1;
        if (steps < 0) fwrite(y, sizeof(float), y_count, stdout);
        for (size_t i = 0; steps >= 0 && i < y_count; i++) printf("%.9g%c", (double)y[i], i + 1 < y_count ? ' ' : '\n');
    }
    free(x);
    free(y);
    trn_stream_free(stream);
    trn_model_close(model);
    return 0;
}
