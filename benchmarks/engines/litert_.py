# SPDX-License-Identifier: Apache-2.0
"""LiteRT on one core with its XNNPACK delegate, from files that TensorFlow makes here where it is installed.

A step is a function of its own whose states are inputs and outputs; sequences are layers of tf_keras, as Keras 3 no
longer gives the fused LSTM.
"""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from ..workloads import GATES, Floats, Workload
from .base import Session, SkipError, replace

KERAS = {"lstm": (0, 2, 3, 1), "gru": (0, 1, 2), "rnn": (0,)}  # of ONNX's gates, as Keras wants them


def one_step(workload: Workload) -> Any:
    """A concrete function x (1, input), states (1, hidden) -> a dict of y and the next states, by their ONNX names."""
    import tensorflow as tf

    layers = [[tf.constant(array[0]) for array in layer] for layer in workload.weights()]
    gates, cell = GATES[workload.cell], workload.cell

    def step(x: Any, *states: Any) -> dict[str, Any]:
        given, found = iter(states), {}
        for k, (w, r, b) in enumerate(layers):
            h = next(given)
            x_part = tf.linalg.matmul(x, w, transpose_b=True) + b[: gates * workload.hidden]
            h_part = tf.linalg.matmul(h, r, transpose_b=True) + b[gates * workload.hidden :]
            if cell == "lstm":
                c = next(given)
                i, o, f, g = tf.split(x_part + h_part, 4, axis=1)
                c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
                h = tf.sigmoid(o) * tf.tanh(c)
                found[f"c{k}_next"] = c
            elif cell == "gru":
                (xz, xr, xh), (hz, hr, hh) = tf.split(x_part, 3, axis=1), tf.split(h_part, 3, axis=1)
                z = tf.sigmoid(xz + hz)
                h = (1 - z) * tf.tanh(xh + tf.sigmoid(xr + hr) * hh) + z * h
            else:
                h = tf.tanh(x_part + h_part)
            found[f"h{k}_next"] = x = h
        return {"y": tf.identity(x), **found}

    def spec(name: str, width: int) -> Any:
        return tf.TensorSpec((1, width), tf.float32, name)

    specs = [spec("x", workload.input), *(spec(name, workload.hidden) for name, _ in workload.states())]
    return tf.function(step, input_signature=specs)


def whole_sequence(workload: Workload) -> Any:
    """A Keras model x (batch, steps, input) -> y (batch, steps, hidden)."""
    import tensorflow as tf

    kinds = {"lstm": tf.keras.layers.LSTM, "gru": tf.keras.layers.GRU, "rnn": tf.keras.layers.SimpleRNN}
    call = workload.call
    x = inputs = tf.keras.Input((call.steps, workload.input), batch_size=call.batch)
    layers = [kinds[workload.cell](workload.hidden, return_sequences=True) for _ in range(workload.layers)]
    for layer in layers:
        x = layer(x)

    def ordered(array: Floats) -> Floats:
        gates = np.split(array, GATES[workload.cell])
        return np.concatenate([gates[i] for i in KERAS[workload.cell]])

    for layer, (w, r, b) in zip(layers, workload.weights()):
        x_bias, r_bias = (ordered(part) for part in np.split(b[0], 2))
        bias = np.stack([x_bias, r_bias]) if workload.cell == "gru" else x_bias + r_bias
        layer.set_weights([ordered(w[0]).T, ordered(r[0]).T, bias])
    return tf.keras.Model(inputs, x)


def converted(workload: Workload, folder: Path, quantize: bool) -> Path:
    """The workload's .tflite file; its weights int8 and activations quantized at run time, or all float32."""
    target = folder / f"{workload.name}{'.int8' if quantize else ''}.tflite"
    if target.exists():
        return target
    for module in ("tensorflow", "tf_keras"):
        if not find_spec(module):
            raise SkipError(f"{module}, which makes its files, is not installed")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tf.keras is tf_keras then
    import tensorflow as tf

    if workload.call.steps == 1:
        module = tf.Module()
        module.step = one_step(workload)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([module.step.get_concrete_function()], module)
    else:
        converter = tf.lite.TFLiteConverter.from_keras_model(whole_sequence(workload))
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    replace(target, converter.convert())
    return target


class Invoked(Session):
    """set_tensor, invoke, get_tensor; the states of a step are fed back."""

    def __init__(self, workload: Workload, folder: Path, quantize: bool = False) -> None:
        super().__init__(workload)
        if workload.call.carried and workload.call.steps > 1:
            raise SkipError("blocks with a carried state have no ready-made layer")
        if not workload.reset_after:
            raise SkipError("Keras's GRU that resets before its product is not compared")
        self.interpreter = Interpreter(model_path=str(converted(workload, folder, quantize)), num_threads=1)
        self.interpreter.allocate_tensors()
        self.ties = []
        if workload.states():
            signature = self.interpreter.get_signature_runner()
            inputs = {name: detail["index"] for name, detail in signature.get_input_details().items()}
            outputs = {name: detail["index"] for name, detail in signature.get_output_details().items()}
            self.x_index, self.y_index = inputs["x"], outputs["y"]
            self.ties = [(inputs[a], outputs[b]) for a, b in workload.states()]
        else:
            self.x_index = self.interpreter.get_input_details()[0]["index"]
            self.y_index = self.interpreter.get_output_details()[0]["index"]
        self.feed(workload.inputs()[0])
        self.reset()

    def feed(self, x: Floats) -> None:
        # A step is (1, input); a sequence has the batch first.
        self.x = np.ascontiguousarray(x[0] if self.workload.call.steps == 1 else x.transpose(1, 0, 2))

    def reset(self) -> None:
        for index, _ in self.ties:
            self.interpreter.set_tensor(index, np.zeros((1, self.workload.hidden), np.float32))

    def call(self) -> Any:
        interpreter = self.interpreter
        interpreter.set_tensor(self.x_index, self.x)
        if not self.ties:
            interpreter.reset_all_variables()  # a fused LSTM keeps its state
        interpreter.invoke()
        y = interpreter.get_tensor(self.y_index)
        for read, written in self.ties:
            interpreter.set_tensor(read, interpreter.get_tensor(written))
        return y

    def result(self, returned: Any) -> Any:
        return returned if self.ties else returned.transpose(1, 0, 2)


ENGINES = {"litert": Invoked, "litert_int8": partial(Invoked, quantize=True)}
