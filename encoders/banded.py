"""Banded ridge: each layer of a backbone is a band with a penalty of its own, for every voxel.

Nunez-Elizalde, Huth and Gallant 2019 (NeuroImage 197:482), solved by random search over the simplex of
band weights and a grid of penalties with himalaya (Dupre la Tour et al. 2022).  Faithful: kernels of bands,
weights drawn from Dirichlet distributions of concentration .1 and 1, choice for each voxel by held-out
error.  Chosen: a band is scaled as a whole, to a mean variance of 1 of its features; the last fit goes by
groups of voxels of equal weights, since himalaya's own holds a matrix for each voxel.  Trained on the
subject's own responses; none of the authors' code is here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api import ConfigError, Features, Stimuli, SubjectData, check_ranges, track
from harness.solvers.ridge import PENALTIES, check_penalties, fold_numbers
from harness.solvers.ridge_dual import numpy_backend

from .common.solved import SolvedEncoder, flat

logger = logging.getLogger(__name__)

ARRAYS = ("mean", "band_means", "gains", "basis", "strengths", "dual", "scores")
VOXELS = 1024
"""Voxels searched for at a time."""


@dataclass(frozen=True, eq=False)
class BandedModel:
    """A fitted banded ridge of V voxels on B bands of n training images.

    mean : (V,) response at the mean of the features.  band_means : (p,) of all bands, one after the other.
    gains : (B,) factor of each band.  basis : (n, p) centred, scaled training features.  strengths : (B, V)
    weight of each band over the voxel's penalty.  dual : (n, V).  scores : (V,) held-out R^2.
    """

    mean: np.ndarray
    band_means: np.ndarray
    gains: np.ndarray
    basis: np.ndarray
    strengths: np.ndarray
    dual: np.ndarray
    scores: np.ndarray


class BandedEncoder(SolvedEncoder[BandedModel]):
    """Layers -> responses, each layer with a penalty of its own for every voxel."""

    name = "banded"

    @dataclass(frozen=True)
    class Params:
        """The bands, and the search.

        layers : a band each, flattened.  alphas : grid of penalties.  draws : of band weights; those of one
        band alone and of equal weights come first.  folds : by a hash of ids.
        """

        backbone: str = "dinov2"
        layers: tuple[str, ...] = ("cls", "patches", "block6")
        alphas: tuple[float, ...] = PENALTIES
        draws: int = 20
        folds: int = 5

        def __post_init__(self) -> None:
            check_ranges(self, {"draws": (0, 10000)}, section="encoder")
            check_penalties(self.alphas, self.folds, section="encoder")
            if not self.layers:
                raise ConfigError("encoder.layers is empty; name a layer for each band, as [cls, patches]")
            if self.folds < 2:
                raise ConfigError(f"encoder.folds is {self.folds}; it must be at least 2")

    def solve(self, subject: SubjectData, features: Features, *, seed: int) -> BandedModel:
        """Weights and penalty of each voxel by cross-validation, then the last fit."""
        train = subject.train
        bands = [flat(features, *pair, train.stimuli).astype(np.float64) for pair in self.wants()]
        means = [band.mean(axis=0) for band in bands]
        bands = [band - mean for band, mean in zip(bands, means)]
        spreads = np.array([np.sqrt((band**2).sum() / len(band)) for band in bands])
        gains = np.divide(1.0, spreads, out=np.zeros_like(spreads), where=spreads > 0) * np.sqrt(
            [band.shape[1] for band in bands]
        )
        bands = [band * gain for band, gain in zip(bands, gains)]
        kernels = np.stack([band @ band.T for band in bands])
        responses = train.responses.mean()[:, subject.space.valid].astype(np.float64)
        mean = responses.mean(axis=0)
        fold = fold_numbers(
            train.stimuli.ids, self.params.folds, seed=seed, contents=train.stimuli.image_hashes()
        )
        strengths, scores = self._search(kernels, responses - mean, fold, seed)
        shares = ", ".join(
            f"{layer} {share:.2f}"
            for layer, share in zip(self.params.layers, np.mean(strengths / strengths.sum(axis=0), axis=1))
        )
        logger.info("banded encoder of %s: mean weights of bands %s", subject.space.subject, shares)
        return BandedModel(
            mean.astype(np.float32),
            np.concatenate(means).astype(np.float32),
            gains.astype(np.float32),
            np.concatenate(bands, axis=1).astype(np.float32),
            strengths.astype(np.float32),
            dual_weights(kernels, responses - mean, strengths).astype(np.float32),
            scores.astype(np.float32),
        )

    def _search(
        self, kernels: np.ndarray, targets: np.ndarray, fold: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """(B, V) band weights over penalties, and (V,) held-out R^2."""
        from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
        from himalaya.scoring import r2_score

        weights = band_weights(len(kernels), self.params.draws, seed)
        splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(fold.max() + 1)]
        strengths, scores = np.empty((len(kernels), targets.shape[1])), np.empty(targets.shape[1])
        starts = range(0, targets.shape[1], VOXELS)
        for start in track(starts, "band weights, blocks of voxels"):
            block = slice(start, start + VOXELS)
            with numpy_backend(), np.errstate(divide="ignore"):  # the logarithm of a weight of 0
                deltas, _, block_scores = solve_multiple_kernel_ridge_random_search(
                    kernels,
                    targets[:, block],
                    n_iter=weights,
                    alphas=np.array(self.params.alphas),
                    score_func=r2_score,
                    cv=splits,
                    return_weights=None,
                    n_alphas_batch=1,
                    progress_bar=False,
                )
            strengths[:, block] = np.exp(deltas)
            scores[block] = block_scores.max(axis=0)
        return strengths, scores

    def respond(self, model: BandedModel, stimuli: Stimuli, features: Features) -> np.ndarray:
        """(N, V) float32."""
        total, first = 0, 0
        for gain, strength, pair in zip(model.gains, model.strengths, self.wants()):
            x = flat(features, *pair, stimuli)
            part = slice(first, first + x.shape[1])
            kernel = ((x - model.band_means[part]) * gain) @ model.basis[:, part].T
            total, first = total + (kernel @ model.dual) * strength, first + x.shape[1]
        return total + model.mean

    def write(self, model: BandedModel, folder: Path) -> None:
        """``banded.npz``."""
        np.savez(folder / "banded.npz", **{name: getattr(model, name) for name in ARRAYS})

    def read(self, folder: Path) -> BandedModel:
        """What :meth:`write` kept."""
        with np.load(folder / "banded.npz", allow_pickle=False) as file:
            return BandedModel(**{name: file[name] for name in ARRAYS})


def band_weights(bands: int, draws: int, seed: int) -> np.ndarray:
    """(bands + 1 + draws, bands) weights on the simplex: each band alone, all equal, then draws of Dirichlet
    distributions, sparse (.1) and even (1) in turn."""
    generator = np.random.default_rng(seed)
    drawn = [generator.dirichlet(np.full(bands, (0.1, 1.0)[k % 2])) for k in range(draws)]
    return np.concatenate([np.eye(bands), np.full((1, bands), 1 / bands), np.reshape(drawn, (draws, bands))])


def dual_weights(kernels: np.ndarray, targets: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """(n, V) dual coefficients of kernels (B, n, n) weighted by `strengths` (B, V): one eigendecomposition
    for all voxels whose bands stand in one proportion."""
    totals = strengths.sum(axis=0)
    shares = np.round(strengths / totals, 12)
    groups, of_voxel = np.unique(shares, axis=1, return_inverse=True)
    dual = np.empty((kernels.shape[1], strengths.shape[1]))
    for number in track(range(groups.shape[1]), "last fit, band weights"):
        members = np.flatnonzero(of_voxel.ravel() == number)
        values, vectors = np.linalg.eigh(np.tensordot(groups[:, number], kernels, axes=1))
        rotated = vectors.T @ targets[:, members]
        values = np.maximum(values, 0)[:, None]
        # (sum of strengths x kernel + 1)^-1 y, with the total taken out of the kernel.
        dual[:, members] = vectors @ (rotated / (values * totals[members] + 1))
    return dual
