# SPDX-License-Identifier: Apache-2.0
"""Passes over the lowered graph, one a file; each keeps the graph right, and makes it smaller or faster."""

from __future__ import annotations

from collections.abc import Callable

from ..ir import Graph
from .blocks import run_in_blocks
from .channels_last import keep_channels_last
from .copies import eliminate_copies
from .dead_code import remove_dead_code
from .fuse_cells import fuse_cells
from .fuse_dense import fuse_dense
from .fuse_elementwise import fuse_elementwise
from .fuse_normalize import fuse_normalize
from .identities import remove_identities
from .last_step import read_last_states
from .merge_equal import merge_equal

#: In this order. Each returns what it did, in words, for the report.
PASSES: list[Callable[[Graph], list[str]]] = [
    remove_dead_code,
    remove_identities,
    merge_equal,
    fuse_normalize,
    fuse_cells,
    remove_dead_code,
    read_last_states,
    fuse_dense,
    fuse_elementwise,
    eliminate_copies,
    remove_dead_code,
    lambda graph: run_in_blocks(graph, [remove_identities, fuse_cells, fuse_dense, fuse_elementwise, eliminate_copies]),
    keep_channels_last,
]


def run_passes(graph: Graph, check: Callable[[Graph], None] | None = None) -> list[str]:
    """Run all passes; `check` is called after each (the verifier, in tests)."""
    done: list[str] = []
    for run in PASSES:
        done += run(graph)
        if check is not None:
            check(graph)
    return done
