# SPDX-License-Identifier: Apache-2.0
"""The elementwise functions of docs/format.md, for trnn_engine.py: floats in float64, integers modulo 2^64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

erf = np.vectorize(math.erf, otypes=[float])
f32 = np.float32


def _tanh(x: Any) -> Any:
    return np.tanh(np.asarray(x, np.float64)).astype(f32)


def _ramp(low: float, x: Any, high: float) -> Any:
    return np.minimum(np.maximum(x, low), high)


def _float(make: Callable[..., Any]) -> Callable[..., Any]:
    """In float64."""
    return lambda *x, alpha=0.0, beta=0.0: make(*(np.asarray(v, np.float64) for v in x), alpha, beta)


def _rounded(make: Callable[..., Any]) -> Callable[..., Any]:
    """In float32, so that each operation of the meaning rounds once."""

    def function(*x: Any, alpha: float = 0.0, beta: float = 0.0) -> Any:
        return make(*(np.asarray(v, f32) for v in x), f32(alpha), f32(beta))

    return function


def _integer(make: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *x, alpha=0.0, beta=0.0: make(*x)


def _divide(a: Any, b: Any) -> Any:
    """Towards zero, 0 where b is 0; exact for all of int64."""
    pairs = zip(a.reshape(-1).tolist(), b.reshape(-1).tolist(), strict=True)
    quotients = [0 if q == 0 else (abs(p) // abs(q)) * (1 if (p < 0) == (q < 0) else -1) for p, q in pairs]
    return np.array([_wrapped(q) for q in quotients], np.int64).reshape(a.shape)


def _remainder(a: Any, b: Any, floored: bool) -> Any:
    def one(p: int, q: int) -> int:
        if q == 0:
            return 0
        return p % q if floored else int(math.copysign(abs(p) % abs(q), p)) if abs(p) < 2**53 else _exact(p, q)

    pairs = zip(a.reshape(-1).tolist(), b.reshape(-1).tolist(), strict=True)
    return np.array([one(p, q) for p, q in pairs], np.int64).reshape(a.shape)


def _exact(p: int, q: int) -> int:
    return (abs(p) % abs(q)) * (-1 if p < 0 else 1)


def _wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def _shift(a: Any, b: Any, left: bool) -> Any:
    inside = (b >= 0) & (b <= 63)
    if left:
        return np.where(inside, np.left_shift(a, np.where(inside, b, 0)), 0)
    return np.right_shift(a, np.where(inside, b, 63))


def _to_integer(x: Any) -> Any:
    def one(v: float) -> int:
        return 0 if v != v else 2**63 - 1 if v >= 2.0**63 else -(2**63) if v < -(2.0**63) else int(v)

    return np.array([one(v) for v in np.asarray(x, np.float64).reshape(-1).tolist()], np.int64).reshape(np.shape(x))


def _extreme(fold: Any) -> Callable[..., Any]:
    return _float(lambda a, b, *_: fold(a, b))


#: value -> (inputs, from and to, function of arrays with alpha and beta)
FUNCTIONS: dict[int, tuple[int, str, Callable[..., Any]]] = {
    0: (1, "ff", lambda x, alpha=0.0, beta=0.0: x),
    1: (2, "ff", _float(lambda a, b, *_: a + b)),
    2: (2, "ff", _float(lambda a, b, *_: a - b)),
    3: (2, "ff", _float(lambda a, b, *_: a * b)),
    4: (2, "ff", _float(lambda a, b, *_: a / b)),
    5: (2, "ff", _float(lambda a, b, *_: np.power(a, b))),
    6: (2, "ff", _extreme(np.minimum)),
    7: (2, "ff", _extreme(np.maximum)),
    8: (1, "ff", _float(lambda x, *_: -x)),
    9: (1, "ff", _float(lambda x, *_: np.abs(x))),
    10: (1, "ff", _float(lambda x, *_: np.sqrt(x))),
    11: (1, "ff", _float(lambda x, *_: 1 / x)),
    12: (1, "ff", _float(lambda x, *_: np.floor(x))),
    13: (1, "ff", _float(lambda x, *_: np.ceil(x))),
    14: (1, "ff", _float(lambda x, *_: np.rint(x))),
    15: (1, "ff", _float(lambda x, *_: np.exp(x))),
    16: (1, "ff", _float(lambda x, *_: np.log(x))),
    17: (1, "ff", _float(lambda x, *_: np.sin(x))),
    18: (1, "ff", _float(lambda x, *_: np.cos(x))),
    19: (1, "ff", _float(lambda x, *_: erf(x))),
    20: (1, "ff", _float(lambda x, *_: np.tanh(x))),
    21: (1, "ff", _float(lambda x, *_: 1 / (1 + np.exp(-x)))),
    22: (1, "ff", _float(lambda x, *_: np.maximum(x, 0))),
    23: (1, "ff", _rounded(lambda x, alpha, _: np.where(x < 0, alpha * x, x))),
    24: (1, "ff", _float(lambda x, alpha, _: np.where(x > alpha, x, 0))),
    25: (1, "ff", _rounded(lambda x, alpha, beta: alpha * x + beta)),
    26: (1, "ff", _rounded(lambda x, alpha, beta: alpha * _tanh(beta * x))),
    27: (1, "ff", _rounded(lambda x, alpha, beta: _ramp(0, alpha * x + beta, 1))),
    28: (1, "ff", _rounded(lambda x, alpha, _: np.where(x < 0, alpha * np.expm1(x.astype(float)).astype(f32), x))),
    29: (1, "ff", _rounded(lambda x, *_: x / (f32(1) + np.abs(x)))),
    30: (1, "ff", _float(lambda x, *_: np.logaddexp(0, x))),
    31: (1, "ff", _float(lambda x, alpha, beta: _ramp(alpha, x, beta))),
    32: (2, "ff", _float(lambda a, b, *_: np.where(a < 0, b * a, a))),
    33: (2, "ff", _float(lambda a, b, *_: np.fmod(a, b))),
    34: (1, "ff", _float(lambda x, *_: np.sign(x))),
    35: (3, "ff", lambda a, b, c, alpha=0.0, beta=0.0: np.where(a != 0, b, c)),
    36: (1, "ff", _float(lambda x, *_: np.arctan(x))),
    37: (1, "ff", _float(lambda x, *_: np.log1p(x))),
    64: (1, "ii", _integer(lambda x: x)),
    65: (2, "ii", _integer(lambda a, b: a + b)),
    66: (2, "ii", _integer(lambda a, b: a - b)),
    67: (2, "ii", _integer(lambda a, b: a * b)),
    68: (2, "ii", _integer(_divide)),
    69: (2, "ii", _integer(np.minimum)),
    70: (2, "ii", _integer(np.maximum)),
    71: (1, "ii", _integer(lambda x: -x)),
    72: (1, "ii", _integer(np.abs)),
    73: (2, "ii", _integer(lambda a, b: _remainder(a, b, True))),
    74: (2, "ii", _integer(lambda a, b: _remainder(a, b, False))),
    75: (2, "ii", _integer(lambda a, b: (a != 0) & (b != 0))),
    76: (2, "ii", _integer(lambda a, b: (a != 0) | (b != 0))),
    77: (2, "ii", _integer(lambda a, b: (a != 0) ^ (b != 0))),
    78: (1, "ii", _integer(lambda x: x == 0)),
    79: (1, "ii", _integer(np.sign)),
    80: (3, "ii", _integer(lambda a, b, c: np.where(a != 0, b, c))),
    81: (2, "ii", _integer(lambda a, b: a == b)),
    82: (2, "ii", _integer(lambda a, b: a < b)),
    83: (2, "ii", _integer(lambda a, b: a <= b)),
    84: (2, "ii", _integer(lambda a, b: a & b)),
    85: (2, "ii", _integer(lambda a, b: _shift(a, b, True))),
    86: (2, "ii", _integer(lambda a, b: _shift(a, b, False))),
    96: (1, "fi", lambda x, alpha=0.0, beta=0.0: _to_integer(x)),
    97: (1, "if", lambda x, alpha=0.0, beta=0.0: x.astype(f32)),
    98: (1, "fi", lambda x, alpha=0.0, beta=0.0: x != 0),
    99: (1, "ii", _integer(lambda x: x != 0)),
    100: (2, "fi", lambda a, b, alpha=0.0, beta=0.0: a == b),
    101: (2, "fi", lambda a, b, alpha=0.0, beta=0.0: a < b),
    102: (2, "fi", lambda a, b, alpha=0.0, beta=0.0: a <= b),
    103: (1, "fi", lambda x, alpha=0.0, beta=0.0: np.isnan(x)),
    104: (
        1,
        "fi",
        lambda x, alpha=0.0, beta=0.0: ((alpha == 1) & (x == np.inf)) | ((beta == 1) & (x == -np.inf)),
    ),
}
#: Those that give floats.
FLOATS = {value for value, (_, classes, _) in FUNCTIONS.items() if classes[1] == "f"}
