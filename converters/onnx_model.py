# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph in plain Python: what the frontend makes of a file and the lowering walks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


class Subgraph:
    """Stands for an attribute that is a graph."""


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


@dataclass(eq=False, slots=True)
class OnnxInput:
    """A graph input. A dim is an int, a symbol's name, or None when it has no name; dims None: unknown rank."""

    name: str
    dtype: str
    dims: list[int | str | None] | None


@dataclass(eq=False, slots=True)
class OnnxModel:
    """A whole model: nodes in an order that defines every name before its use."""

    nodes: list[OnnxNode]
    inputs: list[OnnxInput]
    outputs: list[str]
    constants: dict[str, np.ndarray]
    opset: int
    size: int
    sha256: str
