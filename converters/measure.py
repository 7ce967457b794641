# SPDX-License-Identifier: Apache-2.0
"""Runs lowered graphs in the engine: the one file of the converter that does. Errors, and how far values reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from tinyrnn import ArgumentError, Model, TinyRNNError, load, samples

from .ir import Graph, Node, Port, Tensor
from .writer import Writer

STEPS = 100  # of random sequences
Arrays = Mapping[str, np.ndarray]


def loaded(graph: Graph) -> Model:
    """A model of the graph."""
    return load(Writer(graph, {}).whole())


class Bench:
    """A graph, and the arrays on which it and others of the same inputs are run.

    Parameters
    ----------
    graph : the reference
    given : arrays by input name, of a graph without a time axis one frame or a stack of them; None for random ones
    declared : the shapes that the ONNX model declares, for random arrays

    Raises
    ------
    TinyRNNError
        The graph cannot be run on these arrays, or none can be made.
    ArgumentError
        An array is for no input.
    """

    def __init__(self, graph: Graph, given: Arrays | None, declared: Mapping[str, Any]) -> None:
        self.graph = graph
        model = loaded(graph)
        if given is None:
            self.inputs = samples.random_inputs(model, 0, STEPS, 1, declared)
            starts = [port.name for port in model.inputs if port.state is not None]
            self.inputs |= {name: np.zeros_like(self.inputs[name]) for name in starts}
        else:
            self.inputs = dict(given)
            names = [port.name for port in model.inputs]
            unknown = [name for name in given if name not in names]
            if unknown:
                raise ArgumentError(f"calibrate: the model has no input {unknown[0]!r}; it has {names}")
        self.framed = samples.are_frames(model, self.inputs)
        try:
            self.wanted = samples.run(model, self.inputs)
        except TinyRNNError as error:
            if given is None:
                raise
            raise type(error)(f"calibrate: {error}") from None

    def errors(self, graph: Graph) -> list[dict[str, Any]]:
        """The error of each output of a changed graph; those that show states only where there are no others."""
        model = loaded(graph)
        got = samples.run(model, self.inputs)
        ports = [port for port in model.outputs if port.name in got]
        ports = [port for port in ports if port.state is None] or ports
        return [samples.compare(p, got[p.name], self.wanted[p.name], 0 if self.framed else p.time_axis) for p in ports]

    def reach(self, tensors: Mapping[str, tuple[Node, Tensor, bool]], instead: Mapping[int, Node]) -> dict[str, float]:
        """The largest magnitude of tensors of the graph, over all that is run.

        Parameters
        ----------
        tensors : for a name of its own: an operator of block 0, what is looked at, and whether behind the operator
        instead : operators that take the place of one, by its id
        """
        probes: dict[tuple[int, bool], list[Node]] = {}
        ports = []
        for name, (node, seen, behind) in tensors.items():
            magnitudes = Tensor("", "F32", seen.dims)
            largest = Tensor(name, "F32", (), "OUTPUT")
            absolute = {"program": [("ABS", 0, 0, 0, 0.0, 0.0)]}
            probes.setdefault((id(node), behind), []).extend(
                [
                    Node("elementwise", [seen], [magnitudes], absolute, name),
                    Node("reduce", [magnitudes], [largest], {"kind": "MAX", "axes": len(seen.dims)}, name),
                ]
            )
            ports.append(Port(name, largest))
        nodes = []
        for node in self.graph.nodes:
            same = instead.get(id(node), node)
            nodes += [*probes.get((id(node), False), []), same, *probes.get((id(node), True), [])]
        shown = replace(self.graph, nodes=nodes, outputs=[*self.graph.outputs, *ports])
        got = samples.run(loaded(shown), self.inputs)
        found = {name: float(np.max(got[name], initial=0.0)) for name in tensors}
        for name, value in found.items():
            if not np.isfinite(value):
                raise TinyRNNError(f"calibrate: {name} is not finite on these data")
        return found
