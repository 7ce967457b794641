# SPDX-License-Identifier: Apache-2.0
"""Lowered graph -> bytes of a .trnn file, as format.def has them; and the file, in one atomic step."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tinyrnn import format as fmt

from . import dims as dm
from .dims import Size
from .ir import Graph, Node, Tensor


class Writer:
    """Collects the records of every section; equal strings, expressions, runs of dims and constants are stored once."""

    def __init__(self, graph: Graph, metadata: dict[str, str]) -> None:
        self.graph, self.metadata = graph, metadata
        self.rows: dict[str, list[tuple[int, ...]]] = {name: [] for name in fmt.SECTIONS}
        self.strings = bytearray(b"\0")
        self.known_strings: dict[str, int] = {"": 0}
        self.known_expressions: dict[Size, int] = {}
        self.known_dims: dict[tuple[Size, ...], int] = {}
        self.known_weights: dict[tuple[Any, ...], int] = {}
        self.known_tensors: dict[tuple[Any, ...], int] = {}
        self.index: dict[int, int] = {}
        self.weights: list[bytes] = []
        self.weights_size = 0
        self.symbols = {name: i for i, name in enumerate(graph.symbols)}

    def whole(self) -> bytes:
        """The whole file."""
        graph = self.graph
        for name, role in graph.symbols.items():
            self._row("symbols", self._string(name), fmt.ENUMS["role"][role])
        for t in graph.tensors():
            self._tensor(t)
        self._blocks()
        for section, ports in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            for p in ports:
                self._row(section, self.index[id(p.tensor)], _or_none(p.state), p.time_axis, p.batch_axis, int(p.fed))
        for s in graph.states:
            initial = fmt.NONE if s.initial is None else self.index[id(s.initial)]
            self._row(
                "states",
                self.index[id(s.tensor)],
                initial,
                s.batch_axis,
                len(self.rows["ties"]),
                len(s.ties),
                _or_none(s.input),
            )
            for destination, source in s.ties:
                self._row("ties", self.index[id(destination)], self.index[id(source)])
        for key, value in self.metadata.items():
            self._row("metadata", self._string(key), self._string(value))
        return self._assemble()

    def _blocks(self) -> None:
        """Block after block, each behind the one that has its branch."""
        blocks = [self.graph.nodes]
        for block in blocks:  # grows while it is walked
            self._row("blocks", len(self.rows["operators"]), len(block))
            for node in block:
                if node.blocks:
                    node.attributes |= {"then_block": len(blocks), "else_block": len(blocks) + 1}
                    blocks += node.blocks
                self._node(node)

    def _row(self, section: str, *fields: int) -> int:
        rows = self.rows[section]
        rows.append(fields)
        return len(rows) - 1

    def _string(self, text: str) -> int:
        text = text.replace("\0", "")
        if text not in self.known_strings:
            self.known_strings[text] = len(self.strings)
            self.strings += text.encode("utf-8", "replace") + b"\0"
        return self.known_strings[text]

    def _expression(self, size: Size) -> int:
        if size not in self.known_expressions:
            first = len(self.rows["terms"])
            kinds = fmt.ENUMS["term"]
            for kind, value in dm.postfix(size):
                if kind == "SYMBOL":
                    self._row("terms", kinds[kind], self.symbols[str(value)], 0)
                else:
                    self._row("terms", kinds[kind], 0, int(value))
            self.known_expressions[size] = self._row("expressions", first, len(self.rows["terms"]) - first)
        return self.known_expressions[size]

    def _dims(self, sizes: tuple[Size, ...]) -> int:
        if sizes not in self.known_dims:
            self.known_dims[sizes] = len(self.rows["dims"])
            for s in sizes:
                if isinstance(s, int):
                    self._row("dims", s, fmt.NONE, 0)
                else:
                    self._row("dims", 0, self._expression(s), 0)
        return self.known_dims[sizes]

    def _tensor(self, t: Tensor) -> None:
        root = view = fmt.NONE
        offset = size = 0
        if t.root is not None:
            root, view = self.index[id(t.root)], self._dims((t.offset, *t.strides))
        if t.data is not None:
            offset, size = self._data(t.data), t.data.nbytes
        row = (
            self._string(t.name),
            fmt.ENUMS["dtype"][t.dtype],
            len(t.dims),
            fmt.ENUMS["storage"][t.storage],
            fmt.ENUMS["packing"][t.packing],
            self._dims(t.dims),
            root,
            view,
            t.panel_width,
            0,
            offset,
            size,
        )
        shared = t.storage in ("VIEW", "WEIGHTS")
        if not shared or row not in self.known_tensors:
            self.known_tensors[row] = self._row("tensors", *row)
        self.index[id(t)] = self.known_tensors[row] if shared else len(self.rows["tensors"]) - 1

    def _data(self, data: np.ndarray) -> int:
        raw = np.ascontiguousarray(data).tobytes()
        key = (len(raw), raw)
        if key not in self.known_weights:
            self.known_weights[key] = self.weights_size
            padding = b"\0" * (-len(raw) % 64)
            self.weights += [raw, padding]
            self.weights_size += len(raw) + len(padding)
        return self.known_weights[key]

    def _node(self, node: Node) -> None:
        inputs, outputs = _trimmed(node.inputs), _trimmed(node.outputs)
        first = len(self.rows["operands"])
        for t in (*inputs, *outputs):
            self._row("operands", fmt.NONE if t is None else self.index[id(t)])
        first_attribute = len(self.rows["attributes"])
        for value in _attributes(node):
            self._row("attributes", value)
        count = len(self.rows["attributes"]) - first_attribute
        kind = fmt.OPERATORS[node.kind].value
        name = node.name if len(node.name) <= 200 else node.name[:197] + "..."
        self._row("operators", kind, self._string(name), first, first_attribute, len(inputs), len(outputs), count)

    def _assemble(self) -> bytes:
        preamble, header, section = (fmt.RECORDS[n] for n in ("preamble", "header", "section"))
        reason = self._string(self.graph.reason)
        parts: dict[str, bytes] = {}
        for name, (_, record) in fmt.SECTIONS.items():
            if record != "byte":
                parts[name] = np.array(self.rows[name], fmt.RECORDS[record]).tobytes()
        parts["strings"], parts["weights"] = bytes(self.strings), b"".join(self.weights)
        at = preamble.itemsize + header.itemsize + section.itemsize * len(fmt.SECTIONS)
        body = bytearray()
        table = []
        for name, (kind, _) in sorted(fmt.SECTIONS.items(), key=lambda item: item[1][0]):
            body += b"\0" * (-(at + len(body)) % (64 if name == "weights" else 8))
            start = at + len(body)
            table.append((kind, 0, start, len(parts[name])))
            body += parts[name]
        time, batch = (self.graph.symbol_of(role) for role in ("TIME", "BATCH"))
        head = (
            at + len(body),
            table[-1][2],
            len(table),
            int(self.graph.streamable),
            reason,
            fmt.NONE if time is None else self.symbols[time],
            fmt.NONE if batch is None else self.symbols[batch],
            0,
        )
        rest = np.array([head], header).tobytes() + np.array(table, section).tobytes() + bytes(body)
        cut = table[-1][2] - preamble.itemsize
        sums = zlib.crc32(rest[:cut]), zlib.crc32(rest[cut:])
        return np.array([(fmt.MAGIC, *fmt.VERSION, *sums)], preamble).tobytes() + rest


def _or_none(index: int | None) -> int:
    return fmt.NONE if index is None else index


def _trimmed(operands: list[Tensor | None]) -> list[Tensor | None]:
    count = len(operands)
    while count and operands[count - 1] is None:
        count -= 1
    return operands[:count]


def _attributes(node: Node) -> Iterable[int]:
    """The numbers of an operator, floats as the bits of a float64."""
    for row in fmt.OPERATORS[node.kind].attributes:
        value = node.attributes[row.name]
        if row.type == "list":
            for entry in value:
                for word in entry if isinstance(entry, (list, tuple)) else [entry]:
                    yield fmt.FUNCTIONS[word].value if isinstance(word, str) else _word(word)
        elif row.type == "float":
            yield _bits(value)
        elif row.type == "function":
            yield fmt.FUNCTIONS[value].value
        elif row.type == "integer":
            yield int(value)
        else:
            yield fmt.ENUMS[row.type][value]


def _word(value: float) -> int:
    return _bits(value) if isinstance(value, float) else int(value)


def _bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def write_file(data: bytes, target: Any) -> None:
    """Put the bytes at a path or into a binary file object. A path gets all of them or, on any failure, nothing."""
    if hasattr(target, "write"):
        target.write(data)
        return
    path = Path(target)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent or None)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
