# SPDX-License-Identifier: Apache-2.0
"""tinyrnn from Python, by its quickest calls: outputs are written into arrays of the caller, or arrays are bound."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tinyrnn
from tinyrnn.converters import convert_bytes

from ..workloads import Floats, Workload
from .base import Session, SkipError, onnx_file, replace


def converted(workload: Workload, folder: Path, quantize: str | None = None) -> Path:
    """The workload's .trnn file, made anew each time: by the converter that is installed now."""
    target = folder / f"{'.'.join(filter(None, (workload.name, quantize)))}.trnn"
    content, _ = convert_bytes(onnx_file(workload, folder), quantize=quantize)
    replace(target, content)
    return target


class Python(Session):
    """`stream.step` or `stream.run` where the state goes on, else `model.run`."""

    def __init__(self, workload: Workload, folder: Path, quantize: str | None = None) -> None:
        super().__init__(workload)
        call = workload.call
        self.model = tinyrnn.load(converted(workload, folder, quantize))
        self.stream = self.model.stream() if call.carried else None
        self.isa = self.model.isa
        self.y = np.zeros((call.steps, call.batch, workload.hidden), np.float32)
        self.method: Any = self.model.run
        if self.stream is not None:
            self.method = self.stream.step if call.steps == 1 else self.stream.run
        self.feed(workload.inputs()[0])

    def feed(self, x: Floats) -> None:
        self.x = np.ascontiguousarray(x)

    def reset(self) -> None:
        if self.stream is not None:
            self.stream.reset()

    def call(self) -> Any:
        return self.method(self.x, out=self.y)

    def result(self, returned: Any) -> Any:
        return self.y


class Bound(Python):
    """`stream.bind`: a step without arguments."""

    def __init__(self, workload: Workload, folder: Path) -> None:
        if workload.call.steps > 1:
            raise SkipError("single steps alone can be bound")
        super().__init__(workload, folder)

    def feed(self, x: Floats) -> None:
        super().feed(x)
        self.step = self.stream.bind(self.x, out=self.y)

    def call(self) -> Any:
        return self.step()


ENGINES = {"tinyrnn": Python, "tinyrnn_bound": Bound, "tinyrnn_int8": partial(Python, quantize="int8")}
