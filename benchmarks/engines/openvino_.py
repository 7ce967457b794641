# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on one core in float32: two infer requests that take turns, the states bound crosswise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino

from ..workloads import Floats, Workload
from .base import Session, onnx_file

CONFIG = {
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,  # the whole process is pinned
}


infer = openvino._pyopenvino.InferRequest.infer  # the wrapper around it costs as much as a small model's step


class Bound(Session):
    """The synchronous call below the wrapper, in the caller's thread; results stay in the bound tensors."""

    def __init__(self, workload: Workload, folder: Path) -> None:
        super().__init__(workload)
        call = workload.call
        made = openvino.Core().compile_model(str(onnx_file(workload, folder)), "CPU", CONFIG)
        self.x = np.zeros((call.steps, call.batch, workload.input), np.float32)
        self.y = np.zeros((call.steps, call.batch, workload.hidden), np.float32)
        state = (1, call.batch, workload.hidden)
        self.sides = [[np.zeros(state, np.float32) for _ in workload.states()] for _ in range(2)]
        self.requests = [self.request(made, self.sides[side], self.sides[1 - side]) for side in range(2)]
        self.turn = 0
        self.feed(workload.inputs()[0])

    def request(self, made: Any, read: list[Floats], written: list[Floats]) -> Any:
        request = made.create_infer_request()
        states = self.workload.states()
        for name, array in [
            ("x", self.x),
            ("y", self.y),
            *((a, s) for (a, _), s in zip(states, read)),
            *((b, s) for (_, b), s in zip(states, written)),
        ]:
            request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        return request

    def feed(self, x: Floats) -> None:
        self.x[...] = x

    def reset(self) -> None:
        for side in self.sides:
            for state in side:
                state[...] = 0

    def call(self) -> Any:
        infer(self.requests[self.turn], {}, True, False)
        self.turn = 1 - self.turn

    def result(self, returned: Any) -> Any:
        return self.y


ENGINES = {"openvino": Bound}
