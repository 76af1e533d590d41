"""Scores of captions: what a decoder says of each image, against what others say of it.

``score(captions, references) -> (N,)`` of N strings each or, with a backbone, of their features (N, D) by
its ``extract_text``.  References are the stimuli's own captions (``stimulus``), the decoder's captions of the
true images (``image``), and those decoded from measured responses (``measured``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..backbones.weights import stored_sha
from ..catalogue import Metric
from ..rows.row_images import RowImages
from ..rows.table import row_named
from ..stages.features import backbone_identity
from ..storage.references import Held
from .caption_features import caption_features
from .compare import HEADLINE, Comparison, Offer, compared, controls, shuffled_orders
from .context import Circumstances, Scorer, Scoring
from .scores import MetricRef, Score, Scored

CEILING = "generator-ceiling"
"""The row whose captions are the decoder's own of the true images."""


class CaptionsScorer(Scorer):
    """Captions against captions."""

    inputs = "captions"
    fetch = "captions"

    def __init__(self, run: Scoring) -> None:
        super().__init__(run)
        self.said: Mapping[tuple[str, int, int], Mapping[str, str]] = {
            place: made.captions for place, made in run.decoded.items() if made.captions
        }

    @staticmethod
    def expected(metric: Metric, plan: Circumstances) -> str | None:
        return "" if plan.captions else None

    def problem(self, metric: Metric) -> str:
        rows = {row for row, *_ in self.said}
        if not rows:
            return "nothing was decoded that has captions; a decoder returns them as Decoded.caption"
        if self.run.data.test.stimuli.captions is None and not rows & {"measured", CEILING}:
            return "neither the stimuli nor the true images have captions to compare with"
        return ""

    def score(self, metric: MetricRef) -> Scored:
        """A row is scored neither against a target that has no captions, nor against itself."""
        row, run = metric.load(), self.run
        what: list[tuple[RowImages, str]] = []
        comparisons: list[Comparison] = []
        spoken = [s for s in run.once if (s.row, s.trial, s.sample) in self.said]
        for images in spoken:
            for target in row.targets:
                references = self._references(target, images)
                if all(name in references for name in images.images.ids):
                    what.append((images, target))
                    comparisons.append(self._comparison(row, images, references, None))
        scores = []
        for images, control in controls(spoken, run.shuffled) if "stimulus" in row.targets else ():
            references = self._references("stimulus", images)
            orders = shuffled_orders(images, run.derangements)
            if references and len(orders):
                what.append((control, "stimulus"))
                comparisons.append(self._comparison(row, images, references, orders))
            elif references:
                scores.append(Score(metric, control, "stimulus", np.full(len(images.images), np.nan)))
        common = {
            "backbone": backbone_identity(row.backbone[0]) if row.backbone else "none",
            "weights": {name: stored_sha(name) for name in row.weights},
        }
        values = compared(metric, comparisons, store=run.store, executor=run.executor, depends_on=common)
        scores += [Score(metric, *place, one[HEADLINE]) for place, one in zip(what, values)]
        return Scored(images=scores)

    def _comparison(
        self, row: Metric, images: RowImages, references: Mapping[str, str], orders: np.ndarray | None
    ) -> Comparison:
        ids = images.images.ids
        ours = self.said[images.row, images.trial, images.sample]
        sides = ([ours[name] for name in ids], [references[name] for name in ids])
        return Comparison(tuple(self._thing(row, side) for side in sides), orders=orders)

    def _thing(self, row: Metric, captions: Sequence[str]) -> Offer:
        if not row.backbone:
            return Offer.of(captions)
        features = caption_features(row.backbone[0], captions, store=self.run.store)
        return Offer(Held(features), list(captions))

    def _references(self, target: str, images: RowImages) -> Mapping[str, str]:
        """Id -> caption that a row is compared with; empty where there is none."""
        if target == "stimulus":
            captions = images.stimuli.captions
            return {} if captions is None else dict(zip(images.stimuli.ids, captions, strict=True))
        if target == "image":
            return {} if images.row == CEILING else self.said.get((CEILING, -1, 0), {})
        reference = row_named(images.row).reference
        if not reference:
            return {}
        return self.said.get((reference, -1, images.sample), self.said.get((reference, -1, 0), {}))
