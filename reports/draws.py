"""How far a stochastic decoder is determined by what it decodes: the spread of scores over repeated draws.

A score of one draw is a score of the draw too.  Where a run drew several times (``run.samples``), the spread
over the draws of an image stands beside the spread over images (:mod:`harness.statistics.components`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.results import RunResult
from harness.statistics.components import variance_components

from .grids import Body, Cell, Grid, Head
from .layout import number, ordered_metrics, ordered_rows
from .values import stored

if TYPE_CHECKING:
    import pandas as pd

ROWS = ("measured", "predicted", "oracle", "zero")
"""Rows whose draws are compared; of zero voxels nothing but the draw differs."""

DRAW_COLUMNS = ("metric", "metric_label", "row", "row_label", "draws", "mean")
DRAW_COLUMNS += ("sd_images", "sd_draws", "share_of_draws")


def draw_table(run: RunResult) -> pd.DataFrame:
    """A line per image metric against the stimuli and row that was drawn more than once.

    ``sd_images`` and ``sd_draws`` are standard deviations of scores over images and over the draws of one
    image, ``share_of_draws`` the draws' share of the variance; an estimate below 0 counts as 0.

    Columns :data:`DRAW_COLUMNS`; empty where everything was drawn once.
    """
    import pandas as pd

    scores = stored(run, "scores")
    if scores.empty:
        return pd.DataFrame(columns=list(DRAW_COLUMNS))
    scores = scores[(scores["target"] == "stimulus") & np.isfinite(scores["value"])]
    lines = []
    for metric in ordered_metrics(run, scores["metric"].unique()):
        of_metric = scores[scores["metric"] == metric.name]
        for row in ordered_rows(run, ROWS):
            values = of_metric[of_metric["row"] == row.name]
            draws = values["sample"].nunique()
            if draws < 2:
                continue
            parts = variance_components(
                values["value"].to_numpy(float), values["image_id"], values["trial"], values["sample"]
            )
            spread = {part: np.sqrt(max(getattr(parts, part), 0.0)) for part in ("images", "samples")}
            lines.append(
                {
                    "metric": metric.name,
                    "metric_label": metric.label,
                    "row": row.name,
                    "row_label": row.label,
                    "draws": int(draws),
                    "mean": parts.mean,
                    "sd_images": spread["images"],
                    "sd_draws": spread["samples"],
                    "share_of_draws": parts.shares()["samples"],
                }
            )
    return pd.DataFrame(lines, columns=list(DRAW_COLUMNS))


def draw_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Metrics by what was decoded, from :func:`draw_table`."""
    if table.empty:
        return None
    rows = ordered_rows(run, dict.fromkeys(table["row"]))
    lines = []
    for metric, of_metric in table.groupby("metric", sort=False):
        by_row = of_metric.set_index("row")
        cells = []
        for row in rows:
            if row.name not in by_row.index:
                cells.append(None)
                continue
            line = by_row.loc[row.name]
            detail = f"{number(line.sd_images)} between images"
            share = line.share_of_draws
            note = f"{share:.0%} of the variance" if np.isfinite(share) else ""
            cells.append(Cell(line.sd_draws, number(line.sd_draws), detail, note))
        lines.append((of_metric["metric_label"].iloc[0], metric, tuple(cells)))
    heads = tuple(Head(row.label, "SD over the draws of an image") for row in rows)
    caption = (
        f"How far {table['draws'].max()} draws of the same image differ in their scores against the stimuli, "
        "beside how far images do"
    )
    return Grid("draws", caption, "score", heads, (Body("", tuple(lines)),))
