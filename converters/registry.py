# SPDX-License-Identifier: Apache-2.0
"""The tables that ops/<op>.py fill: how operators are lowered, evaluated on symbolic sizes, and computed by NumPy."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Lowering:
    """One row: the function and what it accepts. Anything else in a node is refused by name."""

    function: Callable[..., Any]
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    attributes: frozenset[str]
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A NumPy function (node, *arrays) -> array or tuple. `exact`: it moves elements of any type and rounds nothing."""

    function: Callable[..., Any]
    exact: bool


LOWERINGS: dict[tuple[str, str], list[Lowering]] = {}
SYMBOLIC: dict[tuple[str, str], Callable[..., Any]] = {}
REFERENCES: dict[tuple[str, str], Reference] = {}


def lowering(
    *names: str,
    inputs: int | tuple[int, int],
    outputs: int | tuple[int, int] = 1,
    attributes: str = "",
    since: int = 1,
    until: int = 1 << 30,
    domain: str = "",
) -> Callable[[F], F]:
    """Register how the named operators are lowered in opsets since..until.

    The function takes (context, node, *values), a Value or None for each input of `inputs`, and returns the Value of
    the output, or a list with one (or None) for each. `attributes` names all that it honours, in one string.
    """

    def register(function: F) -> F:
        row = Lowering(function, _range(inputs), _range(outputs), frozenset(attributes.split()), since, until)
        for name in names:
            LOWERINGS.setdefault((domain, name), []).append(row)
        return function

    return register


def _range(count: int | tuple[int, int]) -> tuple[int, int]:
    return (count, count) if isinstance(count, int) else count


def symbolic(*names: str, domain: str = "") -> Callable[[F], F]:
    """Register how the operators compute on sizes: (node, *object arrays) -> object array, or None where undecided."""

    def register(function: F) -> F:
        for name in names:
            SYMBOLIC[domain, name] = function
        return function

    return register


def reference(*names: str, exact: bool = False, domain: str = "") -> Callable[[F], F]:
    """Register the NumPy reference of the operators: (node, *arrays) -> array or tuple of arrays."""

    def register(function: F) -> F:
        for name in names:
            REFERENCES[domain, name] = Reference(function, exact)
        return function

    return register


def find(domain: str, op: str, version: int) -> Lowering | None:
    """The row for an operator in an opset, or None."""
    rows = LOWERINGS.get((domain, op), ())
    return next((r for r in rows if r.since <= version <= r.until), None)


def supported(domain: str, op: str) -> bool:
    """Whether any opset of the operator is known."""
    return (domain, op) in LOWERINGS


def load_all() -> None:
    """Import every file of ops/, which fills the tables."""
    from . import ops

    for module in pkgutil.iter_modules(ops.__path__):
        importlib.import_module(f"{ops.__name__}.{module.name}")
