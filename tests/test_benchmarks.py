# SPDX-License-Identifier: Apache-2.0
"""The benchmark harness, on tiny networks: that it measures what it says, not how quick anything is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import zoo
from step_program import with_program

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # at the end: the package that is tested stays the one that is installed
pytest.importorskip("benchmarks", reason="the tests have been copied away from the repository")
pytest.importorskip("onnx", reason="onnx is not installed")

from benchmarks import engines, oracle, report, timing, workloads  # noqa: E402
from benchmarks.timing import Row  # noqa: E402
from benchmarks.workloads import Workload  # noqa: E402

TINY = Workload("step", "lstm", 8, 8)


def bench(*arguments, **more):
    """Start the command."""
    command = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


# ---- What is timed


@pytest.mark.parametrize("cell", workloads.CELLS)
@pytest.mark.parametrize("name", workloads.SETS)
def test_the_oracle_agrees_with_the_engine(cell, name, tmp_path):
    """Two derivations of the same equations: a gate out of order in either shows."""
    for workload in (
        Workload(name, cell, 12, 3, 2),
        Workload(name, cell, 8, 8, reset_after=False),
    ):
        names = ["tinyrnn", "tinyrnn_bound"] if name == "step" else ["tinyrnn"]
        right = oracle.outputs(workload)
        for engine in names:
            given = engines.load(engine, workload, tmp_path).outputs(workload.inputs())
            assert given.shape == right.shape == (*workload.inputs().shape[:3], workload.hidden)
            assert np.abs(given - right).max() < 3e-6
        assert right.std() > 0.01


def test_names_and_choices():
    everything = workloads.select(["all"])
    assert len({w.name for w in everything}) == len(everything)
    assert {w.set for w in workloads.select()} == set(workloads.SETS)
    assert [w.name for w in workloads.select(["step"], ["gru"], [16], ["*"])] == ["gru_16_step"]
    assert {w.name for w in workloads.select(["narrow"], hidden=[8])} == {
        f"{cell}_8_i1{layers}_narrow" for cell in ("lstm", "gru") for layers in ("", "_l2")
    }
    assert all(w.cell == "lstm" and w.set == "seq" for w in workloads.select(["all"], match=["lstm_*_seq"]))
    assert "gru_128_l2_step" in {w.name for w in everything}


# ---- Timing


def measured(workload, names, tmp_path, seconds=0.01):
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        processes = [timing.Process(name, tmp_path, timing.free_core(), log) for name in names]
        try:
            return timing.measure(workload, processes, seconds, tmp_path)
        finally:
            for process in processes:
                process.stop()


@with_program
def test_the_ceiling_reads_the_bytes_of_each_precision(tmp_path, program):
    """An LSTM's weights, its biases, and in int8 a start value and a scale for each column of both matrices."""
    workload, columns = Workload("step", "lstm", 16, 4), 4 * 16
    found = {"ceiling": 4 * columns * (4 + 16 + 1), "ceiling_int8": columns * (4 + 16) + 4 * columns * (2 * 2 + 1)}
    for name, least in found.items():
        session = engines.load(name, workload, tmp_path)
        session.close()
        assert session.command[1] == "--ceiling"
        assert least <= int(session.command[2]) < least + 256, "what is beyond is padding"


INT8 = [name for name in engines.TABLE if engines.precision(name) == "int8"]


@with_program
@pytest.mark.parametrize("engine", INT8)
@pytest.mark.parametrize("cell", workloads.CELLS)
def test_int8_is_near_and_is_not_float32(cell, engine, tmp_path, program):
    """Every set: an answer within the tolerance of int8, further off than float32 would be."""
    if reason := engines.missing(engine):
        pytest.skip(reason)
    for name in workloads.SETS:
        workload = Workload(name, cell, 40, 8, 2)  # LiteRT leaves matrices of less than 1024 weights in float32
        with suppress(*() if engine in engines.OURS else (engines.SkipError,)):
            session = engines.load(engine, workload, tmp_path)
            error = np.abs(session.outputs(workload.inputs()) - oracle.outputs(workload)).max()
            session.close()
            assert 1e-5 < error < timing.TOLERANCE["int8"]


@with_program
@pytest.mark.parametrize("name", workloads.SETS)
def test_engines_beside_each_other(name, tmp_path, program):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    names = ["tinyrnn", "tinyrnn_c", "onnxruntime", "onnxruntime_bound", "ceiling"]
    rows = measured(Workload(name, "gru", 8, 8, 2), names, tmp_path)
    assert [row.engine for row in rows] == names
    for row in rows:
        assert row.status == "measured", row
        assert 0 < row.min_ns <= row.median_ns
        assert row.p99_ns >= row.min_ns
        assert row.rounds >= timing.ROUNDS[0]
    assert all(row.error < 1e-6 for row in rows[:4])
    assert rows[4].median_ns < rows[1].median_ns, "reading the weights takes less time than a step"


def test_a_call_that_takes_longer_is_measured_to_take_longer(tmp_path):
    small, large = (measured(Workload("step", "lstm", n, n), ["tinyrnn"], tmp_path)[0] for n in (8, 256))
    assert large.median_ns > 4 * small.median_ns


def test_a_missing_engine_is_skipped_with_a_reason(monkeypatch, tmp_path):
    table = {**engines.TABLE, "absent": engines.Engine("absent", "no_such_module", "")}
    monkeypatch.setattr(engines, "TABLE", table)
    assert engines.missing("absent") == "not installed: there is no module no_such_module"
    with pytest.raises(engines.SkipError, match="no_such_module"):
        engines.load("absent", TINY, tmp_path)
    assert engines.missing("tinyrnn") == ""
    monkeypatch.setenv("TINYRNN_BENCH_STEP", str(tmp_path / "nothing"))
    assert "make bench builds it" in engines.missing("tinyrnn_c")


def test_a_worker_that_skips_fails_or_dies_is_a_row(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYRNN_BENCH_STEP", str(tmp_path / "nothing"))
    skipped, failed = measured(TINY, ["tinyrnn_c", "no such engine"], tmp_path)
    assert (skipped.status, failed.status) == ("skipped", "failed")
    assert "make bench" in skipped.reason
    assert "no such engine" in failed.reason
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        process = timing.Process("tinyrnn", tmp_path, -1, log)
        try:
            assert process.ask("load", workload=TINY.to_dict()) == {"isa": process_isa()}
            process.process.kill()
            process.process.wait()
            assert "failed" in process.ask("time", count=1), "a new worker has nothing loaded"
            assert process.ask("load", workload=TINY.to_dict())["isa"]
        finally:
            process.stop()


def process_isa():
    import tinyrnn
    from tinyrnn.converters import convert_bytes

    return tinyrnn.load(convert_bytes(TINY.onnx())[0]).isa


class Script:
    """A process that gives answers prepared."""

    engine = "tinyrnn"

    def __init__(self, answers):
        self.answers = list(answers)

    def ask(self, command, **arguments):
        return self.answers.pop(0)


def contest(*answers):
    return timing.Contest(Script(answers), Row("w", "step", "lstm", 8, 8, 1, "script"), 2)


def test_disturbed_rounds_are_done_again():
    fair = contest({"ns": [900], "preempted": 2}, {"ns": [500], "preempted": 0})
    assert fair.undisturbed("time", 1) == ([500], False)
    never = contest(*({"ns": [n], "preempted": 1} for n in (900, 700, 800, 950)))
    assert never.undisturbed("time", 1) == ([700], True)


def test_times_are_per_step():
    one = contest()
    one.means, one.singles = [100.0, 300.0, 200.0], list(range(1, 101))
    one.finish()
    assert (one.row.median_ns, one.row.min_ns) == (100, 50)  # two steps a call
    assert one.row.p99_ns == pytest.approx(99.01 / 2)


def test_a_wrong_answer_is_no_time_to_boast_of(tmp_path):
    right = oracle.outputs(TINY)
    np.save(tmp_path / "outputs.npy", right + 0.01)
    one = contest({})
    one.check(right, tmp_path)
    assert one.row.status == "wrong"
    np.save(tmp_path / "outputs.npy", np.where(right > 0, right, np.nan))
    one = contest({})
    one.check(right, tmp_path)
    assert (one.row.status, one.row.error) == ("wrong", float("inf"))


# ---- The report


def row(engine, us, status="measured", workload="lstm_8_step", **more):
    ns = None if us is None else us * 1000
    times = {"median_ns": ns, "min_ns": ns and ns * 0.9, "p99_ns": ns and ns * 2, "error": 1e-7}
    return Row(workload, "step", "lstm", 8, 8, 1, engine, status, **{**times, "rounds": 10, "calls": 5, **more})


ROWS = [
    row("tinyrnn", 2.0),
    row("tinyrnn_c", 1.0),
    row("onnxruntime", 8.0),
    row("onnxruntime_bound", 5.0),
    row("mnn", 0.1, "wrong", error=0.5),
    row("torch", None, "skipped", error=None, reason="it cannot"),
    row("tinyrnn_int8", 1.5, error=1e-2),
    row("onnxruntime_int8", 6.0, error=2e-2),
    row("ceiling", 0.5, error=None),
    row("ceiling_int8", 0.2, error=None),
]


def test_ratio_and_share():
    other = report.fastest_other(ROWS, "lstm_8_step", "float32")
    assert other.engine == "onnxruntime_bound", "neither ours, nor a wrong answer, nor a ceiling"
    assert report.ratio(ROWS[0], other) == 2.5
    assert report.ratio(ROWS[0], None) is None
    assert report.share(ROWS, ROWS[1]) == pytest.approx(0.45)
    assert report.share(ROWS[:2], ROWS[1]) is None
    entries = {entry["engine"]: entry for entry in report.document(ROWS, {}, {})["rows"]}
    assert (entries["tinyrnn_c"]["ratio"], entries["tinyrnn_c"]["fastest_other"]) == (5, "onnxruntime_bound")
    assert (entries["tinyrnn_int8"]["ratio"], entries["tinyrnn_int8"]["fastest_other"]) == (4, "onnxruntime_int8")
    assert entries["tinyrnn_int8"]["share_of_ceiling"] == pytest.approx(0.12)
    assert "ratio" not in entries["onnxruntime"]
    assert "share_of_ceiling" not in entries["ceiling_int8"]
    assert entries["torch"]["reason"] == "it cannot"


def test_tables():
    table = report.summary(ROWS, "step")
    assert table.headers[1:5] == ["tinyrnn", "tinyrnn_c", "tinyrnn_int8", "onnxruntime"]
    line = dict(zip(table.headers, table.rows[0]))
    assert line["tinyrnn"] == report.Cell("2.00 (4.00)")
    assert line["tinyrnn_c"] == report.Cell("1.00 (2.00)", best=True)
    assert line["mnn"].text == "wrong"
    assert line["tinyrnn_int8"] == report.Cell("1.50 (3.00)", best=True), "the quickest of its precision"
    assert not line["onnxruntime_int8"].best
    expected = {"x py": "2.50", "x C": "5.00", "ceiling py": "22 %", "ceiling C": "45 %", "error float32": "1e-07"}
    expected |= {"x int8 py": "4.00", "ceiling int8 py": "12 %", "error int8": "1e-02"}
    assert {name: line[name].text for name in expected} == expected
    assert report.summary(ROWS, "seq") is None
    many = [row("torch", None, "skipped", f"w{i}", reason="it | cannot") for i in range(5)]
    assert [cell.text for cell in report.left_out(many).rows[0]] == ["torch", "it | cannot", "w0, w1, w2 and 2 more"]
    page = report.markdown([*ROWS, *many], report.machine(-1))
    assert "**1.00 (2.00)**" in page
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.count("|") in (4, 9, len(table.headers) + 1) for line in lines), "no cell breaks a table"


@pytest.mark.parametrize(
    ("ns", "text"), [(None, "-"), (12.34, "0.012"), (1234, "1.23"), (12345, "12.3"), (123456, "123"), (1.5e6, "1500")]
)
def test_microseconds(ns, text):
    assert report.microseconds(ns) == text


def test_picture(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from benchmarks import plot

    assert plot.draw(ROWS, tmp_path / "bench.png", "title")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert not plot.draw(ROWS[5:6], tmp_path / "none.png", "title")
    assert not (tmp_path / "none.png").exists()
    assert set(plot.STYLES) == set(engines.TABLE)
    assert set(plot.BOUNDS) == set(engines.CEILINGS.values())
    assert set(report.SHORT) == set(engines.OURS)


# ---- The command


@with_program
def test_the_command(tmp_path, program):
    for module in ("rich", "matplotlib", "onnxruntime"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    options = ["--set", "step", "--cells", "gru", "--hidden", "8", "--seconds", "0.01", "--out", tmp_path / "out"]
    process = bench(*options, "--engines", "tinyrnn*,onnxruntime", "--json")
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    given = json.loads(printed)
    assert given == json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))
    by_engine = {entry["engine"]: entry for entry in given["rows"]}
    assert set(by_engine) == {*engines.OURS, "onnxruntime", *engines.CEILINGS.values()}
    assert by_engine["tinyrnn"]["ratio"] > 0
    for name in ("tinyrnn_c", "tinyrnn_c_int8"):
        assert by_engine[name]["share_of_ceiling"] > 0
    assert given["machine"]["versions"]["tinyrnn"]
    assert (tmp_path / "out" / "bench.md").stat().st_size > 500
    assert (tmp_path / "out" / "bench.png").exists()


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal there alone")
def test_ctrl_c_keeps_what_is_measured(tmp_path):
    pytest.importorskip("rich", reason="rich is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    options = ["--set", "step", "--hidden", "8", "--engines", "tinyrnn", "--seconds", "0.01", "--out", tmp_path]
    process = bench(*options)
    while "2 of 3" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped after" in said
    assert "Traceback" not in said
    assert "lstm_8_step" in printed
    assert json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["rows"][0]["status"] == "measured"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "steps"], "known are core, step, seq, batch, narrow, all"),
        (["--cells", "lstm,tree"], "there is no 'tree'"),
        (["--hidden", "12,x"], "found 'x'"),
        (["--hidden", "0"], "from 1 to 8192"),
        (["--engines", "onnx"], "there is no engine 'onnx'"),
        (["--seconds", "-1"], "expected seconds over 0"),
        (["--seconds", "nan"], "expected seconds over 0"),
        (["--match", "no_such*"], "--list shows their names"),
        (["--match", ","], "expected at least one"),
        (["--set", "narrow", "--cells", "rnn"], "no workload is left"),
    ],
)
def test_nonsense_is_refused(arguments, said, capsys):
    from benchmarks import __main__ as command

    with pytest.raises(SystemExit) as left:
        command.main(arguments)
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_the_list():
    process = bench("--list", "--set", "step,batch", "--match", "lstm_16_*")
    assert process.communicate(timeout=60)[0].split() == ["lstm_16_step", "lstm_16_batch"]


# ---- The C program


def step(program, *arguments, **more):
    return subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=60, check=False, **more)


@with_program
def test_the_program_measures(program, tmp_path):
    from benchmarks.engines.tinyrnn_python import converted

    model = converted(TINY, tmp_path)
    done = step(program, model, "--seconds", "0.01")
    given = json.loads(done.stdout)
    assert 0 < given["min_ns"] <= given["median_ns"]
    done = step(program, "--ceiling", 100000, "--seconds", "0.01")
    assert 0.1 < json.loads(done.stdout)["bytes_per_ns"] < 10000
    assert step(program, model, "--count", 3).returncode == 0
    served = step(program, model, "--serve", input=b"time 10\neach 3\n")
    together, singly = map(json.loads, served.stdout.splitlines())
    assert len(together["ns"]) == 1
    assert len(singly["ns"]) == 3


@with_program
@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        ([], "expected a model or --ceiling", 2),
        (["missing.trnn"], "missing.trnn: cannot open it", 1),
        (["x.trnn", "--call", "jump"], "found --call jump", 2),
        (["x.trnn", "--steps", "0"], "at least 1 after --steps", 2),
        (["x.trnn", "--steps", "4"], "--steps needs --call run or whole", 2),
        (["x.trnn", "--seconds", "no"], "over 0 after --seconds", 2),
        (["x.trnn", "--frob"], "unknown argument --frob", 2),
    ],
)
def test_what_the_program_refuses(program, arguments, said, status):
    done = step(program, *arguments)
    assert done.returncode == status
    assert said in done.stderr.decode()


# ---- The other harness


@pytest.mark.skipif(not (zoo.SHARED / "peers").is_dir(), reason="the other harness is not beside this project")
def test_the_other_harness_takes_our_adapter(tmp_path):
    folder = tmp_path / "peers"
    shutil.copytree(zoo.SHARED / "peers", folder, copy_function=shutil.copyfile)
    env = {
        **os.environ,
        "PEERS_TINYRNN": str(ROOT / "benchmarks" / "peers.py"),
        "PEERS_CACHE": str(tmp_path / "cache"),
        "PEERS_REAL": str(zoo.SHARED / "models"),
    }
    names = "lstm_h16_i16_l1_*,gru_h16_i16_l1_step"
    options = ["--engines", "tinyrnn,tinyrnn_int8", "--match", names, "--repeats", "5", "--out", "own"]
    done = subprocess.run(
        [sys.executable, "bench.py", *options], cwd=folder, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (folder / "own.jsonl").read_text(encoding="utf-8").splitlines()]
    modes = ("step", "seq", "batch")
    names = ("tinyrnn", "tinyrnn_int8")
    assert {(row["engine"], row["mode"]) for row in rows} == {(name, mode) for name in names for mode in modes}
    assert all(row["ns_per_step"] > 0 for row in rows), rows
    assert all((1e-4 < row["max_err"] < 0.05) if "int8" in row["engine"] else row["max_err"] < 1e-6 for row in rows)
