"""Identification: equality with brute force, invariants, chance, ties, pools with gaps."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named
from scipy.spatial.distance import correlation
from scipy.stats import spearmanr

from harness.metrics.identification import (
    correlation_distance,
    n_way,
    two_way,
)


def noisy_pair(n, d, noise, seed=0):
    generator = np.random.default_rng(seed)
    target = generator.standard_normal((n, d)).astype(np.float32)
    return target + noise * generator.standard_normal((n, d)).astype(np.float32), target


def similarities(result, target):
    """(N, N) correlation of image i and reconstruction j, straight from numpy."""
    return np.corrcoef(target, result)[: len(target), len(target) :]


def brute_n_way(result, target, n):
    """Expected top-1 accuracy by listing every draw of n - 1 rivals."""
    r = similarities(result, target)
    values = []
    for j in range(len(r)):
        others = [i for i in range(len(r)) if i != j]
        won = []
        for rivals in itertools.combinations(others, n - 1):
            best = max(r[i, j] for i in (*rivals, j))
            tied = sum(abs(r[i, j] - best) < 1e-9 for i in (*rivals, j))
            won.append((abs(r[j, j] - best) < 1e-9) / tied)
        values.append(np.mean(won))
    return np.array(values)


def test_two_way_equals_numpy():
    result, target = noisy_pair(60, 40, noise=4.0)
    r = similarities(result, target)
    expected = ((r < np.diag(r)).sum(axis=0)) / 59
    assert np.array_equal(two_way(result, target, strict=True), expected)
    assert np.array_equal(two_way(result, target), expected)  # no ties among random numbers


def test_the_directions_differ_with_a_hub():
    result, target = noisy_pair(40, 30, noise=2.0)
    result[:10] = target.mean(axis=0) * 5 + 0.05 * result[:10]  # resembles every image a little
    to_images, to_results = two_way(result, target), two_way(result, target, choose="result")
    r = similarities(result, target)
    assert np.array_equal(to_results, (r < np.diag(r)[:, None]).sum(axis=1) / 39)
    assert not np.allclose(to_images.mean(), to_results.mean(), atol=0.01)
    with pytest.raises(ValueError, match="choose is 'both'; expected 'target' or 'result'"):
        two_way(result, target, choose="both")


@given(seed=st.integers(0, 10_000), n=st.integers(2, 5), repeat=st.booleans())
@settings(max_examples=25, deadline=None)
def test_n_way_equals_listing_every_draw(seed, n, repeat):
    result, target = noisy_pair(7, 5, noise=1.5, seed=seed)
    target = target.astype(np.float64)  # in float32 the row below is not quite a multiple
    if repeat:  # ties between images
        target[3] = target[1]
        target[5] = 2 * target[1] + 1
    np.testing.assert_allclose(n_way(result, target, n), brute_n_way(result, target, n), atol=1e-12)


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), d=st.integers(3, 60))
@settings(max_examples=25, deadline=None)
def test_invariants(seed, n, d):
    result, target = noisy_pair(n, d, noise=1.0, seed=seed)
    generator = np.random.default_rng(seed)
    values = two_way(result, target)
    order = generator.permutation(n)
    assert np.array_equal(two_way(result[order], target[order]), values[order])
    assert np.array_equal(two_way(result * 3 - 7, target), values)  # correlation ignores affine maps
    assert (two_way(target, target) == 1).all()  # the image itself is best
    assert (n_way(target, target, n) == 1).all()
    np.testing.assert_allclose(n_way(result, target, 2), values, atol=1e-12)


def test_shuffled_pairs_are_at_chance():
    generator = np.random.default_rng(0)
    result, target = noisy_pair(300, 20, noise=0.5)
    values = [two_way(result[generator.permutation(300)], target).mean() for _ in range(20)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.02)
    values = [n_way(result[generator.permutation(300)], target, 100).mean() for _ in range(20)]
    assert np.mean(values) == pytest.approx(0.01, abs=0.006)


@pytest.mark.parametrize("k", [10, 20])
def test_knowing_only_the_cluster_saturates(k):
    """1 - 1/(2K) for K equal clusters: practice of reporting two-way alone hides this."""
    n = 20 * k
    cluster = np.arange(n) % k
    target, result = np.random.default_rng(0).standard_normal((2, n, 400))
    centres = np.random.default_rng(1).standard_normal((k, 400))
    target = centres[cluster] + 0.3 * target
    result = centres[cluster] + 0.3 * result  # the cluster, and nothing of the image
    assert two_way(result, target).mean() == pytest.approx(1 - 1 / (2 * k), abs=0.008)
    assert n_way(result, target, 100).mean() < 0.4


def test_ties_are_half_a_win_or_a_loss():
    target = np.random.default_rng(0).standard_normal((6, 8))
    target[1] = 4 * target[0] - 1  # equal up to what correlation sees
    result = target.copy()
    assert two_way(result, target)[:2] == pytest.approx([0.9, 0.9])
    assert two_way(result, target, strict=True)[:2] == pytest.approx([0.8, 0.8])
    assert n_way(result, target, 6)[:2] == pytest.approx([0.5, 0.5])


def test_correlations_closer_than_float32_are_decided_exactly():
    generator = np.random.default_rng(0)
    target = np.repeat(generator.standard_normal((1, 5000)), 30, axis=0)
    target += 1e-4 * generator.standard_normal(target.shape)  # correlations differ in the 8th digit
    result = target + 1e-4 * generator.standard_normal(target.shape)
    r = similarities(result, target)
    assert np.ptp(r) < 1e-6
    assert np.array_equal(two_way(result, target), (r < np.diag(r)).sum(axis=0) / 29)


def test_outputs_without_variance_are_ties():
    target = np.random.default_rng(0).standard_normal((10, 8))
    constant = np.full((10, 8), 0.1, np.float32)
    assert np.array_equal(two_way(constant, target), np.full(10, 0.5))
    assert np.array_equal(n_way(constant, target, 4), np.full(10, 0.25))
    assert np.array_equal(two_way(target, constant), np.full(10, 0.5))
    same = np.repeat(target[:1], 10, axis=0)  # one image whatever the input
    assert two_way(same, target).mean() == pytest.approx(0.5)


def test_rows_with_nan_are_not_scored_and_nobodys_rival():
    result, target = noisy_pair(12, 9, noise=1.0)
    broken_result, broken_target = result.copy(), target.copy()
    broken_result[2, 3], broken_target[7, 0] = np.nan, np.inf
    values = two_way(broken_result, broken_target)
    assert np.flatnonzero(np.isnan(values)).tolist() == [2, 7]
    rest = np.delete(np.arange(12), 7)
    expected = two_way(result[rest], target[rest])
    assert np.array_equal(np.delete(values, [2, 7]), np.delete(expected, 2))


def test_pools_too_small_are_not_scored():
    result, target = noisy_pair(5, 4, noise=1.0)
    assert np.isnan(two_way(result[:1], target[:1])).all()
    assert np.isnan(n_way(result, target, 6)).all()
    assert np.isfinite(n_way(result, target, 5)).all()
    assert np.isnan(metric_named("pixel-100way").score(result, target)).all()


def test_correlation_distance_equals_scipy():
    result, target = noisy_pair(6, 30, noise=2.0)
    expected = [correlation(x, y) for x, y in zip(result.astype(float), target.astype(float))]
    np.testing.assert_allclose(correlation_distance(result, target), expected, atol=1e-12)
    assert correlation_distance(np.ones((1, 4)), np.arange(4.0)[None]) == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("metric", "n"), [(metric_named("pixel-2way"), 40), (metric_named("pixel-100way"), 120)]
)
def test_the_metrics_are_these_functions(metric, n):
    result, target = noisy_pair(n, 30, noise=3.0)
    expected = two_way(result, target) if metric.candidates == 2 else n_way(result, target, 100)
    assert np.array_equal(metric.score(result, target), expected)
    assert metric.chance == pytest.approx(1 / metric.candidates)


@pytest.mark.parametrize(
    ("metric", "n"), [(metric_named("pixel-2way"), 30), (metric_named("pixel-100way"), 110)]
)
def test_derangements_at_once_equal_one_by_one(metric, n):
    result, target = noisy_pair(n, 12, noise=1.0)
    result[4] = np.nan
    orders = np.stack([np.roll(np.random.default_rng(0).permutation(n), k) for k in range(4)])
    one_by_one = [metric.score(result[order], target) for order in orders]
    np.testing.assert_allclose(
        metric.score_deranged(result, target, orders), np.nanmean(one_by_one, axis=0), atol=1e-12
    )


def test_win_rates_follow_the_ranks_of_the_similarities():
    result, target = noisy_pair(50, 25, noise=5.0)
    r = similarities(result, target)
    ranks = [(np.sort(r[:, j]) < r[j, j]).sum() for j in range(50)]
    assert spearmanr(ranks, two_way(result, target)).statistic == pytest.approx(1.0)


def test_memory_does_not_grow_with_pairs_times_features():
    result, target = noisy_pair(400, 300, noise=1.0)
    two_way(result, target)
    tracemalloc.start()
    two_way(result, target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 * 400 * 30  # far from N x N x D values
