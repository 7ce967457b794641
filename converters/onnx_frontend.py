# SPDX-License-Identifier: Apache-2.0
"""ONNX file -> OnnxModel: the only file that imports onnx. It believes nothing that the file says."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.defs

from tinyrnn.errors import ModelFormatError, UnsupportedError

from .errors import ConversionError
from .onnx_model import OnnxInput, OnnxModel, OnnxNode, Subgraph
from .registry import OLDEST_OPSET

MAX_NODES = 50_000  # some 5 seconds
MAX_INLINED_NODES = MAX_NODES
MAX_CALL_DEPTH = 64
MAX_NESTING = 64  # bodies inside bodies
MAX_BODIES = 16
MAX_DEFAULT_BYTES = 64 << 20  # of attributes that calls of functions leave out

_DTYPES = {1: "F32", 10: "F16", 11: "F64", 7: "I64", 6: "I32", 3: "I8", 2: "U8", 9: "BOOL"}
# ONNX's number -> (how raw_data holds it, the field that holds it otherwise). The integers that tinyrnn has no tensors
# of can still be constants that fold away.
_STORED = {
    1: ("<f4", "float_data"),
    2: ("u1", "int32_data"),
    3: ("i1", "int32_data"),
    4: ("<u2", "int32_data"),
    5: ("<i2", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("?", "int32_data"),
    10: ("<f2", "int32_data"),
    11: ("<f8", "double_data"),
    12: ("<u4", "uint64_data"),
    13: ("<u8", "uint64_data"),
}


def load(source: Any, supported: Callable[[str, str], bool]) -> OnnxModel:
    """Read a model and check all that can be checked without knowing the operators.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    supported : function (domain, operator) -> bool; operators that it does not know and that ONNX defines by a body of
        other operators are replaced by that body.

    Raises
    ------
    ModelFormatError
        The bytes are no ONNX model, or contradict themselves.
    ConversionError
        The model needs what tinyrnn does not do.
    """
    folder: Path | None = None
    if isinstance(source, onnx.ModelProto):
        data, proto = source.SerializeToString(deterministic=True), source
    else:
        if isinstance(source, (bytes, bytearray, memoryview)):
            data = bytes(source)
        else:
            folder = Path(source).absolute().parent
            data = _read(Path(source))
        proto = _parse(data)
    opsets = _opsets(proto)
    proto, missing = _inline(proto, supported, opsets)
    graph = proto.graph
    if len(graph.node) > MAX_NODES:
        raise ConversionError([f"the graph has {len(graph.node)} nodes; tinyrnn takes at most {MAX_NODES}"])
    if not graph.output:
        raise ModelFormatError("the graph has no outputs, so there is nothing to compute")
    if graph.sparse_initializer:
        raise ConversionError([f"initializer {graph.sparse_initializer[0].values.name!r} is sparse; store it dense"])
    constants = _initializers(graph, folder)
    reader = _Reader(opsets, folder, supported)
    nodes = [reader.node(n, i) for i, n in enumerate(graph.node)]
    inputs = [_input(v) for v in graph.input if _text(v.name) not in constants]
    names = [v.name for v in inputs]
    if len(set(names)) < len(names):
        raise ModelFormatError(f"input {next(n for n in names if names.count(n) > 1)!r} is declared twice")
    outputs = [_text(v.name) for v in graph.output]
    given = {*constants, *names}
    _check_defined(nodes, given, outputs)
    nodes = _sorted(nodes, given)
    return OnnxModel(
        nodes, inputs, outputs, constants, opsets.get("", 0), len(data), hashlib.sha256(data).hexdigest(), missing
    )


def _read(path: Path) -> bytes:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ModelFormatError(f"{path.name} is not a regular file")
    return path.read_bytes()


def _parse(data: bytes) -> onnx.ModelProto:
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except Exception as e:  # protobuf raises DecodeError, a class that moved between its versions
        raise ModelFormatError(f"this is not an ONNX model: {e}") from None
    if not proto.HasField("graph"):
        raise ModelFormatError("this is not an ONNX model: it holds no graph")
    return proto


def _opsets(proto: onnx.ModelProto) -> dict[str, int]:
    newest = onnx.defs.onnx_opset_version()
    opsets: dict[str, int] = {}
    for entry in proto.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        opsets[domain] = entry.version
    if "" in opsets and not OLDEST_OPSET <= opsets[""] <= newest:
        raise ConversionError(
            [
                f"the model imports opset {opsets['']} of ONNX; supported are {OLDEST_OPSET} to {newest}: "
                "convert it with onnx.version_converter"
            ]
        )
    return opsets


def _inline(
    proto: onnx.ModelProto, supported: Callable[[str, str], bool], opsets: dict[str, int]
) -> tuple[onnx.ModelProto, dict[str, list[str]]]:
    """Replace calls of model-local functions, and of unknown operators that ONNX defines by a body, by the bodies.

    Also returns the operators that stay, each with the unknown ones that its body needs.
    """
    from onnx import inliner

    if proto.functions:
        _check_functions(proto)
        proto = _with_defaults(proto, {(f.domain, f.name): list(f.attribute_proto) for f in proto.functions})
        try:
            proto = inliner.inline_local_functions(proto)
        except Exception as e:
            raise ModelFormatError(f"the functions of the model could not be inlined: {e}") from None
    missing: dict[str, list[str]] = {}
    for op in _unknown(proto, supported)[:MAX_BODIES]:
        made, missing[op] = _expanded(proto, op, supported, opsets.get("", 1))
        proto = made or proto  # where a body cannot be used, the lowering reports the operator by its own name
    return proto, missing


def _unknown(proto: onnx.ModelProto, supported: Callable[[str, str], bool]) -> list[str]:
    """ONNX's own operators of a model that tinyrnn does not know, each once."""
    nodes = (n for n in _all_nodes(proto.graph) if n.domain in ("", "ai.onnx"))
    return list(dict.fromkeys(n.op_type for n in nodes if not supported("", n.op_type)))


def _expanded(
    proto: onnx.ModelProto, op: str, supported: Callable[[str, str], bool], version: int
) -> tuple[onnx.ModelProto | None, list[str]]:
    """The model with the body of an operator in its place, and with the bodies of what that needs.

    None where there is no body, or it cannot be used; then also what it needs that tinyrnn does not know.
    """
    from onnx import inliner

    others = set(_unknown(proto, supported)) - {op}
    pending, made = [op], proto
    for _ in range(MAX_BODIES):
        if not pending:
            return made, []
        schema = _body_of(pending[0], version)
        if schema is None:
            return None, [name for name in pending if name != op]
        defaults = [a.default_value for a in schema.attributes.values() if a.default_value.type]
        made = _with_defaults(made, {("", schema.name): defaults})
        try:
            made = inliner.inline_selected_functions(made, [("", schema.name)], inline_schema_functions=True)
        except Exception:  # a body that needs types which the graph does not declare
            break
        left = _unknown(made, supported)
        if pending[0] in left:
            break
        pending = [name for name in left if name not in others]
    return None, []


def _with_defaults(
    proto: onnx.ModelProto, defaults: dict[tuple[str, str], list[onnx.AttributeProto]]
) -> onnx.ModelProto:
    """A copy in which the nodes of some operators say what they leave out: the inliner drops the defaults."""
    if not any(defaults.values()):
        return proto
    made, room = onnx.ModelProto(), MAX_DEFAULT_BYTES
    made.CopyFrom(proto)
    for node in _all_nodes(made.graph, *made.functions):
        known = defaults.get(("" if node.domain == "ai.onnx" else node.domain, node.op_type), [])
        given = {a.name for a in node.attribute}
        absent = [a for a in known if a.name not in given]
        room -= sum(a.ByteSize() for a in absent)
        if room < 0:
            raise ConversionError([f"the defaults of {node.op_type!r} and other functions are too large to write out"])
        node.attribute.extend(absent)
    return made


def _all_nodes(*graphs: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """The nodes of graphs or functions and of the bodies in them, however deep, without recursion."""
    pending = list(graphs)
    while pending:
        for node in pending.pop().node:
            yield node
            pending += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]


def _body_of(op: str, version: int) -> Any:
    """The schema of an operator that ONNX defines by a body, else None."""
    try:
        schema: Any = onnx.defs.get_schema(op, version, "")
    except Exception:  # onnx's SchemaError: no such operator, which the lowering reports with the others
        return None
    return schema if schema.has_function or schema.has_context_dependent_function else None


def _check_functions(proto: onnx.ModelProto) -> None:
    """Refuse functions that call themselves, call too deep, or multiply into too many nodes."""
    bodies = {(f.domain, f.name): f for f in proto.functions}
    sizes: dict[tuple[str, str], int] = {}
    depths: dict[tuple[str, str], int] = {}
    pending = list(bodies)
    for _ in range(MAX_CALL_DEPTH):
        rest = []
        for key in pending:
            calls = [(n.domain, n.op_type) for n in bodies[key].node]
            inner = [c for c in calls if c in bodies]
            if all(c in sizes for c in inner):
                sizes[key] = len(calls) + sum(sizes[c] for c in inner)
                depths[key] = 1 + max((depths[c] for c in inner), default=0)
            else:
                rest.append(key)
        if len(rest) == len(pending):
            break
        pending = rest
    if pending:
        raise ModelFormatError(
            f"function {pending[0][1]!r} calls itself, or functions are nested over {MAX_CALL_DEPTH} deep"
        )
    for f in proto.functions:
        _check_passed_on(f, bodies)
    total = sum(sizes.get((n.domain, n.op_type), 0) for n in proto.graph.node)
    if total > MAX_INLINED_NODES:
        raise ConversionError(
            [f"the functions of the model expand to {total} nodes; at most {MAX_INLINED_NODES} are taken"]
        )


def _check_passed_on(f: onnx.FunctionProto, bodies: dict[tuple[str, str], onnx.FunctionProto]) -> None:
    """Refuse an attribute without a default that goes on to a function that has one: absent, it would be lost."""
    own = {a.name for a in f.attribute_proto}
    for node in _all_nodes(f):
        callee = bodies.get((node.domain, node.op_type))
        defaults = {a.name for a in callee.attribute_proto} if callee is not None else set()
        for a in node.attribute:
            if a.name in defaults and a.ref_attr_name and a.ref_attr_name not in own:
                raise ConversionError(
                    [
                        f"function {f.name!r} passes its attribute {a.ref_attr_name!r} on to {node.op_type!r}, "
                        "which has a default for it; give both functions a default"
                    ]
                )


def _initializers(graph: onnx.GraphProto, folder: Path | None) -> dict[str, np.ndarray]:
    constants: dict[str, np.ndarray] = {}
    for tensor in graph.initializer:
        name = _text(tensor.name)
        if name in constants:
            raise ModelFormatError(f"initializer {name!r} is defined twice")
        constants[name] = _decode(tensor, folder, f"initializer {name!r}")
    return constants


def _decode(tensor: onnx.TensorProto, folder: Path | None, what: str) -> np.ndarray:
    """The array of a tensor, after its size has been checked against the bytes that are there."""
    dims = list(tensor.dims)
    if any(d < 0 for d in dims) or len(dims) > 64:
        raise ModelFormatError(f"{what} has the shape {dims}")
    count = 1
    for d in dims:
        count *= d  # Python's integers do not wrap
    if tensor.data_type == 16:
        return _bfloat16(tensor, folder, what, count).reshape(dims)
    if tensor.data_type not in _STORED:
        raise ConversionError(
            [f"{what} has the element type {_type_name(tensor.data_type)}, which tinyrnn does not read"]
        )
    stored, field = _STORED[tensor.data_type]
    dtype = np.dtype(stored)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raw = _external(tensor, folder, what, count * dtype.itemsize)
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
    else:
        values = getattr(tensor, field)
        if len(values) != count:
            raise ModelFormatError(f"{what} has the shape {dims}, so {count} elements, but {field} holds {len(values)}")
        return _from_field(np.array(values), dtype).reshape(dims)
    if len(raw) != count * dtype.itemsize:
        raise ModelFormatError(
            f"{what} has the shape {dims}, so {count * dtype.itemsize} bytes, but there are {len(raw)}"
        )
    if dtype == np.dtype("?"):
        return np.asarray((np.frombuffer(raw, "u1") != 0).reshape(dims))
    return np.frombuffer(raw, dtype).reshape(dims)


def _type_name(number: int) -> str:
    names = {v: k for k, v in onnx.TensorProto.DataType.items()}
    return str(names.get(number, number))


def _from_field(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype == np.dtype("<f2"):
        return values.astype("<i8").astype("<u2").view("<f2")
    return values.astype(dtype)


def _bfloat16(tensor: onnx.TensorProto, folder: Path | None, what: str, count: int) -> np.ndarray:
    """bfloat16 is the upper half of a float32, and is read as one."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raw = np.frombuffer(_external(tensor, folder, what, 2 * count), "<u2")
    elif tensor.HasField("raw_data"):
        raw = np.frombuffer(tensor.raw_data[: len(tensor.raw_data) // 2 * 2], "<u2")
    else:
        raw = np.array(tensor.int32_data).astype("<u2")
    if len(raw) != count:
        raise ModelFormatError(f"{what} should hold {count} elements, but there are {len(raw)}")
    wide: np.ndarray = (raw.astype("<u4") << 16).view("<f4")
    return wide


def _external(tensor: onnx.TensorProto, folder: Path | None, what: str, size: int) -> bytes:
    """The bytes of a tensor that is stored in a file beside the model, and nowhere else."""
    entries = {e.key: e.value for e in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise ModelFormatError(f"{what} is stored in the file {location!r}: convert the model from its path")
    try:
        offset, length = int(entries.get("offset") or 0), int(entries.get("length") or size)
    except ValueError:
        raise ModelFormatError(f"{what}: the offset or the length of its external data is not a number") from None
    if not location or "\0" in location or os.path.isabs(location) or ".." in Path(location).parts:
        raise ModelFormatError(
            f"{what}: its external data is at {location!r}, which is not a file in the model's folder"
        )
    base = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(base, location))
    if not path.startswith(base.rstrip(os.sep) + os.sep):
        raise ModelFormatError(f"{what}: its external data {location!r} leads out of the model's folder")
    if not os.path.isfile(path):
        raise ModelFormatError(f"{what}: its external data {location!r} is not there, or is not a file")
    there = os.path.getsize(path)
    if offset < 0 or length != size or offset + length > there:
        raise ModelFormatError(
            f"{what} needs {size} bytes, but its external data is {length} bytes at {offset} "
            f"of the {there} of {location!r}"
        )
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


@dataclass(eq=False)
class _Reader:
    """Makes nodes of a model's protos, the bodies of branches included."""

    opsets: dict[str, int]
    folder: Path | None
    supported: Callable[[str, str], bool]
    depth: int = 0
    count: int = 0

    def node(self, node: onnx.NodeProto, index: int) -> OnnxNode:
        """A node with its attributes."""
        domain = "" if node.domain == "ai.onnx" else _text(node.domain)
        if not node.op_type:
            raise ModelFormatError(f"node {node.name or f'#{index}'!r} has no operator type")
        self.count += 1
        if self.count > MAX_NODES:
            raise ConversionError([f"the graph has over {MAX_NODES} nodes; tinyrnn takes at most that many"])
        inputs, outputs = [_text(n) for n in node.input], [_text(n) for n in node.output]
        version = self.opsets.get(domain, 0)
        made = OnnxNode(_text(node.op_type), domain, _text(node.name), inputs, outputs, {}, version, node)
        if domain == "" and not made.version:
            raise ModelFormatError(f"{made.label}: the model does not import ONNX's own opset")
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH and self.supported(domain, made.op):
                made.attributes[_text(attribute.name)] = self.body(attribute.g, made)
            else:
                made.attributes[_text(attribute.name)] = _attribute(attribute, made, self.folder)
        return made

    def body(self, graph: onnx.GraphProto, owner: OnnxNode) -> Subgraph:
        """The body of a branch. Its names hide outer ones; what it does not define itself, it captures."""
        if self.depth == MAX_NESTING:
            raise ConversionError([f"{owner.label}: bodies are nested over {MAX_NESTING} deep"])
        if graph.sparse_initializer:
            raise ConversionError([f"{owner.label}: its body has a sparse initializer; store it dense"])
        self.depth += 1
        constants = _initializers(graph, self.folder)
        nodes = [self.node(n, i) for i, n in enumerate(graph.node)]
        self.depth -= 1
        inputs, outputs = ([_text(v.name) for v in values] for values in (graph.input, graph.output))
        own = {*constants, *inputs}
        made = own.union(*(node.outputs for node in nodes))
        read = dict.fromkeys([name for node in nodes for name in node.reads] + outputs)
        captures = [name for name in read if name and name not in made]
        return Subgraph(_sorted(nodes, own.union(captures)), inputs, outputs, constants, captures)


def _text(name: str | bytes) -> str:
    """A name as text: protobuf hands bytes over where they are no UTF-8."""
    return name if isinstance(name, str) else bytes(name).decode("utf-8", "backslashreplace")


def _attribute(a: onnx.AttributeProto, node: OnnxNode, folder: Path | None) -> Any:
    kind = onnx.AttributeProto
    simple = {kind.FLOAT: "f", kind.INT: "i", kind.FLOATS: "floats", kind.INTS: "ints"}
    if a.ref_attr_name:
        raise ModelFormatError(
            f"{node.label}: attribute {a.name!r} refers to {a.ref_attr_name!r} of a function, outside of one"
        )
    if a.type in simple:
        value = getattr(a, simple[a.type])
        return list(value) if a.type in (kind.FLOATS, kind.INTS) else value
    if a.type == kind.STRING:
        return a.s.decode("utf-8", "replace")
    if a.type == kind.STRINGS:
        return [s.decode("utf-8", "replace") for s in a.strings]
    if a.type == kind.TENSOR:
        return _decode(a.t, folder, f"attribute {a.name!r} of {node.label}")
    if a.type in (kind.GRAPH, kind.GRAPHS):
        return Subgraph()
    raise ConversionError([f"{node.label}: attribute {a.name!r} has a type that tinyrnn does not read"])


def _input(value: onnx.ValueInfoProto) -> OnnxInput:
    kind, name = value.type.WhichOneof("value"), _text(value.name)
    if not name:
        raise ModelFormatError("an input of the graph has no name")
    if kind != "tensor_type":
        what = (kind or "value without a type").removesuffix("_type")
        raise ConversionError([f"input {name!r} is a {what}; only tensors are supported"])
    tensor = value.type.tensor_type
    if tensor.elem_type not in _DTYPES:
        raise ConversionError(
            [
                f"input {name!r} has the element type {_type_name(tensor.elem_type)}; supported are float32, "
                "float16, float64, int64, int32, int8, uint8 and bool"
            ]
        )
    if not tensor.HasField("shape"):
        return OnnxInput(name, _DTYPES[tensor.elem_type], None)
    dims: list[int | str | None] = []
    for d in tensor.shape.dim:
        if d.HasField("dim_value") and d.dim_value > 0:
            dims.append(d.dim_value)
        else:
            dims.append(_text(d.dim_param) or None)
    return OnnxInput(name, _DTYPES[tensor.elem_type], dims)


def _sorted(nodes: list[OnnxNode], given: set[str]) -> list[OnnxNode]:
    """The nodes in an order that defines every name before its use; the file's own order where that is one."""
    maker = _makers(nodes, given)
    if all(
        maker.get(name, -1) < i for i, node in enumerate(nodes) for name in node.reads if name and name not in given
    ):
        return nodes
    needs = [{maker[n] for n in node.reads if n and n not in given} for node in nodes]
    users: list[list[int]] = [[] for _ in nodes]
    for i, before in enumerate(needs):
        for j in before:
            users[j].append(i)
    left = [len(before) for before in needs]
    ready = [i for i, count in enumerate(left) if count == 0]
    order = []
    for i in ready:  # grows while it is walked
        order.append(i)
        for user in users[i]:
            left[user] -= 1
            if left[user] == 0:
                ready.append(user)
    if len(order) < len(nodes):
        stuck = [nodes[i].label for i, count in enumerate(left) if count][:5]
        raise ModelFormatError(f"nodes need each other in a cycle: {', '.join(stuck)}")
    return [nodes[i] for i in order]


def _makers(nodes: list[OnnxNode], given: set[str]) -> dict[str, int]:
    """Name -> index of the node that makes it."""
    maker: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in node.outputs:
            if name and (name in maker or name in given):
                raise ModelFormatError(f"the name {name!r} is defined twice, the second time by {node.label}")
            maker[name] = i
    return maker


def _check_defined(nodes: list[OnnxNode], given: set[str], outputs: Iterable[str]) -> None:
    made = given.union(_makers(nodes, given))
    for node in nodes:
        for name in node.reads:
            if name and name not in made:
                raise ModelFormatError(f"{node.label} reads {name!r}, which nothing defines")
    for name in outputs:
        if not name or name not in made:
            raise ModelFormatError(f"output {name!r} is defined by no node, input or initializer")


def with_outputs(source: Any, names: list[str]) -> tuple[bytes, list[str]]:
    """The model with these values as its outputs, as far as its own graph defines them; and their names."""
    if isinstance(source, onnx.ModelProto):
        proto = onnx.ModelProto()
        proto.CopyFrom(source)
    elif isinstance(source, (bytes, bytearray, memoryview)):
        proto = _parse(bytes(source))
    else:
        proto = onnx.load(source)  # with its external data, which load() has checked
    there = {name for node in proto.graph.node for name in node.output}
    shown = [name for name in names if name in there]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in shown)
    return proto.SerializeToString(), shown


def evaluate(node: OnnxNode, arrays: list[np.ndarray | None]) -> list[np.ndarray]:
    """What ONNX's own reference makes of a node whose inputs are known: for the operators that tinyrnn only folds."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    if any(isinstance(v, Subgraph) for v in node.attributes.values()):
        raise UnsupportedError(f"{node.label} has a body")
    names = [n if a is not None else "" for n, a in zip(node.inputs, arrays, strict=True)]
    outputs = [n for n in node.outputs if n]
    graph = helper.make_graph(
        [node.proto],
        "fold",
        [helper.make_value_info(n, onnx.TypeProto()) for n in dict.fromkeys(names) if n],
        [helper.make_value_info(n, onnx.TypeProto()) for n in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, node.version)])
    feeds = {n: a for n, a in zip(names, arrays, strict=True) if n}
    return [np.asarray(v) for v in ReferenceEvaluator(model).run(None, feeds)]
