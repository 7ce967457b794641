# SPDX-License-Identifier: Apache-2.0
"""The C tests of tests/kernels on emulated processors: every program on each of them, counted."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .targets import JOBS, ROOT, TARGETS, Processor, Target

PASSED = re.compile(r"(\d+) passed, 0 failed\s*$")
SLOWEST = ("check_elementary", "check_i8", "test_int8", "check_steps")  # are started first
MINUTES = 20  # that a program may take


class Outcome(NamedTuple):
    """What one program did on one processor; no checks have passed when the program has failed."""

    processor: Processor
    program: str
    checks: int
    seconds: float
    output: str


def programs() -> list[str]:
    """Return the names of all test programs, the slowest first."""
    folder = ROOT / "tests" / "kernels"
    names = sorted(path.stem for pattern in ("check_*.c", "test_*.c") for path in folder.glob(pattern))
    return sorted(names, key=lambda name: name not in SLOWEST)


def build(target: Target, folder: Path) -> Path:
    """Cross-compile the engine and its tests below a folder; return where the programs are."""
    place = folder / target.name
    env = {**os.environ, "CC": target.compiler, "BUILD_ONLY": "1"}
    subprocess.run([ROOT / "tools" / "test_kernels.sh", place], cwd=ROOT, env=env, check=True)
    return place


def run(processor: Processor, program: Path) -> Outcome:
    """Run a test program; it has passed when it says that checks passed and none failed, and exits with 0."""
    started = time.monotonic()
    try:
        done = subprocess.run(
            processor.command(program),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60 * MINUTES,
        )
        found, output = PASSED.search(done.stdout) if done.returncode == 0 else None, done.stdout
        output += f"exit status {done.returncode}\n"
    except (subprocess.TimeoutExpired, OSError) as error:
        found, output = None, f"{error}\n"
    checks = int(found[1]) if found else 0
    return Outcome(processor, program.name, checks, time.monotonic() - started, output)


def test(processors: Sequence[Processor], folder: Path) -> int:
    """Build and run all programs on all processors; print what ran and return how many failures there were."""
    built = {}
    for target in TARGETS:
        if any(processor.target is target for processor in processors):
            started = time.monotonic()
            built[target] = build(target, folder)
            print(f"built for {target.name}: {time.monotonic() - started:.0f} s", flush=True)
    pairs = [(processor, built[processor.target] / name) for name in programs() for processor in processors]
    with ThreadPoolExecutor(JOBS) as pool:
        outcomes = list(pool.map(lambda pair: run(*pair), pairs))
    return report(outcomes, processors)


def report(outcomes: Sequence[Outcome], processors: Sequence[Processor]) -> int:
    """Print failures and a line a processor; every program must have passed on each. Return what is lacking of that."""
    for outcome in outcomes:
        if not outcome.checks:
            print(f"FAILED {outcome.program} on {outcome.processor.name}:\n{outcome.output[-4000:]}")
    expected = len(programs())
    total = 0
    for processor in processors:
        rows = [outcome for outcome in outcomes if outcome.processor is processor and outcome.checks]
        total += len(rows)
        print(
            f"{processor.name} ({processor.board}): {len(rows)} of {expected} test programs passed, "
            f"{sum(row.checks for row in rows)} checks, {sum(row.seconds for row in rows):.0f} s"
        )
    print(f"{total} of {expected * len(processors)} emulated test programs passed", flush=True)
    return expected * len(processors) - total
