# SPDX-License-Identifier: Apache-2.0
"""Weights in the order in which the kernels read them: gates interleaved, columns padded to 16, cut into panels."""

from __future__ import annotations

import numpy as np

LANES = 16
CONV_PANEL = 32  # of a convolution: a few positions share the weights, and read fewer columns of each row at once
CELL = 4  # bytes of a column that stand together in packings of whole numbers
#: The packings of whole numbers, and their type.
WHOLE = {"I8_PANELS": np.dtype(np.int8), "I16_PANELS": np.dtype(np.int16)}


def padded(n: int) -> int:
    """n rounded up to whole groups of 16 columns."""
    return -(-n // LANES) * LANES


def panel_width(gates: int) -> int:
    """Columns of a panel: all gates of 16 units; 64 when there is one gate."""
    return LANES * gates if gates > 1 else 64


def interleave(m: np.ndarray) -> np.ndarray:
    """[..., G, U, K] -> [..., K, G*Up]: unit u of gate g in column (u / 16) * 16 * G + g * 16 + u % 16, the rest 0."""
    *lead, gates, units, depth = m.shape
    groups = padded(units) // LANES
    full = np.zeros((*lead, gates, groups * LANES, depth), np.float32)
    full[..., :units, :] = m
    n = len(lead)
    split = full.reshape(*lead, gates, groups, LANES, depth)
    return np.asarray(split.transpose(*range(n), n + 3, n + 1, n, n + 2).reshape(*lead, depth, gates * groups * LANES))


def panels(m: np.ndarray, width: int) -> np.ndarray:
    """[..., K, N] -> the same elements in panel order, reported in the same shape."""
    *_, depth, columns = m.shape
    whole = columns // width * width
    if not m.size:
        return m
    flat = m.reshape(-1, depth, columns)
    first = flat[:, :, :whole].reshape(len(flat), depth, columns // width, width).transpose(0, 2, 1, 3)
    rest = flat[:, :, whole:]
    return np.concatenate([first.reshape(len(flat), -1), rest.reshape(len(flat), -1)], axis=1).reshape(m.shape)


def unpanel(m: np.ndarray, width: int) -> np.ndarray:
    """The inverse of `panels`."""
    *_, depth, columns = m.shape
    if not m.size:
        return m
    flat = m.reshape(-1, depth * columns)
    count = len(flat)
    whole = columns // width * width
    first = flat[:, : depth * whole].reshape(count, columns // width, depth, width).transpose(0, 2, 1, 3)
    rest = flat[:, depth * whole :].reshape(count, depth, columns - whole)
    return np.concatenate([first.reshape(count, depth, whole), rest], axis=2).reshape(m.shape)


def pack_gates(m: np.ndarray) -> np.ndarray:
    """[..., G, U, K] -> packed [..., K, G*Up]."""
    return panels(interleave(m), panel_width(m.shape[-3]))


def pack_vectors(m: np.ndarray) -> np.ndarray:
    """[..., G, U] -> [..., G*Up] in the order of the columns."""
    return interleave(m[..., None])[..., 0, :]


def cells(dims: tuple[int, ...], dtype: np.dtype) -> tuple[int, ...]:
    """Shape of the data of matrices [..., K, N] of whole numbers: rows of cells of weights, starts of int8, scales."""
    *lead, depth, columns = dims
    per_cell = CELL // dtype.itemsize
    return (*lead, -(-depth // per_cell) + (dtype == np.int8) + 1, columns, per_cell)


def pack_cells(q: np.ndarray, scales: np.ndarray, width: int) -> np.ndarray:
    """Weights as the panels that format.def calls I8_PANELS or I16_PANELS.

    Parameters
    ----------
    q : [..., K, N] int8 or int16, K at most the limit I8_K of format.def
    scales : [..., N] float32
    width : columns of a panel

    Returns
    -------
    [..., ceil(K / 4) + 2, N, 4] int8 or [..., ceil(K / 2) + 1, N, 2] int16, in the order of the file
    """
    *lead, depth, columns = q.shape
    shape = cells(q.shape, q.dtype)
    per_cell = shape[-1]
    made = np.zeros(shape[:-1], "<u4")
    rows = -(-depth // per_cell)
    whole = np.zeros((*lead, rows * per_cell, columns), q.dtype.newbyteorder("<"))
    whole[..., :depth, :] = q
    grouped = whole.reshape(*lead, rows, per_cell, columns).swapaxes(-1, -2)
    made[..., :rows, :] = np.ascontiguousarray(grouped).view("<u4")[..., 0]
    if q.dtype == np.int8:
        made[..., rows, :] = (-127 * q.sum(axis=-2, dtype=np.int32)).astype("<i4").view("<u4")
    made[..., -1, :] = np.ascontiguousarray(scales, "<f4").view("<u4")
    return np.ascontiguousarray(panels(made, width)).view(q.dtype).reshape(shape)


def unpack_cells(data: np.ndarray, depth: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `pack_cells`: (q [..., K, N], scales [..., N] float32)."""
    *lead, _, columns, per_cell = data.shape
    made = unpanel(np.ascontiguousarray(data).view("<u4")[..., 0], width)
    rows = -(-depth // per_cell)
    grouped = np.ascontiguousarray(made[..., :rows, :]).view(data.dtype).reshape(*lead, rows, columns, per_cell)
    q = grouped.swapaxes(-1, -2).reshape(*lead, rows * per_cell, columns)
    return q[..., :depth, :], np.ascontiguousarray(made[..., -1, :]).view("<f4")
