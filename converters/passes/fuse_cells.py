# SPDX-License-Identifier: Apache-2.0
"""Recognises LSTM and GRU cells that an exporter has written out, and makes one `recurrent` of a single step of each.

a = dense(x, W); b = dense(h, R)
s = elementwise[ADD](a, b); z = elementwise[ADD](s, bias)
i, f, o = elementwise[SIGMOID](z[0:H], z[H:2H], z[3H:4H])
g = elementwise[TANH](z[2H:3H])                                 ->      -, h', c' = recurrent(x, W, R, bias, h, c)
p = elementwise[MUL](f, c); q = elementwise[MUL](i, g)
c' = elementwise[ADD](p, q)
t = elementwise[TANH](c'); h' = elementwise[MUL](o, t)

A GRU is h' = (1 - z) * n + z * h, in any of the forms that this has, its reset gate before or after the product with h.
Weights that something else reads as well stay where they are, and so does the cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

import numpy as np

from .. import packing
from ..ir import Graph, Node, Tensor
from .cell_search import Cell, CellSearch, Gate
from .sums import Product, Sums

_KINDS = {"LSTM": "an LSTM", "GRU": "a GRU"}


def fuse_cells(graph: Graph) -> list[str]:
    """One walk finds the cells; then all are made whose weights serve nothing else."""
    search = CellSearch(graph)
    cells = _owning(search.find(), search.sums)
    once = _Once()
    made = {id(cell.place): _recurrent(cell, once) for cell in cells}
    gone = {id(node) for cell in cells for node in cell.nodes}
    graph.nodes = [made.get(id(n), n) for n in graph.nodes if id(n) not in gone or id(n) in made]
    return [f"{node.name}: {_KINDS[node.attributes['cell']]} cell that was written out" for node in made.values()]


def _owning(cells: list[Cell], sums: Sums) -> list[Cell]:
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
        """What `pack` makes, or made for the same key."""
        if key not in self._made:
            data = pack()
            self._made[key] = Tensor("", "F32", data.shape, "WEIGHTS", None, 0, (), packed, width, data)
        return self._made[key]

    def matrix(self, products: list[Product], signs: list[int], units: int) -> Tensor:
        """The columns of some gates, [1, depth, gates * padded units]."""
        key = tuple(
            (id(p.weights), p.column, p.factor.first_row, p.factor.depth, s)
            for p, s in zip(products, signs, strict=True)
        )

        def pack() -> np.ndarray:
            matrices = [p.matrix(units) * np.float32(s) for p, s in zip(products, signs, strict=True)]
            return packing.pack_gates(np.stack(matrices)[None])

        return self(key, pack, "F32_PANELS", packing.panel_width(len(products)))

    def vector(self, rows: list[np.ndarray]) -> Tensor:
        """The biases of some gates, [1, gates * padded units]."""
        stacked = np.stack(rows)[None]
        return self((stacked.shape, stacked.tobytes()), lambda: packing.pack_vectors(stacked))

    def gates(self, gates: list[Gate], units: int) -> list[Tensor | None]:
        """Both matrices and the bias."""
        signs = [gate.sign for gate in gates]
        sides = [[gate.x for gate in gates], [gate.h for gate in gates]]
        matrices = [self.matrix(products, signs, units) for products in sides]
        return [*matrices, self.vector([gate.bias * np.float32(gate.sign) for gate in gates])]


def _recurrent(cell: Cell, once: _Once) -> Node:
    """One step of the operator in the place of the cell."""
    x, *first = cell.operands
    units = int(cell.results[0].dims[-1])  # type: ignore[arg-type]
    apart = cell.gates[2:] if cell.kind == "GRU" and not cell.reset_after else []
    weights = once.gates(cell.gates[: len(cell.gates) - len(apart)], units)
    weights += once.gates(apart, units) if apart else [None, None, None]
    if cell.reset_after:
        after = cell.gates[2].hidden_bias
        assert after is not None
        weights[5] = once.vector([after])
    attributes = {
        "cell": cell.kind,
        "hidden_size": units,
        "direction": "FORWARD",
        "linear_before_reset": int(cell.reset_after),
        "input_forget": 0,
        "clip": math.inf,
        "activations": cell.functions,
    }
    states = [None if _is_zero(t) else t for t in first]
    name = "+".join(dict.fromkeys(node.name for node in cell.nodes if node.kind == "dense"))
    return Node("recurrent", [x, *weights, None, None, *states], [None, *cell.results], attributes, name)


def _is_zero(t: Tensor) -> bool:
    """Whether a state is zeros, which an absent one stands for."""
    return t.base.data is not None and not t.base.data.any()
