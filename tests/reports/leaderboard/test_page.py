"""The page of a leaderboard says what a reader must know of every table."""

from __future__ import annotations

import pytest
from board_runs import board_run
from report_pages import Page, words

from harness.reports.layout import SIMULATED
from harness.reports.leaderboard import leaderboard
from harness.reports.leaderboard.page import render_leaderboard


@pytest.fixture(scope="module")
def page(board):
    return Page(render_leaderboard(board))


def test_every_board_has_scores_orders_costs_and_runs(page, board):
    tables = [table["id"] for table in page.all("table")]
    assert tables == [f"table-0-{name}" for name in ("scores", "decoders", "facts", "more")] + [
        "table-published"
    ]
    text = words(page)
    for told in ("toy@1, limit-24, s1", "low level", "high level", "ordered by voxel r", "1.5 M"):
        assert told in text
    assert "chasm-mindeye2" in text


def test_controls_and_published_numbers_are_told_from_systems(page):
    text = words(page)
    assert "Controls: what a score is worth without the information" in text
    assert "none may be compared with a line above" in text
    assert "MindEye2, arXiv 2403.11207, Table 1" in text


def test_what_is_grave_stands_beside_the_systems_name(tmp_path):
    """At the end of a wide table a badge is out of sight."""
    alarms = [
        {"name": name, "level": "alarm", "message": "", "hashes": []}
        for name in ("test-images-in-training", "misaligned-ids")
    ]
    folders = [
        board_run(tmp_path / "a", images=4, encoder="ours", flags=[]),
        board_run(tmp_path / "b", images=4, encoder="theirs", flags=alarms),
    ]
    text = words(Page(render_leaderboard(leaderboard(folders))))
    assert "theirs [trained on test images; alarm: misaligned-ids]" in text
    assert "ours [" not in text


def test_simulated_data_are_marked_in_every_caption(page):
    assert page.captions
    assert all(SIMULATED in caption for caption in page.captions if caption.strip())


def test_boards_of_simulated_and_of_measured_data_are_marked_apart(tmp_path):
    measured = {"name": "nsd", "version": "1", "simulated": False, "params": {}}
    folders = [
        board_run(tmp_path / "a", images=4),
        board_run(tmp_path / "b", images=4, benchmark=measured),
    ]
    page = Page(render_leaderboard(leaderboard(folders)))
    marked = [SIMULATED in caption for caption in page.captions]
    assert marked[: len(marked) // 2] == [True] * 3  # scores, costs, others; then the same of measured data
    assert not any(marked[3:])
    links = [attrs["href"] for attrs in page.all("a")]
    assert links == ["#board-0", "#board-0", "#board-1"]


def test_reports_that_lie_there_are_linked_to(tmp_path):
    folders = [board_run(tmp_path / "runs" / name, images=4, encoder=name) for name in ("a b#", "c")]
    (folders[0] / "report.html").write_text("")
    written = leaderboard(folders).write(tmp_path / "out")
    page = Page(next(path for path in written if path.suffix == ".html").read_text("utf-8"))
    assert [attrs["href"] for attrs in page.all("a")][1:] == ["../runs/a%20b%23/report.html"]


def test_each_subject_is_shown_where_there_are_several(tmp_path):
    folders = [board_run(tmp_path / f"run-{k}", images=4, subject=f"s{k}") for k in range(4)]
    text = words(Page(render_leaderboard(leaderboard(folders))))
    assert "Each subject" in text
    assert "other subjects [" in text
    assert "other images, and where said other subjects" in text
