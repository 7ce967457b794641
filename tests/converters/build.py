# SPDX-License-Identifier: Apache-2.0
"""Short ways to write ONNX graphs, to lower them, and to run them in the interpreter and in ONNX's reference."""

from __future__ import annotations

import importlib.util

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from interpret import Run
from tinyrnn.converters import onnx_frontend, references, registry
from tinyrnn.converters.driver import lower_model
from tinyrnn.converters.ir import verify

FLOAT, INT64, INT32, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL
f32 = np.float32
HAVE_ORT = importlib.util.find_spec("onnxruntime") is not None


def node(op, inputs, outputs, name="", domain="", **attributes):
    """Return a node; inputs and outputs are names separated by spaces, `-` is an absent one."""
    split = [["" if n == "-" else n for n in names.split()] for names in (inputs, outputs)]
    return helper.make_node(op, *split, name=name, domain=domain, **attributes)


def model(nodes, inputs, outputs, constants=None, opset=17, functions=(), domains=()):
    """Return a model. inputs: {name: dims} of float32, or {name: (type, dims)}; outputs: names separated by spaces."""
    values = []
    for name, dims in inputs.items():
        kind, dims = dims if isinstance(dims, tuple) else (FLOAT, dims)
        values.append(helper.make_tensor_value_info(name, kind, dims))
    graph = helper.make_graph(
        nodes,
        "test",
        values,
        [helper.make_value_info(name, onnx.TypeProto()) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=8)


def body(nodes, outputs, constants=None):
    """Return a graph without inputs, for an attribute."""
    return helper.make_graph(
        nodes,
        "body",
        [],
        [helper.make_value_info(name, onnx.TypeProto()) for name in outputs.split()],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in (constants or {}).items()],
    )


def choice(inputs, outputs, then, other, name="choice"):
    """Return an If node; then and other are bodies."""
    return node("If", inputs, outputs, name=name, then_branch=then, else_branch=other)


def lowered(proto, bind=None, shapes=None, states="auto", time_axis=None):
    """Return the lowered model; the verifier runs after each pass."""
    registry.load_all()
    loaded = onnx_frontend.load(proto, registry.supported)
    return lower_model(loaded, bind or {}, shapes or {}, states, check=verify, time_axis=time_axis)


def kinds(graph):
    """Return the engine operators of a lowered graph, as text."""
    return " ".join(n.kind for n in graph.nodes)


def run(proto, **feeds):
    """Return the outputs of the lowered graph in the interpreter, in float64."""
    return Run(lowered(proto).graph)(feeds)


def reference(proto, **feeds):
    """Return the outputs of ONNX's own reference."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(proto)
    return dict(zip(evaluator.output_names, evaluator.run(None, feeds)))


def by_onnxruntime(proto, feeds):
    """Return the outputs of onnxruntime."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
    return dict(
        zip([o.name for o in session.get_outputs()], session.run(None, {k: np.asarray(v) for k, v in feeds.items()}))
    )


def agree(proto, tolerance=1e-5, ort=True, **feeds):
    """Compare the interpreter with the references, and with onnxruntime where it is installed and right."""
    got = run(proto, **feeds)
    wants = [references.run(proto, feeds)] + ([by_onnxruntime(proto, feeds)] if HAVE_ORT and ort else [])
    for want in wants:
        for name, w in want.items():
            assert got[name].shape == w.shape, name
            np.testing.assert_allclose(got[name].astype(np.float64), w, tolerance, tolerance, err_msg=name)


def random(*shape, seed=0, scale=1.0):
    """Return normal numbers in float32."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(f32)
