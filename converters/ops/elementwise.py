# SPDX-License-Identifier: Apache-2.0
"""Arithmetic and activations, element by element -> the engine operator `elementwise`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..ir import FLOATS, NUMPY_TYPE
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference, symbolic
from ..values import Value

FLOAT_MAX = float(np.finfo(np.float32).max)
_erf = np.vectorize(math.erf, otypes=[np.float64])

#: The functions of floats of ops.def on NumPy arrays: the inputs, one to three, then alpha and beta.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "IDENTITY": lambda x, a, b: x,
    "ADD": lambda x, y, a, b: x + y,
    "SUB": lambda x, y, a, b: x - y,
    "MUL": lambda x, y, a, b: x * y,
    "DIV": lambda x, y, a, b: x / y,
    "POW": lambda x, y, a, b: np.power(x, y),
    "MIN": lambda x, y, a, b: np.minimum(x, y),
    "MAX": lambda x, y, a, b: np.maximum(x, y),
    "NEG": lambda x, a, b: -x,
    "ABS": lambda x, a, b: np.abs(x),
    "SQRT": lambda x, a, b: np.sqrt(x),
    "RECIPROCAL": lambda x, a, b: 1 / x,
    "FLOOR": lambda x, a, b: np.floor(x),
    "CEIL": lambda x, a, b: np.ceil(x),
    "ROUND": lambda x, a, b: np.rint(x),
    "EXP": lambda x, a, b: np.exp(x),
    "LOG": lambda x, a, b: np.log(x),
    "SIN": lambda x, a, b: np.sin(x),
    "COS": lambda x, a, b: np.cos(x),
    "ERF": lambda x, a, b: _erf(x) if np.size(x) else x,
    "TANH": lambda x, a, b: np.tanh(x),
    "SIGMOID": lambda x, a, b: 1 / (1 + np.exp(-x)),
    "RELU": lambda x, a, b: np.maximum(x, 0),
    "LEAKY_RELU": lambda x, a, b: np.where(x < 0, a * x, x),
    "THRESHOLDED_RELU": lambda x, a, b: np.where(x > a, x, np.where(np.isnan(x), x, 0)),
    "AFFINE": lambda x, a, b: a * x + b,
    "SCALED_TANH": lambda x, a, b: a * np.tanh(b * x),
    "HARD_SIGMOID": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "ELU": lambda x, a, b: np.where(x < 0, a * np.expm1(np.minimum(x, 0)), x),
    "SOFTSIGN": lambda x, a, b: x / (1 + np.abs(x)),
    "SOFTPLUS": lambda x, a, b: np.logaddexp(0, x),
    "CLIP": lambda x, a, b: np.minimum(np.maximum(x, a), b),
    "PRELU": lambda x, y, a, b: np.where(x < 0, y * x, x),
    "FMOD": lambda x, y, a, b: np.fmod(x, y),
    "SIGN": lambda x, a, b: np.sign(x),
    "WHERE": lambda x, y, z, a, b: np.where(x != 0, y, z),
    "ATAN": lambda x, a, b: np.arctan(x),
    "LOG1P": lambda x, a, b: np.log1p(x),
    "EQUAL": lambda x, y, a, b: x == y,
    "LESS": lambda x, y, a, b: x < y,
    "LESS_EQUAL": lambda x, y, a, b: x <= y,
    "IS_NAN": lambda x, a, b: np.isnan(x),
    "IS_INF": lambda x, a, b: ((a == 1) & (x == np.inf)) | ((b == 1) & (x == -np.inf)),
}

_BINARY = {"Add": "ADD", "Sub": "SUB", "Mul": "MUL", "Div": "DIV", "Min": "MIN", "Max": "MAX"}
_UNARY = {
    "Neg": "NEG",
    "Abs": "ABS",
    "Sqrt": "SQRT",
    "Reciprocal": "RECIPROCAL",
    "Floor": "FLOOR",
    "Ceil": "CEIL",
    "Round": "ROUND",
    "Exp": "EXP",
    "Log": "LOG",
    "Sin": "SIN",
    "Cos": "COS",
    "Erf": "ERF",
    "Tanh": "TANH",
    "Sigmoid": "SIGMOID",
    "Relu": "RELU",
    "Softsign": "SOFTSIGN",
    "Softplus": "SOFTPLUS",
    "Sign": "SIGN",
}
#: ONNX name -> (function, default alpha, default beta)
_PARAMETRIC = {
    "LeakyRelu": ("LEAKY_RELU", 0.01, 0.0),
    "ThresholdedRelu": ("THRESHOLDED_RELU", 1.0, 0.0),
    "HardSigmoid": ("HARD_SIGMOID", 0.2, 0.5),
    "Elu": ("ELU", 1.0, 0.0),
}
_OF_FLOATS = [op for op in _UNARY if op not in ("Neg", "Abs", "Sign", "Relu", "Erf", "Round")]


def scalar(number: float, dtype: str) -> Value:
    """A constant of a floating-point type."""
    return values.of_array(np.array(number, np.float32), dtype)


def require_broadcast(ctx: Context, v: Value, dims: tuple[Size, ...], what: str) -> None:
    """Refuse an operand that cannot be broadcast to dims, or that dims would have to be broadcast to."""
    if v.rank > len(dims) or ctx.broadcast(dims, v.dims) != dims:
        raise NodeError(f"{what} of shape {show(v.dims)} does not broadcast to {show(dims)}")


def arithmetic(ctx: Context, function: str, *operands: Value) -> Value:
    """A function of one or two operands in the variant for their type, which is the same."""
    dtype = operands[0].dtype
    return ctx.elementwise(function if dtype in FLOATS else f"I_{function}", *operands, dtype=dtype)


@lowering("Add", "Sub", "Mul", "Div", inputs="A:numbers B:A")
def lower_binary(ctx: Context, node: OnnxNode, a: Value, b: Value) -> Value:
    """a op b, broadcast: one elementwise function."""
    return arithmetic(ctx, _BINARY[node.op], a, b)


@lowering("Min", "Max", inputs="data_0*:numbers")
@lowering("Sum", inputs="data_0*:floats")
def lower_variadic(ctx: Context, node: OnnxNode, *operands: Value) -> Value:
    """A chain of binary functions, from the left."""
    function = "ADD" if node.op == "Sum" else _BINARY[node.op]
    result = operands[0]
    for v in operands[1:]:
        result = arithmetic(ctx, function, result, v)
    return result


@lowering("Mean", inputs="data_0*:floats")
def lower_mean(ctx: Context, node: OnnxNode, *operands: Value) -> Value:
    """The sum divided by the count."""
    total = lower_variadic(ctx, replace_op(node, "Sum"), *operands)
    count = values.of_array(np.array(len(operands), np.float32), total.dtype)
    return arithmetic(ctx, "DIV", total, count)


def replace_op(node: OnnxNode, op: str) -> OnnxNode:
    """The node as if it were another operator."""
    return OnnxNode(op, node.domain, node.name, node.inputs, node.outputs, node.attributes, node.version)


@lowering("Pow", inputs="X:floats Y:X", until=11)
@lowering("Pow", inputs="X:floats/int64/int32 Y:numbers", since=12)
def lower_pow(ctx: Context, node: OnnxNode, x: Value, y: Value) -> Value:
    """x ** y; the exponents 1 and 2 are what they mean."""
    if x.dtype not in FLOATS:
        return _power_of_integers(ctx, x, y)
    if y.const is not None and y.const.size == 1 and y.rank <= x.rank:
        exponent = float(y.const.reshape(()))
        if exponent == 1:
            return ctx.elementwise("IDENTITY", x)
        if exponent == 2:
            return ctx.elementwise("MUL", x, x)
    if y.dtype not in FLOATS:
        y = cast(ctx, y, "F32")
    return ctx.elementwise("POW", x, replace(y, dtype=x.dtype), dtype=x.dtype)


def _power_of_integers(ctx: Context, x: Value, y: Value) -> Value:
    """Squares of squares, of which the bits of the exponent choose, exact modulo 2^64; by a float, as a float.

    An exponent over 63 leaves the type, but for -1, 0 and 1: all that counts is whether it is even. A power with a
    negative exponent is 1 over the other, cut off.
    """
    if y.dtype in FLOATS:
        power = ctx.elementwise("POW", cast(ctx, x, "F32"), replace(y, dtype="F32"))
        return ctx.elementwise("F_TO_I", power, dtype=x.dtype)
    number = {n: values.of_array(np.array(n, np.int64), "I64") for n in (0, 1, 2, 62)}
    size = ctx.elementwise("I_ABS", y, dtype="I64")
    odd = ctx.elementwise("I_MOD", size, number[2])
    left = ctx.elementwise("I_MIN", size, ctx.elementwise("I_ADD", number[62], odd))
    power, square = number[1], ctx.elementwise("I_IDENTITY", x, dtype="I64")
    for bit in range(6):
        taken = ctx.elementwise("I_MOD", left, number[2])
        power = ctx.elementwise("I_WHERE", taken, ctx.elementwise("I_MUL", power, square), power, dtype="I64")
        if bit < 5:
            square = ctx.elementwise("I_MUL", square, square)
            left = ctx.elementwise("I_DIV", left, number[2])
    below = ctx.elementwise("I_LESS", y, number[0], dtype="BOOL")
    return ctx.elementwise("I_WHERE", below, ctx.elementwise("I_DIV", number[1], power), power, dtype=x.dtype)


@lowering(*_OF_FLOATS, inputs="X:floats")
@lowering("Erf", inputs="X:floats", since=9)
@lowering("Round", inputs="X:floats", since=11)
@lowering("Neg", "Relu", inputs="X:floats/signed")
@lowering("Abs", inputs="X:numbers")
@lowering("Sign", inputs="X:numbers", since=9)
def lower_unary(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """f(x): one elementwise function."""
    if node.op == "Relu" and x.dtype not in FLOATS:
        return arithmetic(ctx, "MAX", x, values.of_array(np.zeros((), np.int64), x.dtype))
    return arithmetic(ctx, _UNARY[node.op], x)


@lowering("HardSigmoid", inputs="X:floats", attributes="alpha beta")
@lowering("LeakyRelu", "Elu", inputs="X:floats", attributes="alpha")
@lowering("ThresholdedRelu", inputs="X:floats", attributes="alpha", since=10)
def lower_parametric(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """f(x) with alpha and beta: one elementwise function."""
    function, alpha, beta = _PARAMETRIC[node.op]
    return ctx.elementwise(function, x, alpha=ctx.attribute("alpha", alpha), beta=ctx.attribute("beta", beta))


@lowering("Clip", inputs="input:floats", attributes="min max", until=10)
def lower_clip_attributes(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """One elementwise function; the bounds are attributes."""
    return ctx.elementwise("CLIP", x, alpha=ctx.attribute("min", -FLOAT_MAX), beta=ctx.attribute("max", FLOAT_MAX))


@lowering("Clip", inputs="input:numbers min?:input max?:input", since=11)
def lower_clip(ctx: Context, node: OnnxNode, x: Value, low: Value | None, high: Value | None) -> Value:
    """One elementwise function where the bounds are constants, else two; an absent one is the end of the range."""
    for name, v in (("min", low), ("max", high)):
        if v is not None and v.rank != 0 and v.dims != (1,):
            raise NodeError(f"input {name!r} has the shape {show(v.dims)}; it must be a scalar")
    if x.dtype in FLOATS and all(v is None or v.const is not None for v in (low, high)):
        alpha = -FLOAT_MAX if low is None else float(low.const.reshape(()))  # type: ignore[union-attr]
        beta = FLOAT_MAX if high is None else float(high.const.reshape(()))  # type: ignore[union-attr]
        return ctx.elementwise("CLIP", x, alpha=alpha, beta=beta)
    result = x
    if low is not None:
        result = arithmetic(ctx, "MAX", result, values.reshape(low, (), None) or low)
    if high is not None:
        result = arithmetic(ctx, "MIN", result, values.reshape(high, (), None) or high)
    return result


TO_TYPE = {1: "F32", 10: "F16", 11: "F64", 7: "I64", 6: "I32", 3: "I8", 2: "U8", 9: "BOOL"}


def cast(ctx: Context, x: Value, dtype: str) -> Value:
    """x converted to dtype. Through float16 it is rounded to it, as the graph asks."""
    if x.dtype == dtype:
        return x
    if dtype == "BOOL":
        return ctx.elementwise("F_TO_BOOL" if x.dtype in FLOATS else "I_TO_BOOL", x, dtype=dtype)
    if x.dtype in FLOATS and dtype in FLOATS:
        if x.const is not None:
            return replace(x, const=x.const.astype(NUMPY_TYPE[dtype]), dtype=dtype)
        return replace(_rounded_to_half(ctx, x) if dtype == "F16" else x, dtype=dtype)
    if x.dtype in FLOATS:
        return ctx.elementwise("F_TO_I", x, dtype=dtype)
    if dtype == "F16":
        return replace(_rounded_to_half(ctx, cast(ctx, x, "F32")), dtype=dtype)
    return ctx.elementwise("I_TO_F" if dtype in FLOATS else "I_IDENTITY", x, dtype=dtype)


def _rounded_to_half(ctx: Context, x: Value) -> Value:
    """float32 that holds float16 values: stored as float16, and read back."""
    half = ctx.elementwise("IDENTITY", x, dtype="F32")
    assert half.tensor is not None
    half.tensor.dtype = "F16"
    return ctx.elementwise("IDENTITY", half, dtype="F32")


@lowering("Cast", inputs="input:any", attributes="to", until=18)
@lowering("Cast", inputs="input:any", attributes="to saturate", since=19, until=23)
@lowering("Cast", inputs="input:any", attributes="to saturate round_mode", since=24)
def lower_cast(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """One elementwise function; floats go to integers towards zero."""
    to = ctx.attribute("to")
    if to not in TO_TYPE:
        raise NodeError(
            f"attribute 'to' is {to}; supported are float32, float16, float64, int64, int32, int8, uint8 and bool"
        )
    return cast(ctx, x, TO_TYPE[to])


@lowering("CastLike", inputs="input:any target_type:any", since=15, until=18)
@lowering("CastLike", inputs="input:any target_type:any", attributes="saturate", since=19, until=23)
@lowering("CastLike", inputs="input:any target_type:any", attributes="saturate round_mode", since=24)
def lower_cast_like(ctx: Context, node: OnnxNode, x: Value, like: Value) -> Value:
    """Cast to the type of another tensor."""
    return cast(ctx, x, like.dtype)


# ---- references ------------------------------------------------------------------------------------------------------


@reference("Add", "Sub", "Mul", "Min", "Max", "Sum")
def reference_binary(node: OnnxNode, *arrays: np.ndarray) -> np.ndarray:
    """From the left."""
    function = FUNCTIONS["ADD" if node.op == "Sum" else _BINARY[node.op]]
    result = arrays[0]
    for a in arrays[1:]:
        result = function(result, a, 0, 0)
    return result


@reference("Mean")
def reference_mean(node: OnnxNode, *arrays: np.ndarray) -> np.ndarray:
    """The mean of the operands."""
    return reference_binary(replace_op(node, "Sum"), *arrays) / len(arrays)


@reference("Div")
def reference_div(node: OnnxNode, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Integers are divided towards zero."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    if not np.all(b):
        raise NodeError("divides by zero")
    return np.asarray((np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))).astype(a.dtype))


@reference("Pow")
def reference_pow(node: OnnxNode, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """In the type of the base; NumPy refuses negative powers of integers."""
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return np.asarray(np.power(a, b).astype(a.dtype))
    power = np.power(a, np.abs(b).astype(a.dtype))
    inverse = np.where(power == 0, 0, np.where(np.abs(power) == 1, power, 0))
    return np.where(b < 0, inverse, power).astype(a.dtype)


@reference(*_UNARY)
def reference_unary(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """f(x)."""
    return np.asarray(FUNCTIONS[_UNARY[node.op]](x, 0, 0))


@reference(*_PARAMETRIC)
def reference_parametric(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """f(x) with alpha and beta."""
    function, alpha, beta = _PARAMETRIC[node.op]
    return np.asarray(FUNCTIONS[function](x, node.attributes.get("alpha", alpha), node.attributes.get("beta", beta)))


@reference("Clip")
def reference_clip(
    node: OnnxNode, x: np.ndarray, low: np.ndarray | None = None, high: np.ndarray | None = None
) -> np.ndarray:
    """Bounds as attributes or inputs."""
    a, b = node.attributes.get("min"), node.attributes.get("max")
    low, high = low if a is None else np.asarray(a), high if b is None else np.asarray(b)
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


@reference("Cast", exact=True)
def reference_cast(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """As NumPy converts."""
    to = node.attributes.get("to")
    types = {"F32": "f4", "F16": "f2", "F64": "f8", "I64": "i8", "I32": "i4", "I8": "i1", "U8": "u1", "BOOL": "?"}
    if to not in TO_TYPE:
        raise NodeError(f"attribute 'to' is {to}, a type that is not supported")
    return x.astype(types[TO_TYPE[to]])


@reference("CastLike", exact=True)
def reference_cast_like(node: OnnxNode, x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """To the type of another array."""
    return x.astype(like.dtype)


# ---- sizes -----------------------------------------------------------------------------------------------------------

_ON_SIZES: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Min": dm.minimum,
    "Max": dm.maximum,
    "Mod": dm.mod,
    "Div": dm.floor_div,
}


@symbolic("Add", "Sub", "Mul", "Div", "Mod", "Min", "Max")
def sizes_binary(node: OnnxNode, *arrays: np.ndarray) -> np.ndarray | None:
    """Sizes are positive, so that division towards zero is division downwards, where that is certain."""
    result = arrays[0]
    for other in arrays[1:]:
        if node.op in ("Div", "Mod") and not all(dm.at_most(0, x) for x in result.flat):
            return None
        if node.op in ("Div", "Mod") and not all(dm.at_most(1, x) for x in other.flat):
            return None
        pairs = np.broadcast(result, other)
        made = np.empty(pairs.shape, object)
        made.reshape(-1)[:] = [_ON_SIZES[node.op](a, b) for a, b in pairs]
        result = made
    return result


@symbolic("Cast")
def sizes_cast(node: OnnxNode, x: np.ndarray) -> np.ndarray | None:
    """Between int32 and int64 nothing changes."""
    return x if node.attributes.get("to") in (6, 7) else None
