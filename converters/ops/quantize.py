# SPDX-License-Identifier: Apache-2.0
"""DequantizeLinear of constants: weights stored in 8 bits become the float32 numbers that they stand for."""

from __future__ import annotations

import numpy as np

from ..errors import NodeError
from ..onnx_model import OnnxNode
from ..registry import reference


@reference("DequantizeLinear")
def dequantize(node: OnnxNode, x: np.ndarray, scale: np.ndarray, zero: np.ndarray | None = None) -> np.ndarray:
    """(x - zero_point) * scale, per tensor or along `axis`; ONNX's blocked form is refused."""
    if node.attributes.get("block_size", 0):
        raise NodeError("attribute 'block_size' is not supported")
    shape = [1] * x.ndim
    if scale.size > 1:
        axis = node.attributes.get("axis", 1)
        if scale.ndim != 1 or not -x.ndim <= axis < x.ndim or x.shape[axis] != scale.size:
            raise NodeError(f"has {scale.size} scales for axis {axis} of {list(x.shape)}")
        shape[axis] = scale.size
    offset = 0 if zero is None else zero.astype(np.int64).reshape(shape)
    result: np.ndarray = (x.astype(np.int64) - offset) * scale.reshape(shape)
    return result
