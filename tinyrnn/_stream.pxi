# SPDX-License-Identifier: Apache-2.0
# Streams: a step with hand-taken buffers, sequences, state. Included by _core.pyx behind Model.


cdef class Stream:
    """The state of one sequence, or of a batch of them in lockstep, as it goes by: one thread at a time."""

    cdef trn_stream *handle
    cdef void *memory      # the handle lies in it
    cdef size_t size
    cdef readonly Model model
    cdef Port *ports       # inputs, then outputs
    cdef void **pointers   # likewise; NULL where absent
    cdef Py_buffer *views  # in the order taken
    cdef int taken, input_count, output_count, busy
    cdef int single, single_output, decider
    cdef bint whole, timed, release
    cdef int64_t whole_steps
    cdef tuple options
    cdef list shapes       # by form, by output

    def __cinit__(self, Model model, batch=1, int64_t block=0, symbols=None, bint whole=False):
        if type(batch) is bool or not hasattr(batch, "__index__") or batch < 1:
            raise ArgumentError(f"batch: expected a positive integer, found {batch!r}")
        if block < 0:
            raise ArgumentError(f"block: expected a positive integer, found {block!r}")
        self.model, self.whole, self.options = model, whole, (batch, block, symbols)
        self.timed = model.info.time_symbol != TRN_NONE
        if whole or not self.waits():
            self.begin()

    cdef bint waits(self):
        """Whether a dimension is open that only the first frame can tell."""
        cdef trn_model_info *info = &self.model.info
        symbols = self.options[2] or [-1] * info.symbol_count
        known = (info.time_symbol, info.batch_symbol)
        waiting = any(value < 0 and i not in known for i, value in enumerate(symbols))
        return waiting and info.streamable and (self.options[0] == 1 or info.batch_symbol != TRN_NONE)

    cdef int begin(self) except -1:
        cdef trn_stream_options options
        cdef int64_t *values = symbol_values(self.model, self.options[2] or ())
        memset(&options, 0, sizeof(options))
        options.batch_size, options.block_steps, options.whole = self.options[0], self.options[1], self.whole
        options.symbols = values if self.options[2] else NULL
        self.whole_steps = values[self.model.info.time_symbol] if self.timed else 1
        try:
            self.make(&options)
        finally:
            free(values)
        self.release = trn_stream_work(self.handle) > RELEASE_WORK
        self.describe()
        return 0

    cdef int begin_with(self, list given, bint sequences) except -1:
        """Read the open dimensions off the inputs of the first call."""
        cdef trn_error error
        cdef trn_status status
        cdef trn_port_info info
        cdef int64_t dims[TRN_MAX_RANK]
        cdef int64_t *values = symbol_values(self.model, [-1] * self.model.info.symbol_count)
        cdef uint32_t i, axis
        try:
            for i in range(self.model.info.input_count):
                if given[i] is None:
                    continue
                trn_model_input(self.model.handle, i, &info)
                shape = full_shape(given[i], &info, sequences and not self.timed and info.state == TRN_NONE)
                for axis in range(len(shape)):
                    dims[axis] = shape[axis]
                status = trn_model_bind(self.model.handle, i, len(shape), dims, values, &error)
                if status != TRN_OK:
                    raise failure(status, &error, "")
            named = self.options[2] or [-1] * self.model.info.symbol_count
            found = [max(named[i], values[i]) for i in range(self.model.info.symbol_count)]
        finally:
            free(values)
        before, self.options = self.options, (self.options[0], self.options[1], found)
        try:
            return self.begin()
        except BaseException:
            free(self.memory)
            self.memory, self.options = NULL, before
            raise

    cdef int ready(self) except -1:
        if self.handle == NULL:
            names = [text(trn_model_symbol(self.model.handle, i)) for i in range(self.model.info.symbol_count)]
            raise ShapeError(f"a dimension is not known before the first step: give sizes={{...}} to stream() for {names}")
        return 0

    def __dealloc__(self):
        free(self.memory)
        free(self.ports)
        free(self.pointers)
        free(self.views)

    cdef int make(self, trn_stream_options *options) except -1:
        cdef trn_error error
        cdef trn_status status
        cdef void *memory
        with nogil:
            status = trn_stream_size(self.model.handle, options, &self.size, &error)
        if status != TRN_OK:
            raise failure(status, &error, "")
        self.memory = malloc(self.size + 64)
        if self.memory == NULL:
            raise MemoryError(f"{self.size} bytes for a stream")
        memory = <void *>((<uintptr_t>self.memory + 63) // 64 * 64)
        with nogil:
            status = trn_stream_init(self.model.handle, options, memory, self.size, &self.handle, &error)
        if status != TRN_OK:
            raise failure(status, &error, "")
        return 0

    cdef int describe(self) except -1:
        cdef int i, count
        cdef Names inputs = self.model.inputs_, outputs = self.model.outputs_
        self.input_count, self.output_count = len(inputs.names), len(outputs.names)
        count = self.input_count + self.output_count
        self.ports = <Port *>calloc(count + 1, sizeof(Port))
        self.pointers = <void **>calloc(count + 1, sizeof(void *))
        self.views = <Py_buffer *>calloc(count + 1, sizeof(Py_buffer))
        if self.ports == NULL or self.pointers == NULL or self.views == NULL:
            raise MemoryError()
        for i in range(count):
            self.describe_port(i)
        self.single = inputs.plain[0] if len(inputs.plain) == 1 else -1
        self.single_output = outputs.plain[0] if len(outputs.plain) == 1 else -1
        timed = [i for i in inputs.plain if self.ports[<int>i].time_axis >= 0]
        self.decider = (timed or inputs.plain or [-1])[0]
        self.shapes = [[shape_in_form(&self.ports[self.input_count + i], form) for i in range(self.output_count)]
                       for form in range(SQUEEZED + 1)]
        return 0

    cdef int describe_port(self, int i) except -1:
        cdef trn_port_info info
        cdef uint32_t rank
        cdef int64_t steps = self.whole_steps if self.whole else 1
        cdef Port *port = &self.ports[i]
        cdef int output = i - self.input_count
        if output < 0:
            trn_model_input(self.model.handle, i, &info)
            trn_stream_input_shape(self.handle, i, steps, &rank, port.dims)
        else:
            trn_model_output(self.model.handle, output, &info)
            trn_stream_output_shape(self.handle, output, steps, &rank, port.dims)
        port.rank, port.time_axis, port.batch_axis = rank, info.time_axis, info.batch_axis
        port.dtype, port.state = info.dtype, info.state
        return set_code(port, DTYPE_NAMES[info.dtype])

    def step(self, x=None, *more, out=None):
        """Run one step and carry the state on.

        Parameters
        ----------
        x : array, tuple of arrays, or dict of arrays by input name
            Any C-contiguous buffers of exactly the input's type, of the input's shape without its time axis:
            ``(batch, features)``; ``(features,)`` too for one row; the ONNX shape with time 1 as well. Nothing is
            copied. Several inputs: in graph order, as further arguments or one tuple, or a dict, which may also
            give states.
        out : writable buffer, tuple or dict of them, optional
            Where to write the outputs. With it a step makes no array and does not need NumPy.

        Returns
        -------
        array, tuple of arrays, or dict of arrays by output name
            ``out`` if given; else fresh arrays in the form (with or without time and batch axis) of the input.

        Raises
        ------
        ArgumentError, ShapeError
            A name, a type, a layout or a shape is not what the message says was expected.
        IndexRangeError
            An index in the data is out of range.
        BusyError
            Another thread is inside this stream.
        """
        if trn_enter(&self.busy):
            raise occupied()
        try:
            return self.one_step(x, more, out)
        finally:
            self.leave()

    cdef object one_step(self, object x, tuple more, object out):
        out = self.take_step(x, more, out)
        self.run_step(self.pointers)
        return out

    cdef int run_step(self, void **pointers) except -1:
        cdef trn_status status
        if self.release:
            with nogil:
                status = trn_stream_step(self.handle, <const void **>pointers, pointers + self.input_count)
        else:
            status = trn_stream_step(self.handle, <const void **>pointers, pointers + self.input_count)
        if status != TRN_OK:
            raise failure(status, trn_stream_error(self.handle), "")
        return 0

    cdef object take_step(self, object x, tuple more, object out):
        """Take the buffers of a step; return what it returns."""
        cdef int form
        cdef bint named = isinstance(x, dict)
        if self.handle == NULL:
            self.begin_with(gather(self.model.inputs_, x, more), False)
        memset(self.pointers, 0, (self.input_count + self.output_count) * sizeof(void *))
        if self.single >= 0 and not named and not more and not isinstance(x, tuple):
            form = self.take(self.single, x, PyBUF_FULL_RO)
        else:
            form = self.take_frames(gather(self.model.inputs_, x, more))
        if out is None:
            return self.fresh(self.shapes[form], named, False)
        self.take_outputs(out, None)
        return out

    def bind(self, x=None, *more, out=None):
        """Return a step that takes no arguments: write the input in place, call it, read the output in place.

        Parameters
        ----------
        x, out
            As in `step`. The arrays are held, and cannot be resized, as long as the result lives; without `out` fresh
            ones are made.

        Returns
        -------
        BoundStep
            Called, it runs one step and returns its `out`.

        Raises
        ------
        ArgumentError, ShapeError
            As in `step`.
        BusyError
            Another thread is inside this stream.
        """
        cdef BoundStep bound = BoundStep.__new__(BoundStep)
        if trn_enter(&self.busy):
            raise occupied()
        try:
            bound.out = self.take_step(x, more, out)
            bound.hold(self)
        finally:
            self.leave()
        return bound

    cdef int take_frames(self, list given) except -1:
        cdef int i, form, chosen = SHORT
        for i in range(self.input_count):
            if given[i] is not None:
                form = self.take(i, given[i], PyBUF_FULL_RO)
                if i == self.decider:
                    chosen = form
        return chosen

    cdef int take(self, int i, object x, int flags) except -1:
        """Take the buffer of a step for an input or output; return the form of its shape."""
        cdef Port *port = &self.ports[i]
        cdef Py_buffer *view = &self.views[self.taken]
        cdef int form
        if PyObject_GetBuffer(x, view, flags) < 0:
            PyErr_Clear()
            raise no_buffer(x, self.what(i), self.expected(i), flags == PyBUF_FULL)
        self.taken += 1
        if not fits_type(port, view):
            raise ArgumentError(f"{self.what(i)}: expected {self.expected(i)}; found {found_type(view)}")
        if not PyBuffer_IsContiguous(view, b"C"):
            raise ArgumentError(f"{self.what(i)}: expected {self.expected(i)}; found one that is not C-contiguous")
        if <uintptr_t>view.buf % <size_t>port.itemsize:
            raise ArgumentError(f"{self.what(i)}: expected {self.expected(i)}; found one that is not aligned")
        form = form_of(port, view)
        if form < 0:
            raise ShapeError(f"{self.what(i)}: expected {self.expected(i)}; found shape {shape_of(view)}")
        self.point(i, view)
        return form

    cdef inline void point(self, int i, Py_buffer *view) noexcept:
        # An empty buffer may have no address; the engine takes NULL for an absent one.
        self.pointers[i] = view.buf if view.buf != NULL else <void *>&self.busy

    cdef str what(self, int i):
        cdef Names ports = self.model.inputs_ if i < self.input_count else self.model.outputs_
        return f"{ports.kind} '{ports.names[i if i < self.input_count else i - self.input_count]}'"

    cdef str expected(self, int i):
        cdef Port *port = &self.ports[i]
        shapes = [shape_in_form(port, SHORT)]
        if port.batch_axis >= 0 and port.dims[port.batch_axis] == 1:
            shapes.append(shape_in_form(port, SQUEEZED))
        if port.time_axis >= 0:
            shapes.append(shape_in_form(port, FULL))
        return f"C-contiguous {DTYPE_NAMES[port.dtype]} of shape {' or '.join(str(shape) for shape in shapes)}"

    cdef object fresh(self, list shapes, bint named, bint everything):
        """Make the outputs; return them as the caller gets them."""
        cdef int i
        need_numpy()
        if self.single_output >= 0 and not named:
            return self.fresh_one(self.single_output, shapes)
        names = self.model.outputs_.names
        wanted = range(self.output_count) if everything else self.model.outputs_.plain
        if named:
            return {names[i]: self.fresh_one(i, shapes) for i in wanted}
        return tuple([self.fresh_one(i, shapes) for i in self.model.outputs_.plain])

    cdef object fresh_one(self, int i, list shapes):
        cdef Py_buffer *view = &self.views[self.taken]
        array = numpy_empty(shapes[i], numpy_dtypes[self.ports[self.input_count + i].dtype])
        if PyObject_GetBuffer(array, view, PyBUF_FULL) < 0:
            PyErr_Clear()
            raise TinyRNNError("numpy.empty gave no writable buffer")
        self.taken += 1
        self.point(self.input_count + i, view)
        return array

    cdef int take_outputs(self, object out, list shapes) except -1:
        """Take the caller's memory for outputs: of a step when shapes is None, else of exactly these shapes."""
        cdef int i, first = self.taken
        if self.single_output >= 0 and not isinstance(out, (dict, tuple)):
            self.take_output(self.single_output, out, shapes)
        else:
            given = gather(self.model.outputs_, out, ())
            for i in range(self.output_count):
                if given[i] is not None:
                    self.take_output(i, given[i], shapes)
        for i in range(first, self.taken):
            self.check_overlap(i)
        return 0

    cdef int take_output(self, int i, object out, list shapes) except -1:
        cdef Py_buffer *view = &self.views[self.taken]
        cdef int port = self.input_count + i
        if shapes is None:
            self.take(port, out, PyBUF_FULL)
            return 0
        wanted = f"C-contiguous {DTYPE_NAMES[self.ports[port].dtype]} of shape {shapes[i]}"
        if PyObject_GetBuffer(out, view, PyBUF_FULL) < 0:
            PyErr_Clear()
            raise no_buffer(out, self.what(port), wanted, True)
        self.taken += 1
        if not fits_type(&self.ports[port], view):
            raise ArgumentError(f"{self.what(port)}: expected {wanted}; found {found_type(view)}")
        if not PyBuffer_IsContiguous(view, b"C") or <uintptr_t>view.buf % <size_t>self.ports[port].itemsize:
            raise ArgumentError(f"{self.what(port)}: expected {wanted}; found one that is not C-contiguous")
        if shape_of(view) != shapes[i]:
            raise ShapeError(f"{self.what(port)}: expected {wanted}; found shape {shape_of(view)}")
        self.point(port, view)
        return 0

    cdef int check_overlap(self, int output) except -1:
        cdef uintptr_t start = <uintptr_t>self.views[output].buf, other
        cdef int i
        for i in range(output):
            other = <uintptr_t>self.views[i].buf
            if start < other + self.views[i].len and other < start + self.views[output].len:
                raise ArgumentError("out: an output overlaps an input or another output")
        return 0

    cdef void leave(self) noexcept:
        cdef int i
        for i in range(self.taken):
            PyBuffer_Release(&self.views[i])
        self.taken = 0
        trn_leave(&self.busy)

    def run(self, x=None, *more, out=None):
        """Run any number of steps in constant memory and carry the state on: the same bytes as single steps.

        Parameters
        ----------
        x : array, tuple of arrays, or dict of arrays by input name
            In ONNX's own layouts, of any number of steps; for a model without a time axis a stack of frames on a
            new first axis. The exact type of the input; what is not C-contiguous is copied.
        out : array, tuple or dict of arrays, optional
            Where to write the outputs.

        Returns
        -------
        array, tuple of arrays, or dict of arrays by output name
            ``out`` if given. Outputs without a time axis hold their value after the last step.

        Raises
        ------
        ArgumentError, ShapeError, IndexRangeError, BusyError
            As for `step`.
        """
        return self.sequence(gather(self.model.inputs_, x, more), isinstance(x, dict), out)

    cdef object sequence(self, list given, bint named, object out):
        cdef trn_status status
        cdef int64_t steps
        if trn_enter(&self.busy):
            raise occupied()
        try:
            if self.handle == NULL:
                self.begin_with(given, True)
            memset(self.pointers, 0, (self.input_count + self.output_count) * sizeof(void *))
            steps = self.take_sequences(given)
            shapes = [self.sequence_shape(self.input_count + i, steps) for i in range(self.output_count)]
            if out is None:
                out = self.fresh(shapes, named, self.whole)
            else:
                self.take_outputs(out, shapes)
            with nogil:
                status = trn_stream_run(self.handle, <const void **>self.pointers, self.pointers + self.input_count, steps)
            if status != TRN_OK:
                raise failure(status, trn_stream_error(self.handle), "")
            return out
        finally:
            self.leave()

    cdef int64_t take_sequences(self, list given) except -1:
        """Take the inputs of a run; return the number of steps that they hold."""
        cdef int64_t steps = self.whole_steps if self.whole else -1
        cdef int i, axis
        cdef Py_buffer *view
        taken = []
        for i in range(self.input_count):
            if given[i] is None:
                continue
            given[i] = take_any(given[i], &self.views[self.taken], self.model.inputs_, i)
            self.taken += 1
            taken.append(i)
        for i in ([] if self.whole else [self.decider] if self.decider >= 0 else []):
            view = &self.views[<int>taken.index(i)]
            axis = max(self.ports[i].time_axis, 0)
            if view.ndim == self.ports[i].rank + (not self.timed):
                steps = view.shape[axis]
            else:
                raise ShapeError(f"{self.what(i)}: expected shape {self.sequence_shape(i, -1)}; found {shape_of(view)}")
        if steps < 0:
            steps = 1
        for k, i in enumerate(taken):
            self.place_sequence(i, &self.views[<int>k], steps)
        return steps

    cdef int place_sequence(self, int i, Py_buffer *view, int64_t steps) except -1:
        expected = self.sequence_shape(i, steps)
        if shape_of(view) != expected:
            if i == self.decider and not self.whole:
                expected = self.sequence_shape(i, -1)
            raise ShapeError(f"{self.what(i)}: expected shape {expected}; found {shape_of(view)}")
        self.point(i, view)
        return 0

    cdef tuple sequence_shape(self, int i, int64_t steps):
        """Return the shape of a port for a run; with -1 the time axis by its name."""
        cdef int64_t dims[TRN_MAX_RANK]
        cdef uint32_t rank
        cdef int64_t asked = steps if steps >= 0 and self.timed else 1
        if self.whole:
            asked = self.whole_steps
        if i < self.input_count:
            trn_stream_input_shape(self.handle, i, asked, &rank, dims)
        else:
            trn_stream_output_shape(self.handle, i - self.input_count, asked, &rank, dims)
        shape = [dims[k] for k in range(rank)]
        time = "steps" if steps < 0 else steps
        # A state that a run starts from or leaves is one value, not one a step.
        if not self.timed and not self.whole and self.ports[i].state == TRN_NONE:
            return (time, *shape)
        if steps < 0 and self.ports[i].time_axis >= 0:
            shape[self.ports[i].time_axis] = time
        return tuple(shape)

    @property
    def batch(self):
        """The number of rows that run in lockstep."""
        return self.options[0]

    def reset(self, rows=None):
        """Go back to the initial state: every row, or those listed.

        Parameters
        ----------
        rows : iterable of int, optional
            Rows of the batch, from 0.
        """
        cdef int64_t *values
        cdef size_t count
        if self.handle == NULL:
            return  # it has not begun
        if rows is None:
            check(self, trn_stream_reset(self.handle))
            return
        listed = [rows] if hasattr(rows, "__index__") and not hasattr(rows, "__len__") else list(rows)
        for row in listed:
            if not hasattr(row, "__index__") or type(row) is bool or not 0 <= row < self.options[0]:
                raise ArgumentError(f"rows: expected integers from 0 to {self.options[0] - 1}, found {row!r}")
        count = len(listed)
        values = <int64_t *>malloc((count + 1) * sizeof(int64_t))
        if values == NULL:
            raise MemoryError()
        for i in range(count):
            values[i] = listed[i]
        status = trn_stream_reset_rows(self.handle, values, count)
        free(values)
        check(self, status)

    def save(self):
        """Return the state as bytes: for `restore` of any stream of this model with this batch, on any machine."""
        cdef size_t size
        cdef bytes saved
        self.ready()
        size = trn_stream_saved_size(self.handle)
        saved = PyBytes_FromStringAndSize(NULL, size)
        check(self, trn_stream_save(self.handle, PyBytes_AS_STRING(saved), size))
        return saved

    def restore(self, saved):
        """Take the state from what `save` returned.

        Raises
        ------
        StateError
            The bytes belong to another model or batch size or are damaged; nothing has changed.
        """
        cdef Py_buffer view
        self.ready()
        if PyObject_GetBuffer(saved, &view, PyBUF_SIMPLE) < 0:
            PyErr_Clear()
            raise ArgumentError(f"restore: expected bytes of save(), found {type(saved).__name__}")
        status = trn_stream_restore(self.handle, view.buf, view.len)
        PyBuffer_Release(&view)
        check(self, status)

    def clone(self):
        """Return another stream of the model that is in the same state."""
        other = type(self)(self.model, *self.options)
        if self.handle != NULL:
            other.restore(self.save())
        return other

    def _state_shape(self, uint32_t i):
        cdef int64_t dims[TRN_MAX_RANK]
        cdef uint32_t rank
        self.ready()
        check(self, trn_stream_state_shape(self.handle, i, &rank, dims))
        return tuple([dims[k] for k in range(rank)])

    def _state_get(self, uint32_t i):
        cdef Py_buffer view
        need_numpy()
        array = numpy_empty(self._state_shape(i), numpy_dtypes[trn_dtype_F32])
        if PyObject_GetBuffer(array, &view, PyBUF_FULL) < 0:
            PyErr_Clear()
            raise TinyRNNError("numpy.empty gave no writable buffer")
        status = trn_stream_state_get(self.handle, i, <float *>view.buf, view.len // sizeof(float))
        PyBuffer_Release(&view)
        check(self, status)
        return array

    def _state_set(self, uint32_t i, str name, x):
        cdef Py_buffer view
        cdef Names ports = Names()
        cdef tuple shape = self._state_shape(i), found
        cdef trn_status status = TRN_OK
        ports.kind, ports.names, ports.types = "state", (name,), [trn_dtype_F32]
        kept = take_any(x, &view, ports, 0)
        found = shape_of(&view)
        if found == shape:
            status = trn_stream_state_set(self.handle, i, <float *>view.buf, view.len // sizeof(float))
        PyBuffer_Release(&view)
        del kept
        if found != shape:
            raise ShapeError(f"state '{name}': expected shape {shape}; found {found}")
        check(self, status)


cdef tuple full_shape(object x, trn_port_info *info, bint stacked):
    """The ONNX shape of a frame, in whichever form it was given, or of one of a stack of frames."""
    cdef Py_buffer view
    if PyObject_GetBuffer(x, &view, PyBUF_FULL_RO) < 0:
        PyErr_Clear()
        return ()
    shape = list(shape_of(&view))
    PyBuffer_Release(&view)
    if stacked:
        shape = shape[1:]
    for axis in sorted(a for a in (info.time_axis, info.batch_axis) if a >= 0):
        # Without the time axis; for one row without the batch axis too.
        if len(shape) < info.rank and (axis == info.time_axis or len(shape) < info.rank - (info.time_axis >= 0)):
            shape.insert(axis, 1)
    return tuple(shape[:TRN_MAX_RANK])


cdef object occupied():
    return BusyError("another thread is inside this stream: give each thread a stream of its own")


cdef int check(Stream stream, trn_status status) except -1:
    if status != TRN_OK:
        raise failure(status, trn_stream_error(stream.handle), "")
    return 0
