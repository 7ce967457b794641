# SPDX-License-Identifier: Apache-2.0
"""Operators that the model or ONNX defines by others: their bodies take their place, defaults of attributes and all."""

import numpy as np
import onnx
import pytest
from onnx import helper

from build import INT64, kinds, lowered, model, node, reference, run
from tinyrnn.converters import ConversionError, registry


def with_slope(name, calls, default):
    """Return a function of the attribute slope, which it hands to `calls`."""
    inner = node(calls, "a", "b", domain="" if calls == "LeakyRelu" else "local")
    key = "alpha" if calls == "LeakyRelu" else "slope"
    inner.attribute.append(onnx.AttributeProto(name=key, ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    known = {"attribute_protos": [helper.make_attribute("slope", default)]} if default else {"attributes": ["slope"]}
    return helper.make_function("local", name, ["a"], ["b"], [inner], imports, **known)


def test_attributes_that_a_call_leaves_out_have_the_default_of_the_function():
    outer, inner = with_slope("F", "G", 0.5), with_slope("G", "LeakyRelu", 0.125)
    calls = [node(f, "x", out, domain="local") for f, out in (("F", "a"), ("F", "b"), ("G", "c"))]
    calls[1].attribute.append(helper.make_attribute("slope", 0.25))
    proto = model(calls, {"x": [2]}, "a b c", functions=[outer, inner], domains=["local"])
    got = run(proto, x=np.float32([-1, 3]))
    assert [got[name][0] for name in "abc"] == [-0.5, -0.25, -0.125]
    assert all(got[name][1] == 3 for name in "abc")
    assert not calls[0].attribute, "the caller's model is not touched"
    bare = model(calls, {"x": [2]}, "a b c", functions=[with_slope("F", "G", None), inner], domains=["local"])
    with pytest.raises(ConversionError, match="function 'F' passes its attribute 'slope' on to 'G'"):
        lowered(bare)


def test_defaults_that_multiply_are_refused():
    large = helper.make_function("local", "F", ["a"], ["b"], [node("Neg", "a", "b")], [helper.make_opsetid("", 17)])
    large.attribute_proto.append(
        helper.make_attribute("k", helper.make_tensor("k", 1, [1 << 20], bytes(4 << 20), True))
    )
    calls = [node("F", f"x{i}", f"x{i + 1}", domain="local") for i in range(40)]
    proto = model(calls, {"x0": [2]}, "x40", functions=[large], domains=["local"])
    with pytest.raises(ConversionError, match="defaults of 'F'.* too large"):
        lowered(proto)


@pytest.mark.parametrize("op", ["HannWindow", "HammingWindow", "BlackmanWindow"])
@pytest.mark.parametrize("attributes", [{}, {"periodic": 0}, {"periodic": 1, "output_datatype": 1}])
def test_windows_are_constants_by_the_body_that_onnx_gives_them(op, attributes):
    nodes = [node(op, "n", "w", **attributes), node("Mul", "x w", "y")]
    proto = model(nodes, {"x": [2, 9]}, "y", {"n": np.int64(9)})
    x = np.ones((2, 9), np.float32)
    np.testing.assert_allclose(run(proto, x=x)["y"], reference(proto, x=x)["y"], 0, 1e-6)
    assert kinds(lowered(proto).graph) == "elementwise"


def test_a_body_inside_a_body():
    t, size = np.arange(12, dtype=np.float32).reshape(2, 2, 3), np.int64([2, 3, 4, 5])
    for attributes in ({}, {"align_corners": 1}):
        proto = model([node("AffineGrid", "t s", "y", **attributes)], {"t": [2, 2, 3]}, "y", {"s": size}, opset=20)
        np.testing.assert_allclose(run(proto, t=t)["y"], reference(proto, t=t)["y"], 1e-5, 1e-5)


def test_what_a_body_needs_is_named(monkeypatch):
    windows = [node("HannWindow", "n", "w", name="window"), node("Mul", "x w", "y")]
    with pytest.raises(ConversionError, match=r"Range node .*its length depends on data: bind"):
        lowered(model(windows, {"x": [2, 9], "n": (INT64, [])}, "y"))
    monkeypatch.delitem(registry.REASONS, "Bernoulli")
    proto = model([node("Bernoulli", "x", "y", name="dice")], {"x": ["n", 4]}, "y")
    with pytest.raises(ConversionError, match="Bernoulli node 'dice': .* of which RandomUniformLike is missing"):
        lowered(proto)
