# SPDX-License-Identifier: Apache-2.0
"""Removes operators whose results nobody reads, and outputs of recurrences that nobody reads.

y, y_h, y_c = recurrent(x, ...)          y, -, - = recurrent(x, ...)
z = elementwise(x)                 ->    out = copy(y)
out = copy(y)
"""

from __future__ import annotations

from ..ir import Graph, Node


def remove_dead_code(graph: Graph) -> list[str]:
    """From the end to the beginning, keeping what outputs and ties need."""
    live = {id(p.tensor.base) for p in graph.outputs}
    live |= {id(source.base) for s in graph.states for _, source in s.ties}
    graph.nodes = _kept(graph.nodes, live)
    return []


def _kept(nodes: list[Node], live: set[int]) -> list[Node]:
    """The nodes of a block that `live` needs, which then has what they need too."""
    kept = []
    for node in reversed(nodes):
        if not any(id(t.base) in live for t in node.writes()):
            continue
        node.blocks = [_kept(block, live) for block in node.blocks]
        if node.kind == "recurrent":
            node.outputs = [t if t is not None and id(t.base) in live else None for t in node.outputs]
        live |= {id(t.base) for t in node.inputs if t is not None}
        kept.append(node)
    return kept[::-1]
