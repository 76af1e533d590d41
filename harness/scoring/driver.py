"""One driver for all scores: why a metric is left out, what fails, and what is done once for all metrics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .. import plugins
from ..catalogue import Metric
from ..errors import HarnessError, what_happened
from ..storage.disk import explained
from ..storage.executors import side_by_side
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

    Without finished images metrics that need some are passed over.  Kinds of input are scored side by side,
    since what one scorer keeps is nobody else's; the order of everything is that of `metrics`.
    """
    scorers = [
        (kind(run), of_kind)
        for kind, of_kind in _by_scorer(metrics).items()
        if not kind.needs_images or run.sets or run.captions
    ]
    with run.stage("score", sum(len(of_kind) for _, of_kind in scorers)) as advance:
        calls = (partial(_score_kind, scorer, of_kind, advance) for scorer, of_kind in scorers)
        kinds = side_by_side(run.executor, *calls)
    scored = Scored()
    of_metrics: dict[str, _Outcome] = {}
    for of_kind in kinds:
        _note_problems(of_kind.problems, scored)
        _note_problems(of_kind.unprepared, scored)
        of_metrics |= of_kind.scored
    for metric in metrics:
        if metric.ref.name in of_metrics:
            _note_outcome(metric, of_metrics[metric.ref.name], scored)
    return scored


_Outcome = Scored | BaseException
"""What a metric gave, or what it raised."""

_Problems = Sequence[tuple[MetricRef, str | HarnessError]]
"""Why each of some metrics is left out or, as an error, failed before it was scored; ``""`` if it is not."""


@dataclass(frozen=True)
class _OfKind:
    """What came of all metrics of one kind of input.

    problems : of what is no metric's fault.  unprepared : what was found when they were prepared.
    scored : name of a metric -> its outcome.
    """

    problems: _Problems
    unprepared: _Problems
    scored: Mapping[str, _Outcome]


def _score_kind(scorer: Scorer, metrics: Sequence[MetricRef], advance: Callable[[int], None]) -> _OfKind:
    """The outcome of every metric of one scorer, one after the other."""
    stimuli = scorer.run.data.test.stimuli
    pictures = len(set(stimuli.image_hashes()))
    problems = [
        (metric, too_few_images(metric.load(), len(stimuli), pictures) or scorer.problem(metric.load()))
        for metric in metrics
    ]
    able = [metric for metric, problem in problems if not problem]
    prepared = scorer.prepare(able) if able else {}
    unprepared = [(metric, prepared.get(metric.ref.name) or "") for metric in able]
    able = [metric for metric, problem in unprepared if not problem]
    advance(len(metrics) - len(able))
    scored: dict[str, _Outcome] = {}
    for metric in able:
        try:
            with explained(scorer.run.store.root):
                scored[metric.ref.name] = scorer.score(metric)
        except ENDS_A_RUN:
            raise
        except BaseException as problem:
            scored[metric.ref.name] = problem
        advance(1)
    return _OfKind(problems, unprepared, scored)


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


def _note_problems(problems: _Problems, scored: Scored) -> None:
    """Metrics with a problem are left out or, by an error, noted as failed."""
    reasons: dict[str, list[str]] = {}
    for metric, problem in problems:
        if isinstance(problem, HarnessError):
            note_failure(scored, metric, problem)
        elif problem:
            reasons.setdefault(problem, []).append(metric.ref.name)
    for why, names in reasons.items():
        leave_out(scored, names, why)


def _note_outcome(metric: MetricRef, outcome: _Outcome, scored: Scored) -> None:
    """Take on a metric's values, or why there are none."""
    if isinstance(outcome, BaseException):
        note_failure(scored, metric, outcome)
    elif why := without_values(outcome):
        leave_out(scored, [metric.ref.name], why)
    else:
        scored.add(outcome)


def leave_out(scored: Scored, metrics: Sequence[str], why: str) -> None:
    """Record and say that `metrics` are not scored, and why."""
    logger.warning("not scored: %s: %s", ", ".join(metrics), why)
    scored.left_out += [(name, why) for name in metrics]


def note_failure(scored: Scored, metric: MetricRef, problem: BaseException) -> None:
    """Record and say that `metric` failed."""
    logger.debug("metric %s", metric.label, exc_info=problem)
    logger.warning("metric '%s' failed: %s", metric.ref.name, what_happened(problem))
    scored.failures.append(Failure(metric.label, what_happened(problem)))
