"""An encoder that cheats: it knows the decoder and answers with whatever decodes to the stimulus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.decoders.linear import LinearDecoder


class DecoderInverse:
    """Pseudo-inverse of a linear decoder that it fits on the same training data."""

    version = "1"
    stochastic = False

    @dataclass(frozen=True)
    class Params:
        pass

    def __init__(self, params: Params) -> None:
        self.params = params

    def wants(self) -> tuple[tuple[str, str], ...]:
        return ()

    def fit(self, subjects, features, *, seed, device, checkpoint_dir) -> None:
        self.decoder = LinearDecoder(LinearDecoder.Params())
        self.decoder.fit(subjects[0], features, seed=seed, device=device, checkpoint_dir=checkpoint_dir)

    def predict(self, stimuli, features, *, space, seeds) -> np.ndarray:
        ridge = self.decoder._ridge
        constant = ridge.predict(np.zeros((1, space.n_valid)))
        weights = ridge.predict(np.eye(space.n_valid)) - constant  # (V, K)
        wanted = self.decoder.embed(stimuli.images()) - constant
        responses = np.zeros((len(stimuli), space.n_voxels), np.float32)
        responses[:, space.valid] = wanted @ np.linalg.pinv(weights)
        return np.repeat(responses[:, None], seeds.shape[1], axis=1)

    def save(self, folder: Path) -> None:
        self.decoder.save(folder)

    @classmethod
    def load(cls, folder: Path, params, *, device) -> DecoderInverse:
        encoder = cls(params)
        encoder.decoder = LinearDecoder.load(folder, LinearDecoder.Params(), device=device)
        return encoder
