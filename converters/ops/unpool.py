# SPDX-License-Identifier: Apache-2.0
"""MaxUnpool: elements put back where maxima were; Col2Im: the columns of an image added up where they overlap."""

from __future__ import annotations

import math
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
from .convolution import last_axes
from .elementwise import scalar
from .gather import picked
from .pad import widened
from .reductions import reduced
from .window import Axis, Window, listed, places, spatial_rank


@lowering("MaxUnpool", inputs="X:floats I:int64 output_shape?:I", attributes="kernel_shape pads strides", since=9)
def lower_unpool(ctx: Context, node: OnnxNode, x: Value, indices: Value, shape: Value | None) -> Value:
    """Places are those in the whole result of the size that the window gives; `output_shape` adds zeros behind it."""
    rank = spatial_rank(x)
    kernel, strides = listed(ctx, "kernel_shape", rank, 0, 1), listed(ctx, "strides", rank, 1, 1)
    pads = listed(ctx, "pads", 2 * rank, 0, 0)
    for a, b in zip(indices.dims, x.dims, strict=False):
        ctx.equal(a, b, f"its indices have the shape {show(indices.dims)}, its input {show(x.dims)}")
    sizes = [(n - 1) * strides[i] + kernel[i] - pads[i] - pads[rank + i] for i, n in enumerate(x.dims[2:])]
    if indices.rank != x.rank or any(isinstance(n, int) and n < 1 for n in sizes):
        raise NodeError(f"makes {show((*x.dims[:2], *sizes))} of {show(x.dims)} and indices {show(indices.dims)}")
    if ctx.has_time(*x.dims):
        ctx.not_streamable("puts elements in places over all steps of the sequence")
        x, indices = replace(x, time=None), replace(indices, time=None)
    total, count = dm.product((*x.dims[:2], *sizes)), dm.product(x.dims)
    zeros = values.fill(np.zeros(1, np.float32), (total,), x.dtype)
    operands = [ctx.operand(v) for v in (zeros, ctx.reshape(indices, (count,)), ctx.reshape(x, (count,)))]
    target = ctx.new((total,), "F32")
    ctx.emit("scatter_elements", [*operands], [target], axis=0, kind="SET")
    result = replace(values.of_tensor(target, x.dtype), late=x.late or indices.late)
    result = ctx.reshape(result, (*x.dims[:2], *sizes))
    return result if shape is None else _extended(ctx, result, ctx.integers(shape, "input 'output_shape'"))


def _extended(ctx: Context, x: Value, wanted: list[Size]) -> Value:
    """x with zeros behind its spatial axes."""
    if len(wanted) != x.rank:
        raise NodeError(f"input 'output_shape' has {len(wanted)} numbers for {show(x.dims)}")
    for axis, (have, want) in enumerate(zip(x.dims, wanted, strict=True)):
        if axis < 2:
            ctx.equal(have, want, f"input 'output_shape' is {show(tuple(wanted))} for {show(x.dims)}")
        elif ctx.sizes.at_most(have, want, ctx.where) is not True:
            raise NodeError(f"input 'output_shape' is {show(tuple(wanted))}, but the window makes {show(x.dims)}")
        elif have != want:
            x = widened(ctx, x, axis, 0, want - have, "constant", scalar(0.0, x.dtype))
    return x


@lowering(
    "Col2Im",
    inputs="input:numbers image_shape:int64 block_shape:int64",
    attributes="dilations pads strides",
    since=18,
)
def lower_columns(ctx: Context, node: OnnxNode, x: Value, image: Value, block: Value) -> Value:
    """For each element of the image the elements of columns that lie on it are gathered side by side, then summed."""
    lengths, kernel = (ctx.constants(v, f"input {n!r}") for v, n in ((image, "image_shape"), (block, "block_shape")))
    rank = len(lengths)
    if len(kernel) != rank or x.rank != 3 or min(*lengths, *kernel) < 1:
        raise NodeError(f"makes an image of {lengths} with blocks of {kernel} from {show(x.dims)}")
    window = _columns(ctx, lengths, kernel)
    channels = dm.exact_div(x.dims[1], math.prod(kernel))
    count = math.prod(window.sizes)  # type: ignore[arg-type]
    if channels is None:
        raise NodeError(f"blocks of {kernel} do not divide the channels of {show(x.dims)}")
    ctx.equal(x.dims[2], count, f"has columns of {show(x.dims)}, but blocks have {count} places in {lengths}")
    ctx.check_size((*x.dims[:1], channels, *lengths), "F32")
    if ctx.has_time(*x.dims[1:]):
        ctx.not_streamable("adds up columns over the steps of the sequence")
        x = replace(x, time=None)
    found = _sources(window, lengths)
    flat = ctx.reshape(x, (x.dims[0], channels, count * math.prod(kernel)))
    zero = scalar(0.0, x.dtype) if x.dtype in FLOATS else values.of_array(np.zeros((), np.int64), x.dtype)
    flat = widened(ctx, flat, 2, 0, 1, "constant", zero) if (found == count * math.prod(kernel)).any() else flat
    seen = picked(ctx, flat, 2, values.of_array(found, "I64"))
    return ctx.reshape(reduced(ctx, seen, [3], "SUM", False), (x.dims[0], channels, *lengths))


def _columns(ctx: Context, lengths: list[int], kernel: list[int]) -> Window:
    """The window that the columns were taken with."""
    rank = len(lengths)
    strides, dilations = listed(ctx, "strides", rank, 1, 1), listed(ctx, "dilations", rank, 1, 1)
    pads = listed(ctx, "pads", 2 * rank, 0, 0)
    axes = [Axis(kernel[i], strides[i], dilations[i], pads[i], pads[rank + i]) for i in range(rank)]
    sizes = [(n + a.begin + a.end - a.extent) // a.stride + 1 for n, a in zip(lengths, axes, strict=True)]
    window = Window(axes, list(sizes))
    window.numbers()
    if min(sizes) < 1:
        raise NodeError(f"blocks of {kernel} do not fit into an image of {lengths}")
    ctx.check_size((*sizes, *kernel), "I64")
    return window


def _sources(window: Window, lengths: list[int]) -> np.ndarray:
    """For each element of the image what lies on it, in the order of taps: [elements, most of them].

    Places are those in [taps, outputs]; behind what there is stands the place after the last one.
    """
    at, inside = places(window, lengths)
    elements, sources = at.T[inside.T], np.arange(at.size).reshape(at.shape[::-1])[inside.T]
    order = np.argsort(elements, kind="stable")
    elements, sources = elements[order], sources[order]
    counts = np.bincount(elements, minlength=math.prod(lengths))
    depth = np.arange(len(elements)) - np.repeat(np.cumsum(counts) - counts, counts)
    found = np.full((len(counts), max(1, int(counts.max()))), at.size, np.int64)
    found[elements, depth] = sources
    return found


# ---- references ------------------------------------------------------------------------------------------------------


@reference("MaxUnpool")
def reference_unpool(node: OnnxNode, x: np.ndarray, indices: np.ndarray, shape: np.ndarray | None = None) -> np.ndarray:
    """Put by index into zeros."""
    a, rank = node.attributes, x.ndim - 2
    strides, pads = a.get("strides", [1] * rank), a.get("pads", [0] * 2 * rank)
    sizes = [(n - 1) * strides[i] + a["kernel_shape"][i] - pads[i] - pads[rank + i] for i, n in enumerate(x.shape[2:])]
    y = np.zeros((*x.shape[:2], *sizes), x.dtype)
    y.reshape(-1)[indices.reshape(-1)] = x.reshape(-1)
    return y if shape is None else np.pad(y, [(0, int(w) - n) for w, n in zip(shape, y.shape, strict=True)])


@reference("Col2Im")
def reference_columns(node: OnnxNode, x: np.ndarray, image: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Tap by tap: its columns are added where they came from."""
    a, rank = node.attributes, len(image)
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    pads = a.get("pads", [0] * 2 * rank)
    lengths = [int(n) + pads[i] + pads[rank + i] for i, n in enumerate(image)]
    sizes = [(n - (int(block[i]) - 1) * dilations[i] - 1) // strides[i] + 1 for i, n in enumerate(lengths)]
    apart = x.reshape(len(x), -1, *(int(n) for n in block), *sizes)
    y = np.zeros((*apart.shape[:2], *lengths), x.dtype)
    for tap in np.ndindex(*(int(n) for n in block)):
        cut = [slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in zip(tap, dilations, sizes, strides)]
        column = (slice(None), slice(None), *tap)
        y[last_axes(cut)] += apart[column]
    return np.asarray(y[last_axes(slice(pads[i], pads[i] + int(n)) for i, n in enumerate(image))])
