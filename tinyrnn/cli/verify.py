# SPDX-License-Identifier: Apache-2.0
"""``tinyrnn verify model.onnx model.trnn``: the error against a reference, by output and by time step."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np

import tinyrnn
from tinyrnn import Model, TinyRNNError, samples
from tinyrnn.cli.convert import binding
from tinyrnn.cli.text import table, working
from tinyrnn.samples import compare, shown_steps

TOLERANCE = 1e-4  # of a file that does not say what its precision leads to expect
SMOOTHED = 200  # steps from which on a plot has a running mean


def add(commands: Any) -> None:
    """Add the subcommand."""
    sub = commands.add_parser(
        "verify",
        help="compare a .trnn file with its ONNX model",
        description=(
            "Compare a .trnn file with its ONNX model, run by onnxruntime where that is installed, else in float64."
        ),
    )
    sub.add_argument("source", metavar="MODEL.onnx")
    sub.add_argument("model", metavar="MODEL.trnn")
    sub.add_argument("--data", metavar="X.npz", help="input arrays by name; random ones otherwise")
    sub.add_argument(
        "--bind",
        action="append",
        default=[],
        type=binding,
        metavar="NAME=VALUE",
        help="the value of an input that the conversion fixed",
    )
    sub.add_argument("--seed", type=int, default=0, help="of the random inputs (default 0)")
    sub.add_argument(
        "--steps", type=positive, default=100, help="length of random sequences, of frames too (default 100)"
    )
    sub.add_argument("--batch", type=positive, default=2, help="rows of random batches (default 2)")
    sub.add_argument(
        "--tolerance",
        type=float,
        help="largest error, as a part of max(1, |reference|), that counts as agreement (default: 1e-4, or what the "
        "file says of its precision)",
    )
    sub.add_argument("--reference", choices=("auto", "onnxruntime", "float64"), default="auto")
    sub.add_argument("--json", action="store_true", help="print the figures as JSON")
    sub.add_argument("--plot", metavar="OUT.png", help="draw the error over time (needs matplotlib)")
    sub.set_defaults(function=command)


def positive(argument: str) -> int:
    """Parse a positive integer."""
    value = int(argument)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a positive integer, found {argument}")
    return value


def command(options: argparse.Namespace) -> int:
    """Compare, print, and fail where the error is too large."""
    model = tinyrnn.load(options.model)
    reference = Reference(options.source, options.reference)
    if options.data:
        inputs = samples.read_inputs(options.data)
    else:
        inputs = samples.random_inputs(model, options.seed, options.steps, options.batch, reference.declared())
    bound = reference.cast({**bound_by_recipe(model), **dict(options.bind)})
    framed = samples.are_frames(model, inputs)
    with working(f"running {options.source} by {reference.name}"):
        run = by_frames if framed else at_once
        wanted = run(model, lambda given: reference.run({**given, **bound}), inputs)
    outputs = samples.run(model, inputs)
    results = [
        compare(port, outputs[port.name], wanted[port.name], 0 if framed else port.time_axis)
        for port in model.outputs
        if port.name in outputs and port.name in wanted
    ]
    about = {"reference": reference.name, "outputs": results, "stream": stream_agrees(model, inputs, outputs)}
    if options.plot:
        plot(options.plot, results, os.path.basename(options.model))
    print(json.dumps(about, indent=2)) if options.json else show(about)
    worst = max(results, key=lambda row: float(row["relative"]), default=None)
    tolerance = expected(model) if options.tolerance is None else options.tolerance
    if worst is not None and not worst["relative"] <= tolerance:
        where = located(model, reference, {**(frame(model, inputs, 0) if framed else inputs), **bound}, tolerance)
        raise TinyRNNError(
            f"output '{worst['name']}': error {worst['relative']:.3g} is above {tolerance:g} (--tolerance); {where}"
        )
    if about["stream"] is False:
        raise TinyRNNError("the stream gives other bytes than the whole sequence: this is a bug of tinyrnn")
    return 0


class Reference:
    """What the ONNX model itself says: by onnxruntime, or by the float64 references of the converter."""

    def __init__(self, source: str, choice: str) -> None:
        self.source, self.session, self.name = source, None, "float64"
        if choice == "float64":
            return
        try:
            import onnxruntime
        except ImportError:
            if choice == "onnxruntime":
                raise TinyRNNError(
                    "onnxruntime is not installed; leave --reference out to use the float64 references"
                ) from None
            return
        onnxruntime.set_default_logger_severity(4)
        with open(source, "rb"):
            pass  # for Python's own message when there is no such file
        try:
            self.session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
            self.name = "onnxruntime"
        except Exception as error:
            if choice == "onnxruntime":
                raise TinyRNNError(f"onnxruntime cannot load {source}: {error}") from None

    def declared(self) -> dict[str, list[Any]]:
        """Return the declared shapes of the inputs, where they are known."""
        return {port.name: list(port.shape) for port in self.session.get_inputs()} if self.session else {}

    def cast(self, bound: dict[str, Any]) -> dict[str, np.ndarray]:
        """Give bound values the type that the graph declares."""
        if not self.session:
            return {name: np.asarray(value) for name, value in bound.items()}
        types = {port.name: port.type for port in self.session.get_inputs()}
        kinds = {
            "tensor(float)": "float32",
            "tensor(double)": "float64",
            "tensor(float16)": "float16",
            "tensor(bool)": "bool",
        }
        return {
            name: np.asarray(value, kinds.get(types[name], types[name][7:-1]))
            for name, value in bound.items()
            if name in types
        }

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the model; return its outputs by name."""
        if self.session:
            names = [port.name for port in self.session.get_outputs()]
            try:
                return dict(zip(names, self.session.run(names, inputs), strict=True))
            except Exception as error:
                raise TinyRNNError(f"onnxruntime cannot run {self.source}: {error}") from None
        try:
            from tinyrnn.converters import references
        except ImportError as error:
            raise TinyRNNError(f"verifying needs the package {error.name}: pip install 'tinyrnn[convert]'") from None
        results: dict[str, np.ndarray] = references.run(self.source, inputs)
        return results

    def everything(self, inputs: dict[str, np.ndarray]) -> Any:
        """Return a function that runs a model with more outputs in onnxruntime, its optimizations off."""

        def run(data: bytes, names: list[str]) -> dict[str, np.ndarray]:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            return dict(zip(names, session.run(names, inputs), strict=True))

        return run


Run = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


def at_once(model: Model, run: Run, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run whole sequences."""
    return run(inputs)


def by_frames(model: Model, run: Run, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run frame after frame, each with the states that the one before has left; the outputs on a first axis."""
    shown = {port.state: port.name for port in model.outputs if port.state is not None}
    ties = {port.name: shown[port.state] for port in model.inputs if port.state in shown}
    count = min((len(inputs[p.name]) for p in model.inputs if p.state is None), default=0)
    states: dict[str, np.ndarray] = {}
    found: list[dict[str, np.ndarray]] = []
    for i in range(count):
        found.append(run(frame(model, inputs, i) | states))
        states = {name: found[-1][output] for name, output in ties.items()}
    return {p.name: np.stack([f[p.name] for f in found]) for p in model.outputs if p.state is None and found}


def frame(model: Model, inputs: dict[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    """One frame of the stacks, and the states as they are given."""
    plain = {port.name for port in model.inputs if port.state is None}
    return {name: x[index] if name in plain else x for name, x in inputs.items()}


def located(model: Model, reference: Reference, inputs: dict[str, np.ndarray], tolerance: float) -> str:
    """Say which ONNX node is the first whose output departs."""
    try:
        from tinyrnn.converters.departure import first_departure

        if recipe(model).get("quantize"):  # nodes are looked at in float32, before they are quantized
            tolerance = min(tolerance, TOLERANCE)
        shown = None if reference.session is None else reference.everything(inputs)
        found = first_departure(reference.source, inputs, tolerance, recipe(model), shown)
    except Exception as error:  # this only explains a failure: it must not hide it
        return f"the node could not be found ({type(error).__name__}: {error})"
    if found is None:
        return quantization(model) or (
            "no single node departs: the file is not what converting this model gives, or errors add up"
        )
    return f"the first node that departs is {found[0]}, by {found[1]:.3g}"


def quantization(model: Model) -> str:
    """Say which layers of a quantized file cost most; nothing of another."""
    try:
        changed = [row for row in note(model, "report")["layers"] if not row["reason"]]
        worst = sorted((row for row in changed if row["error"]), key=lambda row: -row["error"])[:3]
        layers = ", ".join(f"{row['name']} ({row['error']:.2g})" for row in worst)
    except (LookupError, TypeError, ValueError):
        return ""  # notes are not checked
    if not changed:
        return ""
    advice = f"; the layers with the largest errors alone: {layers}" if layers else ""
    return f"no node departs in float32, so that this is the error of quantization{advice}; see --keep-float"


def expected(model: Model) -> float:
    """Return the tolerance that the precision of a file asks for."""
    name = recipe(model).get("quantize")
    if name is None:
        return TOLERANCE
    try:
        from tinyrnn.converters.precisions import PRECISIONS
    except ImportError as error:
        raise TinyRNNError(f"give --tolerance: what {name} leads to expect needs the package {error.name}") from None
    row = PRECISIONS.get(name) if isinstance(name, str) else None
    return TOLERANCE if row is None else row.tolerance


def recipe(model: Model) -> dict[str, Any]:
    """Return the options of the conversion, as the file's own notes have them."""
    return note(model, "recipe")


def note(model: Model, key: str) -> dict[str, Any]:
    """Return an object among the file's notes."""
    try:
        found = json.loads(model.metadata.get(key, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def bound_by_recipe(model: Model) -> dict[str, Any]:
    """Return the inputs that the conversion fixed."""
    bound = recipe(model).get("bind", {})
    return bound if isinstance(bound, dict) else {}


def stream_agrees(model: Model, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> bool | None:
    """Whether a stream gives the bytes of the whole sequence; None where the model cannot stream."""
    if not model.streamable:
        return None
    if samples.are_frames(model, inputs):  # then the outputs are the stream's
        results = by_frames(model, model.run, inputs)
        return all(same_bytes(y, outputs[name]) for name, y in results.items())
    batches = [
        inputs[p.name].shape[p.batch_axis] for p in model.inputs if p.batch_axis is not None and p.name in inputs
    ]
    stream = model.stream(batch=batches[0] if batches else 1)
    framed = samples.is_framed(model)
    plain = {port.name for port in model.inputs if port.state is None}
    results = stream.run({name: x[None] if framed and name in plain else x for name, x in inputs.items()})
    return all(same_bytes(y[0] if framed else y, outputs[name]) for name, y in results.items())


def same_bytes(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal, NaN being equal to NaN."""
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def show(about: dict[str, Any]) -> None:
    """Print the errors for people."""
    results = about["outputs"]
    print(f"reference: {about['reference']}")
    figures = [[row[key] for key in ("max", "rms", "relative", "largest")] for row in results]
    table(
        ["output", "type", "shape", "max error", "rms error", "max / max(1, |ref|)", "max |ref|"],
        [
            [row["name"], row["dtype"], tuple(row["shape"]), *(f"{figure:.3g}" for figure in line)]
            for row, line in zip(results, figures, strict=True)
        ],
    )
    timed = [row for row in results if row["max_by_step"]]
    if timed:
        count = max(len(row["max_by_step"]) for row in timed)
        shown = shown_steps(count)
        print()
        table(
            ["step", *(f"max error of {row['name']}" for row in timed)],
            [
                [step, *(f"{row['max_by_step'][step]:.3g}" if step < len(row["max_by_step"]) else "" for row in timed)]
                for step in shown
            ],
        )
    said = {
        None: "not streamable",
        True: "the same bytes as the whole sequence",
        False: "OTHER BYTES than the whole sequence",
    }
    print(f"\nstream: {said[about['stream']]}")


def plot(path: str, results: list[dict[str, Any]], title: str) -> None:
    """Draw the error of each output over time, and where there are many steps its running mean."""
    try:
        import matplotlib
    except ImportError:
        raise TinyRNNError("--plot needs matplotlib: pip install 'tinyrnn[plot]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    timed = [row for row in results if row["max_by_step"]]
    for row in timed:
        errors = np.maximum(row["max_by_step"], 1e-12)
        (line,) = axes.semilogy(errors, label=row["name"], alpha=0.35 if len(errors) >= SMOOTHED else 1.0, linewidth=1)
        if len(errors) >= SMOOTHED:  # a drift is seen in the mean of many steps, not in the noise of each
            window = len(errors) // 25
            mean = np.convolve(errors, np.ones(window) / window, "valid")
            axes.semilogy(np.arange(len(mean)) + window / 2, mean, color=line.get_color(), linewidth=2)
    if timed:
        ends = [f(np.maximum(row["max_by_step"], 1e-12)) for row in timed for f in (np.min, np.max)]
        ends = [e for e in ends if np.isfinite(e)] or [1e-12]
        axes.set_ylim(10 ** np.floor(np.log10(min(ends))), 10 ** (np.floor(np.log10(max(ends))) + 1))
        axes.legend()
    axes.set(xlabel="step", ylabel="max |error|", title=f"{title}: error against the reference")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
