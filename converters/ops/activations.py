# SPDX-License-Identifier: Apache-2.0
"""Activations that are small programs of elementwise functions; a pass makes one operator of each.

Those of the domain com.microsoft are what onnxruntime's optimizer saves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import dims as dm
from .. import values
from ..errors import NodeError
from ..ir import FLOATS
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .elementwise import FUNCTIONS, arithmetic, require_broadcast, scalar
from .logic import choose, compare
from .reductions import reduced

SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875  # ONNX's defaults
_CUBIC = 0.044715  # of the approximation of Gelu by tanh

#: The default of `alpha` in x * sigmoid(alpha * x).
_SLOPES = {"Swish": 1.0, "QuickGelu": 1.702}

#: Attribute `activation` of onnxruntime's fused operators -> (function, how many parameters it has).
_FUSED = {
    "": ("IDENTITY", 0),
    "Clip": ("CLIP", 2),
    "Elu": ("ELU", 1),
    "HardSigmoid": ("HARD_SIGMOID", 2),
    "LeakyRelu": ("LEAKY_RELU", 1),
    "Relu": ("RELU", 0),
    "Selu": ("ELU", 1),
    "Sigmoid": ("SIGMOID", 0),
    "Softplus": ("SOFTPLUS", 0),
    "Softsign": ("SOFTSIGN", 0),
    "Tanh": ("TANH", 0),
    "ThresholdedRelu": ("THRESHOLDED_RELU", 1),
}


def activated(ctx: Context, x: Value, numbers: Sequence[float], gamma: float | None = None) -> Value:
    """The attribute `activation` of a fused operator; `gamma` is the factor that Selu has and no other."""
    name = ctx.attribute("activation", "")
    if name not in _FUSED:
        raise NodeError(f"attribute 'activation' is {name!r}; supported are {', '.join(filter(None, _FUSED))}")
    function, count = _FUSED[name]
    if len(numbers) != count or (gamma is not None) != (name == "Selu"):
        raise NodeError(f"attribute 'activation' is {name!r}, whose parameters are not those that are given")
    if not name:
        return x
    alpha, beta = (*numbers, 0.0, 0.0)[:2]
    result = ctx.elementwise(function, x, alpha=alpha, beta=beta)
    return result if gamma is None else ctx.elementwise("MUL", result, scalar(gamma, x.dtype))


@lowering("Selu", inputs="X:floats", attributes="alpha gamma")
def lower_selu(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """gamma * Elu(x)."""
    inner = ctx.elementwise("ELU", x, alpha=ctx.attribute("alpha", SELU_ALPHA))
    return ctx.elementwise("MUL", inner, scalar(ctx.attribute("gamma", SELU_GAMMA), x.dtype))


@lowering("Celu", inputs="X:floats", attributes="alpha", since=12)
def lower_celu(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """max(x, 0) + alpha * (e^(min(x, 0) / alpha) - 1); one of the two terms is always 0."""
    alpha = ctx.attribute("alpha", 1.0)
    if not alpha > 0:
        raise NodeError(f"attribute 'alpha' is {alpha}; above 0 is supported")
    below = ctx.elementwise("MIN", x, scalar(0.0, x.dtype))
    if alpha != 1:
        below = ctx.elementwise("DIV", below, scalar(alpha, x.dtype))
    return ctx.elementwise("ADD", ctx.elementwise("RELU", x), ctx.elementwise("ELU", below, alpha=alpha))


@lowering("PRelu", inputs="X:floats/int64/int32 slope:X")
def lower_prelu(ctx: Context, node: OnnxNode, x: Value, slope: Value) -> Value:
    """x, or slope * x below 0; the slope is broadcast to x."""
    require_broadcast(ctx, slope, x.dims, "a slope")
    if x.dtype in FLOATS:
        return ctx.elementwise("PRELU", x, slope)
    below = compare(ctx, "LESS", x, values.of_array(np.zeros((), np.int64), x.dtype))
    return choose(ctx, below, arithmetic(ctx, "MUL", slope, x), x)


@lowering("Gelu", inputs="X:floats", attributes="approximate", since=20)
@lowering("Gelu", inputs="X:floats", domain="com.microsoft")
def lower_gelu(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """x * (1 + erf(x / sqrt(2))) / 2, or with tanh(sqrt(2 / pi) * (x + 0.044715 x^3)) in place of erf."""
    kind = ctx.attribute("approximate", "none")
    if kind not in ("none", "tanh"):
        raise NodeError(f"attribute 'approximate' is {kind!r}; 'none' and 'tanh' are defined")
    return _gelu(ctx, x, kind == "tanh")


def _gelu(ctx: Context, x: Value, by_tanh: bool) -> Value:
    if by_tanh:
        scale = math.sqrt(2 / math.pi)
        slope = ctx.elementwise("AFFINE", ctx.elementwise("MUL", x, x), alpha=scale * _CUBIC, beta=scale)
        curve = ctx.elementwise("TANH", ctx.elementwise("MUL", x, slope))
    else:
        curve = ctx.elementwise("ERF", ctx.elementwise("AFFINE", x, alpha=math.sqrt(0.5)))
    return ctx.elementwise("MUL", x, ctx.elementwise("AFFINE", curve, alpha=0.5, beta=0.5))


@lowering("BiasGelu", inputs="A:floats B:A", domain="com.microsoft")
@lowering("FastGelu", inputs="X:floats bias?:X", domain="com.microsoft")
def lower_bias_gelu(ctx: Context, node: OnnxNode, x: Value, bias: Value | None) -> Value:
    """Gelu of x + bias, a vector along the last axis; FastGelu is that by tanh."""
    if bias is not None:
        length = x.dims[-1] if x.rank else 1
        ctx.equal(bias.dims[0] if bias.rank == 1 else 0, length, f"its bias {show(bias.dims)} is not [{length}]")
        x = ctx.elementwise("ADD", x, bias)
    return _gelu(ctx, x, node.op == "FastGelu")


@lowering("HardSwish", inputs="X:floats", since=14)
def lower_hard_swish(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """x * min(max(x / 6 + 1/2, 0), 1)."""
    return ctx.elementwise("MUL", x, ctx.elementwise("HARD_SIGMOID", x, alpha=1 / 6, beta=0.5))


@lowering("Mish", inputs="X:floats", since=18)
def lower_mish(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """x * tanh(log(1 + e^x))."""
    return ctx.elementwise("MUL", x, ctx.elementwise("TANH", ctx.elementwise("SOFTPLUS", x)))


@lowering("Swish", inputs="X:floats", attributes="alpha", since=24)
@lowering("QuickGelu", inputs="X:floats", attributes="alpha", domain="com.microsoft")
def lower_swish(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """x * sigmoid(alpha * x)."""
    alpha = ctx.attribute("alpha", _SLOPES[node.op])
    inner = x if alpha == 1 else ctx.elementwise("AFFINE", x, alpha=alpha)
    return ctx.elementwise("MUL", x, ctx.elementwise("SIGMOID", inner))


@lowering("Shrink", inputs="input:floats", attributes="bias lambd", since=9)
def lower_shrink(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """x + bias below -lambd, x - bias above lambd, else 0."""
    bias, bound = ctx.attribute("bias", 0.0), ctx.attribute("lambd", 0.5)
    above = compare(ctx, "LESS", scalar(bound, x.dtype), x)
    inner = choose(ctx, above, ctx.elementwise("SUB", x, scalar(bias, x.dtype)), scalar(0.0, x.dtype))
    below = compare(ctx, "LESS", x, scalar(-bound, x.dtype))
    return choose(ctx, below, ctx.elementwise("ADD", x, scalar(bias, x.dtype)), inner)


@lowering("Hardmax", inputs="input:floats", attributes="axis")
def lower_hardmax(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """1 at the first largest element along an axis; before opset 13 all axes from there on are one."""
    axis = ctx.axis(ctx.attribute("axis", -1 if node.version >= 13 else 1), x.rank)
    seen = x
    if node.version < 13 and axis != x.rank - 1:
        seen = ctx.reshape(x, (*x.dims[:axis], dm.product(x.dims[axis:])))
    length = ctx.number(
        seen.dims[axis], f"takes the largest of {seen.dims[axis]} elements; their number must be constant"
    )
    places = np.arange(length).reshape((-1, *[1] * (seen.rank - axis - 1)))
    found = compare(ctx, "EQUAL", reduced(ctx, seen, [axis], "ARG_MAX", dtype="I64"), values.of_array(places, "I64"))
    return ctx.reshape(ctx.elementwise("I_TO_F", found, dtype=x.dtype), x.dims)


# ---- references ------------------------------------------------------------------------------------------------------


def activated_reference(node: OnnxNode, x: np.ndarray, numbers: Sequence[float]) -> np.ndarray:
    """What the attribute `activation` of a fused operator makes of x; Selu's factor is left to the caller."""
    function, count = _FUSED[node.attributes.get("activation", "")]
    return np.asarray(FUNCTIONS[function](x, *numbers, *[0.0] * (2 - count)))


@reference("Selu")
def reference_selu(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """gamma * Elu(x)."""
    a = node.attributes
    return np.asarray(a.get("gamma", SELU_GAMMA) * FUNCTIONS["ELU"](x, a.get("alpha", SELU_ALPHA), 0))


@reference("Celu")
def reference_celu(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """As ONNX writes it."""
    alpha = node.attributes.get("alpha", 1.0)
    return np.asarray(np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(np.minimum(x, 0) / alpha)))


@reference("PRelu")
def reference_prelu(node: OnnxNode, x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """x, or slope * x below 0."""
    return np.where(x < 0, slope * x, x)


@reference("Gelu", domain="com.microsoft")
@reference("Gelu")
def reference_gelu(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """Exactly, or by tanh."""
    if node.op == "FastGelu" or node.attributes.get("approximate", "none") == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + _CUBIC * x**3))))
    return np.asarray(0.5 * x * (1 + FUNCTIONS["ERF"](x / np.sqrt(2), 0, 0)))


@reference("BiasGelu", "FastGelu", domain="com.microsoft")
def reference_bias_gelu(node: OnnxNode, x: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """Of the sum."""
    return reference_gelu(node, x if bias is None else x + bias)


@reference("HardSwish")
def reference_hard_swish(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """x * HardSigmoid(x)."""
    return np.asarray(x * np.clip(x / 6 + 0.5, 0, 1))


@reference("Mish")
def reference_mish(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """x * tanh(softplus(x))."""
    return np.asarray(x * np.tanh(np.logaddexp(0, x)))


@reference("QuickGelu", domain="com.microsoft")
@reference("Swish")
def reference_swish(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """x * sigmoid(alpha * x)."""
    return np.asarray(x / (1 + np.exp(-node.attributes.get("alpha", _SLOPES[node.op]) * x)))


@reference("Shrink")
def reference_shrink(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """Towards 0 by bias."""
    bias, bound = node.attributes.get("bias", 0.0), node.attributes.get("lambd", 0.5)
    return np.where(x < -bound, x + bias, np.where(x > bound, x - bias, 0))


@reference("Hardmax")
def reference_hardmax(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """1 at the first largest element."""
    axis = node.attributes.get("axis", -1 if node.version >= 13 else 1) % x.ndim
    seen = x if node.version >= 13 else x.reshape(*x.shape[:axis], -1)
    places = np.expand_dims(np.argmax(seen, axis), axis)
    result = np.zeros(seen.shape)
    np.put_along_axis(result, places, 1, axis)
    return result.reshape(x.shape)
