# SPDX-License-Identifier: Apache-2.0
"""Bitwise logic and shifts of integers, on integers modulo 2^64; BitCast of constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import values
from ..errors import NodeError
from ..ir import NUMPY_TYPE
from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .elementwise import TO_TYPE, arithmetic

_INTEGERS = "int64/int32/int8/uint8"
_LOGIC: dict[str, Callable[..., Any]] = {
    "BitwiseAnd": np.bitwise_and,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
}


@lowering(*_LOGIC, inputs=f"A:{_INTEGERS} B:A", since=18)
def lower_logic(ctx: Context, node: OnnxNode, a: Value, b: Value) -> Value:
    """a & b; a | b is a + b - (a & b), and a ^ b takes that off once more."""
    both = arithmetic(ctx, "BIT_AND", a, b)
    if node.op == "BitwiseAnd":
        return both
    result = arithmetic(ctx, "SUB", arithmetic(ctx, "ADD", a, b), both)
    return result if node.op == "BitwiseOr" else arithmetic(ctx, "SUB", result, both)


@lowering("BitwiseNot", inputs=f"X:{_INTEGERS}", since=18)
def lower_not(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """-1 - x, which an unsigned type narrows to its own range."""
    return ctx.elementwise("I_SUB", values.of_array(np.array(-1, np.int64), x.dtype), x)


@lowering("BitShift", inputs="X:uint8 Y:X", attributes="direction", since=11, until=27)
@lowering("BitShift", inputs=f"X:{_INTEGERS} Y:X", attributes="direction", since=28)
def lower_shift(ctx: Context, node: OnnxNode, x: Value, count: Value) -> Value:
    """Bits that leave the type are lost; to the right the sign comes in."""
    return arithmetic(ctx, f"SHIFT_{_direction(node)}", x, count)


def _direction(node: OnnxNode) -> str:
    direction = node.attributes.get("direction")
    if direction not in ("LEFT", "RIGHT"):
        raise NodeError(f"attribute 'direction' is {direction!r}, not LEFT or RIGHT")
    return str(direction)


# ---- references ------------------------------------------------------------------------------------------------------


@reference(*_LOGIC)
def reference_logic(node: OnnxNode, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    return np.asarray(_LOGIC[node.op](a, b))


@reference("BitwiseNot")
def reference_not(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    return np.asarray(np.invert(x))


@reference("BitShift")
def reference_shift(node: OnnxNode, x: np.ndarray, count: np.ndarray) -> np.ndarray:
    """NumPy's own within the width of the type; beyond it the sign is left, or nothing."""
    bits = x.dtype.itemsize * 8
    outside = (count < 0) | (count >= bits)
    if _direction(node) == "LEFT":
        return np.asarray(np.where(outside, 0, np.left_shift(x, np.where(outside, 0, count)))).astype(x.dtype)
    moved = np.right_shift(x, np.where(outside, bits - 1, count).astype(x.dtype))
    return np.where(outside & (x >= 0), x.dtype.type(0), moved)


@reference("BitCast", exact=True)
def reference_bit_cast(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """A view of the same bytes."""
    to = TO_TYPE.get(node.attributes.get("to", 0))
    if to is None or NUMPY_TYPE[to].itemsize != x.dtype.itemsize:
        raise NodeError(f"attribute 'to' is {node.attributes.get('to')}, no supported type as wide as {x.dtype}")
    return np.ascontiguousarray(x).view(NUMPY_TYPE[to]).reshape(x.shape)
