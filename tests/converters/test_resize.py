# SPDX-License-Identifier: Apache-2.0
"""Resize and Upsample in every mode: the interpreter, the references, onnxruntime and ONNX's own."""

import itertools

import numpy as np
import pytest

from build import INT64, agree, kinds, lowered, model, node, random, reference, run
from tinyrnn.converters import ConversionError

f32 = np.float32
COORDINATES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]


def resize(dims, scales=None, sizes=None, opset=19, roi=None, **attributes):
    """Return a model of one Resize."""
    given = {"r": roi, "k": None if scales is None else f32(scales), "z": None if sizes is None else np.int64(sizes)}
    constants = {name: a for name, a in given.items() if a is not None}
    names = " ".join(name if name in constants else "-" for name in given)
    return model([node("Resize", f"x {names}", "y", **attributes)], {"x": dims}, "y", constants, opset=opset)


@pytest.mark.parametrize("mode", COORDINATES)
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_nearest_by_sizes_and_scales(mode, rounding):
    x = random(2, 3, 7, 6)
    how = {"coordinate_transformation_mode": mode, "nearest_mode": rounding}
    for size in ([2, 3, 14, 3], [2, 3, 5, 11], [2, 3, 2, 6], [2, 3, 7, 13]):
        agree(resize([2, 3, 7, 6], sizes=size, **how), x=x)
    for scale in ([1, 1, 2, 0.5], [1, 1, 3, 1 / 3], [1, 1, 0.3, 2.3]):
        # onnxruntime aligns the corners of the rounded length, where ONNX has that before rounding
        agree(resize([2, 3, 7, 6], scales=scale, **how), ort=mode != "align_corners" or scale[2] >= 2, x=x)


@pytest.mark.parametrize("mode", COORDINATES)
@pytest.mark.parametrize("kind", ["linear", "cubic"])
@pytest.mark.parametrize("apart", [0, 1])
def test_linear_and_cubic(mode, kind, apart):
    x = random(2, 3, 7, 6)
    how = {"coordinate_transformation_mode": mode, "mode": kind, "exclude_outside": apart}
    if kind == "cubic":
        how["cubic_coeff_a"] = -0.5
    for size in ([2, 3, 14, 3], [2, 3, 5, 11], [2, 3, 9, 13]):
        proto = resize([2, 3, 7, 6], sizes=size, **how)
        agree(proto, 1e-5, ort=not apart or kind == "cubic", x=x)
        np.testing.assert_allclose(run(proto, x=x)["y"], reference(proto, x=x)["y"], 1e-5, 1e-5)
    for scale in ([1, 1, 2, 0.5], [1, 1, 0.3, 2.3]):
        proto = resize([2, 3, 7, 6], scales=scale, **how)
        if mode != "pytorch_half_pixel":
            np.testing.assert_allclose(run(proto, x=x)["y"], reference(proto, x=x)["y"], 1e-5, 1e-5)


@pytest.mark.parametrize("kind", ["linear", "cubic"])
@pytest.mark.parametrize("apart", [0, 1])
def test_antialias_beside_the_reference_of_onnx(kind, apart):
    x = random(1, 2, 12, 9)
    for size in ([5, 4], [3, 9], [2, 18], [1, 1]):
        proto = resize([1, 2, 12, 9], sizes=size, axes=[2, 3], mode=kind, antialias=1, exclude_outside=apart)
        np.testing.assert_allclose(run(proto, x=x)["y"], reference(proto, x=x)["y"], 1e-5, 1e-5)


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_the_policy_and_symmetric_half_pixels(policy):
    x = random(1, 1, 6, 8)
    for size, kind in itertools.product(([3, 5], [7, 20]), ("nearest", "linear")):
        proto = resize([1, 1, 6, 8], sizes=size, axes=[2, 3], keep_aspect_ratio_policy=policy, mode=kind)
        agree(proto, x=x)
    for scale in ([0.6, 0.7], [2.6, 1.4]):
        how = {"coordinate_transformation_mode": "half_pixel_symmetric", "mode": "linear"}
        agree(resize([1, 1, 6, 8], scales=scale, axes=[2, 3], **how), x=x)


def test_a_region_of_interest_and_what_lies_outside():
    x, how = random(1, 1, 5, 6), {"coordinate_transformation_mode": "tf_crop_and_resize"}
    roi = f32([0, 0, 0.4, -0.3, 1, 1, 1.2, 0.7])
    for kind in ("nearest", "linear", "cubic"):
        for size in ([1, 1, 3, 4], [1, 1, 1, 7], [1, 1, 5, 6]):
            proto = resize([1, 1, 5, 6], sizes=size, roi=roi, extrapolation_value=7.5, mode=kind, **how)
            agree(proto, ort=kind != "nearest" and size[2:] != [5, 6], x=x)  # it leaves out what keeps its size
            np.testing.assert_allclose(run(proto, x=x)["y"], reference(proto, x=x)["y"], 1e-5, 1e-5)
    within = resize([1, 1, 5, 6], sizes=[1, 1, 3, 4], roi=f32([0, 0, 0.2, 0, 1, 1, 0.8, 1]), **how)
    assert kinds(lowered(within).graph) == "gather"


@pytest.mark.parametrize("opset", [7, 9, 10])
@pytest.mark.parametrize("kind", ["nearest", "linear"])
def test_before_opset_11(opset, kind):
    op = "Resize" if opset == 10 else "Upsample"
    scales = [1.0, 1.0, 2.0, 3.0]
    given = {"scales": scales} if opset == 7 else {}
    proto = model(
        [node(op, "x" if opset == 7 else "x s", "y", mode=kind, **given)],
        {"x": ["n", 2, 3, 4]},
        "y",
        {} if opset == 7 else {"s": f32(scales)},
        opset=opset,
    )
    agree(proto, x=random(2, 2, 3, 4))


def test_integers_have_a_nearest_element_alone():
    x = np.arange(12, dtype=np.int64).reshape(1, 1, 3, 4)
    for kind in ("nearest", "linear"):
        proto = resize((INT64, [1, 1, 3, 4]), scales=[1, 1, 1.5, 2], mode=kind)
        if kind == "nearest":
            assert (run(proto, x=x)["y"] == reference(proto, x=x)["y"]).all()
        else:
            with pytest.raises(ConversionError, match="'mode' is 'linear', which is supported on floats"):
                lowered(proto)


def test_lengths_that_are_open_grow_and_shrink_by_whole_factors():
    x = random(2, 3, 6)
    for mode, rounding, factor in (
        ("asymmetric", "floor", 3),
        ("half_pixel", "round_prefer_floor", 2),
        ("asymmetric", "floor", 0.5),
        ("asymmetric", "round_prefer_ceil", 1 / 3),
    ):
        how = {"coordinate_transformation_mode": mode, "nearest_mode": rounding}
        proto = resize(["n", 3, "t"], scales=[1, 1, factor], **how)
        assert kinds(lowered(proto).graph) == "copy"
        agree(proto, x=x)
    shaped = [node("Shape", "x", "s"), node("Mul", "s k", "z"), node("Resize", "x - - z", "y")]
    agree(model(shaped, {"x": ["n", 3, "t"]}, "y", {"k": np.int64([1, 1, 4])}), x=x)
    with pytest.raises(ConversionError, match="resizes axis 2 .* whole factors, .* --shape"):
        lowered(resize(["n", 3, "t"], scales=[1, 1, 2], mode="linear"))


def test_the_steps_of_a_sequence_go_through_beside_what_is_resized():
    weights = {"r": random(1, 5, 8), "h": random(1, 5, 5), "k": f32([1, 1, 2])}
    nodes = [node("Resize", "x - k", "a", mode="linear"), node("RNN", "a r h", "y", hidden_size=5)]
    assert lowered(model(nodes, {"x": ["t", "b", 4]}, "y", weights)).graph.streamable
    weights["k"] = f32([3, 1, 1])
    weights["r"] = random(1, 5, 4)
    nodes[0] = node("Resize", "x - k", "a", mode="nearest")
    assert not lowered(model(nodes, {"x": ["t", "b", 4]}, "y", weights)).graph.streamable


REFUSED = [
    ({"scales": [1, 1, 2, 2], "sizes": [1, 1, 4, 4]}, "and not both"),
    ({}, "needs one of the inputs"),
    ({"scales": [1, 2]}, "4 positive numbers"),
    ({"scales": [1, 1, 0, 2]}, "4 positive numbers"),
    ({"sizes": [1, 1, 4]}, "3 sizes for 4 axes"),
    ({"sizes": [1, 1, 0, 4]}, "makes 0 elements"),
    ({"sizes": [1, 1, 1 << 30, 4]}, "makes 1073741824 elements"),
    ({"scales": [2, 2], "axes": [1, -3]}, "repeats one"),
    ({"scales": [1, 1, 2, 2], "mode": "area"}, "'mode' is 'area'"),
    ({"scales": [1, 1, 2, 2], "coordinate_transformation_mode": "tf_half_pixel_for_nn"}, "tf_half_pixel_for_nn"),
    ({"scales": [1, 1, 2, 2], "nearest_mode": "up"}, "'nearest_mode' is 'up'"),
    ({"scales": [1, 1, 2, 2], "antialias": 1}, "'antialias' is 1"),
    ({"scales": [1, 1, 2, 2], "coordinate_transformation_mode": "tf_crop_and_resize"}, r"roi is \[\]"),
    ({"sizes": [1, 1, 2, 2], "keep_aspect_ratio_policy": "crop"}, "'keep_aspect_ratio_policy' is 'crop'"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_what_is_refused_by_name(given, message):
    with pytest.raises(ConversionError, match=message):
        lowered(resize([1, 1, 3, 4], **given))


def test_what_depends_on_data_or_is_not_written_is_refused():
    proto = model([node("Resize", "x - k", "y")], {"x": [1, 4], "k": [2]}, "y")
    with pytest.raises(ConversionError, match="input 'scales' is not known when converting"):
        lowered(proto)
    proto = model([node("Resize", "x k", "y")], {"x": [1, 5]}, "y", {"k": f32([1, 0.4])}, opset=10)
    with pytest.raises(ConversionError, match="written since opset 11"):
        lowered(proto)


def test_half_pixels_of_tensorflow():
    proto = resize([1, 1, 3, 4], scales=[1, 1, 2.5, 2], opset=11, roi=np.zeros(0, f32))
    proto.graph.node[0].attribute.extend(
        node("Resize", "x", "y", coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="floor").attribute
    )
    agree(proto, x=random(1, 1, 3, 4))
