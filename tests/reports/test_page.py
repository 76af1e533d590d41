"""Pages: one script named by its hash, files whole or not at all; and in a browser.

Opened from disk they ask for nothing, and work by mouse, keyboard and ear.  A page joins by one line of
:data:`PAGES`, and keeps all that is promised of pages.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import report_fixtures as fixtures
from board_runs import board_run, several
from browser import (
    WIDTHS,
    Browser,
    Visit,
    assert_accessible,
    assert_fits,
    assert_images_enlarge,
    assert_keyboard_reaches_all,
    assert_quiet,
    assert_tables_filter,
    assert_tables_sort,
    chromium,
)
from report_pages import EVIL, Page, write_judgements

from harness.reports.comparison import compare
from harness.reports.comparison_page import render_comparison
from harness.reports.gallery_page import write_gallery
from harness.reports.html import write_report
from harness.reports.leaderboard import leaderboard
from harness.reports.page import write_page
from harness.results import RunResult


def _report(folder: Path) -> Path:
    fixtures.write_run(folder, images=12, voxels=40, side=16)
    fixtures.with_lesions(fixtures.with_ranks(fixtures.with_captions(folder)))
    return write_report(fixtures.with_pictures(folder))


def _gallery(folder: Path) -> Path:
    """All images of a run, of which one is called by markup."""
    fixtures.write_run(folder, images=60, voxels=12, side=8)
    fixtures.rename(folder, "scene-003", EVIL)
    return write_gallery(RunResult.open(fixtures.with_pictures(folder)), folder)


def _leaderboard(folder: Path) -> Path:
    """Two boards, one of four subjects; names are long, and one is markup."""
    runs = several(folder / "runs")
    for k in range(4):
        named = {"encoder": EVIL, "benchmark": {"name": "other", "version": "1", "params": {}}}
        runs.append(board_run(folder / f"runs/subject-{k}", subject=f"subj0{k}", **named))
    return next(path for path in leaderboard(runs).write(folder / "board") if path.suffix == ".html")


def _comparison(folder: Path) -> Path:
    """Two encoders under two decoders, one of several seeds, by every region."""
    runs = [
        board_run(folder / f"runs/{encoder}-{decoder}", encoder=encoder, decoder=decoder, images=8)
        for encoder, decoder in itertools.product(("ridge", "mlp"), ("linear", "mindeye2"))
    ]
    runs.append(board_run(folder / "runs/again", encoder="ridge", seed=1, images=8))
    compared = compare([RunResult.open(run) for run in runs], regions=["all"], flips=100)
    return write_page(folder / "comparison.html", render_comparison(compared))


PAGES: dict[str, Callable[[Path], Path]] = {
    "report": _report,
    "gallery": _gallery,
    "leaderboard": _leaderboard,
    "comparison": _comparison,
    "doctor": write_judgements,
}
"""Name -> what writes the page into an empty folder and returns its path."""

WITH_IMAGES = ("report", "gallery", "comparison")
"""Pages whose images open large."""


def test_content_security_policy_names_the_one_script(page: Page) -> None:
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_page(tmp_path / "report.html", "before")
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        write_page(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_half_of_a_surrogate_pair_in_a_name_still_gives_a_file(tmp_path: Path) -> None:
    assert write_page(tmp_path / "report.html", "broken \ud800 name").read_text() == "broken \\ud800 name"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module", params=PAGES)
def file(request: pytest.FixtureRequest, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return PAGES[request.param](tmp_path_factory.mktemp(request.param) / "run")


@pytest.fixture(scope="module")
def opened(browser: Browser, file: Path) -> Iterator[dict[str, Visit]]:
    """The page in both windows, light at the desk and dark on the phone; to open it takes the most time."""
    with (
        browser.open(file, width=WIDTHS["desk"]) as desk,
        browser.open(file, dark=True, width=WIDTHS["phone"]) as phone,
    ):
        yield {"desk": desk.rest(), "phone": phone.rest()}


@pytest.fixture
def visit(opened: dict[str, Visit]) -> Visit:
    """The page at rest, at the desk."""
    return opened["desk"].rest()


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_the_window(opened: dict[str, Visit], file: Path, width: str) -> None:
    visit = opened[width].rest()
    assert_fits(visit)
    picture = file.parent / f"{width}.jpeg"
    visit.page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 10_000
    assert_quiet(visit)


PAPER = 1060
"""Pixels across a sheet of A4 on its side, between margins of 8 mm."""


def test_it_fits_the_paper(visit: Visit) -> None:
    window = visit.page.viewport_size
    visit.page.set_viewport_size({**window, "width": PAPER})
    visit.page.emulate_media(media="print")
    try:
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= PAPER
    finally:
        visit.page.emulate_media(media="screen")
        visit.page.set_viewport_size(window)
    assert_quiet(visit)


def test_the_keyboard_comes_to_every_control(visit: Visit) -> None:
    assert assert_keyboard_reaches_all(visit) >= 8
    assert_quiet(visit)


def test_images_open_large(visit: Visit, file: Path) -> None:
    assert (assert_images_enlarge(visit) > 0) == (file.parent.parent.name.rstrip("0") in WITH_IMAGES)
    assert_quiet(visit)


def test_tables_sort_and_filter(visit: Visit) -> None:
    assert assert_tables_sort(visit) >= 8
    assert assert_tables_filter(visit) >= 1
    assert_quiet(visit)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_seriously_hard_to_perceive(opened: dict[str, Visit], width: str) -> None:
    visit = opened[width].rest()
    assert_accessible(visit)
    assert_quiet(visit)


PICTURE = """<img width="40" alt="" src="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>">"""

BAD = f"""<!doctype html><title>bad</title>
<style>button {{ outline: none !important }} dialog img {{ width: 4px }} p {{ color: #bbb }}</style>
<p>hardly to be seen</p><img src="https://example.org/x.png"><div style="width: 3000px">wide</div>
<input class="filter" data-table="t"><table id="t">
<thead><tr><th><button class="sort">a</button></th></tr></thead>
<tbody><tr><th>1</th></tr><tr><th>2</th></tr></tbody></table>
<table><tr><td><button class="enlarge">i</button></td><td>{PICTURE}</td></tr></table>
<dialog id="d">{PICTURE}</dialog>
<script>console.error("oh"); document.querySelector(".enlarge").onclick = () => d.showModal()</script>"""


def test_what_is_asserted_of_pages_can_fail(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(BAD)
    with browser.open(page) as visit:
        assert any("example.org" in address for address in visit.requests)
        assert any("oh" in complaint for complaint in visit.complaints)
        for claim in (
            *(assert_quiet, assert_accessible, assert_fits, assert_tables_sort, assert_tables_filter),
            *(assert_keyboard_reaches_all, assert_images_enlarge),
        ):
            with pytest.raises(AssertionError):
                claim(visit)
    page.write_text(
        '<div class="chart"><svg style="overflow: visible"><text x="-40" y="9">name</text></svg></div>'
    )
    with browser.open(page) as visit, pytest.raises(AssertionError, match="cut off at the left"):
        assert_fits(visit)


def test_a_required_browser_is_not_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HARNESS_BROWSER", "required")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"), chromium():
        pass
    monkeypatch.delenv("HARNESS_BROWSER")
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"), chromium():
        pass


def test_images_of_a_gallery_load_when_they_come_into_sight(browser: Browser, tmp_path: Path) -> None:
    loaded = "[...document.images].filter((image) => image.complete && image.naturalWidth > 0).length"
    with browser.open(_gallery(tmp_path / "run")) as visit:
        visit.page.wait_for_function(f"{loaded} > 0")
        assert visit.page.evaluate("document.images.length") == 60 * 3
        assert visit.page.evaluate(loaded) < 60 * 3
        visit.page.locator("tbody tr").last.scroll_into_view_if_needed()
        last = "const last = [...document.images].at(-1); return last.complete && last.naturalWidth > 0"
        visit.page.wait_for_function(f"() => {{ {last}; }}")
        assert_quiet(visit)
