# SPDX-License-Identifier: Apache-2.0
"""PyTorch on one core: cells where a call is one step, else whole layers; inference mode."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..workloads import GATES, Floats, Workload
from .base import Session, SkipError, Timing

ORDER = {"lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "rnn": (0,)}  # of ONNX's gates, as PyTorch wants them
LAYERS = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}
SINGLE = {"lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell, "rnn": torch.nn.RNNCell}


def parameters(workload: Workload) -> list[dict[str, Any]]:
    """The weights of each layer by PyTorch's names."""

    def ordered(array: Floats) -> Any:
        gates = np.split(array, GATES[workload.cell])
        return torch.from_numpy(np.concatenate([gates[i] for i in ORDER[workload.cell]]))

    found = []
    for w, r, b in workload.weights():
        x_bias, r_bias = np.split(b[0], 2)
        arrays = {"weight_ih": w[0], "weight_hh": r[0], "bias_ih": x_bias, "bias_hh": r_bias}
        found.append({name: ordered(array) for name, array in arrays.items()})
    return found


class Torch(Session):
    """A module of whole layers, or a cell a layer."""

    def __init__(self, workload: Workload, folder: Path, quantize: bool = False) -> None:
        super().__init__(workload)
        if not workload.reset_after:
            raise SkipError("PyTorch has no GRU that resets before its product")
        torch.set_num_threads(1)
        layers = parameters(workload)
        self.single = workload.call.steps == 1
        if self.single:
            widths = [workload.input] + [workload.hidden] * (workload.layers - 1)
            self.cells = [SINGLE[workload.cell](n, workload.hidden).eval() for n in widths]
            for cell, layer in zip(self.cells, layers):
                cell.load_state_dict(layer)
        else:
            self.module = LAYERS[workload.cell](workload.input, workload.hidden, workload.layers).eval()
            self.module.load_state_dict({f"{name}_l{k}": v for k, one in enumerate(layers) for name, v in one.items()})
        if quantize:
            self.quantize()
        self.feed(workload.inputs()[0])
        self.reset()

    def quantize(self) -> None:
        """int8 weights, activations quantized at run time."""
        if not self.single and self.workload.cell == "rnn":
            raise SkipError("PyTorch quantizes cells of an RNN alone")
        kinds = {*LAYERS.values(), *SINGLE.values()}
        # What is given is not exchanged, only what is in it.
        held = torch.nn.ModuleList(self.cells if self.single else [self.module])
        made = torch.ao.quantization.quantize_dynamic(held, kinds, dtype=torch.qint8)
        self.cells, self.module = list(made), made[0]

    def feed(self, x: Floats) -> None:
        x = np.array(x)
        self.x = torch.from_numpy(x[0] if self.single else x)

    def reset(self) -> None:
        call, size = self.workload.call, self.workload.hidden
        shape = (call.batch, size) if self.single else (self.workload.layers, call.batch, size)
        zeros = torch.zeros(shape)
        one = (zeros, zeros) if self.workload.cell == "lstm" else zeros
        self.state: Any = [one] * self.workload.layers if self.single else one

    def call(self) -> Any:
        if not self.single:
            if not self.workload.call.carried:
                return self.module(self.x)[0]
            y, self.state = self.module(self.x, self.state)
            return y
        y = self.x
        for k, cell in enumerate(self.cells):
            self.state[k] = cell(y, self.state[k])
            y = self.state[k][0] if self.workload.cell == "lstm" else self.state[k]
        return y

    def result(self, returned: Any) -> Any:
        return returned.numpy()

    def outputs(self, xs: Floats) -> Floats:
        with torch.inference_mode():
            return super().outputs(xs)

    def time(self, count: int) -> Timing:
        with torch.inference_mode():
            return super().time(count)

    def each(self, count: int) -> Timing:
        with torch.inference_mode():
            return super().each(count)


ENGINES = {"torch": Torch, "torch_int8": partial(Torch, quantize=True)}
