"""Ridge regression from the layers of a backbone to voxels: the baseline every encoder must beat.

One model per subject, a penalty per voxel, fitted on the mean response to each training image
(Naselaris et al. 2011; penalties per voxel as in the Gallant lab's voxelwise models, Dupre la Tour
et al. 2022).  Its predictions have less variance than measurements, as every ridge's have; nothing
is rescaled here, :mod:`harness.rows.adapters` does that in the open.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from harness.api import (
    ConfigError,
    DataError,
    Features,
    SpaceMismatch,
    Stimuli,
    SubjectData,
    VoxelSpace,
)
from harness.solvers.ridge import PENALTIES, RidgeModel, check_penalties, fit_ridge
from harness.solvers.saved import load_space, save_space

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _SubjectModel:
    space: VoxelSpace
    ridge: RidgeModel  # valid voxels only


class RidgeEncoder:
    """Images -> mean responses, linear in backbone features, with an intercept."""

    version = "1"
    stochastic = False

    @dataclass(frozen=True)
    class Params:
        """What is regressed on what.

        backbone, layers : features, concatenated; many layers at once are fine, since the kernel
            solver takes over where features outnumber images.
        alphas : grid of penalties, each voxel takes its own by cross-validation.
        folds, fold_by : ``id`` shuffles images into folds by a hash; ``position`` cuts contiguous
            runs, for images in order of presentation.
        standardise : scale features to unit variance over the training images.
        weight_by_repeats : an image shown more often counts more.
        per_voxel : False chooses one penalty for all voxels.
        """

        backbone: str = "pixels"
        layers: tuple[str, ...] = ("rgb16",)
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

    def __init__(self, params: Params) -> None:
        self.params = params
        self._models: dict[str, _SubjectModel] = {}

    def wants(self) -> tuple[tuple[str, str], ...]:
        """The layers of the backbone."""
        return tuple((self.params.backbone, layer) for layer in self.params.layers)

    def fit(
        self,
        subjects: Sequence[SubjectData],
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """One model for each of `subjects`, from nothing."""
        self._models = {}
        for subject in subjects:
            self.adapt(subject, features, seed=seed, device=device, checkpoint_dir=checkpoint_dir)

    def adapt(
        self,
        subject: SubjectData,
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Add a model for one more subject; the others stay as they are.

        The solver runs on the CPU whatever `device` is, and needs no checkpoints.
        """
        space, train = subject.space, subject.train
        if not space.n_valid:
            raise DataError(f"every voxel of {space.subject} is masked; there is nothing to predict")
        counts = train.responses.counts()
        ridge = fit_ridge(
            self._design(train.stimuli, features),
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
        self._models[space.sha] = _SubjectModel(space, ridge)
        logger.info(
            "ridge encoder of %s: %d features, %d voxels, median cross-validated R2 %.3f",
            space.subject,
            ridge.n_features,
            space.n_valid,
            np.nanmedian(ridge.cv_r2) if np.isfinite(ridge.cv_r2).any() else np.nan,
        )

    def predict(
        self, stimuli: Stimuli, features: Features, *, space: VoxelSpace, seeds: np.ndarray
    ) -> np.ndarray:
        """(N, S, V) float32; the S samples are equal, masked voxels are 0."""
        predicted = self._model(space).ridge.predict(self._design(stimuli, features))
        out = np.zeros((len(stimuli), seeds.shape[1], space.n_voxels), np.float32)
        out[:, :, space.valid] = predicted[:, None]
        return out

    def save(self, folder: Path) -> None:
        """One sub-folder per subject."""
        for number, model in enumerate(self._models.values()):
            place = folder / f"subject-{number:03d}"
            place.mkdir(parents=True)
            save_space(place, model.space)
            model.ridge.save(place / "ridge.safetensors")

    @classmethod
    def load(cls, folder: Path, params: Params, *, device: str) -> RidgeEncoder:
        """Read what :meth:`save` wrote."""
        encoder = cls(params)
        for place in sorted(folder.glob("subject-*")):
            space = load_space(place)
            encoder._models[space.sha] = _SubjectModel(space, RidgeModel.load(place / "ridge.safetensors"))
        if not encoder._models:
            raise DataError(f"{folder} holds no ridge encoder; fit it again")
        return encoder

    def _design(self, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, p) float32 layers, flattened and side by side."""
        parts = [
            np.asarray(features.layer(name, layer, stimuli), np.float32).reshape(len(stimuli), -1)
            for name, layer in self.wants()
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _model(self, space: VoxelSpace) -> _SubjectModel:
        known = self._models.get(space.sha)
        if known is not None:
            return known
        if not self._models:
            raise SpaceMismatch("the ridge encoder is not fitted; call fit with a subject's training data")
        for model in self._models.values():
            if model.space.subject == space.subject:
                model.space.require(space, what="ridge encoder")
        fitted = ", ".join(model.space.subject for model in self._models.values())
        raise SpaceMismatch(
            f"ridge encoder: fitted on {fitted}, asked for {space.subject}; fit or adapt it to "
            f"{space.subject} first"
        )
