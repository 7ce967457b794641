# SPDX-License-Identifier: Apache-2.0
"""Recognises a layer normalisation that an exporter has written out.

m = reduce[MEAN](x)
d = elementwise[SUB](x, m)
s = elementwise[MUL](d, d)
v = reduce[MEAN](s)                        ->      y = normalize[MEAN_VARIANCE](x, epsilon)
e = elementwise[ADD](v, epsilon)
r = elementwise[SQRT](e)
y = elementwise[DIV](d, r)

The kernel rounds in the same places and sums in the same order, so that the bytes stay the same. What nothing else
reads is dead code then.
"""

from __future__ import annotations

from .. import dims as dm
from ..ir import Graph, Node, Tensor


def fuse_normalize(graph: Graph) -> list[str]:
    """One walk over the divisions."""
    made = {id(t): node for node in graph.nodes for t in node.outputs if t is not None and t.root is None}
    done = []
    for node in graph.nodes:
        found = _match(node, made)
        if found is None:
            continue
        x, epsilon = found
        node.kind, node.inputs = "normalize", [x]
        node.attributes = {"kind": "MEAN_VARIANCE", "epsilon": epsilon}
        done.append(f"{node.name}: a normalisation that was written out")
    return done


def _match(node: Node, made: dict[int, Node]) -> tuple[Tensor, float] | None:
    """(x, epsilon) where the node is the last one of the pattern."""
    if not _is(node, "DIV") or node.outputs[0] is None or node.outputs[0].dtype != "F32":
        return None
    distance, deviation = _maker(node.inputs[0], made, "SUB"), _maker(node.inputs[1], made, "SQRT", spread=True)
    total = _maker(deviation.inputs[0], made, "ADD") if deviation is not None else None
    if distance is None or total is None or not node.outputs[0].has_rows():
        return None
    for variance, number in (total.inputs, reversed(total.inputs)):
        squares = _mean(variance, made, keeps=True)
        epsilon = _number(number)
        if squares is None or epsilon is None:
            continue
        square = _maker(squares, made, "MUL")
        if square is None or any(t is not node.inputs[0] for t in square.inputs):
            continue
        x, mean = distance.inputs
        assert x is not None
        if _mean(mean, made) is x and x.dtype == "F32" and x.has_rows() and x.dims == node.outputs[0].dims:
            return x, epsilon
    return None


def _is(node: Node, function: str) -> bool:
    return node.kind == "elementwise" and [step[0] for step in node.attributes["program"]] == [function]


def _maker(t: Tensor | None, made: dict[int, Node], function: str, spread: bool = False) -> Node | None:
    """The elementwise operator that makes t: all of it, or with `spread` a value for each row of it."""
    maker = made.get(id(t.base)) if t is not None else None
    if t is None or maker is None or not _is(maker, function) or (t.root is not None) != spread:
        return None
    return maker if t.root is None or _on_rows(t, t.root, keeps=True) else None


def _mean(t: Tensor | None, made: dict[int, Node], keeps: bool = False) -> Tensor | None:
    """What t is the mean of along the last axis: t has that axis with stride 0, or with the length 1."""
    maker = made.get(id(t.base)) if t is not None else None
    if t is None or maker is None or maker.kind != "reduce" or t.root is None:
        return None
    x = maker.inputs[0]
    if maker.attributes != {"kind": "MEAN", "axes": 1} or x is None or not _on_rows(t, t.root):
        return None
    return x if t.dims[:-1] == x.dims[:-1] and (not keeps or t.dims[-1] == 1) else None


def _on_rows(t: Tensor, root: Tensor, keeps: bool = False) -> bool:
    """Whether t shows one element of its root for each row."""
    steps = dm.contiguous(root.dims)
    lead = steps[:-1] if keeps else steps
    have = [s for s, d in zip(t.strides[:-1], t.dims[:-1], strict=True) if d != 1]
    want = [s for s, d in zip(lead, t.dims[:-1], strict=False) if d != 1]
    same = len(lead) == len(t.dims) - 1 and have == want and t.offset == 0
    return same and (t.strides[-1] == 0 or t.dims[-1] == 1)


def _number(t: Tensor | None) -> float | None:
    """The number that a constant is everywhere."""
    if t is None or t.base.data is None or t.base.data.size != 1:
        return None
    return float(t.base.data.reshape(()))
