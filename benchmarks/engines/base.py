# SPDX-License-Identifier: Apache-2.0
"""What an adapter implements, and what several of them share."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from ..workloads import Floats, Workload

ROOT = Path(__file__).resolve().parent.parent.parent


class SkipError(Exception):
    """An engine cannot run a workload here; the message says why."""


class Timing(NamedTuple):
    """Nanoseconds, and how often another process took the core meanwhile."""

    ns: list[int]
    preempted: int


def preemptions() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


class Session:
    """One workload in one engine. An adapter sets the four methods that raise; the C level also sets the timing."""

    isa = ""  # the instruction set that was chosen, where an engine says

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    def feed(self, x: Floats) -> None:
        """Put the input of the next calls in place: (steps, batch, input) float32."""
        raise NotImplementedError

    def reset(self) -> None:
        """Go back to the zero state."""
        raise NotImplementedError

    def call(self) -> Any:
        """Compute: what is timed."""
        raise NotImplementedError

    def result(self, returned: Any) -> Any:
        """The output of a call as an array, from what the call returned: (steps, batch, hidden)."""
        raise NotImplementedError

    def outputs(self, xs: Floats) -> Floats:
        """Run call after call from the zero state: (calls, steps, batch, input) to (calls, steps, batch, hidden)."""
        self.reset()
        call = self.workload.call
        shape = (call.steps, call.batch, self.workload.hidden)
        ys = []
        for x in xs:
            self.feed(x)
            ys.append(np.array(self.result(self.call()), np.float32).reshape(shape))
        return np.stack(ys)

    def time(self, count: int) -> Timing:
        """`count` calls together: one number."""
        call, before = self.call, preemptions()
        start = perf_counter_ns()
        for _ in range(count):
            call()
        return Timing([perf_counter_ns() - start], preemptions() - before)

    def each(self, count: int) -> Timing:
        """`count` calls one by one: as many numbers, the clock's own 50 ns in each."""
        call, before, ns = self.call, preemptions(), []
        for _ in range(count):
            start = perf_counter_ns()
            call()
            ns.append(perf_counter_ns() - start)
        return Timing(ns, preemptions() - before)

    def close(self) -> None:
        """Let go of what Python does not free by itself."""


class Crosswise(Session):
    """What is bound to memory once, on two sides that take turns: the state that one writes is what the other reads."""

    def __init__(self, workload: Workload) -> None:
        super().__init__(workload)
        call = workload.call
        self.x = np.zeros((call.steps, call.batch, workload.input), np.float32)
        self.y = np.zeros((call.steps, call.batch, workload.hidden), np.float32)
        state = (1, call.batch, workload.hidden)
        self.sides = [[np.zeros(state, np.float32) for _ in workload.states()] for _ in range(2)]
        self.feed(workload.inputs()[0])

    def ports(self, side: int) -> tuple[list[tuple[str, Floats]], list[tuple[str, Floats]]]:
        """The inputs and the outputs of a side: (name, memory) each."""
        states, read, written = self.workload.states(), self.sides[side], self.sides[1 - side]
        inputs = [("x", self.x), *((a, s) for (a, _), s in zip(states, read))]
        return inputs, [("y", self.y), *((b, s) for (_, b), s in zip(states, written))]

    def feed(self, x: Floats) -> None:
        self.x[...] = x

    def reset(self) -> None:
        for side in self.sides:
            for state in side:
                state[...] = 0

    def result(self, returned: Any) -> Any:
        return self.y


def onnx_file(workload: Workload, folder: Path) -> Path:
    """The workload's ONNX file, written when it is not there yet."""
    path = folder / f"{workload.name}.onnx"
    if not path.exists():
        replace(path, workload.onnx().SerializeToString())
    return path


def replace(path: Path, content: bytes) -> None:
    """Write a file so that an interrupted run leaves none that is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)


def step_program() -> Path | None:
    """The C program that `make bench` builds, or the one that the environment names; None where there is none."""
    path = Path(os.environ.get("TINYRNN_BENCH_STEP", ROOT / "build" / "bench" / "step"))
    return path if path.is_file() else None
