"""How far images lie from training images: 1 for usual ones, more outside, the same in any order."""

from __future__ import annotations

import numpy as np
import pytest

from harness.api import DataError
from harness.solvers.novelty import NEIGHBOURS, novelty


@pytest.fixture
def training():
    return np.random.default_rng(0).standard_normal((300, 4)) * [1, 10, 100, 0.01] + 5


def test_images_of_the_same_kind_are_as_usual_and_others_are_far(training):
    images = np.random.default_rng(1).standard_normal((300, 4)) * [1, 10, 100, 0.01] + 5
    distances, shares = novelty(training, images)
    assert np.median(distances) == pytest.approx(1, abs=0.08)
    assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert np.corrcoef(distances, shares)[0, 1] < -0.8
    far, share = novelty(training, training.mean(axis=0) + 8 * training.std(axis=0) * np.ones((1, 4)))
    assert far[0] > 5
    assert share[0] == 0


def test_the_definition_written_out(training):
    images = training[:3] + 0.3
    scaled, new = ((part - training.mean(axis=0)) / training.std(axis=0) for part in (training, images))

    def nearest(point, others):
        return np.sort(np.linalg.norm(others - point, axis=1))[:NEIGHBOURS].mean()

    among = [nearest(point, np.delete(scaled, k, axis=0)) for k, point in enumerate(scaled)]
    expected = np.array([nearest(point, scaled) for point in new])
    distances, shares = novelty(training, images)
    assert np.allclose(distances, expected / np.median(among), atol=1e-6)
    assert np.allclose(shares, [np.mean(np.array(among) > distance) for distance in expected])


def test_what_never_varied_in_training_shows(training):
    training[:, 1] = 7.0
    same, _ = novelty(training, training[:1])
    other, _ = novelty(training, training[:1] + np.array([0, 50, 0, 0]))
    assert other[0] > 10 * same[0]


def test_few_or_other_features_are_refused(training):
    with pytest.raises(DataError, match="at least 3"):
        novelty(training[:2], training)
    with pytest.raises(DataError, match="of the same features"):
        novelty(training, training[:, :2])
