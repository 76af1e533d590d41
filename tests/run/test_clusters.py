"""A run gives the same bytes under the same keys whatever carries it out: all four executors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from commands import kill_words, only_run

APART = ("tmp", "checkpoints", "jobs")
"""Folders of a store in which no artifact lies."""

ENVIRONMENTS = {
    "inline": lambda request: {},
    "processes": lambda request: {},
    "slurm": lambda request: request.getfixturevalue("slurm").environment,
    "ray": lambda request: {"RAY_ADDRESS": request.getfixturevalue("ray_cluster").address},
}


def content(folder: Path) -> dict[str, str]:
    """Every file of the store and of the run's tables -> its hash."""
    run, store = only_run(folder).folder, folder / "store"
    files = {f"store/{file.relative_to(store)}": file for file in store.rglob("*") if file.is_file()}
    files = {name: file for name, file in files.items() if name.split("/")[1] not in APART}
    files |= {file.name: file for file in run.glob("*.parquet")}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}


@pytest.mark.cluster
@pytest.mark.parametrize("executor", ENVIRONMENTS)
def test_every_executor_writes_the_same_bytes(request, harness, tmp_path, toy_words, undisturbed, executor):
    words = [
        *kill_words(toy_words),
        "--executor",
        executor,
        *([] if executor == "inline" else ["--workers", "2"]),
    ]
    harness(*words, "--shard-size", "3", **ENVIRONMENTS[executor](request))
    expected, got = content(undisturbed), content(tmp_path)
    assert got.keys() == expected.keys()
    assert {name for name in got if got[name] != expected[name]} == set()
    if executor in ("slurm", "ray"):
        (log,) = tmp_path.glob("store/jobs/*/events.log")
        assert "computed again" not in log.read_text()
        told = harness("status").stdout
        assert f"on {executor}" in told
        assert "is over" in told
