"""Workers of a run for which none are given."""

from __future__ import annotations

import os

import pytest
import torch

from harness.errors import ConfigError
from harness.run.workers import VARIABLE, with_workers
from harness.settings import RunSettings


def chosen(**given) -> tuple[str, int]:
    settings = with_workers(RunSettings(**given))
    return settings.executor, settings.workers


@pytest.mark.parametrize(
    ("cores", "expected"), [(1, ("inline", 1)), (2, ("processes", 2)), (64, ("processes", 2))]
)
def test_two_where_there_are_the_cores(cores, expected, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert chosen() == expected
    assert chosen(executor="inline") == ("inline", 1)
    assert chosen(workers=3) == ("processes", 3)
    assert chosen(workers=1) == ("inline", 1)
    assert chosen(workers=1, executor="processes") == ("processes", 1)


@pytest.mark.parametrize(
    ("gpus", "expected"), [(0, ("inline", 1)), (1, ("inline", 1)), (4, ("processes", 4))]
)
def test_one_for_each_gpu(gpus, expected, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert chosen(device="cuda") == expected
    assert chosen(device="cuda:1") == ("inline", 1)
    assert chosen(device="cuda", executor="slurm") == ("slurm", 2)


def test_the_environment_says_how_many_unless_the_run_does(monkeypatch):
    monkeypatch.setenv(VARIABLE, "5")
    assert chosen() == ("processes", 5)
    assert chosen(executor="ray") == ("ray", 5)
    assert chosen(workers=1) == ("inline", 1)
    for word in ("0", "many", "-1", "99999"):
        monkeypatch.setenv(VARIABLE, word)
        with pytest.raises(ConfigError, match=f"{VARIABLE} is '{word}'; expected a number from 1 to 1024"):
            chosen()
