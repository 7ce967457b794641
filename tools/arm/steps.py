# SPDX-License-Identifier: Apache-2.0
"""Steps through the models of a folder and prints what they gave, as JSON: on this machine and on emulated ones.

Each file NAME.trnn has its frames beside it, in NAME.npy.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

import tinyrnn
from tinyrnn.cli.inspect import describe

if __name__ == "__main__":
    results = {}
    for path in sorted(Path(sys.argv[1]).glob("*.trnn")):
        about, stream = describe(path.read_bytes()), tinyrnn.load(path).stream()
        digest = hashlib.sha256()
        for frame in np.load(path.with_suffix(".npy")):
            digest.update(stream.step(frame).tobytes())
        results[path.stem] = {key: about[key] for key in ("promise", "isa", "multiply_add")} | {
            "digest": digest.hexdigest()
        }
    print(json.dumps(results))
