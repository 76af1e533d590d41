"""Models against measured RDMs, on a benchmark that has some: what ``harness rsa`` computes.

A model is a layer of a backbone (``dinov2:cls``), a file of predictions with the images' ids (``p.h5``), the
folder of a run, whose encoder then predicts the images, or a label of the images (``label:animal``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Stimuli
from ..errors import ConfigError, DataError, suggest
from ..image_readers import ArrayReader
from ..metrics.rdms import label_rdm, mean_rdm, noise_ceiling, of_subjects, rdm, similarity, spearman
from ..plugins import find
from ..reading.resizing import Resize
from ..stages.encode import encode
from ..stages.features import FeatureStore
from ..stages.precomputed import FilePredictions
from .predictions import FILTER, ReadyEncoder

LABEL = "label:"


@dataclass(frozen=True)
class Similarity:
    """A line of the table.

    subjects : mean Spearman correlation with the subjects' RDMs, which the ceiling bounds.
    group : that with the subjects' mean RDM.
    """

    model: str
    subjects: float
    group: float


@dataclass(frozen=True)
class MeasuredRdms:
    """(R, pairs) RDMs of subjects over the images of `stimuli`, their mean, and others by name."""

    stimuli: Stimuli
    subjects: np.ndarray
    mean: np.ndarray
    others: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, benchmark: Any, *, name: str) -> MeasuredRdms:
        """Those of a benchmark object.

        Raises
        ------
        ConfigError
            It has none.
        DataError
            They are not those of its images.
        """
        if not hasattr(benchmark, "rdms"):
            raise ConfigError(
                f"benchmark '{name}' has no measured RDMs; where it has voxels, harness run scores "
                "representational similarity: --metrics rsa"
            )
        stimuli = benchmark.load(next(iter(benchmark.subjects()))).test.stimuli
        sessions = benchmark.rdms()
        measured = of_subjects(sessions)
        others = dict(getattr(benchmark, "other_rdms", dict)())
        pairs = len(stimuli) * (len(stimuli) - 1) // 2
        for what, values in {"subjects": measured, **others}.items():
            if values.shape[-1] != pairs:
                raise DataError(
                    f"RDMs of {what} have {values.shape[-1]} entries; {len(stimuli)} images have {pairs}"
                )
        return cls(stimuli, measured, mean_rdm(sessions), others)

    def ceiling(self) -> tuple[float, float]:
        """Lower and upper bound for any model."""
        return noise_ceiling(self.subjects)

    def line(self, model: str, dissimilarities: np.ndarray) -> Similarity:
        """How similar a model's RDM (pairs,) is."""
        group = spearman(dissimilarities, self.mean)
        return Similarity(model, similarity(dissimilarities, self.subjects), group)


def model_patterns(
    model: str,
    stimuli: Stimuli,
    *,
    features: FeatureStore,
    fitted: Callable[[str], ReadyEncoder],
    place: dict[str, Any],
) -> np.ndarray:
    """(N, ...) patterns of `model` for the images.

    fitted : folder of a run -> its encoder.  place : the store and the executor.
    """
    if (Path(model) / "run.json").is_file():
        ready = fitted(model)
        size = ready.training.images(ready.training.ids[:1]).shape[1:3]
        resized = Resize(tuple(size), FILTER, "center-crop").all(stimuli.images(), what="the images")
        seen = Stimuli(stimuli.ids, ArrayReader(resized))
        how = {"space": ready.space, "features": features, "seed": 0, "samples": 1, "micro_batch": 32}
        predicted = encode(ready.model, seen, **how, **place)
        return predicted[:, 0][:, ready.space.valid]
    if Path(model).is_file():
        return FilePredictions(FilePredictions.Params(model)).responses(stimuli).mean(axis=1)
    backbone, colon, layer = model.rpartition(":")
    if not colon:
        raise ConfigError(
            f"'{model}' is no run, file of predictions or layer; a layer is named BACKBONE:LAYER, as "
            "pixels:grey16"
        )
    layers = find("backbones", backbone).load()().layers
    if layer not in layers:
        raise ConfigError(suggest(layer, layers, what=f"layer of '{backbone}'"))
    return features.layer(backbone, layer, stimuli)


def similarities(
    measured: MeasuredRdms,
    models: Sequence[str],
    patterns: Callable[[str], np.ndarray],
    *,
    distance: str,
) -> list[Similarity]:
    """A line for each of `models`, for each label of the images that has two values, and for other RDMs."""
    lines = [measured.line(model, rdm(patterns(model), distance=distance)) for model in models]
    labels = measured.stimuli.labels or {}
    lines += [
        measured.line(f"{LABEL}{name}", label_rdm(values))
        for name, values in labels.items()
        if len(set(values)) > 1
    ]
    return lines + [measured.line(name, values) for name, values in measured.others.items()]
