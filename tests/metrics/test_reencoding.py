"""Responses that an encoder predicts for reconstructions, correlated with measured ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.backbones.gnet import NSDGENERAL
from harness.data import VoxelSpace
from harness.metrics.reencoding import brain_correlation, brain_correlation_deranged, lacks_gnet

RNG = np.random.default_rng(0)
PREDICTED, MEASURED = RNG.standard_normal((2, 6, 40)).astype(np.float32)


def test_a_value_is_the_correlation_across_voxels_of_one_image():
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(PREDICTED, MEASURED)]
    np.testing.assert_allclose(brain_correlation(PREDICTED, MEASURED), expected, atol=1e-6)


def test_a_constant_prediction_correlates_with_nothing():
    flat = PREDICTED.copy()
    flat[2] = 0.5
    values = brain_correlation(flat, MEASURED)
    assert values[2] == 0
    assert np.isfinite(values).all()


def test_re_pairings_at_once_are_the_mean_of_each():
    orders = np.array([np.roll(np.arange(6), k) for k in (1, 2, 4)])
    each = [brain_correlation(PREDICTED[order], MEASURED) for order in orders]
    np.testing.assert_allclose(
        brain_correlation_deranged(PREDICTED, MEASURED, orders), np.mean(each, axis=0), atol=1e-6
    )


SPACE = VoxelSpace("nsd", "subj01", "nsdgeneral", NSDGENERAL["subj01"], "zscore_session", "x")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, ""),
        ({"units": "zscore"}, ""),
        ({"dataset": "bold5000"}, "subj01 of bold5000"),
        ({"mask": "streams"}, "these are streams of subj01"),
        ({"subject": "subj09"}, "subjects subj01 to subj08"),
        ({"n_voxels": 12}, "these are 12"),
        ({"units": "percent"}, "units 'percent'"),
    ],
)
def test_gnet_predicts_nsds_voxels_alone(change, why):
    reason = lacks_gnet(replace(SPACE, valid=None, **change))
    assert why in reason
    assert bool(reason) == bool(why)
