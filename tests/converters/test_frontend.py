# SPDX-License-Identifier: Apache-2.0
"""Files that lie: sizes, places, cycles, names, nesting. Every one gets a named error, quickly."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from build import f32, kinds, lowered, model, node, random, run
from tinyrnn.converters import ConversionError, convert_bytes
from tinyrnn.errors import ModelFormatError, TinyRNNError


def plain():
    return model([node("Add", "x k", "y")], {"x": ["n", 4]}, "y", {"k": random(4)})


@pytest.mark.parametrize("data", [b"", b"{}", b"\x08", b"\xff" * 40, b"\x0b" * 60_000, b"onnx" * 99])
def test_bytes_that_are_no_model(data):
    with pytest.raises(ModelFormatError, match="not an ONNX model"):
        convert_bytes(data)


@pytest.mark.parametrize("opset", [-1, 0, 6, 10_000])
def test_opsets_that_are_refused_by_name(opset):
    proto = plain()
    proto.opset_import[0].version = opset
    with pytest.raises(ConversionError, match=f"opset {opset} "):
        convert_bytes(proto)


@pytest.mark.parametrize(
    "dims",
    [[5], [-4], [1 << 40], [(1 << 63) - 1], [1 << 32, 1 << 32], [-2, -2], [1 << 62, 4], [(1 << 32) + 1, 1 << 32]],
)
def test_initializers_whose_shape_is_not_that_of_their_data(dims):
    proto = plain()
    proto.graph.initializer[0].dims[:] = dims
    with pytest.raises(ModelFormatError, match="initializer 'k'"):
        convert_bytes(proto)


def test_typed_fields_are_counted():
    proto = plain()
    k = proto.graph.initializer[0]
    k.ClearField("raw_data")
    k.float_data[:] = [1, 2, 3]
    with pytest.raises(ModelFormatError, match="4 elements, but float_data holds 3"):
        convert_bytes(proto)
    k.float_data[:] = [1, 2, 3, 4]
    assert (run(proto, x=np.zeros((1, 4), f32))["y"] == [[1, 2, 3, 4]]).all()


def external(tmp_path, entries):
    (tmp_path / "w.bin").write_bytes(np.arange(8, dtype=f32).tobytes())
    proto = plain()
    k = proto.graph.initializer[0]
    k.ClearField("raw_data")
    k.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries.items():
        k.external_data.add(key=key, value=value)
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_data_beside_the_model(tmp_path):
    path = external(tmp_path, {"location": "w.bin", "offset": "8", "length": "16"})
    assert (run(onnx.load(path), x=np.zeros((1, 4), f32))["y"] == [[2, 3, 4, 5]]).all()
    assert kinds(lowered(path).graph) == "elementwise"


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "/etc/passwd"},
        {"location": "../w.bin"},
        {"location": "a/../../w.bin"},
        {"location": ""},
        {"location": "."},
        {"location": "w.bin\0"},
        {"location": "link"},
        {"location": "missing"},
        {"location": "w.bin", "offset": "-4"},
        {"location": "w.bin", "offset": "20"},
        {"location": "w.bin", "length": "12"},
        {"location": "w.bin", "offset": "18446744073709551608"},
        {"location": "w.bin", "offset": "x"},
    ],
)
def test_external_data_anywhere_else(tmp_path, entries):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(64))
    (folder / "link").symlink_to(tmp_path / "w.bin")
    with pytest.raises(ModelFormatError, match="external data|offset"):
        convert_bytes(external(folder, entries))


def test_external_data_of_a_model_without_a_path(tmp_path):
    data = external(tmp_path, {"location": "w.bin"}).read_bytes()
    with pytest.raises(ModelFormatError, match="convert the model from its path"):
        convert_bytes(data)


def test_nodes_in_any_order_but_not_in_a_cycle():
    nodes = [node("Tanh", "b", "c"), node("Neg", "a", "b"), node("Exp", "x", "a")]
    assert kinds(lowered(model(nodes, {"x": ["n"]}, "c")).graph) == "elementwise"
    loop = [node("Add", "x b", "a", name="one"), node("Neg", "a", "b", name="two")]
    with pytest.raises(ModelFormatError, match="cycle.*'one'.*'two'"):
        convert_bytes(model(loop, {"x": ["n"]}, "a"))


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("Neg", "x", "y"), node("Neg", "x", "y", name="second")], "'y' is defined twice.*'second'"),
        ([node("Neg", "x", "x")], "'x' is defined twice"),
        ([node("Neg", "nothing", "y", name="n")], "'n' reads 'nothing'"),
        ([node("Neg", "x", "z")], "output 'y' is defined by no"),
        ([node("", "x", "y")], "no operator type"),
    ],
)
def test_names_that_do_not_fit(nodes, message):
    with pytest.raises(ModelFormatError, match=message):
        convert_bytes(model(nodes, {"x": ["n"]}, "y"))


def test_graphs_without_outputs_or_with_odd_inputs():
    with pytest.raises(ModelFormatError, match="no outputs"):
        convert_bytes(model([node("Neg", "x", "y")], {"x": ["n"]}, ""))
    for kind, message in ((onnx.TensorProto.STRING, "STRING"), (99, "99")):
        with pytest.raises(ConversionError, match=message):
            convert_bytes(model([node("Neg", "x", "y")], {"x": (kind, ["n"])}, "y"))
    proto = plain()
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ConversionError, match="--shape x="):
        convert_bytes(proto)
    assert kinds(lowered(proto, shapes={"x": ["n", 4]}).graph) == "elementwise"


def function(name, calls, domain="local"):
    nodes = [
        node(c, "a" if i == 0 else f"t{i}", f"t{i + 1}", domain=domain if c != "Neg" else "")
        for i, c in enumerate(calls)
    ]
    nodes[-1].output[0] = "b"
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    return helper.make_function(domain, name, ["a"], ["b"], nodes, imports)


def test_functions_of_the_model_are_inlined():
    proto = model(
        [node("F", "x", "y", domain="local")],
        {"x": ["n"]},
        "y",
        functions=[function("F", ["Neg"] * 3)],
        domains=["local"],
    )
    assert (run(proto, x=np.ones(3, f32))["y"] == -1).all()


def test_functions_that_multiply_or_call_themselves_are_refused_before_they_are_inlined():
    bomb = [function("F0", ["Neg", "Neg"])] + [function(f"F{i}", [f"F{i - 1}"] * 4) for i in range(1, 20)]
    proto = model([node("F19", "x", "y", domain="local")], {"x": ["n"]}, "y", functions=bomb, domains=["local"])
    with pytest.raises(ConversionError, match="expand to"):
        convert_bytes(proto)
    ring = [function("A", ["B"]), function("B", ["A"])]
    proto = model([node("A", "x", "y", domain="local")], {"x": ["n"]}, "y", functions=ring, domains=["local"])
    with pytest.raises(ModelFormatError, match="calls itself"):
        convert_bytes(proto)


def test_unknown_domains_and_bodies_are_refused_by_name():
    with pytest.raises(ConversionError, match=r"org\.evil\.Boom node.*domain 'org\.evil'"):
        convert_bytes(model([node("Boom", "x", "y", domain="org.evil")], {"x": ["n"]}, "y", domains=["org.evil"]))
    inner = helper.make_graph([node("Neg", "x", "z")], "g", [], [helper.make_value_info("z", onnx.TypeProto())])
    branch = node("Loop", "n c", "y", name="again", body=inner)
    with pytest.raises(ConversionError, match="Loop node 'again'"):
        convert_bytes(model([branch], {"x": ["n"], "n": (7, []), "c": (9, [])}, "y"))


def test_damaged_models_give_named_errors():
    """Bits flipped and bytes replaced: never another exception, never a hang."""
    nodes = [
        node("LSTM", "X W R", "Y H", name="cell", hidden_size=3),
        node("Shape", "Y", "s"),
        node("Slice", "s a b", "t"),
    ]
    nodes += [
        node("Concat", "t c", "u", axis=0),
        node("Reshape", "Y u", "v"),
        node("Gemm", "v g", "z", alpha=0.5, transB=1),
    ]
    constants = {"W": random(1, 12, 2), "R": random(1, 12, 3), "a": np.array([0]), "b": np.array([1])}
    constants |= {"c": np.array([-1]), "g": random(4, 3)}
    data = model(nodes, {"X": ["t", 1, 2]}, "z H", constants).SerializeToString()
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(600):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(len(damaged)))
            damaged[at] = int(rng.integers(256)) if rng.random() < 0.5 else damaged[at] ^ 1 << int(rng.integers(8))
        try:
            convert_bytes(bytes(damaged))
        except TinyRNNError:
            refused += 1
    assert refused > 100


def test_the_folder_itself_cannot_be_imported():
    root = Path(__file__).resolve().parents[2]
    if not (root / "converters").is_dir():
        pytest.skip("the tests have been copied away from the repository")
    done = subprocess.run([sys.executable, "-c", "import converters"], cwd=root, capture_output=True, text=True)
    assert "import tinyrnn.converters" in done.stderr
