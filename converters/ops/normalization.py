# SPDX-License-Identifier: Apache-2.0
"""Normalisations: by the input's own mean and variance -> `normalize`; by constant ones -> a product and a sum."""

from __future__ import annotations

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
from .elementwise import arithmetic, cast, require_broadcast, scalar
from .logic import choose, compare
from .reductions import reduced
from .window import LIMIT, Axis, Window

_BATCH = "X:floats scale:X B:X mean:X var:X"
_BATCH_14 = "X:floats scale:floats B:scale input_mean:floats input_var:input_mean"
_STAGES = {1: "F32", 10: "F16", 11: "F64"}


def standardized(ctx: Context, x: Value, first: int, epsilon: float) -> Value:
    """(x - mean) / sqrt(variance + epsilon), all axes from `first` on being one row."""
    rest = x.dims[first:]
    if ctx.has_time(*rest):
        ctx.not_streamable("normalises over the steps of the sequence")
        if x.time is not None and x.time.axis >= first:
            x = replace(x, time=None)
    rows = x if len(rest) == 1 else ctx.reshape(x, (*x.dims[:first], dm.product(rest)))
    target = ctx.new(rows.dims, "F32")
    ctx.emit("normalize", [ctx.operand(rows, rows=True)], [target], kind="MEAN_VARIANCE", epsilon=epsilon)
    result = replace(values.of_tensor(target, x.dtype), time=rows.time, late=rows.late)
    return result if len(rest) == 1 else ctx.reshape(result, x.dims)


def _scaled(ctx: Context, x: Value, scale: Value | None, bias: Value | None) -> Value:
    """x * scale + bias."""
    result = x if scale is None else arithmetic(ctx, "MUL", x, scale)
    return result if bias is None else arithmetic(ctx, "ADD", result, bias)


def _on_channels(ctx: Context, v: Value, x: Value, what: str) -> Value:
    """[C] beside [N, C, ...]."""
    channels = x.dims[1] if x.rank > 1 else 1
    ctx.equal(v.dims[0] if v.rank == 1 else 0, channels, f"input {what!r} of shape {show(v.dims)} is not [{channels}]")
    return values.insert_axes(v, list(range(1, x.rank - 1))) if x.rank > 2 else v


def _stage(ctx: Context) -> str:
    """The type of the first stage; it is computed in float32, whichever floating-point type it is."""
    kind = ctx.attribute("stash_type", 1)
    if kind not in _STAGES:
        raise NodeError(f"attribute 'stash_type' is {kind}; supported are float32 (1), float16 (10) and float64 (11)")
    return _STAGES[kind]


def _broadcasts(ctx: Context, x: Value, *operands: Value | None) -> None:
    """Scale and bias are broadcast to x, never x to them."""
    for v in operands:
        if v is not None:
            require_broadcast(ctx, v, x.dims, "a scale or bias")


@lowering(
    "LayerNormalization", inputs="X:floats Scale:X B?:X", outputs=(1, 3), attributes="axis epsilon stash_type", since=17
)
def lower_layer(ctx: Context, node: OnnxNode, x: Value, scale: Value, bias: Value | None) -> list[Value | None]:
    """`normalize` over all axes from `axis` on, a product and a sum; Mean and InvStdDev where they are wanted."""
    axis, epsilon = ctx.axis(ctx.attribute("axis", -1), x.rank), ctx.attribute("epsilon", 1e-5)
    stage = _stage(ctx)
    _broadcasts(ctx, x, scale, bias)
    results: list[Value | None] = [_scaled(ctx, standardized(ctx, x, axis, epsilon), scale, bias)]
    wanted = [bool(name) for name in node.outputs[1:]]
    if any(wanted):
        axes = list(range(axis, x.rank))
        mean = reduced(ctx, replace(x, dtype="F32"), axes, "MEAN")
        distance = arithmetic(ctx, "SUB", replace(x, dtype="F32"), mean)
        variance = reduced(ctx, arithmetic(ctx, "MUL", distance, distance), axes, "MEAN")
        deviation = arithmetic(ctx, "SQRT", arithmetic(ctx, "ADD", variance, scalar(epsilon, "F32")))
        results += [cast(ctx, v, stage) for v in (mean, arithmetic(ctx, "RECIPROCAL", deviation))]
    return results[: len(node.outputs)]


@lowering(
    "SkipLayerNormalization",
    inputs="input:floats skip:input gamma:input beta?:input bias?:input",
    outputs=(1, 4),
    attributes="epsilon",
    domain="com.microsoft",
)
def lower_skip(
    ctx: Context, node: OnnxNode, x: Value, skip: Value, scale: Value, beta: Value | None, bias: Value | None
) -> list[Value | None]:
    """The normalised sum of input, skip and bias, and that sum: what onnxruntime's optimizer saves."""
    _broadcasts(ctx, x, skip, scale, beta, bias)
    total = _scaled(ctx, arithmetic(ctx, "ADD", x, skip), None, bias)
    y = _scaled(ctx, standardized(ctx, total, x.rank - 1, ctx.attribute("epsilon", 1e-12)), scale, beta)
    return [y, None, None, total][: len(node.outputs)]


@lowering("RMSNormalization", inputs="X:floats scale:X", attributes="axis epsilon stash_type", since=23)
def lower_rms(ctx: Context, node: OnnxNode, x: Value, scale: Value) -> Value:
    """x / sqrt(mean(x^2) + epsilon) * scale, over all axes from `axis` on."""
    axis = ctx.axis(ctx.attribute("axis", -1), x.rank)
    _stage(ctx)
    _broadcasts(ctx, x, scale)
    squares = reduced(ctx, arithmetic(ctx, "MUL", x, x), list(range(axis, x.rank)), "MEAN")
    epsilon = scalar(ctx.attribute("epsilon", 1e-5), x.dtype)
    deviation = arithmetic(ctx, "SQRT", arithmetic(ctx, "ADD", squares, epsilon))
    return arithmetic(ctx, "MUL", arithmetic(ctx, "DIV", x, deviation), scale)


_TRAINED = "has outputs of training; export the model for inference"


@lowering("BatchNormalization", inputs=_BATCH, outputs=(1, 5), attributes="epsilon momentum spatial", until=8)
@lowering("BatchNormalization", inputs=_BATCH, outputs=(1, 5), attributes="epsilon momentum", since=9, until=13)
@lowering("BatchNormalization", inputs=_BATCH_14, outputs=(1, 3), attributes="epsilon momentum training_mode", since=14)
def lower_batch(
    ctx: Context, node: OnnxNode, x: Value, scale: Value, bias: Value, mean: Value, variance: Value
) -> Value:
    """x * factor + addend; both are constants, computed here in float64, where the four parameters are."""
    if ctx.attribute("training_mode", 0):
        raise NodeError("attribute 'training_mode' is 1; export the model for inference")
    if any(node.outputs[1:]):
        raise NodeError(_TRAINED)
    epsilon = ctx.attribute("epsilon", 1e-5)
    given = {"scale": scale, "B": bias, "mean": mean, "var": variance}
    if ctx.attribute("spatial", 1):
        parts = [_on_channels(ctx, v, x, name) for name, v in given.items()]
    else:
        parts = list(given.values())
        _broadcasts(ctx, x, *parts)
    if all(v.const is not None for v in parts):
        s, b, m, v = (p.array().astype(np.float64) for p in parts)
        with np.errstate(all="ignore"):
            factor = s / np.sqrt(v + epsilon)
            addend = b - m * factor
        return _scaled(ctx, x, *(values.of_array(a.astype(np.float32), x.dtype) for a in (factor, addend)))
    s_, b_, m_, v_ = (replace(p, dtype=x.dtype) for p in parts)
    deviation = arithmetic(ctx, "SQRT", arithmetic(ctx, "ADD", v_, scalar(epsilon, x.dtype)))
    return _scaled(ctx, arithmetic(ctx, "DIV", arithmetic(ctx, "SUB", x, m_), deviation), s_, b_)


@lowering("InstanceNormalization", inputs="input:floats scale:input B:input", attributes="epsilon")
def lower_instance(ctx: Context, node: OnnxNode, x: Value, scale: Value, bias: Value) -> Value:
    """`normalize` of each channel of each row, a product and a sum."""
    if x.rank < 3:
        raise NodeError(f"takes rows, channels and spatial axes, not {show(x.dims)}")
    parts = [_on_channels(ctx, v, x, name) for name, v in (("scale", scale), ("B", bias))]
    return _scaled(ctx, standardized(ctx, x, 2, ctx.attribute("epsilon", 1e-5)), *parts)


@lowering("GroupNormalization", inputs="X:floats scale:X bias:X", attributes="epsilon num_groups", since=18, until=20)
@lowering("GroupNormalization", inputs="X:floats scale:X bias:X", attributes="epsilon num_groups stash_type", since=21)
def lower_group(ctx: Context, node: OnnxNode, x: Value, scale: Value, bias: Value) -> Value:
    """`normalize` of groups of channels; scale and bias are those of a channel, before opset 21 of a group."""
    _stage(ctx)
    groups = ctx.attribute("num_groups", 0)
    each = dm.exact_div(x.dims[1], groups) if x.rank > 2 and groups > 0 else None
    if each is None:
        raise NodeError(f"attribute 'num_groups' is {groups}, which does not divide the channels of {show(x.dims)}")
    if x.time is not None and x.time.axis == 1:
        ctx.not_streamable("normalises over the steps of the sequence")
    apart = ctx.reshape(x, (x.dims[0], groups, each, *x.dims[2:]))
    result = standardized(ctx, apart, 2, ctx.attribute("epsilon", 1e-5))
    if node.version < 21:
        parts = [_on_channels(ctx, v, apart, name) for name, v in (("scale", scale), ("bias", bias))]
        return ctx.reshape(_scaled(ctx, result, *parts), x.dims)
    parts = [_on_channels(ctx, v, x, name) for name, v in (("scale", scale), ("bias", bias))]
    return _scaled(ctx, ctx.reshape(result, x.dims), *parts)


@lowering("LpNormalization", inputs="input:floats", attributes="axis p")
def lower_lp(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """x divided by its norm along an axis; 0 where the norm is 0."""
    axis, p = ctx.axis(ctx.attribute("axis", -1), x.rank), ctx.attribute("p", 2)
    if p not in (1, 2):
        raise NodeError(f"attribute 'p' is {p}; 1 and 2 are defined")
    parts = arithmetic(ctx, "ABS", x) if p == 1 else arithmetic(ctx, "MUL", x, x)
    norm = reduced(ctx, parts, [axis], "SUM")
    norm = norm if p == 1 else arithmetic(ctx, "SQRT", norm)
    zero = scalar(0.0, x.dtype)
    return choose(ctx, compare(ctx, "EQUAL", norm, zero), zero, arithmetic(ctx, "DIV", x, norm))


@lowering("MeanVarianceNormalization", inputs="X:floats", attributes="axes", since=9)
def lower_mean_variance(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """(x - mean) / (deviation + 1e-9), as ONNX defines it, over the axes given."""
    axes = sorted({ctx.axis(a, x.rank, "axes:") for a in ctx.attribute("axes", [0, 2, 3])})
    distance = arithmetic(ctx, "SUB", x, reduced(ctx, x, axes, "MEAN"))
    variance = reduced(ctx, arithmetic(ctx, "MUL", distance, distance), axes, "MEAN")
    deviation = arithmetic(ctx, "ADD", arithmetic(ctx, "SQRT", variance), scalar(1e-9, x.dtype))
    return arithmetic(ctx, "DIV", distance, deviation)


@lowering("LRN", inputs="X:floats", attributes="alpha beta bias size")
def lower_local_response(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """x / (bias + alpha * mean of x^2 in a window over channels) ** beta; what is not there counts as 0 in the mean."""
    size = ctx.attribute("size", 0)
    if not 0 < size <= LIMIT or x.rank < 2:
        raise NodeError(f"attribute 'size' is {size}, a number of channels; its input has the shape {show(x.dims)}")
    if x.time is not None and x.time.axis == 1:
        ctx.not_streamable("normalises over the steps of the sequence")
        x = replace(x, time=None)
    squares = arithmetic(ctx, "MUL", x, x)
    apart = ctx.reshape(squares, (x.dims[0], 1, x.dims[1], dm.product(x.dims[2:])))
    window = Window([Axis(size, 1, 1, (size - 1) // 2, size // 2), Axis(1)], list(apart.dims[2:]))
    target = ctx.new(apart.dims, "F32")
    numbers = window.numbers()
    ctx.emit("pool", [ctx.operand(apart)], [target], kind="AVERAGE", count_padding=1, window=numbers)
    mean = ctx.reshape(replace(values.of_tensor(target, x.dtype), time=apart.time, late=x.late), x.dims)
    alpha, beta = ctx.attribute("alpha", 1e-4), ctx.attribute("beta", 0.75)
    base = ctx.elementwise("AFFINE", mean, alpha=alpha, beta=ctx.attribute("bias", 1.0))
    return arithmetic(ctx, "DIV", x, arithmetic(ctx, "POW", base, scalar(beta, x.dtype)))


# ---- references ------------------------------------------------------------------------------------------------------


def _standard(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    return np.asarray((x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon))


def _beside(v: np.ndarray, x: np.ndarray) -> np.ndarray:
    return v.reshape(-1, *[1] * (x.ndim - 2))


@reference("LayerNormalization")
def reference_layer(node: OnnxNode, x: np.ndarray, scale: np.ndarray, bias: Any = 0) -> tuple[np.ndarray, ...]:
    """Normalised, the mean, and one over the deviation."""
    axes = tuple(range(node.attributes.get("axis", -1) % x.ndim, x.ndim))
    epsilon = node.attributes.get("epsilon", 1e-5)
    deviation = np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)
    y = _standard(x, axes, epsilon) * scale + (0 if bias is None else bias)
    return y, x.mean(axis=axes, keepdims=True), 1 / deviation


@reference("SkipLayerNormalization", domain="com.microsoft")
def reference_skip(
    node: OnnxNode, x: np.ndarray, skip: np.ndarray, scale: np.ndarray, beta: Any = None, bias: Any = None
) -> list[np.ndarray]:
    """The normalised sum, what training wants of it, and the sum."""
    total = x + skip + (0 if bias is None else bias)
    epsilon = node.attributes.get("epsilon", 1e-12)
    deviation = np.sqrt(total.var(axis=-1, keepdims=True) + epsilon)
    y = _standard(total, (-1,), epsilon) * scale + (0 if beta is None else beta)
    return [y, total.mean(axis=-1, keepdims=True), 1 / deviation, total]


@reference("RMSNormalization")
def reference_rms(node: OnnxNode, x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """By the root of the mean square."""
    axes = tuple(range(node.attributes.get("axis", -1) % x.ndim, x.ndim))
    squares = (x * x).mean(axis=axes, keepdims=True) + node.attributes.get("epsilon", 1e-5)
    return np.asarray(x / np.sqrt(squares) * scale)


@reference("BatchNormalization")
def reference_batch(node: OnnxNode, x: np.ndarray, *parameters: np.ndarray) -> np.ndarray:
    """By the statistics given."""
    each = parameters if not node.attributes.get("spatial", 1) else [_beside(p, x) for p in parameters]
    scale, bias, mean, variance = each
    return np.asarray((x - mean) / np.sqrt(variance + node.attributes.get("epsilon", 1e-5)) * scale + bias)


@reference("InstanceNormalization")
def reference_instance(node: OnnxNode, x: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Each channel of each row."""
    y = _standard(x, tuple(range(2, x.ndim)), node.attributes.get("epsilon", 1e-5))
    return np.asarray(y * _beside(scale, x) + _beside(bias, x))


@reference("GroupNormalization")
def reference_group(node: OnnxNode, x: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Groups of channels."""
    groups = node.attributes["num_groups"]
    apart = x.reshape(x.shape[0], groups, -1)
    y = _standard(apart, (2,), node.attributes.get("epsilon", 1e-5)).reshape(x.shape)
    if node.version < 21:
        scale, bias = (np.repeat(v, x.shape[1] // groups) for v in (scale, bias))
    return np.asarray(y * _beside(scale, x) + _beside(bias, x))


@reference("LpNormalization")
def reference_lp(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """0 where the norm is 0."""
    axis, p = node.attributes.get("axis", -1), node.attributes.get("p", 2)
    norm = np.linalg.norm(x, ord=p, axis=axis, keepdims=True)
    return np.asarray(np.where(norm == 0, 0, x / norm))


@reference("MeanVarianceNormalization")
def reference_mean_variance(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """With 1e-9 beside the deviation."""
    axes = tuple(node.attributes.get("axes", [0, 2, 3]))
    return np.asarray((x - x.mean(axis=axes, keepdims=True)) / (x.std(axis=axes, keepdims=True) + 1e-9))


@reference("LRN")
def reference_local_response(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """Shifted squares, added up."""
    a = node.attributes
    size, channels = a["size"], x.shape[1]
    wide = np.pad(x * x, [(0, 0), ((size - 1) // 2, size // 2), *[(0, 0)] * (x.ndim - 2)])
    total = sum(wide[:, k : k + channels] for k in range(size))
    return np.asarray(x / (a.get("bias", 1.0) + a.get("alpha", 1e-4) / size * total) ** a.get("beta", 0.75))
