"""``--against``: a run beside published numbers, and in what they differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from .tables import print_table, say

if TYPE_CHECKING:
    from rich.console import Console

    from ..results import RunResult

HELP = (
    "print published numbers beside the run's: 'published' for those of its encoder and decoder, or names of "
    "lines in configs/published.yaml"
)


def _names(context: click.Context, option: click.Parameter, given: str | None) -> tuple[str, ...]:
    """Names of lines, known before any work is done for them."""
    from harness.errors import ConfigError, suggest
    from harness.published import published_rows
    from harness.reports.published import ALL

    names = tuple(name.strip() for name in (given or "").split(",") if name.strip())
    choices = [ALL, *(row.name for row in published_rows())] if names else []
    if strange := [name for name in names if name not in choices]:
        raise ConfigError("--against: " + suggest(strange[0], choices, what="published line"))
    return names


def against_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--against NAMES``."""
    return click.option("--against", callback=_names, metavar="NAMES", help=HELP)(command)


def print_against(run: RunResult, names: tuple[str, ...], console: Console) -> None:
    """The run's scores beside published ones, then what differs and for which lines."""
    from harness.reports.layout import bracket, number
    from harness.reports.published import against_table, chosen_rows, shared_differences

    rows = chosen_rows(run, names)
    table = against_table(run, rows)
    if table.empty:
        say(console, "no published number is of a score that this run has")
        return
    lines = [
        (
            f"{line.system} [{line.published}]",
            line.metric_label,
            f"{number(line.mean)} {bracket(line.low, line.high)}".rstrip(),
            f"{line.published_value:g}{' (unchecked)' if line.unchecked else ''}",
            line.published_metric,
        )
        for line in table.itertuples()
    ]
    say(console, "beside published numbers: references, never targets", "bold")
    print_table(console, ("published line", "score", "here", "printed", "printed as"), lines)
    shown = [row for row in rows if row.name in set(table["published"])]
    for source in dict.fromkeys(row.source for row in shown):
        names = ", ".join(row.name for row in shown if row.source == source)
        say(console, f"source of {names}: {source}")
    for sentence, names in shared_differences({row.name: (run, row) for row in shown}).items():
        where = "" if len(names) == len(shown) else f" [{', '.join(names)}]"
        say(console, f"differs: {sentence}{where}")
