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

#: Of int8 beside float32: of the mask of DTLN's first stage, of Silero's probability.
MASK_MAX, MASK_MEAN, PROBABILITY = 0.02, 0.003, 0.03
INT8 = {"quantize": "int8"}

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


@pytest.fixture(scope="module")
def int8_stages() -> list[tinyrnn.Model]:
    return [tinyrnn.load(convert_bytes(MODELS / f"dtln_model_{k}.onnx", **INT8)[0]) for k in (1, 2)]


def test_dtln_in_int8_cleans_a_recording(stages, int8_stages):
    """The difference lies 30 dB below the waveform; the masks are those of each pipeline's own first stage."""
    noisy = samples("noisy_speech_16k.wav")
    waves, masks = [], []
    for first, second in (stages, int8_stages):
        stream, seen = first.stream(), []

        def mask_of(magnitude, stream=stream, seen=seen):
            seen.append(np.array(stream.step(magnitude)).reshape(-1))
            return seen[-1]

        waves.append(denoised(noisy, mask_of, second.stream().step).astype(np.float64))
        masks.append(np.array(seen))
    want, got = waves
    level = 10 * np.log10(np.square(want).sum() / np.square(got - want).sum())
    error = np.abs(masks[1] - masks[0])
    print(f"DTLN in int8: {level:.1f} dB above the difference; mask {error.max():.4f} max, {error.mean():.5f} mean")
    assert len(error) >= 1000
    assert level >= 30
    assert error.max() <= MASK_MAX
    assert error.mean() <= MASK_MEAN


def like_speech(count: int, level: float, seed: int) -> np.ndarray:
    """Magnitudes (count, 257) of frames: harmonics of a moving pitch, in syllables with pauses, and noise."""
    random, t = np.random.default_rng(seed), np.arange(BLOCK + HOP * (count - 1)) / 16000
    pitch = 140 + 40 * np.sin(2 * np.pi * 0.7 * t) + 15 * np.sin(2 * np.pi * 2.3 * t + 1)
    phase = 2 * np.pi * np.cumsum(pitch) / 16000
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    voice *= np.sqrt(np.clip(np.sin(2 * np.pi * 3 * t), 0, None)) * (np.sin(2 * np.pi * 0.4 * t) > -0.6)
    sound = level * (voice / np.abs(voice).max() + 0.03 * random.standard_normal(len(t)))
    blocks = np.lib.stride_tricks.sliding_window_view(sound.astype(np.float32), BLOCK)[::HOP]
    return np.abs(np.fft.rfft(blocks)).astype(np.float32)


def mask_error(stages, int8_stages, level: float, seed: int) -> np.ndarray:
    """Of the first stage, over 1000 frames: (1000, 257)."""
    streams = stages[0].stream(), int8_stages[0].stream()
    frames = like_speech(1000, level, seed).reshape(1000, 1, 1, -1)
    want, got = (np.array([np.array(stream.step(x)).reshape(-1) for x in frames]) for stream in streams)
    error = np.abs(got - want)
    print(f"mask at {level}: {error.max():.4f} max, {error.mean():.5f} mean")
    return error


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("level", [1, 0.3, 0.1, 0.03, 0.01, 0.003])
def test_the_mask_of_what_is_like_speech_is_near(stages, int8_stages, level, seed):
    """Where `level` is the largest magnitude of the voice."""
    error = mask_error(stages, int8_stages, level, seed)
    assert error.max() <= MASK_MAX
    assert error.mean() <= MASK_MEAN


def chunks(sound: np.ndarray) -> list[np.ndarray]:
    """What Silero takes, frame by frame: (1, 576), the last samples of the previous frame in front."""
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), sound])
    starts = range(0, len(sound) - CHUNK + 1, CHUNK)
    return [padded[start : start + CONTEXT + CHUNK].reshape(1, -1) for start in starts]


def test_silero_finds_speech_as_onnxruntime_does():
    speech = samples("speech_16k.wav")
    data, report = convert_bytes(MODELS / "silero_vad_16k_op15.onnx", bind={"sr": 16000})
    assert [s["name"] for s in report.states] == ["state"]
    stream = tinyrnn.load(data).stream()
    reference = Reference("silero_vad_16k_op15.onnx", {"state": ("stateN", (2, 1, 128))}, sr=np.array(16000, np.int64))
    worst, heard = 0.0, []
    for x in chunks(speech):
        got, want = np.asarray(stream.step(x)), reference(input=x)["output"]
        assert got.shape == want.shape
        worst = max(worst, float(np.abs(got - want).max()))
        heard.append(float(want.reshape(())))
    print(f"Silero VAD over {len(speech) / 16000:.0f} s: largest error of the probability {worst:.3g}")
    assert min(heard) < 0.05
    assert max(heard) > 0.95
    assert worst <= 1e-5


def test_silero_in_int8_finds_speech():
    options = {"bind": {"sr": 16000}}
    models = [convert_bytes(MODELS / "silero_vad_16k_op15.onnx", **options, **more)[0] for more in ({}, INT8)]
    plain, int8 = (tinyrnn.load(data).stream() for data in models)
    speech = chunks(samples("speech_16k.wav"))
    worst = max(float(np.abs(np.asarray(int8.step(x)) - np.asarray(plain.step(x))).max()) for x in speech)
    print(f"Silero VAD in int8: largest error of the probability {worst:.4f}")
    assert 0 < worst <= PROBABILITY
