"""Stage score, against the training images: how near does each row come to what was trained on?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..data import Stimuli, SubjectData
from ..identity import module_sha
from ..rows import STIMULUS
from ..store import Store, save_array
from .features import FeatureStore, backbone_identity
from .score import ImageSet, MetricRef, Score

TARGET = "training"
"""``Metric.targets`` of the metrics that this stage scores, and the target of their values."""


def score_against_training(
    metric: MetricRef, sets: Sequence[ImageSet], data: SubjectData, *, features: FeatureStore, store: Store
) -> list[Score]:
    """Scores of all sets, and of the stimuli themselves as a row to read the others by."""
    stimuli = data.test.stimuli
    true = ImageSet(STIMULUS.name, -1, 0, stimuli, stimuli, None)

    @functools.cache
    def training() -> np.ndarray:  # read once for all sets, and not at all where nothing is missing
        return _flat(metric, data.train.stimuli, features)

    return [
        Score(metric, one, TARGET, _values(metric, one.images, data.train.stimuli, training, features, store))
        for one in (*sets, true)
    ]


def _values(
    metric: MetricRef,
    images: Stimuli,
    train: Stimuli,
    training: Callable[[], np.ndarray],
    features: FeatureStore,
    store: Store,
) -> np.ndarray:
    plugin = metric.load()
    backbone, layer = plugin.backbone
    ingredients = {
        **metric.identity,
        "backbone": backbone_identity(backbone),
        "layer": layer,
        "result": images.sha,
        "training": train.sha,
        "stage": module_sha(__name__),
    }

    def make(folder: Path) -> None:
        values = plugin.score(_flat(metric, images, features), training())
        save_array(folder, "values", np.asarray(values, np.float64))

    return np.array(store.get("score", ingredients, make).array("values"))


def _flat(metric: MetricRef, stimuli: Stimuli, features: FeatureStore) -> np.ndarray:
    """(N, D) features of `stimuli` that `metric` compares."""
    rows = features.layer(*metric.load().backbone, stimuli)
    return rows.reshape(len(rows), -1)
