# SPDX-License-Identifier: Apache-2.0
"""What a conversion raises: every problem of a model at once."""

from __future__ import annotations

from tinyrnn.errors import UnsupportedError


class ConversionError(UnsupportedError):
    """The model cannot be converted. The message lists every node that stands in the way.

    Attributes
    ----------
    problems : list of str
        One sentence for each problem: the node, what was found, what to do.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = list(problems)
        shown = self.problems[:50]
        if len(self.problems) > len(shown):
            shown.append(f"and {len(self.problems) - len(shown)} more")
        text = shown[0] if len(shown) == 1 else f"{len(self.problems)} problems:\n  " + "\n  ".join(shown)
        super().__init__(text)


class PoisonedError(Exception):
    """Raised inside a lowering: a node of its body cannot be converted, which is noted already."""


class NodeError(Exception):
    """Raised inside a lowering: why this node cannot be converted. Collected, then reported as ConversionError."""
