# SPDX-License-Identifier: Apache-2.0
"""The C example gives what Python gives: the program that `make test` builds beside the tests of the kernels."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import handmade
import tinyrnn

PROGRAM = Path(__file__).resolve().parents[2] / "build" / "kernels" / "stream"
pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="make test builds the program first")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("c") / "lstm.trnn"
    path.write_bytes(handmade.lstm()[0])
    return path


def test_frames_from_a_pipe(path):
    x = np.random.default_rng(0).standard_normal((9, 1, 4)).astype(np.float32)
    done = subprocess.run([PROGRAM, path], input=x.tobytes(), capture_output=True, check=True)
    assert done.stdout == tinyrnn.load(path).run(x).tobytes()


def test_a_sine(path):
    done = subprocess.run([PROGRAM, path, "5"], capture_output=True, text=True, check=True)
    rows = np.array([line.split() for line in done.stdout.splitlines()], np.float64)
    assert rows.shape == (5, 8)
    assert np.abs(rows).max() < 1


def test_what_it_refuses(tmp_path):
    (tmp_path / "bad.trnn").write_bytes(b"nonsense" * 100)
    done = subprocess.run([PROGRAM, tmp_path / "bad.trnn"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "not a .trnn file" in done.stderr
    assert subprocess.run([PROGRAM], capture_output=True).returncode == 2
