// SPDX-License-Identifier: Apache-2.0
// elementwise: a small program of functions over broadcast inputs, a tile of elements at a time.
//
// Every input and every function of the program has a register: a tile of float32 or int64. float32 tensors with
// contiguous elements are read, and the last function writes, in place of a register.
#include <math.h>

#include "strided.h"

#define TILE  256
#define WORDS 6  // attributes an instruction: function, three sources, alpha, beta

typedef struct instruction {
    const trn_function_row *row;
    uint32_t source[3];
    float alpha, beta;
} instruction;

typedef struct elementwise_plan {
    trn_nest nest;  // operands: y, then the inputs
    int64_t tile;   // elements of the last axis at once: up to TILE, so that all tiles are nearly the same
    uint32_t inputs, length;
    int64_t *strides;  // behind this struct, then the program: what needs the widest alignment comes first
    instruction *program;
} elementwise_plan;

static uint32_t program_length(const trn_record_operator *record) { return record->attribute_count / WORDS; }

static int is_float(uint8_t dtype) {
    return dtype == trn_dtype_F32 || dtype == trn_dtype_F64 || dtype == trn_dtype_F16;
}

static trn_status check_instruction(const trn_file *file, const trn_record_operator *record, uint32_t i, char *classes,
                                    trn_error *error) {
    uint32_t at = i * WORDS, inputs = record->input_count;
    const trn_function_row *row = trn_function_row_of(trn_integer(file, record, at));
    TRN_CHECK_REQUIRE(file, record, error, row, "program", "function %lld is unknown",
                      (long long)trn_integer(file, record, at));
    for (uint32_t k = 0; k < 3; k++) {
        int64_t source = trn_integer(file, record, at + 1 + k);
        TRN_CHECK_REQUIRE(file, record, error, source >= 0 && source < (k < row->inputs ? inputs + i : 1u), "program",
                          "source %u of function %u is %lld", k, i, (long long)source);
        TRN_CHECK_REQUIRE(file, record, error, k >= row->inputs || classes[source] == row->from, "program",
                          "source %u of %s has the wrong class", k, row->name);
    }
    classes[inputs + i] = row->to;
    return TRN_OK;
}

static trn_status check(const trn_file *file, const trn_record_operator *record, trn_error *error) {
    const trn_record_tensor *y = trn_output_record(file, record, trn_out_elementwise_y);
    char classes[TRN_LIMIT_REGISTERS + 1];
    uint32_t length = program_length(record);
    TRN_CHECK_REQUIRE(file, record, error,
                      record->attribute_count % WORDS == 0 && length > 0 && record->input_count > 0 &&
                          length + record->input_count <= TRN_LIMIT_REGISTERS,
                      "program", "found %u inputs and %u attributes", record->input_count, record->attribute_count);
    for (uint32_t i = 0; i < record->input_count; i++) {
        const trn_record_tensor *x = trn_input_record(file, record, i);
        TRN_CHECK_REQUIRE(file, record, error, x->rank == y->rank, "x", "input %u has rank %u, y has %u", i, x->rank,
                          y->rank);
        classes[i] = is_float(x->dtype) ? 'f' : 'i';
    }
    for (uint32_t i = 0; i < length; i++) {
        trn_status status = check_instruction(file, record, i, classes, error);
        if (status != TRN_OK) return status;
    }
    TRN_CHECK_REQUIRE(file, record, error,
                      classes[record->input_count + length - 1] == (is_float(y->dtype) ? 'f' : 'i'), "y",
                      "its dtype does not fit the last function");
    return TRN_OK;
}

static size_t extra_size(const trn_record_operator *record) {
    return program_length(record) * sizeof(instruction) + (record->input_count + 1u) * TRN_MAX_RANK * sizeof(int64_t);
}

static trn_status prepare(trn_op *op, trn_error *error) {
    elementwise_plan *p = op->plan;
    const trn_view *y = trn_output(op, trn_out_elementwise_y);
    const int64_t *rows[TRN_LIMIT_REGISTERS + 1] = {y->strides};
    p->inputs = op->record->input_count;
    p->length = program_length(op->record);
    for (uint32_t i = 0; i < p->inputs; i++) {
        const trn_view *x = trn_input(op, i);
        for (uint32_t k = 0; k < y->rank; k++)
            TRN_OP_REQUIRE(op, error, x->dims[k] == y->dims[k], "x", "dimension %u of input %u is %lld, of y %lld", k,
                           i, (long long)x->dims[k], (long long)y->dims[k]);
        rows[1 + i] = x->strides;
    }
    p->strides = (int64_t *)(void *)(p + 1);
    p->program = (instruction *)(void *)(p->strides + (size_t)(p->inputs + 1) * TRN_MAX_RANK);
    trn_nest_sort(&p->nest, y->rank, y->dims, p->inputs + 1, rows, p->strides);
    int64_t width = p->nest.dims[p->nest.rank - 1], tiles = (width + TILE - 1) / TILE;
    p->tile = tiles > 0 ? trn_round16((width + tiles - 1) / tiles) : 0;
    for (uint32_t i = 0; i < p->length; i++) {
        instruction *to = &p->program[i];
        to->row = trn_function_row_of(trn_integer(op->file, op->record, i * WORDS));
        for (uint32_t k = 0; k < 3; k++) to->source[k] = (uint32_t)trn_integer(op->file, op->record, i * WORDS + 1 + k);
        to->alpha = trn_float(op->file, op->record, i * WORDS + 4);
        to->beta = trn_float(op->file, op->record, i * WORDS + 5);
    }
    op->workspace_size = (size_t)(p->inputs + p->length) * (size_t)p->tile * sizeof(int64_t);
    op->work = 4 * (double)p->nest.count * p->length;
    return TRN_OK;
}

static float half_to_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023, bits;
    float f;
    if (exponent == 0) {  // zero and the half's own subnormals, which are normal in float32
        f = (float)fraction * 0x1p-24f;
        return sign ? -f : f;
    }
    bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// Nearest even; too large gives infinity.
static uint16_t float_to_half(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t size = bits & 0x7fffffff;
    if (size > 0x7f800000) return sign | 0x7e00;
    if (size >= 0x477ff000) return sign | 0x7c00;
    if (size < 0x33000001) return sign;  // at most half of the smallest subnormal
    uint32_t shift = size < 0x38800000 ? 126 - (size >> 23) : 13;
    uint32_t fraction = size < 0x38800000 ? (size & 0x7fffff) | 0x800000 : size - 0x38000000;
    uint32_t result = fraction >> shift, rest = fraction & ((1u << shift) - 1), half = 1u << (shift - 1);
    return (uint16_t)(sign | (result + (rest > half || (rest == half && (result & 1)))));
}

#define LOAD(type, register_type, expression)           \
    do {                                                \
        const type *from = (const type *)data + offset; \
        for (size_t i = 0; i < n; i++) {                \
            type v = from[(int64_t)i * stride];         \
            ((register_type *)to)[i] = (expression);    \
        }                                               \
        return to;                                      \
    } while (0)

// The same element n times; a loop without strides is one that compilers vectorise.
static const void *spread(float value, size_t n, float *to) {
    for (size_t i = 0; i < n; i++) to[i] = value;
    return to;
}

// n elements of a tensor into the register `to`, or where they lie already.
static const void *load(uint8_t dtype, const void *data, int64_t offset, int64_t stride, size_t n, void *to) {
    switch (dtype) {
    case trn_dtype_F32:
        if (stride == 1) return (const float *)data + offset;
        if (stride == 0) return spread(((const float *)data)[offset], n, to);
        LOAD(float, float, v);
    case trn_dtype_F64:
        LOAD(double, float, (float)v);
    case trn_dtype_F16:
        LOAD(uint16_t, float, half_to_float(v));
    case trn_dtype_I64:
        LOAD(int64_t, int64_t, v);
    case trn_dtype_I32:
        LOAD(int32_t, int64_t, v);
    case trn_dtype_I8:
        LOAD(int8_t, int64_t, v);
    case trn_dtype_BOOL:
        LOAD(uint8_t, int64_t, v != 0);
    default:
        LOAD(uint8_t, int64_t, v);
    }
}

#define STORE(type, register_type, expression)                  \
    do {                                                        \
        type *to = (type *)data + offset;                       \
        for (size_t i = 0; i < n; i++) {                        \
            register_type v = ((const register_type *)from)[i]; \
            to[(int64_t)i * stride] = (type)(expression);       \
        }                                                       \
        return;                                                 \
    } while (0)

static void store(uint8_t dtype, void *data, int64_t offset, int64_t stride, size_t n, const void *from) {
    switch (dtype) {
    case trn_dtype_F32:
        STORE(float, float, v);
    case trn_dtype_F64:
        STORE(double, float, v);
    case trn_dtype_F16:
        STORE(uint16_t, float, float_to_half(v));
    case trn_dtype_I64:
        STORE(int64_t, int64_t, v);
    case trn_dtype_I32:
        STORE(int32_t, int64_t, (uint32_t)(uint64_t)v);
    case trn_dtype_I8:
        STORE(int8_t, int64_t, (uint8_t)(uint64_t)v);
    case trn_dtype_BOOL:
        STORE(uint8_t, int64_t, v != 0);
    default:
        STORE(uint8_t, int64_t, (uint8_t)(uint64_t)v);
    }
}

static int64_t float_to_int(float v) {
    if (v >= 0x1p63f) return INT64_MAX;
    if (v < -0x1p63f) return INT64_MIN;
    return v == v ? (int64_t)v : 0;
}

static int64_t modulo(int64_t a, int64_t b, int floored) {
    if (b == 0 || b == -1) return 0;
    int64_t r = a % b;
    return floored && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static int64_t divide(int64_t a, int64_t b) {
    if (b == 0) return 0;
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static int64_t shift_left(int64_t a, int64_t b) { return b < 0 || b > 63 ? 0 : (int64_t)((uint64_t)a << b); }

// What C leaves open for negative numbers is done on their complement.
static int64_t shift_right(int64_t a, int64_t b) {
    int64_t n = b < 0 || b > 63 ? 63 : b;
    return a < 0 ? ~(~a >> n) : a >> n;
}

// The functions that test floats.
static void run_test(const instruction *f, size_t n, const float *a, const float *b, int64_t *y) {
#define EACH(expression)                                \
    for (size_t i = 0; i < n; i++) y[i] = (expression); \
    return
    switch (f->row->value) {
    case trn_fn_F_TO_I:
        EACH(float_to_int(a[i]));
    case trn_fn_F_TO_BOOL:
        EACH(a[i] != 0);
    case trn_fn_EQUAL:
        EACH(a[i] == b[i]);
    case trn_fn_LESS:
        EACH(a[i] < b[i]);
    case trn_fn_LESS_EQUAL:
        EACH(a[i] <= b[i]);
    case trn_fn_IS_NAN:
        EACH(a[i] != a[i]);
    default:  // IS_INF
        EACH((f->alpha == 1 && a[i] == INFINITY) || (f->beta == 1 && a[i] == -INFINITY));
    }
#undef EACH
}

// The functions that work on integers; unsigned arithmetic wraps.
static void run_integer(const trn_function_row *row, size_t n, const void *a_register, const void *b_register,
                        void *y_register) {
    const int64_t *a = a_register, *b = b_register;
    int64_t *y = y_register;
#define EACH(expression)                                \
    for (size_t i = 0; i < n; i++) y[i] = (expression); \
    return
    switch (row->value) {
    case trn_fn_I_IDENTITY:
        EACH(a[i]);
    case trn_fn_I_ADD:
        EACH((int64_t)((uint64_t)a[i] + (uint64_t)b[i]));
    case trn_fn_I_SUB:
        EACH((int64_t)((uint64_t)a[i] - (uint64_t)b[i]));
    case trn_fn_I_MUL:
        EACH((int64_t)((uint64_t)a[i] * (uint64_t)b[i]));
    case trn_fn_I_DIV:
        EACH(divide(a[i], b[i]));
    case trn_fn_I_MIN:
        EACH(a[i] < b[i] ? a[i] : b[i]);
    case trn_fn_I_MAX:
        EACH(a[i] > b[i] ? a[i] : b[i]);
    case trn_fn_I_NEG:
        EACH((int64_t)(0 - (uint64_t)a[i]));
    case trn_fn_I_ABS:
        EACH(a[i] < 0 ? (int64_t)(0 - (uint64_t)a[i]) : a[i]);
    case trn_fn_I_MOD:
        EACH(modulo(a[i], b[i], 1));
    case trn_fn_I_FMOD:
        EACH(modulo(a[i], b[i], 0));
    case trn_fn_I_AND:
        EACH(a[i] != 0 && b[i] != 0);
    case trn_fn_I_OR:
        EACH(a[i] != 0 || b[i] != 0);
    case trn_fn_I_XOR:
        EACH((a[i] != 0) != (b[i] != 0));
    case trn_fn_I_NOT:
        EACH(a[i] == 0);
    case trn_fn_I_SIGN:
        EACH((a[i] > 0) - (a[i] < 0));
    case trn_fn_I_EQUAL:
        EACH(a[i] == b[i]);
    case trn_fn_I_LESS:
        EACH(a[i] < b[i]);
    case trn_fn_I_LESS_EQUAL:
        EACH(a[i] <= b[i]);
    case trn_fn_I_BIT_AND:
        EACH((int64_t)((uint64_t)a[i] & (uint64_t)b[i]));
    case trn_fn_I_SHIFT_LEFT:
        EACH(shift_left(a[i], b[i]));
    case trn_fn_I_SHIFT_RIGHT:
        EACH(shift_right(a[i], b[i]));
    case trn_fn_I_TO_BOOL:
        EACH(a[i] != 0);
    default:  // I_TO_F
        for (size_t i = 0; i < n; i++) ((float *)y_register)[i] = (float)a[i];
    }
#undef EACH
}

static void choose_floats(size_t n, const float *condition, const float *a, const float *b, float *y) {
    for (size_t i = 0; i < n; i++) y[i] = condition[i] != 0 ? a[i] : b[i];
}

static void choose_integers(size_t n, const int64_t *condition, const int64_t *a, const int64_t *b, int64_t *y) {
    for (size_t i = 0; i < n; i++) y[i] = condition[i] != 0 ? a[i] : b[i];
}

// One tile: n elements from these offsets of y and the inputs.
static void run_tile(const trn_op *op, const elementwise_plan *p, const int64_t *offsets, const int64_t *strides,
                     int64_t done, size_t n) {
    const trn_view *y = trn_output(op, trn_out_elementwise_y);
    const void *registers[TRN_LIMIT_REGISTERS];
    int64_t *memory = op->workspace;
    for (uint32_t i = 0; i < p->inputs; i++, memory += p->tile) {
        const trn_view *x = trn_input(op, i);
        registers[i] = load(x->dtype, x->data, offsets[1 + i] + done * strides[1 + i], strides[1 + i], n, memory);
    }
    int64_t to = offsets[0] + done * strides[0];
    int direct = y->dtype == trn_dtype_F32 && strides[0] == 1;
    for (uint32_t i = 0; i < p->length; i++, memory += p->tile) {
        const instruction *f = &p->program[i];
        void *target = i + 1 == p->length && direct ? (void *)((float *)y->data + to) : memory;
        const void *a = registers[f->source[0]], *b = registers[f->source[1]];
        if (f->row->value == trn_fn_WHERE) choose_floats(n, a, b, registers[f->source[2]], target);
        else if (f->row->value == trn_fn_I_WHERE) choose_integers(n, a, b, registers[f->source[2]], target);
        else if (f->row->from == 'i') run_integer(f->row, n, a, b, target);
        else if (f->row->to == 'i') run_test(f, n, a, b, target);
        else if (f->row->inputs == 1) op->ukernels->f32_vmap(f->row->value, n, a, f->alpha, f->beta, target);
        else op->ukernels->f32_vmap2(f->row->value, n, a, b, target);
        registers[p->inputs + i] = target;
    }
    if (!direct) store(y->dtype, y->data, to, strides[0], n, registers[p->inputs + p->length - 1]);
}

static trn_status run(const trn_op *op, trn_error *error) {
    (void)error;
    const elementwise_plan *p = op->plan;
    const int64_t *last = p->strides + (size_t)(p->nest.rank - 1) * p->nest.operands;
    int64_t index[TRN_MAX_RANK] = {0}, offsets[TRN_LIMIT_REGISTERS + 1], width = p->nest.dims[p->nest.rank - 1];
    if (p->nest.count == 0) return TRN_OK;
    memset(offsets, 0, (size_t)p->nest.operands * sizeof *offsets);
    do {
        for (int64_t done = 0; done < width; done += p->tile)
            run_tile(op, p, offsets, last, done, (size_t)(width - done < p->tile ? width - done : p->tile));
    } while (trn_nest_next(&p->nest, p->strides, 1, index, offsets));
    return TRN_OK;
}

const trn_op_class trn_op_class_elementwise = {
    .check = check, .plan_size = sizeof(elementwise_plan), .extra_size = extra_size, .prepare = prepare, .run = run};
