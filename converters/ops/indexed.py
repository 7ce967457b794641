# SPDX-License-Identifier: Apache-2.0
"""GatherElements, GatherND, ScatterElements, Scatter and ScatterND: elements picked and put by index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import values
from ..dims import Size
from ..errors import NodeError
from ..ir import FLOATS
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Time, Value
from .gather import check_range
from .shapes import places

_SCATTER = "data:any indices:int64/int32 updates:data"
_KINDS = {"none": "SET", "add": "ADD", "mul": "MUL", "max": "MAX", "min": "MIN"}
_SETTERS: dict[str, Callable[[np.ndarray, Any, np.ndarray], Any]] = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def _made(ctx: Context, x: Value, dims: tuple[Size, ...], parts: tuple[Value, ...], time: Time | None) -> Value:
    """The result in a new tensor; `time` is where its steps are."""
    late = any(v.late for v in parts)
    if time is not None and late:
        ctx.not_streamable("uses at each step what is known only after the last one")
    target = ctx.new(dims, "F32" if x.dtype in FLOATS else x.dtype)
    return replace(values.of_tensor(target, x.dtype), time=time, late=late and time is None)


def _aligned(ctx: Context, parts: tuple[Value, ...], axis: int) -> Time | None:
    """The steps of operands of one rank, which have to agree, and to lie off the axis that is indexed."""
    time, _ = ctx.join_time([replace(v, late=False) for v in parts], parts[0].dims)
    if time is None:
        return None
    if time.axis == axis:
        ctx.not_streamable("picks steps of the sequence by index")
        return None
    if any(v.dims[time.axis] != parts[0].dims[time.axis] for v in parts):
        ctx.not_streamable("treats some steps of the sequence differently from others")
    return time


def _check_extent(ctx: Context, x: Value, indices: Value, axis: int) -> None:
    """Off the axis that is indexed, places are those of the indices themselves."""
    if indices.rank != x.rank:
        raise NodeError(f"its indices have the shape {show(indices.dims)}, of another rank than {show(x.dims)}")
    for k, (n, m) in enumerate(zip(indices.dims, x.dims, strict=True)):
        if k != axis and ctx.sizes.at_most(n, m, ctx.where) is False:
            raise NodeError(f"its indices of shape {show(indices.dims)} reach beyond axis {k} of {show(x.dims)}")
    check_range(ctx, x.dims[axis], axis, indices)


@lowering("GatherElements", inputs="data:any indices:int64/int32", attributes="axis", since=11)
def lower_gather_elements(ctx: Context, node: OnnxNode, x: Value, indices: Value) -> Value:
    """y[i, j, k] = x[i, indices[i, j, k], k]."""
    axis = ctx.axis(ctx.attribute("axis", 0), x.rank)
    _check_extent(ctx, x, indices, axis)
    result = _made(ctx, x, indices.dims, (x, indices), _aligned(ctx, (indices, x), axis))
    ctx.emit("gather_elements", [ctx.operand(x), ctx.operand(indices)], [result.tensor], axis=axis)
    return result


@lowering("GatherND", inputs="data:any indices:int64", since=11, until=11)
@lowering("GatherND", inputs="data:any indices:int64", attributes="batch_dims", since=12)
def lower_gather_nd(ctx: Context, node: OnnxNode, x: Value, indices: Value) -> Value:
    """y[b, i] = x[b, indices[b, i, 0], indices[b, i, 1], ...]."""
    batch, depth = ctx.attribute("batch_dims", 0), _depth(ctx, indices)
    if not 0 <= batch < min(x.rank, indices.rank) or batch + depth > x.rank:
        raise NodeError(f"takes {depth} indices after {batch} batch axes from {show(x.dims)}")
    for k in range(batch):
        ctx.equal(x.dims[k], indices.dims[k], f"batch axis {k} differs in {show(x.dims, indices.dims)}")
    _check_tuples(ctx, x.dims[batch : batch + depth], batch, indices)
    lead = indices.rank - 1
    dims = (*indices.dims[:-1], *x.dims[batch + depth :])
    times = {indices.time} - {None}
    if x.time is not None:
        axis = x.time.axis
        if batch <= axis < batch + depth:
            ctx.not_streamable("picks steps of the sequence by index")
        else:
            times.add(x.time.on(axis if axis < batch else lead + axis - batch - depth))
    if len(times) > 1:
        ctx.not_streamable("combines different steps of the sequence")
    result = _made(ctx, x, dims, (x, indices), next(iter(times), None))
    ctx.emit("gather_nd", [ctx.operand(x), ctx.operand(indices)], [result.tensor], batch_axes=batch)
    return result


def _depth(ctx: Context, indices: Value) -> int:
    last = indices.dims[-1] if indices.rank else 0
    depth = ctx.number(last, f"its indices have the shape {show(indices.dims)}, whose last axis must be constant")
    if depth < 1:
        raise NodeError(f"its indices have the shape {show(indices.dims)}; at least one index is needed")
    return depth


def _check_tuples(ctx: Context, lengths: tuple[Size, ...], first: int, indices: Value) -> None:
    if indices.const is not None:
        for k, length in enumerate(lengths):
            part = replace(indices, const=indices.const[..., k if indices.const.shape[-1] > 1 else 0])
            check_range(ctx, length, first + k, part)


def _kind(ctx: Context, x: Value) -> str:
    reduction = ctx.attribute("reduction", "none")
    if reduction not in _KINDS:
        raise NodeError(f"attribute 'reduction' is {reduction!r}, not one of {', '.join(_KINDS)}")
    if reduction != "none" and x.dtype == "BOOL":
        raise NodeError(f"attribute 'reduction' is {reduction!r}, which is not supported on bool")
    return _KINDS[reduction]


@lowering("Scatter", inputs=_SCATTER, attributes="axis", since=9, until=10)
@lowering("ScatterElements", inputs=_SCATTER, attributes="axis", since=11, until=15)
@lowering("ScatterElements", inputs=_SCATTER, attributes="axis reduction", since=16)
def lower_scatter_elements(ctx: Context, node: OnnxNode, x: Value, indices: Value, updates: Value) -> Value:
    """y = x, then y[i, indices[i, j, k], k] takes updates[i, j, k]."""
    axis = ctx.axis(ctx.attribute("axis", 0), x.rank)
    kind = _kind(ctx, x)
    _check_extent(ctx, x, indices, axis)
    if updates.rank != indices.rank:
        raise NodeError(f"its indices and updates have the shapes {show(indices.dims, updates.dims)}")
    for a, b in zip(updates.dims, indices.dims, strict=True):
        ctx.equal(a, b, f"its indices and updates have the shapes {show(indices.dims, updates.dims)}")
    return _scattered(ctx, x, indices, updates, axis, kind)


def _scattered(ctx: Context, x: Value, indices: Value, updates: Value, axis: int, kind: str) -> Value:
    parts = (x, indices, updates)
    result = _made(ctx, x, x.dims, parts, _aligned(ctx, parts, axis))
    operands = [ctx.operand(v) for v in parts]
    ctx.emit("scatter_elements", [*operands], [result.tensor], axis=axis, kind=kind)
    return result


@lowering(
    "TensorScatter",
    inputs="past_cache:any update:past_cache write_indices?:int64",
    attributes="axis mode",
    since=24,
)
def lower_tensor_scatter(ctx: Context, node: OnnxNode, x: Value, update: Value, first: Value | None) -> Value:
    """y = x, then y[b, first[b] + i] takes update[b, i]; in a circle, what would lie behind the end is at the front."""
    axis, mode = ctx.axis(ctx.attribute("axis", -2), x.rank), ctx.attribute("mode", "linear")
    if mode not in ("linear", "circular"):
        raise NodeError(f"attribute 'mode' is {mode!r}; 'linear' and 'circular' are defined")
    if axis == 0:
        raise NodeError(f"attribute 'axis' is {ctx.attribute('axis', -2)}, which is that of the rows")
    text = f"its cache and its update have the shapes {show(x.dims, update.dims)}"
    ctx.equal(x.rank, update.rank, text)
    for k, (a, b) in enumerate(zip(x.dims, update.dims, strict=True)):
        ctx.equal(a, x.dims[k] if k == axis else b, text)
    at = values.insert_axes(places(ctx, update.dims[axis]), list(range(1, x.rank - axis)))
    if first is not None:
        ctx.equal(first.dims[0] if first.rank == 1 else 0, x.dims[0], "input 'write_indices' has not one for each row")
        at = ctx.elementwise("I_ADD", values.insert_axes(first, list(range(1, x.rank))), at)
    if mode == "circular":
        at = ctx.elementwise("I_MOD", at, values.of_sizes(values.objects([x.dims[axis]])))
    return _scattered(ctx, x, ctx.expand(at, update.dims), update, axis, "SET")


@lowering("ScatterND", inputs="data:any indices:int64 updates:data", since=11, until=15)
@lowering("ScatterND", inputs="data:any indices:int64 updates:data", attributes="reduction", since=16)
def lower_scatter_nd(ctx: Context, node: OnnxNode, x: Value, indices: Value, updates: Value) -> Value:
    """y = x, then y[indices[i, 0], indices[i, 1], ...] takes updates[i]."""
    kind, depth = _kind(ctx, x), _depth(ctx, indices)
    if depth > x.rank:
        raise NodeError(f"takes {depth} indices into {show(x.dims)}")
    wanted = (*indices.dims[:-1], *x.dims[depth:])
    if updates.rank != len(wanted):
        raise NodeError(f"its updates have the shape {show(updates.dims)}, not {show(wanted)}")
    for a, b in zip(updates.dims, wanted, strict=True):
        ctx.equal(a, b, f"its updates have the shape {show(updates.dims)}, not {show(wanted)}")
    _check_tuples(ctx, x.dims[:depth], 0, indices)
    lead = indices.rank - 1
    time = x.time
    placed = None if updates.time is None else updates.time.on(updates.time.axis - lead + depth)
    lost = indices.time is not None or (placed is not None and placed.axis < depth) or ctx.has_time(*indices.dims)
    if lost or (time is not None and time.axis < depth) or (time is None and ctx.has_time(*x.dims)):
        ctx.not_streamable("puts steps of the sequence by index")
        time = None
    elif placed is not None and placed != time:
        ctx.not_streamable("combines different steps of the sequence")
    result = _made(ctx, x, x.dims, (x, indices, updates), time)
    operands = [ctx.operand(v) for v in (x, indices, updates)]
    ctx.emit("scatter_nd", [*operands], [result.tensor], kind=kind)
    return result


# ---- references ------------------------------------------------------------------------------------------------------


def _wrapped(indices: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Negative indices count from the end."""
    if indices.size and (indices.min() < -length or indices.max() >= length):
        raise NodeError(f"its indices reach outside axis {axis}, which has {length} elements")
    return np.where(indices < 0, indices + length, indices)


@reference("GatherElements", exact=True)
def reference_gather_elements(node: OnnxNode, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Each place is that of the index itself, but on the axis."""
    axis = node.attributes.get("axis", 0) % max(1, x.ndim)
    return np.asarray(x[_places(x, indices, axis)])


def _places(x: np.ndarray, indices: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    if indices.ndim != x.ndim or any(n > m for k, (n, m) in enumerate(zip(indices.shape, x.shape)) if k != axis):
        raise NodeError(f"its indices have the shape {list(indices.shape)}, not one within {list(x.shape)}")
    places: list[np.ndarray] = list(np.indices(indices.shape, sparse=True))
    places[axis] = _wrapped(indices.astype(np.int64), x.shape[axis], axis)
    return tuple(places)


@reference("ScatterElements", "Scatter", exact=True)
def reference_scatter_elements(node: OnnxNode, x: np.ndarray, indices: np.ndarray, updates: np.ndarray) -> np.ndarray:
    """A copy of x with the updates put in, in row-major order."""
    if indices.shape != updates.shape:
        raise NodeError(f"its indices and updates have the shapes {list(indices.shape)} and {list(updates.shape)}")
    result = np.array(x)
    axis = node.attributes.get("axis", 0) % max(1, x.ndim)
    _put(node, result, np.broadcast_arrays(*_places(x, indices, axis)), updates)
    return result


def _put(node: OnnxNode, result: np.ndarray, places: Any, updates: np.ndarray) -> None:
    setter = _SETTERS.get(node.attributes.get("reduction", "none"))
    if setter is None:
        result[tuple(places)] = updates
    else:
        setter(result, tuple(places), updates)


@reference("GatherND", exact=True)
def reference_gather_nd(node: OnnxNode, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The last axis of the indices is a place."""
    batch, depth = node.attributes.get("batch_dims", 0), indices.shape[-1]
    lead = indices.shape[:-1]
    grid = np.indices(lead, sparse=True)[:batch] if batch else ()
    found = [_wrapped(indices[..., k].astype(np.int64), x.shape[batch + k], batch + k) for k in range(depth)]
    places = (*grid, *found)
    return np.asarray(x[places])


@reference("ScatterND", exact=True)
def reference_scatter_nd(node: OnnxNode, x: np.ndarray, indices: np.ndarray, updates: np.ndarray) -> np.ndarray:
    """A copy of x with the updates put in."""
    result = np.array(x)
    places = [_wrapped(indices[..., k].astype(np.int64), x.shape[k], k) for k in range(indices.shape[-1])]
    _put(node, result, places, updates)
    return result


@reference("TensorScatter", exact=True)
def reference_tensor_scatter(
    node: OnnxNode, x: np.ndarray, update: np.ndarray, first: np.ndarray | None = None
) -> np.ndarray:
    """Row by row."""
    axis, result = node.attributes.get("axis", -2) % x.ndim, x.copy()
    for b in range(len(x)):
        at = np.arange(update.shape[axis]) + (0 if first is None else first[b])
        if node.attributes.get("mode", "linear") == "circular":
            at = at % x.shape[axis]
        result[b][(slice(None),) * (axis - 1) + (at,)] = update[b]
    return result
