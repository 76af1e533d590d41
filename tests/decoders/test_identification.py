"""Identification by an encoding model: the likeliest candidate under noise that voxels share."""

from __future__ import annotations

import numpy as np
import pytest

from harness.api import DataError, Responses, SpaceMismatch
from harness.backbones.pixels import Pixels
from harness.decoders.identification import IdentificationDecoder
from harness.errors import ConfigError
from harness.solvers.noise import Noise
from harness.testing.toys import toy_subject


class PixelFeatures:
    """Features of pixels, computed when they are asked for."""

    def layer(self, backbone, layer, stimuli):
        assert backbone == "pixels"
        return Pixels().extract(stimuli.images(), [layer])[layer]


@pytest.fixture(scope="module")
def subject():
    return toy_subject("toy01", n_train=60, n_test=12, side=16)


def fitted(subject, tmp_path, **params):
    decoder = IdentificationDecoder(IdentificationDecoder.Params(layers=("rgb8",), **params))
    decoder.fit(subject.training(), PixelFeatures(), seed=0, device="cpu", checkpoint_dir=tmp_path)
    return decoder


def given(subject, patterns, ids=None):
    ids = [f"r{k}" for k in range(len(patterns))] if ids is None else ids
    full = np.zeros((len(patterns), subject.space.n_voxels), np.float32)
    full[:, subject.space.valid] = patterns
    return Responses.single(subject.space, ids, full)


def test_the_prediction_of_a_candidate_identifies_it(subject, tmp_path):
    decoder = fitted(subject, tmp_path)
    images = subject.train.stimuli.images()
    design = PixelFeatures().layer("pixels", "rgb8", subject.train.stimuli).reshape(len(images), -1)
    decoded = decoder.decode(
        given(subject, decoder._ridge.predict(design)), seeds=np.zeros(len(images), np.uint64)
    )
    np.testing.assert_array_equal(decoded.images[:, 0], images)
    ceiling = decoder.generate(images, seeds=np.zeros(len(images), np.uint64))
    np.testing.assert_array_equal(ceiling.images[:, 0], images)
    np.testing.assert_allclose(decoder.embed(images), decoded.embedding, atol=1e-3)


def test_likelihoods_are_those_of_the_normal_distribution(subject, tmp_path):
    decoder = fitted(subject, tmp_path, candidates=3)
    valid = subject.space.valid
    patterns = subject.test.responses.mean()[:, valid].astype(np.float64)
    noise, sd = decoder._noise, decoder._noise.sd
    correlations = (noise.axes.T * noise.variances) @ noise.axes
    covariance = (1 - noise.shrinkage) * correlations + noise.shrinkage * np.eye(len(sd))
    precision = np.linalg.inv(covariance * np.outer(sd, sd))
    design = PixelFeatures().layer("pixels", "rgb8", subject.train.stimuli).reshape(60, -1)
    away = patterns[:, None] - decoder._ridge.predict(design)[None]
    expected = -0.5 * np.einsum("nmv,vw,nmw->nm", away, precision, away)
    likelihoods = decoder.log_likelihoods(noise.whiten(patterns))
    np.testing.assert_allclose(likelihoods, expected, rtol=1e-3, atol=1e-2)
    decoded = decoder.decode(given(subject, patterns), seeds=np.zeros(len(patterns), np.uint64))
    order = np.argsort(-likelihoods, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(decoded.images, subject.train.stimuli.images()[order])


def test_voxels_that_err_together_count_once():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((400, 1))
    together = shared + 0.05 * rng.standard_normal((400, 20))
    residuals = np.concatenate([together, rng.standard_normal((400, 1))], axis=1)
    noise = Noise.fit(residuals)
    white = noise.whiten(residuals)
    left = np.corrcoef(white[:, 18:].T) - np.eye(3)
    assert np.abs(left).max() < 0.15 < np.corrcoef(residuals[:, 18:].T)[0, 1]
    step = np.zeros((2, 21))
    step[0, :20], step[1, 20] = 1, 1  # twenty voxels that say one thing, and one that says another
    lengths = (noise.whiten(step) ** 2).sum(axis=1)
    assert lengths[0] < 2 * lengths[1]


def test_candidates_of_a_file(subject, tmp_path):
    pool = np.random.default_rng(3).integers(0, 256, (9, 16, 16, 3)).astype(np.uint8)
    np.save(tmp_path / "pool.npy", pool)
    decoder = fitted(subject, tmp_path, pool=str(tmp_path / "pool.npy"))
    test = subject.test.responses
    decoded = decoder.decode(
        Responses.single(test.space, test.ids, test.mean()), seeds=np.zeros(len(test.ids), np.uint64)
    )
    pool_images = {image.tobytes() for image in pool}
    assert all(image.tobytes() in pool_images for image in decoded.images[:, 0])
    assert len(decoder.training_hashes()) == 9
    params = IdentificationDecoder.Params(pool="absent.npy")
    assert IdentificationDecoder.missing(params, subject="a") == ["there is no file absent.npy"]
    (tmp_path / "pool.npy").write_bytes(b"\x80\x04cos\nsystem\n")  # the beginning of a pickle
    with pytest.raises(DataError, match="cannot be read"):
        fitted(subject, tmp_path, pool=str(tmp_path / "pool.npy"))


def test_what_is_refused(subject, tmp_path):
    with pytest.raises(ConfigError, match="candidates is 0"):
        IdentificationDecoder.Params(candidates=0)
    with pytest.raises(ConfigError, match="layers is empty"):
        IdentificationDecoder.Params(layers=())
    other = toy_subject("toy02", n_train=12, n_test=4, side=16)
    with pytest.raises(SpaceMismatch):
        fitted(subject, tmp_path).open(other.space, device="cpu")
