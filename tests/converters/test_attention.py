# SPDX-License-Identifier: Apache-2.0
"""Attention, LinearAttention and CausalConvWithState: with open dimensions, in streams, and what is refused."""

import numpy as np
import onnx.defs
import pytest
from onnx import TensorProto

import tinyrnn
from build import BOOL, INT64, lowered, model, node, random, reference, run
from tinyrnn.converters import ConversionError, convert_bytes, references

HALF = TensorProto.FLOAT16
HEADS = {"q_num_heads": 4, "kv_num_heads": 2}


def attention(inputs, outputs="y", names="q k v", opset=24, **attributes):
    """Return a model of one Attention node; inputs are shapes or (type, shape)."""
    return model([node("Attention", names, outputs, **attributes)], inputs, outputs, opset=opset)


def compare(proto, tolerance=2e-6, **feeds):
    """Compare the interpreter with ONNX's reference, whose sums are float32 too, and with the one in float64."""
    got = run(proto, **feeds)
    for want in (reference(proto, **feeds), references.run(proto, feeds)):
        for name, w in want.items():
            assert got[name].shape == w.shape, name
            np.testing.assert_allclose(got[name], w, 10 * tolerance, tolerance, err_msg=name)


@pytest.mark.parametrize("rows", [1, 3, 7])
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
def test_open_numbers_of_queries_keys_and_rows(rows, causal, softcap):
    shapes = {"q": ["B", "L", 24], "k": ["B", "S", 12], "v": ["B", "S", 10]}
    proto = attention(shapes, is_causal=causal, softcap=softcap, **HEADS)
    for batch, keys in ((1, 3), (2, 5)):
        q, k, v = (random(batch, n, d, seed=d) for n, d in ((rows, 24), (keys, 12), (keys, 10)))
        compare(proto, q=q, k=k, v=v)


@pytest.mark.parametrize("past", [0, 1, 4])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_cache_of_any_length(past, rows):
    shapes = {"q": [1, 4, "L", 6], "k": [1, 2, "L", 6], "v": [1, 2, "L", 5], "pk": [1, 2, "P", 6], "pv": [1, 2, "P", 5]}
    proto = attention(shapes, "y nk nv", "q k v - pk pv", is_causal=1)
    feeds = {n: random(*({"L": rows, "P": past}.get(d, d) for d in dims), seed=len(n)) for n, dims in shapes.items()}
    compare(proto, **feeds)


@pytest.mark.parametrize("left", [-1, 0, 2])
@pytest.mark.parametrize("right", [-1, 0, 1])
def test_windows_and_lengths(left, right):
    shapes = {"q": [3, 2, 4, 6], "k": [3, 2, "S", 6], "v": [3, 2, "S", 5], "n": (INT64, [3]), "m": (BOOL, [4, "S"])}
    sizes = {"left_window_size": left, "right_window_size": right}
    proto = attention(shapes, names="q k v m - - n", opset=25, **sizes)
    feeds = {name: random(*(6 if d == "S" else d for d in shapes[name]), seed=i) for i, name in enumerate("qkv")}
    mask = np.random.default_rng(1).random((4, 6)) < 0.6
    compare(proto, n=np.array([6, 4, 2]), m=mask, **feeds)


def test_a_query_that_sees_no_key_gives_zeros_and_a_nan_stays():
    shapes = {"q": [1, 1, 2, 4], "k": [1, 1, 3, 4], "v": [1, 1, 3, 4], "m": (BOOL, [2, 3])}
    proto = attention(shapes, names="q k v m")
    q, k, v = (random(1, 1, n, 4, seed=n) for n in (2, 3, 3))
    mask = np.array([[False] * 3, [True, False, True]])
    got = run(proto, q=q, k=k, v=v, m=mask)["y"]
    assert not got[0, 0, 0].any()
    assert np.isfinite(got).all()
    q[0, 0, 1, 0] = np.nan
    assert np.isnan(run(proto, q=q, k=k, v=v, m=mask)["y"][0, 0, 1]).all()


def test_a_mask_for_the_first_keys_hides_the_others():
    shapes = {"q": [1, 1, 2, 4], "k": [1, 1, 5, 4], "v": [1, 1, 5, 4], "m": [2, 3]}
    q, k, v = (random(1, 1, n, 4, seed=n) for n in (2, 5, 5))
    compare(attention(shapes, names="q k v m"), q=q, k=k, v=v, m=random(2, 3))
    with pytest.raises(ConversionError, match="for one key or for all"):
        lowered(attention(shapes | {"m": [2, 1]}, names="q k v m"))
    with pytest.raises(ConversionError, match="broadcast"):
        lowered(attention(shapes, names="q k v m", opset=23))


def test_what_attention_refuses():
    four = {"q": [1, 4, 2, 6], "k": [1, 2, 5, 6], "v": [1, 2, 5, 6]}
    three = {"q": [1, 2, 24], "k": [1, 5, 12], "v": [1, 5, 12]}
    more = {"p": [1, 2, 3, 6], "n": (INT64, [1])}
    for shapes, names, attributes, message in (
        (four, "q k v", {"softmax_precision": 16}, "'softmax_precision' is 16"),
        (four, "q k v", {"qk_matmul_output_mode": 4}, "'qk_matmul_output_mode' is 4"),
        (four, "q k v", {"q_num_heads": 3}, "has not 3 heads"),
        (four, "q k v - p", {}, "'past_key' and 'past_value'"),
        (four, "q k v - p p n", {}, "exclude each other"),
        (four, "q k k v", {}, "do not broadcast"),
        (four, "k q q", {}, "not a multiple"),
        (three, "q k v", {}, "'q_num_heads' and 'kv_num_heads'"),
        (three, "q k v", {"q_num_heads": 5, "kv_num_heads": 2}, "5 heads side by side"),
        (four | {"v": [1, 5, 12]}, "q k v", HEADS, "of three or of four axes"),
    ):
        used = {n: (shapes | more)[n] for n in names.split() if n != "-"}
        with pytest.raises(ConversionError, match=message):
            lowered(attention(used, names=names, **attributes))


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("axis", [-2, 1, 2])
def test_a_cache_of_fixed_length_is_written_to(mode, axis):
    shape = {-2: ["B", 3, "N", 2], 1: ["B", "N", 3], 2: ["B", 3, "N"]}[axis]
    shapes = {"c": shape, "u": ["L" if d == "N" else d for d in shape], "at": (INT64, ["B"])}
    proto = model([node("TensorScatter", "c u at", "y", axis=axis, mode=mode)], shapes, "y", opset=24)
    sizes = {"B": 2, "N": 6, "L": 3}
    c, u = (random(*(sizes.get(d, d) for d in shapes[name]), seed=i) for i, name in enumerate("cu"))
    compare(proto, c=c, u=u, at=np.array([3, 1] if mode == "linear" else [5, 13]))


def test_what_a_write_to_a_cache_refuses():
    shapes = {"c": [2, 6, 3], "u": [2, 2, 3]}
    for changed, attributes, message in (
        ({}, {"mode": "other"}, "'mode' is 'other'"),
        ({}, {"axis": 0}, "that of the rows"),
        ({}, {"axis": 2}, "its cache and its update"),
        ({"u": [2, 3]}, {}, "its cache and its update"),
        ({"at": (INT64, [3])}, {}, "one for each row"),
    ):
        given = shapes | changed
        one = node("TensorScatter", " ".join(given), "y", **attributes)
        with pytest.raises(ConversionError, match=message):
            lowered(model([one], given, "y", opset=24))


def test_attention_over_the_sequence_is_no_stream():
    proto = attention({"x": [1, "T", 8]}, names="x x x", q_num_heads=2, kv_num_heads=2)
    graph = lowered(proto, time_axis={"x": 1}).graph
    assert not graph.streamable
    assert "over the steps of the sequence" in graph.reason


NEWEST = pytest.mark.skipif(onnx.defs.onnx_opset_version() < 27, reason="the installed onnx has no opset 27")


def convolution(kind=TensorProto.FLOAT, state=True, **attributes):
    """Return a model of one CausalConvWithState over 3 channels."""
    dtype = np.float16 if kind == HALF else np.float32
    constants = {"w": random(3, 1, 4).astype(dtype), "b": random(3, seed=1).astype(dtype)}
    inputs = {"x": (kind, ["B", 3, "T"])} | ({"past_state": (kind, ["B", 3, 3])} if state else {})
    names = "x w b past_state" if state else "x w b"
    one = node("CausalConvWithState", names, "y present_state", **attributes)
    return model([one], inputs, "y present_state", constants, opset=27)


@NEWEST
@pytest.mark.parametrize("activation", ["none", "silu", "swish"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, HALF])
def test_a_convolution_with_state_goes_by_step_by_step(activation, kind):
    proto = convolution(kind, activation=activation)
    x, zeros = random(2, 3, 9, seed=2), np.zeros((2, 3, 3), np.float32)
    if kind == HALF:
        x, zeros = x.astype(np.float16), zeros.astype(np.float16)
    whole = reference(proto, x=x, past_state=zeros)
    loaded = tinyrnn.load(convert_bytes(proto)[0])
    assert [s.shape for s in loaded.states] == [("B", 3, 3)]
    stream = loaded.stream(2)
    parts = [stream.run({"x": np.ascontiguousarray(x[:, :, a:b])}) for a, b in ((0, 2), (2, 3), (3, 9))]
    near = {"rtol": 2e-3, "atol": 2e-3} if kind == HALF else {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(np.concatenate([p["y"] for p in parts], 2), whole["y"], **near)
    compare(proto, near["atol"], x=x, past_state=random(2, 3, 3, seed=3).astype(x.dtype))


@NEWEST
def test_what_a_convolution_with_state_refuses():
    without = lowered(convolution(state=False), time_axis={"x": 2}).graph
    assert not without.streamable
    assert "make them an input" in without.reason
    with pytest.raises(ConversionError, match="'activation' is 'relu'"):
        lowered(convolution(activation="relu"))
    for name, wrong, message in (("w", [4, 1, 4], "each with its own"), ("s", [2, 3, 4], "its state of shape")):
        shapes = {"x": [2, 3, "T"], "w": [3, 1, 4], "s": [2, 3, 3]} | {name: wrong}
        with pytest.raises(ConversionError, match=message):
            lowered(model([node("CausalConvWithState", "x w - s", "y n")], shapes, "y", opset=27))


RULES = {"linear": "", "gated": "decay", "delta": "beta", "gated_delta": "decay beta"}


def linear(rule, steps, decay=2, rate=2, outputs="y present_state", **attributes):
    """Return a model of one LinearAttention with 4 heads of queries and 2 of keys of 3, values of 5."""
    inputs = {"q": ["B", steps, 12], "k": ["B", steps, 6], "v": ["B", steps, 10], "past_state": ["B", 2, 3, 5]}
    inputs |= {"decay": ["B", steps, decay]} if "gated" in rule else {}
    inputs |= {"beta": ["B", steps, rate]} if "delta" in rule else {}
    names = ["q k v past_state", "decay" if "decay" in inputs else "-", "beta" if "beta" in inputs else "-"]
    attributes = HEADS | {"update_rule": rule} | attributes
    return model([node("LinearAttention", " ".join(names), outputs, **attributes)], inputs, outputs, opset=27)


def linear_feeds(proto, batch, steps):
    """Return numbers for the inputs: keys of length 1, decays below 0, rates in 0..1."""
    feeds = {}
    for i, given in enumerate(proto.graph.input):
        dims = [d.dim_value for d in given.type.tensor_type.shape.dim]
        array = random(batch, *(dims[1:] if given.name == "past_state" else [steps, dims[2]]), seed=i)
        feeds[given.name] = {"decay": -np.abs(array), "beta": np.abs(np.tanh(array))}.get(given.name, array)
    return feeds


@NEWEST
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("widths", [(2, 2), (6, 1)])
@pytest.mark.parametrize("scale", [0.0, 0.7])
def test_linear_attention_step_by_step(rule, widths, scale):
    many, one = linear(rule, 6, *widths, scale=scale), linear(rule, 1, *widths, scale=scale)
    feeds = linear_feeds(many, 2, 6)
    compare(many, 1e-5, **feeds)
    whole = reference(many, **feeds)
    loaded = tinyrnn.load(convert_bytes(one)[0])
    assert [s.shape for s in loaded.states] == [("B", 2, 3, 5)]
    stream = loaded.stream(2)
    state = {"past_state": feeds.pop("past_state")}
    for t in range(6):
        got = stream.step(
            {n: np.ascontiguousarray(a[:, t : t + 1]) for n, a in feeds.items()} | (state if t == 0 else {})
        )
        np.testing.assert_allclose(got["y"], whole["y"][:, t : t + 1], 1e-4, 1e-5)


@NEWEST
def test_what_linear_attention_refuses():
    for proto, message in (
        (linear("other", 2), "'update_rule' is 'other'"),
        (linear("gated", 2, update_rule="linear"), "'linear', which has no input 'decay'"),
        (linear("linear", 2, update_rule="delta"), "'delta', which needs input 'beta'"),
        (linear("linear", 2, q_num_heads=3), "'q_num_heads' is 3"),
        (linear("linear", 2, q_num_heads=10), "10 heads side by side"),
        (linear("gated", 2, 4), "no number for each head or key"),
        (linear("linear", 300), "300 steps; 1 to 256"),
        (linear("linear", "T"), "T as a number"),
    ):
        with pytest.raises(ConversionError, match=message):
            lowered(proto)
