# SPDX-License-Identifier: Apache-2.0
"""Channels that become squares of a plane, and the way back."""

import pytest

from build import agree, lowered, model, node, random, run
from tinyrnn.converters import ConversionError


def one(op, dims, opset=17, **attributes):
    """Return a model of the one node."""
    return model([node(op, "x", "y", **attributes)], {"x": dims}, "y", opset=opset)


@pytest.mark.parametrize("dims", [[2, 18, 4, 5], ["n", 18, "h", "w"]])
@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_channels_become_squares(dims, mode):
    agree(one("DepthToSpace", dims, blocksize=3, mode=mode), x=random(2, 18, 4, 5))


def test_squares_become_channels():
    agree(one("SpaceToDepth", [2, 3, 4, 6], blocksize=2), x=random(2, 3, 4, 6))
    agree(one("SpaceToDepth", ["n", "c", 4, 6], blocksize=2), x=random(2, 3, 4, 6))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_there_and_back_is_the_same(mode):
    nodes = [
        node("SpaceToDepth", "x", "t", blocksize=2, mode=mode),
        node("DepthToSpace", "t", "y", blocksize=2, mode=mode),
    ]
    x = random(2, 3, 4, 6)
    assert (run(model(nodes, {"x": ["n", 3, 4, 6]}, "y", opset=28), x=x)["y"] == x).all()


def test_the_oldest_opset_has_one_order():
    x = random(1, 8, 2, 3)
    old, new = (run(one("DepthToSpace", [1, 8, 2, 3], opset, blocksize=2), x=x)["y"] for opset in (7, 28))
    assert (old == new).all()
    with pytest.raises(ConversionError, match="'mode'"):
        lowered(one("DepthToSpace", [1, 8, 2, 3], 7, blocksize=2, mode="CRD"))


def test_a_plane_whose_size_is_open_must_be_made_of_whole_squares():
    with pytest.raises(ConversionError, match="axis 2 of .* is not provably a multiple of 2: fix it with --shape"):
        lowered(one("SpaceToDepth", [1, 3, "h", 6], blocksize=2))
    with pytest.raises(ConversionError, match="axis 1 of .* is not provably a multiple of 4"):
        lowered(one("DepthToSpace", [1, 6, 4, 6], blocksize=2))
    for attributes, dims, what in [
        ({"blocksize": 0}, [1, 4, 2, 2], "'blocksize' is 0"),
        ({"blocksize": 2, "mode": "RCD"}, [1, 4, 2, 2], "'mode' is 'RCD'"),
        ({"blocksize": 2}, [4, 2, 2], r"takes \[batch, channels, height, width\]"),
    ]:
        with pytest.raises(ConversionError, match=what):
            lowered(one("DepthToSpace", dims, **attributes))


def test_steps_that_become_rows_are_no_stream():
    """An upsampling over time: two rows of the result for each step, where a stream gives one."""
    weights = {"r": random(1, 4, 4), "h": random(1, 4, 4)}
    nodes = [node("RNN", "x r h", "a", hidden_size=4), node("Transpose", "a", "b", perm=[2, 3, 0, 1])]
    for size, streams in ((1, True), (2, False)):
        last = node("DepthToSpace", "b", "y", name="up", blocksize=size)
        graph = lowered(model([*nodes, last], {"x": ["t", 1, 4]}, "y", weights)).graph
        assert graph.streamable == streams, graph.reason
    assert "has no axis of its own for the steps" in graph.reason
