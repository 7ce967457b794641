# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph in plain Python: what the frontend makes of a file and the lowering walks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(eq=False, slots=True)
class Subgraph:
    """An attribute that is a graph: the body of a branch. `captures` are the outer names that it reads.

    Of an operator that is not supported it stays empty: nobody reads it.
    """

    nodes: list[OnnxNode] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    captures: list[str] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class OnnxNode:
    """A node. `version` is the opset of its domain; `domain` is "" for ONNX's own."""

    op: str
    domain: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    version: int
    proto: Any = None

    @property
    def label(self) -> str:
        """How messages call it."""
        kind = f"{self.domain}.{self.op}" if self.domain else self.op
        name = self.name or (f"-> {self.outputs[0]}" if self.outputs else "")
        return f"{kind} node {name!r}"

    @property
    def bodies(self) -> list[Subgraph]:
        """The graphs among its attributes."""
        return [v for v in self.attributes.values() if isinstance(v, Subgraph)]

    @property
    def reads(self) -> list[str]:
        """Every name that it needs: its inputs, and what its bodies capture."""
        return self.inputs + [name for body in self.bodies for name in body.captures]


@dataclass(eq=False, slots=True)
class OnnxInput:
    """A graph input. A dim is an int, a symbol's name, or None when it has no name; dims None: unknown rank."""

    name: str
    dtype: str
    dims: list[int | str | None] | None


@dataclass(eq=False, slots=True)
class OnnxModel:
    """A whole model: nodes in an order that defines every name before its use.

    `missing` says of operators that ONNX defines by others which of these are not supported.
    """

    nodes: list[OnnxNode]
    inputs: list[OnnxInput]
    outputs: list[str]
    constants: dict[str, np.ndarray]
    opset: int
    size: int
    sha256: str
    missing: dict[str, list[str]] = field(default_factory=dict)
