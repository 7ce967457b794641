# SPDX-License-Identifier: Apache-2.0
"""The file: records as format.def has them, the same bytes each time, and nothing half written."""

import io
import json
import zlib

import numpy as np
import pytest

from build import lowered, model, node, random
from tinyrnn import format as fmt
from tinyrnn.converters import Report, convert, convert_bytes, writer
from tinyrnn.errors import TinyRNNError

H = 7


def example(opset=17):
    weights = {"W": random(1, 4 * H, 3, seed=1), "R": random(1, 4 * H, H, seed=2), "w": random(H, 4), "b": random(4)}
    nodes = [node("LSTM", "X W R - - h c", "Y H C", name="cell", hidden_size=H), node("Squeeze", "Y one", "s")]
    nodes += [node("MatMul", "s w", "m"), node("Add", "m b", "z")]
    dims = {"X": ["time", "batch", 3], "h": [1, "batch", H], "c": [1, "batch", H]}
    return model(nodes, dims, "z H C", weights | {"one": np.array([1])}, opset)


def sections(data):
    """Return {section: array of its records, or bytes}."""
    preamble = np.frombuffer(data, fmt.RECORDS["preamble"], 1)[0]
    header = np.frombuffer(data, fmt.RECORDS["header"], 1, fmt.RECORDS["preamble"].itemsize)[0]
    at = fmt.RECORDS["preamble"].itemsize + fmt.RECORDS["header"].itemsize
    table = np.frombuffer(data, fmt.RECORDS["section"], int(header["section_count"]), at)
    found = {}
    for row, (name, (kind, record)) in zip(table, fmt.SECTIONS.items(), strict=True):
        assert row["kind"] == kind
        part = data[int(row["offset"]) : int(row["offset"]) + int(row["size"])]
        found[name] = part if record == "byte" else np.frombuffer(part, fmt.RECORDS[record])
        assert row["offset"] % (64 if name == "weights" else 8) == 0
    return preamble, header, found


def text(found, offset):
    return found["strings"][offset:].split(b"\0")[0].decode()


def test_records():
    data, report = convert_bytes(example())
    preamble, header, found = sections(data)
    start = int(header["weights_offset"])
    assert preamble["magic"] == fmt.MAGIC
    assert (preamble["version_major"], preamble["version_minor"]) == fmt.VERSION
    assert preamble["structure_checksum"] == zlib.crc32(data[16:start])
    assert preamble["weights_checksum"] == zlib.crc32(data[start:])
    assert header["file_size"] == len(data) == report.bytes_out
    names = [text(found, s["name"]) for s in found["symbols"]]
    assert sorted(names) == ["batch", "time"]
    assert names[header["time_symbol"]] == "time"
    assert names[header["batch_symbol"]] == "batch"
    assert header["streamable"] == 1
    kinds = {row.value: name for name, row in fmt.OPERATORS.items()}
    assert [kinds[k] for k in found["operators"]["kind"]] == ["recurrent", "dense"]
    assert [tuple(b) for b in found["blocks"]] == [(0, 2)]
    assert [text(found, found["tensors"][p["tensor"]]["name"]) for p in found["inputs"]] == ["X", "h", "c"]
    assert found["inputs"]["time_axis"].tolist() == [0, -1, -1]
    assert found["inputs"]["batch_axis"].tolist() == [1, 1, 1]
    assert found["inputs"]["state"].tolist() == [fmt.NONE, 0, 1]
    assert found["outputs"]["state"].tolist() == [fmt.NONE, 0, 1]
    assert found["states"]["tie_count"].tolist() == [1, 1]


def test_attributes_are_integers_and_float64_bits():
    proto = model([node("Elu", "x", "y", alpha=0.25)], {"x": ["n"]}, "y")
    _, _, found = sections(convert_bytes(proto)[0])
    values = found["attributes"]["value"]
    assert values[0] == fmt.FUNCTIONS["ELU"].value
    assert values[1:4].tolist() == [0, 0, 0]
    assert values[4:].view("<f8").tolist() == [0.25, 0.0]


def test_metadata():
    source = example().SerializeToString()
    _, _, found = sections(convert_bytes(source, bind={}, shapes={"X": ["time", "batch", 3]})[0])
    notes = {text(found, m["key"]): text(found, m["value"]) for m in found["metadata"]}
    assert notes["producer"].startswith("tinyrnn ")
    assert len(notes["source_sha256"]) == 64
    assert json.loads(notes["recipe"]) == {"shapes": {"X": ["time", "batch", 3]}, "states": "auto"}
    assert json.loads(notes["report"])["nodes"]["LSTM"] == 1


def test_the_same_model_gives_the_same_bytes():
    source = example().SerializeToString()
    assert convert_bytes(source)[0] == convert_bytes(source)[0]


def test_equal_constants_dims_and_strings_are_stored_once():
    w = random(4, 4)
    one = model([node("MatMul", "x a", "y")], {"x": ["n", 4]}, "y", {"a": w})
    two = model([node("MatMul", "x a", "t"), node("MatMul", "t b", "y")], {"x": ["n", 4]}, "y", {"a": w, "b": w.copy()})
    a, b = (sections(convert_bytes(p)[0])[2] for p in (one, two))
    assert len(a["weights"]) == len(b["weights"])
    assert len(b["expressions"]) == 1


def test_weights_are_aligned_to_64_bytes():
    _, _, found = sections(convert_bytes(example())[0])
    assert not (found["tensors"]["data_offset"] % 64).any()


def test_the_report_reads_well_and_is_json():
    report = convert(example(), io.BytesIO())
    assert isinstance(report, Report)
    assert json.loads(json.dumps(report.to_dict()))["operators"] == {"dense": 1, "recurrent": 1}
    for part in (
        "1 LSTM",
        "1 recurrent",
        "time axis   time",
        "streamable  yes",
        "input 'h' is the initial state of cell",
    ):
        assert part in str(report)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_convert_leaves_no_half_file(tmp_path, monkeypatch, error):
    target = tmp_path / "model.trnn"
    target.write_bytes(b"before")

    def stop(*_):
        raise error

    monkeypatch.setattr(writer.os, "replace", stop)
    with pytest.raises(error):
        convert(example(), target)
    assert target.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["model.trnn"]


def test_a_refused_model_writes_nothing(tmp_path):
    proto = model([node("NonZero", "x", "y")], {"x": ["n"]}, "y")
    with pytest.raises(TinyRNNError):
        convert(proto, tmp_path / "model.trnn")
    assert not list(tmp_path.iterdir())


def test_every_term_fits_what_the_graph_says():
    proto = model([node("Slice", "x s e", "y")], {"x": ["n", 2]}, "y", {"s": np.array([-3]), "e": np.array([1 << 40])})
    graph = lowered(proto).graph
    _, _, found = sections(convert_bytes(proto)[0])
    depth = [e["term_count"] for e in found["expressions"]]
    assert max(depth) > 1
    assert str(graph.outputs[0].tensor.dims[0]) == "n - max(0, n - 3)"
