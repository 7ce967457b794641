# SPDX-License-Identifier: Apache-2.0
"""DepthToSpace and SpaceToDepth: channels become squares of a plane, and squares become channels."""

from __future__ import annotations

import numpy as np

from .. import dims as dm
from .. import values
from ..dims import Size
from ..errors import NodeError
from ..lowering import Context, show
from ..onnx_model import OnnxNode
from ..registry import lowering, reference
from ..values import Value

#: The axes [N, row in a square, column in it, C, H, W], in CRD with C before the two, as [N, C, H, row, W, column].
_OUT = {"DCR": (0, 3, 4, 1, 5, 2), "CRD": (0, 1, 4, 2, 5, 3)}
#: The way back.
_IN = {mode: tuple(np.argsort(order).tolist()) for mode, order in _OUT.items()}


def _read(ctx: Context, x: Value) -> tuple[int, str]:
    """(rows and columns of a square, order of the channels)."""
    size, mode = ctx.attribute("blocksize", 0), ctx.attribute("mode", "DCR")
    if size < 1:
        raise NodeError(f"attribute 'blocksize' is {size}; it must be given, and 1 or more")
    if mode not in _OUT:
        raise NodeError(f"attribute 'mode' is {mode!r}; 'DCR' and 'CRD' are defined")
    if x.rank != 4:
        raise NodeError(f"takes [batch, channels, height, width], not {show(x.dims)}")
    return size, mode


def _part(ctx: Context, x: Value, axis: int, count: int) -> Size:
    """The length of an axis divided by a number, which must be provably without remainder."""
    found = dm.exact_div(x.dims[axis], count)
    if found is None:
        ctx.settle(x.dims[axis])
        raise NodeError(f"axis {axis} of {show(x.dims)} is not provably a multiple of {count}: fix it with --shape")
    return found


@lowering("DepthToSpace", inputs="input:any", attributes="blocksize", until=10)
@lowering("DepthToSpace", inputs="input:any", attributes="blocksize mode", since=11)
def lower_depth_to_space(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """[N, C * b * b, H, W] as [N, C, H * b, W * b]; the axes of a square are the slower ones of the channels in DCR."""
    size, mode = _read(ctx, x)
    n, _, h, w = x.dims
    channels = _part(ctx, x, 1, size * size)
    split = (size, size, channels) if mode == "DCR" else (channels, size, size)
    seen = values.transpose(ctx.reshape(x, (n, *split, h, w)), list(_OUT[mode]))
    return ctx.reshape(seen, (n, channels, h * size, w * size))


@lowering("SpaceToDepth", inputs="input:any", attributes="blocksize", until=27)
@lowering("SpaceToDepth", inputs="input:any", attributes="blocksize mode", since=28)
def lower_space_to_depth(ctx: Context, node: OnnxNode, x: Value) -> Value:
    """[N, C, H * b, W * b] as [N, C * b * b, H, W]."""
    size, mode = _read(ctx, x)
    n, c, _, _ = x.dims
    h, w = _part(ctx, x, 2, size), _part(ctx, x, 3, size)
    seen = values.transpose(ctx.reshape(x, (n, c, h, size, w, size)), list(_IN[mode]))
    return ctx.reshape(seen, (n, c * (size * size), h, w))


# ---- references ------------------------------------------------------------------------------------------------------


@reference("DepthToSpace", exact=True)
def reference_depth_to_space(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """Reshaped, transposed, reshaped."""
    size, mode = node.attributes["blocksize"], node.attributes.get("mode", "DCR")
    n, c, h, w = x.shape
    split = (size, size, c // size**2) if mode == "DCR" else (c // size**2, size, size)
    return x.reshape(n, *split, h, w).transpose(_OUT[mode]).reshape(n, -1, h * size, w * size)


@reference("SpaceToDepth", exact=True)
def reference_space_to_depth(node: OnnxNode, x: np.ndarray) -> np.ndarray:
    """The way back."""
    size, mode = node.attributes["blocksize"], node.attributes.get("mode", "DCR")
    n, c, h, w = x.shape
    seen = x.reshape(n, c, h // size, size, w // size, size).transpose(_IN[mode])
    return seen.reshape(n, -1, h // size, w // size)
