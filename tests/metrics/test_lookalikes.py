"""Intervals among look-alikes: against drawing whole kinds, and against fresh kinds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.identification import two_way_with_rivalry
from harness.metrics.lookalikes import FEWEST, kind_rivalry, lookalike_two_way
from harness.statistics import mean_interval, mean_intervals, paired_difference


def pool(sizes, seed, *, spread=0.0, shared=1.5, dim=24):
    """(result, target) (N, D) and kind (N,).

    spread : how unequally hard kinds are; shared : an error that the results of a kind have in common,
    by which one of a pair wins at the cost of the other.
    """
    draw = np.random.default_rng(seed)
    kind = np.repeat(np.arange(len(sizes)), sizes)
    target = draw.standard_normal((len(kind), dim))
    noise = 2.5 * np.exp(spread * draw.standard_normal(len(sizes)))[kind]
    errors = shared * draw.standard_normal((len(sizes), dim))[kind]
    return target + noise[:, None] * draw.standard_normal(target.shape) + errors, target, kind


def scored(result, target, kind):
    return lookalike_two_way(result, target, kind=kind, rivalry=True)


def of_whole_kinds(values, kind, draws=4000):
    """(draws,) means of explicit resamples of kinds, each with all of its images."""
    draw = np.random.default_rng(9)
    sums, sizes = np.bincount(kind, values), np.bincount(kind)
    drawn = draw.integers(0, len(sizes), (draws, len(sizes)))
    return sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)


UNEQUAL = [2, 3, 2, 6, 4, 2, 2, 5] * 10


@pytest.mark.parametrize("sizes", [[2] * 60, [5] * 40, UNEQUAL])
def test_intervals_are_those_of_kinds_drawn_whole(sizes):
    result, target, kind = pool(sizes, 1, spread=0.8)
    values, rivalry = scored(result, target, kind)
    interval = mean_interval(values, rivalry=rivalry)
    low, high = np.percentile(of_whole_kinds(values, kind), [2.5, 97.5])
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.08 * (high - low))
    assert interval.mean == pytest.approx(values.mean())
    assert rivalry.mean() == pytest.approx(0, abs=1e-12)


def test_differences_are_those_of_kinds_drawn_whole():
    result, target, kind = pool(UNEQUAL, 2, spread=0.8)
    draw = np.random.default_rng(0)
    a, b = (scored(result + draw.standard_normal(result.shape), target, kind) for _ in range(2))
    difference = paired_difference(a[0], b[0], rivalry=a[1] - b[1])
    low, high = np.percentile(of_whole_kinds(a[0] - b[0], kind), [2.5, 97.5])
    assert (difference.low, difference.high) == pytest.approx((low, high), abs=0.08 * (high - low))


@given(
    sizes=st.lists(st.integers(2, 7), min_size=2, max_size=25),
    seed=st.integers(0, 1000),
)
@settings(max_examples=20, deadline=None)
def test_one_image_for_all_is_at_chance_without_doubt(sizes, seed):
    """What one image wins as a flat-grey reconstruction, another of its kind loses."""
    _, target, kind = pool(sizes, seed)
    values, rivalry = scored(np.broadcast_to(target[0] + target[-1], target.shape), target, kind)
    interval = mean_interval(values, rivalry=rivalry)
    assert interval.mean == pytest.approx(0.5)
    assert (interval.low, interval.high) == pytest.approx((0.5, 0.5), abs=1e-6)
    alone = mean_interval(values)
    assert len(kind) < 10 or alone.high - alone.low > 0.1


def win_rates(pools, kinds, size, *, spread, dim=24):
    """(pools, N) of many pools as :func:`pool` makes them, straight from numpy."""
    draw = np.random.default_rng(0)
    target = draw.standard_normal((pools, kinds, size, dim), np.float32)
    noise = 2.5 * np.exp(spread * draw.standard_normal((pools, kinds, 1, 1), np.float32))
    errors = 1.5 * draw.standard_normal((pools, kinds, 1, dim), np.float32)
    result = target + noise * draw.standard_normal(target.shape, np.float32) + errors
    for side in (target, result):
        side -= side.mean(axis=-1, keepdims=True)
        side /= np.linalg.norm(side, axis=-1, keepdims=True)
    similar = target @ np.swapaxes(result, -1, -2)  # [i, j]: result j with target i
    own = np.diagonal(similar, axis1=-2, axis2=-1)
    return ((similar < own[:, :, None]).sum(axis=-2) / (size - 1)).reshape(pools, -1)


@pytest.mark.parametrize("spread", [0.0, 1.0])
@pytest.mark.parametrize(("kinds", "size", "lost"), [(50, 2, 0.01), (150, 2, 0.0), (60, 5, 0.0)])
def test_intervals_cover_the_score_of_fresh_kinds(kinds, size, lost, spread):
    """The mean over 600 pools of new images of new kinds, in 95 % of them.

    lost : what percentiles of 50 units that are 0, 1/2 or 1 fall short by.
    """
    win_rate = win_rates(600, kinds, size, spread=spread)
    kind, truth = np.repeat(np.arange(kinds), size), win_rate.mean()
    rivalry = np.stack([kind_rivalry(values, np.zeros(len(kind)), kind=kind) for values in win_rate])
    right, alone = (
        np.mean(
            [
                interval.low <= truth <= interval.high
                for interval in mean_intervals(win_rate.T, rivalry=others)
            ]
        )
        for others in (rivalry.T, None)
    )
    error = 2 * np.sqrt(0.05 * 0.95 / 600)
    assert 0.95 - lost - error < right < 0.95 + error
    if size == 5 and spread:  # images share how hard their kind is
        assert alone < 0.91


def test_what_the_rivals_share_cancels():
    """A result that knows nothing but its kind, as in a shuffled row: images alone are far too wide."""
    result, target, kind = pool([2] * 50, 0)
    errors = np.stack([(result - target)[kind == own_kind].mean(axis=0) for own_kind in kind])
    values, rivalry = scored(errors, target, kind)
    alone, right = mean_interval(values), mean_interval(values, rivalry=rivalry)
    assert right.high - right.low < 1e-6
    assert alone.high - alone.low > 0.15


def test_few_large_kinds_are_held_fixed():
    """No sample of kinds: their images are drawn, with their rivalry inside the kind."""
    result, target, kind = pool([8] * (FEWEST - 1), 3)
    values, rivalry = scored(result, target, kind)
    for chosen_kind in range(FEWEST - 1):
        own = kind == chosen_kind
        within = two_way_with_rivalry(result[own], target[own])
        np.testing.assert_allclose([values[own], rivalry[own]], within, atol=1e-12)
    one_kind = scored(result[:8], target[:8], kind[:8])
    np.testing.assert_allclose(one_kind, two_way_with_rivalry(result[:8], target[:8]), atol=1e-12)


def test_unscored_images_have_no_part():
    result, target, kind = pool([3] * 12, 4)
    whole = scored(result, target, kind)
    more = [np.concatenate([side, np.full((2, 24), np.nan)]) for side in (result, target)]
    values, rivalry = scored(*more, np.append(kind, [0, 99]))
    np.testing.assert_allclose([values[:-2], rivalry[:-2]], whole, atol=1e-12)
    assert np.isnan(values[-2:]).all()
    assert not rivalry[-2:].any()
    assert not kind_rivalry(np.full(3, np.nan), np.zeros(3), kind=np.arange(3)).any()
