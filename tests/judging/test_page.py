"""The page shows every judgement, figure and warning as text."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from harness.judging.page import show
from harness.judging.verdict import Judgement, Verdict
from harness.notices import Flag


def test_markup_in_names_is_text():
    console = Console(record=True, file=StringIO(), width=100)
    judged = Judgement("pictures", Verdict.ALARM, "[bold]two[/bold]", (("<b>id</b>", "3"),), "do [this]")
    show(console, "paired, subj01", [judged], [Flag("odd", "warning", "a [red]warning[/red]")])
    page = console.export_html(inline_styles=True)
    assert "&lt;b&gt;id&lt;/b&gt;" in page
    assert "<b>id</b>" not in page
    for words in ("[bold]two[/bold]", "do [this]", "a [red]warning[/red]", "alarm"):
        assert words in page
