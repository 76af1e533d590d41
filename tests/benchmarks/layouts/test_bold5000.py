"""BOLD5000 as it goes wrong in practice."""

from __future__ import annotations

import numpy as np
import pytest
from layout_experiment import experiment
from layout_files import save_volume
from layout_loading import file_of, load
from other_writers import write_bold5000

from harness.api import DataError
from harness.benchmarks.layouts.bold5000 import Bold5000
from harness.benchmarks.layouts.manifest import read_manifest

SUBJECT = "CSI1"


def sessions(root):
    return [path for _, path in read_manifest("bold5000").entry("betas").find(root, subject=SUBJECT)]


def test_regions_by_their_usual_names(tmp_path):
    """LHLO is what one subject's file of LHLOC is called."""
    exp, space = experiment(), load("bold5000", write_bold5000(tmp_path)).space
    np.testing.assert_array_equal(space.rois["EarlyVis"], exp.labels <= 2)
    np.testing.assert_array_equal(space.rois["LHLOC"], exp.labels == 3)
    np.testing.assert_array_equal(space.groups["higher"], exp.labels == 3)
    assert space.units == "zscore_session"


def test_a_region_of_another_grid_is_left_out_and_said_so(tmp_path, caplog):
    root = write_bold5000(tmp_path)
    path = root / "derivatives" / "spm" / f"sub-{SUBJECT}" / f"sub-{SUBJECT}_mask-LHPPA.nii.gz"
    save_volume(path, np.ones((9, 9, 9), np.int16))
    assert "LHPPA" not in load("bold5000", root).space.rois
    assert "LHPPA.nii.gz is (9, 9, 9) voxels" in caplog.text


def test_the_order_of_pictures_is_that_of_all_sessions(tmp_path):
    root = write_bold5000(tmp_path)
    sessions(root)[-1].unlink()
    with pytest.raises(DataError, match="81 betas in 3 sessions and a list of 108 pictures; all sessions"):
        load("bold5000", root)
    sessions(root)[1].unlink()
    with pytest.raises(DataError, match="session 2 of CSI1 is not there and session 3 is"):
        load("bold5000", root)


def test_the_test_set_is_the_list_and_not_what_this_subject_saw_twice(tmp_path):
    """CSI4 saw 23 of the 113 once: counted, its test set would be another under the same name."""
    root = write_bold5000(tmp_path)
    path = file_of("bold5000", "repeated_images", root)
    path.write_text("\n".join(path.read_text().split()[:5]) + "\n")
    assert len(load("bold5000", root).test) == 5
    path.unlink()
    with pytest.raises(DataError, match=r"there is no .*repeated_stimuli_113_list\.txt"):
        load("bold5000", root)


def test_a_lost_picture_is_named(tmp_path):
    root = write_bold5000(tmp_path)
    next(root.rglob("*.JPEG")).unlink()
    with pytest.raises(DataError, match="holds no picture for 1 of 36 images, for example 'n01930112_"):
        load("bold5000", root)


def test_it_has_no_terms():
    assert Bold5000.manifest().terms == ""
