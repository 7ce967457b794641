# SPDX-License-Identifier: Apache-2.0
"""Pad -> a new tensor and a copy for each part of it: the middle, and the two borders of each axis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..ir import FLOATS
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value

_MODES = ("constant", "reflect", "edge", "wrap")


@lowering("Pad", inputs="data:floats", attributes="mode pads value", until=10)
def lower_attributes(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """Copies into a larger tensor; the widths are attributes."""
    pads = ctx.attribute("pads")
    if not isinstance(pads, list):
        raise NodeError("has no attribute 'pads'")
    fill = values.of_array(np.array(ctx.attribute("value", 0.0), np.float32), x.dtype)
    return _pad(ctx, x, pads, list(range(x.rank)), fill)


@lowering("Pad", inputs="data:any pads:int64 constant_value?:data", attributes="mode", since=11, until=17)
@lowering("Pad", inputs="data:any pads:int64 constant_value?:data axes?:int64/int32", attributes="mode", since=18)
def lower_inputs(
    ctx: Context, node: OnnxNode, x: Value, pads: Value, fill: Value | None = None, axes: Value | None = None
) -> Value:
    """Copies into a larger tensor; the widths are an input, perhaps sizes."""
    which = list(range(x.rank))
    if axes is not None:
        which = [ctx.axis(a, x.rank, "axes:") for a in ctx.constants(axes, "input 'axes'")]
    if fill is None:
        fill = values.of_array(np.zeros((), np.float32 if x.dtype in FLOATS else np.int64), x.dtype)
    return _pad(ctx, x, ctx.integers(pads, "input 'pads'"), which, fill)


def _pad(ctx: Context, x: Value, pads: list[Size], axes: list[int], fill: Value) -> Value:
    """Axis after axis, negative widths first: they cut."""
    mode = ctx.attribute("mode", "constant")
    if mode not in _MODES:
        raise NodeError(f"attribute 'mode' is {mode!r}, not one of {', '.join(_MODES)}")
    if len(pads) != 2 * len(axes) or len(set(axes)) < len(axes):
        raise NodeError(f"has {len(pads)} widths for the axes {axes}")
    widths = list(zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True))
    for axis, begin, end in widths:
        x = _cut(ctx, x, axis, begin, end)
    wide = [(axis, _positive(ctx, begin), _positive(ctx, end)) for axis, begin, end in widths]
    for axis, begin, end in wide:
        if begin != 0 or end != 0:
            x = widened(ctx, x, axis, begin, end, mode, fill)
    return x


def _negative(ctx: Context, width: Size) -> bool:
    if width == 0:
        return False
    known = ctx.sizes.at_most(width, -1, ctx.where)
    if known is None:
        raise NodeError(f"cannot tell whether the width {width} is negative; fix the dimensions with --shape")
    return known


def _positive(ctx: Context, width: Size) -> Size:
    return 0 if _negative(ctx, width) else width


def _cut(ctx: Context, x: Value, axis: int, begin: Size, end: Size) -> Value:
    first = -begin if _negative(ctx, begin) else 0
    last = -end if _negative(ctx, end) else 0
    if first == 0 and last == 0:
        return x
    length = x.dims[axis] - first - last
    if not ctx.sizes.at_most(0, length, ctx.where):
        raise NodeError(f"cuts {first} and {last} elements from axis {axis} of {show(x.dims)}")
    if x.time is not None and x.time.axis == axis:
        ctx.not_streamable("cuts the sequence")
        x = replace(x, time=None)
    return values.slice_axis(x, axis, first, length)


def widened(ctx: Context, x: Value, axis: int, begin: Size, end: Size, mode: str, fill: Value) -> Value:
    """x with borders before and behind one axis; `fill` has the one element of constant ones."""
    length = x.dims[axis]
    if x.time is not None and x.time.axis == axis:
        if end == 0:
            ctx.needs_lead("pads", begin)
        else:
            ctx.not_streamable("pads the sequence")
        x = replace(x, time=None)
    dims = (*x.dims[:axis], begin + length + end, *x.dims[axis + 1 :])
    whole = values.of_tensor(ctx.new(dims, "F32" if x.dtype in FLOATS else x.dtype), x.dtype)
    _copy(ctx, x, whole, axis, begin)
    if mode == "constant":
        one = values.reshape(fill, (1,) * x.rank, None)
        if one is None:
            raise NodeError(f"input 'constant_value' has the shape {show(fill.dims)}, not one element")
        for start, count in ((0, begin), (begin + length, end)):
            if count != 0:
                _copy(ctx, values.expand(one, (*x.dims[:axis], count, *x.dims[axis + 1 :])), whole, axis, start)
    else:
        _borders(ctx, x, whole, axis, (begin, end), mode)
    return replace(whole, time=x.time, late=x.late or fill.late)


def _borders(ctx: Context, x: Value, whole: Value, axis: int, widths: tuple[Size, Size], mode: str) -> None:
    """Views of x, turned round for `reflect`. A border must not reach beyond the other end of x."""
    length, (begin, end) = x.dims[axis], widths
    most = {"edge": None, "reflect": length - 1, "wrap": length}[mode]
    for start, count, after in ((0, begin, False), (begin + length, end, True)):
        if count == 0:
            continue
        if most is not None and not ctx.sizes.at_most(count, most, ctx.where) and dm.at_most(most + 1, count):
            raise NodeError(f"attribute 'mode' is {mode!r}, and {count} elements are more than axis {axis} has")
        if mode == "edge":
            border = values.slice_axis(x, axis, length - 1 if after else 0, 1)
            border = values.expand(border, (*x.dims[:axis], count, *x.dims[axis + 1 :]))
        elif mode == "wrap":
            border = values.slice_axis(x, axis, 0 if after else length - count, count)
        else:
            border = values.slice_axis(x, axis, length - 2 if after else count, count, -1)
        _copy(ctx, border, whole, axis, start)


def _copy(ctx: Context, source: Value, whole: Value, axis: int, start: Size) -> None:
    place = values.slice_axis(whole, axis, start, source.dims[axis])
    ctx.emit("copy", [ctx.operand(source)], [ctx.operand(place)])


@reference("Pad", exact=True)
def reference_pad(
    node: OnnxNode,
    x: np.ndarray,
    pads: np.ndarray | None = None,
    fill: np.ndarray | None = None,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """NumPy's own, after negative widths have cut."""
    mode = node.attributes.get("mode", "constant")
    flat = node.attributes["pads"] if pads is None else pads.tolist()
    which = range(x.ndim) if axes is None else [int(a) % x.ndim for a in axes]
    count = len(flat) // 2
    widths = [(0, 0)] * x.ndim
    for k, axis in enumerate(which):
        begin, end = flat[k], flat[count + k]
        x = x[(slice(None),) * axis + (slice(max(0, -begin), x.shape[axis] - max(0, -end)),)]
        widths[axis] = (max(0, begin), max(0, end))
    if sum(b + e for b, e in widths) > 1 << 24 or mode not in _MODES:
        raise NodeError(f"pads by {widths}, mode {mode!r}")
    if mode != "constant":
        return np.pad(x, widths, mode=mode)
    value = node.attributes.get("value", 0) if fill is None else fill.reshape(())
    return np.pad(x, widths, constant_values=value)
