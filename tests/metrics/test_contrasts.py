"""Category contrasts: equality with scipy and explicit formulas; the truth scores best."""

import numpy as np
import pytest
from scipy.stats import ttest_ind

from harness.metrics import contrasts

CATEGORIES = np.array(["face", "house", "word", "car"] * 10 + ["fish"])


@pytest.fixture
def area():
    """An area of 60 voxels that prefers faces: noise-free, and two measurements of unequal noise."""
    generator = np.random.default_rng(0)
    likes = {"face": 1.5, "word": 0.4}
    presence = np.stack([name == CATEGORIES for name in likes], axis=1)
    weights = np.array(list(likes.values()))[:, None] * generator.uniform(0.2, 1.8, (2, 60))
    truth = presence @ weights + 0.3 * generator.standard_normal((41, 60))
    share = generator.uniform(0.1, 1.0, 60)
    noise = np.sqrt(1 - share**2) * generator.standard_normal((2, 41, 60))
    return share * truth, share * truth + noise[0], share * truth + noise[1]


def test_the_map_of_measured_responses_is_welchs_t(area):
    chosen = CATEGORIES == "face"
    expected = ttest_ind(area[1][chosen], area[1][~chosen], equal_var=False).statistic
    np.testing.assert_allclose(contrasts.contrast_map(area[1], chosen), expected)
    np.testing.assert_allclose(contrasts.contrast_map(area[1], chosen, noise=area[1]), expected)
    pooled = ttest_ind(area[1][chosen], area[1][~chosen]).statistic
    d = contrasts.cohens_d(area[1], chosen)
    np.testing.assert_allclose(d, pooled * np.sqrt(1 / 10 + 1 / 31))


def test_agreement_correlates_maps_over_the_measured_error(area):
    truth, measured, _ = area
    agreement = contrasts.contrast_agreement(truth, measured, CATEGORIES)
    assert list(agreement) == ["", "car", "face", "house", "word"]  # one fish has no variance
    chosen = CATEGORIES == "word"
    error = np.sqrt(
        measured[chosen].var(axis=0, ddof=1) / 10 + measured[~chosen].var(axis=0, ddof=1) / (41 - 10)
    )
    predicted_contrast = (truth[chosen].mean(axis=0) - truth[~chosen].mean(axis=0)) / error
    true = (measured[chosen].mean(axis=0) - measured[~chosen].mean(axis=0)) / error
    assert agreement["word"] == pytest.approx(np.corrcoef(predicted_contrast, true)[0, 1])
    assert agreement[""] == pytest.approx(np.mean([agreement[name] for name in list(agreement)[1:]]))


def test_the_truth_agrees_more_than_a_second_measurement(area):
    """Over its own standard error it would not: all its voxels are without noise."""
    truth, measured, again = area
    agreement = [contrasts.contrast_agreement(side, measured, CATEGORIES)["face"] for side in (truth, again)]
    assert agreement[0] > agreement[1] > 0.5
    own = contrasts.contrast_map(truth, CATEGORIES == "face")
    naive = np.corrcoef(own, contrasts.contrast_map(measured, CATEGORIES == "face"))[0, 1]
    assert naive < agreement[0] - 0.2


def test_the_profile_tells_what_an_area_prefers(area):
    truth, measured, _ = area
    agreement_by_category = contrasts.category_profile(measured, measured, CATEGORIES)
    assert agreement_by_category[""] == pytest.approx(1)
    assert max(list(agreement_by_category)[1:], key=agreement_by_category.get) == "face"
    mean = truth.mean(axis=1)
    chosen = CATEGORIES == "face"
    t = ttest_ind(mean[chosen], mean[~chosen]).statistic
    profile = contrasts.category_profile(truth, measured, CATEGORIES)
    assert profile["face"] == pytest.approx(t * np.sqrt(1 / 10 + 1 / 31))
    names = list(agreement_by_category)[1:]
    sides = [[side[name] for name in names] for side in (profile, agreement_by_category)]
    assert profile[""] == pytest.approx(np.corrcoef(*sides)[0, 1])


def test_labels_that_do_not_belong_are_worth_nothing(area):
    truth, measured, _ = area
    values = []
    for seed in range(30):
        shuffled = truth[np.random.default_rng(seed).permutation(41)]
        values.append(contrasts.contrast_agreement(shuffled, measured, CATEGORIES)[""])
    assert abs(np.mean(values)) < 0.15
    assert contrasts.contrast_agreement(truth, measured, CATEGORIES)[""] > 0.7


def test_predictions_that_do_not_differ_score_0(area):
    measured = area[1]
    constant = np.tile(measured.mean(axis=0), (41, 1))
    assert set(contrasts.contrast_agreement(constant, measured, CATEGORIES).values()) == {0.0}
    profile = contrasts.category_profile(constant, measured, CATEGORIES)
    assert set(profile.values()) == {0.0}
    assert np.isnan(contrasts.contrast_agreement(measured, constant, CATEGORIES)[""])


def test_too_few_voxels_or_categories_are_nan(area):
    truth, measured, _ = area
    assert np.isnan(contrasts.contrast_agreement(truth[:, :2], measured[:, :2], CATEGORIES)[""])
    faces = np.full(41, "face")
    assert list(contrasts.contrast_agreement(truth, measured, faces)) == [""]
    assert np.isnan(contrasts.contrast_agreement(truth, measured, faces)[""])
    two = np.where(np.arange(41) % 2, "face", "house")
    assert np.isnan(contrasts.category_profile(truth, measured, two)[""])
    assert np.isfinite(contrasts.category_profile(truth, measured, two)["face"])
