# SPDX-License-Identifier: Apache-2.0
"""RNN, LSTM and GRU in float64, with every attribute and input that ONNX gives them.

Equations: the operator documentation of ONNX (RNN-22, LSTM-22, GRU-22), from which the names are taken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..onnx_model import OnnxNode
from ..registry import reference
from .elementwise import FUNCTIONS
from .recurrent import GATES, Cell, cell

Activation = Callable[[np.ndarray], np.ndarray]


@reference("RNN", "LSTM", "GRU")
def recurrence(
    node: OnnxNode,
    x: np.ndarray,
    w: np.ndarray,
    r: np.ndarray,
    b: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    h0: np.ndarray | None = None,
    c0: np.ndarray | None = None,
    p: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:
    """(Y, Y_h) or, for LSTM, (Y, Y_h, Y_c)."""
    c = cell(node, r.shape[2])
    if c.layout:
        x = x.swapaxes(0, 1)
        h0, c0 = (None if v is None else v.swapaxes(0, 1) for v in (h0, c0))
    steps, rows, _ = x.shape
    b = np.zeros((c.directions, 2 * GATES[c.kind] * c.hidden), x.dtype) if b is None else b
    p = np.zeros((c.directions, 3 * c.hidden), x.dtype) if p is None else p
    zero = np.zeros((c.directions, rows, c.hidden), x.dtype)
    h0, c0 = (zero if v is None else v for v in (h0, c0))
    lengths = np.full(rows, steps) if lengths is None else lengths
    y = np.zeros((steps, c.directions, rows, c.hidden), x.dtype)
    y_h, y_c = np.array(h0), np.array(c0)
    count = len(c.activations) // c.directions
    for d in range(c.directions):
        functions = [activation(c, d * count + i, clipped=i < 2) for i in range(count)]
        backwards = c.direction == "REVERSE" or d == 1
        for row in range(rows):
            length = int(lengths[row])
            h, s = h0[d, row], c0[d, row]
            for t in reversed(range(length)) if backwards else range(length):
                h, s = step(c, functions, x[t, row], h, s, w[d], r[d], b[d], p[d])
                y[t, d, row] = h
            y_h[d, row], y_c[d, row] = h, s
    if c.layout:
        y, y_h, y_c = y.transpose(2, 0, 1, 3), y_h.swapaxes(0, 1), y_c.swapaxes(0, 1)
    return (y, y_h, y_c) if c.kind == "LSTM" else (y, y_h)


def activation(c: Cell, i: int, clipped: bool) -> Activation:
    """The i-th activation. clip bounds the sums of the gates; the cell state that LSTM's h takes is left alone."""
    name, alpha, beta = c.activations[i]
    if not clipped:
        return lambda a: FUNCTIONS[name](a, alpha, beta)

    def apply(a: np.ndarray) -> np.ndarray:
        return np.asarray(FUNCTIONS[name](np.clip(a, -c.clip, c.clip), alpha, beta))

    return apply


def step(
    c: Cell,
    functions: list[Activation],
    x: np.ndarray,
    h: np.ndarray,
    s: np.ndarray,
    w: np.ndarray,
    r: np.ndarray,
    b: np.ndarray,
    p: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """One step of one row: the new (hidden state, cell state)."""
    gates = GATES[c.kind]
    wb, rb = np.split(b, 2)
    if c.kind == "RNN":
        return functions[0](w @ x + r @ h + wb + rb), s
    if c.kind == "GRU":
        f, g = functions
        (wz, wr, wh), (rz, rr, rh) = np.split(w @ x + wb, gates), np.split(r, gates)
        bz, br, bh = np.split(rb, gates)
        z = f(wz + rz @ h + bz)
        reset = f(wr + rr @ h + br)
        hidden = g(wh + reset * (rh @ h + bh)) if c.linear_before_reset else g(wh + rh @ (reset * h) + bh)
        return (1 - z) * hidden + z * h, s
    f, g, o = functions
    ai, ao, af, ac = np.split(w @ x + r @ h + wb + rb, gates)
    pi, po, pf = np.split(p, 3)
    input_gate = f(ai + pi * s)
    forget_gate = 1 - input_gate if c.input_forget else f(af + pf * s)
    s = forget_gate * s + input_gate * g(ac)
    return f(ao + po * s) * o(s), s
