# SPDX-License-Identifier: Apache-2.0
"""tinyrnn at the C level, and the streaming-read ceiling: the program benchmarks/step.c does both."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tinyrnn

from ..workloads import Floats, Workload
from .base import Session, Timing, step_program
from .tinyrnn_python import converted


class Program(Session):
    """A running step program that takes commands."""

    def __init__(self, workload: Workload, arguments: list[Any]) -> None:
        super().__init__(workload)
        self.command = [str(step_program()), *map(str, arguments)]
        self.process = subprocess.Popen(
            [*self.command, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, what: str, count: int) -> Timing:
        """Give a command; raise what the program said when it ended instead."""
        process: Any = self.process
        with suppress(BrokenPipeError):
            process.stdin.write(f"{what} {count}\n")
            process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(process.stderr.read().strip() or f"the step program ended with {process.wait()}")
        return Timing(**json.loads(line))

    def time(self, count: int) -> Timing:
        return self.ask("time", count)

    def each(self, count: int) -> Timing:
        return self.ask("each", count)

    def close(self) -> None:
        self.process.communicate("")


class Library(Program):
    """trn_stream_step or trn_stream_run."""

    def __init__(self, workload: Workload, folder: Path, quantize: str | None = None) -> None:
        call = workload.call
        kind = "step" if call.steps == 1 else "run" if call.carried else "whole"
        shape = ["--call", kind, "--steps", call.steps, "--batch", call.batch]
        super().__init__(workload, [converted(workload, folder, quantize), *shape])

    def outputs(self, xs: Floats) -> Floats:
        done = subprocess.run([*self.command, "--feed"], input=xs.tobytes(), capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.decode().strip())
        return np.frombuffer(done.stdout, np.float32).reshape(*xs.shape[:3], self.workload.hidden)


class Ceiling(Program):
    """Reads of the bytes of a file's weights and nothing else: a call reads them once, as a step must."""

    def __init__(self, workload: Workload, folder: Path, quantize: str | None = None) -> None:
        weights = tinyrnn.load(converted(workload, folder, quantize)).memory()["weights"]
        super().__init__(workload, ["--ceiling", weights])


ENGINES = {"tinyrnn_c": Library, "ceiling": Ceiling}
ENGINES |= {f"{name}_int8": partial(made, quantize="int8") for name, made in ENGINES.items()}
