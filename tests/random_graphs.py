# SPDX-License-Identifier: Apache-2.0
"""ONNX models for properties: one recurrent layer with every option, and stacks of random layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper

import tinyrnn
from graphs import GATES, model, value, weights
from tinyrnn.converters import convert_bytes


def layer(
    cell: str = "LSTM",
    hidden: int = 8,
    inputs: int = 4,
    direction: str = "forward",
    *,
    layout: int = 0,
    lens: bool = False,
    initial: bool = False,
    peepholes: bool = False,
    bias: bool = True,
    seed: int = 0,
    **attributes: Any,
) -> onnx.ModelProto:
    """One RNN, LSTM or GRU node with symbolic batch and time; inputs X, sequence_lens, initial_h, initial_c."""
    directions = 2 if direction == "bidirectional" else 1
    w = weights(cell, inputs, hidden, directions, seed)
    state = [directions, "batch", hidden] if layout == 0 else ["batch", directions, hidden]
    names = ["X", "W", "R", "B" if bias else "", "sequence_lens" if lens else "", "initial_h" if initial else ""]
    ins = [value("X", ["time", "batch", inputs] if layout == 0 else ["batch", "time", inputs])]
    if lens:
        ins.append(value("sequence_lens", ["batch"], TensorProto.INT32))
    if initial:
        ins.append(value("initial_h", state))
    outs = [value("Y", ["time", directions, "batch", hidden] if layout == 0 else ["batch", "time", directions, hidden])]
    outs.append(value("Y_h", state))
    if cell == "LSTM":
        names += ["initial_c" if initial else "", "P" if peepholes else ""]
        ins += [value("initial_c", state)] if initial else []
        outs.append(value("Y_c", state))
        if peepholes:
            w["P"] = np.random.default_rng(seed + 1).uniform(-0.5, 0.5, (directions, 3 * hidden)).astype(np.float32)
    if not bias:
        del w["B"]
    if layout:
        attributes["layout"] = layout
    while names and not names[-1]:
        names.pop()
    node = helper.make_node(
        cell, names, [o.name for o in outs], name="layer", hidden_size=hidden, direction=direction, **attributes
    )
    return model([node], ins, outs, w)


FUNCTIONS = ["Tanh", "Sigmoid", "Relu", "Elu", "Softsign", "Softplus", "Abs", "Neg", "Cos", "HardSigmoid", "Erf", "Sin"]


class Stack:
    """A graph under construction: layers that are pointwise or causal over time, x [time, batch, features] -> y."""

    def __init__(self, features: int, seed: int) -> None:
        self.inputs = self.features = features
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.caches: dict[str, tuple[int, int]] = {}  # (steps, features) of what a convolution over time looks back at
        self.kept: list[onnx.ValueInfoProto] = []
        self.last = "x"
        self.smooth = True  # near a tie a place or a choice may differ from float64's: no distance bounds what follows

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def uniform(self, *shape: int) -> str:
        return self.constant(self.rng.uniform(-0.5, 0.5, shape).astype(np.float32))

    def add(self, op: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> list[str]:
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"n{len(self.nodes)}", **attributes))
        self.last = names[0]
        return names

    def dense(self, draw: Any) -> None:
        size = draw(st.sampled_from([1, 5, 16, 33]))
        self.add("MatMul", [self.last, self.uniform(self.features, size)])
        if draw(st.booleans()):
            self.add("Add", [self.last, self.uniform(size)])
        self.features = size

    def activation(self, draw: Any) -> None:
        self.add(draw(st.sampled_from(FUNCTIONS)), [self.last])

    def arithmetic(self, draw: Any) -> None:
        shape = draw(st.sampled_from([(), (1,), (self.features,), (1, 1, self.features)]))
        sides = [self.last, self.uniform(*shape)]
        self.add(draw(st.sampled_from(["Add", "Sub", "Mul", "Max", "Min"])), sides[:: draw(st.sampled_from([1, -1]))])

    def residual(self, draw: Any) -> None:
        before = self.last
        self.activation(draw)
        self.add(draw(st.sampled_from(["Add", "Mul", "Sub"])), [before, self.last])

    def softmax(self, draw: Any) -> None:
        self.add(draw(st.sampled_from(["Softmax", "LogSoftmax"])), [self.last], axis=-1)

    def split(self, draw: Any) -> None:
        if self.features < 2:
            return
        first = draw(st.integers(1, self.features - 1))
        parts = self.constant(np.array([first, self.features - first], np.int64))
        names = self.add("Split", [self.last, parts], 2, axis=2)
        self.add("Concat", names[::-1], axis=-1)

    def slice(self, draw: Any) -> None:
        start, step = draw(st.integers(0, self.features - 1)), draw(st.sampled_from([1, 2]))
        bounds = [np.array([v], np.int64) for v in (start, self.features, 2, step)]
        self.add("Slice", [self.last, *map(self.constant, bounds)])
        self.features = len(range(start, self.features, step))

    def transpose(self, draw: Any) -> None:
        self.add("Transpose", [self.last], perm=[1, 2, 0])
        self.activation(draw)
        self.add("Transpose", [self.last], perm=[2, 0, 1])

    def recurrence(self, draw: Any) -> None:
        cell, hidden = draw(st.sampled_from(sorted(GATES))), draw(st.sampled_from([1, 7, 16, 20]))
        w = weights(cell, self.features, hidden, seed=int(self.rng.integers(99)))
        options = {"linear_before_reset": draw(st.integers(0, 1))} if cell == "GRU" else {}
        self.add(cell, [self.last, *(self.constant(w[k]) for k in "WRB")], hidden_size=hidden, **options)
        self.add("Squeeze", [self.last, self.constant(np.array([1], np.int64))])
        self.features = hidden

    def layer_norm(self, draw: Any) -> None:
        # A large epsilon: a row of nearly equal elements would magnify rounding errors beyond any bound.
        inputs = [self.last, self.uniform(self.features), self.uniform(self.features)]
        self.add("LayerNormalization", inputs, axis=-1, epsilon=0.1)

    def reduction(self, draw: Any) -> None:
        op = draw(st.sampled_from(["ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"]))
        before = self.last
        self.add(op, [self.last], axes=[2], keepdims=1)
        self.add(draw(st.sampled_from(["Sub", "Max", "Add"])), [before, self.last])

    def place(self, draw: Any) -> None:
        before, self.smooth = self.last, False
        self.add(draw(st.sampled_from(["ArgMax", "ArgMin"])), [self.last], axis=2, keepdims=1)
        self.add("Cast", [self.last], to=TensorProto.FLOAT)
        self.add("Add", [before, self.last])

    def choice(self, draw: Any) -> None:
        before, self.smooth = self.last, False
        op = draw(st.sampled_from(["Less", "Greater", "LessOrEqual", "GreaterOrEqual"]))
        self.add(op, [before, self.uniform(self.features)])
        self.add("Where", [self.last, before, self.uniform(1)])

    def prelu(self, draw: Any) -> None:
        self.add("PRelu", [self.last, self.uniform(self.features)])

    def pick(self, draw: Any) -> None:
        indices = self.rng.integers(-self.features, self.features, draw(st.integers(1, 9)))
        self.add("Gather", [self.last, self.constant(indices)], axis=2)
        self.features = len(indices)

    def pad(self, draw: Any) -> None:
        mode = draw(st.sampled_from(["constant", "edge"]))
        pads = [0, 0, draw(st.integers(0, 3)), 0, 0, draw(st.integers(0, 3))]
        self.add("Pad", [self.last, self.constant(np.array(pads, np.int64))], mode=mode)
        self.features += pads[2] + pads[5]

    def convolution(self, draw: Any) -> None:
        """Over the features, each step and row by itself: [time, batch, 1, features]."""
        if self.features < 3:
            return
        channels, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
        shape = [np.array(v, np.int64) for v in ([-1, 1, self.features], [-1, channels])]
        before = self.last
        self.add("Shape", [before])
        sizes = self.last
        self.add("Reshape", [before, self.constant(shape[0])])
        self.add("Conv", [self.last, self.uniform(channels, 1, 3), self.uniform(channels)], strides=[stride])
        outputs = channels * ((self.features - 3) // stride + 1)
        self.add("Slice", [sizes, *(self.constant(np.array([v], np.int64)) for v in (0, 2))])
        self.add("Concat", [self.last, self.constant(np.array([outputs], np.int64))], axis=0)
        target = self.last
        self.add("Reshape", [self.nodes[-3].output[0], target])
        self.features = outputs

    def look_back(self, draw: Any) -> None:
        """A convolution over time, behind steps that the graph takes and gives back."""
        taps, dilation, size = draw(st.integers(2, 4)), draw(st.integers(1, 2)), draw(st.sampled_from([1, 4, 19]))
        length, cache = (taps - 1) * dilation, f"cache{len(self.caches)}"
        (joined,) = self.add("Concat", [cache, self.last], axis=0)
        ends = [np.array([v], np.int64) for v in (-length, 1 << 40, 0)]
        (kept,) = self.add("Slice", [joined, *map(self.constant, ends)])
        self.add("Transpose", [joined], perm=[1, 2, 0])
        self.add("Conv", [self.last, self.uniform(size, self.features, taps)], dilations=[dilation])
        self.add("Transpose", [self.last], perm=[2, 0, 1])
        self.caches[cache] = length, self.features
        self.kept.append(value(kept, [length, "batch", self.features]))
        self.features = size

    LAYERS = (
        dense, activation, arithmetic, residual, softmax, split, slice, transpose, recurrence,
        layer_norm, reduction, place, choice, prelu, pick, pad, convolution, look_back,
    )  # fmt: skip

    def finish(self) -> tuple[onnx.ModelProto, int, dict[str, tuple[int, int]], bool]:
        """(the model, the features of its input, its caches, whether it is near its float64 reference everywhere)"""
        self.add("Identity", [self.last])
        self.nodes[-1].output[0] = "y"
        x = value("x", ["time", "batch", self.inputs])
        y = value("y", ["time", "batch", self.features])
        given = [value(name, [length, "batch", features]) for name, (length, features) in self.caches.items()]
        made = model(self.nodes, [x, *given], [y, *self.kept], self.constants)
        return made, self.inputs, self.caches, self.smooth


def load(proto: onnx.ModelProto, **options: Any) -> tinyrnn.Model:
    """Converts and loads without touching the disk."""
    data, _ = convert_bytes(proto, **options)
    return tinyrnn.load(data)
