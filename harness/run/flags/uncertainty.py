"""Flags of intervals that a sample cannot support: few images, or nearly all alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...notices import Flag
from ...scoring.scores import ResponseScore, Score
from ...statistics import FEW, FEW_IMAGES, NEARLY_ALIKE, doubt, share_limits


def uncertain_intervals(scores: Sequence[Score], response_scores: Sequence[ResponseScore]) -> Iterator[Flag]:
    """Intervals that may cover less than 90 %, as the tables say it (:func:`harness.statistics.doubt`)."""
    per_image = [(s.metric, s.images.row, s.images.trial, s.values) for s in scores]
    per_image += [(s.metric, s.row, -1, s.values) for s in response_scores if s.unit == "image"]
    doubtful: dict[str, dict[str, None]] = {FEW_IMAGES: {}, NEARLY_ALIKE: {}}
    fewest = FEW
    for metric, row, trial, values in per_image:
        plugin = metric.load()
        if trial >= 0 or not (why := doubt(values, limits=share_limits(plugin.pool, plugin.chance))):
            continue
        doubtful[why][f"{metric.label} of {row}"] = None
        if why == FEW_IMAGES:
            fewest = min(fewest, int(np.isfinite(values).sum()))
    if doubtful[FEW_IMAGES]:
        yield Flag(
            "few-images",
            "warning",
            f"scores over {fewest} images: a 95 % interval over fewer than {FEW} may cover less than 90 % "
            "where values are skewed or near a ceiling; score more images before believing a difference",
        )
    if doubtful[NEARLY_ALIKE]:
        named = list(doubtful[NEARLY_ALIKE])
        few = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
        yield Flag(
            "nearly-alike",
            "info",
            f"all but a few images have the same value ({few}): how far the others may depart was hardly "
            "seen, and the interval may cover less than 90 %",
        )
