# SPDX-License-Identifier: Apache-2.0
"""Small ONNX models for the tests: recurrences with random weights and every option, and short graphs around them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import tinyrnn
from tinyrnn.converters import convert_bytes

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
FLOAT = TensorProto.FLOAT


def weights(
    cell: str, hidden: int, inputs: int, directions: int = 1, seed: int = 0, scale: float | None = None
) -> dict[str, np.ndarray]:
    """W (D, G*H, I), R (D, G*H, H) and B (D, 2*G*H), float32, uniform in 1/sqrt(hidden) unless a scale is given."""
    rng = np.random.default_rng(seed)
    rows = GATES[cell] * hidden
    bound = scale if scale is not None else 1.0 / np.sqrt(hidden)
    shapes = {"W": (directions, rows, inputs), "R": (directions, rows, hidden), "B": (directions, 2 * rows)}
    return {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}


def value(name: str, shape: list[Any], dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes: list[onnx.NodeProto], inputs: list, outputs: list, constants: dict[str, np.ndarray], opset: int = 17) -> onnx.ModelProto:
    """A checked ModelProto of these parts."""
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    proto.ir_version = 8
    onnx.checker.check_model(proto)
    return proto


def recurrent(
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
    opset: int = 17,
    seed: int = 0,
    scale: float | None = None,
    **attributes: Any,
) -> onnx.ModelProto:
    """One RNN, LSTM or GRU node with symbolic batch and time; inputs X, sequence_lens, initial_h, initial_c."""
    directions = 2 if direction == "bidirectional" else 1
    w = weights(cell, hidden, inputs, directions, seed, scale)
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
    node = helper.make_node(cell, names, [o.name for o in outs], name="layer", hidden_size=hidden, direction=direction, **attributes)
    return model([node], ins, outs, w, opset)


def load(proto: onnx.ModelProto, **options: Any) -> tinyrnn.Model:
    """Converts and loads without touching the disk."""
    data, _ = convert_bytes(proto, **options)
    return tinyrnn.load(data)


def bytes_of(proto: onnx.ModelProto, **options: Any) -> bytes:
    return bytes(convert_bytes(proto, **options)[0])


def save_npz(arrays: dict[str, np.ndarray]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()
