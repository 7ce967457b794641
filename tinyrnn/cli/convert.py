# SPDX-License-Identifier: Apache-2.0
"""``tinyrnn convert model.onnx model.trnn``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from tinyrnn import TinyRNNError
from tinyrnn.cli.text import table, working


def add(commands: Any) -> None:
    """Add the subcommand."""
    sub = commands.add_parser(
        "convert", help="make a .trnn file of an ONNX model", description="Make a .trnn file of an ONNX model."
    )
    sub.add_argument("source", metavar="MODEL.onnx")
    sub.add_argument("target", metavar="OUT.trnn")
    sub.add_argument(
        "--bind",
        action="append",
        default=[],
        type=binding,
        metavar="NAME=VALUE",
        help="fix an input that only steers, such as sr=16000; a list as [1, 2]",
    )
    sub.add_argument(
        "--shape",
        action="append",
        default=[],
        type=shape,
        metavar="NAME=DIM,DIM,...",
        help="the shape of an input: a number or a symbol's name for each axis, as x=batch,time,40",
    )
    sub.add_argument(
        "--time-axis",
        action="append",
        default=[],
        type=axis,
        metavar="NAME=AXIS",
        help="the axis of an input that runs over the steps, where it is not found, or another one is",
    )
    states = sub.add_mutually_exclusive_group()
    states.add_argument(
        "--state",
        action="append",
        default=[],
        type=pair,
        metavar="INPUT=OUTPUT",
        help="this input is the state that this output renews (nothing else is then tied)",
    )
    states.add_argument("--no-state", action="store_true", help="leave states as plain inputs and outputs")
    add_quantization(sub)
    sub.add_argument("--json", action="store_true", help="print the report as JSON")
    sub.set_defaults(function=command)


def add_quantization(sub: argparse.ArgumentParser) -> None:
    """Add the options about precision."""
    sub.add_argument(
        "--quantize",
        metavar="MODE",
        help="weights of products and convolutions in this precision: int8, or int16, finer; embeddings in 8 bits",
    )
    sub.add_argument(
        "--calibrate", metavar="X.npz", help="input arrays to measure errors and ranges on; random ones otherwise"
    )
    sub.add_argument(
        "--keep-float",
        action="append",
        default=[],
        metavar="NAME",
        help="leave the ONNX node, or the weights, of this name in float32",
    )
    sub.add_argument(
        "--activations",
        choices=("dynamic", "static"),
        default="dynamic",
        help="scales of each row and step, or constant ones from --calibrate (default dynamic)",
    )


def pair(argument: str) -> tuple[str, str]:
    """Split NAME=VALUE at the last sign, since names of ONNX hold any character."""
    name, sign, value = argument.rpartition("=")
    if not sign or not name or not value:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {argument!r}")
    return name, value


def axis(argument: str) -> tuple[str, int]:
    """Parse NAME=AXIS with an integer."""
    name, value = pair(argument)
    try:
        return name, int(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected an axis, found {value!r}") from None


def binding(argument: str) -> tuple[str, Any]:
    """Parse NAME=VALUE with a number, true, false, or a list of them."""
    name, value = pair(argument)
    try:
        return name, json.loads(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, true, false or a list, found {value!r}") from None


def shape(argument: str) -> tuple[str, list[int | str]]:
    """Parse NAME=DIM,DIM,...; digits are numbers, the rest symbols."""
    name, value = pair(argument)
    dims = [dim.strip() for dim in value.split(",")]
    if not all(dims):
        raise argparse.ArgumentTypeError(f"expected DIM,DIM,..., found {value!r}")
    return name, [int(dim) if dim.isdecimal() else dim for dim in dims]


def command(options: argparse.Namespace) -> int:
    """Convert, and print what came of it."""
    try:
        from tinyrnn.converters import convert
    except ImportError as error:
        if (error.name or "").split(".")[0] == "tinyrnn":
            raise
        raise TinyRNNError(f"converting needs the package {error.name}: pip install 'tinyrnn[convert]'") from None
    states = "keep" if options.no_state else dict(options.state) if options.state else "auto"
    with working(f"converting {options.source}") as work:
        report = convert(
            options.source,
            options.target,
            bind=dict(options.bind),
            shapes=dict(options.shape),
            states=states,
            time_axis=dict(options.time_axis),
            quantize=options.quantize,
            calibrate=options.calibrate,
            keep_float=options.keep_float,
            activations=options.activations,
            progress=work.progress,
        )
    if options.json:
        print(json.dumps(report.to_dict(), indent=2))
        return 0
    print(report.summary())
    for headers, rows in report.tables():
        print()
        table(headers, rows)
    return 0
