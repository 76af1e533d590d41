"""What every encoding score that is installed keeps to, whatever it measures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named

from harness import plugins

N, V, R, S = 14, 9, 3, 4
LABELS = np.array(["face", "house", "word"])


def response_metrics():
    metrics = {}
    for ref in plugins.available("metrics"):
        if ref.module.startswith("harness.metrics."):
            plugin = metric_named(ref.name)
            if plugin.inputs == "responses":
                metrics[ref.name] = plugin
    return metrics


METRICS = response_metrics()
ALL = sorted(METRICS)
NO_SAMPLES = [name for name in ALL if "samples" not in METRICS[name].gets]
# Of the plain mean over repeats; SynBrain's trials and other targets differ from what is predicted.
BEST = {
    **dict.fromkeys(("voxel-r", "voxel-r2", "pattern-r", "pattern-r-raw", "pattern-2way"), 1.0),
    **dict.fromkeys(("pattern-cosine", "rsa", "rsa-spearman", "cka", "cka-debiased"), 1.0),
    **dict.fromkeys(("variance-ratio", "category-contrast", "category-profile"), 1.0),
    **dict.fromkeys(("mindsimulator-r", "mindsimulator-r2"), 1.0),
    **dict.fromkeys(("voxel-mse", "mindsimulator-mse"), 0.0),
}


def draw(seed, *, n=N, scale=1.0):
    """Everything a metric may ask for: predicted, baseline, ceiling, trials, image_index, samples, labels."""
    generator = np.random.default_rng(seed)
    truth = generator.standard_normal((n, V))
    index = generator.permutation(np.repeat(np.arange(n), R))
    trials = truth[index] + generator.standard_normal((len(index), V))
    samples = 0.6 * truth[:, None] + 0.4 * generator.standard_normal((n, S, V))
    labels = LABELS[np.arange(n) % len(LABELS)]
    return {
        "trials": (scale * trials).astype(np.float32),
        "image_index": index,
        "samples": (scale * samples).astype(np.float32),
        "labels": {"category": labels},
        "baseline": np.full(V, 0.1 * scale, np.float32),
        "ceiling": generator.uniform(0.3, 0.9, V),
        "truth": scale * truth,
    }


def means(data):
    return np.stack(
        [data["trials"][data["image_index"] == k].mean(axis=0) for k in range(len(data["samples"]))]
    )


def score(name, data, *, predicted=None, measured=None):
    """Values of a metric; those under "" of one that returns several by name."""
    plugin = METRICS[name]
    values = plugin.score(
        data["samples"].mean(axis=1) if predicted is None else predicted,
        means(data) if measured is None else measured,
        **{key: data[key] for key in plugin.gets if key in data},
    )
    return np.asarray(values[""] if isinstance(values, dict) else values, np.float64)


def test_every_unit_has_its_shape():
    shapes = {"voxel": (V,), "image": (N,), "set": (), "region": ()}
    for name in ALL:
        assert score(name, draw(0)).shape == shapes[METRICS[name].unit], name
        assert np.isfinite(score(name, draw(0))).all(), name


@given(seed=st.integers(0, 10_000), scale=st.sampled_from([1e-3, 1.0, 300.0]))
@settings(max_examples=8, deadline=None)
def test_the_order_of_images_does_not_matter(seed, scale):
    data = draw(seed, scale=scale)
    order = np.random.default_rng(seed).permutation(N)
    place = np.argsort(order)
    moved = {
        **data,
        "image_index": place[data["image_index"]],
        "samples": data["samples"][order],
        "truth": data["truth"][order],
        "labels": {"category": data["labels"]["category"][order]},
    }
    for name in ALL:
        values = score(name, data)
        expected = values[order] if METRICS[name].unit == "image" else values
        np.testing.assert_allclose(score(name, moved), expected, rtol=1e-5, atol=1e-6 * scale, err_msg=name)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_the_order_of_voxels_does_not_matter(seed):
    data = draw(seed)
    order = np.random.default_rng(seed).permutation(V)
    moved = {
        k: v[..., order] if k in ("trials", "samples", "truth", "baseline", "ceiling") else v
        for k, v in data.items()
    }
    for name in ALL:
        values = score(name, data)
        expected = values[order] if METRICS[name].unit == "voxel" else values
        np.testing.assert_allclose(score(name, moved), expected, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", sorted(BEST))
@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_the_measured_responses_predict_themselves_best(name, seed):
    data = draw(seed)
    measured = means(data)
    best = score(name, data, predicted=measured)
    np.testing.assert_allclose(best, BEST[name], atol=2e-6)
    other = score(name, data)
    if METRICS[name].higher_is_better and name != "variance-ratio":
        assert (other <= best + 1e-5).all()
    elif not METRICS[name].higher_is_better:
        assert (other >= best).all()


# SynBrain's cosine leaves the mean in, which is what it then finds.
@pytest.mark.parametrize("name", [n for n in NO_SAMPLES if n != "synbrain-cosine"])
def test_a_prediction_without_information_earns_nothing(name):
    data = draw(3)
    # Voxel by voxel constant, and the training mean: worth nothing once that is taken off.
    blind = np.tile(data["baseline"], (N, 1))
    values = score(name, data, predicted=blind)
    if METRICS[name].higher_is_better:
        floor = {"pattern-2way": 0.5}.get(name, 0.0)
        assert values.mean() <= floor + 1e-6, name
    else:
        assert values.mean() > score(name, data, predicted=means(data)).mean()


@pytest.mark.parametrize("name", NO_SAMPLES)
def test_a_nan_is_not_scored_and_spoils_nothing_but_its_unit(name):
    data, plugin = draw(1), METRICS[name]
    predicted = data["samples"].mean(axis=1)
    predicted[3, 5] = np.nan
    values = score(name, data, predicted=predicted)
    if plugin.unit == "voxel":
        assert np.flatnonzero(np.isnan(values)).tolist() == [5]
    elif plugin.unit == "image":
        assert np.flatnonzero(np.isnan(values)).tolist() == [3]
    elif name in ("mse-explained", "category-contrast", "algonauts-2023"):
        assert np.isfinite(values)  # the voxel is left out
    else:
        assert np.isnan(values)


@pytest.mark.parametrize("name", NO_SAMPLES)
def test_a_voxel_that_is_constant_in_the_measurement_breaks_nothing(name):
    data = draw(2)
    data["trials"][:, 4] = 0.25
    values = score(name, data)
    if METRICS[name].unit == "voxel":
        errors = {"voxel-mse", "truth-r"}  # the second does not look at the measurement
        assert np.flatnonzero(np.isnan(values)).tolist() == ([] if name in errors else [4])
    else:
        assert np.isfinite(values).all()


@pytest.mark.parametrize("name", ALL)
def test_one_image_does_not_raise(name):
    data = draw(4, n=1)
    values = score(name, data)
    per_image = ("pattern-r", "pattern-cosine", "synbrain-", "mindsimulator-mse", "mindsimulator-r")
    errors = ("voxel-mse", "energy-distance", "sample-spread", "neighbours10-mse", "neighbours30-mse")
    has_value = name.startswith((*per_image, *errors)) and name != "mindsimulator-r2"
    assert np.isfinite(values).all() == has_value, name
