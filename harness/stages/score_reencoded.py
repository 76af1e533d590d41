"""Stage score, of responses that an encoder predicts for reconstructions, against the measured ones.

The encoder is the metric's backbone, its layer the subject.  Scores come over all valid voxels, per image,
and over each region, as means over images and samples.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Stimuli, SubjectData, VoxelSpace
from ..errors import PluginError
from ..identity import module_sha
from ..rows import STIMULUS
from ..store import Store, save_array, save_json
from .features import FeatureStore, backbone_identity
from .score import ImageSet, MetricRef, Score, derangements_of
from .score_regions import ALL, FEWEST, HEADLINE, RegionScore, regions_of

INPUTS = "reencoded"
"""``Metric.inputs`` of the metrics that this stage scores."""

TARGET = "brain"
"""The target of their values: the mean measured response to the test image."""


def score_reencoded(
    metric: MetricRef,
    sets: Sequence[ImageSet],
    data: SubjectData,
    *,
    features: FeatureStore,
    store: Store,
    derangements: int,
    shuffled: Callable[[str], str | None],
) -> tuple[list[Score], list[RegionScore]]:
    """Scores of all sets, of their shuffled controls, and of the stimuli themselves as the ceiling.

    Both lists are empty where the encoder predicts other voxels (:func:`lacking_space`).
    """
    stimuli, space = data.test.stimuli, data.space
    if lacking_space(metric, space):
        return [], []
    members = {key: inside for key, inside in regions_of(space).items() if inside.sum() >= FEWEST}
    sizes = {key: int(inside.sum()) for key, inside in members.items()}
    scores, by_row = [], {}

    @functools.cache
    def true(ids: tuple[str, ...]) -> np.ndarray:  # read once for all rows, and only where a score is missing
        return data.test.responses.select(ids).mean()[:, space.valid]

    def add(images: ImageSet, orders: np.ndarray | None) -> None:
        found = _values(metric, images.images, data, true, members, orders, features=features, store=store)
        scores.append(Score(metric, images, TARGET, found["all", ALL]))
        if images.trial < 0:
            by_row.setdefault(images.row, []).append(found)

    for images in (*sets, ImageSet(STIMULUS.name, -1, 0, stimuli, stimuli, None)):
        add(images, None)
        name = shuffled(images.row)
        if name is not None and images.trial < 0:
            control = ImageSet(name, -1, images.sample, images.images, images.stimuli, None)
            add(control, derangements_of(images.images.ids, derangements))
    regions = [
        RegionScore(metric, row, name, kind, HEADLINE, sizes[kind, name], _mean(samples, (kind, name)))
        for row, samples in by_row.items()
        for kind, name in members
    ]
    return scores, regions


def lacking_space(metric: MetricRef, space: VoxelSpace) -> str:
    """Why the encoder of `metric` does not predict responses of `space`, or ``""``."""
    plugin = metric.load()
    return plugin.lacking(space) if plugin.inputs == INPUTS else ""


def _values(
    metric: MetricRef,
    images: Stimuli,
    data: SubjectData,
    true: Callable[[tuple[str, ...]], np.ndarray],
    members: dict[tuple[str, str], np.ndarray],
    orders: np.ndarray | None,
    *,
    features: FeatureStore,
    store: Store,
) -> dict[tuple[str, str], np.ndarray]:
    """(kind, region) -> (N,) values; `orders` (K, N) re-pair the images.

    true : ids -> (N, V) mean measured responses of the voxels that are not masked.
    """
    plugin, space, measured = metric.load(), data.space, data.test.responses
    if orders is not None and not len(orders):
        return {key: np.full(len(images), np.nan) for key in members}
    backbone = plugin.backbone[0]
    ingredients = {
        **metric.identity,
        "backbone": backbone_identity(backbone),
        "result": images.sha,
        "space": space.sha,
        "responses": measured.sha,
        "ids": [images.ids, measured.ids],
        "regions": [[*key, np.flatnonzero(inside)] for key, inside in members.items()],
        "derangements": 0 if orders is None else len(orders),
        "stage": module_sha(__name__),
    }

    def make(folder: Path) -> None:
        predicted = features.layer(backbone, space.subject, images)
        if predicted.shape[1:] != (space.n_voxels,):
            raise PluginError(
                f"backbone '{backbone}' predicts responses of shape {predicted.shape[1:]} for "
                f"{space.subject}; expected {space.n_voxels} voxels"
            )
        responses, given = true(tuple(images.ids)), []
        predicted = predicted[:, space.valid]
        for inside in members.values():
            pair = predicted[:, inside], responses[:, inside]
            given.append(plugin.score(*pair) if orders is None else plugin.score_deranged(*pair, orders))
        save_json(folder, "regions", [list(key) for key in members])
        save_array(folder, "values", np.asarray(given, np.float64))

    made: Any = store.get("score", ingredients, make)
    return {tuple(key): np.array(row) for key, row in zip(made.json("regions"), made.array("values"))}


def _mean(samples: Sequence[dict[tuple[str, str], np.ndarray]], key: tuple[str, str]) -> float:
    """Mean over images and samples of what is not NaN; NaN where nothing is."""
    values = np.concatenate([found[key] for found in samples])
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
