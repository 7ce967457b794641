# SPDX-License-Identifier: Apache-2.0
"""What a stream carries: states, reset, save and restore, clone; and models as values."""

from __future__ import annotations

import gc
import mmap
import pickle
import random

import numpy as np
import pytest

import tinyrnn


def sequence(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_reset(loaded):
    model, x = loaded("recurrent"), sequence(3, 2, 4)
    stream = model.stream(batch=2)
    first = stream.run(x)
    assert stream.run(x).tobytes() != first.tobytes()
    stream.reset()
    assert stream.run(x).tobytes() == first.tobytes()


def test_an_open_dimension_is_read_off_the_first_frame():
    """A model without a time axis, whose frames have any length, and a state."""
    import onnx
    from onnx import helper

    from tinyrnn.converters import convert_bytes

    total = helper.make_node("ReduceSum", ["x", "axes"], ["sum"], keepdims=1)
    added = helper.make_node("Add", ["sum", "state"], ["state_out"])
    ports = [("x", ["batch", "width"]), ("state", ["batch", 1])], [("sum", ["batch", 1]), ("state_out", ["batch", 1])]
    inputs, outputs = ([helper.make_tensor_value_info(n, 1, dims) for n, dims in side] for side in ports)
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    graph = helper.make_graph([total, added], "sums", inputs, outputs, [axes])
    data, report = convert_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert [s["name"] for s in report.states] == ["state"]
    model = tinyrnn.load(data)
    frames = sequence(3, 1, 5)
    stream = model.stream()
    stream.reset()
    with pytest.raises(tinyrnn.ShapeError, match="before the first step"):
        stream.save()
    for i, frame in enumerate(frames):
        np.testing.assert_allclose(stream.step(frame[0]), frame.sum(1), rtol=1e-5)
        np.testing.assert_allclose(stream.states["state"][0, 0], frames[: i + 1].sum(), rtol=1e-5)
    with pytest.raises(tinyrnn.ShapeError, match=r"\(1, 5\) or \(5,\)"):
        stream.step(sequence(1, 6))
    other = model.stream(batch=2).clone()
    np.testing.assert_allclose(other.run(sequence(4, 2, 7)), sequence(4, 2, 7).sum(2, keepdims=True), rtol=1e-5)
    assert model.stream(sizes={"width": 6}).step(sequence(6)).shape == (1,)


@pytest.mark.parametrize("rows", [[1], (1,), np.array([1]), 1, {1}])
def test_reset_of_rows(loaded, rows):
    model, x = loaded("recurrent"), sequence(3, 2, 4)
    stream = model.stream(batch=2)
    first = stream.run(x)
    stream.reset(rows)
    second = stream.run(x)
    assert second[:, 1].tobytes() == first[:, 1].tobytes()
    assert second[:, 0].tobytes() != first[:, 0].tobytes()


@pytest.mark.parametrize("rows", [[2], [-1], [0.5], [True], ["0"]])
def test_rows_that_are_not_there(loaded, rows):
    with pytest.raises(tinyrnn.ArgumentError, match="rows: expected integers from 0 to 1"):
        loaded("recurrent").stream(batch=2).reset(rows)


def test_states_by_name(loaded):
    model, x = loaded("stateful"), sequence(4, 2, 4)
    want = model.run({"x": x[:2]})
    stream = model.stream(batch=2)
    assert set(stream.states) == {"h0", "c0"}
    assert stream.states["h0"].shape == (1, 2, 8)
    assert not stream.states["h0"].any()
    stream.run(x[:2])
    assert stream.states["h0"].tobytes() == want["hn"].tobytes()
    other = model.stream(batch=2)
    other.states["h0"], other.states["c0"] = want["hn"], want["cn"]
    assert other.run(x[2:]).tobytes() == stream.run(x[2:]).tobytes()
    assert [port.name for port in model.states] == list(stream.states)


def test_states_say_what_they_expect(loaded):
    states = loaded("stateful").stream(batch=2).states
    with pytest.raises(KeyError, match="there is no state 'x'; the states are"):
        states["x"]
    with pytest.raises(tinyrnn.ShapeError, match=r"state 'h0': expected shape \(1, 2, 8\); found \(1, 1, 8\)"):
        states["h0"] = np.zeros((1, 1, 8), np.float32)
    with pytest.raises(tinyrnn.ArgumentError, match="state 'h0': expected float32, found float64"):
        states["h0"] = np.zeros((1, 2, 8))
    states["h0"] = np.asfortranarray(sequence(1, 2, 8))
    assert states["h0"].tobytes() == sequence(1, 2, 8).tobytes()


def test_states_of_a_recurrence_without_state_inputs(loaded):
    stream = loaded("recurrent").stream()
    assert len(stream.states) == 2
    stream.step(sequence(1, 4))
    assert all(state.any() for state in stream.states.values())


def test_save_restore_and_clone(loaded):
    model, x = loaded("recurrent"), sequence(6, 2, 4)
    whole, stream = model.run(x), model.stream(batch=2)
    stream.run(x[:3])
    saved, clone = stream.save(), stream.clone()
    assert isinstance(saved, bytes)
    other = model.stream(batch=2)
    other.restore(bytearray(saved))
    for each in (stream, clone, other):
        assert each.run(x[3:]).tobytes() == whole[3:].tobytes()


def test_restore_refuses_what_is_not_its_own(loaded):
    stream = loaded("recurrent").stream(batch=2)
    stream.step(sequence(2, 4))
    saved = stream.save()
    other_model = loaded("recurrent", seed=5).stream(batch=2).save()
    other_batch = loaded("recurrent").stream(batch=1).save()
    for bad in (b"", saved[:-1], saved + b"\0", other_model, other_batch):
        with pytest.raises(tinyrnn.StateError):
            stream.restore(bad)
    with pytest.raises(tinyrnn.ArgumentError, match="expected bytes"):
        stream.restore("text")
    assert stream.save() == saved


def test_damaged_states_are_refused_or_harmless(loaded):
    stream, generator = loaded("recurrent").stream(), random.Random(7)
    stream.step(sequence(1, 4))
    saved = stream.save()
    for _ in range(500):
        damaged = bytearray(saved)
        damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        try:
            stream.restore(damaged)
        except tinyrnn.StateError:
            assert stream.save() == saved
        stream.restore(saved)


def test_a_model_can_be_pickled(made, tmp_path):
    x = sequence(3, 1, 4)
    content = made("recurrent").read_bytes()
    for model in (tinyrnn.load(made("recurrent")), tinyrnn.load(content), tinyrnn.load(memoryview(content))):
        again = pickle.loads(pickle.dumps(model))
        assert isinstance(again, tinyrnn.Model)
        assert again.run(x).tobytes() == model.run(x).tobytes()
    path = tmp_path / "moving.trnn"
    path.write_bytes(content)
    model = tinyrnn.load(path)
    other = tmp_path / "other.trnn"
    other.write_bytes(made("recurrent", seed=5).read_bytes())
    other.rename(path)
    with pytest.raises(tinyrnn.TinyRNNError, match="has changed since"):
        pickle.dumps(model)


def test_a_stream_keeps_its_model(made):
    stream = tinyrnn.load(made("recurrent").read_bytes()).stream()
    assert stream.step(sequence(1, 4)).shape == (1, 8)
    assert stream.model.inputs[0].name == "x"
    assert stream.batch == 1


def test_a_model_in_a_cycle_of_garbage_gives_its_bytes_back(made, monkeypatch):
    """It reads them where they are until it is freed, and then nothing holds them."""
    content, ignored = made("recurrent").read_bytes(), []
    monkeypatch.setattr("sys.unraisablehook", ignored.append)
    with mmap.mmap(-1, len(content)) as memory:
        memory.write(content)
        cycle = [tinyrnn.load(memoryview(memory))]
        cycle.append(cycle)
        del cycle
        gc.collect()
    assert ignored == []


def test_an_output_that_shows_a_state_is_its_value_after_the_last_frame():
    """A model without a time axis that computes nothing but its next state."""
    from onnx import helper

    from graphs import model, value
    from tinyrnn.converters import convert_bytes

    add = helper.make_node("Add", ["x", "s"], ["n"])
    proto = model([add], [value("x", [3]), value("s", [3])], [value("n", [3])], {})
    stream = tinyrnn.load(convert_bytes(proto, states={"s": "n"})[0]).stream()
    assert stream.run(np.ones((4, 3), np.float32)).tolist() == [4, 4, 4]
    assert stream.run(np.ones((0, 3), np.float32)).tolist() == [4, 4, 4]
    given, out = {"x": np.ones((2, 3), np.float32), "s": np.zeros(3, np.float32)}, np.zeros(3, np.float32)
    stream.run(given, out={"n": out})
    assert out.tolist() == [2, 2, 2]


def test_a_run_of_no_steps_leaves_nothing_unwritten(loaded):
    stream, out = loaded("recurrent", last=True).stream(batch=2), np.full((1, 2, 8), 7, np.float32)
    stream.run(np.zeros((0, 2, 4), np.float32), out=out)
    assert not out.any()


def test_what_a_model_says_of_itself(loaded):
    model = loaded("stateful")
    x, h0, c0 = model.inputs
    assert (x.name, x.dtype, x.shape, x.time_axis, x.batch_axis, x.state) == (
        "x",
        "float32",
        ("time", "batch", 4),
        0,
        1,
        None,
    )
    assert (h0.shape, h0.state, c0.state) == ((1, "batch", 8), "h0", "c0")
    assert [port.name for port in model.outputs] == ["y", "hn", "cn"]
    assert model.outputs[1].state == "h0"
    assert model.streamable
    assert model.reason == ""
    assert "producer" in model.metadata
    assert "x: float32[time, batch, 4]" in repr(model)


def test_memory(loaded):
    model = loaded("recurrent")
    stream, whole = model.memory(), model.memory(batch=2, time=1000)
    assert stream["weights"] == whole["weights"] > 0
    assert whole["arena"] > stream["arena"]
    assert stream["stream"] >= stream["state"] + stream["plan"] + stream["arena"]
    assert model.memory(batch=8)["state"] > stream["state"]
