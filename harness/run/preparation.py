"""Before any model: the data of the scored subject, and those that the encoder is fitted on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..data import SubjectData
from ..notices import Flag
from ..rows.opaque import OpaqueNames
from ..stages.data import Subset, load_subject
from ..stages.given_captions import GivenCaptions
from ..stages.model import Configured
from ..stages.reconstructions import GivenImages
from .context import Context


@dataclass(frozen=True)
class Prepared:
    """What is known before a model is fitted.

    data : the scored subject.  subset : which of its test images, None for all.
    training : training splits that the encoder is fitted on; the scored subject's alone, or those of several.
    names : under which plugins get test images.
    """

    data: SubjectData
    subset: Subset | None
    training: tuple[SubjectData, ...]
    names: OpaqueNames
    warned: tuple[Flag, ...]


def prepare(context: Context) -> Prepared:
    """Load and check every subject of the run."""
    plan, settings = context.plan, context.settings
    benchmark = Configured(plan.benchmark, plan.benchmark_params)
    given = isinstance(plan.decoder, GivenImages | GivenCaptions) and settings.allow_missing
    others = [subject for subject in plan.train_subjects if subject != plan.subject]
    with context.stage("data", 1 + len(others)) as advance:
        data, subset, warned = load_subject(
            benchmark,
            plan.subject,
            **context.place,
            limit=settings.limit,
            present=plan.decoder.present if given else None,
        )
        training = {plan.subject: _training(data)}
        for subject in others:
            other, _, more = load_subject(benchmark, subject, **context.place)
            training[subject] = _training(other)
            warned += more
            advance(1)
    return Prepared(
        data,
        subset,
        tuple(training[subject] for subject in plan.train_subjects),
        OpaqueNames.of(plan.benchmark.load(), data.test.stimuli),
        tuple(warned),
    )


def _training(data: SubjectData) -> SubjectData:
    """The training split alone, which any process can still load."""
    return replace(data.training(), source=data.source)
