"""What a run knows when its stages are done, before it is written (:mod:`harness.record`)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .data import SubjectData
from .errors import what_happened
from .notices import Flag
from .plan import Plan
from .stages.data import Subset
from .stages.score import Failure, ImageSet, MetricRef, Score
from .stages.score_contributions import Contributions
from .stages.score_regions import RegionScore
from .stages.score_responses import ResponseScore

logger = logging.getLogger(__name__)


@dataclass
class Outcome:
    """Everything that a finished run knows: data, image sets, scores, and what could not be scored."""

    plan: Plan
    data: SubjectData
    subset: Subset | None
    sets: list[ImageSet] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    response_scores: list[ResponseScore] = field(default_factory=list)
    region_scores: list[RegionScore] = field(default_factory=list)
    region_contributions: list[Contributions] = field(default_factory=list)
    voxel_r: dict[str, Sequence[float]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)  # (metric, why), found out on the way
    wanted: tuple[tuple[str, str], ...] = ()
    candidates: int = 1
    transductive: bool = False
    blended: float = 0.0  # share of the decoder's low-level images in what is scored
    predicted: np.ndarray | None = None  # (N, V) mean over samples
    copies: dict[str, np.ndarray] = field(default_factory=dict)  # small ones, by which flags compare images
    warned: list[Flag] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def scorable(self, metrics: Sequence[MetricRef], lacking: Callable[[MetricRef], str]) -> list[MetricRef]:
        """Those of `metrics` for which `lacking` gives no reason; the others are noted as left out."""
        reasons = [lacking(metric) for metric in metrics]
        for why in filter(None, dict.fromkeys(reasons)):
            self.leave_out([m for m, reason in zip(metrics, reasons) if reason == why], why)
        return [metric for metric, reason in zip(metrics, reasons) if not reason]

    def leave_out(self, metrics: Sequence[MetricRef], why: str) -> None:
        """Note that `metrics` are not scored and why; the first reason given for one stands."""
        already = {name for name, _ in self.left_out}
        metrics = [metric for metric in metrics if metric.ref.name not in already]
        if metrics:
            logger.warning("not scored: %s: %s", ", ".join(metric.ref.name for metric in metrics), why)
            self.left_out += [(metric.ref.name, why) for metric in metrics]

    def note_failure(self, metric: MetricRef, problem: BaseException) -> None:
        """Note that `metric` raised `problem`; the next one goes on."""
        logger.debug("metric %s", metric.label, exc_info=problem)
        logger.warning("metric '%s' failed: %s", metric.ref.name, what_happened(problem))
        self.failures.append(Failure(metric.label, what_happened(problem)))
