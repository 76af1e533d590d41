"""Means, intervals, tie groups and orders are those of a comparison of the same runs."""

from __future__ import annotations

import numpy as np
import pytest
from board_runs import board_run

from harness.reports.comparison import compare
from harness.reports.leaderboard import leaderboard
from harness.results import RunResult


def lines(board, **wanted):
    table = board.table[board.table["kind"] == "system"]
    for name, value in wanted.items():
        table = table[table[name] == value]
    return table


def test_means_and_intervals_are_those_of_a_comparison(tmp_path):
    folders = [
        board_run(tmp_path / "ridge", images=12),
        board_run(tmp_path / "ridge-again", images=12, seed=1),
        board_run(tmp_path / "mlp", images=12, encoder="mlp", better=0.15),
        board_run(tmp_path / "chasm", images=12, encoder="chasm", better=0.16),
    ]
    compared = compare([RunResult.open(folder) for folder in folders])
    board = leaderboard(folders)
    for means, key in ((compared.means, "stimulus"), (compared.region_means, "responses")):
        for line in means.itertuples():
            if getattr(line, "kind", "all") != "all":
                continue
            encoder = line.system.partition(" ")[0]
            (own,) = lines(board, encoder=encoder, metric=line.metric, target=key).itertuples()
            assert [own.mean, own.low, own.high] == pytest.approx([line.mean, line.low, line.high], abs=1e-12)
            assert own.n == line.n
    pixcorr = lines(board, metric="pixcorr@1").set_index("encoder")["group"].to_dict()
    assert pixcorr["ridge"] not in (pixcorr["mlp"], "")
    assert set(pixcorr["mlp"]) & set(pixcorr["chasm"]) == {"a"}


def test_several_subjects_have_a_mean_and_from_four_on_an_interval_for_others(tmp_path):
    three = [board_run(tmp_path / f"ridge-{k}", images=12, subject=f"s{k}") for k in range(3)]
    fourth = board_run(tmp_path / "ridge-3", images=12, subject="s3", better=0.4)
    whole = {}
    for folders in (three, [*three, fourth]):
        table = lines(leaderboard(folders), metric="pixcorr@1", target="stimulus").set_index("subject")
        assert sorted(table.index) == ["", *(f"s{k}" for k in range(len(folders)))]
        parts = table.drop(index="")
        assert table.loc["", "mean"] == pytest.approx(parts["mean"].mean())
        assert parts["low_subjects"].isna().all()
        whole[len(folders)] = table.loc[""]
    assert np.isnan(whole[3]["low_subjects"])
    fixed = whole[4]["high"] - whole[4]["low"]
    assert whole[4]["high_subjects"] - whole[4]["low_subjects"] > 2 * fixed, "subjects lie far apart"


def test_an_image_that_a_system_lacks_is_missing_there_alone(tmp_path):
    import report_fixtures as fixtures

    folders = [board_run(tmp_path / name, images=12, encoder=name) for name in ("ridge", "mlp", "chasm")]
    gone = "scene-004"
    fixtures.change_scores(
        folders[1], "scores", lambda f: f.assign(value=f["value"].where(f["image_id"] != gone))
    )
    table = lines(leaderboard(folders), metric="ssim@1").set_index("encoder")
    assert table["n"].to_dict() == {"ridge": 12, "mlp": 11, "chasm": 12}
    assert table["missing"].to_dict() == {"ridge": 0, "mlp": 1, "chasm": 0}
    assert all(table["group"] == "a")


def test_orders_under_two_decoders_are_compared_with_an_interval(board):
    taus = board.taus[board.taus["metric"] == "pixcorr@1"]
    (line,) = taus.itertuples()
    assert (line.decoder_a, line.decoder_b, line.encoders) == ("linear", "mindeye2", 3)
    # chasm > mlp > ridge, and ridge > chasm > mlp: one pair of three is in the same order
    assert line.tau == pytest.approx(-1 / 3)
    assert line.low <= line.tau <= line.high
    assert line.order_a == "chasm > mlp > ridge"
    assert line.order_b == "ridge > chasm > mlp"
    assert not set(board.taus["target"]) & {"responses"}, "no decoder changes what an encoder predicts"


def test_direction_counts_where_lower_is_better(board):
    distance = lines(board, metric="distance@1", decoder="linear").set_index("encoder")["mean"]
    assert distance["chasm"] < distance["mlp"] < distance["ridge"]
    (line,) = board.taus[board.taus["metric"] == "distance@1"].itertuples()
    assert line.order_a == "chasm > mlp > ridge"


def test_systems_are_ordered_by_voxel_r_and_not_by_a_decoded_score(board):
    (scored,) = board.boards
    assert scored.ordered_by == "voxel r"
    bases = [column.metric.base for column in scored.columns]
    means = scored.estimates[bases.index("voxel-r")]
    values = [means[entry].mean.mean for entry in scored.board.systems]
    assert values == sorted(values, reverse=True)
