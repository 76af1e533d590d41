"""Names, captions and file names with markup in them are text at every door through which a result leaves."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import report_fixtures as fixtures
from report_pages import EVIL, Page, change_info, words

from harness.reports.comparison import compare
from harness.reports.comparison_page import render_comparison
from harness.reports.exports import EXPORTS, csv_content, latex_content, markdown_content
from harness.reports.html import write_report
from harness.reports.leaderboard import leaderboard
from harness.results import RunResult

NOT_HERE = {"contrasts", "regions", "captions", "bottleneck", "nearness"}
"""Tables of which these runs have nothing."""

MARK = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs whose encoder, decoder, areas, images and flags are called by markup, and all that is made of it:
    report, gallery and figures, what may be handed on, a comparison, a leaderboard."""
    folder = tmp_path_factory.mktemp("marked")
    runs = []
    for k, name in enumerate((EVIL, f"{EVIL} 2")):
        run = fixtures.write_run(folder / f"run-{k}", images=6, voxels=12, side=8, seed=k)
        fixtures.with_lesions(fixtures.rename(run, "scene-001", EVIL))
        rois = {EVIL: list(range(6)), "V1": list(range(6, 12))}
        space = {"n_voxels": 12, "n_valid": 12, "units": EVIL, "mask": EVIL, "rois": rois, "groups": rois}
        flag = {"name": EVIL, "level": EVIL, "message": EVIL}
        change_info(
            run,
            run=name,
            encoder={"name": name, "version": EVIL, "params": {EVIL: EVIL}},
            decoder={"name": EVIL, "version": "1", "params": {}},
            space=space,
            flags=[flag],
            failed_metrics=[{"metric": EVIL, "error": EVIL, "how_to_rerun": EVIL}],
            left_out_metrics=[{"metric": EVIL, "why": EVIL}],
            gallery_rule=EVIL,
            command=["harness", EVIL],
            device=EVIL,
        )
        runs.append(run)
    write_report(fixtures.with_pictures(runs[0]))
    write_report(runs[0], shareable=True)
    compared = compare([RunResult.open(run) for run in runs], flips=50)
    (folder / "comparison.html").write_text(render_comparison(compared), "utf-8")
    leaderboard(runs).write(folder / "board")
    return folder


def test_pages_hold_it_as_text(marked: Path) -> None:
    pages = list(marked.rglob("*.html"))
    assert {file.name for file in pages} == {
        "report.html",
        "gallery.html",
        "comparison.html",
        "leaderboard.html",
    }
    assert len(pages) == 6
    for file in pages:
        page = Page(file.read_text("utf-8"))
        assert len(page.all("script")) == 1, file
        assert [name for _, attrs in page.tags for name in attrs if name.startswith("on")] == [], file
        assert all(image["src"] != "x" for image in page.all("img")), file
        assert MARK in words(page), file
        assert "{{7*7}}" in words(page), file


def test_figures_are_drawings_and_nothing_else(marked: Path) -> None:
    drawings = list(marked.rglob("*.svg"))
    assert len(drawings) > 8
    for file in drawings:
        for element in ElementTree.parse(file).iter():
            assert element.tag.partition("}")[2] in (
                "svg",
                "g",
                "path",
                "text",
                "rect",
                "line",
                "defs",
                "clipPath",
                "linearGradient",
                "stop",
                "title",
                "style",
            ), (file, element.tag)
            assert not [name for name in element.attrib if name.startswith("on")], file


@pytest.mark.parametrize("name", sorted(set(EXPORTS) - NOT_HERE))
def test_tables_hold_it_as_a_cell(marked: Path, name: str) -> None:
    table = EXPORTS[name].make(RunResult.open(marked / "run-0"))
    assert len(table)
    table = table.head(40)
    assert csv_content(table)
    assert MARK not in markdown_content(table).decode()
    assert not re.search(r"(?<!\\)[&]\{", latex_content(table).decode())


def test_leaderboards_hold_it_as_a_cell(marked: Path) -> None:
    board = marked / "board"
    assert MARK not in (board / "leaderboard.md").read_text("utf-8")
    assert MARK in (board / "leaderboard.csv").read_text("utf-8")
