"""Variance components: against the analysis of variance, known truth, unequal numbers."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics import variance_components

SDS = {"images": 1.0, "trials": 0.8, "samples": 0.6, "rest": 0.5}


def draw_scores(seed, *, n=60, trials=3, samples=4, keep=1.0, sds=SDS):
    """Values with image, trial and sample, of known components; a share `keep` of them at random."""
    draw = np.random.default_rng(seed)
    image_effect = sds["images"] * draw.standard_normal(n)
    trial_effect = sds["trials"] * draw.standard_normal((n, trials)) * (trials > 1)
    sample_effect = sds["samples"] * draw.standard_normal((n, samples)) * (samples > 1)
    rest = sds["rest"] * draw.standard_normal((n, trials, samples)) * (min(trials, samples) > 1)
    cells = [
        cell for cell in itertools.product(range(n), range(trials), range(samples)) if draw.random() < keep
    ]
    image, trial, sample = np.array(cells).T
    values = 5 + image_effect[image] + trial_effect[image, trial] + sample_effect[image, sample]
    return values + rest[image, trial, sample], image, trial, sample


def test_samples_alone_equal_the_one_way_analysis_of_variance():
    values, image, trial, sample = draw_scores(0, trials=1, samples=5)
    table = values.reshape(60, 5)
    within = table.var(axis=1, ddof=1).mean()
    between = 5 * table.mean(axis=1).var(ddof=1)
    components = variance_components(values, image, trial, sample)
    assert components.samples == pytest.approx(within)
    assert components.images == pytest.approx((between - within) / 5)
    assert np.isnan([components.trials, components.rest]).all()
    assert (components.n, components.values, components.mean) == (60, 300, pytest.approx(values.mean()))


def test_unequal_numbers_equal_the_textbook_formula():
    """Searle, Casella & McCulloch 1992, sec. 3.6: n0 = (N - sum n_i^2 / N) / (k - 1)."""
    values, image, trial, sample = draw_scores(1, trials=4, samples=1, keep=0.6)
    groups = [values[image == number] for number in np.unique(image)]
    sizes = np.array([len(group) for group in groups])
    total, k = sizes.sum(), len(sizes)
    assert len(set(sizes)) > 1
    within = sum(((group - group.mean()) ** 2).sum() for group in groups) / (total - k)
    between = sum(len(g) * (g.mean() - values.mean()) ** 2 for g in groups) / (k - 1)
    n0 = (total - (sizes**2).sum() / total) / (k - 1)
    components = variance_components(values, image, trial, sample)
    assert components.trials == pytest.approx(within)
    assert components.images == pytest.approx((between - within) / n0)
    assert np.isnan(components.samples)


def test_trials_and_samples_together_equal_the_balanced_mean_squares():
    values, image, trial, sample = draw_scores(2)
    cells = values.reshape(60, 3, 4)
    images, trials, samples = cells.mean((1, 2)), cells.mean(2), cells.mean(1)
    left = cells - trials[:, :, None] - samples[:, None] + images[:, None, None]
    rest = (left**2).sum() / (60 * 2 * 3)
    by_trial = 4 * ((trials - images[:, None]) ** 2).sum() / (60 * 2)
    by_sample = 3 * ((samples - images[:, None]) ** 2).sum() / (60 * 3)
    by_image = 12 * images.var(ddof=1)
    components = variance_components(values, image, trial, sample)
    assert components.rest == pytest.approx(rest)
    assert components.trials == pytest.approx((by_trial - rest) / 4)
    assert components.samples == pytest.approx((by_sample - rest) / 3)
    assert components.images == pytest.approx((by_image - by_trial - by_sample + rest) / 12)


@pytest.mark.parametrize("keep", [1.0, 0.6])
def test_known_components_come_back(keep):
    simulated = [variance_components(*draw_scores(seed, keep=keep)) for seed in range(120)]
    for part, sd in SDS.items():
        estimates = np.array([getattr(components, part) for components in simulated])
        error = estimates.std(ddof=1) / np.sqrt(len(estimates))
        assert estimates.mean() == pytest.approx(sd**2, abs=4 * error)
        assert error < 0.05


def test_shares_leave_negative_estimates_out():
    nothing = dict.fromkeys(SDS, 0.0) | {"samples": 1.0}
    lowest = min(
        (variance_components(*draw_scores(seed, n=10, trials=1, sds=nothing)) for seed in range(20)),
        key=lambda components: components.images,
    )
    assert lowest.images < 0
    shares = lowest.shares()
    assert (shares["images"], shares["samples"]) == (0, 1)
    assert np.isnan(shares["trials"])
    flat = variance_components(np.ones(6), [0, 0, 1, 1, 2, 2], [0] * 6, [0, 1] * 3)
    assert np.isnan(list(flat.shares().values())).all()


def test_what_does_not_vary_has_no_component():
    values, image, trial, sample = draw_scores(3, trials=1, samples=1)
    components = variance_components(values, image, trial, sample)
    assert components.images == pytest.approx(values.var(ddof=1))
    assert np.isnan([components.trials, components.samples, components.rest]).all()
    single = variance_components([1.0, 2.0], ["a", "a"], [0, 1], [0, 0])
    assert np.isnan([single.images, single.trials]).all()
    assert (single.mean, single.n) == (1.5, 1)
    assert np.isnan(variance_components([], [], [], []).mean)


@given(seed=st.integers(0, 10_000), shift=st.floats(-1e3, 1e3), scale=st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_components_follow_the_scale_and_ignore_order_and_shift(seed, shift, scale):
    values, image, trial, sample = draw_scores(seed, n=12, keep=0.8)
    before = variance_components(values, image, trial, sample)
    order = np.random.default_rng(seed).permutation(len(values))
    names = np.array([f"scene-{k}" for k in image])
    after = variance_components((scale * values + shift)[order], names[order], trial[order], sample[order])
    for part in SDS:
        assert getattr(after, part) == pytest.approx(scale**2 * getattr(before, part), abs=1e-6 * scale**2)


def test_missing_values_are_left_out():
    values, image, trial, sample = draw_scores(4)
    kept = np.random.default_rng(0).random(len(values)) < 0.9
    gaps = np.where(kept, values, np.nan)
    assert variance_components(gaps, image, trial, sample) == variance_components(
        values[kept], image[kept], trial[kept], sample[kept]
    )
