# SPDX-License-Identifier: Apache-2.0
"""Who reads and who writes each root tensor: the index that passes look things up in."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from ..ir import Graph, Node, Tensor
from ..places import inner, outer


@dataclass(eq=False)
class Uses:
    """For the id of each root: the nodes that read it and that write it, each node once, and its views.

    The nodes are those of the graph: a branch reads and writes what the operators of its blocks do.
    """

    readers: dict[int, list[Node]] = field(default_factory=lambda: defaultdict(list))
    writers: dict[int, list[Node]] = field(default_factory=lambda: defaultdict(list))
    views: dict[int, dict[int, Tensor]] = field(default_factory=lambda: defaultdict(dict))
    pinned: set[int] = field(default_factory=set)  # roots that states or ports hold

    @classmethod
    def of(cls, graph: Graph) -> Uses:
        """The index of a graph."""
        uses = cls()
        for node in graph.nodes:
            read, written = node.reads(), node.writes()
            for t in {id(t.base): t for t in read}.values():
                uses.readers[id(t.base)].append(node)
            for t in {id(t.base): t for t in written}.values():
                uses.writers[id(t.base)].append(node)
            for seen in (*read, *written):
                if seen.root is not None:
                    uses.views[id(seen.root)][id(seen)] = seen
        for port in graph.inputs + graph.outputs:
            uses.pinned.add(id(port.tensor.base))
            if port.time_axis < 0:  # it may become a state, or renew one, and that is float32
                uses.pinned |= {id(inner(graph, port)), id(outer(graph, port))}
        for state in graph.states:
            for t in (state.tensor, *(t for tie in state.ties for t in tie)):
                uses.pinned.add(id(t.base))
                if t.root is not None:
                    uses.views[id(t.root)][id(t)] = t
        return uses
