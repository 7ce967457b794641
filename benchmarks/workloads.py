# SPDX-License-Identifier: Apache-2.0
"""What is timed: networks of one cell and size, with their weights, their ONNX file and their input."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float32]]

GATES = {"lstm": 4, "gru": 3, "rnn": 1}  # in ONNX's order: LSTM i o f c, GRU z r h
CELLS = tuple(GATES)
CHECKED_STEPS = 64  # of a stream; elsewhere one call is checked


class Call(NamedTuple):
    """What one call computes: `steps` steps of `batch` rows, `carried` if the state goes on from call to call."""

    steps: int
    batch: int
    carried: bool
    what: str


SETS = {
    "step": Call(1, 1, True, "one step a call, the state goes on"),
    "seq": Call(100, 1, False, "a sequence of 100 steps, per step"),
    "batch": Call(50, 16, False, "16 sequences of 50 steps, per step of all 16"),
    "narrow": Call(64, 1, True, "one input, blocks of 64 samples, the state goes on, per sample"),
}
CORE = {"step": (16, 64, 128, 256, 512), "seq": (64, 256), "batch": (64, 256), "narrow": (8, 16, 40)}
SIZES = (16, 32, 64, 128, 256, 512, 1024)
ALL = {"step": SIZES, "seq": SIZES, "batch": SIZES, "narrow": (8, 12, 16, 24, 40)}


class LayerWeights(NamedTuple):
    """One layer in ONNX's layout, each float32: w (1, G*H, I), r (1, G*H, H), b (1, 2*G*H)."""

    w: Floats
    r: Floats
    b: Floats


@dataclass(frozen=True)
class Workload:
    """One network and the way it is called.

    Attributes
    ----------
    set : str
        Of SETS.
    cell : str
        Of CELLS.
    hidden, input, layers : int
    reset_after : bool
        Of a GRU: PyTorch's and Keras's form (ONNX: linear_before_reset = 1).
    """

    set: str
    cell: str
    hidden: int
    input: int
    layers: int = 1
    reset_after: bool = True

    @property
    def network(self) -> str:
        """The name of the weights: the same in every set."""
        parts = [self.cell, str(self.hidden)]
        if self.input != self.hidden:
            parts.append(f"i{self.input}")
        if self.layers > 1:
            parts.append(f"l{self.layers}")
        if self.cell == "gru" and not self.reset_after:
            parts.append("before")
        return "_".join(parts)

    @property
    def name(self) -> str:
        return f"{self.network}_{self.set}"

    @property
    def call(self) -> Call:
        return SETS[self.set]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def weights(self) -> list[LayerWeights]:
        """Uniform in 1 / sqrt(hidden), as PyTorch initialises them; the same numbers on every machine."""
        random = np.random.default_rng(zlib.crc32(self.network.encode()))
        rows = GATES[self.cell] * self.hidden

        def uniform(*shape: int) -> Floats:
            return (random.uniform(-1, 1, shape) / np.sqrt(self.hidden)).astype(np.float32)

        widths = [self.input] + [self.hidden] * (self.layers - 1)
        return [LayerWeights(uniform(1, rows, n), uniform(1, rows, self.hidden), uniform(1, 2 * rows)) for n in widths]

    def inputs(self) -> Floats:
        """What is checked, N(0, 1): (calls, steps, batch, input) float32. The first call is the one that is timed."""
        call = self.call
        calls = CHECKED_STEPS // call.steps if call.carried else 1
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        return random.standard_normal((calls, call.steps, call.batch, self.input)).astype(np.float32)

    def states(self) -> list[tuple[str, str]]:
        """The state inputs of the ONNX file and the outputs that feed them, layer by layer; each (1, batch, hidden)."""
        if not self.call.carried:
            return []
        kinds = "hc" if self.cell == "lstm" else "h"
        return [(f"{kind}{k}", f"{kind}{k}_next") for k in range(self.layers) for kind in kinds]

    def onnx(self, spelled_out: bool = False) -> Any:
        """Make the ONNX model: x (steps, batch, input) to y (steps, batch, hidden), and the states.

        Parameters
        ----------
        spelled_out : bool
            Give zero initial states as constants where the file has none, for readers that need them.

        Returns
        -------
        onnx.ModelProto
        """
        from onnx import TensorProto, checker, helper, numpy_helper

        call, operator = self.call, self.cell.upper()
        state = (1, call.batch, self.hidden)

        def value(name: str, shape: Sequence[int]) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        constants = {"axis": np.array([1], np.int64)}
        nodes, x = [], "x"
        for k, layer in enumerate(self.weights()):
            constants |= {f"W{k}": layer.w, f"R{k}": layer.r, f"B{k}": layer.b}
            wanted, given = [x, f"W{k}", f"R{k}", f"B{k}"], [f"Y{k}"]
            kinds = [f"{kind}{k}" for kind in ("hc" if self.cell == "lstm" else "h")]
            if call.carried:
                given += [f"{kind}_next" for kind in kinds]
            elif spelled_out:
                constants |= {kind: np.zeros(state, np.float32) for kind in kinds}
            if call.carried or spelled_out:
                wanted += ["", *kinds]
            more = {"linear_before_reset": int(self.reset_after)} if self.cell == "gru" else {}
            nodes.append(helper.make_node(operator, wanted, given, name=f"layer{k}", hidden_size=self.hidden, **more))
            x = f"x{k + 1}" if k + 1 < self.layers else "y"
            nodes.append(helper.make_node("Squeeze", [f"Y{k}", "axis"], [x]))
        graph = helper.make_graph(
            nodes,
            self.name,
            [value("x", (call.steps, call.batch, self.input)), *(value(a, state) for a, _ in self.states())],
            [value("y", (call.steps, call.batch, self.hidden)), *(value(b, state) for _, b in self.states())],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
        checker.check_model(model)
        return model


def of_set(name: str, cells: Iterable[str], sizes: Iterable[int], more: bool) -> list[Workload]:
    """The workloads of one set; `more`: two layers and an input of 40 too, where these are common."""
    if name == "narrow":
        cells = [cell for cell in cells if cell != "rnn"]
        return [Workload(name, c, size, 1, layers) for c in cells for size in sizes for layers in (1, 2)]
    found = []
    for cell in cells:
        for size in sizes:
            found.append(Workload(name, cell, size, size))
            if more and name == "step" and cell != "rnn" and 64 <= size <= 256:
                found += [Workload(name, cell, size, 40), Workload(name, cell, size, size, 2)]
    return found


def select(
    sets: Sequence[str] = ("core",),
    cells: Sequence[str] = CELLS,
    hidden: Sequence[int] | None = None,
    match: Sequence[str] = ("*",),
) -> list[Workload]:
    """Choose workloads.

    Parameters
    ----------
    sets : sequence of str
        Of SETS; or "core", a few sizes of each, or "all", all sizes of each.
    cells : sequence of str
        Of CELLS.
    hidden : sequence of int, optional
        Sizes instead of those of the sets.
    match : sequence of str
        Patterns, one of which a name must match.
    """
    core = "core" in sets
    sizes: Mapping[str, Sequence[int]] = CORE if core else ALL
    names = [name for name in SETS if core or "all" in sets or name in sets]
    found = [w for name in names for w in of_set(name, cells, hidden or sizes[name], not core)]
    return [w for w in found if any(fnmatchcase(w.name, pattern) for pattern in match)]
