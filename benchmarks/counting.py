# SPDX-License-Identifier: Apache-2.0
"""Two ways to count the instructions of a step: callgrind for this machine, an emulator's plugin for Arm."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.arm.targets import QUICK, ROOT, TARGETS, Processor, Target, missing

from .engines.base import step_program

STEPS = 16  # counted together: what the first does more than the others shows little
CALLGRIND = ("valgrind", "--tool=callgrind", "--toggle-collect=trn_stream_step", "--callgrind-out-file=/dev/null")
TOTAL = r"instructions: (\d+)"  # count_plugin.c
NOT_BUILT = "the C program is not built: make instructions builds it"


class Machine:
    """Where steps run and what counts their instructions.

    Attributes
    ----------
    name : str
        Of the processor, as `platform.machine` and wheels have it.
    """

    name: str

    def unable(self) -> str:
        """Return why nothing can be counted here, or an empty string."""
        raise NotImplementedError

    def program(self) -> list[str]:
        """Return the command that runs benchmarks/step.c."""
        raise NotImplementedError

    def section(self) -> str:
        """Return what the counts depend on beside the sources: the name of their section in the file."""
        done = subprocess.run([*self.program(), "--build"], capture_output=True, text=True, check=True)
        return f"{self.name}, {done.stdout.strip()}"

    def instruction_sets(self, model: Path) -> tuple[list[str], dict[str, str]]:
        """Return the rows of isa.def that can be counted, tried with a model, and why others cannot."""
        raise NotImplementedError

    def count(self, model: Path, isa: str) -> int:
        """Return the instructions of a step, on average; RuntimeError where the program fails."""
        raise NotImplementedError


def steps(command: Sequence[str], model: Path, isa: str, count: int = STEPS) -> subprocess.CompletedProcess[str]:
    """Run steps of a model on one instruction set."""
    return subprocess.run(
        [*command, str(model), "--count", str(count)],
        env={**os.environ, "TINYRNN_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def read_count(done: subprocess.CompletedProcess[str], pattern: str, what: str) -> int:
    """Return the number that a tool wrote to standard error."""
    found = re.search(pattern, done.stderr)
    if done.returncode or not found or found[1] == "0":
        said = re.sub(r"^function .*\n", "", done.stderr, flags=re.M)  # of the emulator's plugin
        raise RuntimeError(f"{what}: {said.strip()[-300:]}")
    return int(found[1])


class Callgrind(Machine):
    """This machine: what the caller of a step executes is left out."""

    name = platform.machine()

    def unable(self) -> str:
        if step_program() is None:
            return NOT_BUILT
        return "" if shutil.which("valgrind") else "valgrind is missing"

    def program(self) -> list[str]:
        return [str(step_program())]

    def instruction_sets(self, model: Path) -> tuple[list[str], dict[str, str]]:
        text = (ROOT / "kernels" / "src" / "isa.def").read_text(encoding="utf-8")
        counted, absent = [], {}
        for isa in dict.fromkeys(re.findall(r"^TRN_ISA\((\w+)", text, re.M)):
            # Under the tool too, which knows fewer instruction sets than processors do.
            for prefix in ((), CALLGRIND):
                tried = steps([*prefix, *self.program()], model, isa)
                if tried.returncode:
                    said = tried.stderr.strip().splitlines()
                    own = next((line for line in said if line.startswith("step:")), said[-1])  # not the tool's
                    absent[isa] = f"{' '.join(prefix[:1])} {own}".strip()
                    break
            else:
                counted.append(isa)
        return counted, absent

    def count(self, model: Path, isa: str) -> int:
        done = steps([*CALLGRIND, *self.program()], model, isa)
        return round(read_count(done, r"Collected : (\d+)", f"callgrind on {model.name}, {isa}") / STEPS)


class Emulated(Machine):
    """A system's emulated processors, each for the instruction set that it chooses.

    The whole program is counted, with few steps and with more, so that what is done once cancels out; the few
    instructions of the caller's loop stay in.

    Parameters
    ----------
    target : Target
        The system.
    folder : Path
        Where the plugin is and, in a folder of the system's triplet, the program.
    """

    def __init__(self, target: Target, folder: Path = ROOT / "build" / "bench") -> None:
        self.name = target.name
        self.binary, self.plugin = folder / target.triplet / "step", folder / "count_plugin.so"
        processors = [processor for processor in QUICK if processor.target == target]
        self.processors = {processor.isa: processor for processor in processors}

    def unable(self) -> str:
        if reason := missing():
            return reason
        return "" if self.binary.is_file() and self.plugin.is_file() else NOT_BUILT

    def program(self) -> list[str]:
        return self.on(next(iter(self.processors.values())))

    def on(self, processor: Processor, *options: str) -> list[str]:
        """Return the command that runs the program on a processor, with options of the emulator."""
        emulator, *rest = processor.command(self.binary)
        return [emulator, *options, *rest]

    def section(self) -> str:
        return f"{super().section()}, emulated"  # not to be mixed with what callgrind counts on such a machine

    def instruction_sets(self, model: Path) -> tuple[list[str], dict[str, str]]:
        return list(self.processors), {}

    def run(self, model: Path, isa: str, count: int) -> subprocess.CompletedProcess[str]:
        """Run the program; what the plugin counted is on standard error."""
        command = self.on(self.processors[isa], "-d", "plugin", "-plugin", str(self.plugin))
        return steps(command, model, isa, count)

    def count(self, model: Path, isa: str) -> int:
        few, more = (
            read_count(self.run(model, isa, count), TOTAL, f"{model.name}, {isa}") for count in (STEPS, 3 * STEPS)
        )
        return round((more - few) / (2 * STEPS))

    def count_functions(self, model: Path, isa: str) -> dict[str, float]:
        """Return the instructions of a step by function; what has no name, of the C library, is called "?"."""
        found = []
        for count in (STEPS, 3 * STEPS):
            done = self.run(model, isa, count)
            read_count(done, TOTAL, f"{model.name}, {isa}")
            found.append({name: int(n) for name, n in re.findall(r"^function (\S+): (\d+)$", done.stderr, re.M)})
        few, more = found
        return {name: (n - few.get(name, 0)) / (2 * STEPS) for name, n in more.items() if n != few.get(name)}


MACHINES: list[Machine] = [Callgrind(), *(Emulated(target) for target in TARGETS)]
