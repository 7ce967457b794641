# SPDX-License-Identifier: Apache-2.0
"""Times engines beside each other: a worker process each, one working at a time, in short rounds that take turns.

What disturbs the machine for a second then disturbs all engines alike, and the median over rounds leaves it out. A
round in which another process took the core is done again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from . import engines, oracle
from .workloads import Workload

ROUND_NS = 2e6  # a round: short beside what the system gives a process at once, long beside the clock
WARM_SHARE = 0.1  # of a round, untimed, before it
SINGLES_SHARE = 0.5  # of a round, calls timed one by one after it
TRIES = 4
ROUNDS = (5, 150)  # at least, at most
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass
class Row:
    """What one engine did with one workload; times in nanoseconds a step.

    Attributes
    ----------
    workload, set, cell, hidden, input, layers, engine : as in Workload, and the engine's name
    status : str
        "measured", "skipped", "failed" or "wrong" (measured, but the answer is not within `TOLERANCE`).
    reason : str
        Why it is not measured.
    isa : str
        The instruction set that the engine chose, where it says.
    median_ns, min_ns : float
        Over rounds, of the mean call in a round.
    p99_ns : float
        Over calls that were timed one by one.
    error : float
        max |output - float64|.
    rounds, calls, disturbed : int
        Rounds, calls in each, rounds that another process disturbed in all tries.
    """

    workload: str
    set: str
    cell: str
    hidden: int
    input: int
    layers: int
    engine: str
    status: str = "measured"
    reason: str = ""
    isa: str = ""
    median_ns: float | None = None
    min_ns: float | None = None
    p99_ns: float | None = None
    error: float | None = None
    rounds: int = 0
    calls: int = 0
    disturbed: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value not in (None, "")}


# Beyond it an answer is wrong: rounding stays a hundred times below, 8 bits three times.
TOLERANCE = {"float32": 1e-3, "int8": 0.05}


def free_core() -> int:
    """The core to work on: the last that this process may use, as the first serves most interrupts; -1 for any."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else -1


class Process:
    """The parent's side of a worker, which is started when first asked, and again after it died."""

    def __init__(self, engine: str, folder: Path, core: int, log: TextIO) -> None:
        self.engine, self.folder, self.core, self.log = engine, folder, core, log
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", self.engine, str(self.folder), str(self.core)],
            cwd=engines.ROOT,
            env={**os.environ, **ONE_THREAD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent, which ends its workers
        )

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer of the worker, {"failed": reason} when it died."""
        if self.process is None or self.process.poll() is not None:
            self.process = self.start()
        process: Any = self.process
        with suppress(BrokenPipeError):  # of a process that has just ended: it then answers nothing
            process.stdin.write(json.dumps([command, arguments]) + "\n")
            process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            return {"failed": f"its process ended with status {process.wait()}"}
        return json.loads(line)

    def stop(self) -> None:
        """End the worker: by itself when it is idle, by force when it is not."""
        process: Any = self.process
        if process is None:
            return
        try:
            process.stdin.close()
            process.wait(timeout=2)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        process.stdout.close()
        self.process = None


class StoppedError(Exception):
    """An engine stopped in the middle: its answer says why."""


@dataclass
class Contest:
    """One engine on one workload, while it is measured."""

    process: Process
    row: Row
    steps: int  # in a call
    calls: int = 1
    rounds: int = ROUNDS[0]
    means: list[float] = field(default_factory=list)
    singles: list[int] = field(default_factory=list)

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        answer = self.process.ask(command, **arguments)
        for status in ("skipped", "failed"):
            if status in answer:
                self.row.status, self.row.reason = status, answer[status]
                raise StoppedError
        return answer

    def load(self, workload: Workload) -> None:
        self.row.isa = self.ask("load", workload=workload.to_dict())["isa"]

    def check(self, right: oracle.Doubles, scratch: Path) -> None:
        """Compare the outputs with float64; they come through a file in the folder `scratch`."""
        path = scratch / "outputs.npy"
        self.ask("outputs", path=str(path))
        given = np.load(path).astype(np.float64)
        self.row.error = float(np.abs(given - right).max()) if np.isfinite(given).all() else float("inf")
        if self.row.error > TOLERANCE[engines.precision(self.process.engine)]:
            self.row.status = "wrong"

    def fit(self, seconds: float) -> None:
        """Find how many calls make a round, and how many rounds take about so many seconds."""
        self.ask("time", count=1)  # the first call touches memory and chooses kernels
        count = 1
        while (ns := self.ask("time", count=count)["ns"][0]) < ROUND_NS / 4:
            count *= 4
        # What disturbs this would make all rounds too short: weights come from far away in the first calls of a round.
        ns = min(ns, *(self.ask("time", count=count)["ns"][0] for _ in range(3)))
        self.calls = max(1, round(ROUND_NS * count / ns))
        a_round = self.calls * ns / count * (1 + SINGLES_SHARE) + self.warm * ns / count
        self.rounds = int(min(max(seconds * 1e9 / a_round, ROUNDS[0]), ROUNDS[1]))

    @property
    def warm(self) -> int:
        """Untimed calls before a round: they bring the weights back into the caches that the others have used."""
        return max(1, int(self.calls * WARM_SHARE))

    def undisturbed(self, command: str, count: int) -> tuple[list[int], bool]:
        """Ask until no other process took the core; else the quickest try, and True."""
        tries = []
        # An engine that computes in a thread of its own gives the core away in every round.
        always = self.row.disturbed == len(self.means) >= TRIES
        for _ in range(1 if always else TRIES):
            answer = self.ask(command, count=count)
            if not answer["preempted"]:
                return answer["ns"], False
            tries.append(answer["ns"])
        return min(tries, key=sum), True

    def play(self) -> None:
        """Do one round."""
        singles = int(self.calls * SINGLES_SHARE)
        self.ask("time", count=self.warm)
        ns, disturbed = self.undisturbed("time", self.calls)
        self.means.append(ns[0] / self.calls)
        self.row.disturbed += disturbed
        self.singles += self.undisturbed("each", min(singles, 200))[0] if singles else ns

    def finish(self) -> None:
        """Fill the row in from what was measured."""
        if not self.means:
            return
        self.row.median_ns = float(np.median(self.means)) / self.steps
        self.row.min_ns = min(self.means) / self.steps
        self.row.p99_ns = float(np.percentile(self.singles, 99)) / self.steps
        self.row.rounds, self.row.calls = len(self.means), self.calls


def prepare(contests: Iterable[Contest], workload: Workload, seconds: float, scratch: Path) -> list[Contest]:
    """Load the workload everywhere and check it; return those that can be timed."""
    right = oracle.outputs(workload)
    ready = []
    for contest in contests:
        with suppress(StoppedError):
            contest.load(workload)
            if contest.process.engine in engines.TABLE:
                contest.check(right, scratch)
            contest.fit(seconds)
            ready.append(contest)
    return ready


def measure(workload: Workload, processes: Iterable[Process], seconds: float, scratch: Path) -> list[Row]:
    """Measure one workload in all engines.

    Parameters
    ----------
    workload : Workload
    processes : iterable of Process
    seconds : float
        About how long each engine is timed.
    scratch : Path
        A folder for files that nobody else needs.

    Returns
    -------
    list of Row
        In the order of the processes.
    """
    contests = []
    for process in processes:
        w = workload
        row = Row(w.name, w.set, w.cell, w.hidden, w.input, w.layers, process.engine)
        contests.append(Contest(process, row, workload.call.steps if process.engine in engines.TABLE else 1))
    ready = prepare(contests, workload, seconds, scratch)
    for k in range(max((contest.rounds for contest in ready), default=0)):
        for contest in [*ready[k % len(ready) :], *ready[: k % len(ready)]]:  # nobody always follows the same one
            if k < contest.rounds and contest.row.status != "failed":
                with suppress(StoppedError):
                    contest.play()
    for contest in ready:
        contest.finish()
    return [contest.row for contest in contests]
