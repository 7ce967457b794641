# SPDX-License-Identifier: Apache-2.0
"""States found by use and by name, the time axis, and why a graph cannot be streamed."""

import numpy as np
import pytest

import tinyrnn
from build import INT64, kinds, lowered, model, node, random
from interpret import Run
from tinyrnn.converters import ConversionError, convert_bytes

H = 5
W = {"W": random(1, 4 * H, 3, seed=1), "R": random(1, 4 * H, H, seed=2), "B": random(1, 8 * H, seed=3)}
G = {"W": random(1, 3 * H, 3, seed=1), "R": random(1, 3 * H, H, seed=2)}
X = ["time", "batch", 3]
A = np.array


def lstm(inputs="X W R B", outputs="Y H C", name="cell", **attributes):
    return node("LSTM", inputs, outputs, name=name, hidden_size=H, **attributes)


def in_chunks(proto, sizes=(2, 1, 3), axis=0, **feeds):
    """Run a lowered graph at once and in chunks; return both, by output."""
    graph = lowered(proto).graph
    whole = Run(graph)(feeds)
    state_inputs = {p.name for p in graph.inputs if p.state is not None}
    stream, at, parts = Run(graph), 0, []
    for i, size in enumerate(sizes):
        now = {}
        for port in graph.inputs:
            if port.name in state_inputs:
                now |= {port.name: feeds[port.name]} if i == 0 else {}
            else:
                now[port.name] = np.take(feeds[port.name], range(at, at + size), axis=axis)
        parts.append(stream(now))
        at += size
    joined = {}
    for port in graph.outputs:
        time = port.time_axis
        joined[port.name] = np.concatenate([p[port.name] for p in parts], time) if time >= 0 else parts[-1][port.name]
    return whole, joined


def same_in_chunks(proto, **feeds):
    whole, joined = in_chunks(proto, **feeds)
    for name, w in whole.items():
        np.testing.assert_array_equal(joined[name], w, err_msg=name)


def test_a_recurrence_without_state_inputs_is_carried():
    proto = model([lstm()], {"X": X}, "Y H C", W)
    graph = lowered(proto).graph
    assert (graph.streamable, graph.symbols) == (True, {"time": "TIME", "batch": "BATCH"})
    assert [s.input for s in graph.states] == [None, None]
    assert [s.batch_axis for s in graph.states] == [1, 1]
    same_in_chunks(proto, X=random(6, 2, 3))


def test_a_constant_initial_state_is_the_first_value():
    first = random(1, 1, H, seed=9)
    proto = model([lstm("X W R B - k k")], {"X": ["time", 1, 3]}, "Y", W | {"k": first})
    graph = lowered(proto).graph
    assert graph.streamable
    assert (graph.states[0].initial.data == first).all()
    same_in_chunks(proto, X=random(6, 1, 3))


def test_zeros_of_any_form_are_no_initial_state():
    nodes = [
        node("Shape", "X", "s"),
        node("Gather", "s one", "n"),
        node("Unsqueeze", "n zero", "n1"),
        node("Concat", "d n1 h", "dims", axis=0),
        node("ConstantOfShape", "dims", "z"),
        lstm("X W R B - z z"),
    ]
    proto = model(nodes, {"X": X}, "Y", W | {"one": A(1), "zero": A([0]), "d": A([1]), "h": A([H])})
    graph = lowered(proto).graph
    assert kinds(graph) == "recurrent"
    assert graph.streamable


def test_pairs_of_inputs_and_outputs_are_tied():
    proto = model([lstm("X W R B - h c")], {"X": X, "h": [1, "batch", H], "c": [1, "batch", H]}, "Y H C", W)
    graph = lowered(proto).graph
    assert [(p.name, p.state) for p in graph.inputs] == [("X", None), ("h", 0), ("c", 1)]
    assert [(p.name, p.state) for p in graph.outputs] == [("Y", None), ("H", 0), ("C", 1)]
    same_in_chunks(proto, X=random(6, 2, 3), h=random(1, 2, H), c=random(1, 2, H, seed=4))
    kept = lowered(proto, states="keep").graph
    assert kept.streamable
    assert [(p.name, p.fed) for p in kept.inputs] == [("X", False), ("h", True), ("c", True)]
    assert [p.state for p in kept.outputs] == [None] * 3


def test_a_state_that_stays_an_input_is_given_in_every_call():
    proto = model([lstm("X W R B - h c")], {"X": X, "h": [1, "batch", H], "c": [1, "batch", H]}, "Y H C", W)
    engine = tinyrnn.load(convert_bytes(proto, states="keep")[0])
    given = {"X": random(40, 2, 3), "h": random(1, 2, H), "c": random(1, 2, H, seed=4)}
    want = engine.run(given)
    stream = engine.stream(2)
    for _ in range(2):  # longer than a block, and nothing is left behind
        for name, y in stream.run(given).items():
            assert y.tobytes() == want[name].tobytes()
    state = {name: given[name] for name in "hc"}
    for x, y in zip(given["X"], want["Y"], strict=True):
        stepped = stream.step({"X": x, **state})
        assert stepped["Y"].tobytes() == y.tobytes()
        state = {"h": stepped["H"], "c": stepped["C"]}
    with pytest.raises(tinyrnn.ArgumentError, match="missing input: 'h', 'c'"):
        stream.run({"X": given["X"]})


@pytest.mark.parametrize("states", ["auto", "keep"])
@pytest.mark.parametrize(
    ("made", "reason"),
    [("Tanh", "starts from a state that the graph computes"), ("Identity", "from the input 'h', which others read")],
)
def test_a_state_that_is_computed_or_read_by_others_does_not_stream(states, made, reason):
    nodes = [node(made, "h", "start"), node("ReduceSum", "h", "sum"), lstm("X W R B - start c", name="cell")]
    proto = model(nodes, {"X": X, "h": [1, "batch", H], "c": [1, "batch", H]}, "Y sum", W)
    graph = lowered(proto, states=states).graph
    assert not graph.streamable
    assert reason in graph.reason


def stacked_layers(outputs="Y S"):
    """Two LSTMs whose h and c stand in one tensor [1, 2, H, 2], as DTLN has them."""
    nodes, made = [], {}
    for layer, state in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        key = f"{layer}{state}"
        made |= {f"s{key}": A([0, layer, 0, state]), f"e{key}": A([1 << 40, layer + 1, 1 << 40, state + 1])}
        nodes.append(node("Slice", f"S0 s{key} e{key}", f"part{key}"))
        nodes.append(node("Squeeze", f"part{key} axes", f"flat{key}"))
        nodes.append(node("Unsqueeze", f"flat{key} first", f"init{key}"))
    second = {"W2": random(1, 4 * H, H, seed=6), "R2": random(1, 4 * H, H, seed=7)}
    nodes += [lstm("X W R B - init00 init01", "Y0 H00 H01", "one"), node("Squeeze", "Y0 second", "X1")]
    nodes += [lstm("X1 W2 R2 - - init10 init11", "Y1 H10 H11", "two"), node("Squeeze", "Y1 second", "Y")]
    for state in "01":
        for layer in "01":
            nodes.append(node("Squeeze", f"H{layer}{state} first", f"q{layer}{state}"))
            nodes.append(node("Unsqueeze", f"q{layer}{state} second", f"u{layer}{state}"))
        nodes.append(node("Concat", f"u0{state} u1{state}", f"cat{state}", axis=1))
        nodes.append(node("Unsqueeze", f"cat{state} last", f"w{state}"))
    nodes.append(node("Concat", "w0 w1", "S", axis=-1))
    made |= {"axes": A([1, 3]), "first": A([0]), "second": A([1]), "last": A([-1])}
    return model(nodes, {"X": [1, 1, 3], "S0": [1, 2, H, 2]}, outputs, W | second | made)


def test_layers_stacked_in_one_tensor_are_one_state():
    graph = lowered(stacked_layers()).graph
    assert kinds(graph) == "recurrent recurrent"  # no copy is left
    assert graph.streamable
    assert graph.symbol_of("TIME") is None  # declared as one step beside tied state: a frame model
    (state,) = graph.states
    assert state.input == 1
    assert state.ties[0][1] is graph.outputs[1].tensor


def test_stacked_state_without_an_output_is_renewed_part_by_part():
    graph = lowered(stacked_layers("Y")).graph
    (state,) = graph.states
    assert len(state.ties) == 4
    feeds = {"X": random(1, 1, 3), "S0": random(1, 2, H, 2)}
    shown, hidden = Run(lowered(stacked_layers()).graph), Run(graph)
    for _ in range(3):
        a, b = shown(feeds), hidden(feeds)
        np.testing.assert_array_equal(a["Y"], b["Y"])
        feeds = {"X": feeds["X"]}


def test_a_mapping_is_complete_and_checked():
    dims = {"X": X, "h": [1, "batch", H], "c": [1, "batch", H]}
    proto = model([lstm("X W R B - h c")], dims, "Y H C", W)
    graph = lowered(proto, states={"h": "H"}).graph
    assert len(graph.states) == 1
    for bad in ({"h": "Y"}, {"x": "H"}, {"h": "nothing"}):
        with pytest.raises(ConversionError, match="states:"):
            lowered(proto, states=bad)
    with pytest.raises(ConversionError, match="'auto', 'keep'"):
        lowered(proto, states="some")


@pytest.mark.parametrize(("names", "tied"), [(("h0", "hn"), True), (("state", "stateN"), True), (("x", "y"), False)])
def test_cells_written_out_are_tied_by_name_in_frame_models(names, tied):
    given, shown = names
    nodes = [
        node("MatMul", "f w", "a"),
        node("MatMul", f"{given} r", "b"),
        node("Add", "a b", "s"),
        node("Tanh", "s", shown),
    ]
    nodes.append(node("MatMul", f"{shown} w", "out"))
    proto = model(nodes, {"f": [1, H], given: [1, H]}, f"out {shown}", {"w": random(H, H), "r": random(H, H, seed=1)})
    graph = lowered(proto).graph
    assert graph.streamable
    assert len(graph.states) == tied


REASONS = [
    ("backwards", [lstm(direction="reverse")], "Y", "'cell' runs backwards"),
    ("both", [node("GRU", "X W2 R2", "Y", name="cell", direction="bidirectional")], "Y", "'cell' also runs backwards"),
    ("softmax", [lstm(), node("Softmax", "Y", "Z", name="over", axis=0)], "Z", "'over' normalises over the steps"),
    ("first", [lstm(), node("Gather", "Y zero", "Z", name="pick")], "Z", "'pick' takes other steps"),
    ("shift", [lstm(), node("Slice", "Y one big zeros", "Z", name="cut")], "Z", "'cut' takes some steps"),
    ("flip", [lstm(), node("Slice", "Y minus small zeros minus", "Z", name="flip")], "Z", "'flip' turns the sequence"),
    ("concat", [lstm(), node("Concat", "Y Y", "Z", name="twice", axis=0)], "Z", "'twice' joins along the steps"),
    (
        "late",
        [lstm(), node("Gather", "Y last", "l"), node("Add", "Y l", "Z", name="mix")],
        "Z",
        "'mix' uses at each step",
    ),
    (
        "state",
        [node("Tanh", "h", "t"), lstm("X W R B - t t")],
        "Y",
        "'cell' starts from a state that the graph computes",
    ),
]


@pytest.mark.parametrize(("nodes", "outputs", "reason"), [r[1:] for r in REASONS], ids=[r[0] for r in REASONS])
def test_what_looks_at_the_future_is_named(nodes, outputs, reason):
    constants = {"zero": A(0), "zeros": A([0]), "one": A([1]), "big": A([1 << 40]), "last": A([-1]), "minus": A([-1])}
    constants |= {"small": A([-(1 << 40)]), "W2": random(2, 3 * H, 3), "R2": random(2, 3 * H, H)}
    inputs = {"X": X} | ({"h": [1, "batch", H]} if any("h" in n.input for n in nodes) else {})
    graph = lowered(model(nodes, inputs, outputs, W | constants)).graph
    assert not graph.streamable
    assert reason in graph.reason
    assert not [s for s in graph.states if s.input is None]


CAUSAL = {
    "last step": [lstm(), node("Gather", "Y last", "l", axis=0), node("Softmax", "l", "Z")],
    "merged rows": [lstm(), node("Reshape", "Y flat", "f"), node("MatMul", "f m", "d"), node("Reshape", "d back", "Z")],
    "batch first": [
        lstm(),
        node("Squeeze", "Y one", "s"),
        node("Transpose", "s", "t", perm=[1, 0, 2]),
        node("Relu", "t", "Z"),
    ],
    "residual": [node("MatMul", "X k", "p"), lstm(), node("Squeeze", "Y one", "s"), node("Add", "s p", "Z")],
}


@pytest.mark.parametrize("nodes", CAUSAL.values(), ids=CAUSAL)
def test_causal_graphs_give_the_same_in_chunks(nodes):
    constants = W | {"last": A([-1]), "one": A([1]), "flat": A([-1, H]), "m": random(H, 4), "k": random(3, H)}
    nodes = [
        node("Shape", "X", "dims"),
        node("Slice", "dims zeros two", "tb"),
        node("Concat", "tb four", "back", axis=0),
        *nodes,
    ]
    constants |= {"zeros": A([0]), "two": A([2]), "four": A([4])}
    proto = model(nodes, {"X": X}, "Z", constants)
    assert lowered(proto).graph.streamable
    same_in_chunks(proto, X=random(6, 2, 3))


def test_static_time_and_batch_become_symbols():
    nodes = [lstm("X W R B - z z"), node("Transpose", "Y", "t", perm=[0, 2, 1, 3]), node("Reshape", "t dims", "Z")]
    proto = model(nodes, {"X": [6, 2, 3]}, "Z", W | {"z": np.zeros((1, 2, H), np.float32), "dims": A([6, 2, H])})
    graph = lowered(proto).graph
    assert str(graph.outputs[0].tensor.dims) == "(time, batch, 5)"
    assert kinds(graph) == "recurrent"
    same_in_chunks(proto, X=random(6, 2, 3))


@pytest.mark.parametrize(("layers", "symbols"), [(4, {"batch": "BATCH"}), (12, {}), (40, {})])
def test_the_static_batches_of_many_states_are_settled(layers, symbols):
    nodes, inputs, outputs = [], {"y0": [1, 1, H]}, [f"y{layers}"]
    for i in range(layers):
        inputs |= {f"h{i}": [1, 1, H], f"c{i}": [1, 1, H]}
        outputs += [f"hn{i}", f"cn{i}"]
        nodes.append(lstm(f"y{i} V R B - h{i} c{i}", f"Y{i} hn{i} cn{i}", name=f"cell{i}"))
        nodes.append(node("Squeeze", f"Y{i} one", f"y{i + 1}"))
    constants = W | {"V": random(1, 4 * H, H, seed=4), "one": A([1])}
    graph = lowered(model(nodes, inputs, " ".join(outputs), constants)).graph
    assert graph.streamable
    assert len(graph.states) == 2 * layers
    assert graph.symbols == symbols  # of very many they go back to what is declared


def test_static_time_that_the_graph_insists_on_stays():
    nodes = [lstm(), node("Slice", "Y two four zero", "Z", name="window")]
    proto = model(nodes, {"X": [6, 2, 3]}, "Z", W | {"two": A([2]), "four": A([4]), "zero": A([0])})
    graph = lowered(proto).graph
    assert graph.symbol_of("TIME") is None
    assert not graph.streamable
    assert "6 steps" in graph.reason
    assert graph.inputs[0].tensor.dims[0] == 6


def test_a_recurrence_across_another_axis_starts_afresh():
    nodes = [
        node("Transpose", "F", "bands", perm=[1, 0, 2]),  # frequency first: the steps are the rows
        node("GRU", "bands W R", "Y", name="across", hidden_size=H),
        node("Squeeze", "Y one", "s"),
        node("ReduceSum", "k", "sum", keepdims=0),
        node("Gather", "s lastband", "v", axis=0),
        node("Unsqueeze", "v one", "X2"),
        node("GRU", "X2 W2 R", "Z", name="along", hidden_size=H),
    ]
    constants = G | {"one": A([1]), "lastband": A(-1), "k": A([1.0], np.float32), "W2": random(1, 3 * H, H, seed=8)}
    graph = lowered(model(nodes, {"F": ["time", 7, 3]}, "Z", constants)).graph
    assert graph.streamable
    assert len(graph.states) == 1
    assert "along" in graph.states[0].why
    same_in_chunks(model(nodes, {"F": ["time", 7, 3]}, "Z", constants), F=random(6, 7, 3))


def test_gather_by_token_keeps_the_time_axis():
    nodes = [node("Gather", "table tokens", "e"), node("Transpose", "e", "X", perm=[1, 0, 2]), lstm("X W R B", "Y")]
    proto = model(nodes, {"tokens": (INT64, ["batch", "time"])}, "Y", W | {"table": random(11, 3)})
    graph = lowered(proto).graph
    assert graph.streamable
    assert (graph.inputs[0].time_axis, graph.inputs[0].batch_axis) == (1, 0)
    whole, joined = in_chunks(proto, axis=1, tokens=np.arange(12).reshape(2, 6) % 11)
    np.testing.assert_array_equal(whole["Y"], joined["Y"])


@pytest.mark.parametrize(("dims", "axis"), [(["a", "b", 3], 1), ([4, 7, 3], -2), (["time", "b", 3], 1)])
def test_the_time_axis_can_be_named(dims, axis):
    proto = model([node("Tanh", "x", "y")], {"x": dims}, "y")
    graph = lowered(proto, time_axis={"x": axis}).graph
    assert (graph.inputs[0].time_axis, graph.outputs[0].time_axis, graph.streamable) == (1, 1, True)
    assert lowered(proto).graph.inputs[0].time_axis == (0 if dims[0] == "time" else -1)


def test_a_time_axis_that_cannot_be_is_refused():
    proto = model([node("Tanh", "x", "y"), node("MatMul", "y w", "z")], {"x": ["n", 3]}, "z", {"w": random(3, 2)})
    with pytest.raises(ConversionError, match="axis 1 of input 'x' can only be 3"):
        lowered(proto, time_axis={"x": 1})
    with pytest.raises(ConversionError, match="no axis 2"):
        lowered(proto, time_axis={"x": 2})
    with pytest.raises(ConversionError, match="no input 'y'"):
        lowered(proto, time_axis={"y": 0})
    two = model([node("Neg", "a", "p"), node("Neg", "b", "q")], {"a": ["n"], "b": ["m"]}, "p q")
    with pytest.raises(ConversionError, match="number of steps"):
        lowered(two, time_axis={"a": 0, "b": 0})


def test_time_that_is_named_beats_what_is_traced():
    """A recurrence over the frequencies of each frame."""
    proto = model([lstm()], {"X": ["bins", "frames", 3]}, "Y", W)
    graph = lowered(proto, time_axis={"X": 1}).graph
    assert (graph.symbol_of("TIME"), graph.streamable, graph.states) == ("frames", True, [])


# ---- a frame at a time: states that no recurrent operator shows ------------------------------------------------------


def frames(nodes, inputs, outputs, constants=None, **given):
    """Lower a model of frames."""
    return lowered(model(nodes, inputs, outputs, constants), **given)


def pairs(made):
    """Return the ties by name: {input: outputs that show the same state}."""
    graph = made.graph
    return {p.name: [o.name for o in graph.outputs if o.state == p.state] for p in graph.inputs if p.state is not None}


PUSHED = [
    node("Concat", "old x", "all", axis=1),
    node("Slice", "all one big axis", "kept"),
    node("ReduceSum", "all axis", "y", keepdims=0),
]
RING = [
    node("Slice", "old one big axis", "tail"),
    node("Concat", "tail x", "kept", axis=1),
    node("ReduceSum", "kept axis", "y", keepdims=0),
]
SCATTERED = [
    node("ScatterElements", "old place x", "kept", name="put", axis=1),
    node("ReduceSum", "kept axis", "y", keepdims=0),
]
CONSTANTS = {"one": A([1]), "big": A([1 << 40]), "axis": A([1])}


@pytest.mark.parametrize("nodes", [PUSHED, RING, SCATTERED])
def test_caches_are_tied_whatever_their_names(nodes):
    inputs = {"old": [1, 4, 3], "x": [1, 1, 3]}
    if nodes is SCATTERED:
        inputs["place"] = (INT64, [1, 1, 3])
    made = frames(nodes, inputs, "kept y", CONSTANTS)
    assert pairs(made) == {"old": ["kept"]}
    run, shadow = Run(made.graph), np.zeros((1, 4, 3), np.float32)
    for k in range(6):
        x = random(1, 1, 3, seed=k)
        feeds = {"x": x, "place": np.full((1, 1, 3), k % 4)} if nodes is SCATTERED else {"x": x}
        if nodes is SCATTERED:
            shadow[:, k % 4] = x[:, 0]
            want = shadow.sum(1)
        else:
            want = shadow.sum(1) * (nodes is PUSHED) + x[:, 0] + shadow[:, 1:].sum(1) * (nodes is RING)
            shadow = np.concatenate([shadow[:, 1:], x], 1)
        np.testing.assert_allclose(run(feeds)["y"], want, rtol=1e-5, atol=1e-6)


PARTS = [
    node("Split", "packed", "a b", axis=0),
    node("Mul", "a half", "a1"),
    node("Add", "a1 x", "a2"),
    node("Mul", "b half", "b1"),
    node("Add", "b1 a2", "b2"),
    node("Concat", "a2 b2", "result", axis=0),
    node("Neg", "b2", "y"),
]


def test_parts_in_the_same_places_are_a_state():
    made = frames(PARTS, {"x": [1, 3], "packed": [2, 3]}, "y result", {"half": np.float32(0.5)})
    assert pairs(made) == {"packed": ["result"]}
    assert "2 parts" in made.graph.states[0].why


def test_a_frame_that_is_split_and_joined_is_data_where_nothing_else_is():
    nodes = [*PARTS[:1], node("Neg", "a", "a2"), node("Add", "b a2", "b2"), node("Concat", "a2 b2", "result", axis=0)]
    assert pairs(frames(nodes, {"packed": [2, 3]}, "result")) == {}


def test_frames_of_several_steps_with_a_state_are_streamed():
    """A window slides over the samples of a frame; a recurrence goes over what it finds."""
    nodes = [
        node("Conv", "x K", "v", kernel_shape=[4], strides=[4]),
        node("Transpose", "v", "t", perm=[2, 0, 1]),
        lstm("t W R B - h0 c0", "Y hn cn"),
    ]
    state = [1, 1, H]
    inputs = {"x": [1, 1, "samples"], "h0": state, "c0": state}
    made = frames(nodes, inputs, "Y hn cn", W | {"K": random(3, 1, 4)})
    assert (made.graph.streamable, made.graph.symbol_of("TIME")) == (True, None)
    assert pairs(made) == {"h0": ["hn"], "c0": ["cn"]}
    alone = [nodes[0], nodes[1], lstm("t W R B", "Y hn cn")]
    graph = frames(alone, {"x": [1, 1, "samples"]}, "Y hn cn", W | {"K": random(3, 1, 4)}).graph
    assert not graph.streamable
    assert "'cell'" in graph.reason


def test_what_fits_twice_is_left_alone_and_said():
    nodes = [node("Add", "hidden x", "p"), node("Mul", "hidden x", "q"), node("Neg", "x", "y")]
    made = frames(nodes, {"x": [1, 3], "hidden": [1, 3]}, "y p q")
    assert pairs(made) == {}
    assert any("'hidden'" in note and "--state" in note for note in made.notes)
    named = frames(nodes, {"x": [1, 3], "hidden": [1, 3]}, "y p q", states={"hidden": "q"})
    assert pairs(named) == {"hidden": ["q"]}


def test_a_state_by_its_name_takes_the_only_output_that_fits():
    nodes = [node("Add", "hidden x", "new"), node("ReduceSum", "new axis", "y", keepdims=1)]
    made = frames(nodes, {"x": [1, 3], "hidden": [1, 3]}, "y new", {"axis": A([1])})
    assert pairs(made) == {"hidden": ["new"]}


def written_out(x, h, c, new_h, new_c, layer="", gates="apart"):
    """Return the nodes of an LSTM cell; with gates `together` one product makes them, side by side."""
    n = layer
    if gates == "together":
        nodes = [node("Concat", f"{x} {h}", f"xh{n}", axis=1), node("Gemm", f"xh{n} WR{n} b", f"z{n}")]
        nodes += [node("Split", f"z{n} three_one", f"ifo{n} g0{n}", axis=1), node("Sigmoid", f"ifo{n}", f"s{n}")]
        nodes += [node("Split", f"s{n} ones", f"i{n} f{n} o{n}", axis=1), node("Tanh", f"g0{n}", f"g{n}")]
    else:
        nodes = []
        for k in "ifog":
            nodes += [node("MatMul", f"{x} W{k}{n}", f"a{k}{n}"), node("MatMul", f"{h} R{k}{n}", f"r{k}{n}")]
            nodes += [node("Add", f"a{k}{n} r{k}{n}", f"s{k}{n}")]
            nodes += [node("Tanh" if k == "g" else "Sigmoid", f"s{k}{n}", f"{k}{n}")]
    nodes += [
        node("Mul", f"f{n} {c}", f"fc{n}"),
        node("Mul", f"i{n} g{n}", f"ig{n}"),
        node("Add", f"ig{n} fc{n}", new_c),
    ]
    return [*nodes, node("Tanh", new_c, f"t{n}"), node("Mul", f"t{n} o{n}", new_h)]


def cell_weights(inputs, layer=""):
    apart = {f"{m}{k}{layer}": random(rows, H, seed=ord(k)) for m, rows in (("W", inputs), ("R", H)) for k in "ifog"}
    together = {f"WR{layer}": random(inputs + H, 4 * H), "b": random(4 * H)}
    return apart | together | {"three_one": A([3 * H, H]), "ones": A([H] * 3)}


STATE = [1, H]


@pytest.mark.parametrize("gates", ["apart", "together"])
@pytest.mark.parametrize("inputs", [3, H])
@pytest.mark.parametrize("names", [("h", "c"), ("state1", "state2"), ("c", "h")])
def test_what_a_cell_does_with_its_states_tells_them_apart(names, inputs, gates):
    h, c = names
    nodes = [*written_out("x", h, c, "p", "q", gates=gates), node("Neg", "p", "y")]
    dims = {"x": [1, inputs], h: STATE, c: STATE}
    made = frames(nodes, dims, "y q p", cell_weights(inputs))
    assert pairs(made) == {h: ["p"], c: ["q"]}
    assert made.notes == []
    assert (
        made.graph.states[0].why
        == f"input {h!r} is a hidden state: it makes the gates of cell 'q', which output 'p' shows"
    )


def test_cells_of_float16_are_told_apart_too():
    half = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in cell_weights(3).items()}
    inputs = {"x": (10, [1, 3]), "h": (10, STATE), "c": (10, STATE)}
    assert pairs(frames(written_out("x", "h", "c", "p", "q"), inputs, "q p", half)) == {"h": ["p"], "c": ["q"]}


def test_cells_in_a_row_have_states_of_their_own():
    nodes = written_out("memory", "s1", "s2", "p1", "q1", "1") + written_out("p1", "s3", "s4", "p2", "q2", "2")
    inputs = {"memory": [1, 3]} | {f"s{k}": STATE for k in (4, 1, 2, 3)}
    made = frames(
        [*nodes, node("Neg", "p2", "y")], inputs, "q2 y p1 q1 p2", cell_weights(3, "1") | cell_weights(H, "2")
    )
    assert pairs(made) == {"s4": ["q2"], "s1": ["p1"], "s2": ["q1"], "s3": ["p2"]}


def test_what_only_looks_like_a_cell_is_not_guessed():
    """Names that are no state's; data in the place of h; two hidden states; no tanh."""
    cell = written_out("x", "u", "v", "p", "q")
    assert pairs(frames(cell, {"x": [1, 3], "u": STATE, "v": STATE}, "p q", cell_weights(3))) == {}
    cell = written_out("x", "x", "c", "p", "q")
    assert pairs(frames(cell, {"x": STATE, "c": STATE}, "p q", cell_weights(H))) == {}
    cell = written_out("h", "s", "c", "p", "q")
    made = frames(cell, {"h": STATE, "s": STATE, "c": STATE}, "p q", cell_weights(H))
    assert pairs(made) == {}
    assert all("--state" in note for note in made.notes)
    plain = [n for n in written_out("x", "h", "c", "p", "q") if n.op_type != "Tanh" or n.output[0] != "t"]
    made = frames([*plain, node("Neg", "q", "t")], {"x": [1, 3], "h": STATE, "c": STATE}, "p q", cell_weights(3))
    assert pairs(made) == {}


def test_a_denoiser_keeps_its_frame():
    nodes = [node("MatMul", "x W", "m"), node("Sigmoid", "m", "g"), node("Mul", "x g", "y")]
    nodes += [node("MatMul", "x W", "p"), node("Add", "p h0", "q"), node("Tanh", "q", "hn")]
    made = frames(nodes, {"x": [1, 5], "h0": [1, 5]}, "y hn", {"W": random(5, 5)})
    assert pairs(made) == {"h0": ["hn"]}


def test_states_that_pass_through_are_tied_by_name():
    nodes = [node("Identity", "h0", "hn"), node("Add", "x h0", "y")]
    assert pairs(frames(nodes, {"x": [1, 3], "h0": [1, 3]}, "y hn")) == {"h0": ["hn"]}
    assert pairs(frames(nodes, {"x": [1, 3], "h0": [1, 3]}, "y hn", states="keep")) == {}


def test_half_precision_states_are_float32_inside():
    weights = {name: array.astype(np.float16) for name, array in W.items()}
    half, state = 10, (10, [1, "batch", H])
    proto = model([lstm("X W R B - h0 c0")], {"X": (half, X), "h0": state, "c0": state}, "Y H C", weights)
    graph = lowered(proto).graph
    assert [(s.input, s.tensor.dtype) for s in graph.states] == [(1, "F32"), (2, "F32")]
    assert [p.tensor.dtype for p in graph.outputs] == ["F16"] * 3
    assert [p.state for p in graph.outputs] == [None, 0, 1]
    x = random(6, 2, 3).astype(np.float16)
    first = random(1, 2, H, seed=4).astype(np.float16)
    same_in_chunks(proto, X=x, h0=first, c0=first)


def test_half_precision_caches_of_frames_are_float32_inside():
    """The cast is no copy that could be left out: its result is what the stream carries."""
    nodes = [node("Concat", "old x", "all", axis=1), node("Slice", "all one big axis", "kept")]
    nodes += [node("ReduceSum", "all axis", "y", keepdims=0)]
    proto = model(nodes, {"old": (10, [1, 3, 2]), "x": (10, [1, 1, 2])}, "y kept", CONSTANTS)
    assert pairs(lowered(proto)) == {"old": ["kept"]}
    stream, ones = tinyrnn.load(convert_bytes(proto)[0]).stream(), np.ones((1, 1, 2), np.float16)
    assert [stream.step(ones)[0, 0] for _ in range(5)] == [1, 2, 3, 4, 4]


def test_half_precision_states_that_are_only_calculated_with_are_float32_inside():
    proto = model([node("Add", "h0 x", "hn"), node("Neg", "hn", "y")], {"x": (10, [1, 2]), "h0": (10, [1, 2])}, "y hn")
    assert pairs(lowered(proto)) == {"h0": ["hn"]}
    stream, ones = tinyrnn.load(convert_bytes(proto)[0]).stream(), np.ones((1, 2), np.float16)
    assert [stream.step(ones)[0, 0] for _ in range(4)] == [-1, -2, -3, -4]


def test_a_state_that_is_read_elsewhere_too_is_tied_where_an_output_shows_it():
    nodes = [node("Add", "h0 h0", "twice"), lstm("X W R B - h0 c0")]
    made = lowered(model(nodes, {"X": [1, 1, 3], "h0": [1, 1, H], "c0": [1, 1, H]}, "Y H C twice", W))
    assert pairs(made) == {"h0": ["H"], "c0": ["C"]}
    sequence = model(nodes, {"X": X, "h0": [1, "batch", H], "c0": [1, "batch", H]}, "Y H C twice", W)
    assert pairs(lowered(sequence)) == {"c0": ["C"]}  # within a call of many steps `twice` would not follow
