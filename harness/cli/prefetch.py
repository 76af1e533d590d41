"""``harness prefetch``: pretrained weights into a folder of this machine, hashes checked."""

from __future__ import annotations

from pathlib import Path

import click


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
    from ..errors import ConfigError

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
    for name in wanted:
        given = source / weights.WEIGHTS[name].file_name if folder else source
        file = weights.fetch(name, source=given)
        click.echo(f"{name}: {file}")


def _list() -> None:
    from ..backbones import weights

    for name, state in weights.status().items():
        click.echo(f"{name:24} {state}")
    for group, inside in weights.GROUPS.items():
        click.echo(f"{group:24} all of {', '.join(inside)} ({weights.megabytes(inside):,} MB)")
