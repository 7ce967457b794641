# SPDX-License-Identifier: Apache-2.0
"""Runs passes inside the blocks of branches, each as a graph of its own.

branch(c): then a = tanh(x); b = neg(a); y = copy(b)        ->      branch(c): then y = neg(tanh(x))
           else y = copy(x)                                                    else y = copy(x)

What is used outside of a block too, its results among it, is pinned as the outputs of a graph are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..ir import Graph, Node, Port, Tensor

MAX_WALKED = 20_000  # a branch inside a branch is walked with each of those around it: past this, all stay as they are


def run_in_blocks(graph: Graph, passes: list[Callable[[Graph], list[str]]]) -> list[str]:
    """Run the passes on every block of every branch; what they did."""
    branches = [n for n in graph.all_nodes() if n.blocks]
    if not branches or sum(1 for branch in branches for _ in branch.nested()) > MAX_WALKED:
        return []
    done: list[str] = []
    uses = _uses(graph.nodes)
    roots = {id(t): t for t in graph.tensors()}
    for branch in branches:
        for block in branch.blocks:
            own = _uses(block)
            shared = [roots[i] for i, count in own.items() if uses[i] > count]
            inner = Graph(list(block), graph.inputs, [*graph.outputs, *map(_pin, shared)], graph.states, graph.symbols)
            for run in passes:
                done += run(inner)
            block[:] = inner.nodes
            uses.subtract(own)
            uses.update(_uses(block))
    return done


def _pin(root: Tensor) -> Port:
    return Port("", root)


def _uses(nodes: list[Node]) -> Counter[int]:
    """Id of a root -> how often it is read or written."""
    return Counter(id(t.base) for node in nodes for t in node.reads() + node.writes())
