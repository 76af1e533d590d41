"""Scores against the training images: how near does each row come to what was trained on?

``score(result (N, D), training (M, D)) -> (N,)``; the stimuli are scored as a row of their own, by which the
others are read.
"""

from __future__ import annotations

from ..catalogue import Metric
from ..data import ImageSet
from ..rows.row_images import RowImages
from ..rows.table import STIMULUS
from .calls import HEADLINE
from .compare import Comparison, compared
from .embedding import EmbeddingScorer
from .scores import MetricRef, Score, Scored

TARGET = "training"


class TrainingScorer(EmbeddingScorer):
    """Features of images against those of all training images."""

    inputs = "training"

    @staticmethod
    def reads(metric: Metric) -> tuple[str, ...]:
        return ("test", "training")

    def problem(self, metric: Metric) -> str:
        return super().problem(metric) if len(self.run.data.train) else "there is no training image"

    def looked_at(self) -> list[ImageSet]:
        return [*super().looked_at(), self.run.data.train.stimuli]

    def score(self, metric: MetricRef) -> Scored:
        backbone, run = metric.load().backbone, self.run
        stimuli = run.data.test.stimuli
        sets = [*run.once, RowImages(STIMULUS.name, -1, 0, stimuli, stimuli, None)]
        training = self.embedded(backbone, run.data.train.stimuli)
        comparisons = [
            Comparison((self.embedded(backbone, row_images.images), training)) for row_images in sets
        ]
        values = compared(metric, comparisons, store=run.store, executor=run.executor)
        return Scored(
            images=[Score(metric, row_images, TARGET, v[HEADLINE]) for row_images, v in zip(sets, values)]
        )
