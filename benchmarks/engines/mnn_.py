# SPDX-License-Identifier: Apache-2.0
"""MNN on one core at high precision, converted by the converter inside its package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import MNN
import numpy as np

from ..workloads import Floats, Workload
from .base import Session, SkipError, replace

# The package's converter itself: its command `mnnconvert` installs further packages and reports its use.
CONVERTER = "import sys, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"


def converted(workload: Workload, folder: Path) -> Path:
    """The workload's .mnn file.

    By default MNN unrolls a recurrence. Over time that is right for an RNN, and for an LSTM from zero, alone.
    """
    target, source = folder / f"{workload.name}.mnn", folder / f"{workload.name}.spelled_out.onnx"
    if target.exists():
        return target
    replace(source, workload.onnx(spelled_out=True).SerializeToString())
    part = target.with_suffix(".part")
    options = ["-f", "ONNX", "--modelFile", source, "--MNNModel", part, "--bizCode", "benchmark"]
    call, cell, own = workload.call, workload.cell, ["--useOriginRNNImpl"]
    unrolls_well = call.steps == 1 or cell == "rnn" or (cell == "lstm" and not call.carried)
    for more in [[], own] if unrolls_well else [own]:
        done = subprocess.run(
            [sys.executable, "-c", CONVERTER, *map(str, options), *more], capture_output=True, timeout=300, check=False
        )
        if done.returncode == 0 and part.exists():
            part.replace(target)
            return target
    raise SkipError("MNN's converter fails on it")


class Module(Session):
    """A module's forward; the states are read and written, as an output shares the module's memory."""

    def __init__(self, workload: Workload, folder: Path) -> None:
        super().__init__(workload)
        path, states = converted(workload, folder), workload.states()
        runtime = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": 1, "precision": "high"},))
        names = ["x", *(a for a, _ in states)], ["y", *(b for _, b in states)]
        self.module = MNN.nn.load_module_from_file(str(path), *names, runtime_manager=runtime, shape_mutable=False)
        self.runtime = runtime
        self.feed(workload.inputs()[0])
        self.reset()

    def variable(self, array: Floats) -> Any:
        return MNN.expr.const(np.ascontiguousarray(array), list(array.shape), MNN.expr.NCHW, MNN.expr.float)

    def feed(self, x: Floats) -> None:
        self.x = self.variable(x)

    def reset(self) -> None:
        state = np.zeros((1, self.workload.call.batch, self.workload.hidden), np.float32)
        self.states = [self.variable(state) for _ in self.workload.states()]

    def call(self) -> Any:
        y, *states = self.module.forward([self.x, *self.states])
        read = y.read()
        self.states = [self.variable(state.read()) for state in states]
        return read

    def result(self, returned: Any) -> Any:
        return returned


ENGINES = {"mnn": Module}
