# SPDX-License-Identifier: Apache-2.0
"""Removes elementwise operators that only pass float32 on.

b = elementwise[IDENTITY](a); c = tanh(b)      ->      c = tanh(a)
"""

from __future__ import annotations

from ..ir import Graph, Tensor


def remove_identities(graph: Graph) -> list[str]:
    """Readers of the result read the source; a result that is an output of the model keeps its operator, as a copy."""
    instead: dict[int, Tensor] = {}
    kept = []
    for node in graph.nodes:
        for inner in node.nested():
            inner.inputs = [seen_instead(t, instead) for t in inner.inputs]
        if not node.outputs:
            kept.append(node)
            continue
        source, target = node.inputs[0], node.outputs[0]
        alone = node.kind == "elementwise" and len(node.attributes["program"]) == 1
        if alone and node.attributes["program"][0][0] == "IDENTITY" and source is not None and target is not None:
            plain = target.root is None and target.storage == "ARENA" and source.root is None
            if source.dtype == target.dtype and plain:
                instead[id(target)] = source
                continue
            if source.dtype == target.dtype:
                node.kind, node.attributes = "copy", {}
        kept.append(node)
    count = len(graph.nodes) - len(kept)
    graph.nodes = kept
    return [f"{count} identities removed"] if count else []


def seen_instead(t: Tensor | None, instead: dict[int, Tensor]) -> Tensor | None:
    """An operand, once the roots in `instead` (by their ids) are replaced by others of the same shape."""
    if t is None:
        return None
    base = instead.get(id(t.base))
    if base is None:
        return t
    if t.root is not None:
        t.root = base
        return t
    return base
