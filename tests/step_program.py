# SPDX-License-Identifier: Apache-2.0
"""The program of benchmarks/step.c, where make test or make bench has built it: for tests that run it."""

from __future__ import annotations

from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parent.parent / "build"
PROGRAMS = [path for path in (BUILD / folder / "step" for folder in ("kernels", "bench")) if path.is_file()]
with_program = pytest.mark.skipif(not PROGRAMS, reason="make test builds benchmarks/step.c first")
