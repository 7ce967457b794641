# SPDX-License-Identifier: Apache-2.0
"""Panels and interleaved gates, by the formula of docs/design.md."""

import numpy as np
import pytest

from tinyrnn.converters import packing


@pytest.mark.parametrize("gates", [1, 2, 3, 4])
@pytest.mark.parametrize("units", [1, 15, 16, 17, 70])
def test_column_of_each_gate_and_unit(gates, units):
    depth = 3
    m = np.arange(1, 2 * gates * units * depth + 1, dtype=np.float32).reshape(2, gates, units, depth)
    columns = packing.interleave(m)
    padded = -(-units // 16) * 16
    assert columns.shape == (2, depth, gates * padded)
    used = np.zeros(gates * padded, bool)
    for g in range(gates):
        for u in range(units):
            column = u // 16 * 16 * gates + g * 16 + u % 16
            assert (columns[:, :, column] == m[:, g, u]).all()
            used[column] = True
    assert (columns[:, :, ~used] == 0).all()


@pytest.mark.parametrize(("columns", "width"), [(16, 64), (64, 64), (80, 64), (144, 48), (128, 64), (96, 32)])
def test_panels_are_row_major_and_the_last_may_be_narrow(columns, width):
    depth = 5
    m = np.arange(2 * depth * columns, dtype=np.float32).reshape(2, depth, columns)
    packed = packing.panels(m, width)
    flat = packed.reshape(2, -1)
    at = 0
    for first in range(0, columns, width):
        panel = m[:, :, first : first + width]
        assert (flat[:, at : at + panel[0].size] == panel.reshape(2, -1)).all()
        at += panel[0].size
    assert (packing.unpanel(packed, width) == m).all()


def test_nothing_to_pack():
    assert packing.pack_gates(np.zeros((1, 4, 3, 0), np.float32)).shape == (1, 0, 64)
