# SPDX-License-Identifier: Apache-2.0
"""What an ONNX tensor is while lowering: a constant, symbolic integers, or elements of a tensor seen by strides.

The functions here change how elements are seen (transpose, reshape, slice, expand) and never move one. They also
follow the time axis, see `Time`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from . import dims as dm
from .dims import Size
from .ir import Tensor
from .truth import Truth


class Time(NamedTuple):
    """Where the steps are: an element's step is index on the axis // inner % (steps + lead) - lead.

    An axis that merges batch and time still knows its steps. Where `lead` is not 0, so many steps from before the call
    stand before its own: what a convolution looks back at. They are those that the same tensor has for earlier calls,
    so that what works step by step needs not know of them.
    """

    axis: int
    inner: Size = 1
    lead: int = 0

    def on(self, axis: int) -> Time:
        """The same steps on another axis."""
        return self._replace(axis=axis)


@dataclass(eq=False, slots=True)
class Value:
    """A tensor of the ONNX graph.

    Exactly one of `const` (an array of the same rank, each axis as long as dims says or 1, then broadcast), `sym` (the
    same of ints and Dims) and `tensor` (with offset and strides, in its elements) is set.
    """

    dtype: str
    dims: tuple[Size, ...]
    tensor: Tensor | None = None
    offset: Size = 0
    strides: tuple[Size, ...] = ()
    const: np.ndarray | None = None
    sym: np.ndarray | None = None
    time: Time | None = None
    late: bool = False  # holds what is known only after the last step
    truth: Truth | None = None  # of bools: that all are this answer to a question about open dimensions

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.dims)

    @property
    def is_full(self) -> bool:
        """A constant whose every element is stored, none broadcast."""
        return self.const is not None and self.const.shape == self.dims

    def sizes(self) -> np.ndarray | None:
        """The symbolic integers, all of them; None where how many they are is symbolic itself."""
        if self.sym is None or not all(isinstance(d, int) for d in self.dims):
            return None
        return np.broadcast_to(self.sym, self.dims)  # type: ignore[arg-type]

    def array(self) -> np.ndarray:
        """The elements of a constant, all of them (without memory for broadcast ones)."""
        assert self.const is not None
        return np.broadcast_to(self.const, self.dims)  # type: ignore[arg-type]


def of_tensor(tensor: Tensor, dtype: str | None = None) -> Value:
    """A whole root tensor as a value; dtype is ONNX's type, where it differs from the stored one."""
    return Value(dtype or tensor.dtype, tensor.dims, tensor, 0, dm.contiguous(tensor.dims))


def of_array(array: np.ndarray, dtype: str) -> Value:
    """A constant."""
    return Value(dtype, array.shape, const=array)


def objects(sizes: list[Size]) -> np.ndarray:
    """Sizes as an array of objects."""
    array = np.empty(len(sizes), object)
    array[:] = sizes
    return array


def of_sizes(sizes: np.ndarray, dtype: str = "I64") -> Value:
    """Integers, some of them perhaps symbolic: a constant when none is."""
    if all(isinstance(s, int) for s in sizes.flat):
        return of_array(sizes.astype(np.int32 if dtype == "I32" else np.int64), dtype)
    return Value(dtype, sizes.shape, sym=sizes)


def fill(scalar: np.ndarray, dims: tuple[Size, ...], dtype: str) -> Value:
    """One number in every element."""
    return Value(dtype, dims, const=scalar.reshape((1,) * len(dims)))


def transpose(v: Value, perm: list[int]) -> Value:
    """Axis i of the result is axis perm[i]."""
    dims = tuple(v.dims[p] for p in perm)
    time = v.time.on(perm.index(v.time.axis)) if v.time else None
    if v.const is not None:
        return replace(v, dims=dims, const=v.const.transpose(perm), time=time)
    if v.sym is not None:
        return replace(v, dims=dims, sym=v.sym.transpose(perm))
    return replace(v, dims=dims, strides=tuple(v.strides[p] for p in perm), time=time)


def drop_axes(v: Value, axes: list[int]) -> Value:
    """Without the axes, each of length 1."""
    keep = [i for i in range(v.rank) if i not in axes]
    return _keep_or_insert(v, keep)


def insert_axes(v: Value, axes: list[int]) -> Value:
    """With axes of length 1 at the places `axes` of the result."""
    old = iter(range(v.rank))
    return _keep_or_insert(v, [-1 if i in axes else next(old) for i in range(v.rank + len(axes))])


def _keep_or_insert(v: Value, source: list[int]) -> Value:
    dims = tuple(1 if s < 0 else v.dims[s] for s in source)
    if v.const is not None:
        shape = tuple(1 if s < 0 else v.const.shape[s] for s in source)
        v = replace(v, const=v.const.reshape(shape))
    elif v.sym is not None:
        return replace(v, dims=dims, sym=v.sym.reshape([1 if s < 0 else v.sym.shape[s] for s in source]))
    else:
        v = replace(v, strides=tuple(0 if s < 0 else v.strides[s] for s in source))
    time = v.time.on(source.index(v.time.axis)) if v.time and v.time.axis in source else None
    return replace(v, dims=dims, time=time)


def slice_axis(v: Value, axis: int, start: Size, length: Size, step: int = 1) -> Value:
    """`length` elements of an axis from `start` on, every `step`-th. The caller settles the time axis."""
    dims = (*v.dims[:axis], length, *v.dims[axis + 1 :])
    stored = v.const if v.const is not None else v.sym
    if stored is not None and stored.shape[axis] == 1 and v.dims[axis] != 1:
        return replace(v, dims=dims)
    if v.const is not None:
        const = _take(v.const, axis, start, length, step)
        return replace(v, dims=dims, const=const)
    if v.sym is not None:
        return replace(v, dims=dims, sym=_take(v.sym, axis, start, length, step))
    strides = (*v.strides[:axis], v.strides[axis] * step, *v.strides[axis + 1 :])
    return replace(v, dims=dims, offset=v.offset + start * v.strides[axis], strides=strides)


def _take(array: np.ndarray, axis: int, start: Size, length: Size, step: int) -> np.ndarray:
    assert isinstance(start, int)
    assert isinstance(length, int)
    stop: int | None = start + length * step
    if stop is not None and stop < 0:
        stop = None
    return array[(slice(None),) * axis + (slice(start, stop, step) if length else slice(0, 0),)]


def expand(v: Value, dims: tuple[Size, ...]) -> Value:
    """Broadcast to dims, which ONNX's rules allow (the caller has checked)."""
    if v.dims == dims:
        return v
    new = len(dims) - v.rank
    if new:
        v = insert_axes(v, list(range(new)))
    if v.const is not None or v.sym is not None:
        return replace(v, dims=dims)
    strides = tuple(0 if a == 1 and b != 1 else s for a, b, s in zip(v.dims, dims, v.strides, strict=True))
    return replace(v, dims=dims, strides=strides)


def reshape(v: Value, dims: tuple[Size, ...], time: Time | None) -> Value | None:
    """Seen in another shape of equal size; None where strides cannot say it, so that elements have to move."""
    if v.sym is not None:
        sizes = v.sizes()
        if v.sym.size == 1:
            return replace(v, dims=dims, sym=v.sym.reshape((1,) * len(dims)))
        return None if sizes is None else replace(v, dims=dims, sym=sizes.reshape(dims))
    if v.const is not None:
        if v.const.size == 1:
            return replace(v, dims=dims, const=v.const.reshape((1,) * len(dims)), time=time)
        if v.is_full:
            return replace(v, dims=dims, const=v.const.reshape(dims), time=time)
        return None
    strides = reshape_strides(v.dims, v.strides, dims)
    return None if strides is None else replace(v, dims=dims, strides=strides, time=time)


def reshape_strides(
    dims: tuple[Size, ...], strides: tuple[Size, ...], new: tuple[Size, ...]
) -> tuple[Size, ...] | None:
    """Strides that show the same elements in the shape `new`; None where there are none, or they cannot be proved.

    Axes are matched in groups of equal product from the right; a group of several old axes must nest.
    """
    old = [(d, s) for d, s in zip(dims, strides, strict=True) if d != 1]
    result: list[Size] = []
    i, j = len(old), len(new)
    while j > 0:
        if new[j - 1] == 1:
            result.append(0)
            j -= 1
            continue
        if i == 0:
            return None
        group = _group(old, i, new, j)
        if group is None:
            return None
        i0, j0 = group
        for k in range(i0, i - 1):
            if old[k][1] != old[k + 1][1] * old[k + 1][0]:
                return None
        step = old[i - 1][1]
        for k in range(j - 1, j0 - 1, -1):
            result.append(step)
            step = step * new[k]
        i, j = i0, j0
    return tuple(reversed(result)) if i == 0 else None


def _group(old: list[tuple[Size, Size]], i: int, new: tuple[Size, ...], j: int) -> tuple[int, int] | None:
    """The smallest group of axes that ends at i and j and has the same product on both sides."""
    i0, j0 = i - 1, j - 1
    a, b = old[i0][0], new[j0]
    while a != b:
        if dm.exact_div(a, b) is not None or not (dm.exact_div(b, a) is not None or dm.at_most(a, b)):
            j0 -= 1
            if j0 < 0:
                return None
            b = b * new[j0]
        else:
            i0 -= 1
            if i0 < 0:
                return None
            a = a * old[i0][0]
    return i0, j0


def reshape_time(v: Value, dims: tuple[Size, ...], time_symbol: str | None) -> Time | None:
    """Where the steps are after a reshape; None where they are lost, or there were none."""
    if v.time is None or time_symbol is None:
        return None
    axis, inner, lead = v.time
    step = inner * dm.product(v.dims[axis + 1 :])
    steps = dm.symbol(time_symbol) + lead
    below: Size = 1
    for j in range(len(dims) - 1, -1, -1):
        new_inner = dm.exact_div(step, below)
        if new_inner is not None and dm.exact_div(dims[j], new_inner * steps) is not None:
            return Time(j, new_inner, lead)
        below = below * dims[j]
    return None
