# SPDX-License-Identifier: Apache-2.0
"""An engine for what trnn_reader.py reads, written from docs/format.md and docs/arithmetic.md alone.

Floats are computed in float64 and rounded to float32 where an operator writes them; integers and products in 8 bits
are exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace as Record
from typing import Any

import numpy as np

from trnn_cells import GRU, LSTM, RNN, Cell, Matrix, Whole, activate, matrix_of, number
from trnn_functions import FLOATS, FUNCTIONS
from trnn_reader import (
    ADD,
    BOOL,
    CEIL_DIV,
    CONSTANT,
    DTYPES,
    F16,
    F32,
    F64,
    FLOOR_DIV,
    MAX,
    MIN,
    MOD,
    MUL,
    NONE,
    OPERATORS,
    PLAIN,
    SUB,
    SYMBOL,
    VIEW,
    WEIGHTS,
    File,
    RefusedError,
    need,
    panels,
    per_cell_of,
    whole_numbers,
    words,
)

f32 = np.float32


OPERATIONS: dict[int, Callable[[int, int], int]] = {
    ADD: lambda a, b: a + b,
    SUB: lambda a, b: a - b,
    MUL: lambda a, b: a * b,
    FLOOR_DIV: lambda a, b: a // b,
    CEIL_DIV: lambda a, b: -(-a // b),
    MOD: lambda a, b: a % b,
    MIN: min,
    MAX: max,
}


def evaluate(f: File, dim: Record, symbols: Sequence[int]) -> int:
    """A dim in numbers."""
    if dim.expression == NONE:
        return dim.value
    e, stack = f.expressions[dim.expression], []
    for t in f.terms[e.first_term : e.first_term + e.term_count]:
        if t.kind in (CONSTANT, SYMBOL):
            stack.append(t.value if t.kind == CONSTANT else symbols[t.symbol])
            continue
        b, a = stack.pop(), stack.pop()
        need(t.kind not in (FLOOR_DIV, CEIL_DIV, MOD) or b > 0, "b < 1", "OVERFLOW")
        stack.append(OPERATIONS[t.kind](a, b))
        need(-(2**63) <= stack[-1] < 2**63, "64 bits", "OVERFLOW")
    return stack[0]


class Stream:
    """States, and calls that go on from them."""

    def __init__(self, file: File) -> None:
        self.f, self.states = file, {}
        self.packed: dict[int, Any] = {}  # constants in panels, taken apart once

    def call(self, inputs: Sequence[np.ndarray | None], carry: bool = True) -> list[np.ndarray]:
        """The outputs; the states go on if `carry`, and otherwise begin anew."""
        f = self.f
        if not carry:
            self.states = {}
        self.symbols = [-1] * len(f.symbols)
        for port, x in zip(f.inputs, inputs, strict=True):
            if x is not None:
                self._bind(f.tensors[port.tensor], x)
        for index, values in self.states.items():  # a state may be all that knows of the batch
            self._bind(f.tensors[index], values)
        self.memory: dict[int, np.ndarray] = {}
        for s in f.states:
            self._start(s)
        for port, x in zip(f.inputs, inputs, strict=True):
            if x is not None:
                values = x.view(DTYPES[f.tensors[port.tensor].dtype]) if x.dtype == bool else x
                self.memory[port.tensor] = values.reshape(-1).copy()
        self.block(0)
        renewed = [(k.destination, self.read(k.source).copy()) for s in f.states for k in self._ties(s)]
        for destination, values in renewed:
            self.view(destination)[...] = values
        self.states = {s.tensor: self.view(s.tensor).copy() for s in f.states}
        outputs = [self.read(p.tensor).copy() for p in f.outputs]
        return [
            y.view(bool) if f.tensors[p.tensor].dtype == BOOL else y for p, y in zip(f.outputs, outputs, strict=True)
        ]

    def _bind(self, t: Record, x: np.ndarray) -> None:
        dims = self.f.sizes(t.dims, t.rank)
        need(x.ndim == t.rank, "rank", "SHAPE")
        for d, n in zip(dims, x.shape, strict=True):
            s = self.f.symbol_of(d)
            if s != NONE and self.symbols[s] < 0:
                self.symbols[s] = n
            need(d.expression != NONE or d.value == n, "a dimension", "SHAPE")
            need(s == NONE or self.symbols[s] == n, "a symbol", "SHAPE")

    def _ties(self, s: Record) -> list[Record]:
        return self.f.ties[s.first_tie : s.first_tie + s.tie_count]

    def _start(self, s: Record) -> None:
        values = self.states.get(s.tensor)
        if values is None:
            values = np.zeros(self.shape(s.tensor), f32)
            if s.initial != NONE:
                values += self.read(s.initial)
        self.memory[s.tensor] = values.reshape(-1).copy()

    # ---- Tensors ----

    def shape(self, index: int) -> tuple[int, ...]:
        """The dims of a tensor in this call."""
        t = self.f.tensors[index]
        dims = tuple(evaluate(self.f, d, self.symbols) for d in self.f.sizes(t.dims, t.rank))
        need(min(dims, default=0) >= 0, "a negative dimension", "SHAPE")
        return dims

    def root(self, index: int) -> np.ndarray:
        """The elements of a tensor that is no view, flat."""
        t = self.f.tensors[index]
        if index not in self.memory:
            if t.storage == WEIGHTS:
                data = self.f.weights[t.data_offset : t.data_offset + t.data_size]
                self.memory[index] = np.frombuffer(data, DTYPES[t.dtype])
            else:
                self.memory[index] = np.zeros(math.prod(self.shape(index)), DTYPES[t.dtype])
        return self.memory[index]

    def view(self, index: int) -> np.ndarray:
        """The elements of a tensor where they are."""
        t = self.f.tensors[index]
        dims, size = self.shape(index), DTYPES[t.dtype].itemsize
        if t.storage != VIEW:
            return self.root(index).reshape(dims)
        offset, *strides = (evaluate(self.f, d, self.symbols) for d in self.f.sizes(t.view, t.rank + 1))
        root = self.root(t.root)
        if 0 in dims:
            return np.zeros(dims, DTYPES[t.dtype])
        reach = [(n - 1) * s for n, s in zip(dims, strides, strict=True)]
        low, high = offset + sum(r for r in reach if r < 0), offset + sum(r for r in reach if r > 0)
        need(low >= 0 and high < root.size, "a view outside of its root", "SHAPE")
        steps = [s * size if n > 1 else 0 for n, s in zip(dims, strides, strict=True)]
        return np.lib.stride_tricks.as_strided(root[offset:], dims, steps)

    def read(self, index: int) -> np.ndarray:
        """The same, to be read."""
        return self.view(index)

    def matrices(self, index: int) -> Any:
        """A packed tensor: float64 [..., K, N], or one of whole numbers."""
        f, t = self.f, self.f.tensors[index]
        dims = self.shape(index)
        if per_cell_of(t.packing):
            if index not in self.packed:
                weights, _, scales = whole_numbers(f, t)
                self.packed[index] = Whole(weights, scales, dims)
            return self.packed[index]
        if t.packing == PLAIN:
            return self.read(index).astype(np.float64)
        return (
            panels(dims[-1], t.panel_width, self.root(index).tobytes(), dims[-2])
            .view("<f4")
            .reshape(dims)
            .astype(np.float64)
        )

    # ---- Operators ----

    def block(self, index: int) -> None:
        """Run the operators of a block."""
        block = self.f.blocks[index]
        for op in self.f.operators[block.first_operator : block.first_operator + block.operator_count]:
            self.operator(op)

    def operator(self, op: Record) -> None:
        """Run one."""
        f = self.f
        name, inputs, outputs, attributes = OPERATORS[op.kind]
        given = [o.tensor for o in f.operands[op.operands : op.operands + op.input_count + op.output_count]]
        ins, outs = given[: op.input_count], given[op.input_count :]
        call = Record(variadic=ins)
        for row, tensors in ((inputs, ins), (outputs, outs)):
            for i, (word, strides) in enumerate(words(row)):
                index = tensors[i] if i < len(tensors) and tensors[i] != NONE else None
                setattr(call, word.rstrip("?*"), index)
                if strides == "rows" and index is not None:
                    self._check_rows(index)
        values = [a.value for a in f.attributes[op.attributes : op.attributes + op.attribute_count]]
        for i, word in enumerate(attributes.split()):
            setattr(call, word.rstrip("*"), values[i:] if word.endswith("*") else values[i])
        with np.errstate(all="ignore"):
            getattr(self, f"_{name}")(call)

    def _check_rows(self, index: int) -> None:
        v = self.view(index)
        need(v.ndim == 0 or v.size == 0 or v.shape[-1] == 1 or v.strides[-1] == v.itemsize, "rows", "SHAPE")

    def store(self, index: int | None, values: Any) -> None:
        """Write an output: floats are rounded, integers wrap around."""
        if index is None:
            return
        y, dtype = self.view(index), self.f.tensors[index].dtype
        need(np.shape(values) == y.shape, f"{np.shape(values)} for {y.shape}", "SHAPE")
        if dtype == BOOL:
            values = np.asarray(values) != 0
        y[...] = np.asarray(values).astype(DTYPES[dtype])

    def optional(self, index: int | None) -> Any:
        """The elements in float64, or None."""
        return None if index is None else self.read(index).astype(np.float64)

    def multiply(self, x: np.ndarray, w: Any, start: Any, limit: Any = None, fine: bool = False) -> np.ndarray:
        """start + x w of one matrix. fine: whether a second row of codes may be taken, as what comes into a layer."""
        if isinstance(w, Matrix):
            return w.product(x, start, limit, fine)
        return start + x @ w

    def _dense(self, c: Record) -> None:
        x, w = self.read(c.x), self.matrices(c.weights)
        y = self.shape(c.y)
        need(w.shape[-1] == -(-y[-1] // 16) * 16 and w.shape[-2] == x.shape[-1], "weights", "SHAPE")
        bias = np.zeros(y[-1], f32) if c.bias is None else self.read(c.bias)
        limit = None if c.range is None else self.read(c.range)[0]
        lead = y[:-2]
        rows = np.broadcast_to(x, (*lead, *x.shape[-2:]))
        places = np.broadcast_to(np.arange(math.prod(w.shape[:-2])).reshape(w.shape[:-2]), lead)
        result = np.zeros(y)
        for i in np.ndindex(*lead):
            matrix = matrix_of(w, int(places[i]))[..., : y[-1]]
            result[i] = self.multiply(rows[i], matrix, bias, limit, True)
        self.store(c.y, activate(c.function, result.astype(f32), number(c.alpha), number(c.beta)))

    def _pack(self, c: Record) -> None:
        x = self.read(c.x).astype(np.float64)
        if c.addend is not None:
            x = x + self.read(c.addend)
        *lead, gates, units, k = x.shape
        padded = -(-units // 16) * 16
        columns = np.zeros((*lead, k, gates * padded))
        for g in range(gates):
            for u in range(units):
                columns[..., (u // 16) * 16 * gates + g * 16 + u % 16] = x[..., g, u, :]
        t = self.f.tensors[c.y]
        if t.packing == PLAIN:
            self.store(c.y, columns[..., 0, :])
            return
        need(columns.shape == self.shape(c.y), "y", "SHAPE")
        width, flat = t.panel_width, []
        for matrix in columns.reshape(-1, k, gates * padded):
            flat += [matrix[:, i : i + width].reshape(-1) for i in range(0, gates * padded, width)]
        self.root(c.y)[...] = np.concatenate(flat) if flat else 0

    def _elementwise(self, c: Record) -> None:
        registers = []
        for index in c.variadic:
            x, dtype = self.read(index), self.f.tensors[index].dtype
            need(x.shape == self.shape(c.y), "a shape", "SHAPE")
            registers.append(
                x.astype(f32) if dtype in (F32, F64, F16) else (x != 0 if dtype == BOOL else x).astype(np.int64)
            )
        need(len(c.program) % 6 == 0 and 0 < len(registers) + len(c.program) // 6 <= 64, "program")
        for i in range(0, len(c.program), 6):
            function, *sources = c.program[i : i + 4]
            arity, _, make = FUNCTIONS[function]
            values = make(
                *(registers[s] for s in sources[:arity]), alpha=number(c.program[i + 4]), beta=number(c.program[i + 5])
            )
            registers.append(np.asarray(values).astype(f32 if function in FLOATS else np.int64))
        self.store(c.y, registers[-1])

    def _copy(self, c: Record) -> None:
        y = self.view(c.y)
        need(y.shape == self.shape(c.x), "y", "SHAPE")
        y[...] = self.read(c.x)

    def _normalize(self, c: Record) -> None:
        x = self.read(c.x).astype(np.float64)
        if c.kind == 2:
            d = x - x.mean(axis=-1, keepdims=True)
            result = d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + number(c.epsilon))
        else:
            d = x - x.max(axis=-1, keepdims=True)
            total = np.exp(d).sum(axis=-1, keepdims=True)
            result = np.exp(d) / total if c.kind == 0 else d - np.log(total)
        self.store(c.y, result)

    def _reduce(self, c: Record) -> None:
        x, dtype = self.read(c.x), self.f.tensors[c.x].dtype
        lead = x.shape[: x.ndim - c.axes]
        rows = x.reshape(*lead, math.prod(x.shape[x.ndim - c.axes :]))
        n = rows.shape[-1]
        if c.kind >= 5:
            need(n or 0 in lead, "no place among no elements", "SHAPE")
            best = np.argmax if c.kind <= 6 else np.argmin
            last = c.kind in (6, 8)
            found = best(rows[..., ::-1] if last else rows, axis=-1)
            self.store(c.y, n - 1 - found if last else found)
        elif c.kind in (3, 4):
            low, high = (-np.inf, np.inf) if dtype == F32 else _extremes(dtype)
            fold = np.maximum if c.kind == 3 else np.minimum
            start = np.full((*lead, 1), low if c.kind == 3 else high, x.dtype)
            self.store(c.y, fold.reduce(np.concatenate([start, rows], axis=-1), axis=-1))
        elif dtype == F32:
            wide = rows.astype(np.float64)
            self.store(c.y, {0: wide.sum, 1: wide.mean, 2: wide.prod}[c.kind](axis=-1))
        else:
            wide = rows.astype(np.int64)
            result = wide.prod(axis=-1) if c.kind == 2 else wide.sum(axis=-1)
            if c.kind == 1:
                result = np.sign(result) * (abs(result) // n) if n else result
            self.store(c.y, result)

    def _range(self, c: Record) -> None:
        start, delta, (n,) = self.read(c.start), self.read(c.delta), self.shape(c.y)
        i = np.arange(n).astype(start.dtype)
        self.store(c.y, start + i * delta)

    def _shape(self, c: Record) -> None:
        self.store(c.y, np.array(self.shape(c.x), np.int64))

    def _branch(self, c: Record) -> None:
        holds = 0 not in self.shape(c.condition) if c.by_size else bool(self.read(c.condition).reshape(()))
        self.block(c.then_block if holds else c.else_block)

    # ---- Indices ----

    def indices(self, index: int, sizes: Any) -> np.ndarray:
        """From the front of axes of these sizes."""
        i = self.read(index).astype(np.int64)
        if ((i < -np.asarray(sizes)) | (i >= sizes)).any():
            raise RefusedError("INDEX_RANGE", "an index")
        return np.where(i < 0, i + sizes, i)

    def _gather(self, c: Record) -> None:
        x = self.read(c.x)
        self.store_same(c.y, np.take(x, self.indices(c.indices, x.shape[c.axis]), axis=c.axis))

    def store_same(self, index: int, values: np.ndarray) -> None:
        """Write what is of the output's type already."""
        y = self.view(index)
        need(y.shape == values.shape, "y", "SHAPE")
        y[...] = values

    def _places(self, index: int, x: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
        i = self.indices(index, x.shape[axis])
        places = list(np.indices(i.shape))
        places[axis] = i
        return tuple(places)

    def _gather_elements(self, c: Record) -> None:
        x = self.read(c.x)
        self.store_same(c.y, x[self._places(c.indices, x, c.axis)])

    def _nd_places(self, index: int, x: np.ndarray, batch: int) -> tuple[np.ndarray, ...]:
        depth = self.shape(index)[-1]
        i = self.indices(index, np.array(x.shape[batch : batch + depth], np.int64))
        grid = np.indices(i.shape[:-1])[:batch]
        return (*grid, *np.moveaxis(i, -1, 0))

    def _gather_nd(self, c: Record) -> None:
        x = self.read(c.x)
        self.store_same(c.y, x[self._nd_places(c.indices, x, c.batch_axes)])

    def _scatter(self, c: Record, places: tuple[np.ndarray, ...]) -> None:
        y, dtype = self.view(c.y), self.f.tensors[c.y].dtype
        y[...] = self.read(c.x)
        updates = self.read(c.updates)
        for i in np.ndindex(*places[0].shape):
            at, u = tuple(p[i] for p in places), updates[i]
            folds = {1: lambda a, b: a + b, 2: lambda a, b: a * b, 3: np.maximum, 4: np.minimum}
            value = u if c.kind == 0 else folds[c.kind](y[at], u)
            y[at] = value != 0 if dtype == BOOL and c.kind else value

    def _scatter_elements(self, c: Record) -> None:
        self._scatter(c, self._places(c.indices, self.read(c.x), c.axis))

    def _scatter_nd(self, c: Record) -> None:
        self._scatter(c, self._nd_places(c.indices, self.read(c.x), 0))

    # ---- Windows ----

    def _taps(self, window: list[int], x: Sequence[int], y: Sequence[int]) -> Iterator[Any]:
        """For each tap: its number, and for each output position the input's, with whether it is inside."""
        rows = [window[i : i + 6] for i in range(0, len(window), 6)]
        for tap, position in enumerate(np.ndindex(*(r[0] for r in rows))):
            places, inside, counted = [], np.ones(y, bool), np.ones(y, bool)
            for axis, (r, k) in enumerate(zip(rows, position, strict=True)):
                _, stride, dilation, begin, end, up = r
                at = np.arange(y[axis]) * stride + k * dilation - begin
                fits = (at >= 0) & (at % up == 0) & (at // up < x[axis])
                padded = (at >= -begin) & (at < x[axis] + end)
                turn = [1] * len(y)
                turn[axis] = -1
                places.append(np.where(fits, at // up, 0).reshape(turn))
                inside = inside & fits.reshape(turn)
                counted = counted & padded.reshape(turn)
            yield tap, tuple(np.broadcast_arrays(*places)), inside, counted

    def _conv(self, c: Record) -> None:
        x, w, y = self.read(c.x), self.matrices(c.weights), self.shape(c.y)
        if self.f.tensors[c.weights].packing == PLAIN:
            w = w.T[:, :, None]  # [channels, taps, 1]: a group of one channel each
        groups = w.shape[0]
        channels, outputs = x.shape[1] // groups, y[1] // groups
        spatial, taps = y[2:], w.shape[1] // channels
        windows = np.zeros((y[0], groups, *spatial, taps, channels), f32)
        for tap, places, inside, _ in self._taps(c.window, x.shape[2:], spatial):
            seen = np.where(inside, x[(slice(None), slice(None), *places)], 0)
            windows[..., tap, :] = np.moveaxis(seen.reshape(y[0], groups, channels, *spatial), 2, -1)
        bias = np.zeros(y[1], f32) if c.bias is None else self.read(c.bias)
        limit = None if c.range is None else self.read(c.range)[0]
        result = np.zeros((y[0], groups, outputs, *spatial))
        for g in range(groups):
            rows = windows[:, g].reshape(-1, taps * channels)
            start = bias[g * outputs : (g + 1) * outputs]
            made = self.multiply(rows, matrix_of(w, g)[..., :outputs], start, limit, True)
            result[:, g] = np.moveaxis(made.reshape(y[0], *spatial, outputs), -1, 1)
        self.store(c.y, activate(c.function, result.reshape(y).astype(f32), number(c.alpha), number(c.beta)))

    def _pool(self, c: Record) -> None:
        x, y = self.read(c.x).astype(np.float64), self.shape(c.y)
        result, count = np.full(y, -np.inf if c.kind == 0 else 0.0), np.zeros(y[2:])
        for _, places, inside, counted in self._taps(c.window, x.shape[2:], y[2:]):
            seen = x[(slice(None), slice(None), *places)]
            if c.kind == 0:
                result = np.maximum(result, np.where(inside, seen, -np.inf))
            else:
                result = result + np.where(inside, seen, 0)
            count += counted if c.count_padding else inside
        self.store(c.y, result / count if c.kind else result)

    # ---- Recurrences ----

    def _recurrent(self, c: Record) -> None:
        x, hidden, w = self.read(c.x), c.hidden_size, self.matrices(c.input_weights)
        steps, batch, _ = x.shape
        directions = 2 if c.direction == 2 else 1
        lens = np.full(batch, steps) if c.sequence_lens is None else self.read(c.sequence_lens)
        if ((lens < 0) | (lens > steps)).any():
            raise RefusedError("INDEX_RANGE", "sequence_lens")
        y = np.zeros((steps, directions, batch, hidden), f32)
        h, s = (
            np.zeros((directions, batch, hidden), f32) if i is None else self.read(i).copy()
            for i in (c.initial_h, c.initial_c)
        )
        each = {RNN: 1, LSTM: 3, GRU: 2}[c.cell] * 3
        need(len(c.activations) == each * directions, "activations")
        for d in range(directions):
            cell = Cell(self, c, d, w, c.activations[d * each : (d + 1) * each])
            for b in range(batch):
                order = range(lens[b])
                for t in reversed(order) if c.direction == 1 or d == 1 else order:
                    h[d, b : b + 1], s[d, b : b + 1] = cell.step(x[t, b : b + 1], h[d, b : b + 1], s[d, b : b + 1])
                    y[t, d, b] = h[d, b]
        self.store(c.y, y)
        self.store(c.y_h, h)
        self.store(c.y_c, s)


def _extremes(dtype: int) -> tuple[int, int]:
    if dtype == BOOL:
        return 0, 1
    about = np.iinfo(DTYPES[dtype])
    return about.min, about.max
