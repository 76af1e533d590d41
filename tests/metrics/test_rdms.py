"""RDMs and their comparison equal scipy; the ceiling bounds every model; what is not defined is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import rankdata, spearmanr

from harness.api import ConfigError, DataError
from harness.metrics.rdms import label_rdm, mean_rdm, noise_ceiling, of_subjects, rdm, similarity, spearman

RNG = np.random.default_rng(0)
TRUTH = RNG.random(66)
MEASURED = {f"s{k}": TRUTH + 0.4 * RNG.standard_normal((2, 66)) for k in range(4)}


@pytest.mark.parametrize("distance", ["correlation", "euclidean", "cosine"])
def test_an_rdm_is_scipys_in_row_order(distance):
    patterns = RNG.standard_normal((6, 3, 4))
    assert np.allclose(rdm(patterns, distance=distance), pdist(patterns.reshape(6, -1), distance))
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        rdm(patterns, distance="cosin")


def test_a_pattern_that_does_not_vary_is_refused():
    patterns = RNG.standard_normal((4, 5))
    patterns[2] = 1.0
    with pytest.raises(DataError, match="does not vary"):
        rdm(patterns)
    assert np.isfinite(rdm(patterns, distance="euclidean")).all()


def test_comparisons_are_spearmans_with_ties():
    first, second = RNG.integers(0, 5, (2, 66))
    assert spearman(first, second) == pytest.approx(spearmanr(first, second)[0])
    assert spearman(first, np.ones(66)) == 0
    subjects = of_subjects(MEASURED)
    assert similarity(TRUTH, subjects) == pytest.approx(np.mean([spearmanr(TRUTH, s)[0] for s in subjects]))


def test_labels_differ_where_they_differ():
    assert label_rdm(["a", "b", "a", "c"]).tolist() == [1, 0, 1, 1, 1, 1]


def test_the_ceiling_is_nilis_and_lies_around_the_truth():
    subjects = of_subjects(MEASURED)
    ranks = np.array([rankdata(s) for s in subjects])
    lower, upper = noise_ceiling(subjects)
    assert upper == pytest.approx(np.mean([spearmanr(s, ranks.mean(axis=0))[0] for s in subjects]))
    alone = [spearmanr(s, np.delete(ranks, k, axis=0).mean(axis=0))[0] for k, s in enumerate(subjects)]
    assert lower == pytest.approx(np.mean(alone))
    assert lower < similarity(TRUTH, subjects) < upper
    with pytest.raises(DataError, match="two subjects or more"):
        noise_ceiling(subjects[:1])


def test_sessions_are_averaged_in_a_subject_first():
    unequal = {"a": MEASURED["s0"], "b": MEASURED["s1"][:1]}
    expected = (MEASURED["s0"].mean(axis=0) + MEASURED["s1"][0]) / 2
    assert np.allclose(mean_rdm(unequal), expected)
