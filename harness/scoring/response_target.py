"""What predicted responses are compared with, and the rows that are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..data import CeilingSource, Responses, SubjectData
from ..nn.variance_components import variance_components
from ..rows.table import training_mean
from ..storage.content import digest, plain


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
    if not data.measured:
        return None, None
    counts = data.test.responses.counts()
    ceiling = data.space.noise_ceiling(counts)
    if ceiling is not None:
        return ceiling, data.space.ncsnr_source or CeilingSource("ncsnr that came with the data")
    parts = [(part.responses.data, part.responses.image_index) for part in (data.train, data.test)]
    components = variance_components(parts)
    if components is None:
        return None, None
    source = CeilingSource(components.source(("training", "test")), components.within, components.between)
    return components.noise_ceiling(counts), source


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
    _met: dict[int, tuple[np.ndarray, Any]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, data: SubjectData) -> ResponseTarget:
        """The target of a subject's test images."""
        valid = data.space.valid
        ceiling, source = ceiling_of(data)
        measured, baseline = data.test.responses.mean()[:, valid], training_mean(data)[valid]
        ceiling = None if ceiling is None else ceiling[valid]
        sha = digest([measured, baseline, ceiling, valid])
        labels = data.test.stimuli.labels
        return cls(measured, baseline, ceiling, source, valid, data.test.responses, labels, sha)

    def identity_of(self, array: np.ndarray) -> Any:
        """Content hash of a row's array, taken once however many metrics and regions it is scored by."""
        if id(array) not in self._met:
            self._met[id(array)] = array, plain(array)  # held, so that no other array gets its id
        return self._met[id(array)][1]
