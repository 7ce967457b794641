# SPDX-License-Identifier: Apache-2.0
"""The promises of docs/design.md as properties: one answer however it is computed, on every kernel set."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import graphs
import tinyrnn
from graphs import value
from random_graphs import Stack, layer, load
from tinyrnn import format as fmt
from tinyrnn.cli.inspect import describe
from tinyrnn.converters import convert_bytes, references

CELLS = ["RNN", "LSTM", "GRU"]
HIDDEN = st.sampled_from([1, 2, 7, 8, 15, 16, 17, 31, 33, 48, 64, 100])
INPUT = st.sampled_from([1, 3, 4, 16, 17, 40])


@contextmanager
def isa(name: str):
    """Models opened inside use this instruction set."""
    before = os.environ.get("TINYRNN_ISA")
    os.environ["TINYRNN_ISA"] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ["TINYRNN_ISA"]
        else:
            os.environ["TINYRNN_ISA"] = before


@functools.cache
def available() -> list[str]:
    """Instruction sets of this build that this processor has, by asking for each; the best one last."""
    found = []
    for name in fmt.INSTRUCTION_SETS:
        with isa(name):
            try:
                load(layer("RNN", 2, 2))
            except tinyrnn.UnsupportedError:
                continue
            found.append(name)
    return found


def by_class(run: Callable[[tinyrnn.Model], Any], proto: onnx.ModelProto) -> dict[bool, Any]:
    """What a run gives in each class of rounding, after checking that every instruction set of a class agrees."""
    results: dict[bool, Any] = {}
    for name in available():
        with isa(name):
            model = load(proto)
        assert model.isa == name
        got = run(model)
        expected = results.setdefault(fmt.INSTRUCTION_SETS[name], got)
        assert [a.tobytes() for a in got.values()] == [a.tobytes() for a in expected.values()], name
    return results


@st.composite
def layers(draw, forward: bool = False):
    """(ONNX model, cell, hidden, inputs, layout) with random options."""
    cell = draw(st.sampled_from(CELLS))
    hidden, inputs, layout = draw(HIDDEN), draw(INPUT), draw(st.sampled_from([0, 1]))
    options = {"layout": layout, "seed": draw(st.integers(0, 2**16)), "bias": draw(st.booleans())}
    if not forward:
        options["direction"] = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    if cell == "GRU":
        options["linear_before_reset"] = draw(st.sampled_from([0, 1]))
    if cell == "LSTM":
        options["input_forget"] = draw(st.sampled_from([0, 0, 1]))
        options["peepholes"] = draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        options["clip"] = 0.75
    return layer(cell, hidden, inputs, **options), hidden, inputs, layout


def sample(inputs: int, batch: int, steps: int, layout: int, seed: int) -> np.ndarray:
    shape = (steps, batch, inputs) if layout == 0 else (batch, steps, inputs)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@settings(max_examples=60, deadline=None, print_blob=True)
@given(layers(forward=True), st.integers(1, 3), st.integers(1, 50), st.data())
def test_whole_is_chunks_is_steps(case, batch, steps, data):
    proto, _, inputs, layout = case
    model = load(proto)
    time = 0 if layout == 0 else 1
    x = sample(inputs, batch, steps, layout, data.draw(st.integers(0, 99)))
    whole = model.run({"X": x})["Y"]
    stream = model.stream(batch)
    cuts = sorted(data.draw(st.lists(st.integers(0, steps), max_size=4)))
    pieces = [stream.run({"X": np.ascontiguousarray(p)})["Y"] for p in np.split(x, cuts, axis=time)]
    assert np.concatenate(pieces, axis=time).tobytes() == whole.tobytes()
    saved = stream.save()
    stream.reset()
    stepped = [stream.step({"X": np.ascontiguousarray(x.take(t, axis=time))})["Y"] for t in range(steps)]
    assert np.stack(stepped, axis=time).tobytes() == whole.tobytes()
    assert stream.save() == saved


@settings(max_examples=60, deadline=None, print_blob=True)
@given(layers(), st.integers(1, 5), st.integers(0, 20), st.integers(0, 99))
def test_a_row_of_a_batch_is_the_row_alone(case, batch, steps, seed):
    proto, _, inputs, layout = case
    model = load(proto)
    rows = 1 if layout == 0 else 0
    x = sample(inputs, batch, steps, layout, seed)
    whole = model.run({"X": x})
    for row in range(batch):
        alone = model.run({"X": np.ascontiguousarray(x.take([row], axis=rows))})
        for name, out in whole.items():
            axis = {0: {"Y": 2}, 1: {"Y": 0}}[layout].get(name, 1 if layout == 0 else 0)
            assert out.take([row], axis=axis).tobytes() == alone[name].tobytes(), name


@settings(max_examples=60, deadline=None, print_blob=True)
@given(layers(), st.integers(1, 4), st.integers(1, 20), st.integers(0, 99))
def test_every_instruction_set_gives_the_same_bytes(case, batch, steps, seed):
    proto, _, inputs, layout = case
    x = sample(inputs, batch, steps, layout, seed)
    by_class(lambda model: model.run({"X": x}), proto)


def test_classes_of_rounding_differ_in_products_and_cells_alone():
    """What docs/arithmetic.md and `inspect` say of processors without fused multiply-add."""
    if len({fmt.INSTRUCTION_SETS[name] for name in available()}) < 2:
        pytest.skip("this build has one class of rounding only")
    names = ["Tanh", "Softmax", "Elu", "LayerNormalization", "Sigmoid", "ReduceMean", "Erf"]
    nodes = [
        helper.make_node(op, [f"t{i}", "g", "b"] if op.startswith("Layer") else [f"t{i}"], [f"t{i + 1}"])
        for i, op in enumerate(names)
    ]
    constants = {"g": np.linspace(0.5, 2, 33, dtype=np.float32), "b": np.linspace(-1, 1, 33, dtype=np.float32)}
    ports = [value("t0", ["time", "batch", 33])], [value(f"t{len(names)}", ["time", "batch", 1])]
    for proto, name, promise in [
        (graphs.model(nodes, *ports, constants), "t0", "the same bytes on every instruction set"),
        (layer("LSTM", 33, 33), "X", "fp32: "),
    ]:
        results = by_class(lambda model, name=name: model.run({name: sample(33, 3, 20, 0, 1)}), proto)
        same = [a.tobytes() for a in results[True].values()] == [a.tobytes() for a in results[False].values()]
        said = describe(convert_bytes(proto)[0])["promise"]
        assert said.startswith(promise)
        assert same == (not said.startswith("fp32"))
        assert all(np.abs(a - b).max() < 1e-6 for a, b in zip(*(r.values() for r in results.values()), strict=True))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_padding_changes_nothing(cell, direction):
    """Rows with lengths give what they give alone, cut to their length; past the end there are zeros."""
    options = {"linear_before_reset": 1} if cell == "GRU" else {}
    model = load(layer(cell, 19, 5, direction, lens=True, **options))
    x, lens = sample(5, 4, 9, 0, 3), np.array([9, 0, 4, 1], np.int32)
    whole = model.run({"X": x, "sequence_lens": lens})
    for row, length in enumerate(lens):
        assert not whole["Y"][length:, :, row].any()
        if length == 0:
            assert not whole["Y_h"][:, row].any()
            continue
        cut = np.ascontiguousarray(x[:length, row : row + 1])
        alone = model.run({"X": cut, "sequence_lens": np.array([length], np.int32)})
        assert alone["Y"][:, :, 0].tobytes() == whole["Y"][:length, :, row].tobytes()
        assert alone["Y_h"][:, 0].tobytes() == whole["Y_h"][:, row].tobytes()


def test_what_looks_at_the_future_is_not_streamable():
    for direction in ("reverse", "bidirectional"):
        model = load(layer("GRU", 4, 3, direction))
        assert not model.streamable
        with pytest.raises(tinyrnn.UnsupportedError, match="layer"):
            model.stream()


@pytest.mark.parametrize(("cell", "bound"), [("LSTM", 1e-6), ("GRU", 2e-6), ("RNN", 3e-6)])
@pytest.mark.parametrize("hidden", [1, 16, 100, 256, 512])
@pytest.mark.parametrize("fused", [True, False])
def test_accuracy_beside_float64(cell, bound, hidden, fused):
    """Promise 4: weights uniform in 1/sqrt(hidden), input N(0, 1), 100 steps, in both classes of rounding."""
    names = [name for name in available() if fmt.INSTRUCTION_SETS[name] == fused]
    if not names:
        pytest.skip("this build has no such instruction set")
    for options in [{"linear_before_reset": 0}, {"linear_before_reset": 1}] if cell == "GRU" else [{}]:
        proto = layer(cell, hidden, min(hidden, 40), seed=hidden, **options)
        x = sample(min(hidden, 40), 1, 100, 0, 5)
        want = references.run(proto, {"X": x})
        with isa(names[-1]):
            got = load(proto).run({"X": x})
        for name in got:
            assert np.abs(got[name] - want[name]).max() <= bound, name


@pytest.mark.parametrize(
    ("cell", "options", "bound"),
    [
        ("LSTM", {}, 0.006),
        ("GRU", {"linear_before_reset": 0}, 0.010),
        ("GRU", {"linear_before_reset": 1}, 0.010),
        ("RNN", {}, 0.022),
    ],
)
@pytest.mark.parametrize("seed", range(6))
def test_accuracy_of_int8_beside_float32(cell, options, bound, seed):
    """Weights uniform in 1/sqrt(128), input uniform in -1..1, 200 steps; in 8 bits, so that the bytes hold too."""
    proto = layer(cell, 128, 128, seed=seed, **options)
    x = np.random.default_rng(seed + 100).uniform(-1, 1, (200, 1, 128)).astype(np.float32)
    data, report = convert_bytes(proto, quantize="int8")
    assert [row["precision"] for row in report.layers] == ["int8"]
    got, want = tinyrnn.load(data).run({"X": x}), load(proto).run({"X": x})
    for name in ("Y", "Y_h"):
        assert np.abs(got[name] - want[name]).max() <= bound, name


@pytest.mark.parametrize(
    ("cell", "hidden", "part"), [("LSTM", 256, 0.26), ("LSTM", 128, 0.30), ("GRU", 128, 0.30), ("RNN", 128, 0.30)]
)
@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_bytes_of_int8_beside_onnx(cell, hidden, part, outputs):
    """A file beside the ONNX model of one layer that shows the sequence, and its last states or not."""
    proto = layer(cell, hidden, hidden)
    node = proto.graph.node[0]
    del node.output[outputs:], proto.graph.output[outputs:]
    data, _ = convert_bytes(proto, quantize="int8")
    assert len(data) <= part * len(proto.SerializeToString())


def test_denormals_cost_nothing_and_the_mode_is_put_back():
    model = load(layer("LSTM", 16, 8))
    tiny = np.full((3, 1, 8), 1e-41, np.float32)
    assert model.run({"X": tiny})["Y"].tobytes() == model.run({"X": np.zeros_like(tiny)})["Y"].tobytes()
    assert (tiny * np.float32(1)).any(), "the caller's arithmetic still has denormals"


@st.composite
def stacks(draw):
    """A graph x [time, batch, features] -> y of random layers that are pointwise or causal over time."""
    stack = Stack(draw(st.sampled_from([1, 3, 8, 17])), draw(st.integers(0, 2**16)))
    for add in draw(st.lists(st.sampled_from(Stack.LAYERS), min_size=1, max_size=6)):
        add(stack, draw)
    return stack.finish()


@settings(max_examples=200, deadline=None, print_blob=True)
@given(stacks(), st.integers(1, 3), st.integers(1, 40), st.integers(0, 99))
def test_graphs_give_one_answer(stack, batch, steps, seed):
    """Whole, steps, rows of the batch and instruction sets: the same bytes, near the float64 reference."""
    proto, features, caches, smooth = stack
    x = sample(features, batch, steps, 0, seed)
    model = load(proto)
    whole = model.run(x)
    stream = model.stream(batch)
    stepped = np.stack([stream.step(x[t]) for t in range(steps)])
    assert stepped.tobytes() == whole.tobytes()
    stream.reset()
    assert stream.run(x).tobytes() == whole.tobytes()
    for row in range(batch):
        assert model.run(np.ascontiguousarray(x[:, row : row + 1])).tobytes() == whole[:, row : row + 1].tobytes()
    results = by_class(lambda model: model.run({"x": x}), proto)
    if smooth:
        empty = {name: np.zeros((length, batch, size), np.float32) for name, (length, size) in caches.items()}
        want = references.run(proto, {"x": x} | empty)["y"]
        for result in results.values():
            assert np.abs(result["y"] - want).max() <= 2e-5 * max(1.0, np.abs(want).max())
    if not describe(convert_bytes(proto)[0])["promise"].startswith("fp32"):
        assert len({result["y"].tobytes() for result in results.values()}) == 1
