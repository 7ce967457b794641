# SPDX-License-Identifier: Apache-2.0
"""MaxPool and AveragePool -> the engine operator `pool`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from .. import values
from ..errors import NodeError
from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .convolution import last_axes, padding
from .elementwise import cast
from .window import Window, bordered, follow_time, listed, read, spatial_rank

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
def lower_max(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """The storage order is that of Indices alone. 8-bit integers go through float32, which holds them all."""
    if any(node.outputs[1:]):
        raise NodeError("output 'Indices' is not supported; export the model without return_indices")
    if x.dtype in ("I8", "U8"):
        return cast(ctx, _pooled(ctx, cast(ctx, x, "F32"), "MAX"), x.dtype)
    return _pooled(ctx, x, "MAX")


@lowering("AveragePool", inputs="X:floats", attributes=f"{_COMMON} count_include_pad", until=9)
@lowering("AveragePool", inputs="X:floats", attributes=f"{_COMMON} count_include_pad ceil_mode", since=10, until=18)
@lowering("AveragePool", inputs="X:floats", attributes=f"{_COMMON} count_include_pad ceil_mode dilations", since=19)
def lower_average(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """The mean of what is inside, or of the padding too; never of what rounding up adds behind it."""
    return _pooled(ctx, x, "AVERAGE")


# ---- references ------------------------------------------------------------------------------------------------------


@reference("MaxPool", "AveragePool")
def reference_pool(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """Window by window."""
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
    inside = np.pad(np.ones(x.shape[2:], bool), pads)
    counted = np.ones(inside.shape, bool)
    margin = [(0, w) for w in extents]
    wide = np.pad(
        x.astype(np.float64), [(0, 0), (0, 0), *((b, e + w) for (b, e), w in zip(pads, extents, strict=True))]
    )
    inside, counted = np.pad(inside, margin), np.pad(counted, margin)
    y: Any = np.empty((*x.shape[:2], *sizes))
    for at in np.ndindex(*sizes):
        cut = [slice(o * s, o * s + w, d) for o, s, w, d in zip(at, strides, extents, dilations, strict=True)]
        part = wide[last_axes(cut)].reshape(*x.shape[:2], -1)
        there = inside[tuple(cut)].reshape(-1)
        if node.op == "MaxPool":
            y[last_axes(at)] = np.where(there, part, -np.inf).max(-1)
        else:
            count = (counted[tuple(cut)] if a.get("count_include_pad", 0) else there).sum()
            y[last_axes(at)] = np.where(there, part, 0).sum(-1) / count
    return y if x.dtype.kind == "f" else np.asarray(y).astype(x.dtype)
