# SPDX-License-Identifier: Apache-2.0
"""Gather: a view where the indices are known, the engine operator `gather` where they come with the data."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference, symbolic
from ..values import Value


@lowering("Gather", inputs="data:any indices:int64/int32", attributes="axis")
def lower(ctx: Context, node: OnnxNode, x: Value, indices: Value) -> Value:
    """y[a, i, b] = x[a, indices[i], b]."""
    return _gathered(ctx, x, ctx.axis(ctx.attribute("axis", 0), x.rank), indices)


def _gathered(ctx: Context, x: Value, axis: int, indices: Value) -> Value:
    known = indices.sizes() if indices.sym is not None else indices.const if indices.is_full else None
    if known is not None and known.size == 1:
        index = known.reshape(-1)[0]
        return _one(ctx, x, axis, index if isinstance(index, dm.Dim) else int(index), indices.rank)
    return picked(ctx, x, axis, indices)


def picked(ctx: Context, x: Value, axis: int, indices: Value) -> Value:
    """The elements of an axis at indices: a view where these are constant and evenly spaced."""
    seen = _regular(ctx, x, axis, indices)
    return _at_run_time(ctx, x, axis, indices) if seen is None else seen


def taken(ctx: Context, v: Value, axis: int, start: Size, result: Value, step: int = 1) -> Value:
    """What becomes of the time axis when elements are taken from it, from `start` on.

    As many as the call has steps, or more, are steps again, later by as many as are left out behind them. A number of
    them at the end (which there is in each call, or it would be no number) is what is known after the last step.
    """
    time, count = v.time, result.dims[axis]
    if time is None or time.axis != axis or ctx.steps is None:
        return result
    if step == 1 and time.inner == 1 and v.dims[axis] == ctx.steps + time.lead:
        lead = count - ctx.steps
        if isinstance(lead, int) and isinstance(start, int) and lead >= 0:
            return replace(result, time=time._replace(lead=lead))
        if isinstance(count, int) and count and start + count == v.dims[axis]:
            return replace(result, time=None, late=True)
    if count == 1:
        ctx.not_streamable("takes other steps of the sequence than the last one")
    else:
        ctx.not_streamable("takes some steps of the sequence" if step > 0 else "turns the sequence round")
    return replace(result, time=None)


def _one(ctx: Context, x: Value, axis: int, index: Size, rank: int) -> Value:
    """A single index: an element of the axis, which then has the axes of the index, all of length 1."""
    length = x.dims[axis]
    negative = dm.bounds(index)[1]
    start = index + length if negative is not None and negative < 0 else index
    inside = ctx.sizes.at_most(0, start, ctx.where), ctx.sizes.at_most(start + 1, length, ctx.where)
    if False in inside:
        raise NodeError(f"index {index} is outside axis {axis}, which has {length} elements")
    part = taken(ctx, x, axis, start, values.slice_axis(x, axis, start, 1))
    flat = values.drop_axes(part, [axis])
    return values.insert_axes(flat, list(range(axis, axis + rank))) if rank else flat


def _regular(ctx: Context, x: Value, axis: int, indices: Value) -> Value | None:
    """Evenly spaced indices are a slice."""
    if indices.const is None or indices.rank != 1 or indices.const.size < 2:
        return None
    length = x.dims[axis]
    numbers = [int(i) for i in indices.const]
    gap, *others = {b - a for a, b in itertools.pairwise(numbers)}
    if others or (numbers[0] < 0) != (numbers[-1] < 0):
        return None
    start: Size = numbers[0] + length if numbers[0] < 0 else numbers[0]
    for i in (start, start + gap * (len(numbers) - 1)):
        if not (ctx.sizes.at_most(0, i, ctx.where) and ctx.sizes.at_most(i + 1, length, ctx.where)):
            return None
    return taken(ctx, x, axis, start, values.slice_axis(x, axis, start, len(numbers), gap), gap)


def _at_run_time(ctx: Context, x: Value, axis: int, indices: Value) -> Value:
    check_range(ctx, x.dims[axis], axis, indices)
    dims = (*x.dims[:axis], *indices.dims, *x.dims[axis + 1 :])
    source = ctx.operand(x)
    target = ctx.new(dims, source.dtype)
    ctx.emit("gather", [source, ctx.operand(indices)], [target], axis=axis)
    times = set()
    if indices.time is not None:
        times.add(indices.time.on(indices.time.axis + axis))
    if x.time is not None:
        if x.time.axis == axis:
            ctx.not_streamable("picks steps of the sequence by index")
        else:
            times.add(x.time.on(x.time.axis + (indices.rank - 1 if x.time.axis > axis else 0)))
    if len(times) > 1:
        ctx.not_streamable("combines different steps of the sequence")
    if times and (x.late or indices.late):
        ctx.not_streamable("uses at each step what is known only after the last one")
    time = times.pop() if times else None
    return replace(values.of_tensor(target, x.dtype), time=time, late=(x.late or indices.late) and time is None)


def check_range(ctx: Context, length: Size, axis: int, indices: Value) -> None:
    """Constant indices are checked when converting, others when they are used."""
    if indices.const is None:
        return
    if not isinstance(length, int):
        ctx.settle(length)
        return
    bad = indices.const[(indices.const < -length) | (indices.const >= length)]
    if bad.size:
        raise NodeError(f"index {int(bad[0])} is outside axis {axis}, which has {length} elements")


@lowering("Compress", inputs="input:any condition:bool", attributes="axis", since=9)
def lower_compress(ctx: Context, node: OnnxNode, x: Value, condition: Value) -> Value:
    """The elements of an axis, or of all of x in a row, that a constant condition has true."""
    if condition.const is None or condition.rank != 1:
        raise NodeError("input 'condition' is not a constant vector, so that the size of the result depends on data")
    if ctx.attribute("axis") is None:
        x = ctx.reshape(x, (dm.product(x.dims),))
    axis = ctx.axis(ctx.attribute("axis", 0), x.rank)
    places = np.flatnonzero(condition.array())
    if not places.size:
        raise NodeError("input 'condition' has no true element, so that nothing is left")
    return _gathered(ctx, x, axis, values.of_array(places, "I64"))


@reference("Gather", exact=True)
def reference_gather(node: OnnxNode, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """NumPy's take; negative indices count from the end."""
    axis = node.attributes.get("axis", 0)
    length = x.shape[axis] if -x.ndim <= axis < x.ndim else 0
    if indices.size and (indices.min() < -length or indices.max() >= length):
        raise NodeError(f"its indices reach outside axis {axis}, which has {length} elements")
    return np.take(x, indices.astype(np.int64), axis=axis)


@reference("Compress", exact=True)
def reference_compress(node: OnnxNode, x: np.ndarray, condition: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    return np.compress(condition, x, node.attributes.get("axis"))


@symbolic("Gather")
def sizes_gather(node: OnnxNode, x: np.ndarray, indices: np.ndarray) -> np.ndarray | None:
    """Constant indices into sizes."""
    if not all(isinstance(i, int) for i in indices.flat):
        return None
    found = reference_gather(node, x, indices.astype(np.int64))
    return found if isinstance(found, np.ndarray) else _scalar(found)


def _scalar(value: object) -> np.ndarray:
    result = np.empty((), object)
    result[()] = value
    return result
