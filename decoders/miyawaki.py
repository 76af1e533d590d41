"""Local decoders of several sizes, combined (Miyawaki et al. 2008).

The image is a coarse grid of mean colours.  Every rectangle of 1 x 1, 1 x 2, 2 x 1 and 2 x 2 neighbouring
cells has a decoder of its own, which reads the mean of its cells from all voxels; the reconstruction of a
cell is the sum of what the rectangles that hold it say, each with one weight that is not negative, chosen to
minimise the squared error of training images that the local decoders were not fitted on.

The original's local decoders classify patterns of black and white by sparse logistic regression; here they
are ridge regressions of means, so that images of any colours and any number of voxels will do.  What no
rectangle reads from the brain stays the training mean: there is no generator and no prior.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api import (
    ConfigError,
    DataError,
    Decoded,
    Features,
    Responses,
    SubjectData,
)
from harness.decoders.fitted import MeansDecoder, require_voxels
from harness.nn.resize import unit_range
from harness.solvers.ridge import PENALTIES, RidgeModel, check_penalties, fit_ridge, fold_numbers
from harness.solvers.saved import replaced

logger = logging.getLogger(__name__)

SHAPES = ((1, 1), (1, 2), (2, 1), (2, 2))
"""Rows and columns of a rectangle, in cells."""


class MiyawakiDecoder(MeansDecoder):
    """Mean response of an image -> a coarse image at the size of the training images; deterministic."""

    version = "1"
    label = "miyawaki"

    @dataclass(frozen=True)
    class Params:
        """The grid, and how its local decoders are fitted and combined.

        grid : cells along each side, at most the pixels of the images' shorter side.
        optimised : one weight for each rectangle, chosen on held-out training images; else all have the one
            that makes a mean of the rectangles of an inner cell.
        alphas, folds : as for the ridge encoder, one penalty for each rectangle and colour.
        """

        grid: int = 10
        optimised: bool = True
        alphas: tuple[float, ...] = PENALTIES
        folds: int = 5

        def __post_init__(self) -> None:
            if not 2 <= self.grid <= 64:
                raise ConfigError(f"decoder.grid is {self.grid}; expected 2 to 64 cells")
            check_penalties(self.alphas, self.folds, section="decoder")

    def __init__(self, params: Params) -> None:
        self.params = params
        self._ridge: RidgeModel | None = None
        self._weights: np.ndarray | None = None  # (rectangles, 3), of what rectangles say beyond their means
        self._mean: np.ndarray | None = None  # (cells, 3) of the training images
        self._size: tuple[int, int] = (0, 0)

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Local decoders on all training images, and weights on what held-out ones are decoded to."""
        space, train = subject.space, subject.train
        require_voxels(subject)
        images = np.asarray(train.stimuli.images())
        if self.params.grid > min(images.shape[1:3]):
            raise ConfigError(
                f"decoder.grid is {self.params.grid}, and images are {images.shape[1]} x {images.shape[2]} "
                f"pixels; type --set decoder.grid={min(images.shape[1:3])}"
            )
        cells = self._cells(images)  # (n, cells, 3)
        patterns, members = train.responses.mean()[:, space.valid], rectangles(self.params.grid)
        means = np.einsum("rc,nck->nrk", members / members.sum(axis=1, keepdims=True), cells)
        ids, contents = train.stimuli.ids, train.stimuli.image_hashes()

        def fitted(at: np.ndarray) -> RidgeModel:
            return fit_ridge(
                patterns[at],
                means[at].reshape(len(at), -1),
                ids=[ids[k] for k in at],
                contents=[contents[k] for k in at],
                penalties=self.params.alphas,
                folds=self.params.folds,
                seed=seed,
            )

        self.space, self._size, self._mean = space, images.shape[1:3], cells.mean(axis=0)
        self._ridge = fitted(np.arange(len(ids)))
        self._weights = np.full((len(members), 3), 1 / members.sum(axis=0).max())
        if self.params.optimised:
            fold = fold_numbers(ids, 2, seed=seed, contents=contents)
            predictions = np.empty_like(means)
            for part in np.unique(fold):
                at = np.flatnonzero(fold == part)
                model = fitted(np.flatnonzero(fold != part))
                predictions[at] = model.predict(patterns[at]).reshape(len(at), *means.shape[1:])
            predictions -= self._ridge.target_mean.reshape(means.shape[1:])
            self._weights = np.stack(
                [
                    best_weights(predictions[..., k], members, cells[..., k] - self._mean[:, k])
                    for k in range(3)
                ],
                axis=1,
            )
        logger.info(
            "local decoders of %s: %d rectangles, %.0f %% of weights above 0",
            *(space.subject, len(members), 100 * (self._weights > 0).mean()),
        )

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """One candidate per image; the embedding is the grid, less the training mean."""
        self.open(responses.space, device="cpu")
        predictions = self._ridge.predict(responses.mean()[:, self.space.valid]) - self._ridge.target_mean
        predictions = predictions.reshape(len(predictions), -1, 3).astype(np.float64)
        cells = np.einsum("nrk,rk,rc->nck", predictions, self._weights, rectangles(self.params.grid))
        return self._rendered(cells)

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The ceiling: the true grid of `images`."""
        return self._rendered(self._cells(np.asarray(images)) - self._mean)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """(n, cells * 3) grids of `images` (n, H, W, 3), less the training mean."""
        self.require_fit()
        cells = self._cells(np.asarray(images)) - self._mean
        return cells.reshape(len(cells), -1).astype(np.float32)

    def _keep(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        self._ridge.save(folder / "ridge.safetensors")
        arrays = {"weights": self._weights, "mean": self._mean, "size": np.array(self._size, np.int64)}
        with replaced(folder / "combination.safetensors") as file:
            save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, file)

    def _take(self, folder: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        self._ridge = RidgeModel.load(folder / "ridge.safetensors")
        try:
            arrays = load_file(folder / "combination.safetensors")
            self._weights, self._mean = arrays["weights"], arrays["mean"]
            self._size = tuple(int(side) for side in arrays["size"])
        except (OSError, SafetensorError, KeyError) as problem:
            raise DataError(f"{folder} holds no miyawaki decoder ({problem}); fit it again") from None

    def _cells(self, images: np.ndarray) -> np.ndarray:
        """(n, cells, 3) float64 mean colours of the pixels of each cell."""
        values, side = unit_range(images, dtype=np.float64), self.params.grid
        for axis in (1, 2):
            numbers = _cell_numbers(values.shape[axis], side)
            firsts = np.searchsorted(numbers, np.arange(side))
            counts = np.bincount(numbers).reshape([-1 if k == axis else 1 for k in range(4)])
            values = np.add.reduceat(values, firsts, axis=axis) / counts
        return values.reshape(len(images), side * side, 3)

    def _rendered(self, cells: np.ndarray) -> Decoded:
        """Cells (n, cells, 3), less the mean, as images: every pixel has the colour of its cell."""
        side = self.params.grid
        grids = np.clip(cells + self._mean, 0, 1).reshape(len(cells), side, side, 3)
        rows, columns = (_cell_numbers(size, side) for size in self._size)
        images = grids[:, rows][:, :, columns].astype(np.float32)
        return Decoded(images[:, None], embedding=cells.reshape(len(cells), -1).astype(np.float32))


def rectangles(grid: int) -> np.ndarray:
    """(rectangles, cells) float64, 1 where a rectangle holds a cell of the `grid` x `grid` cells."""
    members = []
    for height, width in SHAPES:
        for row in range(grid - height + 1):
            for column in range(grid - width + 1):
                cells = np.zeros((grid, grid))
                cells[row : row + height, column : column + width] = 1
                members.append(cells.ravel())
    return np.stack(members)


def best_weights(predictions: np.ndarray, members: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """(R,) weights, not negative, of least squared error of the combined image.

    predictions : (n, R) of each rectangle for each image; members : (R, C); cells : (n, C) the truth.  The
    normal equations, a little on their diagonal for rectangles that say the same, by Lawson and Hanson's
    algorithm (1974).
    """
    from scipy.optimize import nnls

    gram = (predictions.T @ predictions) * (members @ members.T)
    gram[np.diag_indices(len(gram))] += 1e-6 * max(np.trace(gram) / len(gram), np.finfo(float).tiny)
    wanted = np.einsum("nr,nr->r", predictions, cells @ members.T)
    factor = np.linalg.cholesky(gram)
    return nnls(factor.T, np.linalg.solve(factor, wanted), maxiter=30 * len(gram))[0]


def _cell_numbers(pixels: int, side: int) -> np.ndarray:
    """(pixels,) number of the cell, of `side`, in which each pixel lies."""
    return np.arange(pixels) * side // pixels
