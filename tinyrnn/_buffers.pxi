# SPDX-License-Identifier: Apache-2.0
# Buffers of callers: which types and shapes are accepted, and the words of the refusal.


cdef extern from "Python.h":
    # Declared without an exception value: the hot path asks for the result and turns a failure into words of its own.
    int PyObject_GetBuffer(object exporter, Py_buffer *view, int flags) noexcept

cdef extern from *:
    """
    static const uint16_t trn_endian_probe = 1;
    #define TRN_NATIVE_ORDER (*(const char *)&trn_endian_probe ? '<' : '>')
    #define trn_enter(busy) __atomic_exchange_n(busy, 1, __ATOMIC_ACQUIRE)
    #define trn_leave(busy) __atomic_store_n(busy, 0, __ATOMIC_RELEASE)
    """
    char TRN_NATIVE_ORDER
    int trn_enter(int *busy) nogil
    void trn_leave(int *busy) nogil


# The forms of a step's arrays: as ONNX declares them with time 1, without the time axis, without the batch axis too.
cdef enum:
    FULL = 0
    SHORT = 1
    SQUEEZED = 2

# What _core knows about an input or an output of a stream.
cdef struct Port:
    char code, other        # the format characters of its type
    Py_ssize_t itemsize
    int rank, time_axis, batch_axis
    uint32_t dtype, state
    int64_t dims[TRN_MAX_RANK]  # with time = 1

DTYPE_NAMES = {
    trn_dtype_F32: "float32", trn_dtype_F64: "float64", trn_dtype_F16: "float16", trn_dtype_I64: "int64",
    trn_dtype_I32: "int32", trn_dtype_I8: "int8", trn_dtype_U8: "uint8", trn_dtype_BOOL: "bool",
}
cdef dict CODES = {
    "float32": (b"f", b"f", 4), "float64": (b"d", b"d", 8), "float16": (b"e", b"e", 2), "int64": (b"q", b"l", 8),
    "int32": (b"i", b"l", 4), "int8": (b"b", b"b", 1), "uint8": (b"B", b"B", 1), "bool": (b"?", b"?", 1),
}

# Types that no input has, by format character, for messages.
cdef dict OTHERS = {
    "h": "int16", "H": "uint16", "I": "uint32", "L": "uint64", "Q": "uint64", "O": "object", "Zf": "complex64",
    "Zd": "complex128", "g": "longdouble", "c": "characters",
}

cdef object numpy = None
cdef object numpy_empty = None
cdef dict numpy_dtypes = None


cdef int need_numpy() except -1:
    # Imported when the first array has to be made: on a small machine it costs more than everything else here.
    global numpy, numpy_empty, numpy_dtypes
    if numpy_empty is None:
        import numpy as module
        numpy_dtypes = {value: module.dtype(name) for value, name in DTYPE_NAMES.items()}
        numpy = module
        numpy_empty = module.empty
    return 0


cdef class Names:
    """The names of a model's inputs or outputs, and which of them are not tied to a state."""
    cdef tuple names
    cdef dict index
    cdef list plain
    cdef list types
    cdef str kind


cdef Names names_of(const trn_model *model, uint32_t count, describe get):
    cdef trn_port_info port
    cdef uint32_t i
    cdef Names result = Names()
    names, result.plain, result.types = [], [], []
    for i in range(count):
        get(model, i, &port)
        names.append(text(port.name))
        result.types.append(port.dtype)
        if port.state == TRN_NONE:
            result.plain.append(i)
    if not result.plain and get == trn_model_output:
        result.plain = list(range(count))  # a model that computes nothing but its next state: that is its output
    result.kind = "input" if get == trn_model_input else "output"
    result.names = tuple(names)
    result.index = {name: i for i, name in enumerate(names)}
    return result


cdef object quoted(names):
    return ", ".join(f"'{name}'" for name in names) or "none"


cdef list gather(Names ports, object x, tuple more):
    """Return the arrays by port, None where absent: from a dict by name, or in graph order without the tied ones."""
    cdef list given = [None] * len(ports.names)
    if isinstance(x, dict) and not more:
        for name, value in (<dict>x).items():
            i = ports.index.get(name)
            if i is None:
                raise ArgumentError(f"there is no {ports.kind} '{name}'; the {ports.kind}s are {quoted(ports.names)}")
            given[i] = value
        missing = [ports.names[i] for i in ports.plain if given[i] is None]
        if missing:
            raise ArgumentError(f"missing {ports.kind}: {quoted(missing)}")
        return given
    arrays = more if x is None and not more else (x, *more)
    if len(arrays) == 1 and (isinstance(x, tuple) or isinstance(x, list) and len(ports.plain) != 1):
        arrays = tuple(x)
    if len(arrays) != len(ports.plain):
        wanted = quoted(ports.names[i] for i in ports.plain)
        raise ArgumentError(f"expected {len(ports.plain)} {ports.kind}(s), {wanted}; found {len(arrays)}")
    for i, value in zip(ports.plain, arrays):
        given[i] = value
    return given


cdef tuple shape_of(const Py_buffer *view):
    return tuple([view.shape[i] for i in range(view.ndim)])


cdef inline bint fits_type(const Port *port, const Py_buffer *view) noexcept nogil:
    cdef const char *format = view.format
    if format == NULL:
        return port.code == b"B"
    if format[0] == b"@" or format[0] == b"=" or format[0] == TRN_NATIVE_ORDER:
        format += 1
    return (format[0] == port.code or format[0] == port.other) and format[1] == 0 and view.itemsize == port.itemsize


cdef inline int form_of(const Port *port, const Py_buffer *view) noexcept nogil:
    """Return the form that a shape has, -1 when it fits none."""
    cdef int form = FULL, dropped = port.rank - view.ndim, axis, k = view.ndim
    if dropped:
        form = SHORT if dropped == 1 and port.time_axis >= 0 else SQUEEZED
        if dropped != (port.time_axis >= 0) + (form == SQUEEZED):
            return -1
        if form == SQUEEZED and (port.batch_axis < 0 or port.dims[port.batch_axis] != 1):
            return -1
    for axis in range(port.rank - 1, -1, -1):
        if form != FULL and axis == port.time_axis or form == SQUEEZED and axis == port.batch_axis:
            continue
        k -= 1
        if view.shape[k] != port.dims[axis]:
            return -1
    return form


cdef tuple shape_in_form(const Port *port, int form):
    return tuple([port.dims[i] for i in range(port.rank)
                  if not (form != FULL and i == port.time_axis or form == SQUEEZED and i == port.batch_axis)])


cdef str found_type(const Py_buffer *view):
    cdef str format = view.format.decode() if view.format != NULL else "B"
    cdef str native = format.lstrip("@=" + chr(TRN_NATIVE_ORDER))
    for name, (code, other, size) in CODES.items():
        if native in (code.decode(), other.decode()) and view.itemsize == size:
            return name
    if format[:1] in "<>!" and format[1:] != native:
        return f"{'little' if format[0] == '<' else 'big'}-endian elements ('{format}')"
    return OTHERS.get(native) or f"elements of format '{format}'"


cdef object no_buffer(object x, str what, str expected, bint writable):
    if isinstance(x, TinyRNNError):
        return x
    return ArgumentError(f"{what}: expected a {'writable ' if writable else ''}buffer of {expected}, "
                         f"found {type(x).__name__}{' that is not one' if hasattr(x, '__array__') else ''}")


cdef object take_any(object x, Py_buffer *view, Names ports, Py_ssize_t i):
    """Take a readable C-contiguous buffer of the declared type, from a copy where x is none; return its exporter."""
    cdef str what = f"{ports.kind} '{ports.names[i]}'"
    cdef str dtype = DTYPE_NAMES[ports.types[i]]
    cdef Port port
    if PyObject_GetBuffer(x, view, PyBUF_FULL_RO) < 0:
        PyErr_Clear()
        need_numpy()
        x = numpy.asarray(x)
        if PyObject_GetBuffer(x, view, PyBUF_FULL_RO) < 0:
            PyErr_Clear()
            raise ArgumentError(f"{what}: expected an array of {dtype}, found {type(x).__name__} of {x.dtype}")
    set_code(&port, dtype)
    # A state is carried as float32, whatever float type the ONNX graph had for it.
    if ports.kind == "input" and i not in ports.plain and view.format != NULL and view.format in (b"e", b"d"):
        PyBuffer_Release(view)
        need_numpy()
        x = numpy.asarray(x).astype("float32")
        PyObject_GetBuffer(x, view, PyBUF_FULL_RO)
    if not fits_type(&port, view):
        found = found_type(view)
        PyBuffer_Release(view)
        raise ArgumentError(f"{what}: expected {dtype}, found {found}")
    if PyBuffer_IsContiguous(view, b"C") and <uintptr_t>view.buf % <size_t>port.itemsize == 0:
        return x
    need_numpy()
    copied = numpy.array(x, order="C", copy=True)
    PyBuffer_Release(view)
    if PyObject_GetBuffer(copied, view, PyBUF_FULL_RO) < 0:
        PyErr_Clear()
        raise ArgumentError(f"{what}: expected an array of {dtype}, found {type(x).__name__}")
    return copied


cdef int set_code(Port *port, str dtype) except -1:
    code, other, port.itemsize = CODES[dtype]
    port.code, port.other = (<bytes>code)[0], (<bytes>other)[0]
    return 0
