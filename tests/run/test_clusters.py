"""A run gives the same bytes under the same keys whatever carries it out: all four executors."""

from __future__ import annotations

import pytest
from commands import content, kill_words

ENVIRONMENTS = {
    "inline": lambda request: {},
    "processes": lambda request: {},
    "slurm": lambda request: request.getfixturevalue("slurm").environment,
    "ray": lambda request: {"RAY_ADDRESS": request.getfixturevalue("ray_cluster").address},
}


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
