# SPDX-License-Identifier: Apache-2.0
"""If: folded, or two blocks; sizes as data; what is assumed where only one branch can be right."""

import numpy as np
import pytest
from onnx import numpy_helper

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
