"""Scores that do not mean the same never stand below one heading."""

from __future__ import annotations

import json

import pytest
import report_fixtures as fixtures
from board_runs import board_run
from report_pages import change_info

from harness.reports.leaderboard import leaderboard


def metrics_of(folder):
    return json.loads((folder / "run.json").read_text())["metrics"]


def test_every_level_has_its_scores_and_the_headline_ones_are_shown_first(board):
    (scored,) = board.boards
    by_level: dict[str, list[str]] = {}
    for column in scored.columns:
        by_level.setdefault(column.level, []).append(column.metric.base)
    assert by_level["low"] == ["pixcorr", "ssim", "pixel-2way"]
    assert by_level["high"] == ["distance"]
    assert by_level["agreement"] == ["decoded-agreement", "decoded-agreement-controlled"]
    assert set(by_level["responses"]) == {"voxel-r", "pattern-r"}
    main = [column.metric.base for column in scored.columns if column.main]
    assert main == ["pixcorr", "ssim", "decoded-agreement", "decoded-agreement-controlled", "voxel-r"]


@pytest.mark.parametrize(
    ("change", "heading"),
    [({"chance": 0.1}, "SSIM (chance 0.1)"), ({"backbone": "clip:image"}, "SSIM (backbone clip:image)")],
)
def test_another_definition_of_one_name_is_another_column_and_a_note_says_so(tmp_path, change, heading):
    first = board_run(tmp_path / "a", images=4)
    second = board_run(tmp_path / "b", images=4, encoder="mlp")
    changed = [m | change if m["name"] == "ssim@1" else m for m in metrics_of(second)]
    change_info(second, metrics=changed)
    board = leaderboard([first, second])
    wide = board.wide(every=True).set_index("encoder")
    assert [wide.loc[name, "SSIM"] != "" for name in ("ridge", "mlp")] == [True, False]
    assert [wide.loc[name, heading] != "" for name in ("ridge", "mlp")] == [False, True]
    assert any(heading in note for note in board.boards[0].notes)


def test_another_version_and_another_pool_are_other_columns(tmp_path):
    first = board_run(tmp_path / "a", images=4)
    second = board_run(tmp_path / "b", images=4, encoder="mlp")

    def newer(frame):
        pool = frame["pool"].where(frame["metric"] != "pixel-2way@1", "another")
        return frame.assign(metric=frame["metric"].replace("ssim@1", "ssim@2"), pool=pool)

    fixtures.change_scores(second, "scores", newer)
    change_info(
        second, metrics=[m | {"name": m["name"].replace("ssim@1", "ssim@2")} for m in metrics_of(second)]
    )
    wide = leaderboard([first, second]).wide(every=True).set_index("encoder")
    for ours, theirs in (("SSIM", "SSIM @2"), ("2-way (pixels)", "2-way (pixels) (another pool of images)")):
        assert [wide.loc[name, ours] != "" for name in ("ridge", "mlp")] == [True, False]
        assert [wide.loc[name, theirs] != "" for name in ("ridge", "mlp")] == [False, True]


def test_one_version_of_different_code_is_noted(tmp_path):
    first = board_run(tmp_path / "a", images=4)
    second = board_run(tmp_path / "b", images=4, encoder="mlp")
    change_info(second, metrics=[m | {"file_sha": "f" * 64} for m in metrics_of(second)])
    notes = leaderboard([first, second]).boards[0].notes
    assert any("different code under one version" in note for note in notes)
