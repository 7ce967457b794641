# SPDX-License-Identifier: Apache-2.0
"""onnxruntime on one core: session.run with a dict, and IOBinding with the states bound crosswise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from ..workloads import Floats, Workload
from .base import Crosswise, Session, SkipError, onnx_file


def quantized(workload: Workload, folder: Path) -> Path:
    """The workload's ONNX file with int8 weights, activations quantized at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    if workload.cell != "lstm":
        raise SkipError("it quantizes no recurrent operator but LSTM")
    target = folder / f"{workload.name}.int8.onnx"
    # Products of 8 and 8 bits overflow 16 where the processor has no VNNI: 7 bits for weights.
    quantize_dynamic(onnx_file(workload, folder), target, weight_type=QuantType.QInt8, reduce_range=True)
    return target


def session(path: Path) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Run(Session):
    """session.run with a dict by name, the state outputs fed back."""

    def __init__(self, workload: Workload, folder: Path) -> None:
        super().__init__(workload)
        self.run = session(onnx_file(workload, folder)).run
        self.states = [a for a, _ in workload.states()]
        self.names = ["y", *(b for _, b in workload.states())]
        self.values: dict[str, Floats] = {}
        self.feed(workload.inputs()[0])
        self.reset()

    def feed(self, x: Floats) -> None:
        self.values["x"] = np.ascontiguousarray(x)

    def reset(self) -> None:
        for name in self.states:
            self.values[name] = np.zeros((1, self.workload.call.batch, self.workload.hidden), np.float32)

    def call(self) -> Any:
        found = self.run(self.names, self.values)
        for name, value in zip(self.states, found[1:]):
            self.values[name] = value
        return found[0]

    def result(self, returned: Any) -> Any:
        return returned


class Bound(Crosswise):
    """Two bindings that take turns."""

    def __init__(self, workload: Workload, folder: Path, file: Callable[[Workload, Path], Path] = onnx_file) -> None:
        super().__init__(workload)
        made = session(file(workload, folder))
        self.bindings = [self.bind(made, side) for side in range(2)]
        self.first, self.second = (binding._iobinding for binding in self.bindings)
        # The wrapper around this method costs as much as a small model's step.
        self.run = made._sess.run_with_iobinding

    def bind(self, made: Any, side: int) -> Any:
        binding = made.io_binding()
        inputs, outputs = self.ports(side)
        for name, array in inputs:
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in outputs:
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        return binding

    def call(self) -> Any:
        self.run(self.first, None)
        self.first, self.second = self.second, self.first


ENGINES = {"onnxruntime": Run, "onnxruntime_bound": Bound, "onnxruntime_int8": partial(Bound, file=quantized)}
