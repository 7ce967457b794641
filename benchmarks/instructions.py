# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions of one step under callgrind and compares them with benchmarks/instructions.json.

    make instructions            fails when a count has grown by more than 2 %
    make instructions UPDATE=1   writes the file anew, for a commit that says why

Counts do not depend on what else the machine does, but on the compiler and the C library: the file has a section for
each build, and only that of this build is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .engines import ROOT
from .engines.base import step_program
from .engines.tinyrnn_python import converted
from .workloads import Workload

FILE = ROOT / "benchmarks" / "instructions.json"
GROWTH = 0.02
STEPS = 16  # counted together: what the first does more than the others shows little
SIZES = (16, 64, 128)
WORKLOADS = [Workload("step", "lstm", n, n) for n in SIZES]
WORKLOADS += [Workload("step", "gru", n, n, reset_after=after) for after in (True, False) for n in SIZES]
WORKLOADS += [Workload("step", "rnn", n, n) for n in SIZES]
IN_INT8 = ("lstm", "gru")  # cells that are counted in int8 too

TOOL = ("valgrind", "--tool=callgrind", "--toggle-collect=trn_stream_step", "--callgrind-out-file=/dev/null")

Counts = dict[str, int]


class Verdict(NamedTuple):
    """What a comparison found: what makes it fail, and what is only to be known."""

    failures: list[str]
    notes: list[str]


def compare(recorded: Counts, counted: Counts) -> Verdict:
    """Compare counts by name: what has grown by over 2 %, was never recorded or could not be counted again, fails."""
    failures, notes = [], []
    for name in recorded.keys() | counted.keys():
        before, now = recorded.get(name), counted.get(name)
        if before is None or now is None:
            failures.append(f"{name}: {now} instructions, not recorded yet" if now else f"{name}: not counted any more")
            continue
        change = now / before - 1
        text = f"{name}: {before} instructions before, {now} now ({change:+.1%})"
        if change > GROWTH:
            failures.append(text)
        elif change < -GROWTH:
            notes.append(f"{text}: record it, so that it stays")
    return Verdict(sorted(failures), sorted(notes))


def instruction_sets() -> list[str]:
    """The names in isa.def, each once: which of them this build has, the program says."""
    text = (ROOT / "kernels" / "src" / "isa.def").read_text(encoding="utf-8")
    return list(dict.fromkeys(re.findall(r"^TRN_ISA\((\w+)", text, re.M)))


def step(model: Path, isa: str, *prefix: str) -> subprocess.CompletedProcess[str]:
    """Run STEPS steps on one instruction set."""
    command = [*prefix, str(step_program()), str(model), "--count", str(STEPS)]
    return subprocess.run(
        command, env={**os.environ, "TINYRNN_ISA": isa}, capture_output=True, text=True, check=False, timeout=600
    )


def count(model: Path, isa: str) -> int:
    """The instructions of a step, on average, those of the caller left out."""
    done = step(model, isa, *TOOL)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found or found[1] == "0":
        raise RuntimeError(f"callgrind on {model.name}, {isa}: {done.stderr.strip()[-300:]}")
    return round(int(found[1]) / STEPS)


def count_all(workloads: Sequence[Workload]) -> tuple[Counts, dict[str, str]]:
    """The counts by "isa/network" or "isa/network_int8", and why an instruction set has none."""
    counts, absent = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        models = {workload.network: converted(workload, Path(folder)) for workload in workloads}
        quantized = [workload for workload in workloads if workload.cell in IN_INT8]
        models |= {f"{workload.network}_int8": converted(workload, Path(folder), "int8") for workload in quantized}
        for isa in instruction_sets():
            # Under the tool too, which knows fewer instruction sets than processors do.
            for prefix in ((), TOOL):
                tried = step(next(iter(models.values())), isa, *prefix)
                if tried.returncode:
                    absent[isa] = f"{' '.join(prefix[:1])} {tried.stderr.strip().splitlines()[-1]}".strip()
                    break
            else:
                counts |= {f"{isa}/{name}": count(model, isa) for name, model in models.items()}
    return counts, absent


def build() -> str:
    """What the counts depend on beside the sources."""
    done = subprocess.run([str(step_program()), "--build"], capture_output=True, text=True, check=True)
    return f"{platform.machine()}, {done.stdout.strip()}"


def unable() -> str:
    """Why nothing can be counted here, or an empty string."""
    if step_program() is None:
        return "the C program is not built: make instructions builds it"
    return "" if shutil.which("valgrind") else "valgrind is missing"


def update(file: Path, recorded: dict[str, Counts], name: str, counts: Counts) -> None:
    """Write the section of this build anew; those of other builds stay."""
    sections = {**recorded, name: dict(sorted(counts.items()))}
    file.write_text(json.dumps(dict(sorted(sections.items())), indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when nothing has grown, 1 when something has, 2 for wrong usage."""
    p = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description="Counts instructions of a step.")
    p.add_argument("--update", action="store_true", help="write the counts of this build into the file")
    p.add_argument("--file", type=Path, default=FILE, help="instead of benchmarks/instructions.json")
    options = p.parse_args(arguments)
    if reason := unable():
        print(f"LEFT OUT: instruction counts: {reason}")
        return 0
    recorded = json.loads(options.file.read_text(encoding="utf-8")) if options.file.exists() else {}
    name = build()
    if name not in recorded and not options.update:
        known = "; ".join(recorded) or "no build"
        print(f"LEFT OUT: instruction counts: {options.file.name} has {known}; this is {name}")
        return 0
    counts, absent = count_all(WORKLOADS)
    for isa, reason in absent.items():
        print(f"LEFT OUT: instruction counts of {isa}: {reason}")
    if options.update:
        update(options.file, recorded, name, counts)
        print(f"written: {options.file}, {len(counts)} counts of {name}")
        return 0
    expected = {key: value for key, value in recorded[name].items() if key.split("/")[0] not in absent}
    verdict = compare(expected, counts)
    print("\n".join([*verdict.notes, f"{len(counts)} counts of {name}"]))
    for line in verdict.failures:
        print(line, file=sys.stderr)
    if verdict.failures:
        print("where that is right, a commit says why, with the file of: make instructions UPDATE=1", file=sys.stderr)
    return 1 if verdict.failures else 0


if __name__ == "__main__":
    sys.exit(main())
