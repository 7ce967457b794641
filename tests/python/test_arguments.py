# SPDX-License-Identifier: Apache-2.0
"""Dicts, tuples, out= and what the errors say."""

from __future__ import annotations

import array
import ctypes

import numpy as np
import pytest

import tinyrnn


def sequence(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_dict_gives_a_dict_with_the_state_outputs(loaded):
    model, x = loaded("stateful"), sequence(5, 2, 4)
    results = model.run({"x": x})
    assert list(results) == ["y", "hn", "cn"]
    assert model.run(x).tobytes() == results["y"].tobytes()
    first = model.run({"x": x[:2]})
    second = model.run({"x": x[2:], "h0": first["hn"], "c0": first["cn"]})
    assert second["y"].tobytes() == results["y"][2:].tobytes()
    assert second["hn"].tobytes() == results["hn"].tobytes()


def test_a_stream_leaves_the_tied_outputs_out(loaded):
    model, x = loaded("stateful"), sequence(3, 1, 4)
    stream = model.stream()
    assert list(stream.step({"x": x[0]})) == ["y"]
    assert list(stream.run({"x": x})) == ["y"]
    assert isinstance(stream.step(x[0]), np.ndarray)


def test_a_stream_starts_from_states_given_by_name(loaded):
    model, x = loaded("stateful"), sequence(4, 1, 4)
    before = model.run({"x": x[:2]})
    want = model.run(x)[2:]
    states = {"h0": before["hn"], "c0": before["cn"]}
    assert model.stream().run({"x": x[2:], **states})["y"].tobytes() == want.tobytes()
    stream = model.stream()
    got = [stream.step({"x": x[2], **states})["y"], stream.step({"x": x[3]})["y"]]
    assert np.stack(got).tobytes() == want.tobytes()


def test_several_inputs(loaded):
    model = loaded("two_inputs")
    a, b, speaker = sequence(3, 1, 4), sequence(3, 1, 4, seed=2), sequence(1, 4, seed=3)
    y, last = model.run(a, b, speaker)
    assert isinstance(model.run((a, b, speaker)), tuple)
    assert model.run([a, b, speaker])[1].tobytes() == last.tobytes()
    named = model.run({"speaker": speaker, "b": b, "a": a})
    assert named["y"].tobytes() == y.tobytes()
    stream = model.stream()
    assert stream.step(a[0], b[0], speaker)[0].tobytes() == y[0].tobytes()
    assert stream.run((a[1:], b[1:], speaker))[0].tobytes() == y[1:].tobytes()


def test_out(loaded):
    model, x = loaded("recurrent"), sequence(4, 1, 4)
    want, stream = model.run(x), model.stream()
    y = np.empty((1, 8), np.float32)
    assert stream.step(x[0], out=y) is y
    assert y.tobytes() == want[0].tobytes()
    flat = array.array("f", bytes(32))
    stream.step(array.array("f", x[1, 0].tolist()), out=flat)
    assert flat.tobytes() == want[1].tobytes()
    stream.step((ctypes.c_float * 4)(*x[2, 0]), out=memoryview(flat))
    assert flat.tobytes() == want[2].tobytes()
    whole = np.empty((4, 1, 8), np.float32)
    assert model.run(x, out=whole) is whole
    assert whole.tobytes() == want.tobytes()
    named = {"y": np.empty((4, 1, 8), np.float32)}
    assert model.stream().run({"x": x}, out=named) is named
    assert named["y"].tobytes() == want.tobytes()


def test_out_of_several(loaded):
    model = loaded("two_inputs")
    inputs = sequence(3, 1, 4), sequence(3, 1, 4, seed=2), sequence(1, 4, seed=3)
    want = model.run(*inputs)
    out = np.empty((3, 1, 8), np.float32), np.empty((1, 1, 8), np.float32)
    assert model.run(*inputs, out=out) is out
    assert [y.tobytes() for y in out] == [y.tobytes() for y in want]
    with pytest.raises(tinyrnn.ArgumentError, match="missing output: 'last'"):
        model.run(*inputs, out={"y": out[0]})


def test_a_tied_output_can_be_asked_for_by_out(loaded):
    model, x = loaded("stateful"), sequence(1, 1, 4)
    out = {"y": np.empty((1, 8), np.float32), "hn": np.empty((1, 1, 8), np.float32)}
    model.stream().step(x[0], out=out)
    assert out["hn"].tobytes() == model.run({"x": x})["hn"].tobytes()


def test_what_is_not_contiguous_runs_from_a_copy(loaded):
    model, x = loaded("recurrent"), sequence(2, 5, 8)
    view = x.transpose(1, 0, 2)[:, :, ::2]
    assert model.run(view).tobytes() == model.run(np.ascontiguousarray(view)).tobytes()
    assert model.stream(batch=2).run(view).tobytes() == model.run(view).tobytes()


STEPS = [
    (
        lambda x: x.astype(np.float64),
        tinyrnn.ArgumentError,
        "input 'x': expected C-contiguous float32 .*; found float64",
    ),
    (lambda x: x.astype(">f4"), tinyrnn.ArgumentError, "found big-endian elements"),
    (lambda x: np.zeros((1, 8), np.float32)[:, ::2], tinyrnn.ArgumentError, "found one that is not C-contiguous"),
    (
        lambda x: np.zeros((1, 5), np.float32),
        tinyrnn.ShapeError,
        r"\(1, 4\) or \(4,\) or \(1, 1, 4\); found shape \(1, 5\)",
    ),
    (lambda x: [1.0, 2.0, 3.0, 4.0], tinyrnn.ArgumentError, "input 'x': expected a buffer of .*, found list"),
    (lambda x: None, tinyrnn.ArgumentError, r"expected 1 input\(s\), 'x'; found 0|found NoneType"),
    (lambda x: {"z": x}, tinyrnn.ArgumentError, "there is no input 'z'; the inputs are 'x'"),
    (lambda x: {}, tinyrnn.ArgumentError, "missing input: 'x'"),
    (lambda x: (x, x), tinyrnn.ArgumentError, r"expected 1 input\(s\), 'x'; found 2"),
    (
        lambda x: np.frombuffer(b"\0" * 17, np.uint8)[1:].view(np.float32),
        tinyrnn.ArgumentError,
        "found one that is not aligned",
    ),
]


@pytest.mark.parametrize(("make", "kind", "text"), STEPS)
def test_what_a_step_refuses(loaded, make, kind, text):
    stream = loaded("recurrent").stream()
    with pytest.raises(kind, match=text):
        stream.step(make(sequence(1, 4)))
    assert stream.step(sequence(1, 4)).shape == (1, 8)  # nothing stays locked


OUTS = [
    (lambda x: np.zeros((1, 8)), tinyrnn.ArgumentError, "output 'y': expected .*; found float64"),
    (lambda x: np.zeros((1, 7), np.float32), tinyrnn.ShapeError, r"found shape \(1, 7\)"),
    (lambda x: bytes(32), tinyrnn.ArgumentError, "output 'y': expected a writable buffer of .*, found bytes"),
    (lambda x: {"z": x}, tinyrnn.ArgumentError, "there is no output 'z'"),
]


@pytest.mark.parametrize(("make", "kind", "text"), OUTS)
def test_what_out_refuses(loaded, make, kind, text):
    with pytest.raises(kind, match=text):
        loaded("recurrent").stream().step(sequence(1, 4), out=make(sequence(1, 4)))


def test_an_output_must_not_overlap_an_input(loaded):
    memory = np.zeros(12, np.float32)
    with pytest.raises(tinyrnn.ArgumentError, match="overlaps"):
        loaded("recurrent").stream().step(memory[:4], out=memory[2:10])
    loaded("recurrent").stream().step(memory[:4], out=memory[4:])


RUNS = [
    (lambda x: x.astype(np.float64), tinyrnn.ArgumentError, "input 'x': expected float32, found float64"),
    (lambda x: x.tolist(), tinyrnn.ArgumentError, "input 'x': expected float32, found float64"),
    (lambda x: x[0], tinyrnn.ShapeError, "'x'"),
    (lambda x: object(), tinyrnn.ArgumentError, "input 'x': expected float32, found object"),
    (lambda x: {"x": x, "h": x}, tinyrnn.ArgumentError, "there is no input 'h'"),
]


@pytest.mark.parametrize(("make", "kind", "text"), RUNS)
@pytest.mark.parametrize("streamed", [False, True])
def test_what_a_run_refuses(loaded, make, kind, text, streamed):
    model = loaded("recurrent")
    runner = model.stream() if streamed else model
    with pytest.raises(kind, match=text):
        runner.run(make(sequence(3, 1, 4)))


def test_an_index_outside_its_table_is_a_named_error(loaded):
    model = loaded("embedding")
    assert model.run(np.array([[0], [4], [-5]], np.int64)).shape == (3, 1, 8)
    for bad in (5, -6, 2**62):
        with pytest.raises(tinyrnn.IndexRangeError):
            model.run(np.array([[bad]], np.int64))
        with pytest.raises(IndexError):
            model.stream().step(np.array([bad], np.int64))
    with pytest.raises(tinyrnn.ArgumentError, match="expected int64, found int32"):
        model.run(np.zeros((3, 1), np.int32))


@pytest.mark.parametrize("batch", [0, -1, 1.5, "2", True])
def test_a_batch_is_a_positive_integer(loaded, batch):
    with pytest.raises(tinyrnn.ArgumentError, match="batch: expected a positive integer"):
        loaded("recurrent").stream(batch=batch)


def test_loading_nonsense(tmp_path):
    with pytest.raises(FileNotFoundError):
        tinyrnn.load(tmp_path / "missing.trnn")
    with pytest.raises(OSError, match="."):
        tinyrnn.load(tmp_path)
    (tmp_path / "empty.trnn").write_bytes(b"")
    for source in (b"", b"TRNN", b"not a model" * 20, tmp_path / "empty.trnn"):
        with pytest.raises(tinyrnn.ModelFormatError):
            tinyrnn.load(source)
    with pytest.raises(tinyrnn.ArgumentError, match="expected a path or the bytes"):
        tinyrnn.load(3)


def test_damaged_files_say_where(made):
    content = bytearray(made("recurrent").read_bytes())
    content[200] ^= 1
    with pytest.raises(tinyrnn.ModelFormatError) as caught:
        tinyrnn.load(bytes(content))
    assert caught.value.status == "CHECKSUM"
    content = bytearray(made("recurrent").read_bytes())
    content[-1] ^= 1
    tinyrnn.load(bytes(content))
    with pytest.raises(tinyrnn.ModelFormatError, match="checksum"):
        tinyrnn.load(bytes(content), verify=True)


def test_a_bound_step_takes_no_arguments(loaded):
    model = loaded("recurrent")
    x = sequence(4, 1, 4)
    want = [np.array(y) for y in map(model.stream().step, x)]
    frame, out = np.empty((1, 4), np.float32), np.empty((1, 8), np.float32)
    step = model.stream().bind(frame, out=out)
    for given, expected in zip(x, want, strict=True):
        frame[:] = given
        assert step() is out
        assert out.tobytes() == expected.tobytes()


def test_a_bound_step_makes_its_output(loaded):
    model, x = loaded("recurrent"), sequence(1, 4)
    stream = model.stream()
    step = stream.bind(x)
    assert step.stream is stream
    assert step().tobytes() == model.stream().step(x).tobytes()
    assert step.out.shape == (1, 8)


def test_a_bound_step_holds_its_arrays(loaded):
    frame = bytearray(16)
    step = loaded("recurrent").stream().bind(memoryview(frame).cast("f", [1, 4]))
    with pytest.raises(BufferError):
        frame.append(0)
    step()
    del step
    frame.append(0)


@pytest.mark.parametrize(("given", "text"), [((1, 3), "expected C-contiguous float32"), ((2, 4), "found shape")])
def test_what_bind_refuses(loaded, given, text):
    with pytest.raises(tinyrnn.ShapeError, match=text):
        loaded("recurrent").stream().bind(np.zeros(given, np.float32))


def test_a_bound_step_is_not_made_by_hand():
    with pytest.raises(TypeError, match=r"Stream\.bind"):
        tinyrnn.BoundStep()()
