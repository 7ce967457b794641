# SPDX-License-Identifier: Apache-2.0
"""If: folded, or two blocks; sizes as data; what is assumed where only one branch can be right."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

import tinyrnn
from build import BOOL, FLOAT, INT64, body, choice, kinds, lowered, model, node, random, reference
from interpret import Run
from tinyrnn.converters import ConversionError, convert_bytes, references
from tinyrnn.converters.ir import dump

A = np.array


def two_ways():
    """Tanh, or minus (r + 2), of r = relu(x); then exp."""
    then = body([node("Tanh", "r", "a")], "a")
    other = body([node("Add", "r k", "b"), node("Neg", "b", "d")], "d", {"k": np.float32(2)})
    return [node("Relu", "x", "r"), choice("c", "y", then, other), node("Exp", "y", "z")]


@pytest.mark.parametrize("flag", [True, False])
def test_a_condition_in_the_data_becomes_two_blocks(flag):
    proto = model(two_ways(), {"x": ["n", 3], "c": (BOOL, [])}, "z")
    graph = lowered(proto).graph
    assert kinds(graph) == "elementwise branch elementwise"
    assert "then:" in dump(graph)
    x = random(4, 3)
    want = reference(proto, x=x, c=A(flag))["z"]
    np.testing.assert_allclose(Run(graph)({"x": x, "c": A(flag)})["z"], want, rtol=1e-6)
    np.testing.assert_allclose(references.run(proto, {"x": x, "c": A(flag)})["z"], want, rtol=1e-6)
    got = tinyrnn.load(convert_bytes(proto)[0]).run({"x": x, "c": A(flag)})
    np.testing.assert_allclose(got["z"], want, rtol=1e-6)


def test_blocks_are_fused_and_write_their_results_in_place():
    graph = lowered(model(two_ways(), {"x": ["n", 3], "c": (BOOL, [])}, "z")).graph
    (branch,) = (n for n in graph.nodes if n.kind == "branch")
    programs = [[step[0] for step in n.attributes["program"]] for block in branch.blocks for n in block]
    assert programs == [["TANH"], ["ADD", "NEG"]]


def test_what_both_blocks_and_the_graph_read_stays():
    then = body([node("Neg", "r", "a"), node("Add", "a r", "b")], "b")
    inner = choice("c", "i", body([node("Exp", "r", "p")], "p"), body([node("Mul", "r r", "p")], "p"), "inner")
    other = body([inner, node("Sub", "i r", "b")], "b")
    nodes = [node("Relu", "x", "r"), choice("c", "y", then, other), node("Mul", "y r", "z")]
    proto = model(nodes, {"x": ["n", 3], "c": (BOOL, [])}, "z")
    for flag in (True, False):
        x = random(4, 3)
        want = reference(proto, x=x, c=A(flag))["z"]
        np.testing.assert_allclose(Run(lowered(proto).graph)({"x": x, "c": A(flag)})["z"], want, rtol=1e-6)
        got = tinyrnn.load(convert_bytes(proto)[0]).run({"x": x, "c": A(flag)})["z"]
        np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(("flag", "nodes"), [(True, 1), (False, 1)])
def test_a_bound_condition_leaves_one_branch(flag, nodes):
    proto = model(two_ways(), {"x": ["n", 3], "c": (BOOL, [])}, "z")
    graph = lowered(proto, bind={"c": flag}).graph
    assert len(graph.nodes) == nodes
    np.testing.assert_allclose(
        Run(graph)({"x": random(2, 3)})["z"], reference(proto, x=random(2, 3), c=A(flag))["z"], rtol=1e-6
    )


def test_branches_inside_branches():
    inner = choice("b", "i", body([node("Abs", "x", "p")], "p"), body([node("Identity", "x", "p")], "p"), "inner")
    then = body([inner, node("Neg", "i", "q")], "q")
    proto = model(
        [choice("a", "y", then, body([node("Identity", "x", "q")], "q"), "outer")],
        {"x": ["n"], "a": (BOOL, []), "b": (BOOL, [1])},
        "y",
    )
    graph = lowered(proto).graph
    engine, x = tinyrnn.load(convert_bytes(proto)[0]), random(5)
    for a in (True, False):
        for b in (True, False):
            feeds = {"x": x, "a": A(a), "b": A([b])}
            want = -(np.abs(x) if b else x) if a else x
            np.testing.assert_array_equal(Run(graph)(feeds)["y"], want)
            np.testing.assert_array_equal(engine.run(feeds)["y"], want)


def test_a_recurrence_in_a_branch_is_not_streamable():
    weights = {"W": random(1, 4, 3), "R": random(1, 4, 4)}
    then = body([node("RNN", "x W R", "p", name="cell", hidden_size=4)], "p")
    other = body([node("RNN", "x W R", "p", name="second", hidden_size=4, activations=["Relu"])], "p")
    graph = lowered(model([choice("c", "y", then, other)], {"x": ["t", "b", 3], "c": (BOOL, [])}, "y", weights)).graph
    assert not graph.streamable
    assert "'choice'" in graph.reason
    assert graph.states == []


@pytest.mark.parametrize(
    ("then", "other", "message"),
    [
        (body([node("Relu", "x", "p")], "p"), body([node("Concat", "x x", "p", axis=1)], "p"), "shapes"),
        (body([node("Relu", "x", "p")], "p"), body([node("Cast", "x", "p", to=INT64)], "p"), "types float32 and int64"),
        (body([node("Relu", "x", "p")], "p"), body([node("Boom", "x", "p")], "p"), "Boom node"),
        (body([node("Relu", "x", "p")], "p"), body([node("Relu", "x", "p")], "p p"), "2 outputs"),
    ],
)
def test_branches_that_differ_are_refused_by_name(then, other, message):
    with pytest.raises(ConversionError, match=message):
        lowered(model([choice("c", "y", then, other)], {"x": ["n", 3], "c": (BOOL, [])}, "y"))


def test_a_branch_that_drops_an_axis_is_taken_to_mean_it():
    """Exporters write `if the axis has length 1, squeeze it`, and go on as if it had."""
    nodes = [
        node("Slice", "x zero end one two", "part"),
        node("Shape", "part", "s"),
        node("Gather", "s one", "n"),
        node("Equal", "n one", "is1"),
        choice("is1", "y", body([node("Squeeze", "part one", "p")], "p"), body([node("Identity", "part", "p")], "p")),
        node("MatMul", "y w", "z"),
    ]
    constants = {"zero": A([0]), "end": A([1 << 40]), "one": A([1]), "two": A([4]), "w": random(3, 2)}
    proto = model(nodes, {"x": ["batch", "width", 3]}, "z", constants)
    data, report = convert_bytes(proto)
    assert any("'choice'" in note and "= 1 only" in note for note in report.notes)
    engine, x = tinyrnn.load(data), random(2, 4, 3)
    np.testing.assert_allclose(engine.run({"x": x})["z"], x[:, 0] @ constants["w"], rtol=1e-5)
    with pytest.raises(tinyrnn.ShapeError, match="choice"):
        engine.run({"x": random(2, 5, 3)})


def length_of(question, than):
    """Return nodes that compare the length of x with a number, as `c`, and their constants."""
    nodes = [node("Shape", "x", "s"), node("Gather", "s zero", "n"), node(question, "n than", "c")]
    return nodes, {"zero": A(0), "than": A(than)}


LONG = body([node("Slice", "x start end axes", "p")], "p", {"start": A([0]), "end": A([4]), "axes": A([0])})
DOUBLED = body([node("Concat", "x x", "p", axis=0)], "p")


@pytest.mark.parametrize("question", ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
def test_a_question_about_sizes_is_a_choice_made_by_the_plan(question):
    """The branches give results of different lengths; the one that is not taken need not make sense."""
    nodes, constants = length_of(question, 4)
    nodes += [choice("c", "y", LONG, DOUBLED), node("Neg", "y", "z")]
    proto = model(nodes, {"x": ["n", 3]}, "z", constants)
    graph = lowered(proto).graph
    assert kinds(graph) == "branch elementwise"
    engine = tinyrnn.load(convert_bytes(proto)[0])
    for n in (1, 3, 4, 5, 9):
        x = random(n, 3)
        want = reference(proto, x=x)["z"]
        np.testing.assert_array_equal(engine.run({"x": x})["z"], want)
        np.testing.assert_array_equal(Run(graph)({"x": x})["z"], want)


def test_only_the_branch_taken_has_to_make_sense():
    """The rows over four, where there are any: with fewer, that shape would be negative."""
    nodes, constants = length_of("Greater", 4)
    over = [node("Sub", "n than", "m"), node("Unsqueeze", "m axis", "d"), node("Concat", "d width", "e", axis=0)]
    over += [node("ConstantOfShape", "e", "p", value=numpy_helper.from_array(A([2], np.float32)))]
    nodes += [choice("c", "y", body(over, "p"), body([node("Identity", "x", "p")], "p"))]
    proto = model(nodes, {"x": ["n", 3]}, "y", constants | {"axis": A([0]), "width": A([3])})
    engine = tinyrnn.load(convert_bytes(proto)[0])
    for n in (1, 2, 5, 6):
        x = random(n, 3)
        np.testing.assert_array_equal(engine.run({"x": x})["y"], reference(proto, x=x)["y"])


@pytest.mark.parametrize("op", ["And", "Or", "Not"])
def test_answers_about_sizes_are_combined(op):
    nodes, constants = length_of("Less", 6)
    nodes += [node("Greater", "n two", "d"), node(op, "c" if op == "Not" else "c d", "e")]
    nodes += [choice("e", "y", body([choice("d", "i", LONG, DOUBLED, "inner")], "i"), DOUBLED)]
    proto = model(nodes, {"x": ["n", 3]}, "y", constants | {"two": A(2)})
    engine = tinyrnn.load(convert_bytes(proto)[0])
    for n in range(1, 9):
        x = random(n, 3)
        np.testing.assert_array_equal(engine.run({"x": x})["y"], reference(proto, x=x)["y"])


def test_sizes_chosen_by_sizes_are_sizes():
    nodes, constants = length_of("Greater", 4)
    nodes += [node("Where", "c than n", "k"), node("Unsqueeze", "k zeros", "end")]
    nodes += [node("Slice", "x zeros end zeros", "y")]
    proto = model(nodes, {"x": ["n", 3]}, "y", constants | {"zeros": A([0])})
    assert kinds(lowered(proto).graph) == "copy"
    for n in (2, 4, 7):
        x = random(n, 3)
        np.testing.assert_array_equal(tinyrnn.load(convert_bytes(proto)[0]).run({"x": x})["y"], x[:4])


def test_a_choice_by_the_number_of_steps_is_not_streamable():
    nodes, constants = length_of("Greater", 4)
    then = body([node("Neg", "h", "p")], "p")
    nodes += [node("RNN", "x W R", "h", name="cell", hidden_size=4)]
    nodes += [choice("c", "y", then, body([node("Identity", "h", "p")], "p"))]
    constants |= {"W": random(1, 4, 3), "R": random(1, 4, 4)}
    graph = lowered(model(nodes, {"x": ["t", "b", 3]}, "y", constants)).graph
    assert not graph.streamable
    assert "'choice' chooses by the number of steps" in graph.reason


def test_a_decided_comparison_of_dimensions_folds():
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s two", "n"),
        node("Equal", "n three", "c"),
        choice("c", "y", body([node("Neg", "x", "p")], "p"), body([node("Boom", "x", "p")], "p")),
    ]
    assert kinds(lowered(model(nodes, {"x": ["a", "b", 3]}, "y", {"two": A(2), "three": A(3)})).graph) == "elementwise"


def test_sizes_are_data():
    nodes = [
        node("ReduceSum", "x axis", "sum", keepdims=0),
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Sub", "n one", "m"),
        node("Cast", "m", "f", to=FLOAT),
        node("Div", "sum f", "y"),
        node("Range", "start n step", "r"),
    ]
    constants = {"axis": A([0]), "zero": A(0), "one": A(1), "start": A(0), "step": A(2)}
    proto = model(nodes, {"x": ["rows", 3]}, "y r", constants)
    graph = lowered(proto).graph
    assert "shape" in kinds(graph)
    for rows in (2, 5):
        x = random(rows, 3)
        want = reference(proto, x=x)
        got = tinyrnn.load(convert_bytes(proto)[0]).run({"x": x})
        for found in (Run(graph)({"x": x}), got):
            np.testing.assert_allclose(found["y"], want["y"], rtol=1e-5)
            np.testing.assert_array_equal(found["r"], want["r"])


def test_the_number_of_steps_as_data_is_not_streamable():
    nodes = [
        node("RNN", "x W R", "h", name="cell", hidden_size=4),
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n", name="steps"),
        node("Cast", "n", "f", to=FLOAT),
        node("Div", "h f", "y", name="share"),
    ]
    constants = {"W": random(1, 4, 3), "R": random(1, 4, 4), "zero": A(0)}
    graph = lowered(model(nodes, {"x": ["t", "b", 3]}, "y", constants)).graph
    assert not graph.streamable
    assert "number of steps" in graph.reason


def test_twenty_branches_inside_one_another_fold():
    inner = body([node("Neg", "x", "p")], "p")
    for _ in range(20):
        inner = body([choice("c", "p", inner, body([node("Boom", "x", "p")], "p"))], "p")
    proto = model([choice("c", "y", inner, body([node("Boom", "x", "p")], "p"))], {"x": ["n"]}, "y", {"c": A(True)})
    assert kinds(lowered(proto).graph) == "elementwise"


def rates(last, outputs="p", **constants):
    """Return a model of a convolution by one of two strides, what follows it, and two nodes that do not hang on it."""
    strides = {name: node("Conv", "x w", name, strides=[s]) for name, s in (("a", 2), ("b", 3))}
    nodes = [
        choice("c", "f", *(body([one], name) for name, one in strides.items()), name="rate"),
        node("Relu", "f", "r"),
        node("Neg", "x", "n"),
        node("ReduceMax", "n", "m", axes=[1, 2], keepdims=0),
        *last,
    ]
    dims = {"x": [2, 3, "l"], "c": (BOOL, [])}
    return model(nodes, dims, outputs, {"w": random(4, 3, 3)} | constants)


def both_ways(proto, **feeds):
    """Compare the interpreter and the engine with ONNX's reference for both answers; return the graph."""
    graph, engine = lowered(proto).graph, tinyrnn.load(convert_bytes(proto)[0])
    for flag in (True, False):
        given = feeds | {"c": A(flag)}
        want = reference(proto, **given)
        got = engine.run(given)
        for name, value in Run(graph)(given).items():
            np.testing.assert_allclose(value, want[name], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(got[name] if isinstance(got, dict) else got, want[name], rtol=1e-5, atol=1e-6)
    return graph


def test_what_follows_branches_of_different_sizes_is_done_in_each():
    """What does not hang on the choice stays outside, also where the rest needs it and it comes later."""
    last = [node("ReduceMax", "r", "s", axes=[2], keepdims=0), node("MatMul", "s u", "t"), node("Mul", "t k", "p")]
    last.insert(2, node("Unsqueeze", "m one", "k"))
    proto = rates(last, "p m", u=random(4, 5), one=np.int64([1]))
    graph = both_ways(proto, x=random(2, 3, 13))
    (branch,) = (n for n in graph.nodes if n.kind == "branch")
    assert [sum(n.kind == "dense" for n in block) for block in branch.blocks] == [1, 1]
    assert sum(n.kind == "reduce" for n in graph.nodes) == 1
    weights = [n.inputs[1] for block in branch.blocks for n in block if n.kind in ("conv", "dense")]
    assert len({id(w) for w in weights}) == 2


def test_results_of_a_choice_that_agree_may_be_seen_outside():
    """The second result is an output of the graph; the first, whose size differs, ends inside."""
    then, other = ([node("Conv", "x w", "a", strides=[s]), node(op, "x", "b")] for s, op in ((2, "Abs"), (3, "Neg")))
    nodes = [choice("c", "f g", body(then, "a b"), body(other, "a b")), node("ReduceMax", "f", "p", axes=[2])]
    proto = model(nodes, {"x": [2, 3, "l"], "c": (BOOL, [])}, "g p", {"w": random(4, 3, 3)})
    both_ways(proto, x=random(2, 3, 13))


def test_two_choices_before_one_result():
    nodes = [
        choice("c", "f", body([node("Conv", "x w", "a", strides=[2])], "a"), body([node("Conv", "x w", "b")], "b")),
        choice("c", "g", body([node("Relu", "x", "d")], "d"), body([node("Concat", "x x", "e", axis=2)], "e")),
        node("ReduceMax", "f", "s", axes=[1, 2]),
        node("ReduceMax", "g", "t", axes=[1, 2]),
        node("Add", "s t", "p"),
    ]
    both_ways(model(nodes, {"x": [2, 3, "l"], "c": (BOOL, [])}, "p", {"w": random(4, 3, 3)}), x=random(2, 3, 13))


def test_a_state_behind_branches_of_different_sizes_is_tied():
    weights = {"i": random(1, 5, 4), "h": random(1, 5, 5)}
    last = [node("Transpose", "r", "t", perm=[2, 0, 1]), node("RNN", "t i h - - s0", "- sN", hidden_size=5)]
    proto = rates([*last, node("Tanh", "sN", "p")], "p sN", **weights)
    proto.graph.input.append(helper.make_tensor_value_info("s0", FLOAT, [1, 2, 5]))
    graph = both_ways(proto, x=random(2, 3, 13), s0=random(1, 2, 5))
    assert [graph.inputs[s.input].name for s in graph.states] == ["s0"]


@pytest.mark.parametrize(
    ("last", "outputs", "name"),
    [
        ([node("ReduceMax", "r", "p", axes=[1, 2])], "p f", "f"),
        ([node("Abs", "r", "p")], "p", "p"),
    ],
)
def test_a_size_that_data_decide_is_not_seen_outside(last, outputs, name):
    with pytest.raises(ConversionError, match=f"If node 'rate': its branches give '{name}' the shapes"):
        lowered(rates(last, outputs))


def test_names_inside_a_branch_do_not_hide_what_follows_reads():
    """The second branch has an `m` of its own, which is not the one that the sum is with."""
    then, other = (
        body([node("Relu", "x", "a")], "a"),
        body([node("Abs", "x", "m"), node("Concat", "m m", "b", axis=2)], "b"),
    )
    nodes = [
        node("ReduceMin", "x", "m", axes=[1, 2]),
        choice("c", "f", then, other, name="hides"),
        node("ReduceMax", "f", "s", axes=[1, 2]),
        node("Add", "s m", "p"),
    ]
    with pytest.raises(ConversionError, match="If node 'hides': its branches give 'f' the shapes"):
        lowered(model(nodes, {"x": [2, 3, "l"], "c": (BOOL, [])}, "p"))


def test_what_follows_has_to_fit_both_branches():
    proto = rates([node("MatMul", "r u", "p", name="product")], u=random(6, 5))
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 13
    with pytest.raises(ConversionError) as caught:
        lowered(proto)
    first, second = caught.value.problems
    assert first.startswith("MatMul node 'product': ")
    assert second.startswith("If node 'rate': what follows it does not fit both of its branches: bind the input")
    assert kinds(lowered(proto, bind={"c": True}).graph) == "conv dense"


@pytest.mark.parametrize("count", [4, 12])
def test_choices_that_multiply_are_bounded(count):
    """Each doubles what is in the branches of the others."""
    wide, narrow = (body([node("Concat", names, "a", axis=1)], "a") for names in ("x x", "x x x"))
    nodes = [choice("c", f"f{i}", wide, narrow, name=f"choice{i}") for i in range(count)]
    nodes += [node("ReduceMax", f"f{i}", f"s{i}", axes=[1]) for i in range(count)]
    nodes.append(node("Sum", " ".join(f"s{i}" for i in range(count)), "p"))
    proto = model(nodes, {"x": ["n", 3], "c": (BOOL, [])}, "p")
    if count == 4:
        both_ways(proto, x=random(2, 3))
        return
    with pytest.raises(ConversionError, match=r"its branches give 'f\d+' the shapes"):
        lowered(proto)
