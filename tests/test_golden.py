# SPDX-License-Identifier: Apache-2.0
"""The golden files: frozen, complete, loaded by the engine, and right by a reader that knows docs/format.md alone."""

from __future__ import annotations

import ast
import functools
import hashlib
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import golden
import tinyrnn
import trnn_reader
from make_golden import promise_of, write_random
from tinyrnn import format as fmt
from tinyrnn.cli.inspect import describe
from tinyrnn.converters.ops.recurrent import ACTIVATIONS
from tinyrnn.converters.packing import WHOLE
from trnn_engine import Stream
from trnn_reader import NONE, RefusedError

NAMES = golden.names(golden.FOLDER)
LARGEST = 700_000  # bytes of all of them
#: How many files are frozen with format 1.0, and what their lines in the list hash to. Others come behind them.
FROZEN = {"1.0": (204, "a8c9ce83ae2f79e5ce09603c54d749bffc56490ac0947ac5e30e2713c4222239")}
#: The errors that docs/arithmetic.md promises of fp32, beside float64; and of everything else.
BOUNDS = {"LSTM": 1e-6, "GRU": 2e-6, "RNN": 3e-6}
BOUND = 1e-6
#: Functions that are not the nearest float: ulps by the same page, and 1 for each rounding behind that.
ULPS = {
    "exp": 1.2, "tanh": 4, "log": 1.2, "softplus": 4, "erf": 2, "sin": 2.5, "cos": 2.5, "atan": 2.5, "log1p": 3,
    "pow": 0.51, "elu": 3, "scaled_tanh": 5,
}  # fmt: skip
SIGMOID = 1.2e-7  # absolute
#: Operators that move elements or work on integers.
EXACT = {"copy", "gather", "gather_elements", "gather_nd", "scatter_elements", "scatter_nd", "range", "shape", "branch"}


@functools.cache
def case(name: str) -> tuple[trnn_reader.File, golden.Arrays]:
    """A case as the reader that stands alone has it."""
    model, arrays = golden.read(golden.FOLDER, name)
    return trnn_reader.read(model), arrays


def calls(file: trnn_reader.File) -> Iterator[tuple[fmt.Operator, str, list[int], list[int], list[int]]]:
    """(row of the table, name, inputs, outputs, attributes) of each operator."""
    by_value = {row.value: (name, row) for name, row in fmt.OPERATORS.items()}
    for op in file.operators:
        name, row = by_value[op.kind]
        given = [o.tensor for o in file.operands[op.operands : op.operands + op.input_count + op.output_count]]
        values = [a.value for a in file.attributes[op.attributes : op.attributes + op.attribute_count]]
        yield row, name, given[: op.input_count], given[op.input_count :], values


# ---- Frozen ----


def test_the_files_are_those_of_the_list():
    lines = (golden.FOLDER / golden.SUMS).read_text().splitlines()
    listed = dict(reversed(line.split("  ")) for line in lines)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in golden.FOLDER.iterdir()}
    del found[golden.SUMS]
    assert found == listed
    assert sum(path.stat().st_size for path in golden.FOLDER.iterdir()) < LARGEST


@pytest.mark.parametrize("version", FROZEN)
def test_frozen_files_never_change(version):
    count, digest = FROZEN[version]
    lines = (golden.FOLDER / golden.SUMS).read_text().splitlines(keepends=True)[:count]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == digest
    major, minor = map(int, version.split("."))
    for line in lines:
        if line.endswith(".trnn\n"):
            content = (golden.FOLDER / line.split()[1]).read_bytes()
            assert struct.unpack_from("<HH", content, 4) <= (major, minor), line


@pytest.mark.parametrize("name", NAMES)
def test_golden_files_load_and_run(name):
    """On this processor's best instruction set; tests/kernels/test_golden.c has them all, and streams."""
    content, arrays = golden.read(golden.FOLDER, name)
    model = tinyrnn.load(content, verify=True)
    outputs = [array for array in arrays.outputs if array is not None]
    assert arrays.promise == promise_of(content, outputs)
    if arrays.frames or (arrays.promise != golden.EVERYWHERE and not fmt.INSTRUCTION_SETS[model.isa]):
        return
    given = {p.name: x for p, x in zip(model.inputs, arrays.inputs, strict=True) if x is not None}
    got = model.run(given)
    for port, want in zip(model.outputs, outputs, strict=True):
        assert (got[port.name].dtype, got[port.name].shape) == (want.dtype, want.shape), port.name
        assert got[port.name].tobytes() == want.tobytes(), port.name


# ---- Complete ----


def seen() -> dict[str, set[Any]]:
    """What the golden files have of everything that the tables name."""
    found: dict[str, set[Any]] = {}

    def note(what: str, *values: Any) -> None:
        found.setdefault(what, set()).update(values)

    for name in NAMES:
        f, arrays = case(name)
        note("dtype", *(t.dtype for t in f.tensors))
        note("storage", *(t.storage for t in f.tensors))
        note("packing", *(t.packing for t in f.tensors))
        note("panel_width", *(t.panel_width for t in f.tensors))
        note("term", *(t.kind for t in f.terms))
        note("role", *(s.role for s in f.symbols))
        note("inputs", *(f.tensors[p.tensor].dtype for p in f.inputs))
        note("outputs", *(f.tensors[p.tensor].dtype for p in f.outputs))
        note("streamable", (f.header.streamable, f.header.time_symbol != NONE, f.header.batch_symbol != NONE))
        note("states", *((s.initial != NONE, s.input != NONE) for s in f.states))
        note("ties", *(s.tie_count for s in f.states))
        note("fed", *(p.fed for p in f.inputs))
        note("time_axis", *(p.time_axis for p in f.inputs))
        note("not given", *(x is None for x in arrays.inputs))
        note("blocks", len(f.blocks))
        for row, kind, inputs, outputs, values in calls(f):
            note_call(note, f, row, kind, (inputs, outputs), values)
    return found


def note_call(
    note: Any, f: Any, row: fmt.Operator, kind: str, operands: tuple[list[int], list[int]], values: list[int]
) -> None:
    """The same of an operator."""
    note("operator", kind)
    for rows, given in ((row.inputs, operands[0]), (row.outputs, operands[1])):
        for i, operand in enumerate(rows):
            note(f"{kind}.{operand.name}", i < len(given) and given[i] != NONE)
    fixed = [a for a in row.attributes if a.type != "list"]
    for attribute, value in zip(fixed, values, strict=False):
        note(attribute.type if attribute.type in fmt.ENUMS else f"{kind}.{attribute.name}", value)
    packings = {f.tensors[t].packing for t in operands[0] if t != NONE and f.tensors[t].packing}
    note(f"{kind} in", *packings)
    if kind == "elementwise":
        note("function", *values[::6])
    if kind == "recurrent":
        cell, _, direction, after, *_ = values
        note("activation", *values[6::3])
        note("cell in", (cell, after, *packings))
        note("cell, direction, lengths", (cell, direction, len(operands[0]) > 8 and operands[0][8] != NONE))


def test_everything_that_the_tables_name_is_in_a_golden_file():
    found = seen()
    assert found["operator"] == set(fmt.OPERATORS)
    for enumeration, values in fmt.ENUMS.items():
        assert found[enumeration] >= set(values.values()), enumeration
    assert found["function"] == {row.value for row in fmt.FUNCTIONS.values()}
    for kind, row in fmt.OPERATORS.items():
        for operand in row.inputs + row.outputs:
            wanted = {True, False} if operand.need == "optional" else {True}
            assert found[f"{kind}.{operand.name}"] == wanted, f"{kind}: {operand.name}"
    for option in ("recurrent.linear_before_reset", "recurrent.input_forget", "pool.count_padding", "branch.by_size"):
        assert found[option] == {0, 1}, option
    assert found["activation"] == {fmt.FUNCTIONS[function].value for function, *_ in ACTIVATIONS.values()}
    packed = {fmt.ENUMS["packing"][name] for name in ("F32_PANELS", *WHOLE)}
    for kind in ("dense", "conv", "recurrent"):
        assert found[f"{kind} in"] == packed, kind
    assert found["cell in"] == {(*cell, p) for cell in ((0, 0), (1, 0), (2, 0), (2, 1)) for p in packed}
    values = {value for name, value in fmt.ENUMS["dtype"].items() if name != "I16"}  # that is for weights alone
    assert found["inputs"] == found["outputs"] == values
    assert found["panel_width"] == {0, 16, 32, 48, 64}


def test_every_kind_of_stream_is_in_a_golden_file():
    found = seen()
    assert found["streamable"] >= {(1, True, True), (1, True, False), (1, False, True), (0, True, True)}
    assert found["states"] >= {(False, False), (False, True), (True, False)}
    assert {1, 2} <= found["ties"]
    assert found["fed"] == {0, 1}
    assert {0, 1} <= found["time_axis"]
    assert found["not given"] == {True, False}
    assert max(found["blocks"]) == 5
    for cell in (0, 1, 2):
        assert {(cell, 0, False), (cell, 2, True)} <= found["cell, direction, lengths"]


@pytest.mark.parametrize("name", [name for name in NAMES if "int8" in name or "int16" in name])
def test_what_fills_up_cells_is_0(name):
    """The one rule of the packings that readers do not check."""
    f, _ = case(name)
    packed = [t for t in f.tensors if trnn_reader.per_cell_of(t.packing)]
    assert packed or name == "stream_embedding_int8"
    for t in packed:
        k = f.dims[t.dims + t.rank - 2].value
        weights, _, scales = trnn_reader.whole_numbers(f, t)
        assert not weights[:, k:].any()
        assert np.isfinite(scales).all()


# ---- By a reader that stands alone ----


def test_the_reader_stands_alone():
    """It may know what Python and NumPy know, and its own parts."""
    parts = ("trnn_reader", "trnn_engine", "trnn_cells", "trnn_functions")
    allowed = {*sys.stdlib_module_names, *parts, "numpy"}
    for part in parts:
        tree = ast.parse((Path(__file__).parent / f"{part}.py").read_text(encoding="utf-8"))
        for statement in ast.walk(tree):
            if isinstance(statement, ast.Import):
                assert {alias.name.split(".")[0] for alias in statement.names} <= allowed
            if isinstance(statement, ast.ImportFrom):
                assert str(statement.module).split(".")[0] in allowed


def outputs_of(f: trnn_reader.File, arrays: golden.Arrays) -> list[np.ndarray]:
    """What the reader's engine makes of a case."""
    if not arrays.frames:
        return Stream(f).call(arrays.inputs)
    return in_steps(f, arrays, arrays.frames)


def in_steps(f: trnn_reader.File, arrays: golden.Arrays, steps: int) -> list[np.ndarray]:
    """The same by a call for each step."""
    stream, made = Stream(f), []
    axes = [
        [0 if arrays.frames and p.state == NONE else -1 if arrays.frames else p.time_axis for p in ports]
        for ports in (f.inputs, f.outputs)
    ]
    for t in range(steps):
        given = []
        for p, x, axis in zip(f.inputs, arrays.inputs, axes[0], strict=True):
            if x is not None and axis >= 0:
                x = x[t] if arrays.frames else x.take([t], axis)
            elif t and p.state != NONE and not p.fed:
                x = None
            given.append(x)
        made.append(stream.call(given))
    joined = []
    for i, axis in enumerate(axes[1]):
        parts = [outputs[i] for outputs in made]
        joined.append(parts[-1] if axis < 0 else np.stack(parts) if arrays.frames else np.concatenate(parts, axis))
    return joined


def is_exact(f: trnn_reader.File) -> bool:
    """Whether nothing in a file rounds: it moves elements, or sums products of whole numbers alone."""
    whole = {fmt.ENUMS["packing"][name] for name in WHOLE}
    for _, kind, inputs, _, values in calls(f):
        products = kind in ("dense", "conv") and fmt.FUNCTIONS["IDENTITY"].value == values[0]
        if kind not in EXACT and not (products and f.tensors[inputs[1]].packing in whole):
            return False
    return True


def bound_of(f: trnn_reader.File) -> float:
    """How far outputs may be from float64, relative to max(1, |output|)."""
    cells = {value: name for name, value in fmt.ENUMS["cell"].items()}
    return max([BOUND, *(BOUNDS[cells[values[0]]] for _, kind, _, _, values in calls(f) if kind == "recurrent")])


@pytest.mark.parametrize("name", NAMES)
def test_the_reader_agrees_with_the_outputs(name):
    f, arrays = case(name)
    check_outputs(f, arrays, outputs_of(f, arrays), is_exact(f))
    time = f.header.time_symbol
    if f.header.streamable and time != NONE:
        (steps,) = {x.shape[p.time_axis] for p, x in zip(f.inputs, arrays.inputs, strict=True) if p.time_axis >= 0}
        check_outputs(f, arrays, in_steps(f, arrays, steps), is_exact(f))


def check_outputs(f: trnn_reader.File, arrays: golden.Arrays, outputs: list[np.ndarray], exact: bool) -> None:
    bound = bound_of(f)
    for port, got, want in zip(f.outputs, outputs, arrays.outputs, strict=True):
        name = f.text(f.tensors[port.tensor].name)
        assert (got.dtype, got.shape) == (want.dtype, want.shape), name
        if exact or want.dtype.kind != "f":
            assert got.tobytes() == want.tobytes(), name
            continue
        assert np.array_equal(np.isinf(got), np.isinf(want)), name
        finite = np.isfinite(want)
        error = np.abs(got[finite].astype(np.float64) - want[finite])
        assert (error <= bound * np.maximum(1, np.abs(want[finite]))).all(), f"{name}: {error.max()}"


def test_random_cases_are_right_too(tmp_path, monkeypatch):
    """What is written for a run on other machines; in float32 within the bound of test_promises.py for such graphs.

    In whole numbers a float beside the middle of two codes may be rounded to the other.
    """
    monkeypatch.setenv("TINYRNN_ISA", "scalar")
    write_random(tmp_path, 6, 3)
    assert len(golden.names(tmp_path)) == 6
    for name in golden.names(tmp_path):
        model, arrays = golden.read(tmp_path, name)
        f = trnn_reader.read(model)
        rounded = any(trnn_reader.per_cell_of(t.packing) for t in f.tensors)
        for got, want in zip(outputs_of(f, arrays), arrays.outputs, strict=True):
            assert (got.shape, got.dtype) == (want.shape, want.dtype)
            assert rounded or np.abs(got - want).max(initial=0) <= 2e-5 * max(1, np.abs(want).max(initial=0)), name


@pytest.mark.parametrize("name", ["functions_floats", "functions_of_extremes"])
def test_functions_are_as_exact_as_is_said(name):
    f, arrays = case(name)
    outputs = Stream(f).call(arrays.inputs)
    for port, got, want in zip(f.outputs, outputs, arrays.outputs, strict=True):
        function = f.text(f.tensors[port.tensor].name)
        assert np.array_equal(np.isinf(got), np.isinf(want)), function
        got, want = (a[np.isfinite(want)].astype(np.float64) for a in (got, want))
        error = np.abs(got - want)
        if function == "sigmoid":
            assert error.max() <= SIGMOID
        else:
            # What is compared with is rounded itself, by half an ulp.
            ulp = np.spacing(np.abs(got).astype(np.float32))
            allowed = (ULPS[function] + 0.5) * ulp if function in ULPS else 0
            assert (error <= allowed).all(), f"{function}: {error.max()}"


def refusal(content: bytes) -> str:
    """The status with which the reader refuses, or nothing."""
    try:
        trnn_reader.read(content)
    except RefusedError as refused:
        return str(refused.args[0])
    return ""


def repaired(content: bytearray) -> bytes:
    """With true checksums."""
    cut = struct.unpack_from("<Q", content, 24)[0]
    if cut <= len(content):
        struct.pack_into("<II", content, 8, zlib.crc32(content[16:cut]), zlib.crc32(content[cut:]))
    return bytes(content)


@pytest.mark.parametrize(
    "name", ["lstm_both_lens_initial", "gru_before_int16", "branch_else", "stream_cache", "expressions"]
)
def test_what_the_page_refuses_the_engine_refuses(name):
    """Words of the structure changed at random: no rule of the page is the reader's alone."""
    content, _ = golden.read(golden.FOLDER, name)
    generator = np.random.default_rng(5)
    structure = struct.unpack_from("<Q", content, 24)[0]
    refused = 0
    for _ in range(600):
        damaged = bytearray(content)
        at = int(generator.integers(4, structure // 4)) * 4
        other = int(generator.integers(4, structure // 4)) * 4
        damaged[at : at + 4] = [content[other : other + 4], b"\xff" * 4, bytes(4), generator.bytes(4)][
            generator.integers(4)
        ]
        status = refusal(repaired(damaged))
        if status:
            refused += 1
            with pytest.raises(tinyrnn.TinyRNNError):
                tinyrnn.load(bytes(damaged), verify=True)
    assert refused > 200


def test_versions():
    content, _ = golden.read(golden.FOLDER, "lstm")
    for version, says in (((0, 1), "convert the model again"), ((1, 7), "made by a newer version"), ((2, 0), "newer")):
        other = content[:4] + struct.pack("<HH", *version) + content[8:]
        assert refusal(other) == "VERSION"
        with pytest.raises(tinyrnn.ModelFormatError, match=says):
            tinyrnn.load(other)
    assert fmt.VERSION == trnn_reader.VERSION
    assert describe(content)["format"] == [1, 0]
