"""Scores of responses that an encoder predicts for reconstructions, against the measured ones.

The encoder is the metric's backbone, its layer the subject.  ``score(predicted (N, V), measured (N, V)) ->
(N,)`` over all valid voxels, per image, and over each region, as means over images and samples.
"""

from __future__ import annotations

import numpy as np

from ..catalogue import Metric
from ..errors import PluginError
from ..rows.row_images import RowImages
from ..rows.table import STIMULUS
from ..storage.references import Columns, Held
from .calls import HEADLINE
from .compare import Comparison, Offer, compared, controls, mean_scored, shuffled_orders
from .context import Scorer, Scoring
from .regions import ALL, FEWEST, regions_of
from .scores import MetricRef, RegionScore, Score, Scored

TARGET = "brain"
"""The target of their values: the mean measured response to the test image."""


class ReencodedScorer(Scorer):
    """Responses predicted for finished images against measured responses."""

    inputs = "reencoded"

    def __init__(self, run: Scoring) -> None:
        super().__init__(run)
        self._means: dict[tuple[str, ...], np.ndarray] = {}

    def problem(self, metric: Metric) -> str:
        return metric.function("lacking")(self.run.data.space)

    def score(self, metric: MetricRef) -> Scored:
        """All sets, their shuffled controls, and the stimuli themselves as the ceiling."""
        run, stimuli = self.run, self.run.data.test.stimuli
        members = {k: inside for k, inside in regions_of(run.data.space).items() if inside.sum() >= FEWEST}
        true = RowImages(STIMULUS.name, -1, 0, stimuli, stimuli, None)
        shuffled = {id(images): control for images, control in controls(run.once, run.shuffled)}
        what: list[tuple[RowImages, np.ndarray | None, RowImages]] = []
        for images in (*run.once, true):
            what.append((images, None, images))
            if id(images) in shuffled:
                orders = shuffled_orders(images, run.derangements)
                what.append((shuffled[id(images)], orders, images))
        scored = Scored()
        by_row: dict[str, list[dict[tuple[str, str], np.ndarray]]] = {}
        for images, orders, source in what:
            values = self._values(metric, source, members, orders)
            scored.images.append(Score(metric, images, TARGET, values["all", ALL]))
            if images.trial < 0:
                by_row.setdefault(images.row, []).append(values)
        scored.regions += [
            RegionScore(
                metric, row, name, kind, HEADLINE, int(members[kind, name].sum()),
                mean_scored(np.concatenate([values[kind, name] for values in samples])),
            )
            for row, samples in by_row.items()
            for kind, name in members
        ]  # fmt: skip
        return scored

    def _values(
        self,
        metric: MetricRef,
        images: RowImages,
        members: dict[tuple[str, str], np.ndarray],
        orders: np.ndarray | None,
    ) -> dict[tuple[str, str], np.ndarray]:
        """(kind, region) -> (N,) values."""
        if orders is not None and not len(orders):
            return {key: np.full(len(images.images), np.nan) for key in members}
        space = self.run.data.space
        predicted = self.embedded((metric.load().backbone[0], space.subject), images.images)
        width = predicted.reference.load().shape[1:]
        if width != (space.n_voxels,):
            raise PluginError(
                f"backbone '{metric.load().backbone[0]}' predicts responses of shape {width} for "
                f"{space.subject}; expected {space.n_voxels} voxels"
            )
        measured = Held(self._measured(images.images.ids))
        identity = [self.run.data.test.responses.sha, images.images.ids, space.sha]
        valid = np.flatnonzero(space.valid)
        comparisons = []
        for inside in members.values():
            at = valid[inside]
            things = (
                Offer(Columns(predicted.reference, at), [predicted.identity, at]),
                Offer(Columns(measured, np.flatnonzero(inside)), [identity, at]),
            )
            comparisons.append(Comparison(things, orders=orders))
        scores = compared(metric, comparisons, store=self.run.store, executor=self.run.executor)
        return {key: of_members[HEADLINE] for key, of_members in zip(members, scores)}

    def _measured(self, ids: tuple[str, ...]) -> np.ndarray:
        """(N, U) mean measured responses of the valid voxels, read once for all rows of the same images."""
        if ids not in self._means:
            data = self.run.data
            self._means[ids] = data.test.responses.select(ids).mean()[:, data.space.valid]
        return self._means[ids]
