# SPDX-License-Identifier: Apache-2.0
"""Writes golden cases: those that tests/golden lacks, or random models with this machine's outputs.

python tests/make_golden.py                             what is missing in tests/golden; nothing there is changed
python tests/make_golden.py --random 200 --seed 1 OUT   random models, for tests/kernels/test_golden.c OUT
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import golden
import tinyrnn
from tinyrnn.cli.inspect import describe


def promise_of(model: bytes, outputs: list[np.ndarray], smooth: bool = True) -> int:
    """On which instruction sets the bytes have to be these."""
    if not describe(model)["promise"].startswith("fp32"):
        return golden.EVERYWHERE
    return golden.NEAR if smooth and all(a.dtype == np.float32 for a in outputs) else golden.FUSED


def run(model: bytes, inputs: dict[str, np.ndarray], frames: int) -> list[np.ndarray]:
    """The outputs in their order: of a whole sequence, or of a stream of frames."""
    loaded = tinyrnn.load(model)
    assert loaded.isa == "scalar"
    if not frames:
        outputs = loaded.run(inputs)
    else:
        given = {p.name: (p, inputs[p.name]) for p in loaded.inputs if p.state is None}
        (batch,) = {x.shape[1 + p.batch_axis] for p, x in given.values() if p.batch_axis is not None} or {1}
        stream = loaded.stream(batch)
        for p in loaded.inputs:
            if p.state is not None and p.name in inputs:
                stream.states[p.state] = inputs[p.name]
        outputs = stream.run({name: x for name, (_, x) in given.items()})
        outputs |= {p.name: stream.states[p.state] for p in loaded.outputs if p.state is not None}
    return [np.ascontiguousarray(outputs[p.name]) for p in loaded.outputs]


def in_promise(outputs: list[np.ndarray]) -> bool:
    """Whether no output is a NaN or below the normal range, of which nothing is promised."""
    for array in outputs:
        if array.dtype.kind == "f":
            tiny = np.finfo(array.dtype).tiny if array.dtype != np.float16 else 0
            if np.isnan(array).any() or ((array != 0) & (abs(array) < tiny)).any():
                return False
    return True


def write(folder: Path, name: str, model: bytes, inputs: dict[str, np.ndarray], frames: int, smooth: bool) -> bool:
    """Write a case; False where its outputs are outside the promise."""
    outputs = run(model, inputs, frames)
    if not in_promise(outputs):
        return False
    given = [inputs.get(p.name) for p in tinyrnn.load(model).inputs]
    arrays = golden.Arrays(promise_of(model, outputs, smooth), frames, given, outputs)
    (folder / f"{name}.trnn").write_bytes(model)
    (folder / f"{name}.io").write_bytes(arrays.to_bytes())
    return True


def write_missing(folder: Path) -> None:
    """The cases that the folder lacks."""
    from golden_build import CASES

    for module in ("golden_models", "golden_operators"):
        import_module(module)  # adds its cases
    folder.mkdir(exist_ok=True)
    known = golden.names(folder) if (folder / golden.SUMS).exists() else []
    for name in [name for name in CASES if name not in known]:
        case = CASES[name]()
        assert write(folder, name, case.model, case.inputs, case.frames, smooth=True), name
        known.append(name)
        print(name)
    golden.write_sums(folder, known)


def write_random(folder: Path, count: int, seed: int) -> None:
    """Layers and graphs with random options, in random precisions."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    from test_promises import layers, sample, stacks
    from tinyrnn.converters import convert_bytes

    folder.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    known: set[bytes] = set()  # hypothesis likes to try a model again
    sizes = st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(0, 99))

    @seeded(seed)
    @settings(
        max_examples=8 * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.booleans(), st.data(), sizes, st.sampled_from([None, "int8", "int16"]))
    def make(one_layer: bool, data: Any, size: tuple[int, int, int], precision: str | None) -> None:
        drawn = data.draw(layers() if one_layer else stacks())
        if len(names) == count:
            return
        batch, steps, values = size
        if one_layer:
            proto, _, features, layout = drawn
            x, caches, smooth = sample(features, batch, steps, layout, values), {}, True
        else:
            proto, features, caches, smooth = drawn
            x = sample(features, batch, steps, 0, values)
        inputs = {proto.graph.input[0].name: x}
        inputs |= {name: np.zeros((length, batch, n), np.float32) for name, (length, n) in caches.items()}
        options = {} if precision is None else {"quantize": precision, "calibrate": inputs}
        model, _ = convert_bytes(proto, **options)
        name = f"random{len(names):04}"
        if model not in known and write(folder, name, model, inputs, 0, smooth):
            names.append(name)
        known.add(model)

    make()
    assert len(names) == count, f"{len(names)} models of {count}: try another seed"
    golden.write_sums(folder, names)


def main() -> None:
    """Write the cases that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, metavar="N", help="random models, instead of the missing ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("folder", nargs="?", type=Path, default=golden.FOLDER, metavar="OUT")
    arguments = parser.parse_args()
    os.environ["TINYRNN_ISA"] = "scalar"  # the reference of the fused class, which every machine has
    if arguments.random is None:
        write_missing(arguments.folder)
    else:
        write_random(arguments.folder, arguments.random, arguments.seed)


if __name__ == "__main__":
    main()
