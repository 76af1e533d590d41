"""Flags of systems that know what they should not: controls that know the stimulus, and scores beyond what
the noise of the data allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ...data import CeilingSource, SubjectData
from ...metrics.encoding import voxel_r
from ...metrics.identification import two_way
from ...notices import Flag
from ...rows.row_images import RowImages
from ...rows.table import ROWS
from ...scoring.compare import mean_scored
from ...scoring.scores import Score
from ...statistics import paired_difference
from .scan import CHANCE, NULL_SD

FEWEST = 8
SURE = 4.0
"""Null standard deviations above chance: one honest run in 30,000."""

TRUTH = 0.9999
"""Median correlation with a simulation's noise-free truth that nothing fitted to noisy trials has."""


def control_equals_measured(
    sets: Sequence[RowImages], copies: Mapping[str, np.ndarray], *, doubled: np.ndarray | None = None
) -> Iterator[Flag]:
    """A row without any response whose images are those of the measured row, or that identifies its stimuli.

    copies : row, or ``"stimulus"``, -> (N, h, w) small copies of its images (:mod:`.thumbnails`).  doubled :
    (N,) equal numbers for stimuli of equal content (:meth:`harness.data.Stimuli.copies`).
    """
    first = {row_images.row: row_images.images for row_images in reversed(sets) if row_images.trial < 0}
    measured = first.get("measured")
    if measured is None:
        return
    for row in (row.name for row in ROWS.values() if row.blind):
        if row not in first:
            continue
        same = sum(a == b for a, b in zip(first[row].image_hashes(), measured.image_hashes(), strict=True))
        rate = _identified(row, copies, doubled)
        label = ROWS[row].label
        if same == len(measured):
            knows = f", which identify their stimulus ({rate:.3f} two-way)" if rate else ""
            yield Flag(
                "control-equals-measured",
                "alarm",
                f"reconstructions of {label} are those of {ROWS['measured'].label} in all {same} images"
                f"{knows}: the decoder does not look at the responses"
                + (", and draws from ids or from the stimuli" if rate else ""),
            )
        elif rate:
            yield Flag(
                "control-equals-measured",
                "alarm",
                f"reconstructions of {label} identify their stimulus ({rate:.3f} two-way, chance {CHANCE:g}) "
                "though its responses say nothing of it: the decoder draws from ids or from the stimuli",
            )


def above_ceiling(
    data: SubjectData,
    predicted: np.ndarray | None,
    *,
    interval: Sequence[float] | None,
    ceiling: np.ndarray | None,
    source: CeilingSource | None,
) -> Iterator[Flag]:
    """Predicted responses that correlate with noise, or that are the noise-free truth of a simulation.

    interval : mean voxel r of the row ``predicted``, low and high.  ceiling : (V,) share of explainable
    variance; it is taken two standard errors higher where its degrees of freedom are known.
    """
    if predicted is None:
        return
    valid = data.space.valid
    if ceiling is not None and interval is not None:
        limit = np.sqrt(_upper(np.asarray(ceiling, np.float64)[valid], source))
        finite = np.isfinite(limit)
        highest = float(limit[finite].mean()) if finite.any() else np.inf
        mean, low, _ = interval
        if low > highest:
            yield Flag(
                "above-ceiling",
                "alarm",
                f"voxel r of {ROWS['predicted'].label} is {mean:.3f}, at least {low:.3f}, above the noise "
                f"ceiling of {highest:.3f}: no model predicts noise, so it has seen the test responses, or "
                "the ceiling is wrong",
            )
            return
    if data.truth is not None and len(predicted) > 2:
        r = voxel_r(predicted[:, valid], data.truth.mean()[:, valid])
        typical = float(np.median(r[np.isfinite(r)])) if np.isfinite(r).any() else 0.0
        if typical > TRUTH:
            yield Flag(
                "above-ceiling",
                "alarm",
                f"{ROWS['predicted'].label} is the noise-free truth of the simulation (median r "
                f"{typical:.5f}): no model fitted to noisy trials reaches the noise ceiling, so it knows the "
                "truth from elsewhere",
            )


def decoder_prior_zone(scores: Sequence[Score]) -> Iterator[Flag]:
    first = {(s.metric.label, s.images.row): s for s in reversed(scores) if s.target == "stimulus"}
    above = []
    for (label, row), score in first.items():
        measured = first.get((label, "measured"))
        if row != "predicted" or measured is None or score.images.images.ids != measured.images.images.ids:
            continue
        sign = 1 if score.metric.load().higher_is_better else -1
        rivalry = None if score.rivalry is None else sign * (score.rivalry - measured.rivalry)
        difference = paired_difference(sign * score.values, sign * measured.values, rivalry=rivalry)
        if difference.low > 0:
            above.append(label)
    if above:
        yield Flag(
            "decoder-prior-zone",
            "warning",
            f"{ROWS['predicted'].label} scores above {ROWS['measured'].label} by {', '.join(sorted(above))}: "
            "noise-free input flatters any decoder; read the decoded agreement instead",
        )


def _identified(row: str, copies: Mapping[str, np.ndarray], doubled: np.ndarray | None) -> float:
    """Mean win rate of a row's small copies where it is surely above chance, else 0."""
    if row not in copies or copies[row].shape != copies["stimulus"].shape or len(copies[row]) < FEWEST:
        return 0.0
    sides = (np.asarray(copies[name]).reshape(len(copies[name]), -1) for name in (row, "stimulus"))
    rate = mean_scored(two_way(*sides, copies=doubled))
    return rate if rate > CHANCE + SURE * NULL_SD / np.sqrt(len(copies[row])) else 0.0


def _upper(ceiling: np.ndarray, source: CeilingSource | None) -> np.ndarray:
    """`ceiling` with its noise to signal ratio two standard errors, sqrt(2 / df) in the logarithm, lower."""
    if source is None or not source.within:
        return ceiling
    error = np.sqrt(2 / source.within + 2 / source.between)
    ratio = np.divide(1 - ceiling, ceiling, out=np.full(len(ceiling), np.inf), where=ceiling > 0)
    return 1 / (1 + ratio * np.exp(-2 * error))
