# SPDX-License-Identifier: Apache-2.0
"""``tinyrnn run model.trnn x.npy -o y.npz``."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

import tinyrnn
from tinyrnn.cli.text import read_arrays, table, working, write_arrays


def add(commands: Any) -> None:
    """Add the subcommand."""
    sub = commands.add_parser(
        "run", help="run a .trnn file on arrays", description="Run a .trnn file on arrays from .npy and .npz files."
    )
    sub.add_argument("model", metavar="MODEL.trnn")
    sub.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="x.npz, name=x.npy, or x.npy for a model with one input"
    )
    sub.add_argument(
        "-o", "--output", metavar="OUT", help="an .npz file, or .npy for one output; without it a summary is printed"
    )
    sub.add_argument("--stream", action="store_true", help="run as a stream does, in constant memory")
    sub.set_defaults(function=command)


def command(options: argparse.Namespace) -> int:
    """Run, and write or describe the outputs."""
    model = tinyrnn.load(options.model)
    arrays = read_arrays(options.inputs, model)
    with working(f"running {options.model}"):
        if options.stream:
            axes = {
                port.name: port.batch_axis
                for port in model.inputs
                if port.batch_axis is not None and port.state is None
            }
            framed = not any(port.time_axis is not None for port in model.inputs)
            sizes = {
                arrays[n].shape[a + framed] for n, a in axes.items() if n in arrays and arrays[n].ndim > a + framed
            }
            results = model.stream(batch=sizes.pop() if len(sizes) == 1 else 1).run(arrays)
        else:
            results = model.run(arrays)
    if options.output:
        write_arrays(options.output, results)
    else:
        table(
            ["output", "type", "shape", "min", "max", "mean"], [summary(name, array) for name, array in results.items()]
        )
    return 0


def summary(name: str, array: np.ndarray) -> list[object]:
    """Return one row about an array."""
    if not array.size:
        return [name, array.dtype, array.shape, "-", "-", "-"]
    values = array.astype(np.float64)
    return [name, array.dtype, array.shape, *(f"{f(values):.6g}" for f in (np.min, np.max, np.mean))]
