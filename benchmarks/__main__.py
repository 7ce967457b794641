# SPDX-License-Identifier: Apache-2.0
"""The command: `make bench`, with options in BENCH="..."."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from . import engines, report, timing, workloads


def words(argument: str) -> list[str]:
    """A list with commas."""
    found = [word for word in argument.split(",") if word]
    if not found:
        raise argparse.ArgumentTypeError("expected at least one, separated by commas")
    return found


def some_of(known: Sequence[str]) -> Any:
    """A list with commas of known words."""

    def parse(argument: str) -> list[str]:
        for word in words(argument):
            if word not in known:
                raise argparse.ArgumentTypeError(f"there is no {word!r}; known are {', '.join(known)}")
        return words(argument)

    return parse


def sizes(argument: str) -> list[int]:
    """Hidden sizes with commas."""
    found = words(argument)
    for word in found:
        if not word.isdecimal() or not 1 <= int(word) <= 8192:
            raise argparse.ArgumentTypeError(f"expected whole numbers from 1 to 8192, found {word!r}")
    return sorted({int(word) for word in found})


def engine_names(argument: str) -> list[str]:
    """Engines by name or pattern, in the order of the table."""
    for pattern in words(argument):
        if not any(fnmatchcase(name, pattern) for name in engines.TABLE):
            raise argparse.ArgumentTypeError(f"there is no engine {pattern!r}; known are {', '.join(engines.TABLE)}")
    return [name for name in engines.TABLE if any(fnmatchcase(name, pattern) for pattern in words(argument))]


def seconds(argument: str) -> float:
    """A duration."""
    try:
        value = float(argument)
    except ValueError:
        value = 0
    if not 0 < value <= 600:
        raise argparse.ArgumentTypeError(f"expected seconds over 0 and up to 600, found {argument!r}")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Times tinyrnn beside the other engines that are installed."
    )
    names = ["core", *workloads.SETS, "all"]
    p.add_argument("--set", type=some_of(names), default=["core"], help=f"of {', '.join(names)} (core: a few of each)")
    p.add_argument("--cells", type=some_of(workloads.CELLS), default=list(workloads.CELLS), help="of lstm, gru, rnn")
    p.add_argument("--hidden", type=sizes, help="hidden sizes instead of those of the set, such as 32,128")
    p.add_argument("--match", type=words, default=["*"], help="patterns of workloads, such as 'lstm*_step'")
    p.add_argument("--engines", type=engine_names, default=list(engines.TABLE), help="engines or patterns")
    p.add_argument("--seconds", type=seconds, default=0.3, help="for each engine and workload (default 0.3)")
    p.add_argument("--out", type=Path, default=Path("benchmark-output"), help="folder of bench.json, .md and .png")
    p.add_argument("--json", action="store_true", help="print JSON instead of tables")
    p.add_argument("--list", action="store_true", help="list what would be measured, and stop")
    return p


def chosen(options: argparse.Namespace) -> list[workloads.Workload]:
    found = workloads.select(options.set, options.cells, options.hidden, options.match)
    if not found:
        parser().error("no workload is left by --set, --cells, --hidden and --match; --list shows their names")
    return found


@contextmanager
def progress(count: int) -> Iterator[Any]:
    """Give a function that is told the name of each workload as it begins."""
    from rich import progress as rp
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda i, name: print(f"{i + 1} of {count}: {name}", file=sys.stderr, flush=True)
        return
    columns = [rp.TextColumn("{task.description:<24}"), rp.BarColumn(), rp.MofNCompleteColumn()]
    columns += [rp.TimeElapsedColumn(), rp.TimeRemainingColumn()]
    with rp.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=count)
        yield lambda i, name: bar.update(task, completed=i, description=name)


def run(chosen: Sequence[workloads.Workload], options: argparse.Namespace, keep: Any) -> None:
    """Measure workload after workload; `keep` is given the rows of each."""
    core = timing.free_core()
    out: Path = options.out
    with (
        open(out / "engines.log", "w", encoding="utf-8") as log,
        tempfile.TemporaryDirectory() as scratch,
        progress(len(chosen)) as tell,
    ):
        wanted = (*options.engines, *engines.ceilings(options.engines))
        there = [name for name in wanted if not engines.missing(name)]
        folder = Path(scratch)
        processes = [timing.Process(name, folder, core, log) for name in there]
        try:
            for i, workload in enumerate(chosen):
                tell(i, workload.name)
                keep(timing.measure(workload, processes, options.seconds, folder))
                for file in folder.iterdir():  # models of the larger sizes would fill a disk
                    file.unlink()
        finally:
            for process in processes:
                process.stop()


def absent(options: argparse.Namespace) -> list[str]:
    """Why engines are not taken along."""
    reasons = {name: engines.missing(name) for name in options.engines}
    return [f"{name}: {reason}" for name, reason in reasons.items() if reason]


def finish(
    rows: list[timing.Row], options: argparse.Namespace, about: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Write the files, print the tables or the JSON."""
    from . import plot

    out: Path = options.out
    report.write(out, rows, settings, about)
    written = [str(out / "bench.json"), str(out / "bench.md")]
    if plot.draw(rows, out / "bench.png", f"Time of a step, {about['processor']}, one thread"):
        written.append(str(out / "bench.png"))
    if options.json:
        print(json.dumps(report.document(rows, settings, about), indent=1))
    else:
        report.show(rows)
    print(f"written: {', '.join(written)}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0, 1 when tinyrnn was not measured everywhere, 2 for wrong usage, 130 when stopped."""
    options = parser().parse_args(arguments)
    found = chosen(options)
    if options.list:
        print("\n".join(workload.name for workload in found))
        return 0
    for line in absent(options):
        print(line, file=sys.stderr)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser().error(f"--out: {error}")
    about = report.machine(timing.free_core())
    settings = {name: value for name, value in vars(options).items() if name not in ("out", "json", "list")}
    rows: list[timing.Row] = []

    def keep(more: list[timing.Row]) -> None:
        rows.extend(more)
        report.write(options.out, rows, settings, about)

    started, stopped = time.monotonic(), False
    try:
        run(found, options, keep)
    except KeyboardInterrupt:
        stopped = True
    settings["took_seconds"] = round(time.monotonic() - started, 1)
    if rows:
        finish(rows, options, about, settings)
    if stopped:
        done = len({row.workload for row in rows})
        print(f"stopped after {done} of {len(found)} workloads", file=sys.stderr)
        return 130
    bad = [row for row in rows if row.engine in engines.OURS and row.status in ("failed", "wrong")]
    for row in bad:
        print(f"{row.workload}, {row.engine}: {row.reason or f'error {row.error:.1e}'}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
