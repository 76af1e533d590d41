"""``harness leaderboard``: what is given, what is written, and what is printed of it."""

from __future__ import annotations

import pytest
from board_runs import board_run, several
from click.testing import CliRunner
from report_pages import change_info

from harness.cli.leaderboard import installed_versions, leaderboard
from harness.errors import ConfigError, DataError
from harness.results import RunResult


def typed(*words):
    done = CliRunner().invoke(leaderboard, list(map(str, words)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    inner = tmp_path_factory.mktemp("runs")
    several(inner)
    (inner / "notes").mkdir()  # no run: passed over
    return inner


def test_a_folder_of_runs_becomes_five_files_and_its_first_lines_are_printed(folder, tmp_path):
    printed = typed(folder, "-o", tmp_path / "new" / "board")
    assert "6 systems" in printed
    assert "simulated, not brain data" in printed
    first = next(line for line in printed.splitlines() if line.strip().startswith(("ridge", "chasm", "mlp")))
    assert "mindeye2" in first
    for kind in ("html", "md", "csv", "tex", "parquet"):
        assert str(tmp_path / "new" / "board" / f"leaderboard.{kind}") in printed.replace("\n", "")
        assert (tmp_path / "new" / "board" / f"leaderboard.{kind}").stat().st_size > 1000


def test_a_run_that_is_given_twice_is_one(folder, tmp_path):
    printed = typed(folder, folder / "chasm-linear", folder, "-o", tmp_path / "board")
    assert "6 systems" in printed


@pytest.mark.parametrize("name", ["notes", "nowhere"])
def test_a_folder_without_runs_is_told(folder, tmp_path, name):
    with pytest.raises(DataError, match=r"holds no run\.json"):
        typed(folder / name, "-o", tmp_path / "board")
    assert not (tmp_path / "board").exists()


def test_a_file_in_place_of_the_folder_is_told_before_any_work(folder, tmp_path):
    (tmp_path / "board.txt").write_text("")
    with pytest.raises(ConfigError, match=r"is a file; give a folder: -o .*board-board"):
        typed(folder, "-o", tmp_path / "board.txt")


def test_versions_are_those_of_what_is_installed(tmp_path):
    run = board_run(tmp_path / "run", images=4)
    change_info(run, benchmark={"name": "embedded", "version": "0", "params": {}, "simulated": True})
    versions = installed_versions([RunResult.open(run)])
    assert versions["embedded"] >= {"1", "2"}
    assert versions["decoded-agreement-controlled"] == {"2"}
    assert "toy" not in versions
    printed = typed(run, "-o", tmp_path / "board")
    assert "stale" in printed
