# SPDX-License-Identifier: Apache-2.0
"""``tinyrnn inspect model.trnn``: what is in a file, with every checksum verified."""

from __future__ import annotations

import argparse
import json
from typing import Any

import tinyrnn
from tinyrnn import format as fmt
from tinyrnn.cli.structure import Structure
from tinyrnn.cli.text import table
from tinyrnn.text_table import quantization_tables


def add(commands: Any) -> None:
    """Add the subcommand."""
    sub = commands.add_parser("inspect", help="say what is in a .trnn file", description="Say what is in a .trnn file.")
    sub.add_argument("model", metavar="MODEL.trnn")
    sub.add_argument("--json", action="store_true", help="print everything as JSON")
    sub.set_defaults(function=command)


def command(options: argparse.Namespace) -> int:
    """Verify and describe a file."""
    with open(options.model, "rb") as file:
        content = file.read()
    try:
        about = describe(content)
    except tinyrnn.ModelFormatError as error:
        raise tinyrnn.ModelFormatError(f"{options.model}: {error}") from None
    if options.json:
        print(json.dumps(about, indent=2))
    else:
        show(options.model, about)
    return 0


def describe(content: bytes) -> dict[str, Any]:
    """Return everything that `inspect` says, in types that JSON has."""
    model = tinyrnn.load(content, verify=True)
    structure = Structure(content)
    calls = structure.operators()
    weights: dict[str, int] = {}
    seen: set[int] = set()
    for call in calls:
        for operand in call["inputs"]:
            if operand and operand["storage"] == "WEIGHTS" and operand["offset"] not in seen:
                seen.add(operand["offset"])
                weights[call["operator"]] = weights.get(call["operator"], 0) + operand["bytes"]
    memory: dict[str, int] | str
    try:
        memory = model.memory() if model.streamable else {}
    except tinyrnn.TinyRNNError as error:  # a dimension that only an input can give
        memory = str(error)
    return {
        "bytes": {
            "file": len(content),
            "structure": int(structure.header["weights_offset"]),
            "weights": structure.sizes["weights"],
            "sections": structure.sizes,
            "weights_by_operator": weights,
        },
        "format": list(structure.version),
        "streamable": model.streamable,
        "reason": model.reason,
        "promise": structure.promise(),
        "isa": model.isa,
        "multiply_add": "fused" if fmt.INSTRUCTION_SETS[model.isa] else "separate",
        "inputs": [port.to_dict() for port in model.inputs],
        "outputs": [port.to_dict() for port in model.outputs],
        "states": [port.to_dict() for port in model.states],
        "operators": calls,
        "memory": memory,
        "metadata": {key: parsed(value) for key, value in model.metadata.items()},
    }


def parsed(value: str) -> Any:
    """Return a note as the JSON that it holds, or as text."""
    if value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            pass
    return value


def show(name: str, about: dict[str, Any]) -> None:
    """Print a description for people."""
    size = about["bytes"]
    print(f"{name}: {size['file']:,} bytes, format {'.'.join(map(str, about['format']))}, checksums verified")
    print(f"streamable: {'yes' if about['streamable'] else 'no, ' + about['reason']}")
    print(f"promise:    {about['promise']}")
    rounding = {"fused": "rounds once", "separate": "rounds the product and the sum"}[about["multiply_add"]]
    print(f"here:       {about['isa']}, whose multiply-add {rounding}\n")
    rows = [
        [kind[:-1], port["name"], port["dtype"], shape(port["shape"]), port["state"] or ""]
        for kind in ("inputs", "outputs", "states")
        for port in about[kind]
    ]
    table(["port", "name", "type", "shape", "tied to"], rows)
    print()
    table(
        ["operator", "nodes", "outputs", "attributes", "weights"], [operator_row(call) for call in about["operators"]]
    )
    show_report(about["metadata"].get("report"), about["metadata"].get("recipe"))
    print()
    parts = [
        ["structure", size["structure"]],
        *([f"weights of {kind}", n] for kind, n in size["weights_by_operator"].items()),
    ]
    if isinstance(about["memory"], dict):
        parts += [
            [f"a stream's {part}", about["memory"][part]]
            for part in ("state", "plan", "arena")
            if part in about["memory"]
        ]
    table(["bytes", "count"], [[part, f"{count:,}"] for part, count in parts])
    if about["metadata"]:
        print()
        for key, value in about["metadata"].items():
            if key == "report":  # what the conversion printed; --json has it all
                continue
            print(f"{key}: {value if isinstance(value, str) else json.dumps(value)}")


def show_report(report: Any, recipe: Any) -> None:
    """Print what the conversion noted: copies that are left, precisions and what they cost."""
    try:
        for text in report.get("copies", []):
            print(f"copy left: {text}")
        tables = quantization_tables(report.get("layers", []), report.get("output_errors", []))
        asked = f"{recipe.get('quantize')}, activations {recipe.get('activations')}"
    except (AttributeError, LookupError, TypeError, ValueError):
        return  # notes are not checked: what is not a report has nothing to say
    if tables:
        print(f"\nprecision: {asked}")
    for headers, rows in tables:
        print()
        table(headers, rows)


def shape(dims: Any) -> str:
    """Write a shape."""
    return f"[{', '.join('?' if dim is None else str(dim) for dim in dims)}]"


def operator_row(call: dict[str, Any]) -> list[Any]:
    """Return the row of an operator call."""
    outputs = ", ".join(shape(operand["dims"]) for operand in call["outputs"] if operand)
    attributes = []
    for name, value in call["attributes"].items():
        if name in ("program", "activations"):
            value = " ".join(step[0] for step in value)
        attributes.append(f"{name}={value}")
    weights = sum(operand["bytes"] for operand in call["inputs"] if operand and operand["storage"] == "WEIGHTS")
    return [call["operator"], call["nodes"], outputs, " ".join(attributes), f"{weights:,}"]
