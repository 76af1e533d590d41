"""One driver for all scores: why a metric is left out, what fails, and what is done once for all metrics."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from .. import plugins
from ..catalogue import Metric
from ..errors import HarnessError, what_happened
from ..storage.disk import explained
from .context import ENDS_A_RUN, Circumstances, Scorer, Scoring
from .scores import Failure, MetricRef, Scored

logger = logging.getLogger(__name__)


def scorer_of(metric: Metric) -> type[Scorer]:
    """The scorer of a metric's kind of input.

    Raises
    ------
    PluginError
        None is installed.
    """
    return plugins.find("scorers", metric.inputs).load()


def expected(metric: Metric, plan: Circumstances) -> str | None:
    """Whether a plan expects values of `metric` unasked; see :meth:`.context.Scorer.expected`."""
    return scorer_of(metric).expected(metric, plan)


def layers_read(metrics: Sequence[MetricRef], backbone: str, which: str) -> set[str]:
    """Layers of `backbone` that `metrics` compare of the stimuli `which` (``test`` or ``training``)."""
    rows = [metric.load() for metric in metrics]
    return {
        row.backbone[1]
        for row in rows
        if row.backbone and row.backbone[0] == backbone and which in scorer_of(row).reads(row)
    }


def score_all(metrics: Sequence[MetricRef], run: Scoring) -> Scored:
    """Everything that `metrics` give for `run`; one that raises is recorded and the next one goes on.

    Without finished images metrics that need some are passed over.
    """
    scored = Scored()
    stimuli = run.data.test.stimuli
    pictures = len(set(stimuli.image_hashes()))
    scorers: dict[type[Scorer], Scorer] = {}
    able: list[tuple[MetricRef, Scorer]] = []
    for kind, of_kind in _by_scorer(metrics).items():
        if kind.needs_images and not (run.sets or run.captions):
            continue
        scorer = scorers[kind] = kind(run)
        problems = {
            metric.ref.name: too_few_images(metric.load(), len(stimuli), pictures)
            or scorer.problem(metric.load())
            for metric in of_kind
        }
        left = _without_problems(of_kind, problems, scored)
        if left:
            left = _without_problems(left, scorer.prepare(left), scored)
        able += [(metric, scorer) for metric in left]
    place = {metric.ref.name: k for k, metric in enumerate(metrics)}
    with run.stage("score", len(able)) as advance:
        for metric, scorer in sorted(able, key=lambda pair: place[pair[0].ref.name]):
            try:
                with explained(run.store.root):
                    of_metric = scorer.score(metric)
                why = without_values(of_metric)
                if why:
                    leave_out(scored, [metric.ref.name], why)
                else:
                    scored.add(of_metric)
            except ENDS_A_RUN:
                raise
            except BaseException as problem:
                note_failure(scored, metric, problem)
            advance(1)
    return scored


def too_few_images(metric: Metric, images: int, pictures: int | None = None) -> str:
    """Why `images` test images of so many different `pictures` are too few for `metric`, or ``""``.

    Where copies are no rivals of each other, all images of a picture are one.
    """
    needed, different, listed = metric.smallest_pool, images, ""
    if "copies" in metric.gets and pictures not in (None, images):
        different, listed = pictures, f", listed {images} times"
    if different >= needed:
        return ""
    if "copies" in metric.gets and different == 1:
        return f"one test image{listed}{',' * bool(listed)} has no rival"
    return f"it needs {needed}{' different' * bool(listed)} test images and there are {different}{listed}"


def without_values(scored: Scored) -> str:
    """Why a metric that gave `scored` is not shown: no row has a number; else ``""``."""
    values = [score.values for score in (*scored.images, *scored.responses)]
    if not values or any(np.isfinite(of_row).any() for of_row in values):
        return ""
    return "it gave no value for any row"


def _by_scorer(metrics: Sequence[MetricRef]) -> dict[type[Scorer], list[MetricRef]]:
    by_kind: dict[type[Scorer], list[MetricRef]] = {}
    for metric in metrics:
        by_kind.setdefault(scorer_of(metric.load()), []).append(metric)
    return by_kind


def _without_problems(
    metrics: Sequence[MetricRef], problems: dict[str, str | HarnessError], scored: Scored
) -> list[MetricRef]:
    """Those of `metrics` without a problem; the others are left out or, by an error, noted as failed."""
    able = []
    reasons: dict[str, list[str]] = {}
    for metric in metrics:
        problem = problems.get(metric.ref.name) or ""
        if isinstance(problem, HarnessError):
            note_failure(scored, metric, problem)
        elif problem:
            reasons.setdefault(problem, []).append(metric.ref.name)
        else:
            able.append(metric)
    for why, names in reasons.items():
        leave_out(scored, names, why)
    return able


def leave_out(scored: Scored, metrics: Sequence[str], why: str) -> None:
    """Record and say that `metrics` are not scored, and why."""
    logger.warning("not scored: %s: %s", ", ".join(metrics), why)
    scored.left_out += [(name, why) for name in metrics]


def note_failure(scored: Scored, metric: MetricRef, problem: BaseException) -> None:
    """Record and say that `metric` failed."""
    logger.debug("metric %s", metric.label, exc_info=problem)
    logger.warning("metric '%s' failed: %s", metric.ref.name, what_happened(problem))
    scored.failures.append(Failure(metric.label, what_happened(problem)))
