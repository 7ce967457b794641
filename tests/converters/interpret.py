# SPDX-License-Identifier: Apache-2.0
"""Runs a lowered graph in NumPy, slowly and plainly: the oracle for the lowering and the passes, without the engine."""

from __future__ import annotations

from typing import Any

import numpy as np

import exact
import windows
from tinyrnn import format as fmt
from tinyrnn.converters import dims as dm
from tinyrnn.converters import packing
from tinyrnn.converters.ir import NUMPY_TYPE, Graph, Node, Tensor
from tinyrnn.converters.ops.elementwise import FUNCTIONS

INTEGER = {
    "I_IDENTITY": lambda a: a,
    "I_ADD": lambda a, b: a + b,
    "I_SUB": lambda a, b: a - b,
    "I_MUL": lambda a, b: a * b,
    "I_DIV": lambda a, b: np.where(b == 0, 0, (a - np.fmod(a, np.where(b == 0, 1, b))) // np.where(b == 0, 1, b)),
    "I_MIN": np.minimum,
    "I_MAX": np.maximum,
    "I_NEG": lambda a: -a,
    "I_ABS": np.abs,
    "I_TO_F": lambda a: a.astype(np.float32),
    "F_TO_I": lambda a: np.nan_to_num(a, nan=0.0).astype(np.int64),
    "F_TO_BOOL": lambda a: (a != 0).astype(np.int64),
    "I_TO_BOOL": lambda a: (a != 0).astype(np.int64),
    "I_MOD": lambda a, b: np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b))),
    "I_FMOD": lambda a, b: np.where(b == 0, 0, np.fmod(a, np.where(b == 0, 1, b))),
    "I_AND": lambda a, b: ((a != 0) & (b != 0)).astype(np.int64),
    "I_OR": lambda a, b: ((a != 0) | (b != 0)).astype(np.int64),
    "I_XOR": lambda a, b: ((a != 0) ^ (b != 0)).astype(np.int64),
    "I_NOT": lambda a: (a == 0).astype(np.int64),
    "I_SIGN": np.sign,
    "I_WHERE": lambda a, b, c: np.where(a != 0, b, c),
    "I_EQUAL": lambda a, b: (a == b).astype(np.int64),
    "I_LESS": lambda a, b: (a < b).astype(np.int64),
    "I_LESS_EQUAL": lambda a, b: (a <= b).astype(np.int64),
    "I_BIT_AND": np.bitwise_and,
    "I_SHIFT_LEFT": lambda a, b: np.where((b < 0) | (b > 63), 0, np.left_shift(a, np.clip(b, 0, 63))),
    "I_SHIFT_RIGHT": lambda a, b: np.right_shift(a, np.where((b < 0) | (b > 63), 63, b)),
}


class Run:
    """One call of a graph: the memory of every root, as flat arrays. States keep theirs from call to call."""

    def __init__(self, graph: Graph, wide: bool = True) -> None:
        self.graph = graph
        self.float = np.float64 if wide else np.float32
        self.states: dict[int, np.ndarray] = {}

    def __call__(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output by name. A state that no input gives goes on from the last call, or from its first value."""
        self.symbols: dict[str, int] = {}
        self.memory: dict[int, np.ndarray] = {}
        for port in self.graph.inputs:
            if port.name in feeds:
                self._bind(port.name, port.tensor, np.asarray(feeds[port.name]))
        for state in self.graph.states:
            self._start(state, feeds)
        self.block(self.graph.nodes)
        renewed = [(d, np.array(self.read(s))) for state in self.graph.states for d, s in state.ties]
        for destination, values in renewed:
            self.view(destination)[...] = values
        self.states = {id(s.tensor): self.memory[id(s.tensor)] for s in self.graph.states}
        return {p.name: self.read(p.tensor).astype(NUMPY_TYPE[p.tensor.dtype]) for p in self.graph.outputs}

    def block(self, nodes: list[Node]) -> None:
        """Run operators in their order."""
        for node in nodes:
            getattr(self, "_" + node.kind)(node)

    def _branch(self, node: Node) -> None:
        condition = self.read(node.inputs[0])
        holds = condition.size > 0 if node.attributes["by_size"] else condition.reshape(-1)[0]
        self.block(node.blocks[0 if holds else 1])

    def _shape(self, node: Node) -> None:
        self.view(node.outputs[0])[...] = self.shape(node.inputs[0])

    def _range(self, node: Node) -> None:
        start, delta = self.read(node.inputs[0]), self.read(node.inputs[1])
        y = self.view(node.outputs[0])
        y[...] = start + np.arange(len(y)) * delta

    def _bind(self, name: str, t: Tensor, array: np.ndarray) -> None:
        if t.storage == "STATE" and array.dtype.kind == "f":
            array = array.astype(np.float32)  # a state is carried as float32, whatever its declared type
        if array.dtype != NUMPY_TYPE[t.dtype] or array.ndim != len(t.dims):
            raise ValueError(f"input {name}: {array.dtype}{array.shape} for {t.dtype}{t.dims}")
        for d, n in zip(t.dims, array.shape, strict=True):
            symbol = dm.symbol_name(d)
            if symbol is not None:
                if self.symbols.setdefault(symbol, n) != n:
                    raise ValueError(f"input {name}: {symbol} is {self.symbols[symbol]} and {n}")
            elif d != n:
                raise ValueError(f"input {name}: {n} is not {d}")
        self.memory[id(t)] = self._wide(array).reshape(-1).copy()

    def _start(self, state: Any, feeds: dict[str, np.ndarray]) -> None:
        if id(state.tensor) in self.memory:
            return
        kept = self.states.get(id(state.tensor))
        if kept is None:
            shape = self.shape(state.tensor)
            first = np.zeros(shape) if state.initial is None else np.broadcast_to(state.initial.data, shape)
            kept = self._wide(first).reshape(-1).copy()
        self.memory[id(state.tensor)] = kept

    def _wide(self, array: np.ndarray) -> np.ndarray:
        return array.astype(self.float) if array.dtype.kind == "f" else array.astype(np.int64)

    def shape(self, t: Tensor) -> tuple[int, ...]:
        """The dims of a tensor in this call."""
        return tuple(dm.evaluate(d, self.symbols) for d in t.dims)

    def view(self, t: Tensor) -> np.ndarray:
        """A tensor's elements, in place."""
        base = t.base
        if id(base) not in self.memory:
            if base.data is not None:
                data = base.data if base.packing == "NONE" else packing.unpanel(base.data, base.panel_width)
                self.memory[id(base)] = self._wide(data).reshape(-1)
            else:
                kind = self.float if base.dtype.startswith("F") else np.int64
                self.memory[id(base)] = np.full(int(np.prod(self.shape(base))), -77, kind)
        flat = self.memory[id(base)]
        offset = dm.evaluate(t.offset, self.symbols)
        shape = self.shape(t)
        steps = [dm.evaluate(s, self.symbols) for s in t.step]
        ends = [s * (n - 1) for s, n in zip(steps, shape, strict=True)]
        if 0 not in shape:
            low, high = offset + sum(min(e, 0) for e in ends), offset + sum(max(e, 0) for e in ends)
            if low < 0 or high >= flat.size:
                raise ValueError(f"a view of {base.name} reaches {low}..{high} of {flat.size}")
        strides = [s * flat.itemsize for s in steps]
        return np.lib.stride_tricks.as_strided(flat[offset:], shape, strides)

    def read(self, t: Tensor | None) -> Any:
        """A tensor's elements, or None for an absent one; a matrix of whole numbers as such."""
        if t is not None and t.packing in packing.WHOLE:
            return exact.Whole(*packing.unpack_cells(t.data, t.dims[-2], t.panel_width))
        return None if t is None else self.view(t)

    def limit(self, node: Node) -> Any:
        """The constant range of the activations, or None."""
        place = [operand.name for operand in fmt.OPERATORS[node.kind].inputs].index("range")
        return self.read(node.inputs[place])[0] if len(node.inputs) > place else None

    def _copy(self, node: Node) -> None:
        self.view(node.outputs[0])[...] = self.read(node.inputs[0])

    def _elementwise(self, node: Node) -> None:
        values = [self.read(t) for t in node.inputs]
        assert len({v.shape for v in values} | {self.shape(node.outputs[0])}) == 1, node.name
        with np.errstate(all="ignore"):
            for function, *sources, alpha, beta in node.attributes["program"]:
                row = fmt.FUNCTIONS[function]
                given = [values[s] for s in sources[: row.inputs]]
                made = INTEGER[function](*given) if function in INTEGER else FUNCTIONS[function](*given, alpha, beta)
                values.append(made.astype(np.int64) if row.to == "i" else made)
        result = values[-1]
        dtype = NUMPY_TYPE[node.outputs[0].dtype]
        if dtype.kind in "iub" or dtype.itemsize == 2:
            result = self._wide(np.asarray(result).astype(dtype))
        self.view(node.outputs[0])[...] = result

    def _dense(self, node: Node) -> None:
        x, w = self.read(node.inputs[0]), self.read(node.inputs[1])
        y = self.view(node.outputs[0])
        bias = self.read(node.inputs[2]) if len(node.inputs) > 2 else None
        with np.errstate(all="ignore"):
            if isinstance(w, exact.Whole):
                start = 0.0 if bias is None else bias
                result = exact.product(x, w.columns(y.shape[-1]), start, self.limit(node)).astype(self.float)
            else:
                result = np.matmul(x, w[..., : y.shape[-1]])
                result = result if bias is None else result + bias
            a = node.attributes
            y[...] = FUNCTIONS[a["function"]](result, a["alpha"], a["beta"])

    def _normalize(self, node: Node) -> None:
        x, kind = self.read(node.inputs[0]), node.attributes["kind"]
        if kind == "MEAN_VARIANCE":
            variance = x.var(axis=-1, keepdims=True) + node.attributes["epsilon"]
            self.view(node.outputs[0])[...] = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(variance)
            return
        with np.errstate(invalid="ignore"):  # minus infinity everywhere gives NaN
            shifted = x - x.max(axis=-1, keepdims=True)
        total = np.exp(shifted).sum(axis=-1, keepdims=True)
        self.view(node.outputs[0])[...] = shifted - np.log(total) if kind == "LOG_SOFTMAX" else np.exp(shifted) / total

    def _reduce(self, node: Node) -> None:
        a = node.attributes
        self.view(node.outputs[0])[...] = windows.reduce(self.read(node.inputs[0]), a["kind"], a["axes"])

    def _conv(self, node: Node) -> None:
        a, y = node.attributes, self.view(node.outputs[0])
        x, w = self.read(node.inputs[0]), self.read(node.inputs[1])
        bias = self.read(node.inputs[2]) if len(node.inputs) > 2 else None
        start = 0.0 if bias is None else bias.reshape(-1, *[1] * (y.ndim - 2))
        if isinstance(w, exact.Whole):
            rows, matrix = windows.rows(x, w.matrices, y.shape[2:], a["window"]), w.columns(y.shape[1] // w.matrices)
            sums = exact.product(
                rows, matrix[:, None], 0.0 if bias is None else bias.reshape(w.matrices, 1, 1, -1), self.limit(node)
            )
            result = np.moveaxis(sums, 1, 0).swapaxes(-1, -2).reshape(y.shape).astype(self.float)
        else:
            result = windows.conv(x, w, y.shape[1], y.shape[2:], a["window"]) + start
        with np.errstate(all="ignore"):
            y[...] = FUNCTIONS[a["function"]](result, a["alpha"], a["beta"])

    def _pool(self, node: Node) -> None:
        a, y = node.attributes, self.view(node.outputs[0])
        with np.errstate(all="ignore"):
            result = windows.pool(self.read(node.inputs[0]), a["kind"], a["count_padding"], y.shape[2:], a["window"])
        y[...] = result

    def _gather(self, node: Node) -> None:
        x, indices = self.read(node.inputs[0]), self.read(node.inputs[1])
        axis = node.attributes["axis"]
        n = x.shape[axis]
        if indices.size and (indices.min() < -n or indices.max() >= n):
            raise IndexError(f"{node.name}: an index is outside {n}")
        self.view(node.outputs[0])[...] = np.take(x, indices, axis=axis)

    def _gather_elements(self, node: Node) -> None:
        x, indices = self.read(node.inputs[0]), self.read(node.inputs[1])
        self.view(node.outputs[0])[...] = x[_places(indices, x.shape, node.attributes["axis"])]

    def _gather_nd(self, node: Node) -> None:
        x, indices = self.read(node.inputs[0]), self.read(node.inputs[1])
        batch = node.attributes["batch_axes"]
        grid = list(np.indices(indices.shape[:-1], sparse=True))[:batch]
        self.view(node.outputs[0])[...] = x[(*grid, *np.moveaxis(indices, -1, 0))]

    def _scatter_elements(self, node: Node) -> None:
        x, indices, updates = (self.read(t) for t in node.inputs)
        self._put(node, x, _places(indices, x.shape, node.attributes["axis"]), updates)

    def _scatter_nd(self, node: Node) -> None:
        x, indices, updates = (self.read(t) for t in node.inputs)
        self._put(node, x, tuple(np.moveaxis(indices, -1, 0)), updates)

    def _put(self, node: Node, x: np.ndarray, places: Any, updates: np.ndarray) -> None:
        y = self.view(node.outputs[0])
        y[...] = x
        functions = {"ADD": np.add, "MUL": np.multiply, "MAX": np.maximum, "MIN": np.minimum}
        if node.attributes["kind"] == "SET":
            y[places] = updates
        else:
            functions[node.attributes["kind"]].at(y, places, updates)

    def _pack(self, node: Node) -> None:
        x = self.read(node.inputs[0])
        if len(node.inputs) > 1 and node.inputs[1] is not None:
            x = x + self.read(node.inputs[1])
        y = node.outputs[0]
        *lead, gates, units, depth = x.shape
        padded = packing.padded(units)
        full = np.zeros((*lead, gates, padded, depth), x.dtype)
        full[..., :units, :] = x
        k = len(lead)
        split = full.reshape(*lead, gates, padded // 16, 16, depth).transpose(*range(k), k + 3, k + 1, k, k + 2)
        self.view(y)[...] = split.reshape(self.shape(y))

    def _recurrent(self, node: Node) -> None:
        a = node.attributes
        x, *rest = [self.read(t) for t in node.inputs + [None] * (12 - len(node.inputs))]
        steps, rows, _ = x.shape
        directions = 2 if a["direction"] == "BIDIRECTIONAL" else 1
        h = a["hidden_size"]
        lengths = np.full(rows, steps) if rest[7] is None else rest[7]
        if lengths.size and (lengths.min() < 0 or lengths.max() > steps):
            raise IndexError(f"{node.name}: sequence_lens outside 0..{steps}")
        zero = np.zeros((directions, rows, h), self.float)
        state_h, state_c = (np.array(zero if v is None else v, self.float) for v in rest[8:10])
        y = np.zeros((steps, directions, rows, h), self.float)
        count = len(a["activations"]) // directions
        for d in range(directions):
            backwards = a["direction"] == "REVERSE" or d == 1
            own = [None if v is None else v[d] for v in rest[:7]]
            cell = Cell(a, own, a["activations"][d * count : (d + 1) * count], h)
            cell.ranges = [None] * 3 if rest[10] is None else rest[10][d]
            for t in reversed(range(steps)) if backwards else range(steps):
                on = t < lengths
                new_h, new_c = cell(x[t], state_h[d], state_c[d])
                state_h[d][on], state_c[d][on] = new_h[on], new_c[on]
                y[t, d][on] = new_h[on]
        outputs = node.outputs + [None] * 3
        for t, values in zip(outputs, (y, state_h, state_c), strict=False):
            if t is not None:
                self.view(t)[...] = values


def _places(indices: np.ndarray, shape: tuple[int, ...], axis: int) -> Any:
    n = shape[axis]
    if indices.size and (indices.min() < -n or indices.max() >= n):
        raise IndexError(f"an index is outside {n}")
    places = list(np.indices(indices.shape, sparse=True))
    places[axis] = indices
    return tuple(np.broadcast_arrays(*places))


class Cell:
    """One direction of a recurrence on packed weights, for all rows at once."""

    def __init__(self, attributes: dict[str, Any], weights: list[Any], activations: list[Any], hidden: int) -> None:
        self.a, self.h = attributes, hidden
        self.w, self.r, self.b, self.hw, self.hr, self.hb, self.p = weights
        self.activations = activations
        self.ranges: Any = [None] * 3

    def times(self, x: np.ndarray, w: Any, start: Any, what: int) -> np.ndarray:
        """start + x w; `what` is multiplied: 0 x, 1 h, 2 r * h."""
        if isinstance(w, exact.Whole):
            return exact.product(x, w, start, self.ranges[what], fine=what == 0).astype(x.dtype)
        return start + x @ w

    def sums(self, x: np.ndarray, h: np.ndarray) -> np.ndarray:
        """What the gates are made of: the bias, then the part of x, then that of h."""
        return self.times(h, self.r, self.times(x, self.w, self.b, 0), 1)

    def gates(self, m: np.ndarray, count: int) -> list[np.ndarray]:
        """[B, G*Hp] -> G times [B, H]."""
        split = m.reshape(m.shape[0], -1, count, 16)
        return [split[:, :, g].reshape(m.shape[0], -1)[:, : self.h] for g in range(count)]

    def f(self, i: int, x: np.ndarray) -> np.ndarray:
        """The i-th activation of its clipped input."""
        name, alpha, beta = self.activations[i]
        return FUNCTIONS[name](np.clip(x, -self.a["clip"], self.a["clip"]), alpha, beta)

    def __call__(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(all="ignore"):
            return getattr(self, self.a["cell"].lower())(x, h, c)

    def rnn(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        (a,) = self.gates(self.sums(x, h), 1)
        return self.f(0, a), c

    def lstm(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        i, o, f, g = self.gates(self.sums(x, h), 4)
        pi, po, pf = (0, 0, 0) if self.p is None else self.p[:, : self.h]
        i = self.f(0, i + pi * c)
        f = 1 - i if self.a["input_forget"] else self.f(0, f + pf * c)
        c = f * c + i * self.f(1, g)
        name, alpha, beta = self.activations[2]
        return self.f(0, o + po * c) * FUNCTIONS[name](
            c, alpha, beta
        ), c  # clip bounds the gates' sums, not the cell state

    def gru(self, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.a["linear_before_reset"]:
            first = self.times(x, self.w, self.b, 0)
            zh, rh, _ = self.gates(self.times(h, self.r, first, 1), 3)
            _, _, hx = self.gates(first, 3)
            columns = np.zeros_like(first)  # the hidden gate's own chain starts from its recurrent bias
            columns.reshape(len(columns), -1, 3, 16)[:, :, 2] = self.hb.reshape(-1, 16)
            _, _, hh = self.gates(self.times(h, self.r, columns, 1), 3)
            z, r = self.f(0, zh), self.f(0, rh)
            n = self.f(1, hx + r * hh)
        else:
            z, r = (self.f(0, g) for g in self.gates(self.sums(x, h), 2))
            n = self.f(1, self.times(r * h, self.hr, self.times(x, self.hw, self.hb, 0), 2)[:, : self.h])
        return (1 - z) * n + z * h, c
