"""Workers on other machines: nothing is lost or wrong when one is killed, stopped, too slow or forged."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import HELPERS
from local_workers import (
    LocalLauncher,
    always_killed,
    eventually,
    fails,
    killed_once,
    naps,
    pid,
    pool,
    says_how_far,
    squared,
    stopped_once,
    time_of,
    with_a_network,
)

from harness.errors import DataError, HarnessError, PluginError, WorkerDied
from harness.progress import listening
from harness.storage import spool_worker
from harness.storage.pooled import Pooled
from harness.storage.spool import LOG, Spool


@pytest.fixture
def opened(tmp_path):
    """``opened(…)`` is :func:`pool` in this test's folder, closed at the end."""
    pools = []

    def make(**given):
        pools.append(pool(tmp_path, **given))
        return pools[-1]

    yield make
    for opened_pool in pools:
        opened_pool.close(wait=False)


def log_of(tmp_path: Path) -> str:
    return (tmp_path / "jobs" / "a" / LOG).read_text()


def test_a_cluster_that_is_gone_when_a_run_is_over_ends_it_without_a_word(tmp_path, monkeypatch):
    class Gone(LocalLauncher):
        def alive(self):
            raise WorkerDied("nobody answers")

    executor = Pooled(Gone(), 1, tmp_path / "jobs" / "a", name="toy")
    assert list(executor.map(squared, [3])) == [9]
    monkeypatch.setattr(Spool, "claimed", lambda spool: [(1, "w0")])
    executor.close()


def test_nothing_is_started_before_there_is_a_task(tmp_path, opened):
    opened().close()
    assert not (tmp_path / "jobs").exists()


def test_tasks_come_back_and_leave_logs_alone(tmp_path, opened):
    executor = opened(workers=2)
    assert sorted(executor.map(squared, range(20))) == [n**2 for n in range(20)]
    assert len(set(executor.map(pid, range(3)))) <= 2, "workers stay from one map to the next"
    shared = executor.share(np.arange(3))
    assert shared.load().tolist() == [0, 1, 2]
    executor.close()
    assert "was started" not in log_of(tmp_path).partition("\n")[2]
    assert {entry.name for entry in (tmp_path / "jobs" / "a").iterdir()} == {
        *("closed", "driver.json", "workers", LOG)
    }
    assert all(worker.ended for worker in Spool(tmp_path / "jobs" / "a").workers())


def test_a_network_is_loaded_once_by_each_worker(tmp_path, opened):
    notes = tmp_path / "notes"
    executor = opened(workers=2)
    pids = {pid for _ in range(2) for pid in executor.map(with_a_network, [str(notes)] * 8)}
    assert len(notes.read_text().splitlines()) == len(pids) <= 2


def test_a_run_that_was_killed_leaves_no_arrays_behind(tmp_path, opened):
    killed, alive = (Spool(tmp_path / "jobs" / name) for name in ("killed", "alive"))
    for spool, process in ((killed, 2**22 + 1), (alive, os.getpid())):
        spool.create()
        spool.write_driver({"host": socket.gethostname(), "pid": process})
        (spool.folder / "shared" / "1.npy").write_bytes(b"large")
        spool.note("was here")
    assert list(opened().map(squared, [2])) == [4]
    assert not (killed.folder / "shared").exists()
    assert killed.log()
    assert (alive.folder / "shared" / "1.npy").exists()


def test_a_cluster_that_takes_no_worker_is_an_error_each_time(tmp_path):
    class Refusing(LocalLauncher):
        def start(self, workers):
            raise HarnessError("no such partition")

    executor = Pooled(Refusing(), 1, tmp_path / "jobs" / "a", name="toy")
    for _ in range(2):  # as from two branches of a run
        with pytest.raises(HarnessError, match="no such partition"):
            list(executor.map(squared, [1]))
    executor.close(wait=False)
    assert list((tmp_path / "jobs").iterdir()) == []


def test_progress_and_warnings_are_heard_and_errors_are_what_they_were(opened, caplog):
    executor = opened()
    heard: list[tuple[str, int, int]] = []
    with listening(lambda *words: heard.append(words)):
        assert list(executor.map(says_how_far, [5])) == [5]
    assert {words[0] for words in heard} == {"stage 1"}
    assert {words[2] for words in heard} == {5}
    assert "task 5 is odd" in caplog.text
    for task, kind, message in (
        ("data", DataError, "no such voxel"),
        ("zero", ZeroDivisionError, "0"),
        ("exit", PluginError, "a plugin ends the run: it calls sys.exit"),
        ("unreadable", PluginError, "no other process can read: Unreadable: a"),
    ):
        with pytest.raises(kind, match=message):
            list(executor.map(fails, [task]))
    assert list(executor.map(squared, [3])) == [9], "the worker goes on"


def test_what_a_worker_cannot_read_is_an_error_and_no_death(opened):
    executor = opened(PYTHONPATH="")
    with pytest.raises(ImportError, match="local_workers"):
        list(executor.map(squared, [3]))


def test_an_answer_waits_for_space_on_a_full_disk(tmp_path, monkeypatch, caplog):
    spool = Spool(tmp_path / "a", b"secret")
    spool.create()
    spool.hand_out(1, (squared, 3))
    answer, tries = Spool.answer, []

    def on_a_full_disk(self, *given):
        tries.append(given)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        answer(self, *given)
        self.close()

    monkeypatch.setattr(Spool, "answer", on_a_full_disk)
    monkeypatch.setattr(spool_worker, "BEAT", 0.01)
    assert spool_worker.Worker(str(spool.folder), "w0", b"secret")() == 1
    assert spool.collect(1) == (True, (9, []))
    assert "the answer to task 1 cannot be written" in caplog.text


def test_a_killed_worker_costs_its_task_alone_and_the_log_says_so(tmp_path, opened, caplog):
    executor = opened(workers=2)
    tasks = [(str(tmp_path / "mark"), number) for number in range(6)]
    assert sorted(executor.map(killed_once, tasks)) == [n**2 for n in range(6)]
    line = "ended in the middle of a task; task 2 is computed again by another one"
    assert line in caplog.text
    assert line in log_of(tmp_path)
    assert "1 of 2 workers are gone; w2 take their place" in log_of(tmp_path)


@pytest.mark.cluster
def test_a_node_that_hangs_loses_its_task_and_may_come_back(tmp_path, opened):
    executor = opened(workers=2, lost_after=2.0)
    tasks = [(str(tmp_path / "mark"), number) for number in range(6)]
    assert sorted(executor.map(stopped_once, tasks)) == [n**2 for n in range(6)]
    assert "gave no sign of life for 2 s; task 2 is computed again" in log_of(tmp_path)
    for process in executor._launcher.processes.values():
        process.send_signal(signal.SIGCONT)
    # It finishes what another one finished too, and both are as good.
    eventually(lambda: "gives signs of life again" in log_of(tmp_path))
    assert sorted(executor.map(squared, range(4))) == [0, 1, 4, 9]


@pytest.mark.cluster
def test_a_task_that_kills_whoever_takes_it_ends_the_run(tmp_path, opened):
    executor = opened(lost_after=1.0)
    with pytest.raises(WorkerDied, match=r"3 workers died over one task .* run the same command again"):
        list(executor.map(always_killed, [0]))


@pytest.mark.cluster
def test_a_clock_that_is_wrong_changes_nothing(tmp_path, opened):
    """A worker whose clock is a day behind, and gives its files such times, is neither lost nor slower."""
    executor = opened(
        lost_after=6.0, PYTHONPATH=f"{HELPERS / 'skewed_clock'}{os.pathsep}{HELPERS}", SKEW="-86400"
    )
    (when,) = executor.map(time_of, [0])
    assert when < time.time() - 80_000
    assert list(executor.map(naps, [8.0])) == [8.0]
    assert "sign of life" not in log_of(tmp_path)


DRIVER = """
import sys
from pathlib import Path
from local_workers import pool, squared
executor = pool(Path(sys.argv[1]), patience=2.0)
print(list(executor.map(squared, [2])), executor._launcher.processes["w0"].pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.cluster
def test_workers_go_home_when_the_run_was_killed(tmp_path):
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HELPERS)},
    )
    words = driver.stdout.readline().split()
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert words[0] == "[4]"
    spool = Spool(tmp_path / "jobs" / "a")
    eventually(lambda: all(worker.ended for worker in spool.workers()))
