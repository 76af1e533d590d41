"""Copies of one picture in a test set are no rivals of each other, in any score, control or re-pairing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named

from harness import plugins
from harness.metrics.encoding import pattern_two_way
from harness.metrics.identification import (
    identify,
    identify_deranged,
    n_way,
    n_way_with_rivalry,
    two_way,
    two_way_with_rivalry,
)
from harness.metrics.lookalikes import lookalike_two_way
from harness.metrics.retrieval import GALLERY, galleries, random_galleries, retrieval, retrieval_drawn
from harness.scoring.compare import derangements_of, turns
from harness.scoring.driver import too_few_images
from harness.scoring.scores import metric_ref
from harness.seeds import cyclic_order

SEEDS = st.integers(0, 10_000)
DIRECTIONS = st.sampled_from(["target", "result"])


def case(seed: int, n: int = 14, *, gap: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Results and targets (n, 3) of few levels, so with many ties, and copies (n,) with equal targets."""
    rng = np.random.default_rng(seed)
    copies = rng.integers(0, max(2, n // 2), n)
    result, target = rng.integers(-2, 3, (2, n, 3)).astype(np.float64)
    target = target[copies]
    if gap:
        result[rng.integers(n), 0] = np.nan
        target[rng.integers(n), 1] = np.nan  # one image of a picture cannot be scored, the others can
    return result, target, copies


def similar(result: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N, N) correlation of target i and result j, 0 for a flat row, NaN for one with a gap."""
    centred = [side - side.mean(axis=1, keepdims=True) for side in (target, result)]
    norms = [np.linalg.norm(side, axis=1) for side in centred]
    products = centred[0] @ centred[1].T / np.where(np.outer(*norms) > 1e-9, np.outer(*norms), 1)
    return np.where(np.isnan(np.outer(*norms)), np.nan, products)


def wins(own: float, rivals: list[float], *, strict: bool = False) -> float:
    scores = [1.0 if r < own - 1e-9 else 0.0 if r > own + 1e-9 or strict else 0.5 for r in rivals]
    return np.mean(scores) if scores else np.nan


def brute_two_way(r: np.ndarray, copies: np.ndarray, *, at: np.ndarray | None = None, strict: bool = False):
    """(N,) win rates of candidate ``at[j]`` for chooser j; ``r[i, j]`` says how alike candidate i is to j."""
    at = np.arange(len(r)) if at is None else at
    rates = []
    for j, own in enumerate(at):
        rivals = [r[i, j] for i in range(len(r)) if copies[i] != copies[own] and np.isfinite(r[i, j])]
        rates.append(wins(r[own, j], rivals, strict=strict) if np.isfinite(r[own, j]) else np.nan)
    return np.array(rates)


def brute_n_way(r: np.ndarray, copies: np.ndarray, n: int) -> np.ndarray:
    """(N,) expected top-1 among n, every draw of n - 1 other pictures listed."""
    rates = []
    for j in range(len(r)):
        usable = [i for i in range(len(r)) if np.isfinite(r[i]).any()]
        pictures = {copies[i]: i for i in reversed(usable) if copies[i] != copies[j]}  # first of each
        hits = []
        for rivals in itertools.combinations(pictures.values(), n - 1):
            candidates = [r[i, j] for i in (*rivals, j)]
            if not np.isfinite(candidates).all():
                continue
            level = sum(abs(r_of_candidate - max(candidates)) < 1e-9 for r_of_candidate in candidates)
            hits.append((r[j, j] > max(candidates) - 1e-9) / level)
        rates.append(np.mean(hits) if hits and np.isfinite(r[j, j]) else np.nan)
    return np.array(rates)


# Win rates


@given(seed=SEEDS, n=st.integers(2, 16), choose=DIRECTIONS, strict=st.booleans())
@settings(max_examples=40, deadline=None)
def test_two_way_equals_listing_all_rivals_that_are_no_copies(seed, n, choose, strict):
    result, target, copies = case(seed, n)
    r = similar(result, target)
    expected = brute_two_way(r if choose == "target" else r.T, copies, strict=strict)
    values = two_way(result, target, choose=choose, strict=strict, copies=copies)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    both = two_way_with_rivalry(result, target, choose=choose, strict=strict, copies=copies)
    np.testing.assert_array_equal(both[0], values)
    if choose == "target":
        for device in (None, "cpu"):
            how = {"candidates": 2, "strict": strict, "copies": copies, "device": device}
            np.testing.assert_array_equal(identify(result, target, **how), values)
            np.testing.assert_allclose(identify(result, target, **how, rivalry=True), both, atol=1e-12)
        one_kind = lookalike_two_way(result, target, kind=np.zeros(n), strict=strict, copies=copies)
        np.testing.assert_array_equal(one_kind, values)


@given(seed=SEEDS, n=st.integers(2, 4), choose=DIRECTIONS)
@settings(max_examples=25, deadline=None)
def test_n_way_equals_listing_every_draw_of_other_pictures(seed, n, choose):
    result, target, copies = case(seed, 12)
    r = similar(result, target)
    expected = brute_n_way(r if choose == "target" else r.T, copies, n)
    values = n_way(result, target, n, choose=choose, copies=copies)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    both = n_way_with_rivalry(result, target, n, choose=choose, copies=copies)
    np.testing.assert_array_equal(both[0], values)
    if choose == "target" and n > 2:
        for device in (None, "cpu"):
            how = {"candidates": n, "copies": copies, "device": device}
            np.testing.assert_array_equal(identify(result, target, **how), values)


@given(seed=SEEDS, choose=DIRECTIONS)
@settings(max_examples=15, deadline=None)
def test_rivalry_is_what_leaving_the_image_out_changes(seed, choose):
    result, target, copies = case(seed, gap=False)
    copies[:4], copies[4:8] = copies[0], copies[4] + 100  # two pictures at least, so that all have rivals
    target[:4], target[4:8] = target[0], target[4]
    values, rivalry = two_way_with_rivalry(result, target, choose=choose, copies=copies)
    changes = np.zeros(len(values))
    for i in range(len(values)):
        rest = np.delete(np.arange(len(values)), i)
        without = two_way(result[rest], target[rest], choose=choose, copies=copies[rest])
        changes[i] = (values[rest] - without).sum()
    np.testing.assert_allclose(rivalry, changes - changes.mean(), atol=1e-9)


@given(seed=SEEDS, candidates=st.sampled_from([2, 3]), strict=st.booleans())
@settings(max_examples=20, deadline=None)
def test_a_shuffled_control_counts_no_copy_as_a_stranger(seed, candidates, strict):
    """Also of re-pairings that the engine does not draw, which put some images at their own copies."""
    result, target, copies = case(seed)
    n = len(copies)
    orders = np.stack([np.roll(np.arange(n), k) for k in (1, 3, 6)])
    how = {"candidates": candidates, "strict": strict, "copies": copies}
    values = identify_deranged(result, target, orders, **how)
    each = np.array([identify(result[order], target, **how) for order in orders])
    each[copies[orders] == copies] = np.nan  # whose own picture this is
    with np.errstate(invalid="ignore"):
        expected = np.nansum(each, axis=0) / np.isfinite(each).sum(axis=0)
    np.testing.assert_allclose(values, expected, atol=1e-12)
    for more in ({"device": "cpu"}, {"rivalry": True}, {"device": "cpu", "rivalry": True}):
        again = identify_deranged(result, target, orders, **how, **more)
        np.testing.assert_allclose(again[0] if "rivalry" in more else again, values, atol=1e-12)


def test_look_alikes_and_patterns_leave_copies_out_too():
    rng = np.random.default_rng(3)
    copies, kind = np.repeat(np.arange(10), 3), np.repeat(np.arange(10) % 4, 3)
    target = rng.standard_normal((10, 9))[copies]
    result = target + 2 * rng.standard_normal(target.shape)
    values = lookalike_two_way(result, target, kind=kind, copies=copies)
    for shown in range(4):
        own = kind == shown
        np.testing.assert_array_equal(values[own], two_way(result[own], target[own], copies=copies[own]))
    alone = lookalike_two_way(result, target, kind=copies, copies=copies, rivalry=True)
    assert np.isnan(alone[0]).all()  # whoever is like nothing but its copies has no look-alike
    assert not alone[1].any()
    baseline = np.full(9, 0.1)
    both = pattern_two_way(result, target, baseline, copies=copies, rivalry=True)
    np.testing.assert_allclose(both, two_way_with_rivalry(result, target, copies=copies), atol=1e-9)
    np.testing.assert_array_equal(both[0], pattern_two_way(result, target, baseline, copies=copies))


# Retrieval


@given(seed=SEEDS, n=st.integers(2, 15), given_image=st.booleans())
@settings(max_examples=40, deadline=None)
def test_retrieval_equals_a_loop_over_other_pictures(seed, n, given_image):
    rng = np.random.default_rng(seed)
    copies = rng.integers(0, n // 2 + 1, n)
    cosines = rng.integers(-2, 3, (n, n)).astype(np.float64)
    cosines[:, rng.integers(n)] = np.nan
    ids = [f"image-{k}" for k in range(n)]
    asked = cosines.T if given_image else cosines
    expected = []
    for j in range(n):
        present = [i for i in range(n) if np.isfinite(asked[:, i]).any()]
        pictures = {copies[i]: i for i in reversed(present) if copies[i] != copies[j]}
        rivals = [asked[j, i] for i in pictures.values() if np.isfinite(asked[j, i])]
        best = max(rivals, default=np.nan)
        hit = 0.0 if asked[j, j] < best else 1 / (1 + rivals.count(asked[j, j]))
        expected.append(hit if rivals and np.isfinite(asked[j, j]) else np.nan)
    values = retrieval(cosines, ids=ids, given_image=given_image, copies=copies)
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_galleries_are_of_different_pictures_and_chance_is_one_in_a_gallery():
    rng = np.random.default_rng(0)
    copies = np.repeat(np.arange(650), 2)
    ids = [f"image-{k:04d}" for k in range(1300)]
    drawn = galleries(ids, copies=copies), random_galleries(ids, copies=copies)
    assert [len(gallery) for gallery in drawn] == [2, 30]
    for at in itertools.chain(*drawn):
        assert len(at) == 2 * GALLERY
        assert len(set(copies[at])) == GALLERY
    assert random_galleries(ids[:599], copies=copies[:599]) != []
    assert random_galleries(ids[:598], copies=copies[:598]) == []
    hits = []
    for _ in range(4):
        cosines = rng.standard_normal((1300, 650))[:, copies]  # copies have one true embedding
        hits += [retrieval(cosines, ids=ids, given_image=False, copies=copies)]
    assert np.isfinite(hits).sum() == 4 * 1200
    assert np.nanmean(hits) == pytest.approx(1 / GALLERY, abs=3 * np.sqrt(1 / GALLERY / 2400))
    cosines = rng.standard_normal((1300, 1300)) + 3 * np.eye(1300)
    of_draws = []
    for at in drawn[1]:
        sides = cosines[np.ix_(at, at)], [ids[k] for k in at], copies[at]
        of_draws.append(retrieval(sides[0], ids=sides[1], given_image=True, copies=sides[2]).mean())
    values = retrieval_drawn(cosines, ids=ids, given_image=True, copies=copies)
    assert values.mean() == pytest.approx(np.mean(of_draws), abs=1e-12)


# Without copies, and every row of the catalogue


def test_every_identification_row_knows_copies_and_wants_a_rival():
    ranked = []
    for ref in plugins.available("metrics"):
        if not ref.module.startswith("harness."):
            continue
        row = metric_ref(ref.name).load()
        if row.pool and row.chance:
            ranked.append(ref.name)
            assert "copies" in row.gets, ref.name
            assert row.smallest_pool >= 2, ref.name
            assert "has no rival" in too_few_images(row, 1)
            assert too_few_images(row, 30, 1) == "one test image, listed 30 times, has no rival"
    families = {"clip", "clip-strict-v2", "brain-diffuser-alexnet2", "pixel-100way", "pattern-2way"}
    assert families | {"image-retrieval", "brain-retrieval-300x30", "clip-lookalike@tiny"} <= set(ranked)
    short = "it needs 100 different test images and there are 40, listed 120 times"
    assert too_few_images(metric_ref("pixel-100way").load(), 120, 40) == short


RANKED = ("pixel-2way", "pixel-2way-strict", "pixel-100way", "clip-lookalike@tiny", "pattern-2way")
RETRIEVED = ("image-retrieval", "brain-retrieval", "image-retrieval-300x30", "brain-retrieval-300x30")


@pytest.mark.parametrize("name", RANKED + RETRIEVED)
def test_perfect_reconstructions_of_images_that_come_three_times_have_one(name):
    pictures = 301 if name.endswith("300x30") else 104
    copies = np.tile(np.arange(pictures), 3)
    target = np.random.default_rng(1).standard_normal((pictures, 30))[copies]
    if name in RETRIEVED:
        more = {"ids": [f"im{k}" for k in range(len(copies))]}
        target /= np.linalg.norm(target, axis=1, keepdims=True)
        sides = (target @ target.T,)
    else:
        more = {"kind": copies % 4} if "lookalike" in name else {}
        sides = (target, target, *([np.zeros(30)] if name == "pattern-2way" else []))
    score = metric_named(name).score
    assert np.nanmean(score(*sides, copies=copies, **more)) == pytest.approx(1.0, abs=1e-12)
    assert np.nanmean(score(*sides, **more)) < 0.999
    different = np.arange(len(copies))
    np.testing.assert_array_equal(score(*sides, copies=different, **more), score(*sides, **more))


# Re-pairings


@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=9), count=st.integers(1, 60), seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_no_re_pairing_puts_an_image_at_a_copy(sizes, count, seed):
    copies = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    n = len(copies)
    ids = [f"im{k}" for k in range(n)]
    orders = derangements_of(ids, count, copies=copies)
    assert len(orders) == min(count, max(0, n - 2 * max(sizes) + 1))
    assert (len(orders) == 0) == (2 * max(sizes) > n)  # where one picture is more than half, there is none
    for order in orders:
        assert (np.sort(order) == np.arange(n)).all()
        assert (copies[order] != copies).all()
    for first, second in itertools.combinations(orders, 2):
        assert (first != second).all()
    single = np.arange(n)
    np.testing.assert_array_equal(derangements_of(ids, count, copies=single), derangements_of(ids, count))
    np.testing.assert_array_equal(cyclic_order(ids, single), cyclic_order(ids))
    assert turns(n, count, single) == turns(n, count) == range(1, min(count, n - 1) + 1)
