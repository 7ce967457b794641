# SPDX-License-Identifier: Apache-2.0
"""A reader of .trnn files in Python alone, written from docs/format.md: what the page says is all that it knows.

It imports nothing of this project, so that it and the engine can only agree by way of the page. `read` checks a file
and gives its records; trnn_engine.py runs them.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from types import SimpleNamespace as Record
from typing import Any

import numpy as np

NONE = 0xFFFFFFFF
VERSION = (1, 0)
RANK, SYMBOLS, EXPRESSION, STACK, BLOCKS, I8_ROWS, I16_COLUMN = 8, 256, 256, 64, 256, 131072, 262176

PREAMBLE = ("<IHHII", "magic version_major version_minor structure_checksum weights_checksum")
HEADER = ("<QQIIIIII", "file_size weights_offset section_count streamable reason time_symbol batch_symbol reserved")
ENTRY = ("<IIQQ", "kind reserved offset size")
PORT = ("<IIiiI", "tensor state time_axis batch_axis fed")
#: In the order of their values; None is bytes.
SECTIONS: dict[str, tuple[str, str] | None] = {
    "symbols": ("<II", "name role"),
    "expressions": ("<II", "first_term term_count"),
    "terms": ("<IIq", "kind symbol value"),
    "dims": ("<qII", "value expression reserved"),
    "tensors": (
        "<IBBBBIIIHHQQ",
        "name dtype rank storage packing dims root view panel_width reserved data_offset data_size",
    ),
    "operators": ("<IIIIHHI", "kind name operands attributes input_count output_count attribute_count"),
    "operands": ("<I", "tensor"),
    "attributes": ("<q", "value"),
    "blocks": ("<II", "first_operator operator_count"),
    "inputs": PORT,
    "outputs": PORT,
    "states": ("<IIiIII", "tensor initial batch_axis first_tie tie_count input"),
    "ties": ("<II", "destination source"),
    "metadata": ("<II", "key value"),
    "strings": None,
    "weights": None,
}
DTYPES = [np.dtype(t) for t in ("<f4", "<f8", "<f2", "<i8", "<i4", "i1", "u1", "u1", "<i2")]
F32, F64, F16, I64, I32, I8, U8, BOOL, I16 = range(9)
ARENA, WEIGHTS, INPUT, OUTPUT, STATE, VIEW = range(6)
PLAIN, F32_PANELS, I8_PANELS, I16_PANELS = range(4)
CONSTANT, SYMBOL, ADD, SUB, MUL, FLOOR_DIV, CEIL_DIV, MOD, MIN, MAX = range(10)
OTHER, BATCH, TIME = range(3)

#: kind -> name, inputs, outputs, attributes. `?` optional, `*` variadic or a list; `:rows` and `:packed` strides.
OPERATORS = {
    1: (
        "recurrent",
        "x:rows input_weights:packed recurrent_weights:packed bias:rows hidden_input_weights?:packed "
        "hidden_recurrent_weights?:packed hidden_bias?:rows peepholes?:rows sequence_lens? initial_h? initial_c? "
        "ranges?:rows",
        "y?:rows y_h? y_c?",
        "cell hidden_size direction linear_before_reset input_forget clip activations*",
    ),
    2: ("dense", "x:rows weights:packed bias?:rows range?:rows", "y:rows", "function alpha beta"),
    3: ("pack", "x addend?", "y:packed", ""),
    4: ("elementwise", "x*", "y", "program*"),
    5: ("copy", "x", "y", ""),
    6: ("normalize", "x:rows", "y:rows", "kind epsilon"),
    7: ("gather", "x indices", "y", "axis"),
    8: ("reduce", "x", "y", "kind axes"),
    9: ("conv", "x weights:packed bias?:rows range?:rows", "y", "function alpha beta window*"),
    10: ("pool", "x", "y", "kind count_padding window*"),
    11: ("gather_elements", "x indices", "y", "axis"),
    12: ("gather_nd", "x indices", "y", "batch_axes"),
    13: ("scatter_elements", "x indices updates", "y", "axis kind"),
    14: ("scatter_nd", "x indices updates", "y", "kind"),
    15: ("range", "start delta", "y", ""),
    16: ("shape", "x", "y", ""),
    17: ("branch", "condition", "", "then_block else_block by_size"),
}


class RefusedError(Exception):
    """The file, or a run of it, is refused; the first argument is the status."""


def need(condition: Any, why: str, status: str = "MALFORMED") -> None:
    """Refuse where a rule is broken."""
    if not condition:
        raise RefusedError(status, why)


@dataclass
class File:
    """The records of each section by its name, and the weights."""

    header: Record
    strings: bytes = b""
    weights: bytes = b""
    records: dict[str, list[Record]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> list[Record]:
        try:
            return self.__dict__["records"][name]
        except KeyError:
            raise AttributeError(name) from None

    def text(self, offset: int) -> str:
        """The string at an offset."""
        return self.strings[offset : self.strings.index(b"\0", offset)].decode(errors="replace")

    def sizes(self, first: int, count: int) -> list[Record]:
        """A run of dims."""
        return self.dims[first : first + count]

    def symbol_of(self, dim: Record) -> int:
        """The symbol that a dim is, alone; NONE for anything else."""
        if dim.expression == NONE:
            return NONE
        e = self.expressions[dim.expression]
        term = self.terms[e.first_term]
        return term.symbol if e.term_count == 1 and term.kind == SYMBOL else NONE

    def symbols_in(self, dim: Record) -> set[int]:
        """The symbols that a dim depends on."""
        if dim.expression == NONE:
            return set()
        e = self.expressions[dim.expression]
        return {t.symbol for t in self.terms[e.first_term : e.first_term + e.term_count] if t.kind == SYMBOL}

    def base(self, index: int) -> Record:
        """The tensor that owns the elements."""
        t = self.tensors[index]
        return self.tensors[t.root] if t.storage == VIEW else t


def _records(layout: tuple[str, str], content: bytes) -> list[Record]:
    names = layout[1].split()
    return [Record(**dict(zip(names, row, strict=True))) for row in struct.iter_unpack(layout[0], content)]


def read(content: bytes) -> File:
    """The file, checked; both of its checksums too."""
    need(content[:4] == b"TRNN", "magic", "NOT_A_MODEL")
    sizes = [struct.calcsize(layout[0]) for layout in (PREAMBLE, HEADER, ENTRY)]
    need(len(content) >= sizes[0], "preamble", "TRUNCATED")
    (preamble,) = _records(PREAMBLE, content[: sizes[0]])
    version = preamble.version_major, preamble.version_minor
    need(version[0] == VERSION[0] and version[1] <= VERSION[1], f"version {version}", "VERSION")
    end = sizes[0] + sizes[1] + len(SECTIONS) * sizes[2]
    need(len(content) >= end, "section table", "TRUNCATED")
    (header,) = _records(HEADER, content[sizes[0] : sizes[0] + sizes[1]])
    need(header.file_size == len(content), "file_size", "TRUNCATED")
    weights = header.weights_offset
    need(weights % 64 == 0 and end <= weights <= len(content), "weights_offset")
    need(header.section_count == len(SECTIONS), "section_count")
    need(header.streamable <= 1 and header.reserved == 0, "streamable, reserved")
    need(zlib.crc32(content[16:weights]) == preamble.structure_checksum, "structure_checksum", "CHECKSUM")
    need(zlib.crc32(content[weights:]) == preamble.weights_checksum, "weights_checksum", "CHECKSUM")
    file = File(header)
    table = _records(ENTRY, content[sizes[0] + sizes[1] : end])
    for value, ((name, layout), entry) in enumerate(zip(SECTIONS.items(), table, strict=True)):
        start = -(-end // (64 if name == "weights" else 8)) * (64 if name == "weights" else 8)
        need((entry.kind, entry.reserved, entry.offset) == (value, 0, start), f"entry of {name}")
        end = start + entry.size
        need(end <= (len(content) if name == "weights" else weights), f"size of {name}")
        need(not any(content[table[value - 1].offset + table[value - 1].size : start]) or not value, "a gap")
        part = content[start:end]
        if layout is None:
            setattr(file, name, part)
            continue
        need(len(part) % struct.calcsize(layout[0]) == 0, f"size of {name}")
        file.records[name] = _records(layout, part)
    need(start == weights and end == len(content), "weights")
    for check in (_strings, _symbols, _expressions, _tensors, _operators, _blocks, _ports, _states, _owners):
        check(file)
    return file


def _strings(f: File) -> None:
    need(f.strings[:1] == b"\0" == f.strings[-1:], "strings")
    offsets = [f.header.reason]
    for section, fields in (("symbols", "name"), ("tensors", "name"), ("operators", "name"), ("metadata", "key value")):
        offsets += [getattr(r, name) for r in f.records[section] for name in fields.split()]
    need(all(offset < len(f.strings) for offset in offsets), "a string")
    named = [
        f.tensors[r.tensor].name for part in (f.inputs, f.outputs, f.states) for r in part if r.tensor < len(f.tensors)
    ]
    named += [s.name for s in f.symbols] + [offset for m in f.metadata for offset in (m.key, m.value)]
    need(sum(f.strings.index(b"\0", offset) - offset for offset in named) <= 16 * len(f.strings), "names are too long")


def _symbols(f: File) -> None:
    time, batch = f.header.time_symbol, f.header.batch_symbol
    need(len(f.symbols) <= SYMBOLS, "symbols")
    need(all(s == NONE or s < len(f.symbols) for s in (time, batch)), "time_symbol, batch_symbol")
    need(time == NONE or time != batch, "one symbol for time and batch")
    for i, s in enumerate(f.symbols):
        need(s.role == (TIME if i == time else BATCH if i == batch else OTHER), "role")


def _expressions(f: File) -> None:
    at = 0
    for e in f.expressions:
        need(e.first_term == at and 1 <= e.term_count <= EXPRESSION, "expression")
        at += e.term_count
        need(at <= len(f.terms), "terms")
        depth = 0
        for t in f.terms[e.first_term : at]:
            need(t.kind <= MAX, "term")
            need(t.symbol < len(f.symbols) if t.kind == SYMBOL else t.symbol == 0, "symbol of a term")
            need(t.kind == CONSTANT or t.value == 0, "value of a term")
            need(t.kind <= SYMBOL or depth >= 2, "an operation without two values")
            depth += 1 if t.kind <= SYMBOL else -1
            need(depth <= STACK, "depth")
        need(depth == 1, "an expression ends with one value")
    need(at == len(f.terms), "terms of no expression")
    for d in f.dims:
        need(d.reserved == 0, "reserved")
        need(d.expression == NONE or (d.expression < len(f.expressions) and d.value == 0), "dim")


def _tensors(f: File) -> None:
    for t in f.tensors:
        need(t.dtype < len(DTYPES) and t.rank <= RANK and t.storage <= VIEW and t.packing <= I16_PANELS, "tensor")
        need(t.reserved == 0, "reserved")
        need(t.dims + t.rank <= len(f.dims), "dims")
        dims = f.sizes(t.dims, t.rank)
        need(all(d.expression != NONE or d.value >= 0 for d in dims), "a negative dimension")
        if t.storage == VIEW:
            need(t.root < len(f.tensors), "root")
            root = f.tensors[t.root]
            need(root.storage != VIEW and root.packing == PLAIN and root.dtype == t.dtype, "root")
            need(t.view + 1 + t.rank <= len(f.dims), "view")
        else:
            need(t.root == t.view == NONE, "root without a view")
        if t.packing == PLAIN:
            need(t.panel_width == 0 and t.dtype != I16, "panel_width, dtype")
        else:
            _packing(t, dims)
        if t.storage == WEIGHTS:
            _constant(f, t, dims)
        else:
            need(t.data_offset == t.data_size == 0, "data of no constant")


def _packing(t: Record, dims: list[Record]) -> None:
    floats = t.packing == F32_PANELS
    need(t.dtype == {F32_PANELS: F32, I8_PANELS: I8, I16_PANELS: I16}[t.packing] and t.rank >= 2, "packing")
    need(t.storage == WEIGHTS or (floats and t.storage == ARENA), "storage of panels")
    need(t.panel_width in (16, 32, 48, 64), "panel_width")
    need(dims[-1].expression != NONE or dims[-1].value % 16 == 0, "columns")
    need(floats or dims[-2].value <= I8_ROWS, "rows")


def per_cell_of(packing: int) -> int:
    """Weights of a cell of 4 bytes in a packing of whole numbers, 0 of another."""
    return {I8_PANELS: 4, I16_PANELS: 2}.get(packing, 0)


def rows_of(t: Record, k: int) -> tuple[int, int]:
    """Of packed whole numbers [..., k, N]: the rows of cells that hold weights, and all rows."""
    weights = -(-k // per_cell_of(t.packing))
    return weights, weights + (2 if t.packing == I8_PANELS else 1)


def _constant(f: File, t: Record, dims: list[Record]) -> None:
    need(all(d.expression == NONE for d in dims), "a constant of unknown size")
    shape = [d.value for d in dims]
    size = DTYPES[t.dtype].itemsize
    if per_cell_of(t.packing):
        shape[-2], size = rows_of(t, shape[-2])[1], 4
    for n in shape:
        size *= n
    need(size == t.data_size, "data_size")
    need(t.data_offset % 64 == 0 and t.data_offset + t.data_size <= len(f.weights), "data_offset")
    if per_cell_of(t.packing):
        _rules_of_weights(f, t)


def panels(n: int, width: int, data: bytes, rows: int) -> np.ndarray:
    """Rows of 4-byte cells out of panel order: [matrices, rows, n] uint32."""
    matrices = np.frombuffer(data, "<u4").reshape(-1, rows * n)
    parts, at = [], 0
    for first in range(0, n, width):
        wide = min(width, n - first)
        parts.append(matrices[:, at : at + rows * wide].reshape(-1, rows, wide))
        at += rows * wide
    return np.concatenate(parts, axis=2) if parts else np.zeros((len(matrices), rows, 0), "<u4")


def whole_numbers(f: File, t: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights [matrices, K up to whole cells, N], start values (of int8, else nothing) and scales [matrices, N]."""
    shape = [d.value for d in f.sizes(t.dims, t.rank)]
    per_cell, n = per_cell_of(t.packing), shape[-1]
    used, rows = rows_of(t, shape[-2])
    cells = panels(n, t.panel_width, f.weights[t.data_offset : t.data_offset + t.data_size], rows)
    grouped = cells[:, :used].copy().view(DTYPES[t.dtype]).reshape(len(cells), used, n, per_cell)
    weights = grouped.transpose(0, 1, 3, 2).reshape(len(cells), used * per_cell, n)
    return weights, cells[:, used : rows - 1].copy().view("<i4"), cells[:, rows - 1].copy().view("<f4")


def _rules_of_weights(f: File, t: Record) -> None:
    weights, starts, _ = whole_numbers(f, t)
    w = weights.astype(np.int64)
    if t.packing == I16_PANELS:
        need((abs(w).sum(axis=1) <= I16_COLUMN).all(), "sums of magnitudes")
        return
    need(not (w == -128).any(), "-128")
    need((abs(w[:, ::2] + w[:, 1::2]) <= 129).all(), "pairs")
    need((starts[:, 0] == -127 * w.sum(axis=1)).all(), "starts")


def words(row: str) -> list[tuple[str, str]]:
    """The operands of a row of OPERATORS: (name with ? or *, strides)."""
    return [(w.split(":")[0], (w.split(":") + ["any"])[1]) for w in row.split()]


def _operators(f: File) -> None:
    operand = attribute = 0
    for op in f.operators:
        need(op.kind in OPERATORS, f"operator {op.kind}", "UNSUPPORTED")
        _, inputs, outputs, attributes = OPERATORS[op.kind]
        need((op.operands, op.attributes) == (operand, attribute), "operands and attributes follow one another")
        operand += op.input_count + op.output_count
        attribute += op.attribute_count
        need(operand <= len(f.operands) and attribute <= len(f.attributes), "operands, attributes")
        given = [o.tensor for o in f.operands[op.operands : operand]]
        _operands(f, words(inputs), given[: op.input_count], False)
        _operands(f, words(outputs), given[op.input_count :], True)
        names = attributes.split()
        if names and names[-1].endswith("*"):
            need(op.attribute_count >= len(names) - 1, "attribute_count")
        else:
            need(op.attribute_count == len(names), "attribute_count")
    need(attribute == len(f.attributes) and operand == len(f.operands), "operands or attributes of no operator")


def _operands(f: File, row: list[tuple[str, str]], given: list[int], written: bool) -> None:
    if row and row[-1][0].endswith("*"):
        row = row[:-1] + [row[-1]] * max(1, len(given) - len(row) + 1)
    need(len(given) <= len(row), "too many operands")
    for (name, strides), tensor in zip(row, given + [NONE] * (len(row) - len(given)), strict=True):
        if tensor == NONE:
            need(name.endswith("?"), f"{name} is required")
            continue
        need(tensor < len(f.tensors), name)
        need(strides == "packed" or f.tensors[tensor].packing == PLAIN, f"{name} is packed")
        need(not written or f.base(tensor).storage in (ARENA, OUTPUT), f"{name} is written")


def _blocks(f: File) -> None:
    need(1 <= len(f.blocks) <= BLOCKS, "blocks")
    at, claimed = 0, {0}
    for b, block in enumerate(f.blocks):
        need(block.first_operator == at, "first_operator")
        at += block.operator_count
        need(at <= len(f.operators), "operator_count")
        for op in f.operators[block.first_operator : at]:
            if OPERATORS[op.kind][0] == "branch":
                for a in f.attributes[op.attributes : op.attributes + 2]:
                    need(b < a.value < len(f.blocks) and a.value not in claimed, "a block of a branch")
                    claimed.add(a.value)
    need(at == len(f.operators) and len(claimed) == len(f.blocks), "operators or blocks that nothing runs")


def _axis(f: File, t: Record, axis: int, symbol: int) -> None:
    found = [k for k, d in enumerate(f.sizes(t.dims, t.rank)) if symbol != NONE and f.symbol_of(d) == symbol]
    need(found == ([] if axis == -1 else [axis]), "time_axis or batch_axis")


def _grows(f: File, t: Record, but: int) -> bool:
    dims = [d for k, d in enumerate(f.sizes(t.dims, t.rank)) if k != but]
    return any(f.header.time_symbol in f.symbols_in(d) for d in dims)


def _ports(f: File) -> None:
    for given, ports in ((True, f.inputs), (False, f.outputs)):
        for i, p in enumerate(ports):
            need(p.tensor < len(f.tensors) and (p.state == NONE or p.state < len(f.states)), "port")
            t, state = f.tensors[p.tensor], None if p.state == NONE else f.states[p.state]
            need(t.storage == (OUTPUT if not given else INPUT if state is None else STATE), "storage of a port")
            if given and state:
                need(state.tensor == p.tensor and state.input == i, "state of a port")
            need(p.fed == 0 or (p.fed == 1 and given and state), "fed")
            _axis(f, t, p.time_axis, f.header.time_symbol)
            _axis(f, t, p.batch_axis, f.header.batch_symbol)
            need(not f.header.streamable or not _grows(f, t, -1 if state else p.time_axis), "it grows with time")


def _states(f: File) -> None:
    tie = 0
    for i, s in enumerate(f.states):
        need(s.tensor < len(f.tensors), "state")
        t = f.tensors[s.tensor]
        need(t.storage == STATE and t.dtype == F32 and not _grows(f, t, -1), "tensor of a state")
        _axis(f, t, s.batch_axis, f.header.batch_symbol)
        if s.initial != NONE:
            need(s.initial < len(f.tensors), "initial")
            n = f.tensors[s.initial]
            need((n.storage, n.packing, n.dtype, n.rank) == (WEIGHTS, PLAIN, F32, t.rank), "initial")
        need(s.input == NONE or (s.input < len(f.inputs) and f.inputs[s.input].state == i), "input of a state")
        need(s.first_tie == tie and tie + s.tie_count <= len(f.ties), "first_tie")
        tie += s.tie_count
        for k in f.ties[s.first_tie : tie]:
            need(k.destination < len(f.tensors) and k.source < len(f.tensors), "tie")
            to, source = f.tensors[k.destination], f.tensors[k.source]
            need(f.base(k.destination) is t and f.base(k.source).storage != STATE, "tie")
            need((source.packing, source.dtype, source.rank) == (PLAIN, to.dtype, to.rank), "tie")
    need(tie == len(f.ties), "ties of no state")


def _owners(f: File) -> None:
    owned = [p.tensor for p in f.inputs + f.outputs] + [s.tensor for s in f.states if s.input == NONE]
    need(len(owned) == len(set(owned)), "a tensor with two owners")
    wanted = {i for i, t in enumerate(f.tensors) if t.storage in (INPUT, OUTPUT, STATE)}
    need(wanted <= set(owned), "a tensor without an owner")
    whole = {f.symbol_of(d) for p in f.inputs for d in f.sizes(f.tensors[p.tensor].dims, f.tensors[p.tensor].rank)}
    need(set(range(len(f.symbols))) <= whole, "a symbol that no input has")
