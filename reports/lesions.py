"""Which area carried a score: rows of lesions beside the rows that they are lesions of.

Rows ``measured-drop-AREA`` and their like are made by :mod:`harness.rows.lesions`.  What an area carried is a
paired difference: the intact row minus the lesioned one, on the same images and draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RowRecord, RunResult
from harness.statistics import holm, paired_differences

from .drawing import MEASURED, PREDICTED, SOFT, to_svg
from .grids import Body, Cell, Grid, difference_cell, metric_head
from .layout import MetricInfo, ordered_metrics, ordered_rows, percent, probability
from .tables import ALPHA, FLIPS, SEED, score_table, verdict_of
from .values import image_values, share_between

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "train-mean"
"""What is decoded where every area is dropped."""

LESION_COLUMNS = ("area", "kind", "n_voxels", "lesion", "row", "label", "intact", "intact_label")
LESION_COLUMNS += ("metric", "metric_label", "higher_is_better", "mean", "low", "high")
LESION_COLUMNS += ("difference", "difference_low", "difference_high", "p", "p_holm", "verdict")
LESION_COLUMNS += ("kept_share", "kept_share_low", "kept_share_high", "n", "family")

_HEADINGS = {
    "keep": "only this area, all others at their mean training response",
    "drop": "without this area, which is at its mean training response",
    "shuffle": "this area taken from another test image",
}
_COLOURS = {"measured": MEASURED, "predicted": PREDICTED}


def lesion_table(
    run: RunResult, table: pd.DataFrame | None = None, *, flips: int = FLIPS, seed: int = SEED
) -> pd.DataFrame:
    """Scores of lesions against the stimuli, how far they are from the intact row's, and what share stayed.

    table : :func:`.tables.score_table` of the run, where it was made before.

    ``difference`` is lesioned minus intact, paired, with its 95 % interval over images; Holm's correction
    runs over all lesions of one intact row by all metrics, and ``verdict`` is ``better``, ``worse`` or
    ``undecided`` as in :func:`.tables.paired_table`.  ``kept_share`` is

        (lesioned - train-mean) / (intact - train-mean),

    a ratio of means with its interval (:func:`harness.statistics.ratio_of_means`), NaN where the two ends are
    not told apart or the run has no row ``train-mean``.  ``kind`` is that of the area, ``group`` or ``roi``.

    Columns :data:`LESION_COLUMNS`; empty without lesions.
    """
    import pandas as pd

    described = [row for row in run.record.rows if row.lesion]
    values = image_values(run) if described else pd.DataFrame()
    if values.empty:
        return pd.DataFrame(columns=list(LESION_COLUMNS))
    rivalry = image_values(run, column="rivalry")
    resampled = values + rivalry
    metrics = ordered_metrics(run, values.columns.get_level_values("metric"))
    table = score_table(run) if table is None else table
    scores = {(line["row"], line["metric"]): line for line in table.to_dict("records")}
    lines: list[dict[str, Any]] = []
    for intact in dict.fromkeys(row.intact for row in described):
        pairs = [
            (row, metric)
            for row in _in_order(run, [row for row in described if row.intact == intact])
            for metric in metrics
            if (row.name, metric.name) in values and (intact, metric.name) in values
        ]
        if not pairs:
            continue
        differences, others = (
            np.stack([(of[r.name, m.name] - of[intact, m.name]).to_numpy() for r, m in pairs], axis=1)
            for of in (values, rivalry)
        )
        enough = max(flips, int(2 * len(pairs) / ALPHA))  # so that Holm's correction leaves some p below it
        tests = paired_differences(differences, rivalry=others, flips=enough, seed=seed)
        corrected = holm([each.p for each in tests])
        label = ordered_rows(run, [intact])[0].label
        for (row, metric), test, p in zip(pairs, tests, corrected):
            share = share_between(resampled, row.name, NOTHING, intact, metric)
            lines.append(
                {
                    **{name: scores[row.name, metric.name][name] for name in ("mean", "low", "high", "n")},
                    **_described(run, row),
                    "intact_label": label,
                    "metric": metric.name,
                    "metric_label": metric.label,
                    "higher_is_better": metric.higher_is_better,
                    **{"difference": test.mean, "difference_low": test.low, "difference_high": test.high},
                    "p": test.p,
                    "p_holm": float(p),
                    "verdict": verdict_of(test.low, test.high, float(p), metric),
                    **dict(zip(("kept_share", "kept_share_low", "kept_share_high"), share)),
                    "family": f"{len(pairs)} comparisons: lesions of {label} x image metrics",
                }
            )
    return pd.DataFrame(lines, columns=list(LESION_COLUMNS))


def lesion_grids(run: RunResult, table: pd.DataFrame) -> list[Grid]:
    """A grid for each kind of lesion, measured and predicted in it, from :func:`lesion_table`."""
    grids = []
    for lesion, ours in table.groupby("lesion", sort=False):
        metrics = ordered_metrics(run, ours["metric"])
        bodies = []
        for label, body in ours.groupby("intact_label", sort=False):
            lines = []
            for area, part in body.groupby("area", sort=False):
                cells = {line["metric"]: _cell(line) for line in part.to_dict("records")}
                note = f"{part['kind'].iloc[0]}, {part['n_voxels'].iloc[0]} voxels"
                lines.append((area, note, tuple(cells.get(metric.name) for metric in metrics)))
            bodies.append(Body(label, tuple(lines)))
        counts = " and ".join(
            f"{int(part['p'].notna().sum())} of {label}"
            for label, part in table.groupby("intact_label", sort=False)
        )
        caption = (
            f"{_HEADINGS[lesion][0].upper()}{_HEADINGS[lesion][1:]}: lesioned minus intact, on the same "
            "images [95 % interval], and what share of the way from the mean training response to the intact "
            f"row stayed; p by sign flips, Holm-corrected over all lesions of a row ({counts} tests)"
        )
        heads = tuple(metric_head(metric) for metric in metrics)
        grids.append(Grid(f"lesion-{lesion}", caption, "area", heads, tuple(bodies)))
    return grids


def lesion_chart(run: RunResult, table: pd.DataFrame, metrics: list[MetricInfo]) -> str:
    """What stayed of each score, by area and lesion, as SVG, from :func:`lesion_table`; or ``""``.

    A panel per metric of `metrics` and lesion: a dot and its interval for measured and for predicted
    responses; 0 is the mean training response, 1 the intact row.
    """
    import altair as alt
    import pandas as pd

    names = [metric.name for metric in metrics]
    shown = table[table["metric"].isin(names) & np.isfinite(table["kept_share"].astype(float))]
    if shown.empty:
        return ""
    rows = list(dict.fromkeys(zip(shown["intact"], shown["intact_label"])))
    colour = alt.Color(
        "intact_label:N",
        scale=alt.Scale(domain=[label for _, label in rows], range=[_COLOURS[name] for name, _ in rows]),
        legend=alt.Legend(title=None, orient="top"),
    )
    shape = alt.Shape(
        "intact_label:N",
        scale=alt.Scale(domain=[label for _, label in rows], range=["circle", "diamond"]),
        legend=None,
    )
    areas = list(dict.fromkeys(shown["area"]))
    offset = alt.YOffset("intact_label:N", sort=[label for _, label in rows])
    panels = []
    for metric in metrics:
        for place, lesion in enumerate(dict.fromkeys(shown["lesion"])):
            ours = shown[(shown["metric"] == metric.name) & (shown["lesion"] == lesion)]
            if ours.empty:
                continue
            axis = alt.Axis(labelLimit=180, ticks=False) if place == 0 else None
            y = alt.Y("area:N", sort=areas, title=None, axis=axis, scale=alt.Scale(domain=areas))
            x = alt.X("kept_share:Q", title="share that stayed", axis=alt.Axis(format="%", tickCount=5))
            base = alt.Chart(ours)
            ends = base.mark_rule(strokeWidth=2, opacity=0.6).encode(
                x=alt.X("kept_share_low:Q", title="share that stayed"),
                x2="kept_share_high:Q",
                **{"y": y, "yOffset": offset, "color": colour},
            )
            dots = base.mark_point(filled=True, size=46, opacity=1).encode(
                **{"x": x, "y": y, "yOffset": offset, "color": colour, "shape": shape}
            )
            limits = alt.Chart(pd.DataFrame({"x": [0.0, 1.0]})).mark_rule(color=SOFT, strokeDash=[3, 3])
            title = alt.TitleParams(f"{metric.label}, {lesion}", frame="group", offset=6)
            panels.append(
                alt.layer(limits.encode(x="x:Q"), ends, dots).properties(
                    width=250, height=alt.Step(14), title=title
                )
            )
    return to_svg(alt.concat(*panels, columns=3, spacing={"row": 26, "column": 18}), _words(shown))


def _words(table: pd.DataFrame) -> str:
    parts = ["Share of each score that stayed, by lesion."]
    for (metric, lesion, row), ours in table.groupby(["metric_label", "lesion", "intact_label"], sort=False):
        steps = ", ".join(f"{line.area} {100 * line.kept_share:.0f} %" for line in ours.itertuples())
        parts.append(f"{metric}, {lesion}, {row}: {steps}.")
    return " ".join(parts)


def _in_order(run: RunResult, rows: list[RowRecord]) -> list[RowRecord]:
    """By area as the voxel space lists them, then by lesion as :data:`_HEADINGS` does."""
    space = run.record.space
    areas = list(dict.fromkeys((*space.groups, *space.rois, *(row.area for row in rows))))
    return sorted(rows, key=lambda row: (areas.index(row.area), list(_HEADINGS).index(row.lesion)))


def _described(run: RunResult, row: RowRecord) -> dict[str, Any]:
    space = run.record.space
    kind = "group" if row.area in space.groups else "roi"
    members = (space.groups if kind == "group" else space.rois).get(row.area, ())
    facts = {"area": row.area, "kind": kind, "n_voxels": len(members), "lesion": row.lesion}
    return facts | {"row": row.name, "label": row.label or row.name, "intact": row.intact}


def _cell(line: dict[str, Any]) -> Cell:
    note = f"p {probability(line['p_holm'])}"
    if stayed := percent(*(line[f"kept_share{end}"] for end in ("", "_low", "_high"))):
        note = f"{stayed} stayed, {note}"
    names = ("difference", "difference_low", "difference_high", "verdict")
    return difference_cell(*(line[name] for name in names), note)
