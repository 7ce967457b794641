# SPDX-License-Identifier: Apache-2.0
"""Arrays to try a model on, from a file or random; a run over a whole sequence; how far results are from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyrnn.errors import ArgumentError, TinyRNNError
from tinyrnn.model import Model, Port


def read_file(path: str) -> np.ndarray | dict[str, np.ndarray]:
    """Read an .npy or .npz file; objects in it are refused."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib, ast and struct errors alike: the file is not what it says
        raise ArgumentError(
            f"{path}: not an .npy or .npz file of plain arrays ({type(error).__name__}: {error})"
        ) from None


def read_inputs(path: str) -> dict[str, np.ndarray]:
    """Read an array for each input from an .npz file."""
    arrays = read_file(path)
    if not isinstance(arrays, dict):
        raise ArgumentError(f"{path}: expected an .npz file with an array for each input")
    return arrays


def is_framed(model: Model) -> bool:
    """Whether a step of a stream takes a frame as the model declares it: it has no time axis, but can stream."""
    return model.streamable and not any(port.time_axis is not None for port in model.inputs)


def are_frames(model: Model, inputs: Mapping[str, np.ndarray]) -> bool:
    """Whether the inputs of such a model are stacks of frames; states are given once."""
    plain = [port for port in model.inputs if port.state is None and port.name in inputs]
    return is_framed(model) and all(np.ndim(inputs[port.name]) == len(port.shape) + 1 for port in plain)


def run(model: Model, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs for whole sequences, or for stacks of frames, then without states and with frames on a first axis."""
    if not are_frames(model, inputs):
        return dict(model.run(dict(inputs)))
    sizes = [
        np.shape(inputs[port.name])[port.batch_axis + (port.state is None)]
        for port in model.inputs
        if port.batch_axis is not None and port.name in inputs
    ]
    return dict(model.stream(batch=sizes[0] if sizes else 1).run(dict(inputs)))


def random_inputs(
    model: Model, seed: int, steps: int, batch: int, declared: Mapping[str, Sequence[Any]]
) -> dict[str, np.ndarray]:
    """Make inputs: normal numbers, zeros and ones for integers. A model that takes frames gets stacks of them.

    Parameters
    ----------
    model : whose inputs, states among them
    seed : of the generator
    steps, batch : sizes of the time and the batch axis; steps is the number of frames too
    declared : the shape of an input, where an integer fixes what the model leaves open

    Raises
    ------
    TinyRNNError
        A size of an input is computed from those of others.
    """
    generator, framed = np.random.default_rng(seed), is_framed(model)
    sizes: dict[str, int] = {}
    for port in model.inputs:
        for axis, dim in enumerate(port.shape):
            if isinstance(dim, str):
                fixed = declared.get(port.name, [None] * len(port.shape))[axis]
                asked = {port.time_axis: steps, port.batch_axis: batch}.get(axis, 4)
                sizes[dim] = fixed if isinstance(fixed, int) else sizes.get(dim, asked)
    arrays = {}
    for port in model.inputs:
        if None in port.shape:
            raise TinyRNNError(f"input '{port.name}' has a size computed from others: its array has to be given")
        shape = [steps] if framed and port.state is None else []
        shape += [dim if isinstance(dim, int) else sizes[str(dim)] for dim in port.shape]
        if port.dtype.startswith("float"):
            arrays[port.name] = generator.standard_normal(shape).astype(port.dtype)
        else:
            arrays[port.name] = generator.integers(0, 2, shape).astype(port.dtype)
    return arrays


def compare(port: Port, got: np.ndarray, want: np.ndarray, time_axis: int | None) -> dict[str, Any]:
    """Return the error of one output, overall and by time step.

    `relative` is the largest error as a part of max(1, |want|); equal infinities and NaN for NaN are no error.
    """
    if got.shape != want.shape:
        raise TinyRNNError(f"output '{port.name}': shape {got.shape}, the reference gives {want.shape}")
    reference = want.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.abs(got.astype(np.float64) - reference)
        error = np.where((got == want) | np.isnan(got) & np.isnan(reference), 0.0, error)
    error = np.where(np.isnan(error), np.inf, error)
    largest = float(np.abs(reference[np.isfinite(reference)]).max(initial=0.0))
    axes = tuple(axis for axis in range(error.ndim) if axis != time_axis)
    steps = error.max(axis=axes, initial=0.0).tolist() if time_axis is not None else None
    return {
        "name": port.name,
        "shape": list(got.shape),
        "dtype": str(got.dtype),
        "largest": largest,
        "max": float(error.max(initial=0.0)),
        "rms": float(np.sqrt(np.mean(error**2))) if error.size else 0.0,
        "relative": float(error.max(initial=0.0)) / max(1.0, largest),
        "max_by_step": steps,
    }


def shown_steps(count: int, most: int = 10) -> list[int]:
    """At most so many steps of a sequence, evenly spaced, the first and the last among them."""
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})
