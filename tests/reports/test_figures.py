"""Charts of a report, and what happens where one cannot be drawn."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures
from report_pages import EVIL, Page, change_info, words

from harness.reports import figures
from harness.reports.html import render_html
from harness.results import RunResult


def test_charts_follow_the_readers_colours(folder: Path) -> None:
    run = RunResult.open(folder)
    names = ("region_chart", "ceiling_chart", "ceiling_histogram", "image_chart")
    drawn = {name: getattr(figures, name)(run) for name in names}
    for svg in drawn.values():
        assert svg.startswith("<svg")
        (picture,) = Page(svg).all("svg")
        assert picture["role"] == "img"
        assert len(picture["aria-label"].split()) > 8
        least, most = (
            float(re.search(rf"{name}-width:([\d.]+)px", picture["style"])[1]) for name in ("min", "max")
        )
        assert 0.75 * most < least < most  # on a telephone it scrolls and stays readable
        assert "var(--ink)" in svg
        assert not re.search(r"#0\d0\d0\d\b|xmlns|\swidth=\"\d+\"\s+height=", svg)
    assert all(name in drawn["region_chart"] for name in ("V1", "faces", "all voxels"))
    assert all(m["label"] in drawn["image_chart"] for m in fixtures.IMAGE_METRICS.values())


def test_every_panel_has_a_place_for_every_row(fresh: Path) -> None:
    """Names stand at the left of the first panel only, so panels that lack a row may not close ranks."""

    def drop(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[~((frame["metric"] == "ssim@1") & frame["row"].isin(("predicted", "zero")))]

    fixtures.change_scores(fresh, "scores", drop)
    svg = figures.image_chart(RunResult.open(fresh))
    heights = re.findall(r"M0,0h318v([\d.]+)h-318Z", svg)  # frames of the panels
    assert len(heights) == len(fixtures.IMAGE_METRICS)
    assert len(set(heights)) == 1


def test_charts_are_left_out_where_there_is_nothing_to_draw(fresh: Path) -> None:
    change_info(fresh, noise_ceiling=None)
    run = RunResult.open(fresh)
    assert figures.ceiling_histogram(run) == ""
    assert "voxel r, predicted fMRI" in figures.ceiling_chart(run)
    for name in ("scores", "voxel_scores", "set_scores"):
        fixtures.change_scores(fresh, name, lambda frame: frame.iloc[:0])
    empty = RunResult.open(fresh)
    assert figures.region_chart(empty) == figures.ceiling_chart(empty) == figures.image_chart(empty) == ""
    assert "No image was scored" in words(Page(render_html(empty)))


CHARTS = ("region_chart", "ceiling_chart", "ceiling_histogram", "image_chart")


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize("broken", CHARTS)
def test_a_figure_that_fails_costs_itself_alone(fresh: Path, monkeypatch, broken: str) -> None:
    def fail(run: RunResult) -> str:
        raise ValueError(f"Too many bins for {EVIL}")

    for name in CHARTS:
        monkeypatch.setattr(figures, name, fail if name == broken else lambda run: "<svg>drawn</svg>")
    text = render_html(RunResult.open(fresh))
    assert text.count("<svg>drawn</svg>") == 3
    assert "could not be drawn: ValueError: Too many bins" in text
    assert EVIL not in text


def test_responses_proportional_to_the_measured_ones_are_drawn(fresh: Path) -> None:
    """Every voxel r is 1 but for rounding, which numpy cuts into no bins."""

    def proportional(frame: pd.DataFrame) -> pd.DataFrame:
        ours = (frame["metric"] == "voxel-r@1") & (frame["row"] != "zero")
        near = 1 - np.spacing(1) * (np.arange(len(frame)) % 2)
        return frame.assign(value=frame["value"].where(~ours, near))

    fixtures.change_scores(fresh, "voxel_scores", proportional)
    r = RunResult.open(fresh).voxel_scores.query("metric == 'voxel-r@1' and row == 'predicted'")["value"]
    with pytest.raises(ValueError, match="bins"):
        np.histogram(r, bins=40)
    for changes in ({}, {"noise_ceiling": None}):
        run = RunResult.open(change_info(fresh, **changes))
        assert "<svg" in figures.ceiling_chart(run)
        assert "could not be drawn" not in render_html(run)


def test_scores_of_0_or_1_get_no_panel_of_boxes(fresh: Path) -> None:
    def hits(frame: pd.DataFrame) -> pd.DataFrame:
        ours = (frame["metric"] == "pixcorr@1") & ~frame["row"].str.startswith("shuffled")
        return frame.assign(value=frame["value"].where(~ours, np.arange(len(frame)) % 2))

    before = figures.image_chart(RunResult.open(fresh))
    fixtures.change_scores(fresh, "scores", hits)
    after = figures.image_chart(RunResult.open(fresh))
    assert ("PixCorr" in before, "PixCorr" in after) == (True, False)
    assert "SSIM" in after
