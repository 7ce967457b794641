# SPDX-License-Identifier: Apache-2.0
"""Which state a stream carries: inputs tied to outputs, and the recurrences' own.

*Explicit*: an input that is read only as initial state of forward recurrences over the time axis (or, in a graph
without one, of any recurrence); the state is renewed by what those recurrences end with. An output that holds the
same numbers in the same places shows it. In a graph without a time axis an input and an output may also belong
together by their names (`state` and `stateN`, `h0` and `hn`), when shape and type agree and the output depends on the
input.
*Implicit*: every other forward recurrence over the time axis.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from tinyrnn.errors import UnsupportedError

from . import dims as dm
from .errors import ConversionError
from .ir import Graph, Node, Port, State, Tensor
from .lowering import Recurrence

_H, _C = (9, 1), (10, 2)  # (operand of the initial state, output of the last one): initial_h and y_h, initial_c and y_c


def tie_states(graph: Graph, recurrences: list[Recurrence], states: str | Mapping[str, str]) -> None:
    """Find and tie all states of a lowered graph, after the passes."""
    if isinstance(states, str):
        if states not in ("auto", "keep"):
            raise ConversionError([f"states is {states!r}; give 'auto', 'keep' or a mapping of inputs to outputs"])
        if states == "auto":
            _tie_found(graph, recurrences)
    else:
        for given, shown in states.items():
            _tie_named(graph, given, shown)
    if graph.streamable:
        for r in recurrences:
            if r.over_time and not r.reverse and r.node in graph.nodes:
                _carry(graph, r.node)
    batch = graph.symbol_of("BATCH")
    for s in graph.states:
        axes = [i for i, d in enumerate(s.tensor.dims) if dm.symbol_name(d) == batch and batch]
        s.batch_axis = axes[0] if axes else -1


def _tie_found(graph: Graph, recurrences: list[Recurrence]) -> None:
    has_time = graph.symbol_of("TIME") is not None
    carried = {id(r.node) for r in recurrences if (r.over_time and not r.reverse) or not has_time}
    for i, port in enumerate(graph.inputs):
        if port.tensor.storage != "INPUT" or port.tensor.dtype != "F32" or port.time_axis >= 0 or not graph.streamable:
            continue
        ties = _initial_uses(graph, port.tensor, carried)
        if ties:
            _tie_recurrent(graph, i, ties)
        elif not has_time and not ties:
            _tie_by_name(graph, i)


def _initial_uses(graph: Graph, tensor: Tensor, carried: set[int]) -> list[tuple[Node, Tensor, int]] | None:
    """(node, the view that it reads, the output that renews it), when the input is read as initial state alone."""
    found: list[tuple[Node, Tensor, int]] = []
    for node in graph.nodes:
        for k, t in enumerate(node.inputs):
            if t is None or t.base is not tensor:
                continue
            output = next((o for operand, o in (_H, _C) if k == operand), None)
            if node.kind != "recurrent" or output is None or id(node) not in carried:
                return None
            found.append((node, t, output))
    return found or None


def _tie_recurrent(graph: Graph, i: int, uses: list[tuple[Node, Tensor, int]]) -> None:
    """The input becomes the state; each part is renewed by its recurrence, or all by the output that shows it."""
    port = graph.inputs[i]
    if _overlap([t for _, t, _ in uses]):
        return
    shown = _showing(graph, port, uses)
    names = ", ".join(dict.fromkeys(node.name for node, _, _ in uses))
    state = _make_state(graph, i, f"input {port.name!r} is the initial state of {names}")
    if shown is not None:
        _show(graph, state, shown, f"output {graph.outputs[shown].name!r} has what they end with, in the same places")
        return
    covered = all(_covers(t, port.tensor) for _, t, _ in uses)
    for node, t, output in uses:
        source = _output(node, output, t)
        destination = state.tensor if covered and len(uses) == 1 and t.dims == state.tensor.dims else t
        state.ties.append((destination, source))


def _overlap(parts: list[Tensor]) -> bool:
    """Whether one part is read by two recurrences, so that nothing says which of the two renews it."""
    places = [(t.offset, t.step, t.dims) for t in parts]
    return any(p in places[:k] for k, p in enumerate(places))


def _covers(t: Tensor, whole: Tensor) -> bool:
    return dm.product(t.dims) == dm.product(whole.dims)


def _showing(graph: Graph, port: Port, uses: list[tuple[Node, Tensor, int]]) -> int | None:
    """The output in which every part lies where the input has it."""
    for o, out in enumerate(graph.outputs):
        if out.state is not None or out.tensor.dims != port.tensor.dims or out.tensor.dtype != port.tensor.dtype:
            continue
        if all(_lies(graph, node, output, t, out.tensor) for node, t, output in uses):
            return o
    return None


def _lies(graph: Graph, node: Node, output: int, part: Tensor, whole: Tensor) -> bool:
    """Whether the node's output is, or is copied to, the place in `whole` that `part` has in the input."""
    made = node.outputs[output] if output < len(node.outputs) else None
    if made is None:
        return False
    if _same_place(made, part, whole):
        return True
    for other in graph.nodes:
        if other.kind == "copy" and other.inputs[0] is not None and other.inputs[0].base is made.base:
            source, target = other.inputs[0], other.outputs[0]
            same = source.offset == made.offset and dm.product(source.dims) == dm.product(made.dims)
            if (
                same
                and target is not None
                and target.base is whole
                and target.offset == part.offset
                and _ordered(source)
            ) and _squeezed(target) == _squeezed(part):
                return True
    return False


def _ordered(t: Tensor) -> bool:
    return t.step == dm.contiguous(t.dims) or _squeezed(t) == _squeezed(t.base)


def _squeezed(t: Tensor) -> list[tuple[dm.Size, dm.Size]]:
    return [(d, s) for d, s in zip(t.dims, t.step, strict=True) if d != 1]


def _same_place(made: Tensor, part: Tensor, whole: Tensor) -> bool:
    return made.base is whole and made.offset == part.offset and _squeezed(made) == _squeezed(part)


def _output(node: Node, output: int, like: Tensor) -> Tensor:
    """The last state of a recurrence, made where the graph has no use for it."""
    while len(node.outputs) <= output:
        node.outputs.append(None)
    made = node.outputs[output]
    if made is None:
        made = node.outputs[output] = Tensor(f"{node.name}.{'hc'[output - 1]}", "F32", like.dims)
    return made


def _make_state(graph: Graph, i: int, why: str) -> State:
    port = graph.inputs[i]
    port.tensor.storage = "STATE"
    port.state = len(graph.states)
    state = State(port.tensor, input=i, why=why)
    graph.states.append(state)
    return state


def _show(graph: Graph, state: State, o: int, why: str) -> None:
    out = graph.outputs[o]
    out.state = graph.states.index(state)
    state.ties.append((state.tensor, out.tensor))
    state.why += f"; {why}"


def _tie_named(graph: Graph, given: str, shown: str) -> None:
    """A tie that the caller asked for."""
    i = next((k for k, p in enumerate(graph.inputs) if p.name == given), None)
    o = next((k for k, p in enumerate(graph.outputs) if p.name == shown), None)
    if i is None or o is None:
        side, ports, name = ("input", graph.inputs, given) if i is None else ("output", graph.outputs, shown)
        raise ConversionError([f"states: the graph has no {side} {name!r}; it has {[p.name for p in ports]}"])
    a, b = graph.inputs[i].tensor, graph.outputs[o].tensor
    if (
        a.dims != b.dims
        or a.dtype != b.dtype
        or a.dtype != "F32"
        or a.storage != "INPUT"
        or graph.outputs[o].state is not None
    ):
        raise ConversionError(
            [
                f"states: input {given!r} {a.dtype}{list(a.dims)} cannot be tied to output {shown!r} "
                f"{b.dtype}{list(b.dims)}: one float32 shape, and each once"
            ]
        )
    _show(graph, _make_state(graph, i, "named by the caller"), o, f"renewed by output {shown!r}")


_SUFFIXES = re.compile(r"(?:[_.]?(?:in|input|init|initial|prev|0|old|n|out|output|next|new|final|last))+$", re.I)
_PREFIXES = re.compile(r"^(?:(?:in|input|init|initial|prev|old|out|output|next|new|final|last)[_.])+", re.I)
_STATE_NAMES = re.compile(
    r"(?:^|[_.])(?:h|c|s|hx|cx|hidden|cell|state|states|memory|mem|cache)(?:[_.]?[hc])?\d*$", re.I
)


def stem(name: str) -> str:
    """A state's name without what says which end of a step it is: state, stateN, state_out -> state; h0, hn -> h."""
    short = _PREFIXES.sub("", name.lower())
    return _SUFFIXES.sub("", short) or short


def _tie_by_name(graph: Graph, i: int) -> None:
    port = graph.inputs[i]
    if not _STATE_NAMES.search(stem(port.name)):
        return
    same = [
        o
        for o, out in enumerate(graph.outputs)
        if out.state is None
        and out.tensor.dims == port.tensor.dims
        and out.tensor.dtype == port.tensor.dtype
        and stem(out.name) == stem(port.name)
    ]
    if len(same) == 1 and _depends(graph, graph.outputs[same[0]].tensor, port.tensor):
        name = graph.outputs[same[0]].name
        _show(
            graph,
            _make_state(graph, i, f"input {port.name!r}"),
            same[0],
            f"and output {name!r} agree in name, shape and type",
        )


def _depends(graph: Graph, result: Tensor, on: Tensor) -> bool:
    reached = {id(on)}
    for node in graph.nodes:
        if any(t is not None and id(t.base) in reached for t in node.inputs):
            reached |= {id(t.base) for t in node.outputs if t is not None}
    return id(result) in reached


def _carry(graph: Graph, node: Node) -> None:
    """Give a recurrence state of its own, where the graph gives it none, or a constant."""
    node.inputs += [None] * (11 - len(node.inputs))
    lstm = node.attributes["cell"] == "LSTM"
    for operand, output in (_H, _C)[: 2 if lstm else 1]:
        initial = node.inputs[operand]
        if initial is not None and initial.base.storage != "WEIGHTS":
            continue
        x = node.inputs[0]
        assert x is not None
        dims = (1, x.dims[1], node.attributes["hidden_size"])
        state = Tensor(f"{node.name}.{'hc'[output - 1]}", "F32", dims, "STATE")
        first = None if initial is None else _initial_constant(initial)
        made = State(state, first, why=f"carried by {node.name}")
        node.inputs[operand] = state
        made.ties.append((state, _output(node, output, state)))
        graph.states.append(made)


def _initial_constant(t: Tensor) -> Tensor:
    """[1, B or 1, H] of a constant that may be broadcast along the rows."""
    data = t.base.data
    if data is None:
        raise UnsupportedError("an initial state without data")
    if not isinstance(t.offset, int) or not all(isinstance(s, int) for s in t.step):
        raise UnsupportedError("an initial state with symbolic strides")
    rows = int(t.dims[1]) if isinstance(t.dims[1], int) else 1
    shape = (int(t.dims[0]), rows, int(t.dims[2]))  # type: ignore[arg-type]
    flat = data.reshape(-1)[t.offset :]
    steps = tuple(int(s) * flat.itemsize for s in t.step)  # type: ignore[arg-type]
    return Tensor(
        "", "F32", shape, "WEIGHTS", data=np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, shape, steps))
    )
