# SPDX-License-Identifier: Apache-2.0
"""Lets convolutions, and what is computed from them, keep the channels of a position side by side.

a = conv(x, ...)                 a is [B, C, L] in memory       a is a view [B, C, L] of [B, L, C] in memory
b = elementwise(a)         ->    likewise                 ->    likewise
y = conv(b, ...)                 gathers the taps of b          reads them in place

Whoever reads such a tensor sees the same elements; it needs kernels that take the strides. A convolution then writes
its sums where they belong, and the next one multiplies rows of taps and channels that lie together.
"""

from __future__ import annotations

from .. import dims as dm
from ..ir import Graph, Node, Tensor
from .copies import Place, relocate
from .uses import Uses

_ROWS = ("reduce", "normalize")  # what folds the positions of a channel wants those side by side


def keep_channels_last(graph: Graph) -> list[str]:
    """One walk over the operators, each after those that it reads from."""
    uses = Uses.of(graph)
    return [node.name for node in graph.nodes if _moved(node, uses)]


def _moved(node: Node, uses: Uses) -> bool:
    """Whether the result of a node lies with its channels last from now on."""
    t = node.outputs[0] if node.kind in ("conv", "pool", "elementwise") else None
    if t is None or t.root is not None or t.storage != "ARENA" or id(t) in uses.pinned or len(t.dims) < 3:
        return False
    if t.dims[1] == 1 or all(d == 1 for d in t.dims[2:]):
        return False  # it lies so already
    if node.kind != "conv" and not _reads_channels_last(node, t):
        return False
    if any(reader.kind in _ROWS for reader in uses.readers[id(t)]):
        return False
    batch, channels, *positions = t.dims
    root = Tensor(t.name, t.dtype, (batch, *positions, channels))
    first, *steps = dm.contiguous(root.dims)
    return relocate(t, Place(root, 0, (first, steps[-1], *steps[:-1])), [], uses)


def _reads_channels_last(node: Node, t: Tensor) -> bool:
    """Whether an operand of the result's shape has its channels last, and none of them its positions."""
    found = False
    for x in node.inputs:
        if x is None or x.dims != t.dims or not any(d != 1 and s != 0 for d, s in zip(x.dims[2:], x.step[2:])):
            continue  # spread out along the positions: of no layout
        if x.step[1] not in (0, 1):
            return False
        found = found or x.step[1] == 1
    return found
