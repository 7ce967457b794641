# SPDX-License-Identifier: Apache-2.0
"""The precisions of weights: a row each, and how the weights of a row are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tinyrnn import format as fmt

from . import packing

LARGEST = 127  # of an int8 weight: -128 has no positive counterpart
LARGEST_WIDE = 32767  # of an int16 weight
LARGEST_PAIR = 129  # of the sum of two: 254 * 129 fits 16 bits, in which kernels add pairs of products
CANDIDATES = 9  # scales that are tried for a column
SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Precision:
    """How the weights of an operator are kept.

    Attributes
    ----------
    name : what people call it
    dtype, packing : enumerators of format.def, of a matrix
    pack : function (matrix [..., K, N] float32, panel width) -> its data as it stands in the file
    longest : most rows K of a matrix, None for any number
    tolerance : largest error of an output that conversion leads to expect, as a part of max(1, |output|)
    """

    name: str
    dtype: str
    packing: str
    pack: Callable[[np.ndarray, int], np.ndarray]
    longest: int | None
    tolerance: float


def choose_weights(matrix: np.ndarray, pairs: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers and a scale for each column, with the least squared error among the scales that are tried.

    These lie between that of the largest weight and that at which all pairs fit without being changed. Pairs that do
    not fit at a scale are moved to the nearest sum that does.

    Parameters
    ----------
    matrix : [..., K, N] float32, finite
    pairs : whether |q[2 i] + q[2 i + 1]| stays within 129

    Returns
    -------
    q : [..., K, N] int8 in -127..127
    scales : [..., N] float32; 0 for a column of zeros
    """
    *lead, depth, columns = matrix.shape
    w = np.zeros((*lead, depth + depth % 2, columns), np.float32)
    w[..., :depth, :] = matrix
    low = np.abs(w).max(axis=-2, initial=0.0) / np.float32(LARGEST)
    low = np.where(low < SMALLEST_SCALE, np.float32(0.0), low)
    w *= low[..., None, :] > 0
    unit = w / np.where(low > 0, low, np.float32(1.0))[..., None, :]  # in -127..127, whatever the magnitude
    sums = np.abs(unit[..., ::2, :] + unit[..., 1::2, :]).max(axis=-2, initial=0.0)
    ratio = np.maximum(sums / np.float32(LARGEST_PAIR), np.float32(1.0)) if pairs else np.ones_like(low)
    best = np.full(low.shape, np.inf)
    chosen, scales = np.zeros(w.shape, np.int8), np.zeros(low.shape, np.float32)
    for i in range(CANDIDATES if (ratio > 1).any() else 1):
        factor = 1 + (ratio - 1) * np.float32(i / (CANDIDATES - 1))
        x = unit / factor[..., None, :]
        q = _fitting(x, pairs)
        error = np.square(x - q).sum(axis=-2, dtype=np.float64) * np.square(factor.astype(np.float64))
        better = error < best
        best = np.where(better, error, best)
        np.copyto(chosen, q, where=better[..., None, :], casting="unsafe")
        np.copyto(scales, low * factor, where=better)
    return chosen[..., :depth, :], scales


def _fitting(x: np.ndarray, pairs: bool) -> np.ndarray:
    """The nearest whole numbers to x [..., even, N] that the format allows."""
    q = np.clip(np.rint(x), -LARGEST, LARGEST)
    if not pairs:
        return q
    total = q[..., ::2, :] + q[..., 1::2, :]
    where = np.nonzero(np.abs(total) > LARGEST_PAIR)
    if not where[0].size:
        return q
    # Both are of the sign of their sum. The sum is 129 then, which the two share so that each errs alike.
    sign = np.sign(total[where])
    first, second = x[..., ::2, :][where], x[..., 1::2, :][where]
    part = np.rint((LARGEST_PAIR + sign * (first - second)) / 2)
    part = np.clip(part, LARGEST_PAIR - LARGEST, LARGEST)
    q[..., ::2, :][where] = sign * part
    q[..., 1::2, :][where] = sign * (LARGEST_PAIR - part)
    return q


def rows_of_bytes(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table [N, D] as int8 with a scale [N, 1] for each row; nothing is summed, so that pairs do not matter."""
    scales = np.abs(table).max(axis=1, initial=0.0, keepdims=True) / np.float32(LARGEST)
    scales = np.where(scales < SMALLEST_SCALE, np.float32(0.0), scales).astype(np.float32)
    q = np.rint(table / np.where(scales > 0, scales, np.float32(1.0))) * (scales > 0)
    return np.clip(q, -LARGEST, LARGEST).astype(np.int8), scales


def choose_wide_weights(matrix: np.ndarray, column: int = fmt.LIMITS["I16_COLUMN"]) -> tuple[np.ndarray, np.ndarray]:
    """The nearest whole numbers, at about the least scale for each column at which the sum of products fits 32 bits.

    Parameters
    ----------
    matrix : [..., K, N] float32, finite
    column : most that the magnitudes of a column may add up to

    Returns
    -------
    q : [..., K, N] int16
    scales : [..., N] float32; 0 for a column of zeros, or of so little that it would be below the normal range
    """
    sizes = np.abs(matrix.astype(np.float64))
    room = column - matrix.shape[-2] / 2 - 1  # each may round up by a half
    # A scale is rounded to float32: hence the 1 below the largest weight.
    least = np.maximum(sizes.sum(axis=-2) / room, sizes.max(axis=-2, initial=0.0) / (LARGEST_WIDE - 1))
    scales = np.where(least < SMALLEST_SCALE, 0, least).astype(np.float32)
    units = np.where(scales > 0, scales, np.float32(np.inf)).astype(np.float64)
    return np.rint(matrix / units[..., None, :]).astype(np.int16), scales


def _int8(matrix: np.ndarray, width: int) -> np.ndarray:
    return packing.pack_cells(*choose_weights(matrix), width)


def _int16(matrix: np.ndarray, width: int) -> np.ndarray:
    return packing.pack_cells(*choose_wide_weights(matrix), width)


FLOAT32 = Precision("float32", "F32", "F32_PANELS", packing.panels, None, 1e-4)
INT8 = Precision("int8", "I8", "I8_PANELS", _int8, fmt.LIMITS["I8_K"], 0.05)
INT16 = Precision("int16", "I16", "I16_PANELS", _int16, fmt.LIMITS["I8_K"], 0.02)

#: By name. What `quantize` takes are all but the first.
PRECISIONS = {row.name: row for row in (FLOAT32, INT8, INT16)}
#: What layers get whose weights turn out to be too coarse in the precision that was asked for.
FINER = {INT8.name: INT16}
