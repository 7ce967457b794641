# SPDX-License-Identifier: Apache-2.0
"""Which layers become int8, what stays and why, and that the graph still computes what it did, a little off."""

from __future__ import annotations

import numpy as np
import pytest

import exact
from build import INT64, body, choice, model, node, random
from interpret import Run
from random_graphs import layer
from tinyrnn import ArgumentError, TinyRNNError
from tinyrnn.converters import ConversionError, convert_bytes, measure, onnx_frontend, packing, quantize, registry
from tinyrnn.converters.driver import lower_model
from tinyrnn.converters.ir import verify
from tinyrnn.converters.precisions import PRECISIONS


def chosen(proto, keep=(), precision="int8", **options):
    """(graph in float32, layers, graph in that precision)."""
    registry.load_all()
    loaded = onnx_frontend.load(proto, registry.supported)
    graph = lower_model(loaded, {}, options.pop("shapes", {}), "auto", check=verify).graph
    layers = quantize.choose_layers(graph, loaded, PRECISIONS[precision], keep)
    changed = quantize.with_layers(graph, [each for each in layers if not each.reason], options.pop("ranges", {}))
    verify(changed)
    return graph, layers, changed


def chain(embedding=True):
    """tokens -> table -> LSTM -> MatMul + Relu -> Gemm."""
    w = random(1, 32, 6, seed=1), random(1, 32, 8, seed=2)
    nodes = [
        node("Gather", "table tokens", "e", name="embed"),
        node("LSTM", "e W R", "Y", name="cell", hidden_size=8),
        node("Squeeze", "Y one", "s"),
        node("MatMul", "s first", "m", name="product"),
        node("Add", "m b", "a", name="plus"),
        node("Relu", "a", "r", name="ramp"),
        node("MatMul", "r second", "y", name="head"),
    ]
    constants = {"table": random(11, 6), "W": w[0] * 0.3, "R": w[1] * 0.3, "one": np.array([1])}
    constants |= {"first": random(8, 20, seed=3), "b": random(20, seed=4), "second": random(20, 5, seed=5)}
    return model(nodes, {"tokens": (INT64, ["time", "batch"])}, "y", constants)


TOKENS = np.random.default_rng(0).integers(-11, 11, (9, 2))


def near(graph, changed, feeds, bound):
    """Compare the outputs of two graphs: apart, but not by more than the bound."""
    want, got = Run(graph)(feeds), Run(changed)(feeds)
    for name in want:
        distance = np.abs(got[name] - want[name]).max() / max(1.0, np.abs(want[name]).max())
        assert 0 < distance <= bound, (name, distance)


def test_a_whole_graph():
    graph, layers, changed = chosen(chain())
    assert [(each.name, each.kind, each.precision) for each in layers] == [
        ("embed", "gather", "int8"),
        ("cell", "recurrent", "int8"),
        ("product+plus+ramp", "dense", "int8"),
        ("head", "dense", "int8"),
    ]
    near(graph, changed, {"tokens": TOKENS}, 0.03)
    # The graph that was lowered is as it was: errors are measured against it.
    assert {n.kind for n in graph.nodes} == {"gather", "recurrent", "dense"}
    assert all(t.dtype != "I8" for t in graph.tensors())


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_an_embedding_is_rows_of_bytes_and_their_scales(precision):
    graph, layers, changed = chosen(chain(), keep=["cell", "first", "head"], precision=precision)
    assert [n.kind for n in changed.nodes] == ["gather", "gather", "elementwise", "recurrent", "dense", "dense"]
    rows, scales = changed.nodes[0].inputs[0], changed.nodes[1].inputs[0]
    assert (rows.dtype, rows.dims, scales.dims) == ("I8", (11, 6), (11, 1))
    told = layers[0].to_dict()
    assert (told["precision"], told["bytes"]) == ("int8", 11 * 6 + 11 * 4)
    near(graph, changed, {"tokens": TOKENS}, 0.02)


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["cell"], {"cell"}),
        (["R"], {"cell"}),
        (["product"], {"product+plus+ramp"}),
        (["plus"], {"product+plus+ramp"}),
        (["second", "table"], {"head", "embed"}),
        (["product+plus+ramp"], {"product+plus+ramp"}),
    ],
)
def test_keep_float_by_the_name_of_a_node_or_of_weights(names, kept):
    _, layers, changed = chosen(chain(), keep=names)
    assert {each.name for each in layers if each.reason} == kept
    assert all("keep_float" in each.reason for each in layers if each.reason)
    floats = {n.name for n in changed.nodes if any(t is not None and t.packing == "F32_PANELS" for t in n.inputs)}
    assert floats == kept - {"embed"}


def test_an_unknown_name_lists_those_that_there_are():
    with pytest.raises(ConversionError, match=r"'nope'; there are 'R', 'W', 'cell'.*'second', 'table'"):
        chosen(chain(), keep=["nope"])
    with pytest.raises(ConversionError, match="'b'"):  # a bias is not what a layer is known by
        chosen(chain(), keep=["b"])


def test_weights_made_of_initializers_are_known_by_these():
    nodes = [
        node("Transpose", "stored", "turned", name="turn", perm=[1, 0]),
        node("MatMul", "x turned", "y", name="product"),
    ]
    proto = model(nodes, {"x": ["n", 7]}, "y", {"stored": random(5, 7)})
    _, layers, _ = chosen(proto, keep=["stored"])
    assert layers[0].reason


@pytest.mark.parametrize(
    ("op", "dims", "shape"), [("FusedGemm", ["n", 7], [7, 5]), ("FusedConv", ["n", 7, 9], [5, 7, 3])]
)
def test_weights_of_fused_operators_are_known_by_their_name(op, dims, shape):
    one = node(op, "x w", "y", name="fused", domain="com.microsoft", activation="Relu")
    proto = model([one], {"x": dims}, "y", {"w": random(*shape)}, domains=["com.microsoft"])
    _, layers, _ = chosen(proto, keep=["w"])
    assert [(each.name, "keep_float" in each.reason) for each in layers] == [("fused", True)]


def test_weights_of_two_nodes_are_packed_once():
    nodes = [
        node("MatMul", "x w", "a", name="first"),
        node("MatMul", "a w", "y", name="again"),
    ]
    graph, layers, changed = chosen(model(nodes, {"x": ["n", 6]}, "y", {"w": random(6, 6)}))
    (both,) = layers
    assert [n.name for n in both.nodes] == ["first", "again"]
    assert both.to_dict()["nodes"] == 2
    assert both.to_dict()["bytes"] == 4 * 4 * 16
    a, b = (n.inputs[1] for n in changed.nodes if n.kind == "dense")
    assert a is b
    near(graph, changed, {"x": random(3, 6)}, 0.05)


def test_what_stays_float_says_why():
    infinite = random(4, 4)
    infinite[1, 2] = np.inf
    nodes = [
        node("Conv", "x each", "a", name="depthwise", group=4, kernel_shape=[3], pads=[1, 1]),
        node("Conv", "a all", "p", name="pointwise", kernel_shape=[1]),
        node("Transpose", "p", "t", perm=[0, 2, 1]),
        node("MatMul", "t bad", "b", name="infinite"),
        node("MatMul", "b w", "c", name="given"),
        node("Gather", "rows i", "g", name="lookup"),
        node("Gather", "cube i", "h", name="deep"),
        node("Gather", "both i", "k", name="tied"),
        node("Add", "both k", "l"),
    ]
    constants = {"each": random(4, 1, 3), "all": random(4, 4, 1), "bad": infinite, "rows": random(5)}
    constants |= {"cube": random(5, 2, 2), "both": random(3, 3)}
    inputs = {"x": ["n", 4, "m"], "w": [4, 4], "i": (INT64, [3])}
    proto = model(nodes, inputs, "c g h l", constants)
    _, layers, _ = chosen(proto)
    reasons = {each.name: each.reason for each in layers}
    assert reasons["pointwise"] == ""
    for name, words in [
        ("depthwise", "a group of its own"),
        ("infinite", "NaN or infinity"),
        ("given", "at run time"),
        ("lookup", "rows [N, D]"),
        ("deep", "rows [N, D]"),
        ("tied", "by other operators too"),
    ]:
        assert words in reasons[name], name


def test_a_matrix_with_too_many_rows_stays_float():
    deep = np.ones((131073, 1), np.float32)
    _, layers, _ = chosen(model([node("MatMul", "x w", "y", name="deep")], {"x": ["n", 131073]}, "y", {"w": deep}))
    assert "131073 products, over 131072" in layers[0].reason


def test_layers_in_the_blocks_of_a_branch():
    then = body([node("MatMul", "x w", "a", name="product")], "a", {"w": random(3, 3)})
    other = body([node("Neg", "x", "a")], "a")
    proto = model([choice("c", "y", then, other)], {"x": ["n", 3], "c": (9, [])}, "y")
    graph, layers, changed = chosen(proto)
    assert [each.precision for each in layers] == ["int8"]
    near(graph, changed, {"x": random(2, 3), "c": np.array(True)}, 0.02)
    _, layers, _ = chosen(proto, keep=["w"])
    assert layers[0].reason


CELLS = [
    ("RNN", {}),
    ("LSTM", {}),
    ("LSTM", {"peepholes": True, "input_forget": 1}),
    ("GRU", {"linear_before_reset": 0}),
    ("GRU", {"linear_before_reset": 1}),
]


@pytest.mark.parametrize(("cell", "options"), CELLS)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_recurrences(cell, options, direction):
    graph, layers, changed = chosen(layer(cell, 19, 7, direction, initial=True, **options))
    (only,) = layers
    assert only.known_as == {"layer", "W", "R"}
    feeds = {"X": random(12, 2, 7)}
    d = 2 if direction == "bidirectional" else 1
    feeds |= {p.name: random(d, 2, 19, seed=3) for p in graph.inputs if p.name.startswith("initial")}
    near(graph, changed, feeds, 0.03)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions(groups):
    proto = model(
        [node("Conv", "x w b", "y", name="c", kernel_shape=[3, 3], pads=[1, 0, 1, 1], strides=[1, 2], group=groups)],
        {"x": ["n", 4, "h", "v"]},
        "y",
        {"w": random(6, 4 // groups, 3, 3), "b": random(6)},
    )
    graph, _, changed = chosen(proto)
    near(graph, changed, {"x": random(2, 4, 6, 7)}, 0.03)


def test_the_sums_are_exact_and_rounded_as_documented():
    """y = bias + float(sum) * (scale of the row * scale of the column), in float32 throughout."""
    w, b, x = random(6, 5), random(5, seed=1), random(3, 6, seed=2)
    proto = model([node("Gemm", "x w b", "y", name="g")], {"x": ["n", 6]}, "y", {"w": w, "b": b})
    _, layers, changed = chosen(proto)
    (packed,) = next(iter(layers[0].made.values()))
    q, scales = packing.unpack_cells(packed.data, 6, packed.panel_width)
    want = np.zeros((3, 5), np.float32)
    for i in range(3):
        amax = np.abs(x[i]).max()
        codes = np.rint(x[i] * (np.float32(127) / amax)).astype(int)
        for j in range(5):
            total = np.float32(sum(int(codes[k]) * int(q[k, j]) for k in range(6)))
            want[i, j] = b[j] + total * (amax * np.float32(1 / 127) * scales[j])
    got = Run(changed, wide=False)({"x": x})["y"]
    assert got.tobytes() == want.tobytes()


def test_rows_that_cannot_be_scaled():
    w = exact.Whole(np.ones((4, 16), np.int8), np.ones(16))
    x = np.zeros((4, 4), np.float32)
    x[1], x[2, 1], x[3, 0] = 1e-31, np.nan, np.inf
    y = exact.product(x, w, 2.0)
    assert (y[:2] == 2).all()
    assert np.isnan(y[2:]).all()
    (codes, _), _ = exact.activations(np.array([[0.5, -3, 1.0]], np.float32), 1.0, wide=False, fine=True)
    assert codes.tolist() == [[64, -127, 127]]


@pytest.mark.parametrize(("cell", "options"), CELLS)
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_ranges_are_what_the_data_reach(cell, options, direction):
    graph, layers, _ = chosen(layer(cell, 9, 7, direction, **options))
    x = random(12, 2, 7) * np.float32(2)
    ranges = quantize.find_ranges(measure.Bench(graph, {"X": x}, {}), graph, layers, [])
    (found,) = ranges.values()
    y = np.abs(Run(graph)({"X": x})["Y"]).max(axis=(0, 2, 3))
    assert found.dtype == np.float32
    assert (found[:, 0] == np.abs(x).max()).all()
    np.testing.assert_allclose(found[:, 1], y, rtol=1e-5)
    np.testing.assert_allclose(found[:, 2], y, rtol=1e-5)
    changed = quantize.with_layers(graph, layers, ranges)
    verify(changed)
    near(graph, changed, {"X": x}, 0.04)


def test_ranges_of_a_recurrence_whose_last_state_alone_is_read():
    nodes = [node("GRU", "x W R", "- y", name="cell", hidden_size=4)]
    constants = {"W": random(1, 12, 3) * 0.4, "R": random(1, 12, 4, seed=1) * 0.4}
    graph, layers, _ = chosen(model(nodes, {"x": ["time", "batch", 3]}, "y", constants))
    x = random(8, 2, 3)
    bench = measure.Bench(graph, {"x": x}, {})
    (found,) = quantize.find_ranges(bench, graph, layers, []).values()
    assert graph.nodes[0].outputs[0] is None or graph.nodes[0].kind != "recurrent", "the graph is as it was"
    whole = model([node("GRU", "x W R", "y", name="cell", hidden_size=4)], {"x": ["time", "batch", 3]}, "y", constants)
    y = Run(chosen(whole)[0])({"x": x})["y"]
    np.testing.assert_allclose(found[0], [np.abs(x).max(), np.abs(y).max(), np.abs(y).max()], rtol=1e-5)


def test_ranges_of_dense_layers_and_convolutions():
    nodes = [
        node("MatMul", "x w", "a", name="product"),
        node("Tanh", "a", "t"),
        node("Conv", "t k", "y", name="window", kernel_shape=[3]),
    ]
    proto = model(nodes, {"x": ["n", 4, 6]}, "y", {"w": random(6, 8), "k": random(2, 4, 3)})
    graph, layers, _ = chosen(proto)
    x = random(3, 4, 6)
    ranges = quantize.find_ranges(measure.Bench(graph, {"x": x}, {}), graph, layers, [])
    first, second = (ranges[id(n)] for each in layers for n in each.nodes)
    assert first.tolist() == [np.abs(x).max()]
    np.testing.assert_allclose(second, [np.abs(np.tanh(x @ random(6, 8))).max()], rtol=1e-5)
    changed = quantize.with_layers(graph, layers, ranges)
    verify(changed)
    near(graph, changed, {"x": x}, 0.03)


def test_data_beyond_the_ranges_are_clamped():
    graph, layers, _ = chosen(model([node("MatMul", "x w", "y")], {"x": ["n", 4]}, "y", {"w": np.eye(4, dtype="f4")}))
    (node_,) = (n for n in graph.nodes if n.kind == "dense")
    changed = quantize.with_layers(graph, layers, {id(node_): np.array([2.0], np.float32)})
    y = Run(changed)({"x": np.array([[1, -9, 2, 0]], np.float32)})["y"]
    np.testing.assert_allclose(y, [[1, -2, 2, 0]], atol=0.01)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quantize": "int3"}, "'int3'; there is int8"),
        ({"quantize": "float32"}, "'float32'; there is int8"),
        ({"quantize": "int8", "activations": "fixed"}, "dynamic or static, found 'fixed'"),
        ({"quantize": "int8", "activations": "static"}, "give them as calibrate"),
        ({"keep_float": ["cell"]}, "keep_float has a meaning only with quantize"),
        ({"calibrate": {}}, "calibrate has a meaning only with quantize"),
        ({"activations": "static"}, "activations has a meaning only with quantize"),
        ({"quantize": "int8", "calibrate": {"nope": TOKENS}}, "no input 'nope'; it has ['tokens']"),
        ({"quantize": "int8", "calibrate": {"tokens": TOKENS + 40}}, "calibrate: 'embed', indices: found 47"),
        ({"quantize": "int8", "calibrate": {"tokens": TOKENS[0, 0]}}, "calibrate: 'tokens', rank"),
    ],
)
def test_options_that_do_not_fit(options, words):
    with pytest.raises(TinyRNNError) as caught:
        convert_bytes(chain(), **options)
    assert words in str(caught.value)
    if "calibrate" not in options:
        assert isinstance(caught.value, ArgumentError)


def test_without_quantize_nothing_changes():
    report = convert_bytes(chain())[1]
    assert (report.precision, report.layers, report.output_errors) == ("float32", [], [])
    assert report.promise.startswith("fp32: ")
    assert report.tables() == []
