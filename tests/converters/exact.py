# SPDX-License-Identifier: Apache-2.0
"""What the interpreter does with int8 weights: the sums and roundings of docs/arithmetic.md, in NumPy."""

from __future__ import annotations

import numpy as np

TINY = np.float32(2.0**-100)


class Bytes:
    """An int8 matrix [..., K, N]: planes of whole numbers with a scale for each column. Indexing takes leading axes."""

    def __init__(self, planes) -> None:
        self.planes = [(q.astype(np.int64), scales.astype(np.float32)) for q, scales in planes]

    def __getitem__(self, index):
        return Bytes([(q[index], scales[index]) for q, scales in self.planes])

    @property
    def matrices(self) -> int:
        """The first of the leading axes."""
        return len(self.planes[0][0])

    def columns(self, count: int) -> Bytes:
        """The first of them."""
        return Bytes([(q[..., :count], scales[..., :count]) for q, scales in self.planes])


def activations(x: np.ndarray, largest: float | None, fine: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Whole numbers in place of x [..., M, K], and the scale of each row [..., M, 1], which is NaN for a row with NaN.

    Twice: the second time of what the first leaves, for the rows that take it; the scale of the others is 0.
    """
    x = x.astype(np.float32)
    with np.errstate(all="ignore"):
        if largest is None:
            amax = np.abs(x).max(axis=-1, keepdims=True, initial=0.0)
        else:
            amax = np.full((*x.shape[:-1], 1), largest, np.float32)
        small = amax < TINY
        scaled = x * (np.float32(127) / np.where(small, np.float32(1), amax))
        q = np.rint(scaled)
        kept = ~small & np.isfinite(x).all(axis=-1, keepdims=True)
        first = np.where(kept, np.clip(q, -127, 127), 0).astype(np.int64)
        scale = np.where(small, np.float32(0), amax * np.float32(1 / 127))
        rest = np.where(kept, np.rint((scaled - q) * np.float32(254)), 0).astype(np.int64)
        few = (np.abs(first).sum(axis=-1, keepdims=True) < 12 * x.shape[-1]) | (fine == 2)
        few &= kept & np.any(rest, axis=-1, keepdims=True) & (fine > 0 and largest is None)
        below = np.where(few, scale * np.float32(1 / 254), np.float32(0))
    bad = ~np.isfinite(x).all(axis=-1, keepdims=True)
    return [(first, np.where(bad, np.float32(np.nan), scale)), (rest, below)]


def product(x: np.ndarray, w: Bytes, start, largest: float | None = None, fine: int | None = None) -> np.ndarray:
    """start + x w, each operation rounded once to float32. fine: 2 where there are two planes, if not given."""
    result = np.asarray(start, np.float32)
    codings = activations(x, largest, len(w.planes) if fine is None else fine)
    for used, (codes, scale) in zip((len(w.planes), 1), codings, strict=True):
        for q, scales in w.planes[:used]:
            sums = np.matmul(codes, q).astype(np.float32)
            with np.errstate(all="ignore"):
                result = result + sums * (scale * scales[..., None, :])
    return result
