# SPDX-License-Identifier: Apache-2.0
"""Det of small matrices, expanded along their rows."""

from __future__ import annotations

import numpy as np

from .. import values
from ..errors import NodeError
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .elementwise import arithmetic

MAX_SIZE = 4  # 24 products


@lowering("Det", inputs="X:floats", since=11)
def lower(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """Minors of the last rows, two, three and four high: those of one height are made of the ones before."""
    size = x.dims[-1] if x.rank > 1 and x.dims[-1] == x.dims[-2] else 0
    if not isinstance(size, int) or not 1 <= size <= MAX_SIZE:
        ctx.settle(*x.dims[-2:])
        raise NodeError(f"takes square matrices of 1 to {MAX_SIZE} rows, not {show(x.dims)}")
    if x.time is not None and x.time.axis >= x.rank - 2:
        ctx.not_streamable("mixes the steps of the sequence")

    def element(row: int, column: int) -> Value:
        part = values.slice_axis(values.slice_axis(x, x.rank - 2, row, 1), x.rank - 1, column, 1)
        return values.drop_axes(part, [x.rank - 2, x.rank - 1])

    minors: dict[tuple[int, ...], Value] = {(j,): element(size - 1, j) for j in range(size)}
    for row in range(size - 2, -1, -1):
        wider = [(*c, j) for c in minors for j in range(c[-1] + 1, size)]
        minors = {columns: _expanded(ctx, columns, minors, [element(row, j) for j in columns]) for columns in wider}
    return minors[tuple(range(size))]


def _expanded(ctx: Context, columns: tuple[int, ...], minors: dict[tuple[int, ...], Value], row: list[Value]) -> Value:
    """The minor of some columns: the elements of a row, each times that of the other columns, signs in turn."""
    total: Value | None = None
    for i, factor in enumerate(row):
        term = arithmetic(ctx, "MUL", factor, minors[columns[:i] + columns[i + 1 :]])
        total = term if total is None else arithmetic(ctx, "SUB" if i % 2 else "ADD", total, term)
    assert total is not None
    return total


@reference("Det")
def reference_det(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    return np.asarray(np.linalg.det(x))
