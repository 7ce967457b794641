# SPDX-License-Identifier: Apache-2.0
"""The zoo: what is supported agrees with the expected outputs, the rest is refused by name, nothing crashes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zoo

pytestmark = pytest.mark.skipif(not zoo.VISIBLE.is_dir(), reason="the zoo is not beside the project")

# Groups of which every case must agree (or be refused where its meta.json allows that).
COMPLETE = ("raw_", "torch_", "format_")
# Their expected outputs are onnxruntime's, whose activations turn NaN into numbers; ours keep it (promise 4).
NAN_CASES = ("hostile_nan_input", "hostile_nan_weight")
CHUNK = 40


def cases(*prefixes: str) -> list[str]:
    return [name for prefix in prefixes for name in zoo.names(prefix)]


def others() -> list[str]:
    return [name for name in zoo.names() if not name.startswith((*COMPLETE, "hostile_"))]


@pytest.mark.parametrize("name", cases(*COMPLETE))
def test_agrees(name):
    result, expected = zoo.judge(name), zoo.meta_of(name)["expect"]
    allowed = {"ok": ["agrees"], "either": ["agrees", "refused"], "error": ["refused"]}[expected]
    assert result["verdict"] in allowed, result


@pytest.mark.parametrize("name", others())
def test_agrees_or_is_refused_by_name(name):
    result = zoo.judge(name)
    assert result["verdict"] in ("agrees", "refused"), result
    if result["verdict"] == "refused":
        assert re.search(r"ConversionError: .*(node|input|output) '", result["why"], re.S), result["why"]


def verdicts(names: list[str]) -> list[dict]:
    """Judge cases in one worker process, each forked under its own limits."""
    worker = [sys.executable, str(Path(__file__).with_name("zoo.py")), *names]
    done = subprocess.run(worker, capture_output=True, text=True, timeout=zoo.SECONDS * len(names))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("first", range(0, len(cases("hostile_")), CHUNK))
def test_hostile(first):
    allowed = {
        "ok": ["agrees"],
        "either": ["agrees", "refused"],
        "error": ["refused"],
        "survive": ["agrees", "differs", "refused"],
    }
    names = [name for name in cases("hostile_")[first : first + CHUNK] if name not in NAN_CASES]
    wrong = [r for r in verdicts(names) if r["verdict"] not in allowed[zoo.meta_of(r["name"])["expect"]]]
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("name", NAN_CASES)
def test_nan_spreads_as_the_equations_say(name):
    import zoo_adapter
    from tinyrnn.converters import references

    io, path = np.load(zoo.VISIBLE / name / "io.npz"), str(zoo.VISIBLE / name / "model.onnx")
    inputs = {n: io[f"in{i}"] for i, n in enumerate(zoo.meta_of(name)["in_names"])}
    got, want = zoo_adapter.run(path, inputs), references.run(path, inputs)
    assert np.isnan(got["Y"]).any()
    assert not np.isnan(got["Y"]).all()
    for output in got:
        assert zoo.distance(got[output], want[output].astype(np.float32)) <= 1e-5
