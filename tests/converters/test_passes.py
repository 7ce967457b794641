# SPDX-License-Identifier: Apache-2.0
"""Every pass on a small graph: operators and values before and after."""

import numpy as np
import pytest

import tinyrnn
from build import agree, kinds, lowered, model, node, random, reference, run
from interpret import Run
from tinyrnn.converters import convert_bytes, passes
from tinyrnn.converters import dims as dm
from tinyrnn.converters.ir import Graph, Node, Port, Tensor, dump, verify
from tinyrnn.converters.passes.copies import eliminate_copies
from tinyrnn.converters.passes.dead_code import remove_dead_code
from tinyrnn.converters.passes.fuse_dense import fuse_dense
from tinyrnn.converters.passes.fuse_elementwise import fuse_elementwise
from tinyrnn.converters.passes.fuse_normalize import fuse_normalize
from tinyrnn.converters.passes.identities import remove_identities
from tinyrnn.converters.passes.last_step import read_last_states
from tinyrnn.converters.passes.merge_equal import merge_equal

H = 5
W = {"W": random(1, 4 * H, 3, seed=1), "R": random(1, 4 * H, H, seed=2)}
A = np.array


def tensor(dims, storage="ARENA", name="", dtype="F32"):
    return Tensor(name, dtype, tuple(dims), storage)


def view(root, dims, offset, strides):
    return Tensor("", root.dtype, tuple(dims), "VIEW", root, offset, tuple(strides))


def elementwise(function, inputs, output, alpha=0.0, beta=0.0, name="e"):
    step = (function, *range(len(inputs)), *[0] * (3 - len(inputs)), alpha, beta)
    return Node("elementwise", list(inputs), [output], {"program": [step]}, name)


def graph_of(nodes, inputs, outputs):
    """Return a verified graph; inputs and outputs are tensors with names."""
    made = Graph(nodes, [Port(t.name, t) for t in inputs], [Port(t.name, t) for t in outputs])
    made.symbols = {n: "OTHER" for t in inputs for d in t.dims for n in dm.symbols(d)}
    verify(made)
    return made


def same_after(run_pass, graph, **feeds):
    """Run a pass; return the operators before and after. The values must not change."""
    want, before = Run(graph)(feeds), kinds(graph)
    run_pass(graph)
    verify(graph)
    got = Run(graph)(feeds)
    for name, w in want.items():
        np.testing.assert_array_equal(got[name], w)
    return before, kinds(graph)


def test_dead_code():
    x, dead, y = tensor([2], "INPUT", "x"), tensor([2]), tensor([2], "OUTPUT", "y")
    graph = graph_of([elementwise("NEG", [x], dead), elementwise("ABS", [x], y)], [x], [y])
    assert same_after(remove_dead_code, graph, x=random(2)) == ("elementwise elementwise", "elementwise")
    assert graph.nodes[0].attributes["program"][0][0] == "ABS"


def test_outputs_of_recurrences_that_nobody_reads():
    proto = model([node("LSTM", "X W R", "Y H C", hidden_size=H)], {"X": ["t", "b", 3]}, "Y", W)
    graph = lowered(proto, states={}).graph
    remove_dead_code(graph)
    assert [t is not None for t in graph.nodes[0].outputs] == [True, True, True]  # the stream's state is read
    backwards = model([node("LSTM", "X W R", "Y H C", direction="reverse", hidden_size=H)], {"X": [4, 2, 3]}, "Y", W)
    assert [t is not None for t in lowered(backwards).graph.nodes[0].outputs] == [True, False, False]


def test_identities():
    x, a, y = tensor([3], "INPUT", "x"), tensor([3]), tensor([3], "OUTPUT", "y")
    graph = graph_of([elementwise("IDENTITY", [x], a), elementwise("TANH", [view(a, [3], 2, [-1])], y)], [x], [y])
    assert same_after(remove_identities, graph, x=random(3)) == ("elementwise elementwise", "elementwise")


def test_what_is_computed_twice_is_computed_once():
    x, z, y = tensor([3], "INPUT", "x"), tensor([3], "INPUT", "z"), tensor([3], "OUTPUT", "y")
    a, b, c = tensor([3]), tensor([3]), tensor([3])
    nodes = [
        elementwise("SUB", [x, z], a),
        elementwise("SUB", [x, z], b),
        elementwise("NEG", [view(b, [3], 2, [-1])], c),
        elementwise("MUL", [a, c], y),
    ]
    feeds = {"x": random(3), "z": random(3, seed=1)}
    graph = graph_of(nodes, [x, z], [y])
    assert same_after(merge_equal, graph, **feeds)[1] == "elementwise elementwise elementwise"
    assert graph.nodes[1].inputs[0].base is graph.nodes[2].inputs[0]


def test_what_only_looks_the_same_is_computed_each_time():
    x, y, z = tensor([3], "INPUT", "x"), tensor([3], "OUTPUT", "y"), tensor([3], "OUTPUT", "z")
    outputs = [elementwise("NEG", [x], y), elementwise("NEG", [x], z)]
    graph = graph_of(outputs, [x], [y, z])
    assert same_after(merge_equal, graph, x=random(3))[1] == "elementwise elementwise"
    a, b = tensor([3]), tensor([3])
    for first, second in (
        (elementwise("AFFINE", [x], a, 1.0, 0.0), elementwise("AFFINE", [x], b, 1.0, -0.0)),
        (elementwise("NEG", [x], a), elementwise("NEG", [view(x, [3], 2, [-1])], b)),
    ):
        graph = graph_of([first, second, elementwise("SUB", [a, b], y)], [x], [y])
        assert same_after(merge_equal, graph, x=random(3))[1] == "elementwise elementwise elementwise"


def test_convolutions_keep_their_channels_last():
    """Through what is computed from them element by element, and the slices of that; the length may be any."""
    nodes = [
        node("Conv", "x w", "a", strides=[2]),
        node("Slice", "a zero two one", "re"),
        node("Slice", "a two four one", "im"),
        node("Mul", "re re", "rr"),
        node("Mul", "im im", "ii"),
        node("Add", "rr ii", "p"),
        node("Conv", "p v", "y", pads=[1, 1]),
    ]
    constants = {"w": random(4, 1, 3), "v": random(5, 2, 3)}
    constants |= {name: np.array([n]) for name, n in (("zero", 0), ("one", 1), ("two", 2), ("four", 4))}
    proto = model(nodes, {"x": ["n", 1, "l"]}, "y", constants)
    graph = lowered(proto).graph
    assert kinds(graph) == "conv elementwise conv"
    assert [n.outputs[0].step[1] == 1 for n in graph.nodes] == [True, True, False]  # y is an output of the model
    agree(proto, x=random(2, 1, 11))
    x = random(2, 1, 11)
    got = tinyrnn.load(convert_bytes(proto)[0]).run(x)
    np.testing.assert_allclose(got, reference(proto, x=x)["y"], 1e-5, 1e-5)


def test_what_is_folded_along_its_positions_keeps_them_together():
    nodes = [node("Conv", "x w", "a"), node("InstanceNormalization", "a s b", "y")]
    constants = {"w": random(4, 2, 3), "s": random(4), "b": random(4)}
    proto = model(nodes, {"x": ["n", 2, "l"]}, "y", constants)
    assert lowered(proto).graph.nodes[0].outputs[0].step[-1] == 1
    agree(proto, x=random(2, 2, 9))


def test_elementwise_chains_with_several_readers_and_repeated_operands():
    x, z = tensor([4], "INPUT", "x"), tensor([4], "INPUT", "z")
    a, b, c, y = tensor([4]), tensor([4]), tensor([4]), tensor([4], "OUTPUT", "y")
    nodes = [
        elementwise("MUL", [x, z], a),
        elementwise("MUL", [a, a], b),  # one reader, twice
        elementwise("SUB", [z, b], c),
        elementwise("ADD", [c, x], y),
    ]
    graph = graph_of(nodes, [x, z], [y])
    assert same_after(fuse_elementwise, graph, x=random(4), z=random(4, seed=1))[1] == "elementwise"
    assert [s[0] for s in graph.nodes[0].attributes["program"]] == ["MUL", "MUL", "SUB", "ADD"]
    assert len(graph.nodes[0].inputs) == 2


def test_elementwise_results_that_are_read_twice_or_rounded_when_stored_stay():
    x, a = tensor([4], "INPUT", "x"), tensor([4])
    y, z = tensor([4], "OUTPUT", "y"), tensor([4], "OUTPUT", "z")
    graph = graph_of([elementwise("NEG", [x], a), elementwise("EXP", [a], y), elementwise("TANH", [a], z)], [x], [y, z])
    assert same_after(fuse_elementwise, graph, x=random(4))[1] == "elementwise elementwise elementwise"
    half = tensor([4], dtype="F16")
    graph = graph_of([elementwise("IDENTITY", [x], half), elementwise("EXP", [half], y)], [x], [y])
    assert same_after(fuse_elementwise, graph, x=random(4))[1] == "elementwise elementwise"


def test_long_chains_become_programs_of_bounded_length():
    nodes = [node("Neg", f"v{i}", f"v{i + 1}") for i in range(200)]
    graph = lowered(model(nodes, {"v0": ["n"]}, "v200")).graph
    assert max(len(n.attributes["program"]) for n in graph.nodes) <= 32
    assert sum(len(n.attributes["program"]) for n in graph.nodes) == 200


FUSED = [
    ([node("MatMul", "x w", "a"), node("Add", "a b", "y")], "IDENTITY"),
    ([node("MatMul", "x w", "a"), node("Add", "b a", "c"), node("Relu", "c", "y")], "RELU"),
    ([node("MatMul", "x w", "a"), node("Add", "a one", "c"), node("Clip", "c lo hi", "y")], "CLIP"),
    ([node("Gemm", "x w b", "a"), node("Sigmoid", "a", "y")], "SIGMOID"),
    ([node("MatMul", "x w", "a"), node("Reshape", "a s", "r"), node("Add", "r b", "y")], "IDENTITY"),
]


@pytest.mark.parametrize(("nodes", "function"), FUSED)
def test_bias_and_activation_go_into_dense(nodes, function):
    constants = {"w": random(4, 6), "b": random(6, seed=1), "one": np.float32(1), "s": A([2, -1, 6])}
    constants |= {"lo": np.float32(-0.5), "hi": np.float32(0.5)}
    proto = model(nodes, {"x": [4, 4]}, "y", constants)
    graph = lowered(proto).graph
    assert kinds(graph) == "dense"
    assert graph.nodes[0].attributes["function"] == function
    assert graph.nodes[0].inputs[2] is not None
    x = random(4, 4)
    np.testing.assert_allclose(run(proto, x=x)["y"], reference(proto, x=x)["y"], 1e-5, 1e-6)


def test_dense_results_with_another_reader_are_left_alone():
    nodes = [node("MatMul", "x w", "a"), node("Tanh", "a", "y"), node("Exp", "a", "z")]
    graph = lowered(model(nodes, {"x": ["n", 4]}, "y z", {"w": random(4, 6)})).graph
    assert kinds(graph) == "dense elementwise elementwise"
    assert fuse_dense(graph) == []


CONVOLUTIONS = [
    ([node("Conv", "x w b", "a"), node("Relu", "a", "y")], "RELU"),
    ([node("Conv", "x w", "a"), node("Add", "a c", "d"), node("Sigmoid", "d", "y")], "SIGMOID"),
    ([node("Conv", "x w b", "a"), node("BatchNormalization", "a g h m v", "n"), node("Tanh", "n", "y")], "TANH"),
    ([node("Conv", "x w2", "a", group=2), node("BatchNormalization", "a g h m v", "y")], "IDENTITY"),
]


@pytest.mark.parametrize(("nodes", "function"), CONVOLUTIONS)
def test_bias_activation_and_constant_statistics_go_into_conv(nodes, function):
    constants = {"w": random(6, 4, 3), "w2": random(6, 2, 3), "b": random(6, seed=1), "c": random(6, 1, seed=2)}
    constants |= {
        "g": random(6, seed=3),
        "h": random(6, seed=4),
        "m": random(6, seed=5),
        "v": np.abs(random(6, seed=6)),
    }
    proto = model(nodes, {"x": [2, 4, 9]}, "y", constants)
    graph = lowered(proto).graph
    assert kinds(graph) == "conv"
    assert graph.nodes[0].attributes["function"] == function
    x = random(2, 4, 9, seed=7)
    np.testing.assert_allclose(Run(graph)({"x": x})["y"], reference(proto, x=x)["y"], 1e-5, 1e-5)


def test_a_factor_goes_into_dense_but_not_into_weights_that_others_share():
    constants = {"w": random(4, 6), "b": random(6, seed=1), "c": random(6, seed=2)}
    nodes = [node("Gemm", "x w b", "a"), node("Mul", "a c", "m"), node("Relu", "m", "y")]
    proto = model(nodes, {"x": ["n", 4]}, "y", constants)
    graph = lowered(proto).graph
    assert kinds(graph) == "dense"
    x = random(3, 4)
    np.testing.assert_allclose(Run(graph)({"x": x})["y"], reference(proto, x=x)["y"], 1e-5, 1e-5)
    shared = model([*nodes, node("Gemm", "x w b", "z")], {"x": ["n", 4]}, "y z", constants)
    assert kinds(lowered(shared).graph) == "dense elementwise dense"
    rows = model([node("Gemm", "x w b", "a"), node("Mul", "a r", "y")], {"x": [3, 4]}, "y", constants | {"r": x[:, :1]})
    assert kinds(lowered(rows).graph) == "dense elementwise"


WRITTEN_OUT = [
    node("ReduceMean", "x", "m", axes=[-1]),
    node("Sub", "x m", "d"),
    node("Pow", "d two", "p"),
    node("ReduceMean", "p", "v", axes=[-1]),
    node("Add", "v e", "w"),
    node("Sqrt", "w", "r"),
    node("Div", "d r", "y"),
]


@pytest.mark.parametrize("width", [1, 5, 8, 37, 256])
def test_a_normalisation_that_was_written_out_keeps_its_bytes(width, monkeypatch):
    constants = {"two": np.float32(2), "e": np.float32(1e-5)}
    proto = model(WRITTEN_OUT, {"x": ["n", "m", width]}, "y", constants, opset=13)
    assert width == 1 or kinds(lowered(proto).graph) == "normalize"
    x = random(3, 4, width, scale=30) + np.float32(100)
    fused = tinyrnn.load(convert_bytes(proto)[0]).run(x)
    monkeypatch.setattr(passes, "PASSES", [p for p in passes.PASSES if p is not fuse_normalize])
    assert "reduce" in kinds(lowered(proto).graph)
    assert fused.tobytes() == tinyrnn.load(convert_bytes(proto)[0]).run(x).tobytes()


@pytest.mark.parametrize("changed", [0, 1, 3, 4, 6])
def test_what_is_not_quite_a_normalisation_stays(changed):
    other = {
        0: node("ReduceMax", "x", "m", axes=[-1]),
        1: node("Sub", "m x", "d"),
        3: node("ReduceMean", "p", "v", axes=[0]),
        4: node("Add", "v x", "w"),
        6: node("Div", "x r", "y"),
    }[changed]
    nodes = [*WRITTEN_OUT[:changed], other, *WRITTEN_OUT[changed + 1 :]]
    proto = model(nodes, {"x": [3, 3]}, "y", {"two": np.float32(2), "e": np.float32(1e-5)}, opset=13)
    graph = lowered(proto).graph
    assert "normalize" not in kinds(graph)
    x = np.abs(random(3, 3))
    np.testing.assert_allclose(Run(graph)({"x": x})["y"], reference(proto, x=x)["y"], 1e-4, 1e-4)


def test_comparisons_and_logic_become_one_program():
    nodes = [node("Less", "x k", "a"), node("Equal", "x z", "b"), node("Or", "a b", "c"), node("Not", "c", "d")]
    nodes.append(node("Where", "d x z", "y"))
    proto = model(nodes, {"x": ["n"]}, "y", {"k": np.float32(0.1), "z": np.float32(0.5)})
    graph = lowered(proto).graph
    assert kinds(graph) == "elementwise"
    x = random(9)
    np.testing.assert_array_equal(Run(graph)({"x": x})["y"], reference(proto, x=x)["y"])


def test_copies_end_where_the_producer_writes():
    x, a, y = tensor([2, 3], "INPUT", "x"), tensor([2, 3]), tensor([3, 2], "OUTPUT", "y")
    copy = Node("copy", [view(a, [3, 2], 0, [1, 3])], [y], {}, "transpose")
    graph = graph_of([elementwise("EXP", [x], a), copy], [x], [y])
    assert same_after(eliminate_copies, graph, x=random(2, 3)) == ("elementwise copy", "elementwise")
    assert a.root is y
    assert a.strides == (1, 2)


def test_copies_stay_where_a_kernel_wants_rows_or_a_part_is_copied():
    x, a, y = tensor([2, 3], "INPUT", "x"), tensor([2, 3]), tensor([3, 2], "OUTPUT", "y")
    soft = Node("normalize", [x], [a], {"kind": "SOFTMAX", "epsilon": 0.0}, "s")
    graph = graph_of([soft, Node("copy", [view(a, [3, 2], 0, [1, 3])], [y], {}, "c")], [x], [y])
    assert same_after(eliminate_copies, graph, x=random(2, 3))[1] == "normalize copy"
    b, part = tensor([2, 3]), tensor([1, 3], "OUTPUT", "part")
    graph = graph_of(
        [elementwise("EXP", [x], b), Node("copy", [view(b, [1, 3], 3, [3, 1])], [part], {}, "c")], [x], [part]
    )
    assert same_after(eliminate_copies, graph, x=random(2, 3))[1] == "elementwise copy"


def test_nested_concatenations_are_written_in_place():
    nodes = [node(op, "x", op) for op in ("Exp", "Tanh", "Abs")]
    nodes += [node("Concat", "Exp Tanh", "a", axis=1), node("Concat", "a Abs", "y", axis=0), node("Neg", "a", "z")]
    proto = model(nodes, {"x": [2, "n"]}, "y z")
    bad = model(nodes[:4] + [node("Concat", "a a", "y", axis=0)], {"x": [2, "n"]}, "y")
    x = random(2, 3)
    with pytest.raises(Exception, match="joins"):
        lowered(proto)  # [2, 2n] beside [2, n]
    assert kinds(lowered(bad).graph) == "elementwise elementwise copy"  # one place each; the second is copied
    np.testing.assert_allclose(run(bad, x=x)["y"], reference(bad, x=x)["y"], 1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_that_are_copied_side_by_side_are_written_in_place(axis):
    """The two directions of a last state, which exporters concatenate."""
    dims = [3, 3, 3]
    dims[axis] = 2
    strides = dm.contiguous(tuple(dims))
    rest = [i for i in range(3) if i != axis]
    x, a, y = tensor(dims, "INPUT", "x"), tensor(dims), tensor([3, 6], "OUTPUT", "y")
    copies = [
        Node("copy", [view(a, [3, 3], k * strides[axis], [strides[i] for i in rest])], [view(y, [3, 3], 3 * k, (6, 1))])
        for k in range(2)
    ]
    graph = graph_of([elementwise("NEG", [x], a), *copies], [x], [y])
    assert same_after(eliminate_copies, graph, x=random(*dims)) == ("elementwise copy copy", "elementwise")


def test_slices_that_are_not_all_copied_stay():
    x, a, y = tensor([3, 4], "INPUT", "x"), tensor([3, 4]), tensor([8], "OUTPUT", "y")
    copies = [Node("copy", [view(a, [4], 4 * k, (1,))], [view(y, [4], 4 * k, (1,))]) for k in range(2)]
    graph = graph_of([elementwise("NEG", [x], a), *copies], [x], [y])
    assert same_after(eliminate_copies, graph, x=random(3, 4))[1] == "elementwise copy copy"


def test_an_axis_that_is_split_on_both_sides_is_one():
    n = dm.symbol("n")
    x, a, y = tensor([n, 2], "INPUT", "x"), tensor([n * 3, 2]), tensor([n, 3, 2], "OUTPUT", "y")
    split = Node("copy", [view(a, [n, 3, 2], 0, (6, 2, 1))], [y])
    graph = graph_of([elementwise("NEG", [view(x, [n * 3, 2], 0, (0, 1))], a), split], [x], [y])
    assert same_after(eliminate_copies, graph, x=random(4, 2)) == ("elementwise copy", "elementwise")


def test_a_copy_that_checks_a_size_stays():
    n = dm.symbol("n")
    x, a, y = tensor([n, 2], "INPUT", "x"), tensor([n, 2]), tensor([1, 2], "OUTPUT", "y")
    graph = graph_of([elementwise("NEG", [x], a), Node("copy", [a], [y])], [x], [y])
    assert same_after(eliminate_copies, graph, x=random(1, 2))[1] == "elementwise copy"


def test_views_of_a_moved_tensor_move_along():
    nodes = [
        node("Exp", "x", "a"),
        node("Transpose", "a", "y", perm=[1, 0]),
        node("Slice", "a one two one", "part"),
        node("Slice", "a last small one back", "turned"),
        node("Neg", "part", "p"),
        node("Neg", "turned", "q"),
    ]
    constants = {"one": A([1]), "two": A([3]), "last": A([-1]), "small": A([-100]), "back": A([-2])}
    proto = model(nodes, {"x": ["n", 4]}, "y p q", constants)
    assert kinds(lowered(proto).graph) == "elementwise elementwise elementwise"
    x = random(3, 4)
    got, want = run(proto, x=x), reference(proto, x=x)
    for name in "ypq":
        np.testing.assert_allclose(got[name], want[name], 1e-6)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_last_steps_are_read_from_the_last_state(direction):
    d = 2 if direction == "bidirectional" else 1
    weights = {"W": random(d, 4 * H, 3, seed=1), "R": random(d, 4 * H, H, seed=2)}
    nodes = [node("LSTM", "X W R", "Y", direction=direction, hidden_size=H)]
    if direction != "reverse":
        nodes += [node("Gather", "Y last", "f"), node("Gather", "f zero", "a")]
    if direction != "forward":
        nodes += [node("Gather", "Y zero", "r"), node("Gather", "r end", "b")]
    outputs = {"forward": "a", "reverse": "b", "bidirectional": "a b"}[direction]
    constants = weights | {"last": A(-1), "zero": A(0), "end": A(d - 1)}
    proto = model(nodes, {"X": ["t", "n", 3]}, outputs, constants)
    graph = lowered(proto).graph
    assert graph.nodes[0].outputs[0] is None
    assert "copy" not in kinds(graph) or direction == "bidirectional"
    whole = model(nodes[:1], {"X": ["t", "n", 3]}, "Y", weights)
    x = random(6, 2, 3)
    y, got = run(whole, X=x)["Y"], run(proto, X=x)
    for name, part in (("a", y[-1, 0]), ("b", y[0, d - 1])):
        if name in got:
            np.testing.assert_array_equal(got[name], part)


def test_last_steps_stay_beside_lengths_and_whole_sequences():
    def outputs(names, inputs, **more):
        nodes = [node("LSTM", inputs, "Y", hidden_size=H), node("Gather", "Y last", "a")]
        graph = lowered(model(nodes, {"X": ["t", "n", 3], **more}, names, W | {"last": A(-1)})).graph
        return graph.nodes[0].outputs[0] is not None

    assert not outputs("a", "X W R")
    assert outputs("a Y", "X W R")
    assert outputs("a", "X W R - L", L=(6, ["n"]))


def test_the_verifier_notices_what_it_must():
    x, a, y = tensor([2], "INPUT", "x"), tensor([2]), tensor([2], "OUTPUT", "y")
    with pytest.raises(AssertionError, match="before it is written"):
        graph_of([elementwise("NEG", [a], y)], [x], [y])
    with pytest.raises(AssertionError, match="never written"):
        graph_of([], [x], [y])
    with pytest.raises(AssertionError, match="writes into INPUT"):
        graph_of([elementwise("NEG", [x], x), elementwise("NEG", [x], y)], [x], [y])
    bad = tensor([dm.symbol("t")])
    with pytest.raises(AssertionError, match="unknown symbol"):
        graph_of([elementwise("NEG", [x], y), elementwise("NEG", [bad], bad)], [x], [y])


def test_the_dump_shows_every_operator():
    proto = model([node("LSTM", "X W R", "Y", name="cell", hidden_size=H)], {"X": ["t", "n", 3]}, "Y", W)
    text = dump(lowered(proto).graph)
    assert "recurrent(" in text
    assert "# cell" in text
    assert text.count("state ") == 2


def test_passes_say_what_they_did():
    nodes = [
        node("LSTM", "X W R", "Y", name="cell", hidden_size=H),
        node("Gather", "Y last", "a"),
        node("MatMul", "a w", "m"),
    ]
    nodes += [node("Add", "m b", "s", name="bias"), node("Tanh", "s", "y", name="act")]
    proto = model(nodes, {"X": ["t", "n", 3]}, "y", W | {"last": A(-1), "w": random(H, 4), "b": random(4)})
    fused = lowered(proto).fused
    assert any("cell: its last state" in text for text in fused)
    assert any("bias+act" in text for text in fused)
    assert read_last_states(lowered(proto).graph) == []
