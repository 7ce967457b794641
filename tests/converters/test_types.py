# SPDX-License-Identifier: Apache-2.0
"""Every element type that a row of the registry claims converts and computes; every other one is refused by name."""

from __future__ import annotations

import re

import numpy as np
import onnx.numpy_helper
import onnx.shape_inference
import pytest
from onnx import helper

import tinyrnn
from build import lowered, model, node, reference
from test_schemas import NEWEST, pytestmark, schema_of, types_of  # noqa: F401
from tinyrnn.converters import convert_bytes, references, registry
from tinyrnn.converters.errors import ConversionError
from tinyrnn.converters.ir import NUMPY_TYPE, TYPE_NAMES, dump

#: Shapes of inputs where [2, 3] is not one, by operator, then by ONNX's name of the input.
SHAPES = {
    "Attention": {
        **{name: [2, 2, 3, 4] for name in ("Q", "K", "V", "past_key", "past_value")},
        "attn_mask": [3, 6],
        "nonpad_kv_seqlen": [2],
    },
    "AveragePool": {"X": [1, 2, 5]},
    "BatchNormalization": {name: [3] for name in ("scale", "B", "mean", "var", "input_mean", "input_var")},
    "CausalConvWithState": {"input": [1, 2, 5], "weight": [2, 1, 4], "bias": [2], "past_state": [1, 2, 3]},
    "Clip": {"min": [], "max": []},
    "Compress": {"condition": np.array([False, True, True, False, True, False])},
    "Conv": {"X": [1, 2, 5], "W": [3, 2, 2], "B": [3]},
    "ConvTranspose": {"X": [1, 2, 5], "W": [2, 3, 2], "B": [3]},
    "DepthToSpace": {"input": [1, 4, 2, 3]},
    "DFT": {"input": [1, 3, 1], "dft_length": np.array(4), "axis": np.array(1)},
    "CumProd": {"axis": np.array(1)},
    "CumSum": {"axis": np.array(1)},
    "Det": {"X": [2, 3, 3]},
    "Dropout": {"ratio": [], "training_mode": np.array(False)},
    "Expand": {"shape": np.array([4, 2, 3])},
    "ConstantOfShape": {"input": np.array([2, 3])},
    "GRU": {
        "X": [3, 1, 2],
        "W": [1, 12, 2],
        "R": [1, 12, 4],
        "B": [1, 24],
        "sequence_lens": [1],
        "initial_h": [1, 1, 4],
    },
    "Gather": {"indices": [2]},
    "GatherND": {"indices": [2, 1]},
    "Gemm": {"B": [3, 4], "C": [4]},
    "GlobalAveragePool": {"X": [1, 2, 5]},
    "Col2Im": {"input": [1, 4, 3], "image_shape": np.array([6]), "block_shape": np.array([2])},
    "GlobalLpPool": {"X": [1, 2, 5]},
    "GlobalMaxPool": {"X": [1, 2, 5]},
    "GridSample": {"X": [1, 2, 3, 4], "grid": [1, 2, 3, 2]},
    "GroupNormalization": {"X": [1, 4, 5], "scale": [4], "bias": [4]},
    "If": {"cond": [1]},
    "InstanceNormalization": {"input": [1, 2, 5], "scale": [2], "B": [2]},
    "LSTM": {
        "X": [3, 1, 2],
        "W": [1, 16, 2],
        "R": [1, 16, 4],
        "B": [1, 32],
        "sequence_lens": [1],
        "P": [1, 12],
        "initial_h": [1, 1, 4],
        "initial_c": [1, 1, 4],
    },
    "LpPool": {"X": [1, 2, 5]},
    "LayerNormalization": {"Scale": [3], "B": [3]},
    "LinearAttention": {
        "query": [1, 2, 6],
        "key": [1, 2, 6],
        "value": [1, 2, 4],
        "past_state": [1, 2, 3, 2],
        "decay": [1, 2, 2],
        "beta": [1, 2, 2],
    },
    "MatMul": {"B": [3, 4]},
    "MaxPool": {"X": [1, 2, 5]},
    "LRN": {"X": [3, 3, 2, 2]},
    "MaxUnpool": {"X": [1, 1, 3], "I": np.array([[[1, 2, 5]]]), "output_shape": np.array([1, 1, 7])},
    "MeanVarianceNormalization": {"X": [1, 2, 2, 3]},
    "MelWeightMatrix": {
        "num_mel_bins": np.array(3),
        "dft_length": np.array(16),
        "sample_rate": np.array(100),
        "lower_edge_hertz": np.array(0),
        "upper_edge_hertz": np.array(50),
    },
    "OneHot": {"depth": np.array(4), "values": [2]},
    "PRelu": {"slope": [3]},
    "Pad": {"pads": np.array([0, 1, 0, 1]), "constant_value": [], "axes": np.array([0, 1])},
    "RMSNormalization": {"scale": [3]},
    "RNN": {"X": [3, 1, 2], "W": [1, 4, 2], "R": [1, 4, 4], "B": [1, 8], "sequence_lens": [1], "initial_h": [1, 1, 4]},
    "Range": {"start": np.array(1), "limit": np.array(7), "delta": np.array(2)},
    "Reshape": {"shape": np.array([3, 2])},
    "Resize": {"roi": [4], "scales": np.array([1, 2]), "sizes": np.array([])},
    "ReverseSequence": {"sequence_lens": [3]},
    "ScatterND": {"indices": [2, 1]},
    "STFT": {"signal": [1, 8, 1], "frame_step": np.array(2), "window": [4], "frame_length": np.array(4)},
    "Slice": {"starts": np.array([0]), "ends": np.array([2]), "axes": np.array([1]), "steps": np.array([1])},
    "SpaceToDepth": {"input": [1, 2, 4, 6]},
    "Split": {"split": np.array([1, 2])},
    "Squeeze": {"data": [2, 1, 3], "axes": np.array([1])},
    "TensorScatter": {"past_cache": [2, 5, 3], "update": [2, 2, 3], "write_indices": [2]},
    "Tile": {"repeats": np.array([1, 2])},
    "TopK": {"K": np.array([2])},
    "Trilu": {"k": np.array(1)},
    "Unsqueeze": {"axes": np.array([0])},
    "Upsample": {"scales": np.array([1, 2])},
} | {op: {"axes": np.array([1])} for _, op in registry.LOWERINGS if op.startswith("Reduce")}

#: Attributes that a node needs, or that stand for an input of later opsets; those that an opset has not are left out.
ATTRIBUTES = {
    "AveragePool": {"kernel_shape": [2]},
    "BitShift": {"direction": "LEFT"},
    "Cast": {"to": 1},
    "Clip": {"min": 0.75, "max": 1.5},
    "Col2Im": {"strides": [2]},
    "Concat": {"axis": 1},
    "Constant": {"value": helper.make_tensor("value", 1, [2], [1.0, 2.0])},
    "DepthToSpace": {"blocksize": 2},
    "Einsum": {"equation": "ij,ij->ji"},
    "GRU": {"hidden_size": 4},
    "GroupNormalization": {"num_groups": 4},
    "LSTM": {"hidden_size": 4},
    "LRN": {"size": 3},
    "LpPool": {"kernel_shape": [2]},
    "LinearAttention": {"q_num_heads": 2, "kv_num_heads": 2},
    "MaxPool": {"kernel_shape": [2]},
    "MaxUnpool": {"kernel_shape": [2], "strides": [2]},
    "Mod": {"fmod": 1},  # the default is for integers only until opset 28
    "Pad": {"pads": [0, 1, 0, 1]},
    "RNN": {"hidden_size": 4, "activations": ["Tanh"]},  # the default is that of a bidirectional one
    "Slice": {"starts": [0], "ends": [2], "axes": [1]},
    "SpaceToDepth": {"blocksize": 2},
    "Split": {"axis": 1, "split": [1, 2]},
    "Squeeze": {"axes": [1]},
    "TopK": {"k": 2},
    "Unsqueeze": {"axes": [0]},
    "Upsample": {"scales": [1.0, 2.0]},
}
#: Inputs that exclude others: left out where the others are given.
APART = {"Attention": {"nonpad_kv_seqlen"}}
OUTPUTS = {"CausalConvWithState": 2, "GRU": 2, "LSTM": 3, "LinearAttention": 2, "RNN": 2, "Split": 2, "TopK": 2}

#: Operators in which ONNX's own reference is mistaken; that of tinyrnn takes its place.
BY_TINYRNN = {
    "BatchNormalization": "before opset 14 it trains, and fails at 7",
    "GlobalLpPool": "it has none",
    "Det": "it fails at float16",
    "GlobalMaxPool": "it drops the spatial axes",
    "GroupNormalization": "its variance is the difference of two large numbers",
    "MeanVarianceNormalization": "it adds float32 to float16",
    "OneHot": "it subtracts booleans",
    "Resize": "it reads sizes that are empty",
    "Scatter": "it has none",
    "Upsample": "it has no attribute for the scales",
}

ROWS = [
    pytest.param(op, row, id=f"{op}-{max(row.since, 7)}")
    for (domain, op), rows in sorted(registry.LOWERINGS.items())
    if not domain
    for row in rows
]


def opset_of(row):
    """Return the last opset of a row."""
    return min(row.until, NEWEST)


def array(op, shape, dtype, name):
    """Return positive numbers; indices and lengths that are inside every axis."""
    if isinstance(shape, np.ndarray):
        return shape.astype(NUMPY_TYPE[dtype])
    count = int(np.prod(shape))
    if dtype == "BOOL":
        numbers = np.arange(count) % 2
    elif name == "sequence_lens":
        numbers = np.full(count, 2 if op == "ReverseSequence" else 3)
    elif name == "indices":
        numbers = np.ones(count)
    elif dtype in registry.TYPES["floats"]:
        numbers = np.linspace(0.5, 2, count)
    else:
        numbers = 1 + np.arange(count) % 5
    return numbers.astype(NUMPY_TYPE[dtype]).reshape(shape)


def branches():
    """Return the bodies of an If, which read an outer name."""
    out = [helper.make_value_info("b", onnx.TypeProto())]
    made = {
        name: helper.make_node(op, ["other"], ["b"]) for name, op in (("then_branch", "Neg"), ("else_branch", "Abs"))
    }
    return {name: helper.make_graph([body], name, [], out) for name, body in made.items()}


def one_node(op, row, dtypes, constant=True):
    """Return a model of the node and what it is fed; arrays of SHAPES are initializers, unless all are to be inputs."""
    attributes = {k: v for k, v in ATTRIBUTES.get(op, {}).items() if k in row.attributes}
    attributes |= branches() if op == "If" else {}
    names, inputs, constants, feeds = [], {}, {}, {}
    for i, dtype in enumerate(dtypes):
        formal = row.inputs[min(i, len(row.inputs) - 1)].name
        if constant and formal in APART.get(op, ()):
            continue
        shape = SHAPES.get(op, {}).get(formal, [2, 3])
        made, name = array(op, shape, dtype, formal), f"x{i}"
        names.append(name)
        if isinstance(shape, np.ndarray) and constant:
            constants[name] = made
        else:
            feeds[name] = made
            inputs[name] = (helper.np_dtype_to_tensor_dtype(made.dtype), list(made.shape))
    if op == "If":
        feeds["other"], inputs["other"] = np.float32([1.5, -2]), (1, [2])
    outputs = " ".join(f"y{i}" for i in range(OUTPUTS.get(op, 1)))
    one = node(op, " ".join(names), outputs, **attributes)
    return model([one], inputs, outputs, constants, opset=opset_of(row)), feeds


def first_types(row):
    """Return a type for each input; two inputs for a variadic one."""
    types = [i.types[0] for i in row.inputs]
    return types * 2 if row.inputs and row.inputs[-1].variadic else types


def accepted(row):
    """Yield every claimed type of every input, the others having their first; inputs that must agree go together."""
    yield first_types(row)
    for i, given in enumerate(row.inputs):
        for dtype in given.types if given.like in (-1, i) else ():
            types = first_types(row)
            for k in range(len(types)):
                if k == i or row.input(k).like == i:
                    types[k] = dtype
            yield types


def refused(row):
    """Yield (number, types): every type that an input does not claim, and that ones which must agree do not have."""
    for i, given in enumerate(row.inputs):
        free = given.like in (-1, i)
        for dtype in TYPE_NAMES:
            types = first_types(row)
            if dtype in (given.types if free else types[i : i + 1]):
                continue
            for k in range(len(types)):
                if k == i or (free and row.input(k).like == i):
                    types[k] = dtype
            yield i, types


def defined(op, row, types):
    """Return whether ONNX defines the operator for these types too, so that its reference can be asked."""
    schema = schema_of(op, opset_of(row))
    last = len(schema.inputs) - 1
    return all(t in types_of(schema, schema.inputs[min(i, last)]) for i, t in enumerate(types))


def output_type(proto, row, types, name):
    """Return the type that the schema gives an output: that of an input, else what ONNX infers."""
    one = proto.graph.node[0]
    schema = schema_of(one.op_type, opset_of(row))
    names = [formal.type_str for formal in schema.inputs]
    wanted = schema.outputs[min(list(one.output).index(name), len(schema.outputs) - 1)].type_str
    if wanted in names:
        return NUMPY_TYPE[types[names.index(wanted)]]
    inferred = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(proto).graph.output}
    return helper.tensor_dtype_to_np_dtype(inferred[name])


@pytest.mark.parametrize(("op", "row"), ROWS)
def test_claimed_types_convert_and_compute_what_onnx_says(op, row):
    for types in accepted(row):
        proto, feeds = one_node(op, row, types)
        try:
            got = tinyrnn.load(convert_bytes(proto)[0]).run(feeds)
        except tinyrnn.TinyRNNError as e:
            raise AssertionError(f"{op} of {types}: {e}") from e
        if not defined(op, row, types):
            continue
        wanted = references.run(proto, feeds) if op in BY_TINYRNN else reference(proto, **feeds)
        for name, want in wanted.items():
            assert got[name].dtype == output_type(proto, row, types, name), f"{op} of {types}"
            tolerance = 2e-2 if "F16" in types else 1e-5
            np.testing.assert_allclose(got[name], want, tolerance, tolerance, err_msg=f"{op} of {types}")


@pytest.mark.parametrize(("op", "row"), [p for p in ROWS if p.values[1].inputs])
def test_other_types_are_refused_by_name(op, row):
    for i, types in refused(row):
        proto, _ = one_node(op, row, types, constant=False)
        with pytest.raises(ConversionError) as caught:
            convert_bytes(proto)
        (problem,) = caught.value.problems
        name, formal, dtype = TYPE_NAMES[types[i]], row.inputs[i].name, f"(x{i}) is {TYPE_NAMES[types[i]]}"
        assert problem.startswith(f"{op} node '-> y0': "), problem
        if row.inputs[i].like in (-1, i):
            assert f"input {formal!r} {dtype}, but must be " in problem, problem
            assert not re.search(rf"\b{name}\b", problem.split("must be")[1].replace("put a Cast", "")), problem
        else:
            assert f"mixes types: input {formal!r} {dtype}, but " in problem, problem


def shown(proto):
    """Return the lowered graph as text; an attribute is a float32 and its default here a Python float."""
    return re.sub(r"\d+(\.\d+)?e-\d+|\d+\.\d+", lambda m: str(np.float32(m.group())), dump(lowered(proto).graph))


@pytest.mark.parametrize(("op", "row"), ROWS)
def test_an_absent_attribute_is_the_default_of_its_schema(op, row):
    """The graph is the same whether a default is written out or not, in every opset where the schema changes."""
    for opset in range(max(row.since, 7), opset_of(row) + 1):
        schema = schema_of(op, opset)
        if schema is None or (opset > max(row.since, 7) and schema.since_version < opset):
            continue
        defaults = {
            name: helper.get_attribute_value(a.default_value)
            for name, a in schema.attributes.items()
            if a.default_value.type and name not in ATTRIBUTES.get(op, {})
        }
        plain, _ = one_node(op, row, first_types(row))
        plain.opset_import[0].version = opset
        written = onnx.ModelProto()
        written.CopyFrom(plain)
        written.graph.node[0].attribute.extend(helper.make_attribute(k, v) for k, v in defaults.items())
        assert shown(written) == shown(plain), f"{op} in opset {opset}: {defaults}"


@pytest.mark.parametrize("dtype", TYPE_NAMES)
def test_constants_of_every_type(dtype):
    made = array("", [3], dtype, "")
    value = onnx.numpy_helper.from_array(made)
    nodes = [node("Constant", "", "a", value=value), node("ConstantOfShape", "s", "b")]
    nodes[1].attribute.append(helper.make_attribute("value", onnx.numpy_helper.from_array(made[:1])))
    proto = model(nodes, {"x": [1]}, "a b", {"s": np.int64([2, 2])})
    a, b = tinyrnn.load(convert_bytes(proto)[0]).run(np.float32([0]))
    assert a.dtype == b.dtype == made.dtype
    assert (a == made).all()
    assert (b == made[0]).all()
