# SPDX-License-Identifier: Apache-2.0
"""Cases of the zoo: where they are, how one is judged, and a worker that judges many, each in a limited process.

python zoo.py NAME...     judges these cases, each forked under check.py's limits; one JSON line a case
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

SECONDS, BYTES = 20, 2 << 30
SHARED = Path(os.environ.get("TINYRNN_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))
VISIBLE = SHARED / "zoo" / "visible"


def names(prefix: str = "") -> list[str]:
    """The cases whose name begins with prefix; none where the zoo is missing."""
    return sorted(meta.parent.name for meta in VISIBLE.glob(f"{prefix}*/meta.json"))


def distance(got: np.ndarray, want: np.ndarray) -> float:
    """max |got - want| over max(1, max |want|); infinite when type, shape or the places of NaN and infinity differ."""
    got = np.asarray(got)
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    g, w = got.astype(np.float64).ravel(), want.astype(np.float64).ravel()
    finite = np.isfinite(w)
    if not np.array_equal(g[~finite], w[~finite], equal_nan=True) or not np.isfinite(g[finite]).all():
        return float("inf")
    return float(np.abs(g - w)[finite].max() / max(1.0, np.abs(w[finite]).max())) if finite.any() else 0.0


def meta_of(name: str) -> dict:
    return json.loads((VISIBLE / name / "meta.json").read_text())


def judge(name: str) -> dict:
    """Run a case here: {verdict: agrees, differs or refused, error, why}."""
    import zoo_adapter
    from tinyrnn.errors import TinyRNNError

    meta, io = meta_of(name), np.load(VISIBLE / name / "io.npz")
    worst = 0.0
    try:
        for run in range(max(1, meta["runs"])):
            prefix = f"r{run}_" if run else ""
            inputs = {n: io[f"{prefix}in{i}"] for i, n in enumerate(meta["in_names"])}
            got = zoo_adapter.run(str(VISIBLE / name / "model.onnx"), inputs)
            for i, n in enumerate(meta["out_names"]):
                answers = [io[k] for k in (f"{prefix}out{i}", f"{prefix}alt_out{i}") if k in io]
                worst = max(worst, min(distance(got[n], want) for want in answers))
    except (TinyRNNError, OSError) as error:
        return {"verdict": "refused", "why": f"{type(error).__name__}: {error}"}
    return {"verdict": "agrees" if worst <= meta["tolerance"] else "differs", "error": worst, "why": ""}


def limited(name: str) -> dict:
    """Judge a case in a child under the limits of check.py."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.alarm(SECONDS)
        try:
            result = judge(name)
        except BaseException as error:  # whatever it is, the parent reports it
            result = {"verdict": "error", "why": f"{type(error).__name__}: {error}"[:300]}
        os.write(write, json.dumps(result).encode()[:60000])
        os._exit(0)
    os.close(write)
    started = time.monotonic()
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        hung = os.WTERMSIG(status) == signal.SIGALRM
        result = {"verdict": "hang" if hung else "crash", "why": f"signal {os.WTERMSIG(status)}"}
    else:
        result = json.loads(text)
    return result | {"name": name, "seconds": round(time.monotonic() - started, 2)}


if __name__ == "__main__":
    for case in sys.argv[1:]:
        print(json.dumps(limited(case)), flush=True)
