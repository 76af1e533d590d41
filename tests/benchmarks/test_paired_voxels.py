"""What benchmark `paired` says of voxels: masks, noise ceilings, ROIs, coordinates, identity."""

from __future__ import annotations

import numpy as np
import pytest
from paired_loading import COLOUR, load, save, small

from harness.api import DataError
from harness.stages.checks import check_subject


def test_excluded_voxels_are_masked_counted_and_zero(tmp_path, caplog):
    y = np.random.default_rng(0).normal(size=(6, 5))
    y[0, 1] = np.nan  # training trial
    y[5, 2] = np.inf  # test trial
    y[:4, 3] = 7  # constant over the training trials only
    file = save(tmp_path, x=COLOUR, y=y, m=np.arange(6) > 3)
    common = {
        **file,
        "data": {"images": "x", "responses": "y"},
        "image_layout": "nhwc",
        "test_mask": "m",
    }
    with caplog.at_level("INFO"):
        data = load(tmp_path, **common, exclude=["nan", "constant"], normalise="zscore")
    assert data.space.valid.tolist() == [True, False, False, False, True]
    assert "2 of 5 voxels hold NaN or inf (first, from 0: 1, 2)" in caplog.text
    assert "1 of 5 voxels are constant" in caplog.text
    for split in (data.train, data.test):
        trials = split.responses.trials()
        assert np.isfinite(trials).all()
        assert not trials[:, ~data.space.valid].any()
        assert trials[:, data.space.valid].all()
    check_subject(data)
    with pytest.raises(DataError, match=r"2 of 5 voxels hold NaN.*add exclude: \[nan\]"):
        load(tmp_path, **common)
    with pytest.raises(DataError, match=r"1 of 5 voxels are constant.*: 3\).*exclude: \[nan, constant\]"):
        load(tmp_path, **common, exclude=["nan"])


def test_voxels_that_stand_still_in_the_test_trials_are_masked_or_flagged(tmp_path, caplog):
    y = np.random.default_rng(0).normal(size=(6, 3))
    y[3:, 1] = 7
    file = save(tmp_path, x=COLOUR, y=y, m=np.arange(6) > 2)
    common = {**file, "data": {"images": "x", "responses": "y"}, "image_layout": "nhwc", "test_mask": "m"}
    masked = load(tmp_path, **common, exclude=["constant"])
    assert masked.space.valid.tolist() == [True, False, True]
    check_subject(masked)
    assert not caplog.records
    check_subject(load(tmp_path, **common))
    (record,) = caplog.records
    assert record.flag == "constant-test-voxels"
    assert "1 of 3 voxels are constant over all 3 trials (first: 1)" in record.getMessage()


def test_ncsnr_recovers_the_simulated_ratio(tmp_path):
    rng = np.random.default_rng(9)
    n, repeats, truth = 400, 3, np.array([0.0, 0.5, 1.0, 2.0])
    y = truth * rng.normal(size=(n, 1, 4)) + rng.normal(size=(n, repeats, 4))
    images = rng.integers(0, 256, (n + 2, 2, 2), np.uint8)
    test = rng.normal(size=(2, repeats, 4))
    file = save(tmp_path, x=images[:n], y=y, tx=images[n:], ty=test)
    common = {
        **file,
        "train": {"images": "x", "responses": "y"},
        "test": {"images": "tx", "responses": "ty"},
        "image_layout": "nhw",
        "responses_layout": "images-repeats-voxels",
    }
    estimate = load(tmp_path, **common).space.ncsnr
    np.testing.assert_allclose(estimate, truth, atol=0.12)
    # Both splits together, weighted by degrees of freedom, each about its own mean.
    splits = (y, test)
    noise = sum(part.var(axis=1, ddof=1).sum(axis=0) for part in splits) / (n + 2)
    between = sum(len(part) * part.mean(axis=1).var(axis=0) for part in splits) / n
    signal = np.maximum(between - noise / repeats, 0)
    np.testing.assert_allclose(estimate, np.sqrt(signal / noise), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(load(tmp_path, **common, normalise="zscore").space.ncsnr, estimate, atol=1e-4)


def test_identical_repeats_are_noticed_and_stay_finite(tmp_path, caplog):
    y = np.repeat(np.random.default_rng(0).normal(size=(6, 1, 4)), 2, axis=1)
    file = save(tmp_path, x=COLOUR, y=y, m=np.arange(6) > 3)
    data = load(
        tmp_path,
        **file,
        data={"images": "x", "responses": "y"},
        image_layout="nhwc",
        test_mask="m",
        responses_layout="images-repeats-voxels",
    )
    assert np.isfinite(data.space.ncsnr).all()
    assert (data.space.noise_ceiling(np.array([2])) > 0.99).all()
    assert "identical in 4 voxels; are they copies" in caplog.text


def test_voxel_descriptions(tmp_path):
    file = save(
        tmp_path,
        x=COLOUR,
        y=np.random.default_rng(0).normal(size=(6, 4)),
        m=np.arange(6) > 3,
        v1=np.array([1, 0, 0, 0]),
        labels=np.array([[0], [2], [2], [5]]),
        snr=np.array([0.1, 0.2, 0.3, 0.4]),
        xyz=np.arange(12).reshape(4, 3),
    )
    space = load(
        tmp_path,
        **file,
        data={"images": "x", "responses": "y"},
        image_layout="nhwc",
        test_mask="m",
        rois={"V1": "v1"},
        roi_labels="labels",
        roi_names={"V2": 2, "FFA": 5},
        groups={"early": ["V1", "V2"]},
        ncsnr="snr",
        coordinates="xyz",
        mask="visual",
    ).space
    assert {name: np.flatnonzero(m).tolist() for name, m in space.rois.items()} == {
        "V1": [0],
        "V2": [1, 2],
        "FFA": [3],
    }
    assert space.groups["early"].tolist() == [True, True, True, False]
    assert space.ncsnr.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert space.coordinates.shape == (4, 3)
    assert (space.dataset, space.subject, space.mask, space.n_voxels) == ("mine", "subj01", "visual", 4)


def test_voxel_identity_is_stable_and_tells_subjects_and_positions_apart(tmp_path):
    space = small(tmp_path, COLOUR, image_layout="nhwc").space
    assert space.voxels_sha == small(tmp_path, COLOUR, image_layout="nhwc").space.voxels_sha
    assert space.voxels_sha != small(tmp_path, COLOUR, image_layout="nhwc", dataset="other").space.voxels_sha
    positions = {}
    for shift in (0, 1):
        np.save(tmp_path / "xyz.npy", np.arange(12).reshape(4, 3) + shift)
        positions[shift] = small(
            tmp_path, COLOUR, image_layout="nhwc", coordinates="xyz.npy"
        ).space.voxels_sha
    assert len({space.voxels_sha, *positions.values()}) == 3
