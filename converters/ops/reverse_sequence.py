# SPDX-License-Identifier: Apache-2.0
"""ReverseSequence, where every row is turned round whole: a view with a negative stride."""

from __future__ import annotations

import numpy as np

from .. import values
from ..errors import NodeError
from ..lowering import Context
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value


@lowering("ReverseSequence", inputs=2, attributes="batch_axis time_axis", since=10)
def lower(ctx: Context, node: OnnxNode, x: Value, lengths: Value) -> Value:
    """Lengths that are the whole length of the time axis, as exporters write for layers that go backwards."""
    time, batch = ctx.attribute("time_axis", 0), ctx.attribute("batch_axis", 1)
    if {time, batch} != {0, 1} or x.rank < 2:
        raise NodeError(f"attributes 'time_axis' and 'batch_axis' are {time} and {batch}; they must be 0 and 1")
    ctx.equal(lengths.dims[0] if lengths.rank == 1 else 0, x.dims[batch], "input 'sequence_lens' has another length")
    known = lengths.sym if lengths.sym is not None else lengths.const
    if known is None or any(n != x.dims[time] for n in known.flat):
        raise NodeError("input 'sequence_lens' is not the whole length for every row; other lengths are not supported")
    if x.time is not None and x.time[0] == time:
        ctx.not_streamable("turns the sequence round")
    return values.slice_axis(x, time, x.dims[time] - 1, x.dims[time], -1)


@reference("ReverseSequence", exact=True)
def reference_reverse_sequence(node: OnnxNode, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Row by row."""
    time = node.attributes.get("time_axis", 0)
    moved = np.array(np.moveaxis(x, time, 0) if time else x)
    for row, length in enumerate(lengths):
        moved[:length, row] = moved[:length, row][::-1]
    return np.moveaxis(moved, 0, time) if time else moved
