# SPDX-License-Identifier: Apache-2.0
"""Convolution and pooling with every attribute: the interpreter, the float64 references and onnxruntime must agree."""

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from build import agree, kinds, lowered, model, node, random, run
from tinyrnn.converters import ConversionError

MODES = ["VALID", "SAME_UPPER", "SAME_LOWER"]


def conv(x, w, constant=True, op="Conv", dims=None, **attributes):
    """Check a convolution; its weights and bias are constants or inputs."""
    outputs = w.shape[0] if op == "Conv" else w.shape[1] * attributes.get("group", 1)
    weights = {"w": w, "b": random(outputs, seed=9)}
    inputs = {"x": dims or list(x.shape)} | ({} if constant else {k: list(v.shape) for k, v in weights.items()})
    proto = model([node(op, "x w b", "y", **attributes)], inputs, "y", weights if constant else {})
    agree(proto, x=x, **({} if constant else weights))


SHAPES = [((2, 4, 9), (6, 4, 3)), ((2, 4, 7, 8), (6, 4, 3, 2)), ((1, 2, 5, 6, 4), (3, 2, 2, 3, 2))]


@pytest.mark.parametrize(("shape", "weights"), SHAPES)
@pytest.mark.parametrize("constant", [True, False])
def test_convolution_in_each_rank(shape, weights, constant):
    rank = len(shape) - 2
    variants = [
        {},
        {"strides": [2, 1, 3][:rank]},
        {"dilations": [2, 1, 1][:rank], "pads": [1, 0, 2][:rank] + [2, 1, 0][:rank]},
        {"kernel_shape": list(weights[2:]), "strides": [2] * rank, "pads": [1] * (2 * rank)},
    ]
    for attributes in variants:
        conv(random(*shape), random(*weights, seed=1), constant, **attributes)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_groups(groups, constant, op):
    shape = (8, 4 // groups, 3) if op == "Conv" else (4, 6 // groups + 1, 3)
    conv(random(2, 4, 9), random(*shape, seed=1), constant, op, group=groups, strides=[2])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("dims", [[1, 2, 9, 10], ["n", 2, "h", "w"]])
def test_automatic_padding(mode, stride, dilation, dims):
    for height, width in ((9, 10), (7, 12)) if dims[0] == "n" else ((9, 10),):
        x = random(1, 2, height, width)
        # onnxruntime refuses dilation with SAME
        proto = model(
            [node("Conv", "x w", "y", auto_pad=mode, strides=[stride, 1], dilations=[dilation, 1])],
            {"x": dims},
            "y",
            {"w": random(3, 2, 4, 3, seed=1)},
        )
        agree(proto, ort=dilation == 1 or mode == "VALID", x=x)


TRANSPOSED = [
    {},
    {"strides": [2, 3]},
    {"strides": [2, 2], "output_padding": [1, 0]},
    {"strides": [3, 2], "pads": [1, 0, 2, 1], "dilations": [1, 2]},
    {"strides": [2, 2], "output_shape": [10, 13]},
    {"strides": [2, 1], "auto_pad": "SAME_UPPER"},
    {"strides": [2, 1], "auto_pad": "SAME_LOWER"},
    {"strides": [1, 1], "auto_pad": "VALID", "kernel_shape": [3, 2]},
]


@pytest.mark.parametrize("attributes", TRANSPOSED)
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution(attributes, groups):
    conv(random(2, 4, 5, 6), random(4, 3, 3, 2, seed=1), op="ConvTranspose", group=groups, **attributes)


def test_same_padding_spreads_further_than_the_taps_reach():
    """As ONNX says: the output is as long as the input times the stride; onnxruntime makes it shorter here."""
    proto = model([node("ConvTranspose", "x w", "y", strides=[3], auto_pad="SAME_UPPER")], {"x": [1, 2, 4]}, "y")
    proto.graph.initializer.append(numpy_helper.from_array(random(2, 3, 2), "w"))
    agree(proto, ort=False, x=random(1, 2, 4))
    assert run(proto, x=random(1, 2, 4))["y"].shape == (1, 3, 12)


def test_transposed_convolution_of_any_length():
    conv(random(2, 4, 5), random(4, 3, 4, seed=1), op="ConvTranspose", dims=["n", 4, "t"], strides=[2], pads=[1, 1])
    conv(random(2, 3, 2, 3, 4), random(3, 2, 2, 1, 3, seed=1), op="ConvTranspose", strides=[2, 1, 2])


def test_the_input_may_be_a_view():
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("Conv", "t w", "a", pads=[1, 1]), node("Relu", "a", "b")]
    nodes.append(node("Transpose", "b", "y", perm=[0, 2, 1]))
    proto = model(nodes, {"x": ["n", "t", 4]}, "y", {"w": random(6, 4, 3)})
    assert kinds(lowered(proto).graph) == "conv"
    agree(proto, x=random(2, 5, 4))


POOLS = [
    {"kernel_shape": [3, 2]},
    {"kernel_shape": [2, 2], "strides": [2, 1]},
    {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 0]},
    {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    {"kernel_shape": [3, 4], "strides": [2, 3], "auto_pad": "SAME_LOWER"},
    {"kernel_shape": [3, 3], "auto_pad": "VALID"},
]


@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("dims", [[2, 3, 7, 8], ["n", 3, "h", "w"]])
def test_pools(attributes, dims):
    x = random(2, 3, 7, 8)
    agree(model([node("MaxPool", "x", "y", **attributes)], {"x": dims}, "y"), x=x)
    agree(model([node("MaxPool", "x", "y", storage_order=1, **attributes)], {"x": dims}, "y"), x=x)
    for counted in (0, 1):
        proto = model([node("AveragePool", "x", "y", count_include_pad=counted, **attributes)], {"x": dims}, "y")
        agree(proto, x=x)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_pools_of_other_ranks_with_dilation(op):
    for shape, kernel in (((2, 3, 11), [3]), ((1, 2, 5, 6, 7), [2, 3, 2])):
        attributes = {"kernel_shape": kernel, "dilations": [2] + [1] * (len(kernel) - 1)}
        agree(model([node(op, "x", "y", **attributes)], {"x": list(shape)}, "y", opset=19), x=random(*shape))


def test_pools_of_small_integers_and_older_opsets():
    x = np.arange(24, dtype=np.int8).reshape(1, 2, 12) * 5
    proto = model([node("MaxPool", "x", "y", kernel_shape=[3])], {"x": (TensorProto.INT8, [1, 2, 12])}, "y")
    agree(proto, x=x)
    for opset in (7, 8, 10, 11):
        for op in ("MaxPool", "AveragePool"):
            proto = model([node(op, "x", "y", kernel_shape=[2], strides=[2])], {"x": ["n", 2, 7]}, "y", opset=opset)
            agree(proto, x=random(2, 2, 7))
    with pytest.raises(ConversionError, match="'ceil_mode' is not one of this operator in opset 8"):
        lowered(model([node("MaxPool", "x", "y", kernel_shape=[2], ceil_mode=1)], {"x": [1, 1, 4]}, "y", opset=8))


@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("dims", [[2, 3, 7, 8], ["n", 3, "h", "w"]])
def test_norms_of_windows(attributes, p, dims):
    proto = model([node("LpPool", "x", "y", p=p, **attributes)], {"x": dims}, "y", opset=18)
    # onnxruntime rounds its output down in SAME_LOWER, and up beyond the input
    agree(proto, ort="auto_pad" not in attributes and "ceil_mode" not in attributes, x=random(2, 3, 7, 8))


def test_norms_of_windows_of_other_ranks_with_dilation():
    for shape, kernel in (((2, 3, 11), [3]), ((1, 1, 5, 6, 7), [2, 3, 2])):
        attributes = {"kernel_shape": kernel, "dilations": [2] + [1] * (len(kernel) - 1)}
        agree(model([node("LpPool", "x", "y", **attributes)], {"x": list(shape)}, "y", opset=18), x=random(*shape))
    with pytest.raises(ConversionError, match="whose channels must be constant"):
        lowered(model([node("LpPool", "x", "y", kernel_shape=[2])], {"x": ["n", "c", 4]}, "y"))


def test_a_norm_does_not_spread_what_is_no_number():
    x = np.float32([[[1, np.inf, 2, 3], [np.nan, 0, 1, 1]]])
    got = run(model([node("LpPool", "x", "y", kernel_shape=[2])], {"x": [1, 2, 4]}, "y"), x=x)["y"]
    np.testing.assert_allclose(got, [[[np.inf, np.inf, 13**0.5], [np.nan, 1, 2**0.5]]], 1e-6)


def test_global_norms():
    for p in (1, 2, 3):
        for shape in ((2, 3, 5), (2, 3, 4, 5)):
            agree(model([node("GlobalLpPool", "x", "y", p=p)], {"x": ["n", *shape[1:]]}, "y"), x=random(*shape))


def test_global_pools():
    for shape in ((2, 3, 5), (2, 3, 4, 5)):
        for op in ("GlobalAveragePool", "GlobalMaxPool"):
            agree(model([node(op, "x", "y")], {"x": ["n", *shape[1:]]}, "y"), x=random(*shape))


W = {"w": random(6, 4, 3)}
REFUSED = [
    (node("Conv", "x w", "y", group=4), "'group' is 4"),
    (node("Conv", "x w", "y", group=0), "'group' is 0"),
    (node("Conv", "x w", "y", group=2), r"groups of 4 channels"),
    (node("Conv", "x w", "y", kernel_shape=[2]), "'kernel_shape' is"),
    (node("Conv", "x w", "y", strides=[0]), "'strides' is"),
    (node("Conv", "x w", "y", strides=[1, 1]), "'strides' is"),
    (node("Conv", "x w", "y", pads=[1]), "'pads' is"),
    (node("Conv", "x w", "y", auto_pad="SAME"), "'auto_pad' is 'SAME'"),
    (node("Conv", "x w", "y", auto_pad="SAME_UPPER", pads=[1, 1]), "exclude each other"),
    (node("Conv", "x w", "y", strides=[1 << 25]), "stride along spatial axis 0"),
    (node("Conv", "x w", "y", dilations=[5]), "does not fit"),
    (node("Conv", "x w x", "y"), "bias of shape"),
    (node("ConvTranspose", "x v", "y", pads=[9, 9]), "leaves nothing"),
    (node("ConvTranspose", "x v", "y", output_shape=[0]), "'output_shape' is"),
    (node("MaxPool", "x", "y"), "'kernel_shape' is"),
    (node("MaxPool", "x", "y", kernel_shape=[1 << 25], pads=[1 << 25, 1 << 25]), "kernel along spatial axis 0"),
    (node("LpPool", "x", "y", kernel_shape=[2], p=0), "'p' is 0"),
    (node("GlobalLpPool", "x", "y", p=-1), "'p' is -1"),
]


@pytest.mark.parametrize(("one", "message"), REFUSED)
def test_what_is_refused_by_name(one, message):
    with pytest.raises(ConversionError, match=message):
        lowered(model([one], {"x": [1, 4, 8]}, "y", W | {"v": random(4, 2, 3)}))


def test_time_goes_through_windows_of_one_step_alone():
    weights = {"w": random(6, 4, 1), "w3": random(6, 4, 3), "r": random(1, 5, 6), "h": random(1, 5, 5)}
    rnn = [node("Transpose", "a", "t", perm=[2, 0, 1]), node("RNN", "t r h", "y", hidden_size=5)]
    for one, reason in (
        (node("Conv", "x w", "a"), None),
        (node("MaxPool", "x", "a4", kernel_shape=[3], pads=[1, 1]), "slides a window over the steps"),
        (node("Conv", "x w3", "a", auto_pad="SAME_UPPER", name="wide"), "'wide' slides a window over the steps"),
    ):
        nodes = [one, *([node("Conv", "a4 w", "a")] if one.output[0] == "a4" else []), *rnn]
        graph = lowered(model(nodes, {"x": ["batch", 4, "time"]}, "y", weights)).graph
        assert graph.streamable == (reason is None)
        assert reason is None or reason in graph.reason
