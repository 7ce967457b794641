# SPDX-License-Identifier: Apache-2.0
"""The lowered graph: engine operators over tensors, as they go to the file; its verifier and its text form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyrnn import format as fmt

from . import dims as dm
from . import packing
from .dims import Size

MAX_RANK = fmt.LIMITS["RANK"]
NUMPY_TYPE: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
FLOATS = ("F32", "F16", "F64")
SIGNED = ("I64", "I32", "I8")
INTEGERS = (*SIGNED, "U8")
#: How people are told of a type.
TYPE_NAMES = {dtype: known.name for dtype, known in NUMPY_TYPE.items()}


@dataclass(eq=False, slots=True)
class Tensor:
    """A value of the graph: a root that owns elements, or a VIEW of one (offset and strides in the root's elements)."""

    name: str
    dtype: str
    dims: tuple[Size, ...]
    storage: str = "ARENA"
    root: Tensor | None = None
    offset: Size = 0
    strides: tuple[Size, ...] = ()
    packing: str = "NONE"
    panel_width: int = 0
    data: np.ndarray | None = None

    @property
    def base(self) -> Tensor:
        """The tensor that owns the elements: the root, or itself."""
        return self if self.root is None else self.root

    @property
    def step(self) -> tuple[Size, ...]:
        """Strides in elements of the base."""
        return self.strides if self.root is not None else dm.contiguous(self.dims)

    def has_rows(self) -> bool:
        """Whether the last axis is contiguous, as the layout `rows` asks."""
        return not self.dims or self.dims[-1] == 1 or self.step[-1] == 1


@dataclass(eq=False, slots=True)
class Node:
    """A call of an engine operator. `attributes` are in the order of ops.def; a list stands for all that remain.

    A `branch` holds its two blocks of operators; the writer numbers them.
    """

    kind: str
    inputs: list[Tensor | None]
    outputs: list[Tensor | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    blocks: list[list[Node]] = field(default_factory=list)

    def nested(self) -> Iterator[Node]:
        """The operator, and all that its blocks hold, in the order in which they run."""
        yield self
        for block in self.blocks:
            for node in block:
                yield from node.nested()

    def reads(self) -> list[Tensor]:
        """What it reads, in its blocks too."""
        nodes = self.nested() if self.blocks else [self]  # most have none, and there can be very many
        return [t for node in nodes for t in node.inputs if t is not None]

    def writes(self) -> list[Tensor]:
        """What it writes, in its blocks too."""
        nodes = self.nested() if self.blocks else [self]
        return [t for node in nodes for t in node.outputs if t is not None]


@dataclass(eq=False, slots=True)
class Port:
    """An input or output of the model."""

    name: str
    tensor: Tensor
    state: int | None = None
    time_axis: int = -1
    batch_axis: int = -1
    fed: bool = False  # an input whose state starts from it in every call, so that the caller has to give it


@dataclass(eq=False, slots=True)
class State:
    """What a stream carries: a STATE tensor, its first value, and the ties (destination, source) that renew it."""

    tensor: Tensor
    initial: Tensor | None = None
    ties: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    input: int | None = None
    batch_axis: int = -1
    why: str = ""


@dataclass(eq=False, slots=True)
class Graph:
    """All of it. Block 0 is `nodes`."""

    nodes: list[Node] = field(default_factory=list)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    symbols: dict[str, str] = field(default_factory=dict)
    streamable: bool = True
    reason: str = ""

    def symbol_of(self, role: str) -> str | None:
        """The symbol that has a role, or None."""
        return next((name for name, r in self.symbols.items() if r == role), None)

    def all_nodes(self) -> Iterator[Node]:
        """Every operator, those inside of branches after the branch."""
        for node in self.nodes:
            yield from node.nested()

    def tensors(self) -> list[Tensor]:
        """Every tensor in use, roots before their views, in a fixed order."""
        seen: dict[int, Tensor] = {}
        for tensor in self._uses():
            for t in (tensor.base, tensor):
                seen.setdefault(id(t), t)
        return list(seen.values())

    def _uses(self) -> Iterator[Tensor]:
        for port in self.inputs + self.outputs:
            yield port.tensor
        for state in self.states:
            yield from (t for t in (state.tensor, state.initial) if t is not None)
            for tie in state.ties:
                yield from tie
        for node in self.all_nodes():
            yield from (t for t in node.inputs + node.outputs if t is not None)


def verify(graph: Graph) -> None:
    """Check what every pass must keep. Raises AssertionError, naming the tensor or node, since only a bug breaks it."""
    for t in graph.tensors():
        _verify_tensor(graph, t)
    written: set[int] = set()
    _verify_block(graph.nodes, written)
    missing = [p.name for p in graph.outputs if id(p.tensor) not in written]
    _must(not missing, f"outputs never written: {missing}")
    for state in graph.states:
        _must(state.tensor.storage == "STATE", f"{state.tensor.name}: a state in {state.tensor.storage}")
        _must(state.tensor.dtype == "F32", f"{state.tensor.name}: a state of type {state.tensor.dtype}")
        for destination, source in state.ties:
            _must(destination.base is state.tensor, f"a tie of {state.tensor.name} writes elsewhere")
            _must(destination.dims == source.dims, f"tie {destination.dims} = {source.dims}")
            known = id(source.base) in written or source.base.storage in ("INPUT", "WEIGHTS", "STATE")
            _must(known, f"{source.name} renews a state, but is never written")
    whole = {dm.symbol_name(d) for p in graph.inputs for d in p.tensor.dims}
    _must(set(graph.symbols) <= whole, f"symbols {set(graph.symbols) - whole} are no dimension of any input")


def _must(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _verify_tensor(graph: Graph, t: Tensor) -> None:
    dtype = packing.WHOLE.get(t.packing, NUMPY_TYPE.get(t.dtype))
    _must(dtype is not None, f"{t.name}: dtype {t.dtype}")
    _must(t.packing not in packing.WHOLE or f"{t.dtype}_PANELS" == t.packing, f"{t.name}: {t.dtype} in {t.packing}")
    _must(len(t.dims) <= MAX_RANK, f"{t.name}: rank {len(t.dims)}")
    _must((t.storage == "VIEW") == (t.root is not None), f"{t.name}: storage {t.storage}")
    if t.root is not None:
        _must(t.root.root is None, f"{t.name}: its root is a view")
        _must(t.root.packing == "NONE", f"{t.name}: its root is packed")
        _must(len(t.strides) == len(t.dims), f"{t.name}: {len(t.strides)} strides for {len(t.dims)} axes")
        _must(t.dtype == t.root.dtype, f"{t.name}: a view as {t.dtype} of {t.root.dtype}")
    if t.storage == "WEIGHTS":
        shape = () if t.data is None else t.data.shape
        whole = packing.WHOLE.get(t.packing)
        wanted = packing.cells(t.dims, whole) if whole is not None else t.dims  # type: ignore[arg-type]
        _must(tuple(wanted) == shape, f"{t.name}: {t.dims} holds data of shape {shape}")
        _must(t.data is not None and t.data.dtype == dtype, f"{t.name}: its data is not {t.dtype}")
    for size in (*t.dims, *t.strides, t.offset):
        _must(dm.symbols(size) <= set(graph.symbols), f"{t.name}: unknown symbol in {size}")


def _verify_block(nodes: list[Node], written: set[int]) -> None:
    """What a branch leaves written is what both of its blocks write."""
    for node in nodes:
        _verify_node(node, written)
        _must(len(node.blocks) == (2 if node.kind == "branch" else 0), f"{node.name}: {len(node.blocks)} blocks")
        if node.blocks:
            ends = [set(written), set(written)]
            for block, end in zip(node.blocks, ends, strict=True):
                _verify_block(block, end)
            written |= ends[0] & ends[1]


def _verify_node(node: Node, written: set[int]) -> None:
    row = fmt.OPERATORS[node.kind]
    rows = list(row.inputs)
    if rows and rows[-1].need == "variadic":
        rows += [rows[-1]] * (len(node.inputs) - len(rows))
    where = f"{node.kind} {node.name!r}"
    _must(len(node.inputs) <= len(rows), f"{where}: {len(node.inputs)} inputs")
    _must(len(node.outputs) <= len(row.outputs), f"{where}: {len(node.outputs)} outputs")
    for operand, t in zip(rows, node.inputs, strict=False):
        _must(t is not None or operand.need == "optional", f"{where}: no {operand.name}")
        if t is not None:
            _verify_layout(node, operand, t)
            known = t.base.storage not in ("ARENA", "OUTPUT") or id(t.base) in written
            _must(known, f"{where}: reads {t.name} before it is written")
    for operand, t in zip(row.outputs, node.outputs, strict=False):
        _must(t is not None or operand.need == "optional", f"{where}: no {operand.name}")
        if t is not None:
            _verify_layout(node, operand, t)
            _must(t.base.storage in ("ARENA", "OUTPUT"), f"{where}: writes into {t.base.storage} {t.base.name}")
            written.add(id(t.base))
    names = [a.name for a in row.attributes]
    _must(list(node.attributes) == names, f"{where}: attributes {list(node.attributes)}, not {names}")


def _verify_layout(node: Node, operand: Any, t: Tensor) -> None:
    where = f"{node.kind} {node.name!r}: {operand.name}"
    if operand.layout != "any" and t.packing == "NONE":
        _must(t.has_rows(), f"{where} wants rows, has strides {t.step}")
    if operand.layout == "packed" and node.kind not in ("pack", "conv"):
        _must(t.packing != "NONE", f"{where} is not packed")
        _must(len({u.packing for u in node.inputs if u and u.packing != "NONE"}) == 1, f"{where}: two packings")


def dump(graph: Graph) -> str:
    """The graph as text, one line for each operator: for tests and for people."""
    lines = [f"symbols {graph.symbols}", f"streamable {graph.streamable} {graph.reason}".rstrip()]
    names: dict[int, str] = {}

    def show(t: Tensor | None) -> str:
        if t is None:
            return "-"
        base = names.setdefault(id(t.base), f"{t.base.storage[0].lower()}{len(names)}")
        shape = ",".join(str(d) for d in t.dims)
        if t.root is None:
            return f"{base}:{t.dtype}[{shape}]"
        return f"{base}+{t.offset}({','.join(str(s) for s in t.strides)}):{t.dtype}[{shape}]"

    lines += [
        f"input {p.name} = {show(p.tensor)} state={p.state} t={p.time_axis} b={p.batch_axis}" for p in graph.inputs
    ]

    def show_block(nodes: list[Node], indent: str) -> None:
        for node in nodes:
            made, given = (", ".join(show(t) for t in operands) for operands in (node.outputs, node.inputs))
            lines.append(f"{indent}{made} = {node.kind}({given}) {node.attributes}  # {node.name}")
            for word, block in zip(("then", "else"), node.blocks, strict=False):
                lines.append(f"{indent}  {word}:")
                show_block(block, indent + "    ")

    show_block(graph.nodes, "")
    lines += [
        f"output {p.name} = {show(p.tensor)} state={p.state} t={p.time_axis} b={p.batch_axis}" for p in graph.outputs
    ]
    for s in graph.states:
        ties = "; ".join(f"{show(d)} = {show(src)}" for d, src in s.ties)
        lines.append(f"state {show(s.tensor)} initial {show(s.initial)} input {s.input}: {ties}")
    return "\n".join(lines)
