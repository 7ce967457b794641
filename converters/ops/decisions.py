# SPDX-License-Identifier: Apache-2.0
"""Comparisons and choices between sizes, where the answer is the same for all values of the symbols."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import dims as dm
from ..dims import Size
from ..onnx_model import OnnxNode
from ..registry import symbolic


def _less(a: Size, b: Size) -> bool | None:
    return True if dm.at_most(a + 1, b) else False if dm.at_most(b, a) else None


def _equal(a: Size, b: Size) -> bool | None:
    if a == b:
        return True
    return False if dm.at_most(a + 1, b) or dm.at_most(b + 1, a) else None


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


_COMPARISONS: dict[str, Callable[[Size, Size], bool | None]] = {
    "Equal": _equal,
    "Less": _less,
    "Greater": lambda a, b: _less(b, a),
    "LessOrEqual": lambda a, b: _not(_less(b, a)),
    "GreaterOrEqual": lambda a, b: _not(_less(a, b)),
}


@symbolic(*_COMPARISONS)
def compare(node: OnnxNode, a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """An array of bool where each answer is certain."""
    pairs = np.broadcast(a, b)
    answers = [_COMPARISONS[node.op](x, y) for x, y in pairs]
    return None if None in answers else np.array(answers, bool).reshape(pairs.shape)


@symbolic("Where")
def where(node: OnnxNode, condition: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A choice by constant conditions."""
    triples = np.broadcast(condition, a, b)
    result = np.empty(triples.shape, object)
    result.reshape(-1)[:] = [x if c else y for c, x, y in triples]
    return result
