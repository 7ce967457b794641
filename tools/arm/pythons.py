# SPDX-License-Identifier: Apache-2.0
"""Pythons of other systems: Debian's, unpacked and never installed, beside packages from PyPI; run by the emulator."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from .targets import Processor, Target

DEBIAN = "bookworm"
VERSION = (3, 11)  # of its Python
MIRROR = f"deb http://deb.debian.org/debian {DEBIAN} main\n"
# NumPy has wheels for aarch64 on PyPI (they need the C++ library); on 32 bits there is only Debian's.
PACKAGES = {"aarch64": ("libstdc++6",), "armv7l": ("python3-numpy",)}
WHEELS = {"aarch64": ("numpy", "onnx"), "armv7l": ()}
PLATFORMS = {
    "aarch64": ("manylinux2014_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64"),
    "armv7l": ("manylinux2014_armv7l",),
}

LAUNCHER = """\
#!/bin/sh
# What is preloaded is for the emulated program alone.
preload=$LD_PRELOAD
unset LD_PRELOAD
exec {emulator} -L {root} -E LD_LIBRARY_PATH={libraries}/blas:{libraries}/lapack -E LD_PRELOAD="$preload" {python} "$@"
"""

# A process that Python starts is the emulator's too. pip looks into the real program, so that it goes without.
CUSTOMIZE = """\
import os, sys

sys.executable = os.environ.get("LAUNCHER", sys.executable)
"""


class Python(NamedTuple):
    """A Python of another system, unpacked."""

    target: Target
    root: Path  # of Debian's files
    launcher: Path  # a program to call in Python's place
    site: Path  # where packages are installed

    @property
    def headers(self) -> str:
        """Return the compiler's options for Python.h; the C library's headers there come last."""
        include = self.root / "usr" / "include"
        return f"-I{include}/python{version()} -idirafter {include}"

    @property
    def configuration(self) -> Path:
        """Return the module in which this Python says how extensions for it are built."""
        return self.root / "usr" / "lib" / f"python{version()}" / f"_sysconfigdata__{self.target.triplet}.py"

    def environment(self, processor: Processor, *sites: Path) -> dict[str, str]:
        """Return the environment in which the launcher is this Python on a processor, and cc its compiler."""
        return {
            **os.environ,
            "PATH": f"{self.launcher.parent}:{os.environ['PATH']}",
            "PYTHONPATH": ":".join(map(str, (*sites, self.site))),
            "QEMU_CPU": processor.name,
            "OPENBLAS_NUM_THREADS": "1",
        }


def version() -> str:
    """Return the version as Python writes it in names of folders."""
    return ".".join(map(str, VERSION))


def lacking() -> str:
    """Say what keeps wheels for other systems from being built here; an empty text when nothing does."""
    if sys.version_info[:2] != VERSION:
        here = ".".join(map(str, sys.version_info[:2]))
        return f"they are built for the Python of Debian {DEBIAN}, {version()}, by the same version; this is {here}"
    return ""


def unpacked(target: Target, folder: Path) -> Python:
    """Unpack a Python and its packages below a folder, where that has not been done before."""
    place = folder / "pythons" / target.name
    wanted = [DEBIAN, version(), *PACKAGES[target.name], *WHEELS[target.name], *tools()]
    done = place / "done"
    found = Python(target, place / "root", place / "bin" / "python", place / "site")
    if done.exists() and done.read_text() == repr(wanted):
        return found
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    unpack_debian(target, found.root)
    install_wheels(target, found.site)
    found.launcher.parent.mkdir()
    found.launcher.write_text(
        LAUNCHER.format(
            emulator=target.emulator,
            root=found.root,
            libraries=found.root / "usr" / "lib" / target.triplet,
            python=found.root / "usr" / "bin" / f"python{version()}",
        )
    )
    found.launcher.chmod(0o755)
    (found.launcher.parent / "cc").symlink_to(str(shutil.which(target.compiler)))
    (found.site / "sitecustomize.py").write_text(CUSTOMIZE)
    done.write_text(repr(wanted))
    return found


def tools() -> tuple[str, ...]:
    """Return what the tests need, on any system."""
    return ("pip", "pytest", "hypothesis")


def unpack_debian(target: Target, root: Path) -> None:
    """Unpack Python, its headers and what of NumPy is Debian's; nothing of it is run."""
    sources = root.parent / "sources.list"
    sources.write_text(MIRROR)
    packages = ",".join(["python3", f"libpython{version()}-dev", *PACKAGES[target.name]])
    command = [
        "mmdebstrap",
        f"--arch={target.debian}",
        "--variant=extract",
        "--skip=check/qemu",
        f"--include={packages}",
    ]
    quietly([*command, DEBIAN, str(root), str(sources)])


def install_wheels(target: Target, site: Path) -> None:
    """Install wheels of another system from PyPI in a folder."""
    platforms = [f"--platform={name}" for name in PLATFORMS[target.name]]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-compile"]
    command += ["--target", str(site), *platforms, "--implementation=cp", "--python-version", version()]
    quietly([*command, "--only-binary=:all:", *WHEELS[target.name], *tools()])


def quietly(command: list[str], **options: object) -> None:
    """Run a command whose output matters only when it fails; RuntimeError then has the end of it."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command[:6]))} ... failed:\n{done.stdout[-4000:]}")
