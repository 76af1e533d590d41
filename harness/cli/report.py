"""``harness report`` and ``harness export``: a finished run, shown again or as a table."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import ConfigError, suggest
from ..results import RunResult

FORMATS = {".csv": "csv", ".parquet": "parquet", ".md": "markdown", ".tex": "latex"}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--no-stimuli", is_flag=True, help="leave out the stimuli")
def report(folder: Path, no_stimuli: bool) -> None:
    """Write report.html of the run in FOLDER again, from its tables."""
    from harness.reports.html import write_report

    RunResult.open(folder)
    click.echo(str(write_report(folder, show_stimuli=not no_stimuli)))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--per-image", is_flag=True, help="every value instead of means with intervals")
def export(folder: Path, file: Path, per_image: bool) -> None:
    """Write the table of the run in FOLDER to FILE (.csv, .parquet, .md or .tex)."""
    if file.suffix not in FORMATS:
        raise ConfigError(suggest(file.suffix, FORMATS, what="table format"))
    run = RunResult.open(folder)
    if per_image:
        table = run.scores
    else:
        from harness.reports.tables import score_table

        table = score_table(run)
    kind = FORMATS[file.suffix]
    if kind == "csv":
        content = table.to_csv(index=False).encode()
    elif kind == "parquet":
        table.to_parquet(file, index=False)
        return
    else:
        content = (
            table.to_markdown(index=False) if kind == "markdown" else table.to_latex(index=False)
        ).encode()
    from ..store import write_atomic

    write_atomic(file, content)
