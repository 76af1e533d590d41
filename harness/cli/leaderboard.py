"""``harness leaderboard``: runs of many systems side by side, as a page and as tables."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, HarnessError, visible
from ..results import RunResult
from .paths import UserPath
from .tables import print_table, say

if TYPE_CHECKING:
    from rich.console import Console

    from harness.reports.leaderboard import Leaderboard

TOP = 10
"""Systems of each board that the terminal shows."""


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=UserPath())
@click.option(
    "-o",
    "--out",
    type=UserPath(),
    default=Path("leaderboard"),
    show_default=True,
    help="folder that leaderboard.html, .md, .csv, .tex and .parquet are written into",
)
def leaderboard(folders: tuple[Path, ...], out: Path) -> None:
    """Put runs side by side: one line for each encoder, adapter and decoder on a benchmark.

    RUN is the folder of a run or of a submission, or a folder that such folders lie in.  Measured fMRI,
    controls and published numbers stand beside the systems.  Runs of other benchmarks, versions or test
    images stand in tables of their own, and scores of one name and another definition in columns of their
    own.  Runs that differ in the seed or the subject alone are one line.
    """
    from harness.reports.leaderboard import leaderboard as build
    from harness.reports.leaderboard import open_runs

    from ..storage.disk import explained
    from .summary import console

    if out.exists() and not out.is_dir():
        another = shlex.quote(str(out.with_name(f"{out.stem}-board")))
        raise ConfigError(f"{out} is a file; give a folder: -o {another}")
    runs = open_runs(folders)
    board = build(runs, versions=installed_versions(runs))
    with explained(out, advice="give another folder with -o"):
        files = board.write(out)
    print_leaderboard(board, console())
    click.echo(visible("\n".join(str(file) for file in files)))


def installed_versions(runs: Sequence[RunResult]) -> dict[str, set[str]]:
    """Benchmark of `runs`, or metric -> versions of it that are installed here; what is not has no entry."""
    from .. import plugins

    versions: dict[str, set[str]] = {}
    for ref in plugins.available("metrics"):
        if ref.row is not None:
            versions.setdefault(ref.name, set()).add(str(ref.row.version))
    wanted = {run.record.benchmark.name for run in runs}
    for ref in plugins.available("benchmarks"):
        if ref.unversioned in wanted:
            try:
                versions.setdefault(ref.unversioned, set()).add(str(ref.load().version))
            except HarnessError:  # 'harness doctor' says what is wrong with it
                continue
    return versions


def print_leaderboard(board: Leaderboard, console: Console) -> None:
    """The first systems of every board by the score that orders it, and how sure that order is."""
    from harness.reports.layout import SIMULATED, bracket, number
    from harness.reports.leaderboard.tables import short_letters

    show = partial(say, console)
    for scored in board.boards:
        place = next((k for k, c in enumerate(scored.columns) if c.heading == scored.ordered_by), None)
        if scored.board.simulated:
            show(f"*** {SIMULATED} ***", "bold magenta")
        show(f"{scored.board.title}: {len(scored.board.systems)} systems", "bold")
        if place is not None:
            estimates = scored.estimates[place]
            lines = [
                (
                    *(entry.encoder, entry.adapter, entry.decoder),
                    f"{number(own.mean.mean)} {bracket(own.mean.low, own.mean.high)}".rstrip(),
                    short_letters(own.group),
                    ", ".join(scored.facts[entry][0].texts()),
                )
                for entry in scored.board.systems[:TOP]
                if (own := estimates.get(entry)) is not None
            ]
            heads = ("encoder", "adapter", "decoder", scored.ordered_by, "group", "what is known")
            print_table(console, heads, lines)
        for note in scored.notes:
            show(f"note: {note}", "cyan")
