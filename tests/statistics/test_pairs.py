"""Intervals of identification: against explicit resampling of pairs, and against fresh pools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named
from scipy import stats

from harness.metrics.encoding import pattern_two_way
from harness.metrics.identification import (
    n_way,
    n_way_with_rivalry,
    two_way,
    two_way_with_rivalry,
)
from harness.metrics.lookalikes import lookalike_two_way
from harness.statistics import (
    bootstrap_weights,
    mean_interval,
    pair_resamples,
    paired_difference,
)


def features(kind, n, seed):
    """(result, target) (n, D): noise, hubs that resemble everything, good ones, or kinds of unequal size."""
    draw = np.random.default_rng(seed)
    if kind == "noise":
        return draw.standard_normal((2, n, 60))
    if kind == "hubs":
        base = draw.standard_normal(60)
        target = draw.standard_normal((n, 60)) + draw.standard_normal((n, 1)) * base
        return draw.standard_normal((n, 60)) + base, target
    if kind == "good":
        target = draw.standard_normal((n, 40))
        return target + 2.0 * draw.standard_normal((n, 40)), target
    share = 1 / np.arange(1, 9) ** 1.5
    member = draw.choice(8, n, p=share / share.sum())
    centres = np.random.default_rng(5).standard_normal((8, 60))[member]
    return centres + 0.3 * draw.standard_normal((n, 60)), centres + 0.5 * draw.standard_normal((n, 60))


def win_matrix(result, target):
    """[i, j]: 1 where result j prefers its own target to target i, straight from numpy."""
    r = np.corrcoef(target, result)[: len(target), len(target) :]
    return (r < np.diag(r)) + 0.5 * (r == np.diag(r))


KINDS = ("noise", "hubs", "good", "unequal kinds")


def test_pair_resamples_equal_explicit_resampling():
    """Draw images, take every pair of copies of different images, average."""
    wins = win_matrix(*features("good", 12, 0))
    weights = bootstrap_weights(12, draws=40, seed=3)
    expected = []
    for drawn in weights:
        copies = np.repeat(np.arange(12), drawn.astype(int))
        pairs = [wins[i, j] for i in copies for j in copies if i != j]
        expected.append(np.mean(pairs))
    np.testing.assert_allclose(pair_resamples(wins, draws=40, seed=3), expected, atol=1e-12)


def spread(result, target):
    """Width of an interval from the exact resamples of pairs."""
    return 2 * stats.t.ppf(0.975, len(target) - 1) * pair_resamples(win_matrix(result, target)).std()


@pytest.mark.parametrize("kind", KINDS)
def test_values_with_rivalry_have_the_interval_of_the_pairs(kind):
    """First order against exact, 100 images: the same mean, nearly the same width."""
    result, target = features(kind, 100, 1)
    values, rivalry = two_way_with_rivalry(result, target)
    interval = mean_interval(values, rivalry=rivalry)
    wins = win_matrix(result, target)
    assert interval.mean == pytest.approx(wins[~np.eye(100, dtype=bool)].mean(), abs=1e-12)
    exact = spread(result, target)
    error = (values + rivalry).std(ddof=1) / 10
    assert 2 * stats.t.ppf(0.975, 99) * error == pytest.approx(exact, rel=0.15)
    if kind == "good":  # nearly all win every time: the rare failures that were not seen make it longer below
        assert interval.mean - interval.low > 2 * (interval.high - interval.mean)
        assert interval.high - interval.low > exact
    else:
        assert interval.high - interval.low == pytest.approx(exact, rel=0.15)


def test_win_rates_alone_are_not_enough():
    """Win rates without their rivalry err in both directions."""
    ratios = {}
    for kind in ("hubs", "unequal kinds"):
        result, target = features(kind, 100, 1)
        alone = mean_interval(two_way(result, target))
        ratios[kind] = (alone.high - alone.low) / spread(result, target)
    assert ratios["hubs"] > 2
    assert ratios["unequal kinds"] < 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_the_spread_is_that_of_fresh_pools(kind):
    means, variances = [], []
    for seed in range(150):
        values, rivalry = two_way_with_rivalry(*features(kind, 60, seed))
        means.append(values.mean())
        variances.append((values + rivalry).var(ddof=1) / 60)
    ratio = np.sqrt(np.mean(variances)) / np.std(means)
    assert 0.85 < ratio < 1.3, ratio  # SD of a SD from 150 pools: 6 %


def test_intervals_cover_the_score_of_fresh_pools():
    truth = np.mean([two_way(*features("unequal kinds", 60, 10_000 + k)).mean() for k in range(200)])
    hits = {"pairs": 0, "alone": 0}
    for seed in range(150):
        values, rivalry = two_way_with_rivalry(*features("unequal kinds", 60, seed))
        pairs = mean_interval(values, rivalry=rivalry)
        alone = mean_interval(values)
        hits["pairs"] += pairs.low < truth < pairs.high
        hits["alone"] += alone.low < truth < alone.high
    assert 0.88 < hits["pairs"] / 150 < 0.99
    assert hits["alone"] / 150 < 0.87


@given(seed=st.integers(0, 10_000), n=st.integers(4, 25), way=st.integers(2, 4), choose=st.booleans())
@settings(max_examples=25, deadline=None)
def test_rivalry_is_what_leaving_the_image_out_changes(seed, n, way, choose):
    """N mean - (N - 1) mean without i, by scoring N smaller pools; 0 below 2n images."""
    result, target = features("good", n, seed)
    target[1] = target[0]  # ties
    side = {"choose": "target" if choose else "result"}
    values, rivalry = n_way_with_rivalry(result, target, way, **side)
    assert np.array_equal(values, n_way(result, target, way, **side))
    if n < 2 * way:
        assert not rivalry.any()
        return
    total = values.sum()
    for i in range(n):
        rest = np.delete(np.arange(n), i)
        without = n_way(result[rest], target[rest], way, **side).mean()
        assert values[i] + rivalry[i] == pytest.approx(total - (n - 1) * without, abs=1e-9)
    assert rivalry.mean() == pytest.approx(0, abs=1e-12)
    if way == 2:
        np.testing.assert_allclose(
            two_way_with_rivalry(result, target, **side), [values, rivalry], atol=1e-12
        )


def test_images_that_are_not_scored_are_nobodys_rival():
    result, target = features("good", 30, 0)
    whole = two_way_with_rivalry(result, target)
    result, target = (np.concatenate([side, np.full((2, 40), np.nan)]) for side in (result, target))
    values, rivalry = two_way_with_rivalry(result, target)
    np.testing.assert_allclose([values[:30], rivalry[:30]], whole, atol=1e-12)
    assert np.isnan(values[30:]).all()
    assert (rivalry[30:] == 0).all()


@pytest.mark.parametrize("metric", [metric_named("pixel-2way"), metric_named("pixel-100way")])
def test_metrics_return_it_when_asked(metric):
    result, target = features("good", 210, 0)
    plain, both = metric.score(result, target), metric.score(result, target, rivalry=True)
    assert both.shape == (2, 210)
    assert np.array_equal(both[0], plain)
    assert both[1].any()


def test_look_alikes_are_rivals_of_their_kind_only():
    result, target = features("good", 30, 0)
    kind = np.arange(30) % 4
    kind[0] = 9  # alone
    values, rivalry = lookalike_two_way(result, target, kind=kind, rivalry=True)
    assert np.array_equal(values, lookalike_two_way(result, target, kind=kind), equal_nan=True)
    assert np.isnan(values[0])
    assert rivalry[0] == 0
    for shared_kind in range(4):
        own = kind == shared_kind
        expected = two_way_with_rivalry(result[own], target[own])
        np.testing.assert_allclose([values[own], rivalry[own]], expected, atol=1e-12)


def test_rivalry_of_a_shuffled_row_is_the_mean_over_its_re_pairings():
    result, target = features("good", 40, 0)
    orders = np.stack([np.roll(np.arange(40), k) for k in (1, 5, 9)])
    values, rivalry = metric_named("pixel-2way").score_deranged(result, target, orders, rivalry=True)
    each = np.mean([two_way_with_rivalry(result[order], target) for order in orders], axis=0)
    np.testing.assert_allclose([values, rivalry], each, atol=1e-12)


def test_patterns_know_their_rivalry_too():
    predicted, measured = features("good", 50, 0)
    baseline = np.full(40, 0.3)
    both = pattern_two_way(predicted, measured, baseline, rivalry=True)
    assert np.array_equal(both[0], pattern_two_way(predicted, measured, baseline))
    np.testing.assert_allclose(both, two_way_with_rivalry(predicted - 0.3, measured - 0.3), atol=1e-9)


def test_differences_of_two_systems_in_one_pool():
    """Rivals are the same stimuli for both, so the difference is sharper than either score."""
    draw = np.random.default_rng(0)
    _, target = features("unequal kinds", 80, 0)
    first, second = (target + noise * draw.standard_normal(target.shape) for noise in (2.0, 3.0))
    a, b = two_way_with_rivalry(first, target), two_way_with_rivalry(second, target)
    difference = paired_difference(a[0], b[0], rivalry=a[1] - b[1])
    wins = win_matrix(first, target) - win_matrix(second, target)
    exact = pair_resamples(wins)
    width = 2 * stats.t.ppf(0.975, len(target) - 1) * exact.std()
    assert difference.high - difference.low == pytest.approx(width, rel=0.12)
    assert difference.mean == pytest.approx(a[0].mean() - b[0].mean())


def test_the_first_order_stays_within_the_limits():
    values = np.append(np.ones(39), 0.9)
    interval = mean_interval(values, rivalry=np.append(np.zeros(39), -0.4) + 0.01, limits=(0.0, 1.0))
    assert interval.high == 1.0
    assert interval.low < interval.mean == pytest.approx(values.mean())
