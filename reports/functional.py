"""Encoding scores by region beyond voxel r, and category contrasts in category-selective areas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RunResult

from .grids import Body, Cell, Grid, Head
from .layout import number, ordered_metrics, ordered_rows
from .values import ENCODING_ROWS, base_names, stored

if TYPE_CHECKING:
    import pandas as pd

SELECTIVE = 0.8
"""Measured Cohen's d from which an area counts as selective for its preferred category: "large"
(Cohen 1988).  The mean response of an area without selectivity reaches about 0.5 by chance for the
best of ten categories with ten images each."""

CONTRAST_COLUMNS = ("region", "category", "measured_d", "row", "label", "d", "map_r", "profile_r", "n_voxels")


def contrast_table(run: RunResult) -> pd.DataFrame:
    """Category-selective ROIs, one line each per row of responses.

    ``category`` is the one with the largest Cohen's d in the measured test responses, ``measured_d``;
    ROIs whose d is below :data:`SELECTIVE` are left out.  ``d`` is the row's own for that category,
    ``map_r`` the correlation of its contrast map with the measured one over the ROI's voxels, ``profile_r``
    the correlation over all categories of its d with the measured ones.  The measured d is the largest
    of several and so a little too large; a re-measurement shows by how much.
    """
    import pandas as pd

    table = stored(run, "region_scores")
    table = table[table["kind"] == "roi"]
    profile, maps = (table[base_names(table["metric"]) == name] for name in _METRICS)
    lines = []
    by_region = dict(list(profile.groupby("region", sort=False)))
    for region in sorted(by_region, key=_places(run)):
        ours = by_region[region]
        measured = ours[(ours["row"] == "measured") & (ours["part"] != "")]
        values = measured["value"].to_numpy(dtype=float)
        if not np.isfinite(values).any() or np.nanmax(values) < SELECTIVE:
            continue
        category = measured["part"].iloc[int(np.nanargmax(values))]
        for row in ordered_rows(run, ours["row"]):
            if row.name == "measured":
                continue
            lines.append(
                {
                    "region": region,
                    "category": category,
                    "measured_d": float(np.nanmax(values)),
                    "row": row.name,
                    "label": row.label,
                    "d": _value(ours, row.name, category),
                    "map_r": _value(maps[maps["region"] == region], row.name, category),
                    "profile_r": _value(ours, row.name, ""),
                    "n_voxels": int(ours["n_voxels"].iloc[0]),
                }
            )
    return pd.DataFrame(lines, columns=list(CONTRAST_COLUMNS))


_METRICS = ("category-profile", "category-contrast")


def contrast_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """One body per category-selective ROI, a line per row of responses, from :func:`contrast_table`."""
    if table.empty:
        return None
    measured = ordered_rows(run, ["measured"])[0].label
    bodies = []
    for (region, category), ours in table.groupby(["region", "category"], sort=False):
        lines = [(measured, "the reference", (_cell(ours["measured_d"].iloc[0]), None, None))]
        lines += [
            (line.label, "", (_cell(line.d), _cell(line.map_r), _cell(line.profile_r)))
            for line in ours.itertuples()
        ]
        heading = f"{region}: prefers {category}, {ours['n_voxels'].iloc[0]} voxels"
        bodies.append(Body(heading, tuple(lines)))
    heads = (
        Head("d", "preferred category against the others"),
        Head("map r", "its contrast over the voxels, with measured"),
        Head("profile r", "d of every category, with measured"),
    )
    caption = (
        "Category contrasts of the test images in category-selective ROIs: Cohen's d of the mean response, "
        f"at least {SELECTIVE:g} in the measured one, and agreement with the measured contrast"
    )
    return Grid("contrasts", caption, "responses", heads, tuple(bodies))


def region_table(run: RunResult) -> pd.DataFrame:
    """Every encoding score by region, whole scores only, of rows that differ between images.

    Columns of :data:`harness.results.REGION_COLUMNS`, a value per region, row and metric.
    """
    table = stored(run, "region_scores")
    wanted = (table["part"] == "") & table["row"].isin(ENCODING_ROWS) & ~_of_images(run, table)
    return table[wanted]


def brain_region_table(run: RunResult) -> pd.DataFrame:
    """Every score by region of responses that an encoder predicts for images, of all rows."""
    table = stored(run, "region_scores")
    return table[_of_images(run, table)]


def brain_region_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Regions by score and row of images, from :func:`brain_region_table`."""
    grid = all_scores_grid(run, table)
    caption = "Responses that an encoder predicts for the images, against measured responses by region"
    return grid and replace(grid, name="brain-regions", caption=caption)


def _of_images(run: RunResult, table: pd.DataFrame) -> pd.Series:
    """Which lines of `table` are scores of images, through the responses predicted for them."""
    names = [metric.name for metric in run.record.metrics if metric.targets == ("brain",)]
    return table["metric"].isin(names)


def all_scores_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Regions by every encoding score, from :func:`region_table`."""
    if table.empty:
        return None
    metrics = ordered_metrics(run, table["metric"])
    heads = tuple(
        Head(m.label, f"{'↑' if m.higher_is_better else '↓'} {_OVER.get(m.unit, 'whole region')}")
        for m in metrics
    )
    bodies, where = [], _places(run)
    for row in ordered_rows(run, table["row"]):
        ours = table[table["row"] == row.name]
        lines = []
        for (kind, region), here in ours.groupby(["kind", "region"], sort=False):
            values = dict(zip(here["metric"], here["value"].astype(float)))
            cells = tuple(_cell(values[m.name]) if m.name in values else None for m in metrics)
            place = (_KINDS.get(kind, 9), where(str(region)))
            lines.append((place, (str(region), _NAMES.get(kind, ""), cells)))
        lines.sort(key=lambda line: line[0])
        bodies.append(Body(row.label, tuple(line for _, line in lines)))
    caption = "Every encoding score of each region, computed from its voxels alone"
    return Grid("region-scores", caption, "region", heads, tuple(bodies))


_OVER = {"voxel": "mean over voxels", "image": "mean over images"}
_NAMES = {"group": "cortical group", "roi": "ROI"}
_KINDS = {"all": 0, "group": 1, "roi": 2}


def _places(run: RunResult) -> Callable[[str], float]:
    """Place of a region in the order in which the voxel space names them; unknown ones last."""
    named = (*run.record.space.groups, *run.record.space.rois)
    order = {str(name): place for place, name in enumerate(named)}
    return lambda region: order.get(region, float("inf"))


def _value(table: pd.DataFrame, row: str, part: str) -> float:
    values_there = table[(table["row"] == row) & (table["part"] == part)]["value"]
    return float(values_there.iloc[0]) if len(values_there) else float("nan")


def _cell(value: Any) -> Cell:
    return Cell(float(value), number(value))
