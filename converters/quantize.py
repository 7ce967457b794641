# SPDX-License-Identifier: Apache-2.0
"""Weights of a lowered graph in another precision: which operators can, what changes, and what it costs in accuracy.

y = dense(x, W: F32_PANELS, bias)        ->     y = dense(x, W: I8_PANELS, bias, range)

y = gather(table: F32, i)                ->     q = gather(table: I8, i)
                                                s = gather(scales: F32 [N, 1], i)
                                                y = elementwise[I_TO_F, MUL](q, s)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinyrnn import ArgumentError, TinyRNNError, samples
from tinyrnn import format as fmt

from . import dims as dm
from . import packing
from .errors import ConversionError
from .ir import Graph, Node, Tensor
from .measure import Bench
from .onnx_model import OnnxModel
from .precisions import FINER, FLOAT32, INT8, PRECISIONS, Precision, rows_of_bytes
from .weight_names import WeightNames

#: Called with how many of how many layers are measured, and the name of the next one.
Progress = Callable[[int, int, str], None]

ACTIVATIONS = ("dynamic", "static")
#: The error of an output, as a part of max(1, |output|), above which layers get a finer precision.
TOLERATED = 0.03
#: What is reached then: a model that errs so much on these data may err more on others.
TARGET = 0.005
#: Of the operators with packed weights: the places of these, and of the operand with the ranges of activations.
PACKED = {
    kind: [i for i, operand in enumerate(row.inputs) if operand.layout == "packed"]
    for kind, row in fmt.OPERATORS.items()
}
RANGES = {
    kind: i for kind, row in fmt.OPERATORS.items() for i, o in enumerate(row.inputs) if o.name in ("range", "ranges")
}


@dataclass(frozen=True)
class Options:
    """What `convert` is asked for; see there."""

    quantize: str | None = None
    calibrate: Any = None
    keep_float: tuple[str, ...] = ()
    activations: str = "dynamic"

    def check(self) -> None:
        """Raise ArgumentError for what does not fit together."""
        known = [name for name in PRECISIONS if name != FLOAT32.name]
        if self.quantize is not None and self.quantize not in known:
            raise ArgumentError(f"quantize: there is no mode {self.quantize!r}; there is {', '.join(known)}")
        if self.activations not in ACTIVATIONS:
            raise ArgumentError(f"activations: expected {' or '.join(ACTIVATIONS)}, found {self.activations!r}")
        if self.quantize is None:
            asked = {"calibrate": self.calibrate is not None, "keep_float": self.keep_float}
            asked["activations"] = self.activations != "dynamic"
            unused = [name for name, given in asked.items() if given]
            if unused:
                raise ArgumentError(f"{unused[0]} has a meaning only with quantize, as quantize='int8'")
        elif self.activations == "static" and self.calibrate is None:
            raise ArgumentError("activations='static' needs data to find their ranges on: give them as calibrate")

    def recipe(self) -> dict[str, Any]:
        """What to note in the file, of a conversion that quantizes."""
        if self.quantize is None:
            return {}
        names = {"quantize": self.quantize, "keep_float": list(self.keep_float), "activations": self.activations}
        return names | {"calibrated": self.calibrate is not None}

    def data(self) -> Mapping[str, np.ndarray] | None:
        """The arrays to calibrate with, by input name."""
        if self.calibrate is None:
            return None
        if isinstance(self.calibrate, Mapping):
            return {name: np.asarray(array) for name, array in self.calibrate.items()}
        return samples.read_inputs(self.calibrate)


@dataclass(eq=False)
class Layer:
    """Operators that have the same weights; most often one.

    Attributes
    ----------
    weights : the distinct tensors that hold them
    known_as : names by which the caller may mean it
    reason : why it stays float, or ""
    made : for the id of each of its weights, what takes its place
    """

    kind: str
    nodes: list[Node]
    weights: list[Tensor]
    known_as: set[str]
    reason: str = ""
    precision: str = FLOAT32.name
    error: float | None = None
    made: dict[int, tuple[Tensor, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """How messages call it."""
        return self.nodes[0].name

    def refine(self, precision: Precision) -> None:
        """Make its weights in this precision."""
        self.precision = INT8.name if self.kind == "gather" else precision.name  # rows are picked, not multiplied
        self.made = {id(t): _made(self, t, precision) for t in self.weights}

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        held = [t for w in self.weights for t in self.made.get(id(w), (w,))]
        return {
            "name": self.name,
            "kind": self.kind,
            "nodes": len(self.nodes),
            "precision": self.precision,
            "bytes": sum(int(t.data.nbytes) for t in held if t.data is not None),
            "error": self.error,
            "reason": self.reason,
        }


@dataclass(eq=False)
class Quantized:
    """What became of a graph."""

    graph: Graph
    layers: list[Layer]
    output_errors: list[dict[str, Any]]
    notes: list[str]


def quantize(graph: Graph, model: OnnxModel, options: Options, progress: Progress | None = None) -> Quantized:
    """A graph whose weights have the precision that is asked for, and how far its outputs are from those of `graph`.

    Raises
    ------
    ConversionError
        A name in keep_float or an input in calibrate is not one of the model's.
    TinyRNNError
        The data to calibrate with cannot be read or run.
    """
    assert options.quantize is not None
    given = options.data()
    layers = choose_layers(graph, model, PRECISIONS[options.quantize], options.keep_float)
    changed = [layer for layer in layers if not layer.reason]
    notes: list[str] = [] if changed else [f"nothing could be made {options.quantize}"]
    bench, ranges = None, {}
    try:
        bench = Bench(graph, given, _declared(graph, model))
    except TinyRNNError as error:
        if given is not None:
            raise
        notes.append(
            f"errors were not measured: random inputs of guessed sizes do not run ({error}); give some as calibrate, "
            "by which layers are chosen that stay in 8 bits"
        )
    if bench is not None and options.activations == "static":
        ranges = find_ranges(bench, graph, changed, notes)
    errors, finer = [], FINER.get(options.quantize)
    if bench is not None:
        _measure(bench, changed, ranges, progress)
        errors = _refine(bench, changed, ranges, finer, progress)
    elif finer is not None:
        for layer in (layer for layer in changed if layer.kind != "gather"):
            layer.refine(finer)
    return Quantized(with_layers(graph, changed, ranges), layers, errors, notes)


def choose_layers(graph: Graph, model: OnnxModel, precision: Precision, keep_float: Iterable[str]) -> list[Layer]:
    """All layers with weights: those that can have the precision with their new weights, the others with the reason."""
    layers = find_layers(graph, WeightNames(model))
    _keep(layers, keep_float)
    for layer in layers:
        layer.reason = layer.reason or _why_not(graph, layer, precision)
        if not layer.reason:
            layer.refine(FINER.get(precision.name, precision) if _has_window(layer) else precision)
    return layers


def find_layers(graph: Graph, names: WeightNames) -> list[Layer]:
    """The layers whose weights a precision is about, in the order of the graph."""
    found: dict[Any, Layer] = {}
    for node in graph.all_nodes():
        if node.kind == "gather":
            table = node.inputs[0]
            assert table is not None
            weights = [table.base] if table.base.data is not None and table.dtype == "F32" else []
        elif node.kind in RANGES:
            weights = [t for i, t in enumerate(node.inputs) if t is not None and i in PACKED[node.kind]]
        else:
            weights = []
        if not weights:
            continue
        weights = list({id(t): t for t in weights}.values())
        key = (node.kind, *(id(t) for t in weights))
        layer = found.setdefault(key, Layer(node.kind, [], weights, set()))
        layer.nodes.append(node)
        layer.known_as |= names.of(node.name)
    return list(found.values())


def _keep(layers: list[Layer], wanted: Iterable[str]) -> None:
    """Mark what the caller wants to stay float."""
    for name in wanted:
        meant = [layer for layer in layers if name in layer.known_as]
        if not meant:
            known = sorted({n for layer in layers for n in layer.known_as})
            shown = ", ".join(repr(n) for n in known[:50]) + (f" and {len(known) - 50} more" if known[50:] else "")
            raise ConversionError([f"keep_float: no layer or weight is called {name!r}; there are {shown or 'none'}"])
        for layer in meant:
            layer.reason = f"asked for by keep_float {name!r}"


def _why_not(graph: Graph, layer: Layer, precision: Precision) -> str:
    """Why a layer cannot have the precision, or ""."""
    if layer.kind == "gather":
        (table,) = layer.weights
        if len(table.dims) != 2 or any(n.attributes["axis"] != 0 or n.inputs[0] is not table for n in layer.nodes):
            return "its table is not one of rows [N, D] that are picked whole"
        if any(table is t.base for n in graph.all_nodes() if n.kind != "gather" for t in n.inputs if t is not None):
            return "its table is read by other operators too"
    if layer.kind == "recurrent" and all(_is_one(t) for t in layer.weights):
        return "it adds up its input as it is"
    for t in layer.weights:
        if t.data is None:
            return "its weights arrive at run time"
        if layer.kind != "gather" and t.packing == "NONE":
            return "each of its channels is a group of its own, with a few weights"
        if not np.isfinite(t.data).all():
            return "its weights hold NaN or infinity"
        if precision.longest is not None and layer.kind != "gather" and t.data.shape[-2] > precision.longest:
            return f"it sums {t.data.shape[-2]} products, over {precision.longest}"
    return ""


def _is_one(t: Tensor) -> bool:
    """Whether a packed matrix is the number 1, as in a running sum."""
    return t.data is not None and t.dims[-2] == 1 and np.count_nonzero(t.data) == 1 and float(t.data.max()) == 1


def _has_window(layer: Layer) -> bool:
    """Whether it is a convolution over more than single elements.

    Front ends are: a basis for spectra, filters over one. Their output is a sum of much that cancels, and the layers
    behind them pass on its errors, so that 8 bits are too coarse (docs/quantization.md).
    """
    window = layer.nodes[0].attributes.get("window", [])
    return layer.kind == "conv" and any(row[0] > 1 for row in np.reshape(window, (-1, 6)))


def _made(layer: Layer, t: Tensor, precision: Precision) -> tuple[Tensor, ...]:
    """What holds the weights of t: a matrix, or a table and the scales of its rows."""
    assert t.data is not None
    if layer.kind == "gather":
        return tuple(_constant(array) for array in rows_of_bytes(t.data))
    data = precision.pack(packing.unpanel(t.data, t.panel_width), t.panel_width)
    return (Tensor(t.name, precision.dtype, t.dims, "WEIGHTS", None, 0, (), precision.packing, t.panel_width, data),)


def _constant(array: np.ndarray) -> Tensor:
    return Tensor("", "I8" if array.dtype == np.int8 else "F32", array.shape, "WEIGHTS", data=array)


def with_layers(graph: Graph, layers: Iterable[Layer], ranges: Mapping[int, np.ndarray]) -> Graph:
    """A graph in which these layers have their new weights; ranges of activations by the id of the operator."""
    changed = {id(node): layer for layer in layers for node in layer.nodes}

    def block(nodes: list[Node]) -> list[Node]:
        made = []
        for node in nodes:
            layer = changed.get(id(node))
            if layer is not None:
                made += _rewritten(node, layer, ranges.get(id(node)))
            elif node.blocks:
                made.append(replace(node, blocks=[block(b) for b in node.blocks]))
            else:
                made.append(node)
        return made

    return replace(graph, nodes=block(graph.nodes))


def _rewritten(node: Node, layer: Layer, ranges: np.ndarray | None) -> list[Node]:
    """The operators in the place of one."""
    if layer.kind == "gather":
        return _picked(node, *layer.made[id(node.inputs[0])])
    inputs = [layer.made[id(t)][0] if id(t) in layer.made else t for t in node.inputs]
    if ranges is not None:
        place = RANGES[node.kind]
        inputs += [None] * (place + 1 - len(inputs))
        inputs[place] = _constant(ranges)
    return [replace(node, inputs=inputs)]


def _picked(node: Node, table: Tensor, scales: Tensor) -> list[Node]:
    """Rows of whole numbers times the scales of these rows."""
    y = node.outputs[0]
    assert y is not None
    rows = Tensor("", table.dtype, y.dims)
    factors = Tensor("", "F32", (*y.dims[:-1], 1))
    spread = Tensor("", "F32", y.dims, "VIEW", factors, 0, (*dm.contiguous(factors.dims)[:-1], 0))
    program = [("I_TO_F", 0, 0, 0, 0.0, 0.0), ("MUL", 2, 1, 0, 0.0, 0.0)]
    return [
        replace(node, inputs=[table, node.inputs[1]], outputs=[rows]),
        replace(node, inputs=[scales, node.inputs[1]], outputs=[factors]),
        Node("elementwise", [rows, spread], [y], {"program": program}, node.name),
    ]


def _declared(graph: Graph, model: OnnxModel) -> dict[str, list[Any]]:
    """The declared shapes of the inputs, but for time and batch, which are free."""
    ports = {port.name: (port.time_axis, port.batch_axis) for port in graph.inputs}
    return {
        v.name: [None if i in ports[v.name] else d for i, d in enumerate(v.dims or [])]
        for v in model.inputs
        if v.name in ports
    }


def find_ranges(bench: Bench, graph: Graph, layers: list[Layer], notes: list[str]) -> dict[int, np.ndarray]:
    """The largest magnitudes that the operands of each operator reach, by the id of the operator."""
    top = {id(node) for node in graph.nodes}
    asked: dict[str, tuple[Node, Tensor, bool]] = {}
    instead: dict[int, Node] = {}
    wanted: dict[int, list[list[str]]] = {}
    for node in (node for layer in layers if layer.kind != "gather" for node in layer.nodes):
        if id(node) not in top:
            notes.append(f"{node.name}: stands in a branch, so that its activations have no constant range")
            continue
        named = f"{node.name}#{len(wanted)}"
        assert node.inputs[0] is not None
        asked[f"x of {named}"] = (node, node.inputs[0], False)
        wanted[id(node)] = [[f"x of {named}"]]
        if node.kind == "recurrent":
            instead[id(node)] = shown = _with_steps(node)
            wanted[id(node)] = _hidden_ranges(node, shown, named, asked)
    found = bench.reach(asked, instead) if asked else {}
    return {
        key: np.array([max(found[name] for name in names) for names in rows], np.float32).reshape(
            (-1, 3) if len(rows) > 1 else (1,)
        )
        for key, rows in wanted.items()
    }


def _with_steps(node: Node) -> Node:
    """A recurrence that gives the h of all steps, even if only the last one is wanted."""
    x, weights = node.inputs[:2]
    assert x is not None
    assert weights is not None
    dims = (x.dims[0], weights.dims[0], x.dims[1], node.attributes["hidden_size"])
    return replace(node, outputs=[node.outputs[0] or Tensor("", "F32", dims), *node.outputs[1:]])


def _hidden_ranges(node: Node, shown: Node, named: str, asked: dict[str, tuple[Node, Tensor, bool]]) -> list[list[str]]:
    """Of a recurrence, for each direction: x; h, at first and after each step; r * h, which is not above h."""
    initial, y = node.inputs[9] if len(node.inputs) > 9 else None, shown.outputs[0]
    assert y is not None
    rows = []
    for d in range(int(node.attributes["direction"] == "BIDIRECTIONAL") + 1):
        names = [f"h of {named}, direction {d}"]
        asked[names[0]] = (node, _part(y, 1, d), True)
        if initial is not None:
            names.append(f"first h of {named}, direction {d}")
            asked[names[1]] = (node, _part(initial, 0, d), False)
        rows += [[f"x of {named}"], names, names]
    return rows


def _part(t: Tensor, axis: int, index: int) -> Tensor:
    """One element of an axis, which goes."""
    dims, step = (tuple(s for i, s in enumerate(v) if i != axis) for v in (t.dims, t.step))
    return Tensor("", t.dtype, dims, "VIEW", t.base, t.offset + index * t.step[axis], step)


def _measure(bench: Bench, layers: list[Layer], ranges: Mapping[int, np.ndarray], progress: Progress | None) -> None:
    """The error of each layer when it alone is changed."""
    for done, layer in enumerate(layers):
        if progress is not None:
            progress(done, len(layers), layer.name)
        rows = bench.errors(with_layers(bench.graph, [layer], ranges))
        layer.error = rounded(max((row["max"] for row in rows), default=0.0))


def _refine(
    bench: Bench,
    layers: list[Layer],
    ranges: Mapping[int, np.ndarray],
    finer: Precision | None,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """Give the layers that cost most a finer precision, one by one, until the whole errs little; errors by output."""
    coarse = sorted((layer for layer in layers if layer.kind != "gather"), key=lambda layer: layer.error or 0.0)
    bound = TOLERATED
    while True:
        rows = bench.errors(with_layers(bench.graph, layers, ranges))
        worst = max((row["relative"] for row in rows), default=0.0)
        if finer is None or worst <= bound or not coarse:
            return [_shortened(row) for row in rows]
        layer, bound = coarse.pop(), TARGET
        if progress is not None:
            progress(len(layers) - 1, len(layers), f"{layer.name}, finer")
        layer.refine(finer)


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    """The error of an output, at a few of its steps and at the worst."""
    steps = row["max_by_step"]
    short = {key: rounded(row[key]) for key in ("max", "rms", "relative", "largest")}
    shown = sorted({*samples.shown_steps(len(steps), 6), int(np.argmax(steps))}) if steps else []
    return {"name": row["name"], **short, "max_by_step": {str(i): rounded(steps[i]) for i in shown}}


def rounded(figure: float) -> float:
    """Three digits: what instruction sets differ by is of no use in a file."""
    return float(f"{figure:.3g}")
