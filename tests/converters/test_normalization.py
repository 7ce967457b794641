# SPDX-License-Identifier: Apache-2.0
"""Normalisations and composed activations: the interpreter, the float64 references and onnxruntime must agree."""

import numpy as np
import pytest
from onnx import TensorProto

from build import INT32, agree, kinds, lowered, model, node, random, reference, run
from tinyrnn.converters import ConversionError

A = np.array


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("perm", [[0, 1, 2], [2, 0, 1]])
def test_layer_normalization(axis, bias, perm):
    x = random(3, 4, 5)
    rest = [x.shape[p] for p in perm][axis % 3 :]
    constants = {"s": random(*rest, seed=1)} | ({"b": random(*rest, seed=2)} if bias else {})
    one = node("LayerNormalization", "t s b" if bias else "t s", "y", axis=axis, epsilon=1e-3)
    agree(model([node("Transpose", "x", "t", perm=perm), one], {"x": list(x.shape)}, "y", constants), x=x)


def test_the_optional_outputs_of_layer_normalization():
    x, s = random(3, 4, 5, scale=3), random(5, seed=1)
    for outputs in ("y m", "y - d", "y m d"):
        proto = model(
            [node("LayerNormalization", "x s", outputs)], {"x": ["n", 4, 5]}, outputs.replace("- ", ""), {"s": s}
        )
        agree(proto, ort=False, x=x)
    plain = model([node("LayerNormalization", "x s", "y")], {"x": ["n", 4, 5]}, "y", {"s": s})
    assert kinds(lowered(plain).graph) == "normalize elementwise"
    half = model(
        [node("LayerNormalization", "x s", "y m")],
        {"x": (TensorProto.FLOAT16, ["n", 4, 5])},
        "y m",
        {"s": s.astype(np.float16)},
    )
    got = run(half, x=x.astype(np.float16))
    assert (got["y"].dtype, got["m"].dtype) == (np.float16, np.float32)
    with pytest.raises(ConversionError, match="'stash_type' is 7"):
        lowered(model([node("LayerNormalization", "x s", "y", stash_type=7)], {"x": ["n", 4, 5]}, "y", {"s": s}))
    with pytest.raises(ConversionError, match="not broadcast"):
        lowered(model([node("LayerNormalization", "x s", "y")], {"x": ["n", 4, 7]}, "y", {"s": s}))


def test_rms_normalization():
    proto = model(
        [node("RMSNormalization", "x s", "y", axis=1)], {"x": ["n", 4, 5]}, "y", {"s": random(4, 5)}, opset=23
    )
    agree(proto, ort=False, x=random(3, 4, 5))


STATISTICS = {"s": random(4, seed=1), "b": random(4, seed=2), "m": random(4, seed=3), "v": np.abs(random(4, seed=4))}


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (3, 4, 5, 2)])
@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("constant", [True, False])
def test_batch_normalization(shape, opset, constant):
    inputs = {"x": ["n", *shape[1:]]} | ({} if constant else {k: [4] for k in STATISTICS})
    one = node("BatchNormalization", "x s b m v", "y", epsilon=1e-2)
    proto = model([one], inputs, "y", STATISTICS if constant else {}, opset=opset)
    agree(proto, x=random(*shape), **({} if constant else STATISTICS))


def test_what_only_training_needs_is_refused():
    for one, opset, message in (
        (node("BatchNormalization", "x s b m v", "y", training_mode=1), 15, "'training_mode' is 1"),
        (node("BatchNormalization", "x s b m v", "y a c"), 14, "outputs of training"),
        (node("BatchNormalization", "x s b m x", "y"), 14, "input 'var'"),
    ):
        with pytest.raises(ConversionError, match=message):
            lowered(model([one], {"x": [3, 4]}, "y", STATISTICS, opset=opset))


@pytest.mark.parametrize("shape", [(2, 4, 6), (2, 4, 3, 5)])
def test_instance_and_group_normalization(shape):
    x, constants = random(*shape, scale=2), {k: STATISTICS[k] for k in "sb"}
    dims = ["n", *shape[1:]]
    agree(model([node("InstanceNormalization", "x s b", "y", epsilon=1e-2)], {"x": dims}, "y", constants), x=x)
    for opset, count in ((18, 2), (21, 4)):
        given = {k: v[:count] for k, v in constants.items()}
        one = node("GroupNormalization", "x s b", "y", num_groups=2)
        agree(model([one], {"x": dims}, "y", given, opset=opset), ort=opset >= 21, x=x)
    with pytest.raises(ConversionError, match="'num_groups' is 3"):
        lowered(model([node("GroupNormalization", "x s b", "y", num_groups=3)], {"x": dims}, "y", constants, opset=21))


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_lp_normalization_with_rows_of_zeros(p, axis):
    x = random(3, 4)
    x[1], x[:, 2] = 0, 0
    proto = model([node("LpNormalization", "x", "y", p=p, axis=axis)], {"x": ["n", 4]}, "y", opset=22)
    agree(proto, ort=False, x=x)


def test_mean_variance_normalization():
    agree(model([node("MeanVarianceNormalization", "x", "y")], {"x": ["n", 3, 4, 5]}, "y"), x=random(2, 3, 4, 5))
    proto = model([node("MeanVarianceNormalization", "x", "y", axes=[1])], {"x": ["n", 6]}, "y")
    agree(proto, ort=False, x=random(2, 6))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("shape", [(2, 4), (2, 6, 5), (2, 6, 3, 4)])
def test_local_response_normalization(size, shape):
    one = node("LRN", "x", "y", size=size, alpha=0.3, beta=0.6, bias=0.8)
    x = random(*shape, scale=2)
    agree(model([one], {"x": ["n", *shape[1:]]}, "y"), ort=size % 2 == 1 and len(shape) == 4, x=x)
    with pytest.raises(ConversionError, match="'size' is 0"):
        lowered(model([node("LRN", "x", "y", size=0)], {"x": [1, 4]}, "y"))


def test_the_time_axis_may_be_beside_what_is_normalised_but_not_in_it():
    weights = {"r": random(1, 5, 4), "h": random(1, 5, 5), "s": random(5), "s4": random(4)}
    rnn = node("RNN", "x r h", "a", hidden_size=5)
    for one, constant, reason in (
        (node("LayerNormalization", "a s", "y"), "s", ""),
        (node("LayerNormalization", "a s", "y", name="all", axis=0), "s", "'all' normalises over the steps"),
        (node("LpNormalization", "a", "y", name="lp", axis=0), "s", "'lp' reduces over the steps"),
    ):
        graph = lowered(model([rnn, one], {"x": ["t", "b", 4]}, "y", weights)).graph
        assert graph.streamable == (not reason), constant
        assert reason in graph.reason


ACTIVATIONS = [
    ("Selu", 7, {}),
    ("Selu", 7, {"alpha": 1.5, "gamma": 0.7}),
    ("Celu", 12, {}),
    ("Celu", 12, {"alpha": 0.3}),
    ("Gelu", 20, {}),
    ("Gelu", 20, {"approximate": "tanh"}),
    ("HardSwish", 14, {}),
    ("Mish", 18, {}),
    ("Shrink", 9, {"lambd": 0.4, "bias": 0.1}),
    ("Hardmax", 13, {}),
    ("Hardmax", 13, {"axis": 0}),
    ("Hardmax", 11, {"axis": 0}),
    ("Hardmax", 11, {}),
    ("Sign", 9, {}),
]


@pytest.mark.parametrize(("op", "opset", "attributes"), ACTIVATIONS)
def test_composed_activations(op, opset, attributes):
    x = random(3, 7, scale=3)
    x[0, :3] = 0, 12, -12
    proto = model([node(op, "x", "y", **attributes)], {"x": [3, 7]}, "y", opset=opset)
    agree(proto, 3e-6, x=x)
    if op != "Hardmax":
        assert kinds(lowered(proto).graph) == "elementwise"


@pytest.mark.parametrize("alpha", [1.0, 1.5])
def test_swish(alpha):
    proto = model([node("Swish", "x", "y", alpha=alpha)], {"x": ["n"]}, "y", opset=24)
    agree(proto, 3e-6, ort=False, x=random(9, scale=3))


def test_activations_of_the_optimizer_and_their_bounds():
    proto = model([node("Gelu", "x", "y", domain="com.microsoft")], {"x": ["n"]}, "y", domains=["com.microsoft"])
    agree(proto, 3e-6, x=random(9))
    for one, opset, message in (
        (node("Celu", "x", "y", alpha=-1.0), 12, "'alpha' is -1"),
        (node("Gelu", "x", "y", approximate="sine"), 20, "'approximate' is 'sine'"),
        (node("Gelu", "x", "y"), 17, "Gelu"),
    ):
        with pytest.raises(ConversionError, match=message):
            lowered(model([one], {"x": ["n"]}, "y", opset=opset))


@pytest.mark.parametrize("dims", [[], [1], [4], [3, 1], [3, 4], [1, 1, 1], [2, 3, 4]])
@pytest.mark.parametrize("constant", [True, False])
def test_prelu_broadcasts_its_slope_to_the_input(dims, constant):
    x, slope = random(2, 3, 4), random(*dims, seed=1)
    inputs = {"x": ["n", 3, 4]} | ({} if constant else {"s": dims})
    proto = model([node("PRelu", "x s", "y")], inputs, "y", {"s": slope} if constant else {})
    agree(proto, x=x, **({} if constant else {"s": slope}))


def test_prelu_of_integers_and_of_too_long_a_slope():
    proto = model([node("PRelu", "x s", "y")], {"x": (INT32, [4])}, "y", {"s": A(3, np.int32)})
    x = A([-2, 0, 5, -1], np.int32)
    assert (run(proto, x=x)["y"] == reference(proto, x=x)["y"]).all()
    with pytest.raises(ConversionError, match="not broadcast"):
        lowered(model([node("PRelu", "x s", "y")], {"x": [4]}, "y", {"s": random(2, 4)}))
