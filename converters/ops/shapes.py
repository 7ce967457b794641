# SPDX-License-Identifier: Apache-2.0
"""Shape, Size, Constant, ConstantOfShape, Expand, Range, Tile: what exporters calculate shapes with."""

from __future__ import annotations

import math

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..ir import FLOATS, NUMPY_TYPE
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference, symbolic
from ..values import Time, Value

_NAMES = {v: k for k, v in NUMPY_TYPE.items()}
MAX_RANGE = 1 << 20
_RANGE, _RANGE_27 = (f"start:{t}/int64/int32 limit:start delta:start" for t in ("float32/float64", "floats"))
_CONSTANTS = "value value_float value_floats value_int value_ints value_string value_strings sparse_value"


@lowering("Shape", inputs="data:any", until=14)
@lowering("Shape", inputs="data:any", attributes="start end", since=15)
def lower_shape(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """The dims, symbols and all, as numbers to calculate with."""
    return values.of_sizes(values.objects(list(x.dims[slice(ctx.attribute("start", 0), ctx.attribute("end"))])))


@lowering("Size", inputs="data:any")
def lower_size(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """The product of the dims."""
    return values.of_sizes(values.objects([dm.product(x.dims)]).reshape(()))


@lowering("Constant", inputs="", attributes="value", until=10)
@lowering("Constant", inputs="", attributes="value sparse_value", until=11, since=11)
@lowering("Constant", inputs="", attributes=_CONSTANTS, since=12)
def lower_constant(ctx: Context, node: OnnxNode) -> Value:
    """A constant: the attribute that it has."""
    if len(node.attributes) != 1:
        raise NodeError(f"must have one value, but has the attributes {sorted(node.attributes)}")
    ((name, value),) = node.attributes.items()
    if name == "value" and isinstance(value, np.ndarray):
        return values.of_array(value, _NAMES.get(value.dtype, str(value.dtype)))
    if name in ("value_float", "value_floats"):
        return values.of_array(np.array(value, np.float32), "F32")
    if name in ("value_int", "value_ints"):
        return values.of_array(np.array(value, np.int64), "I64")
    raise NodeError(f"attribute {name!r} is not supported")


@lowering("ConstantOfShape", inputs="input:int64", attributes="value", since=9)
def lower_constant_of_shape(ctx: Context, node: OnnxNode, shape: Value) -> Value:
    """One number seen in every element."""
    value = ctx.attribute("value", np.zeros(1, np.float32))
    if value.size != 1:
        raise NodeError(f"attribute 'value' has {value.size} elements, not 1")
    dtype = _NAMES.get(value.dtype, str(value.dtype))
    return _filled(ctx, value, tuple(ctx.integers(shape, "input 'shape'")), dtype)


def _filled(ctx: Context, value: np.ndarray, dims: tuple[Size, ...], dtype: str) -> Value:
    if any(isinstance(d, int) and d < 0 for d in dims):
        raise NodeError(f"the shape {show(dims)} has a negative dimension")
    if dtype in NUMPY_TYPE:
        ctx.check_size(dims, dtype)
    if dtype in ("I64", "I32") and len(dims) <= 1 and all(isinstance(d, int) and d <= 64 for d in dims):
        return values.of_array(
            np.full([int(d) for d in dims if isinstance(d, int)], value.reshape(()), value.dtype), dtype
        )
    result = values.fill(value, dims, dtype)
    if ctx.steps in dims:
        result.time = Time(dims.index(ctx.steps))
    return result


@lowering("Expand", inputs="input:any shape:int64", since=8)
def lower_expand(ctx: Context, node: OnnxNode, x: Value, shape: Value) -> Value:
    """Broadcast both ways; new axes have stride 0."""
    wanted = tuple(ctx.integers(shape, "input 'shape'"))
    if any(isinstance(d, int) and d < 0 for d in wanted):
        raise NodeError(f"the shape {show(wanted)} has a negative dimension")
    if x.const is not None and x.const.size and (x.const == x.const.flat[0]).all():
        x = _meant_for(ctx, x, wanted)
    dims = ctx.broadcast(x.dims, wanted)
    ctx.check_size(dims, "F32" if x.dtype not in NUMPY_TYPE else x.dtype)
    return ctx.expand(x, dims)


def _meant_for(ctx: Context, x: Value, wanted: tuple[Size, ...]) -> Value:
    """One number in a declared shape, in the shape that is wanted where both are the same at the declared sizes."""
    dims = list(x.dims)
    for i in range(1, min(len(dims), len(wanted)) + 1):
        if dims[-i] != wanted[-i] and ctx.sizes.hint(wanted[-i]) == dims[-i]:
            dims[-i] = wanted[-i]
    assert x.const is not None
    return values.fill(x.const.reshape(-1)[:1], tuple(dims), x.dtype)


@lowering("Range", inputs=_RANGE, since=11, until=26)
@lowering("Range", inputs=_RANGE_27, attributes="stash_type", since=27)
def lower_range(ctx: Context, node: OnnxNode, start: Value, limit: Value, delta: Value) -> Value:
    """A length that is known or follows from dimensions."""
    if start.const is not None and limit.const is not None and delta.const is not None:
        return values.of_array(reference_range(node, start.const, limit.const, delta.const), start.dtype)
    named = ((start, "start"), (limit, "limit"), (delta, "delta"))
    if start.dtype in FLOATS or any(v.tensor is not None for v, _ in named):
        raise NodeError("its length depends on data: bind the input that it comes from")
    first, last = (ctx.integers(v, f"input {n!r}")[0] for v, n in named[:2])
    (step,) = ctx.constants(delta, "input 'delta'")
    if step == 0:
        raise NodeError("input 'delta' is 0")
    span = last - first if step > 0 else first - last
    count = dm.maximum(dm.ceil_div(span, abs(step)), 0)
    target = ctx.new((count,), start.dtype)
    scalars = [values.reshape(values.of_sizes(values.objects([s]), start.dtype), (), None) for s in (first, step)]
    ctx.emit("range", [ctx.operand(v) for v in scalars if v is not None], [target])
    return values.of_tensor(target)


def places(ctx: Context, count: Size, start: int = 0, step: int = 1) -> Value:
    """start, start + step, ... as int64 [count]."""
    if isinstance(count, int):
        return values.of_array(start + step * np.arange(count), "I64")
    target = ctx.new((count,), "I64")
    scalars = [values.of_array(np.array(n, np.int64), "I64") for n in (start, step)]
    ctx.emit("range", [ctx.operand(v) for v in scalars], [target])
    return values.of_tensor(target)


@lowering("Tile", inputs="input:any repeats:int64")
def lower_tile(ctx: Context, node: OnnxNode, x: Value, repeats: Value) -> Value:
    """Along axes of length 1 it is Expand; along others the axis is repeated through an axis of stride 0 before it."""
    counts = ctx.integers(repeats, "input 'repeats'")
    if len(counts) != x.rank:
        raise NodeError(f"has {len(counts)} repeats for {x.rank} axes")
    result = x
    for axis, count in enumerate(counts):
        if count == 1:
            continue
        length = result.dims[axis]
        if length != 1 and (ctx.has_time(length) or ctx.has_time(count)):
            ctx.not_streamable("repeats the sequence")
        apart = values.insert_axes(result, [axis])
        dims = (*result.dims[:axis], count, *result.dims[axis:])
        ctx.check_size(dims, "F32" if x.dtype not in NUMPY_TYPE else x.dtype)
        wide = ctx.expand(apart, dims)
        result = ctx.reshape(wide, (*result.dims[:axis], count * length, *result.dims[axis + 1 :]))
    return result


# ---- references ------------------------------------------------------------------------------------------------------


@reference("Shape", exact=True)
def reference_shape(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """The dims."""
    return np.array(x.shape[slice(node.attributes.get("start", 0), node.attributes.get("end"))], np.int64)


@reference("Size", exact=True)
def reference_size(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """The number of elements."""
    return np.array(x.size, np.int64)


@reference("Constant", exact=True)
def reference_constant(node: OnnxNode) -> np.ndarray:
    """The attribute that it has."""
    ((name, value),) = node.attributes.items()
    return np.asarray(value, np.int64 if "int" in name else np.float32 if "float" in name else None)


@reference("ConstantOfShape", exact=True)
def reference_constant_of_shape(node: OnnxNode, shape: np.ndarray) -> np.ndarray:
    """One number in every element."""
    value = node.attributes.get("value", np.zeros(1, np.float32))
    return np.full(shape.tolist(), value.reshape(()), value.dtype)


@reference("Expand", exact=True)
def reference_expand(node: OnnxNode, x: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Broadcast both ways."""
    return np.asarray(np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist()))).copy())


@reference("Tile", exact=True)
def reference_tile(node: OnnxNode, x: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    return np.tile(x, repeats.tolist())


@reference("Range", exact=True)
def reference_range(node: OnnxNode, start: np.ndarray, limit: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """start + i * delta, rounded once, of a bounded length."""
    if node.attributes.get("stash_type", 1) != 1:
        raise NodeError(f"attribute 'stash_type' is {node.attributes['stash_type']}; float32 (1) is supported")
    first, last, step = (v.reshape(()).item() for v in (start, limit, delta))
    if step == 0:
        raise NodeError("input 'delta' is 0")
    if not abs(last - first) <= MAX_RANGE * abs(step):
        raise NodeError(f"from {first} to {last} by {step} has over {MAX_RANGE} elements")
    count = max(math.ceil((last - first) / step), 0)
    return np.asarray(first + np.arange(count) * step).astype(start.dtype)


@symbolic("ReduceProd")
def sizes_product(node: OnnxNode, x: np.ndarray, axes: np.ndarray | None = None) -> np.ndarray | None:
    """The product of a list of sizes."""
    if x.ndim != 1:
        return None
    result = values.objects([dm.product(list(x))])
    return result if node.attributes.get("keepdims", 1) else result.reshape(())
