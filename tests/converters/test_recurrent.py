# SPDX-License-Identifier: Apache-2.0
"""RNN, LSTM and GRU: every attribute and input through lowering and packing, against the float64 reference."""

import itertools

import numpy as np
import pytest

from build import INT32, INT64, lowered, model, node, random, run
from tinyrnn.converters import ConversionError, references
from tinyrnn.converters.ops.recurrent import ACTIVATIONS, GATES

STEPS, ROWS, INPUT, HIDDEN = 5, 3, 4, 19
COUNT = {"RNN": 1, "LSTM": 3, "GRU": 2}


def recurrent(
    op, *, direction="forward", layout=0, opset=17, bias=True, lengths=None, states=False, peepholes=False,
    runtime=False, dtype=np.float32, **attributes
):  # fmt: skip
    """Return (model, feeds)."""
    d = 2 if direction == "bidirectional" else 1
    g = GATES[op]
    arrays = {"W": random(d, g * HIDDEN, INPUT, seed=1), "R": random(d, g * HIDDEN, HIDDEN, seed=2, scale=0.3)}
    arrays |= {"B": random(d, 2 * g * HIDDEN, seed=3)} if bias else {}
    arrays |= {"P": random(d, 3 * HIDDEN, seed=4)} if peepholes else {}
    arrays = {k: v.astype(dtype) for k, v in arrays.items()}
    x = random(STEPS, ROWS, INPUT).astype(dtype)
    feeds, dims = {"X": x}, {"X": ["time", "batch", INPUT]}
    if states:
        for i, name in enumerate(["h0", "c0"][: 2 if op == "LSTM" else 1]):
            feeds[name] = random(d, ROWS, HIDDEN, seed=5 + i).astype(dtype)
            dims[name] = [d, "batch", HIDDEN]
    if lengths is not None:
        feeds["L"] = np.asarray(lengths, np.int32)
    if layout:
        feeds = {k: v if k == "L" else np.ascontiguousarray(v.swapaxes(0, 1)) for k, v in feeds.items()}
        dims = {k: [v[1], v[0], v[2]] for k, v in dims.items()}
        attributes["layout"] = 1
    types = {np.dtype(np.float32): 1, np.dtype(np.float16): 10, np.dtype(np.float64): 11}
    inputs = {k: (types[np.dtype(dtype)], v) for k, v in dims.items()}
    if lengths is not None:
        inputs["L"] = (INT32, ["batch"])
    if runtime:
        feeds |= arrays
        inputs |= {k: (types[np.dtype(dtype)], list(v.shape)) for k, v in arrays.items()}
    names = ["X", "W", "R", "B" if bias else "-", "L" if lengths is not None else "-"]
    names += ["h0" if states else "-"] + (["c0" if states else "-"] if op == "LSTM" else [])
    names += ["P"] if peepholes else []
    outputs = "Y H C" if op == "LSTM" else "Y H"
    one = node(op, " ".join(names), outputs, name="cell", direction=direction, hidden_size=HIDDEN, **attributes)
    return model([one], inputs, outputs, {} if runtime else arrays, opset), feeds


def check(proto, feeds, tolerance=2e-6):
    got, want = run(proto, **feeds), references.run(proto, feeds)
    for name, w in want.items():
        assert got[name].shape == w.shape, name
        np.testing.assert_allclose(got[name], w, tolerance, tolerance, err_msg=name)


CELLS = [("RNN", {}), ("LSTM", {}), ("GRU", {"linear_before_reset": 0}), ("GRU", {"linear_before_reset": 1})]


@pytest.mark.parametrize(("op", "flags"), CELLS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("lengths", [None, [5, 0, 2], [1, 1, 1]])
@pytest.mark.parametrize("states", [False, True])
def test_directions_layouts_lengths_and_states(op, flags, direction, layout, lengths, states):
    check(*recurrent(op, direction=direction, layout=layout, lengths=lengths, states=states, **flags))


@pytest.mark.parametrize(("op", "flags"), CELLS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_weights_at_run_time(op, flags, bias, direction):
    check(*recurrent(op, direction=direction, bias=bias, runtime=True, peepholes=op == "LSTM", **flags))


@pytest.mark.parametrize(
    ("peepholes", "input_forget", "clip"), list(itertools.product([False, True], [0, 1], [None, 0.3]))
)
def test_lstm_variants(peepholes, input_forget, clip):
    more = {} if clip is None else {"clip": clip}
    check(*recurrent("LSTM", peepholes=peepholes, input_forget=input_forget, states=True, **more))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("spelling", [str.upper, str.lower])
def test_activations_with_their_defaults(name, spelling):
    check(*recurrent("RNN", activations=[spelling(name)]))


def test_values_of_activations_go_to_those_that_take_one_in_order():
    names = ["Sigmoid", "LeakyRelu", "Elu", "HardSigmoid", "Affine", "Tanh"]
    proto, feeds = recurrent(
        "LSTM",
        direction="bidirectional",
        activations=names,
        activation_alpha=[0.2, 0.7, 0.3, 0.9],
        activation_beta=[0.4, 0.1],
    )
    check(proto, feeds)
    (made,) = lowered(proto).graph.nodes
    assert [(a, round(x, 3), round(y, 3)) for a, x, y in made.attributes["activations"]] == [
        ("SIGMOID", 0.0, 0.0),
        ("LEAKY_RELU", 0.2, 0.0),
        ("ELU", 0.7, 0.0),
        ("HARD_SIGMOID", 0.3, 0.4),
        ("AFFINE", 0.9, 0.1),
        ("TANH", 0.0, 0.0),
    ]


@pytest.mark.parametrize("opset", [7, 11, 14, 22])
@pytest.mark.parametrize("op", ["RNN", "LSTM", "GRU"])
def test_opsets(op, opset):
    check(*recurrent(op, opset=opset))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float16, 2e-3), (np.float64, 2e-6)])
def test_other_float_types_keep_their_declared_types(dtype, tolerance):
    proto, feeds = recurrent("LSTM", states=True, dtype=dtype)
    check(proto, feeds, tolerance)
    assert run(proto, **feeds)["Y"].dtype == dtype


def test_lengths_in_int64():
    proto, feeds = recurrent("GRU", lengths=[5, 1, 2])
    proto.graph.input[1].type.tensor_type.elem_type = INT64
    check(proto, feeds | {"L": feeds["L"].astype(np.int64)})


def test_the_hidden_size_may_be_left_to_the_weights():
    proto, feeds = recurrent("LSTM")
    kept = [a for a in proto.graph.node[0].attribute if a.name != "hidden_size"]
    del proto.graph.node[0].attribute[:]
    proto.graph.node[0].attribute.extend(kept)
    check(proto, feeds)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 7}, "hidden_size"),
        ({"direction": "sideways"}, "direction"),
        ({"layout": 2}, "layout"),
        ({"activations": ["Sigmoid"]}, "1 entries"),
        ({"activations": ["Sigmoid", "Tanh", "Gelu"]}, "'Gelu'"),
        ({"activations": ["Sigmoid", "Tanh", "Tanh"], "activation_alpha": [1.0, 2.0]}, "activation_alpha"),
        ({"clip": -1.0}, "clip"),
        ({"input_forget": 2}, "input_forget"),
        ({"linear_before_reset": 1}, "linear_before_reset"),
    ],
)
def test_attributes_that_are_refused(change, message):
    proto, _ = recurrent("LSTM")
    attributes = {"hidden_size": HIDDEN, **change}
    proto.graph.node[0].CopyFrom(node("LSTM", "X W R B", "Y H C", name="cell", **attributes))
    with pytest.raises(ConversionError, match=message) as caught:
        lowered(proto)
    assert "LSTM node 'cell'" in str(caught.value)


@pytest.mark.parametrize("name", ["W", "R", "B"])
def test_weights_of_the_wrong_shape_are_refused(name):
    proto, _ = recurrent("LSTM")
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            tensor.dims[-1 if name != "B" else 1] += 1
            tensor.raw_data += b"\0" * (4 * int(np.prod(tensor.dims)) - len(tensor.raw_data))
    with pytest.raises(ConversionError, match="shape|R has 20 columns"):
        lowered(proto)
