"""From no brain to the generator ceiling: the best constant row below, shares between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import report_fixtures as fixtures

from harness.reports.priors import NO_BRAIN, prior_grid, prior_table
from harness.results import RunResult


def test_the_two_ends_and_what_lies_between(folder: Path) -> None:
    run = RunResult.open(folder)
    table = prior_table(run).set_index("metric")
    stored = run.scores.query("target == 'stimulus'")
    means = stored.groupby(["row", "metric", "image_id"])["value"].mean().groupby(["row", "metric"]).mean()
    assert list(table.index) == list(fixtures.IMAGE_METRICS)
    for metric, line in table.iterrows():
        best = max if line.higher_is_better else min
        assert line.no_brain == pytest.approx(best(means[row, metric] for row in NO_BRAIN))
        assert line.no_brain == pytest.approx(means[line.no_brain_row, metric])
        for row in ("measured", "predicted", "oracle"):
            share = (means[row, metric] - line.no_brain) / (
                means["generator-ceiling", metric] - line.no_brain
            )
            assert line[f"{row}_share"] == pytest.approx(share)
            assert line[f"{row}_share_low"] < share < line[f"{row}_share_high"]
    grid = prior_grid(run, prior_table(run))
    assert [head.text for head in grid.heads][2:] == [
        *("measured fMRI", "predicted fMRI", "noise-free truth", "generator ceiling")
    ]


def test_without_a_ceiling_there_are_means_and_no_shares(fresh: Path) -> None:
    fixtures.change_scores(fresh, "scores", lambda f: f[f["row"] != "generator-ceiling"])
    run = RunResult.open(fresh)
    table = prior_table(run)
    assert np.isnan(table["measured_share"].astype(float)).all()
    assert np.isfinite(table["measured"].astype(float)).all()
    cells = prior_grid(run, table).bodies[0].lines[0][2]
    assert cells[-1] is None
    assert "%" not in cells[2].detail


def test_nothing_where_nothing_was_decoded_without_a_brain(fresh: Path) -> None:
    fixtures.change_scores(fresh, "scores", lambda f: f[~f["row"].isin(NO_BRAIN)])
    run = RunResult.open(fresh)
    assert prior_grid(run, prior_table(run)) is None
