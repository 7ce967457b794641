# SPDX-License-Identifier: Apache-2.0
"""Transpose, Squeeze, Unsqueeze, Flatten, Reshape, Identity, Dropout: other views of the same elements."""

from __future__ import annotations

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..ir import NUMPY_TYPE
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference, symbolic
from ..values import Value

_DROPOUT = "data:floats ratio?:floats training_mode?:bool"


@lowering("Identity", inputs="input:any")
def lower_identity(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """The same."""
    return x


@lowering("Dropout", inputs="data:floats", outputs=(1, 2), attributes="ratio", until=11)
@lowering("Dropout", inputs=_DROPOUT, outputs=(1, 2), attributes="seed", since=12)
def lower_dropout(
    ctx: Context, node: OnnxNode, x: Value, ratio: Value | None = None, training: Value | None = None
) -> list[Value | None]:
    """The identity, which it is in inference; the mask is all true, before opset 10 all 1 in the type of x."""
    if training is not None and (training.const is None or training.const.any()):
        raise NodeError("input 'training_mode' is not the constant false; export the model for inference")
    if len(node.outputs) > 1 and node.outputs[1]:
        dtype = x.dtype if node.version < 10 else "BOOL"
        return [x, values.fill(np.array(1, NUMPY_TYPE[dtype]), x.dims, dtype)]
    return [x]


@lowering("Transpose", inputs="data:any", attributes="perm")
def lower_transpose(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """Axis i of the result is axis perm[i]."""
    perm = ctx.attribute("perm", list(reversed(range(x.rank))))
    if sorted(perm) != list(range(x.rank)):
        raise NodeError(f"attribute 'perm' is {perm}, which is no order of the axes of {show(x.dims)}")
    return values.transpose(x, perm)


def _axes(ctx: Context, given: Value | None, rank: int) -> list[int] | None:
    """The attribute or the input `axes`, counted from the front and without repetition."""
    axes = ctx.attribute("axes") if given is None else ctx.constants(given, "input 'axes'")
    if axes is None:
        return None
    found = [ctx.axis(a, rank, "axes:") for a in axes]
    if len(set(found)) < len(found):
        raise NodeError(f"axes {axes} repeat one")
    return sorted(found)


@lowering("Squeeze", inputs="data:any", attributes="axes", until=12)
@lowering("Squeeze", inputs="data:any axes?:int64", since=13)
def lower_squeeze(ctx: Context, node: OnnxNode, x: Value, given: Value | None = None) -> Value:
    """Seen without the axes, or all axes, of length 1."""
    axes = _axes(ctx, given, x.rank)
    if axes is None:
        ctx.settle(*x.dims)
        axes = [i for i, d in enumerate(x.dims) if d == 1]
    for a in axes:
        ctx.equal(x.dims[a], 1, f"axis {a} of {show(x.dims)} has not the length 1")
    return values.drop_axes(x, axes)


@lowering("Unsqueeze", inputs="data:any", attributes="axes", until=12)
@lowering("Unsqueeze", inputs="data:any axes:int64", since=13)
def lower_unsqueeze(ctx: Context, node: OnnxNode, x: Value, given: Value | None = None) -> Value:
    """Seen with axes of length 1 at the places given."""
    count = len(ctx.attribute("axes", []) if given is None else ctx.constants(given, "input 'axes'"))
    axes = _axes(ctx, given, x.rank + count)
    if not axes:
        raise NodeError("has no axes")
    return values.insert_axes(x, axes)


@lowering("Flatten", inputs="input:any", attributes="axis")
def lower_flatten(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """Two axes: those before `axis`, and the rest."""
    axis = ctx.attribute("axis", 1)
    if not -x.rank <= axis <= x.rank:
        raise NodeError(f"attribute 'axis' is {axis}, outside {show(x.dims)}")
    axis = axis + x.rank if axis < 0 else axis
    return ctx.reshape(x, (dm.product(x.dims[:axis]), dm.product(x.dims[axis:])))


@lowering("Reshape", inputs="data:any shape:int64", until=13)
@lowering("Reshape", inputs="data:any shape:int64", attributes="allowzero", since=14)
def lower_reshape(ctx: Context, node: OnnxNode, x: Value, shape: Value) -> Value:
    """0 copies an axis, -1 takes what is left; the two sizes must be provably the same."""
    wanted = ctx.integers(shape, "input 'shape'")
    general = _target(ctx, x, _follow(ctx, x.dims, wanted))
    if general is None:
        general = _target(ctx, x, wanted)
    if general is None:
        left = dm.product(x.dims)
        ctx.settle(left, *wanted)
        right = [
            d if d != 0 or ctx.attribute("allowzero", 0) else x.dims[i]
            for i, d in enumerate(wanted)
            if d != 0 or i < x.rank
        ]
        if -1 not in right:
            ctx.equal(left, dm.product(right), f"reshapes {show(x.dims)} to {show(tuple(wanted))}")
            general = _target(ctx, x, wanted)
    if general is None:
        raise NodeError(
            f"cannot prove that {show(x.dims)} ({dm.product(x.dims)} elements) has the shape {show(tuple(wanted))}; "
            "fix the dimensions with --shape"
        )
    return ctx.reshape(x, general)


def _target(ctx: Context, x: Value, wanted: list[Size]) -> tuple[Size, ...] | None:
    """The shape with 0 and -1 put in, when it has as many elements as x."""
    dims: list[Size] = []
    hole = -1
    for i, d in enumerate(wanted):
        if d == -1:
            if hole >= 0:
                raise NodeError(f"the shape {wanted} has -1 twice")
            hole = i
            dims.append(1)
        elif d == 0 and not ctx.attribute("allowzero", 0):
            if i >= x.rank:
                raise NodeError(f"the shape {wanted} copies axis {i}, which {show(x.dims)} has not")
            dims.append(x.dims[i])
        elif isinstance(d, int) and d < 0:
            raise NodeError(f"the shape {wanted} has a negative dimension")
        else:
            dims.append(d)
    total = dm.product(x.dims)
    if hole >= 0:
        rest = dm.exact_div(total, dm.product(dims))
        if rest is None:
            return None
        dims[hole] = rest
    return tuple(dims) if dm.product(dims) == total else None


def _follow(ctx: Context, dims: tuple[Size, ...], wanted: list[Size]) -> list[Size]:
    """Constants of the shape that stand for tried symbols.

    An exporter of a static model writes [6, 2, 7] where it means [time, batch, 7]. Where the axes of both sides agree
    one by one, from the left or from the right up to a -1, the symbol takes the constant's place. At the declared sizes
    that is the same graph, and at other sizes the constant would have been an error.
    """
    zero_copies = not ctx.attribute("allowzero", 0)
    result = [dims[i] if d == 0 and zero_copies and i < len(dims) else d for i, d in enumerate(wanted)]
    for backwards in (False, True):
        old = list(reversed(dims)) if backwards else list(dims)
        order = range(len(wanted) - 1, -1, -1) if backwards else range(len(wanted))
        k = 0
        for j in order:
            if result[j] == -1:
                break
            while k < len(old) and old[k] == 1:
                k += 1
            if result[j] == 1:
                continue
            if k == len(old) or not _stands_for(ctx, old[k], result[j]):
                if k < len(old) and dm.symbol_name(old[k]) and ctx.sizes.hint(old[k]) == 1:
                    ctx.settle(old[k])  # 1 is moved or dropped: it is just 1
                merged = _merge(ctx, old, k, result[j])
                if merged is None:
                    break
                count, result[j] = merged
                k += count
                continue
            result[j] = old[k]
            k += 1
    return result


def _stands_for(ctx: Context, size: Size, number: Size) -> bool:
    return size == number or (isinstance(number, int) and ctx.sizes.hint(size) == number)


def _merge(ctx: Context, old: list[Size], k: int, number: Size) -> tuple[int, Size] | None:
    """(how many axes, their product), where several axes together have the declared size `number`."""
    total: Size = 1
    for count, size in enumerate(old[k:], 1):
        total = total * size
        if _stands_for(ctx, total, number):
            return count, total
    return None


# ---- references ------------------------------------------------------------------------------------------------------


@reference("Identity", exact=True)
@symbolic("Identity")
def reference_identity(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """The same."""
    return x


@reference("Dropout", exact=True)
def reference_dropout(node: OnnxNode, x: np.ndarray, *_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same, and a mask of true, or of 1."""
    return x, np.ones(x.shape, x.dtype if node.version < 10 else bool)


@reference("Transpose", exact=True)
@symbolic("Transpose")
def reference_transpose(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    return np.asarray(x.transpose(node.attributes.get("perm")))


def _known_axes(node: OnnxNode, axes: np.ndarray | None) -> tuple[int, ...] | None:
    given = node.attributes.get("axes") if axes is None else axes.tolist()
    return None if given is None else tuple(int(a) for a in given)


@reference("Squeeze", exact=True)
@symbolic("Squeeze")
def reference_squeeze(node: OnnxNode, x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    """Without axes of length 1."""
    result = np.squeeze(x, _known_axes(node, axes))
    return result if isinstance(result, np.ndarray) else x.reshape(())


@reference("Unsqueeze", exact=True)
@symbolic("Unsqueeze")
def reference_unsqueeze(node: OnnxNode, x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray:
    """With axes of length 1."""
    return np.expand_dims(x, _known_axes(node, axes) or ())


@reference("Flatten", exact=True)
def reference_flatten(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """Two axes."""
    axis = node.attributes.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


@reference("Reshape", exact=True)
@symbolic("Reshape")
def reference_reshape(node: OnnxNode, x: np.ndarray, shape: np.ndarray) -> np.ndarray | None:
    """0 copies an axis unless allowzero is 1."""
    if not all(isinstance(s, (int, np.integer)) for s in shape.flat):
        return None
    dims = [int(s) for s in shape.flat]
    if not node.attributes.get("allowzero", 0):
        dims = [x.shape[i] if d == 0 else d for i, d in enumerate(dims)]
    return x.reshape(dims)
