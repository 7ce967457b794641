# SPDX-License-Identifier: Apache-2.0
"""What the interpreter does with int8 weights: the sums and roundings of docs/arithmetic.md, in NumPy."""

from __future__ import annotations

import numpy as np

TINY = np.float32(2.0**-100)


class Bytes:
    """An int8 matrix [..., K, N] with a scale for each column. Indexing takes from the leading axes."""

    def __init__(self, q: np.ndarray, scales: np.ndarray) -> None:
        self.q, self.scales = q.astype(np.int64), scales.astype(np.float32)

    def __getitem__(self, index):
        return Bytes(self.q[index], self.scales[index])

    def columns(self, count: int) -> Bytes:
        """The first of them."""
        return Bytes(self.q[..., :count], self.scales[..., :count])


def activations(x: np.ndarray, largest: float | None) -> tuple[np.ndarray, np.ndarray]:
    """x [..., M, K] -> (whole numbers, scale of each row [..., M, 1]); a row with NaN or infinity has the scale NaN."""
    x = x.astype(np.float32)
    with np.errstate(all="ignore"):
        if largest is None:
            amax = np.abs(x).max(axis=-1, keepdims=True, initial=0.0)
        else:
            amax = np.full((*x.shape[:-1], 1), largest, np.float32)
        small = amax < TINY
        q = np.rint(x * (np.float32(127) / np.where(small, np.float32(1), amax)))
        q = np.where(small | ~np.isfinite(q), 0, np.clip(q, -127, 127)).astype(np.int64)
        scale = np.where(small, np.float32(0), amax * np.float32(1 / 127))
    bad = ~np.isfinite(x).all(axis=-1, keepdims=True)
    return q, np.where(bad, np.float32(np.nan), scale)


def product(x: np.ndarray, w: Bytes, start: np.ndarray | float, largest: float | None = None) -> np.ndarray:
    """start + x w, each operation rounded once to float32."""
    q, scale = activations(x, largest)
    sums = np.matmul(q, w.q).astype(np.float32)
    with np.errstate(all="ignore"):
        return np.asarray(start, np.float32) + sums * (scale * w.scales[..., None, :])
