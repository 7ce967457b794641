# SPDX-License-Identifier: Apache-2.0
"""What the models of golden cases are made with: conversion, or operators of the engine put together by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyrnn.converters import convert_bytes
from tinyrnn.converters import dims as dm
from tinyrnn.converters.ir import NUMPY_TYPE, Graph, Node, Port, Tensor, verify
from tinyrnn.converters.precisions import PRECISIONS
from tinyrnn.converters.writer import Writer

f32 = np.float32
TIME, BATCH = dm.symbol("time"), dm.symbol("batch")


@dataclass
class Case:
    """A model and what it is given, by name; an input that is left out is not given."""

    model: bytes
    inputs: dict[str, np.ndarray]
    frames: int = 0


CASES: dict[str, Callable[[], Case]] = {}


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    """Mark a function as a case of its name."""
    CASES[make.__name__] = make
    return make


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers in float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(f32)


def whole(low: int, high: int, *shape: int, dtype: Any = np.int64, seed: int = 0) -> np.ndarray:
    """Whole numbers from low to high, both included."""
    return np.random.default_rng(seed).integers(low, high, shape, endpoint=True).astype(dtype)


def converted(proto: Any, inputs: dict[str, np.ndarray], frames: int = 0, **options: Any) -> Case:
    """A case from a graph of ONNX."""
    return Case(convert_bytes(proto, **options)[0], inputs, frames)


class Made:
    """A graph of engine operators as it grows."""

    def __init__(self) -> None:
        self.graph, self.arrays = Graph(), {}
        self.nodes = self.graph.nodes

    def input(self, name: str, array: np.ndarray, dims: Sequence[Any] | None = None, time: int = -1) -> Tensor:
        """An input that is given this array, of these dims or its own."""
        dims = tuple(array.shape if dims is None else dims)
        dtype = next(d for d, known in NUMPY_TYPE.items() if known == array.dtype)
        t = Tensor(name, dtype, dims, "INPUT")
        batch = dims.index(BATCH) if BATCH in dims else -1
        self.graph.inputs.append(Port(name, t, time_axis=time, batch_axis=batch))
        for size in dims:
            role = {"time": "TIME", "batch": "BATCH"}
            self.graph.symbols |= {s: role.get(s, "OTHER") for s in sorted(dm.symbols(size))}
        self.arrays[name] = array
        return t

    def constant(self, array: np.ndarray) -> Tensor:
        """A constant in row-major order."""
        dtype = next(d for d, known in NUMPY_TYPE.items() if known == array.dtype)
        return Tensor("", dtype, array.shape, "WEIGHTS", data=np.asarray(array, order="C"))

    def packed(self, matrix: np.ndarray, width: int, precision: str = "float32") -> Tensor:
        """A constant [..., K, N] in panels."""
        row = PRECISIONS[precision]
        data = row.pack(matrix, width)
        return Tensor("", row.dtype, matrix.shape, "WEIGHTS", packing=row.packing, panel_width=width, data=data)

    def output(self, name: str, dims: Sequence[Any], dtype: str = "F32", time: int = -1) -> Tensor:
        """An output."""
        t = Tensor(name, dtype, tuple(dims), "OUTPUT")
        batch = list(dims).index(BATCH) if BATCH in dims else -1
        self.graph.outputs.append(Port(name, t, time_axis=time, batch_axis=batch))
        return t

    def op(
        self, kind: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], /, **attributes: Any
    ) -> Node:
        """An operator."""
        node = Node(kind, list(inputs), list(outputs), attributes, f"{kind} {len(self.nodes)}")
        self.nodes.append(node)
        return node

    def program(self, inputs: Sequence[Tensor], y: Tensor, *steps: tuple[Any, ...]) -> None:
        """An elementwise program of (function, sources ..., then floats alpha, beta)."""
        rows = []
        for name, *words in steps:
            sources = [w for w in words if isinstance(w, int)]
            floats = [w for w in words if isinstance(w, float)]
            rows.append((name, *sources, *[0] * (3 - len(sources)), *floats, *[0.0] * (2 - len(floats))))
        self.op("elementwise", inputs, [y], program=rows)

    def case(self, frames: int = 0) -> Case:
        """The case."""
        verify(self.graph)
        return Case(Writer(self.graph, {"producer": "tests"}).whole(), self.arrays, frames)


def view(root: Tensor, offset: Any, dims: Sequence[Any], strides: Sequence[Any]) -> Tensor:
    """Elements of another tensor."""
    return Tensor(root.name, root.dtype, tuple(dims), "VIEW", root, offset, tuple(strides))


def arena(dims: Sequence[Any], dtype: str = "F32") -> Tensor:
    """An intermediate value."""
    return Tensor("", dtype, tuple(dims))
