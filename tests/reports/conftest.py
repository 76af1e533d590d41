"""A run with its ``report.html``."""

from __future__ import annotations

from pathlib import Path

import pytest
import report_fixtures as fixtures
from report_pages import Page

from harness.reports import figures, lesions, patterns, predicted
from harness.reports.html import write_report


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = fixtures.write_run(tmp_path_factory.mktemp("run"))
    write_report(path)
    return path


@pytest.fixture(scope="session")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text("utf-8"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return fixtures.write_run(tmp_path / "run", images=6, voxels=12, side=8)


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts take most of the time and are tested on their own; some are put together and not drawn."""
    for name in ("region_chart", "ceiling_chart", "ceiling_histogram", "image_chart"):
        monkeypatch.setattr(figures, name, lambda run: "")
    for module in (lesions, patterns, predicted):
        monkeypatch.setattr(module, "to_svg", lambda chart, text: f'<svg viewBox="0 0 9 9">{text}</svg>')
