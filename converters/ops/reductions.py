# SPDX-License-Identifier: Apache-2.0
"""Sums, means, extremes and their places over some axes -> the engine operator `reduce`, which folds the last ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .. import dims as dm
from .. import values
from ..errors import NodeError
from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference, symbolic
from ..values import Value
from .elementwise import arithmetic, scalar

_PLAIN = {
    "ReduceSum": "SUM",
    "ReduceMean": "MEAN",
    "ReduceProd": "PROD",
    "ReduceMax": "MAX",
    "ReduceMin": "MIN",
}
_COMPOSED = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare")
_OF_INTEGERS = ("ReduceMean", "ReduceProd", "ReduceL1", "ReduceSumSquare")
_OF_FLOATS = ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp")
_ALL = (*_PLAIN, *_COMPOSED)
_NUMBERS, _AXES = "data:numbers", " axes?:int64"
_ATTRIBUTES, _ATTRIBUTES_18 = "axes keepdims", "keepdims noop_with_empty_axes"


def reduced(ctx: Context, x: Value, axes: list[int], kind: str, keepdims: bool = True, dtype: str = "") -> Value:
    """x folded over `axes` (ascending, from the front), which a view moves behind the others."""
    if ctx.has_time(*(x.dims[a] for a in axes)):
        ctx.not_streamable("reduces over the steps of the sequence")
        if x.time is not None and x.time.axis in axes:
            x = replace(x, time=None)
    keep = [i for i in range(x.rank) if i not in axes]
    source = ctx.operand(values.transpose(x, keep + axes))
    target = ctx.new(tuple(x.dims[i] for i in keep), dtype or source.dtype)
    ctx.emit("reduce", [source], [target], kind=kind, axes=len(axes))
    time = x.time.on(keep.index(x.time.axis)) if x.time is not None else None
    result = replace(values.of_tensor(target, dtype or x.dtype), time=time, late=x.late)
    return values.insert_axes(result, axes) if keepdims else result


def _axes(ctx: Context, x: Value, given: Value | None) -> list[int]:
    """The attribute or the input `axes`; none given means all of them, unless the node says otherwise."""
    axes = ctx.attribute("axes", []) if given is None else ctx.constants(given, "input 'axes'")
    if not axes:
        return [] if ctx.attribute("noop_with_empty_axes", 0) else list(range(x.rank))
    found = sorted({ctx.axis(a, x.rank, "axes:") for a in axes})
    if len(found) < len(axes):
        raise NodeError(f"axes {axes} repeat one")
    return found


@lowering("ReduceSum", inputs=_NUMBERS, attributes=_ATTRIBUTES, until=12)
@lowering("ReduceSum", inputs=_NUMBERS + _AXES, attributes=_ATTRIBUTES_18, since=13)
@lowering("ReduceMax", "ReduceMin", inputs=_NUMBERS, attributes=_ATTRIBUTES, until=17)
@lowering("ReduceMax", "ReduceMin", inputs="data:any" + _AXES, attributes=_ATTRIBUTES_18, since=18)
@lowering(*_OF_INTEGERS, inputs=_NUMBERS, attributes=_ATTRIBUTES, until=17)
@lowering(*_OF_INTEGERS, inputs=_NUMBERS + _AXES, attributes=_ATTRIBUTES_18, since=18)
@lowering(*_OF_FLOATS, inputs="data:floats", attributes=_ATTRIBUTES, until=17)
@lowering(*_OF_FLOATS, inputs="data:floats" + _AXES, attributes=_ATTRIBUTES_18, since=18)
def lower_reduce(ctx: Context, node: OnnxNode, x: Value, given: Value | None = None) -> Value:
    """What is not a plain fold is elementwise steps around one; those are done even where no axis is folded."""
    axes, keepdims = _axes(ctx, x, given), bool(ctx.attribute("keepdims", 1))
    if node.op == "ReduceLogSumExp":
        return log_sum_exp(ctx, x, axes, keepdims)
    if node.op == "ReduceL1":
        x = arithmetic(ctx, "ABS", x)
    elif node.op in ("ReduceL2", "ReduceSumSquare"):
        x = arithmetic(ctx, "MUL", x, x)
    if axes:
        x = reduced(ctx, x, axes, _PLAIN.get(node.op, "SUM"), keepdims)
    if node.op == "ReduceL2":
        return arithmetic(ctx, "SQRT", x)
    return arithmetic(ctx, "LOG", x) if node.op == "ReduceLogSum" else x


def log_sum_exp(ctx: Context, x: Value, axes: list[int], keepdims: bool) -> Value:
    """m + log(sum(e^(x - m))), m being the largest element, or 0 where that is infinite."""
    if not axes:
        return x
    largest = reduced(ctx, x, axes, "MAX")
    endless = ctx.elementwise("IS_INF", largest, alpha=1, beta=1, dtype="BOOL")
    chosen = ctx.elementwise("I_TO_F", endless, dtype=x.dtype)
    largest = ctx.elementwise("WHERE", chosen, scalar(0.0, x.dtype), largest, dtype=x.dtype)
    powers = ctx.elementwise("EXP", arithmetic(ctx, "SUB", x, largest))
    total = reduced(ctx, powers, axes, "SUM")
    result = arithmetic(ctx, "ADD", ctx.elementwise("LOG", total), largest)
    return result if keepdims else values.drop_axes(result, axes)


@lowering("ArgMax", "ArgMin", inputs="data:numbers", attributes="axis keepdims", until=11)
@lowering("ArgMax", "ArgMin", inputs="data:numbers", attributes="axis keepdims select_last_index", since=12)
def lower_place(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """One `reduce`: the place of the extreme along one axis."""
    axis = ctx.axis(ctx.attribute("axis", 0), x.rank)
    if x.dims[axis] == 0:
        raise NodeError(f"axis {axis} has no elements, among which there is no extreme")
    kind = "ARG_MAX" if node.op == "ArgMax" else "ARG_MIN"
    if ctx.attribute("select_last_index", 0):
        kind += "_LAST"
    return reduced(ctx, x, [axis], kind, bool(ctx.attribute("keepdims", 1)), "I64")


@lowering("GlobalAveragePool", "GlobalMaxPool", inputs="X:floats")
def lower_global_pool(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """One `reduce` over all axes behind rows and channels."""
    if x.rank < 2:
        raise NodeError(f"takes rows, channels and spatial axes, not a tensor of rank {x.rank}")
    axes = list(range(2, x.rank))
    return reduced(ctx, x, axes, "MAX" if node.op == "GlobalMaxPool" else "MEAN") if axes else x


# ---- references ------------------------------------------------------------------------------------------------------


@reference(*_ALL)
def reference_reduce(node: OnnxNode, x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    """NumPy's own; the extreme of nothing is the end of the type's range."""
    given = node.attributes.get("axes", []) if axes is None else axes.tolist()
    over = tuple(int(a) for a in given)
    if not over and not node.attributes.get("noop_with_empty_axes", 0):
        over = tuple(range(x.ndim))
    how: dict[str, Any] = {"axis": over, "keepdims": bool(node.attributes.get("keepdims", 1))}
    if node.op in ("ReduceMax", "ReduceMin"):
        return _extreme(node.op, x, how)
    if node.op == "ReduceProd":
        return np.asarray(np.prod(x, dtype=x.dtype, **how))
    if node.op == "ReduceLogSumExp":
        top = np.max(x, axis=over, keepdims=True, initial=-np.inf)
        top = np.where(np.isinf(top), 0, top)
        total = np.log(np.sum(np.exp(x - top), **how))
        return np.asarray(total + top.reshape(np.shape(total)))
    if node.op == "ReduceL1":
        x = np.abs(x)
    elif node.op in ("ReduceL2", "ReduceSumSquare"):
        x = x * x
    total = np.sum(x, dtype=x.dtype, **how)
    if node.op == "ReduceMean":
        count = int(np.prod([x.shape[a] for a in over], dtype=np.int64))
        if x.dtype.kind != "f":
            return np.asarray(np.sign(total) * (np.abs(total) // max(count, 1))).astype(x.dtype)
        return np.asarray(total / np.float64(count))
    return np.asarray({"ReduceL2": np.sqrt, "ReduceLogSum": np.log}.get(node.op, np.asarray)(total))


def _extreme(op: str, x: np.ndarray, how: dict[str, Any]) -> np.ndarray:
    low, high = (-np.inf, np.inf) if x.dtype.kind == "f" else (False, True)
    if x.dtype.kind in "iu":
        low, high = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
    fold: Any = np.maximum if op == "ReduceMax" else np.minimum
    return np.asarray(fold.reduce(x, initial=low if op == "ReduceMax" else high, **how))


@reference("ArgMax", "ArgMin")
def reference_place(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """NumPy's own; the last place is the first of the axis turned round."""
    axis, last = node.attributes.get("axis", 0), node.attributes.get("select_last_index", 0)
    find = np.argmax if node.op == "ArgMax" else np.argmin
    found = find(np.flip(x, axis) if last else x, axis=axis, keepdims=bool(node.attributes.get("keepdims", 1)))
    return np.asarray(x.shape[axis] - 1 - found if last else found, np.int64)


@reference("GlobalAveragePool", "GlobalMaxPool")
def reference_global_pool(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """Over all spatial axes."""
    axes = tuple(range(2, x.ndim))
    return np.asarray((np.max if node.op == "GlobalMaxPool" else np.mean)(x, axis=axes, keepdims=True))


# ---- sizes -----------------------------------------------------------------------------------------------------------


@symbolic("ReduceSum", "ReduceMax", "ReduceMin")
def sizes_reduce(node: OnnxNode, x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray | None:
    """Over a list of sizes."""
    if x.ndim != 1 or not x.size or (node.attributes.get("noop_with_empty_axes", 0) and axes is None):
        return None
    total: Any = x[0]
    for size in x[1:]:
        if node.op == "ReduceSum":
            total = total + size
        else:
            total = (dm.maximum if node.op == "ReduceMax" else dm.minimum)(total, size)
    result = np.empty(1 if node.attributes.get("keepdims", 1) else (), object)
    result[...] = total
    return result
