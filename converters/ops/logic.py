# SPDX-License-Identifier: Apache-2.0
"""Comparisons, logic, choices and tests of floats -> elementwise functions that give 0 or 1."""

from __future__ import annotations

import numpy as np

from .. import values
from ..errors import NodeError
from ..ir import FLOATS
from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..truth import select
from ..values import Value
from .elementwise import FUNCTIONS, arithmetic, scalar

#: ONNX name -> (function, whether its operands change places)
_COMPARISONS = {
    "Equal": ("EQUAL", False),
    "Less": ("LESS", False),
    "LessOrEqual": ("LESS_EQUAL", False),
    "Greater": ("LESS", True),
    "GreaterOrEqual": ("LESS_EQUAL", True),
}
_LOGIC = {"And": "I_AND", "Or": "I_OR", "Xor": "I_XOR", "Not": "I_NOT"}


def compare(ctx: Context, function: str, a: Value, b: Value) -> Value:
    """EQUAL, LESS or LESS_EQUAL of operands of one type."""
    if a.dtype in FLOATS:
        return ctx.elementwise(function, a, b, dtype="BOOL")
    return ctx.elementwise(f"I_{function}", a, b, dtype="BOOL")


def choose(ctx: Context, condition: Value, a: Value, b: Value) -> Value:
    """a where the condition is true, else b."""
    if a.dtype in FLOATS:
        condition = ctx.elementwise("I_TO_F", condition, dtype="F32")
        return ctx.elementwise("WHERE", condition, a, b, dtype=a.dtype)
    return ctx.elementwise("I_WHERE", condition, a, b, dtype=a.dtype)


@lowering("Equal", inputs="A:any B:A")
@lowering("Less", "Greater", inputs="A:numbers B:A")
@lowering("LessOrEqual", "GreaterOrEqual", inputs="A:numbers B:A", since=12)
def lower_comparison(ctx: Context, node: OnnxNode, a: Value, b: Value) -> Value:
    """a op b, broadcast: one elementwise function; a NaN equals nothing and is not below anything."""
    function, swapped = _COMPARISONS[node.op]
    return compare(ctx, function, *((b, a) if swapped else (a, b)))


@lowering("And", "Or", "Xor", inputs="A:bool B:A")
@lowering("Not", inputs="X:bool")
def lower_logic(ctx: Context, node: OnnxNode, *operands: Value) -> Value:
    """One elementwise function of bools."""
    return ctx.elementwise(_LOGIC[node.op], *operands)


@lowering("Where", inputs="condition:bool X:any Y:X", since=9)
def lower_where(ctx: Context, node: OnnxNode, condition: Value, a: Value, b: Value) -> Value:
    """A choice element by element; one that is known to be the same everywhere leaves nothing behind."""
    if condition.const is not None and condition.const.size and (condition.const == condition.const.flat[0]).all():
        chosen = a if condition.const.flat[0] else b
        dims = ctx.broadcast(condition.dims, a.dims, b.dims)
        ctx.check_size(dims, "F32" if a.dtype in FLOATS else a.dtype)
        return ctx.expand(chosen, dims)
    sizes = _chosen_sizes(condition, a, b)
    return choose(ctx, condition, a, b) if sizes is None else sizes


def _chosen_sizes(condition: Value, a: Value, b: Value) -> Value | None:
    """Sizes chosen by a question about sizes are sizes again."""
    if condition.truth is None or not all(v.sym is not None or v.const is not None for v in (a, b)):
        return None
    if a.dtype not in ("I64", "I32") or not all(v.is_full or v.sizes() is not None for v in (a, b)):
        return None
    if not all(isinstance(d, int) for d in condition.dims):
        return None
    arrays = [v.array().astype(object) if v.sym is None else v.sizes() for v in (a, b)]
    yes, no, _ = np.broadcast_arrays(*arrays, np.empty(condition.dims))  # type: ignore[arg-type]
    chosen = [select(condition.truth, x, y) for x, y in zip(yes.flat, no.flat, strict=True)]
    return values.of_sizes(values.objects(chosen).reshape(yes.shape), a.dtype)


@lowering("IsNaN", inputs="X:floats", since=9)
@lowering("IsInf", inputs="X:floats", attributes="detect_negative detect_positive", since=10)
def lower_test(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """One elementwise function of floats."""
    if node.op == "IsNaN":
        return ctx.elementwise("IS_NAN", x, dtype="BOOL")
    positive, negative = (bool(ctx.attribute(f"detect_{side}", 1)) for side in ("positive", "negative"))
    return ctx.elementwise("IS_INF", x, alpha=positive, beta=negative, dtype="BOOL")


@lowering("Mod", inputs="A:numbers B:A", attributes="fmod", since=10)
def lower_mod(ctx: Context, node: OnnxNode, a: Value, b: Value) -> Value:
    """What is left of a division: with fmod = 1 it has the sign of a, else that of b."""
    truncated = bool(ctx.attribute("fmod", 0))
    if a.dtype not in FLOATS:
        return arithmetic(ctx, "FMOD" if truncated else "MOD", a, b)
    if not truncated and node.version < 28:
        raise NodeError(f"attribute 'fmod' is 0, which opset {node.version} does not define for floats")
    rest = arithmetic(ctx, "FMOD", a, b)
    if truncated:
        return rest
    zero, side = scalar(0.0, b.dtype), ctx.elementwise("SIGN", b)
    apart = compare(ctx, "LESS", ctx.elementwise("MUL", ctx.elementwise("SIGN", rest), side), zero)
    moved = choose(ctx, apart, ctx.elementwise("ADD", rest, b), rest)
    return choose(ctx, compare(ctx, "EQUAL", rest, zero), ctx.elementwise("MUL", side, zero), moved)


@lowering("OneHot", inputs="indices:numbers depth:numbers values:any", attributes="axis", since=9)
def lower_one_hot(ctx: Context, node: OnnxNode, indices: Value, depth: Value, pair: Value) -> Value:
    """The places of a new axis compared with the index; one outside gives no place its `on` value."""
    if depth.const is None or depth.const.size != 1:
        raise NodeError("input 'depth' is not known when converting: bind the input that it comes from")
    count = int(depth.const.reshape(()))
    if count < 1:
        raise NodeError(f"input 'depth' is {count}")
    ctx.equal(pair.dims[0] if pair.rank == 1 else 0, 2, "input 'values' has not two elements, off and on")
    axis = ctx.axis(ctx.attribute("axis", -1), indices.rank + 1)
    if indices.dtype in FLOATS:
        indices = ctx.elementwise("F_TO_I", indices, dtype="I64")
    elif indices.dtype != "I64":
        indices = ctx.elementwise("I_IDENTITY", indices, dtype="I64")
    places = np.arange(count).reshape((-1, *[1] * (indices.rank - axis)))
    wide = values.insert_axes(indices, [axis])
    below = compare(ctx, "EQUAL", wide, values.of_array(places - count, "I64"))
    found = ctx.elementwise("I_OR", compare(ctx, "EQUAL", wide, values.of_array(places, "I64")), below)
    off, on = (values.drop_axes(values.slice_axis(pair, 0, i, 1), [0]) for i in (0, 1))
    return choose(ctx, found, on, off)


# ---- references ------------------------------------------------------------------------------------------------------


@reference(*_COMPARISONS)
def reference_comparison(node: OnnxNode, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    function, swapped = _COMPARISONS[node.op]
    return np.asarray(FUNCTIONS[function](*((b, a) if swapped else (a, b)), 0, 0))


@reference(*_LOGIC)
def reference_logic(node: OnnxNode, *arrays: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    function = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor, "Not": np.logical_not}[node.op]
    return np.asarray(function(*arrays))


@reference("Where", exact=True)
def reference_where(node: OnnxNode, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    return np.where(condition, a, b)


@reference("IsNaN", "IsInf")
def reference_test(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    if node.op == "IsNaN":
        return np.asarray(np.isnan(x))
    sides = [bool(node.attributes.get(f"detect_{side}", 1)) for side in ("positive", "negative")]
    return np.asarray(FUNCTIONS["IS_INF"](x, *sides))


@reference("Mod")
def reference_mod(node: OnnxNode, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """fmod = 1 has the sign of the dividend, else that of the divisor."""
    if a.dtype.kind != "f" and not np.all(b):
        raise NodeError("divides by zero")
    return np.asarray(np.fmod(a, b) if node.attributes.get("fmod", 0) else np.mod(a, b))


@reference("OneHot", exact=True)
def reference_one_hot(node: OnnxNode, indices: np.ndarray, depth: np.ndarray, pair: np.ndarray) -> np.ndarray:
    """Negative indices count from the end."""
    count, axis = int(depth.reshape(())), node.attributes.get("axis", -1)
    places = np.arange(count)
    wide = np.expand_dims(indices.astype(np.int64), -1)
    found = np.where((wide == places) | (wide == places - count), pair[1], pair[0])
    return np.moveaxis(found, -1, axis)
