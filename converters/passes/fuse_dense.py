# SPDX-License-Identifier: Apache-2.0
"""Lets `dense` and `conv` scale their sums, add a bias and apply an activation themselves.

a = dense(x, W)                                  y = dense[RELU](x, W, bias)
b = elementwise[ADD](a, bias)          ->
y = elementwise[RELU](b)

a = conv(x, W, bias)                             y = conv(x, W * c, bias * c + d)
b = elementwise[MUL](a, c)             ->
y = elementwise[ADD](b, d)                       c and d are constants of the channels, as of a batch normalisation
"""

from __future__ import annotations

import numpy as np

from .. import dims as dm
from .. import packing
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
        "ATAN",
        "LOG1P",
    ]
)


def fuse_dense(graph: Graph) -> list[str]:
    """One walk: each elementwise operator that alone reads such a result may be swallowed by its producer."""
    uses = Uses.of(graph)
    made: dict[int, Node] = {}  # id of a root -> the operator that writes all of it
    grown: dict[int, Node] = {}
    kept = []
    for node in graph.nodes:
        if node.kind in ("dense", "conv") and node.outputs[0] is not None and node.outputs[0].root is None:
            made[id(node.outputs[0])] = node
        elif node.kind == "elementwise" and len(node.attributes["program"]) == 1:
            maker = _swallow(node, made, uses)
            if maker is not None:
                grown[id(maker)] = maker
                continue
        kept.append(node)
    graph.nodes = kept
    return [maker.name for maker in grown.values()]


def _swallow(node: Node, made: dict[int, Node], uses: Uses) -> Node | None:
    """The operator that now does what node did too, or None."""
    ((function, first, second, _, alpha, beta),) = node.attributes["program"]
    source = node.inputs[0]
    other: Tensor | None = None
    if function in ("ADD", "MUL") and first != second:
        a, b = node.inputs[0], node.inputs[1]
        assert a is not None
        assert b is not None
        source, other = (a, b) if id(a.base) in made else (b, a)
    assert source is not None
    maker, target = made.get(id(source.base)), node.outputs[0]
    if maker is None or target is None or target.root is not None or target.dtype != "F32" or not _whole(source):
        return None
    if uses.readers[id(source.base)] != [node] or id(source.base) in uses.pinned:
        return None
    if maker.attributes["function"] != "IDENTITY":
        return None
    if other is not None:
        vector = _vector(other, source, maker)
        if vector is None or not (_add(maker, vector) if function == "ADD" else _scale(maker, vector, uses)):
            return None
    elif function in ACTIVATIONS:
        maker.attributes.update(function=function, alpha=alpha, beta=beta)
    else:
        return None
    _write_to(maker, source.base, target)
    made[id(target)] = maker
    if maker.name != node.name:  # Gemm makes both of them
        maker.name = f"{maker.name}+{node.name}"
    return maker


def _whole(t: Tensor) -> bool:
    """All elements of the root in its order, perhaps in another shape."""
    return t.offset == 0 and t.step == dm.contiguous(t.dims) and dm.product(t.dims) == dm.product(t.base.dims)


def _vector(other: Tensor, source: Tensor, maker: Node) -> Tensor | None:
    """A constant that is the same on all axes but that of the channels, for each channel, as a tensor [N]."""
    axis = 1 if maker.kind == "conv" else len(source.base.dims) - 1
    seen = axis if maker.kind == "conv" else len(source.dims) - 1
    if source.dims != source.base.dims and (maker.kind == "conv" or source.dims[-1:] != source.base.dims[-1:]):
        return None
    count, base = source.base.dims[axis], other.base
    if base.storage != "WEIGHTS" or base.packing != "NONE" or other.dtype != "F32" or not isinstance(count, int):
        return None
    steps = [s if d != 1 else 0 for s, d in zip(other.step, other.dims, strict=True)]
    if any(s != 0 for i, s in enumerate(steps) if i != seen):
        return None
    if base.dims == (count,) and other.offset == 0 and steps[seen] == 1:
        return base
    assert base.data is not None
    assert isinstance(other.offset, int)
    places = other.offset + np.arange(count) * np.int64(steps[seen])  # type: ignore[arg-type]
    return Tensor("", "F32", (count,), "WEIGHTS", data=base.data.reshape(-1)[places])


def _add(maker: Node, vector: Tensor) -> bool:
    """vector as the bias, or added to a constant one."""
    assert vector.data is not None
    if len(maker.inputs) < 3:
        maker.inputs.append(vector)
        return True
    bias = _constant(maker.inputs[2])
    if bias is None:
        return False
    maker.inputs[2] = _of(bias + vector.data)
    return True


def _scale(maker: Node, vector: Tensor, uses: Uses) -> bool:
    """Weights and bias times vector, where they are constants and no other operator has the same weights."""
    weights = maker.inputs[1]
    assert weights is not None
    assert vector.data is not None
    if (
        weights.data is None
        or uses.readers[id(weights)] != [maker]
        or (weights.base.dims[:-2] and maker.kind == "dense")
    ):
        return False
    bias = _constant(maker.inputs[2]) if len(maker.inputs) > 2 else None
    if bias is None and len(maker.inputs) > 2:
        return False
    width = weights.panel_width
    if width == 0:  # of channels that are groups of their own
        scaled = weights.data * vector.data
    else:
        groups = weights.data.shape[0] if maker.kind == "conv" else 1
        factors = packing.pack_vectors(vector.data.reshape(groups, 1, -1))
        matrix = packing.unpanel(weights.data, width)
        scaled = packing.panels(matrix * factors.reshape((groups, 1, -1) if maker.kind == "conv" else (1, -1)), width)
    maker.inputs[1] = Tensor("", "F32", weights.dims, "WEIGHTS", None, 0, (), weights.packing, width, scaled)
    uses.readers[id(maker.inputs[1])] = [maker]
    if bias is not None:
        maker.inputs[2] = _of(bias * vector.data)
    return True


def _constant(t: Tensor | None) -> np.ndarray | None:
    """The elements of a constant vector, perhaps a part of a longer one."""
    if t is None or t.base.data is None or not isinstance(t.offset, int):
        return None
    (count,) = t.base.data.shape if t.root is None else t.dims
    places = t.offset + np.arange(count) * np.int64(t.step[0])  # type: ignore[arg-type]
    return np.asarray(t.base.data.reshape(-1)[places])


def _of(data: np.ndarray) -> Tensor:
    return Tensor("", "F32", data.shape, "WEIGHTS", data=data.astype(np.float32))


def _write_to(maker: Node, old: Tensor, target: Tensor) -> None:
    if old.dims == target.dims:
        maker.outputs[0] = target
    else:
        maker.outputs[0] = Tensor(target.name, "F32", old.dims, "VIEW", target, 0, dm.contiguous(old.dims))
