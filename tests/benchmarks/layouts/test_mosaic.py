"""MOSAIC's files as they go wrong in practice."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from layout_experiment import V, experiment
from layout_loading import file_of, load
from other_writers import write_mosaic

from harness.api import DataError
from harness.benchmarks.layouts.mosaic import Mosaic

SUBJECT = "sub-01_NSD"


@pytest.fixture
def root(tmp_path):
    return write_mosaic(tmp_path / "root")


def changed(root, change):
    """The file, after `change` of its group of betas."""
    with h5py.File(file_of("mosaic", "responses", root, subject=SUBJECT), "r+") as file:
        change(file["betas"])


def first(betas):
    return betas[next(iter(betas))]


def test_the_subject_is_called_as_its_file_and_its_ceiling_is_the_files(root):
    data = load("mosaic", root)
    assert data.space.subject == SUBJECT
    assert data.space.units == "zscore_session"
    np.testing.assert_allclose(data.space.ncsnr[data.space.valid], 0.5)  # 20 % of a single trial
    np.testing.assert_array_equal(np.flatnonzero(~data.space.valid), [V])


def test_parts_of_a_whole_vector(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "harness.benchmarks.layouts.mosaic.GRAYORDINATES", {"cortex-left": (0, 20), "below-cortex": (20, 46)}
    )
    space = load("mosaic", write_mosaic(tmp_path)).space
    np.testing.assert_array_equal(np.flatnonzero(space.rois["cortex-left"]), np.arange(20))


def parcels(root, **changed_arrays):
    """The arrays of the file of parcels, which is written with others in their place."""
    path = file_of("mosaic", "parcels", root)
    arrays = dict(np.load(path))
    if changed_arrays:
        np.savez(path, **{**arrays, **changed_arrays})
    return arrays


def test_visual_areas_are_those_of_both_halves_by_the_names_of_their_numbers(root):
    labels, space = experiment().labels, load("mosaic", root).space
    for number, area in ((1, "V1"), (2, "V2"), (3, "FFC")):
        np.testing.assert_array_equal(space.rois[area], np.append(labels == number, False))
    assert set(space.rois) == {"V1", "V2", "FFC"}
    np.testing.assert_array_equal(space.groups["early"], space.rois["V1"] | space.rois["V2"])
    np.testing.assert_array_equal(space.groups["higher"], space.rois["FFC"])
    arrays = parcels(root)
    order = np.random.default_rng(0).permutation(len(arrays["ids"]))
    parcels(root, ids=arrays["ids"][order], labels=arrays["labels"][order])
    np.testing.assert_array_equal(load("mosaic", root).space.rois["V1"], space.rois["V1"])
    file_of("mosaic", "parcels", root).unlink()
    assert not load("mosaic", root).space.rois


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda arrays: {"map_all": arrays["map_all"][:-1]},
            f"parcels of {V} places; the responses have {V + 1}",
        ),
        (
            lambda arrays: {"labels": arrays["labels"][1:]},
            "has 7 ids and 6 labels; expected a label for each id",
        ),
        (lambda arrays: {"ids": arrays["ids"] * 0}, "has 7 ids and 7 labels; expected a label for each id"),
        (
            lambda arrays: {"map_all": arrays["map_all"] + 500},
            r"the number 50\d of map_all is not among its ids",
        ),
        (lambda arrays: {"map_all": arrays["map_all"] + 0.5}, "holds float64; expected int64 or int32"),
        (lambda arrays: {"labels": arrays["labels"].astype(object)}, "pickled"),
    ],
)
def test_parcels_of_something_else_are_refused(root, change, words):
    parcels(root, **change(parcels(root)))
    with pytest.raises(DataError, match=words):
        load("mosaic", root)


def test_trials_are_told_by_their_attributes(root):
    changed(root, lambda betas: first(betas).attrs.__delitem__("phase"))
    with pytest.raises(DataError, match="has no attribute phase"):
        load("mosaic", root)
    changed(root, lambda betas: first(betas).attrs.__setitem__("phase", "artificial"))
    with pytest.raises(DataError, match="has no attribute phase"):
        load("mosaic", root)


def test_an_image_in_both_phases_is_refused(root):
    def both(betas):
        trial = next(item for item in betas.values() if item.attrs["phase"] == "train")
        trial.attrs["phase"] = "test"

    changed(root, both)
    with pytest.raises(DataError, match="is of training and of test"):
        load("mosaic", root)


def test_films_are_refused(root):
    changed(root, lambda betas: first(betas).attrs.__setitem__("presented_stimulus_filename", "0001.mp4"))
    with pytest.raises(DataError, match=r"'0001.mp4' is no picture"):
        load("mosaic", root)


def test_vectors_of_two_lengths_and_a_merged_file_are_refused(root):
    def shorter(betas):
        item = betas.create_dataset("odd", data=np.zeros(7))
        item.attrs["phase"], item.attrs["presented_stimulus_filename"] = "train", "a.png"

    changed(root, shorter)
    with pytest.raises(DataError, match=r"has shape \(.*\); expected"):
        load("mosaic", root)
    with h5py.File(file_of("mosaic", "responses", root, subject=SUBJECT), "w") as file:
        file["sub-01_NSD/betas/x"] = np.zeros(4)
    with pytest.raises(DataError, match="has no group 'betas'; it holds sub-01_NSD"):
        load("mosaic", root)


def test_responses_that_come_z_scored_are_used_as_they_are(root):
    from harness.api import ConfigError

    with pytest.raises(ConfigError, match="are z-scored as they come"):
        load("mosaic", root, normalise="zscore")
    assert Mosaic.manifest().terms == ""
