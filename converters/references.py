# SPDX-License-Identifier: Apache-2.0
"""Runs an ONNX graph in float64, node by node, with the references of ops/: what `verify` compares with."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from . import onnx_frontend, registry
from .errors import ConversionError
from .fold import listed
from .onnx_model import OnnxNode, Subgraph


def run(source: Any, inputs: Mapping[str, np.ndarray], everything: bool = False) -> dict[str, np.ndarray]:
    """The outputs of an ONNX model for the inputs given by name, computed in float64.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    inputs : an array for each input of the graph; floats are widened
    everything : also return what is between inputs and outputs

    Returns
    -------
    dict
        Output name -> array; every float is float64.
    """
    registry.load_all()
    model = onnx_frontend.load(source, registry.supported)
    missing = [v.name for v in model.inputs if v.name not in inputs]
    if missing:
        raise ConversionError([f"the reference needs the input {missing[0]!r}"])
    known = {name: _wide(np.asarray(a)) for name, a in (*model.constants.items(), *inputs.items())}
    with np.errstate(all="ignore"):
        _walk(model.nodes, known)
    return known if everything else {name: known[name] for name in model.outputs}


def _walk(nodes: list[OnnxNode], known: MutableMapping[str, np.ndarray]) -> None:
    for node in nodes:
        arrays = [known[n] if n else None for n in node.inputs]
        results = _branch(node, arrays, known) if node.bodies else _node(node, arrays)
        known.update((n, _wide(a)) for n, a in zip(node.outputs, results, strict=False) if n)


def _branch(
    node: OnnxNode, arrays: list[np.ndarray | None], known: MutableMapping[str, np.ndarray]
) -> list[np.ndarray]:
    """The body of an If that its condition chooses, run in a scope of its own."""
    if (node.domain, node.op) != ("", "If") or arrays[0] is None:
        raise ConversionError([f"{node.label}: there is no reference of this operator"])
    body: Subgraph = node.attributes["then_branch" if arrays[0].reshape(-1)[0] else "else_branch"]
    scope = ChainMap({name: _wide(a) for name, a in body.constants.items()}, known)
    _walk(body.nodes, scope)
    return [scope[name] for name in body.outputs]


def _wide(a: np.ndarray) -> np.ndarray:
    return a.astype(np.float64) if a.dtype.kind == "f" else a


def _node(node: OnnxNode, arrays: list[np.ndarray | None]) -> list[np.ndarray]:
    known = registry.REFERENCES.get((node.domain, node.op))
    if known is not None:
        return listed(known.function(node, *arrays))
    # The rest has no arithmetic of ours to check, and ONNX's own reference serves; it wants declared types.
    return onnx_frontend.evaluate(node, [_narrow(a) for a in arrays])


def _narrow(a: np.ndarray | None) -> np.ndarray | None:
    return a.astype(np.float32) if a is not None and a.dtype == np.float64 else a
