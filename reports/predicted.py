"""Reconstructions from predicted beside those from measured responses, image by image, of one decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.results import RunResult

from .drawing import INK, PREDICTED, bin_edges, density, to_svg
from .grids import Body, Cell, Grid, Head, difference_cell, number_cell
from .layout import MetricInfo, direction, is_agreement, number, ordered_metrics, ordered_rows, probability
from .tables import paired_table
from .values import image_values, run_metrics

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "measured"
_COMPARED = ("predicted", "reconstructions")

POINTS = 300
"""Images up to which each is a dot; more are drawn as a density."""

LEAST_ALIKE = 4
"""Images that are shown because their two reconstructions differ most."""

PREDICTED_COLUMNS = ("metric", "metric_label", "higher_is_better", "row", "label", "measured", "predicted")
PREDICTED_COLUMNS += ("difference", "low", "high", "p", "p_holm", "verdict", "better_share", "r", "n")


def compared_row(run: RunResult, values: pd.DataFrame) -> str:
    """The row that stands beside the measured one in `values` of :func:`.values.image_values`, or ``""``."""
    present = set() if values.empty else set(values.columns.get_level_values("row"))
    return next((row for row in _COMPARED if row in present and REFERENCE in present), "")


def predicted_table(run: RunResult, paired: pd.DataFrame | None = None) -> pd.DataFrame:
    """A line per image metric: both means, and their paired difference on the same images.

    paired : :func:`.tables.paired_table` of the run, where it was made before; p and verdict are its.

    ``better_share`` is the part of images on which the predicted row is the better one, ties half;
    ``r`` how alike the two rows rank images (Pearson over images), NaN where one of them does not vary.

    Columns :data:`PREDICTED_COLUMNS`; empty without measured or without other reconstructions.
    """
    import pandas as pd

    values = image_values(run)
    row = compared_row(run, values)
    if not row:
        return pd.DataFrame(columns=list(PREDICTED_COLUMNS))
    table = paired_table(run) if paired is None else paired
    table = table[(table["row"] == row) & (table["control"] == REFERENCE)]
    higher = {metric.name: metric.higher_is_better for metric in ordered_metrics(run, table["metric"])}
    lines = []
    for line in table.to_dict("records"):
        name = line["metric"]
        sign = 1 if higher[name] else -1
        pairs = pd.DataFrame({"x": values[REFERENCE, name], "y": values[row, name]}).dropna()
        gain = sign * (pairs["y"] - pairs["x"])
        shown = {column: line[column] for column in PREDICTED_COLUMNS if column in line}
        lines.append(
            {
                **shown,
                "higher_is_better": higher[name],
                "measured": float(pairs["x"].mean()),
                "predicted": float(pairs["y"].mean()),
                "better_share": float(((gain > 0) + 0.5 * (gain == 0)).mean()),
                "r": _correlation(pairs["x"].to_numpy(), pairs["y"].to_numpy()),
            }
        )
    return pd.DataFrame(lines, columns=list(PREDICTED_COLUMNS))


def predicted_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Metrics by what :func:`predicted_table` says of them."""
    if table.empty:
        return None
    label = table["label"].iloc[0]
    heads = (
        Head(ordered_rows(run, [REFERENCE])[0].label, "mean"),
        Head(label, "mean"),
        Head("difference", f"{label} minus measured"),
        Head("images on which it is better", "ties half"),
        Head("r over images", "same images easy for both"),
    )
    lines = []
    for line in table.to_dict("records"):
        difference = difference_cell(
            *(line[name] for name in ("difference", "low", "high", "verdict")),
            f"p {probability(line['p_holm'])}",
        )
        share = Cell(line["better_share"], f"{100 * line['better_share']:.0f}\u00a0%")
        measured, ours, r = (number_cell(line[name]) for name in ("measured", "predicted", "r"))
        note = direction(line["higher_is_better"])
        lines.append((line["metric_label"], note, (measured, ours, difference, share, r)))
    caption = (
        f"{label[:1].upper()}{label[1:]} beside measured fMRI through the same decoder, on the same "
        f"{int(table['n'].max())} images [95 % interval over images]; p by sign flips, Holm-corrected with "
        "the comparisons of this row below"
    )
    return Grid("predicted", caption, "score", heads, (Body("", tuple(lines)),))


def scatter_table(run: RunResult, metrics: list[MetricInfo]) -> pd.DataFrame:
    """What :func:`scatter_chart` draws: ``metric``, ``image_id``, ``measured`` and ``predicted`` scores."""
    import pandas as pd

    values = image_values(run)
    row = compared_row(run, values)
    parts = []
    for metric in metrics if row else ():
        if (row, metric.name) in values and (REFERENCE, metric.name) in values:
            pairs = {"measured": values[REFERENCE, metric.name], "predicted": values[row, metric.name]}
            frame = pd.DataFrame(pairs).dropna().rename_axis("image_id").reset_index()
            parts.append(frame.assign(metric=metric.name))
    columns = ["metric", "image_id", "measured", "predicted"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def scatter_chart(run: RunResult, metrics: list[MetricInfo]) -> str:
    """Score of each image from predicted against measured responses, a panel per metric, as SVG; or ``""``.

    Scores that are 0 or 1 for each image have no scatter and are left out.
    """
    import altair as alt
    import pandas as pd

    table = scatter_table(run, metrics)
    panels, words = [], ["Score of each image from predicted against measured responses."]
    for metric in metrics:
        ours = table[table["metric"] == metric.name]
        sides = ours[["measured", "predicted"]].to_numpy(dtype=float)
        if not len(sides) or np.isin(sides, (0.0, 1.0)).all():
            continue
        edges = bin_edges(sides, 28)
        scale = alt.Scale(domain=[float(edges[0]), float(edges[-1])], nice=False)
        arrow = "↑" if metric.higher_is_better else "↓"
        x_axis = {"title": "measured", "scale": scale, "axis": alt.Axis(tickCount=4)}
        y_axis = {"title": "predicted", "scale": scale, "axis": alt.Axis(tickCount=4)}
        if len(sides) <= POINTS:
            marks = alt.Chart(ours[["measured", "predicted"]]).mark_point(
                filled=True, size=16, opacity=0.55, color=PREDICTED
            )
            marks = marks.encode(x=alt.X("measured:Q", **x_axis), y=alt.Y("predicted:Q", **y_axis))
        else:
            marks = density(sides.T, (edges, edges), PREDICTED, x_axis, y_axis)
        ends = pd.DataFrame({"x": edges[[0, -1]], "y": edges[[0, -1]]})
        diagonal = alt.Chart(ends).mark_line(color=INK, strokeDash=[4, 3], strokeWidth=1)
        title = alt.TitleParams(f"{metric.label} {arrow}", frame="group", offset=6)
        layers = alt.layer(marks, diagonal.encode(x="x:Q", y="y:Q"))
        panels.append(layers.properties(width=190, height=190, title=title))
        words.append(
            f"{metric.label}: r {number(_correlation(*sides.T))}, means {number(sides[:, 0].mean())} "
            f"measured and {number(sides[:, 1].mean())} predicted."
        )
    if not panels:
        return ""
    return to_svg(alt.concat(*panels, columns=4, spacing={"row": 30, "column": 26}), " ".join(words))


def agreement_by_image(run: RunResult) -> tuple[pd.Series, str]:
    """How alike the two reconstructions of each image are, low first, and by what; empty where unknown.

    The decoded agreement where the run scored it, else minus the difference of the first score against the
    stimulus.
    """
    import pandas as pd

    values = image_values(run)
    row = compared_row(run, values)
    if not row:
        return pd.Series(dtype=float), ""
    against = image_values(run, "measured")
    scored = [m for m in run_metrics(run, "measured") if is_agreement(m) and (row, m.name) in against]
    if scored:
        return against[row, scored[0].name].dropna().sort_values(kind="stable"), scored[0].label
    metrics = ordered_metrics(run, values.columns.get_level_values("metric"))
    first = next((m for m in metrics if {(row, m.name), (REFERENCE, m.name)} <= set(values.columns)), None)
    if first is None:
        return pd.Series(dtype=float), ""
    apart = -(values[row, first.name] - values[REFERENCE, first.name]).abs()
    return apart.dropna().sort_values(kind="stable"), f"minus the difference in {first.label}"


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
