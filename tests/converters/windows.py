# SPDX-License-Identifier: Apache-2.0
"""What the interpreter does for `reduce`, `conv` and `pool`: plain loops over windows in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np


def reduce(x: np.ndarray, kind: str, axes: int) -> np.ndarray:
    """Fold the last `axes` axes."""
    rows = x.reshape(*x.shape[: x.ndim - axes], -1)
    if kind.startswith("ARG"):
        find = np.argmax if "MAX" in kind else np.argmin
        if kind.endswith("LAST"):
            return rows.shape[-1] - 1 - find(rows[..., ::-1], axis=-1)
        return find(rows, axis=-1)
    if kind in ("MAX", "MIN"):
        ends = (-np.inf, np.inf) if x.dtype.kind == "f" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
        return rows.max(-1, initial=ends[0]) if kind == "MAX" else rows.min(-1, initial=ends[1])
    if kind == "MEAN" and x.dtype.kind != "f":
        total = rows.sum(-1)
        return np.sign(total) * (np.abs(total) // rows.shape[-1])
    return {"SUM": np.sum, "MEAN": np.mean, "PROD": np.prod}[kind](rows, axis=-1)


def _places(axis: tuple[int, ...], length: int, output: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For [output position, tap]: the input index, whether it is one, and whether it is within the padded input."""
    kernel, stride, dilation, begin, end, upsample = axis
    at = np.arange(output)[:, None] * stride + np.arange(kernel) * dilation - begin
    counted = (at >= -begin) & (at < length + end)
    inside = (at >= 0) & (at % upsample == 0) & (at // upsample < length)
    return np.where(inside, at // upsample, 0), inside, counted


def taps(x: np.ndarray, sizes: tuple[int, ...], window: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """([B, C, outputs..., taps], whether each is inside, whether each is counted), taps in row-major order."""
    axes = [_places(a, n, m) for a, n, m in zip(window, x.shape[2:], sizes, strict=True)]
    rank = len(axes)
    index, inside, counted = [], np.ones((), bool), np.ones((), bool)
    for i, (at, ok, pad) in enumerate(axes):
        shape = [1] * (2 * rank)
        shape[i], shape[rank + i] = at.shape
        index.append(at.reshape(shape))
        inside = inside & ok.reshape(shape)
        counted = counted & pad.reshape(shape)
    seen = x[(slice(None), slice(None), *index)]
    flat = (*sizes, -1)
    return seen.reshape(*x.shape[:2], *flat), inside.reshape(flat), counted.reshape(flat)


def conv(x: np.ndarray, w: np.ndarray, outputs: int, sizes: tuple[int, ...], window: list[Any]) -> np.ndarray:
    """x [B, G*C, ...] with w [G, taps*C, Mp], or [taps, G] where C and M are 1, -> [B, G*M, outputs...]."""
    if w.ndim == 2:
        w = w.T[:, :, None]
    groups, per_group = len(w), outputs // len(w)
    return np.einsum("gbpk,gkm->bgmp", rows(x, groups, sizes, window), w[:, :, :per_group]).reshape(
        x.shape[0], outputs, *sizes
    )


def rows(x: np.ndarray, groups: int, sizes: tuple[int, ...], window: list[Any]) -> np.ndarray:
    """The windows of x [B, G*C, ...] as rows [G, B, outputs, taps*C], the channel fastest; padding is 0."""
    seen, inside, _ = taps(x, sizes, window)
    seen = np.where(inside, seen, 0).reshape(x.shape[0], groups, x.shape[1] // groups, int(np.prod(sizes)), -1)
    return seen.transpose(1, 0, 3, 4, 2).reshape(groups, x.shape[0], int(np.prod(sizes)), -1)


def pool(x: np.ndarray, kind: str, count_padding: int, sizes: tuple[int, ...], window: list[Any]) -> np.ndarray:
    """The largest, or the mean, of each window."""
    seen, inside, counted = taps(x, sizes, window)
    if kind == "MAX":
        return np.where(inside, seen, -np.inf).max(-1)
    return np.where(inside, seen, 0).sum(-1) / (counted if count_padding else inside).sum(-1)
