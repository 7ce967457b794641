# SPDX-License-Identifier: Apache-2.0
"""Einsum -> transposes, sums and matrix products, two operands at a time from the left."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .dense import matmul
from .elementwise import arithmetic
from .reductions import reduced

Labels = tuple[str, ...]


@lowering("Einsum", inputs="Inputs*:floats", attributes="equation", since=12)
def lower(ctx: Context, node: OnnxNode, *operands: Value) -> Value:
    """The equation's labels name axes; a label that is not in the result is summed over."""
    terms, output = _parse(ctx.attribute("equation", ""), [v.rank for v in operands])
    lengths: dict[str, Size] = {}
    for labels, v in zip(terms, operands, strict=True):
        for label, size in zip(labels, v.dims, strict=True):
            known = lengths.setdefault(label, size)
            if label.isalpha():
                ctx.equal(known, size, f"label {label!r} has two lengths")
            else:  # an axis of an ellipsis
                lengths[label] = ctx.broadcast((known,), (size,))[0]
    missing = [label for label in output if label not in lengths]
    if missing:
        raise NodeError(f"attribute 'equation' has {missing[0]!r} in its result alone")
    labels, result = _diagonal(ctx, terms[0], operands[0])
    for i in range(1, len(operands)):
        needed = set(output).union(*terms[i + 1 :])
        labels, result = _product(ctx, labels, result, *_diagonal(ctx, terms[i], operands[i]), needed)
    labels, result = _summed(ctx, labels, result, set(output))
    return values.transpose(result, [labels.index(label) for label in output])


def _parse(equation: str, ranks: list[int]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the result; the axes of an ellipsis are numbered from the right."""
    text = equation.replace(" ", "")
    if not re.fullmatch(r"[A-Za-z.,]*(->[A-Za-z.]*)?", text):
        raise NodeError(f"attribute 'equation' is {equation!r}, which cannot be read")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(ranks):
        raise NodeError(f"attribute 'equation' is {equation!r}, of {len(parts)} operands; it has {len(ranks)}")
    terms = [_labels(part, rank) for part, rank in zip(parts, ranks, strict=True)]
    dots = max((label for labels in terms for label in labels if not label.isalpha()), default="", key=_depth)
    width = _depth(dots)
    if arrow:
        output = _labels(right, len(right.replace("...", "")) + (width if "..." in right else 0))
    else:
        every = [label for labels in terms for label in labels if label.isalpha()]
        once = sorted(label for label in set(every) if every.count(label) == 1)
        output = (*_labels("..." if width else "", width), *once)
    if len(set(output)) < len(output):
        raise NodeError(f"attribute 'equation' is {equation!r}: its result has a label twice")
    return terms, output


def _depth(label: str) -> int:
    return int(label or 0)


def _labels(term: str, rank: int) -> Labels:
    before, dots, after = term.partition("...")
    width = rank - len(before) - len(after)
    if "." in before + after or width < 0 or (width and not dots):
        raise NodeError(f"attribute 'equation': {term!r} does not name {rank} axes")
    return (*before, *(str(width - i) for i in range(width)), *after)


def _diagonal(ctx: Context, labels: Labels, v: Value) -> tuple[Labels, Value]:
    """Axes of one label become one, on which all of their indices go together."""
    while len(set(labels)) < len(labels):
        j = next(j for j, label in enumerate(labels) if label in labels[:j])
        i = labels.index(labels[j])
        if v.time is not None and v.time.axis in (i, j):
            ctx.not_streamable("takes a diagonal through the steps of the sequence")
        dims, labels = (*v.dims[:j], *v.dims[j + 1 :]), (*labels[:j], *labels[j + 1 :])
        if v.const is not None:
            const = np.moveaxis(np.diagonal(v.array(), axis1=i, axis2=j), -1, i)
            v = replace(v, dims=dims, const=const, time=None)
        else:
            strides = list(v.strides)
            strides[i] = strides[i] + strides.pop(j)
            v = replace(v, dims=dims, strides=tuple(strides), time=None)
    return labels, v


def _summed(ctx: Context, labels: Labels, v: Value, needed: set[str]) -> tuple[Labels, Value]:
    """Summed over the axes that nothing needs."""
    axes = [i for i, label in enumerate(labels) if label not in needed]
    if not axes:
        return labels, v
    kept = tuple(label for label in labels if label in needed)
    return kept, reduced(ctx, v, axes, "SUM", keepdims=False)


def _arranged(v: Value, labels: Labels, order: Sequence[str]) -> Value:
    """The axes in an order; those that v has not are of length 1."""
    seen = values.transpose(v, [labels.index(label) for label in order if label in labels])
    return values.insert_axes(seen, [i for i, label in enumerate(order) if label not in labels])


def _product(ctx: Context, first: Labels, a: Value, second: Labels, b: Value, needed: set[str]) -> tuple[Labels, Value]:
    """The product of two operands: shared labels that are needed are its batch, others are summed over."""
    first, a = _summed(ctx, first, a, needed | set(second))
    second, b = _summed(ctx, second, b, needed | set(first))
    batch = [label for label in first if label in second and label in needed]
    inner = [label for label in first if label in second and label not in needed]
    rows = [label for label in first if label not in second]
    columns = [label for label in second if label not in first]
    result = (*batch, *rows, *columns)
    if not inner:
        return result, arithmetic(ctx, "MUL", _arranged(a, first, result), _arranged(b, second, result))
    a, b = _arranged(a, first, [*batch, *rows, *inner]), _arranged(b, second, [*batch, *inner, *columns])
    k, n = len(batch), len(inner)
    if a.dims[a.rank - n :] != b.dims[k : k + n]:
        raise NodeError(f"sums over {show(a.dims[a.rank - n :], b.dims[k : k + n])}, which differ")
    outer, inside = a.dims[k : a.rank - n], b.dims[k + n :]
    depth = dm.product(b.dims[k : k + n])
    product = matmul(
        ctx,
        ctx.reshape(a, (*a.dims[:k], dm.product(outer), depth)),
        ctx.reshape(b, (*b.dims[:k], depth, dm.product(inside))),
    )
    return result, ctx.reshape(product, (*product.dims[:k], *outer, *inside))


@reference("Einsum")
def reference_einsum(node: OnnxNode, *arrays: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    return np.asarray(np.einsum(node.attributes["equation"].replace(" ", ""), *arrays))
