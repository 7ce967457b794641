# SPDX-License-Identifier: Apache-2.0
"""The tables of a .trnn file as Python objects, for people to read. Only for bytes that the engine has checked."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from tinyrnn import format as fmt
from tinyrnn.promise import promise


class Structure:
    """The records of a file, by section, with what they say spelled out."""

    def __init__(self, content: bytes) -> None:
        preamble, header = fmt.RECORDS["preamble"], fmt.RECORDS["header"]
        first = np.frombuffer(content, preamble, 1)[0]
        self.version = int(first["version_major"]), int(first["version_minor"])
        self.header = np.frombuffer(content, header, 1, preamble.itemsize)[0]
        table = np.frombuffer(
            content, fmt.RECORDS["section"], int(self.header["section_count"]), preamble.itemsize + header.itemsize
        )
        extents = {int(row["kind"]): (int(row["offset"]), int(row["size"])) for row in table}
        self.sections: dict[str, np.ndarray] = {}
        self.sizes: dict[str, int] = {}
        for name, (value, record) in fmt.SECTIONS.items():
            offset, size = extents[value]
            self.sizes[name] = size
            if record != "byte":
                dtype = fmt.RECORDS[record]
                self.sections[name] = np.frombuffer(content, dtype, size // dtype.itemsize, offset)
        offset, size = extents[fmt.SECTIONS["strings"][0]]
        self.strings = content[offset : offset + size]

    def string(self, offset: int) -> str:
        """Return the string at an offset into the strings."""
        return self.strings[offset : self.strings.index(b"\0", offset)].decode("utf-8", "replace")

    def symbol(self, index: int) -> str:
        """Return a symbol's name."""
        return self.string(int(self.sections["symbols"][index]["name"]))

    def dim(self, index: int) -> int | str:
        """Return a dimension: a number, or an expression as text."""
        row = self.sections["dims"][index]
        if int(row["expression"]) == fmt.NONE:
            return int(row["value"])
        expression = self.sections["expressions"][int(row["expression"])]
        first, count = int(expression["first_term"]), int(expression["term_count"])
        return self.infix(self.sections["terms"][first : first + count])

    def infix(self, terms: np.ndarray) -> str:
        """Write a postfix expression as people do."""
        kinds = {value: name for name, value in fmt.ENUMS["term"].items()}
        signs = {"ADD": "+", "SUB": "-", "MUL": "*", "FLOOR_DIV": "//", "MOD": "%"}
        stack: list[str] = []
        for term in terms:
            kind = kinds[int(term["kind"])]
            if kind == "CONSTANT":
                stack.append(str(int(term["value"])))
            elif kind == "SYMBOL":
                stack.append(self.symbol(int(term["symbol"])))
            else:
                right, left = stack.pop(), stack.pop()
                stack.append(f"({left} {signs[kind]} {right})" if kind in signs else f"{kind.lower()}({left}, {right})")
        text = stack[0]
        return text[1:-1] if text.startswith("(") and text.count("(") == 1 else text

    def tensor(self, index: int) -> dict[str, Any]:
        """Return a tensor's name, type, dims, storage, and where in the weights its bytes lie."""
        row = self.sections["tensors"][index]
        first = int(row["dims"])
        return {
            "name": self.string(int(row["name"])),
            "dtype": enumerator("dtype", int(row["dtype"])),
            "dims": [self.dim(i) for i in range(first, first + int(row["rank"]))],
            "storage": enumerator("storage", int(row["storage"])),
            "packing": enumerator("packing", int(row["packing"])),
            "root": None if int(row["root"]) == fmt.NONE else int(row["root"]),
            "offset": int(row["data_offset"]),
            "bytes": int(row["data_size"]),
        }

    def operators(self) -> list[dict[str, Any]]:
        """Return every operator call with its operands and attributes by name."""
        names = {row.value: name for name, row in fmt.OPERATORS.items()}
        operands = self.sections["operands"]["tensor"]
        calls = []
        for row in self.sections["operators"]:
            kind = names[int(row["kind"])]
            first, inputs, outputs = int(row["operands"]), int(row["input_count"]), int(row["output_count"])
            calls.append(
                {
                    "operator": kind,
                    "nodes": self.string(int(row["name"])),
                    "inputs": [self.operand(int(i)) for i in operands[first : first + inputs]],
                    "outputs": [self.operand(int(i)) for i in operands[first + inputs : first + inputs + outputs]],
                    "attributes": self.attributes(kind, int(row["attributes"]), int(row["attribute_count"])),
                }
            )
        return calls

    def operand(self, index: int) -> dict[str, Any] | None:
        """Return the tensor of an operand, None for an absent one."""
        return None if index == fmt.NONE else self.tensor(index)

    def attributes(self, kind: str, first: int, count: int) -> dict[str, Any]:
        """Return the attributes of a call by name."""
        values = [int(value) for value in self.sections["attributes"]["value"][first : first + count]]
        result: dict[str, Any] = {}
        for i, attribute in enumerate(fmt.OPERATORS[kind].attributes):
            if attribute.type == "list":
                result[attribute.name] = program(kind, values[i:])
            elif attribute.type == "float":
                result[attribute.name] = as_float(values[i])
            elif attribute.type == "integer":
                result[attribute.name] = values[i]
            else:
                result[attribute.name] = (
                    function(values[i]) if attribute.type == "function" else enumerator(attribute.type, values[i])
                )
        return result

    def promise(self) -> str:
        """Say on which machines the outputs have the same bytes."""
        return promise(
            (call["operator"], {operand["packing"] for operand in call["inputs"] if operand})
            for call in self.operators()
        )


def enumerator(enumeration: str, value: int) -> str:
    """Return the name of a value."""
    return next((name for name, v in fmt.ENUMS[enumeration].items() if v == value), str(value))


def function(value: int) -> str:
    """Return the name of an elementwise function."""
    return next((name for name, row in fmt.FUNCTIONS.items() if row.value == value), str(value))


def as_float(bits: int) -> float | str:
    """Return the float64 of its bits; infinities and NaN as text, since JSON has none."""
    value = struct.unpack("<d", struct.pack("<q", bits))[0]
    return value if np.isfinite(value) else str(value)


def program(kind: str, values: list[int]) -> list[list[Any]]:
    """Spell out a list attribute: functions with their parameters, and their sources in a program."""
    if kind == "recurrent":
        return [
            [function(values[i]), as_float(values[i + 1]), as_float(values[i + 2])]
            for i in range(0, len(values) - 2, 3)
        ]
    if kind == "elementwise":
        return [
            [function(values[i]), *values[i + 1 : i + 4], as_float(values[i + 4]), as_float(values[i + 5])]
            for i in range(0, len(values) - 5, 6)
        ]
    return [[value] for value in values]
