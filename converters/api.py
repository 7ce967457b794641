# SPDX-License-Identifier: Apache-2.0
"""convert: an ONNX model in, a .trnn file and a report out."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyrnn import __version__

from . import onnx_frontend, registry
from .driver import lower_model
from .quantize import Options, Progress
from .quantize import quantize as quantized
from .report import Report, make_report
from .writer import Writer, write_file


def convert(
    source: Any,
    target: Any,
    *,
    bind: Mapping[str, Any] | None = None,
    shapes: Mapping[str, Any] | None = None,
    states: str | Mapping[str, str] = "auto",
    time_axis: Mapping[str, int] | None = None,
    quantize: str | None = None,
    calibrate: Any = None,
    keep_float: Iterable[str] = (),
    activations: str = "dynamic",
    progress: Progress | None = None,
) -> Report:
    """Convert an ONNX model to a .trnn file.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    target : path or binary file object. A path is replaced in one step, or, on any failure, left as it was.
    bind : values for inputs that only steer; these become constants and disappear.
    shapes : for an input's name, its dims: an int or a symbol's name for each axis.
    states : "auto" finds state that goes through inputs and outputs; "keep" leaves these as they are; a mapping
        {input: output} says which belong together, and nothing else is tied.
    time_axis : for an input's name, the axis that runs over the steps, where tracing it back from the recurrences
        finds none, or another.
    quantize : None for float32; "int8" for weights of matrix products, convolutions and embeddings in 8 bits, whose
        sums are exact: the same bytes on every machine; "int16" for 16 bits, but 8 in embeddings.
    calibrate : path of an .npz file, or a dict, with an array for each input: what errors are measured on, and with
        activations="static" the ranges of activations. Without it errors are measured on random sequences. Of a model
        that takes single frames, the arrays are stacks of them.
    keep_float : names of ONNX nodes or of the initializers with their weights that are to stay float32.
    activations : "dynamic", each row and step has its own scale, or "static", scales are constant, from `calibrate`.
    progress : called with (layers done, layers, name of the next) while errors are measured.

    Returns
    -------
    Report

    Raises
    ------
    ConversionError
        The model needs what tinyrnn does not do; `problems` lists every node concerned.
    ModelFormatError
        The model is damaged or contradicts itself.
    ArgumentError
        The options of quantization do not fit together, or the data to calibrate with are not arrays of its inputs.
    """
    data, report = convert_bytes(
        source,
        bind=bind,
        shapes=shapes,
        states=states,
        time_axis=time_axis,
        quantize=quantize,
        calibrate=calibrate,
        keep_float=keep_float,
        activations=activations,
        progress=progress,
    )
    write_file(data, target)
    return report


def convert_bytes(
    source: Any,
    *,
    bind: Mapping[str, Any] | None = None,
    shapes: Mapping[str, Any] | None = None,
    states: str | Mapping[str, str] = "auto",
    time_axis: Mapping[str, int] | None = None,
    quantize: str | None = None,
    calibrate: Any = None,
    keep_float: Iterable[str] = (),
    activations: str = "dynamic",
    progress: Progress | None = None,
) -> tuple[bytes, Report]:
    """The same, with the file's bytes as the result."""
    options = Options(quantize, calibrate, tuple(keep_float), activations)
    options.check()
    registry.load_all()
    with _without_collector():
        model = onnx_frontend.load(source, registry.supported)
        lowered = lower_model(model, bind or {}, shapes or {}, states, time_axis=time_axis)
    done = None if quantize is None else quantized(lowered.graph, model, options, progress)
    if done is not None:
        lowered.graph = done.graph
        lowered.notes += done.notes
    report = make_report(model, lowered)
    if done is not None:
        report.precision, report.activations = str(quantize), activations
        report.layers, report.output_errors = [layer.to_dict() for layer in done.layers], done.output_errors
    recipe = {
        "bind": dict(bind or {}),
        "shapes": dict(shapes or {}),
        "states": states if isinstance(states, str) else dict(states),
        "time_axis": dict(time_axis or {}),
        **options.recipe(),
    }
    recipe = {key: value for key, value in recipe.items() if value}
    metadata = {
        "producer": f"tinyrnn {__version__}",
        "source_sha256": model.sha256,
        "recipe": _compact(recipe),
        "report": _compact(report.noted()),
    }
    data = Writer(lowered.graph, metadata).whole()
    report.bytes_out = len(data)
    return data, report


@contextmanager
def _without_collector() -> Iterator[None]:
    """A graph is many objects that live to the end: the cycle collector would walk them again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _compact(note: dict[str, Any]) -> str:
    """As JSON without spaces: notes are most of what a small file has beside its weights."""
    return json.dumps(note, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist()
