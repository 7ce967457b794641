# SPDX-License-Identifier: Apache-2.0
"""The ONNX package's own node tests of RNN, LSTM and GRU, all of them, through its backend interface."""

from __future__ import annotations

import unittest
from typing import Any

import numpy as np
import onnx.backend.base
import onnx.backend.test
import pytest

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
