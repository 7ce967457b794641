# SPDX-License-Identifier: Apache-2.0
"""DFT and STFT as products with constant matrices; MelWeightMatrix as a constant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..ir import NUMPY_TYPE
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value
from .dense import matmul
from .elementwise import TO_TYPE, arithmetic

MOST = 1 << 24  # elements of a matrix: 64 MiB


def _turns(rows: int, columns: int, length: int, sign: float) -> np.ndarray:
    """e^(sign * 2 pi j * row * column / length) [rows, columns], its angles reduced before they are rounded."""
    turns = np.arange(rows)[:, None] * np.arange(columns) % length / length
    return np.asarray(np.exp(sign * 2j * np.pi * turns))


def matrix(rows: int, length: int, parts: int, inverse: bool, onesided: bool) -> np.ndarray:
    """What a signal of `rows` numbers is multiplied with for its transform of a length: [rows * parts, columns * 2].

    parts: 1 for real numbers, 2 for a real and an imaginary part side by side; the result has the two, but that of an
    inverse onesided one is real.
    """
    if inverse and onesided:
        return _half_inverse(rows, length)
    turns = _turns(rows, length // 2 + 1 if onesided else length, length, 1 if inverse else -1)
    turns = turns / length if inverse else turns
    # (a + jb)(c + js) = (ac - bs) + j(as + bc)
    real = np.stack([turns.real, turns.imag], -1)
    imaginary = np.stack([-turns.imag, turns.real], -1)
    wide = np.stack([real, imaginary][:parts], 1)
    return wide.reshape(rows * parts, -1)


def _half_inverse(rows: int, length: int) -> np.ndarray:
    """The first half of a spectrum [rows * 2] to the real signal that has it: the other half mirrors it, conjugated."""
    turns = _turns(rows, length, length, 1) / length
    middle = (np.arange(rows) > 0) & (2 * np.arange(rows) != length)
    turns = turns * np.where(middle, 2, 1)[:, None]
    return np.stack([turns.real, -turns.imag], 1).reshape(rows * 2, length)


def _parts(x: Value) -> int:
    if x.rank < 2 or x.dims[-1] not in (1, 2):
        raise NodeError(f"takes real or complex numbers, 1 or 2 on the last axis, not {show(x.dims)}")
    return 1 if x.dims[-1] == 1 else 2


def _number(ctx: Context, v: Value | None, name: str, otherwise: Size) -> int:
    """A scalar input that must be known, or what stands for it."""
    size = otherwise if v is None else ctx.integers(v, f"input {name!r}")[0]
    number = ctx.number(size, f"its {name} is the dimension {size}, but must be constant")
    if number < 1:
        raise NodeError(f"its {name} is {number}")
    return number


@lowering("DFT", inputs="input:floats dft_length?:int32/int64", attributes="axis inverse onesided", since=17, until=19)
def lower_dft_attribute(ctx: Context, node: OnnxNode, x: Value, length: Value | None) -> Value:
    """A product with a matrix of sines and cosines; the axis is an attribute."""
    return _transform(ctx, x, ctx.attribute("axis", 1), length)


@lowering("DFT", inputs="input:floats dft_length?:int32/int64 axis?:int64", attributes="inverse onesided", since=20)
def lower_dft(ctx: Context, node: OnnxNode, x: Value, length: Value | None, axis: Value | None) -> Value:
    """A product with a matrix of sines and cosines; the axis is an input."""
    return _transform(ctx, x, -2 if axis is None else ctx.constants(axis, "input 'axis'")[0], length)


def _transform(ctx: Context, x: Value, at: int, given: Value | None) -> Value:
    """A product over the axis and the parts, side by side: of a longer signal's beginning, or a shorter one's all."""
    parts, axis = _parts(x), ctx.axis(at, x.rank)
    inverse, onesided = bool(ctx.attribute("inverse", 0)), bool(ctx.attribute("onesided", 0))
    if axis == x.rank - 1:
        raise NodeError(f"transforms axis {at}, which has the parts of the numbers of {show(x.dims)}")
    if onesided and parts != (2 if inverse else 1):
        raise NodeError(
            f"attribute 'onesided' is 1, which takes {'complex' if inverse else 'real'} numbers: {show(x.dims)}"
        )
    ctx.number(x.dims[axis], f"transforms axis {axis} of {show(x.dims)}, which must be constant")
    have = _number(ctx, None, "signal", x.dims[axis])
    length = _number(ctx, given, "dft_length", 2 * (have - 1) if inverse and onesided else have)
    rows = min(have, length // 2 + 1 if inverse and onesided else length)
    kept = values.slice_axis(x, axis, 0, rows)
    if x.time is not None and x.time.axis == axis:
        ctx.not_streamable("transforms the steps of the sequence")
        kept = replace(kept, time=None)
    order = [*(k for k in range(x.rank - 1) if k != axis), axis, x.rank - 1]
    result = _product(ctx, values.transpose(kept, order), length, inverse, onesided, None)
    return values.transpose(result, [order.index(k) for k in range(x.rank)])


def _product(ctx: Context, x: Value, length: int, inverse: bool, onesided: bool, window: np.ndarray | None) -> Value:
    """[..., rows, parts] -> [..., columns, parts]; the window is what each row is multiplied with first."""
    rows, parts = x.dims[-2:]
    assert isinstance(rows, int)
    assert isinstance(parts, int)
    columns = length if inverse and onesided else 2 * (length // 2 + 1 if onesided else length)
    if columns * rows * parts > MOST:
        raise NodeError(f"transforms {rows} numbers into {length} at once, a matrix of over {MOST >> 18} MiB")
    made = matrix(rows, length, parts, inverse, onesided)
    if window is not None:
        made = made * np.repeat(window, parts)[:, None]
    flat = ctx.reshape(x, (*x.dims[:-2], rows * parts))
    flat = flat if flat.rank > 1 else values.insert_axes(flat, [0])
    result = matmul(ctx, flat, values.of_array(made.astype(np.float32), x.dtype))
    wide = 1 if inverse and onesided else 2
    return ctx.reshape(result, (*x.dims[:-2], made.shape[1] // wide, wide))


@lowering(
    "STFT",
    inputs="signal:floats frame_step:int32/int64 window?:signal frame_length?:frame_step",
    attributes="onesided",
    since=17,
)
def lower_stft(ctx: Context, node: OnnxNode, x: Value, step: Value, window: Value | None, frame: Value | None) -> Value:
    """Frames are a view of the signal in which each overlaps the next; a constant window goes into the matrix."""
    parts = _parts(x)
    if x.rank != 3:
        raise NodeError(f"takes a signal of rank 3, not {show(x.dims)}")
    hop = _number(ctx, step, "frame_step", 0)
    length = _number(ctx, frame, "frame_length", x.dims[1] if window is None else window.dims[0])
    if window is not None:
        ctx.equal(window.dims[0] if window.rank == 1 else 0, length, f"its window has the shape {show(window.dims)}")
    onesided = bool(ctx.attribute("onesided", 1))
    if onesided and parts == 2:
        raise NodeError(f"attribute 'onesided' is 1, which takes real numbers: {show(x.dims)}")
    if ctx.sizes.at_most(length, x.dims[1], ctx.where) is False:
        raise NodeError(f"its frames of {length} do not fit into {show(x.dims)}")
    if ctx.has_time(x.dims[1]):
        ctx.not_streamable("takes frames of the steps of the sequence")
        x = replace(x, time=None)
    fixed = None if window is None or window.const is None else window.array().astype(np.float64)
    frames = _frames(ctx, x, hop, length)
    if window is not None and fixed is None:
        frames = arithmetic(ctx, "MUL", frames, values.insert_axes(window, [1]))
    return _product(ctx, frames, length, False, onesided, fixed)


def _frames(ctx: Context, x: Value, hop: int, length: int) -> Value:
    """[batch, signal, parts] -> [batch, frames, length, parts], each frame `hop` later than the one before."""
    if x.tensor is None:
        x = values.of_tensor(ctx.operand(x), x.dtype)
    count = dm.floor_div(x.dims[1] - length, hop) + 1
    dims = (x.dims[0], count, length, x.dims[2])
    ctx.check_size(dims, "F32")
    rows, steps, parts = x.strides
    strides = (rows, steps * hop, steps, parts)
    time = x.time if x.time is None or x.time.axis == 0 else None
    return replace(x, dims=dims, strides=strides, time=time)


_BINS = "num_mel_bins:int32/int64 dft_length:num_mel_bins sample_rate:num_mel_bins"


@lowering(
    "MelWeightMatrix",
    inputs=f"{_BINS} lower_edge_hertz:floats upper_edge_hertz:lower_edge_hertz",
    attributes="output_datatype",
    since=17,
)
def lower_mel(ctx: Context, node: OnnxNode, *given: Value) -> Value:
    """Of constants it is a constant, computed when converting."""
    raise NodeError("its inputs are not all known when converting (they depend on data): bind those that it has")


# ---- references ------------------------------------------------------------------------------------------------------


def _complex(x: np.ndarray) -> np.ndarray:
    return np.asarray(x[..., 0] + 1j * x[..., 1] if x.shape[-1] == 2 else x[..., 0])


def _apart(z: np.ndarray) -> np.ndarray:
    return np.stack([z.real, z.imag], -1)


@reference("DFT")
def reference_dft(
    node: OnnxNode, x: np.ndarray, length: np.ndarray | None = None, at: np.ndarray | None = None
) -> np.ndarray:
    """NumPy's own."""
    a = node.attributes
    axis = (a.get("axis", 1) if node.version < 20 else -2 if at is None else int(at.reshape(()))) % x.ndim
    count = None if length is None else int(length.reshape(()))
    signal = _complex(x)
    if a.get("onesided", 0):
        if a.get("inverse", 0):
            return np.asarray(np.fft.irfft(signal, count, axis)[..., None])
        return _apart(np.fft.rfft(signal.real, count, axis))
    return _apart((np.fft.ifft if a.get("inverse", 0) else np.fft.fft)(signal, count, axis))


@reference("STFT")
def reference_stft(
    node: OnnxNode,
    x: np.ndarray,
    step: np.ndarray,
    window: np.ndarray | None = None,
    frame: np.ndarray | None = None,
) -> np.ndarray:
    """NumPy's transform of each frame."""
    length = x.shape[1] if frame is None and window is None else len(window) if frame is None else int(frame)  # type: ignore[arg-type]
    signal, shape = _complex(x), np.ones(length) if window is None else window
    starts = range(0, x.shape[1] - length + 1, int(step))
    frames = np.stack([signal[:, s : s + length] * shape for s in starts], 1)
    found = _apart(np.fft.fft(frames))
    return found[:, :, : length // 2 + 1] if node.attributes.get("onesided", 1) else found


@reference("MelWeightMatrix", exact=True)
def reference_mel(
    node: OnnxNode, bins: np.ndarray, length: np.ndarray, rate: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Triangles, evenly spaced on the mel scale and then moved to whole bins of the spectrum."""
    count, size, sample_rate = int(bins.reshape(())), int(length.reshape(())), int(rate.reshape(()))
    rows = size // 2 + 1
    kind = node.attributes.get("output_datatype", 1)
    if TO_TYPE.get(kind, "BOOL") == "BOOL":
        raise NodeError(f"attribute 'output_datatype' is {kind}, a type that is not supported")
    if count < 1 or size < 1 or sample_rate < 1 or rows * count > MOST:
        raise NodeError(f"makes {count} bands of a spectrum of {size} numbers at {sample_rate} Hz")
    ends = [2595 * np.log1p(float(edge.reshape(())) / 700) / np.log(10) for edge in (low, high)]
    mels = ends[0] + np.arange(count + 2) * ((ends[1] - ends[0]) / (count + 2))
    hertz = 700 * np.expm1(mels / 2595 * np.log(10))
    places = np.floor((size + 1) * hertz / sample_rate).astype(np.int64)
    if places.min() < 0 or places[:-1].max() >= rows or places[-1] > rows:
        raise NodeError(
            f"its edges of {low} and {high} Hz are outside the spectrum, which ends at {sample_rate / 2} Hz"
        )
    bin_, (left, centre, right) = np.arange(rows)[:, None], (places[k : k + count] for k in range(3))
    rising = np.where(centre > left, (bin_ - left) / np.maximum(centre - left, 1), 1.0)
    falling = (right - bin_) / np.maximum(right - centre, 1)
    made = np.where((bin_ >= left) & (bin_ <= centre), rising, 0.0)
    made = np.where((bin_ >= centre) & (bin_ < right), falling, made)
    return np.asarray(made.astype(NUMPY_TYPE[TO_TYPE[kind]]))
