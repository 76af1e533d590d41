"""Ranks among rivals, pools of those who may be one, and what each image does to the others' values."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from harness.metrics.rivals import Pool, Ranks, Rivalry


def ranks(*counts: tuple[int, int, int]) -> Ranks:
    return Ranks(*np.array(counts, np.float64).T)


def test_two_way_is_the_share_of_rivals_beaten():
    some = ranks((3, 0, 1), (1, 2, 1), (0, 0, 4), (0, 0, 0))
    np.testing.assert_allclose(some.two_way()[:3], [0.75, 0.5, 0])
    np.testing.assert_allclose(some.two_way(strict=True)[:3], [0.75, 0.25, 0])
    assert np.isnan(some.two_way()[3])


@pytest.mark.parametrize(("below", "ties", "above"), [(3, 2, 1), (0, 4, 2), (5, 0, 0), (1, 0, 4)])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_n_way_is_the_mean_over_all_draws_of_rivals(below, ties, above, n):
    rivals = [-1] * below + [0] * ties + [1] * above
    wins = []
    for drawn in combinations(range(len(rivals)), n - 1):
        values = [rivals[k] for k in drawn]
        wins.append(0.0 if max(values) > 0 else 1 / (1 + values.count(0)))
    assert ranks((below, ties, above)).n_way(n)[0] == pytest.approx(np.mean(wins))


def test_too_few_rivals_give_no_n_way():
    some = ranks((3, 0, 1), (1, 0, 1))
    assert np.isfinite(some.n_way(5)).tolist() == [True, False]
    assert Ranks(*(np.ones((2, 3)),) * 3).n_way(2).shape == (2, 3)


def test_no_copy_of_an_image_is_its_rival():
    copies = np.array([0, 1, 0, 2])
    pool = Pool.of(np.array([True, True, True, False]), copies, once=False)
    own = np.array([0, 1])
    assert pool.rivals(own).T.tolist() == [[False, True, False, False], [True, False, True, False]]
    below = np.array([[0, 1], [1, 0], [0, 0], [0, 0]], bool)
    nobody = np.zeros_like(below)
    assert pool.counted(own, below & pool.rivals(own), nobody).T.tolist() == [[1, 0, 0], [1, 1, 0]]


def test_once_keeps_the_first_usable_image_of_each_picture():
    copies = np.array([0, 1, 0, 1, 2])
    usable = np.array([False, True, True, True, True])
    assert Pool.of(usable, copies, once=True).members.tolist() == [False, True, True, False, True]
    assert Pool.of(usable, copies, once=False).members.tolist() == usable.tolist()
    assert Pool.of(usable, None, once=True).members.tolist() == usable.tolist()


def test_rivalry_is_what_leaving_each_image_out_changes():
    """By the definition: for each image, the sum over the others of value less value without it."""
    n = 7
    similar = np.random.default_rng(2).standard_normal((n, n))  # candidate by chooser
    own = np.arange(n)
    below = similar < similar[own, own]
    above = similar > similar[own, own]
    pool = Pool.of(np.ones(n, bool), None, once=False)
    rivalry = Rivalry(n, Ranks.two_way, Ranks.two_way)
    rivalry.add(own[:3], pool, below[:, :3], above[:, :3])
    rivalry.add(own[3:], pool, below[:, 3:], above[:, 3:])  # in blocks as at once

    def values(kept: list[int]) -> dict[int, float]:
        return {j: np.mean([similar[k, j] < similar[j, j] for k in kept if k != j]) for j in kept}

    whole = values(list(range(n)))
    effects = []
    for left_out in range(n):
        without = values([k for k in range(n) if k != left_out])
        effects.append(sum(whole[j] - value for j, value in without.items()))
    expected = np.array(effects) - np.mean(effects)
    np.testing.assert_allclose(rivalry.values(np.ones(n, bool)), expected, atol=1e-12)


def test_images_that_were_not_scored_have_no_rivalry():
    rivalry = Rivalry(3, Ranks.two_way, Ranks.two_way)
    assert rivalry.values(np.zeros(3, bool)).tolist() == [0, 0, 0]
