# SPDX-License-Identifier: Apache-2.0
"""If: a branch chosen when converting, or the engine operator `branch`, which chooses when it is planned or runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import dims as dm
from .. import values
from ..checks import type_name
from ..continuation import can_carry
from ..dims import Size
from ..errors import NodeError, PoisonedError
from ..ir import FLOATS, Node
from ..lowering import Context, Mark, show
from ..onnx_model import OnnxNode, Subgraph
from ..registry import lowering
from ..truth import Truth, select
from ..values import Value

_WORDS = ("then_branch", "else_branch")


@lowering("If", inputs="cond:bool", outputs=(1, 1 << 16), attributes="then_branch else_branch")
def lower_if(ctx: Context, node: OnnxNode, condition: Value) -> list[Value]:
    """A condition that is known chooses now; one that depends on data or on open dimensions, in the engine."""
    for d in condition.dims:
        ctx.equal(d, 1, f"its condition has the shape {show(condition.dims)}, not one element")
    bodies = [_body(node, word) for word in _WORDS]
    if condition.const is not None:
        return ctx.body(bodies[0 if condition.const.reshape(-1)[0] else 1])
    mark = ctx.mark()
    try:
        blocks, results = _both(ctx, bodies)
        _compare(ctx, condition, results)
    except (NodeError, PoisonedError) as e:
        if isinstance(e, PoisonedError) and node in ctx.nodes and node not in ctx.model.nodes:
            text = "what follows it does not fit both of its branches: bind the input that the condition comes from"
            raise NodeError(text) from None
        if condition.truth is None or not _is_one(condition.truth.same or condition.truth.differ):
            raise
        return _assume(ctx, mark, bodies, condition.truth)
    return _branch(ctx, condition, blocks, results)


def _is_one(sizes: tuple[Size, Size] | None) -> bool:
    return sizes is not None and 1 in sizes


def _body(node: OnnxNode, word: str) -> Subgraph:
    body = node.attributes.get(word)
    if not isinstance(body, Subgraph):
        raise NodeError(f"has no attribute {word!r}")
    if body.inputs or len(body.outputs) != len(node.outputs):
        raise NodeError(
            f"attribute {word!r} has {len(body.inputs)} inputs and {len(body.outputs)} outputs, not 0 and "
            f"{len(node.outputs)}"
        )
    return body


def _both(ctx: Context, bodies: list[Subgraph]) -> tuple[list[list[Node]], list[list[Value]]]:
    """Both bodies, each lowered into a block of its own."""
    blocks, results = [], []
    for body in bodies:
        first = len(ctx.recurrences)
        with ctx.block() as block:
            results.append(ctx.body(body))
        blocks.append(block)
        if any(r.over_time for r in ctx.recurrences[first:]):
            ctx.not_streamable("may pass by a recurrence, whose state would stand still meanwhile")
    return blocks, results


def _compare(ctx: Context, condition: Value, results: list[list[Value]]) -> None:
    """The results of both branches take the same place: alike in type, and in shape unless that is known beforehand."""
    for name, a, b in zip(ctx.node.outputs, *results, strict=True):
        if a.dtype != b.dtype:
            raise NodeError(f"its branches give {name!r} the types {type_name(a.dtype)} and {type_name(b.dtype)}")
        if a.dims == b.dims or (condition.truth is not None and a.rank == b.rank):
            continue
        ctx.settle(*a.dims, *b.dims)
        _carry_on(ctx, condition, name)
        raise NodeError(
            f"its branches give {name!r} the shapes {show(a.dims, b.dims)}, not provably the same: "
            "bind the input that the condition comes from, or fix dimensions with --shape"
        )


def _carry_on(ctx: Context, condition: Value, name: str) -> None:
    """Where nobody outside sees a result whose shape data decide, what follows is done in each branch."""
    if condition.truth is None and can_carry(ctx.nodes, ctx.model.outputs, ctx.node, name):
        ctx.sizes.carry(name)


def _branch(ctx: Context, condition: Value, blocks: list[list[Node]], results: list[list[Value]]) -> list[Value]:
    """Both blocks end by writing the same tensors, each in the shape that its own results have."""
    truth = condition.truth
    if truth is not None and ctx.has_time(truth.yes):
        ctx.not_streamable("chooses by the number of steps")
    joined = []
    for a, b in zip(*results, strict=True):
        dims = a.dims if truth is None else tuple(select(truth, x, y) for x, y in zip(a.dims, b.dims, strict=True))
        target = values.of_tensor(ctx.new(dims, "F32" if a.dtype in FLOATS else a.dtype), a.dtype)
        for block, v in zip(blocks, (a, b), strict=True):
            with ctx.block() as copy:
                place = replace(target, dims=v.dims, strides=dm.contiguous(v.dims))
                ctx.emit("copy", [ctx.operand(v)], [ctx.operand(place)])
            block += copy
        time, late = ctx.join_time([a, b], dims)
        if time is not None and condition.late:
            ctx.not_streamable("chooses at each step by what is known only after the last one")
        joined.append(replace(target, time=time, late=late or (condition.late and time is None)))
    if truth is not None:
        one = values.of_array(np.zeros((), np.uint8), "U8")
        condition = values.expand(one, (truth.yes,))
    choice = ctx.emit(
        "branch", [ctx.operand(condition)], [], then_block=0, else_block=0, by_size=int(truth is not None)
    )
    choice.blocks = blocks
    return joined


def _assume(ctx: Context, mark: Mark, bodies: list[Subgraph], truth: Truth) -> list[Value]:
    """Exporters write `if the axis has length 1, drop it`, and go on as if it had: what follows fits only one branch.

    The graph is converted for the case that the two sizes are the same; where they are not, a run is a ShapeError.
    """
    ctx.rewind(mark)
    sizes = truth.same or truth.differ
    assert sizes is not None
    ctx.assume(*sizes)
    return ctx.body(bodies[0 if truth.same else 1])
