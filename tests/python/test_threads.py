# SPDX-License-Identifier: Apache-2.0
"""Threads: any number in a model, one in a stream; and who holds the GIL."""

from __future__ import annotations

import sys
import threading
import time

import numpy as np
import pytest

import handmade
import tinyrnn


@pytest.fixture(scope="module")
def model():
    return tinyrnn.load(handmade.lstm(16, 32)[0])


def sequence(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def together(count, work):
    """Run work(i) in threads; raise what any of them raised."""
    errors, barrier = [], threading.Barrier(count)

    def body(i):
        try:
            barrier.wait()
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_concurrent_runs_of_one_model(model):
    inputs = [sequence(5 + i % 3 * 40, 1 + i % 2, 16, seed=i) for i in range(8)]
    want = [model.run(x).tobytes() for x in inputs]

    def work(i):
        for _ in range(50):
            assert model.run(inputs[i]).tobytes() == want[i]

    together(8, work)


def test_concurrent_streams_of_one_model(model):
    x = sequence(200, 1, 16)
    want = model.run(x).tobytes()

    def work(i):
        stream = model.stream()
        assert b"".join(stream.step(frame).tobytes() for frame in x) == want

    together(4, work)


def test_the_second_thread_in_a_stream_gets_an_error(model):
    stream, started, seen = model.stream(batch=4), threading.Event(), []
    long = np.zeros((200_000, 4, 16), np.float32)

    def work():
        started.set()
        seen.append(stream.run(long).shape)

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()
    busy, calls = [], (lambda: stream.step(long[0]), lambda: stream.run(long[:1]), stream.save, stream.reset)
    while thread.is_alive():
        for call in calls:
            try:
                call()
            except tinyrnn.BusyError as error:
                busy.append(str(error))
        time.sleep(0.001)
    thread.join()
    assert len(busy) > 3
    assert all("another thread is inside this stream" in text for text in busy)
    assert seen == [(200_000, 4, 32)]


def test_a_run_lets_other_threads_go_on(model):
    long, ticks = np.zeros((100_000, 4, 16), np.float32), []
    done = threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    interval = sys.getswitchinterval()
    thread.start()
    start = time.perf_counter()
    model.run(long)
    took = time.perf_counter() - start
    done.set()
    thread.join()
    inside = [t for t in ticks if start < t < start + took]
    assert sys.getswitchinterval() == interval
    assert len(inside) > took / 0.02  # held throughout, there would be one or two


def test_a_large_step_lets_other_threads_go_on():
    large = tinyrnn.load(handmade.lstm(512, 512)[0])
    stream, x, done, ticks = large.stream(), np.zeros(512, np.float32), threading.Event(), []
    out = np.empty(512, np.float32)

    def tick():
        while not done.is_set():
            ticks.append(1)
            time.sleep(0)

    thread = threading.Thread(target=tick)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(10.0)  # so that only a step that lets go lets the other in
    try:
        thread.start()
        before = len(ticks)
        for _ in range(10_000):  # as many as a busy machine needs; a second or two, far from the interval
            stream.step(x, out=out)
            if len(ticks) - before > 30:
                break
        after = len(ticks)
    finally:
        sys.setswitchinterval(interval)
        done.set()
        thread.join()
    assert after - before > 30
