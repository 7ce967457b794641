# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on one core in float32: two infer requests that take turns, the states bound crosswise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino

from ..workloads import Workload
from .base import Crosswise, onnx_file

CONFIG = {
    "PERFORMANCE_HINT": "LATENCY",
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "INFERENCE_PRECISION_HINT": "f32",
    "ENABLE_CPU_PINNING": False,  # the whole process is pinned
}


infer = openvino._pyopenvino.InferRequest.infer  # the wrapper around it costs as much as a small model's step


class Bound(Crosswise):
    """The synchronous call below the wrapper, in the caller's thread; results stay in the bound tensors."""

    def __init__(self, workload: Workload, folder: Path) -> None:
        super().__init__(workload)
        made = openvino.Core().compile_model(str(onnx_file(workload, folder)), "CPU", CONFIG)
        self.requests = [self.request(made, side) for side in range(2)]
        self.turn = 0

    def request(self, made: Any, side: int) -> Any:
        request = made.create_infer_request()
        inputs, outputs = self.ports(side)
        for name, array in [*inputs, *outputs]:
            request.set_tensor(name, openvino.Tensor(array, shared_memory=True))
        return request

    def call(self) -> Any:
        infer(self.requests[self.turn], {}, True, False)
        self.turn = 1 - self.turn


ENGINES = {"openvino": Bound}
