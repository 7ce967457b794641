# SPDX-License-Identifier: Apache-2.0
"""Weights in the order in which the kernels read them: gates interleaved, columns padded to 16, cut into panels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LANES = 16
CONV_PANEL = 32  # of a convolution: a few positions share the weights, and read fewer columns of each row at once
#: The packings of int8, and the planes of each: a weight is the sum of what it is in all of them.
PLANES = {"I8_PANELS": 1, "I8X2_PANELS": 2}


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


def cells(dims: tuple[int, ...], planes: int = 1) -> tuple[int, ...]:
    """Shape of the data of int8 matrices [..., K, N]: in each plane rows of cells with four weights, starts, scales."""
    *lead, depth, columns = dims
    return (*lead, planes * (-(-depth // 4) + 2), columns, 4)


def pack_bytes(planes: Sequence[tuple[np.ndarray, np.ndarray]], width: int) -> np.ndarray:
    """Weights as the panels of bytes that format.def calls I8_PANELS, or I8X2_PANELS where there are two planes.

    Parameters
    ----------
    planes : for each, q [..., K, N] int8, K at most the limit I8_K of format.def, and scales [..., N] float32
    width : columns of a panel

    Returns
    -------
    [..., planes * (ceil(K / 4) + 2), N, 4] int8, in the order of the file
    """
    made = np.concatenate([_rows_of_cells(q, scales) for q, scales in planes], axis=-2)
    return np.ascontiguousarray(panels(made, width)).view(np.int8).reshape(*made.shape, 4)


def _rows_of_cells(q: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """One plane, before it is cut into panels: [..., ceil(K / 4) + 2, N] uint32."""
    *lead, depth, columns = q.shape
    shape = cells(q.shape)
    rows = shape[-3]
    made = np.zeros(shape[:-1], "<u4")
    whole = np.zeros((*lead, (rows - 2) * 4, columns), np.int8)
    whole[..., :depth, :] = q
    fours = whole.reshape(*lead, rows - 2, 4, columns).swapaxes(-1, -2)
    made[..., :-2, :] = np.ascontiguousarray(fours).view("<u4")[..., 0]
    made[..., -2, :] = (-127 * q.sum(axis=-2, dtype=np.int32)).astype("<i4").view("<u4")
    made[..., -1, :] = np.ascontiguousarray(scales, "<f4").view("<u4")
    return made


def unpack_bytes(data: np.ndarray, depth: int, width: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The inverse of `pack_bytes`: for each plane (q [..., K, N] int8, scales [..., N] float32)."""
    *lead, rows, columns, _ = data.shape
    made = unpanel(np.ascontiguousarray(data).view("<u4")[..., 0], width)
    each = cells((*lead, depth, columns))[-3]
    planes = []
    for first in range(0, rows, each):
        plane = made[..., first : first + each, :]
        fours = np.ascontiguousarray(plane[..., :-2, :]).view(np.int8).reshape(*lead, each - 2, columns, 4)
        q = fours.swapaxes(-1, -2).reshape(*lead, (each - 2) * 4, columns)
        planes.append((q[..., :depth, :], np.ascontiguousarray(plane[..., -1, :]).view("<f4")))
    return planes
