# SPDX-License-Identifier: Apache-2.0
"""Models that real projects ship, over whole recordings: streams fed frames only, beside onnxruntime fed its states."""

from __future__ import annotations

import wave

import numpy as np
import pytest

import tinyrnn
import zoo
from tinyrnn.converters import convert_bytes

MODELS = zoo.SHARED / "models"
BLOCK, HOP = 512, 128  # DTLN: samples of a frame, and from one frame to the next
CHUNK, CONTEXT = 512, 64  # Silero: new samples of a frame, and those of the previous one in front of them

pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason="the models are not beside the project")


def samples(name: str) -> np.ndarray:
    """Return a recording of 16 bits, mono, as float32 in -1..1."""
    with wave.open(str(MODELS / name), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        raw = file.readframes(file.getnframes())
    return np.frombuffer(raw, "<i2").astype(np.float32) / 32768


class Reference:
    """A model in onnxruntime, its state fed back from call to call."""

    def __init__(self, name: str, states: dict[str, tuple[str, tuple[int, ...]]], **fixed: np.ndarray) -> None:
        runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
        self.session = runtime.InferenceSession(str(MODELS / name), providers=["CPUExecutionProvider"])
        self.names, self.ties, self.fixed = [o.name for o in self.session.get_outputs()], states, fixed
        self.states = {given: np.zeros(shape, np.float32) for given, (_, shape) in states.items()}

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        found = dict(zip(self.names, self.session.run(self.names, {**inputs, **self.states, **self.fixed})))
        self.states = {given: found[shown] for given, (shown, _) in self.ties.items()}
        return found


def denoised(noisy: np.ndarray, mask_of, block_of) -> np.ndarray:
    """The whole of DTLN: a mask for the spectrum of each frame, the second stage, overlapping frames added."""
    result = np.zeros(len(noisy) + BLOCK, np.float32)
    for start in range(0, len(noisy) - BLOCK + 1, HOP):
        spectrum = np.fft.rfft(noisy[start : start + BLOCK])
        magnitude = np.abs(spectrum).astype(np.float32).reshape(1, 1, -1)
        masked = np.fft.irfft(np.asarray(mask_of(magnitude)).reshape(-1) * spectrum)
        block = block_of(masked.astype(np.float32).reshape(1, 1, -1))
        result[start : start + BLOCK] += np.asarray(block).reshape(-1)
    return result


STATE = (1, 2, 128, 2)
FIRST = {"input_3": ("tf_op_layer_stack_2", STATE)}
SECOND = {"input_5": ("tf_op_layer_stack_5", STATE)}


@pytest.fixture(scope="module")
def stages() -> list[tinyrnn.Model]:
    return [tinyrnn.load(convert_bytes(MODELS / f"dtln_model_{k}.onnx")[0]) for k in (1, 2)]


def test_dtln_cleans_a_recording_as_onnxruntime_does(stages):
    noisy = samples("noisy_speech_16k.wav")
    streams = [m.stream() for m in stages]
    first, second = Reference("dtln_model_1.onnx", FIRST), Reference("dtln_model_2.onnx", SECOND)
    got = denoised(noisy, streams[0].step, streams[1].step)
    want = denoised(noisy, lambda x: first(input_2=x)["activation_2"], lambda x: second(input_4=x)["conv1d_3"])
    assert np.abs(want).max() > 0.05
    worst = float(np.abs(got - want).max())
    print(f"DTLN over {len(noisy) / 16000:.1f} s: largest error {worst:.3g}")
    assert worst <= 1e-4


@pytest.mark.parametrize(
    ("stage", "name", "states", "given", "shown", "width"),
    [
        (0, "dtln_model_1.onnx", FIRST, "input_2", "activation_2", 257),
        (1, "dtln_model_2.onnx", SECOND, "input_4", "conv1d_3", 512),
    ],
)
def test_dtln_stages_over_random_frames(stages, stage, name, states, given, shown, width):
    reference, stream = Reference(name, states), stages[stage].stream()
    generator, worst = np.random.default_rng(5), 0.0
    for _ in range(1000):
        x = np.abs(generator.standard_normal((1, 1, width))).astype(np.float32)
        worst = max(worst, float(np.abs(np.asarray(stream.step(x)) - reference(**{given: x})[shown]).max()))
    print(f"{name} over 1000 random frames: largest error {worst:.3g}")
    assert worst <= 1e-5


def test_silero_finds_speech_as_onnxruntime_does():
    speech = samples("speech_16k.wav")
    data, report = convert_bytes(MODELS / "silero_vad_16k_op15.onnx", bind={"sr": 16000})
    assert [s["name"] for s in report.states] == ["state"]
    stream = tinyrnn.load(data).stream()
    reference = Reference("silero_vad_16k_op15.onnx", {"state": ("stateN", (2, 1, 128))}, sr=np.array(16000, np.int64))
    worst, heard = 0.0, []
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), speech])
    for start in range(0, len(speech) - CHUNK + 1, CHUNK):
        x = padded[start : start + CONTEXT + CHUNK].reshape(1, -1)
        got, want = np.asarray(stream.step(x)), reference(input=x)["output"]
        assert got.shape == want.shape
        worst = max(worst, float(np.abs(got - want).max()))
        heard.append(float(want.reshape(())))
    print(f"Silero VAD over {len(speech) / 16000:.0f} s: largest error of the probability {worst:.3g}")
    assert min(heard) < 0.05
    assert max(heard) > 0.95
    assert worst <= 1e-5
