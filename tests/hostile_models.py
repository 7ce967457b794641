# SPDX-License-Identifier: Apache-2.0
"""Writes .trnn files with every engine operator into a folder, for tests that damage them or run them every way.

python hostile_models.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

import graphs
import handmade
from graphs import value
from tinyrnn import format as fmt
from tinyrnn.converters import convert_bytes
from tinyrnn.errors import TinyRNNError

FLOAT, INT64, INT32, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def graph(nodes, inputs, outputs, constants=None):
    """nodes: (operator, inputs, outputs, attributes); names separated by spaces, `-` for an absent one."""
    made = [
        helper.make_node(op, *[["" if n == "-" else n for n in names.split()] for names in (i, o)], **attributes)
        for op, i, o, attributes in nodes
    ]
    return graphs.model(made, inputs, outputs, constants or {})


def layer(cell, extra="", direction="forward", inputs=(), constants=None, **attributes):
    """A recurrent layer x [time, batch, 4] -> y, y_h; `extra`: the operands behind W, R and B."""
    directions = 2 if direction == "bidirectional" else 1
    weights = graphs.weights(cell, 4, 8, directions)
    given = {value.name for value in inputs}
    return graph(
        [(cell, f"x W R B {extra}", "y y_h", {"hidden_size": 8, "direction": direction, **attributes})],
        [value("x", ["time", "batch", 4]), *inputs],
        [value("y", ["time", directions, "batch", 8]), value("y_h", [directions, "batch", 8])],
        {name: array for name, array in (weights | (constants or {})).items() if name not in given},
    )


def with_lengths(cell, **attributes):
    inputs = [value("lens", ["batch"], INT32), value("h0", [2, "batch", 8])]
    return layer(cell, "lens h0", "bidirectional", inputs, **attributes)


def lstm_with_everything():
    inputs = [value("lens", ["batch"], INT32), value("h0", [2, "batch", 8]), value("c0", [2, "batch", 8])]
    return layer("LSTM", "lens h0 c0 P", "bidirectional", inputs, {"P": numbers(2, 24)}, clip=2.0)


def weights_as_inputs(cell):
    gates = graphs.GATES[cell]
    inputs = [value("W", [1, gates * 8, 4]), value("R", [1, gates * 8, 8]), value("B", [1, gates * 16])]
    return layer(cell, inputs=inputs)


def charlm():
    constants = graphs.weights("GRU", 4, 8) | {
        "table": numbers(11, 4),
        "V": numbers(8, 11),
        "one": np.array([1], np.int64),
    }
    return graph(
        [
            ("Gather", "table x", "e", {}),
            ("GRU", "e W R B", "h", {"hidden_size": 8, "linear_before_reset": 1}),
            ("Squeeze", "h one", "s", {}),
            ("MatMul", "s V", "z", {}),
            ("LogSoftmax", "z", "y", {"axis": -1}),
        ],
        [value("x", ["time", "batch"], INT64)],
        [value("y", ["time", "batch", 11])],
        constants,
    )


def convolutions():
    constants = {"K": numbers(6, 4, 3), "b": numbers(6), "D": numbers(6, 1, 3), "U": numbers(6, 2, 4)}
    return graph(
        [
            ("Conv", "x K b", "a", {"pads": [1, 1], "kernel_shape": [3]}),
            ("Relu", "a", "r", {}),
            ("Conv", "r D", "d", {"group": 6, "dilations": [2], "pads": [2, 2], "kernel_shape": [3]}),
            ("ConvTranspose", "d U", "y", {"strides": [2], "kernel_shape": [4]}),
        ],
        [value("x", ["batch", 4, "width"])],
        [value("y", ["batch", 2, None])],
        constants,
    )


def pools():
    window = {"kernel_shape": [2, 3], "strides": [2, 2], "pads": [0, 1, 1, 1]}
    return graph(
        [
            ("Conv", "x K", "c", {"kernel_shape": [3, 3], "strides": [1, 2]}),
            ("MaxPool", "c", "m", window),
            ("AveragePool", "c", "a", {**window, "count_include_pad": 1}),
            ("Concat", "m a", "j", {"axis": 1}),
            ("GlobalAveragePool", "j", "y", {}),
        ],
        [value("x", ["batch", 2, 9, 11])],
        [value("y", ["batch", 6, 1, 1])],
        {"K": numbers(3, 2, 3, 3)},
    )


def indexed():
    return graph(
        [
            ("GatherElements", "x i", "g", {"axis": 1}),
            ("ScatterElements", "x i g", "s", {"axis": 1}),
            ("GatherND", "s n", "p", {}),
            ("ScatterND", "s n p", "y", {}),
            ("ScatterElements", "x i g", "z", {"axis": 1, "reduction": "max"}),
        ],
        [value("x", ["rows", 5]), value("i", ["rows", 3], INT64), value("n", [4, 1], INT64)],
        [value("y", ["rows", 5]), value("z", ["rows", 5])],
    )


def reductions():
    return graph(
        [
            ("ReduceSum", "x first", "a", {"keepdims": 1}),
            ("ReduceMean", "x", "b", {"axes": [0, 2], "keepdims": 1}),
            ("ReduceMax", "x", "c", {"axes": [1]}),
            ("Sub", "x a", "d", {}),
            ("Mul", "d b", "e", {}),
            ("Add", "e c", "y", {}),
            ("ArgMax", "y", "z", {"axis": 1, "keepdims": 0}),
            ("ReduceProd", "i", "w", {"axes": [0], "keepdims": 0}),
        ],
        [value("x", ["batch", 4, "width"]), value("i", ["batch", 3], INT32)],
        [value("y", ["batch", 4, "width"]), value("z", ["batch", "width"], INT64), value("w", [3], INT32)],
        {"first": np.array([0], np.int64)},
    )


def norms():
    return graph(
        [
            ("LayerNormalization", "x g b", "n", {"axis": -1}),
            ("Softmax", "n", "s", {"axis": 1}),
            ("Transpose", "s", "t", {"perm": [0, 2, 1]}),
            ("MatMul", "t n", "y", {}),
        ],
        [value("x", ["batch", 5, 6])],
        [value("y", ["batch", 6, 6])],
        {"g": numbers(6), "b": numbers(6)},
    )


def elementwise():
    return graph(
        [
            ("Greater", "x zero", "p", {}),
            ("Cast", "i", "f", {"to": FLOAT}),
            ("Exp", "x", "e", {}),
            ("Where", "p e f", "w", {}),
            ("Erf", "w", "y", {}),
            ("Cast", "w", "k", {"to": INT64}),
            ("Mod", "k i", "z", {}),
            ("Cast", "x", "h", {"to": TensorProto.FLOAT16}),
        ],
        [value("x", ["batch", 3]), value("i", ["batch", 3], INT64)],
        [value("y", ["batch", 3]), value("z", ["batch", 3], INT64), value("h", ["batch", 3], TensorProto.FLOAT16)],
        {"zero": np.zeros(1, np.float32)},
    )


def branches():
    def block(name, *nodes):
        made = [helper.make_node(op, i.split(), [o]) for op, i, o in nodes]
        return helper.make_graph(made, name, [], [helper.make_tensor_value_info(name, FLOAT, None)])

    choice = {
        "then_branch": block("a", ("Tanh", "x", "t"), ("Mul", "t s", "a")),
        "else_branch": block("b", ("Exp", "x", "u"), ("Sub", "u s", "b")),
    }
    return graph(
        [("Sigmoid", "x", "s", {}), ("If", "c", "v", choice), ("Add", "v s", "y", {})],
        [value("x", ["batch", 3]), value("c", [], BOOL)],
        [value("y", ["batch", 3])],
    )


def chosen_by_size():
    def block(name, nodes):
        made = [helper.make_node(op, i.split(), [o], **a) for op, i, o, a in nodes]
        return helper.make_graph(made, name, [], [helper.make_tensor_value_info(name, FLOAT, None)])

    choice = {
        "then_branch": block("a", [("Slice", "x low high low", "t", {}), ("Neg", "t", "a", {})]),
        "else_branch": block("b", [("Concat", "x x", "b", {"axis": 0})]),
    }
    return graph(
        [
            ("Shape", "x", "s", {}),
            ("Gather", "s zero", "n", {}),
            ("Greater", "n four", "c", {}),
            ("If", "c", "v", choice),
            ("Exp", "v", "y", {}),
        ],
        [value("x", ["n", 3])],
        [value("y", [None, 3])],
        {"zero": np.array(0), "four": np.array(4), "low": np.array([0]), "high": np.array([4])},
    )


def sizes():
    return graph(
        [
            ("Shape", "x", "n", {}),
            ("Gather", "n last", "w", {"axis": 0}),
            ("Range", "from w by", "r", {}),
        ],
        [value("x", ["batch", "width"])],
        [value("n", [2], INT64), value("r", ["width"], INT64)],
        {"last": np.array(1), "from": np.array(0), "by": np.array(1)},
    )


def turned():
    """A reverse layer and views with negative strides and steps."""
    constants = graphs.weights("GRU", 3, 8)
    starts = {
        "s": np.array([-1, 5], np.int64),
        "e": np.array([-(2**40), -7], np.int64),
        "axes": np.array([0, 2], np.int64),
    }
    return graph(
        [
            ("Slice", "x s e axes steps", "t", {}),
            ("GRU", "t W R B", "y y_h", {"hidden_size": 8, "direction": "reverse"}),
        ],
        [value("x", ["time", "batch", 6])],
        [value("y", [None, 1, "batch", 8]), value("y_h", [1, "batch", 8])],
        constants | starts | {"steps": np.array([-2, -2], np.int64)},
    )


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "recurrent_rnn": lambda: layer("RNN", activations=["Relu"]),
    "recurrent_lstm": lambda: graphs.recurrent("LSTM"),
    "recurrent_gru": lambda: layer("GRU"),
    "bidirectional_rnn": lambda: with_lengths("RNN"),
    "bidirectional_gru": lambda: with_lengths("GRU", linear_before_reset=1),
    "bidirectional_gru_before": lambda: with_lengths("GRU"),
    "bidirectional_lstm": lstm_with_everything,
    "weights_lstm": lambda: weights_as_inputs("LSTM"),
    "weights_gru": lambda: weights_as_inputs("GRU"),
    "weights_rnn": lambda: weights_as_inputs("RNN"),
    "stateful": graphs.stateful,
    "frames": graphs.frames,
    "charlm": charlm,
    "turned": turned,
    "convolutions": convolutions,
    "pools": pools,
    "indexed": indexed,
    "reductions": reductions,
    "norms": norms,
    "elementwise": elementwise,
    "branches": branches,
    "chosen_by_size": chosen_by_size,
    "sizes": sizes,
}


def operators_of(content: bytes) -> set[str]:
    """The kinds of the engine operators in a file."""
    at, size = fmt.RECORDS["preamble"].itemsize + fmt.RECORDS["header"].itemsize, len(fmt.SECTIONS)
    table = np.frombuffer(content, fmt.RECORDS["section"], size, at)
    row = table[fmt.SECTIONS["operators"][0]]
    record = fmt.RECORDS["operator"]
    records = np.frombuffer(content, record, int(row["size"]) // record.itemsize, int(row["offset"]))
    return {name for name, operator in fmt.OPERATORS.items() if operator.value in records["kind"]}


def files() -> dict[str, bytes]:
    """Every model that the converter takes, by name; the handmade ones are always there."""
    made = {
        "handmade": handmade.lstm()[0],
        "handmade_int8": handmade.lstm(bits=8)[0],
        "handmade_int8_ranges": handmade.lstm(33, 20, bits=8, ranges=(1.0, 0.5, 1.0))[0],
        "handmade_int16": handmade.lstm(bits=16)[0],
    }
    for name, build in MODELS.items():
        try:
            made[name] = convert_bytes(build())[0]
        except TinyRNNError as error:
            print(f"left out {name}: {error}", file=sys.stderr)
    return made


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    missing = set(fmt.OPERATORS)
    for name, content in files().items():
        (folder / f"{name}.trnn").write_bytes(content)
        missing -= operators_of(content)
    print(f"no model with: {', '.join(sorted(missing)) or 'nothing is missing'}", file=sys.stderr)
