// SPDX-License-Identifier: Apache-2.0
// A file's bytes: by a read-only memory map where there is one, else read into memory.
#if defined(__unix__) || defined(__APPLE__)
#define _POSIX_C_SOURCE 200809L
#endif

#include "file_map.h"

#include <errno.h>
#include <string.h>

#if defined(__unix__) || defined(__APPLE__)

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static trn_status fail(trn_error *error, const char *path, const char *what, int code) {
    return trn_fail(error, TRN_IO, TRN_NOWHERE, path, "", "%s: %s", what, strerror(code));
}

trn_status trn_file_map(const char *path, void **map, size_t *size, trn_error *error) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return fail(error, path, "cannot open it", errno);
    // Not by fstat: its name in glibc is of 2021, and a wheel that asks for it installs on no older system.
    const off_t end = lseek(file, 0, SEEK_END);
    char byte;
    int code = 0;
    void *address = MAP_FAILED;
    if (end < 0 || read(file, &byte, 1) < 0) code = errno;  // of a pipe, then of a directory
    else if (end == 0) trn_fail(error, TRN_NOT_A_MODEL, 0, path, "", "the file is empty");
    else if ((address = mmap(NULL, (size_t)end, PROT_READ, MAP_PRIVATE, file, 0)) == MAP_FAILED) code = errno;
    close(file);  // the map keeps the file
    if (code) return fail(error, path, "cannot read it", code);
    if (address == MAP_FAILED) return TRN_NOT_A_MODEL;
    *map = address;
    *size = (size_t)end;
    return TRN_OK;
}

void trn_file_unmap(void *map, size_t size) { munmap(map, size); }

#else

#include <stdio.h>
#include <stdlib.h>

trn_status trn_file_map(const char *path, void **map, size_t *size, trn_error *error) {
    FILE *file = fopen(path, "rb");
    if (!file) return trn_fail(error, TRN_IO, TRN_NOWHERE, path, "", "cannot open it: %s", strerror(errno));
    long end = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *memory = end > 0 ? malloc((size_t)end) : NULL;  // at least 16-byte aligned; weights want 8
    size_t got = 0;
    if (memory && fseek(file, 0, SEEK_SET) == 0) got = fread(memory, 1, (size_t)end, file);
    fclose(file);
    if (end == 0) return trn_fail(error, TRN_NOT_A_MODEL, 0, path, "", "the file is empty");
    if (end > 0 && !memory)
        return trn_fail(error, TRN_OUT_OF_MEMORY, TRN_NOWHERE, path, "", "no memory for the file, %ld bytes", end);
    if (end < 0 || got != (size_t)end) {
        free(memory);
        return trn_fail(error, TRN_IO, TRN_NOWHERE, path, "", "cannot read it");
    }
    *map = memory;
    *size = (size_t)end;
    return TRN_OK;
}

void trn_file_unmap(void *map, size_t size) {
    (void)size;
    free(map);
}

#endif
