"""Tasks side by side: what one makes is not made twice, and nobody waits for what he does not need."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from commands import TOYS
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.run.scheduling import Needs, map_by_need

needs = st.lists(st.frozensets(st.sampled_from("abcd"), max_size=2), max_size=9)


class Threads:
    """An executor whose workers are threads, so that a test can hold them up."""

    elsewhere = True

    def __init__(self, workers):
        self.workers = workers
        self.closed = threading.Event()
        self._pool = ThreadPoolExecutor(workers)

    def map(self, function, tasks):
        running = {self._pool.submit(function, task) for task in tasks}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)

    def close(self, *, wait=True):
        self.closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


@settings(max_examples=60, deadline=None)
@given(needs, st.randoms(use_true_random=False))
def test_every_task_starts_once_and_never_beside_another_that_makes_the_same(wanted, random):
    order, running, there, started = Needs(wanted), [], set(), []
    while True:
        for place in order.ready():
            for other in running:
                assert not (wanted[place] & wanted[other]) - there
            running.append(place)
            started.append(place)
        if not running:
            break
        done = running.pop(random.randrange(len(running)))
        order.finished(done)
        there |= wanted[done]
    assert sorted(started) == list(range(len(wanted)))


@settings(max_examples=30, deadline=None)
@given(needs)
def test_every_outcome_comes_with_its_place(wanted):
    executor = Threads(2)
    assert sorted(map_by_need(executor, str, range(len(wanted)), wanted)) == [
        (place, str(place)) for place in range(len(wanted))
    ]
    assert not executor.closed.is_set()
    executor.close()


def test_a_long_task_holds_up_only_those_that_need_what_it_makes():
    """``long`` is still at it when the other fit and both that read it are finished."""
    released = threading.Event()

    def task(name):
        if name == "long":
            assert released.wait(60)
        return name

    executor, come = Threads(2), []
    names = ["long", "reads long", "short", "reads short", "reads short too"]
    wanted = [frozenset(name.split()[1:2] or [name]) for name in names]
    for place, name in map_by_need(executor, task, names, wanted):
        assert names[place] == name
        come.append(name)
        if len(come) == 3:
            released.set()
    assert come[0] == "short"
    assert come[3:] == ["long", "reads long"]


def test_a_failure_is_raised_and_closes_the_executor():
    def task(number):
        if number == 1:
            raise OSError("no space")
        return number

    executor = Threads(1)
    with pytest.raises(OSError, match="no space"):
        list(map_by_need(executor, task, [0, 1, 2], [frozenset()] * 3))
    assert executor.closed.is_set()


SLOW = """
import time
from pathlib import Path
from toys import ToyEncoder

class Slow(ToyEncoder):
    def fit(self, *given, **named):
        Path("started").touch()
        time.sleep(600)
"""


def test_an_interrupted_suite_does_not_wait_for_the_cells_that_its_workers_are_at(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "suite.yaml").write_text(
        f'table: beside\nmetrics: [voxel-r]\nbenchmark: {{name: "{TOYS}:ToyBenchmark", n_test: 8}}\n'
        f'encoders: {{slow: {{encoder: "slow.py:Slow"}}, toy: {{encoder: "{TOYS}:ToyEncoder"}}}}\n'
    )
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("harness")), "experiment", "suite.yaml", "--workers", "2"],
        cwd=tmp_path,
        env={
            "HARNESS_STORE": str(tmp_path / "store"),
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(Path(TOYS).parent),
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Type the same command again" in errors.splitlines()[-1]
    assert "Traceback" not in errors
