"""Worker processes: progress that is heard here, calls side by side, and what a failure stops."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.errors import DataError, WorkerDied
from harness.progress import listening, track
from harness.storage.executors import THREADS, Inline, side_by_side
from harness.storage.processes import Processes


@pytest.fixture(scope="module")
def two():
    executor = Processes(2)
    yield executor
    executor.close()


def counted(number: int) -> int:
    return sum(track(range(number), "ä" * 300))


def failing(text: str) -> None:
    raise DataError(text)


def variable(name: str) -> str | None:
    return os.environ.get(name)


def asleep(seconds: float) -> None:
    time.sleep(seconds)


def test_what_a_worker_says_reaches_whoever_handed_out_its_task(two):
    heard, ended = [], threading.Event()

    def hear(what, done, total):
        heard.append((what, done, total))
        if done == total:
            ended.set()

    with listening(hear):
        assert list(two.map(counted, [5])) == [10]
    assert ended.wait(30)
    assert heard[0] == ("ä" * 60, 0, 5)
    assert heard[-1] == ("ä" * 60, 5, 5)


def test_a_listener_that_fails_stops_no_worker(two):
    def fail(*report):
        raise ValueError

    with listening(fail):
        assert list(two.map(counted, [3] * 40)) == [3] * 40


def test_a_worker_starts_with_one_thread_in_every_library(two):
    assert "OMP_NUM_THREADS" in THREADS
    assert list(two.map(variable, THREADS)) == ["1"] * len(THREADS)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_calls_side_by_side_give_what_they_give_one_after_the_other(two, where):
    executor = Inline() if where == "here" else two
    heard = {"first": [], "second": []}

    def call(name, number):
        with listening(lambda *report: heard[name].append(report)):
            return list(executor.map(counted, [number]))

    answers = side_by_side(executor, lambda: call("first", 3), lambda: call("second", 4))
    assert answers == [[3], [6]]


def test_calls_go_on_at_once_only_where_tasks_run_elsewhere(two):
    met = threading.Barrier(2, timeout=30)
    side_by_side(two, met.wait, met.wait)
    threads = []
    side_by_side(Inline(), *[lambda: threads.append(threading.current_thread())] * 2)
    assert set(threads) == {threading.main_thread()}


def test_a_failure_stops_what_goes_on_beside_it():
    executor = Processes(2)
    began = time.monotonic()
    with pytest.raises(DataError, match="broken"):
        side_by_side(
            executor,
            lambda: list(executor.map(asleep, [600])),
            lambda: list(executor.map(failing, ["broken"])),
        )
    executor.close()
    assert time.monotonic() - began < 300


def test_a_pool_that_is_stopped_lets_go_of_whoever_waits_for_it():
    """Also of those whose task no worker has begun: an interrupted run would never end."""
    executor, handed_out = Processes(1), threading.Semaphore(0)

    def one_task():
        yield 600
        handed_out.release()

    def wait_for_it():
        with contextlib.suppress(WorkerDied):
            list(executor.map(asleep, one_task()))

    waiting = [threading.Thread(target=wait_for_it, daemon=True) for _ in range(5)]
    for thread in waiting:
        thread.start()
        assert handed_out.acquire(timeout=30)
    executor.close(wait=False)
    for thread in waiting:
        thread.join(30)
        assert not thread.is_alive()


KILLED = """
import time
import numpy as np
from harness.storage.processes import Processes

if __name__ == "__main__":
    executor = Processes(1)
    shared = executor.share(np.zeros(9))
    assert list(executor.map(abs, [-1])) == [1]
    print(shared.file, flush=True)
    time.sleep(600)
"""


def test_what_a_killed_run_shared_with_its_workers_goes_with_them(tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "killed.py")], stdout=subprocess.PIPE, text=True
    )
    file = Path(process.stdout.readline().strip())
    assert file.exists()
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    while file.parent.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not file.parent.exists()
    process.stdout.close()
