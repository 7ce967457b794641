# SPDX-License-Identifier: Apache-2.0
"""EyeLike and Trilu: what the place in a matrix decides."""

from __future__ import annotations

import numpy as np

from .. import values
from ..dims import Size
from ..errors import NodeError
from ..ir import FLOATS, NUMPY_TYPE
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .elementwise import TO_TYPE, cast
from .logic import choose
from .shapes import places

_LIMIT = 1 << 16  # elements of a mask that is stored


def _compared(ctx: Context, function: str, rows: Size, columns: Size, k: int) -> Value:
    """row + k = column, or row + k < column: bools of a matrix."""
    if isinstance(rows, int) and isinstance(columns, int) and rows * columns <= _LIMIT:
        at, place = np.arange(rows)[:, None] + k, np.arange(columns)
        return values.of_array(at == place if function == "I_EQUAL" else at < place, "BOOL")
    row, column = places(ctx, rows, k), places(ctx, columns)
    return ctx.elementwise(function, values.insert_axes(row, [1]), column, dtype="BOOL")


@lowering("EyeLike", inputs="input:any", attributes="dtype k", since=9)
def lower_eye(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """1 on a diagonal, else 0, in the shape of x."""
    if x.rank != 2:
        raise NodeError(f"takes a matrix, not {show(x.dims)}")
    to = ctx.attribute("dtype")
    dtype = x.dtype if to is None else TO_TYPE.get(to)
    if dtype is None:
        raise NodeError(f"attribute 'dtype' is {to}, a type that is not supported")
    diagonal = _compared(ctx, "I_EQUAL", x.dims[0], x.dims[1], ctx.attribute("k", 0))
    if diagonal.const is not None:
        return values.of_array(diagonal.const.astype(NUMPY_TYPE[dtype]), dtype)
    return cast(ctx, diagonal, dtype)


@lowering("Trilu", inputs="input:any k?:int64", attributes="upper", since=14)
def lower_triangle(ctx: Context, node: OnnxNode, x: Value, given: Value | None = None) -> Value:
    """A triangle of the last two axes, 0 elsewhere: on and above the k-th diagonal, or on and below it."""
    if x.rank < 2:
        raise NodeError(f"takes matrices, not {show(x.dims)}")
    rows, columns = x.dims[-2:]
    k = 0 if given is None else ctx.constants(given, "input 'k'")[0]
    upper = ctx.attribute("upper", 1)
    if ctx.has_time(rows, columns):
        ctx.not_streamable("treats some steps of the sequence differently from others")
    above = _compared(ctx, "I_LESS", rows, columns, k - 1 if upper else k)
    zero = values.of_array(np.zeros((), NUMPY_TYPE["F32" if x.dtype in FLOATS else x.dtype]), x.dtype)
    return choose(ctx, above, x, zero) if upper else choose(ctx, above, zero, x)


@reference("EyeLike", exact=True)
def reference_eye(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    to = node.attributes.get("dtype")
    rows, columns = x.shape
    return np.eye(rows, columns, node.attributes.get("k", 0), x.dtype if to is None else NUMPY_TYPE[TO_TYPE[to]])


@reference("Trilu", exact=True)
def reference_triangle(node: OnnxNode, x: np.ndarray, k: np.ndarray | None = None) -> np.ndarray:
    """NumPy's own."""
    half = np.triu if node.attributes.get("upper", 1) else np.tril
    return np.asarray(half(x, 0 if k is None else int(k.reshape(()))))
