# SPDX-License-Identifier: Apache-2.0
"""GridSample in every mode: the interpreter, the float64 reference, onnxruntime and ONNX's own must agree."""

import numpy as np
import pytest

from build import agree, lowered, model, node, random, reference, run
from tinyrnn.converters import ConversionError

MODES = {16: ["bilinear", "nearest", "bicubic"], 20: ["linear", "nearest", "cubic"]}
PADDINGS = ["zeros", "border", "reflection"]


def sample(dims, grid, opset=20, **attributes):
    """Return a model of one GridSample."""
    return model([node("GridSample", "x g", "y", **attributes)], {"x": dims, "g": grid}, "y", opset=opset)


@pytest.mark.parametrize("opset", [16, 20])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("aligned", [0, 1])
def test_in_the_plane(opset, number, padding, aligned):
    mode = MODES[opset][number]
    x, grid = random(2, 3, 5, 4), random(2, 6, 7, 2, seed=1, scale=1.2)
    proto = sample(["n", 3, 5, 4], ["n", "h", "w", 2], opset, mode=mode, padding_mode=padding, align_corners=aligned)
    agree(proto, 2e-5, x=x, g=grid)


@pytest.mark.parametrize("mode", MODES[20])
@pytest.mark.parametrize("padding", PADDINGS)
def test_in_other_ranks_beside_the_reference_of_onnx(mode, padding):
    for lengths, places in (((5,), (4,)), ((3, 4, 2), (2, 3, 2))):
        x, grid = random(2, 2, *lengths), random(2, *places, len(lengths), seed=1)
        proto = sample(list(x.shape), list(grid.shape), mode=mode, padding_mode=padding)
        agree(proto, 2e-5, ort=False, x=x, g=grid)
        if mode != "cubic":
            got, want = run(proto, x=x, g=grid)["y"], reference(proto, x=x, g=grid)["y"]
            np.testing.assert_allclose(got, want, 2e-5, 2e-5)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("aligned", [0, 1])
def test_far_places_and_axes_of_one_element(padding, aligned):
    x, grid = random(1, 1, 1, 3), np.float32([[[[-9, 30], [7.5, -2], [0, 0], [1e4, -1e4]]]])
    proto = sample([1, 1, 1, 3], [1, 1, 4, 2], padding_mode=padding, align_corners=aligned)
    agree(proto, 1e-4, ort=False, x=x, g=grid)


def test_what_is_outside_does_not_spread():
    x = np.float32([[[[np.inf, 1, 2]]]])
    grid = np.float32([[[[0.5, 0], [9, 0]]]])
    got = run(sample([1, 1, 1, 3], [1, 1, 2, 2], align_corners=1), x=x, g=grid)["y"]
    np.testing.assert_allclose(got, [[[[1.5, 0]]]])


@pytest.mark.parametrize(
    ("dims", "grid", "attributes", "message"),
    [
        ([1, 2, 3, 4], [1, 2, 2, 3], {}, "at a grid of"),
        ([1, 2, 3, 4], [1, 2, 2], {}, "at a grid of"),
        ([1, 2, 3, 4], [2, 2, 2, 2], {}, "at a grid of"),
        ([1, 2, "h", 4], [1, 2, 2, 2], {}, "must be constant"),
        ([1, 2, 3, 4], [1, 2, 2, 2], {"mode": "bilinear"}, "'mode' is 'bilinear'"),
        ([1, 2, 3, 4], [1, 2, 2, 2], {"padding_mode": "wrap"}, "'padding_mode' is 'wrap'"),
    ],
)
def test_what_is_refused_by_name(dims, grid, attributes, message):
    with pytest.raises(ConversionError, match=message):
        lowered(sample(dims, grid, **attributes))
