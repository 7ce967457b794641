# SPDX-License-Identifier: Apache-2.0
"""RNN, LSTM and GRU -> the engine operator `recurrent`.

The gates' sums (X_t W^T + H_{t-1} R^T + Wb + Rb) and ONNX's order of gates (LSTM i o f c, GRU z r h) are the engine's
too, so only the layout of the weights changes. y [T, D, B, H] is ONNX's own; layout 1 is a transposed view of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import packing, values
from ..dims import Size
from ..errors import NodeError
from ..ir import Tensor
from ..lowering import Context, Recurrence, show
from ..onnx_model import OnnxNode
from ..registry import lowering
from ..values import Time, Value

GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}

# Lower-case ONNX name -> (function, default alpha, default beta); None: it takes none.
ACTIVATIONS: dict[str, tuple[str, float | None, float | None]] = {
    "relu": ("RELU", None, None),
    "tanh": ("TANH", None, None),
    "sigmoid": ("SIGMOID", None, None),
    "affine": ("AFFINE", 1.0, 0.0),
    "leakyrelu": ("LEAKY_RELU", 0.01, None),
    "thresholdedrelu": ("THRESHOLDED_RELU", 1.0, None),
    "scaledtanh": ("SCALED_TANH", 1.0, 1.0),
    "hardsigmoid": ("HARD_SIGMOID", 0.2, 0.5),
    "elu": ("ELU", 1.0, None),
    "softsign": ("SOFTSIGN", None, None),
    "softplus": ("SOFTPLUS", None, None),
}
_DEFAULTS = {"RNN": ["tanh"], "LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}
_DIRECTIONS = {"forward": ("FORWARD", 1), "reverse": ("REVERSE", 1), "bidirectional": ("BIDIRECTIONAL", 2)}
_COMMON = "activation_alpha activation_beta activations clip direction hidden_size"
_GRU, _LSTM = _COMMON + " linear_before_reset", _COMMON + " input_forget"
_INPUTS = "X:floats W:X R:X B?:X sequence_lens?:int32/int64 initial_h?:X"
_LSTM_INPUTS = _INPUTS + " initial_c?:X P?:X"


@dataclass(frozen=True, slots=True)
class Cell:
    """The attributes of a node, checked."""

    kind: str
    direction: str
    directions: int
    hidden: int
    layout: int
    clip: float
    linear_before_reset: int
    input_forget: int
    activations: list[tuple[str, float, float]]


def activations(node: OnnxNode, directions: int) -> list[tuple[str, float, float]]:
    """(function, alpha, beta) for each activation of each direction; values go to those that take one, in order."""
    per_direction = _DEFAULTS[node.op]
    names = node.attributes.get("activations") or per_direction * directions
    if len(names) != len(per_direction) * directions:
        raise NodeError(
            f"attribute 'activations' has {len(names)} entries {names}, not {len(per_direction) * directions}"
        )
    rows = []
    for name in names:
        if name.lower() not in ACTIVATIONS:
            raise NodeError(f"attribute 'activations' holds {name!r}, which is no activation of ONNX")
        rows.append(ACTIVATIONS[name.lower()])
    alphas = _parameters(node, "activation_alpha", [r[1] for r in rows])
    betas = _parameters(node, "activation_beta", [r[2] for r in rows])
    return [(row[0], a, b) for row, a, b in zip(rows, alphas, betas, strict=True)]


def _parameters(node: OnnxNode, name: str, defaults: list[float | None]) -> list[float]:
    given = list(node.attributes.get(name) or [])
    takers = [i for i, d in enumerate(defaults) if d is not None]
    result = [0.0 if d is None else d for d in defaults]
    if len(given) == len(defaults):  # one for each function, also for those that take none
        return [g if d is not None else 0.0 for g, d in zip(given, defaults, strict=True)]
    if len(given) > len(takers):
        raise NodeError(f"attribute {name!r} has {len(given)} values, but {len(takers)} of the activations take one")
    for i, value in zip(takers, given, strict=False):
        result[i] = value
    return result


def cell(node: OnnxNode, hidden: int) -> Cell:
    """The attributes, checked against hidden, the size that R has."""
    attributes = node.attributes
    direction = attributes.get("direction", "forward")
    if direction not in _DIRECTIONS:
        raise NodeError(f"attribute 'direction' is {direction!r}, not forward, reverse or bidirectional")
    if attributes.get("hidden_size", hidden) != hidden:
        raise NodeError(f"attribute 'hidden_size' is {attributes['hidden_size']}, but R has {hidden} columns")
    flags = {}
    for name in ("layout", "linear_before_reset", "input_forget"):
        flags[name] = attributes.get(name, 0)
        if flags[name] not in (0, 1):
            raise NodeError(f"attribute {name!r} is {flags[name]}, not 0 or 1")
    clip = attributes.get("clip", math.inf)
    if not clip > 0:
        raise NodeError(f"attribute 'clip' is {clip}, which is not positive")
    name, count = _DIRECTIONS[direction]
    if node.op != "LSTM":
        flags["input_forget"] = 0
    return Cell(node.op, name, count, hidden, clip=clip, activations=activations(node, count), **flags)


@lowering("RNN", inputs=_INPUTS, outputs=(0, 2), attributes=_COMMON, until=13)
@lowering("RNN", inputs=_INPUTS, outputs=(0, 2), attributes=_COMMON + " layout", since=14)
@lowering("GRU", inputs=_INPUTS, outputs=(0, 2), attributes=_GRU, until=13)
@lowering("GRU", inputs=_INPUTS, outputs=(0, 2), attributes=_GRU + " layout", since=14)
@lowering("LSTM", inputs=_LSTM_INPUTS, outputs=(0, 3), attributes=_LSTM, until=13)
@lowering("LSTM", inputs=_LSTM_INPUTS, outputs=(0, 3), attributes=_LSTM + " layout", since=14)
def lower(
    ctx: Context,
    node: OnnxNode,
    x: Value,
    w: Value,
    r: Value,
    b: Value | None = None,
    lengths: Value | None = None,
    h0: Value | None = None,
    c0: Value | None = None,
    p: Value | None = None,
) -> list[Value | None]:
    """One node is one operator; weights that are not constant are packed at run time."""
    given = {"X": x, "W": w, "R": r, "B": b, "initial_h": h0, "initial_c": c0, "P": p}
    for name, v in given.items():
        rank = 2 if name in ("B", "P") else 3
        if v is not None and (v.rank != rank):
            raise NodeError(f"input {name!r} has the shape {show(v.dims)}; {rank} axes are needed")
    hidden = ctx.number(r.dims[2], f"the hidden size is {r.dims[2]}; it must be constant")
    c = cell(node, hidden)
    if c.layout:
        x = values.transpose(x, [1, 0, 2])
        h0, c0 = (None if v is None else values.transpose(v, [1, 0, 2]) for v in (h0, c0))
    _, rows, width = x.dims
    gates = GATES[node.op]
    shapes: dict[str, tuple[Size, ...]] = {
        "W": (c.directions, gates * hidden, width),
        "R": (c.directions, gates * hidden, hidden),
        "B": (c.directions, 2 * gates * hidden),
        "P": (c.directions, 3 * hidden),
        "initial_h": (c.directions, rows, hidden),
        "initial_c": (c.directions, rows, hidden),
    }
    given |= {"initial_h": h0, "initial_c": c0}
    h0, c0 = (_checked(ctx, given, shapes, n) for n in ("initial_h", "initial_c"))
    for name in ("W", "R", "B", "P"):
        _checked(ctx, given, shapes, name)
    lengths = _checked_lengths(ctx, lengths, x)
    weights = _weights(ctx, c, w, r, b)
    inputs: list[Tensor | None] = [ctx.operand(x, rows=True), *weights, _peepholes(ctx, c, p)]
    inputs += [None if lengths is None else _lengths(ctx, lengths), _initial(ctx, h0), _initial(ctx, c0)]
    return _emit(ctx, node, c, inputs, x)


def _checked(
    ctx: Context, given: dict[str, Value | None], shapes: dict[str, tuple[Size, ...]], name: str
) -> Value | None:
    """The operand, its dimensions held against the others. A constant state of one row serves any number of rows."""
    v = given[name]
    if v is None:
        return None
    if name.startswith("initial") and v.const is not None:
        if not v.const.any():
            return None  # zeros, which an absent one stands for
        if v.dims[1] == 1 or (v.const.shape[1] == 1 and ctx.sizes.tried(shapes[name][1])):
            one = replace(v, dims=(v.dims[0], 1, v.dims[2]))
            v = values.expand(one, (v.dims[0], shapes[name][1], v.dims[2]))
    for have, want in zip(v.dims, shapes[name], strict=True):
        ctx.equal(have, want, f"input {name!r} has the shape {show(v.dims)}, not {show(shapes[name])}")
    return v


def _checked_lengths(ctx: Context, v: Value | None, x: Value) -> Value | None:
    """None where every row has all steps."""
    steps, rows, _ = x.dims
    if v is None:
        return None
    text = f"input 'sequence_lens' has the shape {show(v.dims)}, not [{rows}]"
    ctx.equal(v.dims[0] if v.rank == 1 else 0, rows, text)
    known = v.const if v.const is not None else v.sym
    if known is not None and all(n == steps for n in known.flat):
        return None
    if x.time is not None and x.time.axis == 0:
        ctx.not_streamable("has sequence lengths, which count from the first step of a call")
    return v


def _lengths(ctx: Context, v: Value) -> Tensor:
    """ONNX says int32; some exporters write int64."""
    return ctx.operand(v if v.dtype == "I32" else ctx.elementwise("I_IDENTITY", v, dtype="I32"))


def _initial(ctx: Context, v: Value | None) -> Tensor | None:
    return None if v is None else ctx.operand(v)


def _weights(ctx: Context, c: Cell, w: Value, r: Value, b: Value | None) -> list[Tensor | None]:
    """input_weights, recurrent_weights, bias, and the hidden gate's three, as ops.def lists them."""
    gates, h = GATES[c.kind], c.hidden
    w4 = ctx.reshape(w, (c.directions, gates, h, w.dims[2]))
    r4 = ctx.reshape(r, (c.directions, gates, h, h))
    if b is None:
        b = values.of_array(np.zeros((c.directions, 2 * gates * h), np.float32), w.dtype)
    b5 = ctx.reshape(b, (c.directions, 2, gates, h))
    wb, rb = (values.drop_axes(values.slice_axis(b5, 1, i, 1), [1]) for i in (0, 1))
    if c.kind != "GRU":
        return [_matrix(ctx, w4), _matrix(ctx, r4), _vector(ctx, wb, rb), None, None, None]
    (w_zr, w_h), (r_zr, r_h) = _split(w4), _split(r4)
    (wb_zr, wb_h), (rb_zr, rb_h) = _split(wb), _split(rb)
    if not c.linear_before_reset:
        return [
            _matrix(ctx, w_zr),
            _matrix(ctx, r_zr),
            _vector(ctx, wb_zr, rb_zr),
            _matrix(ctx, w_h),
            _matrix(ctx, r_h),
            _vector(ctx, wb_h, rb_h),
        ]
    bias = _gru_bias(ctx, wb, rb)
    return [_matrix(ctx, w4), _matrix(ctx, r4), bias, None, None, _vector(ctx, rb_h, None)]


def _split(v: Value) -> tuple[Value, Value]:
    return values.slice_axis(v, 1, 0, 2), values.slice_axis(v, 1, 2, 1)


def _gru_bias(ctx: Context, wb: Value, rb: Value) -> Tensor:
    """z and r get both biases, h the input's alone: its recurrent bias belongs inside the reset gate's product."""
    mask = np.array([1, 1, 0], np.float32).reshape(1, 3, 1)
    if rb.const is not None:
        return _vector(ctx, wb, replace(rb, const=np.float32(rb.array()) * mask))
    return _vector(ctx, wb, ctx.elementwise("MUL", rb, values.of_array(mask, rb.dtype)))


def _matrix(ctx: Context, v: Value) -> Tensor:
    """[D, G, U, K] packed."""
    directions, gates, units, depth = v.dims
    width = packing.panel_width(gates)  # type: ignore[arg-type]
    if v.const is not None:
        return ctx.weights(packing.pack_gates(np.asarray(v.array(), np.float32)), "F32_PANELS", width)
    dims = (directions, depth, gates * packing.padded(units))  # type: ignore[arg-type]
    target = ctx.new(dims, "F32", "F32_PANELS", width)
    ctx.emit("pack", [ctx.operand(v)], [target])
    return target


def _vector(ctx: Context, v: Value, addend: Value | None) -> Tensor:
    """[D, G, U] (+ addend) in the order of the columns; the sum is rounded once, in float32."""
    directions, gates, units = v.dims
    if v.const is not None and (addend is None or addend.const is not None):
        total = np.float32(v.array()) if addend is None else np.float32(v.array()) + np.float32(addend.array())
        return ctx.weights(packing.pack_vectors(total))
    target = ctx.new((directions, gates * packing.padded(units)), "F32")  # type: ignore[arg-type]
    parts = [ctx.operand(values.insert_axes(t, [3])) for t in (v, addend) if t is not None]
    ctx.emit("pack", list(parts), [target])
    return target


def _peepholes(ctx: Context, c: Cell, p: Value | None) -> Tensor | None:
    """[D, 3*H] -> [D, 3, Hp]."""
    if p is None or (p.const is not None and not p.const.any()):
        return None
    p3 = ctx.reshape(p, (c.directions, 3, 1, c.hidden))
    if p3.const is not None:
        return ctx.weights(packing.pack_vectors(np.float32(p3.array())))
    target = ctx.new((c.directions, 3, packing.padded(c.hidden)), "F32")
    ctx.emit("pack", [ctx.operand(values.insert_axes(p3, [4]))], [target])
    return target


def _emit(ctx: Context, node: OnnxNode, c: Cell, inputs: list[Tensor | None], x: Value) -> list[Value | None]:
    steps, rows, _ = x.dims
    over_time, y_time, late = _follow_time(ctx, c, x)
    names = node.outputs + [""] * 3
    y, y_h, y_c = names[0], names[1], names[2]
    whole = (c.directions, rows, c.hidden)
    outputs = [
        ctx.new((steps, *whole), "F32") if y else None,
        ctx.new(whole, "F32") if y_h else None,
        ctx.new(whole, "F32") if y_c else None,
    ]
    numbers = {"hidden_size": c.hidden, "direction": c.direction, "linear_before_reset": c.linear_before_reset}
    made = ctx.emit(
        "recurrent",
        inputs,
        list(outputs),
        cell=c.kind,
        **numbers,
        input_forget=c.input_forget,
        clip=c.clip,
        activations=c.activations,
    )
    ctx.recurrences.append(Recurrence(ctx.where, made, steps, rows, over_time, c.direction != "FORWARD"))
    results: list[Value | None] = []
    for tensor, time, is_late in zip(
        outputs, (y_time, None, None), (late, late or over_time, late or over_time), strict=True
    ):
        results.append(None if tensor is None else replace(values.of_tensor(tensor, x.dtype), time=time, late=is_late))
    if x.time is not None and not over_time:
        for i in (1, 2):
            if results[i] is not None:
                results[i] = replace(results[i], time=x.time.on(1), late=False)  # type: ignore[type-var]
    if c.layout:
        perms = ([2, 0, 1, 3], [1, 0, 2], [1, 0, 2])
        results = [None if v is None else values.transpose(v, p) for v, p in zip(results, perms, strict=True)]
    return results[: len(node.outputs)]


def _follow_time(ctx: Context, c: Cell, x: Value) -> tuple[bool, Any, bool]:
    """(whether it runs over the time axis, time of y, late). Across another axis it starts afresh at each step."""
    if x.time is None:
        if ctx.has_time(*x.dims):
            ctx.not_streamable("reads a sequence whose steps are mixed")
        return False, None, x.late
    axis, inner, _ = x.time
    if axis == 0 and inner == 1 and x.dims[0] == ctx.steps:
        if c.direction != "FORWARD":
            ctx.not_streamable(
                "runs backwards over the sequence" if c.directions == 1 else "also runs backwards over the sequence"
            )
        return True, Time(0), False
    if axis == 1:
        return False, x.time.on(2), x.late
    ctx.not_streamable("runs over an axis that holds more than the steps of the sequence")
    return False, None, False
