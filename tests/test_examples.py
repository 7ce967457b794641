# SPDX-License-Identifier: Apache-2.0
"""The examples as a user runs them: commands in, text and files out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

import zoo

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
MODELS = zoo.SHARED / "models"
pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the tests have been copied away from the repository")
with_models = pytest.mark.skipif(not MODELS.is_dir(), reason="the models of other projects are not beside this one")


def run(*command, status=0):
    """Run an example; return (standard output, standard error)."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, encoding="utf-8", env=env, timeout=120
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def clip(source, target, seconds):
    """Copy the first seconds of a .wav file."""
    with wave.open(str(source)) as read, wave.open(str(target), "wb") as write:
        write.setparams(read.getparams())
        write.writeframes(read.readframes(int(seconds * read.getframerate())))
    return target


def test_the_demo_forecasts_as_well_in_int8(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    said, _ = run(EXAMPLES / "forecast" / "demo.py", "--out", tmp_path, "--json")
    models = json.loads(said)["models"]
    assert list(models) == ["rnn", "rnn int8", "lstm", "lstm int8", "gru", "gru int8"]
    for cell in ("rnn", "lstm", "gru"):
        plain, int8 = models[cell], models[f"{cell} int8"]
        assert plain["rmse_week_ppm"] < 0.4, "the last value has 0.489"
        for error in (key for key in plain if key.startswith("rmse")):
            assert abs(int8[error] - plain[error]) <= 0.01 * plain[error], (cell, error)
        assert int8["trnn_bytes"] < plain["trnn_bytes"]
        assert (tmp_path / f"{cell}_int8.trnn").stat().st_size == int8["trnn_bytes"]
    assert (tmp_path / "forecast.png").stat().st_size > 10_000


GENERATE = EXAMPLES / "charlm" / "generate.py"


def test_text_is_the_same_for_the_same_seed():
    first, _ = run(GENERATE, "And God said", "--length", 200, "--seed", 3)
    again, _ = run(GENERATE, "And God said", "--length", 200, "--seed", 3)
    other, _ = run(GENERATE, "And God said", "--length", 200, "--seed", 4)
    assert first == again != other
    assert len(first) == len("And God said") + 200 + 1
    assert sum(word in first.split() for word in ("the", "of", "and", "that", "to", "LORD")) >= 3, first


def test_a_restored_state_goes_on_where_it_was():
    once, _ = run(GENERATE, "In the beginning", "--length", 80)
    tries, _ = run(GENERATE, "In the beginning", "--length", 80, "--tries", 3)
    assert tries.startswith(once)
    assert tries.count("In the beginning") == 3


def test_clones_choose_between_sentences():
    text, said = run(GENERATE, "And he", "--choose", 3, "--length", 60)
    assert text.startswith("And he")
    assert "steps of" in said


@pytest.mark.parametrize("arguments", [["\u00dc"], ["x", "--model", "missing.onnx"]])
def test_generate_says_what_is_wrong_in_one_line(arguments):
    _, said = run(GENERATE, *arguments, status=1)
    assert said.startswith("generate: ")
    assert said.count("\n") == 1


EVALUATE = EXAMPLES / "charlm" / "evaluate.py"


def test_int8_costs_the_language_model_no_hundredth_of_a_bit():
    said, _ = run(EVALUATE, "--json")
    plain, int8 = (json.loads(said)[name] for name in ("float32", "int8"))
    assert abs(plain["bits_per_character"] - 1.79) < 0.01, "what SOURCE.md says"
    assert abs(int8["bits_per_character"] - plain["bits_per_character"]) <= 0.01
    assert int8["bytes"] < 0.3 * plain["bytes"]


def test_evaluate_reads_any_text_and_says_what_is_wrong(tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("In the beginning God created the heaven and the earth.\n" * 4, encoding="ascii")
    said, _ = run(EVALUATE, "--text", text)
    assert said.startswith("mine.txt: 220 characters\n")
    assert len(said.splitlines()) == 5
    text.write_text("\u00dc" * 40, encoding="utf-8")
    assert "does not know" in run(EVALUATE, "--text", text, status=1)[1]
    text.write_text("too short", encoding="ascii")
    assert "has 9 characters" in run(EVALUATE, "--text", text, status=1)[1]


@with_models
def test_denoise(tmp_path):
    noisy, clean = clip(MODELS / "noisy_speech_16k.wav", tmp_path / "noisy.wav", 3), tmp_path / "clean.wav"
    stages = ["--stage1", MODELS / "dtln_model_1.onnx", "--stage2", MODELS / "dtln_model_2.onnx"]
    said, _ = run(EXAMPLES / "denoise.py", noisy, clean, *stages, "--json")
    assert json.loads(said)["real_time_factor"] > 0
    samples = []
    for path in (noisy, clean):
        with wave.open(str(path)) as file:
            samples.append(np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64))
    assert len(samples[0]) == len(samples[1])
    energies = [np.sort(np.square(s[: len(s) // 256 * 256]).reshape(-1, 256).mean(axis=1)) for s in samples]
    quiet = slice(0, len(energies[0]) // 10)  # what is left of the noise shows where nobody speaks
    assert energies[1][quiet].mean() < energies[0][quiet].mean() / 4


@with_models
def test_find_speech(tmp_path):
    sound = clip(MODELS / "speech_16k.wav", tmp_path / "speech.wav", 12)
    model = MODELS / "silero_vad_16k_op15.onnx"
    said, _ = run(EXAMPLES / "find_speech.py", sound, "--model", model, "--json")
    found = json.loads(said)
    assert len(found["probabilities"]) == 12 * 16000 // 512
    assert found["segments"], "the recording begins with speech"
    assert all(0 <= segment["start"] < segment["end"] <= 12.1 for segment in found["segments"])


@pytest.mark.parametrize("example", ["denoise.py", "find_speech.py"])
def test_wrong_usage(example, tmp_path):
    _, said = run(EXAMPLES / example, status=2)
    assert "usage:" in said
    missing = ["--model", "x.trnn"] if example == "find_speech.py" else ["y.wav", "--stage1", "x", "--stage2", "x"]
    _, said = run(EXAMPLES / example, tmp_path / "missing.wav", *missing, status=1)
    assert said.count("\n") == 1
