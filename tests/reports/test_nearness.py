"""What nearness to the training set was worth."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import report_fixtures as fixtures
from rich.console import Console

from harness.reports.html import render_html
from harness.reports.nearness import _contributions, nearness_grid, nearness_table
from harness.reports.terminal import render
from harness.results import RunResult

WORTH = 0.3


def run_of(folder: Path, *, images: int = 40, worth: float = WORTH) -> RunResult:
    written = fixtures.write_run(folder, images=images, voxels=12, side=8)
    return RunResult.open(fixtures.with_nearness(written, worth=worth))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("run"))


def line_of(table, row, metric="pixcorr@1"):
    (line,) = table[(table["row"] == row) & (table["metric"] == metric)].itertuples()
    return line


def test_what_near_images_have_more_is_told_with_its_interval(run):
    line = line_of(nearness_table(run), "predicted")
    assert line.near - line.far == pytest.approx(line.worth)
    assert line.low < WORTH < line.high
    assert line.low > 0
    assert (line.n, line.by) == (40, "nearest training image, CLIP tiny")
    flat = line_of(nearness_table(run), "flat-grey")
    assert (flat.near, flat.far, flat.worth) == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0))


def test_no_worth_is_told_as_none(tmp_path):
    line = line_of(nearness_table(run_of(tmp_path, worth=0.0)), "predicted")
    assert line.low < 0 < line.high


def test_the_interval_is_that_of_two_independent_means():
    rng = np.random.default_rng(1)
    values, near = rng.normal(0, 1, 300), np.arange(300) < 100
    values[~near] *= 3
    parts = _contributions(values, [near, ~near])
    assert parts.mean() == pytest.approx(values[near].mean() - values[~near].mean())
    welch = np.sqrt(values[near].var() / 100 + values[~near].var() / 200)
    assert parts.std() / np.sqrt(300) == pytest.approx(welch)


def test_reports_show_it(run, no_charts):
    grid = nearness_grid(run, nearness_table(run))
    assert [head.text for head in grid.heads] == ["near", "far", "near − far"]
    assert "What nearness was worth" in render_html(run)
    console = Console(file=io.StringIO(), width=160)
    render(run, console, tables=("nearness",))
    assert "what nearness was worth" in console.file.getvalue()


def test_a_run_that_cannot_tell_says_nothing(tmp_path):
    few = run_of(tmp_path / "few", images=12)
    assert nearness_table(few).empty
    without = RunResult.open(fixtures.write_run(tmp_path / "without", images=40, voxels=12, side=8))
    assert nearness_table(without).empty
    assert nearness_grid(without, nearness_table(without)) is None
