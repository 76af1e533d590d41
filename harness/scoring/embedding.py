"""Scores of features: what a backbone sees in finished images and in what they are compared with.

``score(result (N, D), target (N, D)) -> (N,)``, or (2, N) values and rivalry.  Offered besides: ``stimulus``
and ``rendered``, features of the stimuli and of what the decoder's generator makes of them (None where it
cannot); ``kind`` (N,), equal numbers where all `labels` are equal; ``copies`` (N,), equal numbers where
stimuli are equal, or None where no two are; ``captions`` (N, D), the stimuli's captions in the space of the
images; ``rivalry``; ``device``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ..catalogue import Metric
from ..data import DataError, ImageSet
from ..errors import PluginError, what_happened
from ..metrics.lookalikes import kinds
from ..rows.row_images import RowImages
from ..stages.text_features import text_features
from ..storage.references import Held
from .calls import HEADLINE
from .compare import Comparison, Offer, compared, controls, shuffled_orders
from .context import ENDS_A_RUN, Scorer
from .devices import torch_device
from .scores import MetricRef, Score, Scored

logger = logging.getLogger(__name__)


class EmbeddingScorer(Scorer):
    """Features of images against features of images."""

    inputs = "embedding"

    @staticmethod
    def reads(metric: Metric) -> tuple[str, ...]:
        return ("test",)

    def problem(self, metric: Metric) -> str:
        stimuli = self.run.data.test.stimuli
        if "captions" in metric.gets and stimuli.captions is None:
            return "the stimuli have no captions"
        if "kind" not in metric.gets:
            return ""
        kind = kinds(stimuli.labels, metric.labels)
        if kind is None:
            missing = " and ".join(name for name in metric.labels if name not in stimuli.labels)
            return f"the stimuli have no label {missing}, which says what two look-alikes share"
        pictures = set(zip(kind.tolist(), stimuli.image_hashes(), strict=True))
        if len(pictures) == len(np.unique(kind)):
            return f"no two of the {len(stimuli)} test images share {' and '.join(metric.labels)}"
        return ""

    def looked_at(self) -> list[ImageSet]:
        """Every image set that a backbone has to see."""
        return [stimuli for images in self.run.sets for stimuli in images.all()]

    def prepare(self, metrics: Sequence[MetricRef]) -> dict[str, str]:
        """Embed every image once per backbone."""
        layers: dict[str, set[str]] = {}
        for metric in metrics:
            backbone, layer = metric.load().backbone
            layers.setdefault(backbone, set()).add(layer)
        unique = list({stimuli.sha: stimuli for stimuli in self.looked_at()}.values())
        with self.run.stage("embed", len(layers) * sum(map(len, unique))) as advance:
            for backbone, names in sorted(layers.items()):
                try:
                    self.run.features.extract(backbone, sorted(names), unique, progress=advance)
                except ENDS_A_RUN:
                    raise
                except BaseException as problem:
                    # Its metrics fail one by one when they are scored, with this as their reason.
                    logger.warning("backbone '%s' fails: %s", backbone, what_happened(problem))
        return {}

    def score(self, metric: MetricRef) -> Scored:
        row, run = metric.load(), self.run
        what: list[tuple[RowImages, str]] = []
        comparisons: list[Comparison] = []
        for images in run.sets:
            for target in row.targets:
                other = images.target(target, independent=row.independent)
                if other is not None:
                    what.append((images, target))
                    comparisons.append(self._comparison(row, images, other, None))
        scores = []
        for images, control in controls(run.sets, run.shuffled) if "stimulus" in row.targets else ():
            orders = shuffled_orders(images, run.derangements)
            if len(orders):
                what.append((control, "stimulus"))
                comparisons.append(self._comparison(row, images, images.stimuli, orders))
            else:
                nothing = np.full(len(images.images), np.nan)
                scores.append(Score(metric, control, "stimulus", nothing))
        place = {"device": torch_device(row, run.device)}
        values = compared(metric, comparisons, store=run.store, executor=run.executor, depends_on=place)
        scores += [
            Score.of(metric, images, target, of_images[HEADLINE])
            for (images, target), of_images in zip(what, values)
        ]
        return Scored(images=scores)

    def _comparison(
        self, row: Metric, images: RowImages, other: ImageSet, orders: np.ndarray | None
    ) -> Comparison:
        things = (self.embedded(row.backbone, images.images), self.embedded(row.backbone, other))
        return Comparison(things, {name: self._offer(name, row, images) for name in row.gets}, orders)

    def _offer(self, name: str, row: Metric, images: RowImages) -> Offer:
        """The keyword `name`.  Targets stay in place when results are re-paired, and so do their labels."""
        if name == "stimulus":
            return self.embedded(row.backbone, images.stimuli)
        if name == "rendered":
            return Offer.of(None) if images.rendered is None else self.embedded(row.backbone, images.rendered)
        if name == "kind":
            return Offer.of(kinds(images.stimuli.labels, row.labels))
        if name == "copies":
            return Offer.of(images.stimuli.copies())
        if name == "captions":
            captions = images.stimuli.captions
            if captions is None:
                raise DataError("the stimuli have no captions")
            features = text_features(
                row.backbone[0], captions, store=self.run.store, executor=self.run.executor
            )
            return Offer(Held(features), list(captions))
        if name == "rivalry":
            return Offer.of(True)
        if name == "device":
            return Offer.of(torch_device(row, self.run.device))
        raise PluginError(
            f"metric '{row.name}' wants '{name}', which is not offered for inputs '{row.inputs}'; offered "
            "are stimulus, rendered, kind, copies, captions, rivalry, device"
        )
