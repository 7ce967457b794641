// SPDX-License-Identifier: Apache-2.0
// The rows of status.def, format.def, ops.def and isa.def as data, for Python.
#ifndef TINYRNN_TABLES_H
#define TINYRNN_TABLES_H

#include <stdint.h>

// One row. Unused texts are "", unused numbers 0.
typedef struct trn_table_row {
    const char *table;  // "status", "limit", "enum", "record", "field", "section", "operator", "input", "output", ...
    const char *owner;  // what the row belongs to: its enumeration, record or operator
    const char *name;
    const char *text[3];  // type or record name, need, layout, shape ...: by table, see tables.c
    const char *doc;
    int64_t number[2];  // value; or offset and size
} trn_table_row;

extern const trn_table_row trn_table_rows[];
extern const int trn_table_row_count;
extern const uint32_t trn_table_magic;
extern const int trn_table_version[2];

#endif
