# SPDX-License-Identifier: Apache-2.0
"""NumPy dtypes and enumerations of the .trnn file, its operators and kernels, derived from the tables in _core."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinyrnn import _core

__all__ = [
    "ENUMS", "FUNCTIONS", "INSTRUCTION_SETS", "LIMITS", "MAGIC", "NONE", "OPERATORS", "RECORDS", "SECTIONS", "VERSION",
]  # fmt: skip


class Operand(NamedTuple):
    """An input or output of an engine operator: what it is, and the strides its kernel takes."""

    name: str
    need: str
    layout: str
    shape: str


class Attribute(NamedTuple):
    """An attribute of an engine operator; the type is integer, float, list or an enumeration."""

    name: str
    type: str
    doc: str


class Operator(NamedTuple):
    """A row of ops.def with its operands and attributes in their order."""

    value: int
    doc: str
    inputs: list[Operand]
    outputs: list[Operand]
    attributes: list[Attribute]


class Function(NamedTuple):
    """An elementwise function: its value, the number of its inputs, and "f" or "i" for what it takes and gives."""

    value: int
    inputs: int
    from_: str
    to: str
    doc: str


ROWS: list[tuple[str, str, str, tuple[str, str, str], str, tuple[int, int]]] = _core.table_rows()

MAGIC: int = _core.MAGIC
VERSION: tuple[int, int] = _core.FORMAT_VERSION
NONE: int = _core.NONE

_TYPES = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "u64": "<u8", "i32": "<i4", "i64": "<i8"}


def _records() -> dict[str, np.dtype]:
    fields: dict[str, list[tuple[str, str, int]]] = {}
    sizes: dict[str, int] = {}
    for table, owner, name, text, _, numbers in ROWS:
        if table == "record":
            fields[name] = []
            sizes[name] = numbers[1]
        elif table == "field":
            fields[owner].append((name, _TYPES[text[0]], numbers[0]))
    records = {}
    for record, rows in fields.items():
        dtype = np.dtype([(name, kind) for name, kind, _ in rows])
        offsets = [dtype.fields[name][1] for name, _, _ in rows]  # type: ignore[index]
        if dtype.itemsize != sizes[record] or offsets != [offset for _, _, offset in rows]:
            raise AssertionError(f"record {record}: the compiler's layout is not dense")
        records[record] = dtype
    return records


def _enums() -> dict[str, dict[str, int]]:
    enums: dict[str, dict[str, int]] = {}
    for table, owner, name, _, _, numbers in ROWS:
        if table == "enum":
            enums.setdefault(owner, {})[name] = numbers[0]
    return enums


def _operators() -> dict[str, Operator]:
    operators: dict[str, Operator] = {}
    for table, owner, name, text, doc, numbers in ROWS:
        if table == "operator":
            operators[name] = Operator(numbers[0], doc, [], [], [])
        elif table == "input":
            operators[owner].inputs.append(Operand(name, *text))
        elif table == "output":
            operators[owner].outputs.append(Operand(name, *text))
        elif table == "attribute":
            operators[owner].attributes.append(Attribute(name, text[0], doc))
    return operators


RECORDS: dict[str, np.dtype] = _records()
SECTIONS: dict[str, tuple[int, str]] = {row[2]: (row[5][0], row[3][0]) for row in ROWS if row[0] == "section"}
LIMITS: dict[str, int] = {row[2]: row[5][0] for row in ROWS if row[0] == "limit"}
ENUMS: dict[str, dict[str, int]] = _enums()
OPERATORS: dict[str, Operator] = _operators()
FUNCTIONS: dict[str, Function] = {
    row[2]: Function(row[5][0], row[5][1], row[3][0], row[3][1], row[4]) for row in ROWS if row[0] == "function"
}
# Those this build has, the worst first: True where a multiply-add rounds once (docs/arithmetic.md).
INSTRUCTION_SETS: dict[str, bool] = {row[2]: bool(row[5][0]) for row in ROWS if row[0] == "isa"}
