# SPDX-License-Identifier: Apache-2.0
"""The command line: ``tinyrnn convert | inspect | run | verify``, one module for each."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from tinyrnn import TinyRNNError, __version__
from tinyrnn.cli import convert, inspect, run, verify

EPILOG = (
    "Exit status: 0 done, 1 refused or failed (one line on standard error says why), 2 wrong usage, 130 interrupted."
)


def parser() -> argparse.ArgumentParser:
    """Return the parser with its subcommands."""
    top = argparse.ArgumentParser(
        prog="tinyrnn", description="Run trained recurrent networks from ONNX.", epilog=EPILOG
    )
    top.add_argument("--version", action="version", version=f"tinyrnn {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="convert | inspect | run | verify")
    for module in (convert, inspect, run, verify):
        module.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    try:
        options = parser().parse_args(arguments)
        status: int = options.function(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("tinyrnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (TinyRNNError, OSError, MemoryError) as error:
        print(f"tinyrnn: {one_line(error)}", file=sys.stderr)
        return 1


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line, however many the library below used."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip()) or type(error).__name__
