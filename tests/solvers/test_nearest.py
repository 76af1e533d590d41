"""The nearest patterns: brute force, ties, constants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.api import (
    DataError,
)
from harness.solvers import nearest as nearest_module
from harness.solvers.nearest import nearest, nearest_with_r


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 12),
    m=st.integers(1, 30),
    v=st.integers(3, 40),
    block=st.integers(1, 9),
    seed=st.integers(0, 999),
)
def test_nearest_equals_brute_force(n, m, v, block, seed):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(n, v)).astype(np.float32) * 10 + 100
    patterns = rng.normal(size=(m, v)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest_module, "BLOCK", block)
        positions = nearest(inputs, patterns)
    np.testing.assert_array_equal(positions, np.corrcoef(inputs, patterns)[:n, n:].argmax(axis=1))


def test_nearest_takes_the_first_of_equals_and_leaves_constants_out(monkeypatch):
    monkeypatch.setattr(nearest_module, "BLOCK", 4)
    rng = np.random.default_rng(0)
    patterns = rng.normal(size=(23, 101)).astype(np.float32)
    patterns[9] = 3.0
    # Scaled and shifted copies correlate 1 as well, in the same block and in later ones.
    copies = [patterns[:8] * 2 + 1, patterns[:8] * 0.5]
    inputs = np.concatenate([patterns, np.zeros((1, 101), np.float32)])
    positions = nearest(inputs, np.concatenate([patterns, *copies]))
    kept = np.delete(np.arange(23), 9)
    np.testing.assert_array_equal(positions[kept], kept)
    assert positions[9] == positions[23] == 0
    monkeypatch.setattr(nearest_module, "BLOCK", 64)
    same = np.arange(1, 41, dtype=np.float32)[:, None] * patterns[0]  # r = 1 up to the last bits
    np.testing.assert_array_equal(nearest(same, same), np.zeros(40))
    with pytest.raises(DataError, match=r"inputs of shape \(2, 5\) with patterns of shape \(3, 4\)"):
        nearest(np.zeros((2, 5)), np.zeros((3, 4)))


def test_a_barred_position_leaves_the_next_best():
    generator = np.random.default_rng(3)
    patterns = generator.standard_normal((1500, 12))
    at, r = nearest_with_r(patterns, patterns, barred=np.arange(1500))
    correlations = np.corrcoef(patterns)
    np.fill_diagonal(correlations, -np.inf)
    np.testing.assert_array_equal(at, correlations.argmax(axis=1))
    np.testing.assert_allclose(r, correlations.max(axis=1))
