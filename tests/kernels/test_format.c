// SPDX-License-Identifier: Apache-2.0
// What docs/format.md promises of versions, of fields that are 0 and of what stands between sections: a file that says
// more than its version has words for is refused, and by the name of the field.
#include <stddef.h>
#include <stdio.h>

#include "models.h"

static unsigned passed, failed;

// Opens a file after its checksum has been made true again.
static void expect(builder *b, trn_status status, const char *node, const char *field, const char *says) {
    trn_model *model = NULL;
    trn_error error = {0};
    const size_t head = sizeof(trn_record_preamble);
    const uint32_t sum = trn_crc32(0, b->file + head, b->header.weights_offset - head);
    memcpy(b->file + offsetof(trn_record_preamble, structure_checksum), &sum, sizeof sum);
    const trn_status got = trn_model_open(b->file, b->file_size, TRN_OPEN_VERIFY, &model, &error);
    if (got == status && !strcmp(error.node, node) && !strcmp(error.field, field) && strstr(error.message, says)) {
        passed++;
    } else {
        failed++;
        fprintf(stderr, "failed: %s, %s: status %d, %s, %s: %s\n", node, field, (int)got, error.node, error.field,
                error.message);
    }
    trn_model_close(model);
    discard(b);
}

static void test_versions(void) {
    static const struct {
        uint16_t major, minor;
        const char *says;
    } cases[] = {
        {0, 1, "format 0.1, from before 1.0"},
        {0, 9, "convert the model again"},
        {1, 1, "a newer version: the file needs a reader of format 1.1, this library reads up to 1.0"},
        {1, 7, "made by a newer version"},
        {2, 0, "made by a newer version"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        builder b;
        running_sums(&b, 0);
        memcpy(b.file + offsetof(trn_record_preamble, version_major), &cases[i].major, 2);
        memcpy(b.file + offsetof(trn_record_preamble, version_minor), &cases[i].minor, 2);
        expect(&b, TRN_VERSION, "header", "version", cases[i].says);
    }
    // The version alone decides: what follows may have any form.
    builder b;
    trn_error error;
    trn_model *model = NULL;
    running_sums(&b, 0);
    b.file[4] = 2;
    if (trn_model_open(b.file, sizeof(trn_record_preamble), 0, &model, &error) == TRN_VERSION) passed++;
    else failed++, fprintf(stderr, "failed: a preamble alone: %s\n", error.message);
    discard(&b);
}

static trn_record_section section_of(const builder *b, uint32_t section) {
    trn_record_section row;
    memcpy(&row, b->file + sizeof(trn_record_preamble) + sizeof(trn_record_header) + section * sizeof row, sizeof row);
    return row;
}

// A byte at `offset` of the first record that fits; the file is refused.
static void test_field(const char *section, uint64_t at, const char *field) {
    builder b;
    running_sums(&b, 0);
    b.file[at] ^= 1;
    expect(&b, TRN_MALFORMED, section, field, "0");
}

static void test_fields(void) {
    builder b;
    running_sums(&b, 0);
    const size_t head = sizeof(trn_record_preamble), table = head + sizeof(trn_record_header);
    const uint64_t dims = section_of(&b, trn_section_dims).offset, terms = section_of(&b, trn_section_terms).offset,
                   tensors = section_of(&b, trn_section_tensors).offset;
    discard(&b);
    test_field("header", head + offsetof(trn_record_header, reserved), "reserved");
    test_field("symbols", table + offsetof(trn_record_section, reserved), "reserved");
    test_field("dims", dims + offsetof(trn_record_dim, reserved), "reserved");
    // The first dim is an expression of one symbol; the fifth term is a constant.
    test_field("dims", dims + offsetof(trn_record_dim, value), "value");
    test_field("terms", terms + offsetof(trn_record_term, value), "value");
    test_field("terms", terms + 3 * sizeof(trn_record_term) + offsetof(trn_record_term, symbol), "symbol");
    test_field("tensors", tensors + offsetof(trn_record_tensor, reserved), "reserved");
}

static void test_gaps(void) {
    builder b;
    running_sums(&b, 0);
    trn_record_section strings = section_of(&b, trn_section_strings);
    b.file[strings.offset + strings.size] = 1;
    expect(&b, TRN_MALFORMED, "weights", "offset", "behind zeros");
    // The weights, and all that says where they are, 64 bytes later.
    running_sums(&b, 0);
    unsigned char *longer = aligned_alloc(64, (b.file_size + 127) / 64 * 64);
    const size_t weights = b.header.weights_offset, rest = b.file_size - weights;
    memcpy(longer, b.file, weights);
    memset(longer + weights, 0, 64);
    memcpy(longer + weights + 64, b.file + weights, rest);
    free(b.file);
    b.file = longer;
    b.header.weights_offset += 64, b.header.file_size += 64, b.file_size += 64;
    memcpy(b.file + sizeof(trn_record_preamble), &b.header, sizeof b.header);
    trn_record_section last = {trn_section_weights, 0, weights + 64, rest};
    memcpy(b.file + sizeof(trn_record_preamble) + sizeof b.header + trn_section_weights * sizeof last, &last,
           sizeof last);
    expect(&b, TRN_MALFORMED, "weights", "offset", "next multiple of 64");
}

// Attributes that are 0 for some kinds of an operator.
static void test_attributes(void) {
    for (int pool = 0; pool < 2; pool++) {
        builder b = start();
        const uint32_t x = tensor(&b, "x", trn_dtype_F32, trn_storage_INPUT, DIMS(1, 1, 4)),
                       y = tensor(&b, "y", trn_dtype_F32, trn_storage_OUTPUT, DIMS(1, 1, 4));
        if (pool) operator_of(&b, trn_op_pool, LIST(x), LIST(y), DIMS(trn_pooling_MAX, 1, 1, 1, 1, 0, 0, 1));
        else operator_of(&b, trn_op_normalize, LIST(x), LIST(y), DIMS(trn_normalization_SOFTMAX, bits(1e-5)));
        input(&b, x, -1, -1), output(&b, y, -1, -1);
        finish(&b);
        expect(&b, TRN_MALFORMED, "operator", pool ? "count_padding" : "epsilon", "");
    }
}

// Operands and attributes that no operator has.
static void test_leftovers(void) {
    for (int attribute = 0; attribute < 2; attribute++) {
        builder b;
        running_sums(&b, 0);
        free(b.file);
        if (attribute) ADD(&b, attributes, 0);
        else ADD(&b, operands, 0);
        finish(&b);
        expect(&b, TRN_MALFORMED, attribute ? "attributes" : "operands", "", "that belong to no operator");
    }
}

int main(void) {
    test_versions();
    test_attributes();
    test_leftovers();
    test_fields();
    test_gaps();
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
