# SPDX-License-Identifier: Apache-2.0
"""MaxPool, AveragePool -> the engine operator `pool`; LpPool, whose windows are summed; the places of maxima."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from .. import dims as dm
from .. import values
from ..errors import NodeError
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .convolution import last_axes, padding, summed
from .elementwise import arithmetic, cast, scalar
from .gather import picked
from .pad import widened
from .reductions import reduced
from .shapes import places as numbered
from .window import Window, bordered, follow_time, listed, places, read, spatial_rank

_COMMON = "auto_pad kernel_shape pads strides"
_SINCE_10 = "storage_order ceil_mode dilations"


def _pooled(ctx: Context, x: Value, kind: str) -> Value:
    kernel = listed(ctx, "kernel_shape", spatial_rank(x), 0, 1)
    window = read(ctx, x, kernel, bool(ctx.attribute("ceil_mode", 0)))
    time = follow_time(ctx, x, window, False)
    padded = bordered(ctx, x, window, 0.0 if kind == "AVERAGE" else -math.inf)
    result = replace(_windows(ctx, padded, kind, window), time=time)
    if kind == "AVERAGE" and window.borders and not ctx.attribute("count_include_pad", 0):
        # The borders that were added count as elements: the share of others in each window makes up for that.
        ones = values.fill(np.ones(1, np.float32), (1, 1, *x.dims[2:]), x.dtype)
        share = _windows(ctx, bordered(ctx, ones, window, 0.0), kind, window)
        result = ctx.elementwise("DIV", result, replace(share, time=time))
    return result


def _windows(ctx: Context, x: Value, kind: str, window: Window) -> Value:
    target = ctx.new((*x.dims[:2], *window.sizes), "F32")
    counted = int(bool(ctx.attribute("count_include_pad", 0)))
    ctx.emit("pool", [ctx.operand(x)], [target], kind=kind, count_padding=counted, window=window.numbers())
    return replace(values.of_tensor(target, x.dtype), late=x.late)


@lowering("MaxPool", inputs="X:floats", attributes=_COMMON, until=7)
@lowering("MaxPool", inputs="X:floats", outputs=(1, 2), attributes=f"{_COMMON} storage_order", since=8, until=9)
@lowering("MaxPool", inputs="X:floats/int8/uint8", outputs=(1, 2), attributes=f"{_COMMON} {_SINCE_10}", since=10)
def lower_max(ctx: Context, node: OnnxNode, x: Value) -> list[Value | None]:
    """One `pool`; the storage order is that of Indices alone. 8-bit integers go through float32, exactly."""
    wide = cast(ctx, x, "F32") if x.dtype in ("I8", "U8") else x
    result = cast(ctx, _pooled(ctx, wide, "MAX"), x.dtype)
    return [result, _indices(ctx, wide)] if any(node.outputs[1:]) else [result]


def _indices(ctx: Context, x: Value) -> Value:
    """Where in the whole of x each maximum is: among the elements of its window, which are gathered side by side."""
    rank = spatial_rank(x)
    lengths = ctx.numbers(x.dims[2:], f"output 'Indices' needs constant spatial axes, not {show(x.dims)}")
    window = read(ctx, x, listed(ctx, "kernel_shape", rank, 0, 1), bool(ctx.attribute("ceil_mode", 0)))
    ctx.check_size((*x.dims[:2], *window.sizes, *(a.kernel for a in window.axes)), "F32")
    at, inside = places(window, lengths)
    stored, _ = places(window, lengths, bool(ctx.attribute("storage_order", 0)))
    if ctx.has_time(*x.dims):
        ctx.not_streamable("counts places over the steps of the sequence")
        x = replace(x, time=None)
    total = math.prod(lengths)
    flat = ctx.reshape(x, (*x.dims[:2], total))
    if not inside.all():
        flat = widened(ctx, flat, 2, 0, 1, "constant", scalar(-math.inf, x.dtype))
    seen = picked(ctx, flat, 2, values.of_array(np.where(inside, at, total), "I64"))
    taps = reduced(ctx, seen, [3], "ARG_MAX", False, "I64")
    # A window of nothing but -inf would find the padding.
    first = np.take_along_axis(stored, inside.argmax(1)[:, None], 1)
    table = values.of_array(np.where(inside, stored, first).reshape(-1), "I64")
    rows = values.of_array(np.arange(len(at)) * at.shape[1], "I64")
    within = picked(ctx, table, 0, arithmetic(ctx, "ADD", taps, rows))
    starts = numbered(ctx, dm.product(x.dims[:2]), step=total)
    result = arithmetic(ctx, "ADD", within, ctx.reshape(starts, (*x.dims[:2], 1)))
    return ctx.reshape(result, (*x.dims[:2], *window.sizes))


@lowering("AveragePool", inputs="X:floats", attributes=f"{_COMMON} count_include_pad", until=9)
@lowering("AveragePool", inputs="X:floats", attributes=f"{_COMMON} count_include_pad ceil_mode", since=10, until=18)
@lowering("AveragePool", inputs="X:floats", attributes=f"{_COMMON} count_include_pad ceil_mode dilations", since=19)
def lower_average(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """One `pool`: the mean of what is inside, or of the padding too; never of what rounding up adds behind it."""
    return _pooled(ctx, x, "AVERAGE")


@lowering("LpPool", inputs="X:floats", attributes=f"{_COMMON} p", until=17)
@lowering("LpPool", inputs="X:floats", attributes=f"{_COMMON} p ceil_mode dilations", since=18)
def lower_lp(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """The p-norm of each window: powers, their sum by `conv`, and a root."""
    window = read(ctx, x, listed(ctx, "kernel_shape", spatial_rank(x), 0, 1), bool(ctx.attribute("ceil_mode", 0)))
    p = norm_power(ctx)
    return root(ctx, summed(ctx, powers(ctx, x, p), window), p)


@lowering("GlobalLpPool", inputs="X:floats", attributes="p")
def lower_global_lp(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """The p-norm over all axes behind rows and channels: powers, their sum, and a root."""
    p, axes = norm_power(ctx), list(range(2, x.rank))
    parts = powers(ctx, x, p)
    return root(ctx, reduced(ctx, parts, axes, "SUM") if axes else parts, p)


def norm_power(ctx: Context) -> int:
    """The attribute `p` of a norm."""
    p = ctx.attribute("p", 2)
    if p < 1:
        raise NodeError(f"attribute 'p' is {p}; 1 or more is wanted")
    return int(p)


def powers(ctx: Context, x: Value, p: int) -> Value:
    """|x| ** p."""
    if p == 2:
        return arithmetic(ctx, "MUL", x, x)
    size = arithmetic(ctx, "ABS", x)
    return size if p == 1 else arithmetic(ctx, "POW", size, scalar(p, x.dtype))


def root(ctx: Context, x: Value, p: int) -> Value:
    """x ** (1 / p)."""
    if p == 2:
        return arithmetic(ctx, "SQRT", x)
    return x if p == 1 else arithmetic(ctx, "POW", x, scalar(1 / p, x.dtype))


# ---- references ------------------------------------------------------------------------------------------------------


@reference("MaxPool", "AveragePool", "LpPool")
def reference_pool(node: OnnxNode, x: np.ndarray) -> Any:
    """Window by window; of a maximum also where it is."""
    a = node.attributes
    kernel: list[int] = a["kernel_shape"]
    rank = len(kernel)
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    pads = padding(node, x.shape[2:], kernel)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = []
    for n, (b, e), w, s in zip(x.shape[2:], pads, extents, strides, strict=True):
        up = -(-(n + b + e - w) // s) + 1
        sizes.append(min(up, -(-(n + b) // s)) if a.get("ceil_mode", 0) else (n + b + e - w) // s + 1)
    margin = [(b, e + w) for (b, e), w in zip(pads, extents, strict=True)]
    inside = np.pad(np.ones(x.shape[2:], bool), margin)
    counted = np.pad(np.pad(np.ones(x.shape[2:], bool), pads, constant_values=True), [(0, w) for w in extents])
    count = math.prod(x.shape[2:])
    number = np.arange(count).reshape(x.shape[2:])
    if a.get("storage_order", 0):
        number = np.arange(count).reshape(x.shape[:1:-1]).T
    number = np.pad(number, margin)
    wide = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *margin])
    y: Any = np.empty((*x.shape[:2], *sizes))
    where = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * rank) * count
    where = where + np.zeros(y.shape, np.int64)
    for at in np.ndindex(*sizes):
        cut = tuple(slice(o * s, o * s + w, d) for o, s, w, d in zip(at, strides, extents, dilations, strict=True))
        part = wide[last_axes(cut)].reshape(*x.shape[:2], -1)
        there = inside[cut].reshape(-1)
        if node.op == "MaxPool":
            seen = np.where(there, part, -np.inf)
            y[last_axes(at)] = seen.max(-1)
            where[last_axes(at)] += number[cut].reshape(-1)[there][seen[..., there].argmax(-1)]
        elif node.op == "LpPool":
            y[last_axes(at)] = np.linalg.norm(np.where(there, part, 0), a.get("p", 2), -1)
        else:
            divisor = (counted[cut] if a.get("count_include_pad", 0) else inside[cut]).sum()
            y[last_axes(at)] = np.where(there, part, 0).sum(-1) / divisor
    y = y if x.dtype.kind == "f" else np.asarray(y).astype(x.dtype)
    return (y, where) if node.op == "MaxPool" else y


@reference("GlobalLpPool")
def reference_global_lp(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """NumPy's norm of all spatial axes together."""
    y = np.linalg.norm(x.reshape(*x.shape[:2], -1), node.attributes.get("p", 2), -1)
    return np.asarray(y.reshape(*x.shape[:2], *[1] * (x.ndim - 2)))
