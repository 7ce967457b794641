# SPDX-License-Identifier: Apache-2.0
"""Tan, the inverse circular functions, the hyperbolic ones and their inverses, of functions that the engine has.

None of the formulas takes numbers from one another that are nearly the same, and none overflows before its result does.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .elementwise import FLOAT_MAX, scalar
from .logic import choose, compare

_FAR = 4096.0  # from there on asinh a = log(a) + log(2), but for less than 2^-26


class _Formula:
    """Writes formulas of one operand: functions of ops.def by name, numbers as operands."""

    def __init__(self, ctx: Context, dtype: str) -> None:
        self.ctx, self.dtype = ctx, dtype

    def __call__(self, function: str, *operands: Value | float, alpha: float = 0.0, beta: float = 0.0) -> Value:
        given = [v if isinstance(v, Value) else scalar(v, self.dtype) for v in operands]
        return self.ctx.elementwise(function, *given, alpha=alpha, beta=beta, dtype=self.dtype)


def _tan(f: _Formula, x: Value) -> Value:
    return f("DIV", f("SIN", x), f("COS", x))


def _asin(f: _Formula, x: Value) -> Value:
    """atan(x / sqrt((1 - x) (1 + x))), whose quotient is infinite at the ends."""
    return f("ATAN", f("DIV", x, f("SQRT", f("MUL", f("SUB", 1.0, x), f("ADD", 1.0, x)))))


def _acos(f: _Formula, x: Value) -> Value:
    """2 atan(sqrt((1 - x) / (1 + x))); 1 - x is exact where it is small."""
    half = f("ATAN", f("SQRT", f("DIV", f("SUB", 1.0, x), f("ADD", 1.0, x))))
    return f("ADD", half, half)


def _root_of_exp(f: _Formula, x: Value) -> Value:
    """e^(|x| / 2), whose square is finite as long as half of it is."""
    return f("EXP", f("AFFINE", f("ABS", x), alpha=0.5))


def _sinh(f: _Formula, x: Value) -> Value:
    """(1 - e^-2a) e^a / 2, a = |x|, with the sign of x; ELU below 0 is e^x - 1."""
    root = _root_of_exp(f, x)
    lacks = f("AFFINE", f("ELU", f("AFFINE", f("ABS", x), alpha=-2.0), alpha=1.0), alpha=-0.5)
    return f("MUL", f("SIGN", x), f("MUL", f("MUL", lacks, root), root))


def _cosh(f: _Formula, x: Value) -> Value:
    """h + 1 / (4 h), h = e^|x| / 2."""
    root = _root_of_exp(f, x)
    large = f("MUL", f("AFFINE", root, alpha=0.5), root)
    return f("ADD", large, f("DIV", 0.25, large))


def _asinh(f: _Formula, x: Value) -> Value:
    """log1p(a + a^2 / (1 + sqrt(1 + a^2))), a = |x|, with the sign of x."""
    a = f("ABS", x)
    near = f("MIN", a, _FAR)
    square = f("MUL", near, near)
    near = f("LOG1P", f("ADD", near, f("DIV", square, f("ADD", 1.0, f("SQRT", f("ADD", 1.0, square))))))
    far = f("ADD", f("LOG", a), math.log(2))
    chosen = choose(f.ctx, compare(f.ctx, "LESS", a, scalar(_FAR, f.dtype)), near, far)
    return f("MUL", f("SIGN", x), chosen)


def _acosh(f: _Formula, x: Value) -> Value:
    """2 asinh(s), s = sqrt(v), v = (x - 1) / 2: the inner one is log1p(s + v / (1 + sqrt(1 + v)))."""
    v = f("AFFINE", f("SUB", x, 1.0), alpha=0.5)
    finite = f("MIN", v, FLOAT_MAX)
    inner = f("LOG1P", f("ADD", f("SQRT", v), f("DIV", finite, f("ADD", 1.0, f("SQRT", f("ADD", 1.0, finite))))))
    return f("ADD", inner, inner)


def _atanh(f: _Formula, x: Value) -> Value:
    """log1p(2 a / (1 - a)) / 2, a = |x|, with the sign of x."""
    a = f("ABS", x)
    whole = f("LOG1P", f("DIV", f("ADD", a, a), f("SUB", 1.0, a)))
    return f("MUL", f("SIGN", x), f("AFFINE", whole, alpha=0.5))


#: ONNX name -> (first opset, formula, NumPy's function)
_FUNCTIONS: dict[str, tuple[int, Callable[[_Formula, Value], Value], Callable[[np.ndarray], np.ndarray]]] = {
    "Tan": (7, _tan, np.tan),
    "Asin": (7, _asin, np.arcsin),
    "Acos": (7, _acos, np.arccos),
    "Atan": (7, lambda f, x: f("ATAN", x), np.arctan),
    "Sinh": (9, _sinh, np.sinh),
    "Cosh": (9, _cosh, np.cosh),
    "Asinh": (9, _asinh, np.arcsinh),
    "Acosh": (9, _acosh, np.arccosh),
    "Atanh": (9, _atanh, np.arctanh),
}


@lowering(*[name for name, row in _FUNCTIONS.items() if row[0] == 7], inputs="input:floats")
@lowering(*[name for name, row in _FUNCTIONS.items() if row[0] == 9], inputs="input:floats", since=9)
def lower(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """f(x), by a few elementwise functions."""
    return _FUNCTIONS[node.op][1](_Formula(ctx, x.dtype), x)


@reference(*_FUNCTIONS)
def reference_function(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    return np.asarray(_FUNCTIONS[node.op][2](x))
