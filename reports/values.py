"""Stored values of a finished run, arranged for tables and figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import DataError
from harness.results import RunResult
from harness.statistics import ratio_of_means

from .layout import MetricInfo, ordered_metrics

if TYPE_CHECKING:
    import pandas as pd

VOXEL_R_PARTS = ("voxel-r-mean", "voxel-r-low", "voxel-r-high")
"""Set scores in which a run keeps mean voxel r and its 95 % interval over images."""

ENCODING_ROWS = ("predicted", "oracle", "remeasured")
"""Rows whose encoding scores are shown by region; constant predictors score 0 everywhere."""


@dataclass(frozen=True)
class Quartiles:
    """Description of values over voxels; `missing` counts NaN, which the others leave out."""

    mean: float
    q25: float
    median: float
    q75: float
    n: int
    missing: int


def stored(run: RunResult, name: str) -> pd.DataFrame:
    """The table `name` of `run`; :class:`harness.errors.DataError` when absent or damaged."""
    with readable(run, name):
        return getattr(run, name)


@contextmanager
def readable(run: RunResult, name: str) -> Iterator[None]:
    """A block that reads the table `name` of `run`; one that is absent or damaged is told in a line."""
    try:
        yield
        return
    except FileNotFoundError:
        problem = "is missing"
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        problem = f"cannot be read ({(str(error) or 'damaged').splitlines()[0]})"
    raise DataError(
        f"{run.folder / name}.parquet {problem}; a finished run holds it. Type the run's command again"
    )


def run_metrics(run: RunResult, target: str) -> list[MetricInfo]:
    """Image metrics that were scored against `target`."""
    return ordered_metrics(run, _against(run, target)["metric"].unique())


def image_values(run: RunResult, target: str = "stimulus", *, column: str = "value") -> pd.DataFrame:
    """(images, (row, metric)) values averaged over trials and samples; NaN: absent or not scored.

    column : ``value``, or ``rivalry``, which belongs to it for intervals.
    """
    # Kept with the run as its tables are: a report asks some twenty times for a few of them.
    kept = vars(run).setdefault("image_values", {})
    if (target, column) not in kept:
        kept[target, column] = _image_means(_against(run, target), column)
    return kept[target, column].copy()


def _image_means(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    import pandas as pd

    if scores.empty:
        return pd.DataFrame()
    values = scores.assign(**{column: scores[column].astype(float)})
    means = values.groupby(["row", "metric", "image_id"], observed=True)[column].mean()
    return means.unstack(["row", "metric"]).sort_index()


def share_between(
    values: pd.DataFrame, row: str, nothing: str, whole: str, metric: MetricInfo
) -> tuple[float, float, float]:
    """How far the mean of `row` has come from that of the row `nothing` to that of `whole`, with its interval
    (:func:`harness.statistics.ratio_of_means`); NaN without one of the three.

    values : :func:`image_values`, each with its rivalry added.
    """
    keys = [(name, metric.name) for name in (row, nothing, whole)]
    if not all(key in values for key in keys):
        return (float("nan"),) * 3
    ours, least, most = (values[key].to_numpy() for key in keys)
    sign = 1 if metric.higher_is_better else -1
    return ratio_of_means(sign * (ours - least), sign * (most - least))


def images_present(run: RunResult, target: str) -> dict[tuple[str, str], int]:
    """(row, metric) -> images that the run has a line for, scored or not."""
    groups = _against(run, target).groupby(["row", "metric"], observed=True)
    return groups["image_id"].nunique().to_dict()


def voxel_values(run: RunResult, base: str) -> pd.DataFrame:
    """(voxels, rows) values of the voxel metric called `base`, of whatever version."""
    import pandas as pd

    table = stored(run, "voxel_scores")
    table = table[base_names(table["metric"]) == base]
    if table.empty:
        return pd.DataFrame()
    return table.pivot(index="voxel", columns="row", values="value").astype(float).sort_index()


def voxel_r_intervals(run: RunResult) -> dict[str, tuple[float, float]]:
    """Row -> 95 % interval over images of the mean voxel r, as the run computed it."""
    table = stored(run, "set_scores")
    base = base_names(table["metric"])
    low, high = (
        dict(zip(table.loc[base == name, "row"], table.loc[base == name, "value"].astype(float)))
        for name in VOXEL_R_PARTS[1:]
    )
    return {row: (low[row], high[row]) for row in low if row in high}


def noise_ceiling(run: RunResult) -> np.ndarray | None:
    """(V,) explainable share of variance of each voxel; NaN where ``run.json`` has none."""
    given = run.record.noise_ceiling
    if given is None:
        return None
    return np.array([np.nan if value is None else value for value in given], np.float64)


def regions(run: RunResult, scored: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    """(name, ``all`` | ``group`` | ``roi``, voxels) of each region, cut down to the `scored` voxels."""
    parts = [("all voxels", "all", scored)] if len(scored) else []
    for kind, key in (("group", "groups"), ("roi", "rois")):
        for name, members in getattr(run.record.space, key).items():
            parts.append((str(name), kind, np.intersect1d(np.asarray(members, np.int64), scored)))
    return parts


def base_names(metrics: pd.Series) -> pd.Series:
    """Names without version."""
    return metrics.map({name: str(name).split("@")[0] for name in metrics.unique()})


def quartiles(values: np.ndarray) -> Quartiles:
    """Mean and quartiles of the finite entries of `values`."""
    values = np.asarray(values, np.float64)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Quartiles(np.nan, np.nan, np.nan, np.nan, 0, len(values))
    low, middle, high = (float(value) for value in np.percentile(finite, [25, 50, 75]))
    return Quartiles(float(finite.mean()), low, middle, high, len(finite), len(values) - len(finite))


def ceiling_fraction(r: np.ndarray, ceiling: np.ndarray | None) -> float:
    """sum(max(r, 0)²) / sum(ceiling) over voxels where both are known; NaN without a ceiling.

    A ratio of sums: voxels with hardly any signal do not dominate it as they do a mean of ratios.
    """
    if ceiling is None:
        return float("nan")
    finite = np.isfinite(r) & np.isfinite(ceiling)
    total = float(ceiling[finite].sum())
    return float((np.clip(r[finite], 0, None) ** 2).sum() / total) if total > 0 else float("nan")


def voxel_r_ceiling(ceiling: np.ndarray | None, voxels: np.ndarray) -> float:
    """Mean over `voxels` of the r that a perfect prediction has with the noisy measurement; NaN if unknown.

    ceiling : (V,) explainable share of variance, whose root that r is; see :func:`noise_ceiling`.
    """
    if ceiling is None:
        return float("nan")
    return quartiles(np.sqrt(np.clip(ceiling[voxels.astype(np.int64)], 0, None))).mean


def _against(run: RunResult, target: str) -> pd.DataFrame:
    scores = stored(run, "scores")
    return scores[scores["target"] == target]


def noise_floor(run: RunResult) -> str:
    """A sentence with the voxel MSE that remains to a perfect prediction, or ``""`` when unknown."""
    floor = run.record.noise_floor_mse
    if floor is None:
        return ""
    return f"noise floor of the voxel MSE: {floor:.3f}, what a perfect noiseless prediction would still make"
