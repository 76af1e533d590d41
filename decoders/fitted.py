"""What every decoder has in common that is fitted in one voxel space: it opens for no other, and is kept."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from harness.api import DataError, SpaceMismatch, SubjectData, VoxelSpace
from harness.solvers.saved import load_space, save_space


class FittedDecoder(abc.ABC):
    """Open, save and load; subclasses fit, and say what they keep besides their voxel space.

    label : in messages.  space : that of the fit, None before.
    """

    transductive = False
    label: ClassVar[str]
    device = "cpu"
    space: VoxelSpace | None = None

    def open(self, space: VoxelSpace, *, device: str) -> None:
        """Refuse any space but the one that it was fitted in."""
        self.require_fit()
        self.space.require(space, what=f"{self.label} decoder")
        self._move(device)

    def require_fit(self) -> None:
        """SpaceMismatch before a fit."""
        if self.space is None:
            raise SpaceMismatch(
                f"the {self.label} decoder is not fitted; call fit with a subject's training data"
            )

    def save(self, folder: Path) -> None:
        """Voxel space and what was fitted; frozen parts are not copied."""
        save_space(folder, self.space)
        self._keep(folder)

    def restore(self, folder: Path, *, device: str) -> None:
        """Take up what :meth:`save` wrote."""
        self.space = load_space(folder)
        self._take(folder)
        self.open(self.space, device=device)

    @classmethod
    def load(cls, folder: Path, params: Any, *, device: str) -> Self:
        """A decoder with what :meth:`save` wrote."""
        decoder = cls(params)
        decoder.restore(folder, device=device)
        return decoder

    @abc.abstractmethod
    def _keep(self, folder: Path) -> None:
        """Write what was fitted."""

    @abc.abstractmethod
    def _take(self, folder: Path) -> None:
        """Read what :meth:`_keep` wrote; :attr:`space` is there."""

    def _move(self, device: str) -> None:
        self.device = device

    def _array(self, file: Path, *, mapped: bool = True) -> np.ndarray:
        """What ``numpy.save`` wrote; where `mapped` it stays on disk until it is used."""
        try:
            return np.load(file, mmap_mode="r" if mapped else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as problem:
            raise DataError(
                f"{file.parent} holds no {self.label} decoder ({problem}); fit it again"
            ) from None


class MeansDecoder(FittedDecoder):
    """One that draws nothing and decodes the mean response to an image, on the CPU whatever the device is."""

    stochastic = False
    repeats = "inputs"
    trains_on = "means"


def require_voxels(subject: SubjectData) -> None:
    """DataError where every voxel of `subject` is masked."""
    if not subject.space.n_valid:
        raise DataError(f"every voxel of {subject.space.subject} is masked; there is nothing to decode")
