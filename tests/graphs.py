# SPDX-License-Identifier: Apache-2.0
"""Small ONNX models for tests, built with onnx.helper: functions that return a ModelProto with fixed weights."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, constants):
    graph = helper.make_graph(
        nodes, "test", inputs, outputs, [numpy_helper.from_array(array, name) for name, array in constants.items()]
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def weights(cell, inputs, hidden, directions=1, seed=0):
    """Return W, R and B as ONNX arranges them, uniform in 1/sqrt(hidden)."""
    generator, gates, bound = np.random.default_rng(seed), GATES[cell], hidden**-0.5

    def uniform(*shape):
        return generator.uniform(-bound, bound, shape).astype(np.float32)

    return {
        "W": uniform(directions, gates * hidden, inputs),
        "R": uniform(directions, gates * hidden, hidden),
        "B": uniform(directions, 2 * gates * hidden),
    }


def recurrent(cell="LSTM", inputs=4, hidden=8, direction="forward", time="time", batch="batch", last=False, seed=0):
    """x [time, batch, inputs] -> y [time, batch, directions * hidden], or y_h where `last` is set."""
    directions = 2 if direction == "bidirectional" else 1
    constants = weights(cell, inputs, hidden, directions, seed) | {"shape": np.array([0, 0, -1], np.int64)}
    extra = {"linear_before_reset": 1} if cell == "GRU" else {}
    nodes = [
        helper.make_node(
            cell, ["x", "W", "R", "B"], ["Y", "y_h"], name="cell", hidden_size=hidden, direction=direction, **extra
        )
    ]
    outputs = [value("y_h", [directions, batch, hidden])]
    if not last:
        nodes.append(helper.make_node("Transpose", ["Y"], ["T"], perm=[0, 2, 1, 3]))
        nodes.append(helper.make_node("Reshape", ["T", "shape"], ["y"], name="flatten"))
        outputs = [value("y", [time, batch, directions * hidden])]
    return model(nodes, [value("x", [time, batch, inputs])], outputs, constants)


def stateful(inputs=4, hidden=8, time="time", batch="batch"):
    """An LSTM that carries h0 -> hn and c0 -> cn through inputs and outputs."""
    nodes = [
        helper.make_node(
            "LSTM", ["x", "W", "R", "B", "", "h0", "c0"], ["Y", "hn", "cn"], name="cell", hidden_size=hidden
        ),
        helper.make_node("Squeeze", ["Y", "one"], ["y"]),
    ]
    state = [1, batch, hidden]
    return model(
        nodes,
        [value("x", [time, batch, inputs]), value("h0", state), value("c0", state)],
        [value("y", [time, batch, hidden]), value("hn", state), value("cn", state)],
        weights("LSTM", inputs, hidden) | {"one": np.array([1], np.int64)},
    )


def frames(inputs=6, hidden=8):
    """A model without a time axis, as exported for one frame at a time: x [1, 1, inputs] with explicit state."""
    nodes = [
        helper.make_node("GRU", ["x", "W", "R", "B", "", "h0"], ["Y", "hn"], name="cell", hidden_size=hidden),
        helper.make_node("Squeeze", ["Y", "one"], ["y"]),
    ]
    return model(
        nodes,
        [value("x", [1, 1, inputs]), value("h0", [1, 1, hidden])],
        [value("y", [1, 1, hidden]), value("hn", [1, 1, hidden])],
        weights("GRU", inputs, hidden) | {"one": np.array([1], np.int64)},
    )


def two_inputs(inputs=4, hidden=8):
    """a + speaker * b through a GRU; `speaker` has no time axis. Outputs y (per step) and last (the state)."""
    nodes = [
        helper.make_node("Mul", ["b", "speaker"], ["scaled"]),
        helper.make_node("Add", ["a", "scaled"], ["sum"]),
        helper.make_node(
            "GRU", ["sum", "W", "R", "B"], ["Y", "last"], name="cell", hidden_size=hidden, linear_before_reset=1
        ),
        helper.make_node("Squeeze", ["Y", "one"], ["y"]),
    ]
    shape = ["time", "batch", inputs]
    return model(
        nodes,
        [value("a", shape), value("b", shape), value("speaker", ["batch", inputs])],
        [value("y", ["time", "batch", hidden]), value("last", [1, "batch", hidden])],
        weights("GRU", inputs, hidden) | {"one": np.array([1], np.int64)},
    )


def embedding(rows=5, inputs=4, hidden=8):
    """Indices [time, batch] int64 -> rows of a table -> RNN."""
    table = np.random.default_rng(3).standard_normal((rows, inputs)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["x"], name="embed"),
        helper.make_node("RNN", ["x", "W", "R", "B"], ["Y"], name="cell", hidden_size=hidden),
        helper.make_node("Squeeze", ["Y", "one"], ["y"]),
    ]
    return model(
        nodes,
        [value("tokens", ["time", "batch"], TensorProto.INT64)],
        [value("y", ["time", "batch", hidden])],
        weights("RNN", inputs, hidden) | {"one": np.array([1], np.int64), "table": table},
    )


def without_batch(inputs=4, hidden=8):
    """x [time, inputs] -> y [time, hidden]: no batch axis at all."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "one"], ["x3"]),
        helper.make_node("LSTM", ["x3", "W", "R", "B"], ["Y"], name="cell", hidden_size=hidden),
        helper.make_node("Squeeze", ["Y", "both"], ["y"]),
    ]
    return model(
        nodes,
        [value("x", ["time", inputs])],
        [value("y", ["time", hidden])],
        weights("LSTM", inputs, hidden) | {"one": np.array([1], np.int64), "both": np.array([1, 2], np.int64)},
    )
