# SPDX-License-Identifier: Apache-2.0
"""ncnn on one core in float32, from a network that is written here. It has no batch: rows are run one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ncnn
import numpy as np

from ..workloads import GATES, Floats, Workload
from .base import Session, SkipError, replace

ORDER = {"lstm": (0, 2, 1, 3), "gru": (1, 0, 2), "rnn": (0,)}  # of ONNX's gates, as ncnn wants them
SIXTEEN_BITS = ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed")


def network(workload: Workload) -> tuple[str, bytes]:
    """The layers as ncnn's text, and their weights."""
    size, cell = workload.hidden, workload.cell
    ends = {"x": "x", **{a: a for a, _ in workload.states()}}
    lines = [f"Input {name} 0 1 {name}" for name in ends]
    blobs, weights, x = list(ends), bytearray(), "x"

    def ordered(array: Floats) -> Floats:
        gates = np.split(array, GATES[cell])
        return np.concatenate([gates[i] for i in ORDER[cell]])

    for k, (w, r, b) in enumerate(workload.weights()):
        x_bias, r_bias = (ordered(part) for part in np.split(b[0], 2))
        bias = x_bias + r_bias
        if cell == "gru":  # the hidden gate's two biases stay apart
            bias = np.concatenate([bias[: 2 * size], x_bias[2 * size :], r_bias[2 * size :]])
        for array in (ordered(w[0]), bias, ordered(r[0])):
            weights += bytes(4) + np.ascontiguousarray(array, np.float32).tobytes()  # a zero tag: float32
        y = "y" if k + 1 == workload.layers else f"x{k + 1}"
        mine = [(a, b) for a, b in workload.states() if a.endswith(str(k))]
        wanted, given = [x, *(a for a, _ in mine)], [y, *(b for _, b in mine)]
        head = f"{cell.upper()} layer{k} {len(wanted)} {len(given)}"
        lines.append(f"{head} {' '.join(wanted + given)} 0={size} 1={w.size} 2=0")
        blobs += given
        x = y
    return f"7767517\n{len(lines)} {len(blobs)}\n" + "\n".join(lines) + "\n", bytes(weights)


class Extractors(Session):
    """A new extractor a call, as ncnn wants it; states are fed back as they come out."""

    def __init__(self, workload: Workload, folder: Path) -> None:
        super().__init__(workload)
        if not workload.reset_after:
            raise SkipError("ncnn has no GRU that resets before its product")
        text, weights = network(workload)
        replace(folder / f"{workload.name}.param", text.encode())
        replace(folder / f"{workload.name}.bin", weights)
        self.net = ncnn.Net()
        self.net.opt.num_threads = 1
        self.net.opt.use_vulkan_compute = False
        for name in SIXTEEN_BITS:
            setattr(self.net.opt, f"use_{name}", False)
        stem = str(folder / workload.name)
        if self.net.load_param(f"{stem}.param") or self.net.load_model(f"{stem}.bin"):
            raise RuntimeError("ncnn does not take the network that was written for it")
        self.feed(workload.inputs()[0])
        self.reset()

    def feed(self, x: Floats) -> None:
        self.rows = [np.ascontiguousarray(x[:, b]) for b in range(x.shape[1])]  # ncnn keeps no copy
        self.x = [ncnn.Mat(row) for row in self.rows]

    def reset(self) -> None:
        self.zeros = [np.zeros((1, self.workload.hidden), np.float32) for _ in self.workload.states()]
        self.states = [ncnn.Mat(array) for array in self.zeros]

    def call(self) -> Any:
        names, ys = self.workload.states(), []
        for x in self.x:
            extractor = self.net.create_extractor()
            extractor.input("x", x)
            for (name, _), state in zip(names, self.states):
                extractor.input(name, state)
            ys.append(extractor.extract("y")[1])
            if names:
                self.states = [extractor.extract(name)[1] for _, name in names]
        return ys

    def result(self, returned: Any) -> Any:
        return np.stack([np.array(y) for y in returned], axis=1)


ENGINES = {"ncnn": Extractors}
