"""Stage score, for responses: encoding scores per voxel, per image and for the whole set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..data import CeilingSource, Responses, SubjectData
from ..identity import digest, module_sha, plain
from ..nn.variance_components import variance_components
from ..store import Store, save_array, save_json
from .score import MetricRef

HEADLINE = ""
"""Name of the value, among those a set metric returns by name, that stands for the whole."""


@dataclass(frozen=True)
class ResponseScore:
    """Values of one metric for one row: (N,), (V,) with NaN in masked voxels, or (1,).

    rivalry : (N,) as in :class:`.score.Score`, for an image metric that knows it.
    """

    metric: MetricRef
    row: str
    unit: str
    values: np.ndarray
    rivalry: np.ndarray | None = None


def response_rows(data: SubjectData, predicted: np.ndarray | None) -> dict[str, np.ndarray]:
    """Row -> (N, V) float32 responses that are scored against the measured mean.

    predicted : (N, S, V) before any adapter; the mean over samples is scored.
    """
    n, space = len(data.test), data.space
    rows = {
        "zero": np.zeros((n, space.n_voxels), np.float32),
        "train-mean": np.tile(training_mean(data), (n, 1)),
    }
    if predicted is not None:
        rows["predicted"] = predicted.mean(axis=1, dtype=np.float64).astype(np.float32)
    if data.truth is not None:
        rows["oracle"] = data.truth.mean()
    if data.remeasured is not None:
        rows["remeasured"] = data.remeasured.mean()
    return rows


def response_samples(data: SubjectData, predicted: np.ndarray | None) -> dict[str, np.ndarray]:
    """Row -> (N, S, V) draws of those rows that have two or more per image, NaN where there are fewer.

    Fresh measured trials are such draws too: what a perfect stochastic encoder would score.
    """
    draws = {}
    if predicted is not None and predicted.shape[1] > 1:
        draws["predicted"] = predicted
        if data.remeasured is not None and data.remeasured.counts().max() > 1:
            draws["remeasured"] = data.remeasured.repeats()
    return draws


def ceiling_of(data: SubjectData) -> tuple[np.ndarray | None, CeilingSource | None]:
    """(V,) noise ceiling of the mean test responses and what it rests on; None without any repeat.

    From the space's ncsnr, which need not rest on these trials, else from all repeats of training and
    test images together (:mod:`harness.nn.variance_components`).
    """
    counts = data.test.responses.counts()
    ceiling = data.space.noise_ceiling(counts)
    if ceiling is not None:
        return ceiling, data.space.ncsnr_source or CeilingSource("ncsnr that came with the data")
    parts = [(part.responses.data, part.responses.image_index) for part in (data.train, data.test)]
    found = variance_components(parts)
    if found is None:
        return None, None
    source = CeilingSource(found.source(("training", "test")), found.within, found.between)
    return found.noise_ceiling(counts), source


@dataclass(frozen=True)
class ResponseTarget:
    """What predictions are compared with, computed once: valid voxels only, U <= V of them.

    measured : (N, U) mean over repeats; baseline : (U,) mean training response; ceiling : (U,) noise
    ceiling of that mean, or None; ceiling_source : where it is from; responses : the trials behind
    `measured`, of all V voxels; labels : attribute -> (N,) of the test images.
    """

    measured: np.ndarray
    baseline: np.ndarray
    ceiling: np.ndarray | None
    ceiling_source: CeilingSource | None
    valid: np.ndarray
    responses: Responses
    labels: Mapping[str, np.ndarray]
    sha: str

    @classmethod
    def of(cls, data: SubjectData) -> ResponseTarget:
        valid = data.space.valid
        ceiling, source = ceiling_of(data)
        measured, baseline = data.test.responses.mean()[:, valid], training_mean(data)[valid]
        ceiling = None if ceiling is None else ceiling[valid]
        sha = digest([measured, baseline, ceiling, valid])
        labels = data.test.stimuli.labels
        return cls(measured, baseline, ceiling, source, valid, data.test.responses, labels, sha)

    @cached_property
    def trials(self) -> np.ndarray:
        """(T, U) single trials, in their order."""
        return self.responses.trials()[:, self.valid]

    @cached_property
    def _met(self) -> dict[int, tuple[np.ndarray, Any]]:
        return {}

    def identity_of(self, array: np.ndarray) -> Any:
        """Content hash of a row's array, taken once however many metrics and regions it is scored by."""
        if id(array) not in self._met:
            self._met[id(array)] = array, plain(array)  # held, so that no other array gets its id
        return self._met[id(array)][1]

    def lacking(self, metric: MetricRef, draws: Mapping[str, np.ndarray]) -> str:
        """Why `metric` cannot be scored on these data, or ``""``."""
        plugin = metric.load()
        needs = getattr(plugin, "needs", ())
        if "samples" in needs and not draws:
            return "it compares samples: give --samples 2 or more and an encoder that is stochastic"
        if "ceiling" in needs and self.ceiling is None:
            return "the data have no noise ceiling: give ncsnr, or two trials or more of a test image"
        absent = [name for name in getattr(plugin, "labels", ()) if name not in self.labels]
        if "labels" in needs and absent:
            return f"the test images have no label '{absent[0]}'"
        return ""

    def extras(self, metric: MetricRef, draws: np.ndarray | None, chosen: np.ndarray) -> dict[str, Any]:
        """Arguments of `metric`'s score besides the means, cut down to the `chosen` (U,) valid voxels.

        draws : (N, S, V) of the row that is scored, if it has any.
        """
        plugin, given = metric.load(), {}
        needs = getattr(plugin, "needs", ())
        if "trials" in needs:
            given |= {"trials": self.trials[:, chosen], "image_index": self.responses.image_index}
        if "samples" in needs:
            given["samples"] = draws[..., np.flatnonzero(self.valid)[chosen]]
        if "labels" in needs:
            given["labels"] = {name: self.labels[name] for name in plugin.labels}
        if getattr(plugin, "rivalry", False):
            given["rivalry"] = True
        return given

    def identity_of_extras(self, metric: MetricRef, draws: np.ndarray | None) -> dict[str, Any]:
        """What :meth:`extras` hang on, for the key of what is computed from them."""
        plugin, known = metric.load(), {}
        needs = getattr(plugin, "needs", ())
        if "trials" in needs:
            known["trials"] = self.responses.sha
        if "samples" in needs:
            known["samples"] = self.identity_of(draws)
        if "labels" in needs:
            known["labels"] = {name: self.labels[name].astype(str).tolist() for name in plugin.labels}
        return known


def training_mean(data: SubjectData) -> np.ndarray:
    """(V,) mean training response, images weighted equally."""
    return data.train.responses.mean().mean(axis=0, dtype=np.float64).astype(np.float32)


def score_responses(
    metric: MetricRef,
    rows: Mapping[str, np.ndarray],
    target: ResponseTarget,
    *,
    store: Store,
    draws: Mapping[str, np.ndarray] | None = None,
) -> list[ResponseScore]:
    """Scores of a ``responses`` metric for every row, over valid voxels.

    draws : row -> (N, S, V); a metric that needs samples is scored for these rows only.  None of a
    metric that is for regions only.
    """
    plugin = metric.load()
    scores = []
    for row, predicted in rows.items() if plugin.unit != "region" else ():
        found = evaluate(metric, row, predicted, target, store=store, draws=draws or {})
        if found is None:
            continue
        values, rivalry = found[HEADLINE], None
        if values.ndim == 2:
            values, rivalry = values
        if plugin.unit == "voxel":
            full = np.full(len(target.valid), np.nan)
            full[target.valid] = values
            values = full
        scores.append(ResponseScore(metric, row, plugin.unit, values, rivalry))
    return scores


def evaluate(
    metric: MetricRef,
    row: str,
    predicted: np.ndarray,
    target: ResponseTarget,
    *,
    store: Store,
    draws: Mapping[str, np.ndarray],
    members: np.ndarray | None = None,
) -> dict[str, np.ndarray] | None:
    """Part -> values of `metric` for `predicted` (N, V); the values that stand for all are ``""``.

    members : (U,) the valid voxels to score on, by default all.  Values are (2, N), with the rivalry,
    of a metric that knows it.  None for a row without samples where the metric needs them.
    """
    plugin = metric.load()
    if "samples" in getattr(plugin, "needs", ()) and row not in draws:
        return None
    everywhere = members is None or bool(members.all())
    ingredients = {
        **metric.identity,
        "predicted": target.identity_of(predicted),
        "target": target.sha,
        "members": "all" if everywhere else plain(members),
        "more": target.identity_of_extras(metric, draws.get(row)),
        "stage": module_sha(__name__),
    }

    def make(folder: Path) -> None:
        chosen = np.ones(len(target.baseline), bool) if everywhere else members
        more = target.extras(metric, draws.get(row), chosen)
        values = plugin.score(
            predicted[:, target.valid][:, chosen],
            target.measured[:, chosen],
            baseline=target.baseline[chosen],
            ceiling=None if target.ceiling is None else target.ceiling[chosen],
            **more,
        )
        parts = dict(values) if isinstance(values, Mapping) else {HEADLINE: values}
        save_json(folder, "parts", list(parts))
        for k, found in enumerate(parts.values()):
            save_array(folder, f"values{k}", np.atleast_1d(np.asarray(found, np.float64)))

    made = store.get("score", ingredients, make)
    return {name: np.array(made.array(f"values{k}")) for k, name in enumerate(made.json("parts"))}
