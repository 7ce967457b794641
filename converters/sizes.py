# SPDX-License-Identifier: Apache-2.0
"""What is known of the symbols while a graph is lowered: tried ones, bound ones, and which are time and batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import dims as dm
from .dims import Size
from .errors import NodeError


class RestartError(Exception):
    """A symbol has been bound: the graph is lowered again with what is known now."""


@dataclass(eq=False)
class Sizes:
    """Symbols and what they are bound to.

    A static dimension of an input is first *tried* as a symbol with its declared value as a hint. Where the graph
    contradicts that (an equation that only holds for one value), the symbol goes back to the hint.
    """

    hints: dict[str, int] = field(default_factory=dict)  # tried symbol -> declared value
    values: dict[str, Size] = field(default_factory=dict)  # bound symbol -> what it is
    why: dict[str, str] = field(default_factory=dict)  # bound symbol -> the node that bound it
    notes: list[str] = field(default_factory=list)
    time: str | None = None
    batch: str | None = None
    carried: list[str] = field(default_factory=list)  # results of Ifs that differ in shape: see continuation.py

    def now(self, size: Size) -> Size:
        """The size with everything bound put in, through as many symbols as lead from one to the next."""
        for _ in range(len(self.values) + 1):
            after = dm.substitute(size, self.values)
            if after == size:
                break
            size = after
        return size

    def carry(self, name: str) -> None:
        """Do what follows a result of an If in each branch; the walk starts again."""
        self.carried.append(name)
        raise RestartError(name)

    def bind(self, name: str, value: Size, why: str) -> None:
        """Fix a symbol; the walk starts again."""
        self.values[name] = value
        self.why[name] = why
        raise RestartError(name)

    def bind_hints(self, names: set[str], why: str) -> None:
        """Send tried symbols back to their declared values."""
        for name in names:
            self.values[name] = self.hints[name]
            self.why[name] = why
        if names:
            raise RestartError(", ".join(sorted(names)))

    def tried(self, *sizes: Size) -> set[str]:
        """The tried symbols in some sizes."""
        names: set[str] = set()
        for size in sizes:
            names |= dm.symbols(size)
        return names & self.hints.keys()

    def hint(self, size: Size) -> int | None:
        """The value at the declared sizes, where every symbol of it has one."""
        value = dm.substitute(size, self.hints)
        return value if isinstance(value, int) else None

    def equal(self, a: Size, b: Size, what: str, where: str) -> None:
        """Require a = b: unify, bind, or refuse."""
        if a == b:
            return
        if isinstance(a, int) and isinstance(b, int):
            raise NodeError(f"{what}: {a} is not {b}")
        first, second = dm.symbol_name(a), dm.symbol_name(b)
        if first and second:
            self._unify(first, second, where)
        difference = a - b
        tried = self.tried(difference)
        if tried:
            self.bind_hints(tried, where)
        names = dm.symbols(difference)
        if len(names) == 1:
            (name,) = names
            value = dm.solve(a, b, name)
            if value is not None and value > 0:
                self.notes.append(f"dimension {name!r} can only be {value}: {where}")
                self.bind(name, value, where)
        raise NodeError(f"{what}: cannot prove that {a} equals {b}")

    def _unify(self, first: str, second: str, where: str) -> None:
        """Two symbols are one: a tried one gives way to a declared one."""
        if first in self.hints and second in self.hints and self.hints[first] != self.hints[second]:
            self.bind_hints({first, second}, where)
        if second in self.hints or first not in self.hints:
            self.bind(second, dm.symbol(first), where)
        self.bind(first, dm.symbol(second), where)

    def broadcast(self, a: Size, b: Size, what: str, where: str) -> Size:
        """The common length of two axes by ONNX's rules."""
        if a == b or b == 1:
            return a
        if a == 1:
            return b
        for size, other in ((a, b), (b, a)):
            name = dm.symbol_name(size)
            if name in self.hints and self.hints[name] == 1 and self.hint(other) != 1:
                self.bind_hints({name}, where)
        self.equal(a, b, what, where)
        return a

    def at_most(self, a: Size, b: Size, where: str) -> bool | None:
        """a <= b; where that depends on tried symbols, these go back. None: undecided."""
        if dm.at_most(a, b):
            return True
        if dm.at_most(b + 1, a):
            return False
        self.bind_hints(self.tried(a, b), where)
        return None
