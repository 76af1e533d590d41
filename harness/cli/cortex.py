"""``harness cortex``: maps of a finished run, and of what two runs differ in, as pictures."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import visible
from ..results import RunResult
from .paths import UserPath


@click.command()
@click.argument("folder", metavar="RUN", type=UserPath())
@click.argument("other", metavar="[OTHER]", required=False, type=UserPath())
@click.option("-o", "--out", type=UserPath(), help="folder of the pictures  [default: RUN/cortex]")
def cortex(folder: Path, other: Path | None, out: Path | None) -> None:
    """Draw the voxel scores and noise ceilings of RUN on the cortex, and its difference from OTHER.

    OTHER is a run of another encoder on the same voxels and images, or of one branch of an encoder with two
    (--set encoder.intervention=where, and what).
    """
    from harness.reports.cortex import write_cortex

    run = RunResult.open(folder)
    files = write_cortex(
        run, out or folder / "cortex", other=None if other is None else RunResult.open(other)
    )
    for file in files:
        click.echo(visible(str(file)))
