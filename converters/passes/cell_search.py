# SPDX-License-Identifier: Apache-2.0
"""Finds the cells that exporters write out in products, sums and activations; `fuse_cells.py` says what of.

What a gate is, shows in what is done with it, so that the order of the gates, the forms of the sums, and what is sliced
before or after what else, are all the same to the search: each gate is a function of the columns of two products, of
the same x and the same h, and of constants. What a cell makes on the way must serve nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ..ir import Graph, Node, Tensor
from ..places import geometry, is_whole
from .sums import Call, Product, Shape, Sums, seen_as, vector

#: Functions of `recurrent` that elementwise operators have too: of the gates, and of what they are gates for.
_GATE_FUNCTIONS = frozenset(["SIGMOID", "HARD_SIGMOID"])
_FUNCTIONS = frozenset(["TANH", "RELU", "SOFTSIGN", "SIGMOID", "HARD_SIGMOID"])


@dataclass(frozen=True, slots=True)
class Gate:
    """A function of x W + h R + bias: the columns of both products, and the bias [H].

    Attributes
    ----------
    hidden_bias : what is added to h R before a reset gate multiplies it
    sign : -1 where the function is that of the negative sum
    """

    call: Call
    x: Product
    h: Product
    bias: np.ndarray
    hidden_bias: np.ndarray | None = None
    sign: int = 1

    @property
    def function(self) -> tuple[str, float, float]:
        """With its parameters, as an attribute of `recurrent` has it."""
        return self.call.function, self.call.alpha, self.call.beta


@dataclass(eq=False, slots=True)
class Cell:
    """A cell that was found.

    Attributes
    ----------
    kind : LSTM or GRU
    gates : in the order of `recurrent`: i, o, f, g, or z, r, h
    functions : as the attribute `activations` has them
    operands : x [1, B, I], h and, of an LSTM, c [1, B, H]
    results : the new h and c [1, B, H]
    nodes : all that it is written out in
    place : the one of them from which on the results are read
    """

    kind: str
    gates: list[Gate]
    functions: list[tuple[str, float, float]]
    operands: list[Tensor]
    results: list[Tensor]
    place: Node
    nodes: list[Node] = field(default_factory=list)
    reset_after: bool = False

    def weights(self) -> list[Tensor]:
        """Every matrix that it reads."""
        return [product.weights for gate in self.gates for product in (gate.x, gate.h)]


class CellSearch:
    """Looks for cells from their end, the new hidden state."""

    def __init__(self, graph: Graph) -> None:
        self.sums = Sums(graph)
        self.nodes = graph.nodes
        self.order = {id(node): i for i, node in enumerate(graph.nodes)}
        self.hidden: dict[int, Tensor] = {}  # id of the root of a cell state -> the root of h beside it

    def find(self) -> list[Cell]:
        """Every cell, in the order of the graph; none that shares an operator with another."""
        found: list[Cell] = []
        taken: set[int] = set()
        for node in self.nodes:
            cell = self._cell(node)
            if cell is None or any(id(n) in taken for n in cell.nodes):
                continue
            taken |= {id(n) for n in cell.nodes}
            found.append(cell)
            if cell.kind == "LSTM":
                self.hidden[id(cell.results[1].base)] = cell.results[0].base
        return found

    def _cell(self, node: Node) -> Cell | None:
        """The cell whose hidden state an operator makes."""
        target = node.outputs[0] if node.kind == "elementwise" else None
        shape = None if target is None else Shape.of(target)
        if target is None or shape is None or self.sums.made.get(id(target)) is not node:
            return None
        whole = (
            cell for cell in (*self._lstms(target, shape), *self._grus(target, shape)) if self._completed(cell, node)
        )
        return next(whole, None)

    # ---- LSTM: c' = f * c + i * g, h' = o * tanh(c') -----------------------------------------------------------------

    def _lstms(self, new_h: Tensor, shape: Shape) -> Iterator[Cell]:
        for output, shown in self.sums.pairs(new_h, "MUL"):
            last = self.sums.call(shown)
            if last is None or last.function not in _FUNCTIONS or not is_whole(last.operand):
                continue
            new_c = last.operand.base
            for c, input_gate, forget, g in self._renewals(last.operand):
                gates = self._gates([input_gate, output, forget, g], shape)
                if gates is None or id(new_c) not in self.sums.made:
                    continue
                gates = gates if self._is_hidden(gates[0].h, gates[0].x, shape, c) else [_exchanged(g) for g in gates]
                functions = [gates[0].function, gates[3].function, (last.function, last.alpha, last.beta)]
                h = self.sums.before_copy(gates[0].h.factor.tensor)
                place, x = self.sums.made[id(new_c)], gates[0].x.factor.tensor
                yield Cell("LSTM", gates, functions, [x, h, c], [new_h, new_c], place)

    def _renewals(self, new_c: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """(c, i, f, g) where a tensor is f * c + i * g, in every order."""
        for kept, added in self.sums.pairs(new_c, "ADD"):
            for forget, c in self.sums.pairs(kept, "MUL"):
                for input_gate, g in self.sums.pairs(added, "MUL"):
                    yield c, input_gate, forget, g

    def _is_hidden(self, p: Product, other: Product, shape: Shape, c: Tensor) -> bool:
        """Whether the first product is that of h and the other that of x; where both may be, by what stands beside c.

        The sum is the same either way.
        """
        if p.factor.depth != other.factor.depth:
            return p.factor.depth == shape.width
        both = [self.sums.before_copy(product.factor.tensor).base for product in (p, other)]
        for beside in (self.hidden.get(id(c.base)), c.base):
            if (both[0] is beside) != (both[1] is beside):
                return both[0] is beside
        alike = [(t.storage, t.dims) == (c.base.storage, c.base.dims) for t in both]
        return alike[0] or not alike[1]

    # ---- GRU: h' = (1 - z) * n + z * h -------------------------------------------------------------------------------

    def _grus(self, new_h: Tensor, shape: Shape) -> Iterator[Cell]:
        for z, n, h, sign in self._blends(new_h):
            call = self.sums.call(n)
            update = None if call is None else self._gates([z], shape)
            if call is None or call.function not in _FUNCTIONS or update is None:
                continue
            gate = update[0] if self._reads(update[0].h, h, shape) else _exchanged(update[0])
            # 1 - sigmoid(s) is sigmoid(-s); of the hard one that holds for some numbers only.
            if not self._reads(gate.h, h, shape) or (sign < 0 and gate.call.function != "SIGMOID"):
                continue
            for reset, hidden in (*self._resets_after(call, h, shape), *self._resets_before(call, h, shape)):
                gates = [replace(gate, sign=sign), reset, hidden]
                same = len({g.x.source for g in gates}) == 1 and gate.function == reset.function
                if same and gate.h.source == reset.h.source:
                    functions = [gate.function, hidden.function]
                    operands, after = [gate.x.factor.tensor, h], hidden.hidden_bias is not None
                    place = self.sums.made[id(new_h)]
                    yield Cell("GRU", gates, functions, operands, [new_h], place, reset_after=after)

    def _blends(self, t: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, int]]:
        """(z, n, h, sign) where a tensor is (1 - z) * n + z * h, or with a sign of -1 z * n + (1 - z) * h."""
        for a, b in self.sums.pairs(t, "ADD"):
            for z, d in self.sums.pairs(b, "MUL"):
                difference = self.sums.operands(d, "SUB")  # a + z * (q - a)
                if difference is not None and _same(difference[1], a):
                    yield from ((z, a, difference[0], 1), (z, difference[0], a, -1))
                for rest, p in self.sums.pairs(a, "MUL"):
                    parts = self.sums.operands(rest, "SUB")  # (1 - z) * p + z * q
                    if parts is not None and _is_one(parts[0]) and _same(parts[1], z):
                        yield from ((z, p, d, 1), (z, d, p, -1))

    def _resets_after(self, n: Call, h: Tensor, shape: Shape) -> Iterator[tuple[Gate, Gate]]:
        """(r, n) where n is a function of x W + bias + r * (h R + hidden bias)."""
        terms = self._terms(n.operand, shape)
        if terms is None or len(terms.products) != 1 or len(terms.others) != 1:
            return
        for r, part in self.sums.pairs(terms.others[0], "MUL"):
            product, reset = self._terms(part, shape), self._gates([r], shape)
            if product is None or reset is None or len(product.products) != 1 or product.others:
                continue
            gate = reset[0] if self._reads(reset[0].h, h, shape) else _exchanged(reset[0])
            (of_x,), (of_h,) = terms.products, product.products
            if self._reads(of_h, h, shape) and self._reads(gate.h, h, shape):
                yield gate, Gate(n, of_x, of_h, terms.bias, product.bias)

    def _resets_before(self, n: Call, h: Tensor, shape: Shape) -> Iterator[tuple[Gate, Gate]]:
        """(r, n) where n is a function of x W + (r * h) R + bias."""
        terms = self._terms(n.operand, shape)
        if terms is None or len(terms.products) != 2 or terms.others:
            return
        for of_x, of_h in (terms.products, terms.products[::-1]):
            for r, kept in self.sums.pairs(of_h.factor.tensor, "MUL"):
                reset = self._gates([r], shape) if _alike(kept, h, shape) else None
                if reset is not None:
                    gate = reset[0] if self._reads(reset[0].h, h, shape) else _exchanged(reset[0])
                    yield gate, Gate(n, of_x, of_h, terms.bias)

    def _reads(self, product: Product, h: Tensor, shape: Shape) -> bool:
        """Whether it is h that a product multiplies."""
        return product.factor.depth == shape.width and _alike(self.sums.before_copy(product.factor.tensor), h, shape)

    # ---- what both have in common ------------------------------------------------------------------------------------

    def _gates(self, tensors: list[Tensor], shape: Shape) -> list[Gate] | None:
        """Gates of the same x and h, where all but a fourth have one function; x and h may have changed places."""
        gates: list[Gate] = []
        for t in tensors:
            call = self.sums.call(t)
            terms = None if call is None else self._terms(call.operand, shape)
            if call is None or terms is None or len(terms.products) != 2 or terms.others:
                return None
            x, h = terms.products
            if gates and x.source == gates[0].h.source:
                x, h = h, x
            gates.append(Gate(call, x, h, terms.bias))
        sources = {(gate.x.source, gate.h.source) for gate in gates}
        functions = {gate.function for gate in gates[:3]}
        named = gates[0].call.function in _GATE_FUNCTIONS and gates[-1].call.function in _FUNCTIONS
        return gates if len(sources) == len(functions) == 1 and named and x.source != h.source else None

    def _terms(self, t: Tensor, shape: Shape) -> _Terms | None:
        """What a tensor is the sum of."""
        terms = self.sums.terms(t, shape)
        if terms is None:
            return None
        found = _Terms([], np.zeros(shape.width, np.float32), [])
        for term in terms:
            if isinstance(term, Product):
                found.products += self.sums.parts(term)
            elif isinstance(term, np.ndarray):
                found.bias = found.bias + term
            else:
                found.others.append(term)
        return found

    def _completed(self, cell: Cell, last: Node) -> bool:
        """Give a cell its operators and its operands their shapes; False where kernels or other readers forbid it."""
        shape = Shape.of(cell.results[0])
        assert shape is not None
        x, whole = cell.gates[0].x.factor, (1, shape.rows, shape.width)
        given = [seen_as(cell.operands[0], (1, shape.rows, x.depth)), *(seen_as(t, whole) for t in cell.operands[1:])]
        made = [seen_as(t, whole) for t in cell.results]
        operands, results = ([t for t in ts if t is not None] for ts in (given, made))
        wide = any(gate.h.factor.depth != shape.width for gate in cell.gates)
        if wide or len(operands) < len(given) or len(results) < len(made) or not operands[0].has_rows():
            return False
        nodes = self._between(last, {id(t.base) for t in operands})
        alone = None if nodes is None else self._serving_alone(nodes, {id(t.base) for t in results})
        cell.operands, cell.results, cell.nodes = operands, results, alone or []
        return alone is not None

    def _between(self, last: Node, stops: set[int]) -> list[Node] | None:
        """All operators from some roots to the last one, in the order of the graph; None if another kind is there."""
        found, pending = {id(last): last}, [last]
        while pending:
            for t in pending.pop().reads():
                for maker in [] if id(t.base) in stops else self.sums.uses.writers[id(t.base)]:
                    if maker.kind not in ("elementwise", "dense", "copy"):
                        return None
                    if id(maker) not in found:
                        found[id(maker)] = maker
                        pending.append(maker)
        return sorted(found.values(), key=lambda n: self.order[id(n)])

    def _serving_alone(self, nodes: list[Node], results: set[int]) -> list[Node] | None:
        """The operators that nothing else needs: all, but for copies; None where another one is needed elsewhere."""
        inside = {id(n) for n in nodes}
        found = []
        for node in nodes:
            roots = {id(t.base) for t in node.writes()} - results
            readers = [reader for root in roots for reader in self.sums.uses.readers[root]]
            if all(id(r) in inside for r in readers) and not self.sums.uses.pinned & roots:
                found.append(node)
            elif node.kind != "copy":
                return None
        return found


@dataclass(eq=False, slots=True)
class _Terms:
    """What a sum consists of; the constants [H] are added up."""

    products: list[Product]
    bias: np.ndarray
    others: list[Tensor]


def _exchanged(gate: Gate) -> Gate:
    return replace(gate, x=gate.h, h=gate.x)


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same elements in the same order."""
    return a.base is b.base and geometry(a) == geometry(b)


def _alike(a: Tensor, b: Tensor, shape: Shape) -> bool:
    """The same, as rows; constants are so by their elements."""
    first, second = (vector(t, shape) for t in (a, b))
    if first is not None and second is not None:
        return np.array_equal(first, second)
    seen = [seen_as(t, (shape.rows, shape.width)) for t in (a, b)]
    return seen[0] is not None and seen[1] is not None and _same(seen[0], seen[1])


def _is_one(t: Tensor) -> bool:
    """Whether a tensor is the constant 1."""
    return t.base.data is not None and t.base.data.size == 1 and float(t.base.data.reshape(())) == 1
