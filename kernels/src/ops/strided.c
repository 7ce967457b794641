// SPDX-License-Identifier: Apache-2.0
// Loops over several tensors of one shape and any strides.
#include "strided.h"

#include <stdlib.h>

// The axes from the outside in are those of `order`.
static void merge_axes(trn_nest *nest, uint32_t rank, const int64_t *dims, uint32_t operands,
                       const int64_t *const *rows, const uint32_t *order, int64_t *strides) {
    nest->operands = operands;
    nest->count = 1;
    nest->rank = 0;
    for (uint32_t i = 0; i < rank; i++) {
        uint32_t axis = order[i];
        nest->count *= dims[axis];
        if (dims[axis] == 1) continue;
        int64_t *last = nest->rank > 0 ? strides + (size_t)(nest->rank - 1) * operands : NULL;
        int merges = last != NULL;
        for (uint32_t k = 0; k < operands && merges; k++) merges = last[k] == rows[k][axis] * dims[axis];
        if (merges) nest->dims[nest->rank - 1] *= dims[axis];
        else nest->dims[nest->rank++] = dims[axis];
        int64_t *here = strides + (size_t)(nest->rank - 1) * operands;
        for (uint32_t k = 0; k < operands; k++) here[k] = rows[k][axis];
    }
    if (nest->rank > 0) return;
    nest->dims[nest->rank++] = 1;  // a scalar: one element, strides of no importance
    for (uint32_t i = 0; i < operands; i++) strides[i] = 1;
}

void trn_nest_merge(trn_nest *nest, uint32_t rank, const int64_t *dims, uint32_t operands, const int64_t *const *rows,
                    int64_t *strides) {
    uint32_t order[TRN_MAX_RANK];
    for (uint32_t axis = 0; axis < rank; axis++) order[axis] = axis;
    merge_axes(nest, rank, dims, operands, rows, order, strides);
}

void trn_nest_sort(trn_nest *nest, uint32_t rank, const int64_t *dims, uint32_t operands, const int64_t *const *rows,
                   int64_t *strides) {
    uint32_t order[TRN_MAX_RANK];
    for (uint32_t axis = 0; axis < rank; axis++) {
        uint32_t at = axis;
        for (; at > 0 && llabs(rows[0][order[at - 1]]) < llabs(rows[0][axis]); at--) order[at] = order[at - 1];
        order[at] = axis;
    }
    merge_axes(nest, rank, dims, operands, rows, order, strides);
}

int trn_nest_next(const trn_nest *nest, const int64_t *strides, uint32_t inner, int64_t *index, int64_t *offsets) {
    for (uint32_t axis = nest->rank - inner; axis-- > 0;) {
        const int64_t *step = strides + (size_t)axis * nest->operands;
        if (++index[axis] < nest->dims[axis]) {
            for (uint32_t i = 0; i < nest->operands; i++) offsets[i] += step[i];
            return 1;
        }
        index[axis] = 0;
        for (uint32_t i = 0; i < nest->operands; i++) offsets[i] -= step[i] * (nest->dims[axis] - 1);
    }
    return 0;
}

void trn_copy_prepare(trn_copy_plan *plan, const trn_view *destination, const trn_view *source) {
    const int64_t *rows[2] = {destination->strides, source->strides};
    plan->element_size = trn_dtype_size(destination->dtype);
    trn_nest_sort(&plan->nest, destination->rank, destination->dims, 2, rows, plan->strides);
}

// Walked by pointers: loops over an index are made twice by compilers, for strides of 1 as well.
#define COPY_ELEMENTS(type)                                            \
    do {                                                               \
        type *d = destination;                                         \
        const type *s = source;                                        \
        if (n == 0) break;                                             \
        for (*d = *s; --n > 0;) d += d_stride, s += s_stride, *d = *s; \
    } while (0)

// Two states that lie interleaved in one tensor, as exporters make them, are worth loops whose strides the compiler knows.
static void take_every_second(int64_t n, uint32_t *restrict d, const uint32_t *restrict s) {
    for (int64_t i = 0; i < n; i++) d[i] = s[2 * i];
}

// Four at a time: compilers, which may not write between the elements, would not make vectors of one.
static void put_every_second(int64_t n, uint32_t *restrict d, const uint32_t *restrict s) {
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) d[2 * i] = s[i], d[2 * i + 2] = s[i + 1], d[2 * i + 4] = s[i + 2], d[2 * i + 6] = s[i + 3];
    for (; i < n; i++) d[2 * i] = s[i];
}

void trn_copy_words(int64_t n, void *destination, int64_t d_stride, const void *source, int64_t s_stride) {
    uint32_t *d = destination;
    const uint32_t *s = source;
    if (d_stride == 1 && s_stride == 1) memmove(destination, source, (size_t)n * sizeof *d);
    else if (d_stride == 1 && s_stride == 2) take_every_second(n, d, s);
    else if (d_stride == 2 && s_stride == 1) put_every_second(n, d, s);
    else if (n > 0)
        for (*d = *s; --n > 0;) d += d_stride, s += s_stride, *d = *s;
}

static void copy_row(size_t size, int64_t n, void *destination, int64_t d_stride, const void *source,
                     int64_t s_stride) {
    if (size == 4) trn_copy_words(n, destination, d_stride, source, s_stride);
    else if (d_stride == 1 && s_stride == 1) memmove(destination, source, (size_t)n * size);
    else if (size == 8) COPY_ELEMENTS(uint64_t);
    else if (size == 2) COPY_ELEMENTS(uint16_t);
    else COPY_ELEMENTS(uint8_t);
}

#define PLANE 16  // elements a side of the squares in which a plane is turned: lines of both sides stay in the cache

// A plane that is turned: its rows lie together in the destination, its columns in the source.
static void copy_plane(const int64_t *dims, uint32_t *destination, int64_t d_row, const uint32_t *source,
                       int64_t s_column) {
    for (int64_t row = 0; row < dims[0]; row += PLANE)
        for (int64_t column = 0; column < dims[1]; column += PLANE) {
            int64_t rows = dims[0] - row < PLANE ? dims[0] : row + PLANE;
            int64_t columns = dims[1] - column < PLANE ? dims[1] : column + PLANE;
            for (int64_t j = column; j < columns; j++)
                for (int64_t i = row; i < rows; i++) destination[i * d_row + j] = source[i + j * s_column];
        }
}

void trn_copy_run(const trn_copy_plan *plan, void *destination, const void *source) {
    const trn_nest *nest = &plan->nest;
    const int64_t *last = plan->strides + (size_t)(nest->rank - 1) * 2, size = (int64_t)plan->element_size;
    int64_t index[TRN_MAX_RANK] = {0}, offsets[2] = {0, 0};
    int plane = nest->rank > 1 && size == 4 && last[0] == 1 && last[1] != 1 && last[-1] == 1;
    if (nest->count == 0) return;
    do {
        char *to = (char *)destination + offsets[0] * size;
        const char *from = (const char *)source + offsets[1] * size;
        if (plane)
            copy_plane(nest->dims + nest->rank - 2, (uint32_t *)(void *)to, last[-2],
                       (const uint32_t *)(const void *)from, last[1]);
        else copy_row(plan->element_size, nest->dims[nest->rank - 1], to, last[0], from, last[1]);
    } while (trn_nest_next(nest, plan->strides, plane ? 2 : 1, index, offsets));
}
