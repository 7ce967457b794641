# SPDX-License-Identifier: Apache-2.0
"""A model exported with fixed sizes becomes what the same model with named dimensions becomes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from build import lowered
from graphs import recurrent, stateful


def operators(proto):
    return Counter(node.kind for node in lowered(proto).graph.nodes)


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_static_and_dynamic_exports_give_the_same_operators(cell, direction):
    static = recurrent(cell, direction=direction, time=6, batch=2)
    assert operators(static) == operators(recurrent(cell, direction=direction))


def test_states_too():
    assert operators(stateful(time=6, batch=2)) == operators(stateful())


def test_declared_sizes_do_not_limit_a_run():
    import tinyrnn
    from tinyrnn.converters import convert_bytes

    static, dynamic = (tinyrnn.load(convert_bytes(recurrent(**sizes))[0]) for sizes in ({"time": 6, "batch": 2}, {}))
    x = np.random.default_rng(0).standard_normal((9, 3, 4)).astype(np.float32)
    assert static.run(x).tobytes() == dynamic.run(x).tobytes()
