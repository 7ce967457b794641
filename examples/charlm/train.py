# SPDX-License-Identifier: Apache-2.0
"""Trains the character language model of generate.py in PyTorch on a text of your choice and exports it to ONNX.

    pip install "tinyrnn[train]"
    python examples/charlm/train.py --text kjv.txt                     # SOURCE.md says where that text comes from
    python examples/charlm/train.py --text mine.txt --hidden-size 256 --epochs 20 --out /tmp/mine.onnx

The network reads one character at a time and says how likely each character is to come next. The text is cut into as
many long strips as the batch has rows, and the state is carried from window to window along each strip, so that it
learns to remember over more characters than a gradient reaches back.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from pathlib import Path

try:
    import numpy as np
    import onnx
    import torch
    from onnx.reference import ReferenceEvaluator
    from torch import Tensor, nn
except ImportError as error:
    sys.exit(f'train: {error.name} is not installed; try: pip install "tinyrnn[train]"')

State = Tensor | tuple[Tensor, Tensor]
CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}
OPSET = 17


class CharacterModel(nn.Module):
    """Characters by number to the log-probability of every character that may follow.

    Parameters
    ----------
    cell : str
        Key of CELLS.
    characters : int
        Size of the alphabet.
    embedding_size, hidden_size, num_layers : int
    dropout : float
        Probability, of embedded characters, between layers and before the head. Only in training.
    """

    def __init__(
        self, cell: str, characters: int, embedding_size: int, hidden_size: int, num_layers: int, dropout: float
    ) -> None:
        super().__init__()
        between_layers = dropout if num_layers > 1 else 0.0
        self.embedding = nn.Embedding(characters, embedding_size)
        self.cell = CELLS[cell](embedding_size, hidden_size, num_layers, batch_first=True, dropout=between_layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, characters)

    def forward(self, characters: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Predict: (batch, time) int64 to (batch, time, alphabet) float32 in nats, and the last state."""
        hidden, state = self.cell(self.dropout(self.embedding(characters)), state)
        return self.head(self.dropout(hidden)).log_softmax(-1), state


class ForExport(nn.Module):
    """The signature that the ONNX file gets: the state stays inside, and a stream carries it."""

    def __init__(self, model: CharacterModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, characters: Tensor) -> Tensor:
        return self.model(characters)[0]


def detached(state: State) -> State:
    """Return the same numbers without their history: where truncated back-propagation cuts."""
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def strips(text: Tensor, rows: int, offset: int) -> Tensor:
    """Cut (N,) characters from the offset on into (rows, length), what is left over dropped."""
    length = (len(text) - offset) // rows
    return text[offset : offset + rows * length].reshape(rows, length)


def loss_of(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    """Mean surprise, nats a character."""
    return nn.functional.nll_loss(log_probabilities.flatten(0, 1), targets.flatten())


@torch.no_grad()
def bits_per_character(model: CharacterModel, text: Tensor, rows: int = 16, window: int = 1000) -> float:
    """Mean surprise over a text that is read from start to end, in `rows` strips side by side."""
    model.eval()
    strip = strips(text, rows, 0)
    state: State | None = None
    total = 0.0
    for begin in range(0, strip.shape[1] - 1, window):
        part = strip[:, begin : begin + window + 1]
        log_probabilities, state = model(part[:, :-1], state)
        total += loss_of(log_probabilities, part[:, 1:]).item() * (part.shape[1] - 1)
    return total / (strip.shape[1] - 1) / math.log(2)


def train_epoch(
    model: CharacterModel,
    text: Tensor,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    args: argparse.Namespace,
) -> float:
    """Read the text once, a window at a time, the state carried along; return the mean bits a character."""
    model.train()
    # Another offset each time, or the same characters would stand at the cuts in every epoch.
    strip = strips(text, args.batch, int(torch.randint(0, args.window, ())))
    state: State | None = None
    total, windows = 0.0, range(0, strip.shape[1] - args.window, args.window)
    for begin in windows:
        part = strip[:, begin : begin + args.window + 1]
        log_probabilities, state = model(part[:, :-1], state)
        state = detached(state)
        loss = loss_of(log_probabilities, part[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        schedule.step()
        total += loss.item()
    return total / len(windows) / math.log(2)


def train(model: CharacterModel, text: Tensor, held_out: Tensor, args: argparse.Namespace) -> None:
    """Train in place, the learning rate rising at first and then falling to nothing."""
    optimizer = torch.optim.AdamW(model.parameters(), args.learning_rate, weight_decay=0.01)
    steps = args.epochs * math.ceil(len(text) / args.batch / args.window)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, steps, pct_start=0.1)
    for epoch in range(1, args.epochs + 1):
        started = time.perf_counter()
        bits = train_epoch(model, text, optimizer, schedule, args)
        unseen, seconds = bits_per_character(model, held_out), time.perf_counter() - started
        print(
            f"epoch {epoch}: training {bits:.3f}, held out {unseen:.3f} bits a character, {seconds:.0f} s", flush=True
        )


def export(model: CharacterModel, alphabet: str, path: Path) -> None:
    """Write the ONNX file, batch and time symbolic, and the alphabet beside it, and check the file against PyTorch.

    Raises
    ------
    RuntimeError
        When the file computes something else.
    """
    wrapper = ForExport(model.cpu()).eval()
    example = torch.arange(2 * 40).reshape(2, 40) % len(alphabet)
    with warnings.catch_warnings():
        # The exporter warns that it is the older one, and that the state is zeros whatever the example's batch.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapper,
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["characters"],
            output_names=["log_probabilities"],
            dynamic_axes={name: {0: "batch", 1: "time"} for name in ("characters", "log_probabilities")},
        )
    path.with_suffix(".json").write_text(json.dumps({"alphabet": alphabet}) + "\n", encoding="ascii")
    onnx.checker.check_model(str(path), full_check=True)
    with torch.no_grad():
        expected = wrapper(example).numpy()
    (found,) = ReferenceEvaluator(str(path)).run(None, {"characters": example.numpy()})
    if not np.allclose(expected, found, rtol=0, atol=1e-4):
        raise RuntimeError(f"{path} differs from PyTorch by {np.abs(expected - found).max():.2g}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    here = Path(__file__).parent
    parser.add_argument("--text", type=Path, required=True, help="UTF-8 text to learn from")
    parser.add_argument("--out", type=Path, default=here / "charlm.onnx", help="(%(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cell", choices=sorted(CELLS), default="gru")
    parser.add_argument("--embedding-size", type=int, default=32)
    parser.add_argument("--hidden-size", type=int, default=152)
    parser.add_argument("--num-layers", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--batch", type=int, default=64, help="strips of the text side by side (%(default)s)")
    parser.add_argument("--window", type=int, default=100, help="characters that a gradient reaches back (%(default)s)")
    parser.add_argument("--held-out", type=float, default=0.05, help="share of the text, at its end (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--dropout", type=float, default=0.02, help="a small network hardly needs any (%(default)s)")
    parser.add_argument("--clip", type=float, default=1.0, help="largest norm of a gradient (%(default)s)")
    args = parser.parse_args(argv)
    if not 0 < args.held_out < 1:
        parser.error("--held-out: a share of the text, between 0 and 1")
    return args


def main(argv: list[str] | None = None) -> int:
    """Train and export."""
    args = parse(argv)
    try:
        text = args.text.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        print(f"train: {args.text}: {error}", file=sys.stderr)
        return 1
    alphabet = "".join(sorted(set(text)))
    held_out = int(len(text) * args.held_out)
    if min(held_out // 16, (len(text) - held_out) // args.batch) <= args.window:
        print(f"train: {args.text} is too short, with {len(text)} characters; try less of --batch", file=sys.stderr)
        return 1
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    numbers = {character: number for number, character in enumerate(alphabet)}
    data = torch.tensor([numbers[character] for character in text], device=args.device)
    model = CharacterModel(
        args.cell, len(alphabet), args.embedding_size, args.hidden_size, args.num_layers, args.dropout
    ).to(args.device)
    train(model, data[:-held_out], data[-held_out:], args)
    export(model, alphabet, args.out)
    print(f"{args.out}: {args.out.stat().st_size:,d} bytes, {len(alphabet)} characters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
