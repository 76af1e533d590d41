"""A small encoder for tests: mean brightness of an image -> voxels, a shared scale and a line per voxel.

And several subjects to fit it on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from toys import ToyBenchmark

from harness.api import Stimuli, SubjectData, VoxelSpace


class FourSubjects(ToyBenchmark):
    """The toy cortex of four subjects, each of a size and with training images of its own."""

    def subjects(self) -> tuple[str, ...]:
        return ("subj01", "subj02", "subj03", "subj04")

    def load(self, subject: str) -> SubjectData:
        p, number = self.params, self.subjects().index(subject) + 1
        toy = ToyBenchmark(replace(p, n_train=number * p.n_train, voxels=p.voxels + number))
        data = toy.load(subject)
        return replace(data, train=data.train.select(data.train.stimuli.ids[-p.n_train :]))


def brightness(stimuli: Stimuli) -> np.ndarray:
    """(N,) mean of each image."""
    return stimuli.images().reshape(len(stimuli), -1).mean(axis=1, dtype=np.float64)


class OneSubject:
    """Cannot be adapted: lines of the subjects that it was fitted on."""

    version = "1"
    stochastic = False

    @dataclass(frozen=True)
    class Params:
        scale: float = 1.0

    def __init__(self, params: Params) -> None:
        self.params = params
        self.shared = np.zeros(2)  # mean and spread of brightness over all that it was fitted on
        self.lines: dict[str, np.ndarray] = {}  # hash of a space -> (2, V) offset and slope

    def wants(self) -> tuple[tuple[str, str], ...]:
        return ()

    def fit(self, subjects, features, *, seed, device, checkpoint_dir) -> None:
        every = np.concatenate([brightness(subject.train.stimuli) for subject in subjects])
        self.shared = np.array([every.mean(), every.std()])
        for subject in subjects:
            self._add(subject)

    def _add(self, subject: SubjectData) -> None:
        assert subject.test is None
        design = self._design(subject.train.stimuli)
        patterns = subject.train.responses.mean()
        self.lines[subject.space.sha] = np.linalg.lstsq(design, patterns, rcond=None)[0]

    def _design(self, stimuli: Stimuli) -> np.ndarray:
        scaled = (brightness(stimuli) - self.shared[0]) / self.shared[1] * self.params.scale
        return np.stack([np.ones(len(scaled)), scaled], axis=1)

    def predict(self, stimuli, features, *, space: VoxelSpace, seeds) -> np.ndarray:
        predicted = self._design(stimuli) @ self.lines[space.sha]
        return np.repeat(predicted[:, None], seeds.shape[1], axis=1).astype(np.float32)

    def save(self, folder: Path) -> None:
        np.savez(folder / "lines.npz", shared=self.shared, **self.lines)

    @classmethod
    def load(cls, folder: Path, params, *, device):
        encoder = cls(params)
        with np.load(folder / "lines.npz", allow_pickle=False) as file:
            encoder.lines = {name: file[name] for name in file.files if name != "shared"}
            encoder.shared = file["shared"]
        return encoder


class Adaptable(OneSubject):
    """Keeps the shared scale and learns lines of one more subject."""

    def adapt(self, subject, features, *, seed, device, checkpoint_dir) -> None:
        passes = checkpoint_dir / "passes"
        passes.write_text(passes.read_text() + "x" if passes.exists() else "x")
        if self.params.scale < 0:
            raise RuntimeError(f"pass {len(passes.read_text())} was stopped")
        self._add(subject)


class AnySpace(OneSubject):
    """Predicts the mean line of the spaces that it was fitted on, whatever space is asked for."""

    any_space = True

    def predict(self, stimuli, features, *, space: VoxelSpace, seeds) -> np.ndarray:
        line = np.mean([lines.mean(axis=1) for lines in self.lines.values()], axis=0)
        predicted = np.tile(
            (self._design(stimuli) @ line)[:, None, None], (1, seeds.shape[1], space.n_voxels)
        )
        return np.where(space.valid, predicted, 0).astype(np.float32)
