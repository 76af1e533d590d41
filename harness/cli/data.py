"""``harness data``: what lies in a folder of a published data set, and making it ready."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_ROOT = click.option(
    "--root",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the download.",
)


@click.group()
def data() -> None:
    """Check, prepare and judge data before any model sees them."""


def _layouts() -> dict[str, type]:
    from ..benchmarks.layouts.benchmark import LayoutBenchmark
    from ..benchmarks.layouts.manifest import manifest_names
    from ..plugins import find

    classes = {name: find("benchmarks", name).load() for name in manifest_names()}
    return {name: made for name, made in classes.items() if issubclass(made, LayoutBenchmark)}


def _layout(name: str) -> Any:
    from ..errors import ConfigError, suggest

    layouts = _layouts()
    if name not in layouts:
        raise ConfigError(suggest(name, list(layouts), what="layout"))
    return layouts[name]


@data.command(name="list")
def list_layouts() -> None:
    """The layouts that are read, and where each is to be had."""
    for name in _layouts():
        manifest = _layout(name).manifest()
        click.echo(f"{name:20} {manifest.title}\n{'':20} {manifest.ask}")


@data.command()
@click.argument("name")
@_ROOT
@click.option("--subject", default="", help="Only this subject; all that have files without it.")
def check(name: str, root: Path, subject: str) -> None:
    """Say what was recognised under a folder, with shapes and units, and what is missing."""
    from ..benchmarks.layouts.manifest import examine
    from ..errors import DataError, visible

    manifest = _layout(name).manifest()
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; where to get it: {manifest.ask}")
    subjects = [subject] if subject else list(manifest.subjects(root)) or ["(no subject)"]
    problems = 0
    for who in subjects:
        click.echo(visible(f"{manifest.title}: {who}"))
        for finding in examine(manifest, root, who):
            entry = finding.entry
            state = f"{finding.files} file{'s' if finding.files != 1 else ''}" if finding.files else "none"
            state += " (optional)" if not finding.files and entry.optional else ""
            shape = f"{' x '.join(map(str, finding.shape))} {finding.dtype}" if finding.shape else ""
            axes = f"({', '.join(entry.axes)})" if finding.shape else ""
            click.echo(visible(f"  {entry.name:20} {state:16} {shape} {axes}".rstrip()))
            if entry.units:
                click.echo(f"  {'':20} {entry.units}")
            unusual = [
                f"{length} {axis} (usually {entry.usual[axis]})"
                for axis, length in zip(entry.axes, finding.shape)
                if axis in entry.usual and length != entry.usual[axis]
            ]
            if unusual:
                click.echo(f"  {'':20} note: {', '.join(unusual)}")
            for line in finding.problems:
                click.echo(visible(f"  {'':20} problem: {line}"))
            problems += len(finding.problems)
    if problems:
        click.echo(f"where to get what is missing: {manifest.ask}")
        raise DataError(f"{problems} problem{'s' if problems > 1 else ''} under {root}, listed above")
    click.echo(f"all there; harness run --benchmark {name} --set benchmark.root={root}")


@data.command()
@click.argument("name")
def accept(name: str) -> None:
    """Say that you accepted the terms of a data set (nsd, laion-fmri); asked once on each machine."""
    from ..benchmarks.layouts.terms import TERMS, accept_terms

    marker = accept_terms(name)
    click.echo(f"{TERMS[name]}\naccepted: {marker}")


@data.command()
@click.argument("name")
@_ROOT
@click.option("--subject", "subjects", multiple=True, help="Only these subjects; may be repeated.")
def prepare(name: str, root: Path, subjects: tuple[str, ...]) -> None:
    """Write the responses of a layout as tables that runs read in any order, once."""
    benchmark = _layout(name)
    benchmark = benchmark(benchmark.Params(root=str(root)))
    for subject in subjects or benchmark.subjects():
        _prepare(benchmark.prepare, subject)


def _prepare(read: Callable[[str], Any], subject: str) -> None:
    from ..places import prepared_folder

    table = read(subject).trials.table
    click.echo(f"{subject}: {table.shape[0]} trials x {table.shape[1]} voxels, in {prepared_folder()}")
