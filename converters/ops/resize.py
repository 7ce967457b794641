# SPDX-License-Identifier: Apache-2.0
"""Resize and Upsample: axis after axis, picked elements (nearest) or weighted sums of them (linear, cubic)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..ir import FLOATS
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .elementwise import arithmetic, scalar
from .gather import picked, taken
from .logic import choose

LONGEST = 1 << 24  # of a resized axis: its indices and weights are made when converting
_COORDINATES = {
    10: ("asymmetric",),
    11: ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn"),
    13: ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"),
    19: ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"),
}
_CROP = "tf_crop_and_resize"
_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
_POLICIES = ("stretch", "not_larger", "not_smaller")
_MODES = ("nearest", "linear", "cubic")
_ATTRIBUTES = (
    "coordinate_transformation_mode cubic_coeff_a exclude_outside extrapolation_value mode nearest_mode"  # since 11
)
_ATTRIBUTES_18 = f"{_ATTRIBUTES} antialias axes keep_aspect_ratio_policy"


@dataclass(frozen=True, slots=True)
class Method:
    """How elements are interpolated: the node's attributes."""

    mode: str
    coordinates: str
    rounding: str = "floor"
    cubic: float = -0.75
    antialias: bool = False
    exclude_outside: bool = False
    extrapolation: float = 0.0

    @property
    def is_even(self) -> bool:
        """Whether an axis that grows or shrinks by a whole factor is treated alike everywhere."""
        return self.mode == "nearest" and self.coordinates not in ("align_corners", _CROP)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its scale is numerator / denominator, the second being 1 where the node gives a float32."""

    number: int
    output: Size
    numerator: Any
    denominator: Any = 1
    start: float = 0.0
    end: float = 1.0

    def stays(self, length: Size) -> bool:
        """Whether the result has every element where it was."""
        return (self.output, self.numerator) == (length, self.denominator) and (self.start, self.end) == (0, 1)

    def width(self, length: int) -> float:
        """The scale times the length: not rounded down, where it is a float32."""
        if self.denominator == 1:
            return float(np.float32(self.numerator) * np.float32(length))
        return float(self.numerator * length / self.denominator)

    def inverse(self, x: np.ndarray, single: bool) -> np.ndarray:
        """x / scale. A scale is a rounded float32: in float32 a quotient meets the whole number that is meant."""
        if self.denominator == 1 and single:
            return np.asarray((x.astype(np.float32) / np.float32(self.numerator)).astype(np.float64))
        return x * self.denominator / float(self.numerator)


# ---- where the elements of an axis come from -------------------------------------------------------------------------


def coordinates(method: Method, axis: Axis, length: int) -> np.ndarray:
    """For each element of the result [output] its place among those of the input, as ONNX's formulas have it."""
    count = axis.output
    assert isinstance(count, int)
    single = method.mode == "nearest"
    x = np.arange(count, dtype=np.float64)
    width = axis.width(length)
    if method.coordinates == "asymmetric":
        return axis.inverse(x, single)
    if method.coordinates == "align_corners":
        return x * (length - 1) / (width - 1) if width != 1 else x * 0
    if method.coordinates == _CROP:
        first, last = axis.start * (length - 1), axis.end * (length - 1)
        return first + (x * (last - first) / (width - 1) if width != 1 else (last - first) / 2 + x * 0)
    if method.coordinates == "tf_half_pixel_for_nn":
        return axis.inverse(x + 0.5, single)
    if method.coordinates == "pytorch_half_pixel" and count == 1:
        return x
    centre = axis.inverse(x + 0.5, single) - 0.5
    if method.coordinates == "half_pixel_symmetric":
        centre = centre + length / 2 * (1 - count / width)
    return centre


def nearest(method: Method, axis: Axis, length: int) -> np.ndarray:
    """The index of the nearest element for each element of the result [output]."""
    x = coordinates(method, axis, length)
    rounded = {
        "floor": np.floor(x),
        "ceil": np.ceil(x),
        "round_prefer_floor": np.ceil(x - 0.5),
        "round_prefer_ceil": np.floor(x + 0.5),
    }[method.rounding]
    return np.clip(rounded, 0, length - 1).astype(np.int64)


def neighbours(method: Method, axis: Axis, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(indices, weights) of the elements that each element of the result is a sum of, both [output, taps].

    Behind the ends the last element goes on. Antialiasing stretches the filter where the axis shrinks.
    """
    x = coordinates(method, axis, length)
    reach = 1 if method.mode == "linear" else 2
    squeeze = min(1.0, axis.numerator / axis.denominator) if method.antialias else 1.0
    first = math.floor(-reach / squeeze) + 1
    offsets = np.arange(first, 2 - first)
    if len(x) * len(offsets) > LONGEST:
        raise NodeError(f"shrinks axis {axis.number} of {length} elements too far for attribute 'antialias'")
    left = np.ceil(x) - 1
    distance = np.abs(offsets - (x - left)[:, None]) * squeeze
    weights = np.maximum(1 - distance, 0) if reach == 1 else _cubic(distance, method.cubic)
    places = left[:, None].astype(np.int64) + offsets
    if method.exclude_outside:
        weights = np.where((places < 0) | (places >= length), 0, weights)
    total = weights.sum(1, keepdims=True)
    return np.clip(places, 0, length - 1), weights / np.where(total == 0, 1, total)


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel."""
    inner = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    outer = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, inner, np.where(distance < 2, outer, 0))


def outside(axis: Axis, method: Method, length: int) -> np.ndarray:
    """Which elements of the result lie outside the input [output], where that matters."""
    if method.coordinates != _CROP:
        return np.zeros(1, bool)
    x = coordinates(method, axis, length)
    return (x < 0) | (x > length - 1)


# ---- lowering --------------------------------------------------------------------------------------------------------


def _factors(axis: Axis, length: Size) -> tuple[int, int]:
    """The whole numbers that the axis grows by and shrinks by; 1 where it does not."""
    if axis.denominator == 1 and isinstance(axis.numerator, float):
        ratio = _fraction(axis.numerator) or Fraction(1)
        return (ratio.numerator, 1) if ratio.denominator == 1 else (1, ratio.denominator if ratio.numerator == 1 else 1)
    grows, shrinks = dm.exact_div(axis.output, length), dm.exact_div(length, axis.output)
    same = axis.denominator == length  # else the output is rounded
    return (grows if same and isinstance(grows, int) else 1), (shrinks if same and isinstance(shrinks, int) else 1)


def _fraction(scale: float) -> Fraction | None:
    """The simple fraction that a float32 stands for."""
    ratio = Fraction(scale).limit_denominator(64)
    return ratio if float(np.float32(float(ratio))) == scale else None


def _repeats(method: Method, factor: int, grows: bool) -> bool:
    """Whether each element is taken `factor` times, or each `factor`-th once: what holds for 4 holds for any number."""
    length = 4 if grows else 4 * factor
    sample = Axis(0, 4 * factor if grows else 4, *((factor, 1) if grows else (1, factor)))
    wanted = np.repeat(np.arange(4), factor) if grows else np.arange(4) * factor
    return method.is_even and bool((nearest(method, sample, length) == wanted).all())


def _resized(ctx: Context, x: Value, axis: Axis, method: Method) -> Value:
    """x with one axis resized."""
    k, length = axis.number, x.dims[axis.number]
    grows, shrinks = _factors(axis, length)
    if grows > 1 and _repeats(method, grows, True):
        apart = values.insert_axes(x, [k + 1])
        seen = values.expand(apart, (*apart.dims[: k + 1], grows, *apart.dims[k + 2 :]))
        return ctx.reshape(seen, (*x.dims[:k], axis.output, *x.dims[k + 1 :]))
    if shrinks > 1 and _repeats(method, shrinks, False):
        return taken(ctx, x, k, 0, values.slice_axis(x, k, 0, axis.output, shrinks), shrinks)
    length, _ = ctx.numbers(
        (length, axis.output),
        f"resizes axis {k} of {show(x.dims)} to {axis.output} elements; a length that is not constant can only change "
        "by whole factors, to the nearest element",
    )
    if method.mode == "nearest":
        return picked(ctx, x, k, values.of_array(nearest(method, axis, length), "I64"))
    indices, weights = neighbours(method, axis, length)
    behind = (1,) * (x.rank - 1 - k)
    parts = [
        arithmetic(
            ctx,
            "MUL",
            picked(ctx, x, k, values.of_array(np.ascontiguousarray(indices[:, i]), "I64")),
            values.of_array(weights[:, i].astype(np.float32).reshape(-1, *behind), x.dtype),
        )
        for i in range(indices.shape[1])
        if weights[:, i].any()
    ]
    result = parts[0]
    for part in parts[1:]:
        result = arithmetic(ctx, "ADD", result, part)
    return result


def _interpolated(ctx: Context, x: Value, axes: list[Axis], method: Method) -> Value:
    """x with each of the axes resized; whatever an axis sees outside the input has the extrapolation value."""
    if method.mode != "nearest" and x.dtype not in FLOATS:
        raise NodeError(f"attribute 'mode' is {method.mode!r}, which is supported on floats; put a Cast in front of it")
    dims = list(x.dims)
    beyond = None
    for axis in axes:
        dims[axis.number] = axis.output
        if isinstance(axis.output, int) and not 0 < axis.output <= LONGEST:
            raise NodeError(f"makes {axis.output} elements of axis {axis.number} of {show(x.dims)}")
        ctx.check_size(tuple(dims), x.dtype)
        length = x.dims[axis.number]
        result = _resized(ctx, x, axis, method)
        if isinstance(length, int) and outside(axis, method, length).any():
            shape = [-1 if i == axis.number else 1 for i in range(x.rank)]
            here = outside(axis, method, length).reshape(shape)
            beyond = here if beyond is None else beyond | here
        x = result
    if beyond is None:
        return x
    number = scalar(method.extrapolation, x.dtype) if x.dtype in FLOATS else _whole(method.extrapolation, x.dtype)
    return choose(ctx, values.of_array(beyond, "BOOL"), number, x)


def _whole(number: float, dtype: str) -> Value:
    if number != int(number):
        raise NodeError(f"attribute 'extrapolation_value' is {number}, but its input has integers")
    return values.of_array(np.array(int(number), np.int64), dtype)


def _scaled(ctx: Context, x: Value, scales: list[float], numbers: list[int]) -> list[Axis]:
    """The axes for scales, of which each is a float32."""
    if len(scales) != len(numbers) or any(not 0 < s < math.inf for s in scales):
        raise NodeError(f"its scales are {scales}; {len(numbers)} positive numbers are wanted for {show(x.dims)}")
    axes = []
    for k, scale in zip(numbers, scales, strict=True):
        length = x.dims[k]
        if isinstance(length, int):
            output: Size = math.floor(float(np.float32(length) * np.float32(scale)))
        else:
            ratio = _fraction(scale)
            if ratio is None:
                ctx.settle(length)
                raise NodeError(f"its scale {scale} of axis {k} of {show(x.dims)}: fix the length with --shape")
            output = dm.floor_div(length * ratio.numerator, ratio.denominator)
        axes.append(Axis(k, output, scale))
    return axes


def _sized(ctx: Context, x: Value, sizes: list[Size], numbers: list[int], policy: str) -> list[Axis]:
    """The axes for sizes; a policy gives all of them one scale."""
    if len(sizes) != len(numbers):
        raise NodeError(f"has {len(sizes)} sizes for {len(numbers)} axes of {show(x.dims)}")
    if policy == "stretch":
        return [Axis(k, n, n, x.dims[k]) for k, n in zip(numbers, sizes, strict=True)]
    need = "attribute 'keep_aspect_ratio_policy' needs constant lengths"
    lengths, wanted = ctx.numbers([x.dims[k] for k in numbers], need), ctx.numbers(sizes, need)
    pairs = [Fraction(n, d) for n, d in zip(wanted, lengths, strict=True)]
    ratio = min(pairs) if policy == "not_larger" else max(pairs)
    half = Fraction(1, 2)
    return [
        Axis(k, math.floor(ratio * n + half), ratio.numerator, ratio.denominator)  # type: ignore[operator]
        for k, n in zip(numbers, lengths, strict=True)
    ]


def _floats(v: Value | None, what: str) -> list[float] | None:
    """The elements of a constant; None where it is absent or empty, which is the same."""
    if v is None or v.dims == (0,):
        return None
    if v.const is None:
        raise NodeError(f"input {what!r} is not known when converting (it depends on data): bind the input that it is")
    return [float(n) for n in v.array().reshape(-1)]


def _kept(x: Value, axes: list[Axis]) -> list[Axis]:
    """Without those that stay as they are."""
    return [a for a in axes if not a.stays(x.dims[a.number])]


def _chosen(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise NodeError(f"attribute {name!r} is {value!r}, not one of {', '.join(known)}")
    return value


@lowering("Upsample", inputs="X:any", attributes="mode scales", until=8)
def lower_upsample_attributes(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """Elements that are picked, or weighted sums of such; the scales are an attribute."""
    return _by_scales(ctx, x, ctx.attribute("scales"))


@lowering("Upsample", inputs="X:any scales:float32", attributes="mode", since=9, until=9)
@lowering("Resize", inputs="X:any scales:float32", attributes="mode", since=10, until=10)
def lower_upsample(ctx: Context, node: OnnxNode, x: Value, scales: Value) -> Value:
    """Elements that are picked, or weighted sums of such; the scales are an input."""
    return _by_scales(ctx, x, _floats(scales, "scales"))


def _by_scales(ctx: Context, x: Value, scales: list[float] | None) -> Value:
    """As before opset 11: x / scale, whose nearest element is the one before it.

    What is nearest where an axis shrinks is not written there, so that the place has to be an element.
    """
    mode = _chosen("mode", ctx.attribute("mode", "nearest"), _MODES[:2])
    if scales is None:
        raise NodeError("has no scales")
    method = Method(mode, "asymmetric")
    axes = _kept(x, _scaled(ctx, x, scales, list(range(x.rank))))
    for axis in axes:
        if axis.numerator >= 1 or mode != "nearest":
            continue
        if Fraction(1 / axis.numerator).limit_denominator(1 << 10).denominator != 1:
            raise NodeError(
                f"scales axis {axis.number} by {axis.numerator}: which element is the nearest one is written since "
                "opset 11; convert the model with onnx.version_converter"
            )
    return _interpolated(ctx, x, axes, method)


@lowering("Resize", inputs="X:any roi:floats scales:float32 sizes?:int64", attributes=_ATTRIBUTES, since=11, until=12)
@lowering("Resize", inputs="X:any roi?:floats scales?:float32 sizes?:int64", attributes=_ATTRIBUTES, since=13, until=17)
@lowering("Resize", inputs="X:any roi?:floats scales?:float32 sizes?:int64", attributes=_ATTRIBUTES_18, since=18)
def lower_resize(
    ctx: Context, node: OnnxNode, x: Value, roi: Value | None, scales: Value | None, sizes: Value | None
) -> Value:
    """Elements that are picked, or weighted sums of such; by scales or to sizes, of all axes or those named."""
    method = _method(node)
    given = ctx.attribute("axes", list(range(x.rank)))
    numbers = [ctx.axis(a, x.rank, "axes:") for a in given]
    if len(set(numbers)) < len(numbers):
        raise NodeError(f"attribute 'axes' is {given}, which repeats one")
    factors = _floats(scales, "scales")
    lengths = None if sizes is None or sizes.dims == (0,) else ctx.integers(sizes, "input 'sizes'")
    policy = _chosen("keep_aspect_ratio_policy", ctx.attribute("keep_aspect_ratio_policy", "stretch"), _POLICIES)
    if (factors is None) == (lengths is None):
        raise NodeError("needs one of the inputs 'scales' and 'sizes', and not both")
    axes = _sized(ctx, x, lengths or [], numbers, policy) if factors is None else _scaled(ctx, x, factors, numbers)
    if method.coordinates == _CROP:
        region = _floats(roi, "roi") or []
        if len(region) != 2 * len(axes):
            raise NodeError(f"its roi is {region}; {2 * len(axes)} numbers are wanted")
        ends = zip(axes, region[: len(axes)], region[len(axes) :], strict=True)
        axes = [replace(a, start=start, end=end) for a, start, end in ends]
    return _interpolated(ctx, x, _kept(x, axes), method)


def _method(node: OnnxNode) -> Method:
    """The attributes of a Resize since opset 11."""
    a = node.attributes
    known = next(names for since, names in reversed(_COORDINATES.items()) if since <= node.version)
    method = Method(
        _chosen("mode", a.get("mode", "nearest"), _MODES),
        _chosen(
            "coordinate_transformation_mode", a.get("coordinate_transformation_mode", "half_pixel"), (*known, _CROP)
        ),
        _chosen("nearest_mode", a.get("nearest_mode", "round_prefer_floor"), _ROUNDINGS),
        a.get("cubic_coeff_a", -0.75),
        bool(a.get("antialias", 0)),
        bool(a.get("exclude_outside", 0)),
        a.get("extrapolation_value", 0.0),
    )
    if method.antialias and method.mode == "nearest":
        raise NodeError("attribute 'antialias' is 1, which the mode 'nearest' has not")
    return method


# ---- references ------------------------------------------------------------------------------------------------------


@reference("Resize", "Upsample")
def reference_resize(node: OnnxNode, x: np.ndarray, *inputs: np.ndarray | None) -> np.ndarray:
    """A matrix for each axis, from the same indices and weights."""
    a = node.attributes
    numbers = [k % x.ndim for k in a.get("axes", range(x.ndim))]
    roi, scales, sizes = [*inputs, None, None][:3] if node.version > 10 else (None, *inputs, None, None)[:3]
    method = _method(node) if node.version > 10 else Method(a.get("mode", "nearest"), "asymmetric")
    if a.get("scales") is not None:
        scales = np.array(a["scales"])
    if scales is not None and scales.size:
        outputs = [math.floor(float(np.float32(x.shape[k]) * np.float32(s))) for k, s in zip(numbers, scales)]
        axes = [Axis(k, n, float(s)) for k, n, s in zip(numbers, outputs, scales)]
    else:
        assert sizes is not None
        ratios = [Fraction(int(n), x.shape[k]) for n, k in zip(sizes, numbers)]
        policy = a.get("keep_aspect_ratio_policy", "stretch")
        if policy != "stretch":
            ratios = [(min if policy == "not_larger" else max)(ratios)] * len(ratios)
        lengths = [math.floor(r * x.shape[k] + Fraction(1, 2)) for r, k in zip(ratios, numbers)]
        axes = [Axis(k, n, r.numerator, r.denominator) for k, n, r in zip(numbers, lengths, ratios)]
    if method.coordinates == _CROP:
        assert roi is not None
        axes = [replace(v, start=roi[i], end=roi[len(axes) + i]) for i, v in enumerate(axes)]
    beyond = np.zeros((1,) * x.ndim, bool)
    for axis in axes:
        k, length = axis.number, x.shape[axis.number]
        beyond = beyond | outside(axis, method, length).reshape([-1 if i == k else 1 for i in range(x.ndim)])
        if method.mode == "nearest":
            x = np.take(x, nearest(method, axis, length), k)
        elif not axis.stays(length):
            indices, weights = neighbours(method, axis, length)
            shape = [*[1] * k, *weights.shape, *[1] * (x.ndim - k - 1)]
            x = (np.take(x, indices, k) * weights.reshape(shape)).sum(k + 1)
    return np.asarray(np.where(beyond, method.extrapolation, x) if beyond.any() else x)
