"""The judgements on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..notices import Flag
from .verdict import Judgement, Verdict

_COLOURS = {Verdict.GOOD: "green", Verdict.NOTE: "yellow", Verdict.ALARM: "bold red", Verdict.UNKNOWN: "dim"}


def show(
    console: Console, title: str, judgements: Sequence[Judgement], flags: Sequence[Flag], *, mark: str = ""
) -> None:
    """Print `judgements`, each with its figures, and what was warned of while the data were read.

    mark : what must be known of the data before any figure; nothing where empty.
    """
    if mark:
        console.print(Text(f"*** {mark} ***", style="bold magenta"))
    console.print(Text(title, style="bold"))
    for judgement in judgements:
        console.print()
        line = Text(f"{judgement.name}: ", style="bold")
        line.append(str(judgement.verdict), style=_COLOURS[judgement.verdict])
        line.append(f". {judgement.sentence}")
        console.print(line)
        table = Table(box=None, show_header=False, padding=(0, 2))
        table.add_column()
        table.add_column()
        for what, value in judgement.figures:
            table.add_row(Text(what), Text(value))
        if judgement.figures:
            console.print(table)
        if judgement.advice:
            console.print(Text(f"  what to do: {judgement.advice}"))
    for flag in flags:
        console.print(Text(f"while reading: {flag.message}"))
