"""Re-pairings leave no image in its place."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scoring.compare import derangements_of


@given(n=st.integers(2, 70), count=st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_derangements_have_no_fixed_point(n, count):
    orders = derangements_of([f"im{k}" for k in range(n)], count)
    assert orders.shape == (min(count, n - 1), n)
    for order in orders:
        assert sorted(order) == list(range(n))
        assert (order != np.arange(n)).all()
    assert all(len(set(column)) == len(column) for column in orders.T)  # K different partners each


def test_one_image_cannot_be_shuffled():
    assert len(derangements_of(["only"], 50)) == 0
