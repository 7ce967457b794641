# SPDX-License-Identifier: Apache-2.0
"""LSTM cells that a graph of frames writes out: which output is the cell state, and which the hidden state.

    c' = f * c + i * g        h' = o * tanh(c')        h enters the products that f is made of

Of most of them a pass has made one operator (`passes/fuse_cells.py`), which says what is what, but for h and the data.
The two states have one shape, and often names that do not say which is which; what is done with them tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinyrnn import format as fmt

from .ir import Graph, Node, Port, Tensor
from .places import Geometry, geometry, inner, moves, outer, writers

_PRODUCTS = ("dense", "conv")
_ARITY = {"ADD": 2, "MUL": 2, "TANH": 1}
_PLACE = {operand.name: i for i, operand in enumerate(fmt.OPERATORS["recurrent"].inputs)}
MAX_NODES = 20_000  # each look at what makes a tensor goes over all nodes


@dataclass(frozen=True, slots=True)
class Cell:
    """The inputs that hold c and h, and the outputs that renew them."""

    c: Port
    h: Port
    new_c: Port
    new_h: Port


@dataclass(frozen=True, slots=True)
class _Term:
    """What a step of an elementwise operator computes, or a part of a tensor that something else makes."""

    made_by: int  # id of the operator, or of the tensor
    step: int = -1
    part: Geometry | None = None


class Cells:
    """Finds the cells of a graph after the passes."""

    def __init__(self, graph: Graph, states: list[Port]) -> None:
        """`states` are the inputs that may be c and h: what is done with h is done with the data of a step too."""
        self.graph = graph
        self.given = {id(inner(graph, p)): p for p in states}
        self.nodes: dict[int, Node] = {}
        self.tensors: dict[int, Tensor] = {}

    def find(self) -> list[Cell]:
        """Every cell whose parts are all certain."""
        if len(self.given) < 2 or len(self.graph.nodes) > MAX_NODES:
            return []
        made = {id(o): self._term(outer(self.graph, o)) for o in self.graph.outputs}
        cells = self._fused(made)
        for new_c in self.graph.outputs:
            for c, forget in self._renewals(made[id(new_c)]):
                hs = [h for h in self._multiplied(forget) if h.tensor.dims == c.tensor.dims]
                shown = [o for o in self.graph.outputs if self._is_hidden(made[id(o)], made[id(new_c)])]
                if len(hs) == len(shown) == 1:
                    cells.append(Cell(c, hs[0], new_c, shown[0]))
        return cells

    def _fused(self, made: dict[int, _Term]) -> list[Cell]:
        """The cells that are an operator each."""
        cells = []
        for node in self.graph.nodes:
            if node.kind != "recurrent" or node.attributes["cell"] != "LSTM" or len(node.inputs) <= _PLACE["initial_c"]:
                continue
            x, h, c = (node.inputs[_PLACE[name]] for name in ("x", "initial_h", "initial_c"))
            given = self.given.get(self._term(c).made_by) if c is not None else None
            if x is None or h is None or given is None:
                continue
            roots = dict.fromkeys(id(root) for t in (x, h) for root in self._copied(t))
            hs = [p for i, p in self.given.items() if i in roots and p.tensor.dims == given.tensor.dims]
            new_h, new_c = (
                [o for o in self.graph.outputs if t is not None and made[id(o)] == self._term(t)]
                for t in node.outputs[1:3]
            )
            if len(hs) == len(new_h) == 1:
                cells += [Cell(given, hs[0], o, new_h[0]) for o in new_c]
        return cells

    def _renewals(self, term: _Term) -> list[tuple[Port, _Term]]:
        """(c, f) where a term is f * c and something added."""
        found = []
        for kept, _ in self._both_ways(term, "ADD"):
            for forget, old in self._both_ways(kept, "MUL"):
                if old.made_by in self.given:
                    found.append((self.given[old.made_by], forget))
        return found

    def _is_hidden(self, term: _Term, cell: _Term) -> bool:
        """Whether a term is o * tanh(c')."""
        factors = [t for pair in self._both_ways(term, "MUL") for t in pair]
        return any(self._function(t) == "TANH" and self._operands(t) == [cell] for t in factors)

    def _both_ways(self, term: _Term, function: str) -> list[tuple[_Term, _Term]]:
        """The two operands in both orders, where a term is this function."""
        if self._function(term) != function:
            return []
        a, b = self._operands(term)
        return [(a, b), (b, a)]

    def _function(self, term: _Term) -> str:
        return str(self.nodes[term.made_by].attributes["program"][term.step][0]) if term.step >= 0 else ""

    def _operands(self, term: _Term) -> list[_Term]:
        """Of a term that is a step of an elementwise operator."""
        node = self.nodes[term.made_by]
        function, *registers = node.attributes["program"][term.step]
        return [self._register(node, r) for r in registers[: _ARITY.get(function, 0)]]

    def _register(self, node: Node, register: int) -> _Term:
        count = len(node.inputs)
        if register >= count:
            return self._step(node, register - count)
        operand = node.inputs[register]
        assert operand is not None
        return self._term(operand)

    def _step(self, node: Node, step: int) -> _Term:
        self.nodes[id(node)] = node
        return _Term(id(node), step)

    def _term(self, t: Tensor) -> _Term:
        """What makes a tensor, seen through copies."""
        for _ in range(16):
            made = [use.node for use in writers(self.graph, t.base) if geometry(use.part) == geometry(t)]
            if len(made) == 1 and made[0] in self.graph.nodes and id(t.base) not in self.given:
                source = made[0].inputs[0] if moves(made[0]) else None
                if source is not None:
                    t = source
                    continue
                if made[0].kind == "elementwise":
                    return self._step(made[0], len(made[0].attributes["program"]) - 1)
            break
        self.tensors[id(t.base)] = t.base
        return _Term(id(t.base), part=geometry(t))

    def _multiplied(self, term: _Term) -> list[Port]:
        """The inputs that enter the products which a gate is made of, by way of elementwise operators alone."""
        found: dict[int, Port] = {}
        pending, seen = [term], {term}
        while pending:
            at = pending.pop()
            made = [self.nodes[at.made_by]] if at.step >= 0 else []
            made = made or [use.node for use in writers(self.graph, self.tensors[at.made_by])]
            for node in made:
                if node.kind == "elementwise":
                    new = {self._term(t) for t in node.inputs if t is not None} - seen
                    pending += new
                    seen |= new
                elif node.kind in _PRODUCTS and node.inputs[0] is not None:
                    roots = [id(root) for root in self._copied(node.inputs[0])]
                    found |= {i: self.given[i] for i in roots if i in self.given}
        return list(found.values())

    def _copied(self, t: Tensor) -> list[Tensor]:
        """A tensor, and those that it is put together of."""
        copied = [use.node.inputs[0] for use in writers(self.graph, t.base) if moves(use.node)]
        return [t.base, *(source.base for source in copied if source is not None)]
