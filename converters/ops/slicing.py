# SPDX-License-Identifier: Apache-2.0
"""Slice and Split: views of a part; Concat: parts side by side in a new tensor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..ir import FLOATS, Tensor
from ..lowering import Context, Lead, show
from ..onnx_model import OnnxNode
from ..places import inner
from ..registry import lowering, reference, symbolic
from ..values import Time, Value
from .gather import taken

HUGE = (1 << 31) - 1  # exporters write INT32_MAX, INT64_MAX and the like for "to the end"


@lowering("Slice", inputs="data:any", attributes="starts ends axes", until=9)
def lower_slice_attributes(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """Seen in part; the bounds are attributes."""
    starts, ends = ctx.attribute("starts"), ctx.attribute("ends")
    if starts is None or ends is None:
        raise NodeError("has no attribute 'starts' or 'ends'")
    return _slice(ctx, x, starts, ends, ctx.attribute("axes"), None)


@lowering("Slice", inputs="data:any starts:int64/int32 ends:starts axes?:starts steps?:starts", since=10)
def lower_slice(
    ctx: Context, node: OnnxNode, x: Value, starts: Value, ends: Value, axes: Value | None, steps: Value | None
) -> Value:
    """Seen in part; the bounds are inputs, perhaps sizes."""
    return _slice(
        ctx,
        x,
        ctx.integers(starts, "input 'starts'"),
        ctx.integers(ends, "input 'ends'"),
        None if axes is None else ctx.constants(axes, "input 'axes'"),
        None if steps is None else ctx.constants(steps, "input 'steps'"),
    )


def _slice(
    ctx: Context, x: Value, starts: list[Size], ends: list[Size], axes: list[int] | None, steps: list[int] | None
) -> Value:
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise NodeError(f"has {len(starts)} starts, {len(ends)} ends, {len(axes)} axes and {len(steps)} steps")
    found = [ctx.axis(a, x.rank, "axes:") for a in axes]
    if len(set(found)) < len(found):
        raise NodeError(f"axes {axes} repeat one")
    for axis, start, end, step in zip(found, starts, ends, steps, strict=True):
        x = part(ctx, x, axis, start, end, step)
    return x


def part(ctx: Context, x: Value, axis: int, start: Size, end: Size, step: int = 1) -> Value:
    """The elements from start to before end, every step-th, of an axis: bounds as ONNX's Slice reads them."""
    length = x.dims[axis]
    if step == 0:
        raise NodeError("has a step of 0")
    if step > 0:
        first = _clamp(ctx, start, length, 0, length)
        last = _clamp(ctx, end, length, 0, length)
        count, some = dm.ceil_div(last - first, step), ctx.sizes.at_most(first, last, ctx.where)
    else:
        first = _clamp(ctx, start, length, 0, length - 1)
        last = _clamp(ctx, end, length, -1, length - 1)
        count, some = dm.ceil_div(first - last, -step), ctx.sizes.at_most(last, first, ctx.where)
    if first == 0 and count == length and step == 1:
        return x
    if some is None:
        count = dm.maximum(count, 0)
    elif not some:
        count = 0
    return taken(ctx, x, axis, first, values.slice_axis(x, axis, 0 if count == 0 else first, count, step), step)


def _clamp(ctx: Context, at: Size, length: Size, low: Size, high: Size) -> Size:
    """A bound as ONNX reads it: from the end when negative, then within low..high."""
    if isinstance(at, int) and at == low == 0 and high == length:
        return 0  # no run has a negative dimension
    if isinstance(at, int) and at >= HUGE:
        return high
    if isinstance(at, int) and at <= -HUGE:
        return low
    negative = ctx.sizes.at_most(at, -1, ctx.where)
    if negative is None:
        raise NodeError(f"cannot tell whether the bound {at} is negative; fix the dimensions with --shape")
    if negative:
        at = at + length
    if ctx.sizes.at_most(low, at, ctx.where) is not True:
        at = dm.maximum(low, at)
    if ctx.sizes.at_most(at, high, ctx.where) is not True:
        at = dm.minimum(at, high)
    return at


@lowering("Split", inputs="input:any", outputs=(1, 1 << 16), attributes="axis split", until=12)
@lowering("Split", inputs="input:any split?:int64", outputs=(1, 1 << 16), attributes="axis", since=13, until=17)
@lowering("Split", inputs="input:any split?:int64", outputs=(1, 1 << 16), attributes="axis num_outputs", since=18)
def lower_split(ctx: Context, node: OnnxNode, x: Value, given: Value | None = None) -> list[Value | None]:
    """Seen in parts, one after the other along an axis."""
    axis = ctx.axis(ctx.attribute("axis", 0), x.rank)
    length = x.dims[axis]
    parts = ctx.attribute("split") if given is None else ctx.integers(given, "input 'split'")
    count = len(node.outputs)
    if parts is None:
        if node.attributes.get("num_outputs", count) != count:
            raise NodeError(f"attribute 'num_outputs' is not the number of its outputs, {count}")
        ctx.settle(length)
        each = dm.ceil_div(length, count) if node.version >= 18 else dm.exact_div(length, count)
        if each is None:
            raise NodeError(f"cannot split {length} into {count} equal parts")
        parts = [each] * (count - 1) + [length - each * (count - 1)]
    if len(parts) != count:
        raise NodeError(f"has {len(parts)} sizes for {count} outputs")
    total: Size = 0
    for p in parts:
        total = total + p
    ctx.equal(total, length, f"the parts {parts} do not make up the {length} of axis {axis}")
    results: list[Value | None] = []
    start: Size = 0
    for p in parts:
        results.append(part(ctx, x, axis, start, start + p, 1))
        start = start + p
    return results


@lowering("Concat", inputs="inputs*:any", attributes="axis")
def lower_concat(ctx: Context, node: OnnxNode, *operands: Value) -> Value:
    """A new tensor; each operand is copied into its part of it, until a pass lets its producer write there."""
    return joined(ctx, ctx.axis(ctx.attribute("axis", 0 if node.version < 4 else None), operands[0].rank), *operands)


def joined(ctx: Context, axis: int, *operands: Value) -> Value:
    """The operands one behind the other along an axis, counted from the front; their other axes must agree."""
    first = operands[0]
    if len(operands) == 1:
        return first
    dims = list(first.dims)
    dims[axis] = 0
    for v in operands:
        if v.rank != first.rank:
            raise NodeError(f"joins {show(first.dims, v.dims)}, of different rank")
        for i, d in enumerate(v.dims):
            if i == axis:
                dims[i] = dims[i] + d
            else:
                ctx.equal(d, first.dims[i], f"joins {show(first.dims, v.dims)} along axis {axis}")
    same = _one_number(operands)
    if same is not None:
        return values.fill(same, tuple(dims), first.dtype)
    return _side_by_side(ctx, operands, tuple(dims), axis)


def _one_number(operands: tuple[Value, ...]) -> np.ndarray | None:
    """The number that every element of every operand is, if so."""
    if not all(v.const is not None and v.const.size == 1 for v in operands):
        return None
    numbers = [v.const.reshape(()) for v in operands]  # type: ignore[union-attr]
    return numbers[0] if len({n.tobytes() for n in numbers}) == 1 else None


def _side_by_side(ctx: Context, operands: tuple[Value, ...], dims: tuple[Size, ...], axis: int) -> Value:
    time, late = ctx.join_time(list(operands), dims)
    along = time is not None and time.axis == axis
    if along:
        time = _behind(ctx, operands, axis)
        known = next((lead for lead in ctx.leads if lead.axis == axis and lead.operands == operands), None)
        if known is not None and known.node in ctx.graph.nodes:
            return known.result  # of two tensors, one alone could have the steps that renew the input
    dtype = operands[0].dtype
    target = ctx.new(dims, "F32" if dtype in FLOATS else dtype)
    whole = replace(values.of_tensor(target, dtype), time=time, late=late)
    start: Size = 0
    for v in operands:
        if v.dims[axis] == 0:
            continue
        part = values.slice_axis(whole, axis, start, v.dims[axis])
        destination: Tensor = ctx.operand(part)
        copy = ctx.emit("copy", [ctx.operand(v)], [destination])
        if along and time is not None and start == 0:
            ctx.leads.append(Lead(ctx.where, copy, axis, operands, whole))
        start = start + v.dims[axis]
    return whole


def _behind(ctx: Context, operands: tuple[Value, ...], axis: int) -> Time | None:
    """The steps of a sequence behind what an input holds of those before it; `states.py` sees whether it does."""
    first, second = operands[0], operands[1]
    lead = first.dims[axis]
    whole = second.time == Time(axis) and second.dims[axis] == ctx.steps
    if len(operands) == 2 and whole and first.const is not None:
        ctx.needs_lead("puts constants", lead)
    elif len(operands) == 2 and whole and isinstance(lead, int) and lead > 0 and _is_given(ctx, first):
        return Time(axis, 1, lead)
    else:
        ctx.not_streamable("joins along the steps of the sequence")
    return None


def _is_given(ctx: Context, v: Value) -> bool:
    """Whether it is a part of an input, or of the float32 that one is cast to."""
    if v.tensor is None or v.time is not None or ctx.has_time(*v.dims):
        return False
    root = v.tensor
    return any(root is port.tensor or root is inner(ctx.graph, port) for port in ctx.graph.inputs)


# ---- references ------------------------------------------------------------------------------------------------------


@reference("Slice", exact=True)
@symbolic("Slice")
def reference_slice(
    node: OnnxNode,
    x: np.ndarray,
    starts: np.ndarray | None = None,
    ends: np.ndarray | None = None,
    axes: np.ndarray | None = None,
    steps: np.ndarray | None = None,
) -> np.ndarray | None:
    """NumPy's slices clamp as ONNX's do."""
    a = node.attributes
    first = a.get("starts") if starts is None else starts.tolist()
    last = a.get("ends") if ends is None else ends.tolist()
    which = a.get("axes", list(range(len(first or [])))) if axes is None else axes.tolist()
    by = [1] * len(first or []) if steps is None else steps.tolist()
    if not all(isinstance(i, int) for i in [*(first or []), *(last or []), *which, *by]):
        return None
    if 0 in by:
        raise NodeError("has a step of 0")
    index: list[slice] = [slice(None)] * x.ndim
    for s, e, axis, k in zip(first or [], last or [], which, by, strict=True):
        if not -x.ndim <= axis < x.ndim:
            raise NodeError(f"axis {axis} is outside a tensor of rank {x.ndim}")
        n = x.shape[axis]
        if k < 0 and e < -n:
            e = None
        index[axis] = slice(s, e, k)
    return x[tuple(index)]


@reference("Split", exact=True)
@symbolic("Split")
def reference_split(node: OnnxNode, x: np.ndarray, split: np.ndarray | None = None) -> list[np.ndarray] | None:
    """Parts along an axis."""
    axis = node.attributes.get("axis", 0)
    parts = node.attributes.get("split") if split is None else split.tolist()
    if parts is None:
        count = len(node.outputs)
        each = -(-x.shape[axis] // count)
        parts = [each] * (count - 1) + [x.shape[axis] - each * (count - 1)]
    if sum(parts) != x.shape[axis] or min(parts) < 0:
        raise NodeError(f"the parts {parts} do not make up the {x.shape[axis]} of axis {axis}")
    return np.split(x, np.cumsum(parts)[:-1].tolist(), axis)


@reference("Concat", exact=True)
@symbolic("Concat")
def reference_concat(node: OnnxNode, *arrays: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    if "axis" not in node.attributes or any(a.ndim != arrays[0].ndim for a in arrays):
        raise NodeError("has no attribute 'axis', or joins arrays of different rank")
    return np.concatenate(arrays, node.attributes["axis"])
