"""Checkpoints that two processes use at once: the last one removes them, a kill leaves them."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest

from harness.storage.cached import Item, cached_map
from harness.storage.executors import Inline
from harness.storage.resumable import kept_until_done
from harness.storage.store import Store


def test_it_goes_at_a_clean_end_and_stays_after_a_failure(tmp_path):
    folder = tmp_path / "checkpoints" / "ab"
    with pytest.raises(ZeroDivisionError), kept_until_done(folder):
        (folder / "step").write_text(str(3 // 0) if (folder / "step").write_text("3") else "")
    with kept_until_done(folder):
        assert (folder / "step").read_text() == "3"
    assert list(folder.parent.iterdir()) == []


def test_the_last_one_removes_it(tmp_path):
    folder = tmp_path / "checkpoints" / "ab"
    with kept_until_done(folder):
        with kept_until_done(folder):
            (folder / "step").write_text("3")
        assert (folder / "step").read_text() == "3"
    assert list(folder.parent.iterdir()) == []


def test_without_locks_the_first_one_removes_it(tmp_path, monkeypatch):
    import fcntl

    def no_locks(*given):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    folder = tmp_path / "checkpoints" / "ab"
    with kept_until_done(folder):
        (folder / "step").write_text("3")
    assert not folder.exists()


def trained(folder: Path, number: int, *, checkpoints: Path) -> None:
    """Writes a checkpoint every few milliseconds, as a training does, and fails where its folder went."""
    until = time.monotonic() + 0.5 + number % 2  # part of no result
    while time.monotonic() < until:
        partial = checkpoints / f"{time.monotonic_ns()}"
        partial.write_text("step")
        partial.replace(checkpoints / "last")
        time.sleep(0.005)
    (folder / "model.json").write_text("{}")


def slow_or_quick(folder: Path, file: str, *, checkpoints: Path) -> None:
    """As :func:`trained`; the first process that comes is the quick one."""
    try:
        Path(file).touch(exist_ok=False)
        number = 0
    except FileExistsError:
        number = 1
    trained(folder, number, checkpoints=checkpoints)


def fit(root: Path, failures: multiprocessing.Queue) -> None:
    try:
        item = Item({"what": "model"}, (str(root / "first"),), resumable=True)
        (artifact,) = cached_map("fit", [item], slow_or_quick, store=Store(root), executor=Inline())
        assert artifact.has("model.json")
        failures.put("")
    except BaseException as problem:
        failures.put(repr(problem))


def test_two_runs_that_fit_the_same_do_not_take_each_others_checkpoints(tmp_path):
    context = multiprocessing.get_context("spawn")
    failures = context.Queue()
    processes = [context.Process(target=fit, args=(tmp_path, failures)) for _ in range(2)]
    for process in processes:
        process.start()
    assert [failures.get(timeout=60), failures.get(timeout=60)] == ["", ""]
    for process in processes:
        process.join()
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert len(list((tmp_path / "fit").glob("*/*/model.json"))) == 1
