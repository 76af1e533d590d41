"""The answer of a run in some twenty lines: are the images good, against what, and how sure is that.

What is shown is a choice: the eight scores of the field's tables (others where a run has fewer of
them), each beside what measured fMRI gives, the best control and the decoder's own ceiling; the voxel
correlation beside its ceiling; the decoded agreement.  Everything else is in :mod:`.terminal`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RunResult

from .layout import MetricInfo, bracket, number, ordered_metrics, ordered_rows
from .tables import COMPARED, REFERENCES, agreement_table, score_table
from .values import (
    noise_ceiling,
    quartiles,
    run_metrics,
    voxel_r_ceiling,
    voxel_r_intervals,
    voxel_values,
)

if TYPE_CHECKING:
    import pandas as pd

FIELD = ("pixcorr", "ssim", "alexnet2", "alexnet5", "inception", "clip", "efficientnet", "swav")
"""The eight scores of published tables; those of small networks (``clip@tiny``) stand in their places."""

_MAIN = ("predicted", "reconstructions", "captions", "measured")
"""Rows that a run is about, in order of preference."""

_WIDE = 100
"""Terminals of so many columns have room for labels in place of names, and for one more interval."""

_CEILING = "generator-ceiling"


@dataclass(frozen=True)
class Grid:
    """A small table: `heads` over columns, the first of which names the line; `note` is a line below."""

    heads: tuple[str, ...]
    lines: list[tuple[str, ...]]
    note: str = ""


def answer(run: RunResult, *, width: int) -> list[Grid]:
    """The tables that a reader sees first, made for a terminal of `width` columns."""
    return [grid for grid in (_images(run, width), _responses(run)) if grid is not None]


def headline_metrics(run: RunResult) -> list[MetricInfo]:
    """The scores of :data:`FIELD` against the stimulus, and others in their order up to eight; of captions
    where nothing else was scored."""
    every = run_metrics(run, "stimulus")
    metrics = [metric for metric in every if not metric.compares_accounts] or every
    of_the_field = {}
    for metric in metrics:
        of_the_field.setdefault(in_field(metric), metric)
    chosen = [of_the_field[name] for name in FIELD if name in of_the_field]
    others = [metric for metric in metrics if metric not in chosen]
    return [*chosen, *others][: len(FIELD)]


def main_row(rows: Any) -> str:
    """The row of `rows` that a run is about: its own system, else measured fMRI, else the first."""
    present = list(rows)
    return next((row for row in _MAIN if row in present), present[0])


def in_field(metric: MetricInfo) -> str:
    """``clip`` for ``clip@tiny``, ``brain-diffuser-clip`` and ``clip-strict-v2``; those of no such kind keep
    their names."""
    name = metric.base.removeprefix("brain-diffuser-")
    for ending in ("-v2", "-v1", "-strict"):
        name = name.removesuffix(ending)
    return name


def _images(run: RunResult, width: int) -> Grid | None:
    chosen = headline_metrics(run)
    table = score_table(run, metrics=[metric.name for metric in chosen])
    if not table.empty:
        table = table[np.isfinite(table["mean"])]
    if table.empty:
        return None
    rows = {row.name: row for row in ordered_rows(run, table["row"])}
    main = main_row(rows)
    beside = [row for row in ("measured",) if row in rows and row != main]
    controls = [row for row in COMPARED.get(main, ()) if row in rows and rows[row].group == "control"]
    wide = width >= _WIDE
    heads = [rows[row].label if wide else row for row in (*beside, main)]
    heads += ["best control"] if controls else []
    ceiling = next((row for row in (_CEILING, "human-caption") if row in rows), "")
    heads += [rows[ceiling].label if wide else "ceiling"] if ceiling else []
    lines = []
    for metric in ordered_metrics(run, table["metric"]):
        of = table[table["metric"] == metric.name].set_index("row")
        cells = [_scored(of, row, interval=wide) for row in beside]
        cells.append(_scored(of, main))
        if controls:
            cells.append(_best(of, controls, metric))
        if ceiling:
            cells.append(_scored(of, ceiling, interval=False))
        lines.append((metric.label + ("" if metric.higher_is_better else " ↓"), *cells))
    order = [metric.label for metric in chosen]
    lines.sort(key=lambda line: order.index(line[0].removesuffix(" ↓")))
    falling = any(line[0].endswith("↓") for line in lines)
    images = int(table["n"].max())
    note = f"[95 % interval over {images} images]{'; ↓: lower is better' if falling else ''}"
    return Grid(("against the stimuli" if wide else "score", *heads), lines, note)


def _scored(of: pd.DataFrame, row: str, *, interval: bool = True) -> str:
    if row not in of.index:
        return "–"
    line = of.loc[row]
    return f"{number(line['mean'])} {bracket(line['low'], line['high']) if interval else ''}".rstrip()


def _best(of: pd.DataFrame, controls: list[str], metric: MetricInfo) -> str:
    """The control that comes nearest to a good score, by the name that ``--row`` takes."""
    means = of["mean"].reindex(controls).dropna()
    if means.empty:
        return "–"
    best = means.idxmax() if metric.higher_is_better else means.idxmin()
    return f"{number(means[best])} {best}"


def _responses(run: RunResult) -> Grid | None:
    """Voxel r and decoded agreement of the main row, beside the ceiling and a re-measurement."""
    lines: list[tuple[str, str, str, str]] = []
    rows: set[str] = set()
    again = ""
    r = voxel_values(run, "voxel-r")
    main = main_row(r.columns) if len(r.columns) else ""
    if main == "predicted":
        rows.add(main)
        again = next((row for row in REFERENCES if row in r.columns), "")
        low, high = voxel_r_intervals(run).get(main, (np.nan, np.nan))
        value = f"{number(quartiles(r[main].to_numpy()).mean)} {bracket(low, high)}".rstrip()
        limit = voxel_r_ceiling(noise_ceiling(run), r.index.to_numpy())
        repeated = number(quartiles(r[again].to_numpy()).mean) if again else ""
        lines.append(("voxel r", value, "" if np.isnan(limit) else number(limit), repeated))
    agreement = agreement_table(run)
    for metric in ordered_metrics(run, agreement["metric"]):
        of = agreement[agreement["metric"] == metric.name].set_index("row")
        main = main_row(of.index)
        if main not in ("predicted", "reconstructions"):
            continue
        rows.add(main)
        reference = str(of.loc[main, "reference"])
        again = again or reference
        repeated = _scored(of, reference, interval=False) if reference else ""
        lines.append((metric.label, _scored(of, main), "", repeated))
    if not lines:
        return None
    named = {row.name: row.label for row in ordered_rows(run, [*rows, *filter(None, [again])])}
    heads = ("against measured fMRI", named[main_row(rows)], "ceiling", named.get(again, ""))
    kept = [k for k in range(4) if k < 2 or any(line[k] for line in lines)]
    return Grid(tuple(heads[k] for k in kept), [tuple(line[k] for k in kept) for line in lines])
