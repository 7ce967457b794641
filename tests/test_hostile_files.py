# SPDX-License-Identifier: Apache-2.0
"""Files are hostile until checked, and while they are used: damage gives an error of ours or a correct run."""

from __future__ import annotations

import contextlib
import threading
import zlib

import numpy as np
import pytest

import hostile_models
import tinyrnn
from tinyrnn import format as fmt
from tinyrnn.errors import IndexRangeError, TinyRNNError

COUNT = 1000  # files of each kind of damage, over all models
BYTES, ELEMENTS = 1 << 26, 1 << 16  # of a stream, of a port: larger ones are not run
HEAD = fmt.RECORDS["preamble"].itemsize


@pytest.fixture(scope="module")
def contents():
    return list(hostile_models.files().values())


def weights_offset(content):
    return int(np.frombuffer(content, fmt.RECORDS["header"], 1, HEAD)[0]["weights_offset"])


def repaired(content):
    """The same with true checksums, as far as there is a header to say where they belong."""
    if len(content) < HEAD + fmt.RECORDS["header"].itemsize:
        return bytes(content)
    cut = min(max(weights_offset(content), HEAD), len(content))
    sums = zlib.crc32(content[HEAD:cut]), zlib.crc32(content[cut:])
    return content[:8] + np.array(sums, "<u4").tobytes() + content[16:]


def array_of(port, generator, time=True):
    """An input with 3 steps (or without its time axis) and 2 of every other open dimension."""
    dims = [d if isinstance(d, int) else 3 if k == port.time_axis else 2 for k, d in enumerate(port.shape)]
    if not time and port.time_axis is not None:
        del dims[port.time_axis]
    if np.prod(dims, dtype=float) > ELEMENTS:
        raise MemoryError
    if port.dtype.startswith(("int", "uint")):
        return generator.integers(0, 2, dims).astype(port.dtype)
    return generator.uniform(-1, 1, dims).astype(port.dtype)


def feeds(model, generator, time=True):
    return {p.name: array_of(p, generator, time) for p in model.inputs if p.state is None}


def use(model, generator):
    """Describe the model, run it whole, and carry a stream of it on."""
    assert repr(model)
    assert all(isinstance(text, str) for text in (model.reason, *model.metadata, *model.metadata.values()))
    about = model._describe()
    batch = 1 if about["batch"] is None else 2
    sizes = {s: 2 for s in about["symbols"] if s not in (about["time"], about["batch"])} or None
    if model.memory(batch, 3, sizes=sizes)["stream"] <= BYTES:
        model.run(feeds(model, generator))
    if not model.streamable or model.memory(batch, sizes=sizes)["stream"] > BYTES:
        return
    stream = model.stream(batch, sizes=sizes)
    saved = stream.save()
    stream.step(feeds(model, generator, time=False))
    stream.restore(saved)
    if about["time"] is not None:
        stream.run(feeds(model, generator))
    assert all(stream.states[name].dtype == np.float32 for name in stream.states)
    stream.reset()


def attempt(content, generator):
    """Load and use; whatever goes wrong must be an error that says so. Return whether it loaded."""
    try:
        model = tinyrnn.load(content, verify=bool(generator.integers(2)))
    except (TinyRNNError, MemoryError):
        return False
    with contextlib.suppress(TinyRNNError, MemoryError):
        use(model, generator)
    return True


def damaged(kind, content, generator):
    data = bytearray(content)
    size, structure = len(data), weights_offset(content)
    if kind == "truncated":
        return bytes(data[: generator.integers(size)])
    if kind == "flipped":
        for at in generator.integers(size, size=generator.integers(1, 4)):
            data[at] ^= 1 << generator.integers(8)
        return bytes(data)
    if kind == "random":
        kept = int(generator.integers(size)) * int(generator.integers(2))
        return bytes(data[:kept]) + generator.bytes(int(generator.integers(4096)))
    for at in generator.integers(HEAD // 4, structure // 4, size=generator.integers(1, 4)) * 4:
        other = int(generator.integers(structure // 4)) * 4
        number = [data[other : other + 4], generator.bytes(4), b"\xff" * 4, b"\0\0\0\0"][generator.integers(4)]
        data[at : at + 4] = number
    return repaired(bytes(data))


@pytest.mark.parametrize("kind", ["truncated", "flipped", "random", "structure"])
def test_damaged_files(contents, kind):
    generator = np.random.default_rng(fmt.MAGIC)
    loaded = sum(attempt(damaged(kind, contents[i % len(contents)], generator), generator) for i in range(COUNT))
    assert loaded < COUNT
    if kind == "structure":  # so much that the checks behind the checksum are what is tested
        assert loaded > 0


def test_undamaged_files(contents):
    generator = np.random.default_rng(1)
    for content in contents:
        assert repaired(content) == content
        use(tinyrnn.load(content, verify=True), generator)


def scribble(path, start, seed):
    """Write random bytes over a file from a place on, without changing its size."""
    with path.open("r+b", buffering=0) as file:
        file.seek(start)
        file.write(np.random.default_rng(seed).bytes(path.stat().st_size - start))


@pytest.mark.parametrize("during", [False, True], ids=["between", "during"])
def test_weights_that_change_under_the_map(contents, tmp_path, during):
    """Somebody writes into the file of a running stream: wrong numbers or a refused index, never more."""
    generator = np.random.default_rng(2)
    for i, content in enumerate(contents):
        path, start, stopped = tmp_path / f"{i}.trnn", weights_offset(content), threading.Event()
        path.write_bytes(content)
        model = tinyrnn.load(path)

        def keep_scribbling(path=path, start=start, stopped=stopped):
            seed = 0
            while not stopped.is_set():
                scribble(path, start, seed := seed + 1)

        other = threading.Thread(target=keep_scribbling)
        if during:
            other.start()
        try:
            for seed in range(10):
                with contextlib.suppress(IndexRangeError):
                    use(model, generator)
                if not during:
                    scribble(path, start, seed)
        finally:
            stopped.set()
            if during:
                other.join()


def test_the_structure_is_not_read_again(contents, tmp_path):
    """Records are copied when a file is loaded: what becomes of them in the file changes nothing."""
    generator = np.random.default_rng(3)
    for i, content in enumerate(contents):
        path, start = tmp_path / f"{i}.trnn", weights_offset(content)
        path.write_bytes(content)
        model = tinyrnn.load(path)
        given = feeds(model, generator)
        expected = tinyrnn.load(content).run(given)
        with path.open("r+b") as file:
            file.write(generator.bytes(start))
        again = model.run(given)
        assert {n: a.tobytes() for n, a in again.items()} == {n: a.tobytes() for n, a in expected.items()}
