"""What nearness to the training set was worth: scores of test images that are near to it, and far.

The distance of every test image to its nearest training image is a score of the run (row ``stimulus``
against ``training``, :mod:`harness.scoring.training`).  A model that generalises scores as well on images far
from what it was trained on; what it loses there, nearness had given it (Shirakawa et al. 2025).  Images
differ in more than nearness, so the rows measured and predicted, and the controls, are read side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RunResult
from harness.statistics import mean_intervals

from .grids import Body, Cell, Grid, Head
from .layout import MetricInfo, bracket, number, ordered_metrics, ordered_rows
from .values import image_values

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 20
"""Test images, ten on either side, below which nothing is said."""

GROUPS = ("compared", "control")
COLUMNS = ("row", "label", "metric", "metric_label", "near", "far", "worth", "low", "high", "n", "by")


def nearness_table(run: RunResult) -> pd.DataFrame:
    """Mean of the nearer and of the farther half of the test images, and their difference, a line each per
    row and image metric against the stimulus.

    ``worth`` is near less far, with its 95 % interval over images (Welch's, by the halves' own spreads);
    ``by`` is the metric that tells how near an image is.  Rows whose images are all alike have none.

    Columns :data:`COLUMNS`.
    """
    import pandas as pd

    distances, by = _distances(run)
    values = image_values(run)
    if distances is None or values.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    rivalry = image_values(run, column="rivalry")[values.columns]
    values, rivalry = (frame.reindex(distances.index) for frame in (values, rivalry))
    near = (distances <= distances.median()).to_numpy()
    metrics = ordered_metrics(run, values.columns.get_level_values("metric"))
    lines = []
    for row in ordered_rows(run, values.columns.get_level_values("row")):
        for metric in metrics if row.group in GROUPS else ():
            if (row.name, metric.name) not in values:
                continue
            ours, others = (frame[row.name, metric.name].to_numpy(float) for frame in (values, rivalry))
            finite = np.isfinite(ours)
            sides = [finite & near, finite & ~near]
            if min(side.sum() for side in sides) < FEWEST // 2:
                continue
            means = [float(ours[side].mean()) for side in sides]
            parts = [_contributions(part, sides) for part in (ours, others)]
            (interval,) = mean_intervals(parts[0][finite, None], rivalry=parts[1][finite, None])
            lines.append(
                {
                    "row": row.name,
                    "label": row.label,
                    "metric": metric.name,
                    "metric_label": metric.label,
                    **dict(zip(("near", "far"), means)),
                    "worth": interval.mean,
                    "low": interval.low,
                    "high": interval.high,
                    "n": int(finite.sum()),
                    "by": by.label,
                }
            )
    return pd.DataFrame(lines, columns=list(COLUMNS))


def nearness_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Metrics by near, far and their difference, a body per row, from :func:`nearness_table`."""
    if table.empty:
        return None
    heads = (
        Head("near", "nearer half of the test images"),
        Head("far", "farther half"),
        Head("near − far", "what nearness was worth"),
    )
    bodies = []
    for label, ours in table.groupby("label", sort=False):
        lines = tuple(
            (
                line.metric_label,
                "",
                (_cell(line.near), _cell(line.far), _cell(line.worth, bracket(line.low, line.high))),
            )
            for line in ours.itertuples()
        )
        bodies.append(Body(str(label), lines))
    caption = (
        f"Scores by nearness to the training images ({table['by'].iloc[0]}), halves of "
        f"{table['n'].max()} test images: means [95 % interval over images]"
    )
    return Grid("nearness", caption, "metric", heads, tuple(bodies))


def _distances(run: RunResult) -> tuple[pd.Series | None, MetricInfo | None]:
    """Image id -> distance to the nearest training image, and the first metric that tells it."""
    values = image_values(run, "training")
    if values.empty:
        return None, None
    for metric in ordered_metrics(run, values.columns.get_level_values("metric")):
        if ("stimulus", metric.name) in values:
            distances = values["stimulus", metric.name].dropna()
            if len(distances) >= FEWEST and distances.nunique() > 1:
                return distances, metric
    return None, None


def _contributions(values: np.ndarray, sides: list[np.ndarray]) -> np.ndarray:
    """(N,) whose mean over both `sides` is the difference of their means, and whose standard error is
    Welch's."""
    count = sum(int(side.sum()) for side in sides)
    out = np.full(len(values), values[sides[0]].mean() - values[sides[1]].mean())
    for side, sign in zip(sides, (1, -1)):
        out[side] += sign * count / side.sum() * (values[side] - values[side].mean())
    return out


def _cell(value: Any, detail: str = "") -> Cell:
    return Cell(float(value), number(value), detail)
