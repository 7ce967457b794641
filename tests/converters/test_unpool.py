# SPDX-License-Identifier: Apache-2.0
"""Where maxima are, elements put back there, and columns of images added up."""

import numpy as np
import pytest
from onnx import TensorProto

from build import INT64, agree, kinds, lowered, model, node, random, reference, run
from test_windows import POOLS
from tinyrnn.converters import ConversionError


@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("dims", [[2, 3, 7, 8], ["n", 3, 7, 8]])
def test_where_maxima_are(attributes, order, dims):
    x = random(2, 3, 7, 8)
    x[0, 0] = np.round(x[0, 0])  # of equal ones the first
    proto = model([node("MaxPool", "x", "y i", storage_order=order, **attributes)], {"x": dims}, "y i")
    agree(proto, x=x)


def test_where_maxima_are_in_other_ranks_and_types():
    for shape, kernel in (((2, 3, 11), [3]), ((1, 2, 5, 6, 7), [2, 3, 2])):
        one = node("MaxPool", "x", "y i", kernel_shape=kernel, dilations=[2] + [1] * (len(kernel) - 1))
        agree(model([one], {"x": list(shape)}, "y i"), x=random(*shape))
    x = np.arange(24, dtype=np.int8).reshape(1, 2, 12)[..., ::-1] * 5
    proto = model([node("MaxPool", "x", "y i", kernel_shape=[3])], {"x": (TensorProto.INT8, [1, 2, 12])}, "y i")
    agree(proto, x=x)


def test_a_window_of_nothing_has_a_maximum_inside():
    x = np.full((1, 1, 4), -np.inf, np.float32)
    proto = model([node("MaxPool", "x", "y i", kernel_shape=[3], pads=[2, 0])], {"x": [1, 1, 4]}, "y i")
    got = run(proto, x=x)
    assert got["i"].tolist() == [[[0, 0, 0, 1]]]
    assert (got["y"] == -np.inf).all()


def test_places_need_constant_axes_and_no_steps():
    one = node("MaxPool", "x", "y i", kernel_shape=[2])
    with pytest.raises(ConversionError, match="'Indices' needs constant spatial axes"):
        lowered(model([one], {"x": [1, 2, "w"]}, "y i"))
    weights = {"r": random(1, 5, 4), "h": random(1, 5, 5)}
    rnn = node("RNN", "x r h", "a", hidden_size=5)
    nodes = [rnn, node("Squeeze", "a k", "b"), node("MaxPool", "b", "y i", kernel_shape=[2])]
    graph = lowered(model(nodes, {"x": ["t", "b", 4]}, "y i", weights | {"k": np.int64([1])})).graph
    assert "counts places over the steps" in graph.reason


def test_maxima_go_back_to_where_they_were():
    pool = node("MaxPool", "x", "m i", kernel_shape=[2, 3], strides=[2, 3])
    back = node("MaxUnpool", "m i", "y", kernel_shape=[2, 3], strides=[2, 3])
    proto = model([pool, back], {"x": ["n", 3, 6, 9]}, "y")
    x = random(2, 3, 6, 9)
    agree(proto, x=x)
    assert set(run(proto, x=x)["y"].reshape(-1)) - {0} <= set(x.reshape(-1))
    back.input.append("k")
    padded = model([pool, back], {"x": [2, 3, 6, 9]}, "y", {"k": np.int64([2, 3, 7, 11])})
    got, want = run(padded, x=x)["y"], reference(padded, x=x)["y"]
    np.testing.assert_array_equal(got, want)
    assert "scatter_elements" in kinds(lowered(padded).graph)


REFUSED = [
    ({}, [2, 3, 7], "has 3 numbers"),
    ({}, [2, 3, 5, 9], "the window makes"),
    ({}, [2, 4, 6, 9], "input 'output_shape' is"),
    ({"pads": [3, 3, 3, 3]}, None, r"makes \[2, 3, 0, 3\]"),
    ({"pads": [1, 1]}, None, "'pads' is"),
]


@pytest.mark.parametrize(("attributes", "shape", "message"), REFUSED)
def test_what_cannot_go_back(attributes, shape, message):
    one = node("MaxUnpool", "x i" + (" k" if shape else ""), "y", kernel_shape=[2, 3], strides=[2, 2], **attributes)
    constants = {"k": np.int64(shape)} if shape else {}
    inputs = {"x": [2, 3, 3, 4], "i": (INT64, [2, 3, 3, 4])}
    with pytest.raises(ConversionError, match=message):
        lowered(model([one], inputs, "y", constants))
    if not attributes:
        with pytest.raises(ConversionError, match="indices have the shape"):
            lowered(model([one], inputs | {"i": (INT64, [2, 3, 3, 5])}, "y", constants))


COLUMNS = [
    ([5, 6], [2, 3], {}),
    ([5, 6], [2, 3], {"strides": [2, 1], "pads": [1, 0, 1, 2]}),
    ([7, 6], [3, 2], {"dilations": [2, 3], "strides": [1, 2], "pads": [1, 1, 0, 0]}),
    ([6, 6], [2, 2], {"strides": [2, 2]}),
    ([7], [3], {"strides": [4]}),
    ([4, 3, 5], [2, 2, 2], {"pads": [0, 1, 0, 1, 0, 0]}),
]


def of_columns(image, block, batch=2, dims=None, **attributes):
    """Return a model of Col2Im and its input."""
    rank = len(image)
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    pads = attributes.get("pads", [0] * 2 * rank)
    sizes = [
        (n + pads[i] + pads[rank + i] - (block[i] - 1) * dilations[i] - 1) // strides[i] + 1
        for i, n in enumerate(image)
    ]
    x = random(batch, 3 * int(np.prod(block)), int(np.prod(sizes)))
    constants = {"i": np.int64(image), "k": np.int64(block)}
    return model([node("Col2Im", "x i k", "y", **attributes)], {"x": dims or list(x.shape)}, "y", constants, 18), x


@pytest.mark.parametrize(("image", "block", "attributes"), COLUMNS)
def test_columns_are_added_up(image, block, attributes):
    proto, x = of_columns(image, block, **attributes)
    agree(proto, x=x)
    got = run(proto, x=x)["y"]
    np.testing.assert_allclose(got, reference(proto, x=x)["y"], 1e-5, 1e-5)
    x[0, 0, 0] = np.inf
    assert np.isinf(run(proto, x=x)["y"]).sum() <= 1, "what is no number stays where it lies"


def test_columns_of_any_number_of_rows_and_others_refused():
    proto, x = of_columns([5, 6], [2, 3], dims=["n", 18, 16])
    agree(proto, x=x)
    for dims, message in (
        (["n", 17, 16], "do not divide"),
        (["n", 18, 21], "blocks have 16 places"),
        (["n", 18], "makes an image"),
    ):
        with pytest.raises(ConversionError, match=message):
            lowered(of_columns([5, 6], [2, 3], dims=dims)[0])
