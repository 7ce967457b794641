# SPDX-License-Identifier: Apache-2.0
"""Writes text in the engine, a character at a time, as fast as it is printed; remembers, branches and takes back.

    pip install "tinyrnn[convert]"
    python examples/charlm/generate.py "And God said" --length 400
    python examples/charlm/generate.py "In the beginning" --tries 4        # four endings from one saved state
    python examples/charlm/generate.py --choose 5                          # the likeliest of five, sentence by sentence

The network reads one character and says how likely each character is to come next; its state, which holds all that it
has read, lives in the stream. `--tries` saves the state behind the prompt once and restores it for each continuation.
`--choose` lets clones of the stream write a sentence each, keeps the likeliest, and forgets the others.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import numpy as np
    import numpy.typing as npt

    import tinyrnn
except ImportError as error:
    sys.exit(f'generate: {error.name} is not installed; try: pip install "tinyrnn[convert]"')

HERE = Path(__file__).parent
SENTENCE_ENDS = ".?!"
LONGEST_SENTENCE = 300  # characters


class Writer:
    """A stream that has read some text, and what it expects next.

    Parameters
    ----------
    stream : tinyrnn.Stream
        From the number of a character, (1,) int64, to the log-probability of each character after it.
    alphabet : str
        The characters by number.
    random : numpy.random.Generator
        Where the choices come from.
    temperature : float
        Below 1 the likely becomes likelier; above 1 the writer takes risks.

    Attributes
    ----------
    steps, nanoseconds : int
        Steps of the network so far, and the time they took.
    """

    def __init__(self, stream: tinyrnn.Stream, alphabet: str, random: np.random.Generator, temperature: float) -> None:
        self.stream, self.alphabet, self.random, self.temperature = stream, alphabet, random, temperature
        self.numbers = {character: number for number, character in enumerate(alphabet)}
        self.x = np.zeros(1, np.int64)
        self.expected = np.zeros(len(alphabet), np.float32)
        self.steps = self.nanoseconds = 0

    def read(self, text: str) -> None:
        """Take characters as given."""
        for character in text:
            self.x[0] = self.numbers[character]
            started = time.perf_counter_ns()
            self.stream.step(self.x, out=self.expected)
            self.nanoseconds += time.perf_counter_ns() - started
            self.steps += 1

    def write(self) -> tuple[str, float]:
        """Choose the next character and read it: (character, its log-probability in nats)."""
        scores = self.expected.astype(np.float64) / self.temperature
        odds = np.exp(scores - scores.max())
        number = int(self.random.choice(len(odds), p=odds / odds.sum()))
        surprise = float(self.expected[number])
        self.read(self.alphabet[number])
        return self.alphabet[number], surprise

    def clone(self) -> Writer:
        """Return another writer that has read the same text; from here on the two go their own ways."""
        other = Writer(self.stream.clone(), self.alphabet, self.random, self.temperature)
        other.expected[:] = self.expected
        return other

    def save(self) -> tuple[bytes, npt.NDArray[np.float32]]:
        """Return what `restore` takes to come back to this point of the text."""
        return self.stream.save(), self.expected.copy()

    def restore(self, saved: tuple[bytes, npt.NDArray[np.float32]]) -> None:
        """Forget what was read since."""
        self.stream.restore(saved[0])
        self.expected[:] = saved[1]


def sentence(writer: Writer) -> tuple[str, float]:
    """Write up to the end of a sentence: (text, mean log-probability of its characters)."""
    text, total = "", 0.0
    while len(text) < LONGEST_SENTENCE:
        character, surprise = writer.write()
        text, total = text + character, total + surprise
        if character in SENTENCE_ENDS:
            break
    return text, total / len(text)


def likeliest(writer: Writer, choices: int) -> Iterator[tuple[str, Writer]]:
    """Go on sentence by sentence: of several that clones write, the likeliest. Yields (text, the writer behind it)."""
    while True:
        clones = [writer.clone() for _ in range(choices)]
        written = [sentence(clone) for clone in clones]
        best = max(range(choices), key=lambda i: written[i][1])
        clones[best].steps = writer.steps + sum(clone.steps for clone in clones)
        clones[best].nanoseconds = writer.nanoseconds + sum(clone.nanoseconds for clone in clones)
        writer = clones[best]
        yield written[best][0], writer


def load(path: Path) -> tuple[tinyrnn.Model, str]:
    """Load a .trnn file, or convert an .onnx file; the alphabet lies beside it as .json."""
    alphabet = str(json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["alphabet"])
    if path.suffix.lower() != ".onnx":
        return tinyrnn.load(path), alphabet
    from tinyrnn.converters import convert

    data = io.BytesIO()
    convert(path, data)
    return tinyrnn.load(data.getvalue()), alphabet


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("prompt", nargs="?", default="In the beginning", help="text to go on from (%(default)s)")
    parser.add_argument("--model", type=Path, default=HERE / "charlm.onnx", help=".onnx or .trnn (%(default)s)")
    parser.add_argument("--length", type=int, default=300, help="characters to write (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.7, help="above 0 (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tries", type=int, default=1, help="continuations of the same prompt (%(default)s)")
    parser.add_argument(
        "--choose", type=int, default=0, metavar="N", help="keep the likeliest of N sentences each time"
    )
    args = parser.parse_args(argv)
    if args.length < 1 or args.tries < 1 or args.choose < 0 or not args.temperature > 0 or not args.prompt:
        parser.error("--length, --tries and --temperature must be positive, and the prompt not empty")
    return args


def generate(args: argparse.Namespace) -> Writer:
    """Print the text as it is written; return the writer, which knows how long it took."""
    model, alphabet = load(args.model)
    foreign = sorted(set(args.prompt) - set(alphabet))
    if foreign:
        raise ValueError(f"the model does not know {foreign[0]!r}; it knows {alphabet!r}")
    writer = Writer(model.stream(), alphabet, np.random.default_rng(args.seed), args.temperature)
    writer.read(args.prompt)
    if args.choose:
        print(args.prompt, end="", flush=True)
        written, last = 0, writer
        for text, last in likeliest(writer, args.choose):  # noqa: B007 -- the last one is returned
            print(text, end="", flush=True)
            written += len(text)
            if written >= args.length:
                break
        print()
        return last
    saved = writer.save()
    for attempt in range(args.tries):
        if attempt:
            writer.restore(saved)
            print()
        print(args.prompt, end="", flush=True)
        for _ in range(args.length):
            print(writer.write()[0], end="", flush=True)
        print()
    return writer


def main(argv: list[str] | None = None) -> int:
    """Generate, and say how long a character took."""
    args = parse(argv)
    try:
        writer = generate(args)
    except KeyboardInterrupt:
        print("\ngenerate: interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, KeyError, tinyrnn.TinyRNNError) as error:
        print(f"generate: {error}", file=sys.stderr)
        return 1
    microseconds = writer.nanoseconds / writer.steps / 1e3
    print(f"{writer.steps} steps of {microseconds:.1f} µs each", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
