# SPDX-License-Identifier: Apache-2.0
"""The right answer in float64, from ONNX's equations: written apart from the converter, which it helps to judge."""

from __future__ import annotations

from typing import Any

import numpy as np

from .workloads import Workload

Doubles = np.ndarray[Any, np.dtype[np.float64]]


def sigmoid(x: Doubles) -> Doubles:
    """1 / (1 + exp(-x)), which tanh gives without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def step(w: Workload, x_part: Doubles, r: Doubles, r_bias: Doubles, h: Doubles, c: Doubles) -> tuple[Doubles, Doubles]:
    """One step of one layer: x_part (B, G*H), r (G*H, H), r_bias (G*H,), h and c (B, H) to the next h and c."""
    size = w.hidden
    if w.cell == "rnn":
        return np.tanh(x_part + h @ r.T + r_bias), c
    if w.cell == "lstm":
        i, o, f, g = np.split(x_part + h @ r.T + r_bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    update, reset = np.split(sigmoid(x_part[:, : 2 * size] + h @ r[: 2 * size].T + r_bias[: 2 * size]), 2, axis=1)
    r_hidden, b_hidden = r[2 * size :], r_bias[2 * size :]
    h_part = reset * (h @ r_hidden.T + b_hidden) if w.reset_after else (reset * h) @ r_hidden.T + b_hidden
    return (1 - update) * np.tanh(x_part[:, 2 * size :] + h_part) + update * h, c


def outputs(w: Workload) -> Doubles:
    """What every engine should give for `w.inputs()`: (calls, steps, batch, hidden) float64."""
    inputs = w.inputs()
    calls, steps, batch, _ = inputs.shape
    x = inputs.reshape(calls * steps, batch, w.input).astype(np.float64)
    for layer in w.weights():
        input_weights, recurrent_weights, biases = (array[0].astype(np.float64) for array in layer)
        x_bias, r_bias = np.split(biases, 2)
        h = c = np.zeros((batch, w.hidden))
        y = []
        for x_part in x @ input_weights.T + x_bias:
            h, c = step(w, x_part, recurrent_weights, r_bias, h, c)
            y.append(h)
        x = np.stack(y)
    return x.reshape(calls, steps, batch, w.hidden)
