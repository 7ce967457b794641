# SPDX-License-Identifier: Apache-2.0
"""Recurrent cells and products in 8 bits for trnn_engine.py, from docs/format.md and docs/arithmetic.md alone."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from types import SimpleNamespace as Record
from typing import Any

import numpy as np

from trnn_functions import FUNCTIONS
from trnn_reader import need

f32 = np.float32
RNN, LSTM, GRU = range(3)
GATES = {RNN: 1, LSTM: 4, GRU: 3}


class Cell:
    """One direction of a recurrence, and a step of one row."""

    def __init__(self, stream: Any, c: Record, d: int, w: Any, activations: list[int]) -> None:
        def of(index: int | None, matrix: bool = False) -> Any:
            if index is None:
                return None
            return matrix_of(stream.matrices(index), d) if matrix else stream.read(index)[d].astype(f32)

        self.c, self.multiply, self.clip = c, stream.multiply, number(c.clip)
        self.gates = 2 if c.cell == GRU and not c.linear_before_reset else GATES[c.cell]
        self.w, self.r, self.bias = matrix_of(w, d), of(c.recurrent_weights, True), of(c.bias)
        self.hw, self.hr = of(c.hidden_input_weights, True), of(c.hidden_recurrent_weights, True)
        self.hidden_bias, self.peepholes = of(c.hidden_bias), of(c.peepholes)
        self.ranges = [None] * 3 if c.ranges is None else list(of(c.ranges))
        self.functions = [activations[i : i + 3] for i in range(0, len(activations), 3)]

    def split(self, a: np.ndarray) -> list[np.ndarray]:
        """[1, G*Hp] -> G times [1, H] in float64."""
        apart = a.reshape(-1, self.gates, 16)
        return [apart[:, g].reshape(1, -1)[:, : self.c.hidden_size].astype(np.float64) for g in range(self.gates)]

    def activation(self, i: int, x: np.ndarray, clipped: bool = True) -> np.ndarray:
        """The i-th one."""
        function, alpha, beta = self.functions[i]
        return activate(function, np.clip(x, -self.clip, self.clip) if clipped else x, number(alpha), number(beta))

    def step(self, x: np.ndarray, h: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The next h and c."""
        c, f = self.c, self.activation
        by_x = self.multiply(x, self.w, self.bias, self.ranges[0], True)
        a = self.split(self.multiply(h, self.r, by_x, self.ranges[1]))
        if c.cell == RNN:
            return f(0, a[0]), s
        if c.cell == LSTM:
            return self.lstm(a, s)
        z, r = f(0, a[0]), f(0, a[1])
        if c.linear_before_reset:
            hidden = np.zeros_like(self.bias).reshape(-1, 3, 16)
            hidden[:, 2] = self.hidden_bias.reshape(-1, 16)
            by_h = self.split(self.multiply(h, self.r, hidden.reshape(-1), self.ranges[1]))[2]
            n = f(1, self.split(by_x)[2] + r * by_h)
        else:
            start = self.multiply(x, self.hw, self.hidden_bias, self.ranges[0], True)
            n = f(
                1,
                self.multiply((r * h).astype(f32), self.hr, start, self.ranges[2])[:, : c.hidden_size].astype(
                    np.float64
                ),
            )
        return ((1 - z) * n + z * h).astype(f32), s

    def lstm(self, a: list[np.ndarray], s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gates i o f c."""
        f, size = self.activation, self.c.hidden_size
        p = np.zeros((3, size)) if self.peepholes is None else self.peepholes[:, :size].astype(np.float64)
        i = f(0, a[0] + p[0] * s)
        forget = 1 - i if self.c.input_forget else f(0, a[2] + p[2] * s)
        new = forget * s + i * f(1, a[3])
        o = f(0, a[1] + p[1] * new)
        return (o * f(2, new, False)).astype(f32), new.astype(f32)


class Whole:
    """Matrices [..., K, N] of whole numbers, packed."""

    def __init__(self, weights: np.ndarray, scales: np.ndarray, shape: tuple[int, ...]) -> None:
        self.weights, self.scales, self.shape = weights, scales, shape


class Matrix:
    """One of them: the weights [K, N] and scales [N]."""

    def __init__(self, weights: np.ndarray, scales: np.ndarray) -> None:
        self.w, self.scales = weights, scales

    def __getitem__(self, columns: Any) -> Matrix:
        return Matrix(self.w[columns], self.scales[columns])

    def product(self, x: np.ndarray, start: Any, limit: Any, fine: bool) -> np.ndarray:
        """start + x w, by rows of codes; float32, each operation rounded once."""
        result = np.zeros((len(x), self.w.shape[1]), f32)
        start = np.broadcast_to(np.asarray(start, f32), result.shape)
        for row in range(len(x)):
            y = start[row]
            for codes, scale in self.codes(x[row].astype(f32), limit, fine):
                y = y + (codes @ self.w.astype(np.int64)).astype(f32) * (scale * self.scales)
            result[row] = y
        return result

    def codes(self, x: np.ndarray, limit: Any, fine: bool) -> Iterator[tuple[np.ndarray, np.float32]]:
        """What is multiplied with the weights: (codes, scale)."""
        wide = self.w.dtype == np.int16
        a, most = f32(np.abs(x).max(initial=0) if limit is None else limit), f32(8191 if wide else 127)
        if not np.isfinite(a) or not np.isfinite(x).all():
            codes, scale = np.zeros(len(x)), f32(np.nan)
        elif a < f32(2.0**-100):
            codes, scale = np.zeros(len(x)), f32(0)
        else:
            codes, scale = np.clip(np.rint(x * (most / a)), -most, most), a * (f32(1) / most)
        whole = codes.astype(np.int64)
        yield whole, scale
        if fine and not wide and np.abs(whole).sum() < 12 * len(x) and limit is None and scale > 0:
            rest = np.rint((x * (most / a) - codes.astype(f32)) * f32(254))
            yield rest.astype(np.int64), scale / f32(254)


def matrix_of(w: Any, i: int) -> Any:
    """One matrix of a packed operand, counted through its leading axes."""
    if isinstance(w, Whole):
        return Matrix(w.weights[i, : w.shape[-2]], w.scales[i])
    return w.reshape(-1, *w.shape[-2:])[i]


def activate(function: int, x: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """A function of one float, in float64."""
    arity, classes, make = FUNCTIONS[function]
    need(arity == 1 and classes == "ff", "an activation")
    return make(x, alpha=alpha, beta=beta)


def number(bits: int) -> float:
    """A float attribute."""
    return float(f32(struct.unpack("<d", struct.pack("<q", bits))[0]))
