# SPDX-License-Identifier: Apache-2.0
"""What a tensor is made of: the elementwise functions, sums, products and constants that other passes look for.

A part of a result is followed to the same part of what it is computed from, however it is sliced and reshaped between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .. import packing, values
from ..dims import Size, product
from ..ir import Graph, Node, Tensor
from ..places import geometry, is_whole
from .copies import Place, rebase
from .uses import Uses

_Step = tuple[str, int, int, int, float, float]
_OF_TWO = frozenset(["ADD", "SUB", "MUL"])
MAX_TERMS = 12  # of a sum, with the sums inside of it: far above what the gate of a cell has


@dataclass(frozen=True, slots=True)
class Shape:
    """How many rows there are, and how many elements each has."""

    rows: Size
    width: int

    @classmethod
    def of(cls, t: Tensor) -> Shape | None:
        """That of a tensor whose last axis has a known length."""
        return cls(product(t.dims[:-1]), t.dims[-1]) if t.dims and isinstance(t.dims[-1], int) else None


@dataclass(frozen=True, slots=True)
class Factor:
    """What a product multiplies: a tensor [..., depth], whose first element meets a row of the weights."""

    tensor: Tensor
    depth: int
    first_row: int = 0


@dataclass(frozen=True, slots=True)
class Product:
    """Some columns of x W, one after the other."""

    weights: Tensor
    column: int
    factor: Factor

    @property
    def source(self) -> tuple[object, ...]:
        """What two products have in common that multiply the same elements."""
        return id(self.factor.tensor.base), geometry(self.factor.tensor)

    def matrix(self, width: int) -> np.ndarray:
        """[width, depth] float32: the weights of `width` columns."""
        t = self.weights
        assert t.data is not None
        plain = packing.unpanel(t.data.reshape(t.data.shape[-2:]), t.panel_width)
        first = self.factor.first_row
        return np.asarray(plain[first : first + self.factor.depth, self.column : self.column + width].T)


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one operand."""

    function: str
    alpha: float
    beta: float
    operand: Tensor


class Sums:
    """Follows tensors of one graph back."""

    def __init__(self, graph: Graph) -> None:
        self.uses = Uses.of(graph)
        self.made: dict[int, Node] = {}  # id of a root -> the one operator that writes it, as a whole
        for node in graph.nodes:
            for t in node.outputs:
                if t is not None and t.root is None and t.storage == "ARENA" and self.uses.writers[id(t)] == [node]:
                    self.made[id(t)] = node

    def call(self, t: Tensor) -> Call | None:
        """The function of one operand that a tensor is the result of."""
        made = self._step(t)
        if made is None or len(made[1]) != 1:
            return None
        (function, _, _, _, alpha, beta), (operand,) = made
        return Call(function, alpha, beta, operand)

    def pairs(self, t: Tensor, function: str) -> Iterator[tuple[Tensor, Tensor]]:
        """The two operands in both orders, where a tensor is the result of this function of two."""
        operands = self.operands(t, function)
        if operands is not None:
            a, b = operands
            yield a, b
            yield b, a

    def operands(self, t: Tensor, function: str) -> tuple[Tensor, Tensor] | None:
        """The two operands, where a tensor is the result of this function of two."""
        made = self._step(t)
        if made is None or made[0][0] != function or len(made[1]) != 2:
            return None
        return made[1][0], made[1][1]

    def _step(self, t: Tensor) -> tuple[_Step, list[Tensor]] | None:
        """The elementwise function that makes a tensor, and the parts of its operands that it does so of."""
        node = self.made.get(id(t.base))
        if node is None or node.kind != "elementwise" or len(node.attributes["program"]) != 1:
            return None
        (step,) = node.attributes["program"]
        if step[0] not in _OF_TWO and len(node.inputs) != 1:
            return None
        operands = [self._part(t, node.inputs[r]) for r in (step[1:3] if step[0] in _OF_TWO else [0])]
        return None if any(o is None for o in operands) else (step, operands)  # type: ignore[return-value]

    def _part(self, t: Tensor, operand: Tensor | None) -> Tensor | None:
        """The part of an operand of the maker of t that makes t."""
        if operand is None or operand.dtype != "F32" or t.dtype != "F32" or operand.dims != t.base.dims:
            return None
        if t.root is None:
            return operand
        seen = rebase(t, t.base.dims, Place(operand.base, operand.offset, operand.step))
        return None if seen is None else Tensor(t.name, "F32", t.dims, "VIEW", operand.base, *seen)

    def terms(self, t: Tensor, shape: Shape, left: int = MAX_TERMS) -> list[Product | np.ndarray | Tensor] | None:
        """What a tensor of this shape is the sum of: products, constants [width], others; None if it is too many."""
        if left <= 0:
            return None
        added = self.operands(t, "ADD")
        if added is not None:
            first = self.terms(added[0], shape, left - 1)
            rest = None if first is None else self.terms(added[1], shape, left - len(first))
            return None if first is None or rest is None else first + rest
        constant = vector(t, shape)
        if constant is not None:
            return [constant]
        return [self._product(t, shape) or t]

    def _product(self, t: Tensor, shape: Shape) -> Product | None:
        node = self.made.get(id(t.base))
        if node is None or node.kind != "dense" or len(node.inputs) != 2 or node.attributes["function"] != "IDENTITY":
            return None
        (x, weights), columns = node.inputs, t.base.dims[-1]
        assert x is not None
        assert weights is not None
        if weights.data is None or weights.packing != "F32_PANELS" or product(weights.dims[:-2]) != 1:
            return None
        seen, column = seen_as(t, (shape.rows, shape.width)), t.offset
        if seen is None or not isinstance(column, int) or not isinstance(columns, int):
            return None
        if product(t.base.dims[:-1]) != shape.rows or not _are(seen, columns, 1) or column + shape.width > columns:
            return None
        return Product(weights, column, Factor(x, int(weights.dims[-2])))  # type: ignore[arg-type]

    def parts(self, found: Product) -> list[Product]:
        """A product of two tensors joined along their last axis, as one for each; else the product itself."""
        whole = found.factor
        joined = self._joined(whole.tensor, whole.depth)
        return [replace(found, factor=factor) for factor in joined or [whole]]

    def _joined(self, whole: Tensor, depth: int) -> list[Factor]:
        """The tensors that two copies put side by side to make [..., depth]; none where that is not how it is made."""
        copies = [node for node in self.uses.writers[id(whole.base)] if node.kind == "copy"]
        pairs = [(n.inputs[0], n.outputs[0]) for n in copies if n.inputs[0] is not None and n.outputs[0] is not None]
        seen = seen_as(whole, (_rows(whole), depth))
        if len(pairs) != 2 or seen is None or not _are(seen, depth, 1) or not is_whole(whole):
            return []
        if pairs[0][1].offset != 0:
            pairs.reverse()
        found, end = [], 0
        for source, target in pairs:
            shape = Shape.of(target)
            part = seen_as(target, (shape.rows, shape.width)) if shape is not None else None
            if shape is None or part is None or not _are(part, depth, 1) or target.offset != end:
                return []
            if source.dims != target.dims:
                return []
            found.append(Factor(source, shape.width, end))
            end += shape.width
        return found if end == depth else []

    def before_copy(self, t: Tensor) -> Tensor:
        """What a tensor is a copy of, or itself."""
        node = self.made.get(id(t.base))
        source = node.inputs[0] if node is not None and node.kind == "copy" else None
        if node is None or source is None or source.dims != t.base.dims:
            return t
        if t.root is None:
            return source
        seen = rebase(t, t.base.dims, Place(source.base, source.offset, source.step))
        return t if seen is None else Tensor(t.name, t.dtype, t.dims, "VIEW", source.base, *seen)


def seen_as(t: Tensor, dims: tuple[Size, ...]) -> Tensor | None:
    """A tensor in another shape of as many elements, where strides can say it."""
    if t.dims == dims:
        return t
    if product(t.dims) != product(dims):
        return None
    strides = values.reshape_strides(t.dims, t.step, dims)
    return None if strides is None else Tensor(t.name, t.dtype, dims, "VIEW", t.base, t.offset, strides)


def _rows(t: Tensor) -> Size:
    return product(t.dims[:-1])


def _are(t: Tensor, row: Size, element: Size) -> bool:
    """Whether a tensor of two axes has these strides, along those longer than 1."""
    return all(d == 1 or have == want for d, have, want in zip(t.dims, t.step, (row, element), strict=True))


def vector(t: Tensor, shape: Shape) -> np.ndarray | None:
    """A constant that is the same in all rows, as an array [width]."""
    base, seen = t.base, seen_as(t, (shape.rows, shape.width))
    if base.data is None or base.packing != "NONE" or base.dtype != "F32" or seen is None:
        return None
    offset, (row, element) = t.offset, seen.step
    if (shape.rows != 1 and row != 0) or not isinstance(offset, int) or not isinstance(element, int):
        return None
    return np.asarray(base.data.reshape(-1)[offset + np.arange(shape.width) * element])
