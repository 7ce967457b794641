# SPDX-License-Identifier: Apache-2.0
"""The ONNX package's own node tests: those of RNN, LSTM and GRU through its backend interface, of the rest directly."""

from __future__ import annotations

import collections
import functools
import re
import unittest
from typing import Any

import numpy as np
import onnx.backend.base
import onnx.backend.test
import pytest
from onnx import TensorProto, numpy_helper

import tinyrnn
from tinyrnn.converters import convert_bytes


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

#: Operators all of whose node tests must pass, but for those that `excluded` gives a reason for.
NAMES = """
Abs Add AffineGrid And ArgMax ArgMin AveragePool BatchNormalization BlackmanWindow Cast CastLike Ceil Celu
CenterCropPad Clip Col2Im Concat Conv ConvTranspose Cos DFT Div Dropout Einsum Elu Equal Erf Exp Expand Flatten Floor
Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample
GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN
LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool MaxUnpool
Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Neg OneHot Or PRelu Pad Pow RMSNormalization
Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
ReduceSumSquare Relu Reshape Resize ReverseSequence Round STFT Scatter ScatterElements ScatterND Selu Shape Shrink
Sigmoid Sign Sin Size Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Swish Tanh ThresholdedRelu Tile
Transpose Unsqueeze Upsample Where Xor
"""
OPERATORS = NAMES.split()

#: Inputs that are shapes, axes or counts, and are bound when converting.
STEERING = {
    "AffineGrid": [1],
    "BlackmanWindow": [0],
    "CenterCropPad": [1],
    "Col2Im": [1, 2],
    "DFT": [1, 2],
    "Expand": [1],
    "HammingWindow": [0],
    "HannWindow": [0],
    "MaxUnpool": [2],
    "MelWeightMatrix": [0, 1, 2, 3, 4],
    "OneHot": [1],
    "Pad": [1, 3],
    "Reshape": [1],
    "Resize": [1, 2, 3],
    "STFT": [1, 3],
    "Slice": [1, 2, 3, 4],
    "Split": [1],
    "Squeeze": [1],
    "Tile": [1],
    "Unsqueeze": [1],
    "Upsample": [1],
} | {op: [1] for op in OPERATORS if op.startswith("Reduce")}

TYPES = {getattr(TensorProto, t) for t in ("FLOAT", "FLOAT16", "DOUBLE", "INT64", "INT32", "INT8", "UINT8", "BOOL")}

#: What the name of a test begins with -> why it is left out.
LEFT_OUT = {
    "test_batchnorm_example_training": "training",
    "test_batchnorm_epsilon_training": "training",
    "test_training_dropout": "training",
    "test_dft_inverse": "2e-7 is expected where 0 is right, and the tolerance there is 1e-7",
    "test_pow_types_int": "powers of integers are refused",
    "test_reshape_allowzero_reordered": "an input without elements",
    "test_split_zero_size_splits": "an input without elements",
}


@functools.cache
def cases() -> dict[str, Any]:
    """Every node test by name."""
    from onnx.backend.test.loader import load_model_tests

    return {case.name: case for case in load_model_tests(kind="node")}


def excluded(case: Any) -> str | None:
    """Why a case is not run, or None."""
    graph = case.model.graph
    kinds = {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    if not kinds <= TYPES:
        return "element types"
    if min(o.version for o in case.model.opset_import if not o.domain) < 7:
        return "an opset before 7"
    if "expanded" in case.name and not supported(case):
        return "its body has operators that are not supported"
    return next((why for name, why in LEFT_OUT.items() if case.name.startswith(name)), None)


def supported(case: Any) -> bool:
    from tinyrnn.converters import registry

    registry.load_all()
    return all(registry.supported("", node.op_type) for node in case.model.graph.node)


def operator_of(case: Any) -> str | None:
    """The only operator of a case; of a function's body, that of the case with the function itself."""
    base = re.sub(r"(_expanded|_expanded_ver\d+)$", "", case.name)
    whole = cases().get(base, case)
    return whole.model.graph.node[0].op_type if len(whole.model.graph.node) == 1 else None


SELECTED = {name: case for name, case in cases().items() if operator_of(case) in OPERATORS and excluded(case) is None}


@pytest.mark.parametrize("name", SELECTED)
def test_operator(name):
    case = SELECTED[name]
    base = cases().get(re.sub(r"(_expanded|_expanded_ver\d+)$", "", name), case).model.graph
    names = [v.name for v in case.model.graph.input]
    steering = STEERING.get(operator_of(case), [])
    bound = {base.node[0].input[i] for i in steering if i < len(base.node[0].input)} & set(names)
    for inputs, outputs in case.data_sets:
        given = {n: numpy_helper.to_array(a) if isinstance(a, TensorProto) else a for n, a in zip(names, inputs)}
        data, _ = convert_bytes(case.model, bind={n: given.pop(n) for n in bound})
        got = tinyrnn.load(data).run(given)
        for port, want in zip(case.model.graph.output, outputs):
            want = numpy_helper.to_array(want) if isinstance(want, TensorProto) else np.asarray(want)
            assert got[port.name].dtype == want.dtype
            assert got[port.name].shape == want.shape
            np.testing.assert_allclose(got[port.name], want, case.rtol, case.atol)


def test_each_operator_has_cases(capsys):
    """And how many: with the reasons for those left out."""
    counted = collections.Counter(operator_of(case) for case in SELECTED.values())
    assert set(counted) == set(OPERATORS)
    why = collections.Counter(excluded(c) for c in cases().values() if operator_of(c) in OPERATORS)
    del why[None]
    with capsys.disabled():
        print(f"\n{len(SELECTED)} node tests of {len(OPERATORS)} operators; left out: {dict(why)}")
