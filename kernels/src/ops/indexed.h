// SPDX-License-Identifier: Apache-2.0
// What the operators that are told by data where to read or write share: indices, and what scattering does.
#ifndef TRN_INDEXED_H
#define TRN_INDEXED_H

#include "strided.h"

// Indices are int64 or int32.
trn_status trn_check_indices(const trn_file *file, const trn_record_operator *record, const trn_record_tensor *indices,
                             trn_error *error);

// Always: an index may be out of range.
int trn_indices_may_fail(const trn_file *file, const trn_record_operator *record);

// The strides of an indexed tensor with 0 in place of the indexed axis; no other axis of the indices may be longer.
trn_status trn_other_strides(const trn_op *op, const trn_view *indices, const trn_view *indexed, uint32_t axis,
                             int64_t *strides, trn_error *error);

// The index at an offset of `indices`, counted from the front of an axis of n; INDEX_RANGE when it is outside. Read
// once, so that memory which changes between the check and the use cannot matter.
trn_status trn_take_index(const trn_op *op, const trn_view *indices, int64_t offset, int64_t n, int64_t *index,
                          trn_error *error);

// to = from, to + from, to * from, max or min of both: enumeration scatter, one element.
void trn_scatter_element(uint8_t dtype, uint32_t kind, void *to, const void *from);
trn_status trn_check_scatter(const trn_file *file, const trn_record_operator *record, int64_t kind, uint8_t dtype,
                             trn_error *error);

#endif
