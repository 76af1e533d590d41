"""What a score owes to the decoder: from no brain at all to the decoder's own ceiling, and where fMRI lies.

A decoder brings a prior: what it draws without any information already scores.  And it has an end: what its
generator makes of the true image.  A score is the brain's only between the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RunResult

from .grids import Body, Cell, Grid, Head, number_cell
from .layout import chance_level, direction, number, ordered_metrics, ordered_rows, percent
from .tables import score_table
from .values import image_values, share_between

if TYPE_CHECKING:
    import pandas as pd

CEILING = "generator-ceiling"
NO_BRAIN = ("zero", "train-mean", "mean-image", "flat-grey")
"""Rows that are the same for every image."""

RETRIEVED = "nearest-train-measured"
"""What the brain gives without any decoder."""

_BETWEEN = ("measured", "predicted", "oracle")

PRIOR_COLUMNS = ("metric", "metric_label", "higher_is_better", "chance", "no_brain_row", "no_brain_label")
PRIOR_COLUMNS += ("no_brain", "nearest_training_image", "ceiling")
PRIOR_COLUMNS += tuple(
    f"{row}{end}" for row in _BETWEEN for end in ("", "_share", "_share_low", "_share_high")
)


def prior_table(run: RunResult, scores: pd.DataFrame | None = None) -> pd.DataFrame:
    """A line per image metric against the stimuli.

    scores : :func:`.tables.score_table` of the run, where it was made before.

    ``no_brain`` is the best of :data:`NO_BRAIN`, ``ceiling`` what the decoder's generator makes of the true
    image's embedding.  ``measured_share`` and its like are

        (mean of the row - no_brain) / (ceiling - no_brain),

    with an interval (:func:`harness.statistics.ratio_of_means`); NaN without a ceiling or where the two ends
    are not told apart.

    Columns :data:`PRIOR_COLUMNS`; empty where the run decoded nothing without a brain.
    """
    import pandas as pd

    table = score_table(run) if scores is None else scores
    means = {(line.row, line.metric): float(line.mean) for line in table.itertuples()}
    values = image_values(run)
    values = values if values.empty else values + image_values(run, column="rivalry")
    lines = []
    for metric in ordered_metrics(run, table["metric"]):
        sign = 1 if metric.higher_is_better else -1
        blind = {row: means[row, metric.name] for row in NO_BRAIN if (row, metric.name) in means}
        blind = {row: mean for row, mean in blind.items() if np.isfinite(mean)}
        if not blind:
            continue
        best = max(blind, key=lambda row: sign * blind[row])
        line = {
            "metric": metric.name,
            "metric_label": metric.label,
            "higher_is_better": metric.higher_is_better,
            "chance": metric.chance,
            "no_brain_row": best,
            "no_brain_label": ordered_rows(run, [best])[0].label,
            "no_brain": blind[best],
            "nearest_training_image": means.get((RETRIEVED, metric.name), np.nan),
            "ceiling": means.get((CEILING, metric.name), np.nan),
        }
        for row in _BETWEEN:
            line[row] = means.get((row, metric.name), np.nan)
            share = share_between(values, row, best, CEILING, metric)
            line |= dict(zip((f"{row}_share", f"{row}_share_low", f"{row}_share_high"), share))
        lines.append(line)
    return pd.DataFrame(lines, columns=list(PRIOR_COLUMNS))


def prior_grid(run: RunResult, table: pd.DataFrame) -> Grid | None:
    """Metrics by what was decoded, from :func:`prior_table`."""
    if table.empty:
        return None
    rows = [row for row in ordered_rows(run, _BETWEEN) if np.isfinite(table[row.name].astype(float)).any()]
    heads = [Head("no brain", "best constant row"), Head("nearest training image", "no decoder")]
    heads += [Head(row.label, "mean, and its place between") for row in rows]
    heads += [Head("generator ceiling", "given the true image")]
    lines = []
    for line in table.to_dict("records"):
        chance = "" if line["chance"] is None or line["chance"] != line["chance"] else line["chance"]
        arrow = direction(line["higher_is_better"])
        note = arrow if chance == "" else f"{arrow}, chance {chance_level(chance)}"
        cells = [Cell(line["no_brain"], number(line["no_brain"]), "", line["no_brain_label"])]
        cells.append(number_cell(line["nearest_training_image"]))
        cells += [_between(line, row.name) for row in rows]
        cells.append(number_cell(line["ceiling"]))
        lines.append((line["metric_label"], note, tuple(cells)))
    caption = (
        "Against the stimuli: means over images, and how much of the way from no brain to the generator "
        "ceiling that is [95 % interval over images]"
    )
    return Grid("priors", caption, "score", tuple(heads), (Body("", tuple(lines)),))


def _between(line: dict[str, Any], row: str) -> Cell | None:
    if not np.isfinite(line[row]):
        return None
    place = percent(*(line[f"{row}_share{end}"] for end in ("", "_low", "_high")))
    return Cell(line[row], number(line[row]), place)
