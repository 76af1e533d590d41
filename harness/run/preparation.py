"""Before any model: the data of the scored subject, and those that the encoder is fitted on."""

from __future__ import annotations

from dataclasses import dataclass

from ..data import SubjectData
from ..notices import Flag
from ..rows.opaque import OpaqueNames
from ..stages.data import Subset, load_subject
from ..stages.given_captions import GivenCaptions
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
    benchmark = plan.benchmark_object()
    given = isinstance(plan.decoder, GivenImages | GivenCaptions) and settings.allow_missing
    others = [subject for subject in plan.train_subjects if subject != plan.subject]
    with context.stage("data", 1 + len(others)) as advance:
        data, subset, warned = load_subject(
            benchmark,
            plan.subject,
            ref=plan.benchmark,
            store=context.store,
            limit=settings.limit,
            present=plan.decoder.present if given else None,
        )
        training = {plan.subject: data.training()}
        for subject in others:
            other, _, more = load_subject(benchmark, subject, ref=plan.benchmark, store=context.store)
            training[subject] = other.training()
            warned += more
            advance(1)
    return Prepared(
        data,
        subset,
        tuple(training[subject] for subject in plan.train_subjects),
        OpaqueNames.of(plan.benchmark.load(), data.test.stimuli),
        tuple(warned),
    )
