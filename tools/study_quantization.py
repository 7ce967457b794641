# SPDX-License-Identifier: Apache-2.0
"""The study behind int8 (docs/quantization.md): the error of each way to keep sums within 16 bits, in NumPy.

    python tools/study_quantization.py               # six minutes; those tasks alone whose models are there
    python tools/study_quantization.py lstm silero   # some of the tasks

Needs the extra `convert`; takes the interpreter of the tests, in which the weights and the codes of activations vary.
"""

from __future__ import annotations

import csv
import json
import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT.parent / "shared" / "models"
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "converters"), str(ROOT / "examples" / "forecast")]

import co2  # noqa: E402
import exact  # noqa: E402
import interpret  # noqa: E402
from random_graphs import layer  # noqa: E402
from tinyrnn.converters import onnx_frontend, packing, quantize, registry  # noqa: E402
from tinyrnn.converters.driver import lower_model  # noqa: E402
from tinyrnn.converters.precisions import INT8, INT16, Precision, choose_weights, choose_wide_weights  # noqa: E402

Run = Callable[[interpret.Run], np.ndarray]
FLAT = 12 / 127  # the mean magnitude, as a part of the largest, below which a row has few large elements


@dataclass(frozen=True)
class Scheme:
    """Codes of activations up to `largest`, in two rows where few are large and `second` says so.

    Weights are int16 where `wide`, the magnitudes of a column bounded by what 32 bits hold; or else int8, by the pair
    rule or not.
    """

    name: str
    largest: int
    pairs: bool = True
    second: bool = False
    wide: bool = False

    @property
    def precision(self) -> Precision:
        """What it makes of weights."""
        return replace(INT16 if self.wide else INT8, name="", pack=self.pack)

    def pack(self, matrix: np.ndarray, width: int) -> np.ndarray:
        """As a precision does."""
        if self.wide:
            return packing.pack_cells(*choose_wide_weights(matrix, (2**31 - 1) // self.largest), width)
        return packing.pack_cells(*choose_weights(matrix, self.pairs), width)

    def product(self, x, w, start, largest=None, fine=True):
        """In place of exact.product, for which `fine` is false where x is the h of a recurrence."""
        x = np.asarray(x, np.float64)
        reach = np.abs(x).max(-1, keepdims=True, initial=0.0)
        scale = np.where(reach > 0, reach / self.largest, 1.0)
        codes = np.rint(x / scale)
        few = np.abs(codes).mean(-1, keepdims=True) < FLAT * self.largest
        rest = np.rint((x / scale - codes) * 2 * self.largest) * (few & (self.second and fine))
        return start + ((codes + rest / (2 * self.largest)) * scale) @ (w.q * w.scales.astype(np.float64)[..., None, :])


WAYS = [("a", True, 127), ("b", False, 63), ("c", False, 127)]
SCHEMES = [
    *(Scheme(f"({n}) one row of codes", top, pairs) for n, pairs, top in WAYS),
    *(Scheme(f"({n}) second row where few are large", top, pairs, second=True) for n, pairs, top in WAYS),
    *(Scheme(f"int16, codes up to {top}", top, wide=True) for top in (2047, 4095, 8191, 16383, 32767)),
]


def samples(name: str) -> np.ndarray:
    """A recording, float64 in -1..1."""
    with wave.open(str(MODELS / name), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def frames(name: str, output: str, given: np.ndarray) -> Run:
    """Frame by frame, the state carried."""
    return lambda run: np.array([run({name: x[None].astype(np.float32)})[output].ravel() for x in given])


def whole(name: str, output: str, given: np.ndarray) -> Run:
    """A sequence at once."""
    return lambda run: run({name: given})[output].astype(np.float64)


def error(got: np.ndarray, want: np.ndarray) -> str:
    """What the table shows."""
    distance = np.abs(got - want)
    return f"{distance.max():.4f} / {distance.mean():.5f}"


def cell(kind: str, **options: int):
    """A random cell of 128 units, weights uniform in 1 / sqrt(128), input uniform in -1..1, 200 steps."""
    x = np.random.default_rng(100).uniform(-1, 1, (200, 1, 128)).astype(np.float32)
    return layer(kind, 128, 128, seed=0, **options), {}, whole("X", "Y", x), error


def denoiser(kind: str):
    """The mask of DTLN's first stage, over 500 frames."""
    noisy = samples("noisy_speech_16k.wav")
    spectra = [np.abs(np.fft.rfft(noisy[i : i + 512])) for i in range(0, 128 * 500, 128)]
    random = np.abs(np.random.default_rng(5).standard_normal((500, 257)))
    given = np.array(spectra if kind == "speech" else random)[:, None]
    return MODELS / "dtln_model_1.onnx", {}, frames("input_2", "activation_2", given), error


def silero():
    """The probability of Silero VAD, over 300 frames."""
    padded = np.concatenate([np.zeros(64), samples("speech_16k.wav")])
    given = np.array([padded[i : i + 576] for i in range(0, 512 * 300, 512)])
    return MODELS / "silero_vad_16k_op15.onnx", {"sr": 16000}, frames("input", "output", given), error


def forecaster(kind: str):
    """A forecaster's RMSE a week ahead in the test years, ppm."""
    series, first = co2.load_series(), co2.YEAR - 1
    means, start = co2.year_mean(series.ppm), series.index(co2.TEST_START)
    x = (series.ppm - means)[first:-1].astype(np.float32)[None, :, None]
    truth, seen = (series.ppm[1:] - means[:-1])[start - 1 :], series.observed[start:]

    def score(got: np.ndarray, _: np.ndarray) -> str:
        return f"{co2.rmse((got.ravel()[start - 1 - first :] - truth)[seen]):.5f}"

    return ROOT / "examples" / "forecast" / f"{kind}.onnx", {}, whole("departure", "forecast", x), score


def text():
    """Bits a character of the language model, over 16 strips of 400 characters of its held-out text."""
    folder = ROOT / "examples" / "charlm"
    alphabet = json.loads((folder / "charlm.json").read_text(encoding="ascii"))["alphabet"]
    numbers = np.array([alphabet.index(c) for c in (folder / "held_out.txt").read_text(encoding="ascii")[:6416]])
    strips = numbers.reshape(16, -1)

    def score(got: np.ndarray, _: np.ndarray) -> str:
        return f"{-np.take_along_axis(got, strips[:, 1:, None], 2).mean() / np.log(2):.5f}"

    return folder / "charlm.onnx", {}, whole("characters", "log_probabilities", strips[:, :-1]), score


TASKS = {
    "lstm": lambda: cell("LSTM"),
    "gru": lambda: cell("GRU", linear_before_reset=1),
    "gru, resets first": lambda: cell("GRU", linear_before_reset=0),
    "rnn": lambda: cell("RNN"),
    "dtln, speech": lambda: denoiser("speech"),
    "dtln, random": lambda: denoiser("random"),
    "silero": silero,
    **{f"forecast, {kind}": lambda kind=kind: forecaster(kind) for kind in ("lstm", "gru", "rnn")},
    "text": text,
}


def main(wanted: list[str]) -> int:
    """Print a table, task after task, as CSV."""
    registry.load_all()
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["task", "float32", *(scheme.name for scheme in SCHEMES)])
    for name, make in TASKS.items():
        if (wanted and name not in wanted) or (name.startswith(("dtln", "silero")) and not MODELS.is_dir()):
            continue
        source, bound, run, score = make()
        model = onnx_frontend.load(source, registry.supported)
        graph = lower_model(model, bound, {}, "auto").graph
        want, row = run(interpret.Run(graph)), []
        for scheme in SCHEMES:
            layers = quantize.choose_layers(graph, model, scheme.precision, ())
            changed = quantize.with_layers(graph, [one for one in layers if not one.reason], {})
            exact.product = scheme.product
            row.append(score(run(interpret.Run(changed)), want))
        table.writerow([name, score(want, want), *row])
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
