"""An encoder that is solved for each subject alone, without training: spaces, predictions and files.

A system says how it solves a subject, what its model predicts, and how the model is written and read.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from harness.api import DataError, Features, Stimuli, SubjectData, VoxelSpace
from harness.solvers.saved import load_space, save_space

from .subjects import SeparateSubjects, unknown

M = TypeVar("M")


class SolvedEncoder(SeparateSubjects, Generic[M]):
    """Layers of one backbone -> mean responses, through a model M of the valid voxels of each subject."""

    version: ClassVar[str] = "1"
    stochastic: ClassVar[bool] = False
    Params: ClassVar[type]
    name: ClassVar[str]

    def __init__(self, params: Any) -> None:
        self.params = params
        self.models: dict[str, tuple[VoxelSpace, M]] = {}

    @abstractmethod
    def solve(self, subject: SubjectData, features: Features, *, seed: int) -> M:
        """The model of the valid voxels of `subject`."""

    @abstractmethod
    def respond(self, model: M, stimuli: Stimuli, features: Features) -> np.ndarray:
        """Responses (N, V) of the valid voxels, in their units."""

    @abstractmethod
    def write(self, model: M, folder: Path) -> None:
        """Keep a model in the folder of its subject."""

    @abstractmethod
    def read(self, folder: Path) -> M:
        """What :meth:`write` kept."""

    def wants(self) -> tuple[tuple[str, str], ...]:
        """The layers of the backbone."""
        return tuple((self.params.backbone, layer) for layer in self.params.layers)

    def forget(self) -> None:
        """Drop the models of all subjects."""
        self.models = {}

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

        It is solved on the CPU whatever `device` is, and needs no checkpoints.
        """
        space = subject.space
        if not space.n_valid:
            raise DataError(f"every voxel of {space.subject} is masked; there is nothing to predict")
        self.models[space.sha] = space, self.solve(subject, features, seed=seed)

    def predict(
        self, stimuli: Stimuli, features: Features, *, space: VoxelSpace, seeds: np.ndarray
    ) -> np.ndarray:
        """(N, S, V) float32; the S samples are equal, masked voxels are 0."""
        if space.sha not in self.models:
            raise unknown(space, (own for own, _ in self.models.values()), self, name=self.name)
        _, model = self.models[space.sha]
        out = np.zeros((*seeds.shape, space.n_voxels), np.float32)
        out[:, :, space.valid] = self.respond(model, stimuli, features)[:, None]
        return out

    def save(self, folder: Path) -> None:
        """One sub-folder per subject."""
        for number, (space, model) in enumerate(self.models.values()):
            place = Path(folder) / f"subject-{number:03d}"
            place.mkdir(parents=True)
            save_space(place, space)
            self.write(model, place)

    @classmethod
    def load(cls, folder: Path, params: Any, *, device: str) -> Self:
        """Read what :meth:`save` wrote."""
        encoder = cls(params)
        for place in sorted(Path(folder).glob("subject-*")):
            space = load_space(place)
            encoder.models[space.sha] = space, encoder.read(place)
        if not encoder.models:
            raise DataError(f"{folder} holds no {cls.name} encoder; fit it again")
        return encoder


def flat(features: Features, backbone: str, layer: str, stimuli: Stimuli) -> np.ndarray:
    """(N, p) float32 of a layer, whatever its axes."""
    return np.asarray(features.layer(backbone, layer, stimuli), np.float32).reshape(len(stimuli), -1)
