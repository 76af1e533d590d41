"""``report.html``: one file that opens from disk and asks nothing of any network.

Everything in it derives from the run folder, so the same folder gives the same bytes.
"""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.results import RunResult

from . import curves, figures
from .answer import headline_metrics
from .captions import caption_grid, caption_table
from .cortex import cortex_figures, cortex_table
from .drawing import FOLDER, Figure, Figures, alone
from .draws import draw_grid, draw_table
from .exports import csv_content
from .flag_meanings import flag_meaning
from .functional import (
    all_scores_grid,
    brain_region_grid,
    brain_region_table,
    contrast_grid,
    contrast_table,
    region_table,
)
from .gallery_page import read_pictures, write_gallery
from .glossary import meanings
from .grids import agreement_grid, encoding_grid, gallery_grid, paired_grids, region_grid, score_grid
from .images import SHOWN_FIRST, Gallery, read_gallery
from .images import Tile as ImageTile
from .layout import (
    SIMULATED,
    MetricInfo,
    bracket,
    chance_level,
    is_agreement,
    is_simulated,
    number,
    ordered_metrics,
    title,
)
from .lesions import lesion_chart, lesion_grids, lesion_table
from .methods import METHODS, REPRODUCE, methods_text, reproduce_text
from .nearness import nearness_grid, nearness_table
from .page import render_page, write_folder, write_page
from .patterns import pattern_chart, pattern_table
from .predicted import (
    LEAST_ALIKE,
    agreement_by_image,
    predicted_grid,
    predicted_table,
    scatter_chart,
    scatter_table,
)
from .priors import prior_grid, prior_table
from .provenance import provenance, shortened
from .tables import agreement_table, encoding_table, paired_table, roi_table, score_table
from .values import image_values, noise_floor, run_metrics

if TYPE_CHECKING:
    import pandas as pd

TELLING = 400
"""Test images from which the tile of agreement beyond the stimulus is shown: so many tell the noise-free
truth from a ridge on CLS in four runs of five.

On the simulated cortex under the small MindEye2, 96 images gave the truth 0.39 and the ridge 0.29, with a
standard error of their paired difference of 0.075, falling as 1 / sqrt(N) (0.123 with 48): 2.8 standard
errors are 0.10 at about 400 images, an extrapolation.  Under the linear decoder (0.65 and 0.10) fifty
images told them apart in every one of 12 pools.  ``tests/speed/agreement_power.py`` computes such figures.
"""

SHAREABLE = "shareable"
"""Folder in that of a run, of what may be handed on."""

LESIONED = 4
"""Scores whose lesions are drawn; the tables have all."""

LEVELS = ("alarm", "warning", "info")

VOXELWISE = ("pattern_chart", "ceiling_chart", "ceiling_histogram", "cortex")
"""Figures that show what is the data set's own: measured responses, noise ceilings and places of voxels."""


@dataclass(frozen=True)
class Tile:
    """A headline figure."""

    heading: str
    value: str
    detail: str
    note: str


def write_report(run_folder: str | Path, *, shareable: bool = False) -> Path:
    """Write ``report.html`` into `run_folder`, whole or not at all, and return its path.

    Beside it lie ``gallery.html`` with all images, ``figures/``, each figure as SVG and the table behind it
    as CSV, ``methods.txt``, a paragraph for a paper, and ``reproduce.yaml``, which runs it again.

    shareable : for data whose terms forbid showing them: all of it goes into the folder ``shareable/`` of
        the run, to be handed on, without measured responses, without what is known of single voxels (where
        they lie, their noise ceilings), and without stimuli and images made from them without a brain
        response; the report has their id and average colour.

    Raises :class:`harness.errors.DataError` when the folder holds no finished run or a damaged file.
    """
    run = RunResult.open(run_folder)
    folder = run.folder / SHAREABLE if shareable else run.folder
    if shareable:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    drawn = Figures()
    text = render_html(run, shareable=shareable, drawn=drawn)
    figure_files = {f"{figure.file}.svg": alone(figure.svg).encode() for figure in drawn.drawn}
    figure_files |= {f"{figure.file}.csv": csv_content(figure.table) for figure in drawn.drawn}
    write_folder(folder / FOLDER, figure_files)
    write_gallery(run, folder, shareable=shareable)
    write_page(folder / METHODS, methods_text(run) + "\n")
    write_page(folder / REPRODUCE, reproduce_text(run))
    return write_page(folder / "report.html", text)


def render_html(run: RunResult, *, shareable: bool = False, drawn: Figures | None = None) -> str:
    """The report of `run` as text; its figures are added to `drawn`."""
    gallery = read_gallery(run, show_stimuli=not shareable)
    scores, encoding, agreement = score_table(run), encoding_table(run), agreement_table(run)
    by_region = roi_table(run)
    curve, lesions = curves.curve_table(run, scores), lesion_table(run, scores)
    headline = headline_metrics(run)
    paired = paired_table(run)
    drawn = Figures() if drawn is None else drawn
    charts = _charts(run, drawn, scores, headline, curve, lesions, by_region)
    charts |= dict.fromkeys(VOXELWISE) if shareable else _voxelwise_charts(run, drawn)
    others = [m.name for m in run_metrics(run, "measured") if not is_agreement(m)]
    against_measured = score_table(run, "measured", metrics=others)
    protocols = _protocols(run)
    return render_page(
        "report.html",
        title=title(run),
        name=run.record.run or run.folder.name,
        simulated=SIMULATED if is_simulated(run) else "",
        summary=_summary(run),
        tiles=_tiles(run, scores, encoding, by_region, agreement),
        flags=_flags(run),
        failures=run.record.failed_metrics,
        left_out=_left_out(run),
        scores=score_grid(run, scores, "stimulus"),
        against_measured=score_grid(run, against_measured, "measured"),
        against_training=score_grid(run, score_table(run, "training"), "training"),
        nearness=nearness_grid(run, nearness_table(run)),
        against_brain=score_grid(run, score_table(run, "brain"), "brain"),
        captions=caption_grid(run, caption_table(run)),
        curve=curves.curve_grid(run, curve),
        lesions=lesion_grids(run, lesions),
        priors=prior_grid(run, prior_table(run, scores)),
        draws=draw_grid(run, draw_table(run)),
        brain_regions=brain_region_grid(run, brain_region_table(run)),
        paired=paired_grids(run, paired),
        predicted=predicted_grid(run, predicted_table(run, paired)),
        least_alike=_least_alike(run, gallery),
        gallery=gallery,
        gallery_rule=run.record.gallery_rule or "not recorded",
        gallery_scores=gallery_grid(run, image_values(run), gallery.ids) if gallery else None,
        show_stimuli=not shareable,
        all_images=len(pictures.ids) if (pictures := read_pictures(run)) else 0,
        encoding=encoding_grid(run, encoding),
        noise_floor=noise_floor(run),
        score_meanings=meanings(ordered_metrics(run, scores["metric"])),
        encoding_meanings=_encoding_meanings(run, encoding),
        regions=region_grid(run, by_region),
        region_scores=all_scores_grid(run, region_table(run)),
        contrasts=contrast_grid(run, contrast_table(run)),
        agreement=agreement_grid(run, agreement),
        **charts,
        failed_figures=drawn.failed,
        point_limit=figures.POINT_LIMIT,
        protocol=run.record.protocol,
        protocols=protocols,
        protocol_names=list(protocols[0])[1:] if protocols else [],
        methods=methods_text(run),
        reproduce=reproduce_text(run),
        provenance=provenance(run),
        record=json.dumps(_record(run, shareable=shareable), indent=1, ensure_ascii=False),
        command=shlex.join(run.record.command),
    )


def _record(run: RunResult, *, shareable: bool) -> dict[str, Any]:
    """``run.json`` without long lists; where it is handed on also without what it says of single voxels."""
    info = dict(run.info)
    if shareable:
        info.pop("noise_ceiling", None)
        space = info.get("space") or {}
        info["space"] = {key: value for key, value in space.items() if key not in ("rois", "groups")}
    return shortened(info)


def _charts(
    run: RunResult,
    drawn: Figures,
    scores: pd.DataFrame,
    headline: list[MetricInfo],
    curve: pd.DataFrame,
    lesions: pd.DataFrame,
    by_region: pd.DataFrame,
) -> dict[str, Figure | None]:
    """The figures by the names that the template has for them."""
    return {
        "scatter_chart": drawn.draw(
            "predicted against measured",
            lambda: scatter_chart(run, headline),
            lambda: scatter_table(run, headline),
        ),
        "curve_chart": drawn.draw(
            "scores by dimensions", lambda: curves.curve_chart(run, curve, scores), lambda: curve
        ),
        "lesion_chart": drawn.draw(
            "lesions", lambda: lesion_chart(run, lesions, headline[:LESIONED]), lambda: lesions
        ),
        "region_chart": drawn.draw("voxel r by region", lambda: figures.region_chart(run), lambda: by_region),
        "image_chart": drawn.draw(
            *("scores of single images", lambda: figures.image_chart(run)),
            lambda: figures.image_table(run),
        ),
    }


def _voxelwise_charts(run: RunResult, drawn: Figures) -> dict[str, Figure | None]:
    """The figures of :data:`VOXELWISE`."""
    patterns = pattern_table(run)
    return {
        "pattern_chart": None
        if patterns is None
        else drawn.draw("patterns of single images", lambda: pattern_chart(run, patterns), lambda: patterns),
        "ceiling_chart": drawn.draw(
            *("voxel r by noise ceiling", lambda: figures.ceiling_chart(run)),
            lambda: figures.ceiling_table(run),
        ),
        "ceiling_histogram": drawn.draw(
            "noise ceilings", lambda: figures.ceiling_histogram(run), lambda: figures.ceiling_table(run)
        ),
        "cortex": drawn.draw("maps on the cortex", lambda: cortex_figures(run), lambda: cortex_table(run)),
    }


@dataclass(frozen=True)
class Unlike:
    """An image whose reconstructions differ: its id, how alike they are, and them with the stimulus."""

    id: str
    agreement: str
    tiles: tuple[ImageTile, ...]


def _least_alike(run: RunResult, gallery: Gallery | None) -> tuple[str, tuple[str, ...], list[Unlike]] | None:
    """By what, headings, and the images of the gallery on which predicted and measured differ most."""
    agreement, label = agreement_by_image(run)
    if gallery is None or agreement.empty:
        return None
    columns = [column for column in gallery.columns if column.name in SHOWN_FIRST]
    places = {name: k for k, name in enumerate(gallery.ids)}
    ids = [name for name in agreement.index[:LEAST_ALIKE] if name in places]
    unlike = [
        Unlike(name, number(agreement[name]), tuple(column.tiles[places[name]] for column in columns))
        for name in ids
    ]
    return (label, tuple(column.label for column in columns), unlike) if unlike else None


def _summary(run: RunResult) -> list[tuple[str, str]]:
    """What was run, as short label and value pairs."""
    record = run.record
    space, subset = record.space, record.subset
    voxels = space.n_voxels if space.n_valid is None else space.n_valid
    fitted_on = [subject.subject for subject in record.train_subjects]
    parts = [
        ("test images", _with(record.n_test, f"subset {subset.name}" if subset else "")),
        ("training images", _with(record.n_train)),
        ("encoder fitted on", "" if fitted_on == [record.subject] else ", ".join(fitted_on)),
        ("voxels", _with(voxels, space.units)),
        ("adapter", record.adapter),
        ("selection", record.selection),
        ("share of the low-level images", _with(record.blended or None)),
        ("protocol", record.protocol.name if record.protocol else ""),
        ("seed", _with(record.seed)),
        ("created", record.created),
    ]
    return [(label, text) for label, text in parts if text]


def _encoding_meanings(run: RunResult, table: pd.DataFrame) -> list[tuple[str, str]]:
    labels = dict(zip(table["metric"], table["metric_label"]))
    return meanings(replace(metric, label=labels[metric.name]) for metric in ordered_metrics(run, labels))


def _protocols(run: RunResult) -> list[dict[str, str]]:
    """Lines of the table of protocols: ``item`` and one column each; empty in older runs."""
    lines = [line for line in run.record.protocols if "item" in line]
    columns = ["item", *(name for name in (lines[0] if lines else ()) if name != "item")]
    return [{name: str(line.get(name, "")) for name in columns} for line in lines]


def _with(value: Any, more: str = "") -> str:
    if value is None or value == "":
        return ""
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return f"{text} ({more})" if more else text


def _tiles(
    run: RunResult,
    table: pd.DataFrame,
    encoding: pd.DataFrame,
    regions: pd.DataFrame,
    agreement: pd.DataFrame,
) -> list[Tile]:
    """The figures to read first, never one without its control."""
    metrics = ordered_metrics(run, table["metric"])
    # Two-way identification is what the field reports first, so it stands here where there is one.
    pools = sorted((m for m in metrics if m.pool and m.chance is not None), key=lambda m: -m.chance)
    metric = next(iter([*pools, *metrics]), None)
    tiles = []
    if metric is not None:
        ours = table[table["metric"] == metric.name]
        heading = metric.label + ("" if metric.chance is None else f" (chance {chance_level(metric.chance)})")
        for row in ("measured", "predicted", "reconstructions"):
            tiles += [_tile(heading, line) for line in ours[ours["row"] == row].itertuples()]
        controls = ours[(ours["group"] == "control") & ours["mean"].notna()]
        if len(controls):
            best = controls.sort_values("mean", ascending=not metric.higher_is_better, kind="stable").head(1)
            tiles += [_tile(f"{heading}, best control", line) for line in best.itertuples()]
    r = encoding[(encoding["row"] == "predicted") & (encoding["metric"].str.split("@").str[0] == "voxel-r")]
    limit = encoding[(encoding["row"] == "noise-ceiling") & encoding["metric"].isin(r["metric"])]["mean"]
    ceiling = f", noise ceiling {number(float(limit.iloc[0]))}" if len(limit) else ""
    areas = regions[(regions["row"] == "predicted") & (regions["kind"] == "group")]
    by_area = "".join(f"; {line.region} {number(line.mean_r)}" for line in areas.itertuples())
    for line in r.itertuples():
        note = f"{line.label}{ceiling}{by_area}"
        tiles.append(replace(_tile("voxel r, mean over voxels", line), note=note))
    return tiles + _agreement_tiles(agreement)


def _agreement_tiles(agreement: pd.DataFrame) -> list[Tile]:
    """Agreement beyond the stimulus, from :data:`TELLING` images on; never a ratio without its interval."""
    part = agreement[(agreement["row"] == "predicted") & agreement["metric"].str.contains("controlled")]
    tiles = []
    for line in part[part["n"] >= TELLING].itertuples():
        interval = bracket(line.normalised_low, line.normalised_high, digits=2)
        ratio = f"{number(line.normalised, digits=2)} {interval} of a re-measurement"
        note = ratio if interval else line.label
        tiles.append(Tile(line.metric_label, number(line.mean), bracket(line.low, line.high), note))
    return tiles


def _tile(heading: str, line: Any) -> Tile:
    return Tile(heading, number(line.mean), bracket(line.low, line.high), line.label)


def _flags(run: RunResult) -> list[dict[str, str]]:
    # A level that this version does not know is shown as a warning rather than lost.
    levels = [flag.level if flag.level in LEVELS else "warning" for flag in run.record.flags]
    shown = [
        {"name": flag.name, "level": level, "message": flag.message, "meaning": flag_meaning(flag.name)}
        for flag, level in zip(run.record.flags, levels)
    ]
    return sorted(shown, key=lambda flag: LEVELS.index(flag["level"]))


def _left_out(run: RunResult) -> list[tuple[str, str]]:
    """(why, names of the metrics) of those that were not scored, one pair per reason."""
    names: dict[str, list[str]] = {}
    for left_out in run.record.left_out_metrics:
        names.setdefault(left_out.why, []).append(left_out.metric)
    return [(why, ", ".join(metrics)) for why, metrics in names.items()]
