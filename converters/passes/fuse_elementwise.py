# SPDX-License-Identifier: Apache-2.0
"""Merges an elementwise operator into the only one that reads its result.

a = elementwise[MUL](x, y)
b = elementwise[ADD](a, z)         ->      b = elementwise[MUL(0, 1), ADD(3, 2)](x, y, z)
"""

from __future__ import annotations

from typing import Any

from tinyrnn import format as fmt

from ..ir import Graph, Node, Tensor
from .uses import Uses

MAX_SOURCES = fmt.LIMITS["REGISTERS"]
#: Functions that give 0 or 1, which a bool holds as it is.
LOGICAL = frozenset(
    [
        *("F_TO_BOOL", "I_TO_BOOL", "EQUAL", "LESS", "LESS_EQUAL", "IS_NAN", "IS_INF"),
        *("I_AND", "I_OR", "I_XOR", "I_NOT", "I_EQUAL", "I_LESS", "I_LESS_EQUAL"),
    ]
)


def fuse_elementwise(graph: Graph) -> list[str]:
    """One walk; programs grow until they are full."""
    uses = Uses.of(graph)
    made: dict[int, Node] = {}
    gone: set[int] = set()
    grown: dict[int, list[str]] = {}  # id of a node -> the names of all that it does
    for node in graph.nodes:
        if node.kind != "elementwise":
            continue
        for source in list(node.inputs):
            assert source is not None
            maker = made.get(id(source))
            if (
                maker is not None
                and id(maker) not in gone
                and _alone(source, node, uses)
                and _merge(maker, node, source)
            ):
                gone.add(id(maker))
                names = grown.pop(id(maker), [maker.name])
                names += grown.pop(id(node), [node.name])
                grown[id(node)] = names
        target = node.outputs[0]
        if target is not None and target.root is None and _exact(node, target):
            made[id(target)] = node
    graph.nodes = [n for n in graph.nodes if id(n) not in gone]
    for node in graph.nodes:
        if id(node) in grown:
            node.name = "+".join(dict.fromkeys(grown[id(node)]))
    return [node.name for node in graph.nodes if id(node) in grown]


def _alone(source: Tensor, node: Node, uses: Uses) -> bool:
    """The result is read whole and only here."""
    return source.root is None and uses.readers[id(source)] == [node] and id(source) not in uses.pinned


def _exact(node: Node, target: Tensor) -> bool:
    """Storing the result does not change it, so that it need not be stored."""
    last = node.attributes["program"][-1][0]
    kept = {"F32"} if fmt.FUNCTIONS[last].to == "f" else {"I64", "BOOL"} if last in LOGICAL else {"I64"}
    return target.storage == "ARENA" and target.dtype in kept


def _merge(maker: Node, node: Node, source: Tensor) -> bool:
    """Put maker's program before node's. False, and nothing changed, where it would be too long."""
    first, second = maker.attributes["program"], node.attributes["program"]
    inputs: list[Tensor | None] = list(maker.inputs)
    place: dict[int, int] = {}
    for i, t in enumerate(node.inputs):
        if t is source:
            continue
        known = next((k for k, u in enumerate(inputs) if u is t), None)
        if known is None:
            known = len(inputs)
            inputs.append(t)
        place[i] = known
    if len(inputs) + len(first) + len(second) > MAX_SOURCES or len(first) + len(second) > 32:
        return False
    n = len(inputs)
    if n == len(maker.inputs):
        program = first  # the common chain: nothing is renumbered, so that a long one takes linear time
    else:
        moved = {
            i: i if i < len(maker.inputs) else i - len(maker.inputs) + n for i in range(len(maker.inputs) + len(first))
        }
        program = [_renumber(step, moved) for step in first]
    old = len(node.inputs)
    last = n + len(first) - 1
    moved = {i: place.get(i, last) for i in range(old)} | {old + k: n + len(first) + k for k in range(len(second))}
    program += [_renumber(step, moved) for step in second]
    node.inputs, node.attributes = inputs, {"program": program}
    return True


def _renumber(step: tuple[Any, ...], moved: dict[int, int]) -> tuple[Any, ...]:
    function, *sources, alpha, beta = step
    used = fmt.FUNCTIONS[function].inputs
    return (function, *(moved[s] for s in sources[:used]), *[0] * (3 - used), alpha, beta)
