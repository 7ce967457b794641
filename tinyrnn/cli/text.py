# SPDX-License-Identifier: Apache-2.0
"""What the subcommands share: tables, progress, arrays in files."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn import ArgumentError, Model
from tinyrnn.samples import read_file
from tinyrnn.text_table import is_number, table_lines


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: by rich on a terminal where it is installed, else as plain text. Numbers go to the right."""
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            rich_table(headers, rows)
            return
    print("\n".join(table_lines(headers, rows)))


def rich_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table by rich; ImportError where it is not installed."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD)
    for i, header in enumerate(headers):
        numbers = bool(rows) and all(is_number(str(row[i])) for row in rows)
        drawn.add_column(header, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    Console().print(drawn)


class Working:
    """What is going on, and for how long: shown on a terminal once it has taken a second."""

    def __init__(self, what: str) -> None:
        self.what, self.start = what, time.monotonic()
        self.part: tuple[int, int, str] | None = None
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._show, daemon=True)

    def progress(self, done: int, count: int, name: str) -> None:
        """Note which of many parts is at work."""
        self.part = (done, count, name)

    def _show(self) -> None:
        bar: Any = None
        while not self.done.wait(0.2 if bar else 1.0):
            bar = bar or (rich_bar(self.what) if self.part else None)
            if bar and self.part:
                bar.update(bar.task_ids[0], completed=self.part[0], total=self.part[1], part=self.part[2])
            else:
                text = "" if self.part is None else f", {self.part[2]} ({self.part[0] + 1} of {self.part[1]})"
                print(f"\r\033[K{self.what}{text} ... {time.monotonic() - self.start:.0f} s", end="", file=sys.stderr)
                sys.stderr.flush()
        if bar:
            bar.stop()


@contextlib.contextmanager
def working(what: str) -> Iterator[Working]:
    """Show what is going on while the body runs."""
    shown = Working(what)
    if not sys.stderr.isatty():
        yield shown
        return
    shown.thread.start()
    try:
        yield shown
    finally:
        shown.done.set()
        shown.thread.join()
        if time.monotonic() - shown.start > 1.0:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def rich_bar(what: str) -> Any:
    """A started progress bar on standard error that vanishes when it is stopped; None without rich."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:
        return None
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[part]}"),
    ]
    print("\r\033[K", end="", file=sys.stderr, flush=True)
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(what, total=None, part="")
    bar.start()
    return bar


def read_arrays(sources: Sequence[str], model: Model) -> dict[str, np.ndarray]:
    """Read input arrays from ``file.npz``, ``name=file.npy`` and, for a model with one input, ``file.npy``."""
    plain = [port.name for port in model.inputs if port.state is None]
    arrays: dict[str, np.ndarray] = {}
    for source in sources:
        name, _, path = ("", "", source) if Path(source).exists() else source.rpartition("=")
        loaded = read_file(path)
        if isinstance(loaded, np.ndarray):
            if not name and len(plain) != 1:
                raise ArgumentError(f"{path}: say which input it is, as name={path}; the inputs are {', '.join(plain)}")
            arrays[name or plain[0]] = loaded
        elif name:
            raise ArgumentError(f"{path}: an .npz names its arrays itself; give it without '{name}='")
        else:
            arrays.update(loaded)
    return arrays


def write_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write .npz, or .npy for one array, under a temporary name that is renamed when it is whole."""
    if path.endswith(".npy") and len(arrays) != 1:
        raise ArgumentError(f"{path}: there are {len(arrays)} outputs; an .npy file holds one, so name an .npz file")
    if not path.endswith((".npy", ".npz")):
        raise ArgumentError(f"{path}: expected a name that ends in .npz or .npy")
    directory = os.path.dirname(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=".tinyrnn-")
    try:
        with open(handle, "wb") as file:
            if path.endswith(".npy"):
                np.save(file, next(iter(arrays.values())))
            else:
                # savez takes arrays as keywords, among which `file` is its own.
                write_npz(file, arrays)
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_npz(file: object, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an .npz with any names, as numpy.savez does."""
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:  # type: ignore[call-overload]
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asarray(array), allow_pickle=False)


def umask() -> int:
    """Return the process's umask, which can only be read by setting it."""
    value = os.umask(0)
    os.umask(value)
    return value
