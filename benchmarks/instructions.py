# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions of one step and compares them with benchmarks/instructions.json.

    make instructions            fails when a count has grown by more than 2 %
    make instructions UPDATE=1   writes the sections anew, for a commit that says why

Counts do not depend on what else the machine does, but on the compiler and the C library: the file has a section for
each build, and only those of builds that are here are compared. How they are counted, counting.py says.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .counting import MACHINES, Machine
from .engines import ROOT
from .engines.tinyrnn_python import converted
from .workloads import GATES, Workload

FILE = ROOT / "benchmarks" / "instructions.json"
GROWTH = 0.02
SIZES = (16, 64, 128)
WORKLOADS = [Workload("step", "lstm", n, n) for n in SIZES]
WORKLOADS += [Workload("step", "gru", n, n, reset_after=after) for after in (True, False) for n in SIZES]
WORKLOADS += [Workload("step", "rnn", n, n) for n in SIZES]
QUANTIZED = {"lstm": ("int8", "int16"), "gru": ("int8", "int16")}  # precisions in which cells are counted too

# The least instructions for 16 weights: in float32 four loads and four multiply-adds; in int8 a load and a dot product,
# or, without those, a load, two multiplications to 16 bits and an addition of pairs to 32; in int16 two loads and four
# multiply-adds to 32 bits.
FLOOR = {
    "neon": {"float32": 8, "int8": 4, "int16": 6},
    "dotprod": {"float32": 8, "int8": 2, "int16": 6},
}

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


def networks(workloads: Sequence[Workload], folder: Path) -> dict[str, Path]:
    """Convert the networks; return the files by "network" and "network_int8", "network_int16"."""
    models = {workload.network: converted(workload, folder) for workload in workloads}
    for workload in workloads:
        for precision in QUANTIZED.get(workload.cell, ()):
            models[f"{workload.network}_{precision}"] = converted(workload, folder, precision)
    return models


def count_all(machine: Machine, models: dict[str, Path]) -> tuple[Counts, dict[str, str]]:
    """Return the counts by "isa/network" or "isa/network_int8" and so on, and why an instruction set has none."""
    isas, absent = machine.instruction_sets(next(iter(models.values())))
    pairs = [(isa, name) for isa in isas for name in models]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = list(pool.map(lambda pair: machine.count(models[pair[1]], pair[0]), pairs))
    return {f"{isa}/{name}": count for (isa, name), count in zip(pairs, counts)}, absent


def floors(workloads: Sequence[Workload]) -> Counts:
    """Return the least that the products of a step can take, by the names of the counts."""
    found = {}
    for workload in workloads:
        weights = GATES[workload.cell] * workload.hidden * (workload.input + workload.hidden)
        for isa, instructions in FLOOR.items():
            found[f"{isa}/{workload.network}"] = weights * instructions["float32"] // 16
            for precision in QUANTIZED.get(workload.cell, ()):
                found[f"{isa}/{workload.network}_{precision}"] = weights * instructions[precision] // 16
    return found


def beside_floors(counts: Counts, least: Counts) -> list[str]:
    """Return a line for each count that has a floor."""
    return [
        f"{name}: {count} instructions, {count / least[name]:.2f} times the floor of {least[name]}"
        for name, count in counts.items()
        if name in least
    ]


def load(file: Path) -> dict[str, Counts]:
    """Return the counts that are recorded, by section."""
    recorded: dict[str, Counts] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return recorded


def update(file: Path, name: str, counts: Counts) -> None:
    """Write one section anew; the others stay."""
    sections = {**load(file), name: dict(sorted(counts.items()))}
    file.write_text(json.dumps(dict(sorted(sections.items())), indent=1) + "\n", encoding="utf-8")


def reason_to_leave_out(machine: Machine, file: Path, updating: bool) -> str:
    """Say why a machine is not counted, or return an empty string."""
    if reason := machine.unable():
        return reason
    recorded, name = load(file), machine.section()
    if name in recorded or updating:
        return ""
    return f"{file.name} has {'; '.join(recorded) or 'no build'}; this is {name}"


def check(machine: Machine, models: dict[str, Path], file: Path, updating: bool) -> bool:
    """Count on one machine and compare or record; say what was found and whether it is as it has to be."""
    name = machine.section()
    counts, absent = count_all(machine, models)
    for isa, reason in absent.items():
        print(f"LEFT OUT: instruction counts of {isa}: {reason}")
    print("\n".join([*beside_floors(counts, floors(WORKLOADS)), f"{len(counts)} counts of {name}"]), flush=True)
    if updating:
        update(file, name, counts)
        print(f"written: {file}")
        return True
    recorded = {key: value for key, value in load(file)[name].items() if key.split("/")[0] not in absent}
    verdict = compare(recorded, counts)
    for line in verdict.notes:
        print(line)
    for line in verdict.failures:
        print(line, file=sys.stderr)
    return not verdict.failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when nothing has grown, 1 when something has, 2 for wrong usage."""
    p = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description="Counts instructions of a step.")
    p.add_argument("--update", action="store_true", help="write the counts of the builds that are here into the file")
    p.add_argument("--file", type=Path, default=FILE, help="instead of benchmarks/instructions.json")
    options = p.parse_args(arguments)
    ready = []
    for machine in MACHINES:
        if reason := reason_to_leave_out(machine, options.file, options.update):
            print(f"LEFT OUT: instruction counts on {machine.name}: {reason}")
        else:
            ready.append(machine)
    with tempfile.TemporaryDirectory() as folder:
        models = networks(WORKLOADS, Path(folder)) if ready else {}
        passed = [check(machine, models, options.file, options.update) for machine in ready]
    if not all(passed):
        print("where that is right, a commit says why, with the file of: make instructions UPDATE=1", file=sys.stderr)
    return int(not all(passed))


if __name__ == "__main__":
    sys.exit(main())
