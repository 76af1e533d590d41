"""Kendall's tau of two scores' orders, and its interval over images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from harness.statistics.orders import order_agreement, order_agreements, tau_b


def test_tau_is_that_of_scipy_with_ties():
    rng = np.random.default_rng(0)
    for _ in range(20):
        first, second = rng.integers(0, 5, (2, 7)).astype(float)
        assert tau_b(first, second) == pytest.approx(kendalltau(first, second).statistic)
    assert np.isnan(tau_b(np.ones(3), np.arange(3.0)))


def test_clear_orders_have_narrow_intervals_and_equal_systems_wide_ones():
    rng = np.random.default_rng(0)
    steps = np.arange(6.0)
    clear = steps + 0.1 * rng.standard_normal((80, 6))
    same = order_agreement(clear, clear + 0.1 * rng.standard_normal((80, 6)))
    assert (same.value, same.low, same.high) == (1, 1, 1)
    assert order_agreement(-clear, steps).value == -1
    vague = order_agreement(rng.standard_normal((80, 6)), steps)
    assert vague.high - vague.low > 0.5
    again = order_agreement(clear, steps)
    assert again == order_agreement(clear, steps)


def test_intervals_hold_what_other_images_give():
    """Of 60 sets of images, about 95 % have intervals that hold the order of endless images."""
    rng = np.random.default_rng(1)
    truth = np.arange(5) * 0.5
    held = 0
    for _ in range(60):
        agreement = order_agreement(truth + 2 * rng.standard_normal((60, 5)), truth, draws=300)
        held += agreement.low <= 1 <= agreement.high
    assert held >= 48


def test_images_that_some_system_lacks_are_left_out():
    values = np.array([[0.0, 1], [5, np.nan], [0, 1]])
    assert order_agreement(values, np.array([0.0, 1])).value == 1
    nothing = order_agreement(np.full((3, 2), np.nan), np.array([0.0, 1]))
    assert np.isnan(nothing.value)
    whole = order_agreement(np.array([1.0, 2, 3]), np.array([1.0, 2, 3]))
    assert whole.value == 1
    assert np.isnan(whole.low)


def test_many_pairs_that_share_their_draws_are_the_pairs_by_themselves():
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (30, 1)) + rng.normal(0, 1, (30, 7)) + 0.2 * np.arange(7)
    values[:, 6] = values[:, 0]  # equal systems
    pairs = [((0, 1, 2), (3, 4, 5)), ((0, 1, 2), (2, 0, 1)), ((0, 6), (1, 2)), ((0, 6, 1), (3, 4, 5))]
    holes = values.copy()
    holes[4, 1] = np.nan
    for table in (values, holes):
        together = order_agreements(table, pairs)
        for (a, b), tau in zip(pairs, together, strict=True):
            alone = order_agreement(table[:, list(a)], table[:, list(b)])
            np.testing.assert_allclose(
                [tau.value, tau.low, tau.high], [alone.value, alone.low, alone.high], rtol=1e-12
            )
    assert np.isnan(together[2].value)
