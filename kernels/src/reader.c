// SPDX-License-Identifier: Apache-2.0
// From bytes nobody vouches for to checked tables. The only code that touches untrusted bytes.
//
// The structure (all but the weights) is copied first and checked in the copy, so that a file which changes under its
// memory map cannot change what was checked. Checks run from the outside in: preamble, sections, then each record;
// a record may be believed by the checks of the sections after it.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("Os")  // runs once a file
#endif
#include <stdlib.h>
#include <string.h>

#include "reader_checks.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the file is little-endian and is read in place: big-endian hosts are not supported"
#endif

#define HEADER_END (sizeof(trn_record_preamble) + sizeof(trn_record_header))
#define TABLE_END  (HEADER_END + TRN_SECTION_COUNT * sizeof(trn_record_section))

static const struct {
    const char *name;
    size_t record_size;
} section_rows[] = {
#define TRN_SECTION(name, value, record, doc) [value] = {#name, sizeof(trn_record_##record)},
#include "tinyrnn/format.def"
};

void trn_reader_enter(reader *r, uint32_t section, uint64_t index) {
    const trn_record_section *table = (const trn_record_section *)((const uint8_t *)r->file->structure + HEADER_END);
    r->section = section_rows[section].name;
    r->offset = table[section].offset + index * section_rows[section].record_size;
}

// Files of this major version that ask for no more than this minor one are read.
static trn_status check_version(reader *r, const trn_record_preamble *p) {
    const uint32_t found = (uint32_t)p->version_major << 16 | p->version_minor;
    const uint32_t known = (uint32_t)TRN_FORMAT_MAJOR << 16 | TRN_FORMAT_MINOR;
    if (found > known)
        return trn_fail(r->error, TRN_VERSION, 4, "header", "version",
                        "made by a newer version: the file needs a reader of format %u.%u, this library reads up to "
                        "%d.%d: update it",
                        p->version_major, p->version_minor, TRN_FORMAT_MAJOR, TRN_FORMAT_MINOR);
    if (p->version_major != TRN_FORMAT_MAJOR)
        return trn_fail(r->error, TRN_VERSION, 4, "header", "version",
                        "the file has format %u.%u, from before 1.0, which is no longer read: convert the model again",
                        p->version_major, p->version_minor);
    return TRN_OK;
}

static trn_status check_preamble(reader *r, const uint8_t *data, size_t size) {
    trn_file *f = r->file;
    r->section = "header";
    r->offset = 0;
    if (size < 4 || memcmp(data, "TRNN", 4) != 0)
        return trn_fail(r->error, TRN_NOT_A_MODEL, 0, "header", "magic",
                        "this is not a .trnn file: it does not begin with TRNN");
    if (size >= sizeof f->preamble) {
        memcpy(&f->preamble, data, sizeof f->preamble);
        TRY(check_version(r, &f->preamble));
    }
    if (size < TABLE_END)
        return trn_fail(r->error, TRN_TRUNCATED, size, "header", "", "the file ends after %zu bytes, inside its header",
                        size);
    memcpy(&f->header, data + sizeof f->preamble, sizeof f->header);
    if (f->header.file_size != size)
        return trn_fail(r->error, TRN_TRUNCATED, 16, "header", "file_size",
                        "the header says %llu bytes, the file has %zu", (unsigned long long)f->header.file_size, size);
    uint64_t weights = f->header.weights_offset;
    REQUIRE(r, weights >= TABLE_END && weights <= size && weights % 64 == 0, "weights_offset",
            "%llu is not a multiple of 64 inside the file", (unsigned long long)weights);
    REQUIRE(r, f->header.section_count == TRN_SECTION_COUNT, "section_count", "found %u sections, expected %d",
            f->header.section_count, TRN_SECTION_COUNT);
    REQUIRE(r, f->header.streamable <= 1, "streamable", "found %u, expected 0 or 1", f->header.streamable);
    REQUIRE(r, f->header.reserved == 0, "reserved", "found %u, expected 0", f->header.reserved);
    return TRN_OK;
}

// Copies the structure and checks its checksum (the weights' too when asked for).
static trn_status copy_structure(reader *r, const uint8_t *data, size_t size, uint32_t flags) {
    trn_file *f = r->file;
    size_t n = (size_t)f->header.weights_offset;
    f->structure = malloc(n);
    if (!f->structure)
        return trn_fail(r->error, TRN_OUT_OF_MEMORY, TRN_NOWHERE, "", "",
                        "no memory for the file's structure, %zu bytes", n);
    memcpy(f->structure, data, n);
    // The bytes may have changed since check_preamble read them: what it checked must be what was copied.
    if (memcmp(f->structure, &f->preamble, sizeof f->preamble) != 0 ||
        memcmp((uint8_t *)f->structure + sizeof f->preamble, &f->header, sizeof f->header) != 0)
        return REFUSE(r, "", "the file changed while it was read");
    uint32_t crc = trn_crc32(0, (uint8_t *)f->structure + sizeof f->preamble, n - sizeof f->preamble);
    if (crc != f->preamble.structure_checksum)
        return trn_fail(r->error, TRN_CHECKSUM, 8, "header", "structure_checksum",
                        "found %08x, the structure gives %08x: the file is damaged", f->preamble.structure_checksum,
                        crc);
    if (flags & TRN_OPEN_VERIFY) {
        crc = trn_crc32(0, data + n, size - n);
        if (crc != f->preamble.weights_checksum)
            return trn_fail(r->error, TRN_CHECKSUM, 12, "header", "weights_checksum",
                            "found %08x, the weights give %08x: the file is damaged", f->preamble.weights_checksum,
                            crc);
    }
    return TRN_OK;
}

// What stands between two sections aligns the second one, and is zero: nothing in the structure goes unread.
static trn_status check_gap(reader *r, uint64_t end, const trn_record_section *s) {
    const uint64_t alignment = s->kind == trn_section_weights ? 64 : 8;
    int zeros = s->offset == (end + alignment - 1) / alignment * alignment;
    for (uint64_t at = end; zeros && at < s->offset; at++) zeros = ((const uint8_t *)r->file->structure)[at] == 0;
    REQUIRE(r, zeros, "offset", "it must follow byte %llu at the next multiple of %llu, behind zeros",
            (unsigned long long)end, (unsigned long long)alignment);
    return TRN_OK;
}

static trn_status check_sections(reader *r, const uint8_t *data) {
    trn_file *f = r->file;
    const uint8_t *base = f->structure;
    const trn_record_section *table = (const trn_record_section *)(base + HEADER_END);
    uint64_t end = TABLE_END;
    for (uint32_t i = 0; i < TRN_SECTION_COUNT; i++) {
        const trn_record_section *s = &table[i];
        r->section = section_rows[i].name;
        r->offset = HEADER_END + i * sizeof *s;
        REQUIRE(r, s->kind == i, "kind", "found %u, expected %u", s->kind, i);
        REQUIRE(r, s->reserved == 0, "reserved", "found %u, expected 0", s->reserved);
        uint64_t limit = i == trn_section_weights ? f->header.file_size : f->header.weights_offset;
        REQUIRE(r, s->offset >= end && trn_range_ok(s->offset, s->size, limit), "offset",
                "%llu + %llu bytes does not lie in its place, from %llu to %llu", (unsigned long long)s->offset,
                (unsigned long long)s->size, (unsigned long long)end, (unsigned long long)limit);
        TRY(check_gap(r, end, s));
        REQUIRE(r, s->size % section_rows[i].record_size == 0 && s->size / section_rows[i].record_size < TRN_NONE,
                "size", "%llu is not a number of records of %zu bytes", (unsigned long long)s->size,
                section_rows[i].record_size);
        end = s->offset + s->size;
    }
    const trn_record_section *w = &table[trn_section_weights];
    REQUIRE(r, w->offset == f->header.weights_offset && end == f->header.file_size, "offset",
            "the weights must reach from weights_offset to the end");
#define TRN_SECTION(name, value, record, doc)                                          \
    f->name = (const trn_record_##record *)(const void *)(base + table[value].offset); \
    f->name##_count = table[value].size / sizeof(trn_record_##record);
#include "tinyrnn/format.def"
    f->weights = data + w->offset;
    return TRN_OK;
}

trn_status trn_reader_string(reader *r, uint32_t offset, const char *field) {
    REQUIRE(r, offset < r->file->strings_count, field, "string %u is outside the strings, %llu bytes", offset,
            (unsigned long long)r->file->strings_count);
    return TRN_OK;
}

static trn_status check_strings(reader *r) {
    const trn_file *f = r->file;
    trn_reader_enter(r, trn_section_strings, 0);
    REQUIRE(r, f->strings_count > 0 && f->strings[0] == 0 && f->strings[f->strings_count - 1] == 0, "",
            "the section must begin and end with NUL");
    r->section = "header";
    r->offset = sizeof f->preamble;
    TRY(trn_reader_string(r, f->header.reason, "reason"));
    for (uint64_t i = 0; i < f->metadata_count; i++) {
        trn_reader_enter(r, trn_section_metadata, i);
        TRY(trn_reader_string(r, f->metadata[i].key, "key"));
        TRY(trn_reader_string(r, f->metadata[i].value, "value"));
    }
    return TRN_OK;
}

static trn_status check_symbols(reader *r) {
    const trn_file *f = r->file;
    trn_reader_enter(r, trn_section_symbols, 0);
    REQUIRE(r, f->symbols_count <= TRN_LIMIT_SYMBOLS, "", "found %llu symbols, at most %d",
            (unsigned long long)f->symbols_count, TRN_LIMIT_SYMBOLS);
    for (uint64_t i = 0; i < f->symbols_count; i++) {
        const trn_record_symbol *s = &f->symbols[i];
        trn_reader_enter(r, trn_section_symbols, i);
        TRY(trn_reader_string(r, s->name, "name"));
        uint32_t role = i == f->header.time_symbol    ? trn_role_TIME
                        : i == f->header.batch_symbol ? trn_role_BATCH
                                                      : trn_role_OTHER;
        REQUIRE(r, s->role == role, "role", "found %u, the header makes it %u", s->role, role);
    }
    r->section = "header";
    r->offset = sizeof f->preamble;
    REQUIRE(r, f->header.time_symbol == TRN_NONE || f->header.time_symbol < f->symbols_count, "time_symbol",
            "no such symbol");
    REQUIRE(r, f->header.batch_symbol == TRN_NONE || f->header.batch_symbol < f->symbols_count, "batch_symbol",
            "no such symbol");
    REQUIRE(r, f->header.time_symbol == TRN_NONE || f->header.time_symbol != f->header.batch_symbol, "batch_symbol",
            "symbol %u is the time axis already", f->header.batch_symbol);
    return TRN_OK;
}

static trn_status check_term(reader *r, const trn_record_term *t) {
    REQUIRE(r, t->kind <= trn_term_MAX, "kind", "found %u", t->kind);
    if (t->kind == trn_term_SYMBOL) REQUIRE(r, t->symbol < r->file->symbols_count, "symbol", "no symbol %u", t->symbol);
    else REQUIRE(r, t->symbol == 0, "symbol", "found %u, expected 0", t->symbol);
    REQUIRE(r, t->kind == trn_term_CONSTANT || t->value == 0, "value", "found %lld, expected 0", (long long)t->value);
    return TRN_OK;
}

static trn_status check_dims(reader *r) {
    const trn_file *f = r->file;
    for (uint64_t i = 0; i < f->dims_count; i++) {
        const trn_record_dim *d = &f->dims[i];
        trn_reader_enter(r, trn_section_dims, i);
        REQUIRE(r, d->reserved == 0, "reserved", "found %u, expected 0", d->reserved);
        if (d->expression == TRN_NONE) continue;
        REQUIRE(r, d->expression < f->expressions_count, "expression", "no expression %u", d->expression);
        REQUIRE(r, d->value == 0, "value", "found %lld beside an expression, expected 0", (long long)d->value);
    }
    return TRN_OK;
}

static trn_status check_expressions(reader *r) {
    const trn_file *f = r->file;
    uint64_t next = 0;
    for (uint64_t i = 0; i < f->expressions_count; i++) {
        const trn_record_expression *e = &f->expressions[i];
        trn_reader_enter(r, trn_section_expressions, i);
        REQUIRE(
            r, e->first_term == next && e->term_count > 0 && trn_range_ok(e->first_term, e->term_count, f->terms_count),
            "first_term", "its terms must follow those of the expression before it");
        REQUIRE(r, e->term_count <= TRN_LIMIT_EXPRESSION, "term_count", "found %u terms, at most %d", e->term_count,
                TRN_LIMIT_EXPRESSION);
        next += e->term_count;
        uint32_t depth = 0;
        for (uint32_t k = 0; k < e->term_count; k++) {
            const trn_record_term *t = &f->terms[e->first_term + k];
            trn_reader_enter(r, trn_section_terms, e->first_term + k);
            TRY(check_term(r, t));
            if (t->kind <= trn_term_SYMBOL) depth++;
            else REQUIRE(r, depth-- >= 2, "kind", "an operation needs two values");
            REQUIRE(r, depth <= TRN_LIMIT_TERMS, "kind", "the expression is deeper than %d", TRN_LIMIT_TERMS);
        }
        REQUIRE(r, depth == 1, "kind", "the expression ends with %u values, not 1", depth);
    }
    trn_reader_enter(r, trn_section_terms, next);
    REQUIRE(r, next == f->terms_count, "", "terms that belong to no expression");
    return TRN_OK;
}

// A constant: its dims are known and their size is the record's.
static trn_status check_weights(reader *r, const trn_record_tensor *t) {
    const int cells = trn_per_cell(t->packing) > 0;
    int64_t bytes = cells ? 4 : (int64_t)trn_dtype_size(t->dtype);
    for (uint32_t i = 0; i < t->rank; i++) {
        const trn_record_dim *d = &r->file->dims[t->dims + i];
        REQUIRE(r, d->expression == TRN_NONE, "dims", "a constant needs constant dims");
        REQUIRE(r, !cells || d->value <= INT64_MAX / 4, "dims", "dimension %u is %lld", i, (long long)d->value);
        int64_t size = cells && i + 2u == t->rank ? trn_packed_rows(t->packing, d->value) : d->value;
        REQUIRE(r, trn_mul(bytes, size, &bytes), "dims", "its size overflows");
    }
    REQUIRE(r, t->data_offset % 64 == 0 && trn_range_ok(t->data_offset, t->data_size, r->file->weights_count),
            "data_offset", "%llu + %llu bytes does not lie in the weights, %llu bytes, at a multiple of 64",
            (unsigned long long)t->data_offset, (unsigned long long)t->data_size,
            (unsigned long long)r->file->weights_count);
    REQUIRE(r, (uint64_t)bytes == t->data_size, "data_size", "found %llu, its dims need %lld",
            (unsigned long long)t->data_size, (long long)bytes);
    return TRN_OK;
}

static trn_status check_view(reader *r, const trn_record_tensor *t) {
    const trn_file *f = r->file;
    if (t->storage != trn_storage_VIEW) {
        REQUIRE(r, t->root == TRN_NONE && t->view == TRN_NONE, "root", "only a VIEW has a root");
        return TRN_OK;
    }
    REQUIRE(r, t->root < f->tensors_count, "root", "no tensor %u", t->root);
    const trn_record_tensor *root = &f->tensors[t->root];
    REQUIRE(r, root->storage != trn_storage_VIEW && root->packing == trn_packing_NONE && root->dtype == t->dtype,
            "root", "tensor %u is a VIEW, packed, or of another dtype", t->root);
    REQUIRE(r, trn_range_ok(t->view, (uint64_t)t->rank + 1, f->dims_count), "view",
            "its offset and strides lie outside the dims");
    return TRN_OK;
}

static trn_status check_packing(reader *r, const trn_record_tensor *t) {
    int floats = t->packing == trn_packing_F32_PANELS && t->dtype == trn_dtype_F32 && t->storage <= trn_storage_WEIGHTS;
    uint8_t whole = t->packing == trn_packing_I8_PANELS ? trn_dtype_I8 : trn_dtype_I16;
    int integers = trn_per_cell(t->packing) && t->dtype == whole && t->storage == trn_storage_WEIGHTS;
    REQUIRE(r, t->rank >= 2 && (floats || integers), "packing",
            "found %u of %s: panels of whole numbers are constants of their own dtype, panels of float32 constants or "
            "intermediates, all of rank 2 and up; a file of an older converter has to be converted again",
            t->packing, trn_dtype_name(t->dtype));
    const trn_record_dim *n = &r->file->dims[t->dims + t->rank - 1];
    REQUIRE(r, n->expression != TRN_NONE || n->value % 16 == 0, "dims", "found %lld columns, expected a multiple of 16",
            (long long)n->value);
    REQUIRE(r, floats || n[-1].value <= TRN_LIMIT_I8_K, "dims", "matrices of whole numbers have at most %d rows",
            TRN_LIMIT_I8_K);
    REQUIRE(r, t->panel_width >= 16 && t->panel_width <= 64 && t->panel_width % 16 == 0, "panel_width", "found %u",
            t->panel_width);
    return TRN_OK;
}

static trn_status check_tensors(reader *r) {
    const trn_file *f = r->file;
    for (uint64_t i = 0; i < f->tensors_count; i++) {
        const trn_record_tensor *t = &f->tensors[i];
        trn_reader_enter(r, trn_section_tensors, i);
        TRY(trn_reader_string(r, t->name, "name"));
        REQUIRE(r, trn_dtype_size(t->dtype) > 0, "dtype", "found %u", t->dtype);
        REQUIRE(r, t->rank <= TRN_MAX_RANK, "rank", "found %u, at most %d", t->rank, TRN_MAX_RANK);
        REQUIRE(r, t->storage <= trn_storage_VIEW, "storage", "found %u", t->storage);
        REQUIRE(r, t->packing <= trn_packing_I16_PANELS, "packing", "found %u", t->packing);
        REQUIRE(r, trn_range_ok(t->dims, t->rank, f->dims_count), "dims", "they lie outside the dims section");
        for (uint32_t k = 0; k < t->rank; k++)
            REQUIRE(r, f->dims[t->dims + k].expression != TRN_NONE || f->dims[t->dims + k].value >= 0, "dims",
                    "dimension %u is %lld", k, (long long)f->dims[t->dims + k].value);
        REQUIRE(r, t->reserved == 0, "reserved", "found %u, expected 0", t->reserved);
        TRY(check_view(r, t));
        if (t->storage == trn_storage_WEIGHTS) TRY(check_weights(r, t));
        else REQUIRE(r, t->data_offset == 0 && t->data_size == 0, "data_offset", "only a constant has data");
        if (t->packing == trn_packing_NONE) {
            REQUIRE(r, t->panel_width == 0, "panel_width", "only a packed tensor has panels");
            REQUIRE(r, t->dtype != trn_dtype_I16, "dtype", "int16 is for packed weights alone");
            continue;
        }
        TRY(check_packing(r, t));
    }
    return TRN_OK;
}

static trn_status check_operand(reader *r, const trn_record_operator *op, uint32_t i) {
    const trn_file *f = r->file;
    int output = i >= op->input_count;
    const trn_operand_row *row = trn_operand_row_of(op->kind, output, output ? i - op->input_count : i);
    uint32_t tensor = f->operands[op->operands + i].tensor;
    if (tensor == TRN_NONE) {
        REQUIRE(r, row->need == trn_need_optional, row->name, "the operand is required");
        return TRN_OK;
    }
    REQUIRE(r, tensor < f->tensors_count, row->name, "no tensor %u", tensor);
    REQUIRE(r, f->tensors[tensor].packing == trn_packing_NONE || row->layout == trn_layout_packed, row->name,
            "tensor %u is packed, the operand is not", tensor);
    uint8_t storage = trn_root_storage(f, tensor);
    REQUIRE(r, !output || storage == trn_storage_ARENA || storage == trn_storage_OUTPUT, row->name,
            "an operator may not write into tensor %u", tensor);
    return TRN_OK;
}

// Every block but the first belongs to one branch, which stands in an earlier block: no block can run inside itself.
static trn_status check_branches(reader *r) {
    const trn_file *f = r->file;
    uint8_t claimed[TRN_LIMIT_BLOCKS] = {0};
    REQUIRE(r, f->blocks_count <= TRN_LIMIT_BLOCKS, "", "found %llu blocks, at most %d",
            (unsigned long long)f->blocks_count, TRN_LIMIT_BLOCKS);
    for (uint64_t b = 0; b < f->blocks_count; b++)
        for (uint64_t i = f->blocks[b].first_operator, n = 0; n < f->blocks[b].operator_count; i++, n++) {
            const trn_record_operator *op = &f->operators[i];
            if (op->kind != trn_op_branch) continue;
            trn_reader_enter(r, trn_section_operators, i);
            for (uint32_t k = trn_at_branch_then_block; k <= trn_at_branch_else_block; k++) {
                int64_t block = f->attributes[op->attributes + k].value;
                REQUIRE(r, block > (int64_t)b && block < (int64_t)f->blocks_count && !claimed[block], "then_block",
                        "block %lld does not exist, is not behind block %llu, or has a branch already",
                        (long long)block, (unsigned long long)b);
                claimed[block] = 1;
            }
        }
    for (uint64_t b = 1; b < f->blocks_count; b++) {
        trn_reader_enter(r, trn_section_blocks, b);
        REQUIRE(r, claimed[b], "", "no branch runs this block");
    }
    return TRN_OK;
}

// Operands and attributes belong to one operator each, so that all checks and plans together grow with the file alone.
static trn_status check_operators(reader *r) {
    const trn_file *f = r->file;
    uint64_t next_operand = 0, next_attribute = 0;
    for (uint64_t i = 0; i < f->operators_count; i++) {
        const trn_record_operator *op = &f->operators[i];
        trn_reader_enter(r, trn_section_operators, i);
        TRY(trn_reader_string(r, op->name, "name"));
        trn_operator_row row = trn_operator_row_of(op->kind);
        if (!row.name)
            return trn_fail(r->error, TRN_UNSUPPORTED, r->offset, trn_string(f, op->name), "kind",
                            "operator %u is unknown to this library", op->kind);
        r->section = row.name;
        REQUIRE(r, (row.variadic || op->input_count <= row.inputs) && op->output_count <= row.outputs, "input_count",
                "found %u inputs and %u outputs, at most %u and %u", op->input_count, op->output_count, row.inputs,
                row.outputs);
        uint32_t operands = (uint32_t)op->input_count + op->output_count;
        REQUIRE(r, op->operands == next_operand && trn_range_ok(op->operands, operands, f->operands_count), "operands",
                "they must follow those of the operator before it");
        next_operand += operands;
        for (uint32_t k = op->input_count; k < row.inputs; k++) {
            const trn_operand_row *missing = trn_operand_row_of(op->kind, 0, k);
            REQUIRE(r, missing->need == trn_need_optional, missing->name, "the operand is required");
        }
        for (uint32_t k = op->output_count; k < row.outputs; k++) {
            const trn_operand_row *missing = trn_operand_row_of(op->kind, 1, k);
            REQUIRE(r, missing->need == trn_need_optional, missing->name, "the operand is required");
        }
        for (uint32_t k = 0; k < operands; k++) TRY(check_operand(r, op, k));
        uint32_t fixed = row.attributes - row.list;
        REQUIRE(r,
                op->attributes == next_attribute &&
                    trn_range_ok(next_attribute, op->attribute_count, f->attributes_count),
                "attributes", "they must follow those of the operator before it");
        next_attribute += op->attribute_count;
        REQUIRE(r, row.list ? op->attribute_count >= fixed : op->attribute_count == fixed, "attribute_count",
                "found %u, expected %u", op->attribute_count, fixed);
    }
    trn_reader_enter(r, trn_section_operands, next_operand);
    REQUIRE(r, next_operand == f->operands_count, "", "operands that belong to no operator");
    trn_reader_enter(r, trn_section_attributes, next_attribute);
    REQUIRE(r, next_attribute == f->attributes_count, "", "attributes that belong to no operator");
    uint64_t next = 0;
    for (uint64_t i = 0; i < f->blocks_count; i++) {
        trn_reader_enter(r, trn_section_blocks, i);
        REQUIRE(r,
                f->blocks[i].first_operator == next &&
                    trn_range_ok(next, f->blocks[i].operator_count, f->operators_count),
                "first_operator", "blocks must follow one another");
        next += f->blocks[i].operator_count;
    }
    trn_reader_enter(r, trn_section_blocks, 0);
    REQUIRE(r, next == f->operators_count && f->blocks_count > 0, "operator_count",
            "the blocks hold %llu operators of %llu", (unsigned long long)next, (unsigned long long)f->operators_count);
    return check_branches(r);
}

static trn_status read_file(reader *r, const uint8_t *data, size_t size, uint32_t flags) {
    TRY(check_preamble(r, data, size));
    TRY(copy_structure(r, data, size, flags));
    TRY(check_sections(r, data));
    TRY(check_strings(r));
    TRY(check_symbols(r));
    TRY(check_expressions(r));
    TRY(check_dims(r));
    TRY(check_tensors(r));
    TRY(check_operators(r));
    uint8_t *owners = calloc(1, r->file->tensors_count + 1);
    if (!owners) return trn_fail(r->error, TRN_OUT_OF_MEMORY, TRN_NOWHERE, "", "", "no memory to check the tensors");
    trn_status status = trn_reader_interface(r, owners);
    free(owners);
    return status == TRN_OK ? trn_reader_names(r) : status;
}

trn_status trn_file_read(const void *data, size_t size, uint32_t flags, trn_file *file, trn_error *error) {
    memset(file, 0, sizeof *file);
    reader r = {.file = file, .error = error};
    trn_status status = read_file(&r, data, size, flags);
    if (status != TRN_OK) trn_file_close(file);
    return status;
}

void trn_file_close(trn_file *file) {
    free(file->structure);
    file->structure = NULL;
}
