# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False
"""The only boundary to C: tables, handles, buffers, release of the GIL, status to exception."""

from libc.stdint cimport int64_t, uint32_t


cdef extern from "tables.h":
    ctypedef struct trn_table_row:
        const char *table
        const char *owner
        const char *name
        const char *text[3]
        const char *doc
        int64_t number[2]
    const trn_table_row trn_table_rows[]
    const int trn_table_row_count
    const uint32_t trn_table_magic


cdef extern from "tinyrnn.h":
    const int TRN_VERSION_MAJOR
    const int TRN_VERSION_MINOR
    const uint32_t TRN_NONE


def table_rows():
    """Return the rows of the C tables: (table, owner, name, (text, text, text), doc, (number, number)) each."""
    cdef const trn_table_row *row
    cdef int i
    rows = []
    for i in range(trn_table_row_count):
        row = &trn_table_rows[i]
        rows.append((
            row.table.decode(), row.owner.decode(), row.name.decode(),
            (row.text[0].decode(), row.text[1].decode(), row.text[2].decode()),
            row.doc.decode(), (row.number[0], row.number[1]),
        ))
    return rows


MAGIC = trn_table_magic
FORMAT_VERSION = (TRN_VERSION_MAJOR, TRN_VERSION_MINOR)
NONE = TRN_NONE
