"""Comparisons of written runs: which system is better, groups, and what could not be scored."""

from __future__ import annotations

import pandas as pd
import report_fixtures
from report_fixtures import line_of

from harness.reports.comparison import compare
from harness.results import RunResult


def test_lower_is_better_where_the_metric_says_so(three_encoders):
    distance = three_encoders.means[three_encoders.means.metric == "distance@1"]
    best = distance.sort_values("mean").system.iloc[0]
    assert best == "high"
    assert line_of(three_encoders.means, metric="distance@1", system="high").group.startswith("a")
    ends = line_of(three_encoders.differences, metric="distance@1", a="low", b="high")
    assert ends.difference > 0
    assert ends.better == "high"


def test_groups_and_differences_agree(three_encoders):
    differences = three_encoders.differences
    for _, metric in three_encoders.means.groupby("metric"):
        letters = dict(zip(metric.system, metric.group))
        for pair in differences[differences.metric == metric.metric.iloc[0]].itertuples():
            shared = bool(set(letters[pair.a]) & set(letters[pair.b]))
            assert shared == (pair.better == "")
    assert "" in set(differences.better)
    assert {"a", "ab", "b"} & set(three_encoders.means.group)
    assert (differences.p_holm >= differences.p).all()
    assert len(differences) == 3 * 4


def test_a_metric_that_scored_nothing_is_left_out(tmp_path):
    folder = report_fixtures.write_run(tmp_path / "gaps")

    def change(scores: pd.DataFrame) -> pd.DataFrame:
        lost = (scores.metric == "ssim@1") & (scores.row == "measured")
        return scores.assign(value=scores.value.mask(lost))

    report_fixtures.change_scores(folder, "scores", change)
    comparison = compare([RunResult.open(folder)], rows=("predicted", "measured"))
    assert dict(comparison.left_out) == {"ssim@1": "no image was scored for measured fMRI"}
    assert set(comparison.means.metric) == {"pixcorr@1", "pixel-2way@1", "distance@1"}


def test_a_large_family_can_still_tell_systems_apart(three_encoders):
    """100 draws have no p below 1/101, and twelve times that is no finding."""
    few = compare([next(iter(system.runs.values())) for system in three_encoders.systems], flips=100)
    assert 1 / 101 * len(few.differences) > 0.05
    assert (few.differences.better != "").any()


def test_a_run_without_the_column_has_no_rivalry(tmp_path):
    folder = report_fixtures.write_run(tmp_path / "old")
    report_fixtures.change_scores(folder, "scores", lambda scores: scores.drop(columns="rivalry"))
    run = RunResult.open(folder)
    assert (run.scores.rivalry == 0).all()
    assert len(compare([run], rows=("predicted", "measured")).means)
