"""Folders of the store and of the weights: one rule for both, and the command line by either of its names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from harness.cli.main import COMMANDS, cli
from harness.cli.paths import UserPath
from harness.errors import ConfigError
from harness.places import expanded, store_folder, weights_folder

FOLDERS = {"store": ("HARNESS_STORE", store_folder), "weights": ("HARNESS_WEIGHTS", weights_folder)}


@pytest.fixture(params=FOLDERS)
def place(request, monkeypatch):
    """(name of the folder, its variable, the function), with none of the variables set."""
    for name in ("XDG_CACHE_HOME", "HARNESS_STORE", "HARNESS_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    return request.param, *FOLDERS[request.param]


@pytest.mark.parametrize("cache", [None, "", "relative/cache"])
def test_by_default_in_the_users_cache(place, monkeypatch, cache):
    name, _, folder = place
    if cache is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert folder() == Path.home() / ".cache" / "fmri-harness" / name


def test_xdg_cache_home_moves_both_and_their_own_variables_win(place, monkeypatch, tmp_path):
    name, variable, folder = place
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder() == tmp_path / "fmri-harness" / name
    monkeypatch.setenv(variable, "~/elsewhere")
    assert folder() == Path.home() / "elsewhere"


def test_the_store_option_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_STORE", "/other")
    assert store_folder(tmp_path) == tmp_path


def test_prefetch_looks_where_xdg_cache_home_says(harness, tmp_path):
    done = harness("prefetch", XDG_CACHE_HOME=str(tmp_path / "cache"), HARNESS_WEIGHTS="")
    assert str(tmp_path / "cache" / "fmri-harness" / "weights" / "alexnet") in done.stdout


def test_python_dash_m_is_the_command(tmp_path):
    words = [sys.executable, "-m", "harness"]
    done = subprocess.run([*words, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: python -m harness [OPTIONS] COMMAND")
    wrong = subprocess.run([*words, "rum"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("harness: error: unknown command 'rum'; did you mean 'run'?")
    assert os.linesep not in wrong.stderr.rstrip(os.linesep)


def test_home_folders_are_written_out_and_unknown_users_named(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("~/runs") == Path("/home/me/runs")
    assert expanded("a/~/runs") == Path("a/~/runs")
    with pytest.raises(ConfigError, match=r"there is no user 'no-such-user'.*write \./~no-such-user/x$"):
        expanded("~no-such-user/x")


def _commands(command, words):
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from _commands(command.get_command(context, name), (*words, name))


def test_every_path_that_is_typed_is_read_by_one_type():
    """Shells leave ``--out=~/runs`` as it is: a folder called ``~`` would be made."""
    of_paths = 0
    for words, command in _commands(cli, ()):
        for param in command.params:
            if isinstance(param.type, click.Path):
                assert isinstance(param.type, UserPath), (words, param.name)
                of_paths += 1
    assert of_paths >= len(COMMANDS)
