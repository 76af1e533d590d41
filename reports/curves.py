"""Scores of measured responses through a bottleneck, as a curve over its dimensions.

How much of the brain does a score need?  Rows ``measured-rank-K`` are the measured responses through the
first K principal components of the training responses (:mod:`harness.rows.bottleneck`).  At 0 the decoder
draws without any brain; what the curve gains from there to the row ``measured`` is the brain's share of
the score.  Mayo et al. (2024, "BrainBits") read decoders by such curves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.results import RunResult

from .drawing import CONTROL, INK, MEASURED, to_svg
from .grids import Body, Cell, Grid, Head
from .layout import bracket, direction, left_out, number, ordered_metrics, ordered_rows, percent, rank_of
from .tables import score_table
from .values import image_values, share_between, stored

if TYPE_CHECKING:
    import pandas as pd

WHOLE, NOTHING = "measured", "train-mean"
"""The ends of every curve: all voxels, and the mean training response, which is rank 0."""

LEVELS = ("shuffled-measured", "nearest-train-measured", "mean-image")
"""Controls drawn as rules: no information, no decoder, no brain."""

CURVE_COLUMNS = ("rank", "row", "label", "metric", "metric_label", "higher_is_better", "mean", "low", "high")
CURVE_COLUMNS += ("share", "share_low", "share_high", "n", "missing")

_DASHES = ([1, 0], [2, 2], [6, 3], [9, 3, 2, 3])
_PER_LINE = 3


def curve_table(run: RunResult, scores: pd.DataFrame | None = None) -> pd.DataFrame:
    """Scores against the stimuli by rank, the row ``measured`` last with rank NaN; empty without ranks.

    scores : :func:`.tables.score_table` of the run, where it was made before.

    ``share`` is how far the score has come from no brain to all of it,

        (mean of the rank - mean of ``train-mean``) / (mean of ``measured`` - mean of ``train-mean``),

    with its interval (:func:`harness.statistics.ratio_of_means`); NaN where the two ends are not told apart.

    Columns :data:`CURVE_COLUMNS`.
    """
    import pandas as pd

    rows = stored(run, "scores")["row"].unique()
    ranks = {row: rank for row in rows if (rank := rank_of(row)) is not None}
    if not ranks:
        return pd.DataFrame(columns=list(CURVE_COLUMNS))
    table = score_table(run) if scores is None else scores
    resampled = image_values(run) + image_values(run, column="rivalry")
    line_of = {(line["row"], line["metric"]): line for line in table.to_dict("records")}
    lines = []
    for metric in ordered_metrics(run, table["metric"]):
        for row in (*sorted(ranks, key=ranks.__getitem__), WHOLE):
            if (line := line_of.get((row, metric.name))) is None:
                continue
            share = share_between(resampled, row, NOTHING, WHOLE, metric)
            names = dict(zip(("share", "share_low", "share_high"), share))
            lines.append({**line, **names, "rank": ranks.get(row, float("nan"))})
    return pd.DataFrame(lines, columns=list(CURVE_COLUMNS))


def curve_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Ranks by metrics with the share of each score, from :func:`curve_table`."""
    if table.empty:
        return None
    metrics = ordered_metrics(run, table["metric"])
    line_of = {(line["row"], line["metric"]): line for line in table.to_dict("records")}
    lines = []
    for row in dict.fromkeys(table.sort_values("rank", kind="stable", na_position="last")["row"]):
        cells = tuple(_cell(line_of.get((row, metric.name))) for metric in metrics)
        rank = rank_of(row)
        lines.append(("all voxels" if rank is None else str(rank), "", cells))
    heads = tuple(Head(metric.label, direction(metric.higher_is_better)) for metric in metrics)
    caption = (
        "Measured responses through so many dimensions, against the stimuli: mean [95 % interval "
        "over images], and how much of the way that is from the mean training response to all voxels"
    )
    return Grid("bottleneck", caption, "dimensions", heads, (Body("", tuple(lines)),))


def curve_chart(run: RunResult, table: pd.DataFrame, scores: pd.DataFrame) -> str:
    """Score against rank as SVG, one panel per metric, from :func:`curve_table`; or ``""``.

    scores : :func:`.tables.score_table`, for the levels of the measured row and of controls.
    """
    import altair as alt

    ranked = table[table["rank"].notna()]
    if ranked.empty:
        return ""
    levels = scores[scores["row"].isin((WHOLE, *LEVELS))]
    order = [row.label for row in ordered_rows(run, (WHOLE, *LEVELS)) if row.name in set(levels["row"])]
    dashes = alt.StrokeDash(
        "label:N",
        scale=alt.Scale(domain=order, range=list(_DASHES[: len(order)])),
        legend=alt.Legend(
            title=None, orient="top", symbolType="stroke", symbolSize=500, symbolStrokeColor=INK, labelLimit=0
        ),
    )
    places = sorted(ranked["rank"].astype(int).unique())
    panels = []
    for metric in ordered_metrics(run, ranked["metric"]):
        curve = alt.Chart(ranked[ranked["metric"] == metric.name])
        # Symmetric logarithm: equal steps for equal factors, and a place for 0.
        x = alt.X(
            "rank:Q",
            scale=alt.Scale(type="symlog", constant=1, nice=False),
            axis=alt.Axis(values=places, format="d", grid=False, labelOverlap="greedy"),
            title="dimensions",
        )
        y = alt.Y("mean:Q", title=None, scale=alt.Scale(zero=False))
        ours = levels[levels["metric"] == metric.name]
        rules = [
            alt.Chart(part).mark_rule(color=colour, strokeWidth=1.5).encode(y="mean:Q", strokeDash=dashes)
            for part, colour in ((ours[ours["row"] == WHOLE], INK), (ours[ours["row"] != WHOLE], CONTROL))
            if len(part)
        ]
        band = curve.mark_area(color=MEASURED, opacity=0.25).encode(
            x=x, y=alt.Y("low:Q", title=None), y2="high:Q"
        )
        line = curve.mark_line(color=MEASURED, strokeWidth=2).encode(x=x, y=y)
        dots = curve.mark_point(color=MEASURED, filled=True, size=40, opacity=1).encode(x=x, y=y)
        arrow = "↑" if metric.higher_is_better else "↓"
        panel = alt.layer(*rules, band, line, dots)
        panels.append(
            panel.properties(
                width=300,
                height=180,
                title=alt.TitleParams(f"{metric.label} {arrow}", frame="group", offset=8),
            )
        )
    return to_svg(
        alt.concat(*panels, columns=_PER_LINE, spacing={"row": 62, "column": 48}, bounds="flush"),
        curve_text(run, table),
    )


def curve_text(run: RunResult, table: pd.DataFrame) -> str:
    """The curves in words, from :func:`curve_table`."""
    parts = ["Scores of measured responses by number of dimensions."]
    for metric in ordered_metrics(run, table["metric"]):
        ours = table[table["metric"] == metric.name]
        steps = [
            f"{number(line.mean)} at {'all voxels' if line.rank != line.rank else int(line.rank)}"
            for line in ours.itertuples()
        ]
        parts.append(f"{metric.label}: {', '.join(steps)}.")
    return " ".join(parts)


def _cell(line: dict[str, Any] | None) -> Cell | None:
    if line is None:
        return None
    share = percent(*(line[f"share{end}"] for end in ("", "_low", "_high")))
    note = ", ".join(filter(None, (share, left_out(line["missing"]))))
    return Cell(line["mean"], number(line["mean"]), bracket(line["low"], line["high"]), note)
