# SPDX-License-Identifier: Apache-2.0
"""One engine in a process of its own, on one core: JSON commands from standard input, a JSON answer to each.

python -m benchmarks.worker ENGINE FOLDER CORE     (CORE: -1 leaves the choice to the system)
"""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from . import engines
from .workloads import Workload


class Worker:
    """Keeps one session at a time."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        self.session: engines.Session | None = None

    def load(self, workload: dict[str, Any]) -> dict[str, Any]:
        if self.session is not None:
            self.session.close()
        self.session = None
        gc.collect()
        self.session = engines.load(self.engine, Workload(**workload), self.folder)
        return {"isa": self.session.isa}

    def outputs(self, path: str) -> dict[str, Any]:
        assert self.session is not None
        np.save(path, self.session.outputs(self.session.workload.inputs()))
        return {}

    def time(self, count: int) -> dict[str, Any]:
        assert self.session is not None
        return self.session.time(count)._asdict()

    def each(self, count: int) -> dict[str, Any]:
        assert self.session is not None
        return self.session.each(count)._asdict()


def answer(worker: Worker, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Do one command; what goes wrong is an answer too."""
    try:
        return getattr(worker, command)(**arguments)
    except engines.SkipError as reason:
        return {"skipped": str(reason)}
    except Exception as error:  # whatever an engine raises is its result
        return {"failed": f"{type(error).__name__}: {error}"[:400]}


def main(engine: str, folder: str, core: str) -> None:
    # What an engine prints goes to standard error: standard output is for answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    if int(core) >= 0:
        os.sched_setaffinity(0, {int(core)})
    worker = Worker(engine, Path(folder))
    for line in sys.stdin:
        command, arguments = json.loads(line)
        print(json.dumps(answer(worker, command, arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
