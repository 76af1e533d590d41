"""``harness store``: how large the store is, and pruning it."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, suggest
from ..places import store_folder
from .paths import UserPath

if TYPE_CHECKING:
    from ..storage.pruning import Held

UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([mhdw])")
_STORE = click.option("--store", type=UserPath(), help="which [$HARNESS_STORE or in the user's cache]")


@click.group("store", invoke_without_command=True)
@_STORE
@click.pass_context
def store(context: click.Context, store: Path | None) -> None:
    """Say how much the store holds, by stage; 'harness store prune' removes from it.

    Everything in it can be computed again.
    """
    context.obj = store
    if context.invoked_subcommand is None:
        root = store_folder(store).resolve()
        from ..storage.pruning import inventory

        held = inventory(root)
        click.echo(str(root))
        for line in _table(held):
            click.echo(line)
        where = f" --store {shlex.quote(str(root))}" if store is not None else ""
        click.echo(f"what was not used for 30 days: harness store prune --older-than 30d --dry-run{where}")


@store.command()
@_STORE
@click.option("--older-than", metavar="AGE", help="only what was not used for so long: 12h, 30d, 8w")
@click.option("--stage", "stages", multiple=True, help="only of this stage, for example features; repeatable")
@click.option(
    "--keep-runs",
    type=UserPath(),
    multiple=True,
    help="keep the fitted models of the run in this folder, or of the runs in it; repeatable",
)
@click.option("--all", "everything", is_flag=True, help="all that is not kept")
@click.option("--dry-run", is_flag=True, help="say what would be removed, and remove nothing")
@click.pass_obj
def prune(
    outer: Path | None,
    store: Path | None,
    older_than: str | None,
    stages: Sequence[str],
    keep_runs: Sequence[Path],
    everything: bool,
    dry_run: bool,
) -> None:
    """Remove artifacts from the store; runs that need one compute it again.

    Tables and reports of finished runs do not lie in the store and stay as they are.
    """
    from ..storage.pruning import chosen, fitted_in, inventory, remove

    if not (older_than or stages or everything):
        raise ConfigError(
            "say what to remove: --older-than 30d, --stage features or --all; --dry-run only shows it"
        )
    age = None if older_than is None else _seconds(older_than)
    root = store_folder(store or outer).resolve()
    held = inventory(root)
    present = {artifact.stage for artifact in held}
    for name in stages:
        if name not in present:
            raise ConfigError(f"--stage {name}: " + suggest(name, present, what="stage"))
    kept = set().union(*(fitted_in(folder) for folder in keep_runs))
    doomed = chosen(held, older_than=age, stages=stages, kept=kept)
    for line in _table(doomed):
        click.echo(line)
    if dry_run:
        click.echo(f"nothing was removed; without --dry-run {size_of(doomed)} would be")
        return
    freed = remove(root, doomed)
    click.echo(f"removed: {_megabytes(freed)} from {root}")


def size_of(held: Sequence[Held]) -> str:
    """Bytes of `held` together, as people say them."""
    return _megabytes(sum(artifact.size for artifact in held))


def _table(held: Sequence[Held]) -> list[str]:
    """A line per stage: how many artifacts, how large, when they were used last."""
    lines = [f"{'stage':14} {'artifacts':>9} {'size':>10}  last used"]
    now = time.time()
    for stage in sorted({artifact.stage for artifact in held}):
        of = [artifact for artifact in held if artifact.stage == stage]
        newest, oldest = (_ago(now - pick(artifact.used for artifact in of)) for pick in (max, min))
        when = newest if newest == oldest else f"{newest} to {oldest}"
        lines.append(f"{stage:14} {len(of):9} {size_of(of):>10}  {when} ago")
    lines.append(f"{'in all':14} {len(held):9} {size_of(held):>10}")
    return lines


def _seconds(age: str) -> float:
    parts = _AGE.fullmatch(age.strip().lower())
    if not parts:
        raise ConfigError(f"--older-than {age}: expected a number and m, h, d or w, for example 30d")
    return float(parts[1]) * UNITS[parts[2]]


def _ago(seconds: float) -> str:
    for unit, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {word}"
    return "moments"


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
