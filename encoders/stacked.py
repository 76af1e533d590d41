"""Stacked regression: a ridge on each layer of a backbone, weighted for every voxel (Lin et al. 2024).

Faithful: weights by held-out predictions on the simplex, equal to the package ``stacking-fmri`` in a
test, and what each layer adds, by stacking without it.  Chosen: the ridge of this project under it, which
chooses penalties by folds of image hashes.  Trained on the subject's own responses; none of the authors'
code is here.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api import (
    ConfigError,
    DataError,
    Features,
    SpaceMismatch,
    Stimuli,
    SubjectData,
    VoxelSpace,
    track,
)
from harness.solvers.ridge import PENALTIES, RidgeModel, check_penalties, fit_ridge
from harness.solvers.saved import load_space, save_space
from harness.solvers.stacking import MOST, stacking_weights, unique_shares

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StackedModel:
    """A ridge for each layer; weights (V, F); R^2 (V,) of the stack and unique shares (F, V), held out."""

    space: VoxelSpace
    ridges: list[RidgeModel]
    weights: np.ndarray
    explained: np.ndarray
    unique: np.ndarray


class StackedEncoder:
    """Layers -> responses, each layer through a ridge of its own."""

    version = "1"
    stochastic = False

    @dataclass(frozen=True)
    class Params:
        """The layers, each flattened, and how they are stacked.

        alphas : grid of penalties, one for each voxel and layer.  folds : within a ridge.
        outer_folds : of the predictions that weights are chosen by.
        """

        backbone: str = "dinov2"
        layers: tuple[str, ...] = ("block3", "block6", "block9", "block12")
        alphas: tuple[float, ...] = PENALTIES
        folds: int = 5
        outer_folds: int = 5

        def __post_init__(self) -> None:
            check_penalties(self.alphas, self.folds, section="encoder")
            if not 1 <= len(self.layers) <= MOST:
                raise ConfigError(f"encoder.layers names {len(self.layers)} layers; expected 1 to {MOST}")
            if self.outer_folds < 2:
                raise ConfigError(f"encoder.outer_folds is {self.outer_folds}; it must be at least 2")

    def __init__(self, params: Params) -> None:
        self.params = params
        self.models: dict[str, StackedModel] = {}

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
        self.models = {}
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
        """Add one more subject; the others stay as they are."""
        p, space, train = self.params, subject.space, subject.train
        responses = train.responses.mean()[:, space.valid]
        hashes = np.array(train.stimuli.image_hashes())
        fold = _folds(hashes, p.outer_folds, seed)
        ids = np.array(train.stimuli.ids)

        def ridge(x: np.ndarray, rows: np.ndarray) -> RidgeModel:
            how = {"penalties": p.alphas, "folds": p.folds, "seed": seed}
            return fit_ridge(x[rows], responses[rows], ids=ids[rows], contents=hashes[rows], **how)

        ridges, errors = [], np.empty((len(p.layers), *responses.shape), np.float32)
        for number, x in enumerate(track(self._designs(train.stimuli, features), "stacked layers")):
            for k in range(p.outer_folds):
                out = fold == k
                if out.any():
                    errors[number, out] = responses[out] - ridge(x, ~out).predict(x[out])
            ridges.append(ridge(x, np.ones(len(x), bool)))
        explained, unique = unique_shares(errors, responses.var(axis=0, dtype=np.float64))
        self.models[space.sha] = StackedModel(space, ridges, stacking_weights(errors), explained, unique)
        shares = ", ".join(
            f"{layer} {share:.3f}"
            for layer, share in zip(p.layers, np.nanmedian(unique, axis=1), strict=True)
        )
        logger.info("stacked encoder of %s: median unique shares %s", space.subject, shares)

    def predict(
        self, stimuli: Stimuli, features: Features, *, space: VoxelSpace, seeds: np.ndarray
    ) -> np.ndarray:
        """(N, S, V) float32; the S samples are equal, masked voxels are 0."""
        if space.sha not in self.models:
            names = ", ".join(model.space.subject for model in self.models.values()) or "no subject"
            raise SpaceMismatch(
                f"stacked encoder: fitted on {names}, asked for other voxels of {space.subject}; "
                "fit it on them"
            )
        model, out = self.models[space.sha], np.zeros((*seeds.shape, space.n_voxels), np.float32)
        total = 0
        for number, x in enumerate(self._designs(stimuli, features)):
            total = total + model.ridges[number].predict(x) * model.weights[:, number]
        out[:, :, space.valid] = np.asarray(total, np.float32)[:, None]
        return out

    def save(self, folder: Path) -> None:
        """One sub-folder per subject."""
        for number, model in enumerate(self.models.values()):
            place = folder / f"subject-{number:03d}"
            place.mkdir(parents=True)
            save_space(place, model.space)
            for layer, ridge in enumerate(model.ridges):
                ridge.save(place / f"layer-{layer:02d}.safetensors")
            arrays = {name: getattr(model, name) for name in ("weights", "explained", "unique")}
            np.savez(place / "stack.npz", **arrays)

    @classmethod
    def load(cls, folder: Path, params: Params, *, device: str) -> StackedEncoder:
        """Read what :meth:`save` wrote."""
        encoder = cls(params)
        for place in sorted(folder.glob("subject-*")):
            space = load_space(place)
            ridges = [RidgeModel.load(file) for file in sorted(place.glob("layer-*.safetensors"))]
            with np.load(place / "stack.npz", allow_pickle=False) as file:
                arrays = {name: file[name] for name in ("weights", "explained", "unique")}
            encoder.models[space.sha] = StackedModel(space, ridges, **arrays)
        if not encoder.models:
            raise DataError(f"{folder} holds no stacked encoder; fit it again")
        return encoder

    def _designs(self, stimuli: Stimuli, features: Features) -> list[np.ndarray]:
        return [
            np.asarray(features.layer(backbone, layer, stimuli), np.float32).reshape(len(stimuli), -1)
            for backbone, layer in self.wants()
        ]


def _folds(hashes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(N,) fold of each image; equal images share one."""
    order = {
        sha: place
        for place, sha in enumerate(
            sorted(set(hashes), key=lambda sha: hashlib.sha256(f"stacked|{seed}|{sha}".encode()).digest())
        )
    }
    return np.array([order[sha] % count for sha in hashes])
