# SPDX-License-Identifier: Apache-2.0
"""Trains the RNN, LSTM and GRU forecasters of the demo in PyTorch and exports them to ONNX.

    pip install "tinyrnn[train]"
    python examples/forecast/train.py                  # all three, a minute on one core of a laptop
    python examples/forecast/train.py --cells gru --epochs 300 --hidden-size 64 --out /tmp/mine

Each network sees one number a week, the departure of CO2 from the mean of the past year in ppm, and says what the
departure of the coming week will be. It is told neither the date nor the season: that is what its state has to carry.
"""

from __future__ import annotations

import argparse
import copy
import csv
import itertools
import math
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import co2

try:
    import onnx
    import torch
    from onnx.reference import ReferenceEvaluator
    from torch import Tensor, nn
except ImportError as error:
    sys.exit(f'train: {error.name} is not installed; try: pip install "tinyrnn[train]"')

State = Tensor | tuple[Tensor, Tensor]
OPSET = 17


@dataclass(frozen=True)
class Cell:
    """What differs between the three networks."""

    module: type[nn.RNN | nn.LSTM | nn.GRU]
    hidden_size: int
    num_layers: int
    states: tuple[str, ...]  # the ONNX names of the initial states; () leaves the state inside the graph


# Three ways in which exported graphs treat their state, on purpose: none to be seen, one tensor, and two that stack
# the layers of a deeper network.
CELLS = {
    "rnn": Cell(nn.RNN, 32, 1, ()),
    "lstm": Cell(nn.LSTM, 32, 2, ("h0", "c0")),
    "gru": Cell(nn.GRU, 48, 1, ("h0",)),
}


class Forecaster(nn.Module):
    """Next week's departure from this week's, with the normalisation inside, so that the ONNX file speaks ppm.

    Parameters
    ----------
    cell : Cell
        The recurrence.
    input_mean, input_std, change_std : float
        Statistics of the training weeks: of the departure, and of its change in a week.
    dropout : float
        Probability, between layers and before the head. Only in training.
    """

    def __init__(self, cell: Cell, input_mean: float, input_std: float, change_std: float, dropout: float) -> None:
        super().__init__()
        between_layers = dropout if cell.num_layers > 1 else 0.0
        self.cell = cell.module(1, cell.hidden_size, cell.num_layers, batch_first=True, dropout=between_layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(cell.hidden_size, 1)
        for name, value in (("input_mean", input_mean), ("input_std", input_std), ("change_std", change_std)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32))

    def forward(self, departure: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Forecast every next week: (batch, time, 1) float32 in and out, and the last state."""
        hidden, state = self.cell((departure - self.input_mean) / self.input_std, state)
        return departure + self.head(self.dropout(hidden)) * self.change_std, state


class ForExport(nn.Module):
    """The signature that the ONNX file gets: (departure[, h0[, c0]]) -> (forecast[, hn[, cn]])."""

    def __init__(self, model: Forecaster, cell: Cell) -> None:
        super().__init__()
        self.model = model
        self.state_count = len(cell.states)

    def forward(self, departure: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        if self.state_count == 0:
            return (self.model(departure)[0],)
        forecast, last = self.model(departure, states if self.state_count == 2 else states[0])
        return (forecast, *(last if isinstance(last, tuple) else (last,)))


@dataclass(frozen=True)
class Data:
    """The series as tensors on the device, one entry for each week that has a full year behind and a week ahead."""

    departure: Tensor  # [weeks] ppm above the mean of the 52 weeks that end here
    target: Tensor  # [weeks] next week's ppm above that same mean
    observed: Tensor  # [weeks] 1 where next week was measured, else 0
    validation: int  # first entry whose target is in the validation years
    test: int  # first entry whose target is in the test years

    @classmethod
    def of(cls, series: co2.Series, device: torch.device) -> Data:
        """Make the tensors."""
        means, first = co2.year_mean(series.ppm), co2.YEAR - 1

        def tensor(values: co2.Floats) -> Tensor:
            return torch.tensor(values, dtype=torch.float32, device=device)

        return cls(
            tensor((series.ppm - means)[first:-1]),
            tensor(series.ppm[first + 1 :] - means[first:-1]),
            tensor(series.observed[first + 1 :].astype(np.float64)),
            series.index(co2.VALIDATION_START) - first - 1,
            series.index(co2.TEST_START) - first - 1,
        )


def detached(state: State) -> State:
    """Return the same numbers without their history: where truncated back-propagation cuts."""
    return tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()


def train_epoch(
    model: Forecaster, data: Data, optimizer: torch.optim.Optimizer, args: argparse.Namespace, random: torch.Generator
) -> None:
    """Go once over `batch` stretches of the training years, a window at a time, the state carried along.

    The gradient reaches back one window; the state reaches back to the start of the stretch.
    """
    model.train()
    device = data.departure.device
    starts = torch.randint(0, data.validation - args.stretch, (args.batch,), generator=random)
    weeks = (starts[:, None] + torch.arange(args.stretch)).to(device)  # [batch, stretch]
    state: State | None = None
    for begin in range(0, args.stretch, args.window):
        window = weeks[:, begin : begin + args.window]
        departure = data.departure[window]
        # Weekly means carry measurement noise. A little more of it keeps the network from trusting the last value.
        noise = args.noise * torch.randn(departure.shape, generator=random).to(device)
        forecast, state = model((departure + noise)[..., None], state)
        state = detached(state)
        errors = (forecast[..., 0] - data.target[window]) / model.change_std
        loss = (errors.square() * data.observed[window]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()


@torch.no_grad()
def errors_by_split(model: Forecaster, data: Data) -> tuple[float, float, float]:
    """Return the RMSE one week ahead, in ppm, on the training, validation and test weeks, in one pass over all."""
    model.eval()
    forecast, _ = model(data.departure[None, :, None])
    squares = (forecast[0, :, 0] - data.target).square() * data.observed
    cuts = [0, data.validation, data.test, len(squares)]
    return tuple(
        math.sqrt(squares[a:b].sum().item() / data.observed[a:b].sum().item()) for a, b in itertools.pairwise(cuts)
    )


def train(name: str, cell: Cell, data: Data, args: argparse.Namespace) -> tuple[Forecaster, int]:
    """Train one network; return it as it was when the validation error was least, and that epoch."""
    torch.manual_seed(args.seed)
    random = torch.Generator().manual_seed(args.seed)
    past = data.departure[: data.validation]
    change = (data.target - data.departure)[: data.validation]
    model = Forecaster(cell, past.mean().item(), past.std().item(), change.std().item(), args.dropout)
    model.to(data.departure.device)
    optimizer = torch.optim.AdamW(model.parameters(), args.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    least, best_epoch, best = math.inf, 0, copy.deepcopy(model.state_dict())
    for epoch in range(1, args.epochs + 1):
        train_epoch(model, data, optimizer, args, random)
        schedule.step()
        error = errors_by_split(model, data)[1]
        if error < least:
            least, best_epoch, best = error, epoch, copy.deepcopy(model.state_dict())
        if epoch % 10 == 0:
            print(f"{name} epoch {epoch:4d}: validation {error:.4f} ppm, best {least:.4f} ppm", file=sys.stderr)
        if epoch - best_epoch >= args.patience:
            break
    model.load_state_dict(best)
    return model.eval(), best_epoch


def export(model: Forecaster, cell: Cell, path: Path) -> None:
    """Write the ONNX file, batch and time symbolic, and check it against PyTorch.

    Raises
    ------
    RuntimeError
        When the file computes something else.
    """
    wrapper = ForExport(model.cpu(), cell).eval()
    states = tuple(0.1 * torch.ones(cell.num_layers, 2, cell.hidden_size) for _ in cell.states)
    example = (torch.linspace(-3, 3, 2 * 7).reshape(2, 7, 1), *states)
    last_states = [name.replace("0", "n") for name in cell.states]
    axes = {name: {0: "batch", 1: "time"} for name in ("departure", "forecast")}
    axes |= {name: {1: "batch"} for name in (*cell.states, *last_states)}
    with warnings.catch_warnings():
        # The exporter warns that it is the older one, and that another batch than the example's needs its own states.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            wrapper,
            example,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["departure", *cell.states],
            output_names=["forecast", *last_states],
            dynamic_axes=axes,
        )
    onnx.checker.check_model(str(path), full_check=True)
    names = ["departure", *cell.states]
    with torch.no_grad():
        expected = wrapper(*example)
    found = ReferenceEvaluator(str(path)).run(None, {n: v.numpy() for n, v in zip(names, example, strict=True)})
    for a, b in zip(expected, found, strict=True):
        if not np.allclose(a.numpy(), b, rtol=0, atol=1e-5):
            raise RuntimeError(f"{path} differs from PyTorch by {np.abs(a.numpy() - b).max():.2g}")


def write_series(path: Path) -> None:
    """Write the series from statsmodels' copy, as it is: gaps stay empty."""
    from statsmodels.datasets import co2 as source

    with path.open("w", newline="", encoding="ascii") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["date", "co2_ppm"])
        for date, ppm in source.load_pandas().data["co2"].items():
            writer.writerow([f"{date:%Y-%m-%d}", "" if math.isnan(ppm) else f"{ppm:.1f}"])


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    here = Path(__file__).parent
    parser.add_argument("--cells", nargs="+", choices=sorted(CELLS), default=list(CELLS), metavar="CELL")
    parser.add_argument("--out", type=Path, default=here, help="folder for the .onnx files (%(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="these networks are too small to gain from more (1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=150, help="at most (%(default)s)")
    parser.add_argument("--patience", type=int, default=40, help="epochs without improvement before stopping (40)")
    parser.add_argument("--hidden-size", type=int, help="instead of each cell's own")
    parser.add_argument("--batch", type=int, default=16, help="stretches of the series in an epoch (%(default)s)")
    parser.add_argument("--stretch", type=int, default=312, help="weeks over which the state is carried (%(default)s)")
    parser.add_argument("--window", type=int, default=52, help="weeks that a gradient reaches back (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--noise", type=float, default=0.15, help="added to the input in training, ppm (%(default)s)")
    parser.add_argument("--clip", type=float, default=1.0, help="largest norm of a gradient (%(default)s)")
    parser.add_argument("--write-series", action="store_true", help="write co2_weekly.csv anew from statsmodels first")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Train, export, and print the errors."""
    args = parse(argv)
    if args.write_series:
        write_series(co2.SERIES)
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    args.out.mkdir(parents=True, exist_ok=True)
    data = Data.of(co2.load_series(), torch.device(args.device))
    lines = []
    for name in args.cells:
        cell, started = CELLS[name], time.perf_counter()
        if args.hidden_size:
            cell = Cell(cell.module, args.hidden_size, cell.num_layers, cell.states)
        model, epoch = train(name, cell, data, args)
        splits = "".join(f"{error:12.4f}" for error in errors_by_split(model, data))
        path = args.out / f"{name}.onnx"
        export(model, cell, path)
        seconds = time.perf_counter() - started
        lines.append(f"{name:5}{splits}{epoch:7d}{path.stat().st_size:10,d}{seconds:9.0f}")
    print("RMSE one week ahead, ppm")
    print(f"{'':5}{'training':>12}{'validation':>12}{'test':>12}{'epoch':>7}{'bytes':>10}{'seconds':>9}")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
