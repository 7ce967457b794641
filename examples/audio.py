# SPDX-License-Identifier: Apache-2.0
"""What denoise.py and find_speech.py share: .wav files in and out, models from .onnx or .trnn, errors on one line."""

from __future__ import annotations

import argparse
import io
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import tinyrnn

RATE = 16000  # samples a second, of the models and so of the files
FULL_SCALE = 32768.0

Floats = npt.NDArray[np.float32]


class ExampleError(Exception):
    """Something that the user can put right; the message says how, on one line."""


def read_wav(path: Path) -> Floats:
    """Read a .wav file, 16 kHz, mono, 16 bit: (N,) float32 within [-1, 1).

    Raises
    ------
    ExampleError
        When it is anything else.
    """
    advice = f"try: ffmpeg -i {path} -ar {RATE} -ac 1 -c:a pcm_s16le 16k.wav"
    try:
        with wave.open(str(path), "rb") as file:
            found = (file.getframerate(), file.getnchannels(), 8 * file.getsampwidth())
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        reason = str(error) or "it ends too soon"
        raise ExampleError(f"{path} is not a .wav file of plain samples ({reason}); {advice}") from None
    if found != (RATE, 1, 16):
        raise ExampleError(
            f"{path} has {found[0]} Hz, {found[1]} channel(s), {found[2]} bit; expected {RATE} Hz, 1 channel, 16 bit; "
            f"{advice}"
        )
    samples = np.frombuffer(data, "<i2", count=len(data) // 2)  # a file cut short may end with half a sample
    if not len(samples):
        raise ExampleError(f"{path} has no samples")
    return (samples / FULL_SCALE).astype(np.float32)


def write_wav(path: Path, samples: Floats) -> None:
    """Write (N,) float32 as a .wav file, 16 kHz, mono, 16 bit; what is louder than full scale is clipped."""
    whole = np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, len(samples), "NONE", "not compressed"))
        file.writeframes(whole.astype("<i2").tobytes())


def load_model(path: Path, keep: Path | None, frame: int, what: str, **conversion: Any) -> tinyrnn.Model:
    """Load a .trnn file, or convert an .onnx file and load that.

    Parameters
    ----------
    path : Path
    keep : Path, optional
        Folder for the converted model; without it, it lives in memory alone.
    frame : int
        Samples or bins in a frame, the last axis of the model's one input.
    what : str
        The model expected here, for the error message.
    **conversion
        Options of tinyrnn.converters.convert.

    Raises
    ------
    ExampleError
        When it does not stream frames of that size.
    """
    model = converted(path, keep, conversion) if path.suffix.lower() == ".onnx" else tinyrnn.load(path)
    inputs = [port for port in model.inputs if port.state is None]
    size = inputs[0].shape[-1] if inputs and inputs[0].shape else None
    fits = size == frame or isinstance(size, str)  # a named dimension takes its size from the first frame
    if len(inputs) != 1 or inputs[0].dtype != "float32" or not fits:
        raise ExampleError(f"{path} is not {what}: expected one input of {frame} float32, found {model}")
    if not model.streamable:
        raise ExampleError(f"{path} does not stream: {model.reason}")
    return model


def converted(path: Path, keep: Path | None, conversion: dict[str, Any]) -> tinyrnn.Model:
    """Convert an .onnx file and load the result, kept in a folder if there is one."""
    try:
        from tinyrnn.converters import convert
    except ImportError as error:
        raise ExampleError(f'converting needs {error.name}; try: pip install "tinyrnn[convert]"') from None
    if keep is None:
        data = io.BytesIO()
        convert(path, data, **conversion)
        return tinyrnn.load(data.getvalue())
    keep.mkdir(parents=True, exist_ok=True)
    convert(path, keep / f"{path.stem}.trnn", **conversion)
    return tinyrnn.load(keep / f"{path.stem}.trnn")


def frame_shape(model: tinyrnn.Model, frame: int) -> tuple[int, ...]:
    """Return the shape of one frame of the model's one input that is no state, its last axis `frame`, the others 1."""
    (port,) = (port for port in model.inputs if port.state is None)
    return (*([1] * (len(port.shape) - 1)), frame)


def png(argument: str) -> Path:
    """Check the name of a picture before anything is computed."""
    try:
        import matplotlib
    except ImportError:
        raise argparse.ArgumentTypeError('matplotlib is not installed; try: pip install "tinyrnn[plot]"') from None
    if not argument.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"expected a name that ends in .png, found {argument!r}")
    matplotlib.use("Agg")  # writes files only: works without a display
    return Path(argument)


def run(name: str, main: Callable[[], None]) -> int:
    """Run a program; an error that the user can put right becomes one line and exit status 1."""
    try:
        main()
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    except OSError as error:
        message = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
    except (ExampleError, tinyrnn.TinyRNNError) as error:
        message = " ".join(str(error).split())  # a refusal lists its nodes on lines of their own
    print(f"{name}: {message}", file=sys.stderr)
    return 1
