# SPDX-License-Identifier: Apache-2.0
"""Tables as plain text; those of a quantization, which its report has and `inspect` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table_lines(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table, line by line, under its headers. Columns of numbers go to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    right = [bool(rows) and all(is_number(row[i]) for row in cells) for i in range(len(headers))]
    return [
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip()
        for row in [list(headers), ["-" * width for width in widths], *cells]
    ]


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number, with thousands separators or not."""
    try:
        float(cell.replace(",", ""))
    except ValueError:
        return False
    return True


def quantization_tables(
    layers: list[dict[str, Any]], errors: list[dict[str, Any]]
) -> list[tuple[list[str], list[list[str]]]]:
    """Headers and rows of what a report says of layers, of the errors of outputs, and of these over time."""
    tables = []
    if layers:
        rows = [
            [
                row["name"] + (f" and {row['nodes'] - 1} more" if row["nodes"] > 1 else ""),
                row["kind"],
                row["precision"],
                f"{row['bytes']:,}",
                "" if row["error"] is None else f"{row['error']:.2g}",
                row["reason"],
            ]
            for row in layers
        ]
        tables.append((["layer", "operator", "precision", "bytes", "error alone", "why not"], rows))
    if errors:
        figures = ("max", "rms", "relative", "largest")
        rows = [[row["name"], *(f"{row[key]:.2g}" for key in figures)] for row in errors]
        tables.append((["output", "max error", "rms error", "max / max(1, |y|)", "max |y|"], rows))
    timed = [row for row in errors if row["max_by_step"]]
    if timed:
        steps = sorted({int(step) for row in timed for step in row["max_by_step"]})
        values = [[row["max_by_step"].get(str(step)) for row in timed] for step in steps]
        rows = [
            [str(step), *("" if v is None else f"{v:.2g}" for v in line)]
            for step, line in zip(steps, values, strict=True)
        ]
        tables.append((["step", *(f"max error of {row['name']}" for row in timed)], rows))
    return tables
