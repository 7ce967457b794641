# SPDX-License-Identifier: Apache-2.0
"""ReverseSequence: a view with a negative stride where every row is turned round whole, else a gather by index."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import values
from ..errors import NodeError
from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value


@lowering("ReverseSequence", inputs="input:any sequence_lens:int64", attributes="batch_axis time_axis", since=10)
def lower(ctx: Context, node: OnnxNode, x: Value, lengths: Value) -> Value:
    """Step t of a row of length n becomes step n - 1 - t; from n on nothing moves."""
    time, batch = ctx.attribute("time_axis", 0), ctx.attribute("batch_axis", 1)
    if {time, batch} != {0, 1} or x.rank < 2:
        raise NodeError(f"attributes 'time_axis' and 'batch_axis' are {time} and {batch}; they must be 0 and 1")
    ctx.equal(lengths.dims[0] if lengths.rank == 1 else 0, x.dims[batch], "input 'sequence_lens' has another length")
    known = lengths.sym if lengths.sym is not None else lengths.const
    if x.time is not None and x.time.axis == time:
        ctx.not_streamable("turns the sequence round")
        x = replace(x, time=None)
    if known is not None and all(n == x.dims[time] for n in known.flat):  # as exporters write for backward layers
        return values.slice_axis(x, time, x.dims[time] - 1, x.dims[time], -1)
    return _by_index(ctx, x, lengths, time, batch)


def _by_index(ctx: Context, x: Value, lengths: Value, time: int, batch: int) -> Value:
    """Where t < n the index is n - 1 - t, else t."""
    if lengths.dtype != "I64":
        lengths = ctx.elementwise("I_IDENTITY", lengths, dtype="I64")
    lengths = values.insert_axes(replace(lengths, time=None), [time])
    steps = ctx.new((x.dims[time],), "I64")
    zero, one = (values.of_array(np.array(n, np.int64), "I64") for n in (0, 1))
    ctx.emit("range", [ctx.operand(zero), ctx.operand(one)], [steps])
    at = values.insert_axes(values.of_tensor(steps), [batch])
    back = ctx.elementwise("I_SUB", ctx.elementwise("I_SUB", lengths, one), at)
    within = ctx.elementwise("I_LESS", at, lengths)
    index = ctx.elementwise("I_WHERE", within, back, at)
    rest = list(range(2, x.rank))
    index = ctx.expand(values.insert_axes(index, rest), x.dims)
    source = ctx.operand(x)
    target = ctx.new(x.dims, source.dtype)
    ctx.emit("gather_elements", [source, ctx.operand(index)], [target], axis=time)
    return replace(values.of_tensor(target, x.dtype), late=x.late or lengths.late)


@reference("ReverseSequence", exact=True)
def reference_reverse_sequence(node: OnnxNode, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Row by row."""
    time = node.attributes.get("time_axis", 0)
    moved = np.array(np.moveaxis(x, time, 0) if time else x)
    for row, length in enumerate(lengths):
        moved[:length, row] = moved[:length, row][::-1]
    return np.moveaxis(moved, 0, time) if time else moved
