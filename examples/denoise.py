# SPDX-License-Identifier: Apache-2.0
"""Takes the noise out of speech with the two networks of DTLN, 8 ms at a time, as a microphone would deliver it.

    pip install "tinyrnn[convert]"
    python examples/denoise.py noisy.wav clean.wav --stage1 dtln_model_1.onnx --stage2 dtln_model_2.onnx
    python examples/denoise.py noisy.wav clean.wav --stage1 dtln1.trnn --stage2 dtln2.trnn --plot spectrograms.png

The models are those of https://github.com/breizhn/DTLN (pretrained_model/model_1.onnx and model_2.onnx, MIT licence);
.wav files have 16 kHz, one channel, 16 bit. Each stage is a stream that is given frames and nothing else: what the
networks remember of the past is in the stream.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import audio
    import numpy as np

    import tinyrnn
except ImportError as error:
    sys.exit(f'denoise: {error.name} is not installed; try: pip install "tinyrnn[convert]"')

FRAME = 512  # samples that the networks see at once: 32 ms
HOP = 128  # new samples in a frame: 8 ms
BINS = FRAME // 2 + 1
DELAY = FRAME - HOP  # samples by which what comes out is behind what went in


class Denoiser:
    """Both stages with their buffers: noisy samples in, clean samples out, DELAY samples later.

    Parameters
    ----------
    stage1, stage2 : tinyrnn.Model
        From the magnitudes of a spectrum to a mask for them; from a frame of samples to a cleaner one.

    Attributes
    ----------
    nanoseconds : list of int
        Time spent in the two stages so far.
    """

    def __init__(self, stage1: tinyrnn.Model, stage2: tinyrnn.Model) -> None:
        self.streams = (stage1.stream(), stage2.stream())
        self.shapes = (audio.frame_shape(stage1, BINS), audio.frame_shape(stage2, FRAME))
        self.noisy = np.zeros(FRAME, np.float32)
        self.clean = np.zeros(FRAME, np.float32)
        self.nanoseconds = [0, 0]

    def __call__(self, samples: audio.Floats) -> audio.Floats:
        """Take the next HOP samples, return HOP clean ones: (HOP,) float32."""
        self.noisy = np.concatenate([self.noisy[HOP:], samples])
        spectrum = np.fft.rfft(self.noisy)
        mask = self._step(0, np.abs(spectrum))
        # The phase stays noisy: stage 2 is there to mend what that leaves.
        frame = self._step(1, np.fft.irfft(mask * spectrum))
        self.clean = np.concatenate([self.clean[HOP:], np.zeros(HOP, np.float32)]) + frame
        return self.clean[:HOP]

    def _step(self, stage: int, frame: Any) -> audio.Floats:
        x = np.asarray(frame, np.float32).reshape(self.shapes[stage])
        started = time.perf_counter_ns()
        y = self.streams[stage].step(x)
        self.nanoseconds[stage] += time.perf_counter_ns() - started
        return y.reshape(-1)


def hops(samples: audio.Floats) -> Iterator[audio.Floats]:
    """Cut (N,) samples into hops, with silence after them until the last one has come out of the denoiser."""
    count = -(-(len(samples) + DELAY) // HOP)
    padded = np.zeros(count * HOP, np.float32)
    padded[: len(samples)] = samples
    yield from padded.reshape(count, HOP)


def spectrogram(samples: audio.Floats) -> audio.Floats:
    """Loudness by frequency and time: (BINS, frames) float32 in dB."""
    padded = np.pad(samples, (0, FRAME))
    starts = np.arange(0, len(samples), HOP)
    frames = padded[starts[:, None] + np.arange(FRAME)] * np.hanning(FRAME)
    return (20 * np.log10(np.abs(np.fft.rfft(frames)) + 1e-6)).T.astype(np.float32)


def plot(before: audio.Floats, after: audio.Floats, path: Path) -> None:
    """Draw both spectrograms on one scale."""
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(2, 1, figsize=(11, 7), sharex=True, layout="constrained")
    pictures = [spectrogram(samples) for samples in (before, after)]
    loudest = max(float(picture.max()) for picture in pictures)
    extent = (0, len(before) / audio.RATE, 0, audio.RATE / 2000)
    for axes, picture, title in zip(rows, pictures, ("Before", "After")):
        image = axes.imshow(
            picture, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=loudest - 80, vmax=loudest
        )
        axes.set_title(title, loc="left")
        axes.set_ylabel("kHz")
    rows[-1].set_xlabel("seconds")
    figure.colorbar(image, ax=rows, label="dB", pad=0.01)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def denoise(denoiser: Denoiser, noisy: audio.Floats) -> tuple[audio.Floats, dict[str, float]]:
    """Stream a whole recording: as many clean samples, in step with the noisy ones, and the times it took."""
    started = time.perf_counter_ns()
    pieces = [denoiser(hop) for hop in hops(noisy)]
    elapsed = time.perf_counter_ns() - started
    clean = np.concatenate(pieces)[DELAY : DELAY + len(noisy)]
    stage1, stage2 = (total / len(pieces) / 1e3 for total in denoiser.nanoseconds)
    times = {
        "seconds": len(noisy) / audio.RATE,
        "frames": len(pieces),
        "microseconds_per_frame": elapsed / len(pieces) / 1e3,
        "microseconds_stage1": stage1,
        "microseconds_stage2": stage2,
        "real_time_factor": elapsed / 1e9 * audio.RATE / (len(pieces) * HOP),
    }
    return clean, times


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("noisy", type=Path, metavar="IN.wav", help="16 kHz, mono, 16 bit")
    parser.add_argument("clean", type=Path, metavar="OUT.wav")
    parser.add_argument("--stage1", type=Path, required=True, metavar="MODEL", help="first network, .onnx or .trnn")
    parser.add_argument("--stage2", type=Path, required=True, metavar="MODEL", help="second network, .onnx or .trnn")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the converted models here")
    parser.add_argument("--plot", type=audio.png, metavar="PNG", help="draw the spectrograms before and after")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    return parser.parse_args(argv)


def main() -> None:
    """Load, stream, write and report."""
    args = parse(None)
    noisy = audio.read_wav(args.noisy)
    stage1 = audio.load_model(args.stage1, args.keep, BINS, "DTLN's stage 1")
    stage2 = audio.load_model(args.stage2, args.keep, FRAME, "DTLN's stage 2")
    clean, times = denoise(Denoiser(stage1, stage2), noisy)
    audio.write_wav(args.clean, clean)
    if args.plot:
        plot(noisy, clean, args.plot)
    if args.json:
        print(json.dumps(times | {"output": str(args.clean), "instruction_set": stage1.isa}, indent=2))
        return
    print(f"{args.clean}: {times['seconds']:.1f} s of speech, {DELAY / audio.RATE * 1e3:.0f} ms behind when live")
    print(
        f"A frame of 8 ms takes {times['microseconds_per_frame'] / 1e3:.3f} ms: {times['microseconds_stage1']:.0f} µs "
        f"in stage 1, {times['microseconds_stage2']:.0f} µs in stage 2, the rest in NumPy."
    )
    print(f"Real-time factor {times['real_time_factor']:.4f}: {1 / times['real_time_factor']:.0f} times faster.")


if __name__ == "__main__":
    sys.exit(audio.run("denoise", main))
