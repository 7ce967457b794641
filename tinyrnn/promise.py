# SPDX-License-Identifier: Apache-2.0
"""On which machines a file gives the same bytes (docs/arithmetic.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterable

# The operators that multiply and add in one where their weights are float32: only there do the bytes depend on how
# that is rounded.
WITH_PRODUCTS = ("conv", "dense", "recurrent")
EXACT = {"I8_PANELS", "I16_PANELS"}  # sums of whole numbers


def promise(calls: Iterable[tuple[str, Collection[str]]]) -> str:
    """Say on which machines the outputs have the same bytes.

    Parameters
    ----------
    calls : for each operator call its kind and the packings of its operands
    """
    exact = [not EXACT.isdisjoint(packings) for kind, packings in calls if kind in WITH_PRODUCTS]
    if not all(exact):
        return "fp32: the same bytes on every instruction set with fused multiply-add, and on every one without"
    return "quantized: the same bytes on every instruction set" if exact else "the same bytes on every instruction set"
