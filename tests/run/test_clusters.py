"""A run gives the same bytes under the same keys whatever carries it out: all four executors, two runs at
once, machines whose clocks differ."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import HELPERS, content, kill_words

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


@pytest.mark.cluster
def test_two_runs_on_one_store_at_once(tmp_path, toy_words, undisturbed):
    program = str(Path(sys.executable).with_name("harness"))
    environment = {**os.environ, "HARNESS_STORE": str(tmp_path / "store")}
    processes = [
        subprocess.Popen(
            [program, *kill_words(toy_words), "--executor", "inline", "--out", out],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for out in ("runs", "others")
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert content(tmp_path) == content(undisturbed)
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "others").rename(tmp_path / "runs")
    assert content(tmp_path) == content(undisturbed)


@pytest.mark.cluster
@pytest.mark.parametrize("skew", ["-86400", "86400"])
def test_a_machine_whose_clock_is_a_day_off_goes_on_with_what_is_there(
    harness, tmp_path, toy_words, undisturbed, skew
):
    """It takes nothing for outdated, and those after it take nothing of it for outdated."""
    words = [*kill_words(toy_words), "--executor", "inline"]
    path = os.pathsep.join([str(HELPERS / "skewed_clock"), os.environ.get("PYTHONPATH", "")])
    shutil.copytree(undisturbed / "store", tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "score")
    done = harness(*words, PYTHONPATH=path, SKEW=skew)
    stages = done.stdout.partition("computed: ")[2].partition(";")[0]
    assert {stage.split()[0] for stage in stages.split(", ")} == {"score"}
    assert "computed: nothing" in harness(*words).stdout
    assert content(tmp_path) == content(undisturbed)
