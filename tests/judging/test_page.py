"""On a terminal every judgement, figure and warning is text, below what must be known of the data."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from harness.judging.page import show
from harness.judging.verdict import Judgement, Verdict
from harness.notices import Flag


def test_markup_in_names_is_text():
    shown = StringIO()
    judged = Judgement("pictures", Verdict.ALARM, "[bold]two[/bold]", (("[b]id[/b]", "3"),), "do [this]")
    warned = [Flag("odd", "warning", "a [red]warning[/red]")]
    show(Console(file=shown, width=100), "paired, subj01", [judged], warned, mark="[not] measured")
    lines = shown.getvalue().splitlines()
    assert lines[0] == "*** [not] measured ***"
    for words in ("[bold]two[/bold]", "[b]id[/b]", "do [this]", "a [red]warning[/red]", "alarm"):
        assert any(words in line for line in lines)
