# SPDX-License-Identifier: Apache-2.0
"""Converts ONNX models to .trnn files. Installed as tinyrnn.converters."""

if __name__ != "tinyrnn.converters":
    # Imported from the source tree's root it would be a second copy, whose classes are not those of the package.
    raise ImportError("import tinyrnn.converters, not the folder `converters`")

from .api import convert, convert_bytes
from .errors import ConversionError
from .report import Report

__all__ = ["ConversionError", "Report", "convert", "convert_bytes"]
