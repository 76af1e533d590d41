"""``harness prefetch``: pretrained weights into a folder of this machine, hashes checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .paths import UserPath
from .run import STORE_OPTION

if TYPE_CHECKING:
    from ..errors import WeightsMissing


@click.command()
@click.argument("names", nargs=-1)
@click.option(
    "--for",
    "run_file",
    type=UserPath(),
    help="a run's YAML, with its section plugins: all weights that this run asks for, and its data, read "
    "and hashed; the run then needs no network",
)
@click.option(
    "--from",
    "source",
    type=UserPath(),
    help="a file that was downloaded elsewhere, or a folder of such files under their own names",
)
@STORE_OPTION
def prefetch(names: tuple[str, ...], run_file: Path | None, source: Path | None, store: Path | None) -> None:
    """Fetch the weights called NAMES, each one weights or a group; without a name, list them all and
    say which are here.  ``metrics`` is the group of everything that the default metrics need.
    """
    from ..backbones import weights
    from ..errors import ConfigError

    if run_file is not None:
        if names:
            raise ConfigError(f"--for {run_file} finds names itself; type them in a command of their own")
        _for_run(run_file, source, store)
        return
    if not names:
        if source is not None:
            raise ConfigError(
                "--from takes one name, for example: harness prefetch alexnet --from alexnet.pth, or "
                "harness prefetch metrics --from FOLDER"
            )
        _list()
        return
    wanted = list(dict.fromkeys(member for name in names for member in weights.members(name)))
    if source is not None and not source.is_dir() and len(wanted) != 1:
        raise ConfigError(
            f"--from {source} is one file for {len(wanted)} weights ({', '.join(wanted)}); give a folder "
            "that holds them, or one name: harness prefetch alexnet --from alexnet.pth"
        )
    _fetch(wanted, source, words=" ".join(names))


def _for_run(run_file: Path, source: Path | None, store: Path | None) -> None:
    """All that the run in `run_file` needs: weights, files of its plugins, data."""
    from ..errors import ConfigError
    from ..places import store_folder
    from ..run.prefetching import plan_with_weights, read_data
    from ..settings import read_request
    from ..storage.disk import explained
    from ..storage.store import Store
    from .progress import Bars, set_up_logging
    from .summary import console

    if source is not None and not source.is_dir():
        raise ConfigError(f"--from {source} is no folder; with --for, give one that holds all files")
    errors = console(errors=True)
    set_up_logging(0, errors)
    words = f"--for {run_file}"
    plan = plan_with_weights(
        read_request(run_file, [], plugins={}), lambda names: _fetch(names, source, words=words)
    )
    for line in plan.missing[1:]:
        click.echo(line, err=True)
    plan.require_files()
    opened = Store(store_folder(store))
    with explained(opened.root):
        prepared = read_data(plan, opened, reporter=Bars(errors))
    subjects = {subject.space.subject: subject for subject in (*prepared.training, prepared.data)}
    for name, data in subjects.items():
        test = f" and {len(data.test.stimuli):,} test" if data.test is not None else ""
        click.echo(
            f"{plan.benchmark.name} {name}: {len(data.train.stimuli):,} training{test} images, "
            f"{data.space.n_voxels:,} voxels, SHA-256 of the responses {data.train.responses.sha[:16]}..."
        )
    place = f" --store {store}" if store is not None else ""
    click.echo(f"nothing is left to fetch: HARNESS_OFFLINE=1 harness run --config {run_file}{place}")


def _fetch(wanted: Sequence[str], source: Path | None, *, words: str) -> None:
    """Store the weights `wanted`; `words` of this command stand in what is said of those that are missing."""
    from ..backbones import weights
    from ..errors import WeightsMissing

    folder = source is not None and source.is_dir()
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
        raise _all_of(missing, wanted, words, fetched=source is None)


def _all_of(
    missing: Mapping[str, WeightsMissing], wanted: Sequence[str], words: str, *, fetched: bool
) -> WeightsMissing:
    """One error that names all the `missing` weights, with what happened to the first of them."""
    from ..backbones import weights
    from ..errors import WeightsMissing

    first = next(iter(missing.values()))
    if len(missing) == 1:
        return first
    files = ", ".join(f"{name} ({weights.WEIGHTS[name].file_name})" for name in missing)
    together = (
        f". All at once, from a folder that holds these files: harness prefetch {words} --from "
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
