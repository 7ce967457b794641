# SPDX-License-Identifier: Apache-2.0
"""Wheels of other systems, installed there by pip: the Python tests, and models of this machine, byte for byte."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tinyrnn.converters import convert

from . import pythons, wheels
from .pythons import Python, quietly
from .targets import ROOT, TARGETS, Processor

# On one processor of each system. test_processors and test_c_example are about programs of this machine; a quick run
# does without what starts many processes or takes long steps.
QUICK_TESTS = ("test_arguments.py", "test_shapes.py", "test_streams.py")
TESTS = (*QUICK_TESTS, "test_light.py", "test_threads.py")
# What converts: a system without onnx has models that were converted here, and these left out.
CONVERTING_TESTS = ("test_cli.py",)
CONVERTING = (
    "test_shapes.py::test_against_onnx_reference",
    "test_streams.py::test_an_open_dimension_is_read_off_the_first_frame",
    "test_streams.py::test_an_output_that_shows_a_state_is_its_value_after_the_last_frame",
)
WITH_ONNXRUNTIME = ("test_cli.py::test_verify_names_the_first_node_that_departs[onnxruntime]",)  # not installed there
# Processors of AArch64 all fuse multiply-adds: builds for them have no kernels that do not.
SEPARATE = ("test_cli.py::test_inspect_says_how_a_multiply_add_rounds[portable-the product and the sum]",)
# These measure memory and time, which are the emulator's.
MEASURING = (
    "test_light.py::test_memory_of_a_cold_start",
    "test_threads.py::test_a_run_lets_other_threads_go_on",
    "test_threads.py::test_a_large_step_lets_other_threads_go_on",
)
COUNT = re.compile(r"^(\d+) passed(?:, \d+ deselected)?(?:, \d+ warnings?)? in ", re.M)
FRAMES = 40


def tests_of(python: Python, quick: bool) -> list[str]:
    """Return pytest's arguments for the tests that run on a system."""
    converts = "onnx" in pythons.WHEELS[python.target.name]
    names = QUICK_TESTS if quick else (*TESTS, *CONVERTING_TESTS) if converts else TESTS
    without = (*MEASURING, *WITH_ONNXRUNTIME, *SEPARATE, *(() if converts else CONVERTING))
    left_out = [f"--deselect=tests/python/{name}" for name in without if name.partition("::")[0] in names]
    return [*(str(ROOT / "tests" / "python" / name) for name in names), *left_out]


def pytest(python: str | Path, models: Path, names: Sequence[str], work: Path, **env: str) -> tuple[int, str]:
    """Run tests of what is installed; return how many passed, 0 when one failed or was skipped, and the output."""
    options = ["-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "--models", models, "-rs"]
    command = list(map(str, [python, "-m", "pytest", *options, *names]))
    # Away from the sources, so that what is tested is what was installed.
    done = subprocess.run(command, cwd=work, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = COUNT.search(done.stdout) if done.returncode == 0 else None
    return int(found[1]) if found else 0, done.stdout


def install(python: Python, processor: Processor, folder: Path, site: Path) -> None:
    """Install the wheel that the emulated pip finds fit for its system."""
    command = [
        str(python.launcher),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
    ]
    command += ["--root-user-action=ignore", "--no-compile", "--find-links", str(folder), "--target", str(site)]
    quietly([*command, "tinyrnn"], env=python.environment(processor))


def make_models(folder: Path) -> None:
    """Convert the examples, in float32 and int8, with frames beside each."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    for source in sorted((ROOT / "examples").glob("*/*.onnx")):
        floats = random.standard_normal((FRAMES, 1, 1)).astype(np.float32)
        for precision in ({}, {"quantize": "int8"}):
            target = folder / f"{source.stem}-{precision.get('quantize', 'float32')}.trnn"
            convert(source, target, **precision)
            np.save(
                target.with_suffix(".npy"), np.arange(FRAMES).reshape(FRAMES, 1) if source.stem == "charlm" else floats
            )


def steps(python: str | Path, folder: Path, **env: str) -> dict[str, dict[str, str]]:
    """Step through the models of a folder; what each gave, by its name."""
    program = ROOT / "tools" / "arm" / "steps.py"
    done = subprocess.run([str(python), str(program), str(folder)], env=env, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise RuntimeError(f"{program.name} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout))


def compare(processor: Processor, expected: dict[str, dict[str, str]], found: dict[str, dict[str, str]]) -> int:
    """Print how many models gave the bytes of this machine; return how many did not that had to, or ran otherwise."""
    wrong = same = 0
    for model, row in expected.items():
        isa, equal = found[model]["isa"], row["digest"] == found[model]["digest"]
        promised = not row["promise"].startswith("fp32") or row["multiply_add"] == found[model]["multiply_add"]
        same += equal
        wrong += isa != processor.isa or (promised and not equal)
        if isa != processor.isa:
            print(f"FAILED {processor.name}: {model} runs by {isa}, expected {processor.isa}")
        if promised and not equal:
            print(f"FAILED {processor.name}: {model} gives other bytes than here")
    print(
        f"{processor.name}, from Python: {same} of {len(expected)} models gave the bytes of this machine, "
        f"by {processor.isa}",
        flush=True,
    )
    return wrong


def test(processors: Sequence[Processor], folder: Path, out: Path, quick: bool) -> int:
    """Build the wheels, install and test those of other systems; return how many failures there were.

    Parameters
    ----------
    processors : the Python tests run on the last one of each system, models on all of them
    folder : where to work, and where the Pythons are kept
    out : where the sdist and the wheels go
    """
    systems = [target for target in TARGETS if any(processor.target is target for processor in processors)]
    started = time.monotonic()
    found = [pythons.unpacked(target, folder) for target in systems]
    print(f"Pythons of other systems: {time.monotonic() - started:.0f} s", flush=True)
    wheels.build(found, folder, out)
    work = folder / "packages"
    shutil.rmtree(work, ignore_errors=True)
    make_models(work / "steps")
    expected = steps(sys.executable, work / "steps", **os.environ)
    failures = 0
    for python in found:
        here = [processor for processor in processors if processor.target is python.target]
        failures += test_one(python, here, work, out, expected, quick)
    return failures


def test_one(
    python: Python,
    processors: Sequence[Processor],
    work: Path,
    out: Path,
    expected: dict[str, dict[str, str]],
    quick: bool,
) -> int:
    """Install and test the wheel of one system; return how many failures there were."""
    started, target, last = time.monotonic(), python.target, processors[-1]
    site, models, names = work / target.name, work / f"models-{target.name}", tests_of(python, quick)
    models.mkdir()
    install(python, last, out, site)
    failures = 0
    for processor in processors:
        env = {**python.environment(processor, site), "LAUNCHER": str(python.launcher)}
        failures += compare(processor, expected, steps(python.launcher, work / "steps", **env))
    wanted, output = pytest(sys.executable, models, names, work, **os.environ)
    if not wanted:
        raise RuntimeError(f"the Python tests fail on this machine:\n{output[-4000:]}")
    env = {**python.environment(last, site), "LAUNCHER": str(python.launcher)}
    count, output = pytest(python.launcher, models, names, work, **env)
    if count != wanted:
        print(f"FAILED: Python tests on {last.name}:\n{output[-8000:]}")
    print(
        f"{target.name}, as {last.name}: {count} of {wanted} Python tests passed, {time.monotonic() - started:.0f} s",
        flush=True,
    )
    return failures + (count != wanted)
