// SPDX-License-Identifier: Apache-2.0
// Dimensions, strides and arena offsets for given symbol values.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os")  // runs once a stream
#endif
#include "planner.h"

#define FOREVER   UINT32_MAX  // lifetime of what must outlive the last operator
#define UNPLACED  ((void *)UINTPTR_MAX)
#define MAX_HOLES 128  // free ranges of the arena that are remembered
// Of a tensor, of all of them: leaves room for sums and padding in int64_t and in size_t, whatever its width.
#define MAX_BYTES ((int64_t)(SIZE_MAX / 8 < INT64_MAX / 4 ? SIZE_MAX / 8 : INT64_MAX / 4))

void *trn_scratch_take(trn_scratch *scratch, int64_t count, size_t element_size) {
    int64_t bytes;
    if (!trn_mul(count, (int64_t)element_size, &bytes) || bytes > MAX_BYTES || scratch->used > (uint64_t)MAX_BYTES) {
        scratch->overflow = 1;
        return NULL;
    }
    void *address = scratch->base ? scratch->base + scratch->used : NULL;
    scratch->used += trn_align((size_t)bytes);
    return address;
}

static size_t plan_size_of(const trn_op_class *class, const trn_record_operator *record) {
    return class->plan_size + (class->extra_size ? class->extra_size(record) : 0);
}

// The fixed part, laid out: once with base NULL for its size, once for its addresses.
static void lay_out(trn_plan *plan, trn_scratch *scratch) {
    const trn_file *f = plan->file;
    plan->tensors = trn_scratch_take(scratch, (int64_t)f->tensors_count, sizeof(trn_view));
    plan->ops = trn_scratch_take(scratch, (int64_t)f->operators_count, sizeof(trn_op));
    for (uint64_t i = 0; i < f->operators_count; i++) {
        const trn_op_class *class = trn_op_class_of(f->operators[i].kind);
        void *memory = trn_scratch_take(scratch, 1, plan_size_of(class, &f->operators[i]));
        if (plan->ops) plan->ops[i].plan = memory;
    }
    plan->bindings = trn_scratch_take(scratch, (int64_t)f->tensors_count, sizeof(trn_binding));
    plan->values = trn_scratch_take(scratch, (int64_t)f->expressions_count, sizeof(int64_t));
    plan->lifetimes = trn_scratch_take(scratch, (int64_t)f->tensors_count, sizeof(uint32_t));
    plan->in_place = trn_scratch_take(scratch, (int64_t)f->ties_count, 1);
}

size_t trn_plan_size(const trn_file *file) {
    trn_plan plan = {.file = file};
    trn_scratch scratch = {0};
    lay_out(&plan, &scratch);
    return scratch.overflow ? 0 : scratch.used;
}

static int64_t dim_value(const trn_plan *plan, uint32_t dim) {
    const trn_record_dim *d = &plan->file->dims[dim];
    return d->expression == TRN_NONE ? d->value : plan->values[d->expression];
}

static const char *tensor_name(const trn_plan *plan, uint64_t tensor) {
    return trn_string(plan->file, plan->file->tensors[tensor].name);
}

// A branch by size has chosen its block before anything is planned.
static int takes_block(const trn_plan *plan, const trn_record_operator *branch, uint32_t attribute) {
    const trn_file *f = plan->file;
    if (!trn_integer(f, branch, trn_at_branch_by_size)) return 1;  // that is for the run to say
    const trn_record_tensor *condition = trn_input_record(f, branch, trn_in_branch_condition);
    int holds = 1;
    for (uint32_t k = 0; k < condition->rank; k++) holds &= dim_value(plan, condition->dims + k) > 0;
    return holds == (attribute == trn_at_branch_then_block);
}

// Operators in a block that will not run, and in the blocks of those, are left without a record: nothing of them is
// planned, since only the branch that was chosen has to make sense for these sizes.
static void choose_blocks(trn_plan *plan) {
    const trn_file *f = plan->file;
    for (uint64_t i = 0; i < f->operators_count; i++) plan->ops[i].record = &f->operators[i];
    for (uint64_t i = 0; i < f->operators_count; i++) {  // a block stands behind the branch that has it
        const trn_record_operator *op = &f->operators[i];
        for (uint32_t k = trn_at_branch_then_block; op->kind == trn_op_branch && k <= trn_at_branch_else_block; k++) {
            if (plan->ops[i].record && takes_block(plan, op, k)) continue;
            const trn_record_block *block = &f->blocks[trn_integer(f, op, k)];
            for (uint32_t n = 0; n < block->operator_count; n++) plan->ops[block->first_operator + n].record = NULL;
        }
    }
}

static uint32_t root_of(const trn_file *f, uint32_t tensor) {
    const trn_record_tensor *t = &f->tensors[tensor];
    return t->storage == trn_storage_VIEW ? t->root : tensor;
}

static void mark_operands(trn_plan *plan, uint32_t *used, int planned) {
    const trn_file *f = plan->file;
    for (uint64_t i = 0; i < f->operators_count; i++) {
        const trn_record_operator *op = &f->operators[i];
        if ((plan->ops[i].record != NULL) != planned) continue;
        for (uint32_t k = 0; k < (uint32_t)op->input_count + op->output_count; k++) {
            uint32_t tensor = f->operands[op->operands + k].tensor;
            if (tensor != TRN_NONE) used[tensor] = used[root_of(f, tensor)] = (uint32_t)planned;
        }
    }
}

// used[tensor]: whether it is of any use to this plan. One that only blocks left out would touch has no elements.
static void find_used(trn_plan *plan, uint32_t *used) {
    const trn_file *f = plan->file;
    for (uint64_t i = 0; i < f->tensors_count; i++) used[i] = 1;
    mark_operands(plan, used, 0);
    mark_operands(plan, used, 1);
    for (uint64_t i = 0; i < f->inputs_count; i++) used[f->inputs[i].tensor] = 1;
    for (uint64_t i = 0; i < f->outputs_count; i++) used[f->outputs[i].tensor] = 1;
    for (uint64_t i = 0; i < f->states_count; i++) {
        used[f->states[i].tensor] = 1;
        if (f->states[i].initial != TRN_NONE) used[f->states[i].initial] = 1;
    }
    for (uint64_t i = 0; i < f->ties_count; i++) {
        uint32_t source = f->ties[i].source, destination = f->ties[i].destination;
        used[source] = used[root_of(f, source)] = used[destination] = used[root_of(f, destination)] = 1;
    }
}

// dims of one tensor, and contiguous strides.
static trn_status size_tensor(trn_plan *plan, uint64_t i, trn_error *error) {
    const trn_record_tensor *t = &plan->file->tensors[i];
    trn_view *view = &plan->tensors[i];
    view->dtype = t->dtype;
    view->rank = t->rank;
    view->panel_width = t->panel_width;
    view->per_cell = (uint8_t)trn_per_cell(t->packing);
    int64_t n = 1;
    for (uint32_t k = t->rank; k-- > 0;) {
        view->dims[k] = dim_value(plan, t->dims + k);
        if (view->dims[k] < 0)
            return trn_fail(error, TRN_SHAPE, TRN_NOWHERE, tensor_name(plan, i), "dims", "dimension %u would be %lld",
                            k, (long long)view->dims[k]);
        view->strides[k] = n;
        int64_t size = k + 2u == t->rank ? trn_packed_rows(t->packing, view->dims[k]) : view->dims[k];
        if (!trn_mul(n, size > 0 ? size : 1, &n) || n > MAX_BYTES / 8)
            return trn_fail(error, TRN_OVERFLOW, TRN_NOWHERE, tensor_name(plan, i), "dims",
                            "the tensor would be too large to address");
    }
    if (t->packing != trn_packing_NONE && view->dims[t->rank - 1] % 16 != 0)
        return trn_fail(error, TRN_SHAPE, TRN_NOWHERE, tensor_name(plan, i), "dims",
                        "a packed matrix needs a multiple of 16 columns");
    return TRN_OK;
}

// Strides of a VIEW: no element may lie outside the root. Its offset, in elements, is left in data.
static trn_status size_view(trn_plan *plan, uint64_t i, trn_error *error) {
    const trn_record_tensor *t = &plan->file->tensors[i];
    trn_view *view = &plan->tensors[i];
    int64_t offset = dim_value(plan, t->view), low = offset, high = offset;
    int64_t root_elements = trn_view_elements(&plan->tensors[t->root]);
    int empty = 0, fits = offset >= 0;
    for (uint32_t k = 0; k < t->rank; k++) {
        int64_t reach, stride = dim_value(plan, t->view + 1 + k);
        // An axis of one element never moves: its stride is of no importance, and 0 keeps products small.
        view->strides[k] = view->dims[k] > 1 ? stride : 0;
        empty |= view->dims[k] == 0;
        if (view->dims[k] == 0) continue;
        fits = fits && trn_mul(view->dims[k] - 1, view->strides[k], &reach) &&
               trn_add(reach > 0 ? high : low, reach, reach > 0 ? &high : &low);
    }
    if (empty) {
        memset(view->strides, 0, sizeof view->strides);
        offset = 0;
    } else if (!fits || low < 0 || high >= root_elements) {
        return trn_fail(error, TRN_SHAPE, TRN_NOWHERE, tensor_name(plan, i), "view",
                        "it reaches outside the tensor %s, %lld elements", tensor_name(plan, t->root),
                        (long long)root_elements);
    }
    view->data = (void *)(uintptr_t)offset;
    return TRN_OK;
}

static trn_status size_tensors(trn_plan *plan, const int64_t *symbols, trn_error *error) {
    const trn_file *f = plan->file;
    for (uint32_t i = 0; i < f->expressions_count; i++)
        if (!trn_evaluate(f, i, symbols, &plan->values[i]))
            return trn_fail(error, TRN_OVERFLOW, TRN_NOWHERE, "expressions", "",
                            "expression %u has no value in 64 bits for these sizes", i);
    choose_blocks(plan);
    uint32_t *used = plan->lifetimes;  // which are found later
    find_used(plan, used);
    for (uint64_t i = 0; i < f->tensors_count; i++) {
        trn_status status = TRN_OK;
        if (used[i]) status = size_tensor(plan, i, error);
        else plan->tensors[i] = (trn_view){.dtype = f->tensors[i].dtype, .rank = f->tensors[i].rank};
        if (status != TRN_OK) return status;
    }
    for (uint64_t i = 0; i < f->tensors_count; i++) {
        if (f->tensors[i].storage != trn_storage_VIEW || !used[i]) continue;
        trn_status status = size_view(plan, i, error);
        if (status != TRN_OK) return status;
    }
    return TRN_OK;
}

// ops.def says which strides a kernel takes; checked here once for all operators.
static trn_status check_layout(const trn_plan *plan, const trn_record_operator *record, uint32_t k, trn_error *error) {
    const trn_file *f = plan->file;
    uint32_t tensor = f->operands[record->operands + k].tensor;
    if (tensor == TRN_NONE) return TRN_OK;
    int output = k >= record->input_count;
    const trn_operand_row *row = trn_operand_row_of(record->kind, output, output ? k - record->input_count : k);
    const trn_view *view = &plan->tensors[tensor];
    if (row->layout != trn_layout_rows || view->rank == 0 || trn_view_elements(view) == 0) return TRN_OK;
    if (view->dims[view->rank - 1] > 1 && view->strides[view->rank - 1] != 1)
        return trn_fail(error, TRN_SHAPE, TRN_NOWHERE, trn_string(f, record->name), row->name,
                        "its last axis must be contiguous, its stride is %lld",
                        (long long)view->strides[view->rank - 1]);
    return TRN_OK;
}

static trn_status check_layouts(const trn_plan *plan, trn_error *error) {
    for (uint64_t i = 0; i < plan->file->operators_count; i++) {
        const trn_record_operator *record = plan->ops[i].record;
        for (uint32_t k = 0; record && k < (uint32_t)record->input_count + record->output_count; k++) {
            trn_status status = check_layout(plan, record, k, error);
            if (status != TRN_OK) return status;
        }
    }
    return TRN_OK;
}

static trn_status prepare_operators(trn_plan *plan, const trn_ukernels *ukernels, size_t *workspace, trn_error *error) {
    const trn_file *f = plan->file;
    *workspace = 0;
    plan->work = 0;
    for (uint64_t i = 0; i < f->operators_count; i++) {
        const trn_record_operator *record = plan->ops[i].record;
        if (!record) continue;
        trn_op *op = &plan->ops[i];
        void *memory = op->plan;
        *op = (trn_op){.class = trn_op_class_of(record->kind),
                       .ukernels = ukernels,
                       .file = f,
                       .record = record,
                       .tensors = plan->tensors,
                       .ops = plan->ops,
                       .plan = memory};
        memset(op->plan, 0, plan_size_of(op->class, record));
        trn_status status = op->class->prepare(op, error);
        if (status != TRN_OK) return status;
        if (op->workspace_size > *workspace) *workspace = op->workspace_size;
        plan->work += op->work;
    }
    return TRN_OK;
}

// lifetimes[root] = the last operator that touches it or a view of it.
static void find_lifetimes(trn_plan *plan) {
    const trn_file *f = plan->file;
    for (uint64_t i = 0; i < f->tensors_count; i++) plan->lifetimes[i] = 0;
    for (uint32_t i = 0; i < f->operators_count; i++) {
        const trn_record_operator *op = &f->operators[i];
        for (uint32_t k = 0; k < (uint32_t)op->input_count + op->output_count; k++) {
            uint32_t tensor = f->operands[op->operands + k].tensor;
            // A block but the first runs while the operator of its branch does: its tensors are kept all along.
            if (tensor != TRN_NONE) plan->lifetimes[root_of(f, tensor)] = i < f->blocks[0].operator_count ? i : FOREVER;
        }
    }
    for (uint64_t i = 0; i < f->ties_count; i++) plan->lifetimes[root_of(f, f->ties[i].source)] = FOREVER;
    for (uint64_t i = 0; i < f->outputs_count; i++) plan->lifetimes[f->outputs[i].tensor] = FOREVER;
}

/* ---- States in place ------------------------------------------------------------------------------------------- */

// The elements of its root that a tensor touches: from low up to but without high.
static void reach_of(const trn_plan *plan, uint32_t tensor, int64_t *low, int64_t *high) {
    const trn_view *v = &plan->tensors[tensor];
    *low = plan->file->tensors[tensor].storage == trn_storage_VIEW ? (int64_t)(uintptr_t)v->data : 0;
    *high = *low + (trn_view_elements(v) > 0);
    for (uint32_t k = 0; k<v->rank && * high> * low; k++) {
        int64_t reach = (v->dims[k] - 1) * v->strides[k];
        *(reach > 0 ? high : low) += reach;
    }
}

// Whether a tensor touches elements of a root from low up to but without high.
static int meets(const trn_plan *plan, uint32_t tensor, uint32_t root, int64_t low, int64_t high) {
    int64_t from, to;
    if (tensor == TRN_NONE || root_of(plan->file, tensor) != root) return 0;
    reach_of(plan, tensor, &from, &to);
    return from < high && low < to;
}

// Whether a tensor has no gaps.
static int is_dense(const trn_view *v) {
    int64_t stride = 1;
    int dense = 1;
    for (uint32_t k = v->rank; dense && k-- > 0; stride *= v->dims[k]) dense = v->dims[k] <= 1 || v->strides[k] == stride;
    return dense;
}

static int may_fail(const trn_file *f, const trn_record_operator *op) {
    const trn_op_class *class = trn_op_class_of(op->kind);
    return class->may_fail && class->may_fail(f, op);
}

// Whether operator `writer` may write its operand `written`, which is the source of a tie or looks into it, where the state
// is: no other output is written to these elements of the source, no operator behind it reads these elements of the old
// state, and it reads them itself only as what it advances.
static int may_write(const trn_plan *plan, const trn_record_tie *tie, uint64_t writer, uint32_t written) {
    const trn_file *f = plan->file;
    const trn_record_operator *last = &f->operators[writer];
    const trn_op_class *class = trn_op_class_of(last->kind);
    const uint32_t state = root_of(f, tie->destination), output = f->operands[last->operands + written].tensor;
    int64_t low, high, from, to;
    reach_of(plan, tie->destination, &from, &to);
    reach_of(plan, output, &low, &high);
    if (!is_dense(&plan->tensors[output])) return 0;
    for (uint64_t i = 0; i < f->operators_count; i++) {
        const trn_record_operator *op = &f->operators[i];
        for (uint32_t k = 0; k < (uint32_t)op->input_count + op->output_count; k++) {
            const uint32_t tensor = f->operands[op->operands + k].tensor;
            const int same = i == writer && k == written;
            if (k >= op->input_count && !same && meets(plan, tensor, tie->source, low, high)) return 0;
            if (!meets(plan, tensor, state, from + low, from + high)) continue;
            if (i > writer || i >= f->blocks[0].operator_count) return 0;
            if (i < writer) continue;
            if (!class->advances || !class->advances(k, written - op->input_count)) return 0;
            int64_t begin, end;
            reach_of(plan, tensor, &begin, &end);
            if (begin != from + low || end != from + high || !is_dense(&plan->tensors[tensor])) return 0;
        }
    }
    return 1;
}

// Whether the operators that write the source of a tie may write it where the state is, and so spare a copy: all of it is
// written, no other tie goes there, and from the first byte on nothing can fail, which would leave a state half advanced.
// Those that can advance a state check all they need before they write.
static int writes_in_place(const trn_plan *plan, uint64_t tie) {
    const trn_file *f = plan->file;
    const uint32_t state = f->ties[tie].destination, source = f->ties[tie].source;
    int64_t low, high, left = trn_view_elements(&plan->tensors[source]);
    uint64_t first = f->operators_count;
    if (f->tensors[source].storage != trn_storage_ARENA && f->tensors[source].storage != trn_storage_OUTPUT) return 0;
    if (!is_dense(&plan->tensors[state])) return 0;
    reach_of(plan, state, &low, &high);
    for (uint64_t i = 0; i < f->ties_count; i++)
        if (i != tie && (root_of(f, f->ties[i].source) == source ||
                         meets(plan, f->ties[i].destination, root_of(f, state), low, high)))
            return 0;
    for (uint64_t i = f->operators_count; i-- > 0;) {
        const trn_record_operator *op = &f->operators[i];
        for (uint32_t k = op->input_count; k < (uint32_t)op->input_count + op->output_count; k++) {
            const uint32_t tensor = f->operands[op->operands + k].tensor;
            if (tensor == TRN_NONE || root_of(f, tensor) != source) continue;
            if (i >= f->blocks[0].operator_count || !may_write(plan, &f->ties[tie], i, k)) return 0;
            left -= trn_view_elements(&plan->tensors[tensor]);
            first = i;
        }
    }
    for (uint64_t i = first; i < f->operators_count; i++)
        if ((i > first || !trn_op_class_of(f->operators[i].kind)->advances) && may_fail(f, &f->operators[i])) return 0;
    return first < f->operators_count && left == 0;
}

// Where the last axis of a state tells h from c, both have gaps, and whoever advances them has to copy them. The memory of such
// a state may have that axis first, [parts, the other axes], so that each lies as it is wanted.

// Whether a tensor can lie in parts: no operator takes it whole, and all that look into it see one part.
static int has_parts(const trn_plan *plan, uint32_t root, int64_t parts) {
    const trn_file *f = plan->file;
    for (uint64_t i = 0; i < f->operands_count; i++)
        if (f->operands[i].tensor == root) return 0;
    for (uint64_t i = 0; i < f->tensors_count; i++)
        for (uint32_t k = 0; f->tensors[i].storage == trn_storage_VIEW && k < f->tensors[i].rank; k++)
            if (f->tensors[i].root == root && plan->tensors[i].strides[k] % parts != 0) return 0;
    return 1;
}

// Gives what looks into a tensor its places by parts; or, of 1 part, those of the file again.
static void place_parts(trn_plan *plan, uint32_t root, int64_t parts) {
    const trn_file *f = plan->file;
    const int64_t part = trn_view_elements(&plan->tensors[root]) / parts;
    for (uint64_t i = 0; i < f->tensors_count; i++) {
        trn_view *view = &plan->tensors[i];
        if (f->tensors[i].storage != trn_storage_VIEW || f->tensors[i].root != root) continue;
        if (parts == 1) {
            size_view(plan, i, NULL);
            continue;
        }
        const int64_t offset = (int64_t)(uintptr_t)view->data;
        view->data = (void *)(uintptr_t)(offset % parts * part + offset / parts);
        for (uint32_t k = 0; k < view->rank; k++) view->strides[k] /= parts;
    }
}

// What plan->in_place says of a tie. alone: as of trn_plan_make.
static uint8_t place_tie(trn_plan *plan, uint64_t tie, int alone) {
    const trn_file *f = plan->file;
    const uint32_t state = f->ties[tie].destination, source = f->ties[tie].source;
    const trn_view *view = &plan->tensors[state];
    trn_view *shown = &plan->tensors[source];
    const uint32_t last = view->rank - 1u;
    if (writes_in_place(plan, tie)) return 1;
    if (!alone || view->rank == 0 || f->tensors[state].storage != trn_storage_STATE) return 0;
    const int64_t parts = view->dims[last];
    for (uint64_t i = 0; i < f->states_count; i++)
        if (f->states[i].tensor == state && f->states[i].batch_axis == (int32_t)last) return 0;
    if (parts < 2 || parts > UINT8_MAX || shown->dims[last] != parts) return 0;
    if (!has_parts(plan, state, parts) || !has_parts(plan, source, parts)) return 0;
    place_parts(plan, state, parts), place_parts(plan, source, parts);
    if (!writes_in_place(plan, tie)) {
        place_parts(plan, state, 1), place_parts(plan, source, 1);
        return 0;
    }
    for (uint32_t k = 0; k < last; k++) shown->strides[k] /= parts;
    shown->strides[last] = trn_view_elements(shown) / parts;
    return (uint8_t)parts;
}

// Free ranges of the arena, unordered: few, since ranges that touch are joined.
typedef struct arena {
    struct {
        uint64_t offset, size;
    } holes[MAX_HOLES];
    uint32_t hole_count;
    uint64_t end;
} arena;

static uint64_t arena_take(arena *a, uint64_t size) {
    uint32_t best = MAX_HOLES;
    for (uint32_t i = 0; i < a->hole_count; i++)
        if (a->holes[i].size >= size && (best == MAX_HOLES || a->holes[i].size < a->holes[best].size)) best = i;
    if (best == MAX_HOLES) {
        if (size > MAX_BYTES || a->end > MAX_BYTES) {
            a->end = (uint64_t)MAX_BYTES + 1;  // too large: place_in_arena says so
            return 0;
        }
        a->end += size;
        return a->end - size;
    }
    uint64_t offset = a->holes[best].offset;
    a->holes[best].offset += size;
    a->holes[best].size -= size;
    if (a->holes[best].size == 0) a->holes[best] = a->holes[--a->hole_count];
    return offset;
}

static void arena_give(arena *a, uint64_t offset, uint64_t size) {
    for (uint32_t i = 0; i < a->hole_count;) {
        uint64_t start = a->holes[i].offset, end = start + a->holes[i].size;
        if (end != offset && offset + size != start) {
            i++;
            continue;
        }
        if (start < offset) offset = start;
        size += a->holes[i].size;
        a->holes[i] = a->holes[--a->hole_count];
    }
    if (size == 0 || a->hole_count == MAX_HOLES) return;  // forgetting a hole costs memory, never correctness
    a->holes[a->hole_count].offset = offset;
    a->holes[a->hole_count++].size = size;
}

static uint64_t tensor_bytes(const trn_plan *plan, uint32_t i) {
    return trn_align((size_t)trn_view_elements(&plan->tensors[i]) * trn_dtype_size(plan->tensors[i].dtype));
}

// Places the ARENA tensor that a tensor is or looks into, unless it has its place.
static void place_root(trn_plan *plan, arena *a, uint32_t tensor) {
    const trn_file *f = plan->file;
    if (tensor == TRN_NONE) return;
    uint32_t root = root_of(f, tensor);
    if (f->tensors[root].storage == trn_storage_ARENA && plan->tensors[root].data == UNPLACED)
        plan->tensors[root].data = (void *)(uintptr_t)arena_take(a, tensor_bytes(plan, root));
}

// Gives back, after operator i, what it was the last to touch.
static void give_root(trn_plan *plan, arena *a, uint32_t tensor, uint32_t i) {
    const trn_file *f = plan->file;
    if (tensor == TRN_NONE) return;
    uint32_t root = root_of(f, tensor);
    if (f->tensors[root].storage != trn_storage_ARENA || plan->lifetimes[root] != i) return;
    arena_give(a, (uintptr_t)plan->tensors[root].data, tensor_bytes(plan, root));
    plan->lifetimes[root] = FOREVER;  // once, though the operator may have it twice
}

static void place_operands(trn_plan *plan, arena *a, uint32_t i, int give) {
    const trn_record_operator *op = &plan->file->operators[i];
    for (uint32_t k = 0; k < (uint32_t)op->input_count + op->output_count; k++) {
        uint32_t tensor = plan->file->operands[op->operands + k].tensor;
        if (give) give_root(plan, a, tensor, i);
        else place_root(plan, a, tensor);
    }
}

// Offsets of the arena's tensors (left in data until trn_plan_place), by walking the operators: what one touches first
// is placed before it, what it touches last is given back after it. What lives for ever comes first.
static int place_in_arena(trn_plan *plan, arena *a) {
    const trn_file *f = plan->file;
    for (uint64_t i = 0; i < f->tensors_count; i++)
        if (f->tensors[i].storage != trn_storage_VIEW) plan->tensors[i].data = UNPLACED;
    for (uint64_t i = 0; i < f->ties_count; i++) {
        if (plan->in_place[i]) plan->tensors[f->ties[i].source].data = NULL;  // until trn_plan_place: it needs no room
        else place_root(plan, a, f->ties[i].source);
    }
    for (uint64_t i = 0; i < f->outputs_count; i++) {
        uint32_t t = f->outputs[i].tensor;
        if (f->outputs[i].state != TRN_NONE && plan->tensors[t].data == UNPLACED)
            plan->tensors[t].data = (void *)(uintptr_t)arena_take(a, tensor_bytes(plan, t));
    }
    for (uint32_t i = f->blocks[0].operator_count; i < f->operators_count; i++) place_operands(plan, a, i, 0);
    for (uint32_t i = 0; i < f->blocks[0].operator_count && a->end <= MAX_BYTES; i++) {
        place_operands(plan, a, i, 0);
        place_operands(plan, a, i, 1);
    }
    return a->end <= MAX_BYTES;
}

// The tensors that lie in the caller's memory: inputs, outputs, and the views of them, but for outputs that lie in a state's.
static void find_bindings(trn_plan *plan) {
    const trn_file *f = plan->file;
    uint32_t *ports = plan->lifetimes;  // lifetimes have served: the array now says which port a tensor is
    for (uint64_t i = 0; i < f->tensors_count; i++) ports[i] = TRN_NONE;
    for (uint32_t i = 0; i < f->inputs_count; i++)
        if (f->inputs[i].state == TRN_NONE) ports[f->inputs[i].tensor] = i;
    for (uint32_t i = 0; i < f->outputs_count; i++) ports[f->outputs[i].tensor] = (uint32_t)f->inputs_count + i;
    for (uint64_t i = 0; i < f->ties_count; i++)
        if (plan->in_place[i]) ports[f->ties[i].source] = TRN_NONE;
    plan->binding_count = 0;
    for (uint32_t i = 0; i < f->tensors_count; i++) {
        uint32_t root = root_of(f, i);
        if (ports[root] == TRN_NONE) continue;
        uint64_t offset = root == i ? 0 : (uintptr_t)plan->tensors[i].data * trn_dtype_size(plan->tensors[i].dtype);
        plan->bindings[plan->binding_count++] = (trn_binding){.tensor = i, .port = ports[root], .offset = offset};
    }
}

trn_status trn_plan_make(trn_plan *plan, const trn_file *file, const trn_ukernels *ukernels, const int64_t *symbols,
                         int alone, void *memory, trn_error *error) {
    *plan = (trn_plan){.file = file};
    trn_scratch scratch = {.base = memory};
    lay_out(plan, &scratch);
    trn_status status = size_tensors(plan, symbols, error);
    if (status == TRN_OK) status = check_layouts(plan, error);  // the file's: places by parts change strides
    if (status != TRN_OK) return status;
    for (uint64_t i = 0; i < file->ties_count; i++) plan->in_place[i] = place_tie(plan, i, alone);
    size_t workspace;
    status = prepare_operators(plan, ukernels, &workspace, error);
    if (status != TRN_OK) return status;
    find_lifetimes(plan);
    arena a = {.hole_count = 0, .end = 0};
    if (!place_in_arena(plan, &a) || workspace > SIZE_MAX / 4 || a.end > SIZE_MAX / 4)
        return trn_fail(error, TRN_OVERFLOW, TRN_NOWHERE, "", "", "the arena would be too large to address");
    find_bindings(plan);
    plan->end = plan->ops + file->blocks[0].operator_count;
    plan->workspace_offset = (size_t)a.end;
    plan->arena_size = (size_t)a.end + trn_align(workspace);
    return TRN_OK;
}

void trn_plan_place(trn_plan *plan, char *arena) {
    const trn_file *f = plan->file;
    for (uint64_t i = 0; i < f->tensors_count; i++) {
        const trn_record_tensor *t = &f->tensors[i];
        if (t->storage == trn_storage_WEIGHTS) plan->tensors[i].data = (void *)(uintptr_t)(f->weights + t->data_offset);
        if (t->storage == trn_storage_ARENA || t->storage == trn_storage_OUTPUT) {
            uintptr_t offset = (uintptr_t)plan->tensors[i].data;
            plan->tensors[i].data = offset == (uintptr_t)UNPLACED ? NULL : arena + offset;
        }
        if (t->storage == trn_storage_INPUT) plan->tensors[i].data = NULL;
    }
    for (uint64_t i = 0; i < f->ties_count; i++) {
        uint32_t state = f->ties[i].destination, root = root_of(f, state);
        if (!plan->in_place[i]) continue;
        uintptr_t offset = root == state ? 0 : (uintptr_t)plan->tensors[state].data * sizeof(float);
        plan->tensors[f->ties[i].source].data = (char *)plan->tensors[root].data + offset;
    }
    for (uint64_t i = 0; i < f->tensors_count; i++) {
        const trn_record_tensor *t = &f->tensors[i];
        if (t->storage != trn_storage_VIEW) continue;
        char *root = plan->tensors[t->root].data;
        uintptr_t offset = (uintptr_t)plan->tensors[i].data * trn_dtype_size(t->dtype);
        plan->tensors[i].data = root ? root + offset : NULL;
    }
    for (uint64_t i = 0; i < f->operators_count; i++) {
        trn_op *op = &plan->ops[i];
        if (!op->record) continue;
        op->workspace = arena + plan->workspace_offset;
        if (op->class->place) op->class->place(op);
    }
    // What an output falls back on when the caller gives no memory for it is kept beside its binding.
    for (uint64_t i = 0; i < plan->binding_count; i++)
        plan->bindings[i].fallback = plan->tensors[plan->bindings[i].tensor].data;
}
