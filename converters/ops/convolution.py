# SPDX-License-Identifier: Apache-2.0
"""Conv and ConvTranspose -> the engine operator `conv`; constant weights are packed here, others at run time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import dims as dm
from .. import packing, values
from ..dims import Size
from ..errors import NodeError
from ..ir import Tensor
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .activations import activated, activated_reference
from .slicing import HUGE, joined, part
from .window import Axis, Window, auto_pad, bordered, follow_time, listed, read, spatial_rank

_ATTRIBUTES = "auto_pad dilations group kernel_shape pads strides"


def _kernel(ctx: Context, w: Value) -> list[int]:
    """The sizes of the window, which are those of the weights."""
    sizes = ctx.numbers(w.dims[2:], f"its weights have the shape {show(w.dims)}; the window must be constant")
    given = ctx.attribute("kernel_shape", sizes)
    if list(given) != sizes or 0 in sizes:
        raise NodeError(f"attribute 'kernel_shape' is {given}, but its weights have the shape {show(w.dims)}")
    return sizes


def _groups(ctx: Context, x: Value, w: Value, transposed: bool) -> int:
    """The number of groups, which divides the channels of the input and the first axis of the weights."""
    groups = ctx.attribute("group", 1)
    if groups < 1 or dm.exact_div(w.dims[0], groups) is None:
        raise NodeError(f"attribute 'group' is {groups}, which does not divide weights of shape {show(w.dims)}")
    have, want = (w.dims[0], x.dims[1]) if transposed else (w.dims[1] * groups, x.dims[1])
    ctx.equal(have, want, f"its weights of shape {show(w.dims)} do not fit {groups} groups of {want} channels")
    return int(groups)


def _packed(ctx: Context, w: Value, order: list[int]) -> Tensor:
    """Weights [G, M, C, taps...] after `order` as [G, taps*C, Mp], taps in row-major order, the channel fastest.

    Where each channel is a group of its own, with one output: as [taps, G].
    """
    seen = values.transpose(w, order)
    groups, outputs, depth = seen.dims[0], seen.dims[1], dm.product(seen.dims[2:])
    if groups != 1 and outputs == 1 and seen.dims[-1] == 1:
        return ctx.operand(values.transpose(ctx.reshape(seen, (groups, depth)), [1, 0]), rows=True)
    if w.const is not None:
        array = seen.array()

        def make() -> Tensor:
            matrix = np.asarray(array, np.float32).reshape(groups, 1, outputs, depth)  # type: ignore[arg-type]
            panels = packing.panels(packing.interleave(matrix), packing.CONV_PANEL)
            return ctx.weights(panels, "F32_PANELS", packing.CONV_PANEL)

        return ctx.once(array, "conv", make)
    gates = ctx.reshape(seen, (groups, 1, outputs, depth))
    columns = dm.ceil_div(outputs, packing.LANES) * packing.LANES
    target = ctx.new((groups, depth, columns), "F32", "F32_PANELS", packing.CONV_PANEL)
    ctx.emit("pack", [ctx.operand(gates)], [target])
    return target


def _convolve(ctx: Context, x: Value, weights: Tensor, bias: Value | None, outputs: Size, window: Window) -> Value:
    """The operator, its bias, and the steps of the sequence."""
    time = follow_time(ctx, x, window, True)
    operands: list[Tensor | None] = [ctx.operand(bordered(ctx, x, window, 0.0)), weights]
    if bias is not None:
        text = f"its bias of shape {show(bias.dims)} is not [{outputs}]"
        ctx.equal(bias.dims[0] if bias.rank == 1 else 0, outputs, text)
        operands.append(ctx.operand(bias, rows=True))
    target = ctx.new((x.dims[0], outputs, *window.sizes), "F32")
    numbers = window.numbers()
    ctx.emit("conv", operands, [target], function="IDENTITY", alpha=0.0, beta=0.0, window=numbers)
    return replace(values.of_tensor(target, x.dtype), time=time, late=x.late)


def summed(ctx: Context, x: Value, window: Window) -> Value:
    """The sum of each window, of every channel by itself: a convolution with ones."""
    channels = ctx.number(x.dims[1], f"sums windows of {show(x.dims)}, whose channels must be constant")
    time = follow_time(ctx, x, window, False)
    ones = values.of_array(np.ones((channels, 1, 1, *(a.kernel for a in window.axes)), np.float32), x.dtype)
    weights = _packed(ctx, ones, [0, 1, *range(3, ones.rank), 2])
    target = ctx.new((*x.dims[:2], *window.sizes), "F32")
    source, numbers = ctx.operand(bordered(ctx, x, window, 0.0)), window.numbers()
    ctx.emit("conv", [source, weights], [target], function="IDENTITY", alpha=0.0, beta=0.0, window=numbers)
    return replace(values.of_tensor(target, x.dtype), time=time, late=x.late)


def _check(x: Value, w: Value) -> int:
    rank = spatial_rank(x)
    if w.rank != x.rank:
        raise NodeError(f"its weights have the shape {show(w.dims)}, its input {show(x.dims)}")
    return rank


@lowering("Conv", inputs="X:floats W:X B?:X", attributes=_ATTRIBUTES)
def lower_conv(ctx: Context, node: OnnxNode, x: Value, w: Value, bias: Value | None) -> Value:
    """One `conv`; weights [G*M, C, taps...]."""
    rank = _check(x, w)
    groups = _groups(ctx, x, w, transposed=False)
    window = read(ctx, x, _kernel(ctx, w))
    outputs = dm.exact_div(w.dims[0], groups)
    assert outputs is not None
    apart = ctx.reshape(w, (groups, outputs, *w.dims[1:]))
    taps = list(range(3, 3 + rank))
    return _convolve(ctx, x, _packed(ctx, apart, [0, 1, *taps, 2]), bias, w.dims[0], window)


@lowering(
    "FusedConv",
    inputs="X:floats W:X B?:X Z?:X",
    attributes=_ATTRIBUTES + " activation activation_params",
    domain="com.microsoft",
)
def lower_fused(ctx: Context, node: OnnxNode, x: Value, w: Value, bias: Value | None, addend: Value | None) -> Value:
    """Conv, a sum with a tensor of the same shape, and an activation: what onnxruntime's optimizer saves."""
    y = lower_conv(ctx, node, x, w, bias)
    if addend is not None:
        text = f"its addend of shape {show(addend.dims)} has not the shape {show(y.dims)}"
        if addend.rank != y.rank:
            raise NodeError(text)
        for have, want in zip(addend.dims, y.dims, strict=True):
            ctx.equal(have, want, text)
        y = ctx.elementwise("ADD", y, addend)
    return activated(ctx, y, ctx.attribute("activation_params", ()))


@lowering(
    "CausalConvWithState",
    inputs="input:float32/float16 weight:input bias?:input past_state?:input",
    outputs=2,
    attributes="activation",
    since=27,
)
def lower_causal(
    ctx: Context, node: OnnxNode, x: Value, w: Value, bias: Value | None, state: Value | None
) -> list[Value | None]:
    """Each channel convolved with what came before it, the state or zeros; the new state is the end of both."""
    activation = ctx.attribute("activation", "none")
    if activation not in ("none", "silu", "swish"):
        raise NodeError(f"attribute 'activation' is {activation!r}; 'none', 'silu' and 'swish' are defined")
    if x.rank != 3 or w.rank != 3:
        raise NodeError(f"takes an input and weights of three axes, not {show(x.dims, w.dims)}")
    (taps,) = _kernel(ctx, w)
    text = f"its weights of shape {show(w.dims)} are not those of {show(x.dims[1:2])} channels, each with its own"
    ctx.equal(w.dims[0], x.dims[1], text)
    ctx.equal(w.dims[1], 1, text)
    before = (*x.dims[:2], taps - 1)
    if state is None:
        state = values.fill(np.zeros(1, np.float32), before, x.dtype)
    for have, want in zip(state.dims, before, strict=True):
        ctx.equal(have, want, f"its state of shape {show(state.dims)} is not {show(before)}")
    whole = joined(ctx, 2, state, x) if taps > 1 else x
    weights = _packed(ctx, values.insert_axes(w, [1]), [0, 1, 3, 2])
    y = _convolve(ctx, whole, weights, bias, x.dims[1], read(ctx, whole, [taps]))
    if activation != "none":
        y = ctx.elementwise("MUL", y, ctx.elementwise("SIGMOID", y))
    return [y, part(ctx, whole, 2, x.dims[2], HUGE) if node.outputs[1] else None]


@lowering("ConvTranspose", inputs="X:floats W:X B?:X", attributes=_ATTRIBUTES + " output_padding output_shape")
def lower_transposed(ctx: Context, node: OnnxNode, x: Value, w: Value, bias: Value | None) -> Value:
    """Weights [G*C, M, taps...]: a convolution of the input spread out by the strides, with the taps turned round."""
    rank = _check(x, w)
    groups = _groups(ctx, x, w, transposed=True)
    window = _transposed_window(ctx, x, _kernel(ctx, w))
    channels = dm.exact_div(w.dims[0], groups)
    assert channels is not None
    turned = w
    for axis in range(2, 2 + rank):
        turned = values.slice_axis(turned, axis, turned.dims[axis] - 1, turned.dims[axis], -1)
    apart = ctx.reshape(turned, (groups, channels, *w.dims[1:]))
    taps = list(range(3, 3 + rank))
    return _convolve(ctx, x, _packed(ctx, apart, [0, 2, *taps, 1]), bias, w.dims[1] * groups, window)


def _transposed_window(ctx: Context, x: Value, kernel: list[int]) -> Window:
    rank = len(kernel)
    strides, dilations = listed(ctx, "strides", rank, 1, 1), listed(ctx, "dilations", rank, 1, 1)
    extra = listed(ctx, "output_padding", rank, 0, 0)
    pads = ctx.attribute("pads", [0] * (2 * rank))
    if len(pads) != 2 * rank:
        raise NodeError(f"attribute 'pads' is {pads}; {2 * rank} numbers are wanted")
    mode = auto_pad(ctx)
    wanted = ctx.attribute("output_shape")
    if wanted is not None and (len(wanted) != rank or any(n < 1 for n in wanted)):
        raise NodeError(f"attribute 'output_shape' is {wanted}; {rank} positive numbers are wanted")
    window = Window()
    for i, length in enumerate(x.dims[2:]):
        extent = (kernel[i] - 1) * dilations[i] + 1
        full = (length - 1) * strides[i] + extra[i] + extent
        begin, end = pads[i], pads[rank + i]
        if wanted is not None or mode.startswith("SAME"):
            begin, end = _cut(ctx, full - (length * strides[i] if wanted is None else wanted[i]), mode)
        size = full - begin - end
        if isinstance(size, int) and size < 1:
            raise NodeError(f"its padding along spatial axis {i} leaves nothing of {full} elements")
        # What is cut off at the beginning is what the taps before the first element do not see.
        window.axes.append(Axis(kernel[i], 1, dilations[i], extent - 1 - begin, extent - 1 - end, strides[i]))
        window.sizes.append(size)
    return window


def _cut(ctx: Context, total: Size, mode: str) -> tuple[int, int]:
    """What is cut off at both ends; SAME_UPPER cuts the odd one off the end, all else off the beginning."""
    known = ctx.number(total, f"its padding, {total} in all, depends on a dimension of its input")
    small = known // 2
    return (small, known - small) if mode == "SAME_UPPER" else (known - small, small)


# ---- references ------------------------------------------------------------------------------------------------------


def _same_padding(mode: str, total: int) -> tuple[int, int]:
    total = max(total, 0)
    return (total // 2, total - total // 2) if mode == "SAME_UPPER" else (total - total // 2, total // 2)


def padding(node: OnnxNode, shape: tuple[int, ...], kernel: list[int]) -> list[tuple[int, int]]:
    """(begin, end) of each spatial axis."""
    a, rank = node.attributes, len(kernel)
    mode, pads = a.get("auto_pad", "NOTSET"), a.get("pads", [0] * (2 * rank))
    if not mode.startswith("SAME"):
        return [(pads[i], pads[rank + i]) for i in range(rank)]
    strides, dilations = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    outs = [-(-n // s) for n, s in zip(shape, strides, strict=True)]
    totals = [
        (o - 1) * s + (k - 1) * d + 1 - n for o, s, k, d, n in zip(outs, strides, kernel, dilations, shape, strict=True)
    ]
    return [_same_padding(mode, t) for t in totals]


def last_axes(index: Iterable[Any]) -> tuple[Any, ...]:
    """An index of the last axes, whatever is before them."""
    return (..., *index)


@reference("Conv")
def reference_conv(node: OnnxNode, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Tap by tap: the product of a strided slice of the padded input and one matrix."""
    a, rank = node.attributes, x.ndim - 2
    strides, dilations, groups = a.get("strides", [1] * rank), a.get("dilations", [1] * rank), a.get("group", 1)
    wide = np.pad(x, [(0, 0), (0, 0), *padding(node, x.shape[2:], list(w.shape[2:]))])
    sizes = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, d, s in zip(wide.shape[2:], w.shape[2:], dilations, strides, strict=True)
    ]
    seen = wide.reshape(len(x), groups, -1, *wide.shape[2:])
    weights = w.reshape(groups, -1, *w.shape[1:])
    y = np.zeros((len(x), groups, weights.shape[1], *sizes), np.result_type(x, w))
    for tap in itertools.product(*map(range, w.shape[2:])):
        cut = [
            slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, n, s in zip(tap, dilations, sizes, strides, strict=True)
        ]
        y += np.einsum("bgc...,gmc->bgm...", seen[last_axes(cut)], weights[last_axes(tap)])
    y = y.reshape(len(x), -1, *sizes)
    return np.asarray(y if bias is None else y + bias.reshape(-1, *[1] * rank))


@reference("FusedConv", domain="com.microsoft")
def reference_fused(
    node: OnnxNode, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None, addend: np.ndarray | None = None
) -> np.ndarray:
    """Conv, a sum, an activation."""
    y = reference_conv(node, x, w, bias)
    numbers = node.attributes.get("activation_params", ())
    return activated_reference(node, y if addend is None else y + addend, numbers)


@reference("ConvTranspose")
def reference_transposed(node: OnnxNode, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Tap by tap: every input element is added to the outputs that it reaches."""
    a, rank = node.attributes, x.ndim - 2
    strides, dilations, groups = a.get("strides", [1] * rank), a.get("dilations", [1] * rank), a.get("group", 1)
    extra, pads = a.get("output_padding", [0] * rank), a.get("pads", [0] * (2 * rank))
    lengths = x.shape[2:]
    full = [
        (n - 1) * s + e + (k - 1) * d + 1
        for n, s, e, k, d in zip(lengths, strides, extra, w.shape[2:], dilations, strict=True)
    ]
    mode, wanted = a.get("auto_pad", "NOTSET"), a.get("output_shape")
    cuts = [(pads[i], pads[rank + i]) for i in range(rank)]
    if wanted is None and mode.startswith("SAME"):
        wanted = [n * s for n, s in zip(lengths, strides, strict=True)]
    if wanted is not None:
        halves = [(f - n) // 2 for f, n in zip(full, wanted, strict=True)]
        cuts = [(h, f - n - h) for h, f, n in zip(halves, full, wanted, strict=True)]
        cuts = cuts if mode == "SAME_UPPER" else [(b, a) for a, b in cuts]
    seen = x.reshape(len(x), groups, -1, *lengths)
    weights = w.reshape(groups, -1, *w.shape[1:])
    room = [max(0, -b) + f + max(0, -e) for (b, e), f in zip(cuts, full, strict=True)]
    y = np.zeros((len(x), groups, w.shape[1], *room), np.result_type(x, w))
    for tap in itertools.product(*map(range, w.shape[2:])):
        firsts = [max(0, -b) + k * d for (b, _), k, d in zip(cuts, tap, dilations, strict=True)]
        places = [slice(f, f + (n - 1) * s + 1, s) for f, n, s in zip(firsts, lengths, strides, strict=True)]
        y[last_axes(places)] += np.einsum("bgc...,gcm->bgm...", seen, weights[last_axes(tap)])
    inside = [slice(max(0, b), max(0, b) + f - b - e) for (b, e), f in zip(cuts, full, strict=True)]
    y = y[last_axes(inside)].reshape(len(x), -1, *[s.stop - s.start for s in inside])
    return np.asarray(y if bias is None else y + bias.reshape(-1, *[1] * rank))


@reference("CausalConvWithState")
def reference_causal(
    node: OnnxNode, x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None, state: np.ndarray | None = None
) -> list[np.ndarray]:
    """Tap by tap."""
    taps, length = w.shape[2], x.shape[2]
    whole = np.concatenate([np.zeros((*x.shape[:2], taps - 1)) if state is None else state, x], 2)
    y = np.zeros(x.shape) if bias is None else np.broadcast_to(bias[:, None], x.shape)
    for i in range(taps):
        y = y + w[:, :, i] * whole[:, :, i : i + length]
    if node.attributes.get("activation", "none") != "none":
        y = y / (1 + np.exp(-y))
    return [y, whole[:, :, length:]]
