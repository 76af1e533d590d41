"""The sheet: neighbours, smooth fields, normal scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.benchmarks.sheet import normal_scores, patch, smooth_fields


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 900))
def test_neighbours_in_the_vector_touch_on_the_sheet(n_voxels: int) -> None:
    cells = patch(n_voxels)
    assert len(np.unique(cells, axis=0)) == n_voxels
    assert (np.abs(np.diff(cells, axis=0)).sum(axis=1) == 1).all()


def test_smooth_fields_have_unit_variance_and_the_stated_length() -> None:
    cells = patch(800)
    fields = smooth_fields(cells, 300, length=3.0, name="fields")
    assert fields.var() == pytest.approx(1.0, abs=0.05)
    far = np.abs(cells[:, None] - cells[None, :]).sum(axis=2)
    same_row = cells[:, None, 1] == cells[None, :, 1]
    correlation = fields @ fields.T / 300
    for distance in (3, 6):
        mean = correlation[same_row & (far == distance)].mean()
        assert mean == pytest.approx(np.exp(-(distance**2) / (2 * 3.0**2)), abs=0.05)


def test_normal_scores_keep_order_and_are_normal() -> None:
    values = np.array([3.0, -1.0, 100.0, 0.5])
    scores = normal_scores(values)
    assert np.array_equal(np.argsort(scores), np.argsort(values))
    many = normal_scores(np.arange(999.0) ** 3)
    assert many.mean() == pytest.approx(0.0, abs=1e-9)
    assert many.std() == pytest.approx(1.0, abs=0.01)
