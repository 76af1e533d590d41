"""Local decoders of several sizes and their combination."""

from __future__ import annotations

import numpy as np
import pytest

from harness.api import Responses, Split, Stimuli, SubjectData, VoxelSpace
from harness.decoders.miyawaki import MiyawakiDecoder, best_weights, rectangles
from harness.errors import ConfigError

SIDE, CELLS, VOXELS = 12, 6, 80


def subject(noise, *, n=300, seed=0):
    """Black and white patterns of 6 x 6 cells and voxels that are linear in them."""
    rng = np.random.default_rng(seed)
    readout = np.random.default_rng(9).standard_normal((CELLS * CELLS, VOXELS)) / CELLS
    space = VoxelSpace("toy", "s", "all", VOXELS, "zscore", "x")

    def split(name, count):
        cells = rng.random((count, CELLS, CELLS)) > 0.5
        images = np.repeat(np.repeat(cells, 2, axis=1), 2, axis=2)[..., None].repeat(3, axis=3)
        betas = cells.reshape(count, -1) @ readout + noise * rng.standard_normal((count, VOXELS))
        ids = [f"{name}-{k:03d}" for k in range(count)]
        stimuli = Stimuli.from_array(ids, images.astype(np.uint8) * 255)
        return Split(stimuli, Responses.single(space, ids, betas))

    return SubjectData(space, split("train", n), split("test", 30))


def decoded(data, tmp_path, **params):
    decoder = MiyawakiDecoder(MiyawakiDecoder.Params(grid=CELLS, **params))
    decoder.fit(data.training(), None, seed=0, device="cpu", checkpoint_dir=tmp_path)
    reconstructions = decoder.decode(data.test.responses, seeds=np.zeros(30, np.uint64))
    truth = data.test.stimuli.images().astype(float) / 255
    return decoder, reconstructions, float(((reconstructions.images[:, 0] - truth) ** 2).mean())


def test_rectangles_cover_every_cell():
    members = rectangles(3)
    assert members.shape == (9 + 6 + 6 + 4, 9)
    assert sorted(set(members.sum(axis=1))) == [1, 2, 4]
    assert members.sum(axis=0)[4] == 9  # the cell in the middle: 1 + 2 + 2 + 4


def test_patterns_come_back_where_there_is_no_noise(tmp_path):
    decoder, reconstructions, error = decoded(subject(0.0), tmp_path)
    assert reconstructions.images.shape == (30, 1, SIDE, SIDE, 3)
    assert error < 0.06  # of a variance of 0.25
    images = subject(0.0).test.stimuli.images()
    np.testing.assert_allclose(decoder.generate(images, seeds=None).images[:, 0], images / 255, atol=1e-6)
    assert decoder.embed(images).shape == reconstructions.embedding.shape == (30, CELLS * CELLS * 3)


def test_optimised_weights_beat_the_plain_mean(tmp_path):
    data = subject(1.0)
    _, _, optimised = decoded(data, tmp_path)
    _, _, plain = decoded(data, tmp_path, optimised=False)
    mean = float((data.test.stimuli.images() / 255).var())
    assert optimised < plain < mean


def test_weights_are_those_of_least_squares_without_negatives():
    """The normal equations are those of all cells of all images, written out."""
    from scipy.optimize import nnls

    rng = np.random.default_rng(0)
    members = rectangles(3)
    cells = rng.standard_normal((40, 9))
    elements = cells @ (members / members.sum(axis=1, keepdims=True)).T
    elements += rng.standard_normal(elements.shape)
    design = (elements[:, None, :] * members.T[None]).reshape(-1, len(members))
    expected, _ = nnls(design, cells.ravel())
    np.testing.assert_allclose(best_weights(elements, members, cells), expected, atol=1e-3)


def test_a_grid_finer_than_the_images_is_refused(tmp_path):
    decoder = MiyawakiDecoder(MiyawakiDecoder.Params(grid=13))
    with pytest.raises(ConfigError, match=r"type --set decoder\.grid=12"):
        decoder.fit(subject(0.0).training(), None, seed=0, device="cpu", checkpoint_dir=tmp_path)
    with pytest.raises(ConfigError, match="grid is 1"):
        MiyawakiDecoder.Params(grid=1)
