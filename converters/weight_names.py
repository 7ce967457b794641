# SPDX-License-Identifier: Apache-2.0
"""By which names of the ONNX graph people know the operators that hold weights: nodes, and initializers they read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from .onnx_model import OnnxModel, OnnxNode

#: The inputs that can be weights, by operator.
_PLACES = {
    **dict.fromkeys(("RNN", "LSTM", "GRU"), (1, 2)),
    **dict.fromkeys(("Conv", "FusedConv", "ConvTranspose", "CausalConvWithState"), (1,)),
    **dict.fromkeys(("MatMul", "Gemm", "FusedMatMul", "FusedGemm"), (0, 1)),
    "Einsum": (0, 1, 2, 3),
    "Gather": (0,),
}


class WeightNames:
    """For the name of an engine operator: the ONNX nodes it came from, and the initializers that hold their weights."""

    def __init__(self, model: OnnxModel) -> None:
        self._known: dict[str, set[str]] = defaultdict(set)
        self._walk(model.nodes, {name: frozenset([name]) for name in model.constants})

    def of(self, name: str) -> set[str]:
        """Its own name, the names of the nodes it was made of, and those of their weights."""
        parts = name.split("+")
        # A name may hold the sign too: the nodes are those whose names are parts of it, several together as well.
        ends = [(i, j) for i in range(len(parts)) for j in range(i + 1, min(i + 8, len(parts)) + 1)]
        found = {name}
        for i, j in ends:
            found |= self._known.get("+".join(parts[i:j]), set())
        return found

    def _walk(self, nodes: list[OnnxNode], origins: Mapping[str, frozenset[str]]) -> None:
        """Constants that are computed from others count as these."""
        known = dict(origins)
        for node in nodes:
            for body in node.bodies:
                self._walk(body.nodes, known | {name: frozenset([name]) for name in body.constants})
            given = [n for n in node.inputs if n]
            if given and not node.bodies and all(n in known for n in given):
                known.update((n, frozenset().union(*(known[m] for m in given))) for n in node.outputs if n)
            name = node.name or (node.outputs[0] if node.outputs else node.op)
            places = [i for i in _PLACES.get(node.op, ()) if i < len(node.inputs)]
            weights = [known.get(node.inputs[i], frozenset()) for i in places]
            self._known[name] |= {name}.union(*weights)
