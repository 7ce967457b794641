# SPDX-License-Identifier: Apache-2.0
"""Convolutions of every kind in the engine: near float64, a row as alone, the same bytes on every instruction set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from random_graphs import load
from test_promises import by_class
from tinyrnn.converters import references


@st.composite
def convolutions(draw):
    """(the model, the shape of its input) with any window, groups, and layout of the input and the output."""
    rank, transposed = draw(st.integers(1, 3)), draw(st.booleans())
    groups, channels = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2, 5, 33]))
    outputs = 1 if draw(st.booleans()) and channels == 1 else draw(st.sampled_from([1, 2, 17, 70]))
    if channels == outputs == 1:
        groups = draw(st.sampled_from([2, 7, 16, 19]))
    lists = {name: [draw(st.integers(1, 3)) for _ in range(rank)] for name in ("strides", "dilations")}
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    pads = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    shape = [draw(st.integers(1, 9)) + (k - 1) * d for k, d in zip(kernel, lists["dilations"], strict=True)]
    if transposed:
        shape = [n + 5 for n in shape]  # what the padding cuts off must be there
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    each = (channels * groups, outputs) if transposed else (outputs * groups, channels)
    scale = (channels * np.prod(kernel)) ** -0.5
    constants = {"w": rng.normal(size=(*each, *kernel)) * scale, "b": rng.normal(size=outputs * groups)}
    last, first = [0, *range(2, rank + 2), 1], [0, rank + 1, *range(1, rank + 1)]
    last_x, last_y = draw(st.booleans()), draw(st.booleans())  # whether the channels are the last axis
    op, given_ = "ConvTranspose" if transposed else "Conv", ["w", "b"][: 2 if draw(st.booleans()) else 1]
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=first)] if last_x else []
    nodes.append(helper.make_node(op, ["t" if last_x else "x", *given_], ["a"], group=groups, pads=pads, **lists))
    nodes.append(helper.make_node("Tanh", ["a"], ["h"]))
    nodes.append(helper.make_node("Transpose", ["h"], ["y"], perm=last if last_y else list(range(rank + 2))))
    shape = (draw(st.integers(1, 3)), channels * groups, *shape)
    seen = tuple(shape[i] for i in last) if last_x else shape
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *seen[1:]])]
    outs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    weights = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in constants.items() if n in ("w", *given_)]
    graph = helper.make_graph(nodes, "conv", values, outs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), seen


@settings(max_examples=300, deadline=None, print_blob=True)
@given(convolutions(), st.integers(0, 99))
def test_any_convolution(case, seed):
    proto, shape = case
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    want = references.run(proto, {"x": x})["y"]

    def answers(model):
        y = model.run(x)
        for row in range(len(x)):
            assert model.run(x[row : row + 1]).tobytes() == y[row : row + 1].tobytes()
        return {"y": y}

    for got in by_class(answers, proto).values():
        np.testing.assert_allclose(got["y"], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 40])
def test_padding_is_skipped(channels):
    """A tap that looks at padding alone may have any weight."""
    w = np.ones((3, channels, 3), np.float32)
    w[:, :, 0] = np.inf
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None if n == "y" else [1, channels, 1]) for n in "xy"]
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1])]
    graph = helper.make_graph(nodes, "pad", values[:1], values[1:], [numpy_helper.from_array(w, "w")])
    model = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert (model.run(np.ones((1, channels, 1), np.float32)) == channels).all()
