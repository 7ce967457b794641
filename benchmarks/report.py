# SPDX-License-Identifier: Apache-2.0
"""What was measured, put together: ratios, shares of the ceiling, tables, JSON, Markdown."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from . import engines
from .engines.base import step_program
from .timing import Row
from .workloads import SETS


class Cell(NamedTuple):
    """What stands in a table; `best` is shown in bold."""

    text: str
    best: bool = False


class Table(NamedTuple):
    """A table: one heading a column, rows of as many cells; the first column is text, the others numbers."""

    title: str
    headers: list[str]
    rows: list[list[Cell]]


def engine_rows(rows: Iterable[Row], workload: str) -> dict[str, Row]:
    """The rows of one workload that hold a right answer and its time, by engine; a ceiling is none of them."""
    found = (row for row in rows if row.workload == workload and row.status == "measured" and row.median_ns)
    return {row.engine: row for row in found if row.engine in engines.TABLE}


def fastest(rows: Iterable[Row]) -> Row | None:
    return min(rows, key=lambda row: row.median_ns or 0, default=None)


def fastest_other(rows: Iterable[Row], workload: str, precision: str) -> Row | None:
    """The quickest engine of a precision that is not ours."""
    others = [row for row in engine_rows(rows, workload).values() if row.engine not in engines.OURS]
    return fastest(row for row in others if engines.precision(row.engine) == precision)


def ratio(row: Row, other: Row | None) -> float | None:
    """How many times as fast as the other a row is: 2 means half its time."""
    return other.median_ns / row.median_ns if other and other.median_ns and row.median_ns else None


def share(rows: Iterable[Row], row: Row) -> float | None:
    """The time that one core needs to read the weights, in the precision of the row, once, by the time of a step.

    1 is the bound where each step reads them all; sequences and batches, which use what they have read for several
    steps or rows, may exceed it.
    """
    ceiling = engines.CEILINGS[engines.precision(row.engine)]
    floor = [r.min_ns for r in rows if r.workload == row.workload and r.engine == ceiling and r.min_ns]
    return floor[0] / row.median_ns if floor and row.median_ns else None


def document(rows: Sequence[Row], settings: dict[str, Any], machine: dict[str, Any]) -> dict[str, Any]:
    """Everything, as JSON has it: times in nanoseconds a step."""
    found = []
    for row in rows:
        entry = row.to_dict()
        if row.engine in engines.OURS and row.status == "measured":
            other = fastest_other(rows, row.workload, engines.precision(row.engine))
            entry |= {"fastest_other": other.engine if other else None, "ratio": ratio(row, other)}
        if row.engine in engines.TABLE:
            entry["share_of_ceiling"] = share(rows, row)
        found.append(entry)
    return {"machine": machine, "settings": settings, "rows": found}


def machine(core: int) -> dict[str, Any]:
    """What the figures depend on."""
    versions = {}
    for name, engine in engines.TABLE.items():
        if not engines.missing(name):
            package = {"ai_edge_litert": "ai-edge-litert"}.get(engine.needs, engine.needs)
            versions[engine.needs] = metadata.version(package)
    program = step_program()
    build = subprocess.run([str(program), "--build"], capture_output=True, text=True, check=False) if program else None
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "core": core,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
        "build": build.stdout.strip() if build else None,
    }


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()


def microseconds(ns: float | None) -> str:
    """Three digits."""
    if ns is None:
        return "-"
    us = ns / 1000
    return f"{us:.0f}" if us >= 100 else f"{us:.1f}" if us >= 10 else f"{us:.2f}" if us >= 1 else f"{us:.3f}"


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


SHORT = {
    "tinyrnn": "py",
    "tinyrnn_bound": "bound",
    "tinyrnn_c": "C",
    "tinyrnn_int8": "int8 py",
    "tinyrnn_c_int8": "int8 C",
}


def ours_beside(rows: Sequence[Row], workload: str, ours: Sequence[str]) -> list[Cell]:
    """Of each of our engines the ratio to the quickest other, then of each the share, then the error by precision."""
    right = engine_rows(rows, workload)
    kinds = {engine: engines.precision(engine) for engine in ours}
    others = {kind: fastest_other(rows, workload, kind) for kind in kinds.values()}
    cells = [times(ratio(right[engine], others[kinds[engine]]) if engine in right else None) for engine in ours]
    cells += [percent(share(rows, right[engine]) if engine in right else None) for engine in ours]
    for kind in others:
        errors = [r.error or 0 for r in rows if r.workload == workload and kinds.get(r.engine) == kind]
        cells.append(f"{max(errors):.0e}" if errors else "-")
    return [Cell(text) for text in cells]


def summary(rows: Sequence[Row], name: str) -> Table | None:
    """Of one set: the engines side by side, our ratios, shares and error; None where nothing was measured."""
    mine = [row for row in rows if row.set == name]
    measured = {row.engine for row in mine if row.median_ns}
    shown = [engine for engine in engines.TABLE if engine in measured]
    ours = [engine for engine in engines.OURS if engine in measured]
    if not shown:
        return None
    lines = []
    for workload in dict.fromkeys(row.workload for row in mine):
        right = engine_rows(mine, workload)
        best = [
            fastest(row for row in right.values() if engines.precision(row.engine) == kind) for kind in engines.CEILINGS
        ]
        wrong = {row.engine for row in mine if row.workload == workload and row.status == "wrong"}
        line = [Cell(workload)]
        for engine in shown:
            row = right.get(engine)
            both = f"{microseconds(row.median_ns)} ({microseconds(row.p99_ns)})" if row else "-"
            line.append(Cell("wrong" if engine in wrong else both, row is not None and row in best))
        lines.append(line + ours_beside(mine, workload, ours))
    short = [SHORT[engine] for engine in ours]
    kinds = dict.fromkeys(engines.precision(engine) for engine in ours)
    errors = [f"error {kind}" for kind in kinds]
    headers = ["workload", *shown, *(f"x {s}" for s in short), *(f"ceiling {s}" for s in short), *errors]
    return Table(f"{name}: µs, {SETS[name].what}", headers, lines)


def detail(rows: Sequence[Row]) -> Table:
    """One line for each time that was measured."""
    lines = []
    for row in rows:
        if row.median_ns:
            error = "-" if row.error is None else f"{row.error:.1e}"
            clean = percent(1 - row.disturbed / row.rounds) if row.rounds else "-"
            ns = (row.median_ns, row.p99_ns, row.min_ns)
            cells = [row.workload, row.engine, *map(microseconds, ns), error, f"{row.rounds} x {row.calls}", clean]
            lines.append([Cell(cell) for cell in cells])
    headers = ["workload", "engine", "median µs", "p99 µs", "least µs", "error", "rounds x calls", "undisturbed"]
    return Table("Each time", headers, lines)


def left_out(rows: Sequence[Row]) -> Table | None:
    """What was not measured, and why; None where everything was."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.reason:
            reasons.setdefault((row.engine, row.reason), []).append(row.workload)
    lines = []
    for (engine, reason), names in reasons.items():
        some = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        lines.append([Cell(engine), Cell(reason), Cell(some)])
    return Table("Not measured", ["engine", "why", "workloads"], lines) if lines else None


def tables(rows: Sequence[Row], details: bool) -> list[Table]:
    """All tables in the order of a report."""
    found = [summary(rows, name) for name in SETS]
    return [table for table in (*found, detail(rows) if details else None, left_out(rows)) if table]


LEGEND = (
    "Medians in µs a step (99th percentile of calls timed one by one); one core, one thread; the quickest of each "
    "precision in bold. Of tinyrnn, from Python (py; bound: with arrays bound) and at the C level (C): x, how many "
    "times as fast as the quickest other engine of that precision; ceiling, the time that reading the weights, in that "
    "precision, once takes by the time of a step, over 100 % where a sequence or a batch uses what it read several "
    "times; error, the greatest beside float64."
)


def markdown(rows: Sequence[Row], about: dict[str, Any]) -> str:
    """The whole report as a page."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    isa = next((row.isa for row in rows if row.isa), "")
    place = ", ".join(filter(None, (about["processor"], about["system"], isa, about["build"])))
    lines = ["# Benchmark", "", f"{place}; {versions}.", "", LEGEND, ""]
    for table in tables(rows, details=True):
        lines += [f"## {table.title}", "", "| " + " | ".join(table.headers) + " |"]
        lines.append("|---|" + "---:|" * (len(table.headers) - 1))
        for row in table.rows:
            cells = [f"**{cell.text}**" if cell.best else cell.text.replace("|", "/") for cell in row]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def show(rows: Sequence[Row]) -> None:
    """Print the tables, with rich."""
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)  # into a file or a pipe: nothing is cut off
    for table in tables(rows, details=False):
        shown = RichTable(title=table.title, title_justify="left", title_style="bold")
        for i, header in enumerate(table.headers):
            shown.add_column(header, justify="left" if i == 0 or table.title == "Not measured" else "right")
        for row in table.rows:
            shown.add_row(*(Text(cell.text, style="bold green" if cell.best else "") for cell in row))
        console.print(shown)
    console.print(LEGEND, style="dim")


def write(folder: Path, rows: Sequence[Row], settings: dict[str, Any], about: dict[str, Any]) -> None:
    """Write bench.json and bench.md, each in one step."""
    pages = {
        "bench.json": json.dumps(document(rows, settings, about), indent=1) + "\n",
        "bench.md": markdown(rows, about),
    }
    for name, text in pages.items():
        part = folder / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(folder / name)
