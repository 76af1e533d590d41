"""CKA, RSA by ranks and cosine: equality with explicit formulas, scipy and scikit-learn."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.metrics.pairwise import cosine_similarity

from harness.metrics import alignment, encoding


@pytest.fixture
def pair():
    generator = np.random.default_rng(0)
    shared = generator.standard_normal((30, 6))
    sides = [shared @ generator.standard_normal((6, 50)) + generator.standard_normal((30, 50)) for _ in "xy"]
    return sides[0] + 4, sides[1]


def unbiased_hsic(k, m):
    """Song et al. 2012, equation 5, term by term."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    ones = np.ones(n)
    cross = ones @ k @ ones * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + cross - 2 / (n - 2) * ones @ k @ m @ ones) / (n * (n - 3))


def test_linear_cka_is_that_of_kornblith(pair):
    x, y = (side - side.mean(axis=0) for side in pair)
    expected = np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
    assert alignment.linear_cka(*pair) == pytest.approx(expected)
    k, m = pair[0] @ pair[0].T, pair[1] @ pair[1].T
    expected = unbiased_hsic(k, m) / np.sqrt(unbiased_hsic(k, k) * unbiased_hsic(m, m))
    assert alignment.linear_cka(*pair, debiased=True) == pytest.approx(expected)


def test_only_the_debiased_estimate_is_about_zero_for_unrelated_responses():
    values = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        x, y = generator.standard_normal((2, 20, 200))
        values.append([alignment.linear_cka(x, y, debiased=debiased) for debiased in (False, True)])
    biased, debiased = np.mean(values, axis=0)
    assert biased > 0.8
    assert abs(debiased) < 4 * np.std([v[1] for v in values]) / np.sqrt(40)


def test_cka_ignores_rotation_scale_and_offset(pair):
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((50, 50)))[0]
    for debiased in (False, True):
        value = alignment.linear_cka(*pair, debiased=debiased)
        assert alignment.linear_cka(-3 * pair[0] @ rotation + 9, pair[1], debiased=debiased) == pytest.approx(
            value
        )
        assert alignment.linear_cka(pair[1], pair[1], debiased=debiased) == pytest.approx(1)
        assert value < 1


def test_ranked_rsa_is_spearmans(pair):
    distances = [pdist(side, "correlation") for side in pair]
    assert encoding.rsa(*pair, ranked=True) == pytest.approx(spearmanr(*distances).statistic)
    stretched = np.exp(3 * pair[0] / np.abs(pair[0]).max())
    assert encoding.rsa(stretched, pair[1], ranked=True) != pytest.approx(encoding.rsa(stretched, pair[1]))
    repeated = np.concatenate([pair[0][:5], pair[0][:5]]), pair[1][:10]  # ties of many dissimilarities
    expected = spearmanr(*(np.round(pdist(side, "correlation"), 12) for side in repeated)).statistic
    assert encoding.rsa(*repeated, ranked=True) == pytest.approx(expected)


def test_cosine_is_scikit_learns_and_zero_for_nothing(pair):
    x, y = pair
    expected = np.diag(cosine_similarity(x, y))
    np.testing.assert_allclose(encoding.pattern_cosine(x, y), expected)
    shift = y.mean(axis=0)
    expected = np.diag(cosine_similarity(x - shift, y - shift))
    np.testing.assert_allclose(encoding.pattern_cosine(x, y, baseline=shift), expected)
    nothing = np.zeros_like(x)
    assert np.array_equal(encoding.pattern_cosine(nothing, y), np.zeros(30))
    assert np.isnan(encoding.pattern_cosine(x, nothing)).all()


def test_what_does_not_differ_between_images(pair):
    flat = np.tile(pair[0][:1] + 0.1, (30, 1))
    for debiased in (False, True):
        assert alignment.linear_cka(flat, pair[1], debiased=debiased) == 0
        assert np.isnan(alignment.linear_cka(pair[0], flat, debiased=debiased))
    assert np.isnan(alignment.linear_cka(pair[0][:3], pair[1][:3], debiased=True))
    assert np.isnan(alignment.linear_cka(pair[0][:1], pair[1][:1]))
    assert encoding.synbrain_cka(flat, pair[1]) == pytest.approx(0, abs=1e-12)
    assert np.isnan(encoding.synbrain_cka(pair[0], np.zeros_like(pair[0])))


@pytest.mark.parametrize("shift", [0.0, 3.0, 1e3])
def test_images_that_are_equally_far_apart_align_with_nothing(shift):
    """All products of different images are equal: nothing is left of them but rounding, to which 0 is due."""
    measured = np.random.default_rng(0).standard_normal((6, 9))
    for equidistant in (
        np.eye(6),
        0.1 * np.eye(6)[:, ::-1],
        np.eye(6)[:, [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]],
    ):
        assert alignment.linear_cka(equidistant + shift, measured, debiased=True) == 0
        assert np.isnan(alignment.linear_cka(measured, equidistant + shift, debiased=True))
        assert (
            alignment.linear_cka(equidistant + shift, measured) > 0.1
        )  # the plain one counts an image with itself
    nearly = np.eye(6) + 1e-3 * np.random.default_rng(1).standard_normal((6, 6))
    assert alignment.linear_cka(nearly, nearly, debiased=True) == pytest.approx(1)
