# SPDX-License-Identifier: Apache-2.0
"""What counts instructions and what estimates cycles: that they find what is there, and that growth fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from step_program import with_program

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # at the end: the package that is tested stays the one that is installed
pytest.importorskip("benchmarks", reason="the tests have been copied away from the repository")
pytest.importorskip("onnx", reason="onnx is not installed")

from tools.arm import targets  # noqa: E402

from benchmarks import counting, cycles, instructions  # noqa: E402
from benchmarks.workloads import Workload  # noqa: E402

TINY = Workload("step", "lstm", 8, 8)


# ---- Instruction counts


def test_growth_over_two_percent_fails():
    before = {"avx2/a": 10000, "avx2/b": 20000}
    assert instructions.compare(before, before) == ([], [])
    assert instructions.compare(before, {"avx2/a": 10190, "avx2/b": 20000}).failures == []
    grown = instructions.compare(before, {"avx2/a": 10300, "avx2/b": 20000})
    assert grown.failures == ["avx2/a: 10000 instructions before, 10300 now (+3.0%)"]
    less = instructions.compare(before, {"avx2/a": 9000, "avx2/b": 20000})
    assert not less.failures
    assert "record it" in less.notes[0]
    assert "not recorded yet" in instructions.compare(before, {**before, "neon/a": 1}).failures[0]
    assert "not counted any more" in instructions.compare(before, {"avx2/a": 10000}).failures[0]


class OneSet(counting.Callgrind):
    """Callgrind on the scalar kernels, which every machine has."""

    def instruction_sets(self, model):
        return ["scalar"], {}


@with_program
@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
def test_the_check_of_counts(program, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(instructions, "WORKLOADS", [TINY])
    monkeypatch.setattr(instructions, "MACHINES", [OneSet()])
    file = tmp_path / "instructions.json"
    check = ["--file", str(file)]
    assert instructions.main(check) == 0
    assert "LEFT OUT" in capsys.readouterr().out, "without counts of this build nothing is compared, and that is said"
    assert instructions.main([*check, "--update"]) == 0
    assert instructions.main(check) == 0
    sections = json.loads(file.read_text(encoding="utf-8"))
    ((build, counts),) = sections.items()
    assert set(counts) == {"scalar/lstm_8", "scalar/lstm_8_int8", "scalar/lstm_8_int16"}
    assert min(counts.values()) > 8 * 8 * 8
    less = {name: round(count / 1.03) for name, count in counts.items()}
    file.write_text(json.dumps({build: less, "other": {"a": 1}}), encoding="utf-8")
    capsys.readouterr()
    assert instructions.main(check) == 1
    said = capsys.readouterr().err
    assert "(+3.0%)" in said
    assert "make instructions UPDATE=1" in said
    assert instructions.main([*check, "--update"]) == 0
    assert json.loads(file.read_text(encoding="utf-8")) == {**sections, "other": {"a": 1}}


def test_nothing_to_count_with_is_said(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TINYRNN_BENCH_STEP", str(tmp_path / "nothing"))
    absent = counting.Emulated(targets.ARMHF, tmp_path)
    monkeypatch.setattr(instructions, "MACHINES", [counting.Callgrind(), absent])
    monkeypatch.setattr(counting, "missing", lambda: "")
    assert instructions.main([]) == 0
    said = "the C program is not built: make instructions builds it"
    host, arm = capsys.readouterr().out.splitlines()
    assert host == f"LEFT OUT: instruction counts on {counting.Callgrind.name}: {said}"
    assert arm == f"LEFT OUT: instruction counts on armv7l: {said}"
    monkeypatch.setattr(counting, "missing", lambda: "qemu-arm missing")
    assert absent.unable() == "qemu-arm missing"


# Instead of benchmarks/step.c, and quicker to build: `work` steps of which each takes four instructions, and a start.
COUNTED = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int argc, char **argv) {
    const char *isa = getenv("TINYRNN_ISA");
    if (argc < 4) return puts("gcc 1.2, 3 bits"), 0;
    if (strcmp(isa, argv[1])) return fprintf(stderr, "found %s\\n", isa), 1;
    for (long i = atol(argv[3]); i > 0; i--)
        for (long k = 0; k < 250; k++) __asm__ volatile("nop; nop; nop; nop");
}
"""


@pytest.fixture
def counted(tmp_path, request):
    """A machine whose program is COUNTED."""
    if reason := targets.missing("cc"):
        pytest.skip(reason)
    machine = counting.Emulated(request.param, tmp_path)
    machine.binary.parent.mkdir()
    plugin = [ROOT / "benchmarks" / "count_plugin.c", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["cc", "-std=c11", *plugin, "-o", machine.plugin], check=True)
    (tmp_path / "counted.c").write_text(COUNTED, encoding="utf-8")
    subprocess.run([request.param.compiler, "-O2", tmp_path / "counted.c", "-o", machine.binary], check=True)
    return machine


@pytest.mark.parametrize("counted", targets.TARGETS, ids=lambda target: target.name, indirect=True)
def test_counts_by_emulation(counted, tmp_path):
    """A thousand instructions, and a loop's two or three around each four; the start of the program is not counted."""
    assert counted.unable() == ""
    assert counted.section() == f"{counted.name}, gcc 1.2, 3 bits, emulated"
    isas, absent = counted.instruction_sets(tmp_path)
    assert not absent
    assert isas == (["neon", "dotprod"] if counted.name == "aarch64" else ["neon"])
    for isa in isas:
        count = counted.count(Path(isa), isa)
        assert 1500 <= count <= 1760
        assert round(counted.count_functions(Path(isa), isa)["main"]) == count
    with pytest.raises(RuntimeError, match="other, neon: found neon"):
        counted.count(Path("other"), "neon")


def test_floors():
    least = instructions.floors([Workload("step", "lstm", 128, 128), Workload("step", "gru", 16, 8)])
    weights = 4 * 128 * 256
    assert least["neon/lstm_128"] == least["dotprod/lstm_128"] == weights / 4 * 2
    assert least["neon/lstm_128_int8"] == weights / 16 * 4
    assert least["dotprod/lstm_128_int8"] == weights / 16 * 2
    assert least["neon/lstm_128_int16"] == least["dotprod/lstm_128_int16"] == weights / 16 * 6
    assert least["neon/gru_16_i8"] == 3 * 16 * 24 / 4 * 2
    (line,) = instructions.beside_floors({"avx2/lstm_128": 1, "dotprod/lstm_128_int8": 20480}, least)
    assert line == "dotprod/lstm_128_int8: 20480 instructions, 1.25 times the floor of 16384"


def test_every_emulated_processor_has_recorded_counts():
    recorded = instructions.load(instructions.FILE)
    for machine in instructions.MACHINES[1:]:
        (counts,) = [counts for name, counts in recorded.items() if name.startswith(f"{machine.name}, gcc")]
        names = set(instructions.floors(instructions.WORKLOADS))
        assert set(counts) == {name for name in names if name.split("/")[0] in machine.processors}


# ---- Estimates of cycles

TWO_LOOPS = """\
f:
\t.cfi_startproc
.L1:
\tfdiv\tv0.4s, v0.4s, v1.4s
\tcbnz\tx3, .L1
.L2:
\tmov\tx1, 0
.L3:
\tldr\tq0, [x0], 16
\tsdot\tv1.4s, v0.16b, v2.16b
\tb.eq\t.L4
\tcmp\tx0, x1
\tbne\t.L3
.L4:
\tsubs\tx2, x2, 1
\tb.ne\t.L2
\tret
\t.size\tf, .-f
"""


def test_the_inner_loop_is_the_one_that_multiplies():
    """Not the one that divides, nor the loop around, nor what a forward branch ends."""
    ((name, lines),) = cycles.functions(TWO_LOOPS).items()
    loop = cycles.inner_loop(lines)
    assert name == "f"
    assert [line.split()[0] for line in loop.lines] == ["ldr", "sdot", "b.eq", "cmp", "bne"]
    assert (loop.products, loop.counts["fdiv"]) == (16, 0)
    assert cycles.inner_loop(lines[:3]) is None
    calling = cycles.inner_loop([line.replace("\tcmp\tx0, x1", "\tblr\tx5") for line in lines])
    assert [line.split()[0] for line in calling.lines] == ["fdiv", "cbnz"]  # a call has no model


def test_cycles_of_a_step_by_its_functions(monkeypatch):
    """A kernel's instructions at its loop's rate; all others at the kernels' average, of one at least."""
    rates = {1: cycles.Estimate(0.5, 3), 2: cycles.Estimate(0.5, 1)}
    monkeypatch.setattr(cycles, "estimate", lambda loop, processor: rates[len(loop.lines)])
    loops = {"slow": cycles.Loop(["a"]), "quick": cycles.Loop(["a", "b"]), "idle": cycles.Loop([])}
    found = cycles.step_estimate({"slow": 100, "quick": 100, "run": 10, "?": 10}, loops, "any")
    assert found == (50 + 25 + 20 * 1, 300 + 50 + 20 * 1.75)
    with pytest.raises(RuntimeError, match="none of the functions"):
        cycles.step_estimate({"run": 1}, loops, "any")


@pytest.mark.skipif(shutil.which(cycles.TOOL) is None, reason=f"{cycles.TOOL} is not installed")
def test_the_estimate_of_a_loop():
    """Two dot products a cycle on the Neoverse N1, and two cycles for each of a chain."""
    free = cycles.Loop([f"\tsdot\tv{i}.4s, v30.16b, v31.16b" for i in range(16)])
    chain = cycles.Loop(["\tsdot\tv0.4s, v0.16b, v0.16b"])
    least, model = cycles.estimate(free, "neoverse-n1")
    assert least == 8
    assert 8 <= model < 8.5
    assert cycles.estimate(chain, "neoverse-n1") == (0.5, pytest.approx(2, abs=0.05))


@pytest.mark.skipif(bool(targets.missing(cycles.TOOL)), reason="the tools for Arm are not installed")
def test_every_loop_that_is_shown_multiplies_or_divides():
    for isa, names in cycles.SHOWN.items():
        loops = cycles.loops_of(isa)
        for name in names:
            loop = loops[name]
            assert loop.products or loop.counts["fdiv"], name
            assert bool(loop.counts["sdot"]) == (isa == "dotprod" and name.startswith("i8_step"))


def test_the_table_of_loops(monkeypatch):
    """A line for each function and processor; a product is a weight times an input."""
    monkeypatch.setattr(cycles, "SHOWN", {"neon": ("f",), "dotprod": ()})
    monkeypatch.setattr(cycles, "estimate", lambda loop, processor: cycles.Estimate(16, 32))
    loop = cycles.Loop(["\tfmla\tv0.4s, v1.4s, v2.4s"] * 8 + ["\tldr\tq1, [x0]"])
    rows = cycles.loop_table({"neon": {"f": loop}, "dotprod": {}})[2:]
    models = [board.model for board in cycles.BOARDS]
    assert rows == [f"| neon | `f` | {model} | 9 | 32 |  | 16.0 | 32.0 | 0.500 to 1.000 |" for model in models]


def test_a_model_as_a_share_of_a_core():
    board = cycles.Board("cortex-a53", "neon", "Pi", 2.0)
    row = cycles.model_row(board, "m", (1000, 160000, 320000), 8)
    assert row == "| Pi, cortex-a53, 2.0 GHz | m | 1000 | 160000 | 320000 | 1.00 to 2.00 % |"


def test_nothing_to_estimate_with_is_said(monkeypatch, capsys):
    monkeypatch.setattr(cycles, "TOOL", "no-such-tool")
    assert cycles.main([]) == 0
    assert capsys.readouterr().out.startswith("LEFT OUT: estimates of cycles: no-such-tool missing")
