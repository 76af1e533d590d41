"""``harness compare``: finished runs side by side, tested on the same images."""

from __future__ import annotations

import json
import math
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError
from ..results import RunResult
from .paths import UserPath
from .tables import print_table, say

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from rich.console import Console

    from harness.reports.comparison import Comparison

    Show = Callable[..., None]

TABLES = ("means", "differences", "subjects", "variance", "region_means", "region_differences")
DIFFERENCE_HEADS = ("pair", "difference", "p", "p (Holm)", "p (t)", "better")
WIDEST = 30
"""Characters of a system's name in a table; where any is longer, all are numbered."""

TARGETS = ("stimulus", "measured", "responses", "training", "brain")


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=UserPath())
@click.option(
    "--row",
    "rows",
    multiple=True,
    default=("predicted",),
    show_default=True,
    help="what to compare; given more than once, rows are compared with each other too",
)
@click.option(
    "--target",
    type=click.Choice(TARGETS),
    default="stimulus",
    show_default=True,
    help="what was scored against: the stimulus, the measured reconstruction, the measured responses, "
    "the training images, the brain through an encoder",
)
@click.option("--metrics", default=None, help="names, separated by commas  [default: all that are shared]")
@click.option(
    "--regions",
    default=None,
    help="of the voxel scores: names, separated by commas, or all  [default: all voxels and cortical groups]",
)
@click.option(
    "-o",
    "--out",
    type=UserPath(),
    help="also write a page (.html), with every ROI in it",
)
@click.option("--no-stimuli", is_flag=True, help="leave the stimuli out of the page")
@click.option("--json", "as_json", is_flag=True, help="print all tables as JSON instead")
@click.option("--csv", type=UserPath(), help="also write one table to this file")
@click.option(
    "--table", type=click.Choice(TABLES), default="differences", show_default=True, help="which, for --csv"
)
def compare(
    folders: tuple[Path, ...],
    rows: tuple[str, ...],
    target: str,
    metrics: str | None,
    regions: str | None,
    out: Path | None,
    no_stimuli: bool,
    as_json: bool,
    csv: Path | None,
    table: str,
) -> None:
    """Compare finished runs of one benchmark on the same test images.

    For each metric: the mean of every run with its 95 % interval and tie group, and every paired
    difference with interval and p.  Runs that differ in nothing but the subject count as one system, and so
    do runs that differ in the seed: seeds are replicates, and their spread is part of intervals and p.
    Encoders are compared by voxel scores too, for all voxels and by region, whatever their decoders;
    where they were run through several decoders, also whether these put them in the same order.
    """
    from harness.reports.comparison import compare as compare_runs
    from harness.reports.exports import csv_content

    from .output import check_output, write_output

    if out is not None and out.suffix != ".html":
        raise ConfigError(
            f"-o {out}: a page ends in .html; type -o {shlex.quote(str(out.with_suffix('.html')))}"
        )
    for file in filter(None, (csv, out)):
        check_output(file)
    named = regions if regions is not None or out is None else "all"
    comparison = compare_runs(
        [RunResult.open(folder) for folder in folders],
        rows=tuple(dict.fromkeys(rows)),
        target=target,
        metrics=None if metrics is None else [name.strip() for name in metrics.split(",")],
        regions=None if named is None else [name.strip() for name in named.split(",")],
    )
    if csv is not None:
        write_output(csv, csv_content(comparison.tables[table]))
    if out is not None:
        from harness.reports.comparison_page import render_comparison

        page = render_comparison(comparison, show_stimuli=not no_stimuli)
        write_output(out, page.encode("utf-8", "backslashreplace"))
    if as_json:
        click.echo(json.dumps(as_dict(comparison), indent=1, allow_nan=False))
    else:
        from .summary import console

        print_comparison(comparison, console())


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON types: every table as a list of lines, NaN as null."""
    from harness.reports.rankings import ranking_table
    from harness.reports.systems import seed_of

    return {
        "simulated": comparison.simulated,
        **{
            kind: [
                {
                    "label": system.label,
                    "row": system.row,
                    "runs": {subject: str(run.folder) for subject, run in system.runs.items()},
                    "seeds": {
                        subject: {seed_of(run): str(run.folder) for run in own}
                        for subject, own in system.replicates.items()
                    },
                }
                for system in systems
            ]
            for kind, systems in (("systems", comparison.systems), ("encoders", comparison.encoders))
        },
        "families": comparison.families,
        "notes": list(comparison.notes),
        "left_out": [{"metric": name, "why": why} for name, why in comparison.left_out],
        **{name: _lines(table) for name, table in comparison.tables.items()},
        "rankings": _lines(ranking_table(comparison)),
    }


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Means with tie groups, paired differences, and where values spread by trials or samples."""
    from harness.reports.layout import SIMULATED, number

    show = partial(say, console)
    if comparison.simulated:
        show(f"*** {SIMULATED} ***", "bold magenta")
    names = {system.label: system.label for system in (*comparison.systems, *comparison.encoders)}
    if max(map(len, names)) > WIDEST:
        names = {label: f"system {k}" for k, label in enumerate(names, start=1)}
        for label, name in names.items():
            show(f"{name}: {label}")
    if len(comparison.region_means):
        _print_voxels(comparison, names, console, show)
    if len(comparison.means):
        _print_images(comparison, names, console, show)
    if len(comparison.variance):
        show("variance of single values: share of images, trials, samples, rest", "bold")
        parts = ("images", "trials", "samples", "rest")
        shares = [
            (
                line.metric_label,
                names[line.system],
                f"{line.subject}, seed {line.seed}"
                if len(comparison.variance["seed"].unique()) > 1
                else line.subject,
                *(number(getattr(line, f"{part}_share"), digits=2) for part in parts),
            )
            for line in comparison.variance.itertuples()
        ]
        print_table(console, ("metric", "system", "subject", *parts), shares)
    for note in comparison.notes:
        show(f"note: {note}", "cyan")
    for name, why in comparison.left_out:
        show(f"left out: {name}: {why}", "yellow")


def _print_images(comparison: Comparison, names: dict[str, str], console: Console, show: Show) -> None:
    """Scores of images: means, differences, rankings."""
    from harness.reports.layout import bracket, left_out, number
    from harness.reports.rankings import ranking_table

    show("means [95 % interval over images]; systems that share a letter were not told apart", "bold")
    means = [
        (
            line.metric_label,
            "higher" if line.higher_is_better else "lower",
            names[line.system],
            f"{number(line.mean)} {bracket(line.low, line.high)}".rstrip(),
            " ".join(filter(None, (str(line.n), left_out(line.missing)))),
            line.group,
        )
        for line in comparison.means.itertuples()
    ]
    print_table(console, ("metric", "better", "system", "mean", "images", "group"), means)
    show("paired differences on the same images [95 % interval]", "bold")
    tests = comparison.differences.itertuples()
    differences = [(line.metric_label, *_difference(line, names)) for line in tests]
    print_table(console, ("metric", *DIFFERENCE_HEADS), differences)
    flips = "p by sign flips of whole images"
    show(f"{_tests(comparison, flips)}; Holm's family: {comparison.families['differences']}", "dim")
    rankings = ranking_table(comparison)
    if len(rankings):
        show("do two decoders put the encoders in the same order?", "bold")
        orders = [
            (
                line.metric_label,
                f"{line.decoder_a}: {line.order_a}\n{line.decoder_b}: {line.order_b}",
                number(line.tau, digits=2),
                f"{line.same}, {line.reversed}, {line.undecided}",
            )
            for line in rankings.itertuples()
        ]
        heads = (
            "metric",
            "encoders under each decoder, the best first",
            "tau",
            "pairs: same, reversed, undecided",
        )
        print_table(console, heads, orders)


def _print_voxels(comparison: Comparison, names: dict[str, str], console: Console, show: Show) -> None:
    """Voxel scores by region: means and differences."""
    from harness.reports.layout import bracket, number

    show("encoders by voxel scores: mean over voxels [95 % interval over test images]", "bold")
    means = [
        (
            f"{line.metric_label}, {line.region}",
            "higher" if line.higher_is_better else "lower",
            names[line.system],
            f"{number(line.mean)} {bracket(line.low, line.high)}".rstrip(),
            str(line.n_voxels),
            str(line.n),
            line.group,
        )
        for line in comparison.region_means.itertuples()
    ]
    print_table(console, ("metric", "better", "encoder", "mean", "voxels", "images", "group"), means)
    show("paired differences of voxel scores on the same test images [95 % interval]", "bold")
    differences = [
        (f"{line.metric_label}, {line.region}", *_difference(line, names))
        for line in comparison.region_differences.itertuples()
    ]
    print_table(console, ("metric", *DIFFERENCE_HEADS), differences)
    flips = "the unit is the test image, voxels and subjects being fixed: p by sign flips of what each image "
    flips += "contributes"
    show(f"{_tests(comparison, flips)}; Holm's family: {comparison.families['region_differences']}", "dim")


def _tests(comparison: Comparison, flips: str) -> str:
    """How p came about."""
    if not any(len(system.seeds) > 1 for system in comparison.systems):
        return flips
    return f"{flips}, and where a system has several seeds p (t), which takes in how far they lie apart"


def _difference(line: Any, names: dict[str, str]) -> tuple[str, ...]:
    """Cells under :data:`DIFFERENCE_HEADS`."""
    from harness.reports.layout import bracket, number, probability

    return (
        f"{names[line.a]} − {names[line.b]}",
        f"{number(line.difference)} {bracket(line.low, line.high)}".rstrip(),
        *(probability(p) for p in (line.p, line.p_holm, line.p_t)),
        names.get(line.better, "undecided"),
    )


def _lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in line.items()
        }
        for line in table.to_dict("records")
    ]
