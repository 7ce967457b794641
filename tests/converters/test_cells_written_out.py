# SPDX-License-Identifier: Apache-2.0
"""LSTM and GRU cells in the forms in which exporters write them out: one operator of each, none of what is no cell."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

import tinyrnn
from build import BOOL, agree, body, choice, kinds, lowered, model, node, random, reference
from tinyrnn.converters import convert_bytes

A = np.array
INPUTS = 5


@dataclass(frozen=True)
class Form:
    """How a cell is written."""

    hidden: int = 6
    batch: int | str = "batch"
    order: str = "ifgo"  # of the gates in the weights
    products: str = "two"  # of x and of h; "one" of both side by side; or two for "each" gate
    biases: tuple[str, ...] = ("x", "h")  # added to the product of x, to that of h, to the sum
    gemm: bool = False
    cut: str = "sum"  # what the gates are cut out of: the "sum", the "products", or, in part, the "sigmoids"
    by: str = "Split"
    swapped: tuple[bool, ...] = (False,) * 6  # operands of the sum, of the bias, f * c, i * g, their sum, o * tanh
    hard: bool = False
    states: str = "inputs"  # or "one" tensor that holds both, or "computed"


FORMS = st.builds(
    Form,
    hidden=st.sampled_from([1, 5, 6, 16, 19]),
    batch=st.sampled_from([1, 3, "batch"]),
    order=st.permutations("ifgo").map("".join),
    products=st.sampled_from(["two", "one", "each"]),
    biases=st.sets(st.sampled_from(["x", "h", "sum"])).map(sorted).map(tuple),
    gemm=st.booleans(),
    cut=st.sampled_from(["sum", "products", "sigmoids"]),
    by=st.sampled_from(["Split", "Slice"]),
    swapped=st.tuples(*[st.booleans()] * 6),
    hard=st.booleans(),
    states=st.sampled_from(["inputs", "one", "computed"]),
)


class Writer:
    """Writes the nodes of cells."""

    def __init__(self, form: Form, prefix: str = "v") -> None:
        self.form, self.prefix = form, prefix
        self.nodes: list = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, op: str, *inputs: str, out: str = "", **attributes) -> str:
        out = out or f"{self.prefix}{len(self.nodes)}"
        self.nodes.append(node(op, " ".join(inputs), out, **attributes))
        return out

    def constant(self, array) -> str:
        """An initializer; the same one for the same elements."""
        known = [name for name, other in self.constants.items() if np.array_equal(other, array)]
        name = known[0] if known else f"k{len(self.constants)}"
        self.constants.setdefault(name, A(array))
        return name

    def two(self, op: str, a: str, b: str, flag: int, out: str = "") -> str:
        """A node of two operands, which change places if the form says so."""
        return self.add(op, *((b, a) if self.form.swapped[flag] else (a, b)), out=out)

    def product(self, x: str, depth: int, columns: int, seed: int, bias: bool) -> str:
        weights = self.constant(random(depth, columns, seed=seed, scale=0.5))
        vector = self.constant(random(columns, seed=seed + 1)) if bias else ""
        if self.form.gemm:
            return self.add("Gemm", x, weights, *[vector] * bias)
        made = self.add("MatMul", x, weights)
        return self.two("Add", made, vector, 1) if bias else made

    def pieces(self, t: str, count: int) -> list[str]:
        """A tensor cut along its last axis."""
        h = self.form.hidden
        if count == 1:
            return [t]
        if self.form.by == "Split":
            names = [f"{t}_{i}" for i in range(count)]
            self.nodes.append(node("Split", f"{t} {self.constant([h] * count)}", " ".join(names), axis=-1))
            return names
        ends = [self.constant([n * h]) for n in range(count + 1)]
        axis = self.constant([-1])
        return [self.add("Slice", t, a, b, axis) for a, b in itertools.pairwise(ends)]

    def sums(self, x: str, h: str, gates: int, seed: int) -> list[str]:
        """What some gates are the functions of: all of them side by side, or each."""
        f, columns = self.form, gates * self.form.hidden
        if f.products == "one":
            found = [self.product(self.add("Concat", x, h, axis=-1), INPUTS + f.hidden, columns, seed, "x" in f.biases)]
        else:
            found = [self.product(x, INPUTS, columns, seed, "x" in f.biases)]
            found += [self.product(h, f.hidden, columns, seed + 7, "h" in f.biases)]
        if f.cut == "products":
            apart = [self.pieces(t, gates) for t in found]
            made = [self.two("Add", *pair, 0) if len(pair) == 2 else pair[0] for pair in zip(*apart)]
        else:
            made = [self.two("Add", *found, 0) if len(found) == 2 else found[0]]
        if "sum" in f.biases:
            wide = columns // len(made)
            made = [self.two("Add", t, self.constant(random(wide, seed=seed + i)), 1) for i, t in enumerate(made, 3)]
        return made

    def squashed(self, t: str) -> str:
        return self.add("HardSigmoid", t, alpha=0.3, beta=0.45) if self.form.hard else self.add("Sigmoid", t)

    def gates(self, x: str, h: str) -> dict[str, str]:
        """The four gates by name."""
        f = self.form
        if f.products == "each":
            found = {g: self.sums(x, h, 1, 10 * i)[0] for i, g in enumerate(f.order)}
            return {g: self.add("Tanh", t) if g == "g" else self.squashed(t) for g, t in found.items()}
        made = self.sums(x, h, 4, 0)
        if len(made) == 1 and f.cut == "sigmoids" and f.order[3] == "g":
            three, last = self.constant([3 * f.hidden, f.hidden]), [f"{made[0]}_ifo", f"{made[0]}_g"]
            self.nodes.append(node("Split", f"{made[0]} {three}", " ".join(last), axis=-1))
            parts = self.pieces(self.squashed(last[0]), 3)
            return dict(zip(f.order, [*parts, self.add("Tanh", last[1])]))
        parts = dict(zip(f.order, made if len(made) == 4 else self.pieces(made[0], 4)))
        return {g: self.add("Tanh", t) if g == "g" else self.squashed(t) for g, t in parts.items()}

    def cell(self, x: str, h: str, c: str, new_h: str, new_c: str) -> None:
        g = self.gates(x, h)
        kept, added = self.two("Mul", g["f"], c, 2), self.two("Mul", g["i"], g["g"], 3)
        self.two("Add", kept, added, 4, out=new_c)
        self.two("Mul", g["o"], self.add("Tanh", new_c), 5, out=new_h)


def written(form: Form):
    """Return a model of one cell, and what to feed it."""
    made, rows = Writer(form), 2 if form.batch == "batch" else form.batch
    inputs, feeds = {"x": [form.batch, INPUTS]}, {"x": random(rows, INPUTS, seed=3)}
    h, c = "h", "c"
    if form.states == "one":
        inputs["state"], feeds["state"] = [form.batch, form.hidden, 2], random(rows, form.hidden, 2, seed=4)
        h, c = (made.add("Gather", "state", made.constant(i), axis=2) for i in (0, 1))
    else:
        for name in (h, c):
            inputs[name], feeds[name] = [form.batch, form.hidden], random(rows, form.hidden, seed=ord(name))
    if form.states == "computed":
        h, c = made.add("Exp", "h"), made.add("Exp", "c")
    made.cell("x", h, c, "p", "q")
    return model([*made.nodes, node("Neg", "p", "y")], inputs, "y q p", made.constants), feeds


def agrees(proto, feeds):
    agree(proto, **feeds)
    got = tinyrnn.load(convert_bytes(proto, states={})[0]).run(feeds)
    for name, want in reference(proto, **feeds).items():
        np.testing.assert_allclose(got[name], want, 1e-5, 2e-6)


BLENDS = {
    "(1 - z) n + z h": ("Sub one z r0", "Mul r0 n r1", "Mul z h r2", "Add r1 r2 p"),
    "n + z (h - n)": ("Sub h n r0", "Mul r0 z r1", "Add r1 n p"),
    "(1 - z) h + z n": ("Sub one z r0", "Mul r0 h r1", "Mul z n r2", "Add r2 r1 p"),
    "h + z (n - h)": ("Sub n h r0", "Mul z r0 r1", "Add h r1 p"),
}


def gru(form: Form, blend: str, after: bool):
    """Return a model of one GRU cell, and what to feed it; its reset gate stands before or after the product with h."""
    made, size = Writer(form), form.hidden
    if after:
        of_x = made.pieces(made.product("x", INPUTS, 3 * size, 0, "x" in form.biases), 3)
        of_h = made.pieces(made.product("h", size, 3 * size, 7, "h" in form.biases), 3)
        z, r = (made.squashed(made.two("Add", of_x[i], of_h[i], 0)) for i in (0, 1))
        total = made.two("Add", of_x[2], made.two("Mul", r, of_h[2], 2), 3)
    elif form.products == "each":
        z, r = (made.squashed(made.sums("x", "h", 1, seed)[0]) for seed in (0, 20))
        total = made.sums("x", made.two("Mul", r, "h", 2), 1, 40)[0]
    else:
        sums = made.sums("x", "h", 2, 0)
        z, r = (made.squashed(t) for t in (sums if len(sums) == 2 else made.pieces(sums[0], 2)))
        total = made.sums("x", made.two("Mul", r, "h", 2), 1, 40)[0]
    names = {"z": z, "n": made.add("Tanh", total), "one": made.constant(np.float32(1)), "h": "h"}
    for line in BLENDS[blend]:
        op, *inputs, out = line.split()
        made.add(op, *(names.get(i, i) for i in inputs), out=out)
    rows = 2 if form.batch == "batch" else form.batch
    feeds = {"x": random(rows, INPUTS, seed=3), "h": random(rows, size, seed=4)}
    dims = {"x": [form.batch, INPUTS], "h": [form.batch, size]}
    return model([*made.nodes, node("Neg", "p", "y")], dims, "y p", made.constants), feeds


@settings(max_examples=60, deadline=None)
@given(FORMS, st.sampled_from(list(BLENDS)), st.booleans())
def test_every_form_of_a_gru_becomes_one_operator(form, blend, after):
    proto, feeds = gru(form, blend, after)
    graph = lowered(proto, states={}).graph
    found = [n.attributes["linear_before_reset"] for n in graph.nodes if n.kind == "recurrent"]
    negative = form.hard and blend in list(BLENDS)[2:]
    assert found == ([] if negative else [int(after)]), (form, blend)
    assert ("dense" in kinds(graph)) == negative
    agrees(proto, feeds)


#: The operator and which one of it, in the order of the graph, becomes another one.
CHANGED_GRU = [("Sub", 0, "Max"), ("Mul", 0, "Add"), ("Mul", 2, "Add"), ("Sigmoid", 0, "Tanh"), ("Sigmoid", 1, "Tanh")]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("op", "which", "other"), CHANGED_GRU)
def test_another_formula_than_that_of_a_gru_stays(op, which, other, after):
    proto, feeds = gru(Form(batch=2), "(1 - z) n + z h", after)
    [n for n in proto.graph.node if n.op_type == op][which].op_type = other
    assert "recurrent" not in kinds(lowered(proto, states={}).graph)
    agrees(proto, feeds)


@pytest.mark.parametrize("blend", BLENDS)
def test_a_gru_that_starts_from_zeros(blend):
    """The zeros are there in more than one form: what was made for the product, and what is blended."""
    proto, feeds = gru(Form(), blend, True)
    made = Writer(Form(), "w")
    rows = made.add("Slice", made.add("Shape", "x"), made.constant([0]), made.constant([1]))
    made.add("Expand", made.constant(np.float32(0)), made.add("Concat", rows, made.constant([6]), axis=0), out="h")
    constants = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    for n in made.nodes:
        n.input[:] = [f"z{name}" if name in made.constants else name for name in n.input]
    constants |= {f"z{name}": array for name, array in made.constants.items()}
    proto = model([*made.nodes, *proto.graph.node], {"x": ["batch", INPUTS]}, "y p", constants)
    (cell,) = (n for n in lowered(proto).graph.nodes if n.kind == "recurrent")
    assert cell.inputs[9] is None
    agrees(proto, {"x": feeds["x"]})


@pytest.mark.parametrize("quantize", [None, "int8", "int16"])
@pytest.mark.parametrize("after", [False, True])
def test_a_gru_of_frames_streams_as_it_is_fed_its_state(after, quantize):
    proto, _ = gru(Form(batch=1), "n + z (h - n)", after)
    engine = tinyrnn.load(convert_bytes(proto, quantize=quantize, states={"h": "p"})[0])
    stream, x, h = engine.stream(), random(9, 1, INPUTS), np.zeros((1, 6), np.float32)
    steps = np.stack([stream.step(frame) for frame in x])
    assert engine.stream().run(x).tobytes() == steps.tobytes()
    for frame, y in zip(x, steps):
        got = engine.run({"x": frame, "h": h})
        assert got["y"].tobytes() == y.tobytes()
        if quantize is None:
            np.testing.assert_allclose(y, reference(proto, x=frame, h=h)["y"], 1e-5, 2e-6)
        h = got["p"]


@settings(max_examples=60, deadline=None)
@given(FORMS)
def test_every_form_of_a_cell_becomes_one_operator(form):
    proto, feeds = written(form)
    graph = lowered(proto, states={}).graph
    found = [n for n in graph.nodes if n.kind == "recurrent"]
    assert len(found) == 1, form
    assert "dense" not in kinds(graph)
    assert found[0].attributes["cell"] == "LSTM"
    agrees(proto, feeds)


def test_the_report_names_the_cell_and_its_weights_keep_their_names():
    proto, _ = written(Form())
    _, report = convert_bytes(proto, quantize="int8", keep_float=["k0"])
    assert any(line.endswith("an LSTM cell that was written out") for line in report.to_dict()["fused"])
    (layer,) = report.to_dict()["layers"]
    assert (layer["kind"], layer["precision"]) == ("recurrent", "float32")


def test_a_cell_that_is_written_out_step_by_step_keeps_its_weights_once():
    made, h, c = Writer(Form()), "h", "c"
    for t in range(3):
        made.cell(f"x{t}", h, c, f"p{t}", f"q{t}")
        h, c = f"p{t}", f"q{t}"
    inputs = {name: [1, INPUTS if name[0] == "x" else 6] for name in ("x0", "x1", "x2", "h", "c")}
    proto = model(made.nodes, inputs, "p2 q2", made.constants)
    graph = lowered(proto, states={}).graph
    assert kinds(graph) == "recurrent recurrent recurrent"
    assert len({id(n.inputs[1]) for n in graph.nodes}) == len({id(n.inputs[2]) for n in graph.nodes}) == 1
    agrees(proto, {name: random(*dims, seed=i) for i, (name, dims) in enumerate(inputs.items())})


def test_a_state_of_zeros_is_none():
    made = Writer(Form())
    rows = made.add("Slice", made.add("Shape", "x"), made.constant([0]), made.constant([1]))
    dims = made.add("Concat", rows, made.constant([6]), axis=0)
    zeros = made.add("Expand", made.constant(np.zeros((1, 6), np.float32)), dims)
    made.cell("x", zeros, zeros, "p", "q")
    proto = model(made.nodes, {"x": ["batch", INPUTS]}, "p q", made.constants)
    (cell,) = lowered(proto).graph.nodes
    assert (cell.kind, cell.inputs[9:]) == ("recurrent", [None, None])
    agrees(proto, {"x": random(2, INPUTS)})


def test_a_cell_in_a_branch():
    """Each branch has a cell of its own; x is the hidden state of another cell."""
    outer, inner = Writer(Form()), Writer(Form(order="ofig"), "w")
    outer.cell("x", "h", "c", "p", "q")
    inner.cell("x", "p", "q", "s", "t")
    then = body(inner.nodes, "s t", inner.constants)
    other = body([node("Neg", "p", "s2"), node("Exp", "q", "t2")], "s2 t2")
    inputs = {"x": [2, INPUTS], "h": [2, 6], "c": [2, 6]}
    proto = model(
        [*outer.nodes, choice("yes", "y z", then, other)], inputs | {"yes": (BOOL, [])}, "y z", outer.constants
    )
    graph = lowered(proto, states={}).graph
    assert [n.kind for n in graph.all_nodes()].count("recurrent") == 2
    for yes in (False, True):
        agrees(proto, {name: random(*dims, seed=ord(name)) for name, dims in inputs.items()} | {"yes": A(yes)})


PLAIN = Form(batch=2)
DIMS = {"x": [2, INPUTS], "h": [2, 6], "c": [2, 6]}


def stays(nodes, outputs, constants, dims=None):
    """Check that a graph has no cell for the pass, and is right."""
    dims = dims or DIMS
    proto = model(nodes, dims, outputs, constants)
    assert "recurrent" not in kinds(lowered(proto, states={}).graph)
    agrees(proto, {name: random(*shape, seed=ord(name), scale=0.5) for name, shape in dims.items()})


#: The operator and which one of it, in the order of the graph, becomes another one.
CHANGED = [
    ("Add", 2, "Sub"),
    ("Sigmoid", 1, "Tanh"),
    ("Sigmoid", 3, "HardSigmoid"),
    ("Tanh", 0, "Exp"),
    ("Tanh", 1, "Erf"),
    ("Mul", 0, "Div"),
    ("Mul", 1, "Max"),
    ("Add", 3, "Sub"),
    ("Mul", 2, "Add"),
]


@pytest.mark.parametrize(("op", "which", "other"), CHANGED)
def test_another_formula_stays(op, which, other):
    made = Writer(PLAIN)
    made.cell("x", "h", "c", "p", "q")
    at = [n for n in made.nodes if n.op_type == op][min(which, 2) if op == "Sigmoid" else which]
    at.op_type = other
    stays(made.nodes, "p q", made.constants)


@pytest.mark.parametrize(
    ("op", "which"), [("MatMul", 0), ("Add", 0), ("Add", 2), ("Sigmoid", 1), ("Tanh", 1), ("Mul", 0)]
)
@pytest.mark.parametrize("how", ["output", "operand"])
def test_what_is_needed_elsewhere_too_stays(op, which, how):
    made = Writer(PLAIN)
    made.cell("x", "h", "c", "p", "q")
    shown = [n for n in made.nodes if n.op_type == op][which].output[0]
    more = [] if how == "output" else [node("Exp", shown, "e")]
    stays([*made.nodes, *more], f"p q {shown if how == 'output' else 'e'}", made.constants)


def test_a_sum_of_thousands_is_not_followed():
    made = Writer(PLAIN)
    made.cell("x", "h", "c", "p", "q")
    at = next(i for i, n in enumerate(made.nodes) if n.op_type == "Sigmoid")
    name, bias, more = made.nodes[at].input[0], made.constant(np.zeros(6, np.float32)), []
    for i in range(2000):
        more.append(node("Add", f"{name} {bias}", f"sum{i}"))
        name = f"sum{i}"
    made.nodes[at].input[0] = name
    stays([*made.nodes[:at], *more, *made.nodes[at:]], "p q", made.constants)


def test_two_hidden_states_of_one_cell_state_stay():
    made = Writer(PLAIN)
    made.cell("x", "h", "c", "p", "q")
    o, t = (next(n for n in reversed(made.nodes) if n.op_type == op).output[0] for op in ("Sigmoid", "Tanh"))
    stays([*made.nodes, node("Exp", o, "o2"), node("Mul", f"o2 {t}", "p2")], "p q p2", made.constants)


def test_weights_that_are_used_elsewhere_or_arrive_at_run_time_stay():
    made = Writer(PLAIN)
    made.cell("x", "h", "c", "p", "q")
    weights = made.nodes[0].input[1]
    stays([*made.nodes, node("MatMul", f"w {weights}", "y")], "p q y", made.constants, DIMS | {"w": [3, INPUTS]})
    constants = {name: array for name, array in made.constants.items() if name != weights}
    made.nodes[0].input[1] = "w"
    stays(made.nodes, "p q", constants, DIMS | {"w": [INPUTS, 24]})


def test_a_hidden_state_of_another_size_stays():
    made = Writer(PLAIN)
    made.cell("x", "h", "c", "p", "q")
    product = [n for n in made.nodes if n.op_type == "MatMul"][1]
    made.constants["wide"] = random(9, 24, seed=5)
    product.input[1] = "wide"
    stays(made.nodes, "p q", made.constants, DIMS | {"h": [2, 9]})


def test_three_products_stay():
    made = Writer(PLAIN)
    made.cell("x", "h", "c", "p", "q")
    first = made.nodes[0]
    third = [node("MatMul", "z wide", "third"), node("Add", "first third", first.output[0])]
    first.output[0] = "first"
    stays([first, *third, *made.nodes[1:]], "p q", made.constants | {"wide": random(4, 24)}, DIMS | {"z": [2, 4]})


@pytest.mark.parametrize("quantize", [None, "int8", "int16"])
@pytest.mark.parametrize(
    "form", [Form(batch=1), Form(batch=1, hidden=19, products="one"), Form(batch=1, cut="products")]
)
def test_a_frame_model_streams_as_it_is_fed_its_states(form, quantize):
    """The states are those that were found before; steps, many at once and calls give the same bytes."""
    made = Writer(form)
    made.cell("x", "h", "c", "h_out", "c_out")
    state = [1, form.hidden]
    proto = model(
        [*made.nodes, node("Neg", "h_out", "y")],
        {"x": [1, INPUTS], "h": state, "c": state},
        "y h_out c_out",
        made.constants,
    )
    graph = lowered(proto).graph
    assert [n.kind for n in graph.nodes].count("recurrent") == 1
    assert {graph.inputs[s.input].name: s.ties[0][1].base.name for s in graph.states} == {"h": "h_out", "c": "c_out"}
    engine = tinyrnn.load(convert_bytes(proto, quantize=quantize)[0])
    stream, x = engine.stream(), random(9, 1, INPUTS)
    steps = np.stack([stream.step(frame) for frame in x])
    assert engine.stream().run(x).tobytes() == steps.tobytes()
    h = c = np.zeros(state, np.float32)
    for frame, y in zip(x, steps):
        got = engine.run({"x": frame, "h": h, "c": c})
        h, c = got["h_out"], got["c_out"]
        assert got["y"].tobytes() == y.tobytes()
    if quantize is None:
        want = {"h_out": np.zeros(state, np.float32), "c_out": np.zeros(state, np.float32)}
        for frame, y in zip(x, steps):
            want = reference(proto, x=frame, h=want["h_out"], c=want["c_out"])
            np.testing.assert_allclose(y, want["y"], 1e-5, 2e-6)


@pytest.mark.parametrize("quantize", [None, "int8", "int16"])
def test_a_cell_of_every_step_of_a_sequence_is_one_of_many_rows(quantize):
    """It starts from what the same step brings: nothing is carried, and whole, chunks and steps are the same."""
    made = Writer(Form())
    made.cell("x", "h", "c", "p", "q")
    dims = {name: ["time", "batch", 6 if name != "x" else INPUTS] for name in DIMS}
    proto = model([*made.nodes, node("Neg", "p", "y")], dims, "y", made.constants)
    graph = lowered(proto).graph
    assert graph.streamable
    assert (kinds(graph), graph.states) == ("recurrent elementwise", [])
    engine = tinyrnn.load(convert_bytes(proto, quantize=quantize)[0])
    feeds = {name: random(7, 2, d[2], seed=ord(name)) for name, d in dims.items()}
    whole = engine.run(feeds)["y"]
    if quantize is None:
        np.testing.assert_allclose(whole, reference(proto, **feeds)["y"], 1e-5, 2e-6)
    stream = engine.stream(batch=2)
    for part in (slice(0, 1), slice(1, 4), slice(4, 7)):
        assert stream.run({k: v[part] for k, v in feeds.items()})["y"].tobytes() == whole[part].tobytes()
    alone = engine.run({k: np.ascontiguousarray(v[:, 1:]) for k, v in feeds.items()})["y"]
    assert alone.tobytes() == np.ascontiguousarray(whole[:, 1:]).tobytes()
