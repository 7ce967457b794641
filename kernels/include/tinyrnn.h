// SPDX-License-Identifier: Apache-2.0
// tinyrnn: runs a trained recurrent network (.trnn, made by `tinyrnn convert` from ONNX) a frame at a time.
//
//     trn_model *model;
//     trn_stream *stream;
//     if (trn_model_open_file("vad.trnn", 0, &model, NULL) == TRN_OK &&
//         trn_stream_new(model, NULL, &stream, NULL) == TRN_OK)
//         while (read_frame(x)) trn_stream_step(stream, (const void *[]){x}, (void *[]){y});
//
// A model is immutable and shared: any number of threads may use it at once. A stream is the state of one sequence (or
// of a batch of them in lockstep) as it goes by: one thread at a time. A step allocates nothing, takes no lock and
// prints nothing. The library never prints and never aborts.
//
// 1. Status and errors   2. Models   3. Streams: the simple calls   4. State   5. Describing a model   6. Advanced
#ifndef TINYRNN_H
#define TINYRNN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(TRN_SHARED) && defined(__GNUC__)
#define TRN_API __attribute__((visibility("default")))
#else
#define TRN_API
#endif

#define TRN_VERSION_MAJOR 0
#define TRN_VERSION_MINOR 1
#define TRN_VERSION_PATCH 0

/* ---- 1. Status and errors ------------------------------------------------------------------------------------- */

// What a call returns. Its other results are valid on TRN_OK only.
typedef enum trn_status {
#define TRN_STATUS(name, value, message, python) TRN_##name = value,
#include "tinyrnn/status.def"
} trn_status;

// Where and why a call failed. Every string is NUL-terminated and cut to fit.
typedef struct trn_error {
    trn_status status;
    uint64_t byte_offset;  // of the record in the file, or UINT64_MAX when the error has no such place
    char node[96];         // operator, input, output, state or section concerned, or empty
    char field[32];        // field, operand or attribute concerned, or empty
    char message[256];     // what was found, what was expected
} trn_error;

// "0.1.0". Static memory.
TRN_API const char *trn_version(void);
// The name ("SHAPE") and the sentence of status.def for a status, "UNKNOWN" for a value that is none. Static memory.
TRN_API const char *trn_status_name(trn_status status);
TRN_API const char *trn_status_message(trn_status status);

/* ---- 2. Models ------------------------------------------------------------------------------------------------- */

typedef struct trn_model trn_model;

enum {
    TRN_OPEN_VERIFY = 1,  // also check the checksum of the weights: reads the whole file once
};

// Opens a model whose bytes the caller keeps, unchanged, at `data` (8-byte aligned; 64 for full speed) until
// trn_model_close: flash, a resource, a memory map. Nothing is copied but the structure (a few kilobytes).
// Everything in the file is checked here; the weights' bytes are only read while running, in bounds whatever they hold.
// error may be NULL. Returns OUT_OF_MEMORY, NOT_A_MODEL, VERSION, TRUNCATED, CHECKSUM, MALFORMED, UNSUPPORTED, OVERFLOW,
// ARGUMENT, or ISA (TINYRNN_ISA names an instruction set that is not there).
TRN_API trn_status trn_model_open(const void *data, size_t size, uint32_t flags, trn_model **model, trn_error *error);
// The same from a file, by a read-only memory map (read into memory where there is none). Also returns IO.
// Whoever writes into the file meanwhile changes results, nothing else; whoever shortens it ends the process (SIGBUS), as
// with every map.
TRN_API trn_status trn_model_open_file(const char *path, uint32_t flags, trn_model **model, trn_error *error);
// Every stream of the model must be freed before. NULL is allowed.
TRN_API void trn_model_close(trn_model *model);
// "avx512", "avx2", "sse2", "neon", "dotprod", "scalar" or "portable": the instruction set this model's kernels were chosen for
// when it was opened. "sse2" and "portable" round products and sums apart: docs/arithmetic.md. Static memory.
TRN_API const char *trn_model_isa(const trn_model *model);

/* ---- 3. Streams: the simple calls ------------------------------------------------------------------------------ */

typedef struct trn_stream trn_stream;

typedef struct trn_stream_options {
    int64_t batch_size;      // rows in lockstep; 0 means 1. A model without a batch axis takes 1 only
    int64_t block_steps;     // steps that trn_stream_run computes at once (memory grows with it); 0 means 16
    const int64_t *symbols;  // NULL, or trn_model_symbol_count values; those of batch and time count only with `whole`
    int whole;               // 0: a stream. 1: trn_stream_run computes a whole sequence, of the sizes in `symbols` (batch
                             // and time too, 0 allowed), from the initial state: what a graph that looks at the
                             // future needs
} trn_stream_options;

// Bytes of memory a stream needs (about: its state, its arena, its plan). options NULL: one row, a stream.
// Returns SHAPE, NOT_STREAMABLE, OVERFLOW, OUT_OF_MEMORY (it plans on the heap and frees that), ARGUMENT.
TRN_API trn_status trn_stream_size(const trn_model *model, const trn_stream_options *options, size_t *size,
                                   trn_error *error);
// Makes a stream in the caller's memory: 64-byte aligned, `size` bytes, kept until the stream is no longer used; nothing
// else is allocated and nothing needs freeing. Also returns BUFFER_SIZE.
TRN_API trn_status trn_stream_init(const trn_model *model, const trn_stream_options *options, void *memory, size_t size,
                                   trn_stream **stream, trn_error *error);
// Makes a stream in memory of its own; free it with trn_stream_free.
TRN_API trn_status trn_stream_new(const trn_model *model, const trn_stream_options *options, trn_stream **stream,
                                  trn_error *error);
// For streams of trn_stream_new. NULL is allowed.
TRN_API void trn_stream_free(trn_stream *stream);

// One step. inputs[i]: the i-th input, C-contiguous, of the shape trn_stream_input_shape(stream, i, 1, ...) gives, i.e.
// the ONNX shape with time 1. An input that is a tied state may be NULL (the state goes on) or given (the state
// starts from it). outputs[i]: likewise, written; NULL is allowed for outputs that show a tied state. Buffers are
// aligned to their element size at least; an output must not overlap an input or another output.
// Returns BUSY when another thread is inside the stream, INDEX_RANGE, ARGUMENT (a required pointer is NULL; a stream made
// with `whole`).
TRN_API trn_status trn_stream_step(trn_stream *stream, const void *const *inputs, void *const *outputs);
// Any number of steps, in the ONNX layout with time = steps; constant memory, same bytes as single steps. Outputs
// without a time axis hold their value after the last step; 0 steps compute nothing and leave there the state that the
// output shows, else zeros. For a model without a time axis, inputs and outputs are stacks of `steps` frames on a new
// first axis (those of a state are one value, as for a step). A stream made with `whole` takes the number of steps it
// was made for (1 for a model without a time axis) and starts from the initial state.
TRN_API trn_status trn_stream_run(trn_stream *stream, const void *const *inputs, void *const *outputs, int64_t steps);
// What the last call that failed on this stream said.
TRN_API const trn_error *trn_stream_error(const trn_stream *stream);

/* ---- 4. State -------------------------------------------------------------------------------------------------- */

// Back to the initial state: every row, or the rows listed (each below batch_size).
TRN_API trn_status trn_stream_reset(trn_stream *stream);
TRN_API trn_status trn_stream_reset_rows(trn_stream *stream, const int64_t *rows, size_t row_count);
// Saved states carry a version, the model's checksums, the batch size, and float32 values in row-major order
// (docs/format.md); they do not depend on the instruction set. save writes exactly trn_stream_saved_size bytes. restore checks
// everything and changes nothing unless it returns OK; it returns STATE otherwise.
TRN_API size_t trn_stream_saved_size(const trn_stream *stream);
TRN_API trn_status trn_stream_save(trn_stream *stream, void *bytes, size_t size);
TRN_API trn_status trn_stream_restore(trn_stream *stream, const void *bytes, size_t size);
// The values of state i, [shape of trn_stream_state_shape] float32, row-major; count: its number of elements.
TRN_API trn_status trn_stream_state_get(trn_stream *stream, uint32_t state, float *values, size_t count);
TRN_API trn_status trn_stream_state_set(trn_stream *stream, uint32_t state, const float *values, size_t count);

/* ---- 5. Describing a model -------------------------------------------------------------------------------------- */

#define TRN_MAX_RANK 8
#define TRN_NONE UINT32_MAX

typedef struct trn_model_info {
    uint32_t input_count, output_count, state_count, symbol_count, metadata_count, operator_count;
    uint32_t time_symbol, batch_symbol;  // TRN_NONE when the model has none
    int streamable;                      // 1 when trn_stream_new without `whole` works
    const char *reason;                  // why not, or ""
    uint64_t file_size, structure_size, weights_size;  // bytes
    uint32_t structure_checksum, weights_checksum;
} trn_model_info;

// An input, an output or a state. Strings live as long as the model.
typedef struct trn_port_info {
    const char *name;
    uint32_t dtype;  // enumeration dtype of format.def
    uint32_t rank;
    int64_t dims[TRN_MAX_RANK];       // a constant, or -1 where it depends on symbols
    uint32_t symbols[TRN_MAX_RANK];   // the symbol that the dimension is, or TRN_NONE (a constant or an expression)
    int32_t time_axis, batch_axis;    // -1 when there is none
    uint32_t state;                   // ports: the tied state, or TRN_NONE. States: the input that starts it, or TRN_NONE
} trn_port_info;

TRN_API void trn_model_info_get(const trn_model *model, trn_model_info *info);
// i counts from 0; ARGUMENT when there is no such thing.
TRN_API trn_status trn_model_input(const trn_model *model, uint32_t i, trn_port_info *info);
TRN_API trn_status trn_model_output(const trn_model *model, uint32_t i, trn_port_info *info);
TRN_API trn_status trn_model_state(const trn_model *model, uint32_t i, trn_port_info *info);
// NULL when there is no such thing.
TRN_API const char *trn_model_symbol(const trn_model *model, uint32_t i);
TRN_API const char *trn_model_metadata(const trn_model *model, uint32_t i, const char **value);

// The shape of an input, output or state of this stream for a run of `steps` steps (states ignore it).
TRN_API trn_status trn_stream_input_shape(const trn_stream *stream, uint32_t i, int64_t steps, uint32_t *rank,
                                          int64_t dims[TRN_MAX_RANK]);
TRN_API trn_status trn_stream_output_shape(const trn_stream *stream, uint32_t i, int64_t steps, uint32_t *rank,
                                           int64_t dims[TRN_MAX_RANK]);
TRN_API trn_status trn_stream_state_shape(const trn_stream *stream, uint32_t i, uint32_t *rank,
                                          int64_t dims[TRN_MAX_RANK]);

/* ---- 6. Advanced ------------------------------------------------------------------------------------------------ */

// Bytes: what a stream of these options is made of. state + plan + arena = trn_stream_size (up to alignment).
typedef struct trn_memory_info {
    size_t state, plan, arena;
} trn_memory_info;
TRN_API trn_status trn_stream_memory(const trn_model *model, const trn_stream_options *options, trn_memory_info *info,
                                     trn_error *error);

// Reads symbols off the shape of input i. values: trn_model_symbol_count entries, -1 where still unknown; bound entries
// must agree. Returns SHAPE, saying what was expected. Call it for every input, then make a stream
// with whole = 1 and symbols = values.
TRN_API trn_status trn_model_bind(const trn_model *model, uint32_t i, uint32_t rank, const int64_t *dims, int64_t *values,
                                  trn_error *error);

// Multiply-adds of one step (of the whole sequence, with `whole`), each with a weight of 8 bits counted as a quarter, of 16 as
// a half: what decides whether a caller lets go of a lock around it.
TRN_API uint64_t trn_stream_work(const trn_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
