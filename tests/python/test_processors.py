# SPDX-License-Identifier: Apache-2.0
"""Which kernels run on processors that are not here: whole runs of the installed package under emulated ones."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys

import pytest

import handmade

QEMU = shutil.which("qemu-x86_64")
pytestmark = [
    pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="Python is for another processor"),
    pytest.mark.skipif(QEMU is None, reason="qemu-x86_64 (Debian: qemu-user) is not installed"),
]

# The processor as qemu names it (and what is taken from it), and what must run there. Kernels with instructions that
# it lacks would end the process by SIGILL.
PROCESSORS = [
    ("core2duo", "sse2"),
    ("Nehalem", "sse2"),
    ("SandyBridge", "sse2"),  # AVX alone
    ("IvyBridge", "sse2"),
    ("Haswell", "avx2"),
    ("EPYC", "avx2"),
    ("Haswell,-fma", "sse2"),
    ("Haswell,-avx2", "sse2"),
    ("Haswell,-xsave", "sse2"),  # under a system that does not save the registers of AVX
]

STEPS = """
import array, sys
import tinyrnn
model = tinyrnn.load(sys.argv[1])
stream = model.stream()
y = array.array("f", [0.0]) * 48
for t in range(6):
    stream.step(array.array("f", [((t * 7 + i * 5) % 13 - 6) / 4 for i in range(20)]), out=y)
print(model.isa, y.tobytes().hex())
"""


def written(tmp_path_factory, **options):
    path = tmp_path_factory.mktemp("processors") / "lstm.trnn"
    path.write_bytes(handmade.lstm(20, 48, **options)[0])
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return written(tmp_path_factory)


@pytest.fixture(scope="module", params=[8, 16])
def whole_model(tmp_path_factory, request):
    return written(tmp_path_factory, bits=request.param)


def run(model, *emulator, isa=""):
    """Run STEPS; the finished process."""
    env = {**os.environ, "TINYRNN_ISA": isa, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*emulator, sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{STEPS}", model]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize(("processor", "isa"), PROCESSORS)
def test_the_kernels_that_run(model, processor, isa):
    emulated = run(model, QEMU, "-cpu", processor)
    assert emulated.returncode == 0, emulated.stderr
    name, output = emulated.stdout.split()
    assert name == isa
    # Any x86-64 processor has the portable kernels, which round as sse2's do, and the reference of avx2's class.
    here = run(model, isa={"sse2": "portable", "avx2": "scalar"}[isa])
    assert here.stdout.split()[1] == output


@pytest.mark.parametrize(("processor", "isa"), PROCESSORS)
def test_whole_numbers_are_the_same_everywhere(whole_model, processor, isa):
    emulated = run(whole_model, QEMU, "-cpu", processor)
    assert emulated.returncode == 0, emulated.stderr
    assert emulated.stdout.split() == [isa, run(whole_model, isa="scalar").stdout.split()[1]]


def test_what_a_processor_lacks_is_refused(model):
    refused = run(model, QEMU, "-cpu", "Nehalem", isa="avx2")
    assert refused.returncode == 1
    assert "UnsupportedError" in refused.stderr
    assert "avx2" in refused.stderr
