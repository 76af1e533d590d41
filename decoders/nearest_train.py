"""The training image whose mean response is most like the given one.

A retrieval, not a reconstruction: sharp and natural whatever the fMRI holds, so a decoder with a
strong generator should be asked to beat it (identification of images by responses: Kay et al. 2008).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api import Decoded, Features, Responses, SubjectData
from harness.decoders.fitted import MeansDecoder, require_voxels
from harness.solvers.nearest import nearest


class NearestTrainDecoder(MeansDecoder):
    """Mean response of an image -> the training image with the highest Pearson r over valid voxels."""

    version = "1"
    label = "nearest-train"

    @dataclass(frozen=True)
    class Params:
        """None."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self._images: np.ndarray | None = None  # (M, H, W, 3)
        self._patterns: np.ndarray | None = None  # (M, valid voxels) float32

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Keep training images and their mean responses."""
        space = subject.space
        require_voxels(subject)
        self.space = space
        self._images = np.asarray(subject.train.stimuli.images())
        self._patterns = subject.train.responses.mean()[:, space.valid]

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """One candidate per image, as the training images are stored; equal correlations: the first."""
        self.open(responses.space, device="cpu")
        chosen = nearest(responses.mean()[:, self.space.valid], self._patterns)
        return Decoded(np.asarray(self._images[chosen])[:, None])

    def _keep(self, folder: Path) -> None:
        np.save(folder / "images.npy", self._images, allow_pickle=False)
        np.save(folder / "patterns.npy", self._patterns, allow_pickle=False)

    def _take(self, folder: Path) -> None:
        self._images = self._array(folder / "images.npy")
        self._patterns = self._array(folder / "patterns.npy")
