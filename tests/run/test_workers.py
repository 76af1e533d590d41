"""Workers of a run for which none are given."""

from __future__ import annotations

import os

import pytest

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
    assert chosen(device="cuda") == ("inline", 1)
    assert chosen(executor="inline") == ("inline", 1)
    assert chosen(workers=3) == ("processes", 3)
    assert chosen(workers=1) == ("inline", 1)
    assert chosen(workers=1, executor="processes") == ("processes", 1)


def test_the_environment_says_how_many_unless_the_run_does(monkeypatch):
    monkeypatch.setenv(VARIABLE, "5")
    assert chosen() == ("processes", 5)
    assert chosen(workers=1) == ("inline", 1)
    for word in ("0", "many", "-1", "99999"):
        monkeypatch.setenv(VARIABLE, word)
        with pytest.raises(ConfigError, match=f"{VARIABLE} is '{word}'; expected a number from 1 to 1024"):
            chosen()
