"""``harness report`` and ``harness export``: a finished run, shown again or as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, suggest, visible
from ..results import RunResult
from ..storage.disk import explained
from .against import against_option, print_against
from .paths import UserPath
from .run import SHAREABLE_HELP, chosen_tables

if TYPE_CHECKING:
    import pandas as pd

FORMATS = {".csv": "csv", ".parquet": "parquet", ".md": "markdown", ".tex": "latex"}


class TableHelp(click.Command):
    """Help that lists the tables; they are imported when it is asked for."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        from harness.reports.exports import EXPORTS

        with formatter.section("Tables"):
            formatter.write_dl([(name, export.text) for name, export in EXPORTS.items()])


@click.command()
@click.argument("folder", type=UserPath())
@click.option("--shareable", is_flag=True, help=SHAREABLE_HELP)
@click.option(
    "--tables", callback=chosen_tables, help="print these tables in place of it: all, or their names"
)
@against_option
def report(folder: Path, shareable: bool, tables: tuple[str, ...], against: tuple[str, ...]) -> None:
    """Write report.html of the run in FOLDER again, from its tables; with --tables or --against print those
    instead."""
    if against:
        from .summary import console

        print_against(RunResult.open(folder), against, console())
    if tables or against:
        from harness.reports.terminal import render

        from .summary import console

        if tables:
            render(RunResult.open(folder), console(), tables=tables)
        return
    from harness.reports.html import write_report

    RunResult.open(folder)
    with explained(folder, advice="copy the run's folder to where there is some"):
        path = write_report(folder, shareable=shareable)
    click.echo(visible(str(path)))


@click.command(cls=TableHelp)
@click.argument("folder", type=UserPath())
@click.argument("file", type=UserPath())
@click.option("--table", "name", default=None, help="which table; by default summary")
@click.option("--target", default=None, help="summary, scores: against what (stimulus, measured, image …)")
@click.option("--wide", is_flag=True, help="a line per row, a column per metric: mean [interval] as text")
@click.option("--per-image", is_flag=True, help="the same as --table scores")
def export(
    folder: Path, file: Path, name: str | None, target: str | None, wide: bool, per_image: bool
) -> None:
    """Write a table of the run in FOLDER to FILE (.csv, .parquet, .md or .tex)."""
    from harness.reports.exports import export_table, wide_table

    from .output import check_output, write_output

    if file.suffix not in FORMATS:
        raise ConfigError(suggest(file.suffix, FORMATS, what="table format"))
    if per_image and name not in (None, "scores"):
        raise ConfigError(f"--per-image is the table scores; leave it or --table {name} out")
    check_output(file)
    run = RunResult.open(folder)
    table = export_table(run, name or ("scores" if per_image else "summary"), target=target)
    content = _content(wide_table(table) if wide else table, FORMATS[file.suffix])
    write_output(file, content)


def _content(table: pd.DataFrame, kind: str) -> bytes:
    from harness.reports.exports import csv_content, latex_content, markdown_content

    if kind == "parquet":
        return table.to_parquet(None, index=False)
    if kind == "csv":
        return csv_content(table)
    if kind == "markdown":
        return markdown_content(table)
    return latex_content(table)
