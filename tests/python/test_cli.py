# SPDX-License-Identifier: Apache-2.0
"""The command line: good use, nonsense in one line and exit 1, wrong usage exit 2, interruption."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import onnx
import pytest

import graphs
import tinyrnn
from random_graphs import layer
from tinyrnn.cli import main
from tinyrnn.cli.inspect import describe
from tinyrnn.converters import convert_bytes


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "model.onnx"
    onnx.save(graphs.stateful(), path)
    return str(path)


@pytest.fixture(scope="module")
def target(source, made):
    return str(made("stateful"))


def sequence(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def fails(capsys, *arguments):
    """Run a command that must fail for its user's reasons; return the one line that it says."""
    assert main(list(map(str, arguments))) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tinyrnn: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


def test_convert(source, tmp_path, capsys):
    out = tmp_path / "out.trnn"
    assert main(["convert", source, str(out)]) == 0
    assert "LSTM" in capsys.readouterr().out or out.exists()
    model = tinyrnn.load(out, verify=True)
    assert [port.state for port in model.inputs] == [None, "h0", "c0"]
    assert main(["convert", source, str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert isinstance(report, dict)


def test_convert_with_states_and_shapes(source, tmp_path, capsys):
    out = tmp_path / "out.trnn"
    assert main(["convert", source, str(out), "--no-state"]) == 0
    assert all(port.state is None for port in tinyrnn.load(out).inputs)
    assert main(["convert", source, str(out), "--state", "h0=hn", "--state", "c0=cn"]) == 0
    assert len(tinyrnn.load(out).states) == 2
    assert main(["convert", source, str(out), "--shape", "x=time,3,4"]) == 0


def test_inspect(target, capsys):
    assert main(["inspect", target]) == 0
    text = capsys.readouterr().out
    for word in (
        "checksums verified",
        "streamable: yes",
        "recurrent",
        "time, batch, 4",
        "instruction set",
        "h0",
        "weights",
    ):
        assert word in text, word
    assert main(["inspect", target, "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["bytes"]["file"] == os.path.getsize(target)
    assert about["operators"][0]["operator"] == "recurrent"
    assert about["operators"][0]["attributes"]["cell"] == "LSTM"
    assert [port["name"] for port in about["inputs"]] == ["x", "h0", "c0"]


@pytest.mark.parametrize(("isa", "rounds"), [("scalar", "once"), ("portable", "the product and the sum")])
def test_inspect_says_how_a_multiply_add_rounds(target, capsys, monkeypatch, isa, rounds):
    monkeypatch.setenv("TINYRNN_ISA", isa)
    assert main(["inspect", target]) == 0
    assert f"{isa}, whose multiply-add rounds {rounds}" in capsys.readouterr().out


def test_inspect_says_which_copies_are_left_and_why(tmp_path, capsys):
    turn = onnx.helper.make_node("Transpose", ["x"], ["y"], name="turn", perm=[1, 0])
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["a", "b"]) for name in "xy"]
    path, out = tmp_path / "turn.onnx", str(tmp_path / "turn.trnn")
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([turn], "g", ports[:1], ports[1:])), path)
    assert main(["convert", str(path), out]) == 0
    assert "copy left   y: its source is an input" in capsys.readouterr().out
    assert main(["inspect", out]) == 0
    assert "copy left: y: its source is an input" in capsys.readouterr().out


@pytest.mark.parametrize("streamed", [False, True])
def test_run(target, tmp_path, capsys, streamed):
    x, extra = sequence(5, 2, 4), ["--stream"] if streamed else []
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "x.npz", x=x)
    want = tinyrnn.load(target).run({"x": x})
    for source in ("x.npy", "x=x.npy", "x.npz"):
        given = source.replace("x.np", f"{tmp_path}/x.np")
        assert main(["run", target, given, "-o", str(tmp_path / "y.npz"), *extra]) == 0
        with np.load(tmp_path / "y.npz") as results:
            assert results["y"].tobytes() == want["y"].tobytes()
            assert ("hn" in results) is not streamed
    assert sorted(os.listdir(tmp_path)) == ["x.npy", "x.npz", "y.npz"]
    assert main(["run", target, str(tmp_path / "x.npy"), *extra]) == 0
    assert "(5, 2, 8)" in capsys.readouterr().out


def test_verify(source, target, tmp_path, capsys):
    for reference in ("auto", "float64"):
        assert main(["verify", source, target, "--reference", reference, "--steps", "12"]) == 0
        text = capsys.readouterr().out
        assert "max error" in text
        assert "the same bytes as the whole sequence" in text
    np.savez(tmp_path / "x.npz", x=sequence(7, 1, 4), h0=sequence(1, 1, 8), c0=sequence(1, 1, 8, seed=2))
    assert main(["verify", source, target, "--json", "--data", str(tmp_path / "x.npz")]) == 0
    about = json.loads(capsys.readouterr().out)
    assert len(about["outputs"][0]["max_by_step"]) == 7
    assert about["outputs"][0]["max"] < 1e-5


def test_verify_finds_a_difference(source, tmp_path, capsys):
    other = tmp_path / "other.onnx"
    changed = graphs.stateful()
    weights = next(tensor for tensor in changed.graph.initializer if tensor.name == "R")
    weights.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights) * 1.1, "R"))
    onnx.save(changed, other)
    out = tmp_path / "out.trnn"
    assert main(["convert", str(other), str(out)]) == 0
    capsys.readouterr()
    assert main(["verify", source, str(out)]) == 1
    error = capsys.readouterr().err
    assert "is above" in error
    assert "no single node departs" in error  # the conversion of this source is right: the file is another's


@pytest.mark.parametrize("reference", ["float64", "onnxruntime"])
def test_verify_names_the_first_node_that_departs(reference, source, tmp_path, capsys, monkeypatch):
    from dataclasses import replace

    from tinyrnn.converters import registry

    if reference == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    registry.load_all()
    right = registry.LOWERINGS["", "Squeeze"]
    wrong = [
        replace(row, function=lambda ctx, *rest, f=row.function: ctx.elementwise("NEG", f(ctx, *rest))) for row in right
    ]
    monkeypatch.setitem(registry.LOWERINGS, ("", "Squeeze"), wrong)
    out = tmp_path / "out.trnn"
    assert main(["convert", source, str(out)]) == 0
    assert main(["verify", source, str(out), "--reference", reference]) == 1
    assert "the first node that departs is Squeeze node" in capsys.readouterr().err


def test_convert_quantizes(source, tmp_path, capsys):
    out, data = str(tmp_path / "out.trnn"), str(tmp_path / "x.npz")
    np.savez(data, x=sequence(20, 1, 4))
    quantize = ["convert", source, out, "--quantize", "int8"]
    assert main([*quantize, "--calibrate", data, "--activations", "static"]) == 0
    text = capsys.readouterr().out
    for words in ("promise     quantized", "activations static", "error alone", "max error of y", "recurrent  int8"):
        assert words in text, words
    assert main(["inspect", out]) == 0
    text = capsys.readouterr().out
    for words in ("promise:    quantized", "precision: int8, activations static", "error alone", "max error of y"):
        assert words in text, words
    assert main([*quantize, "--keep-float", "cell", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["layers"][0]["reason"] == "asked for by keep_float 'cell'"
    assert report["promise"].startswith("fp32")
    assert main(["inspect", out]) == 0
    assert "asked for by keep_float 'cell'" in capsys.readouterr().out
    assert "'nope'; there are 'R', 'W', 'cell'" in fails(capsys, *quantize, "--keep-float", "nope")
    assert "there is int8" in fails(capsys, "convert", source, out, "--quantize", "int3")
    assert "only with quantize" in fails(capsys, "convert", source, out, "--keep-float", "cell")
    assert "calibrate" in fails(capsys, *quantize, "--activations", "static")
    assert "nofile.npz" in fails(capsys, *quantize, "--calibrate", tmp_path / "nofile.npz")
    assert "not an .npy or .npz" in fails(capsys, *quantize, "--calibrate", source)
    np.savez(data, y=sequence(20, 1, 4))
    assert "no input 'y'; it has ['x', 'h0', 'c0']" in fails(capsys, *quantize, "--calibrate", data)


def test_verify_a_quantized_file(source, tmp_path, capsys):
    out, drawn = str(tmp_path / "out.trnn"), tmp_path / "error.png"
    assert main(["convert", source, out, "--quantize", "int8"]) == 0
    capsys.readouterr()
    more = []
    if importlib.util.find_spec("matplotlib"):
        more = ["--plot", str(drawn)]
    assert main(["verify", source, out, "--steps", "300", *more]) == 0
    assert "the same bytes as the whole sequence" in capsys.readouterr().out
    assert drawn.exists() == bool(more)
    assert main(["verify", source, out, "--tolerance", "1e-5"]) == 1
    error = capsys.readouterr().err
    assert "is above 1e-05" in error
    assert "this is the error of quantization; the layers with the largest errors alone: cell (" in error


def test_verify_compares_frames_as_a_stream_gives_them(tmp_path, capsys):
    path, out = tmp_path / "frames.onnx", str(tmp_path / "frames.trnn")
    onnx.save(graphs.frames(), path)
    assert main(["convert", str(path), out]) == 0
    for reference in ("auto", "float64"):
        capsys.readouterr()
        assert main(["verify", str(path), out, "--steps", "7", "--json", "--reference", reference]) == 0
        (row,) = json.loads(capsys.readouterr().out)["outputs"]
        assert row["shape"][0] == len(row["max_by_step"]) == 7
        assert 0 < row["max"] < 1e-5
    np.savez(tmp_path / "one.npz", x=sequence(1, 1, 6), h0=sequence(1, 1, 8))
    assert main(["verify", str(path), out, "--json", "--data", str(tmp_path / "one.npz")]) == 0
    about = json.loads(capsys.readouterr().out)
    assert [row["max_by_step"] for row in about["outputs"]] == [None, None]
    assert about["stream"] is True


def test_weights_of_the_same_shape_are_counted_apart():
    """W and R of a cell whose input is as wide as its state."""
    weights = describe(convert_bytes(layer("LSTM", 16, 16))[0])["bytes"]["weights_by_operator"]
    assert weights == {"recurrent": 4 * (4 * 16 * 16 * 2 + 4 * 16)}


def test_notes_that_are_no_report_are_passed_over(source, tmp_path, capsys):
    out = tmp_path / "out.trnn"
    assert main(["convert", source, str(out), "--quantize", "int8"]) == 0
    content = out.read_bytes()
    for old, new in [(b'"layers":[{', b'"layerz":[{'), (b'"error":', b'"errer":'), (b'"max":', b'"mox":')]:
        assert old in content
        broken = bytearray(content.replace(old, new))
        weights = int.from_bytes(broken[24:32], "little")
        broken[8:12] = zlib.crc32(broken[16:weights]).to_bytes(4, "little")
        out.write_bytes(broken)
        assert main(["inspect", str(out)]) == 0
        capsys.readouterr()
        assert main(["verify", source, str(out), "--tolerance", "1e-5"]) == 1
        assert "is above" in capsys.readouterr().err


def test_progress_is_drawn_on_a_terminal_once_it_takes_long(monkeypatch):
    from tinyrnn.cli import text

    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", shown)
    with text.working("measuring") as work:
        work.progress(1, 4, "the second")
    assert shown.getvalue() == ""
    with text.working("measuring") as work:
        work.progress(1, 4, "the second")
        time.sleep(1.5)
    assert "measuring" in shown.getvalue()
    assert "the second" in shown.getvalue()


def test_nonsense_is_one_line(source, target, tmp_path, capsys):
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"\x08\x01 this is no protobuf" * 30)
    folder, missing, out = tmp_path, tmp_path / "missing", tmp_path / "out.trnn"
    assert "missing: No such file" in fails(capsys, "convert", missing, out)
    fails(capsys, "convert", bad, out)
    fails(capsys, "convert", folder, out)
    fails(capsys, "convert", source, tmp_path / "no" / "folder.trnn")
    assert "nope" in fails(capsys, "convert", source, out, "--bind", "nope=3")
    assert "nope" in fails(capsys, "convert", source, out, "--shape", "nope=3")
    assert "nope" in fails(capsys, "convert", source, out, "--state", "h0=nope")
    fails(capsys, "inspect", source)
    fails(capsys, "inspect", missing)
    fails(capsys, "run", target)
    fails(capsys, "run", target, missing)
    fails(capsys, "run", target, source)
    np.save(tmp_path / "wrong.npy", np.zeros((3, 2, 5), np.float32))
    assert "'x'" in fails(capsys, "run", target, tmp_path / "wrong.npy")
    np.save(tmp_path / "double.npy", np.zeros((3, 2, 4)))
    assert "expected float32, found float64" in fails(capsys, "run", target, tmp_path / "double.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    fails(capsys, "run", target, tmp_path / "objects.npy")
    np.save(tmp_path / "x.npy", sequence(3, 1, 4))
    assert ".npz or .npy" in fails(capsys, "run", target, tmp_path / "x.npy", "-o", tmp_path / "y.txt")
    fails(capsys, "verify", missing, target)
    fails(capsys, "verify", bad, target)
    assert not out.exists()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".tinyrnn") or "tmp" in name]


WRONG = [
    [],
    ["fly"],
    ["convert"],
    ["convert", "a.onnx"],
    ["convert", "a", "b", "--bind", "sr"],
    ["convert", "a", "b", "--bind", "sr=what"],
    ["convert", "a", "b", "--shape", "x=1,,2"],
    ["convert", "a", "b", "--state", "a=b", "--no-state"],
    ["verify", "a", "b", "--steps", "0"],
    ["inspect", "a", "--colour"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_the_module_is_the_command():
    for command in ([sys.executable, "-m", "tinyrnn"], [os.path.join(os.path.dirname(sys.executable), "tinyrnn")]):
        if os.path.exists(command[0]):
            done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
            assert done.stdout.strip() == f"tinyrnn {tinyrnn.__version__}"


def test_output_that_nobody_reads(target):
    command = f"{sys.executable} -m tinyrnn inspect {target} --json | true"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


def heed_interrupts():
    """What a shell runs in the background is started with interrupts ignored, and what it starts inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_an_interrupted_convert_leaves_no_half_file(tmp_path):
    """Interrupt at many moments: either nothing is there or the whole file."""
    source, seen = tmp_path / "large.onnx", set()
    onnx.save(graphs.recurrent(inputs=256, hidden=512), source)
    start = time.perf_counter()
    command = [sys.executable, "-m", "tinyrnn", "convert", str(source), str(tmp_path / "out.trnn")]
    subprocess.run(command, capture_output=True, check=True)
    took = time.perf_counter() - start
    for i in range(8):
        out = tmp_path / "out.trnn"
        out.unlink(missing_ok=True)
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
        )
        time.sleep(took * (0.3 + 0.1 * i))
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        seen.add(process.returncode)
        if out.exists():
            tinyrnn.load(out, verify=True)
        assert set(os.listdir(tmp_path)) <= {"large.onnx", "out.trnn"}, error
        if process.returncode == 130:
            assert error.count("\n") <= 1 and "Traceback" not in error, error  # noqa: PT018
    assert 130 in seen
