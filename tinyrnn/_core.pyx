# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""The only boundary to C: tables, handles, buffers, release of the GIL, status to exception."""

from cpython.buffer cimport PyBUF_FULL, PyBUF_FULL_RO, PyBUF_SIMPLE, PyBuffer_IsContiguous, PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_Clear
from libc.stdint cimport INT64_MAX, UINT64_MAX, int32_t, int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

import os
from _thread import allocate_lock

from tinyrnn import errors
from tinyrnn.errors import ArgumentError, BusyError, ShapeError, TinyRNNError

include "_engine.pxi"
include "_buffers.pxi"

cdef enum:
    # Below about 20 microseconds, handing the GIL over costs more than the step; so much work takes about that long.
    RELEASE_WORK = 200000
    # What a model keeps for its next run, over all shapes: planned streams, and bytes in them.
    POOL_SIZE = 8
    POOL_BYTES = 1 << 26

cdef class Stream

MAGIC = trn_table_magic
FORMAT_VERSION = (trn_table_version[0], trn_table_version[1])
NONE = TRN_NONE
LIBRARY_VERSION = trn_version().decode()


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


cdef class Model:
    """A model's handle: immutable, shared by its streams, safe to use from any number of threads."""

    cdef trn_model *handle
    cdef trn_model_info info
    cdef void *copy
    # An array: out of a plain one the garbage collector takes the bytes away while the model still reads them. A cycle through
    # the object that has them is not found.
    cdef Py_buffer view[1]
    cdef object __weakref__
    cdef readonly object path  # absolute, or None for a model opened from bytes
    cdef Names inputs_, outputs_
    cdef list pool             # (key, plan), the most recently used last
    cdef object lock

    def __cinit__(self, source, bint verify=False):
        cdef uint32_t flags = TRN_OPEN_VERIFY if verify else 0
        self.pool = []
        self.lock = allocate_lock()
        if isinstance(source, (str, os.PathLike)):
            self.path = os.path.abspath(os.fspath(source))
            self.open_file(os.fsencode(source), flags)
        else:
            self.open_bytes(source, flags)
        trn_model_info_get(self.handle, &self.info)
        self.inputs_ = names_of(self.handle, self.info.input_count, trn_model_input)
        self.outputs_ = names_of(self.handle, self.info.output_count, trn_model_output)

    def __dealloc__(self):
        trn_model_close(self.handle)
        free(self.copy)
        PyBuffer_Release(self.view)

    cdef int open_file(self, bytes name, uint32_t flags) except -1:
        cdef trn_error error
        cdef trn_status status
        cdef const char *c_name = name
        if b"\0" in name:
            raise ArgumentError("a path cannot hold a NUL character")
        with nogil:
            status = trn_model_open_file(c_name, flags, &self.handle, &error)
        if status == TRN_IO:
            open(self.path, "rb").close()  # raises what Python would: FileNotFoundError, PermissionError, ...
        if status != TRN_OK:
            raise failure(status, &error, os.fspath(self.path))
        return 0

    cdef int open_bytes(self, object source, uint32_t flags) except -1:
        cdef trn_error error
        cdef trn_status status
        cdef const void *data
        cdef Py_ssize_t size
        if PyObject_GetBuffer(source, self.view, PyBUF_SIMPLE) < 0:
            PyErr_Clear()
            raise ArgumentError(f"expected a path or the bytes of a .trnn file, found {type(source).__name__}")
        data, size = self.view[0].buf, self.view[0].len
        if <uintptr_t>data % 64:  # kernels read whole cache lines of weights at full speed
            self.copy = malloc(size + 64)
            if self.copy == NULL:
                raise MemoryError(f"{size} bytes for a model")
            data = <const void *>((<uintptr_t>self.copy + 63) // 64 * 64)
            memcpy(<void *>data, self.view[0].buf, size)
            PyBuffer_Release(self.view)
        with nogil:
            status = trn_model_open(data, size, flags, &self.handle, &error)
        if status != TRN_OK:
            raise failure(status, &error, "")
        return 0

    def _bytes(self):
        """Return the bytes of the file, for pickling."""
        if self.copy != NULL:
            return PyBytes_FromStringAndSize(<char *>((<uintptr_t>self.copy + 63) // 64 * 64), self.info.file_size)
        if self.path is None:
            return PyBytes_FromStringAndSize(<char *>self.view[0].buf, self.info.file_size)
        with open(self.path, "rb") as file:
            content = file.read()
        sums = self.info.structure_checksum.to_bytes(4, "little") + self.info.weights_checksum.to_bytes(4, "little")
        if <uint64_t>len(content) != self.info.file_size or content[8:16] != sums:
            raise TinyRNNError(f"{self.path} has changed since the model was loaded, so it cannot be pickled")
        return content

    def _describe(self):
        """Return what trn_model_info_get says, as a dict, with the names of the symbols."""
        cdef trn_model_info *info = &self.info
        symbols = [text(trn_model_symbol(self.handle, i)) for i in range(info.symbol_count)]
        return {
            "streamable": bool(info.streamable), "reason": text(info.reason), "symbols": symbols,
            "time": symbols[info.time_symbol] if info.time_symbol != TRN_NONE else None,
            "batch": symbols[info.batch_symbol] if info.batch_symbol != TRN_NONE else None,
            "operators": info.operator_count, "file_size": info.file_size, "isa": text(trn_model_isa(self.handle)),
            "structure_size": info.structure_size, "weights_size": info.weights_size,
        }

    def _metadata(self):
        cdef const char *value
        cdef const char *key
        result = {}
        for i in range(self.info.metadata_count):
            key = trn_model_metadata(self.handle, i, &value)
            result[text(key)] = text(value)
        return result

    def _ports(self, kind):
        """Return (name, dtype, dims, time axis, batch axis, state) of each "input", "output" or "state"."""
        cdef trn_port_info port
        cdef describe get = trn_model_state
        cdef uint32_t i, count = self.info.state_count
        if kind == "input":
            get, count = trn_model_input, self.info.input_count
        elif kind == "output":
            get, count = trn_model_output, self.info.output_count
        rows = []
        for i in range(count):
            get(self.handle, i, &port)
            dims = []
            for axis in range(port.rank):
                if port.symbols[axis] != TRN_NONE:
                    dims.append(text(trn_model_symbol(self.handle, port.symbols[axis])))
                else:
                    dims.append(port.dims[axis] if port.dims[axis] >= 0 else None)
            state = port.state if port.state != TRN_NONE else None
            rows.append((text(port.name), DTYPE_NAMES[port.dtype], tuple(dims), port.time_axis, port.batch_axis, state))
        return rows

    def _memory(self, int64_t batch, symbols, bint whole):
        """Return (state, plan, arena, total) bytes of a stream with these options."""
        cdef trn_stream_options options
        cdef trn_memory_info info
        cdef trn_error error
        cdef int64_t *values = symbol_values(self, symbols or ())
        cdef size_t total
        cdef trn_status status
        memset(&options, 0, sizeof(options))
        options.batch_size, options.symbols, options.whole = batch, values if symbols else NULL, whole
        status = trn_stream_memory(self.handle, &options, &info, &error)
        if status == TRN_OK:
            status = trn_stream_size(self.handle, &options, &total, &error)
        free(values)
        if status != TRN_OK:
            raise failure(status, &error, "")
        return info.state, info.plan, info.arena, total

    def run(self, x=None, *more, out=None):
        """Run a whole sequence from the initial state, in ONNX's own layouts; nothing is left behind.

        Parameters
        ----------
        x : array, tuple of arrays, or dict of arrays by input name
            The inputs, in graph order without those that are tied to a state; a dict may give these too. The exact
            type of the input; an array that is not C-contiguous is copied. Further inputs may be further arguments.
        out : array, tuple or dict of arrays, optional
            Where to write the outputs: C-contiguous and writable.

        Returns
        -------
        array, tuple of arrays or dict of arrays by output name
            For a dict a dict of every output; else the one output that does not show a state, or a tuple of them.

        Raises
        ------
        ShapeError
            A shape does not fit the model or another input.
        ArgumentError
            A name or a type is not what the model declares.
        IndexRangeError
            An index in the data is out of range.
        """
        cdef list given = gather(self.inputs_, x, more)
        cdef tuple key = self.shapes_of(given)
        cdef Stream plan = self.borrow(key)
        try:
            return plan.sequence(given, isinstance(x, dict), out)
        finally:
            self.give_back(key, plan)

    cdef tuple shapes_of(self, list given):
        # Also replaces what is not contiguous by a copy that is.
        cdef Py_buffer view
        cdef Py_ssize_t i
        shapes = []
        for i in range(len(given)):
            if given[i] is None:
                shapes.append(None)
                continue
            given[i] = take_any(given[i], &view, self.inputs_, i)
            shapes.append(shape_of(&view))
            PyBuffer_Release(&view)
        return tuple(shapes)

    cdef Stream borrow(self, tuple key):
        cdef Py_ssize_t i
        with self.lock:
            for i in range(len(self.pool) - 1, -1, -1):
                if self.pool[i][0] == key:
                    return self.pool.pop(i)[1]
        return Stream(self, 1, 0, self.bind(key), True)

    cdef int give_back(self, tuple key, Stream plan) except -1:
        cdef size_t kept
        with self.lock:
            self.pool.append((key, plan))
            kept = sum([(<Stream>row[1]).size for row in self.pool])
            while self.pool and (len(self.pool) > POOL_SIZE or kept > POOL_BYTES):
                kept -= (<Stream>self.pool.pop(0)[1]).size
        return 0

    cdef list bind(self, tuple shapes):
        """Read the values of the symbols off the shapes of the inputs."""
        cdef int64_t dims[TRN_MAX_RANK]
        cdef trn_error error
        cdef trn_status status = TRN_OK
        cdef int64_t *values = symbol_values(self, [-1] * self.info.symbol_count)
        cdef uint32_t i, axis
        try:
            for i in range(self.info.input_count):
                if shapes[i] is None:
                    continue
                if len(shapes[i]) > TRN_MAX_RANK:
                    raise ShapeError(f"input '{self.inputs_.names[i]}': at most {TRN_MAX_RANK} axes, found {len(shapes[i])}")
                for axis in range(len(shapes[i])):
                    dims[axis] = shapes[i][axis]
                status = trn_model_bind(self.handle, i, len(shapes[i]), dims, values, &error)
                if status != TRN_OK:
                    raise failure(status, &error, "")
            # Only tied states that were left out can hold a symbol that is still open: they start from one row.
            return [values[i] if values[i] >= 0 else 1 for i in range(self.info.symbol_count)]
        finally:
            free(values)


cdef int64_t *symbol_values(Model model, symbols) except NULL:
    cdef int64_t *values = <int64_t *>calloc(model.info.symbol_count + 1, sizeof(int64_t))
    if values == NULL:
        raise MemoryError()
    for i, value in enumerate(symbols):
        values[i] = value
    return values


include "_stream.pxi"
include "_bound.pxi"
