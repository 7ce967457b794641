# SPDX-License-Identifier: Apache-2.0
"""The engines, an adapter each. A new one is a file here and a row in TABLE."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ..workloads import Workload
from .base import ROOT, Session, SkipError, step_program

__all__ = ["CEILING", "OURS", "ROOT", "TABLE", "Session", "SkipError", "load", "missing"]


class Engine(NamedTuple):
    """Where an engine's adapter is, the module that it needs, and what is measured."""

    adapter: str
    needs: str
    what: str


TABLE = {
    "tinyrnn": Engine("tinyrnn_python", "tinyrnn", "Python: step(x, out=y) and run(x, out=y)"),
    "tinyrnn_bound": Engine("tinyrnn_python", "tinyrnn", "Python: bind(x, out=y), a step without arguments"),
    "tinyrnn_c": Engine("tinyrnn_c", "tinyrnn", "the C library"),
    "onnxruntime": Engine("ort", "onnxruntime", "Python: session.run, what most people call"),
    "onnxruntime_bound": Engine("ort", "onnxruntime", "Python: IOBinding, the states bound crosswise"),
    "torch": Engine("torch_", "torch", "Python: cells for single steps, else nn.LSTM, nn.GRU, nn.RNN"),
    "openvino": Engine("openvino_", "openvino", "Python: bound infer requests, float32"),
    "ncnn": Engine("ncnn_", "ncnn", "Python: extractors, float32"),
    "mnn": Engine("mnn_", "MNN", "Python: modules, high precision"),
    "litert": Engine("litert_", "ai_edge_litert", "Python: interpreter; tensorflow and tf_keras convert"),
}
OURS = ("tinyrnn", "tinyrnn_bound", "tinyrnn_c")
CEILING = "ceiling"  # not an engine: reads of the weights and nothing else, timed as if it were one


def missing(name: str) -> str:
    """Why an engine cannot run here, or an empty string."""
    if name in (CEILING, "tinyrnn_c") and step_program() is None:
        return "its C program is not built: make bench builds it"
    if name == CEILING:
        return ""
    needed = TABLE[name].needs
    return "" if find_spec(needed) else f"not installed: there is no module {needed}"


def load(name: str, workload: Workload, folder: Path) -> Session:
    """Load a workload into an engine.

    Parameters
    ----------
    name : str
        Of TABLE, or CEILING.
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
    adapter: Any = import_module(f".{'tinyrnn_c' if name == CEILING else TABLE[name].adapter}", __package__)
    return adapter.ENGINES[name](workload, folder)
