// SPDX-License-Identifier: Apache-2.0
// How fast one core can read: a step reads each weight once, so this bounds its time from below.
#ifndef BENCHMARKS_CEILING_H
#define BENCHMARKS_CEILING_H

#include <stddef.h>

// Memory for ceiling_sweep, [size] bytes rounded up to what a sweep reads at once, written to so that its pages exist.
// Frees with free(). NULL when there is no memory.
void *ceiling_memory(size_t size);
// Reads all of ceiling_memory(size) once, with the widest loads the processor has.
void ceiling_sweep(const void *memory, size_t size);

#endif
