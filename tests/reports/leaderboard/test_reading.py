"""What is read in one pass is what the report of a run reads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures
from board_runs import board_run

from harness.errors import DataError
from harness.reports.leaderboard.reading import TARGETS, read_scores
from harness.reports.values import image_values
from harness.results import RunResult


def test_means_over_trials_and_samples_are_those_of_the_report(tmp_path):
    folder = board_run(tmp_path / "run", images=9)

    def holes(frame: pd.DataFrame) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        value = frame["value"].where(rng.random(len(frame)) > 0.1)
        kept = (frame["image_id"] != "scene-003") | (frame["row"] != "zero")  # no line at all
        return frame.assign(value=value, rivalry=rng.normal(0, 0.1, len(frame)))[kept].sample(
            frac=1, random_state=0
        )

    fixtures.change_scores(folder, "scores", holes)
    run = RunResult.open(folder)
    read = read_scores(run, [row.name for row in run.record.rows], {})
    compared = 0
    for target in TARGETS:
        values, rivalry = (image_values(run, target, column=name) for name in ("value", "rivalry"))
        for row, metric in values.columns:
            own = read[row, target, metric]
            ids = list(own.ids)
            np.testing.assert_allclose(own.values, values[row, metric].reindex(ids), rtol=1e-12)
            np.testing.assert_allclose(own.rivalry, rivalry[row, metric].reindex(ids), rtol=1e-12)
            assert set(values.index[values[row, metric].notna()]) <= set(ids)
            compared += 1
    assert compared > 40
    assert "scene-003" not in read["zero", "stimulus", "ssim@1"].ids


def test_only_rows_that_are_asked_for_are_kept_and_voxel_scores_come_by_their_contributions(tmp_path):
    run = RunResult.open(board_run(tmp_path / "run", images=9))
    read = read_scores(run, ["predicted"], {})
    assert {row for row, _, _ in read} == {"predicted"}
    voxel = read["predicted", "responses", "voxel-r@1"]
    assert voxel.value == pytest.approx(0.3)
    assert voxel.values.mean() == pytest.approx(0.3)
    assert len(voxel.ids) == 9


def test_ids_that_runs_share_are_kept_once(tmp_path):
    shared: dict = {}
    first, second = (
        read_scores(RunResult.open(board_run(tmp_path / name, images=5)), ["predicted"], shared)
        for name in ("a", "b")
    )
    key = ("predicted", "stimulus", "ssim@1")
    assert first[key].ids is second[key].ids


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("scores", b"torn", "scores.parquet cannot be read"),
        ("scores", None, "scores.parquet is missing"),
        ("region_contributions", b"torn", "region_contributions.parquet cannot be read"),
    ],
)
def test_a_damaged_table_is_told_in_a_line(tmp_path, name, content, message):
    folder = board_run(tmp_path / "run", images=5)
    file = folder / f"{name}.parquet"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        read_scores(RunResult.open(folder), ["predicted"], {})
    assert "\n" not in str(error.value)
