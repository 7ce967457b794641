# SPDX-License-Identifier: Apache-2.0
"""Finds where somebody speaks in a recording with Silero VAD, 32 ms at a time, as a microphone would deliver it.

    pip install "tinyrnn[convert]"
    python examples/find_speech.py speech.wav --model silero_vad_16k_op15.onnx
    python examples/find_speech.py speech.wav --model vad.trnn --json --plot speech.png

The model is that of https://github.com/snakers4/silero-vad (src/silero_vad/data, MIT licence); the .wav file has
16 kHz, one channel, 16 bit. A line is printed as soon as the end of a segment is certain.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import audio
    import numpy as np

    import tinyrnn
except ImportError as error:
    sys.exit(f'find_speech: {error.name} is not installed; try: pip install "tinyrnn[convert]"')

CHUNK = 512  # new samples at each step: 32 ms
CONTEXT = 64  # samples before them that the network sees again
SECONDS = CHUNK / audio.RATE


class Detector:
    """A stream of Silero VAD and the samples that it has to see twice.

    Parameters
    ----------
    model : tinyrnn.Model
        From CONTEXT + CHUNK samples to the probability that somebody speaks.

    Attributes
    ----------
    nanoseconds : int
        Time spent in the network so far.
    """

    def __init__(self, model: tinyrnn.Model) -> None:
        self.stream = model.stream()
        self.frame = np.zeros(audio.frame_shape(model, CONTEXT + CHUNK), np.float32)
        self.samples = self.frame.reshape(-1)  # the same memory
        self.nanoseconds = 0

    def __call__(self, chunk: audio.Floats) -> float:
        """Take the next (CHUNK,) samples, return the probability of speech in them."""
        self.samples[:CONTEXT] = self.samples[-CONTEXT:]
        self.samples[CONTEXT:] = chunk
        started = time.perf_counter_ns()
        y = self.stream.step(self.frame)
        self.nanoseconds += time.perf_counter_ns() - started
        return float(y.reshape(-1)[0])


@dataclass(frozen=True)
class Rules:
    """When probabilities become a segment. Two thresholds, so that a doubtful moment in a sentence does not end it.

    Attributes
    ----------
    start, end : float
        Speech begins at this probability, and ends where it stays below the lower one.
    min_speech, min_silence, pad : float
        Seconds: what is shorter is no segment; a shorter pause ends none; added on both sides.
    """

    start: float
    end: float
    min_speech: float
    min_silence: float
    pad: float


class Segmenter:
    """Turns probabilities into segments as they come."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.now = 0.0  # seconds seen
        self.begin: float | None = None  # of the speech that goes on
        self.pause: float | None = None  # where the silence in it began
        self.last_end = 0.0  # of the last segment, padded

    def see(self, probability: float) -> tuple[float, float] | None:
        """Take the next chunk's probability, return the segment that has now certainly ended."""
        ended = None
        if self.begin is None:
            if probability >= self.rules.start:
                self.begin, self.pause = self.now, None
        elif probability >= self.rules.end:
            self.pause = None
        elif self.pause is None:
            self.pause = self.now
        self.now += SECONDS
        if self.pause is not None and self.now - self.pause >= self.rules.min_silence:
            ended = self._close(self.pause)
        return ended

    def finish(self, duration: float) -> tuple[float, float] | None:
        """Return the segment that the end of the recording cuts off, if there is one."""
        end = duration if self.pause is None else self.pause
        return self._close(end, duration) if self.begin is not None else None

    def _close(self, end: float, duration: float = np.inf) -> tuple[float, float] | None:
        begin, self.begin, self.pause = self.begin, None, None
        if begin is None or end - begin < self.rules.min_speech:
            return None
        start = max(self.last_end, begin - self.rules.pad)
        self.last_end = min(end + self.rules.pad, duration)
        return start, self.last_end


def chunks(samples: audio.Floats) -> Iterator[audio.Floats]:
    """Cut (N,) samples into chunks, the last filled up with silence."""
    count = -(-len(samples) // CHUNK)
    padded = np.zeros(count * CHUNK, np.float32)
    padded[: len(samples)] = samples
    yield from padded.reshape(count, CHUNK)


def plot(samples: audio.Floats, probabilities: list[float], segments: list[Any], rules: Rules, path: Path) -> None:
    """Draw the waveform with its segments, and the probability below."""
    from matplotlib import pyplot

    figure, (wave, odds) = pyplot.subplots(2, 1, figsize=(11, 5), sharex=True, layout="constrained")
    wave.plot(np.arange(len(samples)) / audio.RATE, samples, color="0.35", linewidth=0.3)
    odds.step(np.arange(len(probabilities)) * SECONDS, probabilities, where="post", color="#0072b2", linewidth=0.9)
    for value in (rules.start, rules.end):
        odds.axhline(value, color="#d55e00", linewidth=0.8, linestyle="--")
    for axes in (wave, odds):
        for start, end in segments:
            axes.axvspan(start, end, color="#009e73", alpha=0.2, linewidth=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
    wave.set_title("Samples, and the segments of speech", loc="left")
    odds.set_title("Probability of speech, and the two thresholds", loc="left")
    odds.set_ylim(0, 1.02)
    odds.set_xlabel("seconds")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def find(
    detector: Detector, samples: audio.Floats, rules: Rules, probabilities: list[float]
) -> Iterator[tuple[float, float]]:
    """Stream a whole recording: yield its segments, and append every probability to the list."""
    segmenter = Segmenter(rules)
    for chunk in chunks(samples):
        probabilities.append(detector(chunk))
        segment = segmenter.see(probabilities[-1])
        if segment:
            yield segment
    segment = segmenter.finish(len(samples) / audio.RATE)
    if segment:
        yield segment


def probability(argument: str) -> float:
    """Parse a threshold."""
    value = float(argument)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a probability from 0 to 1, found {argument}")
    return value


def duration(argument: str) -> float:
    """Parse a time in seconds."""
    value = float(argument)
    if not 0 <= value < np.inf:
        raise argparse.ArgumentTypeError(f"expected seconds, 0 or more, found {argument}")
    return value


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, Rules]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wav", type=Path, metavar="IN.wav", help="16 kHz, mono, 16 bit")
    parser.add_argument("--model", type=Path, required=True, metavar="MODEL", help="Silero VAD, .onnx or .trnn")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the converted model here")
    parser.add_argument(
        "--start", type=probability, default=0.5, help="speech begins at this probability (%(default)s)"
    )
    parser.add_argument("--end", type=probability, help="and ends below this one (0.15 less than --start)")
    parser.add_argument("--min-speech", type=duration, default=0.25, help="seconds; less is no segment (%(default)s)")
    parser.add_argument("--min-silence", type=duration, default=0.1, help="seconds; less ends none (%(default)s)")
    parser.add_argument("--pad", type=duration, default=0.03, help="seconds added on both sides (%(default)s)")
    parser.add_argument("--plot", type=audio.png, metavar="PNG", help="draw the samples and the probability")
    parser.add_argument("--json", action="store_true", help="print segments and numbers as JSON, at the end")
    args = parser.parse_args(argv)
    end = max(0.0, args.start - 0.15) if args.end is None else args.end
    if end > args.start:
        parser.error(f"--end {end} is above --start {args.start}")
    return args, Rules(args.start, end, args.min_speech, args.min_silence, args.pad)


def main() -> None:
    """Load, stream and report."""
    args, rules = parse(None)
    samples = audio.read_wav(args.wav)
    # The model serves two sample rates: with the rate bound, the branches of the other one are left out.
    model = audio.load_model(args.model, args.keep, CONTEXT + CHUNK, "Silero VAD", bind={"sr": audio.RATE})
    detector = Detector(model)
    segments, probabilities = [], []
    started = time.perf_counter()
    for start, end in find(detector, samples, rules, probabilities):
        segments.append((start, end))
        if not args.json:
            print(f"{start:8.2f} s to {end:8.2f} s  ({end - start:.1f} s)", flush=True)
    elapsed = time.perf_counter() - started
    seconds = len(samples) / audio.RATE
    microseconds = detector.nanoseconds / len(probabilities) / 1e3
    if args.plot:
        plot(samples, probabilities, segments, rules, args.plot)
    if args.json:
        result = {
            "segments": [{"start": round(start, 3), "end": round(end, 3)} for start, end in segments],
            "probabilities": [round(value, 7) for value in probabilities],
            "seconds": seconds,
            "microseconds_per_chunk": microseconds,
            "real_time_factor": elapsed / seconds,
            "instruction_set": model.isa,
        }
        print(json.dumps(result))
        return
    total = sum(end - start for start, end in segments)
    print(f"{len(segments)} segments, {total:.1f} s of {seconds:.1f} s are speech.", file=sys.stderr)
    print(f"A chunk of 32 ms takes {microseconds:.0f} µs; {seconds / elapsed:.0f} times faster.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(audio.run("find_speech", main))
