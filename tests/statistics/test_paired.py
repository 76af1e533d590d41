"""Paired tests: exact and normal sign flips, missing values, Holm's procedure."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.statistics import (
    holm,
    mean_interval,
    paired_difference,
    sign_flip_p,
)


def test_sign_flips_are_exact_for_few_images():
    differences = np.array([0.4, -0.1, 0.7, 0.2, 0.5, -0.3])
    sums = [
        abs(np.dot(signs, differences)) >= abs(differences.sum()) - 1e-12
        for signs in itertools.product((-1, 1), repeat=6)
    ]
    assert sign_flip_p(differences) == np.mean(sums)
    reference = stats.permutation_test(
        (differences, np.zeros(6)), lambda x, y: (x - y).mean(), permutation_type="samples"
    )
    assert sign_flip_p(differences) == pytest.approx(reference.pvalue)


def test_sign_flips_of_many_images_equal_the_t_test():
    generator = np.random.default_rng(0)
    for shift in (0.0, 0.1, 0.2):
        differences = generator.standard_normal(200) + shift
        expected = stats.ttest_1samp(differences, 0).pvalue
        assert sign_flip_p(differences) == pytest.approx(expected, abs=0.02)
    assert sign_flip_p(np.ones(200)) == 1 / 10_001  # the smallest that 10,000 draws can show


def test_sign_flip_p_is_uniform_under_no_difference():
    generator = np.random.default_rng(0)
    small = [sign_flip_p(generator.standard_normal(9)) for _ in range(300)]
    large = [sign_flip_p(generator.standard_normal(30), draws=300) for _ in range(300)]
    for pvalues in (small, large):
        assert np.mean(np.array(pvalues) <= 0.05) < 0.09
        assert np.mean(pvalues) == pytest.approx(0.5, abs=0.06)


def test_paired_differences_use_the_images_that_both_have():
    generator = np.random.default_rng(0)
    b = generator.standard_normal(100)
    a = b + 0.3 + 0.1 * generator.standard_normal(100)  # a small, consistent gain
    a[5], b[9] = np.nan, np.nan
    difference = paired_difference(a, b)
    assert difference.n == 98
    assert difference.mean == pytest.approx(np.nanmean(a - b))
    assert 0.25 < difference.low < difference.mean < difference.high < 0.35
    assert difference.p < 0.001
    back = paired_difference(b, a)
    assert (back.mean, back.p) == pytest.approx((-difference.mean, difference.p))
    assert (back.low, back.high) == pytest.approx((-difference.high, -difference.low), abs=1e-6)
    apart = mean_interval(a)
    assert difference.high - difference.low < 0.3 * (apart.high - apart.low)  # pairing is what makes it sharp


def test_no_difference_has_p_one():
    same = np.random.default_rng(0).random(40)
    difference = paired_difference(same, same)
    assert (difference.mean, difference.low, difference.high, difference.p) == (0, 0, 0, 1)
    assert np.isnan(paired_difference(np.array([np.nan]), np.array([1.0])).p)
    assert paired_difference(np.array([2.0]), np.array([1.0])).p == 1.0
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(4,\); expected the same \(N,\)"):
        paired_difference(np.zeros(3), np.zeros(4))


def test_holm_follows_the_step_down_procedure():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]).shape == (0,)
    with_gap = holm([0.01, np.nan, 0.03])
    assert np.isnan(with_gap[1])
    assert with_gap[[0, 2]] == pytest.approx([0.02, 0.03])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_holm_rejects_what_the_procedure_rejects(pvalues):
    adjusted = holm(pvalues)
    order = sorted(range(len(pvalues)), key=lambda k: pvalues[k])
    rejected = set()
    for rank, k in enumerate(order):  # stop at the first that fails its own threshold
        if pvalues[k] * (len(pvalues) - rank) > 0.05:
            break
        rejected.add(k)
    assert {k for k in range(len(pvalues)) if adjusted[k] <= 0.05} == rejected
    assert (adjusted >= np.array(pvalues)).all()
