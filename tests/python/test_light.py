# SPDX-License-Identifier: Apache-2.0
"""What using tinyrnn costs: modules imported, time and memory to the first output, allocations of a step."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys

import pytest

import handmade

HEAVY = {
    "numpy",
    "onnx",
    "tinyrnn.converters",
    "tinyrnn.format",
    "typing",
    "dataclasses",
    "inspect",
    "pathlib",
    "json",
    "re",
    "collections",
    "functools",
    "argparse",
    "threading",
    "ctypes",
    "logging",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("light") / "lstm128.trnn"
    path.write_bytes(handmade.lstm(128, 128)[0])
    return str(path)


def fresh(code, *arguments, **variables):
    """Run code in a new, isolated interpreter; return what it printed."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **variables}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_heavy_is_imported(model):
    code = """
import sys
before = set(sys.modules)
import tinyrnn
m = tinyrnn.load(sys.argv[1])
s = m.stream()
x, y = memoryview(bytearray(512)).cast("f"), memoryview(bytearray(512)).cast("f")
assert s.step(x, out=y) is y
assert any(y)
x2, y2 = (memoryview(bytearray(1024)).cast("f", (2, 1, 128)) for _ in range(2))
s.run(x2, out=y2)
s.reset(); s.restore(s.save()); s.clone()
print("\\n".join(set(sys.modules) - before))
"""
    imported = set(fresh(code, model).split())
    assert not imported & HEAVY
    assert all(name.startswith(("tinyrnn", "_cython", "cython_runtime", "__future__")) for name in imported)


def test_any_float32_buffer_works_before_numpy(model):
    code = """
import sys, array, ctypes
import tinyrnn
s = tinyrnn.load(sys.argv[1]).stream()
x, y = array.array("f", [0.5]) * 128, array.array("f", [0.0]) * 128
s.step(x, out=y)
c = (ctypes.c_float * 128)()
s.reset()
s.step((ctypes.c_float * 128)(*x), out=c)
assert bytes(c) == y.tobytes()
s.reset()
z = memoryview(bytearray(512)).cast("f", (1, 128))
s.step(memoryview(x.tobytes()).cast("f", (1, 1, 128)), out=z)
assert z.tobytes() == y.tobytes()
try:
    s.step(array.array("d", x), out=y)
except tinyrnn.ArgumentError as error:
    assert "found float64" in str(error), error
else:
    raise AssertionError
assert "numpy" not in sys.modules
s.step(x)
assert "numpy" in sys.modules
"""
    fresh(code, model)


COLD = """
import sys, time
if sys.argv[2] == "numpy":
    import numpy
def resident():
    with open("/proc/self/smaps_rollup") as file:
        rows = dict(line.split(":") for line in file.read().splitlines()[1:])
    return int(rows["Rss"].split()[0])
x, y = memoryview(bytearray(512)).cast("f"), memoryview(bytearray(512)).cast("f")
before, start = resident(), time.perf_counter()
import tinyrnn
stream = tinyrnn.load(sys.argv[1]).stream()
stream.step(x, out=y)
took = time.perf_counter() - start
print(took * 1e3, resident() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="reads Linux's /proc")
def test_memory_of_a_cold_start(model):
    """The time is printed (pytest -s), not asserted: it is the machine's as much as ours."""
    rows = [tuple(map(float, fresh(COLD, model, "numpy").split())) for _ in range(6)][1:]
    milliseconds, kilobytes = (statistics.median(column) for column in zip(*rows, strict=True))
    weights = os.path.getsize(model) / 1024
    print(f"import, load and first step: {milliseconds:.2f} ms, {kilobytes - weights:.0f} kB beyond the weights")
    assert kilobytes - weights < 2048


COUNTER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
static unsigned long count;
static void *(*real_malloc)(size_t), *(*real_realloc)(void *, size_t), *(*real_calloc)(size_t, size_t);
static char early[65536];
static size_t early_used;
unsigned long trn_test_malloc_count(void) { return count; }
void *malloc(size_t n) {
    if (!real_malloc) real_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
    count++;
    return real_malloc(n);
}
void *realloc(void *p, size_t n) {
    if (!real_realloc) real_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
    count++;
    return real_realloc(p, n);
}
void *calloc(size_t n, size_t m) {
    if (!real_calloc) {  /* dlsym itself may call calloc */
        static int asking;
        if (asking) { void *p = early + early_used; early_used += (n * m + 15) / 16 * 16; return p; }
        asking = 1;
        real_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
    }
    count++;
    return real_calloc(n, m);
}
void free(void *p) {
    static void (*real_free)(void *);
    if ((char *)p >= early && (char *)p < early + sizeof early) return;
    if (!real_free) real_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    real_free(p);
}
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="counts by LD_PRELOAD, built with cc")
@pytest.mark.parametrize("buffers", ["numpy", "memoryview"])
def test_a_step_allocates_nothing(model, tmp_path, buffers):
    source, library = tmp_path / "count.c", tmp_path / "count.so"
    source.write_text(COUNTER)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    code = """
import ctypes, gc, sys
if sys.argv[2] == "numpy":
    import numpy
    x, y = numpy.ones(128, "f"), numpy.empty(128, "f")
else:
    x, y = memoryview(bytearray(512)).cast("f"), memoryview(bytearray(512)).cast("f")
import tinyrnn
count = ctypes.CDLL(None).trn_test_malloc_count
count.restype = ctypes.c_ulong
stream = tinyrnn.load(sys.argv[1]).stream()
def steps(n):
    for _ in range(n):
        stream.step(x, out=y)
steps(100)
gc.disable()
before = count(); steps(10); few = count() - before
before = count(); steps(10010); many = count() - before
assert count() > 1000, "the counter does not count"
print(many - few)
"""
    assert int(fresh(code, model, buffers, LD_PRELOAD=str(library))) == 0
