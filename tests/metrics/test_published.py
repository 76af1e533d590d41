"""Other groups' definitions against their arithmetic, typed out pair by pair and voxel by voxel."""

import numpy as np
import pytest
from named_metrics import metric_named
from scipy.stats import pearsonr
from sklearn.metrics import r2_score
from sklearn.metrics.pairwise import cosine_similarity

from harness.metrics import published
from harness.metrics.response_rows import RESPONSES

N, V = 12, 20


@pytest.fixture
def data():
    """Predictions (N, V), three trials of each image in mixed order (36, V), and their images."""
    generator = np.random.default_rng(0)
    truth = 1 + generator.standard_normal((N, V))
    index = generator.permutation(np.repeat(np.arange(N), 3))
    trials = truth[index] + generator.standard_normal((len(index), V))
    return (truth + 0.5 * generator.standard_normal((N, V))).astype(np.float32), trials, index


def score(name, predicted, trials, index, ceiling=None):
    measured = np.stack([trials[index == k].mean(axis=0) for k in range(len(predicted))])
    metric = metric_named(name)
    offered = {"trials": trials, "image_index": index, "ceiling": ceiling}
    return metric.score(predicted, measured, **{key: offered[key] for key in metric.gets})


def test_synbrain_compares_with_every_trial(data):
    predicted, trials, index = data
    pairs = [(predicted[i].astype(float), trials[t]) for t, i in enumerate(index)]
    expected = {
        "synbrain-mse": np.mean([((x - y) ** 2).mean() for x, y in pairs]),
        "synbrain-r": np.mean([pearsonr(x, y).statistic for x, y in pairs]),
        "synbrain-cosine": np.mean([cosine_similarity([x], [y])[0, 0] for x, y in pairs]),
    }
    for cls, value in expected.items():
        values = score(cls, *data)
        assert values.shape == (N,)
        assert values.mean() == pytest.approx(value), cls
    x = predicted[index].astype(float)
    x, y = x - x.mean(axis=0), trials - trials.mean(axis=0)
    norms = np.linalg.norm(x @ x.T) * np.linalg.norm(y @ y.T)
    assert score("synbrain-cka", *data) == pytest.approx(np.linalg.norm(x @ y.T) ** 2 / norms)


def test_mindsimulator_compares_with_the_mean_of_three(data):
    predicted, trials, index = data
    target = np.stack([trials[index == k].mean(axis=0) for k in range(N)])
    exact = predicted.astype(float)
    expected = {
        "mindsimulator-mse": ((exact - target) ** 2).mean(),
        "mindsimulator-r": np.mean([pearsonr(x, y).statistic for x, y in zip(exact, target)]),
        "mindsimulator-r2": r2_score(target, exact, multioutput="raw_values").mean(),
    }
    for cls, value in expected.items():
        assert np.mean(score(cls, *data)) == pytest.approx(value), cls


def test_mindsimulator_pads_fewer_trials_by_repeating_them():
    trials = np.array([[1.0], [2.0], [10.0], [4.0], [0.0], [6.0]])
    index = np.array([1, 0, 1, 2, 2, 2])
    np.testing.assert_allclose(published.padded_mean(trials, index)[:, 0], [2, (1 + 10 + 1) / 3, 10 / 3])
    four = np.arange(4.0)[:, None]
    np.testing.assert_allclose(published.padded_mean(four, np.zeros(4, int)), [[1.5]])


def test_algonauts_2023_is_a_clipped_median_in_percent(data):
    predicted, trials, index = data
    measured = np.stack([trials[index == k].mean(axis=0) for k in range(N)])
    predicted = predicted.copy()
    predicted[:, :6] *= -1  # negative correlations count 0
    ceiling = np.random.default_rng(1).uniform(0.2, 0.9, V)
    ceiling[-3:] = 0.0  # any positive correlation is above a ceiling of 0
    expected = []
    for v in range(V):
        r = max(pearsonr(predicted[:, v].astype(float), measured[:, v]).statistic, 0)
        expected.append(min(100.0, 100 * r**2 / (ceiling[v] or 1e-14)))
    assert 0.0 in expected
    assert 100.0 in expected
    assert score("algonauts-2023", predicted, trials, index, ceiling) == pytest.approx(np.median(expected))
    assert np.isnan(score("algonauts-2023", predicted, trials, index))


def test_algonauts_2021_divides_by_the_root_of_the_split_half_reliability():
    generator = np.random.default_rng(3)
    truth = generator.standard_normal((200, 3))
    trials = np.repeat(truth, 4, axis=0) + generator.standard_normal((800, 3)) * [0.5, 1.0, 2.0]
    index = np.repeat(np.arange(200), 4)
    values = score("algonauts-2021", truth, trials, index)
    np.testing.assert_allclose(values, 1.0, atol=0.06)  # the truth reaches all that is reliable
    unequal = score("algonauts-2021", truth, trials[:-1], index[:-1])
    assert np.isnan(unequal).all()
    noise = generator.standard_normal((800, 50))
    unreliable = score("algonauts-2021", generator.standard_normal((200, 50)), noise, index)
    assert np.isnan(unreliable).any()


def test_published_definitions_are_asked_for_by_name():
    rows = [row for row in RESPONSES if row.name.startswith(("synbrain", "mindsim", "algonauts"))]
    assert len(rows) == 9
    assert all(row.default is False and row.function().__doc__ for row in rows)
