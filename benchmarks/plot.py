# SPDX-License-Identifier: Apache-2.0
"""The picture: time of a step over hidden size, a panel for each set and cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import engines
from .timing import Row
from .workloads import CELLS, SETS

# Told apart by colour-blind eyes, and by marker too.
STYLES = {
    "tinyrnn": ("#d55e00", "o"),
    "tinyrnn_bound": ("#d55e00", "o"),
    "tinyrnn_c": ("#d55e00", "D"),
    "tinyrnn_int8": ("#882255", "o"),
    "tinyrnn_c_int8": ("#882255", "D"),
    "onnxruntime": ("#56b4e9", "s"),
    "onnxruntime_bound": ("#0072b2", "s"),
    "onnxruntime_int8": ("#0072b2", "p"),
    "torch": ("#cc79a7", "^"),
    "torch_int8": ("#cc79a7", "h"),
    "openvino": ("#009e73", "v"),
    "ncnn": ("#e69f00", "<"),
    "mnn": ("#999999", ">"),
    "litert": ("#000000", "x"),
    "litert_int8": ("#000000", "+"),
}

LABELS = {
    "tinyrnn": "tinyrnn, Python",
    "tinyrnn_bound": "tinyrnn, Python, bound",
    "tinyrnn_c": "tinyrnn, C",
    "tinyrnn_int8": "tinyrnn, Python, int8",
    "tinyrnn_c_int8": "tinyrnn, C, int8",
}
DASHES = {"tinyrnn_bound": "-.", "tinyrnn_c": "--", "tinyrnn_c_int8": "--"}
BOUNDS = {"ceiling": ("0.6", "reading the weights once"), "ceiling_int8": ("0.8", "reading the int8 weights once")}


def panel(axes: Any, rows: Sequence[Row]) -> None:
    """Draw one line for each engine, and the ceilings as bounds from below."""
    for engine in (*engines.TABLE, *BOUNDS):
        points = sorted(
            (r.hidden, (r.min_ns if engine in BOUNDS else r.median_ns) or 0)
            for r in rows
            if r.engine == engine and r.status == "measured" and r.median_ns
        )
        if not points:
            continue
        sizes, us = [p[0] for p in points], [p[1] / 1000 for p in points]
        if engine in BOUNDS:
            color, label = BOUNDS[engine]
            axes.plot(sizes, us, color=color, linestyle=":", marker=".", label=label)
            continue
        color, marker = STYLES[engine]
        ours = engine in engines.OURS
        line: dict[str, Any] = {"linewidth": 2.2, "zorder": 3} if ours else {"linewidth": 1.2}
        line |= {"linestyle": DASHES.get(engine, "-"), "label": LABELS.get(engine, engine)}
        axes.plot(sizes, us, color=color, marker=marker, markersize=5, **line)


def draw(rows: Sequence[Row], path: Path, title: str) -> bool:
    """Write the picture; False when there is nothing to draw.

    Parameters
    ----------
    rows : sequence of Row
    path : Path
        A .png file.
    title : str
    """
    import matplotlib

    matplotlib.use("Agg")  # writes a file: works without a display
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, ScalarFormatter

    # One layer; as many inputs as units, or one: the sizes in between would bend a line.
    rows = [r for r in rows if r.median_ns and r.layers == 1 and (r.input == r.hidden or r.set == "narrow")]
    sets = [name for name in SETS if any(r.set == name for r in rows)]
    cells = [cell for cell in CELLS if any(r.cell == cell for r in rows)]
    if not sets:
        return False
    figure, grid = plt.subplots(
        len(sets),
        len(cells),
        figsize=(2.2 + 3.4 * len(cells), 1.6 + 2.7 * len(sets)),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    for i, name in enumerate(sets):
        for j, cell in enumerate(cells):
            axes, mine = grid[i][j], [r for r in rows if r.set == name and r.cell == cell]
            if not mine:
                axes.set_axis_off()
                continue
            panel(axes, mine)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.xaxis.set_major_locator(FixedLocator(sorted({r.hidden for r in mine})))
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(ScalarFormatter())
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.grid(True, which="major", color="0.9")
            axes.set_title(f"{cell.upper()}, {name}", fontsize=10)
            if j == 0:
                axes.set_ylabel("µs a sample" if name == "narrow" else "µs a step")
            if i == len(sets) - 1 or not any(r.cell == cell and r.set in sets[i + 1 :] for r in rows):
                axes.set_xlabel("hidden units")
    handles = {label: h for axes in grid.flat for h, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True
