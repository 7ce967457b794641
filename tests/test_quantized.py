# SPDX-License-Identifier: Apache-2.0
"""Quantized models in the engine: one answer however it is computed, on every machine; near float32; said so."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphs
import tinyrnn
import zoo
from random_graphs import layer
from test_promises import available, isa, layers, sample, stacks
from tinyrnn.cli.inspect import describe
from tinyrnn.converters import convert_bytes
from tinyrnn.errors import TinyRNNError

sys.path.insert(0, str(Path(__file__).parent / "converters"))

QUANTIZED = "quantized: the same bytes on every instruction set"


def int8(proto, **options):
    """The bytes of the int8 file, and its report."""
    return convert_bytes(proto, quantize="int8", **options)


def same_everywhere(data: bytes, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs, after checking that every instruction set gives their bytes."""
    results = []
    for name in available():
        with isa(name):
            results.append(tinyrnn.load(data).run(inputs))
    for other in results[1:]:
        for name, array in results[0].items():
            assert np.array_equal(array.view(np.uint8), other[name].view(np.uint8)), name
    return results[0]


@settings(max_examples=60, deadline=None, print_blob=True)
@given(layers(), st.integers(1, 4), st.integers(1, 30), st.integers(0, 99), st.booleans())
def test_recurrences_give_one_answer(case, batch, steps, seed, static):
    """Every machine, every row, and for what can stream any chunks and single steps."""
    proto, _, inputs, layout = case
    x = sample(inputs, batch, steps, layout, seed)
    options = {"calibrate": {"X": x / 2}, "activations": "static"} if static else {"calibrate": {"X": x}}
    data, report = int8(proto, **options)
    assert report.promise == QUANTIZED
    whole = same_everywhere(data, {"X": x})
    model, rows, time = tinyrnn.load(data), 1 - layout, layout
    for row in range(batch):
        alone = model.run({"X": np.ascontiguousarray(x.take([row], axis=rows))})
        for name, out in whole.items():
            axis = {0: {"Y": 2}, 1: {"Y": 0}}[layout].get(name, rows)
            assert out.take([row], axis=axis).tobytes() == alone[name].tobytes(), name
    if not model.streamable:
        return
    stream = model.stream(batch)
    cut = steps // 3
    parts = [stream.run({"X": np.ascontiguousarray(p)})["Y"] for p in np.split(x, [cut], axis=time)]
    assert np.concatenate(parts, axis=time).tobytes() == whole["Y"].tobytes()
    stream.reset()
    stepped = [stream.step({"X": np.ascontiguousarray(x.take(t, axis=time))})["Y"] for t in range(steps)]
    assert np.stack(stepped, axis=time).tobytes() == whole["Y"].tobytes()


@settings(max_examples=100, deadline=None, print_blob=True)
@given(stacks(), st.integers(1, 3), st.integers(1, 30), st.integers(0, 99))
def test_graphs_give_one_answer(stack, batch, steps, seed):
    proto, features, _, _ = stack
    x = sample(features, batch, steps, 0, seed)
    data, report = int8(proto, calibrate={"x": x})
    model = tinyrnn.load(data)
    whole = model.run({"x": x})["y"]
    stream = model.stream(batch)
    assert stream.run(x).tobytes() == whole.tobytes()
    stream.reset()
    assert np.stack([stream.step(x[t]) for t in range(steps)]).tobytes() == whole.tobytes()
    for row in range(batch):
        assert model.run(np.ascontiguousarray(x[:, row : row + 1])).tobytes() == whole[:, row : row + 1].tobytes()
    if not report.promise.startswith("fp32"):
        same_everywhere(data, {"x": x})


@settings(max_examples=60, deadline=None, print_blob=True)
@given(layers(), st.integers(1, 3), st.integers(0, 99), st.booleans())
def test_the_engine_does_what_the_interpreter_does(case, steps, seed, static):
    """A few steps: later ones may differ by a code, where a float beside the middle of two is rounded to the other."""
    from interpret import Run
    from tinyrnn.converters import measure, onnx_frontend, quantize, registry
    from tinyrnn.converters.driver import lower_model
    from tinyrnn.converters.precisions import PRECISIONS

    proto, _, inputs, layout = case
    x = sample(inputs, 2, steps, layout, seed)
    registry.load_all()
    source = onnx_frontend.load(proto, registry.supported)
    graph = lower_model(source, {}, {}, "auto").graph
    chosen = quantize.choose_layers(graph, source, PRECISIONS["int8"], [])
    bench = measure.Bench(graph, {"X": x / 2}, {})
    ranges = quantize.find_ranges(bench, graph, chosen, []) if static else {}
    changed = quantize.with_layers(graph, chosen, ranges)
    got, want = measure.loaded(changed).run({"X": x}), Run(changed, wide=False)({"X": x})
    for name, array in got.items():
        assert np.abs(array - want[name]).max(initial=0.0) <= 2e-3, name
        assert np.mean(np.abs(array - want[name]) > 3e-6) <= 0.1, name


def test_products_are_those_of_the_interpreter_to_the_byte():
    from build import lowered, model, node, random
    from interpret import Run
    from tinyrnn.converters import measure, onnx_frontend, quantize, registry
    from tinyrnn.converters.precisions import PRECISIONS

    window = {"kernel_shape": [3], "pads": [1, 1], "group": 2, "strides": [2]}
    nodes = [
        node("MatMul", "x w", "a", name="product"),
        node("Add", "a b", "c"),
        node("Conv", "c k", "y", name="window", **window),
    ]
    constants = {"w": random(37, 21), "b": random(21, seed=1), "k": random(6, 2, 3, seed=2)}
    proto = model(nodes, {"x": ["n", 4, 37]}, "y", constants)
    graph = lowered(proto).graph
    source = onnx_frontend.load(proto, registry.supported)
    chosen = quantize.choose_layers(graph, source, PRECISIONS["int8"], [])
    x = random(5, 4, 37, seed=3)
    bench = measure.Bench(graph, {"x": x / 2}, {})
    for ranges in ({}, quantize.find_ranges(bench, graph, chosen, [])):
        changed = quantize.with_layers(graph, chosen, ranges)
        got = measure.loaded(changed).run({"x": x})["y"]
        assert got.tobytes() == Run(changed, wide=False)({"x": x})["y"].tobytes()


def test_a_report_says_it_all_and_goes_through_json():
    data, report = int8(graphs.embedding(rows=40), keep_float=["W"])
    about = json.loads(json.dumps(report.to_dict()))
    embed, cell = about["layers"]
    assert (embed["precision"], embed["bytes"], embed["reason"]) == ("int8", 40 * 8, "")
    assert 0 < embed["error"] < 0.05
    assert (cell["precision"], cell["error"]) == ("float32", None)
    assert cell["reason"] == "asked for by keep_float 'W'"
    (error,) = about["output_errors"]
    assert error["name"] == "y"
    assert error["max"] == max(error["max_by_step"].values())
    assert len(error["max_by_step"]) <= 7
    assert {"0", "99"} <= error["max_by_step"].keys()
    assert about["promise"].startswith("fp32")
    text = str(report)
    for words in ("keep_float 'W'", "max error of y", "1 int8, 1 float32; activations dynamic"):
        assert words in text, words
    noted = describe(data)["metadata"]
    assert noted["report"]["layers"] == about["layers"]
    assert noted["report"]["output_errors"] == about["output_errors"]
    assert noted["recipe"]["quantize"] == "int8"
    assert describe(data)["promise"] == about["promise"]


def test_the_bytes_shrink_and_the_errors_are_those_of_the_files():
    proto = layer("LSTM", 64, 40)
    x = sample(40, 2, 50, 0, 1)
    data, report = int8(proto, calibrate={"X": x})
    plain, _ = convert_bytes(proto)
    assert len(data) < 0.35 * len(plain)
    got, want = (tinyrnn.load(d).run({"X": x}) for d in (data, plain))
    for row in report.output_errors:
        worst = float(np.abs(got[row["name"]] - want[row["name"]]).max())
        assert row["max"] == float(f"{worst:.3g}")
        assert row["max"] < 0.02
    assert report.layers[0]["error"] == max(row["max"] for row in report.output_errors)


def test_frames_are_measured_as_a_stream():
    data, report = int8(graphs.frames())
    (error,) = report.output_errors
    assert error["name"] == "y"
    assert "99" in error["max_by_step"]
    x = sample(6, 1, 30, 0, 1)[:, None]
    _, given_frames = int8(graphs.frames(), calibrate={"x": x})
    assert "29" in given_frames.output_errors[0]["max_by_step"]
    _, one = int8(graphs.frames(), calibrate={"x": x[0]})
    assert {row["name"] for row in one.output_errors} == {"y"}
    assert tinyrnn.load(data).streamable


def test_every_layer_has_its_own_error_and_progress_is_told():
    from build import model, node, random

    nodes = [node("MatMul", "x a", "s", name="first"), node("Tanh", "s", "t"), node("MatMul", "t b", "y", name="last")]
    proto = model(nodes, {"x": ["n", 8]}, "y", {"a": random(8, 8), "b": random(8, 8, seed=1)})
    told = []
    _, report = int8(proto, progress=lambda *row: told.append(row))
    assert told == [(0, 2, "first+t"), (1, 2, "last")]
    both = [row["error"] for row in report.layers]
    assert all(error > 0 for error in both)
    _, alone = int8(proto, keep_float=["last"])
    assert alone.layers[0]["error"] == both[0] == alone.output_errors[0]["max"]


def test_what_random_inputs_cannot_run_is_converted_with_a_note():
    from build import model, node, random

    window = node("Conv", "x k", "y", name="wide", kernel_shape=[9])
    proto = model([window], {"x": ["n", 3, "width"]}, "y", {"k": random(2, 3, 9)})
    _, report = int8(proto)
    assert report.output_errors == []
    assert report.layers[0]["error"] is None
    assert any("errors were not measured" in note for note in report.notes)
    _, report = int8(proto, calibrate={"x": random(1, 3, 20)})
    assert report.layers[0]["error"] > 0
    assert not report.notes


@pytest.mark.skipif(not zoo.VISIBLE.is_dir(), reason="the zoo is not beside the project")
def test_the_zoo_in_int8():
    """What converts in float32 does in int8, runs, and streams the bytes of its whole sequences."""
    seen = 0
    for name in zoo.names():
        if name.startswith("hostile_") or zoo.meta_of(name)["expect"] == "error":
            continue
        source, io = str(zoo.VISIBLE / name / "model.onnx"), np.load(zoo.VISIBLE / name / "io.npz")
        inputs = {n: io[f"in{i}"] for i, n in enumerate(zoo.meta_of(name)["in_names"])}
        try:
            plain = tinyrnn.load(convert_bytes(source)[0])
        except TinyRNNError:
            continue
        want, model = plain.run(inputs), tinyrnn.load(int8(source)[0], verify=True)
        got = model.run(inputs)
        seen += 1
        for key, array in want.items():
            assert got[key].shape == array.shape, (name, key)
            # Places, of a greedy choice say, are another matter: a small error makes another choice.
            if array.dtype.kind == "f" and not any(a.dtype.kind != "f" for a in want.values()):
                assert zoo.distance(got[key], array) <= 0.05, (name, key)
    assert seen > 150
