"""Tables of a finished run, derived from its stored scores and nothing else.

Images are the unit of every interval: values are first averaged over the trials and samples of an image;
in identification an image counts as a rival too (:mod:`harness.statistics`).  Subjects are held fixed.
Voxels are neither independent nor a sample of a population: voxel scores are described by mean and
quartiles, never by an interval over voxels.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.results import RunResult
from harness.statistics import holm, mean_intervals, paired_differences, ratio_of_means

from .layout import MetricInfo, RowInfo, is_agreement, ordered_metrics, ordered_rows
from .values import (
    VOXEL_R_PARTS,
    base_names,
    ceiling_fraction,
    image_values,
    images_present,
    noise_ceiling,
    quartiles,
    regions,
    run_metrics,
    stored,
    voxel_r_intervals,
    voxel_values,
)

if TYPE_CHECKING:
    import pandas as pd

ALPHA = 0.05
FLIPS = 10_000
SEED = 0

_SHARED_CONTROLS = ("zero", "train-mean", "mean-image", "flat-grey")
_CAPTION_CONTROLS = ("constant-caption", "human-caption")

COMPARED = {
    "predicted": ("measured", "shuffled", "nearest-train", *_SHARED_CONTROLS, *_CAPTION_CONTROLS),
    "measured": ("shuffled-measured", "nearest-train-measured", *_SHARED_CONTROLS, *_CAPTION_CONTROLS),
    "reconstructions": (
        *("measured", "shuffled-reconstructions", "shuffled", "nearest-train-measured"),
        *_SHARED_CONTROLS,
    ),
    "captions": ("shuffled-captions", *_CAPTION_CONTROLS),
    "oracle": ("measured", "shuffled", "shuffled-measured", *_SHARED_CONTROLS),
}
"""Row -> the rows it is compared with; its own shuffle early, since a blurry row has a higher floor."""

REFERENCES = {
    "remeasured": "as many fresh trials of the same images",
    "half-1": "against the even ones, as what is divided by it",
}
"""Re-measurements in order of preference, and what each is.  With noise on both sides they are
reliabilities and no ceilings: a noiseless prediction scores higher."""

AGAINST_SAME = {
    "half-1": {"predicted": "predicted-half", "predicted-half": "predicted-half", "half-1": "half-1"},
}
"""Re-measurement -> row -> the row that is compared with what the re-measurement is compared with; without
any, each row is as it stands.  Agreement grows with trials, so a ratio needs as many on either side."""

SCORE_COLUMNS = ("row", "label", "group", "target", "metric", "metric_label", "backbone")
SCORE_COLUMNS += ("higher_is_better", "chance", "mean", "low", "high", "n", "missing", "doubt", "expected")
PAIRED_COLUMNS = ("row", "label", "control", "control_label", "metric", "metric_label")
PAIRED_COLUMNS += ("difference", "low", "high", "p", "p_holm", "n", "verdict", "family")
ENCODING_COLUMNS = ("row", "label", "metric", "metric_label", "over", "higher_is_better", "chance")
ENCODING_COLUMNS += ("mean", "low", "high", "q25", "median", "q75", "n", "missing")
ROI_COLUMNS = ("region", "kind", "row", "label", "n_voxels", "mean_r", "q25", "median_r", "q75")
ROI_COLUMNS += ("r2_nc", "ceiling", "ceiling_fraction")
AGREEMENT_COLUMNS = ("row", "label", "metric", "metric_label", "mean", "low", "high", "n", "missing")
AGREEMENT_COLUMNS += ("normalised", "normalised_low", "normalised_high", "reference")


def score_table(
    run: RunResult,
    target: str = "stimulus",
    *,
    metrics: Collection[str] | None = None,
) -> pd.DataFrame:
    """Mean and 95 % interval over images of every row and image metric, one line each.

    target : ``stimulus``; ``measured``, the measured reconstruction of the same image;
        ``responses`` for the encoding scores that are taken per image; ``training``; ``brain``; or
        ``image``, the decoder's own caption of the true image.
    metrics : names with version; None means all.

    Columns :data:`SCORE_COLUMNS`; ``n`` counts images, ``missing`` those that could not be scored;
    ``doubt`` says why the interval may cover less than 90 % (:class:`harness.statistics.Interval`);
    ``expected`` is what a shuffled row has by construction (:func:`shuffled_expectation`), else NaN.
    """
    values = image_values(run, target)
    if metrics is not None and not values.empty:
        values = values.loc[:, values.columns.get_level_values("metric").isin(list(metrics))]
    if values.empty:
        return _frame([], SCORE_COLUMNS)
    rivalry = image_values(run, target, column="rivalry")[values.columns]
    metric_names = values.columns.get_level_values("metric")
    limits = {metric.name: metric.limits for metric in ordered_metrics(run, metric_names)}
    intervals = mean_intervals(
        values.to_numpy(), rivalry=rivalry.to_numpy(), limits=[limits[name] for name in metric_names]
    )
    interval_of = dict(zip(values.columns, intervals))
    present = images_present(run, target)
    pictures = run.record.n_test_pictures or run.record.n_test or 0
    own = {row.shuffled: row.name for row in run.record.rows}
    lines = []
    for row in ordered_rows(run, values.columns.get_level_values("row")):
        for metric in ordered_metrics(run, metric_names):
            if (interval := interval_of.get((row.name, metric.name))) is None:
                continue
            matched = interval_of.get((own.get(row.name, ""), metric.name)) if target == "stimulus" else None
            lines.append(
                {
                    **_names(row),
                    "group": row.group,
                    "target": target,
                    **_described(metric),
                    "backbone": metric.backbone,
                    **{name: getattr(interval, name) for name in ("mean", "low", "high", "n", "doubt")},
                    "missing": present[row.name, metric.name] - interval.n,
                    "expected": np.nan
                    if matched is None
                    else shuffled_expectation(metric, matched.mean, pictures=pictures),
                }
            )
    return _frame(lines, SCORE_COLUMNS)


def shuffled_expectation(metric: MetricInfo, matched: float, *, pictures: int) -> float:
    """What re-paired images have in identification, whose score where they belong is `matched`.

    A reconstruction put at each of N pictures in turn, its own among them, is at chance c exactly (but for
    ties that count as lost).  Re-pairings leave its own out, where it scores m: (N c - m) / (N - 1), which is
    .4545 for perfect reconstructions of 12 pictures.  NaN for scores without rivals.
    """
    if not (metric.pool and metric.chance) or pictures < 2:
        return float("nan")
    return (pictures * metric.chance - matched) / (pictures - 1)


def paired_table(run: RunResult, *, flips: int = FLIPS, seed: int = SEED) -> pd.DataFrame:
    """Differences on the same images: each row of :data:`COMPARED` minus each of its controls.

    Holm's correction runs over one family per row: all its controls by all image metrics against
    the stimulus, as ``family`` says.  ``verdict`` is ``better`` or ``worse`` when the corrected p is below
    0.05 and the interval excludes 0, with the metric's direction; else ``undecided``.

    Columns :data:`PAIRED_COLUMNS`; ``p`` by sign flips, ``n`` images that both rows have.
    """
    values = image_values(run)
    if values.empty:
        return _frame([], PAIRED_COLUMNS)
    rivalry = image_values(run, column="rivalry")
    rows = {row.name: row for row in ordered_rows(run, values.columns.get_level_values("row"))}
    metrics = ordered_metrics(run, values.columns.get_level_values("metric"))
    lines: list[dict[str, Any]] = []
    for row in (rows[name] for name in COMPARED if name in rows):
        pairs = [
            (rows[control], metric)
            for control in COMPARED[row.name]
            for metric in metrics
            if (row.name, metric.name) in values and (control, metric.name) in values
        ]
        if not pairs:
            continue
        differences, others = (
            np.stack([(of[row.name, m.name] - of[c.name, m.name]).to_numpy() for c, m in pairs], axis=1)
            for of in (values, rivalry)
        )
        tests = paired_differences(differences, rivalry=others, flips=flips, seed=seed)
        for test, corrected, (control, metric) in zip(tests, holm([each.p for each in tests]), pairs):
            lines.append(
                {
                    **_names(row),
                    "control": control.name,
                    "control_label": control.label,
                    **_described(metric),
                    "difference": test.mean,
                    **{name: getattr(test, name) for name in ("low", "high", "n", "p")},
                    "p_holm": float(corrected),
                    "verdict": verdict_of(test.low, test.high, float(corrected), metric),
                    "family": f"{len(pairs)} comparisons: {row.label} with its controls x image metrics",
                }
            )
    return _frame(lines, PAIRED_COLUMNS)


def encoding_table(run: RunResult) -> pd.DataFrame:
    """Encoding scores of every row, one line per metric; ``over`` says what was averaged.

    ``images``: mean with 95 % interval over images.  ``voxels``: mean and quartiles; ``low`` and
    ``high`` only where the run holds an interval over images of the mean (voxel r).  ``set``: one
    value.  The added metric ``ceiling-fraction``, explained over explainable variance, is
    :func:`.values.ceiling_fraction` of all voxels.

    Columns :data:`ENCODING_COLUMNS`.
    """
    lines = [*_voxel_lines(run), *_image_lines(run), *_set_lines(run)]
    rows = ordered_rows(run, (line["row"] for line in lines))
    return _frame(
        [{**line, **_names(row)} for row in rows for line in lines if line["row"] == row.name],
        ENCODING_COLUMNS,
    )


def roi_table(run: RunResult) -> pd.DataFrame:
    """Encoding scores by region, over those of its voxels that were scored.

    Columns :data:`ROI_COLUMNS`: ``kind`` is ``all``, ``group`` or ``roi``; ``r2_nc`` the mean of
    the voxels' ratios, ``ceiling`` the mean noise ceiling, ``ceiling_fraction`` the ratio of sums.
    """
    r, ratio, ceiling = voxel_values(run, "voxel-r"), voxel_values(run, "voxel-r2-nc"), noise_ceiling(run)
    lines = []
    for region, kind, members in regions(run, r.index.to_numpy()):
        limits = None if ceiling is None else ceiling[members]
        for row in ordered_rows(run, r.columns):
            values = r.loc[members, row.name].to_numpy()
            if (over := quartiles(values)).n == 0:
                continue
            ratios = ratio[row.name].reindex(members).to_numpy() if row.name in ratio else np.array([])
            lines.append(
                {
                    "region": region,
                    "kind": kind,
                    **_names(row),
                    "n_voxels": over.n,
                    "mean_r": over.mean,
                    "q25": over.q25,
                    "median_r": over.median,
                    "q75": over.q75,
                    "r2_nc": quartiles(ratios).mean,
                    "ceiling": np.nan if limits is None else quartiles(limits).mean,
                    "ceiling_fraction": ceiling_fraction(values, limits),
                }
            )
    return _frame(lines, ROI_COLUMNS)


def agreement_table(run: RunResult) -> pd.DataFrame:
    """Agreement of each row's reconstructions with the measured ones, also per re-measurement.

    ``normalised`` is the row's mean over the re-measurement's mean on the same images, with its
    interval (:func:`harness.statistics.ratio_of_means`); NaN where the re-measurement itself does not agree
    above zero, and where the row is compared with other trials than it is (:data:`AGAINST_SAME`).
    ``reference`` names that row (a key of :data:`REFERENCES`), or is empty.

    Columns :data:`AGREEMENT_COLUMNS`.
    """
    metrics = [metric.name for metric in run_metrics(run, "measured") if is_agreement(metric)]
    table = score_table(run, "measured", metrics=metrics)
    values = image_values(run, "measured")
    lines = []
    for line in table.to_dict("records"):
        metric = line["metric"]
        reference = next((name for name in REFERENCES if (name, metric) in values), "")
        ratio = (np.nan,) * 3
        same = AGAINST_SAME.get(reference) or {line["row"]: line["row"]}
        numerator = (same.get(line["row"], ""), metric)
        if reference and numerator in values:
            ours, theirs = values[numerator], values[reference, metric]
            ratio = ratio_of_means(ours.to_numpy(), theirs.to_numpy())
        normalised = dict(zip(("normalised", "normalised_low", "normalised_high"), ratio))
        lines.append({**line, **normalised, "reference": reference})
    return _frame(lines, AGREEMENT_COLUMNS)


def _voxel_lines(run: RunResult) -> list[dict[str, Any]]:
    table, intervals, ceiling = stored(run, "voxel_scores"), voxel_r_intervals(run), noise_ceiling(run)
    lines = []
    # The correlation across images is the headline of encoding; the others follow in their order.
    metrics = sorted(ordered_metrics(run, table["metric"]), key=lambda metric: metric.base != "voxel-r")
    for metric in metrics:
        for row, part in table[table["metric"] == metric.name].groupby("row", observed=True):
            values = part["value"].to_numpy(dtype=float)
            is_r = metric.base == "voxel-r"
            low, high = intervals.get(row, (np.nan, np.nan)) if is_r else (np.nan, np.nan)
            over = {"over": "voxels", "low": low, "high": high, **vars(quartiles(values))}
            lines.append({"row": row, **_described(metric), **over})
            if is_r and ceiling is not None and not any(line["row"] == "noise-ceiling" for line in lines):
                # Beside rows that have noise on both sides and end below it.
                highest = np.sqrt(np.clip(ceiling[part["voxel"].to_numpy(dtype=int)], 0, None))
                over = {"over": "voxels", "low": np.nan, "high": np.nan, **vars(quartiles(highest))}
                lines.append({"row": "noise-ceiling", **_described(metric), **over})
            if is_r and ceiling is not None:
                limits = ceiling[part["voxel"].to_numpy(dtype=int)]
                count = int((np.isfinite(values) & np.isfinite(limits)).sum())
                lines.append(
                    {
                        "row": row,
                        "metric": "ceiling-fraction",
                        "metric_label": "explained / explainable variance",
                        "over": "set",
                        "higher_is_better": True,
                        "mean": ceiling_fraction(values, limits),
                        "n": count,
                        "missing": len(values) - count,
                    }
                )
    return lines


def _image_lines(run: RunResult) -> list[dict[str, Any]]:
    table = score_table(run, "responses")
    return [{**line, "over": "images"} for line in table.to_dict("records")]


def _set_lines(run: RunResult) -> list[dict[str, Any]]:
    table = stored(run, "set_scores")
    table = table[~base_names(table["metric"]).isin(VOXEL_R_PARTS)]
    lines = []
    for metric in ordered_metrics(run, table["metric"]):
        for line in table[table["metric"] == metric.name].to_dict("records"):
            value = float(line["value"])
            estimate = {"over": "set", "mean": value, "n": line["n"], "missing": int(not np.isfinite(value))}
            lines.append({"row": line["row"], **_described(metric), **estimate})
    return lines


def verdict_of(low: float, high: float, p: float, metric: MetricInfo) -> str:
    """``better`` or ``worse``, with the metric's direction, where a corrected p and an interval agree."""
    if not p < ALPHA or not (low > 0 or high < 0):
        return "undecided"
    return "better" if (low > 0) == metric.higher_is_better else "worse"


def _names(row: RowInfo) -> dict[str, str]:
    return {"row": row.name, "label": row.label}


def _described(metric: MetricInfo) -> dict[str, Any]:
    return {
        "metric": metric.name,
        "metric_label": metric.label,
        "higher_is_better": metric.higher_is_better,
        "chance": metric.chance,
    }


def _frame(lines: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(lines, columns=list(columns))
