# SPDX-License-Identifier: Apache-2.0
# Steps on arrays that stay the same. Included by _core.pyx behind the streams.


cdef class BoundStep:
    """A step of a stream on arrays that stay the same; made by `Stream.bind`.

    Attributes
    ----------
    stream : Stream
        What it advances.
    out : array, tuple or dict of arrays
        Where the outputs are after a call.
    """

    cdef readonly Stream stream
    cdef readonly object out
    cdef void **pointers
    cdef Py_buffer *views
    cdef int taken

    cdef int hold(self, Stream stream) except -1:
        """Take over the buffers that the stream has just taken."""
        cdef int ports = stream.input_count + stream.output_count
        self.pointers = <void **>calloc(ports + 1, sizeof(void *))
        self.views = <Py_buffer *>calloc(stream.taken + 1, sizeof(Py_buffer))
        if self.pointers == NULL or self.views == NULL:
            raise MemoryError()
        memcpy(self.pointers, stream.pointers, ports * sizeof(void *))
        memcpy(self.views, stream.views, stream.taken * sizeof(Py_buffer))
        self.stream, self.taken, stream.taken = stream, stream.taken, 0
        return 0

    def __call__(self):
        cdef Stream stream = self.stream
        if stream is None:
            raise TypeError("a BoundStep is made by Stream.bind")
        if trn_enter(&stream.busy):
            raise occupied()
        try:
            stream.run_step(self.pointers)
        finally:
            trn_leave(&stream.busy)
        return self.out

    def __dealloc__(self):
        cdef int i
        for i in range(self.taken):
            PyBuffer_Release(&self.views[i])
        free(self.pointers)
        free(self.views)
