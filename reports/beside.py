"""Tables of suites beside a published one: what was computed, what is printed, what differs.

A column is a metric, or ``metric/REGION``, a voxel metric in one ROI or cortical group.  The row that is read
is ``predicted`` where the cell has an encoder, else ``measured``, unless the suite names one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.published import PublishedRow, base_name
from harness.results import RunResult
from harness.statistics import variance_components

from .published import nearest, row_scores, shared_differences
from .suites import SuiteRun
from .values import stored

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("encoder", "decoder", "runs", "column", "mean", "low", "high")
COLUMNS += ("published", "published_as", "published_value")
SPREAD_COLUMNS = (
    "encoder",
    "decoder",
    "metric",
    "metric_label",
    "mean",
    "between_images",
    "between_samples",
    "n",
)


def beside_table(
    runs: Sequence[SuiteRun],
    columns: Sequence[str],
    published: Mapping[str, PublishedRow],
    *,
    row: str = "",
) -> pd.DataFrame:
    """A line for each system and column, means over its subjects and seeds, columns :data:`COLUMNS`.

    low, high : 95 % interval over images where there is one run alone, else NaN.
    published : ``ENCODER × DECODER`` -> the printed line that the system stands beside.
    row : that is read.
    """
    import pandas as pd

    lines = []
    for (encoder, decoder), own in itertools.groupby(
        sorted(runs, key=lambda suite_run: _place(runs, suite_run)),
        key=lambda suite_run: (suite_run.encoder, suite_run.decoder),
    ):
        several = [cell_scores(suite_run.run, row=row) for suite_run in own]
        printed = published.get(f"{encoder} × {decoder}")
        for column in columns:
            values = [scores[column] for scores in several if column in scores]
            near = "" if printed is None else nearest_column(printed, column)
            if not values and not near:
                continue
            means = [mean for mean, _, _ in values]
            lines.append(
                {
                    "encoder": encoder,
                    "decoder": decoder,
                    "runs": len(values),
                    "column": column,
                    "mean": float(np.mean(means)) if means else np.nan,
                    "low": values[0][1] if len(values) == 1 else np.nan,
                    "high": values[0][2] if len(values) == 1 else np.nan,
                    "published": printed.name if printed is not None and near else "",
                    "published_as": near,
                    "published_value": printed.values[near] if printed is not None and near else np.nan,
                }
            )
    return pd.DataFrame(lines, columns=list(COLUMNS))


def why_they_differ(
    runs: Sequence[SuiteRun], published: Mapping[str, PublishedRow]
) -> dict[str, tuple[str, ...]]:
    """Sentence -> systems whose printed line it is true of, in the order of the systems."""
    # Of several subjects or seeds the first stands for all.
    first = {f"{suite_run.encoder} × {suite_run.decoder}": suite_run.run for suite_run in reversed(runs)}
    return shared_differences(
        {system: (first[system], row) for system, row in published.items() if system in first}
    )


def spread_table(runs: Sequence[SuiteRun]) -> pd.DataFrame:
    """How far samples of one image lie apart, beside images: SDs, columns :data:`SPREAD_COLUMNS`."""
    import pandas as pd

    lines = []
    for suite_run in runs:
        scores = stored(suite_run.run, "scores")
        row = read_row(suite_run.run)
        own = scores[(scores["row"] == row) & (scores["target"] == "stimulus")]
        labels = {metric.name: metric.label for metric in suite_run.run.record.metrics}
        for metric, part in own.groupby("metric", sort=False, observed=True):
            components = variance_components(part["value"], part["image_id"], part["trial"], part["sample"])
            samples = components.samples if np.isfinite(components.samples) else components.rest
            lines.append(
                {
                    "encoder": suite_run.encoder,
                    "decoder": suite_run.decoder,
                    "metric": metric,
                    "metric_label": labels.get(metric, metric),
                    "mean": components.mean,
                    "between_images": float(np.sqrt(max(components.images, 0))),
                    "between_samples": float(np.sqrt(max(samples, 0))) if np.isfinite(samples) else np.nan,
                    "n": components.n,
                }
            )
    return pd.DataFrame(lines, columns=list(SPREAD_COLUMNS))


def nearest_column(row: PublishedRow, column: str) -> str:
    """The printed column nearest to one of a suite; one of a region is that region's alone."""
    return (column if column in row.values else "") if "/" in column else nearest(row, column)


def cell_scores(run: RunResult, *, row: str = "") -> dict[str, tuple[float, float, float]]:
    """Column -> mean with its 95 % interval over images, NaN where there is none."""
    row = row or read_row(run)
    scores: dict[str, tuple[float, float, float]] = {}
    for metric, line in row_scores(run).get(row, {}).items():
        scores.setdefault(base_name(metric), (line["mean"], _number(line["low"]), _number(line["high"])))
    regions = stored(run, "region_scores")
    own = regions[(regions["row"] == row) & (regions["part"] == "") & (regions["kind"] != "all")]
    for line in own.itertuples():
        scores[f"{base_name(line.metric)}/{line.region}"] = (float(line.value), np.nan, np.nan)
    return scores


def read_row(run: RunResult) -> str:
    """The row of a run that tables of suites read: of its encoder, or of measured responses without any."""
    names = [row.name for row in run.record.rows]
    return next((name for name in ("predicted", "measured") if name in names), "")


def _place(runs: Sequence[SuiteRun], suite_run: SuiteRun) -> tuple[int, int]:
    encoders, decoders = (
        list(dict.fromkeys(getattr(run, key) for run in runs)) for key in ("encoder", "decoder")
    )
    return encoders.index(suite_run.encoder), decoders.index(suite_run.decoder)


def _number(value: Any) -> float:
    return float(value) if value is not None else np.nan
