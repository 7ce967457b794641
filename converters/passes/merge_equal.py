# SPDX-License-Identifier: Apache-2.0
"""Computes once what a graph computes twice, as exporters leave it.

d = elementwise[SUB](x, m)                    d = elementwise[SUB](x, m)
s = elementwise[MUL](d, d)           ->       s = elementwise[MUL](d, d)
e = elementwise[SUB](x, m)                    y = elementwise[DIV](d, r)
y = elementwise[DIV](e, r)
"""

from __future__ import annotations

from typing import Any

from ..ir import Graph, Node, Tensor
from .identities import seen_instead
from .uses import Uses

_KINDS = ("elementwise", "reduce")


def merge_equal(graph: Graph) -> list[str]:
    """One walk: a later operator that equals an earlier one goes, and its readers read the earlier result."""
    uses = Uses.of(graph)
    first: dict[Any, Tensor] = {}
    instead: dict[int, Tensor] = {}
    done, kept = [], []
    for node in graph.nodes:
        for inner in node.nested():
            inner.inputs = [seen_instead(t, instead) for t in inner.inputs]
        key = _key(node, uses)
        if key is not None:
            assert node.outputs[0] is not None
            known = first.setdefault(key, node.outputs[0])
            if known is not node.outputs[0]:
                instead[id(node.outputs[0])] = known
                done.append(f"{node.name}: computed before")
                continue
        kept.append(node)
    graph.nodes = kept
    return done


def _key(node: Node, uses: Uses) -> Any:
    """What two operators have in common that compute the same; None for one that must stay."""
    target = node.outputs[0] if node.kind in _KINDS else None
    if target is None or target.root is not None or target.storage != "ARENA" or id(target) in uses.pinned:
        return None
    if any(t is None or len(uses.writers[id(t.base)]) > 1 for t in (target, *node.inputs)):
        return None  # a part of it may be written in between
    operands = tuple((id(t.base), t.dims, t.offset, t.step) for t in node.inputs if t is not None)
    return node.kind, repr(node.attributes), operands, target.dtype, target.dims
