# SPDX-License-Identifier: Apache-2.0
"""The tables that ops/<op>.py fill: how operators are lowered, evaluated on symbolic sizes, and computed by NumPy."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from .ir import FLOATS, INTEGERS, SIGNED, TYPE_NAMES

F = TypeVar("F", bound=Callable[..., Any])
MANY = 1 << 16  # inputs or outputs
OLDEST_OPSET = 7  # of ONNX's own domain

#: What `inputs=` of a row calls the element types that an input takes.
TYPES: dict[str, tuple[str, ...]] = {
    "floats": FLOATS,
    "signed": SIGNED,
    "numbers": (*FLOATS, *INTEGERS),
    "any": (*FLOATS, *INTEGERS, "BOOL"),
} | {name: (dtype,) for dtype, name in TYPE_NAMES.items()}


#: Why the operators of a domain are refused, but for those that have a row.
DOMAINS = {
    "ai.onnx.ml": "it belongs to classical machine learning; do what it does outside of the model",
    "ai.onnx.preview": "it is not part of ONNX yet; export the model with ONNX's own operators",
    "ai.onnx.preview.training": "it trains; export the model for inference",
    "com.microsoft": "onnxruntime made it of ONNX's own, as it optimized or quantized the model; convert the one that "
    "it was given, or save one with basic optimizations only (ORT_ENABLE_BASIC)",
}

_RANDOM = "one input must always give the same bytes; draw the numbers outside, and make them an input of the model"
_LOOPS = "loops are not run yet; export the recurrence as RNN, LSTM or GRU, or written out for a known number of steps"
_OPTIONAL = "a value is there or not when the model is exported; give it the tensor itself"
_QUANTIZED = "models that are quantized already are not read; convert the float model, with --quantize int8"
_SEQUENCES = "lists of tensors are not supported; join the tensors to one, by Concat, before exporting"
_TEXTS = "there are no tensors of text; do this before the model"
_COUNTED = "the size of its result depends on data; bind the input that it comes from, or export the model without it"

#: Why operators of ONNX's own domain are refused, in place of a body of others that ONNX gives some.
REASONS = {
    "BitCast": "the bits of numbers that are not known when converting are not read as another type; use Cast",
    "DeformConv": "its taps are moved by data, which no convolution of the engine does; sample with GridSample instead",
    "ImageDecoder": "it reads files of images; decode them outside, and make the pixels an input of the model",
    "MaxRoiPool": "how large its windows are depends on data; sample with GridSample instead",
    "NonMaxSuppression": "how many boxes it selects depends on data, and sizes must not; export the model without it",
    "RoiAlign": "how many samples it averages may depend on data; sample with GridSample instead",
    "SimplifiedLayerNormalization": DOMAINS["com.microsoft"],
    **dict.fromkeys(("NonZero", "Unique"), _COUNTED),
    **dict.fromkeys(("Bernoulli", "Multinomial"), _RANDOM),
    **dict.fromkeys(("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), _RANDOM),
    **dict.fromkeys(("Loop", "Scan"), _LOOPS),
    **dict.fromkeys(("Optional", "OptionalGetElement", "OptionalHasElement"), _OPTIONAL),
    **dict.fromkeys(("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"), _QUANTIZED),
    **dict.fromkeys(("DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"), _QUANTIZED),
    **dict.fromkeys(("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceEmpty"), _SEQUENCES),
    **dict.fromkeys(("SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap"), _SEQUENCES),
    "SplitToSequence": _SEQUENCES,
    **dict.fromkeys(("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"), _TEXTS),
    "TfIdfVectorizer": _TEXTS,
}


@dataclass(frozen=True, slots=True)
class Input:
    """One input of an operator: ONNX's name of it and the element types that it takes.

    `like` is the number of the input whose type it must have, -1 for none: a variadic one has that of its first.
    """

    name: str
    types: tuple[str, ...]
    like: int = -1
    optional: bool = False
    variadic: bool = False


@dataclass(frozen=True, slots=True)
class Lowering:
    """One row: the function and what it accepts. Anything else in a node is refused by name."""

    function: Callable[..., Any]
    inputs: tuple[Input, ...]
    outputs: tuple[int, int]
    attributes: frozenset[str]
    since: int
    until: int

    @property
    def counts(self) -> tuple[int, int]:
        """The least and the largest number of inputs."""
        most = MANY if self.inputs and self.inputs[-1].variadic else len(self.inputs)
        return sum(not i.optional for i in self.inputs), most

    def input(self, number: int) -> Input:
        """The input of that number; the last one again and again where it is variadic."""
        return self.inputs[min(number, len(self.inputs) - 1)]


@dataclass(frozen=True, slots=True)
class Reference:
    """A NumPy function (node, *arrays) -> array or tuple. `exact`: it moves elements of any type and rounds nothing."""

    function: Callable[..., Any]
    exact: bool


LOWERINGS: dict[tuple[str, str], list[Lowering]] = {}
SYMBOLIC: dict[tuple[str, str], Callable[..., Any]] = {}
REFERENCES: dict[tuple[str, str], Reference] = {}


def lowering(
    *names: str,
    inputs: str,
    outputs: int | tuple[int, int] = 1,
    attributes: str = "",
    since: int = 1,
    until: int = 1 << 30,
    domain: str = "",
) -> Callable[[F], F]:
    """Register how the named operators are lowered in opsets since..until.

    The function takes (context, node, *values), a Value or None for each input of `inputs`, and returns the Value of
    the output, or a list with one (or None) for each. `attributes` names all that it honours, in one string.

    `inputs` has a word for each input: ONNX's name, `?` where it is optional or `*` where it is variadic, a colon, and
    its element types: names of TYPES joined by `/`, or the name of the input whose type it must have. The walk checks
    them before it calls the function: "data:any indices:int64/int32 updates:data".
    """

    def register(function: F) -> F:
        produced = (outputs, outputs) if isinstance(outputs, int) else outputs
        row = Lowering(function, parse_inputs(inputs), produced, frozenset(attributes.split()), since, until)
        for name in names:
            LOWERINGS.setdefault((domain, name), []).append(row)
        return function

    return register


def parse_inputs(text: str) -> tuple[Input, ...]:
    """The inputs that `lowering` is given as text."""
    found: list[Input] = []
    for word in text.split():
        name, _, types = word.partition(":")
        names = [known.name for known in found]
        like = names.index(types) if types in names else len(found) if name.endswith("*") else -1
        accepted = found[like].types if types in names else [t for part in types.split("/") for t in TYPES[part]]
        found.append(Input(name.rstrip("?*"), tuple(accepted), like, name.endswith("?"), name.endswith("*")))
    return tuple(found)


def symbolic(*names: str, domain: str = "") -> Callable[[F], F]:
    """Register how the operators compute on sizes: (node, *object arrays) -> object array, or None where undecided."""

    def register(function: F) -> F:
        for name in names:
            SYMBOLIC[domain, name] = function
        return function

    return register


def reference(*names: str, exact: bool = False, domain: str = "") -> Callable[[F], F]:
    """Register the NumPy reference of the operators: (node, *arrays) -> array or tuple of arrays."""

    def register(function: F) -> F:
        for name in names:
            REFERENCES[domain, name] = Reference(function, exact)
        return function

    return register


def find(domain: str, op: str, version: int) -> Lowering | None:
    """The row for an operator in an opset, or None."""
    rows = LOWERINGS.get((domain, op), ())
    return next((r for r in rows if r.since <= version <= r.until), None)


def supported(domain: str, op: str) -> bool:
    """Whether any opset of the operator is known."""
    return (domain, op) in LOWERINGS


def load_all() -> None:
    """Import every file of ops/, which fills the tables."""
    from . import ops

    for module in pkgutil.iter_modules(ops.__path__):
        importlib.import_module(f"{ops.__name__}.{module.name}")
