"""Encoding scores: equality with numpy, scipy and scikit-learn; conventions; null and floor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named
from scipy.spatial.distance import pdist
from scipy.stats import pearsonr
from sklearn.metrics import mean_squared_error, r2_score

from harness.errors import DataError
from harness.metrics import encoding
from harness.metrics.identification import two_way

N, V = 40, 30
CLASSES = (
    *("voxel-r", "voxel-r2", "voxel-mse", "voxel-r2-nc", "variance-ratio"),
    *("pattern-r", "pattern-r-raw", "pattern-2way", "rsa"),
)


@pytest.fixture
def data():
    """Predicted and measured (N, V) float32, with voxel means that differ, and their baseline."""
    generator = np.random.default_rng(0)
    baseline = 3 * generator.standard_normal(V)
    signal = generator.standard_normal((N, V))
    measured = baseline + signal + generator.standard_normal((N, V))
    predicted = baseline + 0.4 * signal + 0.2 * generator.standard_normal((N, V))
    return predicted.astype(np.float32), measured.astype(np.float32), baseline.astype(np.float32)


def score(name, predicted, measured, baseline, ceiling=None):
    metric = metric_named(name)
    offered = {"baseline": baseline, "ceiling": ceiling}
    return metric.score(predicted, measured, **{key: offered[key] for key in metric.gets if key in offered})


def test_voxel_scores_equal_other_implementations(data):
    predicted, measured, baseline = data
    exact = predicted.astype(float), measured.astype(float)
    columns = list(zip(exact[0].T, exact[1].T))
    expected = {
        "voxel-r": [pearsonr(x, y).statistic for x, y in columns],
        "voxel-r2": r2_score(exact[1], exact[0], multioutput="raw_values"),
        "voxel-mse": mean_squared_error(exact[1], exact[0], multioutput="raw_values"),
        "variance-ratio": exact[0].std(axis=0) / exact[1].std(axis=0),
    }
    for cls, values in expected.items():
        np.testing.assert_allclose(score(cls, predicted, measured, baseline), values, rtol=1e-10, err_msg=cls)


def test_pattern_scores_equal_other_implementations(data):
    x, y, b = (side.astype(float) for side in data)
    rows = range(N)
    raw = [np.corrcoef(x[k], y[k])[0, 1] for k in rows]
    centred = [np.corrcoef(x[k] - b, y[k] - b)[0, 1] for k in rows]
    np.testing.assert_allclose(score("pattern-r-raw", *data), raw, rtol=1e-10)
    np.testing.assert_allclose(score("pattern-r", *data), centred, rtol=1e-10)
    r = np.corrcoef(y - b, x - b)[:N, N:]  # measured i, predicted j
    expected = ((r < np.diag(r)).sum(axis=0)) / (N - 1)
    np.testing.assert_allclose(score("pattern-2way", *data), expected)
    rdms = [pdist(side, "correlation") for side in (x, y)]
    assert score("rsa", *data) == pytest.approx(np.corrcoef(*rdms)[0, 1], abs=1e-10)


def test_the_mean_pattern_flatters_only_the_raw_correlation(data):
    _, measured, baseline = data
    blind = np.tile(baseline, (N, 1))  # the training mean, whatever the image
    assert score("pattern-r-raw", blind, measured, baseline).mean() > 0.8
    assert np.array_equal(score("pattern-r", blind, measured, baseline), np.zeros(N))
    assert np.array_equal(score("voxel-r", blind, measured, baseline), np.zeros(V))
    assert np.array_equal(score("pattern-2way", blind, measured, baseline), np.full(N, 0.5))
    assert score("rsa", blind, measured, baseline) == 0.0
    assert two_way(blind, measured).mean() == pytest.approx(0.5, abs=0.05)


def test_normalised_r2_is_not_clipped_above_and_needs_a_ceiling(data):
    predicted, measured, baseline = data
    ceiling = np.full(V, 0.1)
    ceiling[:2] = 0.0, np.nan
    values = score("voxel-r2-nc", predicted, measured, baseline, ceiling)
    r = encoding.voxel_r(predicted, measured)
    assert np.isnan(values[:2]).all()
    np.testing.assert_allclose(values[2:], r[2:] ** 2 / 0.1)
    assert values[2:].max() > 1
    negative = score("voxel-r2-nc", -predicted, measured, baseline, ceiling)
    assert (negative[2:] == 0).all()
    assert np.isnan(score("voxel-r2-nc", predicted, measured, baseline, None)).all()


def test_constant_predictions_are_zero_and_constant_measurements_nan(data):
    predicted, measured, _ = (side.copy() for side in data)
    predicted[:, 0] = 1e6 + 0.1  # not representable: the mean of equal numbers may round
    measured[:, 1] = -0.1
    predicted[:, 2], measured[:, 2] = 0.3, 0.7
    r, ratio = encoding.voxel_r(predicted, measured), encoding.variance_ratio(predicted, measured)
    r2 = encoding.voxel_r2(predicted, measured)
    assert r[0] == 0
    assert ratio[0] == pytest.approx(0, abs=1e-6)
    assert r2[0] < 0
    for values in (r, ratio, r2):
        assert np.isnan(values[[1, 2]]).all()
        assert np.isfinite(values[3:]).all()
    assert np.isfinite(encoding.voxel_mse(predicted, measured)).all()


def test_one_image_has_an_error_but_no_correlation(data):
    single_image = tuple(side[:1] for side in data[:2])
    assert np.isnan(encoding.voxel_r(*single_image)).all()
    assert np.isnan(encoding.voxel_r2(*single_image)).all()
    assert np.isnan(encoding.variance_ratio(*single_image)).all()
    np.testing.assert_allclose(
        encoding.voxel_mse(*single_image), (single_image[0] - single_image[1])[0] ** 2, rtol=1e-5
    )
    assert np.isfinite(encoding.pattern_r(*single_image)).all()
    assert np.isnan(encoding.pattern_two_way(*single_image, data[2])).all()
    assert np.isnan(encoding.rsa(*single_image))


def test_nan_stays_in_its_voxel(data):
    predicted, measured, baseline = (side.copy() for side in data)
    predicted[3, 5] = np.nan
    for cls in ("voxel-r", "voxel-r2", "voxel-mse", "variance-ratio"):
        values = score(cls, predicted, measured, baseline)
        assert np.flatnonzero(np.isnan(values)).tolist() == [5], cls
    assert np.flatnonzero(np.isnan(encoding.pattern_r(predicted, measured))).tolist() == [3]


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-3, 1.0, 1e4]))
@settings(max_examples=20, deadline=None)
def test_perfect_predictions_and_invariances(seed, scale):
    generator = np.random.default_rng(seed)
    measured = (scale * generator.standard_normal((12, 9))).astype(np.float32)
    predicted = (scale * generator.standard_normal((12, 9))).astype(np.float32)
    baseline = np.zeros(9)
    assert encoding.voxel_r(measured, measured) == pytest.approx(np.ones(9))
    assert encoding.voxel_r2(measured, measured) == pytest.approx(np.ones(9))
    assert encoding.rsa(measured, measured) == pytest.approx(1.0)
    assert (encoding.pattern_two_way(measured, measured, baseline) == 1).all()
    r = encoding.voxel_r(predicted, measured)
    np.testing.assert_allclose(encoding.voxel_r(-2 * predicted + scale, measured), -r, atol=1e-5)
    images, voxels = generator.permutation(12), generator.permutation(9)
    np.testing.assert_allclose(encoding.voxel_r(predicted[images], measured[images]), r, atol=1e-12)
    assert np.array_equal(encoding.voxel_r(predicted[:, voxels], measured[:, voxels]), r[voxels])


def test_blocks_do_not_change_the_values(data, monkeypatch):
    predicted, measured, baseline = data
    whole = [score(cls, predicted, measured, baseline, np.full(V, 0.5)) for cls in CLASSES]
    monkeypatch.setattr(encoding, "BLOCK", 100)
    blocks = [score(cls, predicted, measured, baseline, np.full(V, 0.5)) for cls in CLASSES]
    for cls, at_once, in_blocks in zip(CLASSES, whole, blocks):
        np.testing.assert_allclose(in_blocks, at_once, rtol=1e-12, err_msg=cls)


def test_units_say_what_score_returns(data):
    for cls in CLASSES:
        values = np.asarray(score(cls, *data, ceiling=np.full(V, 0.5)))
        assert values.shape == {"voxel": (V,), "image": (N,), "set": ()}[metric_named(cls).unit], cls
    assert not metric_named("voxel-mse").higher_is_better


def test_null_predictor_and_noise_floor_match_a_simulation():
    """Unit-variance trials, unequal repeats: error of zeros, of the truth, and the ceiling."""
    generator = np.random.default_rng(0)
    n, ncsnr = 40_000, np.array([0.2, 0.5, 1.0, 2.0])
    counts = generator.integers(1, 4, n)
    noise_sd = np.sqrt(1 / (1 + ncsnr**2))
    truth = ncsnr * noise_sd * generator.standard_normal((n, 4))
    noise = noise_sd * generator.standard_normal((n, 4)) / np.sqrt(counts)[:, None]
    measured = truth + noise
    floor = encoding.noise_floor(ncsnr, counts)
    np.testing.assert_allclose(encoding.voxel_mse(truth, measured), floor, rtol=0.03)
    null = encoding.voxel_mse(np.zeros_like(measured), measured)
    np.testing.assert_allclose(null, truth.var(axis=0) + floor, rtol=0.03)
    ceiling = ncsnr**2 / (ncsnr**2 + np.mean(1 / counts))
    assert encoding.voxel_r2_nc(truth, measured, ceiling) == pytest.approx(np.ones(4), abs=0.1)


def test_noise_floor_gives_the_figures_of_nsd():
    """Three repeats, median ncsnr of subjects 1 and 8 in nsdgeneral: 0.295 and 0.317."""
    assert encoding.noise_floor(np.array([0.361, 0.226]), np.full(10, 3)) == pytest.approx(
        [0.295, 0.317], abs=5e-4
    )


def test_patterns_without_variance_are_far_from_every_other(data):
    patterns = data[1].copy()
    patterns[0] = 2.5
    distances = encoding.dissimilarities(patterns)
    assert np.array_equal(distances[: N - 1], np.ones(N - 1))
    assert np.isfinite(encoding.rsa(data[0], patterns))


def test_responses_of_different_shapes_are_refused(data):
    predicted, measured, _ = data
    for wrong in (predicted[:-1], predicted[:, :-1], predicted[0]):
        with pytest.raises(DataError, match=r"expected the same \(images, voxels\)"):
            encoding.voxel_r(wrong, measured)
