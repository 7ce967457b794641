# SPDX-License-Identifier: Apache-2.0
"""OnnxModel -> lowered graph: walks until every symbol is settled, runs the passes, ties the states."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from . import dims as dm
from . import registry
from .errors import ConversionError
from .ir import NUMPY_TYPE, Graph
from .lowering import Context, Recurrence
from .onnx_model import OnnxInput, OnnxModel
from .passes import run_passes
from .sizes import RestartError, Sizes
from .states import tie_states

MAX_WALKS = 64
WALKED_NODES = 200_000  # in all, before the dimensions that are still tried go back to their declared values
LARGE = 20_000  # nodes from which on static dimensions are not tried as symbols: each try walks the graph again
_BATCH_NAME = re.compile(r"^(b|n|bs|batch|batch_?size)$", re.I)
_TIME_NAME = re.compile(r"^(t|time|steps?|seq|seq(uence)?_?len(gth)?|frames?|time_?steps?|length)$", re.I)


@dataclass(eq=False)
class Lowered:
    """A graph ready to be written, and what is to be told about it."""

    graph: Graph
    fused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def lower_model(
    model: OnnxModel,
    bind: Mapping[str, Any],
    shapes: Mapping[str, Any],
    states: str | Mapping[str, str],
    check: Callable[[Graph], None] | None = None,
    time_axis: Mapping[str, int] | None = None,
) -> Lowered:
    """Lower a model. `check` is called on the graph after each pass (tests give the verifier)."""
    registry.load_all()
    time_axis = time_axis or {}
    _check_names(model, bind=bind, shapes=shapes, time_axis=time_axis)
    bound = {v.name: _bound(v, bind[v.name]) for v in model.inputs if v.name in bind}
    sizes = Sizes()
    inputs = [
        _named(v, shapes.get(v.name), sizes, len(model.nodes) <= LARGE) for v in model.inputs if v.name not in bind
    ]
    context = _settle(model, sizes, inputs, bound)
    if _choose_axes(context, time_axis):
        context = _settle(model, sizes, inputs, bound)
    result = _finish(context, states, check)
    if not time_axis and _is_frame(result.graph, context):
        sizes.values[str(sizes.time)] = 1
        sizes.why[str(sizes.time)] = "declared as one step beside tied state"
        sizes.time = None
        context = _settle(model, sizes, inputs, bound)
        result = _finish(context, states, check)
    result.notes = list(dict.fromkeys(sizes.notes + result.notes))
    return result


def _check_names(model: OnnxModel, **options: Mapping[str, Any]) -> None:
    names = [v.name for v in model.inputs]
    for what, given in options.items():
        unknown = [n for n in given if n not in names]
        if unknown:
            raise ConversionError([f"{what}: the graph has no input {unknown[0]!r}; it has {names}"])


def _bound(v: OnnxInput, value: Any) -> np.ndarray:
    """A value for an input, in its type; refused where that would change it."""
    try:
        array = np.asarray(value)
        with np.errstate(all="ignore"):
            made = array.astype(NUMPY_TYPE[v.dtype])
        same = np.array_equal(made.astype(np.float64), array.astype(np.float64), equal_nan=True)
    except (TypeError, ValueError) as e:
        raise ConversionError([f"bind: {value!r} is no value for input {v.name!r} of type {v.dtype}: {e}"]) from None
    if not same and v.dtype not in ("F32", "F16"):
        raise ConversionError([f"bind: {value!r} would lose precision as {v.dtype}, the type of input {v.name!r}"])
    if v.dims is not None:
        if made.ndim == 0 and all(d in (1, None) or isinstance(d, str) for d in v.dims):
            made = made.reshape((1,) * len(v.dims))
        if made.ndim != len(v.dims) or any(
            isinstance(d, int) and d != n for d, n in zip(v.dims, made.shape, strict=True)
        ):
            raise ConversionError([f"bind: input {v.name!r} has the shape {v.dims}, not {list(made.shape)}"])
    return np.asarray(made)


def _named(v: OnnxInput, shape: Any, sizes: Sizes, generalise: bool) -> OnnxInput:
    """The input with a symbol for each dimension: declared ones by name, static ones tried with a hint."""
    dims = v.dims
    if shape is not None:
        given = list(shape)
        if dims is not None and len(given) != len(dims):
            raise ConversionError([f"shapes: input {v.name!r} has {len(dims)} axes, not {len(given)}"])
        dims = [int(d) if isinstance(d, (int, np.integer)) or str(d).isdigit() else str(d) for d in given]
        if any(isinstance(d, int) and d <= 0 for d in dims):
            raise ConversionError([f"shapes: input {v.name!r} cannot have the shape {given}"])
    if dims is None:
        raise ConversionError(
            [f"input {v.name!r} does not say how many axes it has; give them with --shape {v.name}=..."]
        )
    if len(dims) > 8:
        raise ConversionError([f"input {v.name!r} has {len(dims)} axes; at most 8 are supported"])
    named: list[int | str | None] = []
    for i, d in enumerate(dims):
        if d is None:
            named.append(f"{v.name}_dim{i}")
        elif isinstance(d, int) and generalise and shape is None:
            name = f"{v.name}[{i}]={d}"
            sizes.hints[name] = d
            named.append(name)
        else:
            named.append(d)
    return replace(v, dims=named)


def _settle(model: OnnxModel, sizes: Sizes, inputs: list[OnnxInput], bound: dict[str, np.ndarray]) -> Context:
    """Walk until nothing more has to be bound."""
    walks = 0
    while True:
        context = Context(model, sizes)
        walks += 1
        try:
            context.run(inputs, bound)
            return context
        except RestartError:
            pass
        except ConversionError:
            if not _give_up(sizes):
                raise
        if walks > MAX_WALKS or walks * len(model.nodes) > WALKED_NODES:
            _give_up(sizes)
        if walks > 4 * MAX_WALKS:
            raise ConversionError(["the dimensions of this graph could not be settled; fix them with --shape"])


def _give_up(sizes: Sizes) -> bool:
    """All tried symbols go back to their declared values. False when there was none left."""
    left = [name for name in sizes.hints if name not in sizes.values]
    for name in left:
        sizes.values[name] = sizes.hints[name]
        sizes.why[name] = "the graph with symbols for its static dimensions could not be converted"
    return bool(left)


def _named_time(context: Context, time_axis: Mapping[str, int]) -> str | None:
    """The dimension that the caller says is time."""
    found: dict[str, str] = {}
    for port in context.graph.inputs:
        if port.name not in time_axis:
            continue
        axis, dims = time_axis[port.name], port.tensor.dims
        if not -len(dims) <= axis < len(dims):
            raise ConversionError([f"time_axis: input {port.name!r} has {len(dims)} axes, so no axis {axis}"])
        name = dm.symbol_name(dims[axis])
        if name is None:
            known = [f"{n}: {why}" for n, why in context.sizes.why.items() if n.startswith(f"{port.name}[{axis}]")]
            raise ConversionError(
                [f"time_axis: axis {axis} of input {port.name!r} can only be {dims[axis]} ({'; '.join(known)})"]
            )
        found[name] = port.name
    if len(found) > 1:
        raise ConversionError([f"time_axis: the inputs {list(found.values())} do not have the same number of steps"])
    return next(iter(found), None)


def _choose_axes(context: Context, time_axis: Mapping[str, int]) -> bool:
    """Settle which symbols are time and batch; the other tried ones go back to their declared values.

    False when that changes nothing, so that the graph need not be walked again.
    """
    sizes = context.sizes
    before = dict(sizes.values)
    named = _named_time(context, time_axis)
    time = named or _first_symbol([r.steps for r in context.recurrences], sizes)
    batch = _first_symbol([r.rows for r in context.recurrences], sizes, exclude=time)
    declared = [(p, [dm.symbol_name(d) for d in p.tensor.dims]) for p in context.graph.inputs]
    if not context.recurrences:
        names = [n for _, dims in declared for n in dims if n and n not in sizes.hints]
        time = named or next((n for n in names if _TIME_NAME.match(n)), None)
        first = [dims[0] for _, dims in declared if len(dims) > 1 and dims[0] and dims[0] not in sizes.hints]
        batch = next((n for n in [*filter(_BATCH_NAME.match, names), *first] if n != time), None)
    for name in sizes.hints:
        if name not in (time, batch) and name not in sizes.values:
            sizes.values[name] = sizes.hints[name]
    used = {n for _, dims in declared for n in dims if n}
    sizes.time = _renamed(sizes, time, "time", used)
    sizes.batch = _renamed(sizes, batch, "batch", used)
    return sizes.time is not None or sizes.batch is not None or sizes.values != before


def _first_symbol(candidates: list[dm.Size], sizes: Sizes, exclude: str | None = None) -> str | None:
    """The first bare symbol, a declared one before a tried one.

    Behind a convolution with a cache the steps are n + cache - 1: at the declared size of the cache, n.
    """
    names = [n for n in (_bare(size, sizes) for size in candidates) if n and n != exclude]
    return next((n for n in names if n not in sizes.hints), names[0] if names else None)


def _bare(size: dm.Size, sizes: Sizes) -> str | None:
    """The symbol that a size is, or else the declared one that it is at the declared sizes of the tried ones."""
    others = dm.symbols(size) - sizes.hints.keys()
    if len(others) == 1:
        (name,) = others
        return name if sizes.hint(size - dm.symbol(name)) == 0 else None
    return dm.symbol_name(size)


def _renamed(sizes: Sizes, name: str | None, wish: str, used: set[str]) -> str | None:
    """A tried symbol that stays gets a name to be read by people."""
    if name is None or name not in sizes.hints:
        return name
    while wish in used:
        wish += "_"
    sizes.values[name] = dm.symbol(wish)
    sizes.hints[wish] = sizes.hints[name]
    return wish


def _is_frame(graph: Graph, context: Context) -> bool:
    """A declared time of one step beside tied state: the model takes single frames."""
    sizes = context.sizes
    if sizes.time is None or sizes.hints.get(sizes.time) != 1:
        return False
    return any(s.input is not None for s in graph.states)


def _finish(context: Context, states: str | Mapping[str, str], check: Callable[[Graph], None] | None) -> Lowered:
    """Roles, passes, states and what streams need."""
    graph, sizes = context.graph, context.sizes
    names = {n for p in graph.inputs for d in p.tensor.dims for n in dm.symbols(d)}
    roles = {sizes.time: "TIME", sizes.batch: "BATCH"}
    graph.symbols = {
        n: roles.get(n, "OTHER") for p in graph.inputs for d in p.tensor.dims for n in sorted(dm.symbols(d) & names)
    }
    _explain_recurrences(context)
    fused = run_passes(graph, check)
    _explain_sizes(context)
    alive = {id(n) for n in graph.nodes}
    recurrences: list[Recurrence] = [r for r in context.recurrences if id(r.node) in alive]
    nested = {id(n) for n in graph.all_nodes()}
    leads = [lead for lead in context.leads if id(lead.node) in nested]
    notes = tie_states(graph, recurrences, leads, states)
    _explain_states(graph, recurrences, states)
    if check is not None:
        check(graph)
    return Lowered(graph, fused, notes)


def _explain_recurrences(context: Context) -> None:
    """A graph whose recurrences have a fixed number of steps has no time axis to stream over.

    One that is given its state is: each call takes a frame of several steps.
    """
    graph = context.graph
    if context.sizes.time is not None or not graph.streamable:
        return
    for r in context.recurrences:
        first = r.node.inputs[9] if len(r.node.inputs) > 9 else None
        given = first is not None and first.base.storage == "INPUT" and not r.reverse
        if r.steps != 1 and not given:
            graph.streamable = False
            graph.reason = f"{r.label} runs over {r.steps} steps, which no dimension of an input stands for"
            return


def _explain_sizes(context: Context) -> None:
    """The number of steps as data is another number in each call of a stream."""
    graph = context.graph
    for node in graph.all_nodes():
        t = node.inputs[0] if node.kind == "shape" else node.outputs[0] if node.kind == "range" else None
        if graph.streamable and t is not None and context.has_time(*t.dims):
            graph.streamable = False
            graph.reason = f"{node.name!r} calculates with the number of steps"


def _explain_states(graph: Graph, recurrences: list[Recurrence], states: str | Mapping[str, str]) -> None:
    """An initial state that the graph computes makes it start afresh in each call, which a stream may not."""
    for r in recurrences:
        if not graph.streamable or not r.over_time:
            continue
        for operand in (9, 10):
            t = r.node.inputs[operand] if operand < len(r.node.inputs) else None
            if t is None or t.base.storage in ("STATE", "WEIGHTS"):
                continue
            graph.streamable = False
            graph.reason = f"{r.label} starts from a state that the graph computes"
            if t.base.storage == "INPUT":
                graph.reason = f"{r.label} starts each call from the input {t.base.name!r}, which others read too"
    if not graph.streamable:
        _forget_implicit(graph, recurrences)


def _forget_implicit(graph: Graph, recurrences: list[Recurrence]) -> None:
    """Without streams, recurrences start from zeros or their constant again."""
    implicit = {id(s.tensor): s for s in graph.states if s.input is None}
    for r in recurrences:
        for operand, t in enumerate(r.node.inputs):
            state = implicit.get(id(t)) if t is not None else None
            if state is not None:
                r.node.inputs[operand] = state.initial
    graph.states = [s for s in graph.states if s.input is not None]
