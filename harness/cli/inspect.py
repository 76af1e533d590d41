"""``harness inspect``: the arrays in a data file, before writing a YAML about them."""

from __future__ import annotations

from pathlib import Path

import click

from .paths import UserPath


@click.command()
@click.argument("file", type=UserPath())
def inspect(file: Path) -> None:
    """Show name, shape and type of every array in FILE (.mat, .npz, .npy, .h5, .pt, .csv, .tsv)."""
    from ..errors import visible
    from ..reading.arrays import describe

    for entry in describe(file):
        note = f"  {entry.note}" if entry.note else ""
        click.echo(visible(f"{entry.name:32} {entry.shape!s:24} {entry.dtype}{note}"))
