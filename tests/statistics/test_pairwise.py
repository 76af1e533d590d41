"""All pairs at once are the pairs one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.statistics import (
    contributed_differences,
    paired_differences,
    pairwise_ps,
    seed_spread,
    told_apart,
)


def one_by_one(cube, rivalry=None, seeds=None):
    """p_t of every pair, as a comparison of few systems has it."""
    systems = cube.shape[-1]
    ps = np.full((systems, systems), np.nan)
    for a, b in itertools.combinations(range(systems), 2):
        others = None if rivalry is None else (rivalry[..., a] - rivalry[..., b])[..., None]
        both = None if seeds is None else [(*seeds[a], *seeds[b])]
        (test,) = paired_differences(
            (cube[..., a] - cube[..., b])[..., None], rivalry=others, seeds=both, flips=20
        )
        ps[a, b] = ps[b, a] = test.p_t
    return ps


def scores(shape, seed=0):
    """Skewed values with an image's own difficulty; systems differ a little in the mean."""
    rng = np.random.default_rng(seed)
    common = rng.exponential(0.3, (*shape[:-1], 1))
    return common + rng.exponential(0.1, shape) + 0.01 * np.arange(shape[-1])


@pytest.mark.parametrize("shape", [(40, 6), (3, 25, 5), (3, 4), (2, 3)])
def test_of_one_or_several_subjects_with_rivals(shape):
    cube, rivalry = scores(shape), scores(shape, seed=1)
    np.testing.assert_allclose(pairwise_ps(cube), one_by_one(cube), rtol=1e-8)
    np.testing.assert_allclose(pairwise_ps(cube, rivalry=rivalry), one_by_one(cube, rivalry), rtol=1e-8)


def test_images_that_some_systems_lack():
    cube = scores((30, 6))
    cube[3, 1] = cube[7, 1] = cube[3, 4] = np.nan
    cube[:, 5] = np.nan
    cube[0, 5] = 1.0
    ours, theirs = pairwise_ps(cube), one_by_one(cube)
    np.testing.assert_allclose(ours[:5, :5], theirs[:5, :5], rtol=1e-8)
    assert np.isnan(ours[5]).all()


def test_equal_and_nearly_equal_systems_lose_no_digits():
    cube = scores((200, 3))
    cube[:, 1] = cube[:, 0]
    cube[:, 2] = cube[:, 0] + 1e-9 * np.random.default_rng(2).normal(0.2, 1, 200)
    ours = pairwise_ps(cube)
    assert ours[0, 1] == 1
    np.testing.assert_allclose(ours, one_by_one(cube), rtol=1e-5)  # values of 1 hold 1e-9 to 7 digits


def test_spread_of_seeds_is_in_the_pairs_that_have_several():
    by_seed = scores((4, 30, 3))  # seeds, images, systems
    cube = by_seed.mean(axis=0)
    seeds = [(), (seed_spread(by_seed[..., 1]),), (seed_spread(by_seed[..., 2]),)]
    np.testing.assert_allclose(pairwise_ps(cube, seeds=seeds), one_by_one(cube, seeds=seeds), rtol=1e-8)


def test_scores_that_are_no_means():
    parts = scores((2, 30, 3))
    values = parts.mean(axis=1) + 0.05
    ours = pairwise_ps(parts, values=values)
    for a, b in itertools.combinations(range(3), 2):
        (test,) = contributed_differences(
            (values[:, a] - values[:, b])[:, None], (parts[..., a] - parts[..., b])[..., None], flips=20
        )
        assert ours[a, b] == pytest.approx(test.p_t, rel=1e-8)


def test_holm_over_all_pairs_decides():
    ps = np.full((3, 3), np.nan)
    for (a, b), p in {(0, 1): 0.01, (0, 2): 0.02, (1, 2): 0.2}.items():
        ps[a, b] = ps[b, a] = p
    assert told_apart(ps).tolist() == [[False, True, True], [True, False, False], [True, False, False]]
    ps[0, 2] = ps[2, 0] = 0.03  # twice that is above 0.05
    assert told_apart(ps).tolist() == [[False, True, False], [True, False, False], [False, False, False]]
