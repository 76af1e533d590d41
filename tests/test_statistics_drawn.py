"""Scores that are no means over images: draws and contributions against loops, tests under no difference."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regional import Regional

from harness.metrics.moments import STATISTICS
from harness.stages.score import metric_ref
from harness.stages.score_draws import draw_regions, draw_seed, resample_regions, voxel_r_intervals
from harness.stages.score_responses import ResponseTarget, response_rows
from harness.statistics import bootstrap_weights, drawn_differences, drawn_interval, sign_flip_ps
from harness.store import Store

N, V = 30, 9
MEMBERS = np.array([np.ones(V, bool), np.arange(V) < 4, np.arange(V) == 8])


def responses(seed=0, n=N):
    """(n, V) predicted and measured; a constant voxel on either side, an offset, one that is almost flat."""
    draw = np.random.default_rng(seed)
    measured = draw.standard_normal((n, V)).astype(np.float32) + 2
    predicted = (0.5 * measured + draw.standard_normal((n, V))).astype(np.float32) - 1
    predicted[:, 1], measured[:, 8] = 0.3, 4.0
    measured[:, 2] = measured[0, 2]
    measured[: n // 3, 2] += 1
    return predicted, measured


CEILING = np.array([0.5, 0.4, np.nan, 0.0, 0.3, 0.6, 0.7, 0.2, 0.1])


def plain_mean(name, predicted, measured, ceiling, members):
    """Mean over the `members` that have a value, by the metric itself."""
    with np.errstate(all="ignore"):
        values = (
            metric_ref(name.partition("@")[0])
            .load()
            .score(predicted, measured, baseline=np.zeros(V), ceiling=ceiling)
        )
    known = values[members][np.isfinite(values[members])]
    return known.mean() if len(known) else np.nan


@pytest.mark.parametrize("name", STATISTICS)
def test_draws_and_contributions_are_the_metric_on_other_images(name):
    predicted, measured = responses()
    assert metric_ref(name.partition("@")[0]).label == name
    weights = bootstrap_weights(N, draws=40, seed=3)
    found = resample_regions([name], predicted, measured, MEMBERS, weights, ceiling=CEILING)
    for r, members in enumerate(MEMBERS):
        for d, copies in enumerate(weights.astype(int)):
            at = np.repeat(np.arange(N), copies)
            expected = plain_mean(name, predicted[at], measured[at], CEILING, members)
            assert found["draws"][0, r, d] == pytest.approx(expected, abs=1e-9, nan_ok=True)
        score = plain_mean(name, predicted, measured, CEILING, members)
        assert found["values"][0, r] == pytest.approx(score, abs=1e-9, nan_ok=True)
        left = [
            plain_mean(
                name, *(np.delete(side, k, axis=0) for side in (predicted, measured)), CEILING, members
            )
            for k in range(N)
        ]
        expected = score + (N - 1) * (np.mean(left) - np.array(left))
        assert found["contributions"][0, r] == pytest.approx(expected, abs=1e-7, nan_ok=True)
        assert found["contributions"][0, r].mean() == pytest.approx(score, abs=1e-7, nan_ok=True)
    assert np.isfinite(found["draws"][0, :2]).all()


def test_draws_of_voxel_r_are_those_of_corrcoef():
    predicted, measured = (side[:, [0, 3, 4, 5, 6, 7]] for side in responses(1))
    weights = bootstrap_weights(N, draws=60, seed=8)
    found = resample_regions(["voxel-r@1"], predicted, measured, np.ones((1, 6), bool), weights)
    for drawn, copies in zip(found["draws"][0, 0], weights.astype(int)):
        at = np.repeat(np.arange(N), copies)
        r = [np.corrcoef(predicted[at, v], measured[at, v])[0, 1] for v in range(6)]
        assert drawn == pytest.approx(np.mean(r), abs=1e-9)


def test_more_voxels_than_a_block_are_all_counted(monkeypatch):
    predicted, measured = responses(2)
    weights = bootstrap_weights(N, draws=20, seed=0)
    names = list(STATISTICS)
    once = resample_regions(names, predicted, measured, MEMBERS, weights, ceiling=CEILING)
    monkeypatch.setattr("harness.stages.score_draws.BLOCK", 4)
    parts = resample_regions(names, predicted, measured, MEMBERS, weights, ceiling=CEILING)
    for name, array in once.items():
        np.testing.assert_allclose(parts[name], array, atol=1e-9)


@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 10), shift=st.floats(-3, 3))
@settings(max_examples=15, deadline=None)
def test_r_does_not_know_scale_and_offset(seed, scale, shift):
    predicted, measured = responses(seed)
    weights = bootstrap_weights(N, draws=20, seed=seed)
    ours = resample_regions(["voxel-r@1"], predicted, measured, MEMBERS, weights)
    theirs = resample_regions(["voxel-r@1"], scale * predicted + shift, measured, MEMBERS, weights)
    for name in ("draws", "contributions"):
        np.testing.assert_allclose(theirs[name], ours[name], atol=1e-4)


@pytest.fixture(scope="module")
def data():
    return Regional(Regional.Params()).load("one")


def drawn(data, predicted, folder, **more):
    rows, target = response_rows(data, predicted[:, None]), ResponseTarget.of(data)
    return draw_regions(STATISTICS, rows, target, data, store=Store(folder), **more), rows


def test_draws_follow_from_the_ids_alone(data, tmp_path):
    """Other encoders share them, and so does another order of the images."""
    noise = np.random.default_rng(0).standard_normal((len(data.test), data.space.n_voxels))
    predicted = (0.5 * data.test.responses.mean() + 0.3 * noise).astype(np.float32)
    found, _ = drawn(data, predicted, tmp_path)
    back = tuple(reversed(data.test.stimuli.ids))
    moved, _ = drawn(replace(data, test=data.test.select(back)), predicted[::-1], tmp_path)
    assert len(found) == len(moved) > 0
    for one, other in zip(found, moved):
        np.testing.assert_allclose(other.draws, one.draws, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(other.contributions[::-1], one.contributions, rtol=1e-3, atol=1e-3)
    assert draw_seed(["a", "b"]) == draw_seed(["b", "a"]) != draw_seed(["a", "c"])


def test_the_interval_of_mean_voxel_r_is_of_the_same_draws(data, tmp_path):
    found, rows = drawn(data, 0.5 * data.test.responses.mean(), tmp_path, draws=200)
    intervals = voxel_r_intervals(found, rows)
    assert intervals["zero"] == intervals["train-mean"] == (0, 0, 0)  # constant: worth nothing, not drawn
    assert {one.row for one in found} == set(rows) - {"zero", "train-mean"}
    (own,) = (o for o in found if (o.metric, o.row, o.kind) == ("voxel-r@1", "predicted", "all"))
    low, high = np.percentile(own.draws, [2.5, 97.5]) - np.median(own.draws) + own.value
    assert intervals["predicted"] == pytest.approx((own.value, low, high))


def encoders(generator, *, n=50, better=0.0, scale=1.0):
    """Two predictions of the same measured responses with noise of their own, voxels correlated."""
    mixing = generator.standard_normal((5, 20)) / 2

    def noise():
        return generator.standard_normal((n, 5)) @ mixing + 0.5 * generator.standard_normal((n, 20))

    truth = generator.standard_normal((n, 5)) @ mixing
    return (1 + better) * truth + noise(), scale * (truth + noise()), truth + noise()


def compared(a, b, measured, *, seed, names=("voxel-r@1",), draws=200):
    weights = bootstrap_weights(len(measured), draws=draws, seed=seed)
    everywhere = np.ones((1, measured.shape[1]), bool)
    ceiling = np.full(measured.shape[1], 0.5)
    ours, theirs = (
        resample_regions(names, side, measured, everywhere, weights, ceiling=ceiling) for side in (a, b)
    )
    parts = {name: (ours[name] - theirs[name])[:, 0] for name in ours}
    return drawn_differences(
        parts["values"][None], parts["draws"][None], parts["contributions"].T[None], flips=499, seed=seed
    )


def test_no_difference_is_found_about_as_often_as_it_should():
    generator, found = np.random.default_rng(0), []
    for seed in range(300):
        a, b, measured = encoders(generator, scale=0.4)  # an encoder that shrinks is no worse by r
        found.append(compared(a, b, measured, seed=seed, names=("voxel-r@1", "voxel-r2-nc@1")))
    for k in range(2):
        assert 0.015 < np.mean([pair[k].p <= 0.05 for pair in found]) < 0.08
        assert np.mean([pair[k].low > 0 or pair[k].high < 0 for pair in found]) < 0.1
        assert np.mean([pair[k].p_bootstrap <= 0.05 for pair in found]) < 0.1
        assert np.mean([pair[k].p for pair in found]) == pytest.approx(0.5, abs=0.06)


def test_a_better_encoder_is_found_and_pairing_makes_it_sharp():
    a, b, measured = encoders(np.random.default_rng(1), n=200, better=1.0)
    (found,) = compared(a, b, measured, seed=0)
    assert found.p == 1 / 500
    assert 0 < found.low < found.mean < found.high
    (back,) = compared(b, a, measured, seed=0)
    assert (back.mean, back.p, back.p_bootstrap) == pytest.approx((-found.mean, found.p, found.p_bootstrap))
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))
    other = np.random.default_rng(2).permutation(200)
    unpaired = compared(a, b[other], measured, seed=0)[0]
    assert found.high - found.low < unpaired.high - unpaired.low


def test_equal_sides_differ_by_exactly_nothing():
    a, _, measured = encoders(np.random.default_rng(3))
    for found in compared(a, a.copy(), measured, seed=0, names=tuple(STATISTICS)):
        assert (found.mean, found.low, found.high, found.p, found.p_bootstrap) == (0, 0, 0, 1, 1)


def test_draws_and_contributions_spread_alike():
    """To first order a resample's score is the mean of its contributions."""
    a, _, measured = encoders(np.random.default_rng(4), n=300)
    weights = bootstrap_weights(300, draws=500, seed=1)
    found = resample_regions(["voxel-r@1"], a, measured, np.ones((1, 20), bool), weights)
    linear = weights @ found["contributions"][0, 0] / 300
    assert np.corrcoef(linear, found["draws"][0, 0])[0, 1] > 0.99
    assert linear.std() == pytest.approx(found["draws"].std(), rel=0.05)


def test_subjects_are_averaged_draw_by_draw():
    draw = np.random.default_rng(5)
    values, draws = draw.random((3, 2)), draw.random((3, 2, 400))
    contributions = draw.standard_normal((3, 25, 2))
    contributions[0, 20:] = np.nan  # images that a subject did not see
    found = drawn_differences(values, draws, contributions, flips=300, seed=6)
    ps = sign_flip_ps(contributions, draws=300, seed=6)
    for k, one in enumerate(found):
        pooled = draws[:, k].mean(axis=0)
        bounds = np.percentile(pooled, [2.5, 97.5]) - np.median(pooled) + values[:, k].mean()
        assert (one.low, one.high) == pytest.approx(tuple(bounds))
        assert (one.mean, one.p, one.n) == pytest.approx((values[:, k].mean(), ps[k], 25))


def test_one_image_has_a_score_but_no_interval():
    predicted, measured = responses(n=1)
    found = resample_regions(["voxel-mse@1"], predicted, measured, MEMBERS, np.ones((10, 1)))
    assert np.isfinite(found["values"]).all()
    assert np.isnan(found["contributions"]).all()
    assert np.isnan(drawn_interval(found["values"][0, 0], found["draws"][0, 0], 1).low)
