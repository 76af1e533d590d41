"""Scores by number of dimensions: table, shares and chart."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures

from harness.reports.curves import CURVE_COLUMNS, curve_chart, curve_grid, curve_table
from harness.reports.html import render_html
from harness.reports.tables import score_table
from harness.results import RunResult
from harness.statistics import mean_interval, ratio_of_means

RANKS = (0, 4, 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fixtures.with_ranks(fixtures.write_run(tmp_path / "run", images=12, voxels=12, side=8), RANKS)


def values(run: RunResult, row: str, metric: str, column: str = "value") -> np.ndarray:
    ours = run.scores.query("row == @row and metric == @metric and target == 'stimulus'")
    return ours.sort_values("image_id")[column].to_numpy()


@pytest.mark.parametrize("metric", ["pixcorr@1", "distance@1"])  # the latter is better when low
def test_scores_and_shares_are_those_of_the_stored_values(folder: Path, metric: str) -> None:
    run = RunResult.open(folder)
    table = curve_table(run)
    assert tuple(table.columns) == CURVE_COLUMNS
    ours = table[table["metric"] == metric]
    assert ours["row"].tolist() == [*(f"measured-rank-{rank}" for rank in RANKS), "measured"]
    assert ours["rank"].tolist()[:-1] == list(RANKS)
    assert np.isnan(ours["rank"].iloc[-1])
    nothing, whole = (values(run, row, metric) for row in ("train-mean", "measured"))
    for point in ours.itertuples():
        scores, rivalry = (values(run, point.row, metric, column) for column in ("value", "rivalry"))
        expected = mean_interval(scores, rivalry=rivalry)
        assert (point.mean, point.low, point.high) == pytest.approx(
            (expected.mean, expected.low, expected.high)
        )
        moved = scores + rivalry  # what an image does to the others' scores when it is drawn
        sign = -1 if metric == "distance@1" else 1
        expected_share = ratio_of_means(sign * (moved - nothing), sign * (whole - nothing))
        assert (point.share, point.share_low, point.share_high) == pytest.approx(expected_share)
        assert point.share == pytest.approx((moved.mean() - nothing.mean()) / (whole - nothing).mean())


def test_the_ends_are_nothing_and_everything(folder: Path) -> None:
    fixtures.change_scores(folder, "scores", lambda frame: frame.assign(rivalry=0.0))
    table = curve_table(RunResult.open(folder)).set_index(["metric", "row"])
    names = ["share", "share_low", "share_high"]
    for metric in ("pixcorr@1", "distance@1", "pixel-2way@1"):
        assert table.loc[(metric, "measured-rank-0"), names].tolist() == pytest.approx([0, 0, 0])
        assert table.loc[(metric, "measured"), names].tolist() == pytest.approx([1, 1, 1])
        middle = table.loc[(metric, "measured-rank-4"), names]
        assert 0.3 < middle["share_low"] < middle["share"] < middle["share_high"] < 0.7


def test_a_score_that_needs_no_brain_has_no_share(folder: Path) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        ours = (frame["row"] == "measured") & (frame["metric"] == "ssim@1") & (frame["target"] == "stimulus")
        other = (frame["row"] == "train-mean") & (frame["metric"] == "ssim@1")
        same = frame[other & (frame["target"] == "stimulus")].assign(row="measured")
        return pd.concat([frame[~ours], same])

    fixtures.change_scores(folder, "scores", change)
    table = curve_table(RunResult.open(folder))
    assert table.loc[table["metric"] == "ssim@1", "share"].isna().all()
    assert table.loc[table["metric"] == "pixcorr@1", "share"].notna().all()


class Svg(HTMLParser):
    """The picture's attributes, its texts, and marks by kind."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root: dict[str, str | None] = {}
        self.text: list[str] = []
        self.marks: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "svg":
            self.root = attributes
        self.marks += re.findall(r"mark-(\w+) role-mark", attributes.get("class") or "")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_chart_has_a_panel_per_metric_with_its_rules_and_says_so(folder: Path) -> None:
    run = RunResult.open(folder)
    table = curve_table(run)
    svg = curve_chart(run, table, score_table(run))
    chart = Svg(svg)
    panels = len(fixtures.IMAGE_METRICS)
    for kind in ("area", "line", "symbol"):
        assert chart.marks.count(kind) == panels
    assert chart.marks.count("rule") == 2 * panels  # the measured row, and controls
    for label in ("measured fMRI", "measured, shuffled", "mean training image"):
        assert label in chart.text
    for metric in fixtures.IMAGE_METRICS.values():
        arrow = "↑" if metric.get("higher_is_better", True) else "↓"
        assert any(f"{metric.get('label')} {arrow}" == text for text in chart.text)
    told = chart.root["aria-label"]
    for point in table.itertuples():
        assert f"{point.mean:.3f} at {'all voxels' if np.isnan(point.rank) else int(point.rank)}" in told
    assert "var(--row-measured)" in svg
    assert not re.search(r"#0\d0\d0\d\b|xmlns", svg)


@pytest.mark.usefixtures("no_charts")
def test_the_report_shows_it_only_where_there_are_ranks(folder: Path, tmp_path: Path) -> None:
    bare = RunResult.open(fixtures.write_run(tmp_path / "bare", images=6, voxels=12, side=8))
    table = curve_table(bare)
    assert table.empty
    assert tuple(table.columns) == CURVE_COLUMNS
    assert curve_grid(bare, table) is None
    assert curve_chart(bare, table, score_table(bare)) == ""
    assert "Through a bottleneck" not in render_html(bare)
    text = render_html(RunResult.open(folder))
    assert "Through a bottleneck" in text
    assert text.count('role="img" aria-label="Scores of measured responses') == 1


def test_the_table_is_ordered_by_dimensions_and_ends_with_all_voxels(folder: Path) -> None:
    run = RunResult.open(folder)
    table = curve_table(run)
    grid = curve_grid(run, table)
    ((_, lines),) = [(body.heading, body.lines) for body in grid.bodies]
    assert [label for label, _, _ in lines] == ["0", "4", "32", "all voxels"]
    cell = lines[1][2][0]
    (point,) = table.query("metric == 'pixcorr@1' and rank == 4").itertuples()
    assert cell.value == point.mean
    assert cell.note.startswith(f"{100 * point.share:.0f}\u00a0% [")
