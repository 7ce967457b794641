# SPDX-License-Identifier: Apache-2.0
"""tinyrnn as an adapter of the zoo's check.py: `python check.py visible --adapter zoo_adapter:run` from this folder."""

from __future__ import annotations

import numpy as np


def run(model_path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Convert, load and run a model once."""
    import tinyrnn
    from tinyrnn.converters import convert_bytes

    data, _ = convert_bytes(model_path)
    return tinyrnn.load(data).run(inputs)
