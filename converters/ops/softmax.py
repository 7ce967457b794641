# SPDX-License-Identifier: Apache-2.0
"""Softmax and LogSoftmax -> the engine operator `normalize`, which works on the last axis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import dims as dm
from .. import values
from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value

_KINDS = {"Softmax": "SOFTMAX", "LogSoftmax": "LOG_SOFTMAX"}


def softmax(ctx: Context, x: Value, kind: str) -> Value:
    """SOFTMAX or LOG_SOFTMAX along the last axis."""
    if x.time is not None and x.time.axis == x.rank - 1:
        ctx.not_streamable("normalises over the steps of the sequence")
        x = replace(x, time=None)
    target = ctx.new(x.dims, "F32")
    ctx.emit("normalize", [ctx.operand(x, rows=True)], [target], kind=kind, epsilon=0.0)
    return replace(values.of_tensor(target, x.dtype), time=x.time, late=x.late)


@lowering("Softmax", "LogSoftmax", inputs="input:floats", attributes="axis", since=13)
def lower(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """One `normalize` along one axis, which is moved to the end and back."""
    axis = ctx.axis(ctx.attribute("axis", -1), x.rank)
    if axis == x.rank - 1:
        return softmax(ctx, x, _KINDS[node.op])
    order = [i for i in range(x.rank) if i != axis] + [axis]
    result = softmax(ctx, values.transpose(x, order), _KINDS[node.op])
    return values.transpose(result, [order.index(i) for i in range(x.rank)])


@lowering("Softmax", "LogSoftmax", inputs="input:floats", attributes="axis", until=12)
def lower_flattened(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """One `normalize` over all axes from `axis` on, which are one before opset 13."""
    axis = ctx.axis(ctx.attribute("axis", 1), x.rank)
    if axis == x.rank - 1:
        return softmax(ctx, x, _KINDS[node.op])
    if x.time is not None and x.time.axis >= axis:
        ctx.not_streamable("normalises over the steps of the sequence")
        x = replace(x, time=None)
    flat = ctx.reshape(x, (*x.dims[:axis], dm.product(x.dims[axis:])))
    return ctx.reshape(softmax(ctx, flat, _KINDS[node.op]), x.dims)


@reference("Softmax", "LogSoftmax")
def reference_softmax(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """The largest element is subtracted first."""
    if node.version >= 13:
        axes: tuple[int, ...] = (node.attributes.get("axis", -1),)
    else:
        axes = tuple(range(node.attributes.get("axis", 1) % x.ndim, x.ndim))
    shifted = x - x.max(axis=axes, keepdims=True)
    total = np.exp(shifted).sum(axis=axes, keepdims=True)
    return np.asarray(np.exp(shifted) / total if node.op == "Softmax" else shifted - np.log(total))
