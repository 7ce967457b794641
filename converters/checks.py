# SPDX-License-Identifier: Apache-2.0
"""What is checked of a node before it is lowered: inputs, outputs and attributes against its row, then the types."""

from __future__ import annotations

import math

from .errors import NodeError
from .ir import TYPE_NAMES
from .onnx_model import OnnxNode
from .registry import MANY, Lowering
from .values import Value


def check_form(node: OnnxNode, row: Lowering, given: int) -> None:
    """Refuse what a lowering does not know of. `given` is the number of inputs without absent ones at the end."""
    low, high = row.counts
    required = low if high < MANY else given
    if not low <= given <= high or not all(node.inputs[:required]):
        raise NodeError(f"has {given} inputs, of which {low} to {high} are allowed and the first {required} required")
    if not row.outputs[0] <= len(node.outputs) <= row.outputs[1]:
        raise NodeError(f"has {len(node.outputs)} outputs; {row.outputs[0]} to {row.outputs[1]} are allowed")
    unknown = node.attributes.keys() - row.attributes
    if unknown:
        raise NodeError(f"attribute {min(unknown)!r} is not one of this operator in opset {node.version}")
    for name, value in node.attributes.items():
        if isinstance(value, float) and math.isnan(value):
            raise NodeError(f"attribute {name!r} is NaN")


def check_alike(node: OnnxNode, row: Lowering, operands: list[Value | None]) -> None:
    """Refuse inputs that ONNX gives one type and the node does not."""
    for i, v in enumerate(operands):
        like = row.input(i).like
        first = operands[like] if 0 <= like < i else None
        if v is not None and first is not None and v.dtype != first.dtype:
            raise NodeError(
                f"mixes types: input {_called(node, row, i)} is {type_name(v.dtype)}, but "
                f"{_called(node, row, like)} is {type_name(first.dtype)}; cast one to the type of the other"
            )


def check_types(node: OnnxNode, row: Lowering, operands: list[Value | None]) -> None:
    """Refuse element types that the row does not name."""
    for i, v in enumerate(operands):
        accepted = row.input(i).types
        if v is not None and v.dtype not in accepted:
            names = [type_name(t) for t in accepted]
            text = " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
            raise NodeError(
                f"input {_called(node, row, i)} is {type_name(v.dtype)}, but must be {text}; "
                "put a Cast in front of it, or export the model with another type"
            )


def _called(node: OnnxNode, row: Lowering, number: int) -> str:
    return f"{row.input(number).name!r} ({node.inputs[number]})"


def type_name(dtype: str) -> str:
    """An element type as people know it."""
    return TYPE_NAMES.get(dtype, dtype)
