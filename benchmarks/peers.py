# SPDX-License-Identifier: Apache-2.0
"""tinyrnn for another harness of the same kind, which takes this file by PEERS_TINYRNN=benchmarks/peers.py.

It calls a session's `call()` and `outputs(xs)` and catches `Unsupported` of its own package, within which it loads this
file. Its workloads have w.mode ("step", "seq", "batch", "real"), w.x(), w.ensure_onnx(), and for real models w.path,
w.const, w.x_data(n).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from adapters.base import Session  # of the harness

import tinyrnn
from tinyrnn.converters import convert_bytes


class TinyRNN(Session):
    """`stream.bind` where the state goes on, else `model.run`."""

    def __init__(self, w: Any, quantize: str | None = None) -> None:
        real = w.mode == "real"
        bind = {name: value for name, value, _ in w.const} if real else {}
        content, _ = convert_bytes(Path(w.path if real else w.ensure_onnx()), bind=bind, quantize=quantize)
        self.model = tinyrnn.load(content)
        self.x = np.ascontiguousarray(w.x_data(1)[0] if real else w.x())
        self.stacks = real
        self.stream = self.model.stream() if real or w.mode == "step" else None
        if self.stream:
            self.call = self.stream.bind(self.x)
        else:
            self.y = np.array(self.model.run(self.x))

    def call(self) -> Any:
        return self.model.run(self.x, out=self.y)

    def outputs(self, xs: Any) -> Any:
        if self.stream is None:
            return self.model.run(xs)
        self.stream.reset()
        ys = [np.array(self.stream.step(np.ascontiguousarray(x.reshape(self.x.shape)))) for x in xs]
        self.stream.reset()
        return np.stack(ys) if self.stacks else np.concatenate(ys)


ENGINES = {"tinyrnn": TinyRNN, "tinyrnn_int8": partial(TinyRNN, quantize="int8")}
COLD = {"tinyrnn": ("tinyrnn", ["tinyrnn"])}
