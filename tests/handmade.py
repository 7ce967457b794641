# SPDX-License-Identifier: Apache-2.0
"""A .trnn file of one LSTM layer, written by hand with the tables alone: needs neither onnx nor the converter."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from tinyrnn import format as fmt

GATES = 4


class File:
    """Collects records and lays them out."""

    def __init__(self):
        self.rows = {name: [] for name in fmt.SECTIONS}
        self.strings, self.weights = bytearray(b"\0"), bytearray()

    def add(self, section, *fields):
        self.rows[section].append(fields)
        return len(self.rows[section]) - 1

    def string(self, text):
        offset = len(self.strings)
        self.strings += text.encode() + b"\0"
        return offset

    def dims(self, values):
        """Numbers, or lists of terms (kind, symbol, value)."""
        first = len(self.rows["dims"])
        for value in values:
            if isinstance(value, int):
                self.add("dims", value, fmt.NONE, 0)
                continue
            start = len(self.rows["terms"])
            for kind, symbol, number in value:
                self.add("terms", fmt.ENUMS["term"][kind], symbol, number)
            self.add("dims", 0, self.add("expressions", start, len(value)), 0)
        return first

    def tensor(self, name, dims, storage, root=fmt.NONE, view=None, array=None, panel=0, bits=32):
        """Weights are float32, or the bytes of panels of whole numbers of 8 or 16 bits."""
        offset = size = 0
        if array is not None:
            self.weights += bytes(-len(self.weights) % 64)
            offset, size = len(self.weights), array.nbytes
            self.weights += array.tobytes() if bits < 32 else array.astype("<f4").tobytes()
        element = {8: "I8", 16: "I16", 32: "F32"}[bits]
        packing = fmt.ENUMS["packing"][f"{element}_PANELS" if panel else "NONE"]
        dtype = fmt.ENUMS["dtype"][element]
        first = self.dims(dims)
        strides = fmt.NONE if view is None else self.dims(view)
        kind = fmt.ENUMS["storage"][storage]
        return self.add(
            "tensors", self.string(name), dtype, len(dims), kind, packing, first, root, strides, panel, 0, offset, size
        )

    def content(self):
        header, entry = fmt.RECORDS["header"], fmt.RECORDS["section"]
        position = fmt.RECORDS["preamble"].itemsize + header.itemsize + entry.itemsize * len(fmt.SECTIONS)
        table, body = [], bytearray()
        for name, (value, record) in sorted(fmt.SECTIONS.items(), key=lambda item: item[1][0]):
            if record == "byte":
                data = bytes(self.strings if name == "strings" else self.weights)
            else:
                data = np.array(self.rows[name], dtype=fmt.RECORDS[record]).tobytes()
            body += bytes(-(position + len(body)) % (64 if name == "weights" else 8))
            table.append((value, 0, position + len(body), len(data)))
            body += data
        start = table[-1][2]
        head = np.array([(position + len(body), start, len(table), 1, 0, 0, 1, 0)], header).tobytes()
        rest = head + np.array(table, entry).tobytes() + bytes(body)
        cut = start - fmt.RECORDS["preamble"].itemsize
        sums = zlib.crc32(rest[:cut]), zlib.crc32(rest[cut:])
        return struct.pack("<IHHII", fmt.MAGIC, *fmt.VERSION, *sums) + rest


def interleave(matrix, hidden):
    """[K, GATES * hidden] -> panels, as docs/design.md has them."""
    blocks = (hidden + 15) // 16
    padded = np.zeros((matrix.shape[0], GATES, blocks * 16), np.float32)
    padded[:, :, :hidden] = matrix.reshape(-1, GATES, hidden)
    return padded.reshape(-1, GATES, blocks, 16).transpose(2, 0, 1, 3)


def whole_panels(matrix, hidden, bits):
    """[K, GATES * hidden] -> the bytes of panels as format.def has them, of weights so small that any may meet."""
    per_cell = 32 // bits
    scales = np.abs(matrix).max(axis=0, keepdims=True) / {8: 64, 16: 2000}[bits]
    weights = interleave(np.rint(matrix / scales), hidden).astype(f"<i{bits // 8}")
    weights = weights.reshape(weights.shape[0], -1, GATES * 16)
    starts = -127 * weights.sum(axis=1, keepdims=True, dtype="<i4")
    weights = np.pad(weights, ((0, 0), (0, -weights.shape[1] % per_cell), (0, 0)))
    cells = weights.reshape(weights.shape[0], -1, per_cell, GATES * 16).transpose(0, 1, 3, 2)
    last = interleave(scales, hidden).astype("<f4").reshape(starts.shape)
    parts = (cells, starts, last) if bits == 8 else (cells, last)
    rows = [np.ascontiguousarray(part).view(np.uint8).reshape(len(cells), -1) for part in parts]
    return np.concatenate(rows, axis=1)


def lstm(inputs=4, hidden=8, seed=0, bits=32, ranges=None):
    """Return the bytes of a file x [time, batch, inputs] -> y [time, batch, hidden], and its weights W, R, b.

    The file holds W and R in so many bits, below 32 with ranges (3,) of x, h, r * h if they are given.
    """
    generator, bound = np.random.default_rng(seed), hidden**-0.5
    shapes = {"W": (inputs, GATES * hidden), "R": (hidden, GATES * hidden), "b": (1, GATES * hidden)}
    weights = {name: generator.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}
    file, time, batch = File(), [("SYMBOL", 0, 0)], [("SYMBOL", 1, 0)]
    file.add("symbols", file.string("time"), fmt.ENUMS["role"]["TIME"])
    file.add("symbols", file.string("batch"), fmt.ENUMS["role"]["BATCH"])
    columns, row = (hidden + 15) // 16 * 16 * GATES, [("SYMBOL", 1, 0), ("CONSTANT", 0, hidden), ("MUL", 0, 0)]
    x = file.tensor("x", [time, batch, inputs], "INPUT")
    packed = []
    for name in ("W", "R"):
        panels = whole_panels(weights[name], hidden, bits) if bits < 32 else interleave(weights[name], hidden)
        dims = [1, len(weights[name]), columns]
        packed.append(file.tensor(name, dims, "WEIGHTS", array=panels, panel=64, bits=bits))
    bias = file.tensor("b", [1, columns], "WEIGHTS", array=interleave(weights["b"], hidden))
    h, c = (file.tensor(name, [1, batch, hidden], "STATE") for name in ("h", "c"))
    y = file.tensor("y", [time, batch, hidden], "OUTPUT")
    y4 = file.tensor("y4", [time, 1, batch, hidden], "VIEW", root=y, view=[0, row, row, hidden, 1])
    y_h, y_c = (file.tensor(name, [1, batch, hidden], "ARENA") for name in ("y_h", "y_c"))
    none = fmt.NONE
    apart = none if ranges is None else file.tensor("ranges", [1, 3], "WEIGHTS", array=np.array(ranges, np.float32))
    operands = [x, *packed, bias, none, none, none, none, none, h, c, apart, y4, y_h, y_c]
    for operand in operands:
        file.add("operands", operand)
    infinity = struct.unpack("<q", struct.pack("<d", float("inf")))[0]
    attributes = [fmt.ENUMS["cell"]["LSTM"], hidden, fmt.ENUMS["direction"]["FORWARD"], 0, 0, infinity]
    for name in ("SIGMOID", "TANH", "TANH"):
        attributes += [fmt.FUNCTIONS[name].value, 0, 0]
    for attribute in attributes:
        file.add("attributes", attribute)
    file.add("operators", fmt.OPERATORS["recurrent"].value, file.string("cell"), 0, 0, 12, 3, len(attributes))
    file.add("blocks", 0, 1)
    file.add("inputs", x, none, 0, 1, 0)
    file.add("outputs", y, none, 0, 1, 0)
    for state, source in ((h, y_h), (c, y_c)):
        tie = file.add("ties", state, source)
        file.add("states", state, none, 1, tie, 1, none)
    file.add("metadata", file.string("producer"), file.string("tests"))
    return file.content(), weights


def reference(weights, x):
    """The LSTM of `lstm` in float64."""

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    W, R, b = (weights[name].astype(np.float64) for name in ("W", "R", "b"))
    h = c = np.zeros((x.shape[1], R.shape[0]))
    y = []
    for frame in x.astype(np.float64):
        i, o, f, g = np.split(frame @ W + h @ R + b, GATES, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        y.append(h)
    return np.stack(y)


if __name__ == "__main__":
    import sys

    with open(sys.argv[1], "wb") as target:
        target.write(lstm()[0])
