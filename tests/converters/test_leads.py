# SPDX-License-Identifier: Apache-2.0
"""Convolutions over time whose cache the graph takes and gives back: streams where it is right, else why not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyrnn
from build import BOOL, HAVE_ORT, body, by_onnxruntime, choice, kinds, lowered, model, node, random
from tinyrnn.converters import convert_bytes, references

A = np.array
H = 6
X, CACHE = ["B", 3, "T"], ["B", 3, 3]
CONSTANTS = {
    "zero": A([0]),
    "one": A([1]),
    "two": A([2]),
    "three": A([3]),
    "last": A([-3]),
    "end": A([1 << 40]),
    "w": random(5, 3, 4),
    "b": random(5, seed=1),
    "square": random(5, 5, 4, seed=2),
    "wide": random(5, 3, 4, 3, seed=3),
    "W": random(1, 3 * H, 5, seed=4),
    "R": random(1, 3 * H, H, seed=5),
}
JOIN = node("Concat", "cache x", "e", name="join", axis=2)
CONV = node("Conv", "e w b", "y", name="conv")
KEEP = node("Slice", "e last end two", "new", name="keep")
STEPS = [node("Shape", "x", "shape"), node("Gather", "shape two", "T", axis=0)]
LAYERS = [
    node("Concat", "c1 x", "e1", name="join1", axis=2),
    node("Conv", "e1 square b", "h", name="conv1"),
    node("Relu", "h", "r"),
    node("Concat", "c2 r", "e2", name="join2", axis=2),
    node("Conv", "e2 square", "y", name="conv2"),
    node("Slice", "e1 last end two", "n1"),
    node("Slice", "e2 last end two", "n2"),
]
GRU = [
    node("Conv", "e w b", "v", name="conv"),
    node("Transpose", "v", "t", perm=[2, 0, 1]),
    node("GRU", "t W R - - h0", "Y hn", name="gru", hidden_size=H),
    node("Squeeze", "Y one", "y"),
]


def layer(nodes, constants=None, x=X, cache=CACHE, outputs="y new"):
    """Return a model of x and its cache."""
    return model(nodes, {"x": x, "cache": cache}, outputs, CONSTANTS | (constants or {}))


def delayed():
    """Return the steps at four distances side by side, as a TDNN has them, and one product."""
    nodes = list(STEPS)
    for k in range(4):
        nodes += [node("Add", f"T k{k}", f"to{k}"), node("Slice", f"e k{k} to{k} two", f"part{k}")]
    nodes += [node("Concat", "part0 part1 part2 part3", "side", axis=1), node("Transpose", "side", "t", perm=[0, 2, 1])]
    nodes += [node("MatMul", "t m", "y"), KEEP]
    return layer([JOIN, *nodes], {f"k{k}": A([k]) for k in range(4)} | {"m": random(12, 6, seed=6)})


def stacked(parts, joined, cache, constants=None):
    """Return two layers whose caches stand in one tensor."""
    nodes = [*parts, *LAYERS, *joined]
    return layer(nodes, {"sizes": A([5, 5])} | (constants or {}), ["B", 5, "T"], cache)


SPLIT = node("Split", "cache sizes", "c1 c2", axis=1)

FORMS = {
    "end": layer([JOIN, CONV, KEEP]),
    "from the number of steps": layer([JOIN, CONV, *STEPS, node("Slice", "e T end two", "new")]),
    "split": layer(
        [JOIN, CONV, *STEPS, node("Concat", "T three", "at", axis=0), node("Split", "e at", "head new", axis=2)]
    ),
    "gather": layer([JOIN, CONV, node("Gather", "e at", "new", axis=2)], {"at": A([-3, -2, -1])}),
    "dilation": layer(
        [JOIN, node("Conv", "e w3 b", "y", dilations=[2]), node("Slice", "e four end two", "new")],
        {"w3": random(5, 3, 3), "four": A([-4])},
        cache=["B", 3, 4],
    ),
    "groups": layer([JOIN, node("Conv", "e each", "y", group=3), KEEP], {"each": random(6, 1, 4)}),
    "activation": layer([JOIN, node("Elu", "e", "a"), node("Conv", "a w b", "y"), KEEP]),
    "average": layer([JOIN, node("AveragePool", "e", "y", kernel_shape=[4]), KEEP]),
    "largest": layer([JOIN, node("MaxPool", "e", "y", kernel_shape=[4], ceil_mode=1), KEEP]),
    "tdnn": delayed(),
    "delay": layer([JOIN, *STEPS, node("Slice", "e zero T two", "y"), KEEP]),
    "time before channels": layer(
        [
            node("Concat", "cache x", "e", axis=1),
            node("Transpose", "e", "t", perm=[0, 2, 1]),
            node("Conv", "t w b", "v"),
            node("Transpose", "v", "y", perm=[0, 2, 1]),
            node("Slice", "e last end one", "new"),
        ],
        x=["B", "T", 3],
    ),
    "cache in another layout": layer(
        [
            node("Transpose", "cache", "c", perm=[0, 2, 1]),
            node("Concat", "c x", "e", axis=2),
            CONV,
            node("Slice", "e last end two", "n"),
            node("Transpose", "n", "new", perm=[0, 2, 1]),
        ]
    ),
    "two axes": layer(
        [JOIN, node("Conv", "e wide b", "y", pads=[0, 1, 0, 1], strides=[1, 2]), KEEP],
        x=["B", 3, "T", 9],
        cache=["B", 3, 3, 9],
    ),
    "reshape": layer(
        [
            JOIN,
            node("Shape", "e", "es"),
            node("Split", "es each", "d0 d1 d2", axis=0),
            node("Concat", "d0 d1 d2 one", "as", axis=0),
            node("Reshape", "e as", "e4"),
            node("Conv", "e4 tall b", "y4"),
            node("Squeeze", "y4 three", "y"),
            KEEP,
        ],
        {"each": A([1, 1, 1]), "tall": random(5, 3, 4, 1)},
    ),
    "normalisation": layer(
        [
            JOIN,
            node("Transpose", "e", "t", perm=[0, 2, 1]),
            node("LayerNormalization", "t scale", "n"),
            node("Transpose", "n", "u", perm=[0, 2, 1]),
            node("Conv", "u w b", "y"),
            KEEP,
        ],
        {"scale": random(3)},
    ),
    "joined twice": layer([JOIN, node("Concat", "cache x", "f", axis=2), CONV, node("Slice", "f last end two", "new")]),
    "more than it looks back at": layer(
        [JOIN, node("Conv", "e w b", "v"), node("Slice", "v two end two", "y"), node("Slice", "e five end two", "new")],
        {"five": A([-5])},
        cache=["B", 3, 5],
    ),
    "the latest steps": layer(
        [JOIN, CONV, KEEP, node("ReduceMean", "new", "m", axes=[2])],
        outputs="y new m",
    ),
    "two layers": model(LAYERS, {"x": ["B", 5, "T"], "c1": ["B", 5, 3], "c2": ["B", 5, 3]}, "y n1 n2", CONSTANTS),
    "caches on the channels": stacked([SPLIT], [node("Concat", "n1 n2", "new", axis=1)], ["B", 10, 3]),
    "caches on the steps": stacked(
        [node("Split", "cache threes", "c1 c2", axis=2)],
        [node("Concat", "n1 n2", "new", axis=2)],
        ["B", 5, 6],
        {"threes": A([3, 3])},
    ),
    "caches on an axis of their own": stacked(
        [node("Gather", "cache first", "c1"), node("Gather", "cache second", "c2")],
        [
            node("Unsqueeze", "n1 zero", "u1"),
            node("Unsqueeze", "n2 zero", "u2"),
            node("Concat", "u1 u2", "new", axis=0),
        ],
        [2, "B", 5, 3],
        {"first": A(0), "second": A(1)},
    ),
    "recurrence": model([JOIN, *GRU, KEEP], {"x": X, "cache": CACHE, "h0": [1, "B", H]}, "y new hn", CONSTANTS),
    "recurrence from zeros": layer([JOIN, *GRU[:2], node("GRU", "t W R", "Y", hidden_size=H), GRU[3], KEEP]),
    "cache and hidden state in one": model(
        [
            node("Split", "state both", "flat last_h", axis=1),
            node("Reshape", "flat as", "cache"),
            node("Unsqueeze", "last_h zero", "h0"),
            JOIN,
            *GRU,
            KEEP,
            node("Reshape", "new back", "n"),
            node("Squeeze", "hn zero", "h"),
            node("Concat", "n h", "renewed", axis=1),
        ],
        {"x": X, "state": ["B", 9 + H]},
        "y renewed",
        CONSTANTS | {"both": A([9, H]), "as": A([-1, 3, 3]), "back": A([-1, 9])},
    ),
}


def feeds_of(loaded, steps, batch, seed, first):
    """Return (what is given at each call, the first states): zeros, or random numbers where `first` is set."""
    data, states = {}, {}
    for port in loaded.inputs:
        array = random(*({"T": steps, "B": batch}.get(d, d) for d in port.shape), seed=seed)
        if port.state is None:
            data[port.name] = array
        else:
            states[port.name] = array if first else np.zeros_like(array)
    return data, states


def in_chunks(loaded, data, states, sizes, batch):
    """Return the outputs of a stream, put together, but for those that show a state; and what it carries at the end."""
    stream, results, at = loaded.stream(batch), [], 0
    for i, size in enumerate(sizes):
        part = {}
        for port in loaded.inputs:
            if port.name in data:
                part[port.name] = np.ascontiguousarray(data[port.name].take(range(at, at + size), port.time_axis))
        results.append(stream.run(part | (states if i == 0 else {})))
        at += size
    joined = {}
    for port in loaded.outputs:
        if port.state is None:
            parts = [r[port.name] for r in results]
            joined[port.name] = parts[-1] if port.time_axis is None else np.concatenate(parts, port.time_axis)
    return joined, stream.save()


@pytest.mark.parametrize("proto", FORMS.values(), ids=FORMS)
@settings(max_examples=8, deadline=None, print_blob=True)
@given(steps=st.integers(1, 40), batch=st.integers(1, 3), seed=st.integers(0, 99), first=st.booleans(), data=st.data())
def test_whole_is_chunks_is_steps_and_rows_alone(proto, steps, batch, seed, first, data):
    loaded = tinyrnn.load(convert_bytes(proto)[0])
    x, states = feeds_of(loaded, steps, batch, seed, first)
    whole = loaded.run(x | states)
    for want in [references.run(proto, x | states)] + ([by_onnxruntime(proto, x | states)] if HAVE_ORT else []):
        for name, w in want.items():
            np.testing.assert_allclose(whole[name], w, rtol=2e-5, atol=2e-5, err_msg=name)
    cuts = data.draw(st.sets(st.integers(1, steps)))
    saved = set()
    for sizes in ([steps], [1] * steps, np.diff(sorted({0, steps} | cuts)).tolist()):
        joined, state = in_chunks(loaded, x, states, sizes, batch)
        saved.add(state)
        for name, got in joined.items():
            assert got.tobytes() == whole[name].tobytes(), f"{name} in chunks of {sizes}"
    assert len(saved) == 1
    rows = {port.name: port.batch_axis for port in (*loaded.inputs, *loaded.outputs)}
    for row in range(batch):
        alone = loaded.run({n: np.ascontiguousarray(a.take([row], rows[n])) for n, a in (x | states).items()})
        for name, got in alone.items():
            assert got.tobytes() == whole[name].take([row], rows[name]).tobytes(), name


def test_a_stream_goes_on_after_a_call_without_steps():
    loaded = tinyrnn.load(convert_bytes(FORMS["recurrence"])[0])
    x, states = feeds_of(loaded, 9, 2, 0, True)
    whole = loaded.run(x | states)["y"]
    assert in_chunks(loaded, x, states, [0, 4, 0, 5], 2)[0]["y"].tobytes() == whole.tobytes()


def test_a_cache_is_tied_by_what_the_graph_does_with_it():
    graph = lowered(FORMS["cache and hidden state in one"]).graph
    (state,) = graph.states
    assert state.why == (
        "input 'state' is the initial state of gru and stands before the steps in join; "
        "output 'renewed' has what they end with, in the same places"
    )
    graph = lowered(FORMS["end"]).graph
    assert (kinds(graph), graph.symbols) == ("copy copy conv copy", {"B": "BATCH", "T": "TIME"})
    assert [(p.state, p.time_axis, p.batch_axis) for p in graph.outputs] == [(None, 2, 0), (0, -1, 0)]


def test_the_same_steps_joined_twice_are_one_tensor():
    assert kinds(lowered(FORMS["joined twice"]).graph) == kinds(lowered(FORMS["end"]).graph)


def test_time_is_found_behind_a_convolution():
    """Nothing settles the length of a cache of one step before the recurrence, which runs over T + cache - 1 steps."""
    nodes = [JOIN, *GRU[:2], node("GRU", "t W R", "Y", hidden_size=H), node("Slice", "e minus end two", "new")]
    constants = CONSTANTS | {"w": random(5, 3, 2), "minus": A([-1])}
    graph = lowered(model(nodes, {"x": ["B", 3, "frames"], "cache": ["B", 3, 1]}, "Y new", constants)).graph
    assert (graph.symbol_of("TIME"), graph.streamable) == ("frames", True)


@pytest.mark.parametrize("states", ["keep", {"cache": "new"}])
def test_only_a_state_stands_before_the_steps(states):
    graph = lowered(FORMS["end"], states=states).graph
    assert graph.streamable == (states != "keep")
    if states == "keep":
        assert "'join' puts 'cache' before the steps of the sequence, which has to be a state" in graph.reason


def test_half_precision_caches_are_float32_inside():
    half = {k: v.astype(np.float16) if v.dtype == np.float32 else v for k, v in CONSTANTS.items()}
    proto = model([JOIN, CONV, KEEP], {"x": (10, X), "cache": (10, CACHE)}, "y new", half)
    loaded = tinyrnn.load(convert_bytes(proto)[0])
    x, stream = random(2, 3, 6).astype(np.float16), loaded.stream(2)
    got = np.stack([stream.step(np.ascontiguousarray(x[:, :, t])) for t in range(6)], 2)
    want = references.run(proto, {"x": x, "cache": np.zeros((2, 3, 3), np.float16)})["y"]
    np.testing.assert_allclose(got.astype(np.float32), want, rtol=1e-2, atol=1e-2)


NOT_RENEWED = "'join' puts 'cache' before the steps of the sequence, which has to be a state"
NEEDED = "before the steps of the sequence, where a stream has those of the call before: make them an input"
MEAN = node("ReduceMean", "cache", "mean", axes=[1, 2])
REFUSED = {
    "no output": (layer([JOIN, CONV], outputs="y"), NOT_RENEWED),
    "other steps": (
        layer([JOIN, CONV, node("Slice", "e zero three two", "new", name="cut")]),
        "'cut' takes some steps",
    ),
    "steps of x": (layer([JOIN, CONV, node("Slice", "x last end two", "new", name="cut")]), "'cut' takes some steps"),
    "fewer": (layer([JOIN, CONV, node("Slice", "e minus end two", "new")], {"minus": A([-2])}), NOT_RENEWED),
    "changed": (layer([JOIN, CONV, node("Slice", "e last end two", "n"), node("Neg", "n", "new")]), NOT_RENEWED),
    "one step late": (
        layer(
            [JOIN, CONV, node("Slice", "e zero minus two", "d"), node("Slice", "d last end two", "new")],
            {"minus": A([-1])},
        ),
        NOT_RENEWED,
    ),
    "more than there may be": (
        layer(
            [JOIN, CONV, KEEP, node("Slice", "e five end two", "q", name="cut")], {"five": A([-5])}, outputs="y new q"
        ),
        "'cut' takes some steps",
    ),
    "later by as many as the call has": (
        layer(
            [
                JOIN,
                *STEPS,
                node("Min", "T two", "at"),
                node("Add", "at T", "to"),
                node("Slice", "e at to two", "y", name="cut"),
                KEEP,
            ]
        ),
        "'cut' takes some steps",
    ),
    "of something else": (
        layer([JOIN, CONV, node("Neg", "e", "f"), node("Slice", "f last end two", "new")]),
        NOT_RENEWED,
    ),
    "channels changed round": (
        layer(
            [JOIN, CONV, node("Gather", "e turned", "f", axis=1), node("Slice", "f last end two", "new")],
            {"turned": A([2, 1, 0])},
        ),
        NOT_RENEWED,
    ),
    "axes changed round": (
        layer([JOIN, CONV, KEEP, node("Transpose", "new", "other", perm=[0, 2, 1])], outputs="y other"),
        NOT_RENEWED,
    ),
    "read elsewhere": (layer([JOIN, node("Conv", "e w b", "v"), MEAN, node("Add", "v mean", "y"), KEEP]), NOT_RENEWED),
    "two sequences": (
        layer(
            [
                JOIN,
                node("Neg", "x", "z"),
                node("Concat", "cache z", "f", name="second", axis=2),
                CONV,
                node("Conv", "f w", "q"),
                KEEP,
            ],
            outputs="y q new",
        ),
        NOT_RENEWED,
    ),
    "parts in other places": (
        stacked([SPLIT], [node("Concat", "n2 n1", "new", axis=1)], ["B", 10, 3]),
        "'join1' puts 'cache' before the steps",
    ),
    "computed": (
        layer([node("Neg", "cache", "c"), node("Concat", "c x", "e", name="join", axis=2), CONV, KEEP]),
        "'join' joins along",
    ),
    "behind": (layer([node("Concat", "x cache", "e", name="join", axis=2), CONV, KEEP]), "'join' joins along"),
    "looks back further": (
        layer([JOIN, node("Conv", "e w", "y", name="conv", dilations=[2]), KEEP]),
        "'conv' slides a window",
    ),
    "looks ahead": (layer([JOIN, node("Conv", "e w", "y", name="conv", pads=[0, 1]), KEEP]), "'conv' slides a window"),
    "skips": (layer([JOIN, node("Conv", "e w", "y", name="conv", strides=[2]), KEEP]), "'conv' slides a window"),
    "sees the cache": (layer([JOIN, node("Relu", "e", "y"), KEEP]), "'y' has no axis of its own"),
    "first of the cache": (
        layer([JOIN, CONV, KEEP, node("Gather", "e zero", "q", name="pick", axis=2)], outputs="y new q"),
        "'pick' takes other steps",
    ),
    "sums over it": (
        layer([JOIN, CONV, KEEP, node("ReduceSum", "e two", "q", name="sum")], outputs="y new q"),
        "'sum' reduces over the steps",
    ),
    "recurrence over it": (
        layer(
            [
                JOIN,
                node("Transpose", "e", "t", perm=[2, 0, 1]),
                node("GRU", "t V R", "y", name="gru", hidden_size=H),
                KEEP,
            ],
            {"V": random(1, 3 * H, 3)},
        ),
        "'gru' runs over T + 3 steps",
    ),
    "an open length": (layer([JOIN, CONV, KEEP], cache=["B", 3, "P"]), "'join' joins along"),
    "padding of the graph": (
        layer([node("Pad", "x pads", "e", name="pad"), CONV], {"pads": A([0, 0, 3, 0, 0, 0])}, outputs="y"),
        f"'pad' pads {NEEDED}",
    ),
    "padding of both ends": (
        layer([node("Pad", "x pads", "e", name="pad"), CONV], {"pads": A([0, 0, 2, 0, 0, 1])}, outputs="y"),
        "'pad' pads the sequence",
    ),
    "padding of the convolution": (
        layer([node("Conv", "x w", "y", name="conv", pads=[3, 0])], outputs="y"),
        f"'conv' pads {NEEDED}",
    ),
    "constants": (
        layer(
            [node("Concat", "zeros x", "e", name="join", axis=2), CONV],
            {"zeros": np.zeros((2, 3, 3), np.float32)},
            outputs="y",
        ),
        f"'join' puts constants {NEEDED}",
    ),
}


@pytest.mark.parametrize(("proto", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_would_not_go_on_is_named(proto, reason):
    graph = lowered(proto).graph
    assert not graph.streamable
    assert reason in graph.reason


def test_a_cache_that_another_output_renews_by_the_callers_wish_is_refused():
    proto = layer([JOIN, CONV, KEEP, node("Neg", "new", "other")], outputs="y new other")
    graph = lowered(proto, states={"cache": "other"}).graph
    assert NOT_RENEWED in graph.reason


REST = node("Neg", "rest", "new")
PASSED_BY = {
    "all": [choice("c", "new", body([JOIN, KEEP], "new", CONSTANTS), body([REST], "new"))],
    "the end": [JOIN, choice("c", "new", body([KEEP], "new", CONSTANTS), body([REST], "new"))],
    "the steps": [
        node("Neg", "x", "z"),
        choice("c", "e", body([JOIN], "e"), body([node("Concat", "cache z", "e", name="other", axis=2)], "e")),
        KEEP,
    ],
}


@pytest.mark.parametrize("nodes", PASSED_BY.values(), ids=PASSED_BY)
def test_a_cache_that_a_branch_may_pass_by_is_not_carried(nodes):
    inputs = {"x": X, "cache": CACHE, "rest": CACHE, "c": (BOOL, [])}
    graph = lowered(model([*nodes, node("Relu", "x", "y")], inputs, "y new", CONSTANTS)).graph
    assert NOT_RENEWED in graph.reason


def test_a_state_of_which_a_part_is_not_renewed_is_none():
    nodes = [node("Split", "state both", "flat last_h", axis=1), node("Reshape", "flat as", "cache")]
    nodes += [node("Unsqueeze", "last_h zero", "h0"), JOIN, *GRU]
    constants = CONSTANTS | {"both": A([9, H]), "as": A([-1, 3, 3])}
    graph = lowered(model(nodes, {"x": X, "state": ["B", 9 + H]}, "y", constants)).graph
    assert "'join' puts 'state' before the steps" in graph.reason
    assert graph.states == []
