# SPDX-License-Identifier: Apache-2.0
"""Which state a stream carries: inputs tied to outputs, and the recurrences' own.

*Explicit*: an input and an output of one shape, when something shows that the one is the other a call later:
  - the input is the initial state of recurrences, or stands before the steps of a sequence (what a convolution looks
    back at), and the output has what they end with, in the same places; or nothing shows it and the recurrences
    themselves renew the input;
  - the input is a state by its name, and they are the cell or the hidden states of an LSTM that is written out;
  - the output is what is scattered into the input, or the input pushed along by new elements (a cache);
  - both consist of the same parts (layers, h and c), each new one made from the old one;
  - their names agree (`state` and `stateN`, `h0` and `hn`), or the input's is a state's and only one output fits.
All but the first ask for a graph without a time axis: with one, nothing says that a call may have any length.
What fits several outputs is left alone, and the report says so.
*Implicit*: every other forward recurrence over the time axis.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from tinyrnn.errors import UnsupportedError

from . import dims as dm
from .cells import Cell, Cells
from .errors import ConversionError
from .ir import FLOATS, Graph, Node, Port, State, Tensor
from .lowering import Lead, Recurrence
from .places import (
    Use,
    covers,
    geometry,
    inner,
    is_whole,
    moves,
    outer,
    reached,
    readers,
    sources,
    squeezed,
    writers,
)

_H, _C = (9, 1), (10, 2)  # (operand of the initial state, output of the last one): initial_h and y_h, initial_c and y_c


def tie_states(
    graph: Graph, recurrences: list[Recurrence], leads: list[Lead], states: str | Mapping[str, str]
) -> list[str]:
    """Find and tie all states of a lowered graph, after the passes. Returns what could not be decided, in words."""
    notes: list[str] = []
    search = _Search(graph, recurrences, leads)
    if isinstance(states, str):
        if states not in ("auto", "keep"):
            raise ConversionError([f"states is {states!r}; give 'auto', 'keep' or a mapping of inputs to outputs"])
        if states == "auto" and graph.streamable:
            notes = search.tie()
        if states == "keep" and graph.streamable and search.has_time:
            search.feed()
    else:
        for given, shown in states.items():
            _tie_named(graph, given, shown)
    search.explain_leads()
    if graph.streamable:
        for r in recurrences:
            if r.over_time and not r.reverse and r.node in graph.nodes:
                _carry(graph, r.node)
    batch = graph.symbol_of("BATCH")
    for s in graph.states:
        axes = [i for i, d in enumerate(s.tensor.dims) if dm.symbol_name(d) == batch and batch]
        s.batch_axis = axes[0] if axes else -1
    return notes


class _Search:
    """Goes by the evidence, the strongest kind first; an input and an output are tied once."""

    def __init__(self, graph: Graph, recurrences: list[Recurrence], leads: list[Lead]) -> None:
        self.graph = graph
        self.leads = {id(lead.node): lead for lead in leads}
        self.has_time = graph.symbol_of("TIME") is not None
        self.carried = {id(r.node) for r in recurrences if (r.over_time and not r.reverse) or not self.has_time}
        self.cells: list[Cell] = []
        self.notes: list[str] = []

    def tie(self) -> list[str]:
        """Tie all that is certain."""
        self._by(self._shown)
        if not self.has_time:
            named = [p for p in self.graph.inputs if self._open(p) and is_state(p.name)]
            self.cells = Cells(self.graph, named).find()
            kinds = (self._written_out, self._pushed, self._scattered, self._named, self._same_parts, self._only_fit)
            for evidence in kinds:
                self._by(evidence)
        for i, port in enumerate(self.graph.inputs):
            uses = self._initial_uses(port)
            if self._open(port) and uses and not self._leads_of(port):
                _renew(self.graph, i, uses)
        return self.notes

    def feed(self) -> None:
        """States that stay inputs: given in every call, whose blocks of steps go on from one another."""
        for i, port in enumerate(self.graph.inputs):
            uses = self._initial_uses(port)
            if self._open(port) and uses and not self._leads_of(port):
                _renew(self.graph, i, uses)
                self.graph.inputs[i].fed = True

    def _by(self, evidence: Callable[[Port, Port], str]) -> None:
        """Tie each input to the one output that the evidence speaks for."""
        inputs = [p for p in self.graph.inputs if self._open(p)]
        found = {id(p): [o for o in self.graph.outputs if _fits(p, o) and evidence(p, o)] for p in inputs}
        for p in inputs:
            if len(found[id(p)]) > 1 or any(o in found[id(q)] for o in found[id(p)] for q in inputs if q is not p):
                names = ", ".join(repr(o.name) for o in found[id(p)])
                self.notes.append(
                    f"input {p.name!r} could be the state that output {names} renews, but not it alone fits; "
                    "name the pairs with --state"
                )
                continue
            for o in found[id(p)]:
                _tie(self.graph, p, o, evidence(p, o))

    def _open(self, port: Port) -> bool:
        """Whether an input can still become a state."""
        return port.tensor.storage == "INPUT" and port.tensor.dtype in FLOATS and port.time_axis < 0

    def explain_leads(self) -> None:
        """Steps before those of the call that are not the last ones of the call before: no stream goes on from them."""
        for lead in self.leads.values():
            given = lead.node.inputs[0]
            assert given is not None
            tied = [(p, o) for p in self.graph.inputs for o in self.graph.outputs if p.state is not None]
            tied = [(p, o) for p, o in tied if p.state == o.state and inner(self.graph, p) is given.base]
            if self.graph.streamable and not any(self._shown(p, o) for p, o in tied):
                self.graph.streamable, count = False, given.dims[lead.axis]
                self.graph.reason = (
                    f"{lead.label} puts {given.base.name!r} before the steps of the sequence, which has to be a state: "
                    f"read by nothing else, and renewed by an output with the last {count} steps of the result"
                )

    def _initial_uses(self, port: Port, alone: bool = True) -> list[tuple[Node, Tensor, int]]:
        """(node, the part that it reads, the output that renews it) where the input is an initial state.

        `alone`: none where something but a recurrence and a lead reads it too.
        """
        found = []
        for use in readers(self.graph, inner(self.graph, port)):
            if id(use.node) in self.leads:
                continue
            k = next((k for k, t in enumerate(use.node.inputs) if t is use.part), -1)
            output = next((o for operand, o in (_H, _C) if k == operand), None)
            if use.node.kind == "recurrent" and output is not None and id(use.node) in self.carried:
                found.append((use.node, use.part, output))
            elif alone:
                return []
        places = [geometry(t) for _, t, _ in found]
        # Of a part that two recurrences start from, nothing says which of the two renews it.
        return [] if alone and len(set(places)) < len(places) else found

    def _leads_of(self, port: Port) -> list[Lead]:
        """Where the input stands before the steps of a sequence."""
        uses = readers(self.graph, inner(self.graph, port)) if self.leads else []
        return [self.leads[id(use.node)] for use in uses if id(use.node) in self.leads]

    # ---- kinds of evidence: the reason, in words, or nothing ---------------------------------------------------------

    def _shown(self, p: Port, o: Port) -> str:
        """The output has what recurrences and sequences end with that begin with the input."""
        # Where a call may have any number of steps, what else reads the state would not see it change within one.
        uses, leads = self._initial_uses(p, alone=self.has_time), self._leads_of(p)
        whole, read = outer(self.graph, o), readers(self.graph, inner(self.graph, p))
        if not (uses or leads) or (self.has_time and len(uses) + len(leads) < len(read)):
            return ""
        if not all(_lies(self.graph, node, output, t, whole) for node, t, output in uses):
            return ""
        if not all(self._ends_in(lead, whole) for lead in leads):
            return ""
        made = {"is the initial state of": [node for node, _, _ in uses]}
        made |= {"stands before the steps in": [lead.node for lead in leads]}
        roles = [f"{role} {', '.join(dict.fromkeys(n.name for n in nodes))}" for role, nodes in made.items() if nodes]
        return f"{' and '.join(roles)}; output {o.name!r} has what they end with, in the same places"

    def _ends_in(self, lead: Lead, whole: Tensor) -> bool:
        """Whether the last steps of what begins with a part of an input go to the same part of the output."""
        given, front = lead.node.inputs[0], lead.node.outputs[0]
        assert given is not None
        assert front is not None
        steps = dm.symbol(self.graph.symbol_of("TIME") or "")
        end = front.offset + steps * front.step[lead.axis]
        for use in sources(self.graph, whole):
            source = use.node.inputs[0] if moves(use.node) and use.node in self.graph.nodes else None
            if source is None or source.base is not front.base or lead.node not in self.graph.nodes:
                continue  # in a branch that may be passed by it shows nothing
            placed = (source.offset, use.part.offset) == (end, given.offset)
            if placed and _pairs(source, use.part) == _pairs(front, given):
                return True
        return False

    def _written_out(self, p: Port, o: Port) -> str:
        """The two states of an LSTM cell that is written out."""
        for cell in self.cells:
            if (p, o) == (cell.c, cell.new_c):
                return f"is a cell state: a forget gate of it, and what an input gate adds, are output {o.name!r}"
            if (p, o) == (cell.h, cell.new_h):
                return (
                    f"is a hidden state: it makes the gates of cell {cell.new_c.name!r}, which output {o.name!r} shows"
                )
        return ""

    def _pushed(self, p: Port, o: Port) -> str:
        """The output is the input moved along an axis, with new elements behind (or before) it."""
        old = inner(self.graph, p)
        for use in sources(self.graph, outer(self.graph, o)):
            source = use.node.inputs[0] if moves(use.node) else None
            if source is None:
                continue
            if source.base is old and _shifted(source, use.part):
                return f"goes to output {o.name!r} moved along by one call"
            if is_whole(use.part) and self._joins(old, source):
                return f"is joined with what is new, whose end is output {o.name!r}"
        return ""

    def _joins(self, old: Tensor, end: Tensor) -> bool:
        """Whether `end` is as long a piece of a tensor, further on, as the piece that the input was copied to."""
        for use in writers(self.graph, end.base):
            source = use.node.inputs[0] if moves(use.node) else None
            if source is not None and source.base is old and is_whole(source) and _shifted(use.part, end):
                return True
        return False

    def _scattered(self, p: Port, o: Port) -> str:
        for use in sources(self.graph, outer(self.graph, o)):
            target = use.node.inputs[0]
            whole = target is not None and target.base is inner(self.graph, p) and is_whole(target)
            if use.node.kind in ("scatter_elements", "scatter_nd") and whole and is_whole(use.part):
                return f"is what {use.node.name} puts new elements into, which gives output {o.name!r}"
        return ""

    def _named(self, p: Port, o: Port) -> str:
        same = stem(p.name) == stem(o.name) and is_state(p.name)
        return f"and output {o.name!r} agree in name, shape and type" if same and self._depends(o, p) else ""

    def _same_parts(self, p: Port, o: Port) -> str:
        """Both are put together of at least two parts in the same places, and other inputs and outputs are left."""
        old, new = readers(self.graph, inner(self.graph, p)), sources(self.graph, outer(self.graph, o))
        places = {geometry(use.part): use for use in new}
        if len(places) < 2 or len(places) < len(new) or {geometry(use.part) for use in old} != places.keys():
            return ""
        if not covers([use.part for use in new], p.tensor) or not self._others(p, o):
            return ""
        if not all(self._renews([u for u in old if geometry(u.part) == at], use) for at, use in places.items()):
            return ""
        return f"and output {o.name!r} consist of the same {len(places)} parts, each new one made from the old one"

    def _renews(self, old: list[Use], new: Use) -> bool:
        nodes = [use.node for use in old]
        roots = reached(self.graph, [], nodes)
        return any(new.node is n for n in nodes) or any(id(t.base) in roots for t in new.node.reads())

    def _others(self, p: Port, o: Port) -> bool:
        """Whether data is left that comes from another input, and goes to another output."""
        data = [q.tensor for q in self.graph.inputs if q is not p and q.state is None]
        left = [q for q in self.graph.outputs if q is not o and q.state is None]
        return bool(left) and id(o.tensor) in reached(self.graph, data)

    def _only_fit(self, p: Port, o: Port) -> str:
        """A state by its name, and no other output has its shape."""
        if not is_state(p.name) or not self._depends(o, p) or not self._others(p, o):
            return ""
        return f"is a state by its name, and only output {o.name!r} has its shape"

    def _depends(self, o: Port, p: Port) -> bool:
        return id(o.tensor) in reached(self.graph, [p.tensor])


def _fits(p: Port, o: Port) -> bool:
    return o.state is None and (o.tensor.dims, o.tensor.dtype, o.time_axis) == (p.tensor.dims, p.tensor.dtype, -1)


def _pairs(a: Tensor, b: Tensor) -> set[tuple[dm.Size, dm.Size, dm.Size]]:
    """Length and both strides of each axis of two parts of the same dims, in whatever order the axes are."""
    return {(d, s, t) for d, s, t in zip(a.dims, a.step, b.step, strict=True) if d != 1}


def _shifted(a: Tensor, b: Tensor) -> bool:
    """Whether two parts have the same lengths and strides at different places."""
    return squeezed(a) == squeezed(b) and a.offset != b.offset


def _tie(graph: Graph, p: Port, o: Port, why: str) -> None:
    state = _make_state(graph, graph.inputs.index(p), f"input {p.name!r} {why}")
    o.state = graph.states.index(state)
    state.ties.append((state.tensor, _float32_of(graph, o)))


def _float32_of(graph: Graph, o: Port) -> Tensor:
    """What renews the state: the output itself, or the float32 that it is made from."""
    source = outer(graph, o)
    made = writers(graph, o.tensor)
    if source is o.tensor and source.dtype != "F32" and len(made) == 1 and moves(made[0].node):
        part = made[0].node.inputs[0]
        source = part if part is not None and part.dtype == "F32" else source
    if source is o.tensor or source.dims == o.tensor.dims:
        return source
    return Tensor(source.name, source.dtype, o.tensor.dims, "VIEW", source, 0, dm.contiguous(o.tensor.dims))


def _renew(graph: Graph, i: int, uses: list[tuple[Node, Tensor, int]]) -> None:
    """No output shows the state: each part is renewed by its recurrence."""
    port = graph.inputs[i]
    names = ", ".join(dict.fromkeys(node.name for node, _, _ in uses))
    state = _make_state(graph, i, f"input {port.name!r} is the initial state of {names}")
    for node, t, output in uses:
        source = _output(node, output, t)
        whole = len(uses) == 1 and t.dims == state.tensor.dims and is_whole(t)
        state.ties.append((state.tensor if whole else t, source))


def _lies(graph: Graph, node: Node, output: int, part: Tensor, whole: Tensor) -> bool:
    """Whether the node's output is, or is copied to, the place in `whole` that `part` has in the input."""
    made = node.outputs[output] if output < len(node.outputs) else None
    if made is None:
        return False
    if made.base is whole and geometry(made) == geometry(part):
        return True
    for use in writers(graph, whole):
        source = use.node.inputs[0] if moves(use.node) else None
        if source is None or source.base is not made.base or geometry(use.part) != geometry(part):
            continue
        if geometry(source) == geometry(made) or (is_whole(source) and is_whole(made)):
            return True
    return False


def _output(node: Node, output: int, like: Tensor) -> Tensor:
    """The last state of a recurrence, made where the graph has no use for it."""
    while len(node.outputs) <= output:
        node.outputs.append(None)
    made = node.outputs[output]
    if made is None:
        made = node.outputs[output] = Tensor(f"{node.name}.{'hc'[output - 1]}", "F32", like.dims)
    return made


def _make_state(graph: Graph, i: int, why: str) -> State:
    """The input becomes a state, which is float32: one that is declared otherwise is given as float32."""
    port = graph.inputs[i]
    tensor = inner(graph, port)
    if tensor is not port.tensor:
        graph.nodes = [n for n in graph.nodes if not any(t is tensor for t in n.outputs)]
        tensor.name, port.tensor = port.tensor.name, tensor
    tensor.storage = "STATE"
    port.state = len(graph.states)
    state = State(tensor, input=i, why=why)
    graph.states.append(state)
    return state


def _tie_named(graph: Graph, given: str, shown: str) -> None:
    """A tie that the caller asked for."""
    p = next((p for p in graph.inputs if p.name == given), None)
    o = next((p for p in graph.outputs if p.name == shown), None)
    if p is None or o is None:
        side, ports, name = ("input", graph.inputs, given) if p is None else ("output", graph.outputs, shown)
        raise ConversionError([f"states: the graph has no {side} {name!r}; it has {[p.name for p in ports]}"])
    if not _fits(p, o) or p.tensor.dtype not in FLOATS or p.tensor.storage != "INPUT" or p.time_axis >= 0:
        raise ConversionError(
            [
                f"states: input {given!r} {p.tensor.dtype}{list(p.tensor.dims)} cannot be tied to output {shown!r} "
                f"{o.tensor.dtype}{list(o.tensor.dims)}: one shape and float type, no time axis, and each once"
            ]
        )
    _tie(graph, p, o, f"named by the caller; renewed by output {o.name!r}")


_OF_STEPS = "in|input|init|initial|prev|past|old|out|output|next|new|final|last|present"
_SUFFIXES = re.compile(rf"(?:[_.]?(?:{_OF_STEPS}|0|n))+$", re.I)
_PREFIXES = re.compile(rf"^(?:(?:{_OF_STEPS})[_.])+", re.I)
_STATE_NAMES = re.compile(
    r"(?:^|[_.])(?:h|c|s|hx|cx|hidden|cell|state|states|memory|mem|cache)(?:[_.]?[hc])?\d*$", re.I
)


def stem(name: str) -> str:
    """A state's name without what says which end of a step it is: state, stateN, state_out -> state; h0, hn -> h."""
    short = _PREFIXES.sub("", name.lower())
    return _SUFFIXES.sub("", short) or short


def is_state(name: str) -> bool:
    """Whether a name is one that people give to states."""
    return any(_STATE_NAMES.search(n) for n in (stem(name), name.lower()))


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
