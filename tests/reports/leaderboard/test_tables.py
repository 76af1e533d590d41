"""The frame has a line for each number; laid out wide it is what a paper prints."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.errors import DataError
from harness.published import published_rows
from harness.reports.leaderboard import TABLE_COLUMNS, TAU_COLUMNS
from harness.reports.leaderboard.tables import UNCHECKED, amount, short_letters, wide_published


def test_columns_are_of_one_kind_and_survive_parquet(board, tmp_path):
    assert tuple(board.table.columns) == TABLE_COLUMNS
    assert tuple(board.taus.columns) == TAU_COLUMNS
    board.table.to_parquet(tmp_path / "x.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "x.parquet"), board.table)


def test_measured_controls_and_published_lines_are_there_and_are_told_from_systems(board):
    kinds = board.table.groupby("kind")["row"].nunique()
    assert set(kinds.index) == {"system", "compared", "reference", "control", "published"}
    assert not board.table.loc[board.table["kind"] != "system", "group"].fillna("").any()
    published = board.table[board.table["kind"] == "published"]
    assert len(published) == sum(len(row.values) for row in published_rows())
    assert published["source"].str.len().min() > 0
    assert published["differs"].str.len().min() > 0
    assert not set(published["board"]) & {scored.board.title for scored in board.boards}


def test_wide_has_a_line_for_each_row_and_a_column_for_each_score(board):
    wide = board.wide().set_index(["encoder", "decoder"])
    assert wide.loc[("chasm", "linear"), "voxel r"].startswith("0.500 [")
    assert wide.loc[("measured fMRI", "linear"), "voxel r"] == ""
    assert wide.loc[("chasm", "linear"), "encoder parameters"] == "1.5 M"
    assert "2-way (pixels)" not in wide
    assert "2-way (pixels)" in board.wide(every=True)
    with pytest.raises(DataError, match="there is no board 'other'; there are: toy@1, limit-24, s1"):
        board.wide("other")


def test_a_number_that_was_not_checked_has_a_question_mark(board):
    wide = wide_published(board.table[board.table["kind"] == "published"]).set_index("system")
    line = wide.loc["MindEye2, 40 sessions"]
    assert (line["pixcorr"], line["alexnet2-strict"]) == ("0.322", "0.961?")
    assert UNCHECKED not in line["not comparable"]
    assert "mean over four" in line["not comparable"]
    assert wide.loc["MindHier", "s/image"].iloc[0] == "2.6"


@pytest.mark.parametrize(
    ("letters", "text"),
    [
        ("", ""),
        ("a", "a"),
        ("ab", "ab"),
        ("abc", "a–c"),
        ("acd", "acd"),
        ("abcf", "a–c f"),
        ("xyza1b1", "x–b1"),
        ("z1a2c2", "z1a2c2"),
    ],
)
def test_neighbouring_letters_are_a_range(letters, text):
    assert short_letters(letters) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0042, "0.0042"),
        (1434.9, "1,435"),
        (3_200_000, "3.2 M"),
        (2.5e9, "2.5 G"),
        (7, "7"),
    ],
)
def test_costs_are_written_as_people_write_them(value, text):
    assert amount(value) == text
