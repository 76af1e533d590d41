"""An encoder in thirty lines: voxels as a linear function of an image's mean colour."""

from dataclasses import dataclass

import numpy as np

from harness.api import SpaceMismatch


class ColourMeanEncoder:
    version = "0.3"
    stochastic = False

    @dataclass(frozen=True)
    class Params:
        square: bool = True

    def __init__(self, params):
        self.params = params

    def wants(self):
        return ()

    def _design(self, stimuli):
        colour = np.concatenate([batch.mean(axis=(1, 2)) / 255 for _, batch in stimuli.batches(256)])
        parts = [np.ones((len(colour), 1)), colour, *([colour**2] if self.params.square else [])]
        return np.hstack(parts)

    def fit(self, subjects, features, *, seed, device, checkpoint_dir):
        data = subjects[0]
        self.space_sha = data.space.sha
        self.weights = np.linalg.lstsq(
            self._design(data.train.stimuli), data.train.responses.mean(), rcond=None
        )[0]

    def predict(self, stimuli, features, *, space, seeds):
        if space.sha != self.space_sha:
            raise SpaceMismatch("colour-mean was fitted on another subject")
        return np.repeat((self._design(stimuli) @ self.weights)[:, None], seeds.shape[1], axis=1)

    def save(self, folder):
        np.savez(folder / "model.npz", weights=self.weights, space=self.space_sha)

    @classmethod
    def load(cls, folder, params, *, device):
        encoder = cls(params)
        with np.load(folder / "model.npz") as file:
            encoder.weights, encoder.space_sha = file["weights"], str(file["space"])
        return encoder
