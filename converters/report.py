# SPDX-License-Identifier: Apache-2.0
"""What a conversion tells about itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from . import dims as dm
from .driver import Lowered
from .ir import Graph
from .onnx_model import OnnxModel
from .passes.copies import copies_left


@dataclass
class Report:
    """The outcome of a conversion.

    Attributes
    ----------
    nodes : ONNX operator -> how many the graph had.
    operators : engine operator -> how many the file has.
    parameters : numbers in the weights of the file, padding included.
    bytes_in, bytes_out : sizes of the ONNX model and of the file.
    time_axis, batch_axis : name of the symbol, or None.
    streamable, reason : whether a stream can carry the model from step to step, and why not.
    states : name, shape and origin of each state.
    fused, copies : what the passes merged; the copies that are left, by node, and why.
    notes : what else a reader should know.
    """

    nodes: dict[str, int]
    operators: dict[str, int]
    parameters: int
    bytes_in: int
    bytes_out: int
    time_axis: str | None
    batch_axis: str | None
    streamable: bool
    reason: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    states: list[dict[str, str]]
    fused: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"nodes       {_counts(self.nodes)}",
            f"operators   {_counts(self.operators)}",
            f"parameters  {self.parameters}",
            f"bytes       {self.bytes_in} -> {self.bytes_out}",
        ]
        lines += [f"input       {name} {shape}" for name, shape in self.inputs.items()]
        lines += [f"output      {name} {shape}" for name, shape in self.outputs.items()]
        lines.append(f"time axis   {self.time_axis or 'none'}; batch axis {self.batch_axis or 'none'}")
        lines.append("streamable  yes" if self.streamable else f"streamable  no: {self.reason}")
        lines += [f"state       {s['name']} {s['shape']}: {s['why']}" for s in self.states]
        lines += [f"fused       {text}" for text in shortened(self.fused)]
        lines += [f"copy left   {text}" for text in shortened(self.copies)]
        lines += [f"note        {text}" for text in self.notes]
        return "\n".join(lines)


def shortened(lines: list[str], most: int = 20) -> list[str]:
    """The first of many lines, each once, and how many more there are."""
    lines = list(dict.fromkeys(lines))
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or "none"


def _shape(sizes: tuple[dm.Size, ...], dtype: str) -> str:
    return f"{dtype}[{', '.join(str(s) for s in sizes)}]"


def make_report(model: OnnxModel, lowered: Lowered) -> Report:
    """The report, but for the size of the file."""
    graph: Graph = lowered.graph
    constants = {id(t): t for t in graph.tensors() if t.data is not None}
    return Report(
        nodes=dict(sorted(Counter(n.op for n in model.nodes).items())),
        operators=dict(sorted(Counter(n.kind for n in graph.all_nodes()).items())),
        parameters=sum(int(t.data.size) for t in constants.values() if t.data is not None),
        bytes_in=model.size,
        bytes_out=0,
        time_axis=graph.symbol_of("TIME"),
        batch_axis=graph.symbol_of("BATCH"),
        streamable=graph.streamable,
        reason=graph.reason,
        inputs={p.name: _shape(p.tensor.dims, p.tensor.dtype) for p in graph.inputs},
        outputs={p.name: _shape(p.tensor.dims, p.tensor.dtype) for p in graph.outputs},
        states=[
            {"name": s.tensor.name, "shape": _shape(s.tensor.dims, s.tensor.dtype), "why": s.why} for s in graph.states
        ],
        fused=lowered.fused,
        copies=copies_left(graph),
        notes=lowered.notes,
    )
