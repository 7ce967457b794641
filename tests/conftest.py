# SPDX-License-Identifier: Apache-2.0
"""Fixtures shared by all Python tests: small models, converted once a session."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption(
        "--models",
        type=Path,
        help="a folder to keep converted models in and to take them from: for a Python without onnx",
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory, pytestconfig):
    """Return a function: (name of graphs, keywords) -> path of the converted model, its ONNX file beside it."""
    kept = pytestconfig.getoption("models")
    folder = kept or tmp_path_factory.mktemp("models")

    @functools.cache
    def make(name, **keywords):
        stem = "_".join([name, *(f"{key}-{value}" for key, value in sorted(keywords.items()))])
        source, target = folder / f"{stem}.onnx", folder / f"{stem}.trnn"
        if kept and target.exists():
            return target

        import onnx

        import graphs
        from tinyrnn.converters import convert

        onnx.save(getattr(graphs, name)(**keywords), source)
        convert(source, target)
        return target

    return make


@pytest.fixture(scope="session")
def loaded(made):
    """Return a function: (name of graphs, keywords) -> loaded model."""
    import tinyrnn

    return lambda name, **keywords: tinyrnn.load(made(name, **keywords))


@pytest.fixture
def program(monkeypatch):
    """The program of benchmarks/step.c, which the benchmarks then run; with `step_program.with_program`."""
    from step_program import PROGRAMS

    monkeypatch.setenv("TINYRNN_BENCH_STEP", str(PROGRAMS[0]))
    return PROGRAMS[0]
