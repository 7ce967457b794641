# SPDX-License-Identifier: Apache-2.0
"""Reductions, comparison and logic: the interpreter, the float64 references and onnxruntime must agree."""

import numpy as np
import pytest
from onnx import TensorProto

from build import INT32, INT64, agree, kinds, lowered, model, node, random, reference, run
from tinyrnn.converters import ConversionError

A = np.array
REDUCTIONS = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"]
TYPES = {np.dtype(np.int64): INT64, np.dtype(np.int32): INT32, np.dtype(np.int8): TensorProto.INT8}


def reduced(op, dims, axes=None, opset=18, **attributes):
    """Return a model of one reduction, its axes where the opset has them."""
    as_input = opset >= (13 if op == "Sum" else 18)
    constants = {} if axes is None or not as_input else {"a": A(axes, np.int64)}
    if axes is not None and not as_input:
        attributes["axes"] = axes
    names = "x a" if constants else "x"
    return model([node(f"Reduce{op}", names, "y", **attributes)], {"x": dims}, "y", constants, opset)


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("axes", [None, [0], [1], [-1], [0, 2], [2, 0], [0, 1, 2]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions(op, axes, keepdims):
    x = np.abs(random(3, 4, 5)) + 0.1
    for opset in (11, 13, 18):
        agree(reduced(op, ["n", 4, "m"], axes, opset, keepdims=keepdims), x=x)


@pytest.mark.parametrize("op", REDUCTIONS)
def test_reduction_of_no_axes_keeps_the_elementwise_steps(op):
    x = np.abs(random(3, 4)) + 0.1
    agree(reduced(op, ["n", 4], noop_with_empty_axes=1), ort=False, x=x)
    agree(reduced(op, ["n", 4], [], noop_with_empty_axes=1), ort=False, x=x)
    agree(reduced(op, ["n", 4], []), x=x)
    agree(reduced(op, []), ort=False, x=np.float32(0.7))


@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min", "Prod", "L1", "SumSquare"])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8])
def test_reductions_of_integers(op, dtype):
    x = A([[3, -7, 2], [5, 1, -1]], dtype)
    proto = model([node(f"Reduce{op}", "x", "y", axes=[1])], {"x": (TYPES[x.dtype], [2, 3])}, "y", opset=11)
    agree(proto, ort=False, x=x)
    assert run(proto, x=x)["y"].dtype == dtype


@pytest.mark.parametrize("op", ["L2", "LogSum", "LogSumExp"])
def test_roots_and_logarithms_of_integers_are_refused(op):
    with pytest.raises(ConversionError, match="input .data. .x. is int64, but must be float32, float16 or float64"):
        lowered(model([node(f"Reduce{op}", "x", "y")], {"x": (INT64, [3])}, "y"))


@pytest.mark.parametrize(("op", "want"), [("Sum", 0), ("Prod", 1), ("Max", -np.inf), ("Min", np.inf), ("L2", 0)])
def test_reductions_of_nothing(op, want):
    got = run(reduced(op, ["n", 4], [0], keepdims=0), x=np.zeros((0, 4), np.float32))["y"]
    np.testing.assert_array_equal(got, np.full(4, want, np.float32))
    assert run(reduced("LogSumExp", ["n"], [0]), x=np.zeros(0, np.float32))["y"] == -np.inf


def test_log_sum_exp_of_large_and_infinite_elements():
    rows = [[1000, 1000], [-1000, -1001], [np.inf, 0], [-np.inf, -np.inf], [-np.inf, 1]]
    got = run(reduced("LogSumExp", ["n", 2], [1], keepdims=0), x=A(rows, np.float32))["y"]
    np.testing.assert_allclose(got, [1000 + np.log(2), -1000 + np.log1p(np.exp(-1)), np.inf, -np.inf, 1], 1e-6)


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("last", [0, 1])
def test_places_of_extremes(op, axis, keepdims, last):
    x = np.round(random(4, 5, 3) * 2)
    proto = model(
        [node(op, "x", "y", axis=axis, keepdims=keepdims, select_last_index=last)], {"x": ["n", 5, 3]}, "y", opset=13
    )
    agree(proto, x=x)
    assert run(proto, x=x)["y"].dtype == np.int64
    old = model([node(op, "x", "y", axis=axis, keepdims=keepdims)], {"x": (INT32, [4, 5, 3])}, "y", opset=11)
    agree(old, x=x.astype(np.int32))


def test_axes_that_contradict_themselves_are_refused():
    for axes, message in (([3], "axes: 3 is outside"), ([0, -2], "repeat")):
        with pytest.raises(ConversionError, match=message):
            lowered(reduced("Sum", [2, 3], axes))
    proto = model([node("ReduceSum", "x a", "y")], {"x": [2, 3], "a": (INT64, [1])}, "y")
    with pytest.raises(ConversionError, match="input 'axes' is not known.*bind"):
        lowered(proto)
    with pytest.raises(ConversionError, match="'select_last_index' is not one of this operator in opset 11"):
        lowered(model([node("ArgMax", "x", "y", select_last_index=1)], {"x": [2, 3]}, "y", opset=11))


def test_a_reduction_over_the_steps_is_named_and_others_stream():
    weights = {"r": random(1, 5, 4), "h": random(1, 5, 5)}
    rnn = node("RNN", "x r h", "a", hidden_size=5)
    over_time = model([rnn, node("ReduceMax", "a", "y", name="top", axes=[0])], {"x": ["t", "b", 4]}, "y", weights)
    assert "'top' reduces over the steps" in lowered(over_time).graph.reason
    features = model([rnn, node("ReduceMax", "a", "y", axes=[-1])], {"x": ["t", "b", 4]}, "y", weights)
    assert lowered(features).graph.streamable


COMPARISONS = ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"]
SPECIAL = A([0.5, -0.5, 0, -0.0, np.nan, np.inf, -np.inf, 2], np.float32)


@pytest.mark.parametrize("op", COMPARISONS)
def test_comparisons(op):
    a, b = (g.reshape(-1) for g in np.meshgrid(SPECIAL, SPECIAL))
    agree(model([node(op, "a b", "y")], {"a": ["n"], "b": ["n"]}, "y"), a=a, b=b)
    agree(model([node(op, "a b", "y")], {"a": ["n", 1]}, "y", {"b": SPECIAL}), a=a[:, None])
    for dtype in (np.int64, np.int32):
        kind, values = TYPES[np.dtype(dtype)], A([3, -3, 0, 1], dtype)
        proto = model([node(op, "a b", "y")], {"a": (kind, [4, 1]), "b": (kind, [4])}, "y")
        agree(proto, a=values[:, None], b=values)


@pytest.mark.parametrize("op", ["And", "Or", "Xor", "Not", "Equal"])
def test_logic(op):
    a, b = A([[False], [True]]), A([False, True])
    inputs = {"a": (TensorProto.BOOL, [2, 1])} | ({} if op == "Not" else {"b": (TensorProto.BOOL, [2])})
    proto = model([node(op, " ".join(inputs), "y")], inputs, "y")
    agree(proto, **{k: {"a": a, "b": b}[k] for k in inputs})


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, INT64, INT32, TensorProto.BOOL])
def test_choices(kind):
    dtype = {TensorProto.FLOAT: np.float32, INT64: np.int64, INT32: np.int32, TensorProto.BOOL: bool}[kind]
    a, b = A([[1], [0], [3]]).astype(dtype), A([0, 1]).astype(dtype)
    inputs = {"c": (TensorProto.BOOL, [3, 2]), "a": (kind, [3, 1]), "b": (kind, [2])}
    proto = model([node("Where", "c a b", "y")], inputs, "y")
    agree(proto, ort=kind != TensorProto.BOOL, c=A([[True, False], [False, False], [True, True]]), a=a, b=b)


def test_a_choice_that_is_known_leaves_nothing_behind_but_its_shape():
    for condition in (True, False):
        proto = model(
            [node("Where", "c x k", "y")], {"x": ["n", 1]}, "y", {"c": A([condition] * 4), "k": np.float32(2)}
        )
        assert kinds(lowered(proto).graph) == "copy"
        agree(proto, x=random(3, 1))


def test_a_choice_between_infinite_numbers_passes_over_the_other():
    x = A([np.nan, np.inf, 1, -np.inf], np.float32)
    nodes = [node("IsNaN", "x", "n"), node("Where", "n zero x", "y"), node("IsInf", "x", "i")]
    nodes.append(node("IsInf", "x", "p", detect_negative=0))
    proto = model(nodes, {"x": ["n"]}, "y i p", {"zero": np.float32(0)})
    got, want = run(proto, x=x), reference(proto, x=x)
    for name in "yip":
        np.testing.assert_array_equal(got[name], want[name])


@pytest.mark.parametrize("fmod", [0, 1])
def test_remainders(fmod):
    a, b = A([7, -7, 7, -7, 0, -6]), A([2, 2, -2, -2, 3, 3])
    for dtype in (np.int64, np.int32):
        kind = TYPES[np.dtype(dtype)]
        proto = model([node("Mod", "a b", "y", fmod=fmod)], {"a": (kind, [6]), "b": (kind, [6])}, "y")
        agree(proto, a=a.astype(dtype), b=b.astype(dtype))
    floats = [node("Mod", "a b", "y", fmod=fmod)]
    x, y = a.astype(np.float32) + 0.25, b.astype(np.float32)
    if fmod:
        agree(model(floats, {"a": [6], "b": [6]}, "y"), a=x, b=y)
    else:
        with pytest.raises(ConversionError, match="'fmod' is 0"):
            lowered(model(floats, {"a": [6], "b": [6]}, "y"))
        assert (run(model(floats, {"a": [6], "b": [6]}, "y", opset=28), a=x, b=y)["y"] == np.mod(x, y)).all()


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, INT64])
def test_one_hot(axis, kind):
    indices = A([[0, 2, -1], [5, -4, 1]]).astype(np.float32 if kind == TensorProto.FLOAT else np.int64)
    constants = {"d": A(4), "v": A([-1, 3], np.float32)}
    proto = model([node("OneHot", "i d v", "y", axis=axis)], {"i": (kind, [2, 3])}, "y", constants)
    agree(proto, ort=kind == INT64, i=indices)
    with pytest.raises(ConversionError, match="'depth'"):
        lowered(
            model([node("OneHot", "i d v", "y")], {"i": (kind, [2, 3]), "d": (INT64, [])}, "y", {"v": constants["v"]})
        )


def test_constants_that_would_grow_without_bound_are_refused():
    tall, wide = np.zeros((1 << 17, 1), np.float32), np.zeros((1, 1 << 17), np.float32)
    for op in ("Add", "Less", "MatMul"):
        with pytest.raises(ConversionError, match="too large|MiB"):
            lowered(model([node(op, "a b", "y")], {"x": [1]}, "y", {"a": tall, "b": wide}))
    for nodes, constants in (
        ([node("MaxPool", "a", "y", kernel_shape=[3], pads=[1, 1 << 24])], {"a": np.zeros((1, 64, 8), np.float32)}),
        ([node("OneHot", "a d v", "y")], {"a": np.zeros(1 << 12, np.int64), "d": A(1 << 20), "v": A([0, 1.0])}),
    ):
        with pytest.raises(ConversionError):
            lowered(model(nodes, {"x": [1]}, "y", constants))
