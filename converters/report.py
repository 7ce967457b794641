# SPDX-License-Identifier: Apache-2.0
"""What a conversion tells about itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from tinyrnn.promise import promise
from tinyrnn.text_table import quantization_tables, table_lines

from . import dims as dm
from .driver import Lowered
from .ir import Graph, Tensor
from .onnx_model import OnnxModel
from .passes.copies import copies_left
from .precisions import FLOAT32

#: What a reader finds in the file itself or in its recipe, and `fused`, which is long.
NOT_NOTED = (
    *("operators", "bytes_out", "time_axis", "batch_axis", "streamable", "reason", "inputs", "outputs", "promise"),
    *("precision", "activations", "fused"),
)


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
    promise : on which machines the file gives the same bytes.
    precision, activations : what was asked for: "float32", or what `quantize` says, and "dynamic" or "static".
    layers : where weights were to change: name, kind, nodes (that share them), precision, bytes, error (the largest
        of an output when this layer alone is changed; None where it is not, or was not measured), and the reason why
        it stays float32.
    output_errors : for each output beside the float32 model: max, rms, relative (as a part of max(1, |y|)), largest
        (|y|), and max_by_step, some steps of the sequence and the worst.
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
    promise: str = ""
    precision: str = FLOAT32.name
    activations: str = "dynamic"
    layers: list[dict[str, Any]] = field(default_factory=list)
    output_errors: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    def noted(self) -> dict[str, Any]:
        """What goes into the file: neither what is empty nor what stands in the file anyway."""
        about = {key: value for key, value in self.to_dict().items() if value and key not in NOT_NOTED}
        if self.states:
            about["states"] = {state["name"]: state["why"] for state in self.states}
        if self.copies:
            about["copies"] = shortened(self.copies)
        return about

    def __str__(self) -> str:
        return "\n".join([self.summary(), *(line for t in self.tables() for line in ("", *table_lines(*t)))])

    def tables(self) -> list[tuple[list[str], list[list[str]]]]:
        """Headers and rows: of the layers, of the errors and of the errors over time."""
        return quantization_tables(self.layers, self.output_errors)

    def summary(self) -> str:
        """All but the tables, as text."""
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
        lines.append(f"promise     {self.promise}")
        if self.layers:
            counts = _counts(Counter(row["precision"] for row in self.layers))
            lines.append(f"precision   {counts}; activations {self.activations}")
        return "\n".join(lines)


def shortened(lines: list[str], most: int = 20) -> list[str]:
    """The first of many lines, each once, and how many more there are."""
    lines = list(dict.fromkeys(lines))
    return lines if len(lines) <= most else [*lines[:most], f"and {len(lines) - most} more"]


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items()) or "none"


def _count(t: Tensor) -> int:
    count = dm.product(t.dims)
    assert isinstance(count, int)
    return count


def _shape(sizes: tuple[dm.Size, ...], dtype: str) -> str:
    return f"{dtype}[{', '.join(str(s) for s in sizes)}]"


def make_report(model: OnnxModel, lowered: Lowered) -> Report:
    """The report, but for the size of the file."""
    graph: Graph = lowered.graph
    constants = {id(t): t for t in graph.tensors() if t.data is not None}
    return Report(
        nodes=dict(sorted(Counter(n.op for n in model.nodes).items())),
        operators=dict(sorted(Counter(n.kind for n in graph.all_nodes()).items())),
        parameters=sum(_count(t) for t in constants.values()),
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
        promise=promise((n.kind, {t.packing for t in n.inputs if t is not None}) for n in graph.all_nodes()),
    )
