# SPDX-License-Identifier: Apache-2.0
"""Questions about open dimensions, as the 1 or 0 that they are once the dimensions have numbers.

A comparison of sizes is a bool that no data decides: an `If` on it is a choice made when a stream is planned, and the
shapes of its results are sums `yes * one branch's + no * the other's`.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import dims as dm
from .dims import Size


@dataclass(frozen=True, slots=True)
class Truth:
    """`yes` is 1 where it holds, else 0; `no` the other way round, in a form that is certain not to be negative."""

    yes: Size
    no: Size
    same: tuple[Size, Size] | None = None  # the two sizes, where it asks just whether they are the same
    differ: tuple[Size, Size] | None = None  # or whether they are not

    def negated(self) -> Truth:
        """Not."""
        return Truth(self.no, self.yes, self.differ, self.same)


def _at_least_one(size: Size) -> Size:
    return dm.minimum(1, dm.maximum(0, size))


def less(a: Size, b: Size) -> Truth:
    """A < b."""
    return Truth(_at_least_one(b - a), _at_least_one(a - b + 1))


def equal(a: Size, b: Size) -> Truth:
    """A = b."""
    below, above = less(a, b), less(b, a)
    return Truth(below.no * above.no, below.yes + above.yes, same=(a, b))


def both(a: Truth, b: Truth) -> Truth:
    """And."""
    return Truth(a.yes * b.yes, _at_least_one(a.no + b.no))


def compared(op: str, a: Size, b: Size) -> Truth | None:
    """The comparison that an ONNX operator is."""
    if op == "Equal":
        return equal(a, b)
    if op in ("Greater", "LessOrEqual"):
        a, b = b, a
    if op in ("Less", "Greater"):
        return less(a, b)
    return less(a, b).negated() if op in ("GreaterOrEqual", "LessOrEqual") else None


def combined(op: str, operands: list[Truth]) -> Truth | None:
    """What an ONNX operator of logic makes of answers."""
    if op == "Not":
        return operands[0].negated()
    if op == "And":
        return both(*operands)
    if op == "Or":
        return both(*(t.negated() for t in operands)).negated()
    return None


def select(truth: Truth, a: Size, b: Size) -> Size:
    """A where the truth is 1, else b."""
    return a if a == b else truth.yes * a + truth.no * b
