"""The training image whose mean response is most like the given one.

A retrieval, not a reconstruction: sharp and natural whatever the fMRI holds, so a decoder with a
strong generator should be asked to beat it (identification of images by responses: Kay et al. 2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api import DataError, Decoded, Features, Responses, SpaceMismatch, SubjectData, VoxelSpace
from harness.solvers.nearest import nearest
from harness.solvers.saved import load_space, save_space


class NearestTrainDecoder:
    """Mean response of an image -> the training image with the highest Pearson r over valid voxels."""

    version = "1"
    stochastic = False
    repeats = "inputs"
    trains_on = "means"
    transductive = False

    @dataclass(frozen=True)
    class Params:
        """None."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self._space: VoxelSpace | None = None
        self._images: np.ndarray | None = None  # (M, H, W, 3)
        self._patterns: np.ndarray | None = None  # (M, valid voxels) float32

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Keep training images and their mean responses."""
        space = subject.space
        if not space.n_valid:
            raise DataError(f"every voxel of {space.subject} is masked; there is nothing to compare")
        self._space = space
        self._images = np.asarray(subject.train.stimuli.images())
        self._patterns = subject.train.responses.mean()[:, space.valid]

    def open(self, space: VoxelSpace, *, device: str) -> None:
        """Refuse any space but the one that it was fitted in."""
        if self._space is None:
            raise SpaceMismatch(
                "the nearest-train decoder is not fitted; call fit with a subject's training data"
            )
        self._space.require(space, what="nearest-train decoder")

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """One candidate per image, as the training images are stored; equal correlations: the first."""
        self.open(responses.space, device="cpu")
        chosen = nearest(responses.mean()[:, self._space.valid], self._patterns)
        return Decoded(np.asarray(self._images[chosen])[:, None])

    def save(self, folder: Path) -> None:
        """Voxel space, ``images.npy`` and ``patterns.npy``."""
        save_space(folder, self._space)
        np.save(folder / "images.npy", self._images, allow_pickle=False)
        np.save(folder / "patterns.npy", self._patterns, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, params: Params, *, device: str) -> NearestTrainDecoder:
        """Read what :meth:`save` wrote; arrays stay on disk until they are used."""
        decoder = cls(params)
        decoder._space = load_space(folder)
        try:
            decoder._images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
            decoder._patterns = np.load(folder / "patterns.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as problem:
            raise DataError(f"{folder} holds no nearest-train decoder ({problem}); fit it again") from None
        return decoder
