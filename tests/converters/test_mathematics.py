# SPDX-License-Identifier: Apache-2.0
"""Trigonometric and hyperbolic functions, bits, running sums, order, triangles, determinants, caches."""

import numpy as np
import pytest
from onnx import TensorProto

import tinyrnn
from build import INT32, INT64, agree, kinds, lowered, model, node, random, run
from tinyrnn.converters import ConversionError, convert_bytes

A = np.array
INT8, UINT8 = TensorProto.INT8, TensorProto.UINT8
TINY = np.finfo(np.float32).tiny

#: ONNX name -> (NumPy's function, the largest error in ulp that docs/arithmetic.md states, rounded up)
FUNCTIONS = {
    "Tan": (np.tan, 4),
    "Asin": (np.arcsin, 3.5),
    "Acos": (np.arccos, 3),
    "Atan": (np.arctan, 2.5),
    "Sinh": (np.sinh, 4.5),
    "Cosh": (np.cosh, 3.5),
    "Asinh": (np.arcsinh, 2.5),
    "Acosh": (np.arccosh, 3),
    "Atanh": (np.arctanh, 3),
}


def loaded(proto, **options):
    return tinyrnn.load(convert_bytes(proto, **options)[0])


def floats(stride):
    """Return every stride-th float of all, but for denormals, and the ends of what the functions are defined on."""
    x = np.arange(0, 1 << 32, stride, dtype=np.uint32).view(np.float32)
    x = x[np.isnan(x) | (np.abs(x) >= TINY)]
    ends = np.float32([0, -0.0, 1, -1, np.inf, -np.inf, np.nan])
    near = [np.nextafter(np.float32(s), np.float32(t)) for s in (1, -1) for t in (0, 2 * s)]
    return np.concatenate([x, ends, A(near, np.float32), np.float32([89.41598, 89.415985, 4096, 4095.9998])])


@pytest.mark.parametrize("op", FUNCTIONS)
@pytest.mark.filterwarnings("ignore")
def test_functions_are_as_exact_as_stated_over_all_floats(op):
    function, bound = FUNCTIONS[op]
    x = floats(4001)
    got, want = loaded(model([node(op, "x", "y")], {"x": ["n"]}, "y")).run(x), function(x.astype(np.float64))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    zero = (x == 0) & (want == 0)
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(x[zero]))
    infinite, small = np.isinf(want), np.abs(want) < TINY
    np.testing.assert_array_equal(got[infinite], want[infinite])
    assert (np.abs(got[small]) <= TINY).all()
    rest = np.isfinite(want) & ~small
    wide = np.where(np.isinf(got), np.copysign(2.0**128, got.astype(np.float64)), got.astype(np.float64))[rest]
    target = np.clip(want[rest], -(2.0**128), 2.0**128)
    errors = np.abs(wide - target) / np.exp2(np.floor(np.log2(np.abs(target))) - 23)
    assert errors.max() <= bound, x[rest][errors.argmax()]


@pytest.mark.parametrize("op", FUNCTIONS)
def test_functions_beside_the_references(op):
    x = np.abs(random(3, 4)) + 1 if op == "Acosh" else np.tanh(random(3, 4))
    agree(model([node(op, "x", "y")], {"x": ["n", 4]}, "y"), x=x)


INTEGERS = {INT64: np.int64, INT32: np.int32, INT8: np.int8, UINT8: np.uint8}


def numbers(kind):
    """Return the ends of a type and some between, every pair of them."""
    info = np.iinfo(INTEGERS[kind])
    line = A([info.min, info.max, info.max // 2 + 1, 0, 1, 5, 100, info.max - 2], INTEGERS[kind])
    return [g.reshape(-1) for g in np.meshgrid(line, line)]


@pytest.mark.parametrize("op", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
@pytest.mark.parametrize("kind", INTEGERS)
def test_bitwise_logic(op, kind):
    a, b = numbers(kind)
    proto = model([node(op, "a b", "y")], {"a": (kind, ["n"]), "b": (kind, ["n"])}, "y", opset=18)
    agree(proto, ort=False, a=a, b=b)
    want = {"BitwiseAnd": a & b, "BitwiseOr": a | b, "BitwiseXor": a ^ b}[op]
    got = loaded(proto).run({"a": a, "b": b})["y"]
    assert got.dtype == a.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", INTEGERS)
def test_bitwise_not(kind):
    a, _ = numbers(kind)
    got = loaded(model([node("BitwiseNot", "a", "y")], {"a": (kind, ["n"])}, "y", opset=18)).run(a)
    np.testing.assert_array_equal(got, ~a)


def shifted(x, count, direction, bits):
    """Return one shift as ONNX words it, in Python's integers."""
    outside = not 0 <= count < bits
    if direction == "RIGHT":
        return (-1 if x < 0 else 0) if outside else x >> count
    return 0 if outside else x << count


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("kind", INTEGERS)
def test_shifts(direction, kind):
    dtype = INTEGERS[kind]
    bits = np.dtype(dtype).itemsize * 8
    counts = A([0, 1, bits - 1, bits, 64, 100, *([] if kind == UINT8 else [-1, -100])]).astype(dtype)
    x, count = (g.reshape(-1) for g in np.meshgrid(np.unique(numbers(kind)[0]), counts))
    want = [shifted(int(a), int(b), direction, bits) for a, b in zip(x, count)]
    want = A([w & (2**bits - 1) for w in want], np.uint64).astype(f"u{bits // 8}").view(dtype)
    proto = model(
        [node("BitShift", "x c", "y", direction=direction)], {"x": (kind, ["n"]), "c": (kind, ["n"])}, "y", opset=28
    )
    np.testing.assert_array_equal(loaded(proto).run({"x": x, "c": count})["y"], want)
    agree(proto, ort=False, x=x, c=count)
    with pytest.raises(ConversionError, match="attribute 'direction' is 'UP', not LEFT or RIGHT"):
        lowered(model([node("BitShift", "x x", "y", direction="UP")], {"x": (UINT8, ["n"])}, "y"))


@pytest.mark.parametrize("kind", [INT64, INT32])
def test_powers_of_integers_are_exact(kind):
    dtype = INTEGERS[kind]
    x = A([-3, -2, -1, 0, 1, 2, 3, 7, 10, 46340], dtype)
    y = A([0, 1, 2, 3, 5, 15, 31, 62, 63, 64, 101, -1, -2, -63, -101], np.int64)
    x, y = (g.reshape(-1) for g in np.meshgrid(x, y))
    limit = np.iinfo(dtype).max
    want = A([0 if a == 0 and b < 0 else int(a) ** int(b) if abs(a) < 2 or b >= 0 else 0 for a, b in zip(x, y)], object)
    kept = np.abs(want) <= limit
    proto = model([node("Pow", "x y", "z")], {"x": (kind, ["n"]), "y": (INT64, ["n"])}, "z")
    got = loaded(proto).run({"x": x[kept].copy(), "y": y[kept].copy()})["z"]
    assert got.dtype == dtype
    assert got.tolist() == [int(w) for w in want[kept]]
    agree(proto, ort=False, x=x[kept].copy(), y=y[kept].copy())
    by_floats = model([node("Pow", "x y", "z")], {"x": (kind, ["n"]), "y": ["n"]}, "z")
    small = kept & (np.abs(want) < 1 << 24) & (y >= 0)
    got = loaded(by_floats).run({"x": x[small].copy(), "y": y[small].astype(np.float32)})["z"]
    assert got.tolist() == [int(w) for w in want[small]]


def running(op, dims, axis, kind=TensorProto.FLOAT, **attributes):
    """Return a model of one running sum or product."""
    opset = 26 if op == "CumProd" else 14
    return model([node(op, "x a", "y", name="runs", **attributes)], {"x": (kind, dims)}, "y", {"a": A(axis)}, opset)


@pytest.mark.parametrize("op", ["CumSum", "CumProd"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running_sums_and_products(op, axis, exclusive, reverse):
    attributes = {"exclusive": exclusive, "reverse": reverse}
    x = random(3, 7, 5)
    agree(running(op, [3, 7, 5], axis, **attributes), ort=op == "CumSum", x=x)
    for kind in (INT64, INT32):
        whole = A([[3, -7, 2, 1, 9]] * 7, INTEGERS[kind]).T.copy()
        agree(running(op, [5, 7], axis, kind, **attributes), ort=op == "CumSum", x=whole)
    if op == "CumSum":
        agree(running(op, ["n", 7, "m"], axis, **attributes), x=x)
    one = running(op, [3, 1], 1, **attributes)
    agree(one, ort=op == "CumSum", x=x[:, :1, 0])


def test_running_sums_keep_what_is_infinite_to_its_row_and_to_what_follows():
    x = random(4, 3)
    x[1, 0], x[2, 1] = np.inf, np.nan
    want = np.cumsum(x.astype(np.float64), 0)
    got = loaded(running("CumSum", ["n", 3], 0)).run(x)
    np.testing.assert_allclose(got, want, 1e-6, 1e-6)


def over_time(op, **attributes):
    """Return a running sum over the steps of a recurrence's result."""
    weights = {"r": random(1, 5, 4), "h": random(1, 5, 5), "a": A(0)}
    nodes = [node("RNN", "x r h", "s", hidden_size=5), node(op, "s a", "y", name="runs", **attributes)]
    return model(nodes, {"x": ["t", "b", 4]}, "y", weights, opset=26)


def test_a_running_sum_over_time_streams_with_a_state():
    data, report = convert_bytes(over_time("CumSum"))
    assert len(report.states) == 2
    loaded_model, x = tinyrnn.load(data), random(9, 2, 4)
    whole = loaded_model.run(x)
    stream = loaded_model.stream(batch=2)
    parts = [stream.run(x[:4]), stream.run(x[4:5]), stream.run(x[5:])]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize(
    ("op", "attributes", "reason"),
    [
        ("CumSum", {"reverse": 1}, "'runs' runs backwards over the sequence"),
        ("CumSum", {"exclusive": 1}, "'runs' shifts the sequence by a step"),
    ],
)
def test_other_running_sums_over_time_say_why_they_do_not_stream(op, attributes, reason):
    found = lowered(over_time(op, **attributes)).graph
    assert not found.streamable
    assert reason in found.reason
    agree(over_time(op, **attributes), x=random(6, 2, 4))


def test_running_sums_over_features_stream():
    weights = {"r": random(1, 5, 4), "h": random(1, 5, 5), "a": A(-1)}
    nodes = [node("RNN", "x r h", "s", hidden_size=5)]
    for op in ("CumSum", "CumProd"):
        proto = model([*nodes, node(op, "s a", "y")], {"x": ["t", "b", 4]}, "y", weights, opset=26)
        assert lowered(proto).graph.streamable
        assert len(lowered(proto).graph.states) == 1


def test_running_products_and_integers_of_unknown_number_are_refused():
    for op, kind in (("CumProd", TensorProto.FLOAT), ("CumSum", INT64)):
        with pytest.raises(ConversionError, match="'runs': folds n elements.*their number must be constant"):
            lowered(running(op, ["n", 3], 0, kind))
    with pytest.raises(ConversionError, match="input 'axis' is not known"):
        lowered(model([node("CumSum", "x a", "y")], {"x": [2, 3], "a": (INT64, [])}, "y"))
    with pytest.raises(ConversionError, match="attribute 'reverse' is 2, not 0 or 1"):
        lowered(running("CumSum", [2, 3], 0, reverse=2))


def test_a_running_sum_stays_float_when_layers_are_quantized():
    proto = over_time("CumSum")
    _, report = convert_bytes(proto, quantize="int8")
    assert "it adds up its input as it is" in str(report)


def ordered(dims, k, opset=11, kind=TensorProto.FLOAT, **attributes):
    """Return a model of one TopK."""
    constants = {"k": A([k])} if opset >= 10 else {}
    attributes |= {} if opset >= 10 else {"k": k}
    names = "x k" if opset >= 10 else "x"
    return model([node("TopK", names, "v i", name="top", **attributes)], {"x": (kind, dims)}, "v i", constants, opset)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_with_many_equal_elements(axis, largest, k):
    x = np.round(random(4, 5, 6) * 2)
    proto = ordered([4, 5, 6], k, axis=axis, largest=largest)
    agree(proto, x=x)
    agree(ordered(["n", 5, "m"], k, axis=1, largest=largest), x=x)
    whole = ordered([4, 5, 6], k, kind=INT64, axis=axis, largest=largest)
    agree(whole, x=x.astype(np.int64))
    assert run(whole, x=x.astype(np.int64))["i"].dtype == np.int64


@pytest.mark.parametrize("opset", [7, 10])
def test_top_k_of_old_opsets(opset):
    agree(ordered(["n", 6], 3, opset), ort=opset > 7, x=random(3, 6))


def test_top_k_orders_infinities_and_all_elements():
    x = A([[-np.inf, 2, np.inf, -np.inf, 2, -0.0, 0.0]], np.float32)
    agree(ordered(["n", 7], 7), x=x)
    agree(ordered(["n", 7], 7, largest=0, sorted=0), ort=False, x=x)


def test_top_k_over_time_and_unknown_counts():
    weights = {"r": random(1, 5, 4), "h": random(1, 5, 5), "k": A([2])}
    nodes = [node("RNN", "x r h", "s", hidden_size=5), node("TopK", "s k", "v i", name="top")]
    proto = model(nodes, {"x": ["t", "b", 4]}, "v i", weights)
    assert lowered(proto).graph.streamable
    agree(proto, x=random(3, 2, 4))
    with pytest.raises(ConversionError, match="'top': orders n elements; their number must be constant"):
        lowered(ordered(["n", 3], 2, axis=0))
    for k in (0, 4):
        with pytest.raises(ConversionError, match=rf"takes the first \[{k}\] of 3 elements"):
            lowered(ordered(["n", 3], k))
    with pytest.raises(ConversionError, match="input 'K' is not known"):
        lowered(model([node("TopK", "x k", "v i")], {"x": [3], "k": (INT64, [1])}, "v i"))


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [None, -5, -1, 0, 2, 6])
@pytest.mark.parametrize("dims", [[2, 4, 5], ["a", "b", "c"]])
def test_triangles(upper, k, dims):
    x = random(2, 4, 5)
    x[0, 0, 0] = x[1, 3, 4] = np.inf
    names, constants = ("x", {}) if k is None else ("x k", {"k": A(k)})
    proto = model([node("Trilu", names, "y", upper=upper)], {"x": dims}, "y", constants)
    agree(proto, x=x)
    whole = model([node("Trilu", names, "y", upper=upper)], {"x": (INT64, dims)}, "y", constants)
    agree(whole, x=np.arange(40).reshape(2, 4, 5))


def test_a_triangle_over_time_does_not_stream():
    weights = {"r": random(1, 5, 4), "h": random(1, 5, 5)}
    nodes = [node("RNN", "x r h", "s", hidden_size=5), node("Transpose", "s", "p", perm=[2, 1, 0, 3])]
    proto = model([*nodes, node("Trilu", "p", "y", name="half")], {"x": ["t", "b", 4]}, "y", weights)
    found = lowered(proto).graph
    assert "'half' treats some steps of the sequence differently" in found.reason


@pytest.mark.parametrize("dims", [[3, 5], ["a", "b"]])
@pytest.mark.parametrize("attributes", [{}, {"k": 1}, {"k": -2, "dtype": 7}, {"dtype": 1}, {"dtype": 9}])
def test_diagonals(dims, attributes):
    proto = model([node("EyeLike", "x", "y", **attributes)], {"x": (INT32, dims)}, "y")
    x = np.zeros((3, 5), np.int32)
    agree(proto, ort=False, x=x)
    want = np.eye(3, 5, attributes.get("k", 0))
    got = loaded(proto).run(x)
    np.testing.assert_array_equal(got, want)
    assert got.dtype == {None: np.int32, 7: np.int64, 1: np.float32, 9: np.bool_}[attributes.get("dtype")]


def test_diagonals_of_what_is_no_matrix_are_refused():
    with pytest.raises(ConversionError, match="takes a matrix, not"):
        lowered(model([node("EyeLike", "x", "y")], {"x": [3]}, "y"))
    with pytest.raises(ConversionError, match="attribute 'dtype' is 16, a type that is not supported"):
        lowered(model([node("EyeLike", "x", "y", dtype=16)], {"x": [3, 3]}, "y"))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_compress_by_a_constant(axis):
    attributes = {} if axis is None else {"axis": axis}
    condition = A([True, False, True, True, False][: 3 if axis == 0 else 5])
    proto = model([node("Compress", "x c", "y", **attributes)], {"x": [3, 5]}, "y", {"c": condition})
    agree(proto, x=random(3, 5))
    given = model([node("Compress", "x c", "y")], {"x": [3, 5], "c": (TensorProto.BOOL, [5])}, "y")
    with pytest.raises(ConversionError, match="size of the result depends on data"):
        lowered(given)


@pytest.mark.parametrize("op", ["NonZero", "Unique"])
def test_results_of_unknown_size_are_refused_but_for_constants(op):
    with pytest.raises(ConversionError, match=f"{op} node.*the size of its result depends on data; bind the input"):
        lowered(model([node(op, "x", "y")], {"x": [5]}, "y"))
    added = [node(op, "c", "i"), node("Cast", "i", "f", to=1), node("Add", "x f", "y")]
    proto = model(added, {"x": [1]}, "y", {"c": np.float32([0, 3, 3])})
    want = [[1.5, 2.5]] if op == "NonZero" else [0.5, 3.5]
    np.testing.assert_array_equal(loaded(proto).run(np.float32([0.5])), want)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_determinants(size):
    agree(model([node("Det", "x", "y")], {"x": ["n", size, size]}, "y"), x=random(6, size, size))
    agree(model([node("Det", "x", "y")], {"x": [size, size]}, "y"), x=random(size, size))


@pytest.mark.parametrize("dims", [[5, 5], [2, 3], ["n", "n"], [4]])
def test_determinants_of_other_matrices_are_refused(dims):
    with pytest.raises(ConversionError, match="takes square matrices of 1 to 4 rows"):
        lowered(model([node("Det", "x", "y")], {"x": dims}, "y"))


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("axis", [-2, 1, -1])
def test_caches(mode, axis):
    dims = {-2: [2, 3, 4], 1: [2, 2, 6], -1: [2, 5, 2]}[axis]
    starts = A([1, 4] if mode == "circular" else [0, 2])
    inputs = {"c": [2, 5, 4] if axis == -2 else [2, 5, 6], "u": dims, "w": (INT64, [2])}
    proto = model([node("TensorScatter", "c u w", "y", mode=mode, axis=axis)], inputs, "y", opset=24)
    feeds = {"c": random(*inputs["c"]), "u": random(*dims, seed=1), "w": starts}
    agree(proto, ort=False, **feeds)
    plain = model([node("TensorScatter", "c u", "y", axis=axis)], {n: inputs[n] for n in "cu"}, "y", opset=24)
    agree(plain, ort=False, c=feeds["c"], u=feeds["u"])


def test_a_cache_is_a_state():
    nodes = [node("TensorScatter", "cache u w", "present", mode="circular"), node("ReduceSum", "present a", "y")]
    inputs = {"cache": [1, 4, 3], "u": [1, 1, 3], "w": (INT64, [1])}
    found = lowered(model(nodes, inputs, "present y", {"a": A([1])}, opset=24)).graph
    assert [s.input for s in found.states] == [0]
    assert "scatter_elements" in kinds(found)
