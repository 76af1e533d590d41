"""The four figures of every caption metric, and ratios of means."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures
from rich.console import Console
from scipy import optimize, stats

from harness.reports.captions import CAPTION_COLUMNS, caption_grid, caption_table
from harness.reports.html import render_html
from harness.reports.terminal import TABLES, render
from harness.results import RunResult
from harness.statistics import mean_interval

ROUGE = "caption-rouge1@1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fixtures.with_captions(fixtures.write_run(tmp_path / "run", images=14, voxels=12, side=8))


def stored(run: RunResult, row: str, target: str, metric: str = ROUGE) -> np.ndarray:
    ours = run.scores.query("row == @row and target == @target and metric == @metric")
    return ours.sort_values("image_id")["value"].to_numpy()


def line(table: pd.DataFrame, row: str, metric: str = ROUGE) -> pd.Series:
    (figures,) = (table[(table["row"] == row) & (table["metric"] == metric)]).iloc
    return figures


def fieller(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The ratios q at which Student's test of mean(x - q y) = 0 has p = 0.05, by root finding."""
    middle = x.mean() / y.mean()

    def p(q: float) -> float:
        return stats.ttest_1samp(x - q * y, 0).pvalue - 0.05

    return optimize.brentq(p, middle - 50, middle), optimize.brentq(p, middle, middle + 50)


def test_the_four_figures_are_those_of_the_stored_values(folder: Path) -> None:
    run = RunResult.open(folder)
    table = caption_table(run)
    assert tuple(table.columns) == CAPTION_COLUMNS
    assert set(table["metric"]) == set(fixtures.CAPTIONS)
    for metric in fixtures.CAPTIONS:
        captioner = stored(run, "generator-ceiling", "stimulus", metric)
        for row in ("measured", "predicted", "zero"):
            figures = line(table, row, metric)
            image, reference = (stored(run, row, target, metric) for target in ("image", "stimulus"))
            for name, values in (
                ("image_reference", captioner),
                ("brain_reference", reference),
                ("brain_image", image),
            ):
                expected = mean_interval(values)
                assert figures[name] == pytest.approx(values.mean())
                assert figures[f"{name}_low"] == pytest.approx(expected.low)
                assert figures[f"{name}_high"] == pytest.approx(expected.high)
            assert figures["relative"] == pytest.approx(image.mean() / captioner.mean())
            interval = (figures["relative_low"], figures["relative_high"])
            assert interval == pytest.approx(fieller(image, captioner), rel=1e-6)
            assert (figures["n"], figures["missing"]) == (14, 0)


def test_shuffled_captions_have_no_relative_and_the_captioner_no_line(folder: Path) -> None:
    table = caption_table(RunResult.open(folder))
    assert set(table["row"]) == {"measured", "predicted", "zero", "shuffled"}
    shuffled = line(table, "shuffled")
    assert np.isfinite(shuffled["brain_reference"])
    assert np.isnan([shuffled["brain_image"], shuffled["relative"], shuffled["relative_low"]]).all()


def test_a_decoder_as_good_as_its_captioner_is_at_one_whatever_is_drawn(folder: Path) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        own = frame.query("row == 'generator-ceiling' and target == 'stimulus' and metric == @ROUGE")
        keep = frame[
            ~((frame["row"] == "measured") & (frame["target"] == "image") & (frame["metric"] == ROUGE))
        ]
        return pd.concat([keep, own.assign(row="measured", target="image")])

    fixtures.change_scores(folder, "scores", change)
    figures = line(caption_table(RunResult.open(folder)), "measured")
    assert (figures["relative"], figures["relative_low"], figures["relative_high"]) == pytest.approx(
        (1, 1, 1)
    )


def test_relative_rests_on_the_images_that_both_have(folder: Path) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        ours = (frame["metric"] == ROUGE) & (frame["image_id"] == "scene-003")
        ceiling = ours & (frame["row"] == "generator-ceiling")
        other = (frame["metric"] == ROUGE) & (frame["image_id"] == "scene-004")
        image = other & (frame["row"] == "measured") & (frame["target"] == "image")
        return frame.assign(value=frame["value"].where(~(ceiling | image)))

    run = RunResult.open(folder)
    x, y = stored(run, "measured", "image"), stored(run, "generator-ceiling", "stimulus")
    both = np.delete(np.arange(14), [3, 4])
    fixtures.change_scores(folder, "scores", spoil)
    figures = line(caption_table(RunResult.open(folder)), "measured")
    assert figures["relative"] == pytest.approx(x[both].mean() / y[both].mean())
    assert (figures["n"], figures["missing"]) == (13, 1)


@pytest.mark.usefixtures("no_charts")
def test_without_captions_there_is_nothing(tmp_path: Path) -> None:
    run = RunResult.open(fixtures.write_run(tmp_path / "run", images=6, voxels=12, side=8))
    table = caption_table(run)
    assert table.empty
    assert tuple(table.columns) == CAPTION_COLUMNS
    assert caption_grid(run, table) is None
    assert "image vs reference" not in render_html(run)
    assert "image vs reference" in render_html(RunResult.open(fixtures.with_captions(run.folder)))


def test_captions_that_have_no_captioner_beside_them(folder: Path) -> None:
    fixtures.change_scores(folder, "scores", lambda f: f[f["row"] != "generator-ceiling"])
    figures = line(caption_table(RunResult.open(folder)), "measured")
    assert np.isnan([figures["image_reference"], figures["relative"]]).all()
    assert np.isfinite([figures["brain_reference"], figures["brain_image"]]).all()


def test_the_grid_has_a_body_per_metric_and_dashes_where_there_is_no_figure(folder: Path) -> None:
    run = RunResult.open(folder)
    table = caption_table(run)
    grid = caption_grid(run, table)
    assert [head.text for head in grid.heads] == [
        "image vs reference",
        "brain vs reference",
        "brain vs image",
        "relative",
    ]
    assert [body.heading for body in grid.bodies] == list(fixtures.CAPTIONS.values())
    rows = {label: cells for label, _, cells in grid.bodies[0].lines}
    assert rows["predicted, shuffled"][2:] == (None, None)
    figures = line(table, "measured")
    assert [cell.value for cell in rows["measured fMRI"]] == [
        figures[name] for name in ("image_reference", "brain_reference", "brain_image", "relative")
    ]


def test_the_terminal_prints_all_four(folder: Path) -> None:
    out = io.StringIO()
    run = RunResult.open(folder)
    render(run, Console(file=out, width=400), tables=TABLES)
    text = out.getvalue().split("captions: mean")[1]
    for name in ("image vs reference", "brain vs reference", "brain vs image", "relative"):
        assert name in text
    figures = line(caption_table(run), "measured")
    assert (
        f"{figures['relative']:.3f} [{figures['relative_low']:.3f}, {figures['relative_high']:.3f}]" in text
    )
