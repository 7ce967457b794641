# SPDX-License-Identifier: Apache-2.0
"""Attention -> two products with a softmax between them; masks are added to the scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

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
from .elementwise import require_broadcast, scalar
from .linear_attention import heads, split_heads
from .logic import choose, compare
from .reductions import reduced
from .shapes import places
from .slicing import joined
from .softmax import softmax

_INPUTS = "Q:floats K:Q V:floats attn_mask?:floats/bool past_key?:Q past_value?:V"
_LENGTHS = " nonpad_kv_seqlen?:int64"
_ATTRIBUTES = "is_causal kv_num_heads q_num_heads qk_matmul_output_mode scale softcap softmax_precision"
_WINDOW = " left_window_size right_window_size"
_PRECISIONS = (1, 10, 11)  # ONNX's float, float16 and double: each is computed in float32


@lowering("Attention", inputs=_INPUTS, outputs=(1, 4), attributes=_ATTRIBUTES, since=23, until=23)
@lowering("Attention", inputs=_INPUTS + _LENGTHS, outputs=(1, 4), attributes=_ATTRIBUTES, since=24, until=24)
@lowering("Attention", inputs=_INPUTS + _LENGTHS, outputs=(1, 4), attributes=_ATTRIBUTES + _WINDOW, since=25)
def lower(
    ctx: Context,
    node: OnnxNode,
    query: Value,
    key: Value,
    value: Value,
    mask: Value | None,
    past_key: Value | None,
    past_value: Value | None,
    lengths: Value | None = None,
) -> list[Value | None]:
    """softmax(softcap(scale * Q K^T) + masks) V for each head; a query that sees no key gives zeros."""
    mode = _check_node(ctx, past_key, past_value, lengths)
    q, k, v = _with_heads(ctx, query, key, value)
    k, v = (x if past is None else joined(ctx, 2, past, x) for past, x in ((past_key, k), (past_value, v)))
    batch, many, rows, depth = q.dims
    few, keys = k.dims[1], k.dims[2]
    for have, want in zip((*k.dims, *v.dims[:3]), (batch, few, keys, depth, batch, few, keys), strict=True):
        ctx.equal(have, want, f"its queries, keys and values of shapes {show(q.dims, k.dims, v.dims)} do not fit")
    group = dm.exact_div(many, few)
    if group is None:
        raise NodeError(f"has {many} heads of queries, which is not a multiple of the {few} of keys")
    scale = ctx.attribute("scale")
    q = ctx.elementwise("AFFINE", q, alpha=1 / math.sqrt(ctx.number(depth)) if scale is None else scale)
    q = ctx.reshape(q, (batch, few, group * rows, depth))  # heads that share keys are rows of one product
    scores = ctx.reshape(matmul(ctx, q, values.transpose(k, [0, 1, 3, 2])), (batch, many, rows, keys))
    stages = [scores]
    cap = ctx.attribute("softcap", 0.0)
    if cap > 0:
        scores = ctx.elementwise("SCALED_TANH", scores, alpha=cap, beta=1 / cap)
    stages.append(scores)
    sight = Sight(ctx, rows, keys, past_key.dims[2] if past_key is not None else 0, lengths)
    scores, some_blind = _masked(ctx, scores, sight, mask)
    stages.append(scores)
    weights = softmax(ctx, scores, "SOFTMAX")
    if some_blind:
        blind = compare(ctx, "EQUAL", reduced(ctx, scores, [3], "MAX"), scalar(-math.inf, scores.dtype))
        weights = choose(ctx, blind, scalar(0.0, weights.dtype), weights)
    stages.append(weights)
    y = matmul(ctx, ctx.reshape(weights, (batch, few, group * rows, keys)), v)
    y = ctx.reshape(y, (batch, many, rows, v.dims[3]))
    if query.rank == 3:
        y = ctx.reshape(values.transpose(y, [0, 2, 1, 3]), (batch, rows, many * v.dims[3]))
    results: list[Value | None] = [replace(y, dtype=query.dtype), k, v, stages[mode]]
    return results[: len(node.outputs)]


def _check_node(ctx: Context, past_key: Value | None, past_value: Value | None, lengths: Value | None) -> int:
    """The stage that the fourth output shows; what the inputs and attributes may not be together is refused."""
    if (past_key is None) != (past_value is None):
        raise NodeError("has one of the inputs 'past_key' and 'past_value'; it needs both or none")
    if past_key is not None and lengths is not None:
        raise NodeError("has inputs 'past_key' and 'nonpad_kv_seqlen', which exclude each other")
    precision = ctx.attribute("softmax_precision", 1)
    if precision not in _PRECISIONS:
        raise NodeError(f"attribute 'softmax_precision' is {precision}; float32, float16 and float64 are supported")
    mode = ctx.attribute("qk_matmul_output_mode", 0)
    if mode not in (0, 1, 2, 3):
        raise NodeError(f"attribute 'qk_matmul_output_mode' is {mode}; 0 to 3 are defined")
    return int(mode)


def _with_heads(ctx: Context, *operands: Value) -> list[Value]:
    """Queries, keys and values as [B, heads, rows, depth]; of three axes, the heads are side by side."""
    counts = [ctx.attribute(name) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    found = []
    for v, count, what in zip(operands, counts, ("query", "key", "value"), strict=True):
        if v.rank == 3 and operands[0].rank == 3:
            if count is None or count < 1:
                raise NodeError("takes inputs of three axes only with attributes 'q_num_heads' and 'kv_num_heads'")
            found.append(heads(ctx, v, count, what))
        elif v.rank == 4 and operands[0].rank == 4:
            ctx.equal(v.dims[1], v.dims[1] if count is None else count, f"its {what} has not {count} heads")
            found.append(v)
        else:
            raise NodeError(f"takes inputs of three or of four axes each, not {show(*(v.dims for v in operands))}")
    return found


@dataclass(eq=False, slots=True)
class Sight:
    """Which keys a query sees, by their places: query i stands at i + the steps of the cache, or of all but the last.

    lengths [B]: how many of the keys there are; then the queries are the last of them.
    """

    ctx: Context
    rows: Size
    keys: Size
    past: Size
    lengths: Value | None
    conditions: list[Value] = field(default_factory=list)

    def offset(self, count: int) -> Value:
        """The place of the first query, plus count: [1], or [B, 1, 1, 1] where it comes with the data."""
        if self.lengths is None:
            return values.of_sizes(values.objects([self.past + count]))
        taken = values.of_sizes(values.objects([self.rows - count]))
        return self.ctx.elementwise("I_SUB", values.insert_axes(self.lengths, [1, 2, 3]), taken, dtype="I64")

    def ahead(self) -> Value:
        """How far each key stands ahead of its query, where the first ones of both stand in one place: [rows, keys]."""
        key, row = places(self.ctx, self.keys), values.insert_axes(places(self.ctx, self.rows), [1])
        if key.const is not None and row.const is not None:
            return values.of_array(key.array() - row.array(), "I64")
        return self.ctx.elementwise("I_SUB", key, row, dtype="I64")

    def at_most(self, count: int) -> None:
        """Only keys that stand at most `count` places ahead of the query."""
        last_sees_all = self.lengths is None and self.rows == 1 and self.past + 1 == self.keys
        if not last_sees_all:
            self._require(self.ahead(), self.offset(count))

    def at_least(self, count: int) -> None:
        """Only keys that stand at most `count` places behind the query."""
        self._require(self.offset(-count), self.ahead())

    def existing(self) -> None:
        """Only keys that there are."""
        if self.lengths is not None:
            one = values.of_array(np.ones(1, np.int64), "I64")
            last = self.ctx.elementwise("I_SUB", values.insert_axes(self.lengths, [1, 2, 3]), one, dtype="I64")
            self._require(places(self.ctx, self.keys), last)

    def _require(self, a: Value, b: Value) -> None:
        """That a <= b."""
        if a.const is not None and b.const is not None:
            self.conditions.append(values.of_array(a.array() <= b.array(), "BOOL"))
        else:
            self.conditions.append(compare(self.ctx, "LESS_EQUAL", a, b))


def _masked(ctx: Context, scores: Value, sight: Sight, mask: Value | None) -> tuple[Value, bool]:
    """The scores with all masks added, and whether a query may be left that sees no key."""
    left, right = (ctx.attribute(f"{side}_window_size", -1) for side in ("left", "right"))
    if min(left, right) < -1:
        raise NodeError(
            f"attributes 'left_window_size' and 'right_window_size' are {left} and {right}; -1 is the least"
        )
    if ctx.attribute("is_causal", 0):
        sight.at_most(0)
    if right >= 0:
        sight.at_most(right)
    if left >= 0:
        sight.at_least(left)
    sight.existing()
    if mask is not None:
        mask = _to_all_keys(ctx, mask, sight.keys)
        require_broadcast(ctx, mask, scores.dims, "input 'attn_mask'")
        if mask.dtype == "BOOL":
            sight.conditions.append(mask)
        else:
            scores = ctx.elementwise("ADD", scores, replace(mask, dtype=scores.dtype))
    seen = _all_of(ctx, sight.conditions)
    if seen is not None:
        scores = ctx.elementwise("ADD", scores, _bias(ctx, seen, scores.dtype))
    return scores, mask is not None or sight.lengths is not None or max(left, right) >= 0


def _to_all_keys(ctx: Context, mask: Value, keys: Size) -> Value:
    """From opset 24 on a mask may be for the first keys only; it hides the others."""
    length = mask.dims[-1] if mask.rank else 1
    if ctx.node.version < 24 or length == keys or not (isinstance(length, int) and isinstance(keys, int)):
        return mask
    if length == 1:
        raise NodeError(f"input 'attn_mask' of shape {show(mask.dims)} is for one key or for all; write it out for all")
    rest = (*mask.dims[:-1], keys - length)
    hidden = np.zeros(1, bool) if mask.dtype == "BOOL" else np.full(1, -np.inf, np.float32)
    return joined(ctx, mask.rank - 1, mask, values.fill(hidden, rest, mask.dtype))


def _all_of(ctx: Context, conditions: list[Value]) -> Value | None:
    """All conditions as one, those that are known taken together first."""
    fixed = [v.array() for v in conditions if v.const is not None]
    rest = [v for v in conditions if v.const is None]
    if fixed:
        both = fixed[0]
        for array in fixed[1:]:
            both = both & array
        rest += [] if both.all() else [values.of_array(both, "BOOL")]
    if not rest:
        return None
    result = rest[0]
    for v in rest[1:]:
        result = ctx.elementwise("I_AND", result, v)
    return result


def _bias(ctx: Context, seen: Value, dtype: str) -> Value:
    """0 where a key is seen, else minus infinity."""
    if seen.const is not None:
        return values.of_array(np.where(seen.array(), np.float32(0), np.float32(-np.inf)), dtype)
    return choose(ctx, seen, scalar(0.0, dtype), scalar(-math.inf, dtype))


# ---- reference -------------------------------------------------------------------------------------------------------


@reference("Attention")
def reference_attention(
    node: OnnxNode,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    mask: np.ndarray | None = None,
    past_key: np.ndarray | None = None,
    past_value: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
) -> list[np.ndarray]:
    """As ONNX writes it."""
    a = node.attributes
    q, k, v = query, key, value
    if query.ndim == 3:
        q = split_heads(query, a["q_num_heads"])
        k, v = (split_heads(x, a["kv_num_heads"]) for x in (key, value))
    if past_key is not None and past_value is not None:
        k, v = np.concatenate([past_key, k], 2), np.concatenate([past_value, v], 2)
    wide_k, wide_v = (np.repeat(x, q.shape[1] // k.shape[1], 1) for x in (k, v))
    scores = a.get("scale", 1 / math.sqrt(q.shape[3])) * (q @ wide_k.swapaxes(2, 3))
    cap = a.get("softcap", 0.0)
    stages = [scores, cap * np.tanh(scores / cap) if cap > 0 else scores]
    past = 0 if past_key is None else past_key.shape[2]
    stages.append(stages[1] + _reference_bias(node, (q.shape[2], k.shape[2]), past, mask, lengths))
    largest = stages[2].max(axis=3, keepdims=True)
    powers = np.exp(stages[2] - np.where(np.isneginf(largest), 0, largest))
    total = powers.sum(axis=3, keepdims=True)
    stages.append(powers / np.where(total == 0, 1, total))
    y = stages[3] @ wide_v
    if query.ndim == 3:
        y = y.swapaxes(1, 2).reshape(*query.shape[:2], -1)
    return [y, k, v, stages[a.get("qk_matmul_output_mode", 0)]]


def _reference_bias(
    node: OnnxNode, shape: tuple[int, int], past: int, mask: np.ndarray | None, lengths: np.ndarray | None
) -> np.ndarray:
    """All masks together: 0 or minus infinity, or what a mask of floats has."""
    a, (rows, keys) = node.attributes, shape
    first = np.array(past) if lengths is None else lengths.reshape(-1, 1, 1, 1) - rows
    ahead = np.arange(keys) - np.arange(rows)[:, None] - first
    seen = ahead <= 0 if a.get("is_causal", 0) else np.ones(ahead.shape, bool)
    if a.get("right_window_size", -1) >= 0:
        seen &= ahead <= a["right_window_size"]
    if a.get("left_window_size", -1) >= 0:
        seen &= -ahead <= a["left_window_size"]
    if lengths is not None:
        seen = seen & (np.arange(keys) < lengths.reshape(-1, 1, 1, 1))
    bias = np.where(seen, 0.0, -np.inf)
    if mask is None:
        return bias
    added = np.where(mask, 0.0, -np.inf) if mask.dtype == bool else mask
    short = keys - added.shape[-1] if node.version >= 24 else 0
    return bias + np.pad(added, [(0, 0)] * (added.ndim - 1) + [(0, short)], constant_values=-np.inf)
