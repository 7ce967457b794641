# SPDX-License-Identifier: Apache-2.0
"""Models and streams: what `tinyrnn.load` returns, on the handles of `_core`."""

from __future__ import annotations

from tinyrnn import _core
from tinyrnn.errors import ArgumentError

# For the type checker alone: typing and os.PathLike would cost more to import than the engine.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import PathLike
    from typing import Any

    from typing_extensions import Buffer

    from tinyrnn.states import States


class Port:
    """An input, an output or a state of a model.

    Attributes
    ----------
    name : str
    dtype : str
        NumPy's name for its type, such as ``"float32"``.
    shape : tuple of int, str or None
        A number, a symbol's name (``"batch"``, ``"time"``), or None for a size computed from symbols.
    time_axis, batch_axis : int or None
        Which axis of the shape is the time or the batch.
    state : str or None
        Of an input or output: the state that it starts or shows. Of a state: the input that starts it.
    """

    __slots__ = ("batch_axis", "dtype", "name", "shape", "state", "time_axis")

    def __init__(
        self,
        name: str,
        dtype: str,
        shape: tuple[int | str | None, ...],
        time_axis: int,
        batch_axis: int,
        state: str | None,
    ) -> None:
        self.name, self.dtype, self.shape, self.state = name, dtype, shape, state
        self.time_axis = time_axis if time_axis >= 0 else None
        self.batch_axis = batch_axis if batch_axis >= 0 else None

    def __repr__(self) -> str:
        shape = ", ".join("?" if dim is None else str(dim) for dim in self.shape)
        tied = f", state={self.state!r}" if self.state is not None else ""
        return f"Port({self.name!r}, {self.dtype}[{shape}]{tied})"

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dict that json can write."""
        return {name: getattr(self, name) for name in ("name", "dtype", "shape", "time_axis", "batch_axis", "state")}


BoundStep = _core.BoundStep


class Stream(_core.Stream):
    """The state of one sequence, or of `batch` of them in lockstep, as it goes by.

    Made by `Model.stream`. One thread at a time; a second one gets `BusyError`.
    """

    __slots__ = ()

    @property
    def states(self) -> States:
        """The states by name: reading gives a copy, float32; writing takes an array of the same shape."""
        from tinyrnn.states import States

        return States(self)

    def __repr__(self) -> str:
        return f"Stream({self.model!r}, batch={self.batch})"


class Model(_core.Model):
    """A trained network, immutable: any number of threads may run it and its streams at once.

    Parameters
    ----------
    source : str, path or bytes
        A .trnn file, which is mapped into memory, or its bytes.
    verify : bool
        Also check the checksum of the weights, which reads the whole file once.
    """

    __slots__ = ()

    def stream(self, batch: int = 1, *, block: int = 0, sizes: dict[str, int] | None = None) -> Stream:
        """Make a stream, in the initial state.

        Parameters
        ----------
        batch : int
            Sequences that run in lockstep.
        block : int
            Steps that `Stream.run` computes at once (memory grows with it); 0 leaves the choice to the engine.
        sizes : dict, optional
            Values of dimensions other than batch and time that the model leaves open; without them the first step
            or run says what they are.

        Raises
        ------
        UnsupportedError
            The model looks at the future; the message names the node.
        ShapeError
            The model has no batch axis and batch is not 1.
        """
        return Stream(self, batch, block, self._symbols(sizes))

    def _symbols(self, sizes: dict[str, int] | None) -> list[int] | None:
        if not sizes:
            return None
        known = self._describe()
        for name in sizes:
            if name not in known["symbols"] or name in (known["time"], known["batch"]):
                open_ones = [s for s in known["symbols"] if s not in (known["time"], known["batch"])]
                raise ArgumentError(f"sizes: there is no open dimension {name!r}; found {open_ones}")
        return [sizes.get(name, -1) for name in known["symbols"]]

    def _port_list(self, kind: str, others: str) -> list[Port]:
        names = [row[0] for row in self._ports(others)]
        return [Port(*row[:5], None if row[5] is None else names[row[5]]) for row in self._ports(kind)]

    @property
    def inputs(self) -> list[Port]:
        """The inputs, in the order of the ONNX graph."""
        return self._port_list("input", "state")

    @property
    def outputs(self) -> list[Port]:
        """The outputs, in the order of the ONNX graph."""
        return self._port_list("output", "state")

    @property
    def states(self) -> list[Port]:
        """What a stream carries from one step to the next."""
        return self._port_list("state", "input")

    @property
    def streamable(self) -> bool:
        """Whether `stream` works: the graph looks only at the past."""
        return bool(self._describe()["streamable"])

    @property
    def reason(self) -> str:
        """Why the model is not streamable, or an empty string."""
        return str(self._describe()["reason"])

    @property
    def isa(self) -> str:
        """The instruction set whose kernels were chosen when the model was loaded, such as ``"avx2"``."""
        return str(self._describe()["isa"])

    @property
    def metadata(self) -> dict[str, str]:
        """The notes in the file: producer, hash of the source, recipe of the conversion."""
        return dict(self._metadata())

    def memory(self, batch: int = 1, time: int | None = None, *, sizes: dict[str, int] | None = None) -> dict[str, int]:
        """Return the bytes that the model takes while it runs.

        Parameters
        ----------
        batch : int
            Rows of the batch.
        time : int, optional
            Steps of a whole sequence, as `run` computes it; without it, what a stream takes.
        sizes : dict, optional
            Values of dimensions other than batch and time that the model leaves open.

        Returns
        -------
        dict
            ``weights`` and ``structure`` (in the file, shared by all streams), ``state``, ``plan`` and ``arena`` of
            one stream, and ``stream``, their sum up to alignment.
        """
        about = self._describe()
        symbols = self._symbols(sizes)
        if time is not None:
            given = {about["time"]: time, about["batch"]: batch, **(sizes or {})}
            symbols = [given.get(name, -1) for name in about["symbols"]]
        state, plan, arena, total = self._memory(batch, symbols, time is not None)
        return {
            "weights": about["weights_size"],
            "structure": about["structure_size"],
            "state": state,
            "plan": plan,
            "arena": arena,
            "stream": total,
        }

    def __repr__(self) -> str:
        def names(ports: list[Port]) -> str:
            return ", ".join(
                f"{p.name}: {p.dtype}[{', '.join('?' if d is None else str(d) for d in p.shape)}]" for p in ports
            )

        return f"Model({names(self.inputs)} -> {names(self.outputs)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._bytes(),)


def load(source: str | PathLike[str] | Buffer, verify: bool = False) -> Model:
    """Load a model.

    Parameters
    ----------
    source : str, path or bytes-like
        A .trnn file, which is mapped into memory and must not be written to while the model lives, or its bytes.
    verify : bool
        Also check the checksum of the weights, which reads the whole file once. The structure is always checked.

    Returns
    -------
    Model

    Raises
    ------
    ModelFormatError
        The file is not a .trnn file, is damaged or of a version that this library cannot read.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import tinyrnn
    >>> tinyrnn.load(b"not a model")
    Traceback (most recent call last):
        ...
    tinyrnn.errors.ModelFormatError: ...
    """
    return Model(source, verify)
