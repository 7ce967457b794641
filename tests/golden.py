# SPDX-License-Identifier: Apache-2.0
"""Golden cases: a folder of NAME.trnn and NAME.io, what goes in and what has to come out, listed in SHA256SUMS.

A .io file is made of int64 in little-endian order:

    "TRNGOLD1"       8 bytes
    promise          0: the bytes are those of the instruction sets with fused multiply-add; nothing is said of others
                     1: likewise; float32 outputs of the others are within 1e-4 * max(1, |value|)
                     2: every instruction set gives the bytes
    frames           0: the arrays are those of a whole sequence. Else the model has no time axis, and those of its
                     ports that show or start no state are stacks of so many frames, for a stream
    inputs, outputs  how many arrays follow
    arrays           in the order of the model's inputs, then of its outputs. Each: dtype (enumeration dtype of the
                     format, or -1: not given), rank, rank dims, bytes of the data, the data, zeros to a multiple of 8

SHA256SUMS is what `sha256sum` writes and checks: the names of all files, so that a program in C needs no list of a
folder; new ones are added at the end. tests/kernels/test_golden.c runs the cases in the engine, tests/test_golden.py in
a reader of its own.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "golden"
SUMS = "SHA256SUMS"
MAGIC = b"TRNGOLD1"
FUSED, NEAR, EVERYWHERE = range(3)
TOLERANCE = 1e-4
#: By the value of enumeration dtype.
TYPES = [np.dtype(t) for t in ("<f4", "<f8", "<f2", "<i8", "<i4", "i1", "u1", "?")]


@dataclass
class Arrays:
    """What a .io file holds; None is an input that is not given."""

    promise: int
    frames: int
    inputs: list[np.ndarray | None]
    outputs: list[np.ndarray | None]

    def to_bytes(self) -> bytes:
        """The file."""
        counts = self.promise, self.frames, len(self.inputs), len(self.outputs)
        return b"".join([MAGIC, struct.pack("<4q", *counts), *map(_packed, [*self.inputs, *self.outputs])])

    @classmethod
    def of(cls, content: bytes) -> Arrays:
        """The inverse of `to_bytes`."""
        assert content[:8] == MAGIC
        promise, frames, inputs, outputs = struct.unpack_from("<4q", content, 8)
        arrays = list(_unpacked(content, 40, inputs + outputs))
        return cls(promise, frames, arrays[:inputs], arrays[inputs:])


def _packed(array: np.ndarray | None) -> bytes:
    if array is None:
        return struct.pack("<3q", -1, 0, 0)
    data = array.tobytes()
    head = struct.pack(f"<{3 + array.ndim}q", TYPES.index(array.dtype), array.ndim, *array.shape, len(data))
    return head + data + bytes(-len(data) % 8)


def _unpacked(content: bytes, at: int, count: int) -> Iterator[np.ndarray | None]:
    for _ in range(count):
        dtype, rank = struct.unpack_from("<2q", content, at)
        *dims, size = struct.unpack_from(f"<{rank + 1}q", content, at + 16)
        at += 16 + 8 * (rank + 1)
        yield None if dtype < 0 else np.frombuffer(content[at : at + size], TYPES[dtype]).reshape(dims)
        at += size + -size % 8
    assert at == len(content)


def names(folder: Path) -> list[str]:
    """The cases of a folder, in the order of the list."""
    lines = (folder / SUMS).read_text().splitlines()
    return [line.split()[1].removesuffix(".trnn") for line in lines if line.endswith(".trnn")]


def read(folder: Path, name: str) -> tuple[bytes, Arrays]:
    """A case: the model and its arrays."""
    return (folder / f"{name}.trnn").read_bytes(), Arrays.of((folder / f"{name}.io").read_bytes())


def write_sums(folder: Path, cases: Sequence[str]) -> None:
    """Write the list of these cases."""
    files = [f"{name}.{kind}" for name in cases for kind in ("trnn", "io")]
    sums = [hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in files]
    (folder / SUMS).write_text("".join(f"{s}  {file}\n" for s, file in zip(sums, files, strict=True)))
