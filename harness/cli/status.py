"""``harness status``: what runs on a cluster are at, from the folders through which their tasks pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .run import STORE_OPTION

if TYPE_CHECKING:
    from ..storage.spool import Life, Spool

EVENTS = 8
"""Last lines of a run's log that are shown."""


@click.command()
@STORE_OPTION
@click.option("--all", "everything", is_flag=True, help="runs that are over too, not only the last of them")
def status(store: Path | None, everything: bool) -> None:
    """Say what runs on a cluster (--executor slurm or ray) are at, and what happened to their workers.

    It can be typed on any machine that sees the store.  Who lives is told by watching for five seconds.
    """
    from ..places import store_folder
    from ..storage.pruning import JOBS
    from ..storage.spool import Spool

    folder = store_folder(store) / JOBS
    spools = [Spool(place) for place in sorted(folder.glob("*")) if (place / "driver.json").is_file()]
    over = [spool for spool in spools if spool.driver().get("ended")]
    under_way = [spool for spool in spools if spool not in over]
    shown = [*(over if everything else over[-1:] if not under_way else []), *under_way]
    if not shown:
        click.echo(f"no run on a cluster has used the store {folder.parent}")
        return
    before = {spool.folder: _beats(spool) for spool in under_way}
    if under_way:
        time.sleep(_watched_for())
    for spool in shown:
        for line in _lines(spool, before.get(spool.folder, {})):
            click.echo(line)


def _watched_for() -> float:
    from ..storage.spool import BEAT

    return 5 * BEAT


def _beats(spool: Spool) -> dict[str, Any]:
    """Who -> a number that grows while it lives."""
    return {"": spool.driver().get("beats")} | {
        life.name: (life.life, life.beats) for life in spool.workers()
    }


def _lines(spool: Spool, before: dict[str, Any]) -> Iterator[str]:
    driver, after = spool.driver(), _beats(spool)
    alive = {who for who, beats in after.items() if before.get(who) != beats}
    state = "is over" if driver.get("ended") else "goes on" if "" in alive else "gives no sign of life"
    yield (
        f"{driver.get('name')} on {driver.get('cluster')}, handed out by process {driver.get('pid')} on "
        f"{driver.get('host')}: {state}"
    )
    workers = spool.workers()
    if not driver.get("ended"):
        yield (
            f"  tasks: {len(spool.waiting())} wait, {len(list(spool.claimed()))} under way, "
            f"{sum(worker.carried_out for worker in workers)} carried out by {driver.get('workers')} workers"
        )
    for worker in workers:
        yield f"  {_worker(worker, lives=worker.name in alive)}"
    log = spool.log()
    yield from (f"  {line}" for line in log[-EVENTS:])
    yield f"  logs: {spool.folder}"


def _worker(worker: Life, *, lives: bool) -> str:
    where = f"{worker.name} ({f'job {worker.job} ' if worker.job else ''}on {worker.host}): "
    if worker.ended:
        return f"{where}went home after {worker.carried_out} tasks"
    how_far = f", {worker.what} {worker.done} of {worker.total}" if worker.what else ""
    doing = "waits for a task" if worker.task < 0 else f"is at task {worker.task}{how_far}"
    return where + (doing if lives else f"gave no sign of life just now; when last seen, {doing}")
