"""Measured beside predicted responses, image by image: what the encoder says the whole pattern will be.

Voxels stand area by area in the order of the voxel space; neighbours of one area are averaged until the
pattern fits the page.  The run keeps patterns of the images that its report shows (``patterns.npz``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.results import RunResult

from .drawing import DIVERGING, INK, to_svg
from .layout import number, ordered_rows

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 8
"""Images in the figure."""

BINS = 100
"""Most groups of neighbouring voxels."""

ROWS = ("measured", "predicted")

_REST = "other"


def areas_of(run: RunResult) -> list[tuple[str, np.ndarray]]:
    """(name, voxels) of areas without overlap, in order: cortical groups, or ROIs where there are none, and
    what is left."""
    space = run.record.space
    named = space.groups or space.rois
    free = np.ones(space.n_voxels or 0, bool)
    areas = []
    for name, members in named.items():
        own = np.asarray(members, np.int64)
        own = own[free[own]]
        if len(own):
            free[own] = False
            areas.append((name, own))
    return [*areas, (_REST if areas else "all voxels", np.flatnonzero(free))] if free.any() else areas


def pattern_table(run: RunResult) -> pd.DataFrame:
    """A line per image, row and group of neighbouring voxels: ``image_id``, ``row``, ``area``, ``bin``,
    ``voxels`` and their mean ``value``; empty where the run kept no patterns."""
    import pandas as pd

    columns = ["image_id", "row", "label", "area", "bin", "voxels", "value"]
    patterns = run.patterns
    if not patterns:
        return pd.DataFrame(columns=columns)
    labels = {row.name: row.label for row in ordered_rows(run, ROWS)}
    areas = areas_of(run)
    total = sum(len(members) for _, members in areas)
    lines = []
    for position in _spread(len(patterns["ids"])):
        for row in ROWS:
            at = 0
            for area, members in areas:
                count = min(len(members), max(1, round(BINS * len(members) / total)))
                for part in np.array_split(members, count):
                    value = float(patterns[row][position, part].mean(dtype=np.float64))
                    name = str(patterns["ids"][position])
                    lines.append((name, row, labels[row], area, at, len(part), value))
                    at += 1
    return pd.DataFrame(lines, columns=columns)


def pattern_chart(run: RunResult, table: pd.DataFrame) -> str:
    """Patterns from :func:`pattern_table` as SVG, predicted under measured for each image; or ``""``."""
    import altair as alt

    if table.empty:
        return ""
    limit = float(np.percentile(np.abs(table["value"]), 99)) or 1.0
    units = run.record.space.units
    colour = alt.Color(
        "value:Q",
        scale=alt.Scale(domain=list(np.linspace(-limit, limit, 5)), range=list(DIVERGING), clamp=True),
        legend=alt.Legend(title=f"response ({units})" if units else "response", orient="top", titleLimit=240),
    )
    order = list(dict.fromkeys(table["label"]))
    starts = table.groupby("area", sort=False)["bin"].min()
    last = int(table["bin"].max())
    x = alt.X(
        "bin:O", axis=None, scale=alt.Scale(domain=list(range(last + 1)), paddingInner=0, paddingOuter=0)
    )
    panels, words = [], []
    for name, ours in table.groupby("image_id", sort=False):
        cells = (
            alt.Chart(ours[["bin", "label", "value"]])
            .mark_rect()
            .encode(x=x, y=alt.Y("label:N", sort=order, title=None, axis=alt.Axis(ticks=False)), color=colour)
        )
        edges = alt.Chart(starts.iloc[1:].reset_index()).mark_rule(color=INK, strokeWidth=1, xOffset=0)
        sides = [ours[ours["row"] == row]["value"].to_numpy() for row in ROWS]
        r = float(np.corrcoef(*sides)[0, 1]) if all(np.ptp(side) > 0 for side in sides) else float("nan")
        title = alt.TitleParams(f"{name}, r {number(r, digits=2)}", fontSize=11, offset=3)
        panels.append(
            alt.layer(cells, edges.encode(x=alt.X("bin:O", bandPosition=0))).properties(
                width=520, height=alt.Step(13), title=title
            )
        )
        words.append(f"{name} {number(r, digits=2)}")
    named = ", ".join(starts.index)
    text = (
        f"Measured and predicted responses of {len(panels)} images by area ({named}); correlation of the two "
        f"patterns as drawn: {', '.join(words)}."
    )
    return to_svg(alt.concat(*panels, columns=2, spacing={"row": 12, "column": 26}), text)


def _spread(count: int) -> np.ndarray:
    """Positions of the images that are drawn, over the whole gallery."""
    return np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int))
