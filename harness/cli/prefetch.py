"""``harness prefetch``: pretrained weights into a folder of this machine, hashes checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..errors import WeightsMissing


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="a file that was downloaded elsewhere, or a folder of such files under their own names",
)
def prefetch(names: tuple[str, ...], source: Path | None) -> None:
    """Fetch the weights called NAMES, each one weights or a group; without a name, list them all and
    say which are here.  ``metrics`` is the group of everything that the default metrics need.
    """
    from ..backbones import weights
    from ..errors import ConfigError, WeightsMissing

    if not names:
        if source is not None:
            raise ConfigError(
                "--from takes one name, for example: harness prefetch alexnet --from alexnet.pth, or "
                "harness prefetch metrics --from FOLDER"
            )
        _list()
        return
    wanted = list(dict.fromkeys(one for name in names for one in weights.members(name)))
    folder = source is not None and source.is_dir()
    if source is not None and not folder and len(wanted) != 1:
        raise ConfigError(
            f"--from {source} is one file for {len(wanted)} weights ({', '.join(wanted)}); give a folder "
            "that holds them, or one name: harness prefetch alexnet --from alexnet.pth"
        )
    missing: dict[str, WeightsMissing] = {}
    for name in wanted:
        given = source / weights.WEIGHTS[name].file_name if folder else source
        try:
            # Where one could not be fetched, the others would wait for the same network: they are looked up.
            lost = missing and source is None
            file = weights.locate(name) if lost else weights.fetch(name, source=given)
        except WeightsMissing as problem:
            missing[name] = problem
        else:
            click.echo(f"{name}: {file}")
    if missing:
        raise _all_of(missing, wanted, names, fetched=source is None)


def _all_of(
    missing: Mapping[str, WeightsMissing], wanted: Sequence[str], names: Sequence[str], *, fetched: bool
) -> WeightsMissing:
    """One error that names all the `missing` weights, with what happened to the first of them."""
    from ..backbones import weights
    from ..errors import WeightsMissing

    first = next(iter(missing.values()))
    if len(missing) == 1:
        return first
    files = ", ".join(f"{name} ({weights.WEIGHTS[name].file_name})" for name in missing)
    together = (
        f". All at once, from a folder that holds these files: harness prefetch {' '.join(names)} --from "
        "FOLDER; 'harness prefetch' lists where each comes from"
    )
    return WeightsMissing(
        f"{len(missing)} of {len(wanted)} weights are not here: {files}. The first: {str(first).rstrip('.')}"
        f"{together if fetched else ''}"
    )


def _list() -> None:
    from ..backbones import weights

    for name, state in weights.status().items():
        click.echo(f"{name:24} {state}")
    for group, inside in weights.GROUPS.items():
        click.echo(f"{group:24} all of {', '.join(inside)} ({weights.megabytes(inside):,} MB)")
