# SPDX-License-Identifier: Apache-2.0
"""The engines, an adapter each. A new one is a file here and a row in TABLE."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ..workloads import Workload
from .base import ROOT, Session, SkipError, step_program

__all__ = ["CEILINGS", "OURS", "ROOT", "TABLE", "Session", "SkipError", "ceilings", "load", "missing", "precision"]


class Engine(NamedTuple):
    """Where an engine's adapter is, the module that it needs, what is measured, and the precision of its weights."""

    adapter: str
    needs: str
    what: str
    precision: str = "float32"


TABLE = {
    "tinyrnn": Engine("tinyrnn_python", "tinyrnn", "Python: step(x, out=y) and run(x, out=y)"),
    "tinyrnn_bound": Engine("tinyrnn_python", "tinyrnn", "Python: bind(x, out=y), a step without arguments"),
    "tinyrnn_c": Engine("tinyrnn_c", "tinyrnn", "the C library"),
    "tinyrnn_int8": Engine("tinyrnn_python", "tinyrnn", "as tinyrnn, from a file of quantize='int8'", "int8"),
    "tinyrnn_c_int8": Engine("tinyrnn_c", "tinyrnn", "as tinyrnn_c, from that file", "int8"),
    "onnxruntime": Engine("ort", "onnxruntime", "Python: session.run, what most people call"),
    "onnxruntime_bound": Engine("ort", "onnxruntime", "Python: IOBinding, the states bound crosswise"),
    "onnxruntime_int8": Engine("ort", "onnxruntime", "as onnxruntime_bound, by its dynamic quantization: LSTM", "int8"),
    "torch": Engine("torch_", "torch", "Python: cells for single steps, else nn.LSTM, nn.GRU, nn.RNN"),
    "torch_int8": Engine("torch_", "torch", "as torch, by its dynamic quantization", "int8"),
    "openvino": Engine("openvino_", "openvino", "Python: bound infer requests, float32"),
    "ncnn": Engine("ncnn_", "ncnn", "Python: extractors, float32"),
    "mnn": Engine("mnn_", "MNN", "Python: modules, high precision"),
    "litert": Engine("litert_", "ai_edge_litert", "Python: interpreter; tensorflow and tf_keras convert"),
    "litert_int8": Engine("litert_", "ai_edge_litert", "as litert, by its dynamic-range quantization", "int8"),
}
OURS = ("tinyrnn", "tinyrnn_bound", "tinyrnn_c", "tinyrnn_int8", "tinyrnn_c_int8")
# No engines: reads of the weights in a precision and nothing else, timed as if they were.
CEILINGS = {"float32": "ceiling", "int8": "ceiling_int8"}


def precision(name: str) -> str:
    """The precision of an engine's weights."""
    return TABLE[name].precision


def ceilings(names: Iterable[str]) -> list[str]:
    """Those that bound these engines."""
    wanted = {precision(name) for name in names}
    return [ceiling for kind, ceiling in CEILINGS.items() if kind in wanted]


def missing(name: str) -> str:
    """Why an engine cannot run here, or an empty string."""
    in_c = name in CEILINGS.values() or TABLE[name].adapter == "tinyrnn_c"
    if in_c and step_program() is None:
        return "its C program is not built: make bench builds it"
    if name in CEILINGS.values():
        return ""
    needed = TABLE[name].needs
    return "" if find_spec(needed) else f"not installed: there is no module {needed}"


def load(name: str, workload: Workload, folder: Path) -> Session:
    """Load a workload into an engine.

    Parameters
    ----------
    name : str
        Of TABLE, or of CEILINGS.
    workload : Workload
    folder : Path
        Where converted models may be written.

    Raises
    ------
    SkipError
        The engine cannot run this workload; the message says why.
    """
    reason = missing(name)
    if reason:
        raise SkipError(reason)
    adapter: Any = import_module(f".{TABLE[name].adapter if name in TABLE else 'tinyrnn_c'}", __package__)
    return adapter.ENGINES[name](workload, folder)
