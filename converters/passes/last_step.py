# SPDX-License-Identifier: Apache-2.0
"""Reads y_h where only the last step of y is wanted, so that the whole sequence need not be kept.

    y, -, - = recurrent(x, ...)                          -, y_h, - = recurrent(x, ...)
    z = dense(y[time - 1, d, b, :], W)         ->        z = dense(y_h[d, b, :], W)

A forward direction ends with the last step, a backward one with the first. With sequence_lens neither holds.
"""

from __future__ import annotations

from .. import dims as dm
from ..ir import Graph, Node, Tensor
from .copies import Place, rebase
from .uses import Uses

_LENGTHS = 8  # operand sequence_lens of `recurrent`


def read_last_states(graph: Graph) -> list[str]:
    """For each recurrence whose y is read by views of its first or last step alone."""
    uses = Uses.of(graph)
    done = []
    for node in graph.nodes:
        if node.kind == "recurrent" and node.outputs[0] is not None and _rewrite(node, node.outputs[0], uses):
            done.append(f"{node.name}: its last state instead of the last step of its sequence")
    return done


def _rewrite(node: Node, y: Tensor, uses: Uses) -> bool:
    if y.root is not None or y.storage != "ARENA" or id(y) in uses.pinned or y.dims[0] == 1:
        return False  # of a single step y is as small as y_h, and two tensors have two places to be written to
    if len(node.inputs) > _LENGTHS and node.inputs[_LENGTHS] is not None:
        return False
    readers = uses.readers[id(y)]
    views = list(uses.views[id(y)].values())
    if not readers or any(t is y for reader in readers for t in reader.reads()):
        return False
    _, *whole = y.dims
    y_h = node.outputs[1] if len(node.outputs) > 1 and node.outputs[1] is not None else None
    target = y_h or Tensor(f"{node.name}.h", "F32", tuple(whole))
    if target.root is not None:
        return False
    moved = [_on_state(v, y, target, node.attributes["direction"]) for v in views]
    if any(m is None for m in moved):
        return False
    for view, place in zip(views, moved, strict=True):
        assert place is not None
        view.root, (view.offset, view.strides) = target, place
    node.outputs = [None, target, *node.outputs[2:]]
    return True


def _on_state(view: Tensor, y: Tensor, y_h: Tensor, direction: str) -> tuple[dm.Size, tuple[dm.Size, ...]] | None:
    """(offset, strides) in y_h of a view of y, when the view lies in what y_h holds."""
    steps, directions, rows, hidden = y.dims
    block = directions * rows * hidden
    row = rows * hidden
    last = (steps - 1) * block
    choices: dict[str, list[tuple[dm.Size, tuple[dm.Size, ...]]]] = {
        "FORWARD": [(last, y_h.dims)],
        "REVERSE": [(0, y_h.dims)],
        "BIDIRECTIONAL": [(last, (1, rows, hidden)), (row, (1, rows, hidden))],
    }
    for d, (start, dims) in enumerate(choices[direction]):
        rest = view.offset - start
        if not dm.at_most(0, rest) or not dm.at_most(rest + 1, dm.product(dims)):
            continue
        seen = Tensor("", view.dtype, view.dims, "VIEW", y, rest, view.strides)
        found = rebase(seen, dims, Place(y_h, d * row if len(choices[direction]) > 1 else 0, dm.contiguous(dims)))
        if found is not None:
            return found
    return None
