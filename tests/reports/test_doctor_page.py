"""The page of ``harness data doctor`` shows every judgement and figure as text."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_pages import JUDGEMENTS, Page, words, write_judgements

from harness.reports.doctor_page import render_judgements


def test_names_are_text_and_every_figure_is_there(tmp_path: Path) -> None:
    page = Page(write_judgements(tmp_path / "run").read_text("utf-8"))
    assert not page.all("img")
    assert len(page.scripts) == 1
    shown = words(page)
    assert all(shown.count(f"region {k} </script>") == 5 for k in range(9))
    assert shown.count("do what is best") == 1
    assert "odd " in shown
    levels = [item["class"] for item in page.all("li")]
    assert levels == ["info", "alarm", "info", "info", "warning", "warning"]


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_data_are_called_so(simulated: bool) -> None:
    page = Page(render_judgements("embedded", JUDGEMENTS, warnings=[], simulated=simulated))
    assert ("simulated, not brain data" in words(page)) == simulated
    assert all(("simulated, not brain data" in caption) == simulated for caption in page.captions)
