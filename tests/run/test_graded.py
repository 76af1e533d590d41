"""Encoders of graded quality, made of the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toys import ToyBenchmark

from harness.errors import ConfigError
from harness.metrics.encoding import voxel_r_truth
from harness.run.graded import write_graded
from harness.stages.precomputed import read_predictions


@pytest.fixture
def data():
    return ToyBenchmark(ToyBenchmark.Params()).load("toy01")


def predicted(data, tmp_path, **definition):
    write_graded(data, definition, tmp_path / "g.npz")
    ids, values = read_predictions(tmp_path / "g.npz")
    assert ids == data.test.stimuli.ids
    return values[:, 0]


def test_quality_falls_as_it_should(data, tmp_path):
    truth = data.truth.mean()
    np.testing.assert_allclose(predicted(data, tmp_path), truth)

    def quality(**definition):
        valid = data.space.valid
        values = predicted(data, tmp_path, **definition)[:, valid]
        return np.nanmean(voxel_r_truth(values, values, truth=truth[:, valid]))

    by_noise = [quality(noise=size) for size in (0.2, 1, 5)]
    assert by_noise == sorted(by_noise, reverse=True)
    assert quality(rank=1) < quality(rank=4) <= 1


def test_an_area_that_is_missing_says_nothing(data, tmp_path):
    half = np.arange(data.space.n_voxels) < data.space.n_voxels // 2
    data = replace(data, space=replace(data.space, groups={"early": half}))
    values = predicted(data, tmp_path, without="early")
    assert np.ptp(values[:, half], axis=0).max() == 0
    np.testing.assert_allclose(values[:, ~half], data.truth.mean()[:, ~half])


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"noise": -1}, "expected a number above 0"),
        ({"rank": 1.5}, "whole number"),
        ({"without": "nowhere"}, "ROI or cortical group"),
        ({"noize": 1}, "noise"),
        ({"noise": 1, "rank": 2}, "has one of"),
    ],
)
def test_what_is_refused(data, tmp_path, definition, message):
    with pytest.raises(ConfigError, match=message):
        write_graded(data, definition, tmp_path / "g.npz")


def test_data_without_truth_have_none(data, tmp_path):
    with pytest.raises(ConfigError, match="these data have none"):
        write_graded(replace(data, truth=None), {}, tmp_path / "g.npz")
