"""Which image was seen? The most likely one of a set, by an encoding model (Kay et al. 2008).

A ridge from features of images to voxels predicts the response to every candidate; the one under whose
prediction the given response is the most likely is the reconstruction.  Noise is Gaussian with the covariance
of the encoding model's residuals for held-out training images, shrunk towards its diagonal (Ledoit and Wolf
2004), so that voxels which err together count once.  Every candidate is as likely beforehand.  With a large
set of natural images this is the natural prior of Naselaris et al. (2009), without their semantic part: there
is no generator, and what is sharp in a reconstruction was in the set.

The candidates are the training images, which are no test images, or those of `pool`.  The embedding is the
response in units in which the noise is white; that of an image is its prediction.  So the retrieval scores
are Kay's identification of test images among each other, look-alikes included.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api import (
    ConfigError,
    DataError,
    Decoded,
    Features,
    PluginError,
    Responses,
    Stimuli,
    SubjectData,
    image_sha,
)
from harness.backbones.catalogue import ROWS as BACKBONES
from harness.decoders.fitted import MeansDecoder, require_voxels
from harness.solvers.noise import Noise
from harness.solvers.ridge import PENALTIES, RidgeModel, check_penalties, fit_ridge, fold_numbers

logger = logging.getLogger(__name__)

HELD_OUT = 5
"""One in so many training images is left out of the fit whose residuals are the noise."""

BLOCK = 512
"""Candidates compared at a time."""


class IdentificationDecoder(MeansDecoder):
    """Mean response of an image -> the likeliest of the candidates; deterministic."""

    version = "1"
    label = "identification"

    @dataclass(frozen=True)
    class Params:
        """The encoding model, and what it chooses among.

        backbone, layers : features that predict voxels, concatenated; a backbone of the harness.
        pool : ``.npy`` file of candidate images (M, H, W, 3) uint8, or float in [0, 1]; the training images
            where it is empty.
        candidates : how many of the likeliest are returned, the first first.
        alphas, folds : as for the ridge encoder.
        standardise : scale features to unit variance over the training images.
        """

        backbone: str = "pixels"
        layers: tuple[str, ...] = ("rgb16",)
        pool: str = ""
        candidates: int = 1
        alphas: tuple[float, ...] = PENALTIES
        folds: int = 5
        standardise: bool = True

        def __post_init__(self) -> None:
            if not self.layers:
                raise ConfigError("decoder.layers is empty; name at least one, for example [rgb16]")
            if self.candidates < 1:
                raise ConfigError(f"decoder.candidates is {self.candidates}; it must be at least 1")
            check_penalties(self.alphas, self.folds, section="decoder")

    def __init__(self, params: Params) -> None:
        self.params = params
        self._ridge: RidgeModel | None = None
        self._noise: Noise | None = None
        self._images: np.ndarray | None = None  # (M, H, W, 3) candidates
        self._white: np.ndarray | None = None  # (M, valid voxels) float32 predictions in white units

    @staticmethod
    def missing(params: Params, *, subject: str) -> list[str]:
        """The pool, where it is named and not there."""
        return [f"there is no file {params.pool}"] if params.pool and not Path(params.pool).is_file() else []

    def wants(self) -> tuple[tuple[str, str], ...]:
        """The layers of the backbone."""
        return tuple((self.params.backbone, layer) for layer in self.params.layers)

    def training_hashes(self) -> Sequence[str]:
        """Content of the pool's images: a test image among them would be found, not decoded."""
        return tuple(image_sha(image) for image in self._pool()) if self.params.pool else ()

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Fit the encoding model and its noise, and predict the response to every candidate."""
        space, train = subject.space, subject.train
        require_voxels(subject)
        design, patterns = self._design(train.stimuli, features), train.responses.mean()[:, space.valid]
        ids, contents = train.stimuli.ids, train.stimuli.image_hashes()
        held = fold_numbers(ids, min(HELD_OUT, max(2, len(ids) // 2)), seed=seed, contents=contents) == 0
        kept = np.flatnonzero(~held)

        def fitted(at: np.ndarray) -> RidgeModel:
            return fit_ridge(
                design[at],
                patterns[at],
                ids=[ids[k] for k in at],
                contents=[contents[k] for k in at],
                penalties=self.params.alphas,
                folds=self.params.folds,
                seed=seed,
                standardise=self.params.standardise,
            )

        self._noise = Noise.fit(patterns[held] - fitted(kept).predict(design[held]))
        self._ridge = fitted(np.arange(len(ids)))
        self.space = space
        if self.params.pool:
            self._images = self._pool()
            shown = [f"candidate-{k:07d}" for k in range(len(self._images))]
            design = self._design(Stimuli.from_array(shown, self._images), features)
        else:
            self._images = np.asarray(train.stimuli.images())
        self._white = self._noise.whiten(self._ridge.predict(design)).astype(np.float32)
        logger.info(
            "identification in %s: %d candidates, noise shrunk by %.2f",
            *(space.subject, len(self._images), self._noise.shrinkage),
        )

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """The likeliest candidates, of equal ones the first; the embedding is the response in white units."""
        self.open(responses.space, device="cpu")
        return self._chosen(self._noise.whiten(responses.mean()[:, self.space.valid]))

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The ceiling: the candidate whose prediction is nearest to that of the true image."""
        return self._chosen(self._predicted(images))

    def embed(self, images: np.ndarray) -> np.ndarray:
        """(n, valid voxels) predictions for `images` (n, H, W, 3) in white units, less the training mean."""
        return self._centred(self._predicted(images))

    def _keep(self, folder: Path) -> None:
        self._ridge.save(folder / "ridge.safetensors")
        self._noise.save(folder / "noise.safetensors")
        np.save(folder / "images.npy", self._images, allow_pickle=False)
        np.save(folder / "white.npy", self._white, allow_pickle=False)

    def _take(self, folder: Path) -> None:
        self._ridge = RidgeModel.load(folder / "ridge.safetensors")
        self._noise = Noise.load(folder / "noise.safetensors")
        self._images = self._array(folder / "images.npy")
        self._white = self._array(folder / "white.npy")

    def log_likelihoods(self, white: np.ndarray) -> np.ndarray:
        """(N, M) log likelihood of responses `white` (N, U) under each candidate, up to a constant."""
        likelihoods = np.empty((len(white), len(self._white)))
        white = np.asarray(white, np.float64)
        for start in range(0, len(self._white), BLOCK):
            block = np.asarray(self._white[start : start + BLOCK], np.float64)
            likelihoods[:, start : start + BLOCK] = white @ block.T - (block**2).sum(axis=1) / 2
        return likelihoods - (white**2).sum(axis=1, keepdims=True) / 2

    def _chosen(self, white: np.ndarray) -> Decoded:
        wanted = min(self.params.candidates, len(self._images))
        order = np.argsort(-self.log_likelihoods(white), axis=1, kind="stable")[:, :wanted]
        return Decoded(np.asarray(self._images[order]), embedding=self._centred(white))

    def _centred(self, white: np.ndarray) -> np.ndarray:
        mean = self._noise.whiten(self._ridge.target_mean[None].astype(np.float64))
        return (white - mean).astype(np.float32)

    def _predicted(self, images: np.ndarray) -> np.ndarray:
        """(n, U) predictions for `images`, in white units."""
        row = next((row for row in BACKBONES if row.name == self.params.backbone), None)
        if row is None:
            raise PluginError(
                f"decoder.backbone is '{self.params.backbone}', and images are embedded by backbones of the "
                "harness alone; 'harness list backbones' names them"
            )
        backbone = row.build.load()()
        backbone.open(device="cpu")
        layers = backbone.extract(np.asarray(images), self.params.layers)
        parts = [np.asarray(layers[name], np.float32).reshape(len(images), -1) for name in self.params.layers]
        return self._noise.whiten(self._ridge.predict(np.concatenate(parts, axis=1)))

    def _design(self, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, p) float32 layers, flattened and side by side."""
        parts = [
            np.asarray(features.layer(name, layer, stimuli), np.float32).reshape(len(stimuli), -1)
            for name, layer in self.wants()
        ]
        return np.concatenate(parts, axis=1)

    def _pool(self) -> np.ndarray:
        """(M, H, W, 3) images of the file, memory-mapped."""
        try:
            images = np.load(self.params.pool, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as problem:
            raise DataError(f"decoder.pool {self.params.pool} cannot be read ({problem})") from None
        if images.ndim != 4 or images.shape[-1] != 3 or not len(images) or images.dtype.kind not in "uf":
            raise DataError(
                f"decoder.pool {self.params.pool} holds {images.dtype} of shape {images.shape}; "
                f"expected images "
                "(M, H, W, 3), uint8 or float in [0, 1]"
            )
        return images
