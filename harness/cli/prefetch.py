"""``harness prefetch``: pretrained weights into a folder of this machine, hashes checked."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--from", "source", type=click.Path(path_type=Path), help="a file that was downloaded elsewhere"
)
def prefetch(names: tuple[str, ...], source: Path | None) -> None:
    """Fetch the weights called NAMES; without a name, list them and say which are here."""
    from ..backbones import weights
    from ..errors import ConfigError

    if source is not None and len(names) != 1:
        raise ConfigError("--from takes one name, for example: harness prefetch alexnet --from alexnet.pth")
    if not names:
        for name, state in weights.status().items():
            click.echo(f"{name:24} {state}")
        return
    for name in names:
        file = weights.fetch(name, source=source)
        click.echo(f"{name}: {file}")
