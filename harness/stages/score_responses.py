"""Stage score, for responses: encoding scores per voxel, per image and for the whole set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import SubjectData
from ..executors import single_thread
from ..identity import digest, module_sha, plain
from ..store import Store, save_array
from .score import MetricRef


@dataclass(frozen=True)
class ResponseScore:
    """Values of one metric for one row: (N,), (V,) with NaN in masked voxels, or (1,)."""

    metric: MetricRef
    row: str
    unit: str
    values: np.ndarray


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


@dataclass(frozen=True)
class ResponseTarget:
    """What predictions are compared with, computed once: valid voxels only, U <= V of them.

    measured : (N, U) mean over repeats; baseline : (U,) mean training response; ceiling : (U,) noise
    ceiling of that mean, or None.
    """

    measured: np.ndarray
    baseline: np.ndarray
    ceiling: np.ndarray | None
    valid: np.ndarray
    sha: str

    @classmethod
    def of(cls, data: SubjectData) -> ResponseTarget:
        valid = data.space.valid
        ceiling = data.space.noise_ceiling(data.test.responses.counts())
        measured, baseline = data.test.responses.mean()[:, valid], training_mean(data)[valid]
        ceiling = None if ceiling is None else ceiling[valid]
        return cls(measured, baseline, ceiling, valid, digest([measured, baseline, ceiling, valid]))


def training_mean(data: SubjectData) -> np.ndarray:
    """(V,) mean training response, images weighted equally."""
    return data.train.responses.mean().mean(axis=0, dtype=np.float64).astype(np.float32)


def score_responses(
    metric: MetricRef, rows: Mapping[str, np.ndarray], target: ResponseTarget, *, store: Store
) -> list[ResponseScore]:
    """Scores of a ``responses`` metric for every row, over valid voxels."""
    plugin = metric.load()
    scores = []
    for row, predicted in rows.items():
        ingredients = {
            **metric.identity,
            "predicted": plain(predicted),
            "target": target.sha,
            "stage": module_sha(__name__),
        }

        def make(folder: Path, predicted: np.ndarray = predicted) -> None:
            with single_thread():
                values = plugin.score(
                    predicted[:, target.valid],
                    target.measured,
                    baseline=target.baseline,
                    ceiling=target.ceiling,
                )
            save_array(folder, "values", np.atleast_1d(np.asarray(values, np.float64)))

        values = np.array(store.get("score", ingredients, make).array("values"))
        if plugin.unit == "voxel":
            full = np.full(len(target.valid), np.nan)
            full[target.valid] = values
            values = full
        scores.append(ResponseScore(metric, row, plugin.unit, values))
    return scores


def bootstrap_voxel_r(
    predicted: np.ndarray, measured: np.ndarray, *, draws: int, seed: int
) -> tuple[float, float, float]:
    """Mean over voxels of the correlation across images, with its 95 % interval over images.

    predicted, measured : (N, V).  Images are drawn with replacement and every voxel's correlation
    is computed again from weighted moments; a constant prediction counts as 0.  Voxels are not
    drawn: they are neither independent nor a sample.
    """
    from ..statistics import bootstrap_weights

    n = len(predicted)
    weights = np.concatenate([np.ones((1, n)), bootstrap_weights(n, draws=draws, seed=seed)])
    weights = (weights / n).astype(np.float64)
    total, voxels = np.zeros(len(weights)), 0
    for start in range(0, predicted.shape[1], 1024):
        x = np.asarray(predicted[:, start : start + 1024], np.float64)
        y = np.asarray(measured[:, start : start + 1024], np.float64)
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)  # for the precision of the moments below
        mx, my = weights @ x, weights @ y
        vx, vy = weights @ x**2 - mx**2, weights @ y**2 - my**2
        cov = weights @ (x * y) - mx * my
        known = (vx > 1e-12) & (vy > 1e-12)
        r = np.divide(cov, np.sqrt(np.where(known, vx * vy, 1)), out=np.zeros_like(cov), where=known)
        total += r.sum(axis=1)
        voxels += x.shape[1]
    mean = total / max(voxels, 1)
    low, high = np.percentile(mean[1:], [2.5, 97.5])
    return float(mean[0]), float(low), float(high)


def voxel_r_intervals(
    rows: Mapping[str, np.ndarray], target: ResponseTarget, *, store: Store, draws: int = 1000
) -> dict[str, Sequence[float]]:
    """Row -> (mean voxel r, low, high) over valid voxels; cached."""
    found: dict[str, Sequence[float]] = {}
    for row, predicted in rows.items():
        ingredients: dict[str, Any] = {
            "what": "voxel-r interval",
            "predicted": plain(predicted),
            "target": target.sha,
            "draws": draws,
            "stage": module_sha(__name__),
        }

        def make(folder: Path, predicted: np.ndarray = predicted) -> None:
            with single_thread():
                interval = bootstrap_voxel_r(predicted[:, target.valid], target.measured, draws=draws, seed=0)
            save_array(folder, "values", np.array(interval))

        found[row] = store.get("score", ingredients, make).array("values").tolist()
    return found
