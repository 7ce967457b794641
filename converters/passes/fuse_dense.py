# SPDX-License-Identifier: Apache-2.0
"""Lets `dense` add a bias and apply an activation itself.

a = dense(x, W)                                  y = dense[RELU](x, W, bias)
b = elementwise[ADD](a, bias)          ->
y = elementwise[RELU](b)
"""

from __future__ import annotations

from .. import dims as dm
from ..ir import Graph, Node, Tensor
from .uses import Uses

#: Functions of one float input that `dense` applies to its sums.
ACTIVATIONS = frozenset(
    [
        "TANH",
        "SIGMOID",
        "RELU",
        "LEAKY_RELU",
        "THRESHOLDED_RELU",
        "AFFINE",
        "SCALED_TANH",
        "HARD_SIGMOID",
        "ELU",
        "SOFTSIGN",
        "SOFTPLUS",
        "CLIP",
        "NEG",
        "ABS",
        "SQRT",
        "RECIPROCAL",
        "FLOOR",
        "CEIL",
        "ROUND",
        "EXP",
        "LOG",
        "SIN",
        "COS",
        "ERF",
    ]
)


def fuse_dense(graph: Graph) -> list[str]:
    """One walk: each elementwise operator that alone reads a dense result may be swallowed by it."""
    uses = Uses.of(graph)
    made: dict[int, Node] = {}  # id of a root -> the dense operator that writes all of it
    grown: dict[int, Node] = {}
    kept = []
    for node in graph.nodes:
        if node.kind == "dense" and node.outputs[0] is not None and node.outputs[0].root is None:
            made[id(node.outputs[0])] = node
        elif node.kind == "elementwise" and len(node.attributes["program"]) == 1:
            dense = _swallow(node, made, uses)
            if dense is not None:
                grown[id(dense)] = dense
                continue
        kept.append(node)
    graph.nodes = kept
    return [dense.name for dense in grown.values()]


def _swallow(node: Node, made: dict[int, Node], uses: Uses) -> Node | None:
    """The dense operator that now does what node did, or None."""
    ((function, first, second, _, alpha, beta),) = node.attributes["program"]
    source = node.inputs[0]
    addend: Tensor | None = None
    if function == "ADD" and first != second:
        a, b = node.inputs[0], node.inputs[1]
        assert a is not None
        assert b is not None
        source, addend = (a, b) if id(a.base) in made else (b, a)
    assert source is not None
    dense, target = made.get(id(source.base)), node.outputs[0]
    if dense is None or target is None or target.root is not None or target.dtype != "F32" or not _whole(source):
        return None
    if uses.readers[id(source.base)] != [node] or id(source.base) in uses.pinned:
        return None
    if addend is not None:
        bias = _bias(addend, source)
        if bias is None or len(dense.inputs) > 2 or dense.attributes["function"] != "IDENTITY":
            return None
        dense.inputs.append(bias)
    elif function in ACTIVATIONS and dense.attributes["function"] == "IDENTITY":
        dense.attributes.update(function=function, alpha=alpha, beta=beta)
    else:
        return None
    _write_to(dense, source.base, target)
    made[id(target)] = dense
    if dense.name != node.name:  # Gemm makes both of them
        dense.name = f"{dense.name}+{node.name}"
    return dense


def _whole(t: Tensor) -> bool:
    """All elements of the root in its order, perhaps in another shape with the same last axis."""
    base = t.base
    last = t.dims[-1:] == base.dims[-1:]
    return last and t.offset == 0 and t.step == dm.contiguous(t.dims) and dm.product(t.dims) == dm.product(base.dims)


def _bias(addend: Tensor, source: Tensor) -> Tensor | None:
    """[N] of a constant that is the same on all other axes."""
    if (
        addend.base.storage != "WEIGHTS"
        or addend.dtype != "F32"
        or not source.dims
        or not isinstance(source.dims[-1], int)
    ):
        return None
    steps = addend.step
    if any(s != 0 and d != 1 for s, d in zip(steps[:-1], addend.dims[:-1], strict=True)):
        return None
    if addend.dims[-1] == 1 or steps[-1] != 1 or addend.offset != 0 or addend.base.dims[-1:] != addend.dims[-1:]:
        return _repeated(addend)
    base = addend.base
    if base.dims == addend.dims[-1:]:
        return base
    return Tensor(base.name, base.dtype, addend.dims[-1:], "VIEW", base, 0, (1,))


def _repeated(addend: Tensor) -> Tensor | None:
    """A constant of one element, written out N times."""
    data = addend.base.data
    if data is None or data.size != 1:
        return None
    return Tensor("", "F32", addend.dims[-1:], "WEIGHTS", data=data.reshape(-1).repeat(int(addend.dims[-1])))  # type: ignore[arg-type]


def _write_to(dense: Node, old: Tensor, target: Tensor) -> None:
    if old.dims == target.dims:
        dense.outputs[0] = target
    else:
        dense.outputs[0] = Tensor(target.name, "F32", old.dims, "VIEW", target, 0, dm.contiguous(old.dims))
