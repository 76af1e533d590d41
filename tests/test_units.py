"""Units of responses: from one to another, and back from z-scores."""

from __future__ import annotations

import numpy as np
import pytest
from given_files import write

from harness.data import VoxelSpace
from harness.errors import ConfigError, DataError, SpaceMismatch
from harness.stages.precomputed import FilePredictions
from harness.units import BROUGHT_TO, PERCENT, UNITS, ZSCORES, Scaling, converted, factor

SCALING = Scaling("percent", np.array([2.0, -1.0, 0.5]), np.array([4.0, 0.5, 0.0]))


def space(units="zscore", scaling=SCALING):
    valid = np.array([True, True, False])
    return VoxelSpace("d", "s", "m", 3, units, "sha", valid=valid, scaling=scaling)


def test_a_percent_is_what_nsd_and_synbrain_make_of_it():
    """The whole number 600 is two percent; divided by 2000 it is 0.3."""
    assert factor("percent", "raw/300") == 1
    assert 2 * factor("percent", "raw/2000") == pytest.approx(600 / 2000)
    assert factor("raw/2000", "percent") == pytest.approx(20 / 3)
    for name in ("raw", *ZSCORES):
        assert factor(name, "percent") is None
        assert factor(name, name) == 1
    assert set(BROUGHT_TO) - {"none"} == {*PERCENT, *ZSCORES} == set(UNITS) - {"raw"}


@pytest.mark.parametrize("wanted", PERCENT)
def test_z_scores_lead_back_by_what_made_them_and_masked_voxels_stay_0(wanted):
    scores = np.array([[1.0, -2.0, 0.0], [0.5, 0.0, 0.0]])
    expected = np.array([[6.0, -2.0, 0.0], [4.0, -1.0, 0.0]]) * PERCENT[wanted]
    numbers = converted(scores, "zscore", wanted, space(), what="p")
    np.testing.assert_allclose(numbers, expected, rtol=1e-6)
    np.testing.assert_allclose(converted(numbers, wanted, "zscore", space(), what="p"), scores, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "wanted", "of", "words"),
    [
        (
            "raw",
            "zscore",
            space(),
            "'raw' to 'zscore'; responses of s are 'zscore', which goes with percent, raw/300",
        ),
        ("zscore", "zscore_session", space("zscore_session"), "nothing known leads from units 'zscore'"),
        ("zscore", "percent", space(scaling=None), "responses of s are 'zscore' as they come"),
        ("percent", "raw", space("raw", None), "responses of s are 'raw' as they come"),
    ],
)
def test_what_nothing_leads_to_is_refused(given, wanted, of, words):
    with pytest.raises(SpaceMismatch, match=words):
        converted(np.zeros((1, 3)), given, wanted, of, what="p")


def test_a_name_that_is_no_unit_suggests_the_near_one():
    with pytest.raises(ConfigError, match="unknown units of responses 'raw/3000'; did you mean 'raw/300'"):
        converted(np.zeros((1, 3)), "zscore", "raw/3000", space(), what="p")


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_predictions_in_a_file_are_brought_to_the_units_of_the_benchmark(tmp_path, suffix):
    from harness.image_sets import Stimuli

    names, scores = ("a", "b"), np.array([[1.0, -2.0, 0.0], [0.5, 0.0, 0.0]], np.float32)
    stimuli = Stimuli(names, lambda positions: np.zeros((len(positions), 2, 2, 3), np.uint8))
    file, seeds = tmp_path / f"p{suffix}", np.zeros((2, 1), np.int64)

    def read(values, **more):
        write(file, names, values, **more)
        plugin = FilePredictions(FilePredictions.Params(str(file)))
        return plugin.predict(stimuli, None, space=space(), seeds=seeds)[:, 0]

    there = converted(scores, "zscore", "raw/2000", space(), what="p")
    np.testing.assert_allclose(read(there, units="raw/2000"), scores, atol=1e-6)
    np.testing.assert_array_equal(read(scores, units="zscore"), scores)
    np.testing.assert_array_equal(read(scores), scores)
    with pytest.raises(SpaceMismatch, match="nothing known leads from units 'raw'"):
        read(scores, units="raw")
    with pytest.raises(DataError, match="names the units percent, raw; give the one of all"):
        read(scores, units=["percent", "raw"])
