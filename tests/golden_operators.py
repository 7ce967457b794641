# SPDX-License-Identifier: Apache-2.0
"""Golden cases of the other operators: every function, type, kind and layout."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from onnx import helper

import graphs
from golden_build import BATCH, CASES, Case, Made, case, converted, f32, normal, view, whole
from graphs import value
from tinyrnn import format as fmt
from tinyrnn.converters import dims as dm
from tinyrnn.converters import packing
from tinyrnn.converters.ir import NUMPY_TYPE, Node, Tensor

IDENTITY: dict[str, Any] = {"function": "IDENTITY", "alpha": 0.0, "beta": 0.0}


# ---- Products and convolutions ----


def of_dense(precision: str = "float32", leading: tuple[int, ...] = (), options: dict[str, Any] | None = None) -> Case:
    """A dense layer; `leading` are axes of the matrices. options: bias, range, width, function."""
    options = options or {}
    made, n = Made(), 21
    x = made.input("x", normal(2, 4, 9), (BATCH, 4, 9))
    y = made.output("y", (BATCH, 4, n))
    matrices = np.zeros((*leading, 9, 32), f32)
    matrices[..., :n] = normal(*leading, 9, n, seed=1)
    bias = made.constant(normal(n, seed=2)) if options.get("bias", True) else None
    bound = made.constant(np.array([1.5], f32)) if options.get("range") else None
    function = {**IDENTITY, **options.get("function", {})}
    made.op("dense", [x, made.packed(matrices, options.get("width", 64), precision), bias, bound], [y], **function)
    return made.case()


DENSE: dict[str, tuple[Any, ...]] = {
    "dense": (),
    "dense_leading_leaky": ("float32", (2,), {"function": {"function": "LEAKY_RELU", "alpha": 0.1}}),
    "dense_no_bias": ("float32", (), {"bias": False}),
    "dense_int8": ("int8", (), {"function": {"function": "TANH"}}),
    "dense_int8_range": ("int8", (2,), {"range": True, "bias": False}),
    "dense_int16": ("int16",),
    "dense_int16_range": ("int16", (2,), {"range": True, "bias": False}),
    "dense_panels_of_16": ("float32", (2,), {"width": 16}),
    "dense_int8_panels_of_16": ("int8", (), {"width": 16}),
}
CASES |= {name: partial(of_dense, *given) for name, given in DENSE.items()}


@case
def dense_packed_weights() -> Case:
    """A matrix that is an input."""
    made = Made()
    x, w = made.input("x", normal(3, 7)), made.input("w", normal(7, 5, seed=1))
    y = made.output("y", (3, 5))
    packed = Tensor("", "F32", (7, 16), packing="F32_PANELS", panel_width=64)
    made.op("pack", [view(w, 0, (1, 5, 7), (0, 1, 5))], [packed])
    made.op("dense", [x, packed, None, None], [y], **IDENTITY)
    return made.case()


@case
def recurrent_packed_weights() -> Case:
    """A GRU whose weights and both halves of whose biases are inputs."""
    nodes = [helper.make_node("GRU", ["x", "W", "R", "B"], ["Y"], hidden_size=5, linear_before_reset=1)]
    given = graphs.weights("GRU", 3, 5)
    ports = [value("x", ["time", "batch", 3]), *(value(name, list(a.shape)) for name, a in given.items())]
    proto = graphs.model(nodes, ports, [value("Y", ["time", 1, "batch", 5])], {})
    return converted(proto, {"x": normal(4, 2, 3), **given})


def of_conv(
    spatial: Sequence[int],
    window: Sequence[Sequence[int]],
    groups: int = 1,
    precision: str = "float32",
    options: dict[str, Any] | None = None,
) -> Case:
    """A convolution of 4 channels into 6; options: outputs instead of 6, width, bias, range, function, depthwise."""
    options = options or {}
    made = Made()
    sizes = []
    for size, (kernel, stride, dilation, begin, end, up) in zip(spatial, window, strict=True):
        sizes.append(((size - 1) * up + 1 + begin + end - (kernel - 1) * dilation - 1) // stride + 1)
    outputs = 4 if options.get("depthwise") else options.get("outputs", 6)
    x = made.input("x", normal(2, 4, *spatial), (BATCH, 4, *spatial))
    y = made.output("y", (BATCH, outputs, *sizes))
    taps = int(np.prod([w[0] for w in window]))
    if options.get("depthwise"):
        weights = made.constant(normal(taps, 4, seed=1))
    else:
        matrices = np.zeros((groups, taps * 4 // groups, packing.padded(outputs // groups)), f32)
        matrices[..., : outputs // groups] = normal(groups, taps * 4 // groups, outputs // groups, seed=1) / 2
        weights = made.packed(matrices, options.get("width", 32), precision)
    bias = made.constant(normal(outputs, seed=2)) if options.get("bias", True) else None
    bound = made.constant(np.array([1.5], f32)) if options.get("range") else None
    function = {**IDENTITY, **options.get("function", {})}
    made.op("conv", [x, weights, bias, bound], [y], **function, window=[tuple(w) for w in window])
    return made.case()


CONV: dict[str, tuple[Any, ...]] = {
    "conv1": ((9,), [(3, 1, 1, 1, 1, 1)]),
    "conv1_strided_dilated_groups": ((12,), [(3, 2, 2, 2, 0, 1)], 2, "float32", {"bias": False}),
    "conv1_cropped": ((9,), [(2, 1, 1, -1, -2, 1)], 1, "float32", {"function": {"function": "ELU", "alpha": 0.5}}),
    "conv1_transposed": ((5,), [(4, 1, 1, 2, 3, 3)]),
    "conv1_depthwise": ((9,), [(3, 1, 2, 2, 2, 1)], 1, "float32", {"depthwise": True}),
    "conv2": ((5, 6), [(3, 1, 1, 1, 1, 1), (2, 2, 1, 0, 1, 1)]),
    "conv2_depthwise": ((5, 6), [(2, 2, 1, 1, 0, 1), (3, 1, 1, 1, 1, 1)], 1, "float32", {"depthwise": True}),
    "conv3": ((3, 4, 5), [(2, 1, 1, 0, 1, 1), (3, 2, 1, 1, 1, 1), (2, 1, 2, 1, 1, 1)], 2),
    "conv1_panels_of_48": ((9,), [(3, 1, 1, 1, 1, 1)], 1, "float32", {"outputs": 70, "width": 48}),
    "conv1_int16_panels_of_48": ((9,), [(3, 1, 1, 1, 1, 1)], 1, "int16", {"outputs": 70, "width": 48}),
    "conv1_int8": ((9,), [(3, 1, 1, 1, 1, 1)], 2, "int8"),
    "conv2_int8_range": ((5, 6), [(3, 1, 1, 1, 1, 1), (2, 2, 1, 0, 1, 1)], 1, "int8", {"range": True, "bias": False}),
    "conv1_int16": ((9,), [(3, 2, 1, 1, 1, 1)], 1, "int16", {"function": {"function": "RELU"}}),
}
CASES |= {name: partial(of_conv, *given) for name, given in CONV.items()}


@case
def pools() -> Case:
    """Both kinds of pooling, with and without padding that counts."""
    made = Made()
    x = made.input("x", normal(2, 3, 7, 6))
    line = view(x, 0, (2, 3, 42), (126, 42, 1))
    window = [(3, 2, 1, 1, 1, 1), (2, 1, 2, 0, 1, 1)]
    for kind, count in (("MAX", 0), ("AVERAGE", 0), ("AVERAGE", 1)):
        y = made.output(f"{kind.lower()}{count}", (2, 3, 4, 5))
        made.op("pool", [x], [y], kind=kind, count_padding=count, window=window)
        y = made.output(f"{kind.lower()}{count}_line", (2, 3, 10))
        made.op("pool", [line], [y], kind=kind, count_padding=count, window=[(5, 4, 1, 0, 0, 1)])
    return made.case()


# ---- Rows ----


@case
def normalizations() -> Case:
    """Each kind, over rows that are longer than eight lanes and shorter."""
    made = Made()
    for size in (21, 3):
        x = made.input(f"x{size}", 2 * normal(4, size, seed=size))
        for kind, epsilon in (("SOFTMAX", 0.0), ("LOG_SOFTMAX", 0.0), ("MEAN_VARIANCE", 1e-3)):
            y = made.output(f"{kind.lower()}{size}", (4, size))
            made.op("normalize", [x], [y], kind=kind, epsilon=epsilon)
    return made.case()


@case
def reductions_float() -> Case:
    """Each kind over one axis, over two, and over one that is not contiguous."""
    made = Made()
    x = made.input("x", normal(3, 4, 19) + f32(0.2))
    turned = view(x, 0, (4, 19, 3), (19, 1, 76))
    for kind in ("SUM", "MEAN", "PROD", "MAX", "MIN", "ARG_MAX", "ARG_MAX_LAST", "ARG_MIN", "ARG_MIN_LAST"):
        dtype = "I64" if kind.startswith("ARG") else "F32"
        for name, given, axes, dims in (("one", x, 1, (3, 4)), ("two", x, 2, (3,)), ("turned", turned, 1, (4, 19))):
            y = made.output(f"{kind.lower()}_{name}", dims, dtype)
            made.op("reduce", [given], [y], kind=kind, axes=axes)
    return made.case()


@case
def reductions_integer() -> Case:
    """Each kind in each integer type; sums wrap around."""
    made = Made()
    for dtype in ("I64", "I32", "I8", "U8", "BOOL"):
        high = 1 if dtype == "BOOL" else 100
        low = 0 if dtype in ("U8", "BOOL") else -100
        x = made.input(f"x_{dtype}", whole(low, high, 3, 11, dtype=NUMPY_TYPE[dtype]))
        kinds = ("MAX", "MIN", "ARG_MAX", "ARG_MAX_LAST", "ARG_MIN", "ARG_MIN_LAST")
        for kind in kinds if dtype == "BOOL" else ("SUM", "MEAN", "PROD", *kinds):
            y = made.output(f"{kind.lower()}_{dtype}", (3,), "I64" if kind.startswith("ARG") else dtype)
            made.op("reduce", [x], [y], kind=kind, axes=1)
    return made.case()


@case
def reductions_of_nothing() -> Case:
    """What the kinds give for no elements."""
    made = Made()
    for dtype in ("F32", "I64", "I32", "I8", "U8"):
        x = made.input(f"x_{dtype}", np.zeros((2, 0), NUMPY_TYPE[dtype]))
        for kind in ("SUM", "PROD", "MAX", "MIN"):
            made.op("reduce", [x], [made.output(f"{kind.lower()}_{dtype}", (2,), dtype)], kind=kind, axes=1)
    return made.case()


# ---- What data tells where to read and write ----


@case
def gathers() -> Case:
    """Along each axis, by both types of indices, from each type."""
    made = Made()
    for axis, (dtype, index) in enumerate([("F32", "I64"), ("U8", "I32"), ("I64", "I64")]):
        x = made.input(f"x{axis}", whole(0, 200, 3, 4, 5, dtype=NUMPY_TYPE[dtype], seed=axis))
        size = (3, 4, 5)[axis]
        i = made.input(f"i{axis}", whole(-size, size - 1, 2, 3, dtype=NUMPY_TYPE[index], seed=axis))
        dims = [3, 4, 5]
        made.op("gather", [x, i], [made.output(f"y{axis}", (*dims[:axis], 2, 3, *dims[axis + 1 :]), dtype)], axis=axis)
    i = made.input("one", np.array(-2, np.int32))
    made.op("gather", [x, i], [made.output("row", (4, 5), "I64")], axis=0)
    return made.case()


@case
def gathers_of_elements() -> Case:
    """gather_elements along both axes; gather_nd with and without axes in common."""
    made = Made()
    x = made.input("x", normal(3, 4, 5))
    for axis, dims, dtype in ((0, (2, 4, 3), np.int64), (2, (3, 2, 7), np.int32)):
        i = made.input(f"i{axis}", whole(-3, 2, *dims, dtype=dtype, seed=axis))
        made.op("gather_elements", [x, i], [made.output(f"elements{axis}", dims)], axis=axis)
    n = made.input("n", whole(-3, 2, 4, 2))
    made.op("gather_nd", [x, n], [made.output("nd", (4, 5))], batch_axes=0)
    b = made.input("b", whole(-4, 3, 3, 2, 1, dtype=np.int32))
    made.op("gather_nd", [x, b], [made.output("nd_batch", (3, 2, 5))], batch_axes=1)
    return made.case()


@case
def scatters() -> Case:
    """Every kind of both operators, in float and in integers that wrap around, places that repeat among them."""
    made = Made()
    for dtype in ("F32", "I32", "U8", "I64", "I8", "BOOL"):
        high = 1 if dtype == "BOOL" else 90
        x = made.input(f"x_{dtype}", whole(0, high, 3, 4, dtype=NUMPY_TYPE[dtype]))
        u = made.input(f"u_{dtype}", whole(0, high, 3, 4, dtype=NUMPY_TYPE[dtype], seed=1))
        i = made.input(f"i_{dtype}", whole(-3, 2, 3, 4, dtype=np.int32 if dtype == "I32" else np.int64, seed=2))
        n = made.input(f"n_{dtype}", whole(-3, 2, 3, 1, seed=3))
        for kind in ("SET",) if dtype in ("BOOL", "I8") else ("SET", "ADD", "MUL", "MAX", "MIN"):
            y = made.output(f"elements_{kind.lower()}_{dtype}", (3, 4), dtype)
            made.op("scatter_elements", [x, i, u], [y], axis=0, kind=kind)
            y = made.output(f"nd_{kind.lower()}_{dtype}", (3, 4), dtype)
            made.op("scatter_nd", [x, n, u], [y], kind=kind)
    return made.case()


@case
def sequences() -> Case:
    """range in each of its types, with a size that a symbol gives; shape."""
    made, n = Made(), dm.symbol("n")
    x = made.input("x", normal(5, 2), (n, 2))
    for dtype, start, delta in (("F32", 0.25, -1.5), ("I64", -7, 3), ("I32", 2**31 - 3, 2)):
        given = [made.input(f"{name}_{dtype}", np.array(v, NUMPY_TYPE[dtype])) for name, v in zip("sd", (start, delta))]
        made.op("range", given, [made.output(f"range_{dtype}", (2 * n,), dtype)])
    made.op("shape", [x], [made.output("shape", (2,), "I64")])
    return made.case()


@case
def copies() -> Case:
    """Every type, from a turned view into a part of the result."""
    made = Made()
    for dtype, known in NUMPY_TYPE.items():
        x = made.input(f"x_{dtype}", whole(0, 1 if dtype == "BOOL" else 100, 3, 4, dtype=known))
        y = made.output(f"y_{dtype}", (4, 6), dtype)
        made.op("copy", [view(x, 0, (4, 3), (1, 4))], [view(y, 3, (4, 3), (6, 1))])
        made.op("copy", [view(x, 11, (4, 3), (-1, -4))], [view(y, 0, (4, 3), (6, 1))])
    return made.case()


# ---- Branches ----


def of_branch(holds: bool) -> Case:
    """A condition that is data, and a branch inside of a branch."""
    made = Made()
    x, condition = made.input("x", normal(4)), made.input("condition", np.array([holds]))
    inner, y = made.input("inner", np.array(True)), made.output("y", (4,))
    then, other = Made(), Made()
    then.program([x], y, ("TANH", 0))
    for half, function in ((Made(), "NEG"), (Made(), "ABS")):
        half.program([x], y, (function, 0))
        other.nodes.append(half.nodes[0])
    node = made.op("branch", [condition], [], then_block=0, else_block=0, by_size=0)
    nested = Node("branch", [inner], [], {"then_block": 0, "else_block": 0, "by_size": 0}, "inner")
    nested.blocks = [[other.nodes[0]], [other.nodes[1]]]
    node.blocks = [then.nodes, [nested]]
    return made.case()


def of_size(rows: int) -> Case:
    """A branch that the plan takes by whether there are elements."""
    made, n = Made(), dm.symbol("n")
    x, z = made.input("x", normal(rows, 3), (n, 3)), made.input("z", normal(3, seed=1))
    y = made.output("y", (3,))
    then, other = Made(), Made()
    then.op("reduce", [view(x, 0, (3, n), (1, 3))], [y], kind="MEAN", axes=1)
    other.op("copy", [z], [y])
    node = made.op("branch", [x], [], then_block=0, else_block=0, by_size=1)
    node.blocks = [then.nodes, other.nodes]
    return made.case()


CASES |= {"branch_then": partial(of_branch, True), "branch_else": partial(of_branch, False)}
CASES |= {"branch_by_size": partial(of_size, 4), "branch_by_size_empty": partial(of_size, 0)}


# ---- Elementwise ----

#: Functions that want arguments above 0 (the first one, or the only one), so that no output is a NaN.
POSITIVE = {"SQRT", "LOG", "LOG1P", "POW", "RECIPROCAL"}
#: alpha and beta where they matter.
PARAMETERS = {
    "LEAKY_RELU": (0.2, 0.0), "THRESHOLDED_RELU": (0.4, 0.0), "AFFINE": (1.7, -0.3), "SCALED_TANH": (1.5, 0.6),
    "HARD_SIGMOID": (0.2, 0.5), "ELU": (1.3, 0.0), "CLIP": (-0.7, 0.9),
}  # fmt: skip


def of_functions(from_: str, to: str) -> Case:
    """Every function from floats or integers to floats or integers, each into an output of its own."""
    made, n = Made(), 41
    for name, row in fmt.FUNCTIONS.items():
        if (row.from_, row.to) != (from_, to):
            continue
        if not made.graph.inputs:
            operands = _operands(made, from_, n)
            spare = [made.input("p", np.linspace(0.02, 9, n, dtype=f32))] if from_ == to == "f" else []
        given = [*spare, *operands[1:]] if name in POSITIVE else operands
        y = made.output(name.lower(), (n,), {"f": "F32", "i": "I64"}[to])
        made.program(given[: row.inputs], y, (name, *range(row.inputs), *PARAMETERS.get(name, (1.0, 0.0))))
    return made.case()


def _operands(made: Made, kind: str, n: int) -> list[Tensor]:
    """Three inputs with numbers of every kind: the second one without 0 where it is a float."""
    if kind == "i":
        a = np.concatenate([whole(-9, 9, n - 6), [0, 5, -5, 2**62, -(2**63), 2**63 - 1]])
        b = np.concatenate([whole(-9, 9, n - 6, seed=1), [0, 0, 0, 2, -1, 63]])
        return [made.input(name, v.astype(np.int64)) for name, v in zip("abc", (a, b, whole(0, 1, n, seed=2)))]
    a = np.concatenate([np.linspace(-6, 6, n - 2), [0.5, -2.5]]).astype(f32)
    b = normal(n, seed=1)
    return [made.input(name, v) for name, v in zip("abc", (a, b + np.sign(b), normal(n, seed=2)))]


PAIRS = {"floats": "ff", "integers": "ii", "to_integers": "fi", "to_floats": "if"}
CASES |= {f"functions_{name}": partial(of_functions, *pair) for name, pair in PAIRS.items()}


@case
def functions_of_extremes() -> Case:
    """Infinities, a NaN where integers come of it, both zeros and arguments beyond the ranges of the polynomials."""
    made = Made()
    x = np.array([np.inf, -np.inf, 0.0, -0.0, 90, -86, 30, -30, 1e9, -1e9, 1e-30, 0.5, -0.5, 2.5, 3.5, 1e20], f32)
    t = made.input("x", x)
    for name in ("EXP", "TANH", "SIGMOID", "ERF", "ATAN", "SOFTPLUS", "ELU", "RELU", "ROUND", "FLOOR", "CEIL", "SIGN"):
        made.program([t], made.output(name.lower(), x.shape), (name, 0, 0, 0, 1.0, 0.0))
    finite = made.input("finite", np.array([8191, -8193, 1e6, -3e8, 1e30, 2**-12, 710, 22.5], f32))
    for name in ("SIN", "COS"):
        made.program([finite], made.output(name.lower(), (8,)), (name, 0))
    odd = made.input("odd", np.append(x[:-1], f32(np.nan)))
    for name in ("F_TO_I", "F_TO_BOOL", "IS_NAN", "IS_INF"):
        made.program([odd], made.output(name.lower(), x.shape, "I64"), (name, 0, 0, 0, 1.0, 0.0))
    made.program([odd], made.output("negative", x.shape, "BOOL"), ("IS_INF", 0, 0, 0, 0.0, 1.0))
    return made.case()


@case
def casts() -> Case:
    """From each type to each, with what each narrows: wrapping integers, rounding halves, saturating floats."""
    made = Made()
    for dtype, known in NUMPY_TYPE.items():
        if known.kind == "f":
            values = np.array([0, 1, -1, 2.5, 1 / 3, -100.75, 300, 65519, 1e-5, 5e-7], known)
        else:
            values = np.array([0, 1, 100, 127, 200, 255, 70000, -1, -100, 2**40], object)
            values = np.array([int(v) % 2 ** (8 * known.itemsize) for v in values], f"u{known.itemsize}").view(known)
            values = values.astype(bool) if dtype == "BOOL" else values
        x = made.input(f"x_{dtype}", values)
        for other, wanted in NUMPY_TYPE.items():
            step = {"ff": "IDENTITY", "fi": "F_TO_I", "if": "I_TO_F", "ii": "I_IDENTITY"}
            pair = "".join("f" if k.kind == "f" else "i" for k in (known, wanted))
            made.program([x], made.output(f"{dtype}_{other}", values.shape, other), (step[pair], 0))
    return made.case()


@case
def program_of_many_steps() -> Case:
    """Broadcasting through strides of 0, sources used twice, both classes of registers in one program."""
    made = Made()
    x, row = made.input("x", normal(3, 4, 5)), made.input("row", normal(5, seed=1))
    column, flag = (
        made.input("column", whole(-2, 2, 4, 1, dtype=np.int8)),
        made.input("flag", np.array([True, False, True])),
    )
    given = [
        x, view(row, 4, (3, 4, 5), (0, 0, -1)), view(column, 0, (3, 4, 5), (0, 1, 0)),
        view(flag, 0, (3, 4, 5), (1, 0, 0)),
    ]  # fmt: skip
    steps = [
        ("MUL", 0, 1), ("I_TO_F", 2), ("ADD", 4, 5), ("LESS", 6, 0), ("I_AND", 7, 3), ("I_TO_F", 8), ("WHERE", 9, 6, 1),
        ("AFFINE", 10, 0, 0, -2.0, 1.0),
    ]  # fmt: skip
    made.program(given, made.output("y", (3, 4, 5)), *steps)
    made.program(given, made.output("chosen", (3, 4, 5), "I32"), *steps[:5], ("I_WHERE", 3, 8, 2))
    return made.case()


# ---- Expressions ----


@case
def expressions() -> Case:
    """A dimension for each term, and offsets and strides that are computed."""
    made, n, m = Made(), dm.symbol("n"), dm.symbol("m")
    made.input("x", normal(7, 3), (n, m))
    sizes = {
        "sum": 2 * n + m - 1, "product": n * m, "floor": dm.floor_div(n, 2), "ceil": dm.ceil_div(n, 2),
        "mod": dm.mod(n, 4), "least": dm.minimum(n, 2 * m), "most": dm.maximum(n - 10, m),
    }  # fmt: skip
    zero, one = made.constant(np.array(0, np.int64)), made.constant(np.array(1, np.int64))
    for name, size in sizes.items():
        made.op("range", [zero, one], [made.output(name, (size,), "I64")])
    x = made.graph.inputs[0].tensor
    back = view(x, n * m - 1, (m, n), (-1, -m))
    made.op("copy", [back], [made.output("back", (m, n))])
    return made.case()
