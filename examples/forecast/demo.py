# SPDX-License-Identifier: Apache-2.0
"""Converts the trained RNN, LSTM and GRU from ONNX and forecasts CO2 with them, in float32 and int8, in the engine.

    pip install "tinyrnn[demo]"
    python examples/forecast/demo.py --out demo-output

Each network becomes a stream that watches the whole series go by, week after week. In the years that training never
saw it says each week what the next one will bring; and from each of those weeks a clone of the stream runs on for a
year, fed with nothing but its own forecasts, while the original goes on undisturbed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

try:
    import matplotlib
    import numpy as np

    import co2
    import tinyrnn
    from tinyrnn.converters import convert
except ImportError as error:
    sys.exit(f'demo: {error.name} is not installed; try: pip install "tinyrnn[demo]"')

matplotlib.use("Agg")  # writes files only: works without a display

HERE = Path(__file__).parent
COLORS = {"rnn": "#0072b2", "lstm": "#d55e00", "gru": "#009e73"}  # told apart by colour-blind eyes too
CELLS = tuple(COLORS)
PRECISIONS = {"": None, " int8": "int8"}  # what stands behind a cell's name -> what convert is asked for


class Steps(Protocol):
    """What a forecast needs of a stream."""

    def step(self, x: Any, *, out: Any) -> Any: ...
    def clone(self) -> Steps: ...
    def reset(self) -> None: ...


@dataclass(frozen=True)
class Forecasts:
    """What one network said.

    Attributes
    ----------
    week_ahead : (N,) float64
        For each week what was forecast the week before, ppm; nan where there was no year of history yet.
    year_ahead : dict
        Origin -> (52,) float64: the forecasts of the 52 weeks after it, made at the origin.
    without_state : (N,) float64
        As week_ahead, in the test years alone, by a stream that forgets everything before each week.
    microseconds : float
        Median time of a step.
    """

    week_ahead: co2.Floats
    year_ahead: dict[int, co2.Floats]
    without_state: co2.Floats
    microseconds: float


class Forecaster:
    """A stream and the ppm around it: the mean of the past 52 weeks, from which departures are counted.

    Parameters
    ----------
    stream : Steps
        Steps from (1, 1) to (1, 1) float32: this week's departure from the mean to the next week's.
    history : sequence of float
        The 52 weeks before the first that it will see, ppm.
    """

    def __init__(self, stream: Steps, history: Sequence[float]) -> None:
        self.stream = stream
        self.year = deque(history, maxlen=co2.YEAR)
        self.x = np.zeros((1, 1), np.float32)
        self.y = np.zeros((1, 1), np.float32)
        self.nanoseconds = 0

    def see(self, ppm: float) -> float:
        """Take this week's value, return the forecast of the next."""
        self.year.append(ppm)
        mean = sum(self.year) / co2.YEAR
        self.x[0, 0] = ppm - mean
        started = time.perf_counter_ns()
        self.stream.step(self.x, out=self.y)
        self.nanoseconds = time.perf_counter_ns() - started
        return mean + float(self.y[0, 0])

    def run_free(self, forecast: float, weeks: int) -> co2.Floats:
        """Go on from a forecast, each taken for the truth of its week: (weeks,) ppm. This stream stays where it is."""
        clone = Forecaster(self.stream.clone(), list(self.year))
        forecasts = [forecast]
        while len(forecasts) < weeks:
            forecasts.append(clone.see(forecasts[-1]))
        return np.array(forecasts)


def forecast(stream: Steps, series: co2.Series) -> Forecasts:
    """Let the series go by: one week ahead all along, a year ahead from each week of the test years that has one."""
    count, first = len(series.ppm), co2.YEAR - 1
    origins = test_origins(series, co2.YEAR)
    week_ahead, without_state = np.full(count, np.nan), np.full(count, np.nan)
    year_ahead: dict[int, co2.Floats] = {}
    nanoseconds = []
    forecaster = Forecaster(stream, series.ppm[:first])
    for week in range(first, count - 1):
        week_ahead[week + 1] = forecaster.see(float(series.ppm[week]))
        nanoseconds.append(forecaster.nanoseconds)
        if week in origins:
            year_ahead[week] = forecaster.run_free(float(week_ahead[week + 1]), co2.YEAR)
    tests = test_origins(series, 1)
    forgetful = Forecaster(stream.clone(), series.ppm[tests[0] - co2.YEAR : tests[0]])
    for week in tests:
        forgetful.stream.reset()
        without_state[week + 1] = forgetful.see(float(series.ppm[week]))
    return Forecasts(week_ahead, year_ahead, without_state, float(np.median(nanoseconds)) / 1e3)


def test_origins(series: co2.Series, weeks: int) -> range:
    """Return the weeks from which the `weeks` that follow are all in the test years."""
    return range(series.index(co2.TEST_START) - 1, len(series.ppm) - weeks)


def week_error(series: co2.Series, forecasts: co2.Floats) -> float:
    """RMSE, ppm, of forecasts of single weeks over the measured weeks of the test years."""
    test = np.zeros(len(series.ppm), bool)
    test[series.index(co2.TEST_START) :] = True
    test &= series.observed
    return co2.rmse(forecasts[test] - series.ppm[test])


def year_error(series: co2.Series, forecasts: dict[int, co2.Floats]) -> float:
    """RMSE, ppm, of forecasts of 52 weeks from each origin, over the measured weeks."""
    errors = []
    for origin, values in forecasts.items():
        weeks = slice(origin + 1, origin + 1 + len(values))
        errors.append((values - series.ppm[weeks])[series.observed[weeks]])
    return co2.rmse(np.concatenate(errors))


def baselines(series: co2.Series) -> dict[str, dict[str, float]]:
    """Score two forecasts that need no network, on the same weeks."""
    scores = {}
    for name, method in (("last value", co2.last_value), ("last year", co2.seasonal_naive)):
        week_ahead = np.full(len(series.ppm), np.nan)
        for week in test_origins(series, 1):
            week_ahead[week + 1] = method(series.ppm, week, 1)[0]
        year_ahead = {week: method(series.ppm, week, co2.YEAR) for week in test_origins(series, co2.YEAR)}
        scores[name] = {
            "rmse_week_ppm": week_error(series, week_ahead),
            "rmse_year_ppm": year_error(series, year_ahead),
        }
    return scores


def run_model(source: Path, target: Path, quantize: str | None, series: co2.Series) -> tuple[dict[str, Any], Forecasts]:
    """Convert one network, stream the series through it, and measure."""
    report = convert(source, target, quantize=quantize)
    model = tinyrnn.load(target)
    forecasts = forecast(model.stream(), series)
    memory = model.memory()
    numbers = {
        "rmse_week_ppm": week_error(series, forecasts.week_ahead),
        "rmse_year_ppm": year_error(series, forecasts.year_ahead),
        "rmse_week_without_state_ppm": week_error(series, forecasts.without_state),
        "parameters": report.parameters,
        "onnx_bytes": source.stat().st_size,
        "trnn_bytes": target.stat().st_size,
        "microseconds_per_step": forecasts.microseconds,
        "arena_bytes": memory["arena"],
        "state_bytes": memory["state"],
        "instruction_set": model.isa,
    }
    return numbers, forecasts


def shown_name(name: str) -> str:
    """Return how the table calls a network: "lstm int8" is "LSTM int8"."""
    cell, *precision = name.split()
    return " ".join([cell.upper(), *precision])


def rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the header (a word or two a line) and the rows of the table, as text."""
    header = ["", "1 week\nppm", "no state\nppm", "1 year\nppm", "para-\nmeters", ".onnx\nbytes", ".trnn\nbytes"]
    header += ["a step\nµs", "arena\nbytes"]
    body = []
    for name, m in result["models"].items():
        errors = (m["rmse_week_ppm"], m["rmse_week_without_state_ppm"], m["rmse_year_ppm"])
        sizes = (m["parameters"], m["onnx_bytes"], m["trnn_bytes"])
        row = [shown_name(name), *(f"{e:.3f}" for e in errors), *(f"{s:,d}" for s in sizes)]
        body.append([*row, f"{m['microseconds_per_step']:.2f}", f"{m['arena_bytes']:,d}"])
    for name, b in result["baselines"].items():
        body.append([name, f"{b['rmse_week_ppm']:.3f}", "", f"{b['rmse_year_ppm']:.3f}", "", "", "", "", ""])
    return header, body


def print_table(result: dict[str, Any]) -> None:
    """Print the table, by rich where it is installed."""
    header, body = rows(result)
    title = f"CO2 at Mauna Loa: error (RMSE) on {result['test_weeks']} weeks that training never saw"
    if importlib.util.find_spec("rich"):
        from rich.console import Console
        from rich.table import Table

        table = Table(title=title, title_style="bold", title_justify="left")
        for i, name in enumerate(header):
            table.add_column(name, justify="right" if i else "left", no_wrap=True)
        for i, row in enumerate(body):
            table.add_row(*row, end_section=i + 1 == len(result["models"]))
        console = Console()
        if not console.is_terminal:  # a log has room that rich does not see
            console = Console(width=100)
        console.print(table)
        return
    split = [[*name.split("\n"), ""][:2] for name in header]
    lines = [[first for first, _ in split], [second for _, second in split], *body]
    print(title)
    for line in lines:
        print(f"{line[0]:10}" + "".join(f"{cell:>10}" for cell in line[1:]))


def plot(series: co2.Series, by_cell: dict[str, Forecasts], path: Path) -> None:
    """Draw the year-ahead forecasts of each January over the truth, and the last two years a week ahead."""
    from matplotlib import pyplot

    figure, (years, weeks) = pyplot.subplots(2, 1, figsize=(11, 8), height_ratios=(3, 2), layout="constrained")
    start = series.index(co2.TEST_START)
    years.plot(series.dates[start:], series.ppm[start:], ".", color="0.35", markersize=3, label="measured")
    januaries = [series.index(np.datetime64(f"{year}-01-01")) - 1 for year in range(1996, 2002)]
    for name, forecasts in by_cell.items():
        for january in januaries:
            dates = series.dates[january + 1 : january + 1 + co2.YEAR]
            label = name.upper() if january == januaries[0] else None
            years.plot(dates, forecasts.year_ahead[january], color=COLORS[name], linewidth=1.6, label=label)
    for january in januaries:
        years.axvline(series.dates[january + 1], color="0.8", linewidth=0.8, zorder=0)
    years.set_title("A year ahead: each January a clone of the stream runs on, fed with its own forecasts", loc="left")

    tail = slice(len(series.ppm) - 2 * co2.YEAR, None)
    weeks.plot(series.dates[tail], series.ppm[tail], ".", color="0.35", markersize=5, label="measured")
    for name, forecasts in by_cell.items():
        weeks.plot(
            series.dates[tail], forecasts.week_ahead[tail], color=COLORS[name], linewidth=1.2, label=name.upper()
        )
    weeks.set_title("A week ahead: each week the stream sees the measurement and forecasts the next", loc="left")
    for axes in (years, weeks):
        axes.set_ylabel("CO\N{SUBSCRIPT TWO} (ppm)")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.01)
        axes.legend(frameon=False, ncols=4, loc="upper left")
    figure.suptitle("Weekly CO\N{SUBSCRIPT TWO} at Mauna Loa, forecast by networks that never saw these years")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def main(argv: list[str] | None = None) -> int:
    """Convert, forecast, print and plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models", type=Path, default=HERE, help="folder with rnn.onnx, lstm.onnx, gru.onnx (%(default)s)"
    )
    parser.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for what it writes (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON instead of a table")
    args = parser.parse_args(argv)
    sources = [path for path in (args.models / f"{cell}.onnx" for cell in CELLS) if path.is_file()]
    if not sources:
        sys.exit(f"demo: there is no rnn.onnx, lstm.onnx or gru.onnx in {args.models}")
    args.out.mkdir(parents=True, exist_ok=True)
    series = co2.load_series()
    models, by_cell, written = {}, {}, []
    for source in sources:
        for suffix, quantize in PRECISIONS.items():
            name = source.stem + suffix
            written.append(args.out / f"{name.replace(' ', '_')}.trnn")
            models[name], forecasts = run_model(source, written[-1], quantize, series)
            if quantize is None:  # in the picture the others would lie on top
                by_cell[source.stem] = forecasts
    test_weeks = int(series.observed[series.index(co2.TEST_START) :].sum())
    result = {"test_weeks": test_weeks, "models": models, "baselines": baselines(series)}
    picture = args.out / "forecast.png"
    plot(series, by_cell, picture)
    if args.json:
        print(json.dumps(result, indent=2))
        return 0
    print_table(result)
    print(f"Written to {args.out}: {', '.join(path.name for path in written)}, and the picture {picture.name}.")
    print(f"Next: tinyrnn inspect {written[-1]}, or train your own: {HERE.name}/train.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
