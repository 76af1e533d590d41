"""Correlations of rows: scipy's, pair by pair as in one product, whatever the blocks, types and gaps."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from harness.metrics import correlations as module
from harness.metrics.correlations import Rows, correlations, correlations_of_pairs
from harness.metrics.identification import two_way

WAYS = {"product": 1e9, "pairs": 0}  # values of DENSE that leave one way only


@pytest.mark.parametrize("way", sorted(WAYS))
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(8, 90),
    offset=st.sampled_from([0.0, 2.0, 1e4]),
    scale=st.sampled_from([1e-36, 1.0, 1e30]),
    dtypes=st.tuples(*[st.sampled_from([np.float32, np.float64])] * 2),
    cached=st.sampled_from([2, 64, 1 << 17]),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pairs_equal_scipy(way, seed, count, offset, scale, dtypes, cached, monkeypatch):
    monkeypatch.setattr(module, "DENSE", WAYS[way])
    monkeypatch.setattr(module, "CACHED", cached)  # blocks of a single feature, of some, of all
    generator = np.random.default_rng(seed)
    sides = [
        (scale * (offset + generator.standard_normal((n, count)))).astype(dtype)
        for n, dtype in zip((7, 9), dtypes)
    ]
    i, j = generator.integers(0, 7, 30), generator.integers(0, 9, 30)  # in no order, some twice
    r = correlations_of_pairs(*map(Rows.of, sides), i, j)
    unit = [rows.astype(np.float64) / scale for rows in sides]
    expected = [pearsonr(unit[0][a], unit[1][b]).statistic for a, b in zip(i, j)]
    np.testing.assert_allclose(r, expected, rtol=0, atol=1e-14 * max(1.0, offset))


@pytest.mark.parametrize("way", sorted(WAYS))
def test_pairs_with_gaps_or_without_variance(way, monkeypatch):
    monkeypatch.setattr(module, "DENSE", WAYS[way])
    first, second = np.random.default_rng(0).standard_normal((2, 5, 40)).astype(np.float32)
    first[1], second[2] = 3.0, 0.1
    first[3, 4], second[3, 7], second[4, 0] = np.inf, np.nan, -np.inf
    i, j = (grid.ravel() for grid in np.meshgrid(range(5), range(5), indexing="ij"))
    with np.errstate(all="raise"):
        pairwise_r = correlations_of_pairs(Rows.of(first), Rows.of(second), i, j).reshape(5, 5)
    broken = np.zeros((5, 5), bool)
    broken[3], broken[:, 3:] = True, True
    assert np.array_equal(np.isnan(pairwise_r), broken)
    assert (pairwise_r[1, :3] == 0).all()
    assert (pairwise_r[:3, 2] == 0).all()
    varied = pairwise_r[np.ix_([0, 2], [0, 1])]
    expected = [[pearsonr(first[a], second[b]).statistic for b in (0, 1)] for a in (0, 2)]
    np.testing.assert_allclose(varied, expected, atol=1e-6)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_equal_rows_tie_exactly(way, monkeypatch):
    monkeypatch.setattr(module, "DENSE", WAYS[way])
    monkeypatch.setattr(module, "CACHED", 128)
    target, result = np.random.default_rng(0).standard_normal((2, 12, 301)).astype(np.float32)
    target[5], target[8] = target[2], 4 * target[2]
    tied_r = correlations_of_pairs(Rows.of(target), Rows.of(result), np.array([2, 5, 8]), np.array([2, 2, 2]))
    assert tied_r[0] == tied_r[1] == pytest.approx(tied_r[2], abs=1e-15)


@pytest.mark.parametrize("way", sorted(WAYS))
def test_counts_are_those_of_float64_whichever_way_close_pairs_are_decided(way, monkeypatch):
    monkeypatch.setattr(module, "DENSE", WAYS[way])
    generator = np.random.default_rng(1)
    target = np.repeat(generator.standard_normal((1, 5000)), 40, axis=0)
    target = (target + 1e-3 * generator.standard_normal(target.shape)).astype(np.float32)
    result = (target + 1e-3 * generator.standard_normal(target.shape)).astype(np.float32)
    similar = np.corrcoef(target, result)[:40, 40:]
    close = (np.abs(similar - np.diag(similar)) < 1e-5).mean()
    assert close > 0.9
    expected = (similar < np.diag(similar)).sum(axis=0) / 39
    assert np.array_equal(two_way(result, target, strict=True), expected)


@given(
    seed=st.integers(0, 10_000),
    offset=st.sampled_from([0.0, 0.5, 0.99, 1.5, 50.0]),
    scale=st.sampled_from([1e-30, 1e-14, 1.0, 1e13, 1e18]),
    flat=st.sampled_from([None, 0.0, 3e37]),
    gap=st.sampled_from([None, np.nan, np.inf]),
    rows=st.sampled_from([slice(None), np.arange(2, 7), np.array([5, 0, 6])]),
)
@settings(max_examples=60, deadline=None)
def test_float32_products_are_near_enough_wherever_features_lie(seed, offset, scale, flat, gap, rows):
    generator = np.random.default_rng(seed)
    sides = [scale * np.maximum(offset + generator.standard_normal((8, 3000)), 0) for _ in range(2)]
    sides[1] += 0.5 * sides[0]
    first, second = (side.astype(np.float32) for side in sides)
    if flat is not None:
        first[3] = flat
    if gap is not None:
        second[4, 100] = gap
    with np.errstate(all="raise", under="ignore"):
        r = correlations(Rows.of(first), Rows.of(second), dtype=np.float32, at=(rows, slice(None)))
    with np.errstate(invalid="ignore"):
        units = [
            side.astype(np.float64) - side.mean(axis=1, dtype=np.float64, keepdims=True)
            for side in (first, second)
        ]
        norms = [np.linalg.norm(unit, axis=1, keepdims=True) for unit in units]
        if flat is not None:
            norms[0][3] = np.inf  # correlates 0 with all
        expected = ((units[0] / norms[0]) @ (units[1] / norms[1]).T)[rows]
    np.testing.assert_allclose(r, expected, rtol=0, atol=2e-6)
    assert np.array_equal(np.isnan(r), np.isnan(expected))


def test_few_close_pairs_make_no_copy_of_the_rows_in_float64():
    rows = np.random.default_rng(0).standard_normal((2, 100, 20_000)).astype(np.float32)
    first, second = map(Rows.of, rows)
    every = np.arange(100)
    tracemalloc.start()
    pair_r = correlations_of_pairs(first, second, every, every)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows[0].nbytes / 4
    whole = correlations(first, second, dtype=np.float64)
    np.testing.assert_allclose(pair_r, np.diag(whole), rtol=0, atol=1e-15)


def test_rows_are_multiplied_as_they_are_only_where_float32_can_bear_it():
    rows = np.maximum(np.random.default_rng(0).standard_normal((6, 3000)), 0).astype(np.float32)
    assert Rows.of(rows).plain
    flat = np.vstack([rows, np.full((1, 3000), 0.1, np.float32)])
    assert Rows.of(flat).plain  # a row without variance counts for nothing
    for other in (rows.astype(np.float16), rows + 5, rows * np.float32(1e30), rows * np.float32(1e-30)):
        assert not Rows.of(other).plain
    rows[2, 7] = np.inf
    assert not Rows.of(rows).plain
