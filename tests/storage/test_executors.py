"""Worker processes that die, and plugins that exit in tasks."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from harness.errors import PluginError, WorkerDied
from harness.storage.executors import Inline
from harness.storage.opening import open_executor


def killed_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def exits(number: int) -> int:
    sys.exit(0)


def ends(number: int) -> int:
    raise BaseException("the end")


def test_a_worker_that_is_killed_is_told_from_a_task_that_fails():
    executor = open_executor("processes", workers=1, device="cpu")
    try:
        with pytest.raises(WorkerDied, match=r"a worker process died .* run the same command again"):
            list(executor.map(killed_at_two, range(5)))
        # Whoever goes on with it is told again, at once.
        with pytest.raises(WorkerDied):
            list(executor.map(killed_at_two, range(2)))
    finally:
        executor.close()


@pytest.mark.parametrize("task", [exits, ends])
def test_a_task_that_exits_is_an_error_inline_as_in_a_worker(task):
    for executor in (Inline(), open_executor("processes", workers=1, device="cpu")):
        try:
            with pytest.raises(PluginError, match="a plugin ends the run: ") as raised:
                list(executor.map(task, [0]))
        finally:
            executor.close()
        assert str(raised.value).endswith((f"sys.exit(0) in {WHERE}", "BaseException: the end"))


WHERE = f"line {exits.__code__.co_firstlineno + 1} of {__file__}"

LETHAL = """
import multiprocessing, os, signal
import numpy as np
from harness.api import Metric

class Backbone:
    version, layers = "1", ("x",)
    def identity(self): return "lethal"
    def open(self, *, device): pass
    def extract(self, images, layers):
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return {name: images.reshape(len(images), -1)[:, :5].astype(np.float32) for name in layers}

def score(result, target): return -np.abs(result - target).mean(axis=1)

METRIC = Metric(
    name="lethal", inputs="embedding", score=score, targets=("stimulus",), backbone=("lethal", "x")
)
"""


def test_a_worker_killed_while_embedding_ends_the_run_with_what_to_do(harness, tmp_path: Path, toy_words):
    info = tmp_path / "lethal-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lethal\nVersion: 1\n")
    points = {"metrics": "METRIC", "backbones": "Backbone"}
    lines = [f"[harness.{group}]\nlethal = lethal_module:{name}\n" for group, name in points.items()]
    (info / "entry_points.txt").write_text("".join(lines))
    (tmp_path / "lethal_module.py").write_text(LETHAL)
    words = ["run", *toy_words, "--metrics", "lethal,pixcorr", "--no-report"]
    done = harness(*words, "--workers", "2", PYTHONPATH=str(tmp_path), check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("harness: error: a worker process died")
    assert "Mend them" not in done.stderr
    assert "Traceback" not in done.stderr
    again = harness(*words, "--workers", "1", PYTHONPATH=str(tmp_path))
    assert "decode" not in again.stdout.partition("computed: ")[2].partition(";")[0]
