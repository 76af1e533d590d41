"""Stacked regression: a ridge on each layer of a backbone, weighted for every voxel (Lin et al. 2024).

Faithful: weights by held-out predictions on the simplex, equal to the package ``stacking-fmri`` in a
test, and what each layer adds, by stacking without it.  Chosen: the ridge of this project under it, which
chooses penalties by folds of image hashes.  Trained on the subject's own responses; none of the authors'
code is here.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api import ConfigError, Features, Stimuli, SubjectData, track
from harness.solvers.ridge import PENALTIES, RidgeModel, check_penalties, fit_ridge
from harness.solvers.stacking import MOST, stacking_weights, unique_shares

from .common.solved import SolvedEncoder, flat

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class StackedModel:
    """A ridge for each layer; weights (V, F); R^2 (V,) of the stack and unique shares (F, V), held out."""

    ridges: list[RidgeModel]
    weights: np.ndarray
    explained: np.ndarray
    unique: np.ndarray


STACK = ("weights", "explained", "unique")
"""Arrays of a model beside its ridges."""


class StackedEncoder(SolvedEncoder[StackedModel]):
    """Layers -> responses, each layer through a ridge of its own."""

    name = "stacked"

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

    def solve(self, subject: SubjectData, features: Features, *, seed: int) -> StackedModel:
        """Ridges of all layers, one layer after the other in memory; weights by held-out predictions."""
        p, train = self.params, subject.train
        responses = train.responses.mean()[:, subject.space.valid]
        hashes = np.array(train.stimuli.image_hashes())
        fold = _folds(hashes, p.outer_folds, seed)
        ids = np.array(train.stimuli.ids)

        def ridge(x: np.ndarray, rows: np.ndarray) -> RidgeModel:
            how = {"penalties": p.alphas, "folds": p.folds, "seed": seed}
            return fit_ridge(x[rows], responses[rows], ids=ids[rows], contents=hashes[rows], **how)

        ridges, errors = [], np.empty((len(p.layers), *responses.shape), np.float32)
        for number, (backbone, layer) in enumerate(track(self.wants(), "stacked layers")):
            x = flat(features, backbone, layer, train.stimuli)
            for k in range(p.outer_folds):
                out = fold == k
                if out.any():
                    errors[number, out] = responses[out] - ridge(x, ~out).predict(x[out])
            ridges.append(ridge(x, np.ones(len(x), bool)))
        explained, unique = unique_shares(errors, responses.var(axis=0, dtype=np.float64))
        shares = ", ".join(
            f"{layer} {share:.3f}"
            for layer, share in zip(p.layers, np.nanmedian(unique, axis=1), strict=True)
        )
        logger.info("stacked encoder of %s: median unique shares %s", subject.space.subject, shares)
        return StackedModel(ridges, stacking_weights(errors), explained, unique)

    def respond(self, model: StackedModel, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, V): the weighted sum of the layers' predictions."""
        total = 0
        for number, (backbone, layer) in enumerate(self.wants()):
            x = flat(features, backbone, layer, stimuli)
            total = total + model.ridges[number].predict(x) * model.weights[:, number]
        return total

    def write(self, model: StackedModel, folder: Path) -> None:
        """A file for each layer, and ``stack.npz``."""
        for layer, ridge in enumerate(model.ridges):
            ridge.save(folder / f"layer-{layer:02d}.safetensors")
        np.savez(folder / "stack.npz", **{name: getattr(model, name) for name in STACK})

    def read(self, folder: Path) -> StackedModel:
        """What :meth:`write` kept."""
        ridges = [RidgeModel.load(file) for file in sorted(folder.glob("layer-*.safetensors"))]
        with np.load(folder / "stack.npz", allow_pickle=False) as file:
            return StackedModel(ridges, **{name: file[name] for name in STACK})


def _folds(hashes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(N,) fold of each image; equal images share one."""
    order = {
        sha: place
        for place, sha in enumerate(
            sorted(set(hashes), key=lambda sha: hashlib.sha256(f"stacked|{seed}|{sha}".encode()).digest())
        )
    }
    return np.array([order[sha] % count for sha in hashes])
