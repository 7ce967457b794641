# SPDX-License-Identifier: Apache-2.0
"""Golden cases of recurrent layers with every option, of streams and their states, and of small networks."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from onnx import helper

import graphs
from golden_build import BATCH, CASES, Case, Made, arena, case, converted, normal, view, whole
from graphs import value
from random_graphs import Stack, layer
from tinyrnn.converters.ir import State, Tensor


def of_layer(
    cell: str, options: dict[str, Any] | None = None, precision: str | None = None, static: bool = False
) -> Case:
    """A recurrent layer with everything that it can be given."""
    options = {"hidden": 5, "inputs": 3, **(options or {})}
    proto = layer(cell, **options)
    steps, batch, first = 7, 3, options.get("layout", 0)
    x = normal(*((batch, steps) if first else (steps, batch)), options["inputs"], seed=1)
    given = {"X": x}
    directions = 2 if options.get("direction") == "bidirectional" else 1
    if options.get("lens"):
        given["sequence_lens"] = np.array([7, 0, 4], np.int32)
    state = (batch, directions, options["hidden"]) if first else (directions, batch, options["hidden"])
    if options.get("initial"):
        given["initial_h"] = normal(*state, seed=2) / 2
    if options.get("initial") and cell == "LSTM":
        given["initial_c"] = normal(*state, seed=3)
    extra = {} if precision is None else {"quantize": precision, "calibrate": given}
    if static:
        extra["activations"] = "static"
    return converted(proto, given, **extra)


def each(*names: str) -> dict[str, Any]:
    """The attribute of these activations."""
    return {"activations": list(names)}


BOTH = {"direction": "bidirectional"}

# ---- Recurrent layers ----

LAYERS: dict[str, tuple[Any, ...]] = {
    "rnn": ("RNN",),
    "rnn_reverse_relu": ("RNN", {"direction": "reverse", **each("Relu")}),
    "rnn_both_affine": (
        "RNN",
        {**BOTH, **each("Affine", "ScaledTanh"), "activation_alpha": [0.9, 0.8], "activation_beta": [0.1, 0.7]},
    ),
    "rnn_leaky_clip": ("RNN", {**each("LeakyRelu"), "clip": 0.9}),
    "rnn_thresholded": ("RNN", {**each("ThresholdedRelu"), "activation_alpha": [0.05]}),
    "rnn_hard_no_bias": ("RNN", {**each("HardSigmoid"), "bias": False}),
    "rnn_elu_batch_first": ("RNN", {**each("Elu"), "activation_alpha": [0.7], "layout": 1}),
    "rnn_soft_lens": ("RNN", {**BOTH, **each("Softsign", "Softplus"), "lens": True}),
    "rnn_int8_lens": ("RNN", {"lens": True, **BOTH}, "int8"),
    "rnn_int8_hard": ("RNN", each("HardSigmoid"), "int8"),
    "rnn_int16_initial": ("RNN", {"initial": True}, "int16"),
    "rnn_int8_static": ("RNN", {"hidden": 17}, "int8", True),
    "lstm": ("LSTM", {"hidden": 17}),
    "lstm_reverse_initial": ("LSTM", {"direction": "reverse", "initial": True}),
    "lstm_both_lens_initial": ("LSTM", {**BOTH, "lens": True, "initial": True}),
    "lstm_peepholes": ("LSTM", {"peepholes": True}),
    "lstm_peepholes_both_clip": ("LSTM", {"peepholes": True, **BOTH, "clip": 0.5}),
    "lstm_input_forget": ("LSTM", {"input_forget": 1}),
    "lstm_batch_first": ("LSTM", {"layout": 1, "initial": True}),
    "lstm_activations": ("LSTM", each("HardSigmoid", "Softsign", "Relu")),
    "lstm_int8": ("LSTM", {"hidden": 17, "inputs": 5}, "int8"),
    "lstm_int8_lens": ("LSTM", {**BOTH, "lens": True, "initial": True}, "int8"),
    "lstm_int8_peepholes": ("LSTM", {"peepholes": True, "input_forget": 1}, "int8"),
    "lstm_int8_static": ("LSTM", {"layout": 1}, "int8", True),
    "lstm_int16": ("LSTM", {"hidden": 7}, "int16"),
    "gru_after": ("GRU", {"linear_before_reset": 1, "hidden": 17}),
    "gru_before": ("GRU", {"linear_before_reset": 0}),
    "gru_after_reverse_lens": ("GRU", {"linear_before_reset": 1, "direction": "reverse", "lens": True}),
    "gru_before_both_lens": ("GRU", {"linear_before_reset": 0, **BOTH, "lens": True, "initial": True}),
    "gru_before_clip": ("GRU", {"linear_before_reset": 0, "clip": 0.3, "layout": 1}),
    "gru_after_activations": ("GRU", {"linear_before_reset": 1, **each("HardSigmoid", "Elu")}),
    "gru_after_int8": ("GRU", {"linear_before_reset": 1}, "int8"),
    "gru_before_int8": ("GRU", {"linear_before_reset": 0}, "int8"),
    "gru_before_int8_static": ("GRU", {"linear_before_reset": 0}, "int8", True),
    "gru_before_int16": ("GRU", {"linear_before_reset": 0, **BOTH, "lens": True}, "int16"),
    "gru_before_int16_static": ("GRU", {"linear_before_reset": 0}, "int16", True),
    "gru_after_int16": ("GRU", {"linear_before_reset": 1, "clip": 0.4}, "int16"),
}
CASES |= {name: partial(of_layer, *given) for name, given in LAYERS.items()}


def of_outputs(cell: str, outputs: list[str], precision: str | None = None) -> Case:
    """A reverse layer that shows only some of its outputs."""
    proto = layer(cell, 5, 3, "reverse")
    kept = [o for o in proto.graph.output if o.name in outputs]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)
    names = list(proto.graph.node[0].output)
    proto.graph.node[0].output[:] = [name if name in outputs else "" for name in names]
    return converted(proto, {"X": normal(4, 2, 3)}, quantize=precision)


CASES["rnn_int8_last_alone"] = partial(of_outputs, "RNN", ["Y_h"], "int8")
CASES["lstm_sequence_alone"] = partial(of_outputs, "LSTM", ["Y"])
CASES["lstm_cell_alone"] = partial(of_outputs, "LSTM", ["Y_c"])

# ---- Streams, states and ties ----


@case
def stream_tied() -> Case:
    """Explicit state in and out, started by inputs."""
    state = {"h0": normal(1, 2, 8, seed=1) / 2, "c0": normal(1, 2, 8, seed=2)}
    return converted(graphs.stateful(), {"x": normal(6, 2, 4), **state})


@case
def stream_tied_from_zero() -> Case:
    """The same inputs, not given."""
    return converted(graphs.stateful(), {"x": normal(6, 2, 4)})


@case
def stream_fed() -> Case:
    """State that the caller gives in every call."""
    state = {"h0": normal(1, 2, 8, seed=1) / 2, "c0": normal(1, 2, 8, seed=2)}
    return converted(graphs.stateful(), {"x": normal(1, 2, 4), **state}, states="keep")


@case
def stream_frames() -> Case:
    """A model of one frame, which carries its state."""
    return converted(graphs.frames(), {"x": normal(5, 1, 1, 6), "h0": normal(1, 1, 8, seed=3) / 2}, frames=5)


@case
def stream_two_inputs() -> Case:
    """One of them without a time axis."""
    x = normal(5, 2, 4), normal(5, 2, 4, seed=1), normal(2, 4, seed=2)
    return converted(graphs.two_inputs(), dict(zip(("a", "b", "speaker"), x, strict=True)))


@case
def stream_without_batch() -> Case:
    """Steps of features alone."""
    return converted(graphs.without_batch(), {"x": normal(6, 4)})


@case
def stream_embedding() -> Case:
    """Indices, some of them from the end."""
    return converted(graphs.embedding(), {"tokens": whole(-5, 4, 6, 2)})


@case
def stream_embedding_int8() -> Case:
    """Rows of bytes that are scaled."""
    return converted(graphs.embedding(), {"tokens": whole(-5, 4, 6, 2)}, quantize="int8")


@case
def stream_cache() -> Case:
    """A state of two frames that moves on by two ties into views, from an initial value of its own."""
    made = Made()
    x = made.input("x", normal(5, 2, 3), (BATCH, 3))
    y = made.output("y", (BATCH, 3))
    state = Tensor("cache", "F32", (2, BATCH, 3), "STATE")
    first, second = (view(state, 3 * BATCH * i, (BATCH, 3), (3, 1)) for i in range(2))
    before = arena((BATCH, 3))
    made.op("copy", [first], [before])
    made.program([x, first, second], y, ("ADD", 0, 1), ("SUB", 3, 2))
    state_record = State(state, made.constant(normal(2, 1, 3, seed=4)), [(first, y), (second, before)], batch_axis=1)
    made.graph.states.append(state_record)
    return made.case(frames=5)


@case
def stream_causal_convolution() -> Case:
    """A convolution over time behind steps that the graph takes and gives back."""
    joined = helper.make_node("Concat", ["cache", "x"], ["joined"], axis=0)
    kept = helper.make_node("Slice", ["joined", "from", "to", "axis"], ["kept"])
    turned = helper.make_node("Transpose", ["joined"], ["turned"], perm=[1, 2, 0])
    window = helper.make_node("Conv", ["turned", "w"], ["out"], dilations=[2])
    back = helper.make_node("Transpose", ["out"], ["y"], perm=[2, 0, 1])
    ends = {"from": np.array([-4]), "to": np.array([1 << 40]), "axis": np.array([0])}
    proto = graphs.model(
        [joined, kept, turned, window, back],
        [value("x", ["time", "batch", 3]), value("cache", [4, "batch", 3])],
        [value("y", ["time", "batch", 5]), value("kept", [4, "batch", 3])],
        {"w": normal(5, 3, 3) / 2, **ends},
    )
    return converted(proto, {"x": normal(7, 2, 3, seed=1)})


# ---- Networks ----


def of_stack(seed: int, *layers: tuple[Any, ...], precision: str | None = None) -> Case:
    """Layers of random_graphs, one after the other: the name of each, and what it would draw."""
    stack = Stack(8, seed)
    for name, *drawn in layers:
        answers = iter(drawn)
        getattr(stack, name)(lambda _, answers=answers: next(answers))
        assert not list(answers), name
    return converted(stack.finish()[0], {"x": normal(6, 2, 8, seed=seed)}, quantize=precision)


STACKS: dict[str, tuple[Any, ...]] = {
    "network": (
        1, ("dense", 16, True), ("activation", "Tanh"), ("recurrence", "GRU", 7, 1), ("layer_norm",),
        ("dense", 5, False), ("softmax", "Softmax"),
    ),
    "network_of_views": (
        2, ("slice", 1, 2), ("split", 1), ("transpose", "Softplus"), ("pad", "constant", 2, 1), ("pad", "edge", 1, 3),
        ("pick", 9), ("prelu",),
    ),
    "network_of_convolutions": (
        3, ("look_back", 3, 2, 19), ("residual", "Sigmoid", "Mul"),
        ("convolution", 3, 2), ("arithmetic", (1,), "Max", -1),
    ),
    "network_of_choices": (
        4, ("reduction", "ReduceMean", "Sub"), ("choice", "Less"), ("recurrence", "LSTM", 5), ("place", "ArgMax"),
    ),
}  # fmt: skip
CASES |= {name: partial(of_stack, *given) for name, given in STACKS.items()}
CASES["network_int8"] = partial(
    of_stack,
    5,
    ("dense", 16, True),
    ("recurrence", "LSTM", 16),
    ("activation", "Relu"),
    ("dense", 5, True),
    precision="int8",
)
CASES["network_int16"] = partial(
    of_stack, 46, ("look_back", 2, 1, 19), ("recurrence", "RNN", 7), ("softmax", "LogSoftmax"), precision="int16"
)
