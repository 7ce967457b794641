# SPDX-License-Identifier: Apache-2.0
"""Fourier transforms as products: the interpreter, NumPy's transforms, onnxruntime; mel weights as ONNX has them."""

import numpy as np
import pytest
from onnx import TensorProto

from build import INT64, agree, kinds, lowered, model, node, random, reference, run
from tinyrnn.converters import ConversionError

KINDS = [(1, 0, 0), (2, 0, 0), (2, 1, 0), (1, 1, 0), (1, 0, 1), (2, 1, 1)]


def dft(dims, length=None, axis=None, opset=20, **attributes):
    """Return a model of one DFT."""
    constants = {} if length is None else {"n": np.int64(length)}
    inputs = "x n" if constants else "x -"
    if opset < 20 and axis is not None:
        attributes["axis"] = axis
    elif axis is not None:
        inputs, constants = f"{inputs} a", constants | {"a": np.int64(axis)}
    return model([node("DFT", inputs, "y", **attributes)], {"x": dims}, "y", constants, opset=opset)


@pytest.mark.parametrize(("parts", "inverse", "onesided"), KINDS)
@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize("length", [None, 5, 9, 12, 16])
def test_transforms(parts, inverse, onesided, opset, length):
    for axis in (None, 1, -2, 2) if opset == 17 else (None, 0, 1, -3):
        shape = (9, 10, 4, parts) if opset == 20 else (2, 9, 10, parts)
        proto = dft(list(shape), length, axis, opset, inverse=inverse, onesided=onesided)
        agree(proto, 1e-5, ort=False, x=random(*shape))


def test_beside_onnxruntime_and_any_number_of_rows():
    for parts, inverse, onesided in KINDS[:3] + KINDS[4:5]:
        proto = dft(["n", 12, parts], None, 1, 17, inverse=inverse, onesided=onesided)
        agree(proto, 1e-5, x=random(3, 12, parts))
        assert kinds(lowered(proto).graph) == "dense"
    agree(dft([12, 1], None, 0), ort=False, x=random(12, 1))


def test_a_long_transform_is_as_exact_as_a_short_one():
    x = random(1, 1024, 1)
    got = run(dft([1, 1024, 1], axis=1, onesided=1), x=x)["y"]
    want = np.fft.rfft(x[0, :, 0].astype(np.float64))
    assert np.abs(got[0, :, 0] + 1j * got[0, :, 1] - want).max() < 1e-5


def test_there_and_back():
    x = random(2, 15, 1)
    nodes = [node("DFT", "x n", "s", onesided=1), node("DFT", "s n", "y", onesided=1, inverse=1)]
    np.testing.assert_allclose(run(model(nodes, {"x": [2, 15, 1]}, "y", {"n": np.int64(15)}, 20), x=x)["y"], x, 0, 1e-6)


REFUSED = [
    ((["n", 4, 3],), {}, "1 or 2 on the last axis"),
    ((["n", 4, 1], None, 2), {}, "which has the parts"),
    ((["n", 4, 1], 0), {}, "dft_length is 0"),
    ((["n", 4, 2],), {"onesided": 1}, "which takes real numbers"),
    ((["n", 4, 1],), {"onesided": 1, "inverse": 1}, "which takes complex numbers"),
    ((["n", "t", 1],), {}, "must be constant: fix it with --shape"),
    ((["n", 1 << 14, 1],), {}, "a matrix of over 64 MiB"),
    ((["n", 4, 1], 1 << 40), {}, "a matrix of over 64 MiB"),
    ((["n", 4, 1], None, 5), {}, "axis 5 is outside"),
]


@pytest.mark.parametrize(("given", "attributes", "message"), REFUSED)
def test_what_is_refused_by_name(given, attributes, message):
    with pytest.raises(ConversionError, match=message):
        lowered(dft(*given, **attributes))


def stft(dims, hop, window=None, frame=None, given=(), **attributes):
    """Return a model of one STFT; `given` names inputs of the model."""
    constants = {"k": np.int64(hop), "w": window, "f": None if frame is None else np.int64(frame)}
    inputs = " ".join(name if name in given or constants[name] is not None else "-" for name in constants)
    kept = {name: a for name, a in constants.items() if a is not None and name not in given}
    fed = {"x": dims} | {name: list(constants[name].shape) for name in given}
    return model([node("STFT", f"x {inputs}", "y", **attributes)], fed, "y", kept)


@pytest.mark.parametrize("hop", [1, 3, 8, 20])
@pytest.mark.parametrize("sided", [0, 1])
@pytest.mark.parametrize("dims", [[2, 50, 1], ["n", "t", 1]])
def test_short_transforms(hop, sided, dims):
    x, window = random(2, 50, 1), np.hanning(16).astype(np.float32)
    for given in ({"window": window}, {"frame": 16}, {"window": window, "frame": 16}, {"window": window[:15]}):
        proto = stft(dims, hop, onesided=sided, **given)
        agree(proto, 1e-5, ort="frame" in given or len(given["window"]) == 16, x=x)  # of 15 numbers, it is 2e-5 off
        assert kinds(lowered(proto).graph) == "dense", "frames are a view, and the window is in the matrix"
    agree(stft(dims, hop, window, given=("w",), onesided=sided), 1e-5, x=x, w=window)


def test_short_transforms_of_complex_numbers_and_of_the_whole():
    agree(stft([2, 30, 2], 4, frame=8, onesided=0), 1e-5, x=random(2, 30, 2))
    agree(stft([2, 30, 1], 4), 1e-5, ort=False, x=random(2, 30, 1))
    nodes = [node("Transpose", "x", "t", perm=[1, 0, 2]), node("STFT", "t k - f", "y")]
    proto = model(nodes, {"x": [30, 2, 1]}, "y", {"k": np.int64(4), "f": np.int64(8)})
    agree(proto, 1e-5, x=random(30, 2, 1))


@pytest.mark.parametrize(
    ("dims", "given", "message"),
    [
        (["n", 30, 2], {"frame": 8}, "which takes real numbers"),
        (["n", 30], {"frame": 8}, "1 or 2 on the last axis"),
        (["n", 7, 1], {"frame": 8}, "frames of 8 do not fit"),
        (["n", 30, 1], {"frame": 8, "window": np.ones(7, np.float32)}, "window has the shape"),
        (["n", "t", 1], {}, "frame_length is the dimension t"),
        (["n", 30, 1], {"frame": 0}, "frame_length is 0"),
    ],
)
def test_short_transforms_that_are_refused(dims, given, message):
    with pytest.raises(ConversionError, match=message):
        lowered(stft(dims, 4, **given))


def test_frames_of_the_steps_of_a_sequence_are_no_stream():
    weights = {"r": random(1, 1, 1), "h": random(1, 1, 1), "k": np.int64(4), "f": np.int64(8), "s": np.int64([1])}
    nodes = [node("RNN", "x r h", "a", hidden_size=1), node("Squeeze", "a s", "b")]
    nodes += [node("Transpose", "b", "c", perm=[1, 0, 2]), node("STFT", "c k - f", "y")]
    graph = lowered(model(nodes, {"x": ["t", "b", 1]}, "y", weights)).graph
    assert "takes frames of the steps" in graph.reason


def mel(numbers, edges=(0, 8000), **attributes):
    """Return a model whose output are mel weights."""
    names = ["b", "n", "r", "l", "h"]
    made = [np.int64(v) for v in numbers] + [np.float32(v) for v in edges]
    nodes = [node("MelWeightMatrix", "b n r l h", "w", **attributes), node("Identity", "w", "y")]
    return model(nodes, {"x": [1]}, "y", dict(zip(names, made)))


@pytest.mark.parametrize("numbers", [(8, 16, 8192), (40, 512, 16000), (80, 400, 16000), (3, 1024, 44100)])
@pytest.mark.parametrize("edges", [(0, 4000), (20, 3900), (300, 3400)])
@pytest.mark.parametrize("kind", ["FLOAT", "DOUBLE", "FLOAT16"])
def test_mel_weights_are_constants(numbers, edges, kind):
    proto = mel(numbers, edges, output_datatype=getattr(TensorProto, kind))
    got, want = run(proto, x=np.float32([0]))["y"], reference(proto, x=np.float32([0]))["y"]
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, 1e-3 if kind == "FLOAT16" else 1e-6, 1e-6)
    assert "dense" not in kinds(lowered(proto).graph)


def test_mel_weights_that_are_refused():
    for proto, message in (
        (mel((8, 16, 8192), (0, 9000)), "outside the spectrum"),
        (mel((0, 16, 8192)), "makes 0 bands"),
        (mel((1 << 20, 1 << 20, 8192)), "makes 1048576 bands"),
        (mel((8, 16, 8192), (0, 4000), output_datatype=16), "'output_datatype' is 16"),
    ):
        with pytest.raises(ConversionError, match=message):
            lowered(proto)
    data = model(
        [node("MelWeightMatrix", "b n r l h", "y")], dict.fromkeys("bnr", (INT64, [])) | {"l": [], "h": []}, "y"
    )
    with pytest.raises(ConversionError, match="bind those"):
        lowered(data)
