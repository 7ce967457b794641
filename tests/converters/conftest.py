# SPDX-License-Identifier: Apache-2.0
"""Lets the tests of the converter import their helpers, and find the shared models where there are any."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

SHARED = Path(os.environ.get("TINYRNN_SHARED") or Path(__file__).resolve().parents[2].parent / "shared")


@pytest.fixture(scope="session")
def shared():
    """Return the folder of shared models; skip where it is missing."""
    if not (SHARED / "zoo" / "visible").is_dir():
        pytest.skip("the shared models are not here (set TINYRNN_SHARED)")
    return SHARED


def pytest_generate_tests(metafunc):
    """Give `zoo_case` the folder of every case whose name begins as the marker of the test asks."""
    if "zoo_case" in metafunc.fixturenames:
        prefixes = tuple(metafunc.function.prefixes)
        folder = SHARED / "zoo" / "visible"
        cases = sorted(c for c in folder.iterdir() if c.name.startswith(prefixes)) if folder.is_dir() else []
        skip = pytest.param(None, marks=pytest.mark.skip(reason="the shared models are not here (set TINYRNN_SHARED)"))
        metafunc.parametrize("zoo_case", cases or [skip], ids=lambda c: c.name if c else "none")
