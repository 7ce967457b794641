# SPDX-License-Identifier: Apache-2.0
"""The shapes that runs, steps and streams take and give, and that all three have the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

import tinyrnn


def sequence(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_sequence_chunks_and_steps_have_the_same_bytes(loaded, cell, batch):
    model, x = loaded("recurrent", cell=cell), sequence(37, batch, 4)
    whole = model.run(x)
    assert whole.shape == (37, batch, 8)
    assert whole.dtype == np.float32
    stream = model.stream(batch=batch)
    steps = np.stack([stream.step(x[t]) for t in range(37)])
    assert steps.tobytes() == whole.tobytes()
    stream.reset()
    chunks = np.concatenate([stream.run(part) for part in np.split(x, [1, 1, 20, 36])])
    assert chunks.tobytes() == whole.tobytes()


def test_a_row_of_a_batch_has_the_bytes_it_has_alone(loaded):
    model, x = loaded("recurrent"), sequence(9, 5, 4)
    whole = model.run(x)
    for row in range(5):
        assert model.run(x[:, row : row + 1]).tobytes() == whole[:, row : row + 1].tobytes()


def test_against_onnx_reference(made, loaded):
    import onnx
    from onnx.reference import ReferenceEvaluator

    x = sequence(6, 2, 4)
    source = made("recurrent").with_suffix(".onnx")
    (want,) = ReferenceEvaluator(onnx.load(source)).run(None, {"x": x})
    np.testing.assert_allclose(loaded("recurrent").run(x), want, atol=1e-6)


def test_forms_of_a_step(loaded):
    model, x = loaded("recurrent"), sequence(1, 1, 4)
    forms = {(1, 1, 4): (1, 1, 8), (1, 4): (1, 8), (4,): (8,)}
    results = {given: model.stream().step(x.reshape(given)) for given in forms}
    assert {given: y.shape for given, y in results.items()} == forms
    assert len({y.tobytes() for y in results.values()}) == 1


def test_forms_of_a_batched_step(loaded):
    stream, x = loaded("recurrent").stream(batch=2), sequence(1, 2, 4)
    assert stream.step(x).shape == (1, 2, 8)
    assert stream.step(x[0]).shape == (2, 8)
    with pytest.raises(tinyrnn.ShapeError, match=r"input 'x': expected .*\(2, 4\) or \(1, 2, 4\); found shape \(4,\)"):
        stream.step(x[0, 0])


def test_a_model_without_a_time_axis_takes_the_frame_as_declared(loaded):
    model, x = loaded("frames"), sequence(5, 1, 1, 6)
    assert model.streamable
    stream = model.stream()
    steps = [stream.step(frame) for frame in x]
    assert steps[0].shape == (1, 1, 8)
    stacked = model.stream().run(x)
    assert stacked.shape == (5, 1, 1, 8)
    assert stacked.tobytes() == np.stack(steps).tobytes()
    # By hand, as the ONNX model is used: the state goes out and in.
    state, by_hand = np.zeros((1, 1, 8), np.float32), []
    for frame in x:
        results = model.run({"x": frame, "h0": state})
        state = results["hn"]
        by_hand.append(results["y"])
    assert np.stack(by_hand).tobytes() == stacked.tobytes()


def test_a_graph_without_a_batch_axis(loaded):
    model, x = loaded("without_batch"), sequence(4, 4)
    whole = model.run(x)
    assert whole.shape == (4, 8)
    stream = model.stream()
    first = stream.step(x[0])
    assert first.shape == (8,)
    second = stream.step(x[1:2])
    assert second.shape == (1, 8)
    assert first.tobytes() + second.tobytes() == whole[:2].tobytes()
    with pytest.raises(tinyrnn.ShapeError, match="no batch axis"):
        model.stream(batch=2)


def test_an_output_without_a_time_axis_is_its_value_after_the_last_step(loaded):
    model, x = loaded("recurrent", last=True), sequence(5, 1, 4)
    whole = model.run(x)
    assert whole.shape == (1, 1, 8)
    stream = model.stream()
    for t in range(5):
        last = stream.step(x[t])
    assert last.tobytes() == whole.tobytes()
    assert model.stream().run(x).tobytes() == whole.tobytes()


def test_an_input_without_a_time_axis_is_given_at_each_call(loaded):
    model = loaded("two_inputs")
    a, b, speaker = sequence(6, 2, 4), sequence(6, 2, 4, seed=2), sequence(2, 4, seed=3)
    whole, last = model.run(a, b, speaker)
    stream = model.stream(batch=2)
    steps = [stream.step(a[t], b[t], speaker) for t in range(6)]
    assert np.stack([y for y, _ in steps]).tobytes() == whole.tobytes()
    assert steps[-1][1].tobytes() == last.tobytes()


def test_steps_of_a_run(loaded):
    model = loaded("recurrent")
    assert model.stream().run(sequence(0, 1, 4)).shape == (0, 1, 8)
    assert model.run(sequence(0, 1, 4)).shape == (0, 1, 8)
    assert model.run(sequence(3, 0, 4)).shape == (3, 0, 8)
    with pytest.raises(tinyrnn.ShapeError, match=r"input 'x': expected shape \('steps', 1, 4\); found \(3, 2, 4\)"):
        model.stream().run(sequence(3, 2, 4))
    with pytest.raises(tinyrnn.ShapeError, match="'x'"):
        model.run(sequence(3, 2, 5))
    with pytest.raises(tinyrnn.ShapeError, match="'x'"):
        model.run(sequence(3, 4))


def test_what_looks_at_the_future_runs_but_does_not_stream(loaded):
    model = loaded("recurrent", direction="bidirectional")
    assert model.run(sequence(5, 2, 4)).shape == (5, 2, 16)
    assert not model.streamable
    assert "cell" in model.reason
    with pytest.raises(tinyrnn.UnsupportedError, match="cell"):
        model.stream()


def test_denormals_are_not_slow_and_zero_is_exact(loaded):
    model = loaded("recurrent")
    tiny = np.full((3, 1, 4), 1e-42, np.float32)
    assert np.isfinite(model.run(tiny)).all()
