# SPDX-License-Identifier: Apache-2.0
"""LinearAttention: a recurrence whose state is a matrix for each head, written out step by step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from .. import dims as dm
from .. import values
from ..errors import NodeError
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .dense import matmul
from .slicing import joined, part

MAX_STEPS = 256  # each is some ten operators
RULES = {"linear": (False, False), "gated": (True, False), "delta": (False, True), "gated_delta": (True, True)}


def heads(ctx: Context, v: Value, count: int, what: str) -> Value:
    """[B, T, count * D] as [B, count, T, D]."""
    size = dm.exact_div(v.dims[-1], count)
    if v.rank != 3 or size is None:
        raise NodeError(f"its {what} of shape {show(v.dims)} is not [batch, steps, {count} heads side by side]")
    return values.transpose(ctx.reshape(v, (*v.dims[:2], count, size)), [0, 2, 1, 3])


@lowering(
    "LinearAttention",
    inputs="query:float32/float16 key:query value:query past_state?:float32/float16 decay?:query beta?:query",
    outputs=2,
    attributes="chunk_size kv_num_heads q_num_heads scale update_rule",
    since=27,
)
def lower(
    ctx: Context,
    node: OnnxNode,
    query: Value,
    key: Value,
    value: Value,
    state: Value | None,
    decay: Value | None,
    beta: Value | None,
) -> list[Value | None]:
    """S' = e^decay S + k (x) (beta (v - S k)), y = scale * q S'; the steps are written out, so their number is known.

    `chunk_size` is a hint for speed.
    """
    many, few = ctx.attribute("q_num_heads", 0), ctx.attribute("kv_num_heads", 0)
    if many < 1 or few < 1 or many % few:
        raise NodeError(f"attribute 'q_num_heads' is {many}, which is not a multiple of 'kv_num_heads' {few}")
    _check_rule(ctx, decay, beta)
    q, k, v = heads(ctx, query, many, "query"), heads(ctx, key, few, "key"), heads(ctx, value, few, "value")
    batch, _, _, depth = q.dims
    steps = _steps(ctx, q)
    for have, want in zip((*k.dims, *v.dims[:3]), (batch, few, steps, depth, batch, few, steps), strict=True):
        ctx.equal(have, want, f"its query, key and value of shapes {show(q.dims, k.dims, v.dims)} do not fit")
    scale = ctx.attribute("scale", 0.0) or 1 / math.sqrt(ctx.number(depth))
    q = ctx.reshape(ctx.elementwise("AFFINE", q, alpha=scale), (batch, few, many // few, steps, depth))
    gate = None if decay is None else values.transpose(_gate(ctx, decay, few, depth), [0, 1, 3, 2])
    rate = None if beta is None else heads(ctx, beta, few if beta.dims[-1] != 1 else 1, "beta")
    shape = (batch, few, depth, v.dims[3])
    if state is None:
        state = values.fill(np.zeros(1, np.float32), shape, query.dtype)
    for have, want in zip(state.dims, shape, strict=True):
        ctx.equal(have, want, f"its state of shape {show(state.dims)} is not {show(shape)}")
    kept, found = state.dtype, []
    for t in range(steps):
        at = [None if x is None else part(ctx, x, axis, t, t + 1) for x, axis in ((k, 2), (v, 2), (gate, 3), (rate, 2))]
        state = _step(ctx, state, *at)  # type: ignore[arg-type]
        found.append(matmul(ctx, values.drop_axes(part(ctx, q, 3, t, t + 1), [3]), state))
    rows = joined(ctx, 3, *(values.insert_axes(y, [3]) for y in found))  # [B, few, many / few, T, D]
    result = ctx.reshape(values.transpose(rows, [0, 3, 1, 2, 4]), (batch, steps, many * v.dims[3]))
    return [replace(result, dtype=query.dtype), replace(state, dtype=kept)]


def _check_rule(ctx: Context, decay: Value | None, beta: Value | None) -> None:
    rule = ctx.attribute("update_rule", "gated_delta")
    if rule not in RULES:
        raise NodeError(f"attribute 'update_rule' is {rule!r}; {', '.join(map(repr, RULES))} are defined")
    for name, given, wanted in zip(("decay", "beta"), (decay, beta), RULES[rule], strict=True):
        if (given is not None) != wanted:
            raise NodeError(
                f"attribute 'update_rule' is {rule!r}, which {'needs' if wanted else 'has no'} input {name!r}"
            )


def _steps(ctx: Context, q: Value) -> int:
    """The number of steps, which must be known and is small."""
    steps = ctx.number(q.dims[2])
    if not 1 <= steps <= MAX_STEPS:
        raise NodeError(
            f"has {steps} steps; 1 to {MAX_STEPS} are written out: export the model for one step, with the state as an "
            "input and an output"
        )
    return steps


def _gate(ctx: Context, decay: Value, few: int, depth: dm.Size) -> Value:
    """e^decay as [B, heads, T, depth or 1]."""
    gate = heads(ctx, ctx.elementwise("EXP", decay), few, "decay")
    if gate.dims[3] != 1:
        ctx.equal(gate.dims[3], depth, f"its decay of shape {show(decay.dims)} has no number for each head or key")
    return gate


def _step(ctx: Context, state: Value, k: Value, v: Value, gate: Value | None, rate: Value | None) -> Value:
    """The state [B, heads, depth, D] after one step: k [B, heads, 1, depth], v [B, heads, 1, D]."""
    if gate is not None:
        state = ctx.elementwise("MUL", state, gate)
    if rate is not None:
        v = ctx.elementwise("MUL", ctx.elementwise("SUB", v, matmul(ctx, k, state)), rate)
    return ctx.elementwise("ADD", state, ctx.elementwise("MUL", values.transpose(k, [0, 1, 3, 2]), v))


# ---- reference -------------------------------------------------------------------------------------------------------


def split_heads(x: np.ndarray, count: int) -> np.ndarray:
    """[B, T, count * D] as [B, count, T, D]."""
    return x.reshape(*x.shape[:2], count, -1).swapaxes(1, 2)


@reference("LinearAttention")
def reference_linear_attention(
    node: OnnxNode,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    state: np.ndarray | None = None,
    decay: np.ndarray | None = None,
    beta: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Step by step."""
    a = node.attributes
    many, few = a["q_num_heads"], a["kv_num_heads"]
    q, k, v = split_heads(query, many), split_heads(key, few), split_heads(value, few)
    gate = None if decay is None else split_heads(decay, few)
    rate = None if beta is None else split_heads(beta, beta.shape[2])
    s = np.zeros((len(q), few, k.shape[3], v.shape[3])) if state is None else state
    found = []
    for t in range(q.shape[2]):
        k_t, v_t = k[:, :, t, :, None], v[:, :, t, None]
        if gate is not None:
            s = s * np.exp(gate[:, :, t, :, None])
        if rate is not None:
            v_t = rate[:, :, t, None] * (v_t - (k_t * s).sum(axis=2, keepdims=True))
        s = s + k_t * v_t
        found.append(q[:, :, t, None] @ np.repeat(s, many // few, 1))
    scale = a.get("scale", 0.0) or 1 / math.sqrt(q.shape[3])
    y = scale * np.concatenate(found, 2).swapaxes(1, 2)
    return [y.reshape(*query.shape[:2], -1), s]
