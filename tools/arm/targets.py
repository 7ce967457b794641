# SPDX-License-Identifier: Apache-2.0
"""What is built for and what stands in for the hardware: two systems, four processors, and the tools that both need."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
JOBS = os.cpu_count() or 2


class Target(NamedTuple):
    """A system to build for, in the words of each tool."""

    name: str  # of wheels' platforms
    triplet: str  # Debian's, which names compilers and folders
    debian: str  # the architecture of Debian's packages
    emulator: str

    @property
    def compiler(self) -> str:
        """Return the cross compiler, at the flags of the system's baseline."""
        return f"{self.triplet}-gcc"

    @property
    def libraries(self) -> Path:
        """Return where the cross compiler's C library is, for programs that need nothing else."""
        return Path("/usr", self.triplet)


class Processor(NamedTuple):
    """A processor as the emulator names it."""

    name: str
    target: Target
    board: str
    isa: str  # the row of kernels/src/isa.def that must be chosen

    def command(self, *program: str | Path, libraries: Path | None = None) -> list[str]:
        """Return the command that runs a program on this processor, its libraries below the given folder."""
        return [
            self.target.emulator, "-cpu", self.name, "-L", str(libraries or self.target.libraries), *map(str, program)
        ]  # fmt: skip


AARCH64 = Target("aarch64", "aarch64-linux-gnu", "arm64", "qemu-aarch64")
ARMHF = Target("armv7l", "arm-linux-gnueabihf", "armhf", "qemu-arm")
TARGETS = (AARCH64, ARMHF)

PROCESSORS = (
    Processor("cortex-a53", AARCH64, "Pi 3, Zero 2 W", "neon"),
    Processor("cortex-a72", AARCH64, "Pi 4", "neon"),
    Processor("cortex-a76", AARCH64, "Pi 5", "dotprod"),
    Processor("cortex-a7", ARMHF, "32-bit systems", "neon"),
)

# To the emulator the A72 is the A53 by another name: a quick run can do without.
QUICK = tuple(processor for processor in PROCESSORS if processor.name != "cortex-a72")


def missing(*more: str) -> str:
    """Say which tools are not here and what brings them on Debian; an empty text when all are."""
    packages = {target.compiler: f"gcc-{target.triplet} libc6-dev-{target.debian}-cross" for target in TARGETS}
    packages |= {target.emulator: "qemu-user" for target in TARGETS} | {name: name for name in more}
    lacking = [name for name in packages if not shutil.which(name)]
    if not lacking:
        return ""
    wanted = " ".join(dict.fromkeys(packages[name] for name in lacking))
    return f"{', '.join(lacking)} missing (Debian: apt install {wanted})"
