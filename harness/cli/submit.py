"""``harness submit`` and ``harness verify``: a run as others may have it, and what of it can be checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import DataError, visible
from .paths import UserPath
from .run import STORE_OPTION

if TYPE_CHECKING:
    from ..results import RunResult

DERIVED = ("summary", "paired", "encoding", "rois", "agreement")
"""Tables of ``harness export`` that a submission holds."""

SHOWN = 20
"""Altered values that are listed."""


@click.command()
@click.argument("run_folder", metavar="RUN", type=UserPath())
@click.option("-o", "--out", required=True, type=UserPath(), help="the folder of the submission")
@click.option("--no-images", is_flag=True, help="without reconstructions and predictions to check scores by")
@click.option(
    "--own-code",
    is_flag=True,
    help="the run is yours: plugins that it names as files (path/file.py:Class) may be called",
)
@STORE_OPTION
def submit(run_folder: Path, out: Path, no_images: bool, own_code: bool, store: Path | None) -> None:
    """Write the run in RUN as a folder for others: without stimuli and measured data, with plugin cards.

    Images and predictions are read from the store; what is not there any more is computed again.
    """
    from ..places import store_folder
    from ..results import RunResult
    from ..storage.store import Store
    from ..submitting.remade import plugins_in_files, remade_plan
    from ..submitting.write import write_submission
    from .progress import Bars
    from .summary import console
    from .tables import say

    run = RunResult.open(run_folder)
    plan, why_not = remade_plan(run.record, own_code=own_code)
    if not own_code and plugins_in_files(run.record):
        why_not += "; where the run is your own, add --own-code"
    record = write_submission(
        run,
        out,
        derived_tables(run),
        plan=plan,
        why_not=why_not,
        store=Store(store_folder(store)),
        reporter=Bars(console(errors=True)),
        images=not no_images,
    )
    shown = console()
    for name, why in record.left_out.items():
        say(shown, f"left out: {name} ({why})")
    say(shown, f"submission written: {out}. Check it: harness verify {out}")


@click.command()
@click.argument("folder", type=UserPath())
@click.option("--benchmark", help="the benchmark with the data of the run [the run's, where it is generated]")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="benchmark.KEY=VALUE",
    help="where that benchmark's data are",
)
@click.option(
    "--sample", type=click.IntRange(min=1), default=100, help="images of each row scored anew [100]"
)
@click.option("--anew", is_flag=True, help="make the whole run again, with installed plugins")
@STORE_OPTION
def verify(
    folder: Path,
    benchmark: str | None,
    assignments: tuple[str, ...],
    sample: int,
    anew: bool,
    store: Path | None,
) -> None:
    """Compute the numbers of a submission again and refuse it where one is another, saying which.

    What was verified is written to verified.json; any later edit voids it.
    """
    from functools import partial

    from ..places import store_folder
    from ..storage.store import Store
    from ..submitting.anew import check_anew
    from ..submitting.data import subject_data
    from ..submitting.verify import verify as checked
    from ..submitting.verify import write_verified
    from .progress import Bars
    from .summary import console
    from .tables import say

    kept = Store(store_folder(store))
    again = partial(check_anew, store=kept, reporter=Bars(console(errors=True)))
    findings = checked(
        folder,
        derived_tables,
        data=partial(subject_data, benchmark=benchmark, assignments=assignments, store=kept),
        anew=again if anew else None,
        sample=sample,
    )
    shown = console()
    for what, count in findings.checked.items():
        say(shown, f"computed again: {what}: {count:,} values")
    for line in findings.not_checked:
        say(shown, f"not checked: {visible(line)}")
    for line in findings.wrong[:SHOWN]:
        say(shown, f"altered: {visible(line)}", "bold red")
    if findings.wrong:
        raise DataError(
            f"{folder} is refused: {len(findings.wrong)} values are not what was computed again "
            f"(first: {findings.wrong[0]})"
        )
    write_verified(folder, findings)
    say(shown, f"verified: {folder}")


def derived_tables(run: RunResult) -> Mapping[str, bytes]:
    """Name -> CSV of the tables that are derived of `run`'s; those that it has nothing for are absent."""
    from harness.reports.exports import EXPORTS, csv_content

    tables = {name: EXPORTS[name].make(run) for name in DERIVED}
    return {name: csv_content(table) for name, table in tables.items() if not table.empty}
