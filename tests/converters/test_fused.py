# SPDX-License-Identifier: Apache-2.0
"""Operators that onnxruntime's optimizer makes of ONNX's own: models that it saved, and what it never saves."""

import numpy as np
import onnx
import pytest

import tinyrnn
from build import agree, lowered, model, node, random
from tinyrnn.converters import ConversionError, convert_bytes, references, registry
from tinyrnn.converters.ir import NUMPY_TYPE, TYPE_NAMES

DOMAIN = "com.microsoft"
#: Activations with their attributes: those of which the optimizer makes one operator with a product.
ACTIVATIONS = [
    ("Relu", {}),
    ("Sigmoid", {}),
    ("Tanh", {}),
    ("LeakyRelu", {"alpha": 0.3}),
    ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
]
OF_GEMM = [
    *ACTIVATIONS,
    ("Elu", {"alpha": 2.0}),
    ("Selu", {"alpha": 1.5, "gamma": 1.25}),
    ("Softplus", {}),
    ("Softsign", {}),
    ("ThresholdedRelu", {"alpha": 0.25}),
]


def optimized(proto, folder):
    """Return the model that onnxruntime saves."""
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


def saved(proto, op, folder, **feeds):
    """Check that the optimizer makes the operator of a model, and compare what it saved with the references."""
    made = optimized(proto, folder)
    assert op in {n.op_type for n in made.graph.node if n.domain == DOMAIN}
    agree(made, **feeds)


def fused(op, inputs, dims, outputs="y", constants=None, **attributes):
    """Return a model of one of onnxruntime's operators."""
    return model([node(op, inputs, outputs, domain=DOMAIN, **attributes)], dims, outputs, constants, domains=[DOMAIN])


@pytest.mark.parametrize(("op", "attributes"), OF_GEMM)
def test_a_product_with_its_activation(op, attributes, tmp_path):
    nodes = [node("Gemm", "x w b", "t", alpha=0.5, transB=1), node(op, "t", "y", **attributes)]
    proto = model(nodes, {"x": ["n", 5]}, "y", {"w": random(4, 5), "b": random(4)})
    saved(proto, "FusedGemm", tmp_path, x=random(3, 5))


@pytest.mark.parametrize(("op", "attributes"), ACTIVATIONS)
def test_a_convolution_with_its_activation(op, attributes, tmp_path):
    nodes = [node("Conv", "x w b", "t", pads=[1, 0, 1, 2], strides=[1, 2], group=2), node(op, "t", "y", **attributes)]
    proto = model(nodes, {"x": ["n", 4, 6, 7]}, "y", {"w": random(6, 2, 3, 3), "b": random(6)})
    saved(proto, "FusedConv", tmp_path, x=random(2, 4, 6, 7))


def test_a_convolution_that_is_clipped(tmp_path):
    constants = {"w": random(2, 3, 4), "lo": np.float32(-0.5), "hi": np.float32(0.7)}
    nodes = [node("Conv", "x w", "t"), node("Clip", "t lo hi", "y")]
    saved(model(nodes, {"x": ["n", 3, 9]}, "y", constants), "FusedConv", tmp_path, x=random(2, 3, 9))


def test_a_convolution_with_an_addend():
    weights = {"w": random(2, 3, 4), "b": random(2)}
    dims = {"x": ["n", 3, 9], "z": ["n", 2, 6]}
    for attributes in ({}, {"activation": "Relu"}):
        agree(fused("FusedConv", "x w b z", dims, "y", weights, **attributes), x=random(2, 3, 9), z=random(2, 2, 6))
    with pytest.raises(ConversionError, match="its addend of shape"):
        lowered(fused("FusedConv", "x w b z", dims | {"z": ["n", 2, 1]}, "y", weights))


@pytest.mark.parametrize(("op", "approximate"), [("BiasGelu", "none"), ("FastGelu", "tanh")])
def test_gelu_of_a_sum(op, approximate, tmp_path):
    nodes = [node("Add", "x b", "t"), node("Gelu", "t", "y", approximate=approximate)]
    proto = model(nodes, {"x": ["n", "t", 4]}, "y", {"b": random(4)}, opset=20)
    saved(proto, op, tmp_path, x=random(2, 3, 4, scale=3.0))
    with pytest.raises(ConversionError, match=r"its bias \[1\] is not \[4\]"):
        lowered(fused(op, "x b", {"x": ["n", 4]}, "y", {"b": random(1)}))


def test_gelu_by_tanh_without_a_sum():
    agree(fused("FastGelu", "x", {"x": ["n", 4]}), x=random(3, 4, scale=3.0))


@pytest.mark.parametrize("slope", [1.702, 1.0])
def test_a_product_with_its_own_sigmoid(slope, tmp_path):
    nodes = [node("Mul", "x k", "t"), node("Sigmoid", "t", "s"), node("Mul", "x s", "y")]
    proto = model(nodes, {"x": ["n", 4]}, "y", {"k": np.float32(slope)})
    saved(proto, "QuickGelu", tmp_path, x=random(3, 4, scale=3.0))
    agree(fused("QuickGelu", "x", {"x": ["n", 4]}), x=random(3, 4, scale=3.0))


@pytest.mark.parametrize("bias", [False, True])
def test_a_normalised_sum(bias, tmp_path):
    first = [node("Add", "x c", "u"), node("Add", "u z", "t")] if bias else [node("Add", "x z", "t")]
    weights = {"g": random(4), "b": random(4, seed=1), "c": random(4, seed=2)}
    feeds = {"x": random(2, 3, 4), "z": random(2, 3, 4, seed=3)}
    dims = {name: ["n", "t", 4] for name in feeds}
    nodes = [*first, node("LayerNormalization", "t g b", "y", epsilon=1e-3)]
    saved(model(nodes, dims, "y", weights), "SkipLayerNormalization", tmp_path, **feeds)
    one = node("SkipLayerNormalization", "x z g - c", "y - - s", domain=DOMAIN, epsilon=1e-3)
    agree(model([one], dims, "y s", weights, domains=[DOMAIN]), **feeds)


def test_outputs_for_training_are_refused():
    one = node("SkipLayerNormalization", "x z g", "y m", domain=DOMAIN)
    dims = {name: ["n", "t", 4] for name in "xz"}
    with pytest.raises(ConversionError, match="output 'm' is not supported"):
        lowered(model([one], dims, "y m", {"g": random(4)}, domains=[DOMAIN]))


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"activation": "Gelu"}, "'activation' is 'Gelu'; supported are Clip, Elu"),
        ({"activation": "LeakyRelu"}, "'activation' is 'LeakyRelu', whose parameters are not those that are given"),
        ({"activation": "Relu", "activation_alpha": 0.1}, "whose parameters are not"),
        ({"activation": "Relu", "activation_gamma": 0.1}, "whose parameters are not"),
        ({"activation": "Selu", "activation_alpha": 0.1}, "whose parameters are not"),
        ({"activation_alpha": 0.1}, "'activation' is '', whose parameters are not"),
    ],
)
def test_activations_that_are_not_there(attributes, text):
    weights = {"w": random(4, 4)}
    with pytest.raises(ConversionError, match=text):
        lowered(fused("FusedGemm", "x w", {"x": ["n", 4]}, "y", weights, **attributes))


def test_what_else_onnxruntime_makes_is_refused_with_what_to_do():
    with pytest.raises(ConversionError, match="onnxruntime made it of ONNX's own, as it optimized"):
        lowered(fused("NchwcConv", "x", {"x": ["n", 4]}))


registry.load_all()
ROWS = {op: rows[0] for (domain, op), rows in sorted(registry.LOWERINGS.items()) if domain == DOMAIN}
#: The shapes of the inputs where not all are [2, 4].
SHAPES = {
    "BiasGelu": ([2, 4], [4]),
    "FastGelu": ([2, 4], [4]),
    "FusedConv": ([1, 2, 5], [3, 2, 2], [3], [1, 3, 4]),
    "FusedGemm": ([2, 3], [3, 4], [4]),
    "FusedMatMul": ([2, 3], [3, 4]),
    "SkipLayerNormalization": ([2, 4], [2, 4], [4], [4], [4]),
}


def of_type(op, dtype):
    """Return a model of the operator with all of its inputs in one type, and what it is fed."""
    shapes = SHAPES.get(op, ([2, 4],) * len(ROWS[op].inputs))
    feeds = {f"x{i}": (2 + random(*shape, seed=i)).astype(NUMPY_TYPE[dtype]) for i, shape in enumerate(shapes)}
    dims = {name: (onnx.helper.np_dtype_to_tensor_dtype(a.dtype), list(a.shape)) for name, a in feeds.items()}
    return fused(op, " ".join(feeds), dims), feeds


@pytest.mark.parametrize("op", ROWS)
def test_every_type_that_is_claimed(op):
    for dtype in ROWS[op].inputs[0].types:
        proto, feeds = of_type(op, dtype)
        got = tinyrnn.load(convert_bytes(proto)[0]).run(feeds)["y"]
        tolerance = 2e-2 if dtype == "F16" else 1e-5
        assert got.dtype == NUMPY_TYPE[dtype]
        np.testing.assert_allclose(got, references.run(proto, feeds)["y"], tolerance, tolerance, err_msg=dtype)


@pytest.mark.parametrize("op", ROWS)
def test_every_other_type_is_refused(op):
    assert set(TYPE_NAMES) > set(ROWS[op].inputs[0].types)
    for dtype in set(TYPE_NAMES) - set(ROWS[op].inputs[0].types):
        with pytest.raises(ConversionError, match=f"is {TYPE_NAMES[dtype]}, but must be"):
            convert_bytes(of_type(op, dtype)[0])
