"""Effect sizes of paired differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.statistics import paired_effects


def test_the_mean_is_in_units_of_its_spread_over_images():
    differences = np.array([[0.3, 1.0], [0.1, 1.0], [-0.1, 1.0], [np.nan, 1.0]])
    first, constant = paired_effects(differences)
    assert first.d == pytest.approx(0.1 / 0.2)
    assert first.above == pytest.approx(2 / 3)
    assert math.isnan(constant.d)
    assert constant.above == 1


def test_ties_count_half_and_nothing_scored_is_no_effect():
    tied, empty = paired_effects(np.array([[0.0, np.nan], [0.2, np.nan]]))
    assert tied.above == 0.75
    assert math.isnan(empty.d)
    assert math.isnan(empty.above)


def test_an_image_is_averaged_over_the_subjects_that_have_it():
    cube = np.array([[[0.2], [0.4]], [[0.4], [np.nan]], [[np.nan], [np.nan]]])
    (effect,) = paired_effects(cube)
    assert effect.d == pytest.approx(0.35 / np.std([0.3, 0.4], ddof=1))
