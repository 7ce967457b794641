# SPDX-License-Identifier: Apache-2.0
"""Which parts of an input are read, and which parts of an output are written, by whom: the evidence for states."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from . import dims as dm
from .ir import Graph, Node, Port, Tensor

Geometry = tuple[dm.Size, tuple[tuple[dm.Size, dm.Size], ...]]  # offset, (length, stride) of each axis longer than 1


@dataclass(frozen=True, slots=True)
class Use:
    """A node that reads or writes a part of a tensor."""

    node: Node
    part: Tensor


def squeezed(t: Tensor) -> tuple[tuple[dm.Size, dm.Size], ...]:
    """Length and stride of each axis that is longer than 1."""
    return tuple((d, s) for d, s in zip(t.dims, t.step, strict=True) if d != 1)


def geometry(t: Tensor) -> Geometry:
    """Which elements of its root a tensor shows, in which order, whatever axes of length 1 it has."""
    return t.offset, squeezed(t)


def is_whole(t: Tensor) -> bool:
    """Whether a tensor shows all of its root in its own order."""
    same = squeezed(t) == squeezed(t.base) or t.step == dm.contiguous(t.dims)
    return same and t.offset == 0 and dm.product(t.dims) == dm.product(t.base.dims)


def readers(graph: Graph, root: Tensor) -> list[Use]:
    """Every use of a root as an operand."""
    return [Use(n, t) for n in graph.all_nodes() for t in n.inputs if t is not None and t.base is root]


def writers(graph: Graph, root: Tensor) -> list[Use]:
    """Every node that writes into a root."""
    return [Use(n, t) for n in graph.all_nodes() for t in n.outputs if t is not None and t.base is root]


def moves(node: Node) -> bool:
    """Whether the node only moves elements, perhaps to a wider or narrower float."""
    if node.kind == "elementwise":
        return len(node.attributes["program"]) == 1 and node.attributes["program"][0][0] == "IDENTITY"
    return node.kind == "copy"


def sources(graph: Graph, root: Tensor) -> list[Use]:
    """Who makes the parts of a root: its writers, or those of the tensor that it is a copy of."""
    for _ in range(16):
        found = writers(graph, root)
        if len(found) != 1 or not moves(found[0].node) or not is_whole(found[0].part):
            return found
        source = found[0].node.inputs[0]
        assert source is not None
        if source.base.storage != "ARENA" or not is_whole(source):
            return found
        root = source.base
    return found


def inner(graph: Graph, port: Port) -> Tensor:
    """The float32 that an input becomes, where it is declared wider or narrower: what a stream would carry."""
    uses = readers(graph, port.tensor) if port.tensor.dtype in ("F16", "F64") else []
    if len(uses) == 1 and moves(uses[0].node):
        target = uses[0].node.outputs[0]
        if target is not None and target.root is None and target.storage == "ARENA" and target.dtype == "F32":
            return target
    return port.tensor


def outer(graph: Graph, port: Port) -> Tensor:
    """The float32 that an output is made from, where it is declared wider or narrower."""
    made = writers(graph, port.tensor) if port.tensor.dtype in ("F16", "F64") else []
    if len(made) == 1 and moves(made[0].node):
        source = made[0].node.inputs[0]
        if source is not None and source.dtype == "F32" and is_whole(source):
            return source.base
    return port.tensor


def covers(parts: Iterable[Tensor], whole: Tensor) -> bool:
    """Whether different parts together have as many elements as the whole."""
    total: dm.Size = 0
    for t in {geometry(t): t for t in parts}.values():
        total = total + dm.product(t.dims)
    return total == dm.product(whole.dims)


def reached(graph: Graph, roots: Iterable[Tensor], first: Iterable[Node] = ()) -> set[int]:
    """Ids of the roots whose elements depend on some roots, or on what some nodes make."""
    found = {id(t) for t in roots} | {id(t.base) for n in first for t in n.writes()}
    for node in graph.nodes:
        if any(id(t.base) in found for t in node.reads()):
            found |= {id(t.base) for t in node.writes()}
    return found
