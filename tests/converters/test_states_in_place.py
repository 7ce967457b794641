# SPDX-License-Identifier: Apache-2.0
"""States that a graph has as inputs and outputs, which the engine advances where they lie."""

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import tinyrnn
from build import model, node, random
from tinyrnn.converters import convert_bytes

H = 5
G = {"W": random(1, 3 * H, 3, seed=1), "R": random(1, 3 * H, H, seed=2)}
A = np.array


@pytest.mark.parametrize("squeezed", [False, True])
@pytest.mark.parametrize("reader", ["Neg X", "Neg h0", "Neg hn", "Sub hn h0"])
def test_a_state_that_is_an_output_is_that_of_the_graph(squeezed, reader):
    """Whether the engine advances it where it lies or somebody still reads the old one, and through whatever views."""
    kind, _, names = reader.partition(" ")
    before, after = ("h3", "n3") if squeezed else ("h0", "hn")
    nodes = [node("GRU", f"X W R - - {before}", f"Y {after}", hidden_size=H)]
    if squeezed:
        nodes = [node("Unsqueeze", "h0 first", "h3"), *nodes, node("Squeeze", "n3 first", "hn")]
    nodes.insert(0 if names == "h0" else len(nodes), node(kind, names, "y"))
    dims = [1, H] if squeezed else [1, 1, H]
    proto = model(nodes, {"X": [1, 1, 3], "h0": dims}, "y hn", G | {"first": A([0])})
    graph, h = ReferenceEvaluator(proto), np.zeros(dims, np.float32)
    stream = tinyrnn.load(convert_bytes(proto, states={"h0": "hn"})[0]).stream()
    shown = np.zeros(dims, np.float32)
    for t, x in enumerate(random(12, 1, 1, 3)):
        y, h = graph.run(None, {"X": x, "h0": h})
        got = stream.step({"X": x}, out={"y": np.empty_like(y)} | ({"hn": shown} if t % 3 else {}))
        np.testing.assert_allclose(got["y"], y, atol=1e-6)
        np.testing.assert_allclose(stream.states["h0"], h, atol=1e-6)
        if t % 3:
            np.testing.assert_array_equal(shown, stream.states["h0"])


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("reader", ["", "Neg s", "Neg n"])
def test_a_state_with_h_and_c_of_all_layers_side_by_side(reader, rows):
    """As Keras' exporters make it: however the engine keeps it, it is that of the graph wherever it is seen."""
    layers = {f"{name}{k}": random(1, 4 * H, H, seed=2 * k + (name == "R")) for k in (0, 1) for name in ("W", "R")}
    constants = layers | {"zero": A(0), "one": A(1), "first": A([0]), "second": A([1]), "apart": A([1, 3])}
    nodes, now = [], "X"
    for k, layer in enumerate(("zero", "one")):
        for part, value in (("zero", "h"), ("one", "c")):
            nodes += [node("Gather", f"s {part}", f"all_{value}{k}", axis=3)]
            nodes += [node("Gather", f"all_{value}{k} {layer}", f"{value}{k}", axis=1)]
            nodes += [node("Unsqueeze", f"{value}{k} first", f"{value}{k}_in")]
        nodes += [node("LSTM", f"{now} W{k} R{k} - - h{k}_in c{k}_in", f"Y{k} H{k} C{k}", hidden_size=H)]
        for value in ("H", "C"):
            nodes += [node("Squeeze", f"{value}{k} first", f"flat_{value}{k}")]
            nodes += [node("Unsqueeze", f"flat_{value}{k} apart", f"apart_{value}{k}")]
        nodes += [node("Concat", f"apart_H{k} apart_C{k}", f"n{k}", axis=3)]
        nodes += [node("Squeeze", f"Y{k} second", f"out{k}")]
        now = f"out{k}"
    nodes += [node("Concat", "n0 n1", "n", axis=1), *([node(*reader.split(), "z")] if reader else [])]
    outputs = "out1 n z" if reader else "out1 n"
    proto = model(nodes, {"X": [1, rows, H], "s": [rows, 2, H, 2]}, outputs, constants)
    graph, s = ReferenceEvaluator(proto), np.zeros((rows, 2, H, 2), np.float32)
    file = tinyrnn.load(convert_bytes(proto, states={"s": "n"})[0])
    stream = file.stream(batch=rows)
    for t, x in enumerate(random(12, 1, rows, H)):
        feeds = {"X": x, "s": s}
        want = dict(zip(outputs.split(), graph.run(None, feeds), strict=True))
        s = want["n"]
        shown = {"n": np.empty_like(s)} if t % 3 else {}
        got = stream.step({"X": x}, out={k: np.empty_like(v) for k, v in want.items() if k != "n"} | shown)
        for name, y in got.items():
            np.testing.assert_allclose(y, want[name], atol=1e-6, err_msg=name)
        np.testing.assert_allclose(stream.states["s"], s, atol=1e-6)
        if t == 4:  # moved to another stream, by bytes
            saved, stream = stream.save(), file.stream(batch=rows)
            stream.restore(saved)
        if t == 7:  # and set
            stream.states["s"] = s = random(*s.shape, seed=9)
