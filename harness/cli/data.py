"""``harness data``: what lies in a folder of a published data set, and making it ready."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .paths import UserPath
from .run import DATA_OPTIONS

_ROOT = click.option(
    "--root",
    type=UserPath(),
    required=True,
    help="Folder of the download.",
)


@click.group()
def data() -> None:
    """Check, prepare and judge data before any model sees them."""


def _layout(name: str) -> Any:
    from ..benchmarks.layouts.manifest import manifest_names
    from ..errors import ConfigError, suggest
    from ..plugins import find

    if name not in manifest_names():
        raise ConfigError(suggest(name, manifest_names(), what="layout"))
    return find("benchmarks", name).load()


@data.command(name="list")
def list_layouts() -> None:
    """The layouts that are read, and where each is to be had."""
    from ..benchmarks.layouts.manifest import manifest_names, read_manifest

    for name in manifest_names():
        manifest = read_manifest(name)
        click.echo(f"{name:20} {manifest.title}\n{'':20} {manifest.ask}\n{'':20} cite: {manifest.cite}")


@data.command()
@click.argument("name")
@_ROOT
@click.option("--subject", default="", help="Only this subject; all that have files without it.")
def check(name: str, root: Path, subject: str) -> None:
    """Say what was recognised under a folder, with shapes and units, and what is missing."""
    from ..benchmarks.layouts.manifest import examine, read_manifest
    from ..errors import DataError, visible

    manifest = read_manifest(name)
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
    """Say that you accepted terms of use (nsd, laion-fmri, berg); asked once on each machine."""
    from ..reading.terms import TERMS, accept_terms

    marker = accept_terms(name)
    click.echo(f"{TERMS[name]}\naccepted: {marker}")


@data.command()
@click.argument("name")
@_ROOT
@click.option("--subject", "subjects", multiple=True, help="Only these subjects; may be repeated.")
def prepare(name: str, root: Path, subjects: tuple[str, ...]) -> None:
    """Write the responses of a layout as tables that runs read in any order, once."""
    from ..places import prepared_folder

    benchmark = _layout(name)
    benchmark = benchmark(benchmark.Params(root=str(root)))
    for subject in subjects or benchmark.subjects():
        table = benchmark.prepare(subject).trials.table
        click.echo(f"{subject}: {table.shape[0]} trials x {table.shape[1]} voxels, in {prepared_folder()}")


def _data_options(command: Callable) -> Callable:
    for option in reversed(DATA_OPTIONS):
        command = option(command)
    return command


def _load(
    benchmark: str | None, config: Path | None, assignments: tuple[str, ...], subject: str | None
) -> Any:
    """The benchmark's name and parameters, whether it is simulated, and a subject's data, checked as for a
    run, with what was said of them."""
    from ..places import store_folder
    from ..run.plan import requested_benchmark
    from ..run.subjects import subject_named
    from ..settings import read_request
    from ..stages.data import load_subject
    from ..stages.model import Configured
    from ..storage.executors import Inline
    from ..storage.store import Store

    request = read_request(config, assignments, plugins={"benchmark": benchmark, "subject": subject})
    ref, params = requested_benchmark(request)
    configured = Configured(ref, params)
    built = configured.build()
    subjects = tuple(built.subjects())
    chosen = (
        subjects[0]
        if request.subject is None
        else subject_named(request.subject, subjects, option="--subject")
    )
    store = Store(store_folder())
    loaded, _, flags = load_subject(configured, chosen, store=store, executor=Inline())
    return ref.name, params, built.simulated, loaded, flags


@data.command()
@_data_options
@click.option("--html", type=UserPath(), help="write the page to this file as well")
def doctor(
    benchmark: str | None,
    config: Path | None,
    assignments: tuple[str, ...],
    subject: str | None,
    html: Path | None,
) -> None:
    """Judge data before any model: do ids align, is there signal, is the test set new, what can it show."""
    from dataclasses import asdict

    from rich.console import Console

    from harness.reports.doctor_page import render_judgements
    from harness.reports.layout import SIMULATED

    from ..errors import DataError
    from ..judging.judge import judge
    from ..judging.page import show
    from .output import check_output, write_output

    if html:
        check_output(html)
    name, _, simulated, loaded, flags = _load(benchmark, config, assignments, subject)
    judgements = list(judge(loaded))
    title = f"{name}, {loaded.subject}: {len(loaded.train)} training and {len(loaded.test)} test images"
    show(Console(highlight=False), title, judgements, flags, mark=SIMULATED if simulated else "")
    if html:
        page = render_judgements(
            title,
            map(asdict, judgements),
            warnings=[flag.message for flag in flags],
            simulated=simulated,
        )
        write_output(html, page.encode("utf-8", "backslashreplace"))
        click.echo(f"written: {html}")
    alarms = [judgement.name for judgement in judgements if judgement.verdict == "alarm"]
    if alarms:
        raise DataError(
            f"{len(alarms)} alarm{'s' if len(alarms) > 1 else ''}: {', '.join(alarms)}; see above"
        )


@data.command()
@_data_options
@click.option(
    "--by",
    type=click.Choice(["stimulus", "cluster", "distance", "category"]),
    default="stimulus",
    show_default=True,
    help="what must not be on both sides: a picture and its copies; a cluster of pictures; near pictures; "
    "a category",
)
@click.option("--share", default=0.1, show_default=True, help="of the images that test")
@click.option("--label", default="", help="name of the label that category goes by")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=UserPath(), default=Path("test_ids.txt"), show_default=True)
def split(by: str, share: float, label: str, seed: int, out: Path, **chosen: Any) -> None:
    """Choose test images that training does not know, from all images of a benchmark; writes their ids."""
    from ..judging.splits import honest_split
    from .output import check_output, write_output

    check_output(out)
    _, params, _, loaded, _ = _load(**chosen)
    result = honest_split(loaded, by=by, share=share, label=label, seed=seed)
    write_output(out, ("\n".join(result.test_ids) + "\n").encode())
    click.echo(f"{len(result.test_ids)} of {result.n_images} images test; {result.sentence}")
    click.echo(
        f"nearest training image, median r of small pictures: {result.before:.3f} before, "
        f"{result.after:.3f} now"
    )
    click.echo(f"written: {out}; {_to_use(params, out)}")


def _to_use(params: Any, out: Path) -> str:
    """What to type so that a benchmark with such `params` tests on the images that `out` lists."""
    if hasattr(params, "test_ids"):
        return f"in the benchmark's YAML, with all trials under data: write test_ids: {out.name}"
    if hasattr(params, "base_dir"):
        return f"in the benchmark's YAML, without split:, write test: {out.name}"
    if hasattr(params, "test"):
        return f"type --set benchmark.test={out}"
    return "this benchmark draws its test images itself, and takes no list"
