# SPDX-License-Identifier: Apache-2.0
"""The exceptions of tinyrnn: one class for each kind of failure, named by the rows of status.def."""


class TinyRNNError(Exception):
    """Any failure that tinyrnn itself reports.

    Attributes
    ----------
    status : str
        The row of status.def, such as ``"CHECKSUM"``, where the engine reported the failure; else ``""``.
    node, field : str
        The operator, input, output, state or section concerned and the field of it, or ``""``.
    byte_offset : int or None
        Where in the file, for a file that could not be opened.
    """

    status = ""
    node = ""
    field = ""
    byte_offset = None


class ModelFormatError(TinyRNNError, ValueError):
    """The file is not a .trnn file, is damaged, or was written by a version this library cannot read."""


class UnsupportedError(TinyRNNError, NotImplementedError):
    """The model asks for something that tinyrnn does not do; the message names it."""


class ShapeError(TinyRNNError, ValueError):
    """A shape does not fit the model; the message says which one was expected."""


class ArgumentError(TinyRNNError, ValueError):
    """A name, a type or a number is not one that the call accepts; the message says what was expected."""


class BusyError(TinyRNNError, RuntimeError):
    """Another thread is inside this stream."""


class IndexRangeError(TinyRNNError, IndexError):
    """An index in the data points outside the tensor that it selects from."""


class StateError(TinyRNNError, ValueError):
    """Saved state does not belong to this model and batch size, or is damaged."""
