# SPDX-License-Identifier: Apache-2.0
"""The integer algebra of shapes: polynomials over named symbols in a canonical form, so that equal means equal.

A dimension is a Python ``int`` or a `Dim`. Every function here takes and gives either, and gives an ``int`` whenever
the value is constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Union

from tinyrnn import format as fmt
from tinyrnn.errors import ShapeError

MAX_TERMS = 128  # of one polynomial: repeated squaring would otherwise eat all memory
MAX_DEPTH = fmt.LIMITS["TERMS"]
_LIMIT = 1 << 62

#: A constant, or an expression of symbols.
Size = Union[int, "Dim"]


class Atom:
    """What a polynomial cannot express: floor_div, ceil_div, mod, min or max of two sizes. Compared by its key."""

    __slots__ = ("a", "b", "key", "kind")

    def __init__(self, kind: str, a: Size, b: Size) -> None:
        self.kind, self.a, self.b = kind, a, b
        self.key = f"{kind}({a}, {b})"
        if len(self.key) > 4096:
            raise ShapeError("a dimension of this graph is too complicated an expression")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


Factor = str | Atom
Monomial = tuple[Factor, ...]


def _order(factor: Factor) -> tuple[int, str]:
    return (0, factor) if isinstance(factor, str) else (1, factor.key)


def _monomial_order(monomial: Monomial) -> tuple[int, list[tuple[int, str]]]:
    return -len(monomial), [_order(f) for f in monomial]


class Dim:
    """A sum of integer multiples of products of symbols and atoms. Immutable, hashable, compared by value.

    >>> time = symbol("time")
    >>> floor_div(2 * time * 8, 8)
    2*time
    >>> time + 1 - time
    1
    """

    __slots__ = ("_hash", "terms")

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dim) and self._hash == other._hash and self.terms == other.terms

    def __hash__(self) -> int:
        return self._hash

    def __add__(self, other: Size) -> Size:
        terms = dict(self.terms)
        for monomial, coefficient in _terms(other):
            terms[monomial] = terms.get(monomial, 0) + coefficient
        return _make(terms)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return _make({m: -c for m, c in self.terms})

    def __sub__(self, other: Size) -> Size:
        return self + (-other)

    def __rsub__(self, other: Size) -> Size:
        return -self + other

    def __mul__(self, other: Size) -> Size:
        if isinstance(other, int):
            return _make({m: c * other for m, c in self.terms})
        if len(self.terms) * len(other.terms) > 4 * MAX_TERMS:
            raise ShapeError("a dimension of this graph is too complicated an expression")
        terms: dict[Monomial, int] = {}
        for m, c in self.terms:
            for n, d in other.terms:
                product = tuple(sorted(m + n, key=_order))
                terms[product] = terms.get(product, 0) + c * d
        return _make(terms)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        parts: list[str] = []
        for monomial, c in self.terms:
            names = "*".join(f if isinstance(f, str) else f.key for f in monomial)
            text = (
                names if c == 1 and names else f"-{names}" if c == -1 and names else f"{c}*{names}" if names else str(c)
            )
            parts.append(text if not parts else f" - {text[1:]}" if text.startswith("-") else f" + {text}")
        return "".join(parts)


def _terms(size: Size) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(size, Dim):
        return size.terms
    return (((), int(size)),) if size else ()


def _make(terms: Mapping[Monomial, int]) -> Size:
    kept = [(m, c) for m, c in terms.items() if c]
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    if len(kept) > MAX_TERMS or any(abs(c) > _LIMIT or len(m) > 16 for m, c in kept):
        raise ShapeError("a dimension of this graph is too complicated an expression")
    return Dim(tuple(sorted(kept, key=lambda t: _monomial_order(t[0]))))


def symbol(name: str) -> Dim:
    """The dimension that is exactly the named symbol."""
    return Dim((((name,), 1),))


def symbol_name(size: Size) -> str | None:
    """The name, where the size is a bare symbol."""
    if isinstance(size, Dim) and len(size.terms) == 1:
        monomial, c = size.terms[0]
        if c == 1 and len(monomial) == 1 and isinstance(monomial[0], str):
            return monomial[0]
    return None


def product(sizes: tuple[Size, ...] | list[Size]) -> Size:
    """The product; 1 for none."""
    result: Size = 1
    for size in sizes:
        result = result * size
    return result


def contiguous(dims: tuple[Size, ...]) -> tuple[Size, ...]:
    """Row-major strides of dims, in elements."""
    strides: list[Size] = []
    step: Size = 1
    for d in reversed(dims):
        strides.append(step)
        step = step * d
    return tuple(reversed(strides))


def exact_div(a: Size, b: Size) -> Size | None:
    """a / b where that is a size again; None where it is not, or cannot be told.

    >>> exact_div(6 * symbol("n") * symbol("t"), 2 * symbol("t"))
    3*n
    """
    if isinstance(a, int) and isinstance(b, int):
        return a // b if b and a % b == 0 else None
    if b == 0:
        return None
    if b == 1:
        return a
    if a == b:
        return 1
    divisor = _terms(b)
    lead, lead_coefficient = divisor[0]
    quotient: dict[Monomial, int] = {}
    rest = a
    for _ in range(MAX_TERMS):
        if rest == 0:
            return _make(quotient)
        monomial, coefficient = _terms(rest)[0]
        part = _without(monomial, lead)
        if part is None or coefficient % lead_coefficient:
            return None
        step = _make({part: coefficient // lead_coefficient})
        quotient[part] = quotient.get(part, 0) + coefficient // lead_coefficient
        rest = rest - step * b
    return None


def _without(monomial: Monomial, factors: Monomial) -> Monomial | None:
    rest = list(monomial)
    for factor in factors:
        if factor not in rest:
            return None
        rest.remove(factor)
    return tuple(rest)


def bounds(size: Size) -> tuple[int | None, int | None]:
    """What the value is certain to lie between, when every symbol is at least 1. None: no bound known."""
    if isinstance(size, int):
        return size, size
    low: int | None = 0
    high: int | None = 0
    for monomial, c in size.terms:
        lo, hi = _monomial_bounds(monomial)
        if c < 0:
            lo, hi = hi, lo
        low = None if low is None or lo is None else low + c * lo
        high = None if high is None or hi is None else high + c * hi
    return low, high


def _monomial_bounds(monomial: Monomial) -> tuple[int | None, int | None]:
    low: int | None = 1
    high: int | None = 1
    for factor in monomial:
        lo, hi = (1, None) if isinstance(factor, str) else _atom_bounds(factor)
        if lo is None or lo < 0:
            return (None, None) if len(monomial) > 1 else (lo, hi)
        low = low * lo if low is not None else None
        high = high * hi if high is not None and hi is not None else None
    return low, high


def _atom_bounds(atom: Atom) -> tuple[int | None, int | None]:
    (la, ha), (lb, hb) = bounds(atom.a), bounds(atom.b)
    if atom.kind == "min":
        return (None if la is None or lb is None else min(la, lb)), min(
            (h for h in (ha, hb) if h is not None), default=None
        )
    if atom.kind == "max":
        return max((v for v in (la, lb) if v is not None), default=None), (
            None if ha is None or hb is None else max(ha, hb)
        )
    if atom.kind == "mod":
        return 0, None if hb is None else hb - 1
    if la is not None and la >= 0:
        return (0 if atom.kind == "floor_div" or la == 0 else 1), ha
    return None, None


def at_most(a: Size, b: Size) -> bool:
    """True where a <= b for certain (every symbol is at least 1)."""
    low = bounds(b - a)[0]
    if low is not None and low >= 0:
        return True
    for size, other, below in ((a, b, True), (b, a, False)):
        atom = _only_atom(size)
        if atom is not None and atom.kind in ("min", "max"):
            sides = [at_most(part, other) if below else at_most(other, part) for part in (atom.a, atom.b)]
            if all(sides) if (atom.kind == "max") == below else any(sides):
                return True
    return False


def _only_atom(size: Size) -> Atom | None:
    """The atom, where the size is nothing else."""
    if isinstance(size, Dim) and len(size.terms) == 1:
        monomial, c = size.terms[0]
        if c == 1 and len(monomial) == 1 and isinstance(monomial[0], Atom):
            return monomial[0]
    return None


def minimum(a: Size, b: Size) -> Size:
    """min(a, b), decided where it can be."""
    if at_most(a, b):
        return a
    return b if at_most(b, a) else _atom("min", *sorted((a, b), key=str))


def maximum(a: Size, b: Size) -> Size:
    """max(a, b), decided where it can be."""
    if at_most(a, b):
        return b
    return a if at_most(b, a) else _atom("max", *sorted((a, b), key=str))


def floor_div(a: Size, b: Size) -> Size:
    """floor(a / b) for b > 0; exact parts leave the quotient."""
    return _divide("floor_div", a, b)


def ceil_div(a: Size, b: Size) -> Size:
    """ceil(a / b) for b > 0."""
    return _divide("ceil_div", a, b)


def mod(a: Size, b: Size) -> Size:
    """a - b * floor(a / b) for b > 0."""
    if isinstance(a, int) and isinstance(b, int):
        return a % _positive(b)
    if exact_div(a, b) is not None:
        return 0
    if at_most(0, a) and at_most(a + 1, b):
        return a
    return _atom("mod", a, b)


def _positive(b: int) -> int:
    if b <= 0:
        raise ShapeError(f"a dimension is divided by {b}; the divisor must be positive")
    return b


def _divide(kind: str, a: Size, b: Size) -> Size:
    if isinstance(b, int):
        _positive(b)
        if isinstance(a, int):
            return a // b if kind == "floor_div" else -(-a // b)
        whole = _make({m: c // b for m, c in a.terms if c % b == 0})
        rest = _make({m: c for m, c in a.terms if c % b})
        if rest == 0:
            return whole
        if isinstance(rest, int):
            return whole + (rest // b if kind == "floor_div" else -(-rest // b))
        return whole + _atom(kind, rest, b)
    quotient = exact_div(a, b)
    return quotient if quotient is not None else _atom(kind, a, b)


def _atom(kind: str, a: Size, b: Size) -> Size:
    return Dim((((Atom(kind, a, b),), 1),))


_FUNCTIONS: dict[str, Callable[[Size, Size], Size]] = {
    "floor_div": floor_div,
    "ceil_div": ceil_div,
    "mod": mod,
    "min": minimum,
    "max": maximum,
}


def signed_parts(size: Size) -> tuple[Size, Size]:
    """(a, b) such that size = a - b, neither with a negative coefficient."""
    plus, minus = {}, {}
    for monomial, c in _terms(size):
        if c > 0:
            plus[monomial] = c
        else:
            minus[monomial] = -c
    return _make(plus), _make(minus)


def symbols(size: Size) -> set[str]:
    """The names of all symbols in it."""
    found: set[str] = set()
    for monomial, _ in _terms(size):
        for factor in monomial:
            found |= {factor} if isinstance(factor, str) else symbols(factor.a) | symbols(factor.b)
    return found


def substitute(size: Size, values: Mapping[str, Size]) -> Size:
    """Every symbol that `values` names replaced by its value."""
    if isinstance(size, int):
        return size
    if not any(isinstance(f, Atom) or f in values for m, _ in size.terms for f in m):
        return size
    result: Size = 0
    for monomial, c in size.terms:
        part: Size = c
        for f in monomial:
            if isinstance(f, str):
                part = part * values.get(f, symbol(f))
            else:
                part = part * _FUNCTIONS[f.kind](substitute(f.a, values), substitute(f.b, values))
        result = result + part
    return result


def evaluate(size: Size, values: Mapping[str, int]) -> int:
    """The value, when `values` has every symbol."""
    result = substitute(size, values)
    if not isinstance(result, int):
        raise ShapeError(f"no value for {', '.join(sorted(symbols(result)))} in {result}")
    return result


def solve(a: Size, b: Size, name: str) -> int | None:
    """The value of the symbol that makes a equal b, where that equation is linear in it and has no other symbol.

    >>> solve(12 * symbol("t"), 24, "t")
    2
    """
    difference = a - b
    slope = offset = 0
    for monomial, c in _terms(difference):
        if monomial == (name,):
            slope = c
        elif monomial == ():
            offset = c
        else:
            return None
    return -offset // slope if slope and offset % slope == 0 else None


def postfix(size: Size) -> list[tuple[str, int | str]]:
    """The terms of the expression for the file: ("CONSTANT", value), ("SYMBOL", name) or (operation, 0)."""
    terms: list[tuple[str, int | str]] = []
    for i, (monomial, c) in enumerate(_terms(size)):
        names = list(monomial)
        magnitude = abs(c) if i else c
        pushed = 0
        if magnitude != 1 or not names:
            terms.append(("CONSTANT", magnitude))
            pushed = 1
        for f in names:
            if isinstance(f, str):
                terms.append(("SYMBOL", f))
            else:
                terms += postfix(f.a) + postfix(f.b) + [(f.kind.upper(), 0)]
            if pushed:
                terms.append(("MUL", 0))
            pushed = 1
        if i:
            terms.append(("ADD" if c > 0 else "SUB", 0))
    if not terms:
        terms.append(("CONSTANT", 0))
    depth = deepest = 0
    for kind, _ in terms:
        depth += 1 if kind in ("CONSTANT", "SYMBOL") else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH or len(terms) > fmt.LIMITS["EXPRESSION"]:
        raise ShapeError(f"a dimension of this graph is nested too deeply: {size}")
    return terms
