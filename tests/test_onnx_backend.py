# SPDX-License-Identifier: Apache-2.0
"""The ONNX package's own node tests: those of RNN, LSTM and GRU through its backend interface, of the rest directly."""

from __future__ import annotations

import collections
import functools
import re
import unittest
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx.backend.base
import onnx.backend.test
import onnx.defs
import pytest
from onnx import TensorProto, numpy_helper

import tinyrnn
from tinyrnn.converters import convert_bytes, onnx_frontend, registry
from tinyrnn.converters.errors import ConversionError
from tinyrnn.converters.onnx_model import Subgraph


class Prepared(onnx.backend.base.BackendRep):
    def __init__(self, model: Any) -> None:
        self.inputs = [i.name for i in model.graph.input]
        self.outputs = [o.name for o in model.graph.output]
        self.model = tinyrnn.load(convert_bytes(model)[0])

    def run(self, inputs: Any, **kwargs: Any) -> tuple[np.ndarray, ...]:
        given = dict(zip(self.inputs, inputs))
        got = self.model.run(given)
        return tuple(got[name] for name in self.outputs)


class Backend(onnx.backend.base.Backend):
    """tinyrnn as an ONNX backend."""

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **kwargs: Any) -> Prepared:
        return Prepared(model)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"


def node_tests() -> list[tuple[str, unittest.TestCase]]:
    backend = onnx.backend.test.BackendTest(Backend, __name__)
    backend.include(r"test_(rnn|lstm|gru|simple_rnn).*_cpu$")
    found = []
    for case in backend.test_cases.values():
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(case):
            function = getattr(test, test._testMethodName)
            if not getattr(function, "__unittest_skip__", False):
                found.append((test._testMethodName, test))
    return found


TESTS = node_tests()


@pytest.mark.parametrize("test", [t for _, t in TESTS], ids=[name for name, _ in TESTS])
def test_node(test):
    getattr(test, test._testMethodName)()


def test_none_is_missing():
    """Every node test whose model is one of the three operators is among those above."""
    from onnx.backend.test.loader import load_model_tests

    wanted = set()
    for case in load_model_tests(kind="node"):
        proto = case.model if case.model is not None else onnx.load(f"{case.model_dir}/model.onnx")
        if {n.op_type for n in proto.graph.node} & {"RNN", "LSTM", "GRU"}:
            wanted.add(f"{case.name}_cpu")
    assert wanted
    assert wanted == {name for name, _ in TESTS}
    print(f"{len(wanted)} node tests of RNN, LSTM and GRU")


# ---- every other operator --------------------------------------------------------------------------------------------

RECURRENT = {"RNN", "LSTM", "GRU"}

#: ONNX's names of inputs that are shapes, axes or counts, and are bound when converting; `operator.name` of one alone.
STEERING = {
    *("axes", "axis", "delta", "depth", "ends", "limit", "pads", "repeats", "shape", "size", "split"),
    *("start", "starts", "steps", "ConstantOfShape.input"),
    *("image_shape", "block_shape", "dft_length", "frame_length", "frame_step", "output_shape", "roi", "scales"),
    *("sizes", "K", "k", "Compress.condition", "NonZero.X", "Unique.X"),
    *("num_mel_bins", "sample_rate", "lower_edge_hertz", "upper_edge_hertz"),
}

#: No fewer node tests than these are run.
FLOOR = 1400

#: What the name of a test begins with -> why its node, whose operator and types are claimed, is refused.
LEFT_OUT = {
    "test_batchnorm_example_training": "training",
    "test_batchnorm_epsilon_training": "training",
    "test_training_dropout": "training",
    "test_reshape_allowzero_reordered": "an input without elements",
    "test_split_zero_size_splits": "an input without elements",
}


#: The same of those that are not refused, but expect other numbers.
OTHER_NUMBERS = {"test_dft_inverse": "2e-7 is expected where 0 is right, and the tolerance there is 1e-7"}

#: Operators of which the package has no node test.
WITHOUT_CASES = {"GlobalLpPool"}


@functools.cache
def cases() -> dict[str, Any]:
    """Every node test by name; in opset 7 where it has an older one that says the same of its operator."""
    from onnx.backend.test.loader import load_model_tests

    found = {case.name: case for case in load_model_tests(kind="node")}
    for case in found.values():
        for opset in case.model.opset_import:
            nodes = [n for n in case.model.graph.node if not opset.domain and opset.version < registry.OLDEST_OPSET]
            if all(same_in_oldest(n.op_type, opset.version) for n in nodes):
                opset.version = max(opset.version, registry.OLDEST_OPSET) if nodes else opset.version
    return found


def same_in_oldest(op: str, version: int) -> bool:
    versions = {onnx.defs.get_schema(op, v, "").since_version for v in (version, registry.OLDEST_OPSET)}
    return len(versions) == 1


@functools.cache
def unclaimed(name: str) -> str | None:
    """Why the registry, and so docs/ops.md, does not say that a case is supported; None where it does."""
    model = cases()[name].model
    try:
        nodes = list(all_nodes(onnx_frontend.load(model, registry.supported).nodes))
    except ConversionError as error:
        return "element types" if "type" in str(error) else "opsets, and inputs that are no tensors"
    if any(registry.find(n.domain, n.op, n.version) is None for n in nodes):
        return "operators"
    if not {v.type.tensor_type.elem_type for v in model.graph.output} <= set(onnx_frontend._DTYPES):
        return "element types"
    return None if all(takes_types(model.graph, n) for n in nodes) else "element types"


def all_nodes(nodes: list[Any]) -> Iterator[Any]:
    for node in nodes:
        yield node
        for body in node.attributes.values():
            if isinstance(body, Subgraph):
                yield from all_nodes(body.nodes)


def takes_types(graph: Any, node: Any) -> bool:
    """Whether the row of a node takes the types of those inputs of the model that the node reads."""
    types = {v.name: onnx_frontend._DTYPES[v.type.tensor_type.elem_type] for v in graph.input}
    row = registry.find(node.domain, node.op, node.version)
    return row is None or all(row.input(i).types.count(types[n]) for i, n in enumerate(node.inputs) if n in types)


def reason(name: str) -> str | None:
    """Why a case is not run, or None."""
    left_out = (LEFT_OUT | OTHER_NUMBERS).items()
    return unclaimed(name) or next((why for start, why in left_out if name.startswith(start)), None)


def operator_of(name: str) -> str:
    """The operator that a case is about; of a function's body, the function itself."""
    whole = cases().get(re.sub(r"_expanded(_ver\d+)?$", "", name), cases()[name]).model.graph
    return whole.node[-1].op_type


def steering(name: str) -> set[str]:
    """The inputs of a case that are bound: of a function's body, those of the function."""
    whole = cases().get(re.sub(r"_expanded(_ver\d+)?$", "", name), cases()[name]).model
    opsets = {o.domain: o.version for o in whole.opset_import}
    bound = set()
    for node in whole.graph.node:
        inputs = onnx.defs.get_schema(node.op_type, opsets[node.domain], node.domain).inputs
        for i, given in enumerate(node.input):
            name = inputs[min(i, len(inputs) - 1)].name
            bound |= {given} if STEERING & {name, f"{node.op_type}.{name}"} else set()
    return bound


registry.load_all()
SELECTED = [name for name in cases() if operator_of(name) not in RECURRENT and reason(name) is None]
REFUSED = [name for name in cases() if unclaimed(name) is None and reason(name) in LEFT_OUT.values()]


def run_case(name: str) -> None:
    case = cases()[name]
    names = [v.name for v in case.model.graph.input]
    for inputs, outputs in case.data_sets:
        given = {n: numpy_helper.to_array(a) if isinstance(a, TensorProto) else a for n, a in zip(names, inputs)}
        data, _ = convert_bytes(case.model, bind={n: given.pop(n) for n in steering(name) & set(names)})
        got = tinyrnn.load(data).run(given)
        for port, want in zip(case.model.graph.output, outputs):
            want = numpy_helper.to_array(want) if isinstance(want, TensorProto) else np.asarray(want)
            assert got[port.name].dtype == want.dtype
            assert got[port.name].shape == want.shape
            np.testing.assert_allclose(got[port.name], want, case.rtol, case.atol)


@pytest.mark.parametrize("name", SELECTED)
def test_operator(name):
    run_case(name)


@pytest.mark.parametrize("name", REFUSED)
def test_left_out_is_refused(name):
    with pytest.raises(tinyrnn.TinyRNNError):
        run_case(name)


def test_each_operator_has_cases(capsys):
    """And how many: with the reasons for those left out."""
    if onnx.defs.onnx_opset_version() < 28:
        pytest.skip("the rows are those of opset 28; install onnx 1.23 or newer")
    operators = {operator_of(name) for name in SELECTED}
    claimed = {op for domain, op in registry.LOWERINGS if not domain}
    assert claimed - operators - RECURRENT == WITHOUT_CASES
    assert all(any(name.startswith(start) for name in REFUSED) for start in LEFT_OUT)
    assert len(SELECTED) + len(TESTS) >= FLOOR
    why = collections.Counter(filter(None, map(reason, cases())))
    with capsys.disabled():
        count = len(SELECTED) + len(TESTS)
        print(f"\n{count} node tests of {len(operators | RECURRENT)} operators; not run: {dict(why)}")
