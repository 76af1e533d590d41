"""Tables of suites beside printed ones, from written runs."""

from __future__ import annotations

import numpy as np
import pytest
import report_fixtures as fixtures

from harness.published import published_rows
from harness.reports.beside import beside_table, cell_scores, nearest_column, spread_table, why_they_differ
from harness.reports.suites import SuiteRun
from harness.results import RunResult

PUBLISHED = {row.name: row for row in published_rows()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beside")
    return [
        SuiteRun(
            encoder,
            "linear",
            seed,
            RunResult.open(fixtures.write_run(folder / f"{encoder}{seed}", seed=seed)),
        )
        for encoder in ("b", "a")
        for seed in (0, 1)
    ]


def test_a_line_is_the_mean_over_runs_and_stands_beside_its_printed_one(runs):
    table = beside_table(runs, ["pixcorr", "voxel-r"], {"b × linear": PUBLISHED["chasm"]})
    assert table["encoder"].tolist() == ["b", "b", "a", "a"]
    own = table.set_index(["encoder", "column"])
    means = [cell_scores(cell.run)["voxel-r"][0] for cell in runs[:2]]
    assert own.loc[("b", "voxel-r"), "mean"] == pytest.approx(np.mean(means))
    assert own.loc[("b", "voxel-r"), "published_value"] == 0.429
    assert own.loc[("b", "pixcorr"), "published"] == ""
    assert np.isnan(own.loc[("b", "voxel-r"), "low"])  # of several runs there is no interval


def test_another_row_may_be_read(runs):
    cells = runs[:1]
    predicted, measured = (
        beside_table(cells, ["pixcorr"], {}, row=row)["mean"][0] for row in ("", "measured")
    )
    scores = cells[0].run.scores
    expected = scores[(scores["row"] == "measured") & (scores["metric"] == "pixcorr@1")]
    expected = expected[expected["target"] == "stimulus"].groupby("image_id")["value"].mean()
    assert measured == pytest.approx(expected.mean())
    assert predicted != measured


def test_a_column_of_a_region_is_that_regions_alone():
    row = PUBLISHED["chasm"]
    assert nearest_column(row, "voxel-r") == "voxel-r"
    assert nearest_column(row, "voxel-r/early") == ""


def test_reasons_say_of_which_systems_they_are_true(runs):
    printed = {"a × linear": PUBLISHED["chasm"], "b × linear": PUBLISHED["chasm-mlp"]}
    reasons = why_they_differ(runs, printed)
    (error,) = [systems for text, systems in reasons.items() if text.startswith("the error lies below")]
    assert error == ("a × linear",)
    assert ("a × linear", "b × linear") in reasons.values()


def test_spread_of_draws_is_told_from_that_of_images(runs):
    table = spread_table(runs[:1]).set_index("metric")
    assert {"pixcorr@1", "ssim@1"} <= set(table.index)
    assert (table["between_images"] > 0).all()
