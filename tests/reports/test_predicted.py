"""Predicted beside measured: the same images, the same decoder, and where the two part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures
from report_pages import Page, words

from harness.reports.answer import headline_metrics
from harness.reports.html import render_html
from harness.reports.predicted import (
    POINTS,
    agreement_by_image,
    predicted_grid,
    predicted_table,
    scatter_chart,
    scatter_table,
)
from harness.reports.tables import paired_table
from harness.results import RunResult


def by_image(run: RunResult, target: str = "stimulus") -> pd.DataFrame:
    scores = run.scores.query(f"target == '{target}'")
    return scores.groupby(["row", "metric", "image_id"])["value"].mean().unstack("image_id")


def test_each_line_is_of_the_stored_scores(folder: Path) -> None:
    run = RunResult.open(folder)
    table, values = predicted_table(run), by_image(run)
    assert list(table.metric) == list(fixtures.IMAGE_METRICS)
    paired = paired_table(run).query("row == 'predicted' and control == 'measured'").set_index("metric")
    for line in table.itertuples():
        measured, predicted = (values.loc[row, line.metric] for row in ("measured", "predicted"))
        assert line.measured == pytest.approx(measured.mean())
        assert line.predicted == pytest.approx(predicted.mean())
        assert line.difference == pytest.approx(line.predicted - line.measured)
        assert line.r == pytest.approx(np.corrcoef(measured, predicted)[0, 1])
        gain = measured - predicted if line.metric == "distance@1" else predicted - measured
        assert line.better_share == pytest.approx((gain > 0).mean())
        assert (line.p_holm, line.verdict) == (paired.p_holm[line.metric], paired.verdict[line.metric])
    (body,) = predicted_grid(run, table).bodies
    assert [label for label, _, _ in body.lines] == ["PixCorr", "SSIM", "2-way (pixels)", "distance"]


def test_the_scatter_has_a_dot_for_each_image_and_a_density_of_many(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunResult.open(folder)
    metrics = headline_metrics(run)[:1]
    table = scatter_table(run, metrics)
    assert len(table) == 24 <= POINTS
    values = by_image(run)
    np.testing.assert_allclose(table["predicted"], values.loc["predicted", "pixcorr@1"])
    svg = scatter_chart(run, metrics)
    assert svg.count('aria-roledescription="point"') == 24
    r = np.corrcoef(values.loc["measured", "pixcorr@1"], values.loc["predicted", "pixcorr@1"])[0, 1]
    assert f"PixCorr: r {r:.3f}" in svg
    monkeypatch.setattr("harness.reports.predicted.POINTS", 10)
    assert 'aria-roledescription="point"' not in scatter_chart(run, metrics)
    fixtures.write_run(tmp_path / "hits", images=6, voxels=12, side=8)
    fixtures.change_scores(tmp_path / "hits", "scores", lambda f: f.assign(value=(f["value"] > 0.5) * 1.0))
    assert scatter_chart(RunResult.open(tmp_path / "hits"), metrics) == ""


def test_images_are_ordered_by_agreement_or_by_the_first_score(folder: Path, fresh: Path) -> None:
    run = RunResult.open(folder)
    agreement, label = agreement_by_image(run)
    assert label == "decoded-agreement"
    expected = by_image(run, "measured").loc["predicted", "decoded-agreement@1"].sort_values()
    assert list(agreement.index) == list(expected.index)
    fixtures.change_scores(fresh, "scores", lambda f: f[f["target"] != "measured"])
    run = RunResult.open(fresh)
    agreement, label = agreement_by_image(run)
    assert label == "minus the difference in PixCorr"
    values = by_image(run)
    apart = (values.loc["predicted", "pixcorr@1"] - values.loc["measured", "pixcorr@1"]).abs()
    assert agreement.index[0] == apart.idxmax()


@pytest.mark.usefixtures("no_charts")
def test_the_report_shows_the_least_alike_with_stimulus_and_both(folder: Path, fresh: Path) -> None:
    run = RunResult.open(folder)
    text = render_html(run)
    part = text[text.index('id="least-alike"') : text.index("</table>", text.index('id="least-alike"'))]
    agreement, _ = agreement_by_image(run)
    shown = [name for name in agreement.index[:4] if name in run.gallery["ids"]]
    assert [name for name in agreement.index if f">{name}</button>" in part] == shown
    assert part.count("<img") == 3 * len(shown) > 0
    fixtures.change_scores(fresh, "scores", lambda f: f[f["row"] != "measured"])
    bare = RunResult.open(fresh)
    assert predicted_table(bare).empty
    assert "Predicted beside measured" not in words(Page(render_html(bare)))
