"""Charts of single images, voxels and regions as SVG, drawn when the report is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RunResult

from .drawing import CONTROL, INK, SOFT, bin_edges, density, row_colour, to_svg
from .layout import number, ordered_metrics, ordered_rows
from .tables import roi_table
from .values import ENCODING_ROWS, image_values, noise_ceiling, voxel_values

if TYPE_CHECKING:
    import pandas as pd

REGION_LIMIT = 40
"""Regions in one chart; an atlas may name hundreds, all of which the table below it lists."""

POINT_LIMIT = 120
"""Most images per row that are drawn as single marks; more would be a smear and megabytes."""


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
        scale=alt.Scale(domain=rows, range=[row_colour(run, name) for name in dict.fromkeys(table["row"])]),
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
        ticks = limits.mark_tick(color=INK, thickness=2, size=15)
        layers.append(ticks.encode(x="limit:Q", y=alt.Y("region:N", sort=regions)))
    text = "Mean voxel r by region. " + " ".join(
        f"{label}: {', '.join(f'{line.region} {number(line.mean_r)}' for line in ours.itertuples())}."
        for label, ours in table.groupby("label", sort=False)
    )
    return to_svg(alt.layer(*layers).properties(width=560, height=alt.Step(13)), text)


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
        counts, edges = np.histogram(r, bins=bin_edges(r, 40))
        frame = pd.DataFrame({"start": edges[:-1], "end": edges[1:], "voxels": counts})
        bars = (
            alt.Chart(frame)
            .mark_bar(color=row_colour(run, row))
            .encode(
                x=alt.X("start:Q", bin="binned", title=f"voxel r, {label}"),
                x2="end:Q",
                y=alt.Y("voxels:Q", title="voxels"),
            )
        )
        text = f"Histogram over {len(r)} voxels of voxel r, {label}; median {number(float(r.median()))}."
        return to_svg(bars.properties(width=430, height=260), text)
    limit = np.sqrt(np.clip(ceiling[r.index.to_numpy(dtype=int)], 0, None))
    finite = np.isfinite(limit)
    if not finite.any():
        return ""
    sides = (limit[finite], r.to_numpy()[finite])
    edges = [bin_edges(side, 36) for side in sides]
    x_title = "highest possible r (square root of the noise ceiling)"
    cells = density(sides, edges, row_colour(run, row), {"title": x_title}, {"title": f"voxel r, {label}"})
    ends = [0.0, float(edges[0][-1])]
    diagonal = alt.Chart(pd.DataFrame({"x": ends, "y": ends})).mark_line(
        color=INK, strokeWidth=1.2, strokeDash=[4, 3]
    )
    text = (
        f"Density of {int(finite.sum())} voxels: voxel r, {label}, against the highest possible r; "
        f"medians {number(float(r[finite].median()))} and {number(float(np.median(limit[finite])))}."
    )
    return to_svg((cells + diagonal.encode(x="x:Q", y="y:Q")).properties(width=430, height=300), text)


def ceiling_histogram(run: RunResult) -> str:
    """Voxels by noise ceiling as SVG, or '' without one."""
    import altair as alt
    import pandas as pd

    ceiling = noise_ceiling(run)
    finite = np.array([]) if ceiling is None else ceiling[np.isfinite(ceiling)]
    if not len(finite):
        return ""
    counts, edges = np.histogram(finite * 100, bins=30, range=(0, 100 * max(float(finite.max()), 0.01)))
    frame = pd.DataFrame({"start": edges[:-1], "end": edges[1:], "voxels": counts})
    bars = (
        alt.Chart(frame)
        .mark_bar(color=CONTROL)
        .encode(
            x=alt.X("start:Q", bin="binned", title="noise ceiling, % of the variance of the test mean"),
            x2="end:Q",
            y=alt.Y("voxels:Q", title="voxels"),
        )
    )
    middle = alt.Chart(pd.DataFrame({"x": [float(np.median(finite * 100))]})).mark_rule(
        color=INK, strokeWidth=1.5
    )
    text = (
        f"Histogram over {len(finite)} voxels of the noise ceiling; median {np.median(finite * 100):.0f} % "
        "of the variance of the test mean."
    )
    return to_svg((bars + middle.encode(x="x:Q")).properties(width=430, height=160), text)


def ceiling_table(run: RunResult) -> pd.DataFrame:
    """What :func:`ceiling_chart` and :func:`ceiling_histogram` draw: ``voxel``, ``noise_ceiling``, voxel r of
    each row."""
    wide, ceiling = voxel_values(run, "voxel-r"), noise_ceiling(run)
    table = wide[[row for row in ENCODING_ROWS if row in wide]].add_prefix("voxel_r_")
    if ceiling is not None:
        table.insert(0, "noise_ceiling", ceiling[table.index.to_numpy(dtype=int)])
    return table.rename_axis("voxel").rename_axis(columns=None).reset_index()


def image_table(run: RunResult) -> pd.DataFrame:
    """What :func:`image_chart` draws: of each metric and row percentiles over images, the 5th, 25th, 50th,
    75th and 95th (``low``, ``q25``, ``median``, ``q75``, ``high``), and their number ``n``."""
    import pandas as pd

    values = image_values(run)
    parts = []
    for metric in ordered_metrics(run, values.columns.get_level_values("metric")):
        boxes, _ = _distribution(values, _drawn_rows(run, values), metric.name)
        parts.append(boxes.assign(metric=metric.name))
    table = pd.concat(parts, ignore_index=True)
    return table[["metric", *(column for column in table if column != "metric")]]


def _drawn_rows(run: RunResult, values: pd.DataFrame) -> list[Any]:
    """All but lesions, which have a figure of their own."""
    rows = ordered_rows(run, values.columns.get_level_values("row"))
    return [row for row in rows if row.group != "lesion"]


def image_chart(run: RunResult) -> str:
    """Distribution over images of every row, one panel per image metric, as SVG; or ''.

    A score that is 0 or 1 for each image (top-1 retrieval) has no distribution but its mean, which is in
    the table.
    """
    import altair as alt
    import pandas as pd

    values = image_values(run)
    if values.empty:
        return ""
    rows = _drawn_rows(run, values)
    order = [row.label for row in rows]
    colours = alt.Color(
        "label:N", legend=None, scale=alt.Scale(domain=order, range=[row_colour(run, r.name) for r in rows])
    )
    panels = []
    metrics = ordered_metrics(run, values.columns.get_level_values("metric"))
    for place, metric in enumerate(m for m in metrics if not _is_hit_or_miss(values, m.name)):
        boxes, points = _distribution(values, rows, metric.name)
        axis = alt.Axis(labelLimit=230, labelPadding=6, ticks=False) if place % 3 == 0 else None
        # Every panel has a place for every row, so that the names at the left belong to all beside them.
        y = alt.Y("label:N", scale=alt.Scale(domain=order), title=None, axis=axis)
        x = alt.X("low:Q", title=metric.label, scale=alt.Scale(zero=False))
        layers = [
            alt.Chart(boxes).mark_rule(opacity=0.8).encode(x=x, x2="high:Q", y=y, color=colours),
            alt.Chart(boxes)
            .mark_bar(height=9, opacity=0.4)
            .encode(x="q25:Q", x2="q75:Q", y=y, color=colours),
            alt.Chart(boxes).mark_tick(color=INK, thickness=2, size=11).encode(x="median:Q", y=y),
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
            layers.append(chance.mark_rule(color=SOFT, strokeDash=[3, 3]).encode(x="x:Q"))
        panels.append(alt.layer(*layers).properties(width=318, height=alt.Step(17)))
    if not panels:
        return ""
    text = "Spread of scores over single images: a panel per metric, a line per row; means are in the table."
    return to_svg(alt.concat(*panels, columns=3, spacing=18), text)


def _is_hit_or_miss(values: pd.DataFrame, metric: str) -> bool:
    """Whether an image scores 0 or 1 by `metric`, averages over trials and re-pairings apart."""
    rows = [row for row, name in values if name == metric]
    rows = [row for row in rows if not row.startswith("shuffled")]
    rows = [row for row in rows if row != "measured-trial"] or rows
    scores = values[[(row, metric) for row in rows]].to_numpy(dtype=float)
    return bool(rows) and bool(np.isin(scores[np.isfinite(scores)], (0.0, 1.0)).all())


def _distribution(values: pd.DataFrame, rows: list[Any], metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Percentiles of each row, and single images of the compared rows where they are few."""
    import pandas as pd

    boxes, points = [], []
    for row in rows:
        if (row.name, metric) not in values:
            continue
        scores = values[row.name, metric].dropna().to_numpy()
        if not len(scores):
            continue
        low, q25, median, q75, high = np.percentile(scores, [5, 25, 50, 75, 95])
        boxes.append((row.label, low, q25, median, q75, high, len(scores)))
        if row.group == "compared" and len(scores) <= POINT_LIMIT:
            points += [(row.label, value) for value in scores]
    columns = ["label", "low", "q25", "median", "q75", "high", "n"]
    return pd.DataFrame(boxes, columns=columns), pd.DataFrame(points, columns=["label", "value"])
