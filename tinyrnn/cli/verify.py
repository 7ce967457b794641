# SPDX-License-Identifier: Apache-2.0
"""``tinyrnn verify model.onnx model.trnn``: the error against a reference, by output and by time step."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

import tinyrnn
from tinyrnn import ArgumentError, Model, TinyRNNError
from tinyrnn.cli.convert import binding
from tinyrnn.cli.text import read_file, table, working

SHOWN_STEPS = 10


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
    sub.add_argument("--steps", type=positive, default=100, help="length of random sequences (default 100)")
    sub.add_argument("--batch", type=positive, default=2, help="rows of random batches (default 2)")
    sub.add_argument(
        "--tolerance",
        type=float,
        default=1e-4,
        help="largest error, as a part of max(1, |reference|), that counts as agreement (default 1e-4)",
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
    inputs = given(model, options.data) if options.data else random(model, reference, options)
    bound = {**bound_by_recipe(model), **dict(options.bind)}
    with working(f"running {options.source} by {reference.name}"):
        wanted = reference.run({**inputs, **reference.cast(bound)})
    outputs = model.run(inputs)
    results = [compare(port, outputs[port.name], wanted[port.name]) for port in model.outputs if port.name in wanted]
    about = {"reference": reference.name, "outputs": results, "stream": stream_agrees(model, inputs, outputs)}
    if options.plot:
        plot(options.plot, results)
    print(json.dumps(about, indent=2)) if options.json else show(about)
    worst = max(results, key=lambda row: float(row["relative"]), default=None)
    if worst is not None and not worst["relative"] <= options.tolerance:
        where = located(model, reference, {**inputs, **reference.cast(bound)}, options.tolerance)
        raise TinyRNNError(
            f"output '{worst['name']}': error {worst['relative']:.3g} is above {options.tolerance:g} (--tolerance); "
            f"{where}"
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


def located(model: Model, reference: Reference, inputs: dict[str, np.ndarray], tolerance: float) -> str:
    """Say which ONNX node is the first whose output departs."""
    try:
        from tinyrnn.converters.departure import first_departure

        shown = None if reference.session is None else reference.everything(inputs)
        found = first_departure(reference.source, inputs, tolerance, recipe(model), shown)
    except Exception as error:  # this only explains a failure: it must not hide it
        return f"the node could not be found ({type(error).__name__}: {error})"
    if found is None:
        return "no single node departs: the file is not what converting this model gives, or errors add up"
    return f"the first node that departs is {found[0]}, by {found[1]:.3g}"


def recipe(model: Model) -> dict[str, Any]:
    """Return the options of the conversion, as the file's own notes have them."""
    try:
        found = json.loads(model.metadata.get("recipe", "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def bound_by_recipe(model: Model) -> dict[str, Any]:
    """Return the inputs that the conversion fixed."""
    bound = recipe(model).get("bind", {})
    return bound if isinstance(bound, dict) else {}


def given(model: Model, path: str) -> dict[str, np.ndarray]:
    """Read the inputs from a file."""
    arrays = read_file(path)
    if not isinstance(arrays, dict):
        raise ArgumentError(f"{path}: expected an .npz file with an array for each input")
    return arrays


def random(model: Model, reference: Reference, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Make inputs: normal numbers, zeros and ones for integers; sizes as the ONNX model fixes them, else as asked."""
    generator = np.random.default_rng(options.seed)
    declared: dict[str, list[Any]] = reference.declared()
    sizes: dict[str, int] = {}
    for port in model.inputs:
        for axis, dim in enumerate(port.shape):
            if isinstance(dim, str):
                fixed = declared.get(port.name, [None] * len(port.shape))[axis]
                asked = {port.time_axis: options.steps, port.batch_axis: options.batch}.get(axis, 4)
                sizes[dim] = fixed if isinstance(fixed, int) else sizes.get(dim, asked)
    arrays = {}
    for port in model.inputs:
        if None in port.shape:
            raise TinyRNNError(f"input '{port.name}' has a size computed from others: give the inputs with --data")
        shape = [dim if isinstance(dim, int) else sizes[str(dim)] for dim in port.shape]
        if port.dtype.startswith("float"):
            arrays[port.name] = generator.standard_normal(shape).astype(port.dtype)
        else:
            arrays[port.name] = generator.integers(0, 2, shape).astype(port.dtype)
    return arrays


def compare(port: tinyrnn.Port, got: np.ndarray, want: np.ndarray) -> dict[str, Any]:
    """Return the error of one output, overall and by time step."""
    if got.shape != want.shape:
        raise TinyRNNError(f"output '{port.name}': shape {got.shape}, the reference gives {want.shape}")
    reference = want.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.abs(got.astype(np.float64) - reference)
        error = np.where((got == want) | np.isnan(got) & np.isnan(reference), 0.0, error)
    error = np.where(np.isnan(error), np.inf, error)
    largest = float(np.abs(reference[np.isfinite(reference)]).max(initial=0.0))
    axes = tuple(axis for axis in range(error.ndim) if axis != port.time_axis)
    steps = error.max(axis=axes, initial=0.0).tolist() if port.time_axis is not None else None
    return {
        "name": port.name,
        "shape": list(got.shape),
        "dtype": str(got.dtype),
        "largest": largest,
        "max": float(error.max(initial=0.0)),
        "rms": float(np.sqrt(np.mean(error**2))) if error.size else 0.0,
        "relative": float(error.max(initial=0.0)) / max(1.0, largest),
        "max_by_step": steps,
    }


def stream_agrees(model: Model, inputs: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> bool | None:
    """Whether a stream gives the bytes of the whole sequence; None where the model cannot stream."""
    if not model.streamable:
        return None
    batches = [
        inputs[p.name].shape[p.batch_axis] for p in model.inputs if p.batch_axis is not None and p.name in inputs
    ]
    stream = model.stream(batch=batches[0] if batches else 1)
    framed = not any(port.time_axis is not None for port in model.inputs)
    plain = {port.name for port in model.inputs if port.state is None}
    results = stream.run({name: x[None] if framed and name in plain else x for name, x in inputs.items()})
    return all(
        np.array_equal(y[0] if framed else y, outputs[name], equal_nan=y.dtype.kind == "f")
        for name, y in results.items()
    )


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
        shown = sorted({round(i * (count - 1) / (SHOWN_STEPS - 1)) for i in range(SHOWN_STEPS)})
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


def plot(path: str, results: list[dict[str, Any]]) -> None:
    """Draw the error of each output over time."""
    try:
        import matplotlib
    except ImportError:
        raise TinyRNNError("--plot needs matplotlib: pip install 'tinyrnn[plot]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    for row in results:
        if row["max_by_step"]:
            axes.semilogy(np.maximum(row["max_by_step"], 1e-12), label=row["name"])
    axes.set(xlabel="step", ylabel="max |error|", title="Error against the reference")
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()
    figure.savefig(path, dpi=120)
