# SPDX-License-Identifier: Apache-2.0
"""CumSum and CumProd: a recurrence of one number for each row, or folds of a tensor with itself moved along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import dims as dm
from .. import values
from ..errors import NodeError
from ..ir import FLOATS, NUMPY_TYPE
from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from . import recurrent

_ROW = "x:floats/int64/int32 axis:int64/int32"


@lowering("CumSum", inputs=_ROW, attributes="exclusive reverse", since=11)
@lowering("CumProd", inputs=_ROW, attributes="exclusive reverse", since=26)
def lower(ctx: Context, node: OnnxNode, x: Value, given: Value) -> Value:
    """Each element is that of all up to it, or from it on; `exclusive` leaves out itself."""
    where = ctx.constants(given, "input 'axis'")
    if len(where) != 1:
        raise NodeError(f"input 'axis' has {len(where)} elements, not 1")
    axis, product = ctx.axis(where[0], x.rank), node.op == "CumProd"
    reverse, exclusive = (_flag(ctx, name) for name in ("reverse", "exclusive"))
    along = x.time is not None and x.time.axis == axis
    if exclusive and along:
        ctx.not_streamable("shifts the sequence by a step")
        x = replace(x, time=None)
    if x.dtype in FLOATS and not product:
        result = _summed(ctx, x, axis, reverse)
    else:
        if ctx.has_time(x.dims[axis]):
            ctx.not_streamable("folds the steps of the sequence")
            x = replace(x, time=None if along else x.time)
        turned = _turned(x, axis) if reverse else x
        result = _folded(ctx, turned, axis, "MUL" if product else "ADD")
        result = _turned(result, axis) if reverse else result
    return _shifted(ctx, result, axis, reverse, int(product)) if exclusive else result


def _flag(ctx: Context, name: str) -> bool:
    value = ctx.attribute(name, 0)
    if value not in (0, 1):
        raise NodeError(f"attribute {name!r} is {value}, not 0 or 1")
    return bool(value)


def _turned(x: Value, axis: int) -> Value:
    return values.slice_axis(x, axis, x.dims[axis] - 1, x.dims[axis], -1)


def _summed(ctx: Context, x: Value, axis: int, reverse: bool) -> Value:
    """h = x + h, whose input and hidden size are 1: no row sees what is infinite in another one.

    In a stream it goes on from the sums of the call before.
    """
    order = [axis, *(i for i in range(x.rank) if i != axis)]
    seen = values.transpose(x, order)
    rows = ctx.reshape(seen, (seen.dims[0], dm.product(seen.dims[1:]), 1))
    one = values.of_array(np.ones((1, 1, 1), np.float32), x.dtype)
    attributes = {"activations": ["Affine"], "direction": "reverse" if reverse else "forward"}
    step = OnnxNode("RNN", "", ctx.node.name, [], ctx.node.outputs[:1], attributes, ctx.node.version)
    (y,) = recurrent.lower(ctx, step, rows, one, one)
    assert y is not None
    sums = ctx.reshape(y, seen.dims)
    return values.transpose(sums, [order.index(i) for i in range(x.rank)])


def _folded(ctx: Context, x: Value, axis: int, function: str) -> Value:
    """After a fold with what lies 1, 2, 4, ... places before, each element holds twice as many."""
    length = ctx.number(
        x.dims[axis],
        f"folds {x.dims[axis]} elements; for products, and for integers, their number must be constant",
    )
    dtype = "F32" if x.dtype in FLOATS else x.dtype
    step = (function if x.dtype in FLOATS else f"I_{function}", 0, 1, 0, 0.0, 0.0)
    distance = 1
    while distance < length:
        whole = replace(values.of_tensor(ctx.new(x.dims, dtype), x.dtype), time=x.time, late=x.late)
        head, body = (values.slice_axis(whole, axis, i, n) for i, n in ((0, distance), (distance, length - distance)))
        before, after = (values.slice_axis(x, axis, i, length - distance) for i in (0, distance))
        ctx.emit("copy", [ctx.operand(values.slice_axis(x, axis, 0, distance))], [ctx.operand(head)])
        ctx.emit("elementwise", [ctx.operand(before), ctx.operand(after)], [ctx.operand(body)], program=[step])
        x, distance = whole, distance * 2
    return x


def _shifted(ctx: Context, x: Value, axis: int, reverse: bool, first: int) -> Value:
    """By one place, so that the first (or last) element is that of nothing."""
    length, dtype = x.dims[axis], "F32" if x.dtype in FLOATS else x.dtype
    longer = values.of_tensor(ctx.new((*x.dims[:axis], length + 1, *x.dims[axis + 1 :]), dtype), x.dtype)
    longer = replace(longer, time=x.time, late=x.late)
    end = values.slice_axis(longer, axis, length if reverse else 0, 1)
    nothing = values.fill(np.array(first, NUMPY_TYPE[dtype]), end.dims, x.dtype)
    ctx.emit("copy", [ctx.operand(nothing)], [ctx.operand(end)])
    ctx.emit("copy", [ctx.operand(x)], [ctx.operand(values.slice_axis(longer, axis, 0 if reverse else 1, length))])
    return values.slice_axis(longer, axis, 1 if reverse else 0, length)


@reference("CumSum", "CumProd")
def reference_running(node: OnnxNode, x: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """NumPy's own, in the type of x."""
    fold, first = (np.cumsum, 0) if node.op == "CumSum" else (np.cumprod, 1)
    moved = np.moveaxis(x, int(axis.reshape(())), 0)
    moved = moved[::-1] if node.attributes.get("reverse", 0) else moved
    made = fold(moved, axis=0, dtype=x.dtype)
    if node.attributes.get("exclusive", 0):
        made = np.concatenate([np.full_like(made[:1], first), made[:-1]])
    made = made[::-1] if node.attributes.get("reverse", 0) else made
    return np.ascontiguousarray(np.moveaxis(made, 0, int(axis.reshape(()))))
