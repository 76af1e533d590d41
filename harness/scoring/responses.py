"""Encoding scores: predicted against measured responses, before any decoder, over all voxels and by region.

``score(predicted (N, V), measured (N, V)) -> (N,), (V,) or one value``, over valid voxels.  Offered besides:
``baseline`` (V,), the mean training response; ``ceiling`` (V,), the noise ceiling or None; ``truth`` (N, V)
of simulated data; ``trials`` (T, V)
measured trials and ``image_index`` (T,); ``samples`` (N, S, V), NaN where an image has fewer, for rows that
have two or more, the others are not scored; ``labels`` {name: (N,)} of the test images; ``copies`` (N,),
equal numbers where these are equal, or None where no two are; ``rivalry``.

Voxel scores are averaged over a region's voxels.  Scores of images or of the whole set are computed again
from those voxels alone, and of rows that differ between images only: a constant prediction is worth nothing
everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from ..catalogue import Metric
from ..errors import PluginError
from ..nn.constancy import constant_columns
from ..storage.references import Columns, Reference
from .calls import HEADLINE
from .compare import Comparison, Offer, compared, mean_scored
from .context import Circumstances, Scorer
from .regions import FEWEST, regions_of
from .response_target import ResponseTarget, response_rows, response_samples
from .scores import MetricRef, RegionScore, ResponseScore, Scored


class ResponsesScorer(Scorer):
    """Predicted responses against measured ones."""

    inputs = "responses"
    needs_images = False

    @staticmethod
    def expected(metric: Metric, plan: Circumstances) -> str | None:
        return "" if plan.encoder and (plan.samples > 1 or "samples" not in metric.gets) else None

    @cached_property
    def rows(self) -> dict[str, np.ndarray]:
        """Row -> (N, V) responses that are scored."""
        return response_rows(self.run.data, self.run.predicted) | dict(self.run.cheats)

    @cached_property
    def target(self) -> ResponseTarget:
        """What they are compared with."""
        return ResponseTarget.of(self.run.data)

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Row -> (N, S, V) draws."""
        return response_samples(self.run.data, self.run.predicted)

    def problem(self, metric: Metric) -> str:
        if "samples" in metric.gets and not self.samples:
            return "it compares samples: give --samples 2 or more and an encoder that is stochastic"
        if "ceiling" in metric.gets and self.target.ceiling is None:
            return "the data have no noise ceiling: give ncsnr, or two trials or more of a test image"
        if "truth" in metric.gets and self.run.data.truth is None:
            return "the data have no noise-free truth; simulated ones do"
        absent = [name for name in metric.labels if name not in self.target.labels]
        return f"the test images have no label '{absent[0]}'" if absent else ""

    def score(self, metric: MetricRef) -> Scored:
        row = metric.load()
        scored = Scored()
        if row.unit != "region":
            for name, values in self._scored_rows(metric, self.rows, None).items():
                scored.responses.append(self._response_score(metric, name, values[HEADLINE]))
        scored.regions += self._of_voxels(metric, scored) if row.unit == "voxel" else self._by_region(metric)
        return scored

    def _response_score(self, metric: MetricRef, name: str, values: np.ndarray) -> ResponseScore:
        unit, rivalry = metric.load().unit, None
        if values.ndim == 2:
            values, rivalry = values
        if unit == "voxel":
            full = np.full(len(self.target.valid), np.nan)
            full[self.target.valid] = values
            values = full
        return ResponseScore(metric, name, unit, values, rivalry)

    def _of_voxels(self, metric: MetricRef, scored: Scored) -> list[RegionScore]:
        """Means over regions of voxel scores that are there."""
        regions = []
        for (kind, name), members in regions_of(self.run.data.space).items():
            for score in scored.responses:
                values = score.values[self.target.valid][members]
                n_scored = int(np.isfinite(values).sum())
                value = mean_scored(values)
                regions.append(RegionScore(metric, score.row, name, kind, HEADLINE, n_scored, value))
        return regions

    def _by_region(self, metric: MetricRef) -> list[RegionScore]:
        """Scores of each region's voxels alone."""
        row = metric.load()
        if not row.by_region:
            return []
        shown = {name: values for name, values in self.rows.items() if not constant_columns(values).all()}
        if row.describes_measured:
            full = np.zeros((len(self.target.measured), len(self.target.valid)), np.float32)
            full[:, self.target.valid] = self.target.measured
            shown = {"measured": full, **shown}
        regions = []
        for (kind, name), members in regions_of(self.run.data.space).items():
            if (kind == "all" and row.unit == "region") or members.sum() < FEWEST:
                continue
            for which, parts in self._scored_rows(metric, shown, members).items():
                for part, values in parts.items():
                    value = mean_scored(values[0] if values.ndim == 2 else values)
                    regions.append(RegionScore(metric, which, name, kind, part, int(members.sum()), value))
        return regions

    def _scored_rows(
        self, metric: MetricRef, rows: Mapping[str, np.ndarray], members: np.ndarray | None
    ) -> dict[str, dict[str, np.ndarray]]:
        """Row -> part -> values on the `members` (U,) of the valid voxels, by default all."""
        row = metric.load()
        wanted = {n: v for n, v in rows.items() if "samples" not in row.gets or n in self.samples}
        inside = np.ones(len(self.target.baseline), bool) if members is None else members
        comparisons = []
        for name, predicted in wanted.items():
            things = (
                Offer(self._some(predicted, inside, of_all=True), self.target.identity_of(predicted)),
                Offer(self._some(self.target.measured, inside), self.target.sha),
            )
            keywords = {key: self._offer(key, row, name, inside) for key in row.gets}
            comparisons.append(Comparison(things, keywords))
        where = {"members": "all" if inside.all() else inside}
        run = self.run
        values = compared(metric, comparisons, store=run.store, executor=run.executor, depends_on=where)
        return dict(zip(wanted, values, strict=True))

    def _some(self, array: np.ndarray, inside: np.ndarray, *, of_all: bool = False) -> Reference:
        """The columns `inside` (U,) of an array over valid voxels or, `of_all`, over all V."""
        at = np.flatnonzero(self.target.valid)[inside] if of_all else np.flatnonzero(inside)
        return Columns(self._shared(array), at)

    def _shared(self, array: np.ndarray) -> Reference:
        """`array` where every task can read it, put there once."""
        if id(array) not in self._references:
            self._references[id(array)] = array, self.run.executor.share(array)
        return self._references[id(array)][1]

    @cached_property
    def _references(self) -> dict[int, tuple[np.ndarray, Reference]]:
        return {}

    @cached_property
    def _truth(self) -> np.ndarray:
        return self.run.data.truth.mean()

    @cached_property
    def _trials(self) -> np.ndarray:
        return self.target.responses.trials()

    def _offer(self, key: str, metric: Metric, row: str, inside: np.ndarray) -> Offer:
        """The keyword `key` of a score of `row` on the voxels `inside`."""
        target = self.target
        if key == "baseline":
            return Offer(self._some(target.baseline, inside), target.sha)
        if key == "ceiling":
            if target.ceiling is None:
                return Offer.of(None)
            return Offer(self._some(target.ceiling, inside), target.sha)
        if key == "truth":
            return Offer(self._some(self._truth, inside, of_all=True), target.identity_of(self._truth))
        if key == "trials":
            return Offer(self._some(self._trials, inside, of_all=True), target.responses.sha)
        if key == "image_index":
            return Offer.of(target.responses.image_index)
        if key == "samples":
            draws = self.samples[row]
            return Offer(self._some(draws, inside, of_all=True), target.identity_of(draws))
        if key == "labels":
            return Offer.of({name: target.labels[name].astype(str) for name in metric.labels})
        if key == "copies":
            return Offer.of(self.run.data.test.stimuli.copies())
        if key == "rivalry":
            return Offer.of(True)
        raise PluginError(
            f"metric '{metric.name}' wants '{key}', which is not offered for responses; offered are "
            "baseline, ceiling, truth, trials, image_index, samples, labels, copies, rivalry"
        )
