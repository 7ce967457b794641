# SPDX-License-Identifier: Apache-2.0
"""GridSample: for each place of a grid its neighbours are picked by index, and weighed by how near they are."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from .. import dims as dm
from .. import values
from ..errors import NodeError
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .elementwise import arithmetic, scalar
from .logic import choose, compare

_MODES_16 = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
_MODES_20 = {"linear": "linear", "nearest": "nearest", "cubic": "cubic"}
_TAPS = {"nearest": (0,), "linear": (0, 1), "cubic": (-1, 0, 1, 2)}
_PADDINGS = ("zeros", "border", "reflection")
_A = -0.75  # of Keys' kernel
_INPUTS, _ATTRIBUTES = "X:floats grid:floats", "align_corners mode padding_mode"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a node samples, and the ends of what is inside along an axis."""

    mode: str
    padding: str
    aligned: bool

    @property
    def stays(self) -> bool:
        """Whether places outside stay there. In a cubic sum what goes on behind a border counts, as in PyTorch."""
        return self.padding == "zeros" or (self.padding == "border" and self.mode == "cubic")

    def ends(self, length: int) -> tuple[float, float]:
        """Where reflection turns round."""
        return (0.0, length - 1.0) if self.aligned else (-0.5, length - 0.5)


@dataclass(frozen=True, slots=True)
class Tap:
    """One neighbour along an axis: its index [N, 1, P], its weight, and whether it is inside, where that matters."""

    index: Value
    weight: Value | None
    inside: Value | None


@lowering("GridSample", inputs=_INPUTS, attributes=_ATTRIBUTES, since=16, until=19)
@lowering("GridSample", inputs=_INPUTS, attributes=_ATTRIBUTES, since=20)
def lower(ctx: Context, node: OnnxNode, x: Value, grid: Value) -> Value:
    """X [N, C, lengths...] at grid [N, places..., axes], the last axis first; computed in float32."""
    how, rank = _sampling(node), x.rank - 2
    if rank < 1 or grid.rank != x.rank or grid.dims[-1] != rank:
        raise NodeError(f"samples {show(x.dims)} at a grid of {show(grid.dims)}")
    lengths = ctx.numbers(x.dims[2:], f"samples {show(x.dims)}, whose spatial axes must be constant")
    ctx.equal(grid.dims[0], x.dims[0], f"samples {show(x.dims)} at a grid of {show(grid.dims)}")
    if ctx.has_time(*grid.dims[1:], *x.dims[1:]):
        ctx.not_streamable("samples at places over the steps of the sequence")
        x, grid = replace(x, time=None), replace(grid, time=None)
    places = grid.dims[1:-1]
    flat = ctx.reshape(replace(grid, dtype=x.dtype), (grid.dims[0], 1, dm.product(places), rank))
    taps = [
        _taps(ctx, values.drop_axes(values.slice_axis(flat, 3, rank - 1 - i, 1), [3]), length, how)
        for i, length in enumerate(lengths)
    ]
    source = ctx.reshape(x, (*x.dims[:2], math.prod(lengths)))
    result = _weighed(ctx, source, taps, lengths, [])
    return ctx.reshape(result, (*x.dims[:2], *places))


def _sampling(node: OnnxNode) -> Sampling:
    modes = _MODES_16 if node.version < 20 else _MODES_20
    mode = node.attributes.get("mode", next(iter(modes)))
    padding = node.attributes.get("padding_mode", "zeros")
    for name, value, known in (("mode", mode, tuple(modes)), ("padding_mode", padding, _PADDINGS)):
        if value not in known:
            raise NodeError(f"attribute {name!r} is {value!r}, not one of {', '.join(known)}")
    return Sampling(modes[mode], padding, bool(node.attributes.get("align_corners", 0)))


def _taps(ctx: Context, g: Value, length: int, how: Sampling) -> list[Tap]:
    """The neighbours of normalised places g [N, 1, P] along an axis, -1 and 1 being its ends."""
    x = ctx.elementwise("AFFINE", g, alpha=1, beta=1)
    if how.aligned:
        x = ctx.elementwise("AFFINE", x, alpha=(length - 1) / 2)
    else:
        x = ctx.elementwise("AFFINE", ctx.elementwise("AFFINE", x, alpha=length, beta=-1), alpha=0.5)
    x = ctx.elementwise("ROUND", x) if how.mode == "nearest" else x
    x = _brought_in(ctx, x, length, how)
    base = x if how.mode == "nearest" else ctx.elementwise("FLOOR", x)
    ratio = arithmetic(ctx, "SUB", x, base)
    found = []
    for offset in _TAPS[how.mode]:
        at = ctx.elementwise("AFFINE", base, alpha=1, beta=offset)
        inside = None
        if how.padding == "zeros":
            low = compare(ctx, "LESS_EQUAL", scalar(0, x.dtype), at)
            inside = ctx.elementwise("I_AND", low, compare(ctx, "LESS_EQUAL", at, scalar(length - 1, x.dtype)))
        elif how.padding == "reflection":
            at = _brought_in(ctx, at, length, how)
        at = ctx.elementwise("CLIP", at, alpha=0, beta=length - 1)
        index = ctx.elementwise("F_TO_I", at, dtype="I64")
        found.append(Tap(index, _weight(ctx, ratio, offset, how.mode), inside))
    return found


def _brought_in(ctx: Context, x: Value, length: int, how: Sampling) -> Value:
    """Places beyond the ends, clamped or reflected as often as it takes."""
    low, high = how.ends(length)
    if how.stays:
        return x
    if how.padding == "border":
        moved = ctx.elementwise("CLIP", x, alpha=0, beta=length - 1)
    elif low == high:
        moved = ctx.elementwise("AFFINE", x, alpha=0, beta=low)
    else:
        way = ctx.elementwise("ABS", ctx.elementwise("AFFINE", x, alpha=1, beta=-low))
        way = arithmetic(ctx, "FMOD", way, scalar(2 * (high - low), x.dtype))
        back = ctx.elementwise("AFFINE", way, alpha=-1, beta=2 * (high - low))
        moved = ctx.elementwise("AFFINE", arithmetic(ctx, "MIN", way, back), alpha=1, beta=low)
    below, above = compare(ctx, "LESS", x, scalar(low, x.dtype)), compare(ctx, "LESS", scalar(high, x.dtype), x)
    return choose(ctx, ctx.elementwise("I_OR", below, above), moved, x)


def _weight(ctx: Context, ratio: Value, offset: int, mode: str) -> Value | None:
    """Of the neighbour at an offset from the one before a place, which lies `ratio` behind that."""
    if mode == "nearest":
        return None
    if mode == "linear":
        return ratio if offset else ctx.elementwise("AFFINE", ratio, alpha=-1, beta=1)
    t = ctx.elementwise("AFFINE", ratio, alpha=1 if offset < 1 else -1, beta=abs(offset) if offset < 1 else offset)
    factors = (_A + 2, -(_A + 3), 0.0, 1.0) if offset in (0, 1) else (_A, -5 * _A, 8 * _A, -4 * _A)
    result = ctx.elementwise("AFFINE", t, alpha=factors[0], beta=factors[1])
    for factor in factors[2:]:
        result = ctx.elementwise("AFFINE", arithmetic(ctx, "MUL", result, t), alpha=1, beta=factor)
    return result


def _weighed(ctx: Context, x: Value, taps: list[list[Tap]], lengths: list[int], chosen: list[Tap]) -> Value:
    """The sum over the neighbours along the axes that are left, those of the others being chosen."""
    if len(chosen) == len(taps):
        return _picked(ctx, x, chosen, lengths)
    result = None
    for tap in taps[len(chosen)]:
        part = _weighed(ctx, x, taps, lengths, [*chosen, tap])
        part = part if tap.weight is None else arithmetic(ctx, "MUL", part, tap.weight)
        result = part if result is None else arithmetic(ctx, "ADD", result, part)
    assert result is not None
    return result


def _picked(ctx: Context, x: Value, chosen: list[Tap], lengths: list[int]) -> Value:
    """The elements of x [N, C, all] at one neighbour along each axis: [N, C, P]; 0 outside."""
    index = chosen[0].index
    for tap, length in zip(chosen[1:], lengths[1:], strict=True):
        scaled = arithmetic(ctx, "MUL", index, values.of_array(np.array(length, np.int64), "I64"))
        index = arithmetic(ctx, "ADD", scaled, tap.index)
    dims = (*x.dims[:2], index.dims[2])
    target = ctx.new(dims, "F32")
    ctx.emit("gather_elements", [ctx.operand(x), ctx.operand(values.expand(index, dims))], [target], axis=2)
    time, late = ctx.join_time([replace(x, dims=dims), replace(index, dims=dims)], dims)
    result = replace(values.of_tensor(target, x.dtype), time=time, late=late)
    inside = None
    for tap in chosen:
        if tap.inside is not None:
            inside = tap.inside if inside is None else ctx.elementwise("I_AND", inside, tap.inside)
    return result if inside is None else choose(ctx, inside, result, scalar(0, x.dtype))


# ---- references ------------------------------------------------------------------------------------------------------


@reference("GridSample")
def reference_sample(node: OnnxNode, x: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """All neighbours of all places at once."""
    how, lengths = _sampling(node), x.shape[2:]
    sides = []
    for i, length in enumerate(lengths):
        g = grid[..., len(lengths) - 1 - i] + 1
        at = g / 2 * (length - 1) if how.aligned else (g * length - 1) / 2
        at = _moved(np.rint(at) if how.mode == "nearest" else at, length, how)
        base = np.floor(at)
        ways = [(base + k, np.abs(at - base - k)) for k in _TAPS[how.mode]]
        sides.append([(_moved(place, length, how), _kernel(way, how.mode)) for place, way in ways])
    y = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
    rows = np.arange(len(x)).reshape(-1, *[1] * (grid.ndim - 2))
    for taps in itertools.product(*sides):
        inside, weight, index = np.ones(rows.shape, bool), np.ones(rows.shape), []
        for (place, share), length in zip(taps, lengths, strict=True):
            inside = inside & (place >= 0) & (place <= length - 1)
            weight = weight * share
            index.append(np.clip(place, 0, length - 1).astype(np.int64))
        where = (rows, slice(None), *index)
        seen = np.moveaxis(x[where], -1, 1)
        counted = inside if how.padding == "zeros" else np.ones(inside.shape, bool)
        y += np.where(counted[:, None], seen, 0) * weight[:, None]
    return y


def _moved(at: np.ndarray, length: int, how: Sampling) -> np.ndarray:
    low, high = how.ends(length)
    if how.stays:
        return at
    moved = np.clip(at, 0, length - 1)
    if how.padding == "reflection":
        way = np.mod(at - low, 2 * (high - low)) if high > low else at * 0
        moved = low + np.minimum(way, 2 * (high - low) - way)
    return np.where((at < low) | (at > high), moved, at)


def _kernel(way: np.ndarray, mode: str) -> np.ndarray:
    if mode == "nearest":
        return np.ones(way.shape)
    if mode == "linear":
        return 1 - way
    inner, outer = np.poly1d([_A + 2, -(_A + 3), 0, 1]), np.poly1d([_A, -5 * _A, 8 * _A, -4 * _A])
    return np.where(way <= 1, inner(way), outer(way))
