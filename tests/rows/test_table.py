"""Rows and what they are made of: means, trials, halves."""

from __future__ import annotations

import numpy as np
import pytest
from commands import HELPERS, only_run

from harness.data import Responses, VoxelSpace
from harness.reports.layout import GROUPS
from harness.reports.tables import agreement_table
from harness.rows.table import ROWS, in_order, response_streams, row_named, shuffled_row, training_mean
from harness.run_record import RowRecord
from harness.scoring.response_target import ResponseTarget, response_rows


def test_rows_average_inputs_or_hand_over_trials(data):
    for repeats, trials in (("inputs", 8), ("outputs", 24)):
        streams = {
            s.row: s for s in response_streams(data, seed=0, samples=1, repeats=repeats, trial_rows=False)
        }
        assert set(streams) == {"measured", "zero", "train-mean", "oracle", "remeasured"}
        assert streams["measured"].responses.n_trials == trials
        np.testing.assert_allclose(
            streams["measured"].responses.mean(), data.test.responses.mean(), atol=1e-6
        )
    assert not streams["zero"].responses.trials().any()
    mean = data.train.responses.mean().mean(axis=0)
    np.testing.assert_allclose(streams["train-mean"].responses.trials(), np.tile(mean, (8, 1)), atol=1e-5)


def test_halves_share_no_trial(data):
    from dataclasses import replace

    streams = response_streams(
        replace(data, remeasured=None, truth=None), seed=0, samples=1, repeats="outputs", trial_rows=True
    )
    by_row = {}
    for stream in streams:
        by_row.setdefault(stream.row, []).append(stream)
    halves = [by_row[f"half-{k}"][0].responses for k in (1, 2)]
    assert [h.n_trials for h in halves] == [16, 8]
    rows = {row.tobytes() for row in halves[0].trials()} & {row.tobytes() for row in halves[1].trials()}
    assert not rows
    assert [s.trial for s in by_row["measured-trial"]] == [0, 1, 2]
    stacked = np.stack([s.responses.trials() for s in by_row["measured-trial"]], axis=1)
    np.testing.assert_array_equal(stacked, data.test.responses.repeats())


def test_unequal_repeats():
    space = VoxelSpace("d", "s", "m", 3, "raw", "x")
    trials = np.arange(18, dtype=np.float32).reshape(6, 3)
    responses = Responses(space, ["a", "b", "c"], trials, np.array([2, 0, 2, 1, 2, 0]))
    assert responses.counts().tolist() == [2, 1, 3]
    np.testing.assert_array_equal(responses.mean()[2], trials[[0, 2, 4]].mean(axis=0))
    chosen = responses.select(["c", "a"])
    np.testing.assert_array_equal(chosen.trials(), trials[[0, 2, 4, 1, 5]])
    assert np.isnan(responses.repeats()[1, 1:]).all()


def test_predictions_stand_beside_halves_against_the_same_half(harness, tmp_path, toy_words):
    """Without a re-measurement one half is compared with the other, and so are the predictions."""
    (tmp_path / "real.py").write_text(
        f"import sys; sys.path.insert(0, {str(HELPERS)!r})\n"
        "from dataclasses import replace\n"
        "from toys import ToyBenchmark\n"
        "class Measured(ToyBenchmark):\n"
        "    def load(self, subject):\n"
        "        return replace(super().load(subject), truth=None, remeasured=None)\n"
    )
    metrics = ["--metrics", "pixcorr,decoded-agreement,voxel-r", "--no-report"]
    harness("run", *toy_words, "--benchmark", "real.py:Measured", *metrics, "--set", "benchmark.n_test=16")
    run = only_run(tmp_path)
    assert run.info["test_trials"] == [3, 3]
    scores = run.scores.set_index(["metric", "target", "row"])["value"]
    assert "predicted-half" not in run.scores[run.scores.target == "stimulus"].row.unique()
    whole, half = (scores["pixcorr@1", "measured", row].mean() for row in ("predicted", "predicted-half"))
    assert half < whole  # one trial against three
    table = agreement_table(run).set_index(["metric", "row"])
    ours, same, again = (
        table.loc[("decoded-agreement@1", row)] for row in ("predicted", "predicted-half", "half-1")
    )
    assert ours["normalised"] == pytest.approx(same["mean"] / again["mean"])
    assert ours["normalised"] == same["normalised"]


def test_rows_that_rows_name_are_rows_and_what_is_drawn_again_is_none():
    for row in ROWS.values():
        named = (row.shuffled, row.nearest, row.reference, row.against_half)
        assert {name for name in named if name} <= set(ROWS), row.name
        assert row.redrawn not in ROWS
        assert row.group in GROUPS
    assert {row.name for row in ROWS.values() if row.blind} == {"zero", "train-mean"}
    assert {row.name for row in ROWS.values() if not row.reference} == {
        "measured",
        "measured-trial",
        "half-2",
    }
    assert ROWS["half-1"].reference == "half-2"
    assert [row.shuffled for row in ROWS.values() if row.shuffled] == [
        *("shuffled-measured", "shuffled", "shuffled-reconstructions", "shuffled-captions")
    ]
    assert (shuffled_row("predicted"), shuffled_row("zero"), shuffled_row("noise")) == (
        "shuffled",
        None,
        None,
    )


def test_rows_stand_in_the_order_of_reports_each_once():
    given = [
        "flat-grey",
        "measured-rank-2",
        "predicted",
        "measured-rank-16",
        "oracle",
        "stimulus",
        "measured",
    ]
    names = [
        "stimulus",
        "measured",
        "predicted",
        "oracle",
        "flat-grey",
        "measured-rank-16",
        "measured-rank-2",
    ]
    assert [row.name for row in in_order([*given, "oracle"])] == names
    rank = row_named("measured-rank-16")
    assert (rank.label, rank.group, rank.reference) == ("measured, rank 16", "bottleneck", "")
    with pytest.raises(KeyError):
        row_named("noise")


def test_records_of_before_groups_were_kept_get_those_of_the_table():
    # No record without groups has these.
    later = {row for row in ROWS if "caption" in row or row in ("cheat-inverse-plain", "code-ceiling")}
    for name in (*(ROWS.keys() - later), "stimulus", "measured-rank-4"):
        assert RowRecord(name=name).group == row_named(name).group
    assert RowRecord(name="of another harness").group == "other"
    assert RowRecord(name="zero", group="other").group == "other"


def test_the_training_mean_is_one_wherever_it_stands(data):
    mean = data.train.responses.mean().mean(axis=0, dtype=np.float64).astype(np.float32)
    np.testing.assert_array_equal(training_mean(data), mean)
    streams = response_streams(data, seed=0, samples=1, repeats="inputs", trial_rows=False)
    (stream,) = [stream for stream in streams if stream.row == "train-mean"]
    for patterns in (stream.responses.trials(), response_rows(data, None)["train-mean"]):
        np.testing.assert_array_equal(patterns, np.tile(mean, (len(data.test), 1)))
    np.testing.assert_array_equal(ResponseTarget.of(data).baseline, mean[data.space.valid])
