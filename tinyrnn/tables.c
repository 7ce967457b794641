// SPDX-License-Identifier: Apache-2.0
// Expands the tables into rows that _core hands to Python, so that no fact is written twice.
#include "tables.h"

#include <stddef.h>

#include "format.h"
#include "tinyrnn.h"

const trn_table_row trn_table_rows[] = {
#define TRN_STATUS(name, value, message, python) {"status", "", #name, {#python, "", ""}, message, {value, 0}},
#include "tinyrnn/status.def"
#define TRN_LIMIT(name, value, doc) {"limit", "", #name, {"", "", ""}, doc, {value, 0}},
#define TRN_ENUM(enumeration, name, value, doc) {"enum", #enumeration, #name, {"", "", ""}, doc, {value, 0}},
#define TRN_RECORD(record, doc) {"record", "", #record, {"", "", ""}, doc, {0, sizeof(trn_record_##record)}},
#define TRN_FIELD(record, type, field, doc) \
    {"field", #record, #field, {#type, "", ""}, doc, {offsetof(trn_record_##record, field), sizeof(trn_##type)}},
#define TRN_SECTION(name, value, record, doc) {"section", "", #name, {#record, "", ""}, doc, {value, 0}},
#include "tinyrnn/format.def"
#define TRN_OPERATOR(name, value, doc) {"operator", "", #name, {"", "", ""}, doc, {value, 0}},
#define TRN_INPUT(op, name, need, layout, shape) {"input", #op, #name, {#need, #layout, shape}, "", {0, 0}},
#define TRN_OUTPUT(op, name, need, layout, shape) {"output", #op, #name, {#need, #layout, shape}, "", {0, 0}},
#define TRN_ATTRIBUTE(op, name, type, doc) {"attribute", #op, #name, {#type, "", ""}, doc, {0, 0}},
#define TRN_OPENUM(enumeration, name, value, doc) {"enum", #enumeration, #name, {"", "", ""}, doc, {value, 0}},
#define TRN_FUNCTION(name, value, inputs, from, to, doc) {"function", "", #name, {#from, #to, ""}, doc, {value, inputs}},
#include "tinyrnn/ops.def"
#define TRN_ISA(name, features, fused) {"isa", "", #name, {"", "", ""}, "", {fused, 0}},
#include "isa.def"
};

const int trn_table_row_count = (int)(sizeof(trn_table_rows) / sizeof(trn_table_rows[0]));
const uint32_t trn_table_magic = TRN_MAGIC;
const int trn_table_version[2] = {TRN_FORMAT_MAJOR, TRN_FORMAT_MINOR};
