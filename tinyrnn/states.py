# SPDX-License-Identifier: Apache-2.0
"""The states of a stream as a mapping by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tinyrnn.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

    from tinyrnn.model import Stream


class States(Mapping[str, "np.ndarray"]):
    """The states of a stream: ``states[name]`` is a copy, float32; ``states[name] = x`` writes."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._index = {row[0]: i for i, row in enumerate(stream.model._ports("state"))}

    def _find(self, name: str) -> int:
        if name not in self._index:
            raise KeyError(f"there is no state {name!r}; the states are {list(self._index)}")
        return self._index[name]

    def __getitem__(self, name: str) -> np.ndarray:
        return self._stream._state_get(self._find(name))

    def __setitem__(self, name: str, value: object) -> None:
        self._stream._state_set(self._find(name), name, value)

    def __delitem__(self, name: str) -> None:
        raise ArgumentError("a state cannot be deleted; reset() takes the stream back to its initial state")

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"States({', '.join(f'{name}: {self._stream._state_shape(i)}' for name, i in self._index.items())})"
