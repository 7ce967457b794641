# SPDX-License-Identifier: Apache-2.0
# The declarations of tinyrnn.h and tables.h that _core uses, and the exception of a status.


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
    const int trn_table_version[2]


cdef extern from "format.h":
    int trn_dtype_F32, trn_dtype_F64, trn_dtype_F16, trn_dtype_I64, trn_dtype_I32, trn_dtype_I8, trn_dtype_U8, trn_dtype_BOOL


cdef extern from "tinyrnn.h" nogil:
    enum:
        TRN_OPEN_VERIFY
        TRN_MAX_RANK
    const uint32_t TRN_NONE
    ctypedef enum trn_status:
        TRN_OK
        TRN_IO
    ctypedef struct trn_error:
        trn_status status
        uint64_t byte_offset
        char node[96]
        char field[32]
        char message[256]
    ctypedef struct trn_model:
        pass
    ctypedef struct trn_stream:
        pass
    ctypedef struct trn_stream_options:
        int64_t batch_size
        int64_t block_steps
        const int64_t *symbols
        int whole
    ctypedef struct trn_model_info:
        uint32_t input_count, output_count, state_count, symbol_count, metadata_count, operator_count
        uint32_t time_symbol, batch_symbol
        int streamable
        const char *reason
        uint64_t file_size, structure_size, weights_size
        uint32_t structure_checksum, weights_checksum
    ctypedef struct trn_port_info:
        const char *name
        uint32_t dtype, rank
        int64_t dims[TRN_MAX_RANK]
        uint32_t symbols[TRN_MAX_RANK]
        int32_t time_axis, batch_axis
        uint32_t state
    ctypedef struct trn_memory_info:
        size_t state, plan, arena

    const char *trn_version()
    const char *trn_status_name(trn_status status)
    const char *trn_status_message(trn_status status)
    trn_status trn_model_open(const void *data, size_t size, uint32_t flags, trn_model **model, trn_error *error)
    trn_status trn_model_open_file(const char *path, uint32_t flags, trn_model **model, trn_error *error)
    void trn_model_close(trn_model *model)
    const char *trn_model_isa(const trn_model *model)
    void trn_model_info_get(const trn_model *model, trn_model_info *info)
    trn_status trn_model_input(const trn_model *model, uint32_t i, trn_port_info *info)
    trn_status trn_model_output(const trn_model *model, uint32_t i, trn_port_info *info)
    trn_status trn_model_state(const trn_model *model, uint32_t i, trn_port_info *info)
    const char *trn_model_symbol(const trn_model *model, uint32_t i)
    const char *trn_model_metadata(const trn_model *model, uint32_t i, const char **value)
    trn_status trn_model_bind(const trn_model *model, uint32_t i, uint32_t rank, const int64_t *dims, int64_t *values,
                              trn_error *error)
    trn_status trn_stream_size(const trn_model *model, const trn_stream_options *options, size_t *size, trn_error *error)
    trn_status trn_stream_memory(const trn_model *model, const trn_stream_options *options, trn_memory_info *info,
                                 trn_error *error)
    trn_status trn_stream_init(const trn_model *model, const trn_stream_options *options, void *memory, size_t size,
                               trn_stream **stream, trn_error *error)
    trn_status trn_stream_step(trn_stream *stream, const void *const *inputs, void *const *outputs)
    trn_status trn_stream_run(trn_stream *stream, const void *const *inputs, void *const *outputs, int64_t steps)
    const trn_error *trn_stream_error(const trn_stream *stream)
    trn_status trn_stream_reset(trn_stream *stream)
    trn_status trn_stream_reset_rows(trn_stream *stream, const int64_t *rows, size_t row_count)
    size_t trn_stream_saved_size(const trn_stream *stream)
    trn_status trn_stream_save(trn_stream *stream, void *bytes, size_t size)
    trn_status trn_stream_restore(trn_stream *stream, const void *bytes, size_t size)
    trn_status trn_stream_state_get(trn_stream *stream, uint32_t state, float *values, size_t count)
    trn_status trn_stream_state_set(trn_stream *stream, uint32_t state, const float *values, size_t count)
    trn_status trn_stream_input_shape(const trn_stream *stream, uint32_t i, int64_t steps, uint32_t *rank, int64_t *dims)
    trn_status trn_stream_output_shape(const trn_stream *stream, uint32_t i, int64_t steps, uint32_t *rank, int64_t *dims)
    trn_status trn_stream_state_shape(const trn_stream *stream, uint32_t i, uint32_t *rank, int64_t *dims)
    uint64_t trn_stream_work(const trn_stream *stream)

ctypedef trn_status (*describe)(const trn_model *, uint32_t, trn_port_info *) noexcept nogil


cdef str text(const char *string):
    # Names come from files: any bytes are possible, and those of an error may be cut inside a character.
    return string.decode("utf-8", "replace") if string != NULL else ""


cdef object failure(trn_status status, const trn_error *error, str subject):
    """Return the exception for a status: the class of its row, a message with the place."""
    import builtins
    cdef str name = text(trn_status_name(status))
    cdef int i
    kind = TinyRNNError
    for i in range(trn_table_row_count):
        if trn_table_rows[i].table == b"status" and trn_table_rows[i].number[0] == <int>status:
            chosen = text(trn_table_rows[i].text[0])
            kind = getattr(errors, chosen, None) or getattr(builtins, chosen, TinyRNNError)
    if error == NULL or error.status != status:
        return kind(": ".join(part for part in (subject, text(trn_status_message(status))) if part))
    node, field = text(error.node), text(error.field)
    place = ", ".join(part for part in (f"'{node}'" if node else "", field) if part)
    message = ": ".join(part for part in (subject, place, text(error.message) or text(trn_status_message(status))) if part)
    if error.byte_offset != UINT64_MAX:
        message += f" (at byte {error.byte_offset})"
    exception = kind(message)
    if isinstance(exception, TinyRNNError):
        exception.status, exception.node, exception.field = name, node, field
        exception.byte_offset = error.byte_offset if error.byte_offset != UINT64_MAX else None
    return exception
