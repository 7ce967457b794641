# SPDX-License-Identifier: Apache-2.0
"""How many bits a character the model needs for text that it never saw, in float32 and in int8.

    pip install "tinyrnn[convert]"
    python examples/charlm/evaluate.py
    python examples/charlm/evaluate.py --text mine.txt --model /tmp/mine.onnx   # of mine.txt, what train.py did not see

Reads the text as train.py does: cut into strips side by side, each from its start to its end.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path

try:
    import numpy as np

    import tinyrnn
    from tinyrnn.converters import convert
except ImportError as error:
    sys.exit(f'evaluate: {error.name} is not installed; try: pip install "tinyrnn[convert]"')

HERE = Path(__file__).parent
PRECISIONS = {"float32": None, "int8": "int8"}
STRIPS = 16
WINDOW = 1000  # characters at a time, so that a long text needs no more memory


def strips_of(text: str, alphabet: str) -> np.ndarray:
    """Cut a text into strips: (STRIPS, length) int64, the numbers of the characters.

    Raises
    ------
    ValueError
        The text is too short, or has a character that is not in the alphabet.
    """
    foreign = sorted(set(text) - set(alphabet))
    if foreign:
        raise ValueError(f"the model does not know {foreign[0]!r}; it knows {alphabet!r}")
    length = len(text) // STRIPS
    if length < 2:
        raise ValueError(f"the text has {len(text)} characters; {2 * STRIPS} are the least")
    numbers = {character: number for number, character in enumerate(alphabet)}
    return np.array([numbers[c] for c in text[: STRIPS * length]], np.int64).reshape(STRIPS, length)


def bits_per_character(model: tinyrnn.Model, strips: np.ndarray) -> float:
    """Mean surprise of the model at each character but the first of each strip."""
    stream, total = model.stream(STRIPS), 0.0
    for begin in range(0, strips.shape[1] - 1, WINDOW):
        part = strips[:, begin : begin + WINDOW + 1]
        expected = stream.run(np.ascontiguousarray(part[:, :-1]))  # [STRIPS, time, alphabet] nats
        total -= float(np.take_along_axis(expected, part[:, 1:, None], 2).sum(dtype=np.float64))
    return total / (STRIPS * (strips.shape[1] - 1)) / float(np.log(2))


def main(argv: list[str] | None = None) -> int:
    """Convert twice, read the text twice, and print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--text", type=Path, default=HERE / "held_out.txt", help="UTF-8 (%(default)s)")
    parser.add_argument("--model", type=Path, default=HERE / "charlm.onnx", help="its .json beside it (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON instead of a table")
    args = parser.parse_args(argv)
    result = {}
    try:
        alphabet = json.loads(args.model.with_suffix(".json").read_text(encoding="utf-8"))["alphabet"]
        text = args.text.read_text(encoding="utf-8")
        strips = strips_of(text, alphabet)
        for name, quantize in PRECISIONS.items():
            data = io.BytesIO()
            convert(args.model, data, quantize=quantize)
            bits = bits_per_character(tinyrnn.load(data.getvalue()), strips)
            result[name] = {"bits_per_character": bits, "bytes": len(data.getvalue())}
    except (OSError, ValueError, KeyError, tinyrnn.TinyRNNError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(result, indent=2))
        return 0
    print(f"{args.text.name}: {len(text):,} characters\n")
    print(f"{'':8}{'bits a character':>18}{'bytes':>10}")
    for name, row in result.items():
        print(f"{name:8}{row['bits_per_character']:18.4f}{row['bytes']:10,d}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
