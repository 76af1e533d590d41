"""Ceilings from repeats, equal and unequal, and scores made with them, on simulated trials."""

import numpy as np
import pytest
from sklearn.metrics import mean_squared_error

from harness.errors import DataError
from harness.metrics import ceilings, encoding
from harness.metrics.identification import two_way

NCSNR = np.array([0.2, 0.4, 0.8, 1.5])


def simulate(n, counts, *, seed=0, scale=1.0, mean=0.0):
    """Truth (n, 4), trials (T, 4) and image_index: unit-variance trials of `NCSNR`, times `scale`."""
    generator = np.random.default_rng(seed)
    noise = 1 / np.sqrt(1 + NCSNR**2)
    truth = NCSNR * noise * generator.standard_normal((n, len(NCSNR)))
    index = np.repeat(np.arange(n), counts)
    trials = truth[index] + noise * generator.standard_normal((len(index), len(NCSNR)))
    return scale * truth + mean, scale * trials + mean, index


def means(trials, index):
    return np.stack([trials[index == k].mean(axis=0) for k in range(index.max() + 1)])


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_equal_repeats_give_the_ceiling_of_ncsnr(scale):
    _, trials, index = simulate(4000, np.full(4000, 3), scale=scale, mean=5 * scale)
    expected = NCSNR**2 / (NCSNR**2 + 1 / 3)
    repeats = ceilings.by_image(trials, index)
    np.testing.assert_allclose(ceilings.ceiling_from_repeats(repeats), expected, atol=0.03)
    np.testing.assert_allclose(ceilings.split_half_ceiling(repeats), expected, atol=0.03)


def test_unequal_repeats_use_the_mean_of_one_over_n():
    counts = np.random.default_rng(1).integers(1, 5, 6000)
    truth, trials, index = simulate(6000, counts)
    ceiling = ceilings.ceiling_from_repeats(ceilings.by_image(trials, index))
    np.testing.assert_allclose(ceiling, NCSNR**2 / (NCSNR**2 + np.mean(1 / counts)), atol=0.03)
    reached = encoding.voxel_r(truth, means(trials, index)) ** 2
    np.testing.assert_allclose(ceiling, reached, atol=0.04)  # and it is what the truth explains


def test_the_estimator_is_that_of_an_analysis_of_variance():
    """Against explicit sums over images of one voxel, with one, two and three trials."""
    trials = np.array([1.0, 3.0, 2.5, 7.0, 5.0, 4.0])
    index = np.array([0, 0, 1, 2, 2, 2])
    groups = [trials[index == k] for k in range(3)]
    noise = sum(((g - g.mean()) ** 2).sum() for g in groups) / (len(trials) - len(groups))
    signal = np.var([g.mean() for g in groups], ddof=1) - noise * np.mean([1 / len(g) for g in groups])
    expected = signal / (signal + noise * np.mean([1 / len(g) for g in groups]))
    ceiling = ceilings.ceiling_from_repeats(ceilings.by_image(trials[:, None], index))
    assert ceiling[0] == pytest.approx(expected)


def test_ceilings_that_cannot_be_known():
    single = np.random.default_rng(0).standard_normal((5, 1, 2))
    assert np.isnan(ceilings.ceiling_from_repeats(single)).all()
    assert np.isnan(ceilings.ceiling_from_repeats(np.ones((5, 3, 2)))).all()
    pure = np.random.default_rng(0).standard_normal((400, 3, 50))
    ceiling = ceilings.ceiling_from_repeats(pure)
    assert ((ceiling >= 0) & (ceiling < 0.25)).all()
    assert (ceiling == 0).any()
    for wrong in (single, np.where(np.arange(3)[:, None] == 2, np.nan, pure)):
        with pytest.raises(DataError, match="ceiling_from_repeats"):
            ceilings.split_half_ceiling(wrong)
    with pytest.raises(DataError, match=r"expected \(images, repeats, voxels\)"):
        ceilings.ceiling_from_repeats(pure[0])


def test_split_halves_of_equal_length_are_spearman_and_browns():
    repeats = simulate(300, np.full(300, 4))[1].reshape(300, 4, -1)
    splits = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    expected = []
    for first, second in splits:
        halves = (repeats[:, list(h)].mean(axis=1) for h in (first, second))
        r = np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(*(half.T for half in halves))])
        expected.append(2 * np.maximum(r, 0) / (1 + np.maximum(r, 0)))
    np.testing.assert_allclose(ceilings.split_half_ceiling(repeats), np.mean(expected, axis=0))


def test_floor_null_and_ceiling_of_unit_variance_trials():
    """encoders.md 0.2: V0 = s + (1 - s)/3, floor (1 - s)/3, r_max = sqrt(NC) with s = .143."""
    s, n = 0.143, 60_000
    generator = np.random.default_rng(0)
    truth = np.sqrt(s) * generator.standard_normal((n, 1))
    measured = truth + np.sqrt((1 - s) / 3) * generator.standard_normal((n, 1))
    ncsnr = np.sqrt([s / (1 - s)])
    ceiling = ncsnr**2 / (ncsnr**2 + 1 / 3)
    assert encoding.voxel_mse(np.zeros_like(measured), measured)[0] == pytest.approx(0.4287, abs=0.006)
    assert encoding.voxel_mse(truth, measured)[0] == pytest.approx(0.2857, abs=0.004)
    assert encoding.noise_floor(ncsnr, np.full(n, 3))[0] == pytest.approx((1 - s) / 3)
    assert ceilings.measured_floor(measured, ceiling)[0] == pytest.approx(0.2857, abs=0.004)
    assert encoding.voxel_r(truth, measured)[0] == pytest.approx(0.577, abs=0.01)
    # A least-squares prediction of correlation r has the error V0 (1 - r^2).
    noisy = truth + np.sqrt(s) * generator.standard_normal((n, 1))
    slope = np.cov(noisy[:, 0], measured[:, 0])[0, 1] / noisy.var()
    r = encoding.voxel_r(noisy, measured)[0]
    assert encoding.voxel_mse(slope * noisy, measured)[0] == pytest.approx(
        measured.var() * (1 - r**2), rel=0.01
    )


def test_the_mean_pattern_alone_scores_as_the_closed_form_says():
    """encoders.md 0.3: r, MSE and cosine of the training mean against single trials, not centred."""
    generator = np.random.default_rng(0)
    mean, sd = 0.25 * generator.standard_normal(4000) + 0.19, generator.uniform(0.1, 0.4, 4000)
    trials = mean + sd * generator.standard_normal((200, 4000))
    blind = np.tile(mean, (200, 1))
    noise = np.mean(sd**2)
    assert encoding.pattern_r(blind, trials).mean() == pytest.approx(
        np.sqrt(mean.var() / (mean.var() + noise)), abs=0.005
    )
    assert encoding.voxel_mse(blind, trials).mean() == pytest.approx(noise, rel=0.01)
    size = np.mean(mean**2)
    assert encoding.pattern_cosine(blind, trials).mean() == pytest.approx(
        np.sqrt(size / (size + noise)), abs=0.005
    )
    assert np.array_equal(encoding.pattern_r(blind, trials, baseline=mean), np.zeros(200))
    assert np.array_equal(encoding.pattern_cosine(blind, trials, baseline=mean), np.zeros(200))


def test_error_removed_is_0_for_the_training_mean_and_1_for_the_truth():
    counts = np.random.default_rng(1).integers(1, 4, 20_000)
    truth, trials, index = simulate(20_000, counts, scale=7.0, mean=3.0)
    measured = means(trials, index)
    ceiling = NCSNR**2 / (NCSNR**2 + np.mean(1 / counts))
    baseline = measured.mean(axis=0)

    def removed(predicted):
        return ceilings.mse_explained(predicted, measured, baseline=baseline, ceiling=ceiling)

    assert removed(np.tile(baseline, (20_000, 1))) == 0
    assert removed(truth) == pytest.approx(1.0, abs=0.02)
    half = baseline + 0.5 * (truth - truth.mean(axis=0))
    errors = [mean_squared_error(measured, side, multioutput="raw_values").sum() for side in (half, truth)]
    blind = ((measured - baseline) ** 2).mean(axis=0).sum()
    assert removed(half) == pytest.approx((blind - errors[0]) / (blind - errors[1]), abs=0.02)
    assert removed(2 * baseline - truth) < 0
    unknown = np.array([np.nan, *ceiling[1:]])
    score = ceilings.mse_explained(truth, measured, baseline=baseline, ceiling=unknown)
    assert score == pytest.approx(
        ceilings.mse_explained(truth[:, 1:], measured[:, 1:], baseline=baseline[1:], ceiling=ceiling[1:])
    )
    assert np.isnan(ceilings.mse_explained(truth, measured, baseline=baseline, ceiling=None))


def test_r_over_the_highest_r_keeps_its_sign_and_excess():
    truth, trials, index = simulate(9000, np.full(9000, 3))
    measured = means(trials, index)
    ceiling = NCSNR**2 / (NCSNR**2 + 1 / 3)
    scores = ceilings.voxel_r_nc(truth, measured, ceiling)
    np.testing.assert_allclose(scores, 1.0, atol=0.06)
    np.testing.assert_allclose(ceilings.voxel_r_nc(-truth, measured, ceiling), -scores)
    assert ceilings.voxel_r_nc(truth, measured, ceiling / 9).min() > 2
    assert np.isnan(ceilings.voxel_r_nc(truth, measured, 0 * ceiling)).all()


@pytest.mark.parametrize("k", [10, 40])
def test_patterns_of_k_clusters_saturate_two_way_identification(k):
    """practice.md 3.3: knowing the cluster and nothing else gives 1 - 1/(2K), here of responses."""
    generator = np.random.default_rng(k)
    n = 20 * k
    centres = generator.standard_normal((k, 200))[np.arange(n) % k]
    own = 0.2 * generator.standard_normal((2, n, 200))
    values = encoding.pattern_two_way(centres + own[0], centres + own[1], np.zeros(200))
    # n/K - 1 of the n - 1 rivals share the cluster and are beaten half the time.
    assert values.mean() == pytest.approx(1 - (n / k - 1) / (2 * (n - 1)), abs=0.01)
    assert values.mean() == pytest.approx(1 - 1 / (2 * k), abs=0.012)
    np.testing.assert_allclose(values, two_way(centres + own[0], centres + own[1]))
