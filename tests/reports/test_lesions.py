"""Lesions in reports: differences paired with the intact row, shares between it and no brain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import report_fixtures as fixtures
from report_pages import Page, words

from harness.reports.answer import headline_metrics
from harness.reports.exports import export_table
from harness.reports.html import render_html
from harness.reports.lesions import lesion_chart, lesion_grids, lesion_table
from harness.results import RunResult


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("lesions") / "run"
    return RunResult.open(fixtures.with_lesions(fixtures.write_run(folder, images=12, voxels=30, side=8)))


def test_differences_and_shares_are_those_of_the_stored_scores(run: RunResult) -> None:
    table = lesion_table(run, flips=500)
    stored = run.scores.query("target == 'stimulus'")
    values = stored.groupby(["row", "metric", "image_id"])["value"].mean()
    assert len(table) == 2 * 2 * 3 * len(fixtures.IMAGE_METRICS)
    for line in table.itertuples():
        lesioned, intact, nothing = (
            values[row, line.metric].mean() for row in (line.row, line.intact, "train-mean")
        )
        assert line.mean == pytest.approx(lesioned)
        assert line.difference == pytest.approx(lesioned - intact)
        assert line.difference_low < line.difference < line.difference_high
        assert line.kept_share == pytest.approx((lesioned - nothing) / (intact - nothing))
        simulated_share = 1 - fixtures.LESIONED[line.lesion] * (1 if line.area == "early" else 0.5)
        assert line.kept_share == pytest.approx(simulated_share, abs=0.12)
        assert line.n_voxels == len(run.info["space"]["groups"][line.area])
    # What was taken made it worse in either direction of a metric.
    taken = table[(table.lesion == "keep") & (table.area == "early")]
    assert set(taken.verdict) == {"worse"}
    assert {line.difference > 0 for line in taken[taken.metric == "distance@1"].itertuples()} == {True}
    assert (table.p_holm >= table.p).all()


def test_each_kind_is_a_table_with_measured_beside_predicted(run: RunResult) -> None:
    table = lesion_table(run, flips=500)
    grids = lesion_grids(run, table)
    assert [grid.name for grid in grids] == ["lesion-keep", "lesion-drop", "lesion-shuffle"]
    for grid in grids:
        assert [body.heading for body in grid.bodies] == ["measured fMRI", "predicted fMRI"]
        assert [label for label, _, _ in grid.bodies[0].lines] == ["early", "higher"]
        assert "24 of measured fMRI and 24 of predicted fMRI tests" in grid.caption
    cell = grids[0].bodies[0].lines[0][2][0]
    assert cell.text.startswith("▼ -0.")
    assert "% [" in cell.note
    assert "stayed, p" in cell.note


def test_the_chart_says_in_words_what_it_draws(run: RunResult) -> None:
    table = lesion_table(run, flips=500)
    svg = lesion_chart(run, table, headline_metrics(run)[:1])
    line = table[(table.metric == "pixcorr@1") & (table.row == "predicted-drop-early")].iloc[0]
    assert f"PixCorr, drop, predicted fMRI: early {100 * line.kept_share:.0f} %" in svg
    assert svg.count("PixCorr, ") >= 3
    assert lesion_chart(run, table[table.metric == "none"], headline_metrics(run)) == ""


@pytest.mark.usefixtures("no_charts")
def test_a_report_shows_lesions_where_there_are_some(run: RunResult, fresh: Path) -> None:
    assert "Lesions: which area carried the score" in words(Page(render_html(run)))
    bare = RunResult.open(fresh)
    assert "Lesions" not in words(Page(render_html(bare)))
    assert lesion_table(bare).empty
    assert np.isfinite(export_table(run, "lesions")["difference"]).all()
