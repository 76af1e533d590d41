"""Plugins that keep their contracts, small and quick, for tests of the kit to break."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.api import Decoded, Metric, track
from harness.testing import ToyBenchmark
from harness.toolkit import load_space, save_space


class GoodEncoder:
    """Voxels linear in the mean colour of an image, by a few steps that can be resumed, with noise."""

    version = "1"
    stochastic = True

    @dataclass(frozen=True)
    class Params:
        """How it learns.  steps : of gradient descent.  noise : SD of what is drawn."""

        steps: int = 4
        noise: float = 0.1

    def __init__(self, params):
        self.params = params
        self.models = {}

    def wants(self):
        return (("pixels", "rgb8"),)

    def design(self, stimuli, features):
        return features.layer("pixels", "rgb8", stimuli).mean(axis=(1, 2)).astype(np.float64)

    def fit(self, subjects, features, *, seed, device, checkpoint_dir):
        self.models = {}
        for number, subject in enumerate(subjects):
            self.learn(subject, features, seed, checkpoint_dir / f"{number}.npy")

    def adapt(self, subject, features, *, seed, device, checkpoint_dir):
        self.learn(subject, features, seed, checkpoint_dir / "adapt.npy")

    def learn(self, subject, features, seed, checkpoint):
        space = subject.space
        x, y = self.design(subject.train.stimuli, features), subject.train.responses.mean()[:, space.valid]
        weights = np.random.default_rng(seed).standard_normal((x.shape[1], y.shape[1]))
        done = 0
        if checkpoint.is_file():
            kept = np.load(checkpoint)
            weights, done = kept[1:], int(kept[0, 0])
        for step in track(range(done, self.params.steps), "steps", done=done):
            weights = weights - 0.1 * x.T @ (x @ weights - y) / len(x)
            np.save(checkpoint, np.vstack([np.full((1, y.shape[1]), step + 1.0), weights]))
        self.models[space.sha] = (space, weights)

    def model(self, space):
        if space.sha not in self.models:
            next(iter(self.models.values()))[0].require(space, what="good encoder")
        return self.models[space.sha][1]

    def predict(self, stimuli, features, *, space, seeds):
        mean = self.design(stimuli, features) @ self.model(space)
        out = np.zeros((*seeds.shape, space.n_voxels), np.float32)
        for n, row in enumerate(seeds):
            for s, seed in enumerate(row):
                draw = np.random.default_rng(int(seed)).standard_normal(mean.shape[1])
                out[n, s, space.valid] = mean[n] + self.params.noise * draw
        return out

    def save(self, folder):
        for number, (space, weights) in enumerate(self.models.values()):
            (folder / str(number)).mkdir()
            save_space(folder / str(number), space)
            np.save(folder / str(number) / "weights.npy", weights)

    @classmethod
    def load(cls, folder, params, *, device):
        encoder = cls(params)
        for place in sorted(folder.iterdir()):
            space = load_space(place)
            encoder.models[space.sha] = (space, np.load(place / "weights.npy"))
        return encoder


class GoodDecoder:
    """Grey of an image, linear in the mean response."""

    version = "1"
    stochastic = False
    repeats = "inputs"
    trains_on = "means"
    transductive = False

    @dataclass(frozen=True)
    class Params:
        """How it learns.  ridge : penalty."""

        ridge: float = 1.0

    def __init__(self, params):
        self.params = params

    def fit(self, subject, features, *, seed, device, checkpoint_dir):
        self.space = subject.space
        x = subject.train.responses.mean()[:, self.space.valid].astype(np.float64)
        y = self.embed(subject.train.stimuli.images())
        self.weights = np.linalg.solve(x.T @ x + self.params.ridge * np.eye(x.shape[1]), x.T @ y)

    def open(self, space, *, device):
        self.space.require(space, what="good decoder")

    def decode(self, responses, *, seeds):
        embedding = responses.mean()[:, self.space.valid].astype(np.float64) @ self.weights
        return Decoded(self.paint(embedding), embedding=embedding)

    def paint(self, embedding):
        grey = np.clip(embedding[:, :, None, None] / 4 + 0.5, 0, 1)
        return np.tile(grey[..., None], (1, 1, 4, 4, 3)).astype(np.float32)

    def embed(self, images):
        return (images.reshape(len(images), -1) / 255.0).mean(axis=1, keepdims=True) - 0.5

    def generate(self, images, *, seeds):
        return Decoded(self.paint(self.embed(images)))

    def save(self, folder):
        save_space(folder, self.space)
        np.save(folder / "weights.npy", self.weights)

    @classmethod
    def load(cls, folder, params, *, device):
        decoder = cls(params)
        decoder.space, decoder.weights = load_space(folder), np.load(folder / "weights.npy")
        return decoder


def likeness(result, target):
    """(N,) correlation of rows, in float64; 0 for a constant one."""
    x, y = (np.asarray(rows, np.float64) for rows in (result, target))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.divide((x * y).sum(axis=1), norm, out=np.zeros(len(x)), where=norm != 0)


def likeness_deranged(result, target, orders):
    """(N,) mean over re-pairings."""
    return np.mean([likeness(result[order], target) for order in orders], axis=0)


GOOD_METRIC = Metric(
    name="likeness",
    inputs="embedding",
    score=likeness,
    deranged=likeness_deranged,
    label="likeness",
    meaning="correlation of pixels; 1 for equal ones",
    backbone=("pixels", "rgb8"),
    chance=0.0,
)


class GoodBenchmark(ToyBenchmark):
    """The kit's own toy, with fewer and smaller images."""

    @dataclass(frozen=True)
    class Params:
        """How many images.  n_train, n_test : images.  side : in px."""

        n_train: int = 12
        n_test: int = 6
        side: int = 16


class GoodBackbone:
    """The mean of each channel."""

    version = "1"
    layers = ("colour",)

    def identity(self):
        return "colour-1"

    def open(self, *, device):
        self.device = device

    def extract(self, images, layers):
        scale = 255.0 if images.dtype == np.uint8 else 1.0
        return {layer: (images / scale).mean(axis=(1, 2)).astype(np.float32) for layer in layers}
