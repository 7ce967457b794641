# SPDX-License-Identifier: Apache-2.0
"""What the interpreter does with weights of whole numbers: the sums and roundings of docs/arithmetic.md, in NumPy."""

from __future__ import annotations

import numpy as np

TINY = np.float32(2.0**-100)


class Whole:
    """A matrix [..., K, N] of int8 or int16 with a scale for each column. Indexing takes leading axes."""

    def __init__(self, q: np.ndarray, scales: np.ndarray) -> None:
        self.q, self.scales = q, scales.astype(np.float32)

    def __getitem__(self, index):
        return Whole(self.q[index], self.scales[index])

    @property
    def wide(self) -> bool:
        """Whether it is multiplied by codes of 16 bits."""
        return self.q.dtype == np.int16

    @property
    def matrices(self) -> int:
        """The first of the leading axes."""
        return len(self.q)

    def columns(self, count: int) -> Whole:
        """The first of them."""
        return Whole(self.q[..., :count], self.scales[..., :count])


def activations(x: np.ndarray, largest: float | None, wide: bool, fine: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Whole numbers in place of x [..., M, K], and the scale of each row [..., M, 1], which is NaN for a row with NaN.

    Twice: the second time of what the first leaves, for the rows that take it; the scale of the others is 0.
    """
    x = x.astype(np.float32)
    most = np.float32(8191 if wide else 127)
    with np.errstate(all="ignore"):
        if largest is None:
            amax = np.abs(x).max(axis=-1, keepdims=True, initial=0.0)
        else:
            amax = np.full((*x.shape[:-1], 1), largest, np.float32)
        small = amax < TINY
        scaled = x * (most / np.where(small, np.float32(1), amax))
        q = np.rint(scaled)
        kept = ~small & np.isfinite(x).all(axis=-1, keepdims=True)
        first = np.where(kept, np.clip(q, -most, most), 0).astype(np.int64)
        scale = np.where(small, np.float32(0), amax * (np.float32(1) / most))
        rest = np.where(kept, np.rint((scaled - q) * np.float32(254)), 0).astype(np.int64)
        few = np.abs(first).sum(axis=-1, keepdims=True) < 12 * x.shape[-1]
        few &= kept & np.any(rest, axis=-1, keepdims=True) & (fine and not wide and largest is None)
        below = np.where(few, scale * np.float32(1 / 254), np.float32(0))
    bad = ~np.isfinite(x).all(axis=-1, keepdims=True)
    return [(first, np.where(bad, np.float32(np.nan), scale)), (rest, below)]


def product(x: np.ndarray, w: Whole, start, largest: float | None = None, fine: bool = True) -> np.ndarray:
    """start + x w, each operation rounded once to float32. fine: whether rows of x may take a second row of codes."""
    result = np.asarray(start, np.float32)
    for codes, scale in activations(x, largest, w.wide, fine):
        sums = np.matmul(codes, w.q.astype(np.int64)).astype(np.float32)
        with np.errstate(all="ignore"):
            result = result + sums * (scale * w.scales[..., None, :])
    return result
