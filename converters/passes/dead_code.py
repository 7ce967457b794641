# SPDX-License-Identifier: Apache-2.0
"""Removes operators whose results nobody reads, and outputs of recurrences that nobody reads.

y, y_h, y_c = recurrent(x, ...)          y, -, - = recurrent(x, ...)
z = elementwise(x)                 ->    out = copy(y)
out = copy(y)
"""

from __future__ import annotations

from ..ir import Graph


def remove_dead_code(graph: Graph) -> list[str]:
    """From the end to the beginning, keeping what outputs and ties need."""
    live = {id(p.tensor.base) for p in graph.outputs}
    live |= {id(source.base) for s in graph.states for _, source in s.ties}
    kept = []
    for node in reversed(graph.nodes):
        if not any(t is not None and id(t.base) in live for t in node.outputs):
            continue
        if node.kind == "recurrent":
            node.outputs = [t if t is not None and id(t.base) in live else None for t in node.outputs]
        live |= {id(t.base) for t in node.inputs if t is not None}
        kept.append(node)
    graph.nodes = kept[::-1]
    return []
