"""Charts of a report as SVG, drawn when the report is written and not in the reader's browser.

Altair describes them and vl-convert draws them without browser or network.  Colours are drawn as
sentinels and then replaced by CSS variables, so that one drawing serves light, dark and print.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RunResult

from .layout import ordered_metrics, ordered_rows
from .tables import roi_table
from .values import ENCODING_ROWS, image_values, noise_ceiling, voxel_values

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

REGION_LIMIT = 40
"""Regions in one chart; an atlas may name hundreds, all of which the table below it lists."""

POINT_LIMIT = 120
"""Most images per row that are drawn as single marks; more would be a smear and megabytes."""

_COLOURS = {
    "#010101": "var(--ink)",
    "#020202": "var(--soft)",
    "#030303": "var(--line)",
    "#040404": "var(--row-measured)",
    "#050505": "var(--row-predicted)",
    "#060606": "var(--row-reference)",
    "#070707": "var(--row-control)",
}
_INK, _SOFT, _LINE, _MEASURED, _PREDICTED, _REFERENCE, _CONTROL = _COLOURS
_MEASURED_ROWS = ("measured", "measured-trial", "remeasured", "half-1", "half-2")
_GROUP_COLOURS = {"compared": _PREDICTED, "reference": _REFERENCE, "control": _CONTROL}
_GROUP_COLOURS |= {"bottleneck": _MEASURED, "other": _SOFT}


def region_chart(run: RunResult) -> str:
    """Voxel r by region as SVG: dot at the mean, bar over the quartiles, tick at the ceiling; or ''."""
    import altair as alt

    table = roi_table(run)
    table = table[table["row"].isin(ENCODING_ROWS)]
    regions = list(dict.fromkeys(table["region"]))[:REGION_LIMIT]
    table = table[table["region"].isin(regions)].copy()
    if table.empty:
        return ""
    table["limit"] = np.sqrt(table["ceiling"].clip(lower=0))
    rows = list(dict.fromkeys(table["label"]))
    y = alt.Y("region:N", sort=regions, title=None, axis=alt.Axis(labelLimit=220, ticks=False))
    offset = alt.YOffset("label:N", sort=rows, scale=alt.Scale(paddingOuter=0.35))
    colour = alt.Color(
        "label:N",
        scale=alt.Scale(domain=rows, range=[_row_colour(run, name) for name in dict.fromkeys(table["row"])]),
        legend=alt.Legend(title=None, orient="top"),
    )
    base = alt.Chart(table)
    x_title = "correlation across images (voxel r): mean and quartiles over voxels"
    spread = base.mark_rule(strokeWidth=4, opacity=0.4).encode(
        x=alt.X("q25:Q", title=x_title), x2="q75:Q", y=y, yOffset=offset, color=colour
    )
    dots = base.mark_point(filled=True, size=46, opacity=1).encode(
        x="mean_r:Q", y=y, yOffset=offset, color=colour
    )
    layers = [spread, dots]
    if table["limit"].notna().any():
        limits = alt.Chart(table.groupby("region", as_index=False)["limit"].first())
        ticks = limits.mark_tick(color=_INK, thickness=2, size=15)
        layers.append(ticks.encode(x="limit:Q", y=alt.Y("region:N", sort=regions)))
    return _svg(alt.layer(*layers).properties(width=560, height=alt.Step(13)))


def ceiling_chart(run: RunResult) -> str:
    """Voxels by noise ceiling and predicted voxel r as SVG; a histogram of r without ceiling; or ''."""
    import altair as alt
    import pandas as pd

    wide, ceiling = voxel_values(run, "voxel-r"), noise_ceiling(run)
    row = next((name for name in ENCODING_ROWS if name in wide), None)
    if row is None:
        return ""
    r = wide[row].dropna()
    if r.empty:
        return ""
    label = ordered_rows(run, [row])[0].label
    if ceiling is None:
        counts, edges = np.histogram(r, bins=40)
        frame = pd.DataFrame({"start": edges[:-1], "end": edges[1:], "voxels": counts})
        bars = (
            alt.Chart(frame)
            .mark_bar(color=_row_colour(run, row))
            .encode(
                x=alt.X("start:Q", bin="binned", title=f"voxel r, {label}"),
                x2="end:Q",
                y=alt.Y("voxels:Q", title="voxels"),
            )
        )
        return _svg(bars.properties(width=430, height=260))
    limit = np.sqrt(np.clip(ceiling[r.index.to_numpy(dtype=int)], 0, None))
    known = np.isfinite(limit)
    counts, left, bottom = np.histogram2d(limit[known], r.to_numpy()[known], bins=36)
    i, j = np.nonzero(counts)
    frame = pd.DataFrame(
        {
            "x": left[i],
            "x2": left[i + 1],
            "y": bottom[j],
            "y2": bottom[j + 1],
            "voxels": counts[i, j].astype(int),
            # Square root: single voxels stay visible beside bins of hundreds.
            "share": np.sqrt(counts[i, j] / counts.max()) * 0.9 + 0.1,
        }
    )
    cells = (
        alt.Chart(frame)
        .mark_rect(color=_row_colour(run, row))
        .encode(
            x=alt.X("x:Q", title="highest possible r (square root of the noise ceiling)"),
            x2="x2:Q",
            y=alt.Y("y:Q", title=f"voxel r, {label}"),
            y2="y2:Q",
            opacity=alt.Opacity("share:Q", scale=None, legend=None),
        )
    )
    ends = [0.0, float(left[-1])]
    diagonal = alt.Chart(pd.DataFrame({"x": ends, "y": ends})).mark_line(
        color=_INK, strokeWidth=1.2, strokeDash=[4, 3]
    )
    return _svg((cells + diagonal.encode(x="x:Q", y="y:Q")).properties(width=430, height=300))


def ceiling_histogram(run: RunResult) -> str:
    """Voxels by noise ceiling as SVG, or '' without one."""
    import altair as alt
    import pandas as pd

    ceiling = noise_ceiling(run)
    known = np.array([]) if ceiling is None else ceiling[np.isfinite(ceiling)]
    if not len(known):
        return ""
    counts, edges = np.histogram(known * 100, bins=30, range=(0, 100 * max(float(known.max()), 0.01)))
    frame = pd.DataFrame({"start": edges[:-1], "end": edges[1:], "voxels": counts})
    bars = (
        alt.Chart(frame)
        .mark_bar(color=_CONTROL)
        .encode(
            x=alt.X("start:Q", bin="binned", title="noise ceiling, % of the variance of the test mean"),
            x2="end:Q",
            y=alt.Y("voxels:Q", title="voxels"),
        )
    )
    middle = alt.Chart(pd.DataFrame({"x": [float(np.median(known * 100))]})).mark_rule(
        color=_INK, strokeWidth=1.5
    )
    return _svg((bars + middle.encode(x="x:Q")).properties(width=430, height=160))


def image_chart(run: RunResult) -> str:
    """Distribution over images of every row, one panel per image metric, as SVG; or ''."""
    import altair as alt
    import pandas as pd

    values = image_values(run)
    if values.empty:
        return ""
    rows = ordered_rows(run, values.columns.get_level_values("row"))
    order = [row.label for row in rows]
    colours = alt.Color(
        "label:N", legend=None, scale=alt.Scale(domain=order, range=[_row_colour(run, r.name) for r in rows])
    )
    panels = []
    for number, metric in enumerate(ordered_metrics(run, values.columns.get_level_values("metric"))):
        boxes, points = _distribution(values, rows, metric.name)
        axis = alt.Axis(labelLimit=230, ticks=False) if number % 3 == 0 else None
        y = alt.Y("label:N", sort=order, title=None, axis=axis)
        x = alt.X("low:Q", title=metric.label, scale=alt.Scale(zero=False))
        layers = [
            alt.Chart(boxes).mark_rule(opacity=0.8).encode(x=x, x2="high:Q", y=y, color=colours),
            alt.Chart(boxes)
            .mark_bar(height=9, opacity=0.4)
            .encode(x="q25:Q", x2="q75:Q", y=y, color=colours),
            alt.Chart(boxes).mark_tick(color=_INK, thickness=2, size=11).encode(x="median:Q", y=y),
        ]
        if len(points):
            layers.insert(
                0,
                alt.Chart(points)
                .mark_tick(thickness=1, size=13, opacity=0.3)
                .encode(x="value:Q", y=y, color=colours),
            )
        if metric.chance is not None:
            chance = alt.Chart(pd.DataFrame({"x": [metric.chance]}))
            layers.append(chance.mark_rule(color=_SOFT, strokeDash=[3, 3]).encode(x="x:Q"))
        panels.append(alt.layer(*layers).properties(width=318, height=alt.Step(17)))
    return _svg(alt.concat(*panels, columns=3, spacing=18))


def _distribution(values: pd.DataFrame, rows: list[Any], metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Percentiles of each row, and single images of the compared rows where they are few."""
    import pandas as pd

    boxes, points = [], []
    for row in rows:
        if (row.name, metric) not in values:
            continue
        known = values[row.name, metric].dropna().to_numpy()
        if not len(known):
            continue
        low, q25, median, q75, high = np.percentile(known, [5, 25, 50, 75, 95])
        boxes.append((row.label, low, q25, median, q75, high))
        if row.group == "compared" and len(known) <= POINT_LIMIT:
            points += [(row.label, value) for value in known]
    columns = ["label", "low", "q25", "median", "q75", "high"]
    return pd.DataFrame(boxes, columns=columns), pd.DataFrame(points, columns=["label", "value"])


def _row_colour(run: RunResult, name: str) -> str:
    return _MEASURED if name in _MEASURED_ROWS else _GROUP_COLOURS[ordered_rows(run, [name])[0].group]


def _svg(chart: alt.Chart | alt.LayerChart | alt.ConcatChart) -> str:
    """`chart` as SVG for inlining: CSS colours, no namespace address, as wide as the page allows."""
    import altair as alt

    axis = {"labelColor": _SOFT, "titleColor": _INK, "gridColor": _LINE, "domainColor": _LINE}
    axis |= {"tickColor": _LINE, "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 12}
    styled = chart.configure(
        font="Liberation Sans",
        background="transparent",
        axis={
            **axis,
            "tickColor": _LINE,
            "titleFontWeight": "normal",
            "labelFontSize": 11,
            "titleFontSize": 12,
        },
        legend={"labelColor": _INK, "labelFontSize": 12, "labelLimit": 260},
        view={"stroke": None},
    )
    text = io.StringIO()
    with alt.data_transformers.enable("default", max_rows=None):
        styled.save(text, format="svg")
    svg = text.getvalue()
    for sentinel, variable in _COLOURS.items():
        svg = svg.replace(sentinel, variable)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    return _scalable(svg)


def _scalable(svg: str) -> str:
    """Let the drawing shrink with the page: its width becomes a maximum."""
    return re.sub(
        r'<svg\b([^>]*?)\swidth="([\d.]+)"\s+height="([\d.]+)"',
        lambda m: f'<svg{m[1]} style="width:100%;max-width:{m[2]}px"',
        svg,
        count=1,
    )
