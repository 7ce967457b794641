# SPDX-License-Identifier: Apache-2.0
"""Recognises an LSTM cell that an exporter has written out, and makes one `recurrent` of a single step of it.

a = dense(x, W); b = dense(h, R)
s = elementwise[ADD](a, b); z = elementwise[ADD](s, bias)
i, f, o = elementwise[SIGMOID](z[0:H], z[H:2H], z[3H:4H])
g = elementwise[TANH](z[2H:3H])                                 ->      -, h', c' = recurrent(x, W, R, bias, h, c)
p = elementwise[MUL](f, c); q = elementwise[MUL](i, g)
c' = elementwise[ADD](p, q)
t = elementwise[TANH](c'); h' = elementwise[MUL](o, t)

What a gate is, shows in what is done with it, so that their order, the forms of the sums, and what is sliced before or
after what else, are all the same to the search: each gate is the sum of the columns of two products, of the same x and
the same h, and of constants. What it makes on the way must serve nothing else, nor may the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

import numpy as np

from .. import packing
from ..ir import Graph, Node, Tensor
from ..places import is_whole
from .sums import Call, Product, Shape, Sums, seen_as

#: Of the gates, and of g and the cell state: functions of `recurrent` that elementwise operators have too.
_GATE_FUNCTIONS = frozenset(["SIGMOID", "HARD_SIGMOID"])
_FUNCTIONS = frozenset(["TANH", "RELU", "SOFTSIGN", "SIGMOID", "HARD_SIGMOID"])


@dataclass(frozen=True, slots=True)
class _Gate:
    """A function of x W + h R + bias: the columns of both products, and the bias [H]."""

    call: Call
    x: Product
    h: Product
    bias: np.ndarray

    @property
    def function(self) -> tuple[str, float, float]:
        return self.call.function, self.call.alpha, self.call.beta


@dataclass(eq=False, slots=True)
class _Cell:
    """A cell that was found; `nodes` are all that it is written out in."""

    gates: list[_Gate]  # in the order of `recurrent`: i, o, f, g
    last: tuple[str, float, float]  # the function of the new cell state
    shape: Shape
    operands: tuple[Tensor, Tensor, Tensor]  # x [1, B, I], h and c [1, B, H]
    makes_c: Node
    makes_h: Node
    nodes: list[Node]

    def weights(self) -> list[Tensor]:
        """Every matrix that it reads."""
        return [product.weights for gate in self.gates for product in (gate.x, gate.h)]


def fuse_cells(graph: Graph) -> list[str]:
    """One walk finds the cells; then all are made whose weights serve nothing else."""
    search = _Search(graph)
    cells = _owning(search.find(), search.sums)
    once = _Once()
    made = {id(cell.makes_c): _recurrent(cell, once) for cell in cells}
    gone = {id(node) for cell in cells for node in cell.nodes}
    graph.nodes = [made.get(id(n), n) for n in graph.nodes if id(n) not in gone or id(n) in made]
    return [f"{node.name}: an LSTM cell that was written out" for node in made.values()]


class _Search:
    """Looks for cells from their end, o * tanh(c')."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sums = Sums(graph)
        self.place = {id(node): i for i, node in enumerate(graph.nodes)}
        self.hidden: dict[int, Tensor] = {}  # id of the root of a cell state -> the hidden state beside it

    def find(self) -> list[_Cell]:
        """Every cell, in the order of the graph."""
        found: list[_Cell] = []
        taken: set[int] = set()
        for node in self.graph.nodes:
            cell = self._cell(node)
            if cell is not None and not any(id(n) in taken for n in cell.nodes):
                taken |= {id(n) for n in cell.nodes}
                found.append(cell)
                self.hidden[id(cell.makes_c.outputs[0])] = cell.makes_h.outputs[0]  # type: ignore[assignment]
        return found

    def _cell(self, node: Node) -> _Cell | None:
        target = node.outputs[0] if node.kind == "elementwise" else None
        shape = None if target is None else Shape.of(target)
        if target is None or shape is None or self.sums.made.get(id(target)) is not node:
            return None
        for output, shown in self.sums.pairs(target, "MUL"):
            last = self.sums.call(shown)
            if last is None or last.function not in _FUNCTIONS or not is_whole(last.operand):
                continue
            for c, parts in self._renewals(last.operand):
                input_gate, forget, g = parts
                gates = self._gates([input_gate, output, forget, g], shape, c)
                cell = None if gates is None else self._whole(gates, last, shape, c, node)
                if cell is not None:
                    return cell
        return None

    def _renewals(self, new_c: Tensor) -> Iterator[tuple[Tensor, tuple[Tensor, Tensor, Tensor]]]:
        """(c, (i, f, g)) where a tensor is f * c + i * g, in every order."""
        for kept, added in self.sums.pairs(new_c, "ADD"):
            for forget, c in self.sums.pairs(kept, "MUL"):
                for input_gate, g in self.sums.pairs(added, "MUL"):
                    yield c, (input_gate, forget, g)

    def _gates(self, tensors: list[Tensor], shape: Shape, c: Tensor) -> list[_Gate] | None:
        """The four gates, where all are made of the same x and h, and three have one function."""
        found = []
        for t in tensors:
            call = self.sums.call(t)
            terms = None if call is None else self._terms(call.operand, shape)
            if call is None or terms is None:
                return None
            found.append((call, *terms))
        *three, g = ((call.function, call.alpha, call.beta) for call, _, _ in found)
        if len(set(three)) != 1 or three[0][0] not in _GATE_FUNCTIONS or g[0] not in _FUNCTIONS:
            return None
        _, (a, b), _ = found[0]
        x, h = (a, b) if self._is_hidden(b, a, shape, c) else (b, a)
        gates = []
        for call, products, bias in found:
            by_source = {product.source: product for product in products}
            if by_source.keys() != {x.source, h.source} or h.factor.depth != shape.width:
                return None
            gates.append(_Gate(call, by_source[x.source], by_source[h.source], bias))
        return gates

    def _terms(self, t: Tensor, shape: Shape) -> tuple[list[Product], np.ndarray] | None:
        """Two products and the sum of the constants, where a tensor is the sum of these and nothing else."""
        terms = self.sums.terms(t, shape)
        products, bias = [], np.zeros(shape.width, np.float32)
        for term in terms or []:
            if isinstance(term, Product):
                products += self.sums.parts(term)
            elif isinstance(term, np.ndarray):
                bias = bias + term
            else:
                return None
        return (products, bias) if len(products) == 2 else None

    def _is_hidden(self, p: Product, other: Product, shape: Shape, c: Tensor) -> bool:
        """Whether the first product is that of h and the other that of x; where both may be, by what stands beside c.

        The sum is the same either way.
        """
        if shape.width not in (p.factor.depth, other.factor.depth) or p.factor.depth != other.factor.depth:
            return p.factor.depth == shape.width
        both = [self.sums.before_copy(product.factor.tensor).base for product in (p, other)]
        for beside in (self.hidden.get(id(c.base)), c.base):
            if beside is not None and (both[0] is beside) != (both[1] is beside):
                return both[0] is beside
        alike = [(t.storage, t.dims) == (c.base.storage, c.base.dims) for t in both]
        return alike[0] or not alike[1]

    def _whole(self, gates: list[_Gate], last: Call, shape: Shape, c: Tensor, node: Node) -> _Cell | None:
        """The cell, where its operands have the shapes, and what it is written out in serves nothing else."""
        x, whole = gates[0].x.factor, (1, shape.rows, shape.width)
        given = seen_as(x.tensor, (1, shape.rows, x.depth))
        h, state = seen_as(self.sums.before_copy(gates[0].h.factor.tensor), whole), seen_as(c, whole)
        makes_c = self.sums.made.get(id(last.operand.base))
        if given is None or h is None or state is None or makes_c is None or not given.has_rows():
            return None
        stops = {id(t.base) for t in (given, h, state)}
        nodes = self._between(node, stops)
        alone = None if nodes is None else self._serving_alone(nodes, [makes_c, node])
        function = (last.function, last.alpha, last.beta)
        return None if alone is None else _Cell(gates, function, shape, (given, h, state), makes_c, node, alone)

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
        return sorted(found.values(), key=lambda n: self.place[id(n)])

    def _serving_alone(self, nodes: list[Node], results: list[Node]) -> list[Node] | None:
        """The operators that nothing else needs: all, but for copies; None where another one is needed elsewhere."""
        inside = {id(n) for n in nodes}
        found = []
        for node in nodes:
            roots = [] if node in results else [id(t.base) for t in node.writes()]
            readers = [reader for root in roots for reader in self.sums.uses.readers[root]]
            if all(id(r) in inside for r in readers) and not self.sums.uses.pinned.intersection(roots):
                found.append(node)
            elif node.kind != "copy":
                return None
        return found


def _owning(cells: list[_Cell], sums: Sums) -> list[_Cell]:
    """Those whose weights are read by cells that are found alone, so that none would be there twice."""
    while True:
        inside = {id(node) for cell in cells for node in cell.nodes}
        weights = {id(t) for cell in cells for t in cell.weights()}
        shared = {i for i in weights if any(id(n) not in inside for n in sums.uses.readers[i])}
        shared |= weights & sums.uses.pinned  # by what is outside of this block
        kept = [cell for cell in cells if not any(id(t) in shared for t in cell.weights())]
        if len(kept) == len(cells):
            return kept
        cells = kept


class _Once:
    """Packed weights: those of a cell that is written out step by step are the same at each."""

    def __init__(self) -> None:
        self._made: dict[Hashable, Tensor] = {}

    def __call__(self, key: Hashable, pack: Callable[[], np.ndarray], packed: str = "NONE", width: int = 0) -> Tensor:
        if key not in self._made:
            data = pack()
            self._made[key] = Tensor("", "F32", data.shape, "WEIGHTS", None, 0, (), packed, width, data)
        return self._made[key]

    def matrix(self, products: list[Product], units: int) -> Tensor:
        """The columns of all gates, [1, depth, gates * padded units]."""
        key = tuple((id(p.weights), p.column, p.factor.first_row, p.factor.depth) for p in products)

        def pack() -> np.ndarray:
            return packing.pack_gates(np.stack([p.matrix(units) for p in products])[None])

        return self(key, pack, "F32_PANELS", packing.panel_width(len(products)))


def _recurrent(cell: _Cell, once: _Once) -> Node:
    """One step of the operator in the place of the cell."""
    units = cell.shape.width
    bias = np.stack([gate.bias for gate in cell.gates])[None]
    x, h, c = cell.operands
    first = [None if _is_zero(t) else t for t in (h, c)]
    inputs: list[Tensor | None] = [
        x,
        once.matrix([gate.x for gate in cell.gates], units),
        once.matrix([gate.h for gate in cell.gates], units),
        once(bias.tobytes(), lambda: packing.pack_vectors(bias)),
    ]
    outputs = [seen_as(node.outputs[0], h.dims) for node in (cell.makes_h, cell.makes_c) if node.outputs[0] is not None]
    attributes = {
        "cell": "LSTM",
        "hidden_size": units,
        "direction": "FORWARD",
        "linear_before_reset": 0,
        "input_forget": 0,
        "clip": math.inf,
        "activations": [cell.gates[0].function, cell.gates[3].function, cell.last],
    }
    name = "+".join(dict.fromkeys(node.name for node in cell.nodes if node.kind == "dense"))
    return Node("recurrent", [*inputs, *[None] * 5, *first], [None, *outputs], attributes, name)


def _is_zero(t: Tensor) -> bool:
    """Whether a state is zeros, which an absent one stands for."""
    return t.base.data is not None and not t.base.data.any()
