# SPDX-License-Identifier: Apache-2.0
"""The zoo as streams: whole, in chunks and step by step the same bytes, or a refusal that names the node."""

from __future__ import annotations

import numpy as np
import pytest

import tinyrnn
import zoo
from tinyrnn.converters import convert_bytes
from tinyrnn.errors import TinyRNNError

pytestmark = pytest.mark.skipif(not zoo.VISIBLE.is_dir(), reason="the zoo is not beside the project")


def cases() -> list[str]:
    return [name for name in zoo.names() if not name.startswith("hostile_") and zoo.meta_of(name)["expect"] != "error"]


def inputs_of(name: str, model: tinyrnn.Model) -> dict[str, np.ndarray]:
    """The first inputs of a case, but for initial states, with as many steps as there are, or 11 where any would do."""
    io = np.load(zoo.VISIBLE / name / "io.npz")
    given = {n: io[f"in{i}"] for i, n in enumerate(zoo.meta_of(name)["in_names"])}
    found = {}
    for port in model.inputs:
        if port.state is not None:
            continue
        x = given[port.name]
        if port.time_axis is not None:
            x = np.resize(np.moveaxis(x, port.time_axis, 0), (11, *np.delete(x.shape, port.time_axis)))
            x = np.ascontiguousarray(np.moveaxis(x, 0, port.time_axis))
        found[port.name] = x
    return found


def parts_of(model: tinyrnn.Model, inputs: dict[str, np.ndarray], sizes: list[int]) -> list[dict[str, np.ndarray]]:
    """The inputs cut along the time axis into chunks; lengths are what is left of them, all else is given at each."""
    parts, at = [], 0
    for size in sizes:
        part = {}
        for port in model.inputs:
            if port.name in inputs:
                x = inputs[port.name]
                if port.time_axis is not None:
                    x = np.take(x, range(at, at + size), port.time_axis)
                elif x.dtype.kind == "i" and x.ndim == 1:
                    x = np.clip(x - at, 0, size).astype(x.dtype)
                part[port.name] = np.ascontiguousarray(x)
        parts.append(part)
        at += size
    return parts


def chunks(generator: np.random.Generator, steps: int) -> list[int]:
    """Random sizes that add up to steps."""
    cuts = np.flatnonzero(generator.integers(0, 2, steps - 1)) + 1
    return np.diff([0, *cuts, steps]).tolist()


def check(model: tinyrnn.Model, inputs: dict[str, np.ndarray], sizes: list[int], whole: dict[str, np.ndarray]) -> None:
    """Run chunks of these sizes; the outputs with a time axis put together, the others at the end."""
    rows = [inputs[p.name].shape[p.batch_axis] for p in model.inputs if p.batch_axis is not None and p.name in inputs]
    stream = model.stream(batch=rows[0] if rows else 1)
    results = [stream.run(part) for part in parts_of(model, inputs, sizes)]
    for port in model.outputs:
        if port.state is not None:
            continue
        pieces = [r[port.name] for r in results]
        got = pieces[-1] if port.time_axis is None else np.concatenate(pieces, port.time_axis)
        assert got.tobytes() == whole[port.name].tobytes(), f"{port.name} in chunks of {sizes}"


@pytest.mark.parametrize("quantize", [None, "int8"])
@pytest.mark.parametrize("name", cases())
def test_one_answer(name, quantize):
    try:
        data, report = convert_bytes(zoo.VISIBLE / name / "model.onnx", quantize=quantize)
    except TinyRNNError:
        return  # refused by name, which test_zoo.py judges
    model = tinyrnn.load(data)
    if not model.streamable:
        with pytest.raises(tinyrnn.UnsupportedError, match="cannot run a step at a time") as caught:
            model.stream()
        assert "'" in report.reason, "the reason names no node"
        assert report.reason in str(caught.value)
        return
    if report.time_axis is None:
        model.stream()
        return
    inputs = inputs_of(name, model)
    whole = model.run(inputs)
    steps = next(x.shape[p.time_axis] for p in model.inputs if p.time_axis is not None for x in [inputs[p.name]])
    generator = np.random.default_rng(len(name))
    check(model, inputs, [1] * steps, whole)
    for _ in range(3):
        check(model, inputs, chunks(generator, steps), whole)
