# SPDX-License-Identifier: Apache-2.0
"""Gemm and MatMul -> the engine operator `dense`; constant weights are packed here, others by `pack` at run time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import dims as dm
from .. import packing, values
from ..errors import NodeError
from ..ir import Tensor
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Time, Value
from .activations import activated, activated_reference
from .elementwise import require_broadcast


def _packed(ctx: Context, b: Value) -> Tensor:
    """[..., K, N] as the weights of `dense`."""
    axes = list(range(b.rank - 2))
    swapped = values.transpose(b, [*axes, b.rank - 1, b.rank - 2])
    gates = values.insert_axes(swapped, [b.rank - 2])
    if b.const is not None:

        def make() -> Tensor:
            return ctx.weights(packing.pack_gates(np.asarray(gates.array(), np.float32)), "F32_PANELS", 64)

        return ctx.once(b.array(), "dense", make)
    *lead, depth, columns = b.dims
    ctx.settle(columns, depth)
    columns = dm.ceil_div(columns, packing.LANES) * packing.LANES
    target = ctx.new((*lead, depth, columns), "F32", "F32_PANELS", 64)
    ctx.emit("pack", [ctx.operand(gates)], [target])
    return target


def matmul(ctx: Context, a: Value, b: Value) -> Value:
    """a [..., M, K] times b [..., K, N], leading axes broadcast; both of rank 2 or more."""
    ctx.equal(a.dims[-1], b.dims[-2], f"the inner dimensions of {show(a.dims, b.dims)} differ")
    lead = ctx.broadcast(a.dims[:-2], b.dims[:-2])
    time, late = _follow_time(ctx, a, b, len(lead))
    dims = (*lead, a.dims[-2], b.dims[-1])
    target = ctx.new(dims, "F32")
    x = values.expand(a, (*lead, *a.dims[-2:])) if b.rank > 2 else a
    weights = _packed(ctx, b)
    ctx.emit("dense", [ctx.operand(x, rows=True), weights], [target], function="IDENTITY", alpha=0.0, beta=0.0)
    return replace(values.of_tensor(target, a.dtype), time=time, late=late)


def _follow_time(ctx: Context, a: Value, b: Value, lead: int) -> tuple[Time | None, bool]:
    """Steps may lie on the leading axes and on M; over K they are summed, on N they make the weights depend on them."""
    if ctx.sizes.time is None:
        return None, False
    for v, bad in ((a, (a.rank - 1,)), (b, (b.rank - 1, b.rank - 2))):
        lost = v.time is None and ctx.has_time(*v.dims)
        if lost or (v.time is not None and v.time.axis in bad):
            ctx.not_streamable("multiplies over the steps of the sequence")
            return None, False
    rank = lead + 2
    times = {v.time.on(v.time.axis + rank - v.rank) for v in (a, b) if v.time is not None}
    if len(times) > 1:
        ctx.not_streamable("combines different steps of the sequence")
    if times and (a.late or b.late):
        ctx.not_streamable("uses at each step what is known only after the last one")
    return (next(iter(times)), False) if times else (None, a.late or b.late)


@lowering("MatMul", inputs="A:floats B:A")
def lower_matmul(ctx: Context, node: OnnxNode, a: Value, b: Value) -> Value:
    """One `dense`; one-dimensional operands get an axis of length 1, which the result loses."""
    if not a.rank or not b.rank:
        raise NodeError("cannot multiply a scalar")
    wide_a = values.insert_axes(a, [0]) if a.rank == 1 else a
    wide_b = values.insert_axes(b, [1]) if b.rank == 1 else b
    result = matmul(ctx, wide_a, wide_b)
    axes = ([result.rank - 2] if a.rank == 1 else []) + ([result.rank - 1] if b.rank == 1 else [])
    return values.drop_axes(result, axes) if axes else result


@lowering(
    "FusedMatMul",
    inputs="A:floats B:A",
    attributes="alpha transA transB transBatchA transBatchB",
    domain="com.microsoft",
)
def lower_fused_matmul(ctx: Context, node: OnnxNode, a: Value, b: Value) -> Value:
    """alpha * a b with the last two axes swapped on request: what onnxruntime's optimizer saves."""
    if ctx.attribute("transBatchA", 0) or ctx.attribute("transBatchB", 0):
        raise NodeError("attribute 'transBatchA' or 'transBatchB' is set, which is not supported")
    if a.rank < 2 or b.rank < 2:
        raise NodeError("is supported from rank 2 on")
    a, b = (_swapped(v) if ctx.attribute(f"trans{n}", 0) else v for n, v in (("A", a), ("B", b)))
    return _scaled(ctx, matmul(ctx, a, b), ctx.attribute("alpha", 1.0))


def _swapped(v: Value) -> Value:
    return values.transpose(v, [*range(v.rank - 2), v.rank - 1, v.rank - 2])


def _scaled(ctx: Context, v: Value, factor: float) -> Value:
    if factor == 1.0:
        return v
    return ctx.elementwise("MUL", v, values.of_array(np.array(factor, np.float32), v.dtype))


def _times(v: Value, factor: float) -> Value:
    """A constant times a number, rounded once."""
    assert v.const is not None
    with np.errstate(all="ignore"):
        return replace(v, const=(v.const.astype(np.float64) * factor).astype(np.float32))


@lowering("Gemm", inputs="A:floats B:A C:A", attributes="alpha beta transA transB", until=10)
@lowering("Gemm", inputs="A:floats B:A C?:A", attributes="alpha beta transA transB", since=11)
def lower_gemm(ctx: Context, node: OnnxNode, a: Value, b: Value, c: Value | None = None) -> Value:
    """alpha * A B + beta * C; constant factors go into the constants."""
    if a.rank != 2 or b.rank != 2:
        raise NodeError(f"takes matrices, not {show(a.dims, b.dims)}")
    a, b = (_swapped(v) if ctx.attribute(f"trans{n}", 0) else v for n, v in (("A", a), ("B", b)))
    alpha, beta = ctx.attribute("alpha", 1.0), ctx.attribute("beta", 1.0)
    if alpha != 1.0 and b.const is not None:
        b, alpha = _times(b, alpha), 1.0
    result = _scaled(ctx, matmul(ctx, a, b), alpha)
    if c is None or beta == 0.0:
        return result
    if beta != 1.0 and c.const is not None:
        c, beta = _times(c, beta), 1.0
    require_broadcast(ctx, c, result.dims, "input C")
    return ctx.elementwise("ADD", result, _scaled(ctx, c, beta))


_ACTIVATED = "activation activation_alpha activation_beta activation_gamma alpha beta transA transB"


@lowering("FusedGemm", inputs="A:floats B:A C?:A", attributes=_ACTIVATED, domain="com.microsoft")
def lower_fused_gemm(ctx: Context, node: OnnxNode, a: Value, b: Value, c: Value | None) -> Value:
    """Gemm and an activation: what onnxruntime's optimizer saves."""
    return activated(ctx, lower_gemm(ctx, node, a, b, c), _parameters(node), ctx.attribute("activation_gamma"))


def _parameters(node: OnnxNode) -> list[float]:
    """Those of the activation of a FusedGemm that are given."""
    return [node.attributes[n] for n in ("activation_alpha", "activation_beta") if n in node.attributes]


@reference("MatMul")
def reference_matmul(node: OnnxNode, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """NumPy's own."""
    return np.asarray(np.matmul(a, b))


@reference("FusedMatMul", domain="com.microsoft")
def reference_fused(node: OnnxNode, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """alpha * a b."""
    a = np.swapaxes(a, -1, -2) if node.attributes.get("transA", 0) else a
    b = np.swapaxes(b, -1, -2) if node.attributes.get("transB", 0) else b
    return np.asarray(node.attributes.get("alpha", 1.0) * np.matmul(a, b))


@reference("Gemm")
def reference_gemm(node: OnnxNode, a: np.ndarray, b: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
    """alpha * A B + beta * C."""
    a = a.T if node.attributes.get("transA", 0) else a
    b = b.T if node.attributes.get("transB", 0) else b
    result = node.attributes.get("alpha", 1.0) * (a @ b)
    return np.asarray(result if c is None else result + node.attributes.get("beta", 1.0) * c)


@reference("FusedGemm", domain="com.microsoft")
def reference_fused_gemm(node: OnnxNode, a: np.ndarray, b: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
    """Gemm and an activation."""
    result = activated_reference(node, reference_gemm(node, a, b, c), _parameters(node))
    return np.asarray(node.attributes.get("activation_gamma", 1.0) * result)
