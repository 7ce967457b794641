# SPDX-License-Identifier: Apache-2.0
"""tinyrnn runs trained recurrent networks, converted from ONNX, one frame at a time."""

from tinyrnn.errors import (
    ArgumentError,
    BusyError,
    IndexRangeError,
    ModelFormatError,
    ShapeError,
    StateError,
    TinyRNNError,
    UnsupportedError,
)
from tinyrnn.model import BoundStep, Model, Port, Stream, load

__version__ = "0.1.0"
__all__ = [
    "ArgumentError",
    "BoundStep",
    "BusyError",
    "IndexRangeError",
    "Model",
    "ModelFormatError",
    "Port",
    "ShapeError",
    "StateError",
    "Stream",
    "TinyRNNError",
    "UnsupportedError",
    "load",
]
