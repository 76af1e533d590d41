"""Ridge regression from voxels to the principal components of images.

There is no generator, and so no prior to hide behind: what is not in the fMRI comes out as the mean
training image, not as a plausible picture.  That makes its scores a clean measure of the linearly
readable image information, and its pictures blurry.  Ridge shrinks towards the mean, so predicted
components vary less than true ones; they are not rescaled (compare Cowen, Chun and Kuhl 2014, who
decode faces through their components).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from harness.api import (
    ConfigError,
    Decoded,
    Features,
    Responses,
    SubjectData,
)
from harness.decoders.fitted import MeansDecoder, require_voxels
from harness.solvers.image_components import ImageComponents
from harness.solvers.ridge import PENALTIES, RidgeModel, check_penalties, fit_ridge

logger = logging.getLogger(__name__)


class LinearDecoder(MeansDecoder):
    """Mean response of an image -> image of the training images' size; deterministic."""

    version = "1"
    trains_on = "trials"  # whose numbers weight the images
    label = "linear"

    @dataclass(frozen=True)
    class Params:
        """How voxels become images.

        components : image components to predict, at most one less than training images.
        alphas, folds, fold_by, weight_by_repeats : as for the ridge encoder, one penalty for each
            component.
        standardise : scale voxels to unit variance over the training images.
        """

        components: int = 256
        alphas: tuple[float, ...] = PENALTIES
        folds: int = 5
        fold_by: Literal["id", "position"] = "id"
        standardise: bool = True
        weight_by_repeats: bool = True

        def __post_init__(self) -> None:
            if self.components < 1:
                raise ConfigError(f"decoder.components is {self.components}; it must be at least 1")
            check_penalties(self.alphas, self.folds, section="decoder")

    def __init__(self, params: Params) -> None:
        self.params = params
        self._images: ImageComponents | None = None
        self._ridge: RidgeModel | None = None

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Learn components from the training images and ridge from their mean responses.

        Runs on the CPU whatever `device` is, and needs no checkpoints.
        """
        space, train = subject.space, subject.train
        require_voxels(subject)
        images = np.asarray(train.stimuli.images())
        components = ImageComponents.fit(images, components=self.params.components)
        counts = train.responses.counts()
        ridge = fit_ridge(
            train.responses.mean()[:, space.valid],
            components.embed(images),
            ids=train.stimuli.ids,
            contents=train.stimuli.image_hashes(),
            penalties=self.params.alphas,
            folds=self.params.folds,
            fold_by=self.params.fold_by,
            seed=seed,
            sample_weight=counts if self.params.weight_by_repeats else None,
            standardise=self.params.standardise,
        )
        self.space, self._images, self._ridge = space, components, ridge
        logger.info("linear decoder of %s: %d image components", space.subject, len(components))

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """One candidate per image; the embedding is the predicted component scores."""
        self.open(responses.space, device="cpu")
        scores = self._ridge.predict(responses.mean()[:, self.space.valid])
        return Decoded(self._images.render(scores)[:, None], embedding=scores)

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The generator ceiling: the true scores of `images` through the same components."""
        scores = self.embed(images)
        return Decoded(self._images.render(scores)[:, None], embedding=scores)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """(n, K) component scores of `images` (n, H, W, 3)."""
        self.require_fit()
        return self._images.embed(np.asarray(images))

    def _keep(self, folder: Path) -> None:
        self._images.save(folder / "components.safetensors")
        self._ridge.save(folder / "ridge.safetensors")

    def _take(self, folder: Path) -> None:
        self._images = ImageComponents.load(folder / "components.safetensors")
        self._ridge = RidgeModel.load(folder / "ridge.safetensors")
