# SPDX-License-Identifier: Apache-2.0
"""What follows an If whose branches differ in shape, done in each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .onnx_model import OnnxNode, Subgraph

MAX_CARRIED = 5_000  # nodes that are done twice; where Ifs follow each other, those of one are in those of the other


def follows(nodes: list[OnnxNode], choice: OnnxNode) -> tuple[list[OnnxNode], list[OnnxNode], set[str]]:
    """(the nodes that do not hang on an If, those that do, in their order, and every name that these and it make)."""
    made, apart, tail = set(choice.outputs), [], []
    for node in nodes:
        if node is choice:
            continue
        if made.intersection(filter(None, node.reads)):
            tail.append(node)
            made.update(node.outputs)
        else:
            apart.append(node)
    return apart, tail, made - {""}


def can_carry(nodes: list[OnnxNode], outputs: Iterable[str], choice: OnnxNode, name: str) -> bool:
    """Whether all that hangs on the result `name` of an If can be done in its branches, so that none is left of it."""
    if name in outputs or not any(node is choice for node in nodes):
        return False
    tail = follows(nodes, choice)[1]
    read = {n for node in tail for n in node.reads} - set(choice.outputs)
    return _count(tail) <= MAX_CARRIED and all(read.isdisjoint(_defined(body)) for body in choice.bodies)


def carried(nodes: list[OnnxNode], outputs: Iterable[str], names: Iterable[str]) -> list[OnnxNode]:
    """The nodes, where what hangs on the Ifs with the results `names` is done in each branch of these.

    f = If(c) {a = Conv(x, w)} {b = Conv(x, v)}       p = If(c) {a = Conv(x, w); f = Identity(a); p = ReduceMax(f)}
    p = ReduceMax(f)                                           {b = Conv(x, v); f = Identity(b); p = ReduceMax(f)}
    """
    for name in names:
        choice = next(node for node in nodes if name in node.outputs)
        apart, tail, made = follows(nodes, choice)
        results = [n for n in dict.fromkeys(outputs) if n in made]
        bodies = {
            word: _extended(body, choice, tail, results) if isinstance(body, Subgraph) else body
            for word, body in choice.attributes.items()
        }
        nodes = [*apart, replace(choice, outputs=results, attributes=bodies)]
    return nodes


def _count(nodes: list[OnnxNode]) -> int:
    """How many nodes there are, those of bodies included."""
    return len(nodes) + sum(_count(body.nodes) for node in nodes for body in node.bodies)


def _defined(body: Subgraph) -> set[str]:
    return {*body.constants, *(name for node in body.nodes for name in node.outputs)}


def _extended(body: Subgraph, choice: OnnxNode, tail: list[OnnxNode], results: list[str]) -> Subgraph:
    """A branch that goes on: its results get the names that they have outside, then comes the rest."""
    pairs = [
        (inner, outer) for inner, outer in zip(body.outputs, choice.outputs, strict=True) if outer not in ("", inner)
    ]
    named = [OnnxNode("Identity", "", choice.name, [i], [o], {}, choice.version) for i, o in pairs]
    made = replace(body, nodes=[*body.nodes, *named, *tail], outputs=results)
    read = dict.fromkeys([name for node in made.nodes for name in node.reads] + results)
    return replace(made, captures=[name for name in read if name and name not in _defined(made)])
