# SPDX-License-Identifier: Apache-2.0
"""The shared zoo through lowering, passes and the interpreter: no engine, so that an error here is the converter's."""

import json

import numpy as np
import pytest

from build import lowered
from interpret import Run
from tinyrnn.converters import ConversionError

REFUSED = "raw_never", "torch_lstm_proj3"


def error(got, want):
    """Return the largest difference over max(1, the largest value), infinite where types, shapes or NaNs differ."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return np.inf
    g, w = got.astype(np.float64).ravel(), want.astype(np.float64).ravel()
    finite = np.isfinite(w)
    if not np.array_equal(g[~finite], w[~finite], equal_nan=True):
        return np.inf
    return float(np.abs(g - w)[finite].max() / max(1.0, np.abs(w[finite]).max())) if finite.any() else 0.0


def run_case(case):
    """Return the largest error over all runs and outputs of a case, and its tolerance."""
    meta, io = json.loads((case / "meta.json").read_text()), np.load(case / "io.npz")
    graph = lowered(case / "model.onnx").graph
    worst = 0.0
    for r in range(max(1, meta["runs"])):
        before = f"r{r}_" if r else ""
        got = Run(graph)({n: io[f"{before}in{i}"] for i, n in enumerate(meta["in_names"])})
        for i, name in enumerate(meta["out_names"]):
            accepted = [f"{before}{kind}{i}" for kind in ("out", "alt_out") if f"{before}{kind}{i}" in io]
            worst = max(worst, min(error(got[name], io[key]) for key in accepted))
    return worst, meta["tolerance"]


def test_every_case_within_reach(zoo_case):
    if zoo_case.name.startswith(REFUSED):
        with pytest.raises(ConversionError):
            lowered(zoo_case / "model.onnx")
        return
    worst, tolerance = run_case(zoo_case)
    assert worst <= tolerance


test_every_case_within_reach.prefixes = ["raw_", "torch_", "format_"]


def test_whole_models_run_or_are_refused_by_name(zoo_case):
    try:
        worst, tolerance = run_case(zoo_case)
    except ConversionError as e:
        for problem in e.problems:
            assert "node" in problem, problem
            assert "cannot be converted (" not in problem, problem
        return
    assert worst <= tolerance


test_whole_models_run_or_are_refused_by_name.prefixes = ["model_", "keras_", "op_", "flow_", "tree_", "quant_"]


def test_dtln_first_stage_is_two_recurrences_and_a_dense_layer(shared):
    made = lowered(shared / "models" / "dtln_model_1.onnx")
    assert [n.kind for n in made.graph.nodes] == ["recurrent", "recurrent", "dense"]
    assert made.graph.streamable
    assert made.graph.symbol_of("TIME") is None
    assert [s.input for s in made.graph.states] == [1]


def test_static_and_dynamic_exports_give_the_same_operators(shared):
    folder = shared / "zoo" / "visible"
    for a, b in [("lstm_static_dyn18", "lstm_dyn_time_dyn18"), ("gru_static_dyn18", "gru_dyn_batch_dyn18")]:
        made = [lowered(folder / f"torch_{name}" / "model.onnx").graph for name in (a, b)]
        assert [n.kind for n in made[0].nodes] == [n.kind for n in made[1].nodes]
