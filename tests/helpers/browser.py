"""Headless Chromium over pages that open from disk: what a reader sees, hears and types.

``Browser.open(file)`` is a page at rest; the ``assert_…`` functions are what every page promises, whatever it
shows, so that a test names a page and asks for all of them (``tests/reports/test_page.py``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

REQUIRED = "HARNESS_BROWSER"
"""Environment variable: where it is ``required`` these tests fail in place of being skipped."""

WIDTHS = {"desk": 1280, "phone": 390}
"""Names and widths in pixels of the two windows."""

TIMEOUT = 300_000
"""Milliseconds that a page may take for one step: a machine may be busy, and no result depends on it."""

_COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SERIOUS = ("serious", "critical")


@dataclass
class Visit:
    """A page that was opened, and all that it asked for or complained of since.

    page : playwright's page.
    requests : addresses other than the file's own, its neighbours in the folder and inline data.
    complaints : errors and warnings of the console, uncaught errors, and dialogs that opened by themselves.
    """

    page: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def rest(self) -> Visit:
        """The same page with its parts folded as they were when it opened, at its top."""
        self.page.evaluate(
            """() => {
              window.unfolded ??= new Set(document.querySelectorAll('details[open]'));
              for (const d of document.querySelectorAll('details')) d.open = window.unfolded.has(d);
              window.scrollTo(0, 0);
            }"""
        )
        return self


class Browser:
    """Pages of one headless Chromium."""

    def __init__(self, chromium: Any) -> None:
        self._chromium = chromium

    @contextmanager
    def open(
        self, file: Path, *, width: int = WIDTHS["desk"], dark: bool = False, fragment: str = ""
    ) -> Iterator[Visit]:
        """`file` as it opens by a double click, in a window of so many pixels."""
        scheme = "dark" if dark else "light"
        size = {"width": width, "height": 900}
        context = self._chromium.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        visit = Visit(page)
        folder = file.resolve().parent.as_uri()
        page.on("request", lambda request: _note_request(visit, request.url, folder))
        page.on("console", lambda message: _note_message(visit, message))
        page.on("pageerror", lambda error: visit.complaints.append(f"uncaught: {error}"))
        page.on(
            "dialog", lambda dialog: (visit.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss())
        )
        page.goto(file.resolve().as_uri() + fragment, wait_until="load")
        try:
            yield visit
        finally:
            context.close()


def _note_request(visit: Visit, address: str, folder: str) -> None:
    if not address.startswith((f"{folder}/", "data:", "blob:")):
        visit.requests.append(address)


def _note_message(visit: Visit, message: Any) -> None:
    if message.type in ("error", "warning"):
        visit.complaints.append(f"{message.type}: {message.text}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, or the test is skipped with what is missing, and fails where one is :data:`REQUIRED`."""
    command = next(filter(None, map(shutil.which, _COMMANDS)), None)
    if command is None:
        _without("no Chromium on the path; Debian and Ubuntu: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _without("playwright is not installed; pip install -e '.[test]'")
    # Without a card it would emulate one, which takes a third more time than to draw without.
    arguments = ["--disable-gpu", "--disable-software-rasterizer"]
    # Chromium refuses to run as root, as a container does, with its sandbox on.
    arguments += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=command, args=arguments)
        yield Browser(program)
        program.close()


def _without(reason: str) -> None:
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(f"{REQUIRED}=required, but {reason}")
    pytest.skip(reason)


def assert_quiet(visit: Visit) -> None:
    """No request but to the page's own files, and no complaint."""
    assert visit.requests == []
    assert visit.complaints == []


def assert_accessible(visit: Visit) -> None:
    """axe-core finds nothing serious, with every ``details`` open."""
    visit.page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    # Evaluated by the debugger, which the page's own content security policy does not bind.
    visit.page.evaluate(_axe())
    # What is drawn inside a chart has one text in its place.
    where = "{include: [['html']], exclude: [['.chart svg > *']]}"
    problems = visit.page.evaluate(
        f"axe.run({where}, {{resultTypes: ['violations']}}).then((r) => r.violations)"
    )
    serious = [
        f"{problem['impact']}: {problem['help']}: {node['html'][:160]}: {node['failureSummary'][:300]}"
        for problem in problems
        if problem["impact"] in _SERIOUS
        for node in problem["nodes"][:4]
    ]
    assert not serious, "\n".join(serious)


@cache
def _axe() -> str:
    import axe_playwright_python  # which bundles it

    return (files(axe_playwright_python) / "axe.min.js").read_text("utf-8")


def assert_fits(visit: Visit) -> None:
    """The page does not scroll sideways, what is wider having a frame of its own; no name is cut off."""
    wide = visit.page.evaluate(
        """() => {
          const room = document.documentElement.clientWidth;
          if (document.documentElement.scrollWidth <= room) return [];
          const out = [...document.body.querySelectorAll('*')].filter((e) =>
            e.getBoundingClientRect().right > room + 1 && !e.parentElement.closest('.scroll, .chart'));
          return [`${document.documentElement.scrollWidth} > ${room}`,
            ...out.slice(0, 5).map((e) => e.outerHTML.slice(0, 120))];
        }"""
    )
    assert not wide, wide
    cut = visit.page.evaluate(
        """() => [...document.querySelectorAll('.chart')].flatMap((chart) => {
          const edge = chart.getBoundingClientRect().left;
          return [...chart.querySelectorAll('text')].filter((t) => t.getBoundingClientRect().left < edge - 1)
            .map((t) => t.textContent);
        })"""
    )
    assert not cut, f"cut off at the left of a chart: {cut}"


def assert_tables_sort(visit: Visit) -> int:
    """Every heading sorts its table's lines within their group, both ways; returns how many there are."""
    page = visit.page
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    unsorted, count = page.evaluate(
        """() => {
          const wrong = [];
          const buttons = [...document.querySelectorAll('button.sort')];
          for (const button of buttons) {
            const head = button.closest('th'), table = button.closest('table');
            const sizes = () => [...table.tBodies].map((b) => b.rows.length).join();
            const before = sizes();
            for (const way of ['descending', 'ascending']) {
              button.click();
              const name = `${table.id}: ${button.textContent}`;
              if (head.getAttribute('aria-sort') !== way) wrong.push(`${name} does not say ${way}`);
              for (const body of table.tBodies) {
                const lines = [...body.rows].filter((r) => !r.classList.contains('group'));
                const cells = lines.map((r) => r.cells[head.cellIndex]);
                const numbers = cells.map((c) => parseFloat(c.dataset.value)).filter((v) => !Number.isNaN(v));
                const texts = cells.map((c) => c.textContent.trim());
                const sign = way === 'ascending' ? 1 : -1;
                const ordered = numbers.length
                  ? numbers.every((v, k) => !k || sign * (v - numbers[k - 1]) >= 0)
                  : texts.every((t, k) => !k || sign * t.localeCompare(texts[k - 1]) >= 0);
                if (!ordered) wrong.push(`${name} is not ${way}`);
              }
            }
            if (sizes() !== before) wrong.push(`lines of ${table.id} changed their group`);
          }
          return [wrong, buttons.length];
        }"""
    )
    assert not unsorted, unsorted
    return count


# One question for all lines of a table: asked line by line they took most of the time of these tests.
_TEXTS_IN_SIGHT = """(lines) => lines.map((line) => [line.textContent,
  line.checkVisibility({visibilityProperty: true}) && line.getBoundingClientRect().height > 0])"""


def assert_tables_filter(visit: Visit) -> int:
    """Typing into a table's filter leaves the lines that hold it; returns how many filters there are."""
    page = visit.page
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    filters = page.locator("input.filter")
    for k in range(filters.count()):
        box = filters.nth(k)
        lines = page.locator(f"#{box.get_attribute('data-table')} tbody tr:not(.group)")
        before = lines.evaluate_all(_TEXTS_IN_SIGHT)
        word = lines.last.locator("th").first.text_content().strip()[:12].strip()
        box.fill(word.upper())
        after = lines.evaluate_all(_TEXTS_IN_SIGHT)
        visible = [text for text, in_sight in after if in_sight]
        assert visible == [text for text, _ in after if word.lower() in " ".join(text.lower().split())], word
        box.fill("no such line")
        assert not any(in_sight for _, in_sight in lines.evaluate_all(_TEXTS_IN_SIGHT))
        box.fill("")
        assert lines.evaluate_all(_TEXTS_IN_SIGHT) == before
        assert all(in_sight for _, in_sight in before)
    return filters.count()


def assert_images_enlarge(visit: Visit) -> int:
    """The first and the last image open large, and Escape closes them where they were opened."""
    page = visit.page
    buttons = page.locator("button.enlarge")
    for k in sorted({0, buttons.count() - 1}) if buttons.count() else ():
        small = page.locator("button.enlarge").nth(k).locator("xpath=ancestor::tr").locator("img").first
        width = small.bounding_box()["width"]
        buttons.nth(k).click()
        large = page.locator("dialog[open] img")
        assert large.count() >= 1
        assert large.first.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
        assert large.first.bounding_box()["width"] > width
        page.keyboard.press("Escape")
        assert page.locator("dialog[open]").count() == 0
        assert page.evaluate("document.activeElement.textContent") == buttons.nth(k).text_content()
    return buttons.count()


def assert_keyboard_reaches_all(visit: Visit, *, most: int = 600) -> int:
    """Tab comes to every control that is in sight, in the order of the page, each with a visible outline."""
    page = visit.page
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    count = page.evaluate(
        """() => {
          const kinds = 'a[href], button, input, select, textarea, summary, [tabindex="0"]';
          let number = 0;
          for (const e of document.querySelectorAll(kinds)) {
            if (e.checkVisibility({visibilityProperty: true}) && !e.disabled) e.dataset.number = number++;
          }
          return number;
        }"""
    )
    page.evaluate(
        """() => {
          window.controls = [];
          document.addEventListener('focusin', ({target}) => {
            const style = getComputedStyle(target);
            const marked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
            window.controls.push([target.dataset.number ?? target.outerHTML.slice(0, 100), marked]);
          });
        }"""
    )
    for _ in range(min(count, most)):
        page.keyboard.press("Tab")
    controls = page.evaluate("window.controls")
    assert not (bare := [number for number, outline in controls if not outline]), f"no outline at {bare}"
    seen = [number for number, _ in controls]
    assert seen == [str(k) for k in range(min(count, most))]
    return count
