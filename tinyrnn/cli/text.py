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

import numpy as np

from tinyrnn import ArgumentError, Model


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table: by rich on a terminal where it is installed, else as plain text. Numbers go to the right."""
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            rich_table(headers, rows)
            return
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    right = [
        bool(rows) and all(isinstance(row[i], (int, float)) or is_number(str(row[i])) for row in rows)
        for i in range(len(headers))
    ]
    for row in [list(headers), ["-" * width for width in widths], *cells]:
        print("  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)).rstrip())


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


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number, with thousands separators or not."""
    try:
        float(cell.replace(",", ""))
    except ValueError:
        return False
    return True


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show what is going on, and for how long, on a terminal, once it has taken a second."""
    if not sys.stderr.isatty():
        yield
        return
    done, start = threading.Event(), time.monotonic()

    def show() -> None:
        while not done.wait(1.0):
            print(f"\r{what} ... {time.monotonic() - start:.0f} s", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        if time.monotonic() - start > 1.0:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


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


def read_file(path: str) -> np.ndarray | dict[str, np.ndarray]:
    """Read an .npy or .npz file; objects in it are refused."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib, ast and struct errors alike: the file is not what it says
        raise ArgumentError(
            f"{path}: not an .npy or .npz file of plain arrays ({type(error).__name__}: {error})"
        ) from None


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
