# SPDX-License-Identifier: Apache-2.0
"""TopK: the place of the largest element, and again among those that are left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import values
from ..errors import NodeError
from ..ir import FLOATS
from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .elementwise import arithmetic
from .reductions import reduced

MAX_PICKS = 256  # each is some operators


@lowering("TopK", inputs="X:floats", outputs=2, attributes="axis k", until=9)
@lowering("TopK", inputs="X:floats K:int64", outputs=2, attributes="axis", since=10, until=10)
@lowering("TopK", inputs="X:numbers K:int64", outputs=2, attributes="axis largest sorted", since=11)
def lower(ctx: Context, node: OnnxNode, x: Value, given: Value | None = None) -> list[Value | None]:
    """Values and places; of equal elements the first comes first. They are sorted whether that is asked for or not."""
    axis = ctx.axis(ctx.attribute("axis", -1), x.rank)
    length = ctx.number(x.dims[axis], f"orders {x.dims[axis]} elements; their number must be constant")
    counts = [ctx.attribute("k", -1)] if given is None else ctx.constants(given, "input 'K'")
    if len(counts) != 1 or not 1 <= counts[0] <= min(length, MAX_PICKS):
        raise NodeError(f"takes the first {counts} of {length} elements; 1 to {MAX_PICKS} of them are supported")
    if x.time is not None and x.time.axis == axis:
        ctx.not_streamable("orders the steps of the sequence")
        x = replace(x, time=None)
    kind = "ARG_MAX" if ctx.attribute("largest", 1) else "ARG_MIN"
    return list(_picked(ctx, x, axis, counts[0], kind))


def _picked(ctx: Context, x: Value, axis: int, count: int, kind: str) -> tuple[Value, Value]:
    dims = (*x.dims[:axis], count, *x.dims[axis + 1 :])
    best = values.of_tensor(ctx.new(dims, "F32" if x.dtype in FLOATS else x.dtype), x.dtype)
    found = values.of_tensor(ctx.new(dims, "I64"))
    rest, places = x, None
    for i in range(count):
        at = reduced(ctx, rest, [axis], kind, dtype="I64")
        _take(ctx, rest, at, values.slice_axis(best, axis, i, 1), axis)
        place = values.slice_axis(found, axis, i, 1)
        if places is None:
            ctx.emit("copy", [ctx.operand(at)], [ctx.operand(place)])
        else:
            _take(ctx, places, at, place, axis)
        if i + 1 < count:
            rest, places = _without(ctx, rest, places, at, axis)
    best, found = (replace(v, time=x.time, late=x.late) for v in (best, found))
    return best, found


def _take(ctx: Context, source: Value, at: Value, target: Value, axis: int) -> None:
    ctx.emit("gather_elements", [ctx.operand(source), ctx.operand(at)], [ctx.operand(target)], axis=axis)


def _without(ctx: Context, x: Value, places: Value | None, at: Value, axis: int) -> tuple[Value, Value]:
    """The elements and their places without the one at `at`: what lies behind it moves up."""
    length = x.dims[axis]
    assert isinstance(length, int)
    line = values.of_array(np.arange(length - 1).reshape(-1, *[1] * (x.rank - axis - 1)), "I64")
    numbers = values.expand(line, (*x.dims[:axis], length - 1, *x.dims[axis + 1 :]))
    behind = ctx.elementwise("I_LESS_EQUAL", at, numbers, dtype="BOOL")
    kept = arithmetic(ctx, "ADD", numbers, behind)
    left = replace(values.of_tensor(ctx.new(kept.dims, ctx.operand(x).dtype), x.dtype), time=x.time, late=x.late)
    _take(ctx, x, kept, left, axis)
    if places is None:
        return left, kept
    named = values.of_tensor(ctx.new(kept.dims, "I64"))
    _take(ctx, places, kept, named, axis)
    return left, named


@reference("TopK", exact=True)
def reference_top_k(node: OnnxNode, x: np.ndarray, given: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """By a stable sort; a NaN is larger than any number, or smaller where the smallest are asked for."""
    a = node.attributes
    axis, count = a.get("axis", -1), a["k"] if given is None else int(given.reshape(()))
    if not -x.ndim <= axis < x.ndim or not 0 <= count <= x.shape[axis]:
        raise NodeError(f"takes the first {count} elements along axis {axis} of {list(x.shape)}")
    if a.get("largest", 1):  # turned round, so that of equal elements the first is the last
        order = np.flip(x.shape[axis] - 1 - np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    else:
        key = np.where(x != x, -np.inf, x) if x.dtype.kind == "f" else x
        order = np.argsort(key, axis, kind="stable")
    places = np.take(order, range(count), axis)
    return np.take_along_axis(x, places, axis), places.astype(np.int64)
