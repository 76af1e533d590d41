"""The spread of scores over the draws of an image, beside the spread over images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures

from harness.reports.draws import draw_grid, draw_table
from harness.reports.exports import export_table
from harness.reports.html import render_html
from harness.results import RunResult

DRAWS = 40
SPREAD = 0.05


def drawn_again(frame: pd.DataFrame) -> pd.DataFrame:
    """Measured rows with many draws around the score of the first, in float64."""
    once = frame[frame["sample"] == 0]
    measured = once[(once["row"] == "measured") & (once["target"] == "stimulus")]
    random = np.random.default_rng(0)
    draws = [
        measured.assign(sample=k, value=measured["value"] + SPREAD * random.standard_normal(len(measured)))
        for k in range(DRAWS)
    ]
    return pd.concat([once.drop(measured.index), *draws], ignore_index=True)


@pytest.mark.usefixtures("no_charts")
def test_the_spread_over_draws_is_that_which_was_put_in(fresh: Path) -> None:
    fixtures.change_scores(fresh, "scores", drawn_again)
    run = RunResult.open(fresh)
    table = draw_table(run)
    assert set(table["row"]) == {"measured"}
    assert set(table["draws"]) == {DRAWS}
    np.testing.assert_allclose(table["sd_draws"], SPREAD, rtol=0.15)  # of 6 images
    once = run.scores[(run.scores["row"] == "measured") & (run.scores["target"] == "stimulus")]
    for line in table.itertuples():
        of_metric = once[once["metric"] == line.metric].groupby("image_id")["value"].mean()
        assert line.mean == pytest.approx(of_metric.mean(), abs=1e-6)
        # The mean over draws varies over images by their own variance and a share of that of the draws.
        variance = max(of_metric.var() - line.sd_draws**2 / DRAWS, 0)
        assert line.sd_images**2 == pytest.approx(variance, abs=1e-6)
        share = line.sd_draws**2 / (line.sd_draws**2 + line.sd_images**2)
        assert line.share_of_draws == pytest.approx(share)
    pd.testing.assert_frame_equal(export_table(run, "draws"), table)
    grid = draw_grid(run, table)
    assert [head.text for head in grid.heads] == ["measured fMRI"]
    assert "How much the draw decides" in render_html(run)


@pytest.mark.usefixtures("no_charts")
def test_one_draw_has_no_spread(fresh: Path) -> None:
    fixtures.change_scores(fresh, "scores", lambda f: f[f["sample"] == 0])
    run = RunResult.open(fresh)
    assert draw_grid(run, draw_table(run)) is None
    assert "How much the draw decides" not in render_html(run)
