# SPDX-License-Identifier: Apache-2.0
"""The lowered graph: engine operators over tensors, as they go to the file; its verifier and its text form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyrnn import format as fmt

from . import dims as dm
from .dims import Size

MAX_RANK = 8
ITEM_SIZE = {"F32": 4, "F64": 8, "F16": 2, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "BOOL": 1}
NUMPY_TYPE = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
FLOATS = ("F32", "F64", "F16")


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
    """A call of an engine operator. `attributes` are in the order of ops.def; a list stands for all that remain."""

    kind: str
    inputs: list[Tensor | None]
    outputs: list[Tensor | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass(eq=False, slots=True)
class Port:
    """An input or output of the model."""

    name: str
    tensor: Tensor
    state: int | None = None
    time_axis: int = -1
    batch_axis: int = -1


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
        for node in self.nodes:
            yield from (t for t in node.inputs + node.outputs if t is not None)


def verify(graph: Graph) -> None:
    """Check what every pass must keep. Raises AssertionError, naming the tensor or node, since only a bug breaks it."""
    for t in graph.tensors():
        _verify_tensor(graph, t)
    written: set[int] = set()
    for node in graph.nodes:
        _verify_node(node, written)
    ports = {id(p.tensor) for p in graph.outputs}
    missing = ports - written
    assert not missing, f"outputs never written: {[p.name for p in graph.outputs if id(p.tensor) in missing]}"
    for state in graph.states:
        assert state.tensor.storage == "STATE" and state.tensor.dtype == "F32", state.tensor.name
        for destination, source in state.ties:
            assert destination.base is state.tensor, f"a tie of {state.tensor.name} writes elsewhere"
            assert destination.dims == source.dims, f"tie {destination.dims} = {source.dims}"
            assert id(source.base) in written or source.base.storage in ("INPUT", "WEIGHTS", "STATE"), source.name
    known = set(graph.symbols)
    whole = {dm.symbol_name(d) for p in graph.inputs for d in p.tensor.dims}
    assert known <= whole, f"symbols {known - whole} are no dimension of any input"


def _verify_tensor(graph: Graph, t: Tensor) -> None:
    assert t.dtype in ITEM_SIZE, f"{t.name}: dtype {t.dtype}"
    assert len(t.dims) <= MAX_RANK, f"{t.name}: rank {len(t.dims)}"
    assert (t.storage == "VIEW") == (t.root is not None), f"{t.name}: storage {t.storage}"
    if t.root is not None:
        assert t.root.root is None and t.root.packing == "NONE", f"{t.name}: its root is a view or packed"
        assert len(t.strides) == len(t.dims) and t.dtype == t.root.dtype, f"{t.name}: strides or dtype"
    if t.storage == "WEIGHTS":
        assert t.data is not None and tuple(t.dims) == t.data.shape, f"{t.name}: {t.dims} holds other data"
        assert t.data.dtype == NUMPY_TYPE[t.dtype], f"{t.name}: {t.data.dtype} is not {t.dtype}"
    for size in (*t.dims, *t.strides, t.offset):
        assert dm.symbols(size) <= set(graph.symbols), f"{t.name}: unknown symbol in {size}"


def _verify_node(node: Node, written: set[int]) -> None:
    row = fmt.OPERATORS[node.kind]
    rows = list(row.inputs)
    if rows and rows[-1].need == "variadic":
        rows += [rows[-1]] * (len(node.inputs) - len(rows))
    where = f"{node.kind} {node.name!r}"
    assert len(node.inputs) <= len(rows) and len(node.outputs) <= len(row.outputs), where
    for operand, t in zip(rows, node.inputs, strict=False):
        assert t is not None or operand.need == "optional", f"{where}: no {operand.name}"
        if t is not None:
            _verify_layout(where, operand, t)
            assert t.base.storage not in ("ARENA", "OUTPUT") or id(t.base) in written, f"{where}: reads {t.name} before it is written"
    for operand, t in zip(row.outputs, node.outputs, strict=False):
        assert t is not None or operand.need == "optional", f"{where}: no {operand.name}"
        if t is not None:
            _verify_layout(where, operand, t)
            assert t.base.storage in ("ARENA", "OUTPUT"), f"{where}: writes into {t.base.storage} {t.base.name}"
            written.add(id(t.base))
    assert list(node.attributes) == [a.name for a in row.attributes], f"{where}: attributes {list(node.attributes)}"


def _verify_layout(where: str, operand: Any, t: Tensor) -> None:
    if operand.layout == "rows":
        assert t.has_rows(), f"{where}: {operand.name} wants rows, has strides {t.step}"
    if operand.layout == "packed" and where.split()[0] != "pack":
        assert t.packing == "F32_PANELS", f"{where}: {operand.name} is not packed"


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

    lines += [f"input {p.name} = {show(p.tensor)} state={p.state} t={p.time_axis} b={p.batch_axis}" for p in graph.inputs]
    for node in graph.nodes:
        given = ", ".join(show(t) for t in node.inputs)
        lines.append(f"{', '.join(show(t) for t in node.outputs)} = {node.kind}({given}) {node.attributes}  # {node.name}")
    lines += [f"output {p.name} = {show(p.tensor)} state={p.state} t={p.time_axis} b={p.batch_axis}" for p in graph.outputs]
    for s in graph.states:
        ties = "; ".join(f"{show(d)} = {show(src)}" for d, src in s.ties)
        lines.append(f"state {show(s.tensor)} initial {show(s.initial)} input {s.input}: {ties}")
    return "\n".join(lines)
