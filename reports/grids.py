"""Tables of a run laid out for reading: cells with interval, notes and the positions of their marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RunResult
from harness.statistics import FEW, FEW_IMAGES, NEARLY_ALIKE

from .layout import (
    BY_CONSTRUCTION,
    GROUPS,
    MetricInfo,
    RowInfo,
    bracket,
    chance_level,
    direction,
    expectation,
    left_out,
    number,
    ordered_metrics,
    ordered_rows,
    probability,
)
from .tables import REFERENCES
from .values import ENCODING_ROWS

if TYPE_CHECKING:
    import pandas as pd


LONG = 6
"""Lines from which on a table has a field to filter them by."""


@dataclass(frozen=True)
class Cell:
    """A table cell: `value` sorts, `text` and `detail` are read, `marks` draw its interval (0-100)."""

    value: float
    text: str
    detail: str = ""
    note: str = ""
    marks: tuple[float, float, float] | None = None
    mood: str = ""


@dataclass(frozen=True)
class Head:
    """A sortable column: title, a second line and the position (0-100) of chance in its cells."""

    text: str
    detail: str = ""
    chance: float | None = None


@dataclass(frozen=True)
class Body:
    """Lines (label, note, cells) under one heading; sorting stays within it."""

    heading: str
    lines: tuple[tuple[str, str, tuple[Cell | None, ...]], ...]


@dataclass(frozen=True)
class Grid:
    """A table of cells; `spans` are (text, columns) above the headings, all of them together."""

    name: str
    caption: str
    corner: str
    heads: tuple[Head, ...]
    bodies: tuple[Body, ...]
    spans: tuple[tuple[str, int], ...] = ()

    @property
    def long(self) -> bool:
        """Whether a reader will want to filter its lines."""
        return sum(len(body.lines) for body in self.bodies) > LONG


def score_grid(run: RunResult, table: pd.DataFrame, target: str) -> Grid | None:
    """Rows by image metrics, from :func:`.tables.score_table` of `target`."""
    metrics = ordered_metrics(run, table["metric"])
    if not metrics:
        return None
    n_test, cells, heads = run.record.n_test, {}, []
    for metric in metrics:
        ours = table[table["metric"] == metric.name]
        scale = Scale(ours, metric.chance)
        # Neither direction is better: what is near repeats the training images, what is far is noise.
        near = Head(metric.label, "beside the stimuli themselves", scale.chance)
        heads.append(near if target == "training" else metric_head(metric, scale))
        for line in ours.itertuples():
            size = f"n = {line.n}" if n_test is not None and line.n + line.missing != n_test else ""
            parts = (size, left_out(line.missing), _doubt(line.doubt), expectation(line.expected))
            note = ", ".join(filter(None, parts))
            cells[line.row, metric.name] = Cell(
                line.mean, number(line.mean), bracket(line.low, line.high), note, scale.marks(line)
            )
    caption = {
        "stimulus": "Reconstructions against the stimuli",
        "measured": "Reconstructions against those from the measured responses of the same image and seed",
        "training": "Distance of reconstructions, and of the stimuli, to the nearest training image",
        "brain": "Responses that an encoder predicts for the images, against the measured responses",
    }[target]
    caption += ": mean over images [95 % interval over images]"
    if FEW_IMAGES in set(table["doubt"]):
        caption += f"; of fewer than {FEW} images it may cover less than 90 %"
    if table["expected"].notna().any():
        caption += f"; {BY_CONSTRUCTION}"
    bodies = _bodies(ordered_rows(run, table["row"]), [m.name for m in metrics], cells)
    return Grid(f"scores-{target}", caption, "row", tuple(heads), bodies)


def _doubt(why: str) -> str:
    """Note of one cell; few images are said once for all."""
    return f"{NEARLY_ALIKE}: interval uncertain" if why == NEARLY_ALIKE else ""


class Scale:
    """Positions 0-100 of one column's means, intervals and chance."""

    def __init__(self, table: pd.DataFrame, chance: float | None) -> None:
        ends = np.concatenate([table[c].to_numpy(dtype=float) for c in ("mean", "low", "high")])
        ends = np.append(ends[np.isfinite(ends)], [] if chance is None else [chance])
        self.low, self.high = (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 0.0)
        self.chance = None if chance is None else self.at(chance)

    def at(self, value: float) -> float:
        span = self.high - self.low
        return round(4 + 92 * (value - self.low) / span, 1) if span > 0 else 50.0

    def marks(self, line: Any) -> tuple[float, float, float] | None:
        if not np.isfinite(line.mean):
            return None
        bounded = np.isfinite(line.low) and np.isfinite(line.high)
        low, high = (line.low, line.high) if bounded else (line.mean, line.mean)
        return self.at(low), self.at(line.mean), self.at(high)


def metric_head(metric: MetricInfo, scale: Scale | None = None) -> Head:
    """Its label, direction and chance."""
    chance = "" if metric.chance is None else f", chance {chance_level(metric.chance)}"
    text = f"{direction(metric.higher_is_better)}{chance}"
    return Head(metric.label, text, scale.chance if scale else None)


def number_cell(value: float) -> Cell | None:
    """A number by itself, None where it is not known."""
    return Cell(value, number(value)) if np.isfinite(value) else None


def words_cell(text: str) -> Cell:
    """Words, or a dash without any."""
    return Cell(float("nan"), text or "–", mood="words")


MOODS = {"better": "▲", "worse": "▼", "undecided": "≈"}
"""Verdict of a paired test -> its sign."""


def difference_cell(difference: float, low: float, high: float, verdict: str, note: str = "") -> Cell:
    """A paired difference with its interval under the sign of its verdict, a key of :data:`MOODS`."""
    text = f"{MOODS[verdict]} {number(difference)}"
    return Cell(difference, text, bracket(low, high), note, mood=verdict)


def _bodies(rows: list[RowInfo], columns: list[str], cells: dict[tuple[str, str], Cell]) -> tuple[Body, ...]:
    bodies = []
    for group, heading in GROUPS.items():
        lines = tuple(
            (row.label, row.note, tuple(cells.get((row.name, column)) for column in columns))
            for row in rows
            if row.group == group and any((row.name, column) in cells for column in columns)
        )
        if lines:
            bodies.append(Body(heading, lines))
    return tuple(bodies)


def paired_grids(run: RunResult, table: pd.DataFrame) -> list[Grid]:
    """One grid per compared row: controls by metrics, from :func:`.tables.paired_table`."""
    grids = []
    for _, ours in table.groupby("row", sort=False):
        metrics = ordered_metrics(run, ours["metric"])
        cells = {
            (line.control, line.metric): difference_cell(
                line.difference, line.low, line.high, line.verdict, f"p {probability(line.p_holm)}"
            )
            for line in ours.itertuples()
        }
        lines = tuple(
            (
                f"−\u00a0{control.label}",
                control.note,
                tuple(cells.get((control.name, m.name)) for m in metrics),
            )
            for control in (c for name in dict.fromkeys(ours["control"]) for c in ordered_rows(run, [name]))
        )
        label = ours["label"].iloc[0]
        caption = (
            f"{label} minus each other row, on the same images [95 % interval]; p by sign flips, "
            f"Holm-corrected over the {int(ours['p'].notna().sum())} tests of this table"
        )
        heads = tuple(metric_head(metric) for metric in metrics)
        grids.append(Grid(f"paired-{len(grids)}", caption, label, heads, (Body("", lines),)))
    return grids


def encoding_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Rows by encoding scores, from :func:`.tables.encoding_table`."""
    if table.empty:
        return None
    heads, cells = [], {}
    units = {"images": "over images", "voxels": "over voxels", "set": "whole set"}
    columns = list(dict.fromkeys(zip(table["metric"], table["metric_label"], table["over"])))
    for metric, label, over in columns:
        ours = table[table["metric"] == metric]
        arrow = "↑" if ours["higher_is_better"].iloc[0] else "↓"
        heads.append(Head(label, f"{arrow} {units[over]}"))
        for line in ours.itertuples():
            quarters = ""
            if over == "voxels" and np.isfinite(line.median):
                quarters = (
                    f"median {number(line.median)} ({number(line.q25)}\u00a0to\u00a0{number(line.q75)})"
                )
            note = ", ".join(filter(None, (quarters, left_out(line.missing))))
            cells[line.row, metric] = Cell(line.mean, number(line.mean), bracket(line.low, line.high), note)
    caption = (
        "Predicted against measured responses: mean [95 % interval over images]; over voxels also "
        "median (quartiles), a description and no interval, since voxels are not independent"
    )
    # What the notes say of rows is said of their images; here are responses, not decoded.
    notes = _response_notes(run)
    rows = [replace(row, note=notes.get(row.name, "")) for row in ordered_rows(run, table["row"])]
    bodies = _bodies(rows, [c[0] for c in columns], cells)
    return Grid("encoding", caption, "row", tuple(heads), bodies)


def _response_notes(run: RunResult) -> dict[str, str]:
    """Row of responses -> what is compared with what, in trials of an image."""
    low, high = run.record.test_trials or (None, None)
    counts = "the repeats" if low is None else f"{low} trials" if low == high else f"{low} to {high} trials"
    counts = "1 trial" if (low, high) == (1, 1) else counts
    against = f"against the mean of {counts}"
    again = f"the mean of {counts} more, {against}: noise on both sides, a reliability and no ceiling"
    return {
        "predicted": against,
        "oracle": f"without noise, {against}",
        "remeasured": again,
        "noise-ceiling": f"the highest that a noiseless prediction reaches {against}",
    }


def region_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Regions by encoding scores, from :func:`.tables.roi_table`; constant predictors left out."""
    table = table[table["row"].isin(ENCODING_ROWS)]
    if table.empty:
        return None
    names = {"all": "", "group": "cortical group", "roi": "ROI"}
    bodies = []
    for row, ours in table.groupby("row", sort=False):
        lines = tuple((line.region, names[line.kind], _region_cells(line)) for line in ours.itertuples())
        bodies.append(Body(ordered_rows(run, [row])[0].label, lines))
    heads = (
        Head("voxels", "scored"),
        Head("voxel r", "mean"),
        Head("voxel r", "median (quartiles)"),
        Head("noise ceiling", "mean"),
        Head("r² / ceiling", "mean of ratios"),
        Head("explained / explainable", "ratio of sums"),
    )
    return Grid("regions", "Encoding scores by region, over voxels", "region", heads, tuple(bodies))


def _region_cells(line: Any) -> tuple[Cell, ...]:
    return (
        Cell(line.n_voxels, str(line.n_voxels)),
        Cell(line.mean_r, number(line.mean_r)),
        Cell(line.median_r, number(line.median_r), f"({number(line.q25)} to {number(line.q75)})"),
        Cell(line.ceiling, number(line.ceiling)),
        Cell(line.r2_nc, number(line.r2_nc)),
        Cell(line.ceiling_fraction, number(line.ceiling_fraction)),
    )


def agreement_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Rows by agreement, plain and per re-measurement, from :func:`.tables.agreement_table`."""
    if table.empty:
        return None
    metrics = ordered_metrics(run, table["metric"])
    heads, cells, columns = [], {}, []
    for metric in metrics:
        ours = table[table["metric"] == metric.name]
        scale = Scale(ours, metric.chance)
        columns += [metric.name, f"{metric.name}/normalised"]
        heads += [metric_head(metric, scale), Head("of a re-measurement", "ratio of means")]
        for line in ours.itertuples():
            cells[line.row, metric.name] = Cell(
                line.mean,
                number(line.mean),
                bracket(line.low, line.high),
                left_out(line.missing),
                scale.marks(line),
            )
            interval = bracket(line.normalised_low, line.normalised_high, digits=2)
            text = number(line.normalised, digits=2)
            cells[line.row, f"{metric.name}/normalised"] = Cell(line.normalised, text, interval)
    names = [name for name in dict.fromkeys(table["reference"]) if name]
    what = "; ".join(f"{ordered_rows(run, [name])[0].label}, {REFERENCES[name]}" for name in names)
    caption = "Agreement with the reconstructions from measured responses [95 % interval over images]. "
    caption += f"Re-measurement: {what}" if what else "This run has no re-measurement to divide by"
    bodies = _bodies(ordered_rows(run, table["row"]), columns, cells)
    return Grid("agreement", caption, "row", tuple(heads), bodies)


def gallery_grid(run: RunResult, values: pd.DataFrame, ids: Sequence[str]) -> Grid | None:
    """Compared rows' scores of the images `ids`, from :func:`.tables.image_values`."""
    if values.empty:
        return None
    names = [n for n in ("measured", "predicted", "reconstructions") if n in values.columns.levels[0]]
    columns = [
        (row, metric)
        for metric in ordered_metrics(run, values.columns.get_level_values("metric"))
        for row in ordered_rows(run, names)
        if (row.name, metric.name) in values
    ]
    lines = []
    for name in ids:
        if name in values.index:
            shown = [float(values.loc[name, (row.name, metric.name)]) for row, metric in columns]
            lines.append((name, "", tuple(Cell(v, number(v)) for v in shown)))
    heads = tuple(Head(metric.label, row.label) for row, metric in columns)
    caption = "Scores of the images above, against the stimulus, averaged over samples"
    return Grid("gallery-scores", caption, "image", heads, (Body("", tuple(lines)),)) if lines else None
