# SPDX-License-Identifier: Apache-2.0
"""Estimates the cycles of Arm's kernels, and of whole models, by llvm-mca's models of processors. Nothing is measured.

    python -m benchmarks.cycles                       the inner loops
    python -m benchmarks.cycles A.trnn B.trnn ...     and a step of each of these models, and of all together

A kernel's inner loop is the innermost one that has most of its multiplications (else of its divisions, else of its
instructions), compiled as the library is. "least" is what the processor's units need for its instructions; "model"
is llvm-mca's simulation, from the nearest cache. For the in-order A53 that is probably too much: results are written in
the order of the program there, so that a load waits for a multiplication before it that it has nothing to do with.

A model's estimate is the sum over functions of the instructions that the emulator counts in a step, times the cycles
an instruction of the function's inner loop. Functions that are no kernels, or have no loop but those that call others,
take as many as the kernels on average, and one cycle at least.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.arm.targets import AARCH64, ROOT

from .counting import Emulated

TOOL = "llvm-mca-19"  # from 19 on it knows the Neoverse N1, the Cortex-A76's sibling
ITERATIONS = 200
LANES = {"fmla": 4, "sdot": 16}  # products an instruction
LONG = {"8h": 8, "4s": 4}  # likewise of those that double the width, by what they make
DIVISION = "fdiv"
CALLS = {"bl", "blr"}  # of which llvm-mca knows nothing: it counts 100 cycles for one

PRODUCTS = ("steps_8", "steps_6", "gemm_6x2", "i8_step_4", "i8_step_3", "i16_step_4")
CELLS = ("cell_f32_lstm", "cell_f32_gru", "cell_i8_lstm")
SHOWN = {"neon": PRODUCTS + CELLS, "dotprod": ("i8_step_4", "i8_step_gru", "i16_step_4", "cell_i8_lstm")}


class Board(NamedTuple):
    """A processor's model, and what is asked of a whole model on a board."""

    model: str  # llvm-mca's
    isa: str
    name: str
    gigahertz: float


BOARDS = (
    Board("cortex-a53", "neon", "Pi Zero 2 W", 1.0),
    Board("cortex-a72", "neon", "Pi 4", 1.8),
    Board("neoverse-n1", "dotprod", "Pi 5", 2.4),
)


class Loop(NamedTuple):
    """The inner loop of a function, a line an instruction."""

    lines: list[str]

    @property
    def counts(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self.lines)

    @property
    def products(self) -> int:
        long = (re.match(r"\ts(?:mull|mlal)2?\tv\d+\.(8h|4s),", line) for line in self.lines)
        made = Counter(match[1] for match in long if match)
        known = sum(lanes * self.counts[name] for name, lanes in LANES.items())
        return known + sum(lanes * made[shape] for shape, lanes in LONG.items())

    @property
    def rank(self) -> tuple[int, int, int]:
        return self.products, self.counts[DIVISION], len(self.lines)


class Estimate(NamedTuple):
    """Cycles of one iteration."""

    least: float
    model: float


def assembly(isa: str) -> str:
    """Compile one instruction set's kernels with the library's flags."""
    command = [AARCH64.compiler, "-std=c11", "-O3", "-ffp-contract=off", "-Ikernels/include", "-Ikernels/src"]
    command += ["-S", "-o", "-", f"kernels/src/arch/{isa}.c"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def functions(text: str) -> dict[str, list[str]]:
    """Return the lines of each function of a compiler's output."""
    found = re.finditer(r"^(\w+):\n(.*?)^\t\.size\t\1,", text, re.M | re.S)
    return {match[1]: match[2].splitlines() for match in found if ".cfi_startproc" in match[2]}


def inner_loop(lines: Sequence[str]) -> Loop | None:
    """Return the loop that a function spends its time in, or None where it has no loop."""
    labels = {line[: line.index(":")]: at for at, line in enumerate(lines) if re.match(r"\.L\w+:", line)}
    spans = []
    for at, line in enumerate(lines):
        target = re.match(r"\t(?:b|b\.?[a-z]{2}|cbn?z|tbn?z)\t.*?(\.L\w+)$", line)
        if target and labels.get(target[1], at) < at:
            spans.append((labels[target[1]], at))
    innermost = [
        (first, last)
        for first, last in spans
        if not any((a, b) != (first, last) and first <= a and b <= last for a, b in spans)
    ]
    loops = [Loop([line for line in lines[a : b + 1] if re.match(r"\t[a-z]", line)]) for a, b in innermost]
    whole = [loop for loop in loops if not loop.counts.keys() & CALLS]
    return max(whole, key=lambda loop: loop.rank, default=None)


def estimate(loop: Loop, processor: str) -> Estimate:
    """Ask llvm-mca for the cycles of an iteration."""
    command = [TOOL, "-mtriple=aarch64", f"-mcpu={processor}", f"-iterations={ITERATIONS}"]
    # GNU's assembler chooses the form with an offset of any sign itself.
    text = re.sub(r"prfm(\t.*, -)", r"prfum\1", "\n".join([*loop.lines, ""]))
    said = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    total, least = re.search(r"Total Cycles: +(\d+)", said), re.search(r"Block RThroughput: +([\d.]+)", said)
    if not total or not least:
        raise RuntimeError(f"{TOOL} says neither total cycles nor throughput: {said[:300]}")
    return Estimate(float(least[1]), int(total[1]) / ITERATIONS)


def loops_of(isa: str) -> dict[str, Loop]:
    """Return the inner loops of all functions that have one."""
    found = {name: inner_loop(lines) for name, lines in functions(assembly(isa)).items()}
    return {name: loop for name, loop in found.items() if loop}


def loop_table(loops: dict[str, dict[str, Loop]]) -> list[str]:
    """Return a Markdown table of the estimates of the loops that are shown."""
    rows = [
        "| kernels | function | processor | instructions | products | divisions | least | model | cycles a product |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for board in BOARDS:
        for isa in ("neon", "dotprod") if board.isa == "dotprod" else (board.isa,):
            for name in SHOWN[isa]:
                loop = loops[isa][name]
                cycles, divisions = estimate(loop, board.model), loop.counts[DIVISION]
                each = "" if divisions else " to ".join(f"{total / loop.products:.3f}" for total in cycles)
                cells = [isa, f"`{name}`", board.model, len(loop.lines), "" if divisions else loop.products]
                cells += [divisions or "", f"{cycles.least:.1f}", f"{cycles.model:.1f}", each]
                rows.append(f"| {' | '.join(map(str, cells))} |")
    return rows


def step_estimate(counts: dict[str, float], loops: dict[str, Loop], processor: str) -> Estimate:
    """Estimate the cycles of a step from the instructions in each function."""
    kernels = {name: count for name, count in counts.items() if name in loops}
    if not kernels:
        raise RuntimeError("none of the functions that ran is a kernel's")
    cycles = Estimate(0, 0)
    for name, count in kernels.items():
        one, size = estimate(loops[name], processor), len(loops[name].lines)
        cycles = Estimate(cycles.least + count * one.least / size, cycles.model + count * one.model / size)
    counted = sum(kernels.values())
    others = sum(counts.values()) - counted
    return Estimate(*(of_kernels + others * max(1, of_kernels / counted) for of_kernels in cycles))


def model_table(models: Sequence[Path], loops: dict[str, dict[str, Loop]], milliseconds: float) -> list[str]:
    """Return a Markdown table of a step of each model, and of one of each."""
    machine = Emulated(AARCH64)
    rows = [
        f"| board | file | instructions | least | model | share of a core, a step each {milliseconds:g} ms |",
        "|---|---|---|---|---|---|",
    ]
    for board in BOARDS:
        # What dotprod does not do itself, it shares with neon.
        known = loops["neon"] | loops[board.isa]
        total = [0.0, 0.0, 0.0]
        for model in models:
            counts = machine.count_functions(model, board.isa)
            given = [sum(counts.values()), *step_estimate(counts, known, board.model)]
            total = [a + b for a, b in zip(total, given)]
            rows.append(model_row(board, model.stem, given, milliseconds))
        if len(models) > 1:
            rows.append(model_row(board, "all", total, milliseconds))
    return rows


def model_row(board: Board, name: str, given: Sequence[float], milliseconds: float) -> str:
    """Return a line of the table: given are instructions and cycles, by the least and by the model."""
    instructions, least, most = given
    shares = [100 * cycles / (board.gigahertz * 1e6 * milliseconds) for cycles in (least, most)]
    where = f"{board.name}, {board.model}, {board.gigahertz} GHz"
    cycles = f"{least:.0f} | {most:.0f}"
    return f"| {where} | {name} | {instructions:.0f} | {cycles} | {shares[0]:.2f} to {shares[1]:.2f} % |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; return 0."""
    p = argparse.ArgumentParser(prog="python -m benchmarks.cycles", description=__doc__.splitlines()[0])
    p.add_argument("models", nargs="*", type=Path, help=".trnn files with one float32 input and output beside states")
    p.add_argument("--milliseconds", type=float, default=8, help="how often a step is due")
    options = p.parse_args(arguments)
    reason = f"{TOOL} missing (Debian: apt install llvm-19)" if not shutil.which(TOOL) else ""
    reason = reason or (Emulated(AARCH64).unable() if options.models else "")
    if reason:
        print(f"LEFT OUT: estimates of cycles: {reason}")
        return 0
    loops = {isa: loops_of(isa) for isa in SHOWN}
    print("\n".join(["Estimates, not measurements:", "", *loop_table(loops)]))
    if options.models:
        print("\n".join(["", *model_table(options.models, loops, options.milliseconds)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
