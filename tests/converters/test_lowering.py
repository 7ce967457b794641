# SPDX-License-Identifier: Apache-2.0
"""Each operator that is lowered, in the interpreter, against ONNX's own reference; and what is refused, by name."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from build import INT32, INT64, kinds, lowered, model, node, random, reference, run
from tinyrnn.converters import ConversionError
from tinyrnn.errors import TinyRNNError

X = random(3, 4)
A = np.array


def check(proto, tolerance=2e-6, **feeds):
    got, want = run(proto, **feeds), reference(proto, **feeds)
    for name, w in want.items():
        assert got[name].dtype == w.dtype, name
        assert got[name].shape == w.shape, name
        np.testing.assert_allclose(
            got[name].astype(np.float64), w.astype(np.float64), tolerance, tolerance, err_msg=name
        )


UNARY = [
    "Neg",
    "Abs",
    "Sqrt",
    "Reciprocal",
    "Floor",
    "Ceil",
    "Round",
    "Exp",
    "Log",
    "Sin",
    "Cos",
    "Erf",
    "Tanh",
    "Sigmoid",
    "Relu",
    "Softsign",
    "Softplus",
    "LeakyRelu",
    "ThresholdedRelu",
    "HardSigmoid",
    "Elu",
    "Identity",
    "Selu",
    "HardSwish",
    "Mish",
    "Celu",
    "Softmax",
    "LogSoftmax",
    "Flatten",
]


@pytest.mark.parametrize("op", UNARY)
def test_unary(op):
    x = np.abs(X) + 0.1 if op in ("Sqrt", "Log") else X
    check(model([node(op, "x", "y")], {"x": ["n", 4]}, "y", opset=18), x=x)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("LeakyRelu", {"alpha": 0.3}),
        ("ThresholdedRelu", {"alpha": 0.5}),
        ("HardSigmoid", {"alpha": 0.3, "beta": 0.1}),
        ("Elu", {"alpha": 2.0}),
    ],
)
def test_attributes_of_activations(op, attributes):
    check(model([node(op, "x", "y", **attributes)], {"x": ["n", 4]}, "y"), x=X)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max"])
@pytest.mark.parametrize("dims", [[3, 4], [4], [3, 1], [1], [], [2, 1, 4]])
def test_broadcast_arithmetic(op, dims):
    a, b = np.abs(X) + 0.5, np.abs(random(*dims, seed=1)) + 0.5
    check(model([node(op, "a b", "y")], {"a": [3, 4], "b": dims}, "y"), a=a, b=b)
    check(model([node(op, "a b", "y")], {"a": ["n", 4]}, "y", {"b": b}), a=a)


@pytest.mark.parametrize("op", ["Sum", "Min", "Max", "Mean"])
def test_variadic(op):
    feeds = {n: random(3, 4, seed=i) for i, n in enumerate("abc")}
    check(model([node(op, "a b c", "y")], {n: [3, 4] for n in feeds}, "y"), **feeds)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Min", "Max", "Mod"])
@pytest.mark.parametrize("kind", [INT64, INT32])
def test_integer_arithmetic(op, kind):
    a = np.array([7, -7, 7, -7, 0, 5], np.int64 if kind == INT64 else np.int32)
    b = np.array([2, 2, -2, -2, 3, 5], a.dtype)
    proto = model([node(op, "a b", "y")], {"a": (kind, [6]), "b": (kind, [6])}, "y")
    got = run(proto, a=a, b=b)["y"]
    want = np.trunc(a / b).astype(a.dtype) if op == "Div" else reference(proto, a=a, b=b)["y"]
    assert (got == want).all()
    assert got.dtype == want.dtype


def test_remainder_with_the_sign_of_the_dividend():
    a, b = np.array([7, -7, 7, -7]), np.array([2, 2, -2, -2])
    check(model([node("Mod", "a b", "y", fmod=1)], {"a": (INT64, [4]), "b": (INT64, [4])}, "y"), a=a, b=b)


def test_clip_by_attributes_inputs_and_one_bound():
    check(model([node("Clip", "x", "y", min=-0.5, max=0.3)], {"x": ["n", 4]}, "y", opset=6 + 1), x=X)
    check(
        model([node("Clip", "x lo hi", "y")], {"x": ["n", 4]}, "y", {"lo": np.float32(-1), "hi": np.float32(0.1)}), x=X
    )
    check(model([node("Clip", "x - hi", "y")], {"x": ["n", 4]}, "y", {"hi": np.float32(0.1)}), x=X)
    at_run_time = model([node("Clip", "x lo", "y")], {"x": ["n", 4], "lo": []}, "y")
    check(at_run_time, x=X, lo=np.float32(0.2))


def test_prelu_broadcasts_its_slope():
    check(model([node("PRelu", "x s", "y")], {"x": ["n", 4]}, "y", {"s": random(4, seed=2)}), x=X)


@pytest.mark.parametrize("transposed", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("shape", [None, (5,), (1, 5), (3, 1), (3, 5), (1,), ()])
@pytest.mark.parametrize("constant", [True, False])
def test_gemm(transposed, shape, constant):
    a = random(4, 3) if transposed[0] else random(3, 4)
    b = random(5, 4, seed=1) if transposed[1] else random(4, 5, seed=1)
    feeds = {"a": a, "b": b} | ({} if shape is None else {"c": random(*shape, seed=2)})
    names = "a b" if shape is None else "a b c"
    one = node("Gemm", names, "y", transA=transposed[0], transB=transposed[1], alpha=0.5, beta=2.0)
    constants = {k: v for k, v in feeds.items() if k != "a"} if constant else {}
    inputs = {k: list(v.shape) for k, v in feeds.items() if k not in constants}
    check(model([one], inputs, "y", constants), tolerance=1e-5, **{k: feeds[k] for k in inputs})


MATMUL = [([4], [4]), ([3, 4], [4]), ([4], [4, 5]), ([3, 4], [4, 5]), ([2, 3, 4], [4, 5]), ([2, 3, 4], [2, 4, 5])]
MATMUL += [([3, 4], [2, 4, 5]), ([6, 1, 3, 4], [2, 4, 5]), ([2, 1, 3, 4], [1, 7, 4, 70])]


@pytest.mark.parametrize(("a", "b"), MATMUL)
@pytest.mark.parametrize("which", ["neither", "a", "b"])
def test_matmul(a, b, which):
    feeds = {"a": random(*a), "b": random(*b, seed=1)}
    constants = {k: v for k, v in feeds.items() if k == which}
    inputs = {k: list(v.shape) for k, v in feeds.items() if k != which}
    check(model([node("MatMul", "a b", "y")], inputs, "y", constants), 1e-5, **{k: feeds[k] for k in inputs})


@pytest.mark.parametrize("opset", [7, 11, 13])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_softmax_on_each_axis_before_and_after_opset_13(op, opset, axis):
    if axis < 0 and opset < 11:
        pytest.skip("negative axes came with opset 11")
    x = random(2, 3, 4)
    proto = model([node(op, "x", "y", axis=axis)], {"x": [2, 3, 4]}, "y", opset=opset)
    axes = (axis,) if opset >= 13 else tuple(range(axis % 3, 3))
    shifted = x - x.max(axis=axes, keepdims=True)
    total = np.exp(shifted).sum(axis=axes, keepdims=True)
    want = np.exp(shifted) / total if op == "Softmax" else shifted - np.log(total)
    np.testing.assert_allclose(run(proto, x=x)["y"], want, 1e-6, 1e-6)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("indices", [A(1), A(-1), A([0, 1]), A([1, 0]), A([[0, 1], [1, 1]]), A([-1, -2]), A([0])])
def test_gather_by_constants_and_at_run_time(axis, indices):
    x = random(3, 2, 4)
    check(model([node("Gather", "x i", "y", axis=axis)], {"x": [3, 2, 4]}, "y", {"i": indices}), x=x)
    proto = model([node("Gather", "x i", "y", axis=axis)], {"x": [3, 2, 4], "i": (INT64, list(indices.shape))}, "y")
    check(proto, x=x, i=indices)


SLICES = [([0], [2], [1], [1]), ([-2], [1000], [1], [1]), ([5], [0], [1], [-1]), ([-1], [-(1 << 63)], [1], [-2])]
SLICES += [([1, 0], [3, 2], [1, 0], [1, 1]), ([1], [5], [1], [2]), ([3], [3], [1], [1])]


@pytest.mark.parametrize(("starts", "ends", "axes", "steps"), SLICES)
@pytest.mark.parametrize("dims", [[3, 6], ["n", "m"]])
def test_slices(starts, ends, axes, steps, dims):
    constants = {"s": A(starts), "e": A(ends), "a": A(axes), "k": A(steps)}
    check(model([node("Slice", "x s e a k", "y")], {"x": dims}, "y", constants), x=random(3, 6))


def test_slice_of_a_dynamic_axis_that_may_be_shorter():
    constants = {"s": A([0]), "e": A([4]), "a": A([0])}
    proto = model([node("Slice", "x s e a", "y")], {"x": ["n", 2]}, "y", constants)
    for n in (2, 4, 7):
        assert run(proto, x=random(n, 2))["y"].shape == (min(n, 4), 2)


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_split_by_sizes_and_evenly(opset):
    x = random(2, 6)
    sizes = {"split": [1, 3, 2]} if opset < 13 else {}
    names = "x" if opset < 13 else "x s"
    constants = {} if opset < 13 else {"s": A([1, 3, 2])}
    check(model([node("Split", names, "a b c", axis=1, **sizes)], {"x": [2, 6]}, "a b c", constants, opset), x=x)
    even = {"num_outputs": 3} if opset >= 18 else {}
    check(model([node("Split", "x", "a b c", axis=1, **even)], {"x": [2, 6]}, "a b c", opset=opset), x=x)


RESHAPES = [([2, 3, 4], [6, 4]), ([2, 3, 4], [2, -1]), ([2, 3, 4], [0, 0, 2, 2]), ([2, 3, 4], [4, 3, 2])]
RESHAPES += [([2, 3, 4], [-1]), ([1, 3, 1], [3]), ([2, 3, 4], [1, 2, 1, 12])]


@pytest.mark.parametrize(("dims", "shape"), RESHAPES)
@pytest.mark.parametrize("perm", [None, [2, 0, 1], [1, 0, 2]])
def test_reshape_of_plain_and_transposed_tensors(dims, shape, perm):
    if perm is not None and 0 in shape:
        pytest.skip("0 copies another axis then")
    nodes = [node("Identity", "x", "t") if perm is None else node("Transpose", "x", "t", perm=perm)]
    nodes.append(node("Reshape", "t s", "y"))
    check(model(nodes, {"x": dims}, "y", {"s": A(shape)}), x=random(*dims))


@pytest.mark.parametrize("dims", [[1, 2, 3, 4], ["a", 2, 3, 4], ["a", "b", 3, 4], [1, 2, 1, 4]])
@pytest.mark.parametrize("shape", [[0, 0, -1], [0, -1], [0, 0, 0, 4], [-1, 0]])
def test_reshape_copies_the_axis_in_the_same_place(dims, shape):
    sizes = [d if isinstance(d, int) else 1 + i for i, d in enumerate(dims)]
    check(model([node("Reshape", "x s", "y")], {"x": dims}, "y", {"s": A(shape)}), x=random(*sizes))


def test_reshape_that_cannot_be_proved_names_both_sides():
    proto = model([node("Reshape", "x s", "y", name="merge")], {"x": ["n", 3]}, "y", {"s": A([2, -1])})
    with pytest.raises(ConversionError, match=r"'merge'.*\[n, 3\] \(3\*n elements\) has the shape \[2, -1\]"):
        lowered(proto)


@pytest.mark.parametrize("opset", [11, 13])
def test_squeeze_and_unsqueeze(opset):
    x = random(1, 3, 1)
    if opset < 13:
        nodes = [
            node("Squeeze", "x", "a", axes=[0]),
            node("Unsqueeze", "a", "b", axes=[0, -1]),
            node("Squeeze", "b", "c"),
        ]
        check(model(nodes, {"x": [1, 3, 1]}, "a b c", opset=opset), x=x)
        return
    nodes = [node("Squeeze", "x z", "a"), node("Unsqueeze", "a u", "b"), node("Squeeze", "b", "c")]
    check(model(nodes, {"x": [1, 3, 1]}, "a b c", {"z": A([0]), "u": A([0, -1])}, opset), x=x)


def test_concat_of_views_constants_and_the_same_twice():
    nodes = [node("Transpose", "x", "t"), node("Concat", "t k t", "y", axis=0), node("Concat", "x x", "z", axis=-1)]
    check(model(nodes, {"x": [3, 2]}, "y z", {"k": random(4, 3)}), x=random(3, 2))


def test_casts_towards_zero_through_half_and_to_bool():
    x = np.array([-1.7, 1.7, 0.0, 3.0004], np.float32)
    nodes = [
        node("Cast", "x", "i", to=TensorProto.INT64),
        node("Cast", "i", "f", to=TensorProto.FLOAT),
        node("Cast", "x", "b", to=TensorProto.BOOL),
        node("Cast", "x", "h", to=TensorProto.FLOAT16),
        node("Cast", "h", "g", to=TensorProto.FLOAT),
        node("Cast", "x", "d", to=TensorProto.DOUBLE),
    ]
    check(model(nodes, {"x": ["n"]}, "i f b h g d"), x=x)


def test_half_precision_models_keep_their_declared_types():
    proto = model(
        [node("MatMul", "x w", "m"), node("Tanh", "m", "y")],
        {"x": (TensorProto.FLOAT16, ["n", 4])},
        "y",
        {"w": random(4, 5).astype(np.float16)},
    )
    got = run(proto, x=X.astype(np.float16))["y"]
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, reference(proto, x=X.astype(np.float16))["y"], 0, 2e-3)


def test_dropout_is_the_identity_and_its_mask_true():
    got = run(model([node("Dropout", "x", "y m")], {"x": ["n", 4]}, "y m"), x=X)
    assert (got["y"] == X).all()
    assert got["m"].all()
    proto = model([node("Dropout", "x r t", "y")], {"x": ["n", 4]}, "y", {"r": np.float32(0.5), "t": np.array(True)})
    with pytest.raises(ConversionError, match="training_mode"):
        lowered(proto)


def test_shape_arithmetic_leaves_nothing_behind():
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Unsqueeze", "n a0", "n1"),
        node("Concat", "n1 two six", "shape", axis=0),
        node("Reshape", "x shape", "y"),
        node("Size", "x", "size"),
        node("Div", "size twelve", "q"),
        node("Equal", "q n", "same"),
        node("Where", "same n q", "m"),
        node("Unsqueeze", "m a0", "m1"),
        node("Concat", "m1 minus", "shape2", axis=0),
        node("Reshape", "y shape2", "z"),
    ]
    constants = {"zero": A(0), "a0": A([0]), "two": A([2]), "six": A([6]), "twelve": A(12), "minus": A([-1])}
    proto = model(nodes, {"x": ["n", 12]}, "z", constants)
    assert kinds(lowered(proto).graph) == "copy"
    check(proto, x=random(5, 12))


def test_expand_tile_and_constants_of_shape():
    nodes = [
        node("Expand", "x e", "a"),
        node("Tile", "x r", "b"),
        node("ConstantOfShape", "e", "k"),
        node("Add", "a k", "c"),
    ]
    check(model(nodes, {"x": [3, 1]}, "a b c", {"e": A([2, 1, 4]), "r": A([2, 3])}), x=random(3, 1))


@pytest.mark.parametrize("numbers", [(0.0, 1.0, 0.1), (1000.1, 1001.0, 0.1), (5.0, -2.0, -1.5), (3.0, 3.0, 1.0)])
def test_range_of_known_floats(numbers):
    constants = dict(zip("stu", map(np.float32, numbers)))
    got = run(model([node("Range", "s t u", "k")], {"x": [1]}, "k", constants))["k"]
    start, limit, delta = (float(v) for v in constants.values())
    want = start + delta * np.arange(max(0, np.ceil((limit - start) / delta)))
    assert got.dtype == np.float32
    assert (got == want.astype(np.float32)).all()
    with pytest.raises(ConversionError, match="its length depends on data: bind"):
        lowered(model([node("Range", "x t u", "k")], {"x": []}, "k", constants))


def test_every_problem_is_listed_at_once():
    nodes = [
        node("Det", "x", "a", name="first"),
        node("Tanh", "a", "b"),
        node("NonZero", "x", "c"),
    ]
    nodes.append(node("Add", "x x", "d", name="fine"))
    nodes.append(node("Gemm", "x k", "e", name="flagged", gamma=1.0))
    proto = model(nodes, {"x": ["n", 4]}, "b c d e", {"k": random(4, 4)})
    with pytest.raises(ConversionError) as caught:
        lowered(proto)
    problems = caught.value.problems
    assert len(problems) == 3
    assert "Det node 'first'" in problems[0]
    assert "NonZero" in problems[1]
    assert "'gamma'" in problems[2]
    assert "3 problems" in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        ([node("Reshape", "x s", "y")], {"s": A([3])}, r"8 is not 3|shape \[3\]"),
        ([node("Transpose", "x", "y", perm=[0])], {}, "perm"),
        ([node("Slice", "x s e a k", "y")], {"s": A([0]), "e": A([1]), "a": A([0]), "k": A([0])}, "step of 0"),
        ([node("Gather", "x s", "y")], {"s": A(7)}, "index 7 is outside axis 0"),
        ([node("MatMul", "x s", "y")], {"s": random(5, 3)}, "inner dimensions"),
        ([node("Unsqueeze", "x s", "y")], {"s": A([1 << 40])}, "outside"),
        ([node("Expand", "x s", "y")], {"s": A([1 << 36, 2, 4])}, "MiB"),
        ([node("ConstantOfShape", "s", "k"), node("Add", "x k", "y")], {"s": A([1 << 40])}, "MiB"),
        ([node("Range", "s t u", "k"), node("Add", "x k", "y")], {"s": A(0), "t": A(9), "u": A(0)}, "delta"),
        ([node("Add", "x s", "y")], {"s": A([1, 2])}, "mixes types: input .B. .s. is int64, but .A. .x. is float32"),
        ([node("Tanh", "x x", "y")], {}, "has 2 inputs"),
        ([node("Concat", "x s", "y", axis=0)], {"s": random(3)}, "rank"),
        ([node("Softmax", "x", "y", axis=7)], {}, "axis 7"),
    ],
)
def test_what_contradicts_itself_is_refused(nodes, constants, message):
    with pytest.raises(TinyRNNError, match=message):
        lowered(model(nodes, {"x": [2, 4]}, "y", constants))


def test_data_dependent_shapes_are_refused_with_advice():
    proto = model([node("Reshape", "x s", "y", name="r")], {"x": ["n", 4], "s": (INT64, [2])}, "y")
    with pytest.raises(ConversionError, match="depends on data.*bind"):
        lowered(proto)
    assert kinds(lowered(proto, bind={"s": [-1, 2]}).graph) == "copy"


def test_bound_inputs_disappear_and_keep_their_precision():
    proto = model([node("Cast", "sr", "f", to=1), node("Div", "x f", "y")], {"x": ["n", 4], "sr": (INT64, [])}, "y")
    graph = lowered(proto, bind={"sr": 16000}).graph
    assert [p.name for p in graph.inputs] == ["x"]
    with pytest.raises(ConversionError, match="lose precision"):
        lowered(proto, bind={"sr": 0.5})
    with pytest.raises(ConversionError, match="no input 'rate'"):
        lowered(proto, bind={"rate": 1})


def test_shapes_override_declared_ones():
    proto = model([node("Tanh", "x", "y")], {"x": ["n", None, 4]}, "y")
    graph = lowered(proto, shapes={"x": ["batch", 7, 4]}).graph
    assert str(graph.inputs[0].tensor.dims) == "(batch, 7, 4)"
    with pytest.raises(ConversionError, match="3 axes"):
        lowered(proto, shapes={"x": [1, 2]})


def test_a_reshape_that_cannot_be_proved_is_refused_with_both_sides():
    pairs = node("Reshape", "x shape", "y", name="pairs")
    proto = model([pairs], {"x": ["n", 3]}, "y", {"shape": np.array([-1, 2, 3])})
    with pytest.raises(ConversionError, match=r"Reshape node 'pairs'.*\[n, 3\].*has the shape \[-1, 2, 3\]"):
        lowered(proto)


def test_shapes_that_outputs_declare_are_not_trusted():
    proto = model([node("Concat", "x x", "y", axis=1)], {"x": ["n", 3]}, "y")
    proto.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [7, 5]))
    assert str(lowered(proto).graph.outputs[0].tensor.dims) == "(n, 6)"


def test_constants_fold_through_onnx_reference():
    nodes = [node("ReduceSum", "k", "s", keepdims=0), node("Mul", "x s", "y")]
    proto = model(nodes, {"x": ["n", 4]}, "y", {"k": random(3, 3)})
    assert kinds(lowered(proto).graph) == "elementwise"
    check(proto, x=X)


def test_eight_bit_weights_become_floats():
    nodes = [node("DequantizeLinear", "q s z", "w", axis=1), node("MatMul", "x w", "y")]
    constants = {"q": np.arange(-10, 10, dtype=np.int8).reshape(4, 5), "s": np.float32([0.1, 0.2, 0.3, 0.4, 0.5])}
    proto = model(nodes, {"x": ["n", 4]}, "y", constants | {"z": np.int8([0, 1, 2, 3, 4])}, opset=19)
    check(proto, 1e-5, x=X)


def test_two_names_for_one_dimension_are_unified():
    proto = model([node("Add", "a b", "y")], {"a": ["n", 4], "b": ["m", 4]}, "y")
    graph = lowered(proto).graph
    assert len(graph.symbols) == 1


def test_optional_output_without_a_name_and_names_of_any_character():
    proto = model([helper.make_node("Dropout", ["x é\n"], ["y", ""])], {"x é\n": ["n", 4]}, "y")
    assert (run(proto, **{"x é\n": X})["y"] == X).all()


def test_functions_that_onnx_defines_are_inlined_or_refused_by_their_own_name():
    if onnx.defs.onnx_opset_version() >= 28:
        k = random(3, 4, seed=1)
        check(model([node("SwiGLU", "x k", "y")], {"x": ["n", 4]}, "y", {"k": k}, opset=28), x=X)
    proto = model([node("Bernoulli", "x", "y", name="dice")], {"x": ["n", 4]}, "y")
    with pytest.raises(ConversionError, match="Bernoulli node 'dice'"):
        lowered(proto)


def test_deep_graphs_do_not_recurse():
    nodes = [node("Neg", "x" if i == 0 else f"v{i}", f"v{i + 1}") for i in range(3000)]
    graph = lowered(model(nodes, {"x": ["n"]}, "v3000")).graph
    assert len(graph.nodes) < 200


def test_references_agree_with_onnx():
    from tinyrnn.converters import references

    nodes = [node("MatMul", "x w", "a"), node("Softmax", "a", "b"), node("ReduceMean", "b", "y", axes=[1])]
    proto = model(nodes, {"x": ["n", 4]}, "y", {"w": random(4, 5)})
    got = references.run(proto, {"x": X})["y"]
    np.testing.assert_allclose(got, reference(proto, x=X)["y"], 1e-6)


def test_the_frontend_takes_bytes_and_protos_alike():
    proto = model([node("Tanh", "x", "y")], {"x": ["n"]}, "y")
    assert kinds(lowered(proto.SerializeToString()).graph) == kinds(lowered(proto).graph)
    assert isinstance(proto, onnx.ModelProto)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_sequences_that_are_turned_round_whole(axes):
    time, batch = axes
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s t", "n"),
        node("Gather", "s b", "rows"),
        node("Expand", "n rows", "l"),
    ]
    nodes.append(node("ReverseSequence", "x l", "y", time_axis=time, batch_axis=batch))
    dims = ["time", "batch", 2] if time == 0 else ["batch", "time", 2]
    proto = model(nodes, {"x": dims}, "y", {"t": A([time]), "b": A([batch])})
    assert kinds(lowered(proto).graph) == "copy"
    check(proto, x=random(4, 3, 2))
    at_run_time = model(nodes[-1:], {"x": dims, "l": (INT64, ["batch"])}, "y")
    check(at_run_time, x=random(4, 4, 2), l=A([1, 4, 2, 3]))


def test_every_operator_that_is_lowered_has_a_reference():
    from tinyrnn.converters import registry

    registry.load_all()
    assert set(registry.LOWERINGS) - {("", "If")} <= set(registry.REFERENCES)  # references.py runs branches itself
