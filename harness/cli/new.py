"""``harness new``: a package with a plugin to start from."""

from __future__ import annotations

from pathlib import Path

import click

from ..storage.disk import explained
from .paths import UserPath


@click.command()
@click.argument("kind", metavar="KIND")
@click.argument("name")
@click.option(
    "--folder",
    type=UserPath(file_okay=False),
    default=Path("."),
    show_default="here",
    help="Where the folder NAME is made.",
)
def new(kind: str, name: str, folder: Path) -> None:
    """Write a small package with an encoder, decoder, metric or benchmark called NAME.

    It installs with pip, passes 'harness check NAME' and its own tests; its module is yours to change.
    """
    from ..testing.scaffold import write_package

    with explained(folder, advice="give another --folder"):
        files = write_package(kind, name, folder)
    for file in files:
        click.echo(file)
    click.echo(f"now type: pip install -e {files[0].parent} && harness check {name}")
