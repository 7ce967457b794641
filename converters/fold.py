# SPDX-License-Identifier: Apache-2.0
"""Nodes whose inputs are known when converting: constants are computed, sizes are calculated with."""

from __future__ import annotations

import math
import warnings

import numpy as np

from . import registry, values
from .errors import NodeError
from .ir import NUMPY_TYPE
from .onnx_model import OnnxNode
from .values import Value

MAX_FOLDED_BYTES = 64 << 20
_NAMES = {v: k for k, v in NUMPY_TYPE.items()}

# Operators that are only ever folded, by ONNX's own reference: how many elements they make depends on the data.
ONLY_FOLDED = frozenset(["NonZero", "Unique"])


# Their results can be far larger than their inputs: the lowering keeps them unexpanded.
_LOWERED = frozenset(
    [
        *("ConstantOfShape", "Expand", "Range", "Tile", "OneHot", "Einsum"),
        *("Conv", "FusedConv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"),
        *("Resize", "Upsample", "Col2Im", "MaxUnpool", "DFT", "STFT", "GridSample"),
    ]
)


def fold(node: OnnxNode, operands: list[Value | None]) -> list[Value | None] | None:
    """The outputs of the node where they can be known now, else None."""
    given = [v for v in operands if v is not None]
    if not given or not all(v.const is not None or v.sym is not None for v in given):
        return None
    if all(v.is_full for v in given):
        if node.op in _LOWERED:
            return None
        return _constants(node, operands)
    return _sizes(node, operands)


def _constants(node: OnnxNode, operands: list[Value | None]) -> list[Value | None] | None:
    known = registry.REFERENCES.get((node.domain, node.op))
    only = node.domain == "" and node.op in ONLY_FOLDED
    if known is None and not only:
        return None
    arrays = [None if v is None else v.const for v in operands]
    if sum(a.nbytes for a in arrays if a is not None) > MAX_FOLDED_BYTES * 4:
        raise NodeError("its constants are too large to compute with when converting")
    if _broadcast_bytes([a for a in arrays if a is not None]) > MAX_FOLDED_BYTES * 4:
        raise NodeError("makes a constant that is too large")
    # Numbers out of range do in a constant what they would do at run time.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            results = compute(node, arrays, known) if known else _by_onnx(node, arrays)
        except NodeError:
            raise
        except Exception as e:
            raise NodeError(f"cannot be computed from its constants: {e}") from None
    if sum(r.nbytes for r in results) > MAX_FOLDED_BYTES * 4:
        raise NodeError("makes a constant that is too large")
    return [values.of_array(r, _NAMES.get(r.dtype, str(r.dtype))) for r in results]


def _broadcast_bytes(arrays: list[np.ndarray]) -> int:
    """The size of what small operands can grow to together, 0 where they do not broadcast."""
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError:
        return 0
    return math.prod(shape) * 8 if math.prod(shape) > sum(a.size for a in arrays) else 0


def _by_onnx(node: OnnxNode, arrays: list[np.ndarray | None]) -> list[np.ndarray]:
    from . import onnx_frontend

    return onnx_frontend.evaluate(node, arrays)


def compute(node: OnnxNode, arrays: list[np.ndarray | None], known: registry.Reference) -> list[np.ndarray]:
    """The reference of a node on arrays: floats in float64, rounded once at the end."""
    floats = next((a.dtype for a in arrays if a is not None and a.dtype.kind == "f"), None)
    if known.exact or floats is None:
        return listed(known.function(node, *arrays))
    wide = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays]
    return [r.astype(floats) if r.dtype.kind == "f" else r for r in listed(known.function(node, *wide))]


def listed(result: object) -> list[np.ndarray]:
    """What a reference returned, as a list of arrays."""
    results = result if isinstance(result, (tuple, list)) else [result]
    return [np.asarray(r) for r in results]


def _sizes(node: OnnxNode, operands: list[Value | None]) -> list[Value | None] | None:
    """Integer arithmetic on symbolic sizes; None where the operator or the types are not made for that."""
    function = registry.SYMBOLIC.get((node.domain, node.op))
    if function is None or any(v is not None and not (v.is_full or v.sizes() is not None) for v in operands):
        return None
    arrays = []
    for v in operands:
        if v is not None and v.const is not None and v.const.dtype.kind not in "iub":
            return None
        arrays.append(None if v is None else objects(v.const) if v.sym is None else v.sizes())
    result = function(node, *arrays)
    if result is None:
        return None
    dtype = next((v.dtype for v in operands if v is not None and v.sym is not None), "I64")
    if node.op == "Cast":
        dtype = "I32" if node.attributes.get("to") == 6 else "I64"
    made = result if isinstance(result, list) else [result]
    return [values.of_array(r, "BOOL") if r.dtype == bool else values.of_sizes(r, dtype) for r in made]


def objects(array: np.ndarray | None) -> np.ndarray:
    """An integer array with Python's ints in it."""
    assert array is not None
    result = np.empty(array.shape, object)
    for i in np.ndindex(array.shape):
        result[i] = int(array[i])
    return result
