# SPDX-License-Identifier: Apache-2.0
"""Random models with this machine's outputs, which every processor has to give byte for byte within the promises."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import kernels
from .targets import JOBS, ROOT, Processor

PROGRAM = "test_golden"


def make(folder: Path, count: int, seed: int) -> None:
    """Write models, their inputs and what the scalar kernels give here."""
    command = [sys.executable, str(ROOT / "tests" / "make_golden.py"), "--random", str(count), "--seed", str(seed)]
    subprocess.run([*command, str(folder)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def test_here(folder: Path) -> int:
    """Compare every instruction set of this machine with the outputs; return how many comparisons there were."""
    built = ROOT / "build" / "kernels"  # by `make test` too
    env = {**os.environ, "BUILD_ONLY": "1"}
    subprocess.run([ROOT / "tools" / "test_kernels.sh", built], cwd=ROOT, env=env, check=True)
    return kernels.checks_of(subprocess.run([built / PROGRAM, folder], capture_output=True, text=True))


def test(processors: Sequence[Processor], built: Path, folder: Path, count: int, seed: int) -> int:
    """Run random models here and on all processors; print what ran and return how many failures there were.

    Parameters
    ----------
    built : where the programs for other processors are or will be, see kernels.build
    folder : where the models go
    """
    make(folder, count, seed)
    here = test_here(folder)
    print(f"{count} random models, seed {seed}: {here} runs passed on this machine", flush=True)
    programs = kernels.build_all(processors, built)
    with ThreadPoolExecutor(JOBS) as pool:
        outcomes = list(pool.map(lambda p: kernels.run(p, programs[p.target] / PROGRAM, str(folder)), processors))
    failures = int(here == 0)
    for outcome in outcomes:
        if not outcome.checks:
            print(f"FAILED on {outcome.processor.name}:\n{outcome.output[-4000:]}")
        failures += not outcome.checks
        print(
            f"{outcome.processor.name}: {outcome.checks} runs of {count} random models passed, {outcome.seconds:.0f} s"
        )
    return failures
