"""Scores of captions: what a decoder says of each image, against what others say of it.

``score(captions, references) -> (N,)`` of N strings each or, with a backbone, of their features (N, D) by
its ``extract_text``; a metric of several references (:attr:`harness.catalogue.Metric.references`) gets all
of an image, others the first.  References are the stimuli's own captions (``stimulus``), the decoder's
captions of the true images (``image``), and those decoded from measured responses (``measured``).

Beside every row stand what needs no brain: the row's captions re-paired, one sentence for all images, and
another person's caption (:mod:`harness.rows.caption_controls`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..backbones.weights import stored_sha
from ..catalogue import Metric
from ..rows.caption_controls import constant_captions, human_captions
from ..rows.row_images import RowImages
from ..rows.table import row_named
from ..stages.features import backbone_identity
from ..stages.text_features import text_features
from ..storage.references import Held
from .calls import HEADLINE
from .compare import Comparison, Offer, compared, controls, shuffled_orders
from .context import Circumstances, Scorer, Scoring
from .scores import MetricRef, Score, Scored

CEILING = "generator-ceiling"
"""The row whose captions are the decoder's own of the true images."""

Texts = Mapping[str, Sequence[str]]
"""Id -> one text or more."""


@dataclass(frozen=True)
class _Spoken:
    """Captions by id, as a row of ids and stimuli, against references by id; `orders` re-pair the
    captions.
    """

    row: RowImages
    target: str
    captions: Mapping[str, str]
    references: Texts
    orders: np.ndarray | None = None


class CaptionsScorer(Scorer):
    """Captions against captions."""

    inputs = "captions"
    fetch = "captions"

    def __init__(self, run: Scoring) -> None:
        super().__init__(run)
        decoded = {
            place: reconstructions.captions
            for place, reconstructions in run.decoded.items()
            if reconstructions.captions
        }
        self.captions_at: Mapping[tuple[str, int, int], Mapping[str, str]] = {**decoded, **run.captions}

    @staticmethod
    def expected(metric: Metric, plan: Circumstances) -> str | None:
        return "" if plan.captions else None

    def problem(self, metric: Metric) -> str:
        rows = {row for row, *_ in self.captions_at}
        if not rows:
            return "nothing was decoded that has captions; a decoder returns them as Decoded.caption"
        if self.run.data.test.stimuli.captions is None and not rows & {"measured", CEILING}:
            return "neither the stimuli nor the true images have captions to compare with"
        return ""

    def score(self, metric: MetricRef) -> Scored:
        """A row is scored neither against a target that has no captions, nor against itself."""
        row, run = metric.load(), self.run
        spoken: list[_Spoken] = []
        for images in self._rows:
            for target in row.targets:
                references = self._references(target, images)
                if all(name in references for name in images.images.ids):
                    spoken.append(_Spoken(images, target, self._captions(images), references))
        scores = []
        for images, control in controls(self._rows, run.shuffled) if "stimulus" in row.targets else ():
            references = self._references("stimulus", images)
            orders = shuffled_orders(images, run.derangements)
            if references and len(orders):
                spoken.append(_Spoken(control, "stimulus", self._captions(images), references, orders))
            elif references:
                scores.append(Score(metric, control, "stimulus", np.full(len(images.images), np.nan)))
        spoken += self._brainless if "stimulus" in row.targets else []
        common = {
            "backbone": backbone_identity(row.backbone[0]) if row.backbone else "none",
            "weights": {name: stored_sha(name) for name in row.weights},
        }
        comparisons = [self._comparison(row, row_captions) for row_captions in spoken]
        values = compared(metric, comparisons, store=run.store, executor=run.executor, depends_on=common)
        scores += [
            Score(metric, row_captions.row, row_captions.target, of[HEADLINE])
            for row_captions, of in zip(spoken, values)
        ]
        return Scored(images=scores)

    @cached_property
    def _rows(self) -> list[RowImages]:
        """Rows that say something; those of captions alone stand on the stimuli, which give them their
        ids.
        """
        stimuli = self.run.data.test.stimuli
        rows = [
            images
            for images in self.run.once
            if (images.row, images.trial, images.sample) in self.captions_at
        ]
        return rows + [RowImages(*place, stimuli, stimuli, None) for place in self.run.captions]

    @cached_property
    def _brainless(self) -> list[_Spoken]:
        """One sentence for all, and another person's caption, where the stimuli have references."""
        stimuli = self.run.data.test.stimuli
        if stimuli.references is None:
            return []
        references = dict(zip(stimuli.ids, stimuli.references, strict=True))
        place = {"store": self.run.store, "executor": self.run.executor}
        rows = {
            "constant-caption": (constant_captions(references, **place), references),
            "human-caption": human_captions(references),
        }
        spoken = []
        for name, (captions, others) in rows.items():
            if captions:
                part = stimuli.select([image_id for image_id in stimuli.ids if image_id in captions])
                spoken.append(_Spoken(RowImages(name, -1, 0, part, part, None), "stimulus", captions, others))
        return spoken

    def _captions(self, images: RowImages) -> Mapping[str, str]:
        return self.captions_at[images.row, images.trial, images.sample]

    def _comparison(self, row: Metric, spoken: _Spoken) -> Comparison:
        ids = spoken.row.images.ids
        ours = self._thing(row, [spoken.captions[name] for name in ids])
        if row.references:
            theirs = Offer.of([tuple(spoken.references[name]) for name in ids])
        else:
            theirs = self._thing(row, [spoken.references[name][0] for name in ids])
        return Comparison((ours, theirs), orders=spoken.orders)

    def _thing(self, row: Metric, captions: Sequence[str]) -> Offer:
        if not row.backbone:
            return Offer.of(captions)
        features = text_features(row.backbone[0], captions, store=self.run.store, executor=self.run.executor)
        return Offer(Held(features), list(captions))

    def _references(self, target: str, images: RowImages) -> Texts:
        """Id -> captions that a row is compared with; empty where there are none."""
        if target == "stimulus":
            texts = images.stimuli.references
            return {} if texts is None else dict(zip(images.stimuli.ids, texts, strict=True))
        if target == "image":
            captions = {} if images.row == CEILING else self.captions_at.get((CEILING, -1, 0), {})
        else:
            reference = row_named(images.row).reference
            places = [(reference, -1, images.sample), (reference, -1, 0)] if reference else []
            captions = next((self.captions_at[place] for place in places if place in self.captions_at), {})
        return {name: (text,) for name, text in captions.items()}
