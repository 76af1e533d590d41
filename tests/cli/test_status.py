"""``harness status``: who lives, who is at what, who is gone, and what happened."""

from __future__ import annotations

import contextlib
import threading

from click.testing import CliRunner
from local_workers import eventually, naps, pool

from harness.cli import status
from harness.cli.main import cli
from harness.errors import WorkerDied
from harness.storage.spool import Spool


def shown(store, *words: str) -> str:
    done = CliRunner().invoke(cli, ["status", "--store", str(store), *words], catch_exceptions=False)
    return done.output


def test_a_run_is_seen_while_it_goes_on_and_when_it_is_over(tmp_path, monkeypatch):
    assert "no run on a cluster has used the store" in shown(tmp_path)
    executor = pool(tmp_path, workers=2)

    def one_nap() -> None:
        with contextlib.suppress(WorkerDied):  # it is closed in the middle
            list(executor.map(naps, [30.0]))

    thread = threading.Thread(target=one_nap)
    thread.start()
    spool = Spool(tmp_path / "jobs" / "a")
    eventually(lambda: any(worker.task == 1 for worker in spool.workers()))
    eventually(lambda: len(spool.workers()) == 2)
    text = shown(tmp_path)
    for words in ("toy on local", "goes on", "1 under way", "is at task 1", "waits for a task"):
        assert words in text
    assert "no sign of life" not in text
    for process in executor._launcher.processes.values():
        process.kill()
        process.wait()
    monkeypatch.setattr(status, "_watched_for", lambda: 0.0)
    assert "when last seen, is at task 1" in shown(tmp_path)
    executor.close(wait=False)
    thread.join()
    assert "toy on local" in shown(tmp_path)
    assert "is over" in shown(tmp_path, "--all")
    assert "workers w0, w1 were started" in shown(tmp_path)
