"""The page of a comparison: means, paired differences with their sizes, regions, and images side by side."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RunResult

from .comparison import Comparison
from .glossary import meanings
from .grids import Body, Cell, Grid, Head, Scale, difference_cell, words_cell
from .images import Gallery, Tile, read_gallery
from .layout import (
    SIMULATED,
    MetricInfo,
    bracket,
    direction,
    left_out,
    number,
    ordered_metrics,
    probability,
)
from .page import render_page
from .rankings import ranking_table
from .systems import System
from .values import image_values, run_metrics

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 24
"""Images side by side at most."""


@dataclass(frozen=True)
class Picture:
    """A cell of the table of images: the tile, where the run's gallery has it, and the score below it."""

    tile: Tile | None
    value: float
    text: str


@dataclass(frozen=True)
class Pictures:
    """Images by id: columns of pictures, and how far the systems' scores lie apart on each.

    heads : of the columns.  lines : (id, pictures, how far apart).
    """

    heads: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Picture, ...], float], ...]
    score: str
    rule: str
    pixelated: bool


def render_comparison(compared: Comparison, *, show_stimuli: bool = True) -> str:
    """The page as text.

    show_stimuli : see :func:`harness.reports.html.write_report`.
    """
    runs = _runs(compared)
    infos = _described(compared)
    return render_page(
        "comparison.html",
        title="Comparison",
        simulated=SIMULATED if compared.simulated else "",
        systems=_systems(compared),
        notes=compared.notes,
        left_out=compared.left_out,
        means=_means(compared),
        differences=_differences(compared),
        rankings=_rankings(compared),
        region_means=_region_means(compared.region_means),
        region_differences=_region_differences(compared),
        subjects=_subjects(compared),
        pictures=_pictures(compared, show_stimuli=show_stimuli),
        show_stimuli=show_stimuli,
        meanings=meanings(infos),
        commands=[(run.folder.name, shlex.join(run.record.command)) for run in runs],
    )


def _runs(compared: Comparison) -> list[RunResult]:
    every = [run for system in compared.systems for own in system.replicates.values() for run in own]
    return list({run.folder.resolve(): run for run in every}.values())


def _described(compared: Comparison) -> list[MetricInfo]:
    run = _runs(compared)[0]
    return ordered_metrics(run, [*compared.means["metric"], *compared.region_means["metric"]])


def _systems(compared: Comparison) -> list[tuple[str, str]]:
    """(label, its runs) of what is compared."""
    return [
        (
            system.label,
            ", ".join(run.folder.name for own in system.replicates.values() for run in own),
        )
        for system in compared.systems
    ]


def _means(compared: Comparison) -> Grid | None:
    """Systems by metrics."""
    table = compared.means
    if table.empty:
        return None
    heads, cells = [], {}
    names = list(dict.fromkeys(table["metric"]))
    for metric in names:
        own = table[table["metric"] == metric]
        first = own.iloc[0]
        scale = Scale(own, _chance(first["chance"]))
        heads.append(Head(first["metric_label"], direction(first["higher_is_better"]), scale.chance))
        for line in own.itertuples():
            note = " · ".join(filter(None, (line.group, left_out(line.missing), line.doubt)))
            mood = "best" if "a" in line.group else ""
            interval = bracket(line.low, line.high)
            cells[line.system, metric] = Cell(
                line.mean, number(line.mean), interval, note, scale.marks(line), mood
            )
    lines = tuple(
        (system.label, _seeds(system), tuple(cells.get((system.label, metric)) for metric in names))
        for system in compared.systems
    )
    caption = "Means [95 % interval over images]; systems that share a letter were not told apart"
    return Grid("means", caption, "system", tuple(heads), (Body("", lines),))


def _seeds(system: System) -> str:
    seeds = f"{len(system.seeds)} seeds" if len(system.seeds) > 1 else ""
    subjects = f"{len(system.replicates)} subjects" if len(system.replicates) > 1 else ""
    return ", ".join(filter(None, (seeds, subjects)))


def _differences(compared: Comparison) -> Grid | None:
    """Pairs of systems, metric by metric: difference, p, and how large it is."""
    table = compared.differences
    if table.empty:
        return None
    bodies = []
    for (first, second), own in table.groupby(["a", "b"], sort=False):
        lines = tuple(
            (line.metric_label, direction(line.higher_is_better), _tested(line, first))
            for line in own.itertuples()
        )
        bodies.append(Body(f"{first} − {second}", lines))
    caption = (
        "Paired differences on the same images [95 % interval]; Holm's family: "
        f"{compared.families['differences']}; effect: the difference over its standard deviation over images "
        "(Cohen's d_z)"
    )
    heads = (Head("difference"), Head("p"), Head("p", "Holm"), Head("effect", "d_z"))
    heads += (Head("the first is better on", "share of images"), Head("images"))
    return Grid("differences", caption, "score", heads, tuple(bodies))


def _tested(line: Any, first: str) -> tuple[Cell | None, ...]:
    return (
        _difference(line, first),
        Cell(line.p, probability(line.p)),
        Cell(line.p_holm, probability(line.p_holm)),
        Cell(line.effect, number(line.effect, digits=2)),
        Cell(line.better_on, number(line.better_on, digits=2)),
        Cell(line.n, f"{line.n:,}"),
    )


def _difference(line: Any, first: str, note: str = "") -> Cell:
    """A difference with the sign that says who is better."""
    mood = "undecided" if not line.better else "better" if line.better == first else "worse"
    return difference_cell(line.difference, line.low, line.high, mood, note)


def _region_means(table: pd.DataFrame) -> Grid | None:
    """Encoders by region, metric after metric."""
    if table.empty:
        return None
    systems = list(dict.fromkeys(table["system"]))
    bodies = []
    for metric, own in table.groupby("metric", sort=False):
        cells = {
            (line.region, line.system): Cell(
                line.mean,
                number(line.mean),
                bracket(line.low, line.high),
                line.group,
                mood="best" if "a" in line.group else "",
            )
            for line in own.itertuples()
        }
        bodies.append(_region_body(f"{own['metric_label'].iloc[0]} ({metric})", own, cells, systems))
    caption = "Voxel scores by region: mean over voxels [95 % interval over test images]"
    return Grid("region-means", caption, "region", tuple(map(Head, systems)), tuple(bodies))


def _region_differences(compared: Comparison) -> Grid | None:
    """Regions by metrics, pair after pair."""
    table = compared.region_differences
    if table.empty:
        return None
    metrics = dict(zip(table["metric"], table["metric_label"]))
    directions = dict(zip(table["metric"], table["higher_is_better"]))
    bodies = []
    for (first, second), own in table.groupby(["a", "b"], sort=False):
        cells = {
            (line.region, line.metric): _difference(
                line, first, f"p {probability(line.p_holm)}, d_z {number(line.effect, digits=2)}"
            )
            for line in own.itertuples()
        }
        bodies.append(_region_body(f"{first} − {second}", own, cells, metrics))
    caption = (
        "Differences of voxel scores by region, on the same test images [95 % interval]; p after Holm, "
        f"family: {compared.families['region_differences']}"
    )
    heads = tuple(Head(label, direction(directions[name])) for name, label in metrics.items())
    return Grid("region-differences", caption, "region", heads, tuple(bodies))


def _region_body(
    heading: str, table: pd.DataFrame, cells: Mapping[tuple[str, str], Cell], columns: Iterable[str]
) -> Body:
    """A line for each region of `table` with its number of voxels; `cells` by region and column."""
    sizes = dict(zip(table["region"], table["n_voxels"]))
    lines = tuple(
        (region, f"{size:,} voxels", tuple(cells.get((region, column)) for column in columns))
        for region, size in sizes.items()
    )
    return Body(heading, lines)


def _subjects(compared: Comparison) -> Grid | None:
    """The points behind the means, where there is more than one."""
    table = compared.subjects
    if table.empty or len(table.drop_duplicates(["subject", "seed"])) < 2:
        return None
    metrics = list(dict.fromkeys(table["metric"]))
    labels = dict(zip(compared.means["metric"], compared.means["metric_label"]))
    bodies = []
    for system, of_system in table.groupby("system", sort=False):
        lines = []
        for (subject, seed), own in of_system.groupby(["subject", "seed"], sort=False):
            means = dict(zip(own["metric"], own["mean"]))
            cells = tuple(Cell(means[m], number(means[m])) if m in means else None for m in metrics)
            lines.append((subject, f"seed {seed}", cells))
        bodies.append(Body(str(system), tuple(lines)))
    heads = tuple(Head(labels[name]) for name in metrics)
    return Grid("subjects", "Mean of each subject and seed", "subject", heads, tuple(bodies))


def _rankings(compared: Comparison) -> Grid | None:
    """Whether decoders put the encoders in the same order."""
    table = ranking_table(compared)
    if table.empty:
        return None
    lines = tuple(
        (
            line.metric_label,
            "",
            (
                *(words_cell(line.decoder_a), words_cell(line.decoder_b)),
                Cell(line.tau, number(line.tau, digits=2)),
                *(Cell(count, str(count)) for count in (line.same, line.reversed, line.undecided)),
                *(words_cell(line.order_a), words_cell(line.order_b)),
            ),
        )
        for line in table.itertuples()
    )
    heads = (*map(Head, ("decoder", "another")), Head("Kendall's tau"), Head("pairs", "same"))
    heads += (Head("pairs", "reversed"), Head("pairs", "undecided"))
    heads += (Head("order under the first"), Head("order under the other"))
    caption = "Do two decoders put the encoders in the same order?"
    return Grid("rankings", caption, "score", heads, (Body("", lines),))


def _pictures(compared: Comparison, *, show_stimuli: bool) -> Pictures | None:
    """Images that several galleries show, by how far the systems' scores lie apart on them."""
    galleries: dict[int, Gallery | None] = {}

    def gallery(run: RunResult) -> Gallery | None:
        if id(run) not in galleries:
            galleries[id(run)] = read_gallery(run, show_stimuli=show_stimuli)
        return galleries[id(run)]

    subject = next(iter(compared.systems[0].runs))
    runs = [system.runs[subject] for system in compared.systems]
    if compared.means.empty or not all(map(gallery, runs)):
        return None
    first = compared.means.iloc[0]
    metric, target = first["metric"], first["target"]
    shown = [_tiles(gallery(run), system.row) for system, run in zip(compared.systems, runs)]
    scores = [_scores(run, system.row, metric, target) for system, run in zip(compared.systems, runs)]
    beside = _beside(runs, compared.systems, gallery)
    ids = sorted(set.intersection(*(set(tiles) for tiles in shown)))
    if not ids:
        return None
    lines = []
    for name in ids:
        own = [of.get(name, np.nan) for of in scores]
        pictures = [Picture(tiles.get(name), np.nan, "") for _, tiles in beside]
        pictures += [
            Picture(tiles[name], value, number(value)) for tiles, value in zip(shown, own, strict=True)
        ]
        lines.append((name, tuple(pictures), float(np.ptp(own)) if np.isfinite(own).all() else np.nan))
    lines.sort(key=lambda line: (-np.nan_to_num(line[2], nan=-1.0), line[0]))
    some = f"{SHOWN} of {len(ids)}" if len(ids) > SHOWN else f"all {len(ids)}"
    label = first["metric_label"]
    rule = (
        f"{some} images that the galleries of all runs show, those first on which the systems lie furthest "
        f"apart by {label}"
    )
    heads = (*(head for head, _ in beside), *(system.label for system in compared.systems))
    pixelated = all(gallery(run).pixelated for run in runs)
    return Pictures(heads, tuple(lines[:SHOWN]), label, rule, pixelated)


def _beside(
    runs: Sequence[RunResult], systems: Sequence[System], gallery: Callable[[RunResult], Gallery | None]
) -> list[tuple[str, dict[str, Tile]]]:
    """The stimulus, and what each decoder makes of measured fMRI where that is not compared itself."""
    columns = [("stimulus", _tiles(gallery(runs[0]), "stimulus"))]
    if all(system.row != "measured" for system in systems):
        decoders: dict[str, RunResult] = {}
        for run in runs:
            decoders.setdefault(run.record.decoder.name if run.record.decoder else "", run)
        for decoder, run in decoders.items():
            heading = "measured fMRI" if len(decoders) < 2 else f"measured fMRI, {decoder}"
            columns.append((heading, _tiles(gallery(run), "measured")))
    return [(heading, tiles) for heading, tiles in columns if tiles]


def _tiles(gallery: Gallery | None, row: str) -> dict[str, Tile]:
    """Id -> tile of a row of a gallery."""
    if gallery is None:
        return {}
    for column in gallery.columns:
        if column.name == row:
            return dict(zip(gallery.ids, column.tiles))
    for column in gallery.constant:
        if column.name == row:
            return dict(zip(gallery.ids, itertools.repeat(column.tiles[0])))
    return {}


def _scores(run: RunResult, row: str, metric: str, target: str) -> dict[str, float]:
    if metric not in {info.name for info in run_metrics(run, target)}:
        return {}
    table = image_values(run, target)
    return table[row, metric].to_dict() if (row, metric) in table else {}


def _chance(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
