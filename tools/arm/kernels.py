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

from .targets import JOBS, ROOT, Processor, Target

PASSED = re.compile(r"(\d+)(?: runs)? passed, 0 failed\s*$")
SLOWEST = ("check_elementary", "check_i8", "test_int8", "check_steps")  # are started first
MINUTES = 20  # that a program may take
LIMIT = 400_000  # bytes of the engine as a shared library, stripped


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


def library_size(target: Target, place: Path) -> int:
    """Link the engine as a shared library and strip it; return its bytes."""
    library = place / "stripped.so"
    whole = ["-Wl,--whole-archive", place / "libtinyrnn.a", "-Wl,--no-whole-archive"]
    subprocess.run([target.compiler, "-shared", "-s", "-o", library, *whole, "-lm"], check=True)
    return library.stat().st_size


def build_all(processors: Sequence[Processor], folder: Path) -> dict[Target, Path]:
    """Cross-compile for the systems of some processors; return where the programs of each are."""
    built = {}
    for target in dict.fromkeys(processor.target for processor in processors):
        started = time.monotonic()
        built[target] = build(target, folder)
        print(f"built for {target.name}: {time.monotonic() - started:.0f} s", flush=True)
        size = library_size(target, built[target])
        if size >= LIMIT:
            raise RuntimeError(f"the library for {target.name} has {size} bytes; it must stay below {LIMIT}")
        print(f"the library, stripped: {size} bytes", flush=True)
    return built


def checks_of(done: subprocess.CompletedProcess[str]) -> int:
    """Return how many checks passed in a test program: none unless it says that none failed, and exits with 0."""
    found = PASSED.search(done.stdout) if done.returncode == 0 else None
    return int(found[1]) if found else 0


def run(processor: Processor, program: Path, *arguments: str) -> Outcome:
    """Run a test program on a processor."""
    started = time.monotonic()
    command = processor.command(program, *arguments)
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60 * MINUTES
        )
        checks, output = checks_of(done), f"{done.stdout}exit status {done.returncode}\n"
    except (subprocess.TimeoutExpired, OSError) as error:
        checks, output = 0, f"{error}\n"
    return Outcome(processor, program.name, checks, time.monotonic() - started, output)


def test(processors: Sequence[Processor], folder: Path) -> int:
    """Build and run all programs on all processors; print what ran and return how many failures there were."""
    built = build_all(processors, folder)
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
