# SPDX-License-Identifier: Apache-2.0
"""Weights in int8: what format.def asks of them holds for any matrix, and they are near what they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyrnn.converters import packing
from tinyrnn.converters.precisions import PRECISIONS, choose_weights, choose_wide_weights, rows_of_bytes


@st.composite
def matrices(draw, extremes=True):
    """[lead, K, N] of very different magnitudes, signs and shapes, in which whole columns and rows may be alike."""
    lead, depth = draw(st.integers(1, 2)), draw(st.integers(1, 40))
    columns = 16 * draw(st.integers(1, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["normal", "uniform", "same", "ends", "sparse"]))
    shape = (lead, depth, columns)
    m = {
        "normal": lambda: generator.standard_normal(shape),
        "uniform": lambda: generator.uniform(-1, 1, shape),
        "same": lambda: np.broadcast_to(generator.standard_normal((lead, 1, columns)), shape),
        "ends": lambda: generator.choice([-1.0, 1.0, 0.992, 1.008], shape),
        "sparse": lambda: generator.standard_normal(shape) * (generator.random(shape) < 0.1),
    }[kind]()
    scale = draw(st.sampled_from([1.0, 1e-30, 1e30, 1e-44] if extremes else [1.0, 1e-6]))
    return (m * scale).astype(np.float32)


@settings(max_examples=200, deadline=None)
@given(matrices(), st.booleans())
def test_weights_keep_the_rules_of_the_format(m, pairs):
    q, scales = choose_weights(m, pairs)
    assert q.dtype == np.int8
    assert scales.dtype == np.float32
    assert q.min() >= -127
    assert np.isfinite(scales).all()
    assert (q * (scales[:, None, :] == 0) == 0).all(), "a column without a scale has no weights"
    if pairs:
        whole = np.zeros((len(q), q.shape[1] + q.shape[1] % 2, q.shape[2]), np.int64)
        whole[:, : q.shape[1]] = q
        assert np.abs(whole[:, ::2] + whole[:, 1::2]).max() <= 129


@settings(max_examples=200, deadline=None)
@given(matrices(extremes=False))
def test_weights_are_near_what_they_stand_for(m):
    """Below half a step of the scale at which all pairs fit, up to the moves of pairs that rounding made too large."""
    wide = np.zeros((len(m), m.shape[1] + m.shape[1] % 2, m.shape[2]), np.float64)
    wide[:, : m.shape[1]] = m
    largest = np.abs(wide).max(1)
    fitting = np.maximum(largest / 127, np.abs(wide[:, ::2] + wide[:, 1::2]).max(1) / 129)
    q, scales = choose_weights(m)
    error = m - q.astype(np.float64) * scales[:, None, :]
    assert (scales <= fitting * 1.000001).all()
    assert (scales >= largest / 127 * 0.999999).all()
    squares = (error**2).sum(1)
    # What rounding at that scale gives is one of the choices; a pair moved by rounding errs by at most one step more.
    assert (squares <= 1.25 * fitting**2 * m.shape[1] + 1e-30).all()
    free, free_scales = choose_weights(m, pairs=False)
    assert (np.abs(m - free.astype(np.float64) * free_scales[:, None, :]) <= 0.5001 * free_scales[:, None, :]).all()


def test_a_pair_over_the_limit_is_moved_to_the_nearest_one_that_fits():
    # Whole numbers stand for themselves at the scale 1, at which one pair does not fit; a coarser one would cost more.
    column = np.random.default_rng(0).integers(-127, 128, 400).astype(np.float32)
    column[1::2] = -column[::2]
    column[:3] = 100, 30, 127
    column[3] = -127
    q, scales = choose_weights(np.repeat(column[:, None], 16, 1))
    assert scales[0] == 1.0
    assert tuple(q[:2, 0]) in {(99, 30), (100, 29)}
    negative, _ = choose_weights(-np.repeat(column[:, None], 16, 1))
    assert (np.abs(negative[:2].astype(int).sum(0)) == 129).all()


@settings(max_examples=100, deadline=None)
@given(matrices())
def test_wide_weights_fit_their_sums_and_are_near(m):
    q, scales = choose_wide_weights(m)
    sums = np.abs(q.astype(np.int64)).sum(1)
    assert sums.max(initial=0) <= 262176
    assert (np.abs(q.astype(np.int64)) <= 32767).all()
    step = scales.astype(np.float64)[:, None, :]
    # A column whose scale would be below the normal range is one of zeros.
    lost = np.where(step > 0, 0, 32766 * float(np.finfo(np.float32).tiny))
    assert (np.abs(m - q * step) <= 0.5001 * step + lost).all()
    # No finer scale would do: a column is full, or one of its weights is as large as they get.
    full = (sums >= 262176 - 1.01 * m.shape[1] - 2) | (np.abs(q.astype(np.int64)).max(1, initial=0) >= 32760)
    assert (full | (scales == 0)).all()


@settings(max_examples=100, deadline=None)
@given(matrices(), st.sampled_from([16, 32, 48, 64]), st.sampled_from([choose_weights, choose_wide_weights]))
def test_whole_numbers_come_back_from_their_panels(m, width, choose):
    q, scales = choose(m)
    data = packing.pack_cells(q, scales, width)
    assert data.shape == packing.cells(m.shape, q.dtype)
    back, back_scales = packing.unpack_cells(data, m.shape[1], width)
    assert (back == q).all()
    assert (back_scales == scales).all()
    # Cell by cell, as format.def has it.
    per_cell = data.shape[-1]
    flat, rows = data.reshape(len(m), -1, per_cell), data.shape[1]
    at = 0
    for first in range(0, m.shape[2], width):
        count = min(width, m.shape[2] - first)
        panel = flat[:, at : at + rows * count].reshape(len(m), rows, count, per_cell)
        at += rows * count
        for k in range(m.shape[1]):
            assert (panel[:, k // per_cell, :, k % per_cell] == q[:, k, first : first + count]).all()
        if per_cell == 4:
            starts = np.ascontiguousarray(panel[:, -2]).view("<i4")[..., 0]
            assert (starts == -127 * q[:, :, first : first + count].sum(1, dtype=np.int64)).all()
        assert (np.ascontiguousarray(panel[:, -1]).view("<f4")[..., 0] == scales[:, first : first + count]).all()
    assert at == flat.shape[1]


def test_weights_past_the_end_are_zero():
    q = np.full((1, 5, 16), 3, np.int8)
    data = packing.pack_cells(q, np.ones((1, 16), np.float32), 16)
    assert (data[0, 1, :, 1:] == 0).all()
    assert (data[0, 1, :, 0] == 3).all()


@pytest.mark.parametrize("magnitude", [1.0, 1e-20, 1e-44, 0.0])
def test_rows_of_a_table(magnitude):
    table = (np.random.default_rng(0).standard_normal((7, 5)) * magnitude).astype(np.float32)
    table[3] = 0
    q, scales = rows_of_bytes(table)
    assert q.min() >= -127
    assert scales.shape == (7, 1)
    assert not q[3].any()
    assert not scales[3].any()
    assert (np.abs(table - q * scales) <= 0.5001 * scales + 1e-37).all()


def test_the_table_of_precisions():
    assert list(PRECISIONS) == ["float32", "int8", "int16"]
    matrix = np.random.default_rng(0).standard_normal((1, 6, 80)).astype(np.float32)
    for row in PRECISIONS.values():
        data = row.pack(matrix, 64)
        whole = packing.WHOLE.get(row.packing)
        wanted = packing.cells(matrix.shape, whole) if whole else matrix.shape
        assert data.shape == wanted
