"""Small plugins for tests of the engine: a linear cortex, a linear encoder, a linear decoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.api import Decoded, Responses, Split, Stimuli, SubjectData, VoxelSpace

SIDE = 8


def scenes(n: int, *, seed: int) -> np.ndarray:
    """(n, SIDE, SIDE, 3) uint8 smooth random images."""
    coarse = np.random.default_rng(seed).integers(0, 256, (n, SIDE // 2, SIDE // 2, 3))
    return np.repeat(np.repeat(coarse, 2, axis=1), 2, axis=2).astype(np.uint8)


class ToyBenchmark:
    """A cortex that is linear in pixels, with white noise."""

    version = "1"
    simulated = True
    generated = True

    @dataclass(frozen=True)
    class Params:
        n_train: int = 60
        n_test: int = 8
        voxels: int = 40
        noise: float = 0.5

    def __init__(self, params: Params) -> None:
        self.params = params

    def subjects(self) -> tuple[str, ...]:
        return ("toy01", "toy02")

    def load(self, subject: str) -> SubjectData:
        p = self.params
        rng = np.random.default_rng(len(subject))
        weights = rng.standard_normal((SIDE * SIDE * 3, p.voxels)) / SIDE
        space = VoxelSpace(
            "toy", subject, "all", p.voxels, "zscore", f"toy-{p.voxels}", ncsnr=np.ones(p.voxels)
        )

        def responses(images: np.ndarray, ids: list[str], noise: float, seed: int) -> Responses:
            signal = (images.reshape(len(images), -1) / 255.0 - 0.5) @ weights
            index = np.repeat(np.arange(len(ids)), 3)
            trials = signal[index] + noise * np.random.default_rng(seed).standard_normal(
                (len(index), p.voxels)
            )
            return Responses(space, ids, trials.astype(np.float32), index, session=np.arange(len(index)) % 3)

        splits = {}
        for name, n, seed in (("train", p.n_train, 1), ("test", p.n_test, 2)):
            ids = [f"{name}-{k:03d}" for k in range(n)]
            images = scenes(n, seed=seed)
            splits[name] = Split(Stimuli.from_array(ids, images), responses(images, ids, p.noise, seed))
        test = splits["test"]
        truth = responses(test.stimuli.images(), list(test.stimuli.ids), 0.0, 0)
        again = responses(test.stimuli.images(), list(test.stimuli.ids), p.noise, 3)
        return SubjectData(
            space, splits["train"], test, Responses.single(space, test.stimuli.ids, truth.mean()), again
        )


class ToyEncoder:
    """Least squares from pixels to voxels, with noise when asked for."""

    version = "1"
    stochastic = True

    @dataclass(frozen=True)
    class Params:
        ridge: float = 1.0
        noise: float = 0.1

    def __init__(self, params: Params) -> None:
        self.params = params

    def wants(self) -> tuple[tuple[str, str], ...]:
        return ()

    @staticmethod
    def _design(stimuli: Stimuli) -> np.ndarray:
        flat = stimuli.images().reshape(len(stimuli), -1) / 255.0 - 0.5
        return np.hstack([flat, np.ones((len(flat), 1))])

    def fit(self, subjects, features, *, seed, device, checkpoint_dir) -> None:
        x = self._design(subjects[0].train.stimuli)
        gram = x.T @ x + self.params.ridge * np.eye(x.shape[1])
        self.weights = np.linalg.solve(gram, x.T @ subjects[0].train.responses.mean())

    def predict(self, stimuli, features, *, space, seeds) -> np.ndarray:
        mean = self._design(stimuli) @ self.weights
        draws = [
            [np.random.default_rng(int(s)).standard_normal(space.n_voxels) for s in row] for row in seeds
        ]
        return (mean[:, None] + self.params.noise * np.array(draws)).astype(np.float32)

    def save(self, folder: Path) -> None:
        np.save(folder / "weights.npy", self.weights)

    @classmethod
    def load(cls, folder: Path, params, *, device) -> ToyEncoder:
        encoder = cls(params)
        encoder.weights = np.load(folder / "weights.npy")
        return encoder


class ToyDecoder:
    """Least squares from voxels to pixels; two candidates, the second one grey."""

    version = "1"
    stochastic = False
    repeats = "inputs"
    trains_on = "means"
    transductive = False

    @dataclass(frozen=True)
    class Params:
        ridge: float = 10.0

    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, subject, features, *, seed, device, checkpoint_dir) -> None:
        assert subject.test is None
        x = subject.train.responses.mean().astype(np.float64)
        y = subject.train.stimuli.images().reshape(len(x), -1) / 255.0 - 0.5
        self.weights = np.linalg.solve(x.T @ x + self.params.ridge * np.eye(x.shape[1]), x.T @ y)

    def open(self, space, *, device) -> None:
        self.space = space

    def decode(self, responses, *, seeds) -> Decoded:
        self.space.require(responses.space, what="toy decoder")
        flat = np.clip(responses.mean() @ self.weights + 0.5, 0, 1)
        images = np.round(flat * 255).astype(np.uint8).reshape(-1, 1, SIDE, SIDE, 3)
        return Decoded(np.concatenate([images, np.full_like(images, 128)], axis=1), embedding=flat)

    def embed(self, images) -> np.ndarray:
        return images.reshape(len(images), -1) / 255.0

    def generate(self, images, *, seeds) -> Decoded:
        return Decoded(images[:, None])

    def save(self, folder: Path) -> None:
        np.save(folder / "weights.npy", self.weights)

    @classmethod
    def load(cls, folder: Path, params, *, device) -> ToyDecoder:
        decoder = cls(params)
        decoder.weights = np.load(folder / "weights.npy")
        return decoder
