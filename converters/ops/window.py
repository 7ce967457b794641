# SPDX-License-Identifier: Apache-2.0
"""The sliding windows of convolution and pooling: attributes, padding, output sizes, and what becomes of time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..lowering import Context, show
from ..values import Time, Value

LIMIT = 1 << 24  # of every number of a window in the engine


@dataclass(eq=False, slots=True)
class Axis:
    """One spatial axis. Tap k of output o is input (o * stride + k * dilation - begin) / upsample."""

    kernel: int
    stride: int = 1
    dilation: int = 1
    begin: int = 0
    end: int = 0
    upsample: int = 1

    @property
    def extent(self) -> int:
        """From the first to behind the last tap."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def is_valid(self) -> bool:
        """Whether it goes over what there is, element by element: the output is shorter by what lies behind a tap."""
        return (self.stride, self.begin, self.end, self.upsample) == (1, 0, 0, 1)

    @property
    def is_point(self) -> bool:
        """Whether each output looks at the input in its own place alone."""
        return self.kernel == 1 and self.is_valid


@dataclass(eq=False, slots=True)
class Window:
    """All axes, the output's sizes, and what has to be added to the input first: (axis, begin, end)."""

    axes: list[Axis] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    borders: list[tuple[int, Size, Size]] = field(default_factory=list)

    def numbers(self) -> list[tuple[int, ...]]:
        """The attribute `window` of the engine's operators; larger numbers are refused by name."""
        names = ("kernel", "stride", "dilation", "begin", "end", "upsample")
        rows = [tuple(getattr(axis, name) for name in names) for axis in self.axes]
        for i, row in enumerate(rows):
            for name, value in zip(names, row, strict=True):
                if abs(value) > LIMIT:
                    raise NodeError(
                        f"its window's {name} along spatial axis {i} is {value}; at most {LIMIT} is supported"
                    )
        return rows


def listed(ctx: Context, name: str, rank: int, default: int, low: int) -> list[int]:
    """An attribute with a number for each spatial axis."""
    given = ctx.attribute(name, [default] * rank)
    if len(given) != rank or any(n < low for n in given):
        raise NodeError(f"attribute {name!r} is {given}; {rank} numbers of {low} or more are wanted")
    return list(given)


def spatial_rank(x: Value) -> int:
    """The number of spatial axes, behind rows and channels."""
    if not 3 <= x.rank <= 5:
        raise NodeError(f"takes rows, channels and one to three spatial axes, not {show(x.dims)}")
    return x.rank - 2


def auto_pad(ctx: Context) -> str:
    """NOTSET, VALID, SAME_UPPER or SAME_LOWER; the last two exclude explicit padding."""
    mode = ctx.attribute("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise NodeError(f"attribute 'auto_pad' is {mode!r}, which is not defined")
    if mode != "NOTSET" and any(ctx.attribute("pads", [])):
        raise NodeError(f"attributes 'auto_pad' {mode} and 'pads' exclude each other")
    return str(mode)


def read(ctx: Context, x: Value, kernel: list[int], rounding_up: bool = False) -> Window:
    """The window of a node with strides, dilations, pads and auto_pad."""
    rank = spatial_rank(x)
    strides, dilations = listed(ctx, "strides", rank, 1, 1), listed(ctx, "dilations", rank, 1, 1)
    pads = ctx.attribute("pads", [0] * (2 * rank))
    mode = auto_pad(ctx)
    if len(pads) != 2 * rank or any(p < 0 for p in pads):
        raise NodeError(f"attribute 'pads' is {pads}; {2 * rank} numbers of 0 or more are wanted")
    window = Window()
    for i, length in enumerate(x.dims[2:]):
        axis = Axis(kernel[i], strides[i], dilations[i], pads[i], pads[rank + i])
        if mode.startswith("SAME"):
            size = dm.ceil_div(length, axis.stride)
            _pad_to(window, axis, i, length, mode)
        else:
            size = _output(axis, length, rounding_up)
        if isinstance(size, int) and size < 1:
            raise NodeError(f"its window of {axis.extent} along spatial axis {i} does not fit into {show(x.dims)}")
        window.axes.append(axis)
        window.sizes.append(size)
    return window


def _output(axis: Axis, length: Size, rounding_up: bool) -> Size:
    """How many places the window has; rounded up, but for places that begin behind the input."""
    room = length + (axis.begin + axis.end - axis.extent)
    if not rounding_up:
        return dm.floor_div(room, axis.stride) + 1
    return dm.minimum(dm.ceil_div(room, axis.stride) + 1, dm.ceil_div(length + axis.begin, axis.stride))


def _pad_to(window: Window, axis: Axis, i: int, length: Size, mode: str) -> None:
    """Padding that makes the output as long as the input divided by the stride; the odd one is at the end, or not.

    With a stride over a dimension that is not constant, how much that is depends on the dimension: such a border is
    added to the input, whose window then has none.
    """
    size = dm.ceil_div(length, axis.stride)
    total = dm.maximum((size - 1) * axis.stride + axis.extent - length, 0)
    small = dm.floor_div(total, 2)
    begin, end = (small, total - small) if mode == "SAME_UPPER" else (total - small, small)
    if isinstance(begin, int) and isinstance(end, int):
        axis.begin, axis.end = begin, end
    else:
        axis.begin = axis.end = 0
        window.borders.append((2 + i, begin, end))


def bordered(ctx: Context, x: Value, window: Window, number: float) -> Value:
    """x with the borders that depend on its dimensions, which have one number in every element."""
    for axis, begin, end in window.borders:
        if x.time is not None and x.time.axis == axis:
            x = replace(x, time=None)
        length = x.dims[axis]
        whole = values.of_tensor(ctx.new((*x.dims[:axis], begin + length + end, *x.dims[axis + 1 :]), "F32"), x.dtype)
        fill = [
            values.fill(np.array(number, np.float32), (*x.dims[:axis], n, *x.dims[axis + 1 :]), x.dtype)
            for n in (begin, end)
        ]
        start: Size = 0
        for part in (fill[0], x, fill[1]):
            place = values.slice_axis(whole, axis, start, part.dims[axis])
            ctx.emit("copy", [ctx.operand(part)], [ctx.operand(place)])
            start = start + part.dims[axis]
        x = replace(whole, time=x.time, late=x.late)
    return x


def places(window: Window, lengths: list[int], column_major: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(where each tap looks in the flattened spatial axes, whether that is inside), both [outputs, taps].

    Outputs and taps are in row-major order; what is flattened is, unless its first axis is to be the fastest.
    """
    rank = len(lengths)
    strides = [math.prod(lengths[:i] if column_major else lengths[i + 1 :]) for i in range(rank)]
    at, inside = np.zeros((), np.int64), np.ones((), bool)
    for i, (axis, length, size) in enumerate(zip(window.axes, lengths, window.sizes, strict=True)):
        assert isinstance(size, int)
        seen = np.arange(size)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation - axis.begin
        shape = [1] * (2 * rank)
        shape[i], shape[rank + i] = seen.shape
        at = at + (seen * strides[i]).reshape(shape)
        inside = inside & ((seen >= 0) & (seen < length)).reshape(shape)
    taps = math.prod(axis.kernel for axis in window.axes)
    return at.reshape(-1, taps), inside.reshape(-1, taps)


def follow_time(ctx: Context, x: Value, window: Window, mixes_channels: bool) -> Time | None:
    """Rows, and spatial axes whose window is a point, keep their steps; a window over steps sees earlier ones."""
    time = x.time
    for i, axis in enumerate(window.axes):
        if not ctx.has_time(x.dims[2 + i]) or axis.is_point:
            continue
        behind = axis.extent - 1
        if time is not None and time[:2] == (2 + i, 1) and axis.is_valid and behind <= time.lead:
            time = time._replace(lead=time.lead - behind)
            continue
        time = None
        if (axis.stride, axis.begin, axis.end, axis.upsample) == (1, behind, 0, 1):
            ctx.needs_lead("pads", behind)
        else:
            ctx.not_streamable("slides a window over the steps of the sequence")
    if x.rank > 1 and ctx.has_time(x.dims[1]) and mixes_channels:
        ctx.not_streamable("mixes the steps of the sequence, which are its channels")
    return None if time is None or (time.axis == 1 and mixes_channels) else time
