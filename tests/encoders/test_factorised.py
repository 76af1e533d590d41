"""A factorised read-out finds where a voxel looks and what it looks for, and nothing in shuffled images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from harness.api import ConfigError, Responses, Split, Stimuli, SubjectData, VoxelSpace
from harness.encoders.common.readouts import FactorisedReadout
from harness.encoders.factorised import FactorisedEncoder

N, TEST, SIDE, CHANNELS, V = 240, 60, 4, 5, 6
PLACES = (0, 3, 5, 9, 10, 15)
"""Where each voxel looks, on a grid of SIDE x SIDE."""


@dataclass(frozen=True)
class Given:
    """A map of tokens behind a class token, by the number in an image's id."""

    tokens: np.ndarray

    def layer(self, backbone, layer, stimuli):
        return self.tokens[[int(name) for name in stimuli.ids]]


def case(*, shuffled=False):
    """A subject whose voxels see one place each through weights of their own, and what they see it in."""
    generator = np.random.default_rng(0)
    tokens = generator.standard_normal((N + TEST, 1 + SIDE**2, CHANNELS)).astype(np.float32)
    weights = generator.standard_normal((V, CHANNELS))
    signal = np.einsum("nvc,vc->nv", tokens[:, 1:][:, PLACES], weights)
    values = signal / signal.std(axis=0) + 0.5 * generator.standard_normal(signal.shape)
    if shuffled:
        values[:N] = values[generator.permutation(N)]
    ids = [str(k) for k in range(N + TEST)]
    space = VoxelSpace("toy", "toy01", "all", V, "zscore", "factorised")
    images = generator.integers(0, 256, (N + TEST, 4, 4, 3), dtype=np.uint8)
    parts = [
        Split(Stimuli.from_array(ids[at], images[at]), Responses.single(space, ids[at], values[at]))
        for at in (slice(0, N), slice(N, None))
    ]
    return SubjectData(space, *parts), Given(tokens), weights


def fitted(subject, features, folder, **more):
    params = FactorisedEncoder.Params(
        backbone="given", layer="grid", batch=32, rate=0.02, validation=0.1, **{"epochs": 60, **more}
    )
    encoder = FactorisedEncoder(params)
    encoder.fit([subject.training()], features, seed=0, device="cpu", checkpoint_dir=folder)
    return encoder


def error(encoder, subject, features):
    """(V,) squared error on test images."""
    seeds = np.zeros((TEST, 1), np.uint64)
    predicted = encoder.predict(subject.test.stimuli, features, space=subject.space, seeds=seeds)[:, 0]
    return np.square(predicted - subject.test.responses.mean()).mean(axis=0)


def test_it_finds_where_and_what(tmp_path):
    subject, features, weights = case()
    encoder = fitted(subject, features, tmp_path)
    readout = encoder.models[0].network
    masks = readout.masks().numpy()
    assert tuple(masks.argmax(axis=1)) == PLACES
    assert (masks.max(axis=1) > 0.7 * masks.sum(axis=1)).all()
    assert (masks >= 0).all()
    for ours, true in zip(readout.weights.numpy(), weights, strict=True):
        assert np.corrcoef(ours, true)[0, 1] > 0.95
    mean = np.square(subject.train.responses.mean().mean(axis=0) - subject.test.responses.mean()).mean(axis=0)
    assert (error(encoder, subject, features) < 0.5 * mean).all()


def test_it_learns_nothing_of_shuffled_responses(tmp_path):
    subject, features, _ = case(shuffled=True)
    mean = np.square(subject.train.responses.mean().mean(axis=0) - subject.test.responses.mean()).mean(axis=0)
    errors = error(fitted(subject, features, tmp_path, epochs=20), subject, features)
    assert errors.mean() > 0.95 * mean.mean()


def test_the_penalty_makes_masks_sparse(tmp_path):
    subject, features, _ = case()
    shares = []
    for sparsity in (0.0, 0.05):
        masks = (
            fitted(subject, features, tmp_path / str(sparsity), sparsity=sparsity).models[0].network.masks()
        )
        shares.append(float((masks.max(dim=1).values / masks.sum(dim=1)).mean()))
    assert shares[1] > shares[0] + 0.05


def test_the_penalty_does_not_hang_on_how_the_product_is_shared_out():
    readout = FactorisedReadout(9, 4, 3, positive=False)
    before = readout.sparsity()
    with torch.no_grad():
        readout.mask *= -10
        readout.weights /= 10
    torch.testing.assert_close(readout.sparsity(), before)
    torch.testing.assert_close(readout.masks().sum(dim=1), -10 * torch.ones(3))


def test_a_layer_without_places_is_refused(tmp_path):
    subject, features, _ = case()
    with pytest.raises(ConfigError, match=r"encoder.skip is 17 and layer 'grid' .* has 17 tokens"):
        fitted(subject, features, tmp_path, skip=17)
