"""Ridge regression from the layers of a backbone to voxels: the baseline every encoder must beat.

One model per subject, a penalty per voxel, fitted on the mean response to each training image
(Naselaris et al. 2011; penalties per voxel as in the Gallant lab's voxelwise models, Dupre la Tour
et al. 2022).  Its predictions have less variance than measurements, as every ridge's have; nothing
is rescaled here, :mod:`harness.rows.adapters` does that in the open.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from harness.api import ConfigError, Features, Stimuli, SubjectData
from harness.solvers.ridge import PENALTIES, RidgeModel, check_penalties, fit_ridge

from .common.solved import SolvedEncoder, flat

logger = logging.getLogger(__name__)


class RidgeEncoder(SolvedEncoder[RidgeModel]):
    """Images -> mean responses, linear in backbone features, with an intercept."""

    name = "ridge"

    @dataclass(frozen=True)
    class Params:
        """What is regressed on what.

        backbone, layers : features, concatenated; many layers at once are fine, since the kernel
            solver takes over where features outnumber images.
        tokens : of layers that have several (N, tokens, D): ``all`` side by side, the ``first``, which is the
            class token of a block, their ``mean``, or the mean of the ``rest`` after the first.
        alphas : grid of penalties, each voxel takes its own by cross-validation.
        folds, fold_by : ``id`` shuffles images into folds by a hash; ``position`` cuts contiguous
            runs, for images in order of presentation.
        standardise : scale features to unit variance over the training images.
        weight_by_repeats : an image shown more often counts more.
        per_voxel : False chooses one penalty for all voxels.
        """

        backbone: str = "pixels"
        layers: tuple[str, ...] = ("rgb16",)
        tokens: Literal["all", "first", "mean", "rest"] = "all"
        alphas: tuple[float, ...] = PENALTIES
        folds: int = 5
        fold_by: Literal["id", "position"] = "id"
        standardise: bool = True
        weight_by_repeats: bool = True
        per_voxel: bool = True

        def __post_init__(self) -> None:
            if not self.layers:
                raise ConfigError("encoder.layers is empty; name at least one, for example [rgb16]")
            check_penalties(self.alphas, self.folds, section="encoder")

    def solve(self, subject: SubjectData, features: Features, *, seed: int) -> RidgeModel:
        """A ridge on the mean response to each image."""
        space, train = subject.space, subject.train
        counts = train.responses.counts()
        ridge = fit_ridge(
            self.design(train.stimuli, features),
            train.responses.mean()[:, space.valid],
            ids=train.stimuli.ids,
            contents=train.stimuli.image_hashes(),
            penalties=self.params.alphas,
            folds=self.params.folds,
            fold_by=self.params.fold_by,
            seed=seed,
            sample_weight=counts if self.params.weight_by_repeats else None,
            standardise=self.params.standardise,
            shared_penalty=not self.params.per_voxel,
        )
        logger.info(
            "%s encoder of %s: %d features, %d voxels, median cross-validated R2 %.3f",
            self.name,
            space.subject,
            ridge.n_features,
            space.n_valid,
            np.nanmedian(ridge.cv_r2) if np.isfinite(ridge.cv_r2).any() else np.nan,
        )
        return ridge

    def respond(self, model: RidgeModel, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, V) float32."""
        return model.predict(self.design(stimuli, features))

    def write(self, model: RidgeModel, folder: Path) -> None:
        """``ridge.safetensors``."""
        model.save(folder / "ridge.safetensors")

    def read(self, folder: Path) -> RidgeModel:
        """What :meth:`write` kept."""
        return RidgeModel.load(folder / "ridge.safetensors")

    def design(self, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, p) float32 layers, flattened and side by side."""
        parts = [self._part(features, *pair, stimuli) for pair in self.wants()]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _part(self, features: Features, backbone: str, layer: str, stimuli: Stimuli) -> np.ndarray:
        """(N, p) float32 of a layer, or of the tokens that are asked for."""
        if self.params.tokens == "all":
            return flat(features, backbone, layer, stimuli)
        values = np.asarray(features.layer(backbone, layer, stimuli), np.float32)
        if values.ndim != 3:
            raise ConfigError(
                f"encoder.tokens is {self.params.tokens}; layer '{layer}' of '{backbone}' has shape "
                f"{values.shape[1:]} and no tokens; leave it at all"
            )
        if self.params.tokens == "first":
            return values[:, 0]
        return values[:, int(self.params.tokens == "rest") :].mean(axis=1)
