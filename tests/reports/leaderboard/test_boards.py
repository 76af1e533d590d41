"""What may stand in one table does, and nothing else; what stands beside systems cannot be left out."""

from __future__ import annotations

import json

import pytest
from board_runs import TEST_DATA, board_run
from report_pages import change_info

from harness.errors import DataError
from harness.reports.leaderboard.boards import ENTRY, find_boards
from harness.results import RunResult


def boards(*folders):
    return find_boards([RunResult.open(folder) for folder in folders])


def systems(board):
    return [(entry.encoder, entry.decoder) for entry in board.systems]


@pytest.mark.parametrize(
    "change",
    [
        {"benchmark": {"name": "toy", "version": "2", "simulated": True, "params": {"subjects": 1}}},
        {"data_sha": {**TEST_DATA, "test_stimuli": "9" * 64}},
        {"data_sha": {**TEST_DATA, "test_responses": "9" * 64}},
        {"subset": {"name": "limit-5", "sha": "xyz"}},
        {"benchmark": {"name": "other", "version": "1", "params": {}}},
    ],
    ids=["version", "stimuli", "responses", "subset", "benchmark"],
)
def test_other_test_data_are_another_board(tmp_path, change):
    first = board_run(tmp_path / "a", images=4)
    second = board_run(tmp_path / "b", images=4, encoder="mlp")
    assert [systems(board) for board in boards(first, second)] == [[("ridge", "linear"), ("mlp", "linear")]]
    change_info(second, **change)
    apart = boards(first, second)
    assert [systems(board) for board in apart] == [[("ridge", "linear")], [("mlp", "linear")]]
    assert len({board.title for board in apart}) == 2


def test_systems_of_other_subjects_meet_on_the_subjects_that_they_share(tmp_path):
    folders = [board_run(tmp_path / f"ridge-{k}", images=4, subject=f"s{k}") for k in (1, 2)]
    folders.append(board_run(tmp_path / "mlp", images=4, subject="s1", encoder="mlp"))
    both, single = boards(*folders)
    assert (both.subjects, systems(both)) == (("s1", "s2"), [("ridge", "linear")])
    assert (single.subjects, systems(single)) == (("s1",), [("ridge", "linear"), ("mlp", "linear")])
    assert [run.folder.name for run in single.systems[0].runs] == ["ridge-1"]


def test_seeds_are_one_line_and_settings_are_told(tmp_path):
    again = board_run(tmp_path / "again", images=4, seed=1)
    plain = board_run(tmp_path / "plain", images=4)
    deeper = board_run(tmp_path / "deeper", images=4)
    change_info(deeper, encoder={"name": "ridge", "version": "1", "params": {"folds": 9}})
    (board,) = boards(plain, again, deeper)
    assert systems(board) == [("ridge (folds=5)", "linear"), ("ridge (folds=9)", "linear")]
    assert len(board.systems[0].runs) == 2


def test_a_copy_of_a_run_is_told_by_its_folder(tmp_path):
    folders = [board_run(tmp_path / name, images=4) for name in ("mine", "theirs")]
    (board,) = boards(*folders)
    assert systems(board) == [("ridge (mine)", "linear"), ("ridge (theirs)", "linear")]


def test_measured_reference_and_control_rows_stand_once_for_each_decoder(tmp_path):
    folders = [
        board_run(tmp_path / f"{encoder}-{decoder}", images=4, encoder=encoder, decoder=decoder)
        for encoder in ("ridge", "mlp")
        for decoder in ("linear", "mindeye2")
    ]
    (board,) = boards(*folders)
    beside = [(entry.row.name, entry.decoder) for entry in board.entries if entry.kind != ENTRY]
    for decoder in ("linear", "mindeye2"):
        for row in ("measured", "oracle", "zero", "shuffled-measured", "flat-grey"):
            assert beside.count((row, decoder)) == 1
    assert not any(row in ("shuffled", "predicted", "stimulus") for row, _ in beside)
    kinds = [entry.kind for entry in board.entries]
    assert kinds == sorted(kinds, key=[ENTRY, "compared", "reference", "control"].index)


def test_a_run_without_encoder_gives_its_measured_row(tmp_path):
    folder = board_run(tmp_path / "run", images=4, encoder=None)
    info = json.loads((folder / "run.json").read_text())
    change_info(folder, rows=[row for row in info["rows"] if row["name"] != "predicted"])
    (board,) = boards(folder)
    assert board.systems == ()
    assert ("measured", "linear") in [(entry.row.name, entry.decoder) for entry in board.entries]


def test_without_runs_there_is_no_leaderboard(tmp_path):
    with pytest.raises(DataError, match="a leaderboard needs runs"):
        find_boards([])
    empty = board_run(tmp_path / "run", images=4, rows=[])
    with pytest.raises(DataError, match="no system and no measured row"):
        boards(empty)


@pytest.mark.parametrize("row", ["reconstructions", "captions"])
def test_what_was_made_elsewhere_is_a_system(tmp_path, row):
    folders = [
        board_run(tmp_path / name, images=4, encoder=None, decoder=f"folder:some/{name}") for name in "ab"
    ]
    for folder in folders:
        rows = json.loads((folder / "run.json").read_text())["rows"]
        change_info(folder, rows=[r | {"name": row} for r in rows if r["name"] == "predicted"])
    (board,) = boards(*folders)
    assert systems(board) == [(f"{row} made elsewhere", "a"), (f"{row} made elsewhere", "b")]
