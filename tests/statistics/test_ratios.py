"""Ratios of means with Fieller's interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from harness.statistics.ratios import ratio_of_means

VALUES = arrays(float, 9, elements=st.floats(1, 3))


@settings(max_examples=30, deadline=None)
@given(x=VALUES, y=VALUES, factor=st.floats(0.1, 10))
def test_ratios_scale_and_are_one_of_a_thing_to_itself(x: np.ndarray, y: np.ndarray, factor: float) -> None:
    ours = ratio_of_means(x, y)
    assert ratio_of_means(factor * x, y) == pytest.approx(np.multiply(ours, factor))
    assert ratio_of_means(x, x) == pytest.approx((1, 1, 1))
    assert ours[1] <= ours[2]
    holes = np.r_[np.nan, x, 3.0], np.r_[2.0, y, np.nan]
    assert ratio_of_means(*holes) == pytest.approx(ours)


@pytest.mark.parametrize("y", [[0.0] * 4, [-1.0, 1, -1, 1], [5.0, np.nan, np.nan, np.nan]])
def test_nothing_is_divided_by_what_may_be_zero(y: list[float]) -> None:
    assert np.isnan(ratio_of_means(np.ones(4), np.array(y))).all()


def test_the_interval_holds_the_ratios_that_students_test_does_not_reject():
    """Fieller's definition: at its ends the mean of x - q y is just told from 0."""
    rng = np.random.default_rng(4)
    y = rng.normal(2, 0.5, 30)
    x = 0.6 * y + rng.normal(0, 0.3, 30)
    ratio, low, high = ratio_of_means(x, y, level=0.9)
    assert low < ratio < high
    assert ratio == pytest.approx(x.mean() / y.mean())
    for end in (low, high):
        assert stats.ttest_1samp(x - end * y, 0).pvalue == pytest.approx(0.1)
    assert stats.ttest_1samp(x - ratio * y, 0).pvalue > 0.9
