# SPDX-License-Identifier: Apache-2.0
"""Where a converted model begins to differ from its ONNX graph: every value in between made an output, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from . import onnx_frontend, references, registry
from .driver import lower_model
from .measure import loaded
from .onnx_model import OnnxNode

Values = Mapping[str, np.ndarray]


def first_departure(
    source: Any,
    inputs: Values,
    tolerance: float,
    recipe: Mapping[str, Any],
    reference: Callable[[bytes, list[str]], Values] | None = None,
) -> tuple[str, float] | None:
    """The first node, in the order of the graph, whose output is further from the reference than `tolerance`.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    inputs : an array for each input; those that the recipe binds included
    tolerance : largest error, as a part of max(1, |reference|)
    recipe : the keywords bind, shapes and time_axis of the conversion
    reference : function (model with every value as an output, their names) -> arrays; the float64 references otherwise

    Returns
    -------
    tuple or None
        (node, error), or None where no single node does.
    """
    registry.load_all()
    model = onnx_frontend.load(source, registry.supported)
    inner = [name for node in model.nodes for name in node.outputs if name]
    if reference is None:
        wanted: Values = references.run(source, inputs, everything=True)
    else:
        wanted = reference(*onnx_frontend.with_outputs(source, inner))
    model.outputs = [name for name in inner if name in wanted]
    bind, shapes, time = (recipe.get(key) or {} for key in ("bind", "shapes", "time_axis"))
    graph = lower_model(model, bind, shapes, "keep", time_axis=time).graph
    made = loaded(graph)
    got = made.run({port.name: inputs[port.name] for port in made.inputs})
    for node in model.nodes:
        error = _error(node, got, wanted)
        if error > tolerance:
            return node.label, error
    return None


def _error(node: OnnxNode, got: Values, wanted: Values) -> float:
    """The largest error of its outputs."""
    worst = 0.0
    for name in node.outputs:
        if name not in got or name not in wanted:
            continue
        a, b = (np.asarray(v[name]) for v in (got, wanted))
        if a.shape != b.shape:
            return float("inf")
        a, b = a.astype(np.float64), b.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        with np.errstate(invalid="ignore"):
            gap = np.where(same, 0.0, np.abs(a - b))
        largest = np.abs(b[np.isfinite(b)]).max(initial=1.0)
        worst = max(worst, float(np.where(np.isnan(gap), np.inf, gap).max(initial=0.0)) / float(largest))
    return worst
